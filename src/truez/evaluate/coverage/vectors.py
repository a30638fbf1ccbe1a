"""What is looked at in a sample: vectors of one field, grouped into simulations.

A kind of statistic is an array (simulations, d) of a field. One box has many simulations of each
kind, and how far they depend on each other is this:

``powers``, ``powers_2d``
    ln of the power in bands of k, and of (k_perp, k_par). A simulation is a part of the modes, a
    sixteenth of those in each band, taken at random: no mode is in two of them, so that they
    depend on each other only as non-Gaussian modes do.
``cells``, ``cells_4``, ``cells_8``
    The overdensity of cells, as it is and smoothed by a Gaussian of 4 and 8 Mpc/h. A simulation is
    a constellation of eight cells within 12 Mpc/h of a random centre, alike for all centres: its
    members do depend on each other, and whether the samples know how is what coverage shows.
    Centres are at random; 1000 in 256 x 256 x 512 Mpc/h have a nearest neighbour at 18 Mpc/h in
    the mean, and share the errors of modes longer than that.
``spheres``
    The overdensity of counts in spheres of 8 Mpc/h, four to a constellation within 20 Mpc/h.

What is left of dependence is in the samples as well: bands are made of exchanges of truth and
samples of one box (`truez.statistics.coverage`), which hold whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft, wavevectors
from truez.statistics.binning import Floats, squared_edges

Ints = NDArray[np.int64]

#: Gaussian radii of the smoothed cells, radius of the spheres [Mpc/h].
RADII, SPHERE = (0.0, 4.0, 8.0), 8.0
#: Edges of the bands of k, and of k_perp and k_par [h/Mpc].
BANDS = (0.03, 0.066, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
BANDS_2D = (0.0, 0.1, 0.2, 0.35, 0.55, 0.8)
#: Parts of the modes, and the least number of modes of a band in each.
PARTS, LEAST_MODES = 16, 2
#: Constellations of a box, and for cells and spheres how many members each has, and how far from
#: its centre the outermost may be [Mpc/h].
CENTERS = 1000
CELLS, SPHERES = (8, 12.0), (4, 20.0)

#: The kinds of statistics, with the words that figures have for them.
KINDS = {
    "powers": "band powers",
    "powers_2d": "powers in (k⊥, k∥)",
    "cells": "cells",
    "cells_4": "cells, R = 4 Mpc/h",
    "cells_8": "cells, R = 8 Mpc/h",
    "spheres": "8 Mpc/h spheres",
}


@dataclass(frozen=True)
class Vectors:
    """The statistics of fields on one box.

    Parameters
    ----------
    box : Box
    seed : int
        Of places and parts, which depend on it and the box alone.
    num_centers : int
        Constellations.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field
    >>> from truez.evaluate.coverage.vectors import Vectors
    >>> box = Box(128, cellsize=4)
    >>> field = Field(np.random.default_rng(1).normal(size=box.meshsize), box)
    >>> {name: values.shape for name, values in Vectors(box, seed=1).of(field).items()}
    {'powers': (16, 5), 'powers_2d': (16, 24), 'cells': (1000, 8), 'cells_4': (1000, 8),
     'cells_8': (1000, 8), 'spheres': (1000, 4)}
    """

    box: Box
    seed: int
    num_centers: int = CENTERS

    def of(
        self, field: Field, smoothed: Mapping[float, NDArray[np.float32]] | None = None
    ) -> dict[str, Floats]:
        """The vectors of an overdensity field by kind, (simulations, d) each.

        ``smoothed`` are its values smoothed with each of `RADII` but 0, where they are known.

        Raises
        ------
        ValueError
            If the field is on another box.
        """
        if field.box != self.box:
            raise ValueError(f"field must be on the box {self.box}, not {field.box}")
        modes = rfft(field.values)
        found = {name: part.of(modes) for name, part in self._parts.items()}
        for radius in RADII:
            name = f"cells_{radius:g}" if radius else "cells"
            known = field.numpy() if not radius else (smoothed or {}).get(radius)
            found[name] = self._cells.of(field.smooth(radius).numpy() if known is None else known)
        found["spheres"] = self._spheres.of(sphere_means(modes, self.box, SPHERE).cpu().numpy())
        return found

    @cached_property
    def _parts(self) -> dict[str, _Parts]:
        return {
            "powers": _Parts.in_shells(self.box, self.seed),
            "powers_2d": _Parts.in_rings(self.box, self.seed),
        }

    @cached_property
    def _cells(self) -> _Places:
        return _Places.at(self.box, *CELLS, self.num_centers, [self.seed, 1], margin=0.0)

    @cached_property
    def _spheres(self) -> _Places:
        return _Places.at(self.box, *SPHERES, self.num_centers, [self.seed, 2], margin=SPHERE)


def sphere_means(modes: Tensor, box: Box, radius: float) -> Tensor:
    """Mean of a field in the sphere around each cell, from its modes; as if the box wrapped."""
    kx, ky, kz = wavevectors(box, device=modes.device, dtype=torch.float64)
    product = modes.clone()
    for plane, first in zip(product, kx, strict=True):
        x = radius * torch.sqrt(first**2 + ky[0] ** 2 + kz[0] ** 2)
        window = 3 * (torch.sin(x) - x * torch.cos(x)) / x.clamp(min=1e-3) ** 3
        plane *= torch.where(x > 1e-2, window, 1 - x**2 / 10)
    return irfft(product, box.meshsize)


@dataclass(frozen=True, eq=False)
class _Places:
    """Cells of constellations: indices (centers, members, 3)."""

    index: Ints

    @classmethod
    def at(
        cls, box: Box, members: int, reach: float, number: int, seed: list[int], *, margin: float
    ) -> _Places:
        """Constellations of members within ``reach``, all ``margin`` from the faces of a box.

        A periodic box has no faces.
        """
        rng = np.random.default_rng(seed)
        cells, mesh = np.array(box.cellsize), np.array(box.meshsize)
        # Uniform in the sphere; the first is its centre.
        apart = rng.normal(size=(members, 3))
        apart *= (reach * rng.random(members) ** (1 / 3) / np.linalg.norm(apart, axis=1))[:, None]
        apart[0] = 0.0
        steps = np.rint(apart / cells).astype(np.int64)
        if box.periodic:
            centers = rng.integers(0, mesh, size=(number, 3))
            return cls((centers[:, None] + steps) % mesh)
        room = np.ceil(margin / cells).astype(np.int64)
        low, high = room - steps.min(axis=0), mesh - room - steps.max(axis=0)
        if (low >= high).any():
            raise ValueError(
                f"box must be larger than the constellations of {reach:g} Mpc/h with a margin of "
                f"{margin:g} Mpc/h, not {box}"
            )
        return cls(rng.integers(low, high, size=(number, 3))[:, None] + steps)

    def of(self, values: NDArray[np.floating]) -> Floats:
        """Values at the places, (centers, members)."""
        x, y, z = np.moveaxis(self.index, -1, 0)
        return np.asarray(values[x, y, z], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Modes of the half mesh (flat), the part and band of each, and the modes in all."""

    modes: Ints
    place: Ints
    count: Ints
    volume: float

    @classmethod
    def in_shells(cls, box: Box, seed: int) -> _Parts:
        """In bands of k."""
        kx, ky, kz = wavevectors(box, dtype=torch.float64)
        square = (kx**2 + ky**2 + kz**2).numpy()
        return cls._of(box, _bins(square, BANDS), len(BANDS) - 1, [seed, 3])

    @classmethod
    def in_rings(cls, box: Box, seed: int) -> _Parts:
        """In bands of k_perp and k_par."""
        kx, ky, kz = wavevectors(box, dtype=torch.float64)
        across, along = _bins((kx**2 + ky**2).numpy(), BANDS_2D), _bins((kz**2).numpy(), BANDS_2D)
        number = len(BANDS_2D) - 1
        both = np.where((across < 0) | (along < 0), -1, across * number + along)
        return cls._of(box, both, number**2, [seed, 4])

    @classmethod
    def _of(cls, box: Box, band: Ints, number: int, seed: list[int]) -> _Parts:
        shape = (*box.meshsize[:2], box.meshsize[2] // 2 + 1)
        band = np.broadcast_to(band, shape).copy()
        _leave_out(band, box)
        modes = np.flatnonzero(band >= 0)
        # The parts of a band are alike in number to within one.
        order = np.lexsort((np.random.default_rng(seed).random(len(modes)), band.ravel()[modes]))
        part = np.empty(len(modes), dtype=np.int64)
        part[order] = np.arange(len(modes)) % PARTS
        place = part * number + band.ravel()[modes]
        count = np.bincount(place, minlength=PARTS * number).reshape(PARTS, number)
        kept = np.asarray((count >= LEAST_MODES).all(axis=0))
        if not kept.any():
            raise ValueError(f"box must have modes in bands of {BANDS[0]:g} h/Mpc and more: {box}")
        new = np.where(kept, np.cumsum(kept) - 1, -1)
        chosen = kept[place % number]
        modes, place = modes[chosen], place[chosen]
        place = (place // number) * int(kept.sum()) + new[place % number]
        return cls(modes, place, count[:, kept], box.volume)

    def of(self, modes: Tensor) -> Floats:
        """ln P of each part and band."""
        square = (modes.abs() ** 2).cpu().numpy().ravel()[self.modes]
        total = np.bincount(self.place, square, minlength=self.count.size)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.volume * total.reshape(self.count.shape) / self.count))


def _bins(square: Floats, edges: tuple[float, ...]) -> Ints:
    """Bin of each squared wavenumber, -1 outside."""
    limits = squared_edges(np.array(edges))[:-1]
    found = np.searchsorted(limits, square, side="right") - 1
    return np.where(found < len(edges) - 1, found, -1)


def _leave_out(band: Ints, box: Box) -> None:
    """Leave out the zero mode, modes whose conjugate is there as well, and Nyquist planes."""
    nx, ny, nz = box.meshsize
    x, y = np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij")
    own, conjugate = x * ny + y, (-x % nx) * ny + (-y % ny)
    band[:, :, 0][own >= conjugate] = -1
    for axis, number in enumerate((nx, ny, nz)):
        if number % 2 == 0:
            np.moveaxis(band, axis, 0)[number // 2] = -1
