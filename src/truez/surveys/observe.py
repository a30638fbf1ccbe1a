"""Two surveys of a simulation: galaxies moved by their velocities, selected, and given photo-z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from truez.cosmology import SPEED_OF_LIGHT
from truez.mesh.box import Box
from truez.support.checks import as_numbers, check_type
from truez.surveys.mock import Mock, MockConfig, judged_region, surveys_of
from truez.surveys.photoz import wrap
from truez.surveys.selection import select

Array = NDArray[np.floating[Any]]


class SimulatedGalaxies(Protocol):
    """The attributes of `truez.simulate.Galaxies` that `make_mock` uses."""

    @property
    def positions(self) -> Any:
        """Comoving positions in real space, (n, 3) [Mpc/h]."""

    @property
    def velocities(self) -> Any:
        """Peculiar velocities, (n, 3) [km/s]."""

    @property
    def mass(self) -> Any:
        """Mass by which galaxies are ranked, in any unit, (n,)."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Their origin, as plain values."""


def make_mock(
    positions: Array | SimulatedGalaxies,
    box: Box,
    config: MockConfig,
    *,
    velocities: Array | None = None,
    columns: Mapping[str, NDArray[Any]] | None = None,
    outside: Literal["error", "drop"] = "error",
    source: dict[str, Any] | None = None,
) -> Mock:
    """Observe a simulation with a photometric and a spectroscopic survey.

    Parameters
    ----------
    positions : (n, 3) array, or Galaxies
        Comoving positions in real space [Mpc/h], line of sight last; not modified. The
        velocities of simulated galaxies are used, and their mass as a column.
    box : Box
        The simulation's volume and the mesh to use.
    config : MockConfig
    velocities : (n,) or (n, 3) array, optional
        Peculiar velocities along the line of sight, or all three components with this one last
        [km/s]; needed in redshift space.
    columns : mapping of (n,) arrays, optional
        The columns that the selections name.
    outside : {"error", "drop"}
        What to do with galaxies outside a closed box.
    source : dict, optional
        Origin of the catalogue, stored with the mock.

    Raises
    ------
    ValueError
        If galaxies lie outside a closed box, a column is missing, a density cannot be reached, or
        velocities are missing in redshift space.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> rng = np.random.default_rng(1)
    >>> config = truez.MockConfig(
    ...     redshift=0.6, cosmology="planck18", sigma_z=0.005, rank_by="mass",
    ...     spec={"density": 1e-3}, photo={"density": 1e-2}, redshift_space=False,
    ... )
    >>> mock = truez.make_mock(
    ...     rng.uniform(0, 64, (5000, 3)), truez.Box(64, cellsize=4), config,
    ...     columns={"mass": rng.random(5000)},
    ... )
    >>> len(mock.surveys.photo), len(mock.surveys.spec)
    (2621, 262)
    """
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    check_type(config, MockConfig, "config", "truez.MockConfig(...)")
    judged_region(box, config)  # raises now, not at the evaluation, if ``trim`` does not fit
    if hasattr(positions, "positions"):
        galaxies: Any = positions
        velocities = galaxies.velocities if velocities is None else velocities
        columns = {"mass": galaxies.mass, **(columns or {})}
        source = {**(source or {}), **galaxies.metadata}
        positions = galaxies.positions
    positions = as_numbers(positions, "positions")
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"positions must have shape (n, 3), not {positions.shape}")
    if velocities is not None:
        velocities = as_numbers(velocities, "velocities")
        if velocities.ndim == 2 and velocities.shape[1:] == (3,):
            velocities = velocities[:, 2]
        if velocities.ndim != 1:
            raise ValueError(f"velocities must have shape (n,) or (n, 3), not {velocities.shape}")
    given = {"velocities": velocities, **(columns or {})}
    for name, values in given.items():
        shape = (len(positions),) if values is None else np.asarray(values).shape
        if len(shape) != 1:
            raise ValueError(f"{name} must be one column of numbers, not of shape {shape}")
        if shape[0] != len(positions):
            raise ValueError(
                f"{name} must have one row for each of {len(positions)} positions, not {shape[0]}"
            )
    ids = np.arange(len(positions), dtype=np.int64)
    counts: dict[str, Any] = {"num_in_catalogue": len(positions)}
    if outside == "drop" and not box.periodic:
        broken = np.count_nonzero(~np.isfinite(positions).all(axis=1))
        if broken:
            raise ValueError(f"{broken} of {len(positions)} galaxies have no finite position")
        ids = np.flatnonzero(box.inside(positions))
        if not len(ids):
            box.check_contains(positions, "galaxies")  # raises: all of them lie outside
        counts["num_outside"] = len(positions) - len(ids)
    else:
        box.check_contains(positions, "galaxies")
    true = np.array(positions[ids], dtype=np.float64)
    if config.redshift_space:
        if velocities is None:
            raise ValueError("redshift space needs velocities: give them, or choose real space")
        if not np.isfinite(velocities).all():
            raise ValueError("velocities hold values that are not finite: leave those rows out")
        if len(velocities) and (fastest := float(np.abs(velocities).max())) >= SPEED_OF_LIGHT:
            raise ValueError(
                f"velocities of up to {fastest:.3g} km/s exceed the speed of light: give them in "
                "km/s"
            )
        shift = config.cosmology.distance_per_velocity(config.redshift)
        true[:, 2] += np.asarray(velocities, dtype=np.float64)[ids] * shift
        if not box.periodic:
            kept = box.inside(true, axes=(2,))
            counts["num_left_by_velocity"] = int(np.count_nonzero(~kept))
            ids, true = ids[kept], true[kept]
    if box.periodic:
        for axis in range(3):
            true[:, axis] = wrap(true[:, axis], box, axis=axis)

    def chosen(name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return select(
            getattr(config, name),
            name,
            rows,
            columns or {},
            volume=box.volume,
            rank_by=config.rank_by,
            highest=config.rank == "highest",
        )

    if config.disjoint:
        ids_s = chosen("spec", ids)
        ids_p = chosen("photo", np.setdiff1d(ids, ids_s))
    else:
        ids_p = chosen("photo", ids)
        ids_s = chosen("spec", ids_p)
    # ``ids`` rises, so that places in it are found by bisection.
    chosen_p, chosen_s = np.searchsorted(ids, ids_p), np.searchsorted(ids, ids_s)
    generator = np.random.default_rng(config.seed)
    observed = true[chosen_p].copy()
    observed[:, 2] = config.error.scatter(observed[:, 2], box, generator)
    kinds = {"photo": ids_p, "spec": ids_s}
    surveys = surveys_of(observed, true[chosen_s], kinds, box, config)
    return Mock(
        surveys,
        true[chosen_p],
        kinds["photo"],
        kinds["spec"],
        config,
        {**(source or {}), **counts},
    )
