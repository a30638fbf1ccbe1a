"""GAMA G09: redshifts of a real survey with simulated photo-z become as sharp as was measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.evaluate.sky import summary
from truez.evaluate.sky.judge import edge_lengths, judge_redshifts
from truez.sky.mock import SkyMock
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def load() -> ModuleType:
    """The script that makes benchmarks/gama_g09.md, so that both measure the same."""
    path = Path(__file__).parents[2] / "benchmarks" / "gama_g09.py"
    spec = importlib.util.spec_from_file_location("gama_g09", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gama_g09"] = module
    spec.loader.exec_module(module)
    return module


g09 = load()


@pytest.fixture(scope="module")
def run(data_folder):
    catalog = Catalog.read(data_folder / "gama_g09.csv")
    return g09.Run(catalog, PatchSettings(cellsize=2.0, chi_ref=650.0))


@pytest.mark.parametrize(
    ("sample", "sigma_z", "nats", "worst", "nmad"),
    [
        ("random", 0.02, 0.495, 0.6, 0.0158),
        ("bright", 0.02, 0.435, 1.0, 0.0159),
        ("lum", 0.02, 0.46, 0.6, 0.0162),  # +- 0.0002 between seeds
        ("random", 0.01, 0.43, 0.6, 0.0068),
        ("random", None, 0.46, 0.6, 0.0154),
    ],
)
def test_redshifts_gain_information_and_are_calibrated(run, sample, sigma_z, nats, worst, nmad):
    found = run.usual(sample, sigma_z, 1)
    numbers = found.part.numbers()
    assert numbers["nats_own_place"] > nats
    assert numbers["pit_worst_tenth"] < worst
    assert 67 < numbers["inside_68"] < 69.5
    assert numbers["nmad_after"] < nmad < numbers["nmad_before"]


@pytest.mark.parametrize("sample", ["random", "bright", "lum"])
def test_at_the_edge_as_much_is_gained_as_at_the_same_photo_z_elsewhere(run, sample):
    near, rest, _ = g09.at_the_edge(run.usual(sample, 0.02, 1))
    assert near > 0.9 * rest


def test_beyond_the_edge_of_the_spectra_nothing_is_lost(run):
    (inside, *beyond), worst = g09.beyond_spectra(run, "random", 1)
    assert inside[0] > 0.4
    assert beyond[0][0] > 3 * beyond[0][1]
    assert all(gain + 2 * error > -0.001 for gain, error in beyond)
    assert worst < 1


def test_little_is_lost_at_the_seams_of_patches(run):
    one = run.usual("random", 0.02, 1)
    several = run.of(one.mock, widest=5.0)
    assert len(several.field) > 2
    at_seam, *_ = g09.at_seams(one, several)
    assert at_seam[0] > 0.98


def test_the_right_model_of_own_errors_has_the_highest_probability(run):
    own, no_outliers, same = g09.error_models(run, 1).values()
    assert own["ln_p"] > no_outliers["ln_p"] > same["ln_p"]
    # One error for all seems to gain nearly as much, from a worse beginning.
    assert same["nats_own_place"] > own["nats_own_place"] - 0.05
    assert own["ln_p"] > same["ln_p"] + 0.3
    assert same["pit_worst_tenth"] > 2.5 > 0.6 > own["pit_worst_tenth"]


def test_the_mock_of_the_guide_gains_half_a_nat(data_folder, tmp_path):
    arguments = [
        "mock", str(data_folder / "gama_g09.csv"), "--sky", "RA,DEC,Z", "--from-spec",
        "--sigma-z", "0.02", "--spec-fraction", "0.1", "--footprint", "129,141,-2,3",
        "--redshift-range", "0.02,0.5", "--seed", "1", "--out", str(tmp_path / "g09"),
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    mock = SkyMock.read(tmp_path / "g09")
    field = reconstruct(mock.surveys, "redistribution", patches=PatchSettings(cellsize=2.5))
    found = summary(
        judge_redshifts(mock, field), redshift_range=(0.08, 0.35),
        has_spectrum=mock.has_spectrum, edge_distance=edge_lengths(mock),
    )  # fmt: skip
    assert found["nats_own_place"] > 0.485
    assert found["pit_worst_tenth"] < 0.6
    assert found["inside_68"] == pytest.approx(68.2, abs=1.3)
    assert len(found["by"]["edge_distance"]) == 5
    assert np.isfinite([one["nats_own_place"] for one in found["by"]["edge_distance"]]).all()
