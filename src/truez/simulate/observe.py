"""Mock surveys of simulated galaxies: a specification is drawn from, and the galaxies observed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.simulate.galaxies import Galaxies
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import wrap
from truez.surveys.selection import Selection
from truez.surveys.spec import SurveySpec

Array = NDArray[np.floating[Any]]
#: Cells of the coarsest mesh of a column network.
_STRIDE = 4


def observe(
    galaxies: Galaxies, surveys: SurveySpec, rng: np.random.Generator, *, cellsize: float = 2.0
) -> Mock:
    """Two surveys of simulated galaxies, and the truth.

    Parameters
    ----------
    galaxies : Galaxies
        Their ``metadata`` hold the cosmology.
    surveys : SurveySpec
        Drawn from once.
    rng : Generator
        Source of the settings and of everything random in the mock.
    cellsize : float
        Side of the cells of the mock's mesh [Mpc/h].

    Raises
    ------
    ValueError
        If there are too few galaxies, or their metadata lack the cosmology.
    """
    box = galaxies.box
    mesh = Box.from_cellsize(box.boxsize, cellsize, box.boxcenter, box.periodic)
    surveys.check(len(galaxies), box.volume)
    config = surveys.draw(rng, redshift=galaxies.redshift, cosmology=galaxies.cosmology)
    rows = np.arange(len(galaxies))
    if config.photo.density is not None:
        by_mass = rng.random() < 0.5 if surveys.thinning == "both" else surveys.thinning == "mass"
        if by_mass:
            rows = np.sort(galaxies.most_massive(config.photo.density))
        else:
            number = round(config.photo.density * box.volume)
            rows = np.sort(rng.choice(len(galaxies), number, replace=False))
    positions: Array = galaxies.positions[rows]
    velocities: Array = galaxies.velocities[rows, 2]
    if surveys.closed and rng.random() < surveys.closed:
        if config.redshift_space:
            # Before the cut, since galaxies may enter the section by their velocity.
            positions, velocities = _displaced(positions, velocities, config)
        mesh, kept, positions = _section(mesh, positions, rng)
        rows, velocities = rows[kept], velocities[kept]
    mock = make_mock(
        positions,
        mesh,
        # The rows are those of the photometric sample already.
        config.model_copy(update={"photo": Selection()}),
        velocities=velocities,
        columns={"mass": galaxies.mass[rows]},
        source={"catalogue": "a simulated universe", **galaxies.metadata},
    )
    return replace(
        mock, photo_ids=rows[mock.photo_ids], spec_ids=rows[mock.spec_ids], config=config
    )


def _displaced(
    positions: Array, velocities: Array, config: MockConfig
) -> tuple[NDArray[np.float64], Array]:
    """Positions in redshift space, and velocities of zero."""
    shift = config.cosmology.distance_per_velocity(config.redshift)
    displaced = positions.astype(np.float64)
    displaced[:, 2] += velocities.astype(np.float64) * shift
    return displaced, np.zeros_like(velocities)


def _section(
    mesh: Box, positions: Array, rng: np.random.Generator
) -> tuple[Box, NDArray[np.int64], NDArray[np.float64]]:
    """A closed section of a periodic box along the line of sight, at least half as long.

    It begins anywhere along the periodic axis.

    Returns
    -------
    Box
        The section, with cells of the same size.
    (m,) array
        Rows of the galaxies inside.
    (m, 3) array
        Their positions in it [Mpc/h].
    """
    (x, y, z), (nx, ny, nz) = mesh.boxsize, mesh.meshsize
    # A whole number of the cells that column networks work on.
    num = _STRIDE * int(rng.integers(max(1, nz // (2 * _STRIDE)), nz // _STRIDE + 1))
    length, start = z * num / nz, z * rng.random()
    along = np.remainder(positions[:, 2].astype(np.float64) - mesh.lower[2] - start, z)
    kept = np.flatnonzero(along < length)
    center = (*mesh.boxcenter[:2], mesh.lower[2] + length / 2)
    box = Box((x, y, length), (nx, ny, num), center, periodic=False)
    inside = positions[kept].astype(np.float64)
    inside[:, 2] = np.minimum(box.lower[2] + along[kept], box.upper[2])
    for axis in (0, 1):
        inside[:, axis] = wrap(inside[:, axis], mesh, axis=axis)
    return box, kept, inside
