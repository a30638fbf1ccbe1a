"""Simulated universes as catalogues: one file each, which says what made it.

The columns are x, y, z [Mpc/h], vx, vy, vz [km/s], mass (in arbitrary units) and, where haloes are
known, central. The metadata hold the seed, box, redshift and cosmology beside the other settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.vectors import numbers
from truez.mesh.box import Box
from truez.simulate.galaxies import Galaxies


def catalog_from_galaxies(galaxies: Galaxies) -> Catalog:
    """Galaxies as a catalogue, ready to be written.

    The column ``central`` (whether a galaxy is the centre of its halo) is there where the maker of
    the galaxies knows haloes.
    """
    columns: dict[str, Any] = {
        **dict(zip("xyz", galaxies.positions.T, strict=True)),
        **dict(zip(("vx", "vy", "vz"), galaxies.velocities.T, strict=True)),
        "mass": galaxies.mass,
    }
    if galaxies.central is not None:
        columns["central"] = galaxies.central
    units = {**dict.fromkeys("xyz", "Mpc/h"), **dict.fromkeys(("vx", "vy", "vz"), "km/s")}
    return Catalog(columns, units=units, metadata=galaxies.metadata)


def read_galaxies(path: str | Path) -> Galaxies:
    """Read the galaxies of a catalogue that ``truez simulate`` wrote.

    Raises
    ------
    ValueError
        If the catalogue is not a simulated universe.
    """
    columns = ("x", "y", "z", "vx", "vy", "vz", "mass")
    catalog = Catalog.read(path, columns)
    facts = _facts(Path(path), catalog.metadata)
    return Galaxies(
        catalog.positions(length_unit="Mpc/h").astype(np.float32, copy=False),
        catalog.velocities().astype(np.float32, copy=False),
        numbers(catalog.columns, "mass"),
        Box(**facts["box"]),
        float(facts["redshift"]),
        facts,
    )


def read_box(path: str | Path) -> Box:
    """Read the box of a simulated universe from the header of its catalogue.

    Raises
    ------
    ValueError
        If the catalogue is not a simulated universe.
    """
    place = Path(path)
    return Box(**_facts(place, formats.header(place).metadata)["box"])


def read_density(path: str | Path) -> float | None:
    """Density of the galaxies [(h/Mpc)^3] that the header of a catalogue states, if it does."""
    found = formats.header(Path(path)).metadata.get("galaxies")
    density = found.get("density") if isinstance(found, Mapping) else None
    return float(density) if isinstance(density, int | float) else None


def files_by_seed(folder: str | Path) -> dict[int, Path]:
    """Paths of the simulated universes in a folder, by their seeds.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a catalogue there is not a simulated universe, or two have the same seed.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"there is no folder {place}")
    found: dict[int, Path] = {}
    for path in sorted(place.iterdir()):
        if path.name.startswith(".") or not path.name.endswith(tuple(formats.formats())):
            continue
        seed = int(_facts(path, formats.header(path).metadata)["seed"])
        if seed in found:
            raise ValueError(f"{found[seed]} and {path} both hold the universe of seed {seed}")
        found[seed] = path
    return found


def _facts(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("seed", "box", "redshift", "cosmology"):
        if name not in metadata:
            raise ValueError(
                f"{path} has no {name} in its metadata: it is not a universe that truez simulate "
                "wrote, and truez.simulate.catalog_from_galaxies makes one of your own galaxies"
            )
    return dict(metadata)
