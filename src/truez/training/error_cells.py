"""Cells of stored views with their true counts, which an error model is fitted to.

Of a part of the sky of a view, galaxies are moved as in a reconstruction: an intensity on fine
cells, galaxies at their own places, pairs of the strength that their photo-z want. The intensity is
that of a network or, without one, that of the redistribution. Cells at the faces of the part are
left out, and of the others a random subset is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.networks.column_net import ColumnNet
from truez.networks.conditions import DENSITY
from truez.networks.error_head import SMALLEST
from truez.networks.tensors import read_tensors, save_tensors
from truez.sightlines.fine import SHARE, interpolated_across
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import OwnPlaces, StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posterior_field import posterior_field
from truez.simulate import Galaxies
from truez.training.survey_again import SkyPart, SurveyAgain
from truez.training.survey_crop import SurveyCrop, cut, finer
from truez.training.survey_making import FLOOR, RESAMPLER
from truez.training.survey_training import crop_estimate
from truez.training.survey_view import FINER, SurveyView

KEY = "truez-error-cells"
#: ln lambda of the cells of a crop.
Estimate = Callable[[SurveyCrop], Tensor]
_NAMES = ("truth", "mean", "given", "conditions")


@dataclass(frozen=True, eq=False)
class ErrorCells:
    """Cells of a view, each with its true and its expected counts.

    Parameters
    ----------
    truth, mean, given : Tensor (n,)
        Painted counts of the galaxies that were moved: those at their true places, the posterior
        mean, and its variance given the intensity [counts^2].
    conditions : Tensor (10, n)
        See `truez.networks.conditions`.
    about : dict
        Plain values (JSON): ``kind`` of survey, ``strength`` of the pairs.
    """

    truth: Tensor
    mean: Tensor
    given: Tensor
    conditions: Tensor
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def strength(self) -> float:
        """Strength of the pairs of the view, which a term of pairs is fitted with."""
        return float(self.about["strength"])

    def write(self, path: str | Path) -> None:
        """Write them to a file, whole or not at all."""
        save_tensors(
            path, {name: getattr(self, name) for name in _NAMES}, json.dumps(self.about), KEY
        )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read those that `write` wrote; raises ValueError if the file holds none."""
        tensors, text = read_tensors(path, KEY)
        return cls(**{name: tensors[name] for name in _NAMES}, about=json.loads(text))


@dataclass(frozen=True)
class CellChoice:
    """Which cells of a view are taken.

    Parameters
    ----------
    core : two ints
        Cells across the sky of the part that they are drawn from; a narrower view has fewer.
    margin : int
        Cells around it whose galaxies are moved too.
    halo : int
        Cells around those that a network reads.
    number : int
        Cells that are drawn.
    seed : int
    """

    core: tuple[int, int] = (32, 48)
    margin: int = 8
    halo: int = 8
    number: int = 50_000
    seed: int = 0

    def parts(self, view: SurveyView, rng: np.random.Generator) -> tuple[SkyPart, SkyPart, int]:
        """The part whose galaxies are moved, the one that a network reads, and the margin."""
        margin = min(self.margin, min(view.mesh[:2]) // 4)
        corner, shape, read_corner, read_shape = [], [], [], []
        for n, core in zip(view.mesh, self.core, strict=False):
            size = min(core + 2 * margin, n)
            # Where there is room, the halo lies inside a closed box, too.
            room = n - size
            halo = min(self.halo, room // 2)
            first = halo + int(rng.integers(room - 2 * halo + 1))
            corner.append(first)
            shape.append(size)
            read_corner.append(first - halo)
            read_shape.append(size + 2 * halo)
        return (
            SkyPart((corner[0], corner[1]), (shape[0], shape[1])),
            SkyPart((read_corner[0], read_corner[1]), (read_shape[0], read_shape[1])),
            margin,
        )


def error_cells(
    view: SurveyView, galaxies: Galaxies, choice: CellChoice, estimate: Estimate | None = None
) -> ErrorCells:
    """Cells of a view with their errors; none where hardly any galaxies are expected.

    Parameters
    ----------
    view : SurveyView
    galaxies : Galaxies
        The universe of the view.
    choice : CellChoice
    estimate : function, optional
        ln lambda (nx, ny, nz) of a crop, such as `network_estimate`; that of the redistribution by
        default.

    Raises
    ------
    ValueError
        If the galaxies are not those of the view.
    """
    again = SurveyAgain.of(view, galaxies)
    rng = np.random.default_rng([choice.seed, again.geometry.description.seed, 7])
    part, read, margin = choice.parts(view, rng)
    values = fine_intensity(view, part, read, estimate)
    rows = again.rows_in(part)
    places = again.own_places(part, rows)
    intensity, strength = _with_pairs(values, places)
    truth, mean, given = _moved(again, places, rows, intensity)
    inner = tuple(slice(margin, n - margin) for n in part.shape)
    truth, mean, given = (one[inner] for one in (truth, mean, given))
    found = np.flatnonzero((given >= SMALLEST).numpy().ravel())
    chosen = np.sort(rng.permutation(found)[: choice.number])
    conditions = _conditions(view, part)[:, inner[0], inner[1]].reshape(len(view.profiles), -1)
    truth, mean, given = (one.reshape(-1)[chosen].clone() for one in (truth, mean, given))
    about = {"kind": str(view.about.get("kind", "")), "strength": strength}
    return ErrorCells(truth, mean, given, conditions[:, chosen].contiguous(), about)


def network_estimate(
    network: ColumnNet, precision: Callable[[], AbstractContextManager[Any]]
) -> Estimate:
    """The estimate of a network for `error_cells`, in the context of a precision."""

    def estimate(crop: SurveyCrop) -> Tensor:
        with torch.no_grad(), precision():
            return crop_estimate(network, crop)

    return estimate


def prior_estimate(crop: SurveyCrop) -> Tensor:
    """ln of the intensity of the redistribution on the cells of a crop."""
    return crop.prior(FLOOR).log()


def fine_intensity(
    view: SurveyView, part: SkyPart, read: SkyPart, estimate: Estimate | None = None
) -> Tensor:
    """lambda on the fine cells of a part of the sky, as a reconstruction has it.

    Parameters
    ----------
    view : SurveyView
    part, read : SkyPart
        The part, and one around it that is estimated.
    estimate : function, optional
        As in `error_cells`.

    Returns
    -------
    Tensor (2 nx, 2 ny, nz)
    """
    crop = cut(view, read.corner, read.shape)
    offset = [a - b for a, b in zip(part.corner, read.corner, strict=True)]
    inner = tuple(
        slice(FINER * first, FINER * (first + n))
        for first, n in zip(offset, part.shape, strict=True)
    )
    change = unsmoothed(crop.ratio)[inner]
    if estimate is None:
        coarse = crop.prior(FLOOR)
        fine = interpolated_across(coarse, FINER, periodic=False)[inner]
        return (fine * (change / SHARE).exp_()).clamp_(min=FLOOR)
    values = functional.pad(estimate(crop)[None], (0, 0, 1, 1, 1, 1), mode="replicate")[0]
    ringed = tuple(slice(first, first + n + 2) for first, n in zip(offset, part.shape, strict=True))
    return (finer(values[ringed]) + change).exp_()


def unsmoothed(ratio: Tensor) -> Tensor:
    """ln of the ratio of the fine prior to the coarse one, to the power of its share.

    That of a view is smoothed with 1/8, 3/4, 1/8 on both axes for galaxies anywhere in a fine cell
    (`truez.training.fine_prior`).

    Parameters
    ----------
    ratio : Tensor (2 nx, 2 ny, nz)
    """
    values = ratio.exp()
    for axis in (0, 1):
        num = values.shape[axis]
        # Mirrored at the ends, as the smoothing is closed there.
        longer = torch.cat([values, values.flip(axis)], dim=axis)
        wave = 2 * torch.pi * torch.arange(num + 1) / (2 * num)
        shape = [-1 if one == axis else 1 for one in range(3)]
        modes = torch.fft.rfft(longer, dim=axis) / (0.75 + 0.25 * wave.cos()).view(shape)
        values = torch.fft.irfft(modes, n=2 * num, dim=axis).narrow(axis, 0, num)
    least = 0.25 * float(ratio.min().exp())
    return values.clamp(min=least).log()


def _with_pairs(values: Tensor, places: OwnPlaces) -> tuple[Intensity, float]:
    """The intensity with pairs of the strength that the photo-z want."""
    fit = StrengthFit(Pairs(), len(places.positions))
    fit.add(places, values)
    if not fit.num_galaxies:
        return Intensity(values), 0.0
    strength = fit.result().value
    return Intensity(values, Pairs(strength=strength)), strength


def _moved(
    again: SurveyAgain, places: OwnPlaces, rows: Any, intensity: Intensity
) -> tuple[Tensor, Tensor, Tensor]:
    """True counts, expected counts and their variance given the intensity, (nx, ny, nz) each."""
    box, found = places.box, []

    def noted(given: Tensor, mean: Tensor) -> Tensor:
        found.extend([mean.clone(), given.clone()])
        return given

    posterior_field(
        places,
        intensity,
        expected=Field(torch.ones(()).expand(box.meshsize), box, "counts"),
        known=np.zeros((0, 3)),
        resampler=RESAMPLER,
        whole_variance=noted,
    )
    truth = again.places(rows)
    if not box.periodic:
        truth = truth[box.inside(truth)]
    painted = paint(truth, box, RESAMPLER).values if len(truth) else torch.zeros(box.meshsize)
    return painted, found[0], found[1]


def _conditions(view: SurveyView, part: SkyPart) -> Tensor:
    """Conditions of the cells of a part of the sky, (10, nx, ny, nz)."""
    profiles = torch.from_numpy(np.array(view.profiles))[:, None, None]
    values = profiles.repeat(1, *part.shape, 1)
    values[DENSITY] = part.of(view.density)
    return values


def gathered(cells: Sequence[ErrorCells]) -> dict[str, list[ErrorCells]]:
    """Cells by the kinds of their surveys, in the order in which those come."""
    result: dict[str, list[ErrorCells]] = {}
    for one in cells:
        result.setdefault(one.about["kind"], []).append(one)
    return result
