"""Galaxies of simulated universes, and the model of galaxies among matter particles.

The particles of an N-body simulation are too heavy to form the haloes of most galaxies. So galaxies
are particles, ranked by a mass that follows from the matter around them:

    ln m = slope * ln(1 + min(density, ceiling) / threshold) + halo_scatter * e_h + e

The density is that of the other particles, in units of the mean, on cells of 1.5 Mpc/h; e is a
unit normal of the particle, e_h one of the cell, which represents a halo. At low density mass does
not depend on the density, at high density it is a power of it, and since rare objects are in the
tail of e, bias rises with mass.

The object of the highest mass M in a cell is its central. The others are satellites: one of nearly
the central's mass is lowered by up to ``gap`` in ln m, and those in the densest places lose mass,

    ln m' = ln M - sqrt((ln M - ln m)^2 + gap^2) - stripping * ln(max(density / ceiling, 1))

so that two of the most massive galaxies rarely share a halo, and the cores of clusters are not as
crowded as their matter. Galaxies of a number density are the most massive objects, and those of a
lower density are among those of a higher one.

The parameters are calibrated on the scores of the raw fields in Table I of arXiv:2504.06309, with
particles 2 Mpc/h apart and a force mesh twice as fine, see ``docs/concepts/simulator.md`` and
``benchmarks/galaxies.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field as Setting

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.painting import paint, readout
from truez.simulate.modes import unit_normals
from truez.support.progress import Progress, silent
from truez.support.settings import Settings
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

if TYPE_CHECKING:
    from truez.simulate.nbody import Particles

# Particles processed at a time.
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Galaxies:
    """Galaxies of a simulated box.

    Parameters
    ----------
    positions : (n, 3) float32
        Comoving positions in real space [Mpc/h].
    velocities : (n, 3) float32
        Peculiar velocities [km/s].
    mass : (n,) float32
        Mass by which galaxies are ranked, in arbitrary units.
    box : Box
        The box of the simulation.
    redshift : float
        Of the snapshot.
    metadata : dict
        Their origin, as plain values.
    central : (n,) bool, optional
        Which galaxies are the centre of their halo, if the simulation identifies haloes.
    """

    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    mass: NDArray[np.float32]
    box: Box
    redshift: float
    metadata: dict[str, Any] = field(default_factory=dict)
    central: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        density = len(self) / self.box.volume
        words = f"Galaxies: {len(self)} at z = {self.redshift:g}, {density:.3g} (h/Mpc)^3"
        return f"{words}\n  {self.box}"

    @property
    def cosmology(self) -> Cosmology:
        """The cosmology that they were simulated in, from their metadata.

        Raises
        ------
        ValueError
            If the metadata do not hold it.
        """
        given = self.metadata.get("cosmology")
        if not isinstance(given, dict):
            raise ValueError(
                "the metadata of the galaxies hold no cosmology: put Cosmology(...).model_dump() "
                'there as "cosmology"'
            )
        return _cosmology(**given)

    def observe(
        self,
        *,
        spec_density: float,
        sigma_z: float,
        photo_density: float | None = None,
        cellsize: float = 2.0,
        seed: int = 0,
        **others: Any,
    ) -> Mock:
        """Observe the galaxies with a spectroscopic and a photometric survey.

        Parameters
        ----------
        spec_density, photo_density : float
            Number densities of the samples [(h/Mpc)^3]: the most massive galaxies, the
            spectroscopic ones among the photometric. All galaxies are photometric by default.
        sigma_z : float
            Photo-z error sigma(z) / (1 + z).
        cellsize : float
            Of the mesh [Mpc/h].
        seed : int
            Of the photo-z scatter.
        **others
            Further settings of `truez.MockConfig`, such as ``outlier_fraction``.

        Returns
        -------
        Mock

        Raises
        ------
        ValueError
            If a setting is unknown or out of range, or there are too few galaxies.

        Examples
        --------
        >>> from truez import Box, lognormal_galaxies
        >>> galaxies = lognormal_galaxies(
        ...     Box(128, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
        ... )
        >>> mock = galaxies.observe(spec_density=1e-3, sigma_z=0.005, cellsize=4, seed=2)
        >>> len(mock.surveys.spec)
        2097
        """
        box = Box(self.box.boxsize, None, self.box.boxcenter, self.box.periodic, cellsize=cellsize)
        config = MockConfig(
            redshift=self.redshift,
            cosmology=self.cosmology,
            sigma_z=sigma_z,
            rank_by="mass",
            spec=Selection(density=spec_density),
            photo=Selection(density=photo_density),
            seed=seed,
            **others,
        )
        return make_mock(self, box, config)

    def most_massive(self, density: float) -> NDArray[np.intp]:
        """Indices of the most massive galaxies, ``density`` [(h/Mpc)^3] of them, heaviest first.

        Raises
        ------
        ValueError
            If there are fewer galaxies.
        """
        number = round(density * self.box.volume)
        if not 1 <= number <= len(self):
            raise ValueError(
                f"density {density:g} (h/Mpc)^3 asks for {number} galaxies of this box, "
                f"which has {len(self)}: choose one up to {len(self) / self.box.volume:.4g}"
            )
        return np.argsort(-self.mass, kind="stable")[:number]


@lru_cache(maxsize=16)
def _cosmology(**parameters: float) -> Cosmology:
    # Cached, and used once here: objects that astropy keeps for a cosmology refer to large
    # arrays of the callers.
    cosmology = Cosmology(**parameters)
    cosmology.hubble(0.0)
    return cosmology


class GalaxyModel(Settings):
    """Dependence of the mass of an object on the matter around it; see the equations above.

    Parameters
    ----------
    scale : float
        Side of the cells of the density, which represent haloes [Mpc/h].
    slope : float
        Slope of ln mass with ln density at high density.
    threshold : float
        Density, in units of the mean, below which mass hardly depends on it.
    ceiling : float
        Density, in units of the mean, above which mass does not rise any more.
    halo_scatter : float
        Scatter of ln mass that the objects of a cell share, in units of each one's own.
    gap : float
        Decrease of ln mass of a satellite that is as massive as its central.
    stripping : float
        Slope of the decrease of the satellites' ln mass with ln density above the ceiling.
    """

    scale: float = Setting(default=1.5, gt=0)
    slope: float = Setting(default=0.52, ge=0)
    threshold: float = Setting(default=1.6, gt=0)
    ceiling: float = Setting(default=18.0, gt=0)
    halo_scatter: float = Setting(default=0.5, ge=0)
    gap: float = Setting(default=0.9, ge=0)
    stripping: float = Setting(default=0.7, ge=0)


def galaxies_from_particles(
    particles: Particles,
    *,
    density: float = 1.85e-2,
    seed: int,
    model: GalaxyModel | None = None,
    progress: Progress = silent,
) -> Galaxies:
    """Galaxies of a number density, among the particles of a simulation.

    Parameters
    ----------
    particles : Particles
        Of an N-body simulation.
    density : float
        Of the galaxies, which are the most massive objects [(h/Mpc)^3].
    seed : int
        Of the scatter of mass.
    model : GalaxyModel, optional
        The calibrated one by default.
    progress : Progress

    Returns
    -------
    Galaxies
        In the order of the particles; ``mass`` is in arbitrary units.

    Raises
    ------
    ValueError
        If there are fewer particles than galaxies.
    """
    chosen = GalaxyModel() if model is None else model
    number = round(density * particles.box.volume) if math.isfinite(density) else 0
    if not 1 <= number <= len(particles):
        raise ValueError(
            f"density must be positive and at most that of the {len(particles)} particles, "
            f"{len(particles) / particles.box.volume:.4g} (h/Mpc)^3, not {density!r}: take more "
            "particles or fewer galaxies"
        )
    mesh = Box.from_cellsize(particles.box.boxsize, chosen.scale, particles.box.boxcenter)
    progress("galaxies", 0, 3, "local density")
    local = _density_of_others(particles.positions, mesh)
    progress("galaxies", 1, 3, "masses")
    log_mass = _log_mass(particles.positions, local, mesh, chosen, seed)
    progress("galaxies", 2, 3, "satellites")
    rows, log_mass, central = _most_massive(
        particles.positions, local, log_mass, mesh, chosen, number
    )
    progress("galaxies", 3, 3)
    metadata = {
        **particles.metadata,
        "galaxies": {"density": density, "seed": seed, **chosen.model_dump()},
    }
    return Galaxies(
        particles.positions[rows],
        particles.velocities[rows],
        np.exp(log_mass),
        particles.box,
        particles.redshift,
        metadata,
        central,
    )


def _density_of_others(positions: NDArray[np.float32], mesh: Box) -> NDArray[np.float32]:
    """Density of the other particles at each one, in units of the mean (CIC), shape (n,).

    The cloud of the particle itself is subtracted, so that low densities are not overestimated, at
    any number of particles per cell.
    """
    counts = paint(positions, mesh)
    local = readout(counts, positions)
    for part in _chunks(len(positions)):
        own = np.ones(part.stop - part.start, dtype=np.float32)
        for axis, (low, cell) in enumerate(zip(mesh.lower, mesh.cellsize, strict=True)):
            place = (positions[part, axis] - np.float32(low)) / np.float32(cell) - np.float32(0.5)
            share = place - np.floor(place)
            own *= share**2 + (1 - share) ** 2
        local[part] -= own
    local *= mesh.num_cells / len(positions)
    # For an isolated particle the subtraction leaves the rounding of its position in the cell.
    return np.maximum(local, 0, out=local)


def _log_mass(
    positions: NDArray[np.float32],
    local: NDArray[np.float32],
    mesh: Box,
    model: GalaxyModel,
    seed: int,
) -> NDArray[np.float32]:
    """Mass of the objects, whether central or not, shape (n,)."""
    rng = np.random.default_rng([seed, 1])
    log_mass = np.empty(len(positions), dtype=np.float32)
    for part in _chunks(len(positions)):
        values = np.log1p(np.minimum(local[part], model.ceiling) / model.threshold)
        values *= model.slope
        values += rng.standard_normal(len(values), dtype=np.float32)
        if model.halo_scatter:
            cells = torch.from_numpy(_cells(positions[part], mesh))
            values += model.halo_scatter * unit_normals(cells, seed).numpy()
        log_mass[part] = values
    return log_mass


def _most_massive(
    positions: NDArray[np.float32],
    local: NDArray[np.float32],
    log_mass: NDArray[np.float32],
    mesh: Box,
    model: GalaxyModel,
    number: int,
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.bool_]]:
    """Rows of the most massive objects in rising order, their ln mass, and which are central."""
    size = len(log_mass)
    # Satellites only lose mass. So the objects that are heaviest before contain those that are
    # heaviest afterwards, as soon as enough of them stay above the lightest one considered.
    considered = min(size, 3 * number // 2)
    while True:
        order = np.argpartition(log_mass, size - considered)
        rows = np.sort(order[size - considered :])
        final, central = _with_satellites(positions[rows], local[rows], log_mass[rows], mesh, model)
        chosen = np.argpartition(final, considered - number)[considered - number :]
        if considered == size or final[chosen].min() >= log_mass[order[size - considered]]:
            chosen.sort()
            return rows[chosen], final[chosen], central[chosen]
        considered = min(size, 2 * considered)


def _with_satellites(
    positions: NDArray[np.float32],
    local: NDArray[np.float32],
    log_mass: NDArray[np.float32],
    mesh: Box,
    model: GalaxyModel,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mass with that of satellites lowered, and which objects are central, each of shape (n,)."""
    cells = _cells(positions, mesh)
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    heaviest = np.empty_like(log_mass)
    heaviest[order] = np.repeat(
        np.maximum.reduceat(log_mass[order], first), np.diff(np.r_[first, len(order)])
    )
    central = log_mass == heaviest
    lowered = heaviest - np.hypot(heaviest - log_mass, np.float32(model.gap))
    lowered -= model.stripping * np.log(np.maximum(local / model.ceiling, 1))
    return np.where(central, log_mass, lowered), central


def _cells(positions: NDArray[np.float32], mesh: Box) -> NDArray[np.int64]:
    """Flat index of the cell of each position, shape (n,)."""
    flat = np.zeros(len(positions), dtype=np.int64)
    for axis, (n, low, cell) in enumerate(
        zip(mesh.meshsize, mesh.lower, mesh.cellsize, strict=True)
    ):
        index = np.floor((positions[:, axis] - np.float32(low)) / np.float32(cell))
        # Rounding may put what lies just below the upper face into the cell behind it.
        flat = flat * n + index.astype(np.int64) % n
    return flat


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, _CHUNK):
        yield slice(start, min(start + _CHUNK, size))
