"""Posteriors of photometric galaxies on the cells of their sight lines: see `sharpened`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import sky_nodes
from truez.sightlines.redistribution import (
    check_intensity,
    kernel_of,
    with_margin,
    within_reach,
)
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import expected_with_margin, own_likelihood, unknown_counts

#: Cells of posteriors that are worked on at a time.
CHUNK_CELLS = 2**18

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of some galaxies over the cells of their sight lines.

    They are those ``rows`` (m,), of the rows of ``step``, that have one. ``probability`` (m, cells)
    sums to one over cells that begin at ``start`` (m,) [cells from the lower face]; ``log_even``
    (m,) is ln(K nbar)_i - ln(K mu)_i. ``log_evidence`` (m,) is the logarithm of the probability of
    the photo-z on the sight line, ``K mu / sum of mu``, in the unit of the rows of K.
    """

    step: range
    rows: NDArray[np.int64]
    probability: Tensor
    intensity: Tensor
    start: Tensor
    log_even: Tensor
    log_evidence: Tensor

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


def walk(
    surveys: Surveys,
    intensity: Tensor,
    progress: Progress,
    chosen: NDArray[np.int64] | None = None,
) -> Iterator[Posteriors]:
    """Walk the photometric galaxies, or the chosen rows of them, in chunks."""
    box, kernel = surveys.box, kernel_of(surveys)
    check_intensity(intensity, box)
    num = kernel.num_true
    step = max(1, CHUNK_CELLS // num)
    expected = expected_with_margin(unknown_counts(surveys), kernel.true_margin)
    rows = np.arange(len(surveys.photo)) if chosen is None else chosen
    for first in range(0, len(rows), step):
        progress("redshifts", first, len(rows))
        own = rows[first : first + step]
        positions = surveys.photo[own].astype(np.float64)
        photo = _photo_cell(positions[:, 2], box, kernel)
        even = interpolated(expected, positions, box)
        if surveys.even:
            good = photo >= 0
            seen = kernel.matrix[torch.from_numpy(photo[good])]
        else:
            seen = own_likelihood(surveys, own, kernel.true_margin)
            good = within_reach(surveys, own) & ((seen * even).sum(1) > 0).numpy()
            seen = seen[torch.from_numpy(good)]
        if len(even) > 1:
            even = even[torch.from_numpy(good)]
        start = None
        if box.periodic:
            start = torch.from_numpy(photo[good] - num // 2)
        yield _posteriors(
            range(first, first + len(positions)),
            first + np.flatnonzero(good),
            seen,
            even,
            with_margin(interpolated(intensity, positions[good], box), kernel.true_margin),
            start,
            kernel.true_margin,
        )
    progress("redshifts", len(rows), len(rows))


def walk_rows(
    box: Box,
    positions: NDArray[np.floating],
    likelihood: Callable[[NDArray[np.int64]], Tensor | NDArray[np.floating]],
    *,
    intensity: Tensor,
    expected: Tensor,
    beyond: CellsBeyond | None = None,
    progress: Progress = silent,
) -> Iterator[Posteriors]:
    """Walk galaxies each of which has its own p(photo-z | true cell), in chunks.

    Parameters
    ----------
    box : Box
        Closed along the line of sight, whose cells, with those ``beyond``, hold all true places.
    positions : (n, 2) or (n, 3) array
        Places across the line of sight, first two axes of the box [Mpc/h].
    likelihood : function
        Takes rows (m,) and returns p(photo-z | true cell) of these galaxies in any unit, (m, nz),
        such as those of `truez.surveys.redshift_error.RedshiftError.rows`; (m, nz + n) with n cells
        ``beyond``.
    intensity : Tensor (nx, ny, nz)
        lambda > 0, relative to the expected counts.
    expected : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per cell, such as N(z) times the cell's volume.
    beyond : CellsBeyond, optional
        Where galaxies may be beyond the box. Their posteriors begin before its lower face then.
    progress : Progress

    Yields
    ------
    Posteriors
        Of the galaxies that can be anywhere: those with a photo-z for which no galaxies are
        expected on their sight line have none.
    """
    check_intensity(intensity, box)
    nz, num = box.meshsize[2], len(positions)
    step = max(1, CHUNK_CELLS // (nz if beyond is None else nz + beyond.num))
    before = 0 if beyond is None else beyond.before
    expected = expected.expand(box.meshsize)
    for first in range(0, num, step):
        progress("redshifts", first, num)
        rows = np.arange(first, min(first + step, num))
        places = positions[rows].astype(np.float64)
        seen = torch.as_tensor(likelihood(rows), dtype=torch.float32)
        even = interpolated(expected, places, box)
        here = interpolated(intensity, places, box)
        if beyond is not None:
            even, here = beyond.with_expected(even, places, box), beyond.around(here, 1.0)
        good = (seen * even).sum(1) > 0
        if len(even) > 1:
            even = even[good]
        kept = rows[good.numpy()]
        yield _posteriors(
            range(first, first + len(rows)), kept, seen[good], even, here[good], margin=before
        )
    progress("redshifts", num, num)


def _posteriors(
    step: range,
    rows: NDArray[np.int64],
    seen: Tensor,
    even: Tensor,
    here: Tensor,
    start: Tensor | None = None,
    margin: int = 0,
) -> Posteriors:
    """Posteriors from p(photo-z | cell), expected counts and intensity on sight lines.

    ``start`` is the first cell of each sight line of a ring; the sight lines of a closed box begin
    ``margin`` cells before its lower face.
    """
    alone = seen * even
    joint = alone * here
    whole = (even * here).sum(1)
    if start is None:
        start = torch.full((len(joint),), -float(margin))
    else:
        num = joint.shape[1]
        turned = torch.remainder(start[:, None] + torch.arange(num), num)
        joint, here = joint.gather(1, turned), here.gather(1, turned)
        start = start.float()
    sums = joint.sum(1)
    return Posteriors(
        step=step,
        rows=rows,
        probability=joint / sums[:, None],
        intensity=here,
        start=start,
        log_even=alone.sum(1).log() - sums.log(),
        log_evidence=sums.log() - whole.log(),
    )


def _photo_cell(z: Array, box: Box, kernel: Kernel) -> NDArray[np.int64]:
    """Row of the kernel that photo-z lie in, -1 for those beyond its margin."""
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
    columns = mesh.reshape(-1, mesh.shape[2])
    x_nodes, y_nodes = (
        list(zip(*sky_nodes(positions[:, axis], box, axis, "cic"), strict=True)) for axis in (0, 1)
    )
    result = torch.zeros(len(positions), mesh.shape[2])
    for x_cell, x_share in x_nodes:
        for y_cell, y_share in y_nodes:
            column = torch.from_numpy(x_cell * box.meshsize[1] + y_cell)
            share = torch.from_numpy((x_share * y_share).astype(np.float32))
            result.addcmul_(columns[column], share[:, None])
    return result
