"""Whether the two samples of a box, their matches and the photo-z error agree with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from truez.surveys.surveys import Surveys


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
            "from 0 in the photo sample itsurveys"
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
