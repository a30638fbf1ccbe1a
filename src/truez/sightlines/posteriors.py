"""Posteriors of photometric galaxies on the cells of their sight lines: see `sharpened`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.intensity import Intensity, check_intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.own_place import Block, OwnPlaces, blended, each_block
from truez.sightlines.redistribution import kernel_of, within_reach
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import (
    expected_with_margin,
    mean_matrix,
    own_likelihood,
    unknown_counts,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of some galaxies over the cells of their sight lines.

    They are those of ``rows`` (m,). ``probability`` (m, cells) sums to one over cells that begin at
    ``start`` (m,) [cells from the lower face]; ``log_even`` (m,) is ln(K nbar)_i - ln(K mu)_i.
    ``log_evidence`` (m,) is the logarithm of the probability of the photo-z on the sight line,
    ``K mu / sum of mu``, in the unit of the rows of K.
    """

    rows: NDArray[np.int64]
    probability: Tensor
    intensity: Tensor
    start: Tensor
    log_even: Tensor
    log_evidence: Tensor

    @classmethod
    def of(
        cls, block: Block, rows: NDArray[np.int64], start: Tensor | None = None, before: int = 0
    ) -> Posteriors:
        """Those of a block.

        Parameters
        ----------
        block : Block
        rows : (m,) ints
        start : Tensor (m,), optional
            First cell of each sight line of a ring, which is turned to it.
        before : int
            Cells of a closed sight line before the lower face of the box.
        """
        probability, intensity = (
            torch.from_numpy(values) for values in (block.probability, block.intensity)
        )
        if start is None:
            start = torch.full((len(rows),), -float(before))
        else:
            num = probability.shape[1]
            turned = torch.remainder(start[:, None] + torch.arange(num), num)
            probability, intensity = probability.gather(1, turned), intensity.gather(1, turned)
            start = start.float()
        logs = (torch.from_numpy(x).float() for x in (block.log_even, block.log_evidence))
        return cls(rows, probability, intensity, start, *logs)

    def quantile(self, shares: Tensor) -> Tensor:
        """Where the posterior has reached each share > 0, (m, k) [cells from the lower face]."""
        reached = self.probability.cumsum(1)
        shares = shares * reached[:, -1:]
        cell = torch.searchsorted(reached, shares).clamp(max=reached.shape[1] - 1)
        inside = self.probability.gather(1, cell)
        left = (reached.gather(1, cell) - shares) / inside
        return self.start[:, None] + cell + 1 - left.clamp(0, 1)

    def below(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """(probability below a place (m,) [cells from the lower face], intensity in its cell)."""
        cell = self._cell(place)
        inside = self.probability.gather(1, cell)[:, 0]
        reached = self.probability.cumsum(1).gather(1, cell)[:, 0]
        part = (1 - (place - self.start - cell[:, 0])).clamp(0, 1)
        return (reached - part * inside).clamp(0, 1), self.intensity.gather(1, cell)[:, 0]

    def at(self, place: Tensor) -> Tensor:
        """Probability of the cell that holds a place (m,) [cells from the lower face]."""
        return self.probability.gather(1, self._cell(place))[:, 0]

    def _cell(self, place: Tensor) -> Tensor:
        """Cell of the posterior that holds a place, the nearest one for those beyond; (m, 1)."""
        return (place - self.start).long().clamp(0, self.probability.shape[1] - 1)[:, None]


@dataclass(frozen=True, eq=False)
class CellsBeyond:
    """Cells of sight lines beyond the faces of a closed box, where the intensity is 1.

    Parameters
    ----------
    expected : Tensor (nx, ny, n)
        Expected galaxies in them, those before the lower face first.
    before : int
        How many are before it.
    """

    expected: Tensor
    before: int

    @property
    def num(self) -> int:
        """Number of these cells on a sight line."""
        return self.expected.shape[2]

    def with_expected(self, inside: Tensor, positions: Array, box: Box) -> Tensor:
        """Expected galaxies on sight lines at positions, from those inside the box; (m, nz + n)."""
        beyond = interpolated(self.expected, positions, box)
        inside = inside.expand(len(beyond), -1)
        return torch.cat([beyond[:, : self.before], inside, beyond[:, self.before :]], dim=1)

    def mesh_with(self, inside: Tensor) -> Tensor:
        """Expected galaxies inside (nx, ny, nz) and beyond, (nx, ny, nz + n)."""
        inside = inside.expand(*self.expected.shape[:2], -1)
        first, last = self.expected[..., : self.before], self.expected[..., self.before :]
        return torch.cat([first, inside, last], dim=2)

    def around(self, inside: Tensor, value: float) -> Tensor:
        """Rows (m, nz) with a value in these cells, (m, nz + n)."""
        ends = (self.before, self.num - self.before)
        return torch.nn.functional.pad(inside, ends, value=value)


def random_shares(generator: np.random.Generator, *shape: int) -> Tensor:
    """Evenly random numbers between 0 and 1, to draw from posteriors with.

    None is 0, which a float32 number would be once in 2^24: a share of 0 is reached before the
    first cell where a galaxy can be.
    """
    return torch.from_numpy(generator.random(shape, dtype=np.float32)).clamp_(min=2.0**-25)


def galaxies_of(surveys: Surveys, rows: NDArray[np.int64], *, counted: bool = False) -> OwnPlaces:
    """Some photometric galaxies of surveys on the sight lines of their box.

    Parameters
    ----------
    surveys : Surveys
    rows : (n,) ints
        Of ``surveys.photo``.
    counted : bool
        Whether expected counts are scaled to the number of these galaxies; only ratios of them
        matter to galaxies that know nothing of one another.
    """
    box, kernel = surveys.box, kernel_of(surveys)
    margin = kernel.true_margin
    expected = expected_with_margin(unknown_counts(surveys), margin)
    visible: NDArray[np.float32] | None = None
    if margin:  # a sample that was cut in photo-z
        matrix = kernel.matrix if surveys.even else mean_matrix(surveys, margin)
        visible = matrix.sum(0).clamp(max=1).numpy()
    if counted:
        seen = expected if visible is None else expected * torch.from_numpy(visible)
        factor = (
            surveys.whole.movable_share
            if surveys.whole is not None
            else float(
                np.count_nonzero(within_reach(surveys, rows)) / float(seen.sum(dtype=torch.float64))
            )
        )
        expected = _scaled(expected, factor)

    def likelihood(some: NDArray[np.int64]) -> Tensor:
        own = rows[some]
        if not surveys.even:
            there = torch.from_numpy(within_reach(surveys, own))
            return own_likelihood(surveys, own, margin) * there[:, None]
        photo = torch.from_numpy(_photo_cell(surveys.photo[own, 2], box, kernel))
        return kernel.matrix[photo.clamp(min=0)] * (photo >= 0)[:, None]

    return OwnPlaces(
        box=box, positions=surveys.photo[rows], likelihood=likelihood, expected=expected,
        before=margin, visible=visible,
    )  # fmt: skip


def movable_share(surveys: Surveys) -> float:
    """Galaxies without a known redshift over the expected ones, by which `galaxies_of` scales.

    Parameters
    ----------
    surveys : Surveys
        Even ones.
    """
    kernel, (nx, ny, _) = kernel_of(surveys), surveys.box.meshsize
    expected = expected_with_margin(unknown_counts(surveys), kernel.true_margin)[0, 0]
    if kernel.true_margin:
        expected = expected * kernel.matrix.sum(0).clamp(max=1)
    number = np.count_nonzero(within_reach(surveys, np.flatnonzero(surveys.photo_only())))
    return number / (nx * ny * float(expected.sum(dtype=torch.float64)))


def walk(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    progress: Progress,
    chosen: NDArray[np.int64] | None = None,
    *,
    then: Callable[[Posteriors], Any] = lambda some: some,
) -> Iterator[Any]:
    """Walk the photometric galaxies, or the chosen rows of them, in blocks.

    With pairs, those whose redshift is known are nobody's neighbours, and nothing is added to their
    intensity.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        lambda > 0, relative to the expected counts.
    progress : Progress
    chosen : (m,) ints, optional
        Rows of ``surveys.photo``, each once; all by default.
    then : function of Posteriors
        What is made of each block, by several threads; the posteriors themselves by default.

    Yields
    ------
    Posteriors
        Whose rows are places in ``chosen``, in any order; or what ``then`` makes of them.
    """
    given = intensity if isinstance(intensity, Intensity) else Intensity(intensity)
    check_intensity(given.values, surveys.box)
    asked = np.arange(len(surveys.photo)) if chosen is None else chosen
    place = np.arange(len(asked))
    if given.pairs is None:
        return _walk_pool(surveys, given, asked, place, progress, then=then)
    unknown = surveys.photo_only()
    pool, is_unknown = np.flatnonzero(unknown), unknown[asked]
    wanted = np.searchsorted(pool, asked[is_unknown])
    place_of = np.zeros(len(pool), np.int64)
    place_of[wanted] = place[is_unknown]
    some = None if len(wanted) == len(pool) else wanted
    near = _walk_pool(surveys, given, pool, place_of, progress, some, then=then)
    if is_unknown.all():
        return near
    alone, known = Intensity(given.values), ~is_unknown
    rest = _walk_pool(surveys, alone, asked[known], place[known], progress, then=then)
    return itertools.chain(near, rest)


def _walk_pool(
    surveys: Surveys,
    intensity: Intensity,
    pool: NDArray[np.int64],
    place: NDArray[np.int64],
    progress: Progress,
    wanted: NDArray[np.int64] | None = None,
    *,
    then: Callable[[Posteriors], Any],
) -> Iterator[Any]:
    """Walk galaxies and, with pairs, their neighbours.

    Parameters
    ----------
    pool : (n,) ints
        Rows of ``surveys.photo`` of all of them.
    place : (n,) ints
        What the posteriors have as the row of each.
    wanted : (m,) ints, optional
        Those of the pool that have posteriors; all by default.
    """
    box, kernel = surveys.box, kernel_of(surveys)
    galaxies = galaxies_of(surveys, pool, counted=intensity.pairs is not None)

    def made(block: Block) -> Any:
        start = None
        if box.periodic:
            photo = _photo_cell(surveys.photo[pool[block.rows], 2], box, kernel)
            start = torch.from_numpy(photo - galaxies.num_cells // 2)
        return then(Posteriors.of(block, place[block.rows], start, galaxies.before))

    return each_block(
        galaxies, intensity.values, made, pairs=intensity.pairs, chosen=wanted, progress=progress
    )


def walk_rows(
    galaxies: OwnPlaces,
    intensity: Tensor | Intensity,
    progress: Progress = silent,
    chosen: NDArray[np.int64] | None = None,
    *,
    then: Callable[[Posteriors], Any] = lambda some: some,
) -> Iterator[Any]:
    """Walk galaxies in a closed box each of which has its own p(photo-z | true cell), in blocks.

    Parameters
    ----------
    galaxies : OwnPlaces
    intensity : Tensor (nx, ny, nz), or of smaller cells across the sky, or Intensity
        lambda > 0, relative to the expected counts.
    progress : Progress
    chosen : (m,) ints, optional
        The galaxies that are wanted; the others are neighbours only.
    then : function of Posteriors
        What is made of each block, by several threads; the posteriors themselves by default.

    Yields
    ------
    Posteriors
        Of the galaxies that can be anywhere: those with a photo-z for which no galaxies are
        expected on their sight line have none. They begin before the lower face of the box where
        galaxies may be beyond it. Or what ``then`` makes of them.
    """
    given = intensity if isinstance(intensity, Intensity) else Intensity(intensity)
    check_intensity(given.values, galaxies.box)

    def made(block: Block) -> Any:
        return then(Posteriors.of(block, block.rows, None, galaxies.before))

    return each_block(
        galaxies, given.values, made, pairs=given.pairs, chosen=chosen, progress=progress
    )


def _scaled(mesh: Tensor, factor: float) -> Tensor:
    """A mesh times a factor; of one sight line, expanded, where it is."""
    if mesh.stride()[:2] == (0, 0):
        return (mesh[:1, :1] * factor).expand(mesh.shape)
    return mesh * factor


def _photo_cell(z: NDArray[np.floating[Any]], box: Box, kernel: Kernel) -> NDArray[np.int64]:
    """Row of the kernel that photo-z lie in, -1 for those beyond its margin."""
    z = z.astype(np.float64)
    if box.periodic:
        z = wrap(z, box, axis=2)
    place = (z - box.lower[2]) / box.cellsize[2]
    cell = np.floor(place).astype(np.int64) + kernel.photo_margin
    # Faces are inside; the upper one belongs to the last cell.
    edge = place == box.meshsize[2] + kernel.photo_margin
    cell[edge] -= 1
    return np.where((cell >= 0) & (cell < kernel.num_photo), cell, -1)


def interpolated(mesh: Tensor, positions: Array, box: Box) -> Tensor:
    """Sight lines of a mesh, linearly interpolated to positions: (m, nz) or (1, nz)."""
    if mesh.stride()[:2] == (0, 0):  # one sight line for the whole sky
        return mesh[0, :1]
    lines = mesh.contiguous().reshape(-1, mesh.shape[2]).numpy()
    return torch.from_numpy(blended(lines, positions, box, mesh.shape))
