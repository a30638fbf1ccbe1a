"""Redistribution of two surveys: from galaxies and an intensity to the field and its error.

Photometric galaxies whose true redshift the spectroscopic survey knows (`Surveys.matched`) are
taken out of the counts and painted at their true place. The others are moved along their sight
lines by `truez.sightlines.conserve`. In a closed box that the sample fills, photo-z that have left
the box keep their galaxies: cells beyond the faces hold them. Where the sample was cut in photo-z
instead, galaxies may truly lie beyond the faces, where the intensity is taken to be the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import total
from truez.mesh.painting import paint
from truez.sightlines.conserve import (
    PhotoClass,
    Spread,
    information,
    redistribute,
    surplus,
    variance,
)
from truez.sightlines.intensity import check_intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import paint_columns
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import expected_with_margin, longer_box

#: Photo-z are kept, and true places considered, up to this many standard deviations beyond a closed
#: face: one galaxy in 1e8 is further.
REACH = 5.7
#: Cells that are worked on at a time.
SLAB_CELLS = 2**23
_NO_PLACE = (
    "photometric galaxies lie where the intensity and the photo-z error expect none: raise the "
    "floor of the intensity, or the error"
)


WholeVariance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Redistribution:
    """The photometric galaxies, moved to where they are expected.

    Parameters
    ----------
    field : Field
        Overdensity of the photometric sample in true redshift space.
    sigma : Tensor (nx, ny, nz)
        Its standard deviation, given the intensity. The intensity's own error comes on top, and
        moves whole clusters of galaxies: see docs/concepts/redistribution.md. With a
        ``whole_variance`` it is included.
    """

    field: Field
    sigma: Tensor


def kernel_of(surveys: Surveys) -> Kernel:
    """The kernel of the surveys' photo-z error, with the cells beyond a closed box's faces.

    Of galaxies with their own errors it has the cells that the largest error needs.
    """
    if surveys.box.periodic:
        return Kernel.of(surveys.error, surveys.box)
    margin = math.ceil(REACH * surveys.largest_sigma / surveys.box.cellsize[2])
    if surveys.photo_bounds == "truth":
        return Kernel.of(surveys.error, surveys.box, photo_margin=margin)
    return Kernel.of(surveys.error, surveys.box, true_margin=margin)


def photo_class(
    surveys: Surveys,
    kernel: Kernel,
    *,
    resampler: str = "cic",
    truth: NDArray[np.floating[Any]] | None = None,
    squares: bool = True,
) -> PhotoClass:
    """The photometric galaxies without a known redshift, on the sight lines of the mesh.

    Parameters
    ----------
    surveys : Surveys
    kernel : Kernel
        Such as `kernel_of`.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are shared across the sky.
    truth : (n_p, 3) array, optional
        True positions of ``surveys.photo`` [Mpc/h], for the `information`.
    squares : bool
        Paint squared weights too, for the `variance`.
    """
    if not surveys.even:
        raise ValueError(
            "these surveys are uneven, and galaxies of one photo-z error are moved here: choose "
            "method redistribution"
        )
    rows = movable(surveys, kernel)
    box = longer_box(surveys.box, kernel.photo_margin)
    photo = surveys.photo[rows]
    true_counts = None
    if truth is not None:
        true_counts = _columns(truth[rows], longer_box(surveys.box, kernel.true_margin), resampler)
    return PhotoClass(
        counts=_columns(photo, box, resampler),
        kernel=kernel,
        expected=expected_with_margin(surveys.true_expected().values, kernel.true_margin),
        true_counts=true_counts,
        squares=_columns(photo, box, resampler, power=2) if squares else None,
    )


def redistribute_surveys(
    surveys: Surveys,
    intensity: Tensor,
    *,
    resampler: str = "cic",
    whole_variance: WholeVariance | None = None,
    progress: Progress = silent,
) -> Redistribution:
    """Move the photometric galaxies along their sight lines.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        lambda > 0 on the surveys' mesh, relative to the expected counts.
    resampler : {"ngp", "cic", "tsc"}
        The field is as if galaxies at their true places had been painted with it.
    whole_variance : function, optional
        Of the variance given the intensity [counts^2] and the expected counts of the galaxies that
        were moved, two tensors of one shape: returns the variance with the intensity's own error.
    progress : Progress

    Returns
    -------
    Redistribution
        The field's metadata hold ``num_matched``, the galaxies that were put at their known place
        (0 where `Surveys.matched` does not say which), and ``num_photo_outside``, those that were
        left out because their photo-z is too far beyond a closed box.

    Raises
    ------
    ValueError
        If the intensity is not positive, or has no place for galaxies that are there.
    """
    check_intensity(intensity, surveys.box, finer=False)
    kernel = kernel_of(surveys)
    progress("redistribution", 0, None, "painting")
    matched = surveys.spec[:0] if surveys.matched is None else surveys.spec[surveys.matched >= 0]
    result = redistribute_classes(
        [photo_class(surveys, kernel, resampler=resampler)],
        intensity,
        expected=surveys.true_expected(),
        known=matched,
        resampler=resampler,
        whole_variance=whole_variance,
        progress=progress,
    )
    moved_rows = int(np.count_nonzero(movable(surveys, kernel)))
    metadata = {
        "num_matched": len(matched),
        "num_photo_outside": len(surveys.photo) - len(matched) - moved_rows,
    }
    return replace(result, field=replace(result.field, metadata=metadata))


def redistribute_classes(
    classes: list[PhotoClass],
    intensity: Tensor,
    *,
    expected: Field,
    known: NDArray[np.floating[Any]],
    resampler: str = "cic",
    whole_variance: WholeVariance | None = None,
    progress: Progress = silent,
) -> Redistribution:
    """Move classes of photometric galaxies, each with its own kernel, along their sight lines.

    Parameters
    ----------
    classes : list of PhotoClass
        With ``squares``; all with the same cells of the true place. The list is emptied, to save
        memory.
    intensity : Tensor (nx, ny, nz)
        lambda > 0, relative to the expected counts of the classes.
    expected : Field
        Expected counts per cell of the whole sample at its true place, of kind "counts", by which
        the result is an overdensity; its box is that of the intensity.
    known : (n, 3) array
        Places of the galaxies whose redshift is known [Mpc/h].
    resampler, whole_variance, progress
        As in `redistribute_surveys`.

    Returns
    -------
    Redistribution

    Raises
    ------
    ValueError
        If the intensity is not positive, or has no place for galaxies that are there.
    """
    box = expected.box
    check_intensity(intensity, box, finer=False)
    if not classes or len({(one.kernel.num_true, one.kernel.true_margin) for one in classes}) > 1:
        raise ValueError(
            "classes must hold at least one class of galaxies, with kernels of the same true cells"
        )
    margin = classes[0].kernel.true_margin
    spread = Spread.of(resampler, classes[0].kernel)
    counts = paint(known, box, resampler).values if len(known) else torch.zeros(box.meshsize)
    sigma = torch.zeros(box.meshsize)
    slabs = list(_slabs(box, max(classes, key=lambda one: one.kernel.num_photo).kernel))
    for number, slab in enumerate(slabs):
        progress("redistribution", number, len(slabs), "moving galaxies")
        parts = [_part(one, slab) for one in classes]
        here = with_margin(intensity[slab], margin)
        moved = redistribute(here, parts)
        if not bool(torch.isfinite(moved).all()):
            raise ValueError(_NO_PLACE)
        level = expected.values[slab]
        mean = spread.painted(moved, expected=level)
        counts[slab] += mean
        error = variance(here, parts, spread)
        if whole_variance is not None:
            error = whole_variance(error, mean)
        error = error.sqrt() / level
        sigma[slab] = torch.where(level > 0, error, 0.0)
    progress("redistribution", len(slabs), len(slabs))
    classes.clear()
    del parts  # three meshes
    return Redistribution(Field(counts, box, "counts").to_delta(expected), sigma)


def surplus_of(surveys: Surveys, intensity: Tensor, galaxies: PhotoClass) -> Tensor:
    """`truez.sightlines.conserve.surplus` over its mean, less 1, on the surveys' mesh.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        lambda > 0, relative to the expected counts.
    galaxies : PhotoClass
        Such as `photo_class`.

    Returns
    -------
    Tensor (nx, ny, nz)

    Raises
    ------
    ValueError
        If the intensity is not positive, or has no place for galaxies that are there.
    """
    check_intensity(intensity, surveys.box, finer=False)
    kernel, nz = galaxies.kernel, surveys.box.meshsize[2]
    result = torch.empty_like(intensity)
    for slab in _slabs(surveys.box, kernel):
        here = with_margin(intensity[slab], kernel.true_margin)
        result[slab] = surplus(here, [_part(galaxies, slab)]).narrow(2, kernel.true_margin, nz)
    mean = total(result) / surveys.box.num_cells
    if not math.isfinite(mean):
        raise ValueError(_NO_PLACE)
    return result.div_(mean).sub_(1) if mean > 0 else result


def information_gain(
    surveys: Surveys,
    intensity: Tensor,
    truth: NDArray[np.floating[Any]],
    *,
    resampler: str = "cic",
) -> float:
    """Information on true redshifts gained over the photo-z alone [nats per galaxy].

    Of the galaxies without a known redshift. ``truth`` (n_p, 3) are the true positions of
    ``surveys.photo``; the rest as in `redistribute_surveys`.
    """
    check_intensity(intensity, surveys.box, finer=False)
    kernel = kernel_of(surveys)
    galaxies = photo_class(surveys, kernel, resampler=resampler, truth=truth, squares=False)
    nats = sum(
        float(
            information(with_margin(intensity[slab], kernel.true_margin), [_part(galaxies, slab)])
        )
        for slab in _slabs(surveys.box, kernel)
    )
    return nats / total(galaxies.counts)


def movable(surveys: Surveys, kernel: Kernel) -> NDArray[np.bool_]:
    """Photometric galaxies to move: of unknown redshift, with a photo-z in the kernel's cells."""
    rows = surveys.photo_only()
    if not surveys.box.periodic:
        rows &= longer_box(surveys.box, kernel.photo_margin).inside(surveys.photo, axes=(2,))
    return rows


def within_reach(surveys: Surveys, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some photometric galaxies are as near to the box as their own error may reach."""
    if surveys.box.periodic:
        return np.ones(len(rows), dtype=bool)
    place, box = surveys.photo[rows, 2], surveys.box
    away = np.maximum(box.lower[2] - place, place - box.upper[2])
    return np.asarray(away <= REACH * surveys.sigma_of(rows))


def _columns(
    positions: NDArray[np.floating[Any]], box: Box, resampler: str, *, power: int = 1
) -> Tensor:
    return paint_columns(positions, box, resampler, power=power).values


def with_margin(intensity: Tensor, margin: int) -> Tensor:
    """Sight lines with ``margin`` more cells at both ends, where the intensity is 1, the mean."""
    return torch.nn.functional.pad(intensity, (margin, margin), value=1.0)


def _slabs(box: Box, kernel: Kernel) -> Iterator[slice]:
    """Slices along x of a bounded number of cells."""
    nx, ny, _ = box.meshsize
    step = max(1, SLAB_CELLS // (ny * max(kernel.num_photo, kernel.num_true)))
    for start in range(0, nx, step):
        yield slice(start, start + step)


def _part(galaxies: PhotoClass, slab: slice) -> PhotoClass:
    """The sight lines of a slab."""
    names = ("counts", "expected", "true_counts", "squares")
    values = {name: getattr(galaxies, name) for name in names}
    return replace(galaxies, **{n: v[slab] for n, v in values.items() if v is not None})
