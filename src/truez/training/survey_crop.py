"""Crops of whole sight lines from a `truez.training.survey_view.SurveyView`, and their score.

A crop lies anywhere across the sky, across the faces of a periodic box too. Where the symmetry that
is applied to it reverses the line of sight, the kernels, the conditions and the cells of the
galaxies are reversed with it.

The score is that of `truez.sightlines.conserve.information` on cells half as wide across the sky,
with every galaxy at its own place: the network's ln lambda, interpolated to them across the sky,
plus ``ratio``, is ln of the intensity there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from truez.networks.symmetries import apply_symmetry
from truez.sightlines.conserve import PhotoClass, information
from truez.sightlines.kernel import Kernel
from truez.surveys.uneven import expected_with_margin
from truez.training.samples import draw_symmetry
from truez.training.survey_view import FINER, SurveyView

#: Input fields of the network: spectroscopic overdensity, ln of the prior, share with a spectrum.
SPEC_FIELD, PRIOR_FIELD, SHARE_FIELD = 0, 4, 7
#: Where fewer of the galaxies have no spectrum, there are none to move.
_LEAST_UNKNOWN = 1e-3
#: Lowest ln of an intensity over the highest of its sight line.
_LOWEST = -50.0


@dataclass(frozen=True, eq=False, kw_only=True)
class SurveyCrop:
    """Whole sight lines of a view, in single precision.

    Parameters
    ----------
    fields : Tensor (9, nx, ny, nz)
    profiles : Tensor (10, 1, 1, nz)
        Conditions, the same across the sky, but for those of ``density``.
    density : Tensor (2, nx, ny, nz)
    ratio : Tensor (2 nx, 2 ny, nz)
    unknown : Tensor (nx, ny, nz)
    shares : Tensor (classes, nz)
    kernels : sequence of Kernels
        One of each class.
    galaxies : int64 Tensor (n, 5)
        As in the view, their fine cells counted from the corner of the crop on.
    """

    fields: Tensor
    profiles: Tensor
    density: Tensor
    ratio: Tensor
    unknown: Tensor
    shares: Tensor
    kernels: Sequence[Kernel]
    galaxies: Tensor

    @property
    def periodic(self) -> bool:
        """Whether the line of sight is periodic."""
        return self.kernels[0].periodic

    def to(self, device: torch.device | str) -> Self:
        """The same crop on ``device``."""
        names = ("fields", "profiles", "density", "ratio", "unknown", "shares", "galaxies")
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in names}
        return replace(self, **moved, kernels=[kernel.to(device) for kernel in self.kernels])

    def turned(self, number: int) -> Self:
        """The crop under a symmetry that keeps the line of sight, see `truez.networks.symmetries`.

        The fields, the galaxies, and what changes along the line of sight, are turned alike.
        """
        names = ("fields", "profiles", "density", "ratio", "unknown")
        moved: dict[str, Any] = {
            name: apply_symmetry(getattr(self, name), number).contiguous() for name in names
        }
        x, y, photo, true, kind = self.galaxies.unbind(1)
        wide, high = moved["ratio"].shape[:2]
        if number & 1:
            x, y = y, x
        if number & 2:
            x = wide - 1 - x
        if number & 4:
            y = high - 1 - y
        shares, kernels = self.shares, self.kernels
        if number & 8:
            photo = kernels[0].num_photo - 1 - photo
            true = kernels[0].num_true - 1 - true
            shares = shares.flip(1)
            kernels = [replace(one, matrix=one.matrix.flip(0, 1)) for one in kernels]
        galaxies = torch.stack([x, y, photo, true, kind], dim=1)
        return replace(self, **moved, shares=shares, kernels=kernels, galaxies=galaxies)

    def score(self, log_intensity: Tensor, margin: int = 0) -> tuple[Tensor, int]:
        """Information on the true redshifts over that of the photo-z [nats], and the galaxies.

        Parameters
        ----------
        log_intensity : Tensor (nx, ny, nz)
            ln lambda of the network.
        margin : int
            Cells at the faces across the sky whose galaxies do not count.

        Returns
        -------
        nats : float64 Tensor ()
            Of all galaxies that count.
        number : int
            How many do.
        """
        return self.score_finer(finer(_ringed(log_intensity, margin)), margin)

    def score_prior(self, floor: float, margin: int = 0) -> tuple[Tensor, int]:
        """As `score`, for the fine prior alone, see `prior`."""
        values = finer(_ringed(self.prior(floor), margin)).log()
        return self.score_finer(values, margin)

    def prior(self, floor: float) -> Tensor:
        """What the spectroscopic survey says of the galaxies without spectra, (nx, ny, nz).

        The network's prior, which holds those with spectra, is ``(1 - f)`` times it and ``f (1 +
        s)``.
        """
        known = self.fields[SHARE_FIELD]
        own = known * (1 + self.fields[SPEC_FIELD])
        prior = (self.fields[PRIOR_FIELD].exp() - own) / (1 - known).clamp(min=_LEAST_UNKNOWN)
        return prior.clamp(min=floor)

    def score_finer(self, log_intensity: Tensor, margin: int = 0) -> tuple[Tensor, int]:
        """As `score`, for ln lambda interpolated to the fine cells within the margin."""
        nx, ny, nz = self.unknown.shape
        inner = tuple(slice(FINER * margin, FINER * (n - margin)) for n in (nx, ny))
        fine = log_intensity + self.ratio[inner]
        wide, high = fine.shape[:2]
        intensity = _relative(fine.view(wide * high, nz), self.kernels[0].true_margin)
        x, y = (self.galaxies[:, axis] - FINER * margin for axis in (0, 1))
        rows = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        line, kind = (x * high + y)[rows], self.galaxies[rows, 4]
        photo, true = self.galaxies[rows, 2], self.galaxies[rows, 3]
        nats = torch.zeros((), dtype=torch.float64, device=intensity.device)
        for number, kernel in enumerate(self.kernels):
            own = kind == number
            if not bool(own.any()):
                continue
            # Sight lines without galaxies of the class say nothing.
            lines, place = _used(line[own], len(intensity))
            cell = [(at // FINER + margin) for at in (lines // high, lines % high)]
            expected = (self.unknown[cell[0], cell[1]] * self.shares[number])[None]
            galaxies = PhotoClass(
                _counts(place, photo[own], (len(lines), kernel.num_photo)),
                kernel,
                expected=expected_with_margin(expected, kernel.true_margin)[0],
                true_counts=_counts(place, true[own], (len(lines), kernel.num_true)),
            )
            nats = nats + information(intensity[lines], [galaxies])
        return nats, int(rows.sum())


def cut(view: SurveyView, corner: Sequence[int], shape: Sequence[int]) -> SurveyCrop:
    """Whole sight lines of a view from a corner on; a periodic box continues beyond its faces.

    Parameters
    ----------
    view : SurveyView
    corner, shape : two ints
        First cell and number of cells across the sky. Only these are read from a file.
    """
    nx, ny, _ = view.mesh
    (x0, y0), (wide, high) = corner[:2], shape[:2]
    if not view.periodic:
        assert 0 <= x0 <= nx - wide, "a crop of a closed box lies inside of it"
        assert 0 <= y0 <= ny - high, "a crop of a closed box lies inside of it"
    fine = [FINER * n for n in (x0, y0, wide, high)]
    return SurveyCrop(
        fields=_part(view.fields, (x0, y0), (wide, high)),
        profiles=torch.from_numpy(np.array(view.profiles))[:, None, None, :],
        density=_part(view.density, (x0, y0), (wide, high)),
        ratio=_part(view.ratio, fine[:2], fine[2:]),
        unknown=_part(view.unknown, (x0, y0), (wide, high)),
        shares=torch.from_numpy(np.array(view.shares)),
        kernels=[
            Kernel(
                torch.from_numpy(np.array(matrix)),
                view.photo_margin,
                view.true_margin,
                view.periodic,
            )
            for matrix in view.kernels
        ],
        galaxies=torch.from_numpy(_galaxies(view, fine[:2], fine[2:])),
    )


def random_crop(
    view: SurveyView, shape: Sequence[int], rng: np.random.Generator, *, symmetries: bool
) -> SurveyCrop:
    """A crop of a view at a random position, with ``symmetries`` under a random one of them.

    Of a view that is narrower than ``shape`` the crop takes the whole width.
    """
    mesh = view.mesh[:2]
    sizes = [min(n, size) for n, size in zip(mesh, shape, strict=False)]
    # A crop as wide as the view is shifted, too, where that is periodic.
    rooms = [n if view.periodic else n - size + 1 for n, size in zip(mesh, sizes, strict=True)]
    crop = cut(view, [int(rng.integers(room)) for room in rooms], sizes)
    return crop.turned(draw_symmetry(crop.fields.shape, rng)) if symmetries else crop


def finer(values: Tensor) -> Tensor:
    """Values on cells half as wide across the sky, by bilinear interpolation.

    Their centres lie a quarter of a cell from those of the mesh, so that the weights are 3/4 and
    1/4 on each axis.

    Parameters
    ----------
    values : Tensor (nx + 2, ny + 2, nz)
        With one cell more on all sides across the sky.

    Returns
    -------
    Tensor (2 nx, 2 ny, nz)
    """
    for axis in (0, 1):
        size = values.shape[axis] - 2
        own = 0.75 * values.narrow(axis, 1, size)
        parts = [own + 0.25 * values.narrow(axis, start, size) for start in (0, 2)]
        values = torch.stack(parts, dim=axis + 1).flatten(axis, axis + 1)
    return values


def _ringed(values: Tensor, margin: int) -> Tensor:
    """Values without the margin at the faces across the sky, but for one cell."""
    if margin > 0:
        nx, ny, _ = values.shape
        return values[margin - 1 : nx - margin + 1, margin - 1 : ny - margin + 1]
    return functional.pad(values[None], (0, 0, 1, 1, 1, 1), mode="replicate")[0]


def _relative(log_intensity: Tensor, margin: int) -> Tensor:
    """Sight lines with a margin where the intensity is 1, over the highest intensity of each.

    Such a factor changes no probability. What is lower by e^50 is raised to that, so that nothing
    underflows, whatever a network in training gives.
    """
    longer = functional.pad(log_intensity, (margin, margin))
    return (longer - longer.detach().amax(1, keepdim=True)).clamp(min=_LOWEST).exp()


def _used(lines: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The sight lines of ``number`` that are named, each once, and the place of each name there."""
    used = torch.zeros(number, dtype=torch.bool, device=lines.device)
    used[lines] = True
    return used.nonzero()[:, 0], (used.cumsum(0) - 1)[lines]


def _counts(lines: Tensor, cells: Tensor, shape: tuple[int, int]) -> Tensor:
    """Galaxies per cell of sight lines, float32."""
    number = torch.bincount(lines * shape[1] + cells, minlength=shape[0] * shape[1])
    return number.view(shape).float()


def _part(values: NDArray[Any], corner: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Whole sight lines of an array (..., nx, ny, nz), which goes on beyond its faces, float32."""
    x, y = (
        np.arange(start, start + size) % n
        for start, size, n in zip(corner, shape, values.shape[-3:-1], strict=True)
    )
    part = values[..., x[:, None], y[None, :], :]
    return torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))


def _galaxies(view: SurveyView, corner: Sequence[int], shape: Sequence[int]) -> NDArray[np.int64]:
    """The galaxies of a part of the sky, in fine cells, counted from its corner on."""
    assert view.starts is not None
    wide, high = (FINER * n for n in view.mesh[:2])
    first, last = corner[0] % wide, corner[0] % wide + shape[0]
    ranges = [(first, min(last, wide)), (0, max(last - wide, 0))]
    rows = [view.galaxies[view.starts[a] : view.starts[b]] for a, b in ranges]
    found = np.concatenate(rows).astype(np.int64)
    found[:, 0] = (found[:, 0] - corner[0]) % wide
    found[:, 1] = (found[:, 1] - corner[1]) % high
    return found[found[:, 1] < shape[1]]
