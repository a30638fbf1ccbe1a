"""Fields of drawn catalogues: the photometric galaxies painted at places drawn for them.

Galaxies whose place lies beyond the faces of a closed box, or that have none, are not in the field.
A catalogue is painted whole, or in slabs across the first axis where many of them are held at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity
from truez.sightlines.joint import joint_places, turns
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import spread_counts

#: Numbers and seeds are below it, so that files hold them.
_HIGHEST = 2**63

#: First and last plane + 1 of the first axis.
Slab = tuple[int, int]


class DrawnPainter:
    """Paints catalogues whose galaxies have drawn places along the line of sight.

    Parameters
    ----------
    surveys : Surveys
    resampler : {"ngp", "cic", "tsc"}
    """

    def __init__(self, surveys: Surveys, resampler: str = "cic") -> None:
        self.surveys, self.resampler = surveys, resampler
        box, sky = surveys.box, surveys.photo[:, :2]
        if box.periodic:
            self._sky = np.stack([wrap(sky[:, axis], box, axis=axis) for axis in (0, 1)], axis=1)
        else:
            # A position in float32 may round beyond a face that it lies on.
            self._sky = sky.astype(np.float64).clip(box.lower[:2], box.upper[:2])
        nx = box.meshsize[0]
        plane = np.floor((self._sky[:, 0] - box.lower[0]) / box.cellsize[0]).astype(np.int64)
        # The upper face of a closed box belongs to its last cell.
        self._plane = plane % nx if box.periodic else plane.clip(0, nx - 1)

    def counts(
        self, places: NDArray[np.floating[Any]], slab: Slab | None = None
    ) -> Iterator[Tensor]:
        """Galaxies per cell of each catalogue, in a slab of planes.

        The slab is painted in a box of its own, with one plane more at both ends where the whole
        box goes on: no resampler reaches further than the next plane.

        Parameters
        ----------
        places : (m, n_p) array
            Of each catalogue [Mpc/h]; nan for galaxies without one.
        slab : (2,) ints, optional
            First and last plane + 1; all by default.

        Yields
        ------
        Tensor (planes, ny, nz)
        """
        box = self.surveys.box
        slab = slab or (0, box.meshsize[0])
        make_part = _periodic_part if box.periodic else _closed_part
        part, near, first = make_part(box, slab, self._plane)
        positions = np.empty((len(near), 3))
        positions[:, :2] = self._sky[near]
        if box.periodic:
            # Into the part, which may begin below the box or end above it.
            lower = part.lower[0]
            positions[:, 0] = lower + (positions[:, 0] - lower) % box.boxsize[0]
            positions[:, 0] = wrap(positions[:, 0], part, axis=0)
        else:
            # The face of a cell in the part may differ by a rounding from that in the box.
            positions[:, 0] = positions[:, 0].clip(part.lower[0], part.upper[0])
        weights = self.surveys.photo_weights
        for place in places:
            inside, z = self._inside(place[near])
            chosen = positions[inside]
            chosen[:, 2] = z
            own = None if weights is None else weights[near][inside]
            painted = paint(chosen, part, self.resampler, weights=own).values
            yield painted[first : first + slab[1] - slab[0]]

    def _inside(self, z: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which places lie in the box, and those."""
        box = self.surveys.box
        if box.periodic:
            inside = np.isfinite(z)
            return inside, z[inside]
        # Faces in the precision of the places, some of which lie on them.
        low, high = (z.dtype.type(face) for face in (box.lower[2], box.upper[2]))
        inside = (z >= low) & (z <= high)
        return inside, z[inside].clip(box.lower[2], box.upper[2])

    @cached_property
    def _expected(self) -> float | Field:
        """Galaxies expected per cell, as painted."""
        surveys = self.surveys
        if surveys.even:
            return len(surveys.photo) / surveys.box.num_cells
        level = spread_counts(surveys.true_expected().values, self.resampler, surveys.box)
        return Field(level, surveys.box, "counts")

    def delta(self, place: NDArray[np.floating[Any]], metadata: dict[str, Any]) -> Field:
        """Overdensity of one catalogue.

        Its shot noise is 1 / n_p; of uneven surveys it is not known.

        Parameters
        ----------
        place : (n_p,) array [Mpc/h]
        metadata : dict
        """
        surveys = self.surveys
        (values,) = self.counts(place[None])
        delta = Field(values, surveys.box, "counts").to_delta(self._expected).values
        noise = surveys.box.volume / len(surveys.photo) if surveys.even else None
        return Field(delta, surveys.box, "delta", metadata, noise, self.resampler)


def drawn_fields(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    fluctuations: Fluctuations | None = None,
    *,
    seed: int,
    numbers: Sequence[int],
    resampler: str = "cic",
    metadata: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> Iterator[Field]:
    """Overdensities of catalogues drawn by `truez.sightlines.joint.joint_places`, one at a time.

    Parameters
    ----------
    surveys, intensity, fluctuations, seed, numbers, progress
        As there.
    resampler : {"ngp", "cic", "tsc"}
    metadata : dict, optional
        Of each field, to which its ``seed`` and ``number`` are added.

    Yields
    ------
    Field
        Memory: one mesh, and the places of `truez.sightlines.joint.SAMPLES_AT_ONCE` catalogues.
    """
    painter = DrawnPainter(surveys, resampler)
    for turn in turns(len(numbers)):
        some = numbers[turn]
        places = joint_places(
            surveys, intensity, fluctuations, seed=seed, numbers=some, progress=progress
        )
        for done, (number, place) in enumerate(zip(some, places, strict=True), turn.start):
            progress("samples", done, len(numbers))
            about = {**(metadata or {}), "seed": seed, "number": number}
            yield painter.delta(place, about)
        del places, place  # of which the next ones take the room
    progress("samples", len(numbers), len(numbers))


def sample_numbers(n: int, seed: int, first: int = 0) -> range:
    """The numbers of ``n`` samples from ``first`` on.

    Raises
    ------
    ValueError
        If ``n`` is below 1, or the seed or the first number no whole number that a file can hold.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("first", first, 0)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not (whole and least <= value < _HIGHEST):
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return range(int(first), int(first) + int(n))


def _periodic_part(
    box: Box, slab: Slab, plane: NDArray[np.int64]
) -> tuple[Box, NDArray[np.int64], int]:
    """A periodic box that holds a slab, the galaxies in it, and its plane where the slab starts.

    The planes at its ends take what wraps round it.
    """
    (nx, ny, nz), (start, stop) = box.meshsize, slab
    planes = stop - start + 2
    if planes > nx:
        return box, np.arange(len(plane)), start
    cell, (_, cy, cz) = box.cellsize[0], box.boxcenter
    center = (box.lower[0] + cell * (start - 1 + planes / 2), cy, cz)
    part = Box((planes * cell, *box.boxsize[1:]), (planes, ny, nz), center)
    return part, np.flatnonzero((plane - (start - 1)) % nx < planes), 1


def _closed_part(
    box: Box, slab: Slab, plane: NDArray[np.int64]
) -> tuple[Box, NDArray[np.int64], int]:
    """A closed box that holds a slab, the galaxies in it, and its plane where the slab starts."""
    (nx, ny, nz), (start, stop) = box.meshsize, slab
    low, high = max(start - 1, 0), min(stop + 1, nx)
    part = box.crop((low, 0, 0), (high, ny, nz))
    return part, np.flatnonzero((plane >= low) & (plane < high)), start - low
