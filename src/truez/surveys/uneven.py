"""Uneven surveys in a box: expected counts as fields, galaxies with their own photo-z errors.

Expected counts are galaxies per cell at true places, and only their ratios matter: they are scaled
to the number of galaxies, as an even survey has that number over the cells. Where it is known which
photometric galaxies have a spectrum, those without are expected as ``n_p - q n_s``, with q the
share of the spectroscopic galaxies that are in the photometric sample.

The photo-z error of each galaxy is a length along the box. The probability of a photo-z in cell i
of a galaxy anywhere in cell j is that of `truez.sightlines.kernel`, as a matrix of a few classes of
errors; p(photo-z | cell j) of a single galaxy is, at its own photo-z x with its own error s,

    [Phi((e_(j+1) - x) / s) - Phi((e_j - x) / s)] / (e_(j+1) - e_j),

the sum over images in a periodic box. Outliers are uniform over the box.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.resamplers import gathered, shares
from truez.support.checks import as_numbers, check_type
from truez.surveys.photoz import PhotozError, wrap
from truez.surveys.redshift_error import cell_probabilities, error_classes

if TYPE_CHECKING:
    from truez.surveys.surveys import Surveys

Array = NDArray[np.float64]
#: Least share of the expected photometric galaxies that have no spectrum.
LEAST_UNKNOWN = 0.02
#: In place of an error of 0 [cells].
_EXACT = 1e-9
#: Images of a periodic box reach so many standard deviations.
_FAR = 8.0
#: Parts with as many expected galaxies each, in which galaxies are compared with them; how many
#: those must be, and by which factor they may differ.
_PARTS, _FEWEST, _FACTOR = 8, 50, 3.0
#: Cells that the parts are found from, at most twice as many.
_SAMPLED = 2**20
#: Relative error of the sum of a float32 field.
_ROUNDING = 1e-6


def normal_form(surveys: Surveys) -> dict[str, Any]:
    """The fields of `Surveys` that make it uneven, checked, scaled, and None where they are even.

    Raises
    ------
    ValueError
        If a field is on another mesh, holds what cannot be expected counts, or contradicts the
        galaxies; if errors or weights are not positive or not one for each galaxy.
    """
    found: dict[str, Any] = {}
    for sample in ("spec", "photo"):
        found[f"{sample}_weights"] = _weights(surveys, sample)
    found |= _errors(surveys)
    for sample in ("spec", "photo"):
        name = f"expected_{sample}"
        field = getattr(surveys, name)
        if field is None:
            continue
        values = _counts(field, name, surveys.box)
        weights = found[f"{sample}_weights"]
        positions = getattr(surveys, sample)
        number = len(positions) if weights is None else float(weights.sum())
        even = float(values.min()) == float(values.max())
        found[name] = None
        if not even:
            factor = number / float(values.sum(dtype=torch.float64))
            # Those that are scaled already stay as they are.
            values = values if abs(factor - 1) < _ROUNDING else (values * factor).float()
            found[name] = Field(values, surveys.box, "counts")
    return found


def check_counts(surveys: Surveys) -> None:
    """Raise an error where expected counts contradict the galaxies."""
    box = surveys.box
    for sample in ("spec", "photo"):
        field, name = getattr(surveys, f"expected_{sample}"), f"expected_{sample}"
        if field is None:
            continue
        rows = np.ones(len(surveys.spec), bool) if sample == "spec" else surveys.photo_inside()
        places = getattr(surveys, sample)[rows]
        cells = cells_of(places, box)
        here = field.values.numpy()
        seen = surveys.photo_expected().values.numpy() if sample == "photo" else here
        # A photo-z says where a galaxy is on the sky.
        empty = here[cells] == 0 if sample == "spec" else here.max(axis=2)[cells[:2]] == 0
        if empty.any():
            where = "in cells" if sample == "spec" else "on sight lines"
            raise ValueError(
                f"{name} is 0 {where} where {np.count_nonzero(empty)} of {len(places)} {sample} "
                f"galaxies are: give it a value there, or leave those galaxies out"
            )
        _check_follows(seen, cells, name, sample)


def _check_follows(expected: NDArray[Any], cells: Any, name: str, sample: str) -> None:
    """Raise an error where many more or fewer galaxies are than are expected."""
    order = np.sort(expected.ravel()[:: max(1, expected.size // _SAMPLED)])
    reached = np.cumsum(order, dtype=np.float64)
    limits = order[np.searchsorted(reached, reached[-1] * np.arange(1, _PARTS) / _PARTS)]
    limits = np.unique(limits)
    total = np.zeros(len(limits) + 1)
    for plane in expected:
        part = np.searchsorted(limits, plane.ravel())
        total += np.bincount(part, plane.ravel(), minlength=len(total))
    found = np.bincount(np.searchsorted(limits, expected[cells]), minlength=len(limits) + 1)
    total *= found.sum() / total.sum()
    wrong = (total >= _FEWEST) & ((found > _FACTOR * total) | (found < total / _FACTOR))
    if wrong.any():
        part = int(np.argmax(np.abs(np.log((found + 1) / (total + 1))) * wrong))
        raise ValueError(
            f"{name} does not follow the {sample} galaxies: where it expects {total[part]:.0f} of "
            f"them there are {found[part]}; correct its values, its axes or the sample"
        )


def cells_of(positions: NDArray[np.floating[Any]], box: Box) -> tuple[NDArray[np.int64], ...]:
    """The cells (x, y, z) that positions (n, 3) lie in."""
    result = []
    for axis in range(3):
        place = positions[:, axis].astype(np.float64)
        if box.periodic:
            place = wrap(place, box, axis=axis)
        cell = np.floor((place - box.lower[axis]) / box.cellsize[axis]).astype(np.int64)
        result.append(cell.clip(0, box.meshsize[axis] - 1))
    return tuple(result)


def classes_of(sigma: Array) -> tuple[NDArray[np.int64], Array]:
    """The class of similar errors that each galaxy is in, and the error of each class [Mpc/h]."""
    unit = 2 * float(sigma.max())  # classes are of numbers below 1
    numbers, found = error_classes(sigma / unit)
    return numbers, found * unit


def cell_matrix(
    error: PhotozError, box: Box, *, photo_margin: int = 0, true_margin: int = 0
) -> Tensor:
    """p(photo-z in cell i | place in cell j), (num_photo, num_true).

    Parameters
    ----------
    error : PhotozError
    box : Box
    photo_margin, true_margin : int
        Cells beyond either face of a closed box.
    """
    cell, num = box.cellsize[2], box.meshsize[2]
    true = cell * np.arange(-true_margin, num + true_margin + 1.0)
    photo = cell * np.arange(-photo_margin, num + photo_margin + 1.0)
    width = np.full(len(true) - 1, max(error.sigma, _EXACT * cell))
    side = num * cell
    matrix = sum(
        cell_probabilities(photo + image * side, true, width) for image in _images(error.sigma, box)
    )
    inside = ((photo[:-1] > -cell / 2) & (photo[:-1] < side - cell / 2))[:, None]
    share = error.outlier_fraction
    return torch.from_numpy(((1 - share) * matrix + share * inside / num).astype(np.float32))


def mean_matrix(surveys: Surveys, margin: int = 0) -> Tensor:
    """`cell_matrix` of all galaxies of the surveys, (nz, nz + 2 margin)."""
    shares = zip(surveys.class_shares, surveys.classes, strict=True)
    return torch.stack([
        float(share) * cell_matrix(error, surveys.box, true_margin=margin)
        for share, error in shares
    ]).sum(0)  # fmt: skip


def own_likelihood(surveys: Surveys, rows: NDArray[np.int64], margin: int = 0) -> Tensor:
    """p(photo-z | true cell) [h/Mpc] of photometric galaxies, (m, nz + 2 margin).

    Parameters
    ----------
    surveys : Surveys
    rows : (m,) int array
    margin : int
        Cells beyond either face of a closed box.
    """
    box = surveys.box
    cell, num, side = box.cellsize[2], box.meshsize[2], box.boxsize[2]
    sigma = np.maximum(surveys.sigma_of(rows), _EXACT * cell)[:, None]
    place = surveys.photo[rows, 2].astype(np.float64)[:, None] - box.lower[2]
    centers = cell * (np.arange(-margin, num + margin) + 0.5)
    away = centers - (place % side if box.periodic else place)
    density = np.zeros_like(away)
    for image in _images(float(sigma.max()), box):
        far = np.abs(away + image * side)
        density += ndtr((cell / 2 - far) / sigma) - ndtr(-(cell / 2 + far) / sigma)
    share = surveys.error.outlier_fraction
    if share:
        inside = (place >= 0) & (place <= side) | box.periodic
        density = (1 - share) * density + share * inside * (cell / side)
    return torch.from_numpy((density / cell).astype(np.float32))


def observed_counts(surveys: Surveys) -> Tensor:
    """Expected photometric galaxies per cell at their photo-z, (nx, ny, nz)."""
    true = surveys.true_expected().values
    margin = 0
    if not surveys.box.periodic and surveys.photo_bounds == "photo-z":
        margin = math.ceil(_FAR * surveys.largest_sigma / surveys.box.cellsize[2])
        true = expected_with_margin(true, margin)
    alike = true.stride()[:2] == (0, 0)
    observed: Tensor = (true[:1, :1] if alike else true) @ mean_matrix(surveys, margin).T
    return observed.expand(surveys.box.meshsize)


def unknown_counts(surveys: Surveys) -> Tensor:
    """Expected photometric galaxies without a known redshift per cell, (nx, ny, nz)."""
    expected = surveys.true_expected().values
    if surveys.even or surveys.matched is None:
        return expected
    known = surveys.spec_expected().values * (surveys.num_both / len(surveys.spec))
    return torch.maximum(expected - known, LEAST_UNKNOWN * expected)


def spread_counts(values: Tensor, resampler: str, box: Box) -> Tensor:
    """Expected counts shared between cells as those of painted galaxies are."""
    even = shares(resampler, (np.arange(1000) + 0.5) / 1000).mean(axis=0)
    reach = len(even) // 2
    if reach == 0 or values.stride() == (0, 0, 0):
        return values
    if box.periodic:
        for axis in range(3):
            parts = [share * torch.roll(values, i - reach, axis) for i, share in enumerate(even)]
            values = torch.stack(parts).sum(0)
        return values
    result = values.double().numpy()
    for axis in range(3):
        result = gathered(result[..., None] * even, axis)
    return torch.from_numpy(result.astype(np.float32))


def expected_with_margin(expected: Tensor, margin: int) -> Tensor:
    """Sight lines of expected counts with ``margin`` more cells at both ends, as at the faces."""
    if margin == 0:
        return expected
    if expected.stride()[:2] == (0, 0):  # one sight line for the whole sky
        longer = expected_with_margin(expected[:1, :1].clone(), margin)
        return longer.expand(*expected.shape[:2], -1)
    ends = (expected[..., :1], expected[..., -1:])
    low, high = (end.expand(*expected.shape[:2], margin) for end in ends)
    return torch.cat([low, expected, high], dim=2)


def longer_box(box: Box, margin: int) -> Box:
    """The box with ``margin`` cells more beyond both ends of the line of sight."""
    if margin == 0:
        return box
    (x, y, z), (nx, ny, nz) = box.boxsize, box.meshsize
    size = (x, y, z + 2 * margin * box.cellsize[2])
    return Box(size, (nx, ny, nz + 2 * margin), box.boxcenter, box.periodic)


def _images(sigma: float, box: Box) -> range:
    """Images of a box along the line of sight that its photo-z may be of."""
    most = 1 + math.ceil(_FAR * sigma / box.boxsize[2]) if box.periodic else 0
    return range(-most, most + 1)


def _weights(surveys: Surveys, sample: str) -> Array | None:
    name = f"{sample}_weights"
    given = getattr(surveys, name)
    if given is None:
        return None
    weights = np.asarray(as_numbers(given, name), np.float64)
    if weights.shape != (len(getattr(surveys, sample)),):
        raise ValueError(
            f"{name} must be one for each of {len(getattr(surveys, sample))} galaxies, not of "
            f"shape {weights.shape}"
        )
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any() or not weights.any():
        raise ValueError(
            f"{name} must be finite and >= 0, and not all 0, but are not for "
            f"{np.count_nonzero(bad) or len(weights)} of {len(weights)} galaxies: leave them out"
        )
    return None if (weights == 1).all() else weights


def _errors(surveys: Surveys) -> dict[str, Any]:
    """Own errors, with their root mean square in the error; only that where all are alike."""
    if surveys.photo_sigma is None:
        return {}
    sigma = np.asarray(as_numbers(surveys.photo_sigma, "photo_sigma"), np.float64)
    if sigma.shape != (len(surveys.photo),):
        raise ValueError(
            f"photo_sigma must be one for each of {len(surveys.photo)} photo galaxies, not of "
            f"shape {sigma.shape}"
        )
    bad = ~(np.isfinite(sigma) & (sigma > 0))
    if bad.any():
        raise ValueError(
            f"photo_sigma must be above 0 Mpc/h, but is not for {np.count_nonzero(bad)} of "
            f"{len(sigma)} galaxies, such as {sigma[bad][0]:g}: leave them out"
        )
    if (sigma == sigma[0]).all():
        return {"photo_sigma": None, "error": replace(surveys.error, sigma=float(sigma[0]))}
    mean = float(np.sqrt(np.mean(sigma**2)))
    return {"photo_sigma": sigma, "error": replace(surveys.error, sigma=mean)}


def _counts(field: Field, name: str, box: Box) -> Tensor:
    """The values of a field of expected counts on a box."""
    check_type(field, Field, name, 'truez.Field(values, box, kind="counts")')
    if field.kind != "counts":
        raise ValueError(
            f"{name} must hold expected counts per cell, a field of kind counts, not of kind "
            f"{field.kind}"
        )
    same = field.box.meshsize == box.meshsize and all(
        np.allclose(getattr(field.box, one), getattr(box, one), rtol=1e-5, atol=1e-3)
        for one in ("boxsize", "boxcenter")
    )
    if not same:
        raise ValueError(
            f"{name} is on {_mesh(field.box)}, and the surveys on {_mesh(box)}: make it on their "
            "mesh, or correct the box of the surveys"
        )
    lowest, highest = (float(x) for x in torch.aminmax(field.values))
    if not (lowest >= 0 and 0 < highest < math.inf):
        worst = lowest if lowest < 0 else highest
        raise ValueError(
            f"{name} must be finite, not negative and not all zero, and there is {worst:g} in it"
        )
    return field.values


def _mesh(box: Box) -> str:
    cells, size, center = (
        " x ".join(f"{x:.6g}" for x in vector)
        for vector in (box.meshsize, box.boxsize, box.boxcenter)
    )
    return f"{cells} cells in {size} Mpc/h about {center}"
