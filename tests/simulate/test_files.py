"""Catalogues of simulated universes: written, read, found in a folder by their seeds."""

import numpy as np
import pytest

from truez.simulate import (
    Universe,
    catalog_from_galaxies,
    files_by_seed,
    read_box,
    read_galaxies,
)

#: A universe that takes a tenth of a second.
SMALL = Universe(boxsize=96, num_particles=16, density=2e-3, num_steps=2)


def test_the_catalogue_has_units_and_settings(tmp_path):
    galaxies = SMALL.with_seed(5).make()
    catalog = catalog_from_galaxies(galaxies)
    assert list(catalog.columns) == ["x", "y", "z", "vx", "vy", "vz", "mass", "central"]
    np.testing.assert_array_equal(catalog.positions(), galaxies.positions)
    np.testing.assert_array_equal(catalog.velocities(), galaxies.velocities)
    np.testing.assert_array_equal(catalog["mass"], galaxies.mass)
    np.testing.assert_array_equal(catalog["central"], galaxies.central)
    assert "mass" not in catalog.units
    assert catalog.metadata["seed"] == 5
    assert catalog.metadata["galaxies"]["density"] == 2e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two universes to train on, one to validate with, as `truez simulate` writes them."""
    place = tmp_path_factory.mktemp("boxes")
    for seed, suffix in ((2000, "parquet"), (2001, "h5"), (1000, "fits")):
        made = SMALL.with_seed(seed).make()
        catalog_from_galaxies(made).write(place / f"box-{seed}.{suffix}")
    (place / "notes.md").write_text("Not a catalogue.")
    return place


def test_files_hold_what_was_made(folder):
    files = files_by_seed(folder)
    assert {seed: path.name for seed, path in files.items()} == {
        1000: "box-1000.fits",
        2000: "box-2000.parquet",
        2001: "box-2001.h5",
    }
    for seed, path in files.items():
        found, made = read_galaxies(path), SMALL.with_seed(seed).make()
        for name in ("positions", "velocities", "mass"):
            assert np.array_equal(getattr(found, name), getattr(made, name))
            assert getattr(found, name).dtype == np.float32
        assert read_box(path) == made.box
        assert (found.box, found.redshift, found.metadata) == (made.box, 0.59, made.metadata)


def test_broken_folders(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"^there is no folder .*none$"):
        files_by_seed(tmp_path / "none")
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n")
    with pytest.raises(
        ValueError, match=r"a\.csv has no seed in its metadata: it is not a universe that truez"
    ):
        files_by_seed(tmp_path)
    (tmp_path / "a.csv").unlink()
    for name in ("one", "two"):
        (tmp_path / f"{name}.parquet").write_bytes((folder / "box-2000.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"one.parquet and .*both hold the universe of seed 2000$"):
        files_by_seed(tmp_path)
