"""Posteriors of galaxies at their own places on the sky, and what their neighbours add to them.

With the intensity lambda and the expected counts N at a galaxy's place, interpolated across the
sky, and L = p(photo-z | cell), its posterior on the cells of its sight line is

    P_j = N_j lambda_j L_j / sum over j of (N_j lambda_j L_j).

Other photometric galaxies within a few hundred kpc are where it is more often than lambda says
(`truez.sightlines.pairs`): with their posteriors, which its own photo-z has no part in,

    n = C [ sum over neighbours of w(r) P ],    nu = C [ (pi R^2 / 3) N lambda / A ],
    w = (1 - r^2 / R^2)^2,    C = exp(-z^2 / 2 D^2) along the line of sight,

where A is the area of the cells that N is of, the posterior is that of
``lambda (1 + s n) / (1 + s nu)`` with the strength s.
Galaxies are taken block by block of the sky, with the neighbours around each block; the result does
not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.own_loops import compiled
from truez.sightlines.paint import sky_nodes
from truez.sightlines.pairs import STRENGTHS, Pairs, Strength, strength_of
from truez.sightlines.sky_order import Part, SkyOrder
from truez.support.progress import Progress
from truez.support.threads import Threads

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Rows = NDArray[np.int64]
Result = TypeVar("Result")
#: Cells of posteriors that are worked on at a time.
BLOCK_CELLS = 2**19
#: Scales across the sky that are taken into account, see `OwnPlaces`.
SCALES = (0.4, 2.5)
#: Galaxies that the strength of pairs is found from, where there are as many.
MOST_GALAXIES = 2**16


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnPlaces:
    """Photometric galaxies at their places on the sight lines of a box.

    Parameters
    ----------
    box : Box
    positions : (n, 2) or (n, 3) array
        The first two axes are the places on the sky [Mpc/h].
    likelihood : function
        Takes rows (m,) and returns p(photo-z | true cell) in any unit, (m, cells).
    expected : Tensor (nx, ny, cells)
        Expected galaxies per cell; of one sight line, expanded, where all are alike.
    before : int
        Cells before the lower face of the box, where the intensity is 1, as in those behind it.
    visible : array (cells,), optional
        Probability that a galaxy of a cell is among these; 1 by default.
    scale : array (n,), optional
        Lengths across the sky over those of the box at each galaxy; 1 by default.
    """

    box: Box
    positions: NDArray[np.floating[Any]]
    likelihood: Callable[[Rows], Tensor | NDArray[np.floating[Any]]]
    expected: Tensor
    before: int = 0
    visible: Single | None = None
    scale: Array | None = None

    @property
    def num_cells(self) -> int:
        """Cells of a sight line."""
        return self.expected.shape[2]

    @cached_property
    def _alike(self) -> bool:
        return self.expected.stride()[:2] == (0, 0)

    @cached_property
    def _expected_lines(self) -> Single:
        lines = self.expected[0, :1] if self._alike else self.expected.reshape(-1, self.num_cells)
        return lines.contiguous().numpy()

    @cached_property
    def _orders(self) -> dict[float, SkyOrder]:
        return {}

    def in_order(self, radius: float) -> SkyOrder:
        """The galaxies by cells of the sky as wide as a radius [Mpc/h] at least, which are kept."""
        found = self._orders.get(radius)
        if found is None:
            places = np.asarray(self.positions)[:, :2].astype(np.float64)
            found = self._orders[radius] = SkyOrder(places, self.box, radius)
        return found

    def expected_at(self, places: Array) -> Single:
        """Expected galaxies on the sight lines at places (m, 2), (m, cells)."""
        if self._alike:
            return np.broadcast_to(self._expected_lines, (len(places), self.num_cells))
        return blended(self._expected_lines, places, self.box, self.expected.shape[:2])


@dataclass(frozen=True, eq=False)
class Block:
    """Posteriors of some galaxies.

    Parameters
    ----------
    rows : (m,) ints
        Galaxies that have a posterior.
    probability, intensity : float32 arrays (m, cells)
        Posterior of each cell, and lambda there.
    log_even : (m,) array
        ln of the sum of N L, less that of N lambda L.
    log_evidence : (m,) array
        ln of the sum of N lambda L over that of N lambda.
    """

    rows: Rows
    probability: Single
    intensity: Single
    log_even: Array
    log_evidence: Array


def blended(lines: Single, places: Array, box: Box, shape: tuple[int, ...]) -> Single:
    """Sight lines (num, n) of a mesh of ``shape`` across the box, at places (m, 2): (m, n)."""
    nodes, shares = corners(places, box, shape)
    out = np.empty((len(places), lines.shape[1]), np.float32)
    compiled().blend(lines, nodes, shares, out)
    return out


def corners(places: Array, box: Box, shape: tuple[int, ...]) -> tuple[Rows, Single]:
    """The four sight lines around each place, and their shares, (m, 4) each."""
    mesh = box
    if tuple(shape[:2]) != box.meshsize[:2]:
        cells = (int(shape[0]), int(shape[1]), box.meshsize[2])
        mesh = Box(box.boxsize, cells, box.boxcenter, box.periodic)
    (x, wx), (y, wy) = (sky_nodes(places[:, axis], mesh, axis, "cic") for axis in (0, 1))
    num = mesh.meshsize[1]
    nodes = np.stack([a * num + b for a in x for b in y], axis=1)
    shares = np.stack([a * b for a in wx for b in wy], axis=1).astype(np.float32)
    return nodes, shares


def each_block(
    galaxies: OwnPlaces,
    intensity: Tensor,
    task: Callable[[Block], Result],
    *,
    pairs: Pairs | None = None,
    chosen: Rows | None = None,
    by_sky: bool = False,
    progress: Progress,
) -> Iterator[Result]:
    """What a function makes of the posteriors, block by block, always in the same order.

    Without pairs the blocks are of consecutive rows, with them of parts of the sky. The function is
    called by several threads.

    Parameters
    ----------
    galaxies : OwnPlaces
    intensity : Tensor (k nx, l ny, nz)
        lambda > 0, on cells of the box or smaller ones across the sky.
    task : function of a Block
    pairs : Pairs, optional
    chosen : (m,) ints, optional
        The rows that are wanted; all by default. The others are neighbours.
    by_sky : bool
        Take parts of the sky without pairs too.
    progress : Progress
    """
    lines = intensity.contiguous().reshape(-1, intensity.shape[2]).numpy()
    work = _Work(galaxies, lines, tuple(intensity.shape[:2]), pairs)
    todo = work.parts(chosen, by_sky=by_sky)
    total = len(galaxies.positions) if chosen is None else len(chosen)
    done = 0

    def run(part: Part) -> tuple[int, Result]:
        block, _ = work.block(part)
        return part.num_wanted, task(block)

    with Threads() as threads:
        step = threads.number
        for first in range(0, len(todo), step):
            progress("redshifts", done, total)
            for number, result in threads.run(run, todo[first : first + step]):
                done += number
                yield result
    progress("redshifts", total, total)


class StrengthFit:
    """The strength of pairs from galaxies that are given patch by patch, and not kept.

    Parameters
    ----------
    pairs : Pairs
        Their radius and depth.
    num_galaxies : int
        About how many there will be; of many, those of a part of the sky are used.
    """

    def __init__(self, pairs: Pairs, num_galaxies: int) -> None:
        self.pairs = replace(pairs, strength=0.0)
        self.every = max(1, num_galaxies // MOST_GALAXIES)
        self._found = np.zeros(len(STRENGTHS))
        self._num = 0

    def add(self, galaxies: OwnPlaces, intensity: Tensor, chosen: Rows | None = None) -> None:
        """Add galaxies, those of an intensity as in `each_block`."""
        lines = intensity.contiguous().reshape(-1, intensity.shape[2]).numpy()
        work = _Work(galaxies, lines, tuple(intensity.shape[:2]), self.pairs)
        visible = galaxies.visible

        def run(part: Part) -> tuple[int, Array]:
            _, fit = work.block(part)
            assert fit is not None
            near, around, mean, joint = fit
            seen = mean if visible is None else mean * visible
            out = np.zeros(len(STRENGTHS))
            compiled().likelihoods(STRENGTHS, near, around, joint, seen, out)
            return len(near), out

        parts = work.parts(chosen, by_sky=True)
        with Threads() as threads:
            for num, found in threads.run(run, parts[:: self.every]):
                self._num, self._found = self._num + num, self._found + found

    def sums(self) -> tuple[Array, int]:
        """What has been added so far, which `add_sums` of another fit adds to that one."""
        return self._found, self._num

    def add_sums(self, found: Array, num: int) -> None:
        """Add what another fit of the same pairs was given."""
        self._found, self._num = self._found + found, self._num + num

    @property
    def num_galaxies(self) -> int:
        """How many have been added that have a posterior."""
        return self._num

    def result(self) -> Strength:
        """The strength; raises ValueError without galaxies."""
        return strength_of(self._found, self._num)


@dataclass(frozen=True, eq=False)
class _Work:
    """Galaxies and their intensity, from which blocks are made."""

    galaxies: OwnPlaces
    lines: Single
    shape: tuple[int, ...]
    pairs: Pairs | None

    def parts(self, chosen: Rows | None, *, by_sky: bool) -> list[Part]:
        """The parts that the galaxies are worked on in."""
        size = max(1, BLOCK_CELLS // self.galaxies.num_cells)
        places, box = np.asarray(self.galaxies.positions)[:, :2], self.galaxies.box
        if self.pairs is not None or by_sky:
            radius = max(box.cellsize[:2])
            if self.pairs is not None and len(places):
                radius = float(self._radius(slice(None)).max())
            return self.galaxies.in_order(radius).parts(size, chosen, alone=self.pairs is None)
        rows = np.arange(len(places)) if chosen is None else chosen
        steps = [rows[first : first + size] for first in range(0, len(rows), size)]
        return [Part(r, places[r].astype(np.float64), np.ones(len(r), bool)) for r in steps]

    def _radius(self, rows: Rows | slice) -> Array:
        """Radius of the neighbours of each galaxy in the box [Mpc/h]."""
        assert self.pairs is not None
        scale = self.galaxies.scale
        if scale is None:
            num = len(self.galaxies.positions) if isinstance(rows, slice) else len(rows)
            return np.full(num, self.pairs.radius)
        return np.asarray(self.pairs.radius / np.clip(scale[rows], *SCALES))

    def block(self, part: Part) -> tuple[Block, tuple[Single, ...] | None]:
        """The posteriors of a part, and with pairs (n, nu, N lambda, N lambda L) without them.

        The latter are given for pairs of strength 0 alone, for their fit.
        """
        galaxies, own = self.galaxies, part.wanted
        even = galaxies.expected_at(part.places)
        here = np.ones((len(part.rows), galaxies.num_cells), np.float32)
        before, nz = galaxies.before, self.lines.shape[1]
        inside = blended(self.lines, part.places, galaxies.box, self.shape)
        if nz == galaxies.num_cells:
            here = inside
        else:
            here[:, before : before + nz] = inside
        likelihood = np.asarray(galaxies.likelihood(part.rows), dtype=np.float32)
        mean = even * here
        posterior, sums = np.empty_like(mean), np.empty(len(mean), np.float32)
        compiled().normalized(likelihood, mean, posterior, sums)
        kept = own & (sums > 0)
        alone = np.einsum("ij,ij->i", likelihood[kept], even[kept], dtype=np.float64)
        fit = None
        if self.pairs is None:
            probability, intensity = posterior[kept], here[kept]
            joint = sums[kept].astype(np.float64)
            whole = mean[kept].sum(1, dtype=np.float64)
        else:
            near, around = (some[kept] for some in self._neighbours(part, posterior, mean))
            probability, intensity = posterior[kept], here[kept]
            joint = sums[kept].astype(np.float64)
            if self.pairs.strength == 0:
                fit = near, around, mean[kept], probability * sums[kept][:, None]
            compiled().tilted(self.pairs.strength, near, around, intensity, probability)
            total = probability.sum(1, dtype=np.float64)
            probability /= total[:, None].astype(np.float32)
            joint *= total
            whole = np.einsum("ij,ij->i", intensity, even[kept], dtype=np.float64)
        block = Block(
            part.rows[kept], probability, intensity,
            np.log(alone) - np.log(joint), np.log(joint) - np.log(whole),
        )  # fmt: skip
        return block, fit

    def _neighbours(self, part: Part, posterior: Single, mean: Single) -> tuple[Single, Single]:
        pairs, galaxies, box = self.pairs, self.galaxies, self.galaxies.box
        assert pairs is not None
        assert part.starts is not None
        radius = self._radius(part.rows)
        background = pairs.area(radius) / (box.cellsize[0] * box.cellsize[1])
        seen = mean if galaxies.visible is None else mean * galaxies.visible
        near, around = np.zeros_like(posterior), np.zeros_like(posterior)
        compiled().neighbours(
            (part.wanted, part.places, part.starts), radius, background.astype(np.float32),
            (posterior, seen), pairs.band(box.cellsize[2]), box.periodic, near, around,
        )  # fmt: skip
        return near, around
