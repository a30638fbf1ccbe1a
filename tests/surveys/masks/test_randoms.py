"""Footprints of randoms in files as DESI publishes them: chunks, several files, weights, N(z)."""

import tracemalloc

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.surveys.masks import randoms
from truez.surveys.masks.randoms import read_randoms
from truez.surveys.pixel_map import PixelMap

NUM = 60_000


def catalog(num=NUM, seed=1, **changes):
    """Randoms in 10 x 6 deg^2, half as many in the north."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(130, 140, num), rng.uniform(-3, 3, num)
    keep = (dec < 0) | (rng.uniform(size=num) < 0.5)
    columns = {"RA": ra, "DEC": dec, "Z": rng.uniform(0.4, 0.8, num)}
    return {name: values[keep] for name, values in (columns | changes).items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files of randoms."""
    place = tmp_path_factory.mktemp("randoms")
    for number in range(3):
        Catalog(catalog(seed=number)).write(place / f"LRG_NGC_{number}_clustering.ran.fits")
    return place


def whole(*numbers):
    parts = [catalog(seed=number) for number in numbers]
    return [np.concatenate([part[name] for part in parts]) for name in ("RA", "DEC")]


def test_chunks_give_the_map_of_all_rows_at_once(folder):
    path = folder / "LRG_NGC_0_clustering.ran.fits"
    found, expected = read_randoms(path, chunk_rows=7001), PixelMap.from_randoms(*whole(0))
    assert (found.nside, found.metadata["noise"]) == (expected.nside, expected.metadata["noise"])
    assert (found.pixels == expected.pixels).all()
    assert (found.values == expected.values).all()


@pytest.mark.parametrize("way", ["pattern", "list"])
def test_several_files_are_one_catalogue(folder, way):
    names = [str(folder / f"LRG_NGC_{number}_clustering.ran.fits") for number in range(3)]
    path = ",".join(names) if way == "list" else str(folder / "LRG_NGC_*_clustering.ran.fits")
    found, expected = read_randoms(path), PixelMap.from_randoms(*whole(0, 1, 2))
    assert found.metadata["num_randoms"] == len(whole(0, 1, 2)[0])
    assert found.nside == expected.nside
    assert (found.values == expected.values).all()


def test_weights_count(tmp_path):
    columns = catalog()
    weight = np.where(columns["RA"] < 135, 1.0, 0.25)
    Catalog(columns | {"WEIGHT": weight}).write(tmp_path / "r.fits")
    found = read_randoms(tmp_path / "r.fits", chunk_rows=10_000)
    expected = PixelMap.from_randoms(columns["RA"], columns["DEC"], weight)
    assert found.values == pytest.approx(expected.values, rel=1e-6)
    west, east = found.completeness([132.0, 138.0], [-1.5, -1.5])
    assert east / west == pytest.approx(0.25, abs=0.1)


def test_their_redshifts_are_kept_as_a_number_density(folder):
    numbers = read_randoms(folder / "LRG_NGC_0_clustering.ran.fits").numbers
    assert numbers.quantile([0.25, 0.75]) == pytest.approx([0.5, 0.7], abs=0.01)


def test_right_ascension_and_declination_are_enough(tmp_path):
    columns = catalog()
    Catalog({"ra": columns["RA"], "Dec": columns["DEC"]}).write(tmp_path / "r.parquet")
    assert read_randoms(tmp_path / "r.parquet").numbers is None


def test_a_chunk_of_small_right_ascensions_is_not_taken_for_hours(tmp_path):
    rng = np.random.default_rng(1)
    ra, dec = np.sort(rng.uniform(0, 200, 20_000)), rng.uniform(-40, 40, 20_000)
    Catalog({"ra": ra, "dec": dec}).write(tmp_path / "r.parquet")
    assert read_randoms(tmp_path / "r.parquet", chunk_rows=1000).area > 10_000
    Catalog({"ra": ra / 15, "dec": dec}).write(tmp_path / "hours.parquet")
    Catalog({"ra": ra * 23 / 200, "dec": dec}).write(tmp_path / "hours.parquet")
    with pytest.raises(ValueError, match="ra_unit must be given"):
        read_randoms(tmp_path / "hours.parquet", chunk_rows=1000)


def test_memory_is_bounded_by_chunks_and_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(randoms, "_MOST", 4000)
    path = tmp_path / "r.h5"
    Catalog(catalog(num=600_000)).write(path)
    read_randoms(path, chunk_rows=5000)
    tracemalloc.start()
    found = read_randoms(path, chunk_rows=5000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * 600_000 * 2 * 8
    assert found.area == pytest.approx(PixelMap.from_randoms(*(
        catalog(num=600_000)[name] for name in ("RA", "DEC")
    )).area, rel=0.06)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"WEIGHT": -np.ones(NUM)}, "'WEIGHT' of .* must hold finite weights >= 0"),
        ({"WEIGHT": np.zeros(NUM)}, "must not all be 0"),
        ({"DEC": np.full(NUM, 91.0)}, "must hold degrees from -90 to 90"),
    ],
)
def test_what_marks_no_footprint_is_refused(tmp_path, changes, sentence):
    Catalog(catalog(**changes)).write(tmp_path / "r.parquet")
    with pytest.raises(ValueError, match=sentence):
        read_randoms(tmp_path / "r.parquet")


def test_too_few_and_mixed_weights_are_refused(tmp_path, folder):
    few = {name: values[:100] for name, values in catalog().items()}
    Catalog(few).write(tmp_path / "few.fits")
    with pytest.raises(ValueError, match="at least 200 randoms, not 100"):
        read_randoms(tmp_path / "few.fits")
    Catalog(few | {"WEIGHT": np.ones(100)}).write(tmp_path / "weights.fits")
    with pytest.raises(ValueError, match="has a column WEIGHT, unlike the randoms before it"):
        read_randoms(f"{folder / 'LRG_NGC_0_clustering.ran.fits'},{tmp_path / 'weights.fits'}")
