"""Whether the two samples of a box, their matches and the photo-z error agree with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box

if TYPE_CHECKING:
    from truez.surveys.surveys import Surveys

#: Parts of an axis, and galaxies that one must be expected to hold for its emptiness to count.
_EIGHTHS, _EXPECTED = 8, 100


def check_matched(surveys: Surveys, matched: NDArray[np.int64]) -> None:
    """Raise an error for matches that are not rows, or whose number is not `num_both`."""
    if matched.shape != (len(surveys.spec),) or matched.dtype.kind not in "iu":
        raise ValueError(
            f"matched must hold one row number for each of {len(surveys.spec)} spec galaxies, not "
            f"{matched.dtype} of shape {matched.shape}"
        )
    rows = matched[matched >= 0]
    if len(rows) and rows.max() >= len(surveys.photo):
        raise ValueError(
            f"matched names row {rows.max()} of {len(surveys.photo)} photo galaxies: count rows "
            "from 0 in the photo sample itself"
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("matched names one photo galaxy for two spec galaxies")
    if len(rows) != surveys.num_both:
        raise ValueError(
            f"matched pairs {len(rows)} galaxies, but num_both is {surveys.num_both:g}"
        )


def check_bounds(surveys: Surveys) -> None:
    """Raise an error if the photo-z of a closed box contradict ``photo_bounds``."""
    outside = len(surveys.photo) - int(np.count_nonzero(surveys.photo_inside()))
    if surveys.photo_bounds == "photo-z":
        if outside:
            raise ValueError(
                f"{outside} photo-z lie outside the box, so the sample was not cut in photo-z: "
                "leave them out, or choose photo_bounds truth"
            )
        return
    if surveys.even:
        share_outside = 1 - float(surveys.error.visible_fraction(surveys.box).mean())
    else:
        seen, true = surveys.photo_expected().values, surveys.true_expected().values
        share_outside = 1 - float(seen.sum() / true.sum())
    expected = share_outside * len(surveys.photo)
    # Clustering at the faces moves the number by some tens of per cent, not by a factor.
    if expected > 30 and not 0.3 * expected < outside < 3 * expected:
        raise ValueError(
            f"{outside} photo-z lie outside the box where about {expected:.0f} should, for a "
            "sample that fills it: choose photo_bounds photo-z if it was cut in photo-z, or "
            "correct the box and sigma_z"
        )


def empty_part(photo: NDArray[np.floating], box: Box) -> str | None:
    """A note on photometric galaxies (n, 3) that leave a part of the box empty; None if none is.

    For galaxies that are expected to fill it evenly. In eighths along each axis: where one should
    hold a hundred galaxies or more, clustering leaves none of them empty.
    """
    if len(photo) < _EIGHTHS * _EXPECTED:
        return None
    for axis, name in enumerate(("the first axis", "the second axis", "the line of sight")):
        places = photo[:, axis]
        low, high = box.lower[axis], box.upper[axis]
        counts, _ = np.histogram(places, _EIGHTHS, (low, high))
        if not counts.all():
            return (
                f"photo galaxies fill {places.min():.5g} to {places.max():.5g} of {low:.5g} to "
                f"{high:.5g} Mpc/h along {name}, and even surveys fill the box: correct boxsize, "
                "boxcenter or the length unit, or give their expected counts"
            )
    return None


def too_few_in_both(
    spec: NDArray[np.floating], photo: NDArray[np.floating], num_both: float, overlap: object
) -> str | None:
    """A note on an overlap that is contradicted by places on the sky, (n, 2) and (m, 2); or None.

    A galaxy of both surveys is often exactly at the same place in both catalogues, others never
    are.
    """
    most = num_both + max(10, 0.05 * len(spec))
    if most >= len(spec):
        return None  # nested: no places can contradict it
    ours, theirs = (
        np.ascontiguousarray(one, np.float64).view(np.complex128) for one in (spec, photo)
    )
    same = int(np.count_nonzero(np.isin(ours, theirs)))
    if same <= most:
        return None
    return (
        f"{same} of {len(spec)} spec galaxies are exactly where a photo galaxy is, and overlap "
        f"{overlap} has {num_both:.0f} in both: correct overlap, or match them by their names"
    )
