"""A light cone of the simulator as in docs/guides/sky-mocks.md: calibrated and unbiased."""

from __future__ import annotations

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.evaluate.sky import null_test, summary
from truez.evaluate.sky.judge import edge_lengths, judge_redshifts
from truez.mesh.healpix import nested
from truez.mesh.sphere import separation
from truez.sky.mock import SkyMock
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.surveys.footprint import Rectangle
from truez.surveys.footprint_output import write_healpix
from truez.surveys.pixel_map import PixelMap

pytestmark = pytest.mark.slow
CELLS = PatchSettings(cellsize=4.0)
RANGE = (0.08, 0.35)


def truez(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cone")
    ra, dec = Rectangle(350, 10, -10, 10).sample(0.05)
    rng = np.random.default_rng(1)
    inside = np.ones(len(ra), dtype=bool)
    for _ in range(40):
        a, d, radius = rng.uniform(-10, 10), rng.uniform(-10, 10), rng.uniform(0.3, 1.2)
        inside &= separation(ra, dec, a, d) > radius
    pixels = np.unique(nested(ra[inside], dec[inside], 256))
    values = np.where(rng.random(len(pixels)) < 0.2, 0.7, 1.0).astype(np.float32)
    write_healpix(folder / "mask.fits", PixelMap(256, pixels, values))
    z = np.linspace(0.05, 0.4, 100)
    Catalog({"z": z, "n": z**2 * np.exp(-((z / 0.2) ** 3))}).write(folder / "nz.csv")
    truez("simulate", "--boxsize", 384, "--redshift", 0.2, "--cosmology", "planck18", "--density",
          0.012, "--seed", 7, "--out", folder / "box.parquet")  # fmt: skip
    truez("mock", folder / "box.parquet", "--sky", "RA,DEC,Z", "--footprint", folder / "mask.fits",
          "--redshift-range", "0.05,0.4", "--nz", folder / "nz.csv", "--num-photo", 50000,
          "--sigma-z", 0.01, "--sigma-z-growth", 0.04, "--outlier-fraction", 0.03,
          "--outlier-range", "0,0.5", "--spec-fraction", 0.1, "--seed", 3,
          "--out", folder / "cone")  # fmt: skip
    return SkyMock.read(folder / "cone")


def judge(mock):
    return judge_redshifts(mock, reconstruct(mock.surveys, "redistribution", patches=CELLS))


def test_redshifts_are_calibrated_in_every_third_and_unbiased_at_edges_and_holes(mock):
    found = summary(
        judge(mock), redshift_range=RANGE, has_spectrum=mock.has_spectrum,
        edge_distance=edge_lengths(mock),
    )  # fmt: skip
    assert found["nats_own_place"] > 0.25
    assert found["pit_worst_tenth"] < 0.6
    for third in found["by"]["redshift"]:
        assert third["pit_worst_tenth"] < 1
        # 67 to 69, give or take the error of 14,000 galaxies.
        assert third["inside_68"] == pytest.approx(68, abs=1.4)
    for part in found["by"]["edge_distance"]:
        # Twice the error of a median.
        assert abs(part["bias_after"]) < 2.5 * part["nmad_after"] / np.sqrt(part["num"])


def test_random_galaxies_gain_nothing(mock):
    assert abs(null_test(mock, judge, redshift_range=RANGE, seed=1)["nats_own_place"]) < 0.005
