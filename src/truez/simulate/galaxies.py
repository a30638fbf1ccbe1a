"""Galaxies: what every maker of a universe gives, and how they live among matter particles.

The particles of an N-body simulation are too heavy to form the haloes of most galaxies, so galaxies
are particles, chosen by a mass of their own that depends on the matter around them:

    ln mass = slope * ln(1 + density / threshold) + e

with the local matter density in units of the mean, and a unit normal e. Galaxies of a sample are
the most massive ones. In thin places mass does not depend on the density, in dense ones it is a
power of it; since rare objects live in the tail of e, the bias rises with mass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from truez.box import Box
from truez.painting import paint, readout
from truez.progress import Progress, silent

if TYPE_CHECKING:
    from truez.simulate.nbody import Particles


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
        A number to rank them by, in arbitrary units.
    box : Box
        Where they live.
    redshift : float
        Of the snapshot.
    metadata : dict
        What made them.
    """

    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    mass: NDArray[np.float32]
    box: Box
    redshift: float
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def most_massive(self, density: float) -> NDArray[np.intp]:
        """Indices of the most massive galaxies, ``density`` [(h/Mpc)^3] of them, heaviest first.

        Raises
        ------
        ValueError
            If there are not so many.
        """
        number = round(density * self.box.volume)
        if not 1 <= number <= len(self):
            raise ValueError(
                f"density {density:g} (h/Mpc)^3 asks for {number} galaxies of this box, "
                f"which has {len(self)}: choose one up to {len(self) / self.box.volume:.4g}"
            )
        return np.argsort(-self.mass, kind="stable")[:number]


class GalaxyModel(BaseModel):
    """How the mass of a galaxy depends on the matter around it.

    Parameters
    ----------
    scale : float
        Cells on which the local density is counted [Mpc/h].
    slope : float
        Of ln mass with ln density in dense places, in units of the scatter of ln mass.
    threshold : float
        Density, in units of the mean, below which mass does not depend on it.
    ceiling : float
        Density, in units of the mean, above which mass does not rise any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: float = Setting(default=1.0, gt=0)
    slope: float = Setting(default=0.4, ge=0)
    threshold: float = Setting(default=1.0, gt=0)
    ceiling: float = Setting(default=30.0, gt=0)


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
        Of the galaxies, which are the most massive ones [(h/Mpc)^3].
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
        If there are not so many particles.
    """
    chosen = GalaxyModel() if model is None else model
    number = round(density * particles.box.volume) if math.isfinite(density) else 0
    if not 1 <= number <= len(particles):
        raise ValueError(
            f"density must be positive and at most that of the {len(particles)} particles, "
            f"{len(particles) / particles.box.volume:.4g} (h/Mpc)^3, not {density!r}: take more "
            "particles or fewer galaxies"
        )
    progress("galaxies", 0, 2, "local density")
    mesh = Box.from_cellsize(particles.box.boxsize, chosen.scale, particles.box.boxcenter)
    counts = paint(particles.positions, mesh)
    counts.values.mul_(mesh.num_cells / len(particles))
    local = readout(counts, particles.positions)
    del counts
    progress("galaxies", 1, 2, "selection")
    np.minimum(local, chosen.ceiling, out=local)
    local /= chosen.threshold
    log_mass = np.log1p(local, out=local)
    log_mass *= chosen.slope
    rng = np.random.default_rng([seed, 1])
    log_mass += rng.standard_normal(len(log_mass), dtype=np.float32)
    rows = np.sort(np.argpartition(log_mass, len(log_mass) - number)[len(log_mass) - number :])
    progress("galaxies", 2, 2)
    metadata = {
        **particles.metadata,
        "galaxies": {"density": density, "seed": seed, **chosen.model_dump()},
    }
    return Galaxies(
        particles.positions[rows],
        particles.velocities[rows],
        np.exp(log_mass[rows]),
        particles.box,
        particles.redshift,
        metadata,
    )
