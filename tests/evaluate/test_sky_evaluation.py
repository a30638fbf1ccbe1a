"""Estimates on the sky, judged together: what is written follows from what was found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.sky_cone import RANGE, cone_mock

from truez.evaluate.sky import evaluation
from truez.evaluate.sky.estimates import SkyRedshifts
from truez.evaluate.sky.evaluation import evaluate_sky
from truez.evaluate.sky.expected import observed_density, visible
from truez.evaluate.sky.fields import SkyFieldJudge
from truez.evaluate.sky.judge import judge_redshifts
from truez.evaluate.sky.results import SKY_EVALUATION_FILES
from truez.sky.catalog import write_redshifts
from truez.sky.field import SkyField
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct

pytestmark = pytest.mark.medium
CELLS = PatchSettings(cellsize=8)


@pytest.fixture(scope="module")
def mock():
    return cone_mock()


@pytest.fixture(scope="module")
def moved(mock):
    return reconstruct(mock.surveys, "redistribution", patches=CELLS)


@pytest.fixture(scope="module")
def catalogue(mock, moved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("redshifts")
    mock.write(folder / "mock")
    found = moved.redshifts()
    path = folder / "sharp.fits"
    write_redshifts(
        path, folder / "mock" / "photo.parquet", found.columns, draws=moved.draws(2, seed=1),
        prefix="truez_",
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def found(mock, moved, catalogue, tmp_path_factory):
    path = tmp_path_factory.mktemp("fields") / "moved.h5"
    moved.write(path, samples=3, seed=2)
    return evaluate_sky(mock, {"moved": path, "sharp": catalogue}, redshift_range=RANGE, null=True)


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    page = found.write(folder / "report", title="cone", commands=["truez evaluate cone"])
    return page.parent


def test_every_evaluation_has_the_surveys_and_the_linear_optimum(found):
    assert found.names == ["photo", "photo-z", "wiener-spec", "wiener", "moved", "sharp"]
    errors = {name: found.numbers.numbers(name)["mse_over_variance_4"] for name in found.names}
    assert errors["moved"] < errors["wiener-spec"] < errors["photo-z"] < errors["photo"]
    assert errors["wiener"] < errors["wiener-spec"]
    assert errors["moved"] < 0.5


def test_redshifts_are_those_of_the_judge_and_photo_z_alone_gain_nothing(mock, moved, found):
    judged = judge_redshifts(mock, moved)
    rows = judged.chosen(RANGE, mock.has_spectrum)
    numbers = judged.take(rows).numbers()
    own = found.redshifts("moved")
    for key in ("nats_own_place", "ln_p", "pit_worst_tenth", "inside_68", "nmad_after", "num"):
        assert own[key] == pytest.approx(numbers[key])
    even = found.redshifts("photo-z")
    assert even["nats_own_place"] == pytest.approx(0, abs=1e-6)
    assert even["ln_p"] == pytest.approx(own["ln_p_photo"], abs=1e-5)
    assert own["nats_own_place"] > 0.15
    assert set(own["by"]) == {"redshift", "edge_distance"}


def test_random_galaxies_gain_nothing_with_everything_fitted_again(found):
    null = found.redshifts("moved")["null"]
    assert abs(null["nats_own_place"]) < 0.02
    assert null["nats_own_place"] < 0.1 * found.redshifts("moved")["nats_own_place"]


def test_a_catalogue_of_redshifts_is_judged_as_its_field_is(found):
    field, own = found.redshifts("moved"), found.redshifts("sharp")
    assert own["nmad_after"] == pytest.approx(field["nmad_after"], rel=0.01)
    assert own["inside_68"] == pytest.approx(field["inside_68"], abs=1.0)
    assert "nats_own_place" not in own
    # Two draws for each galaxy are a noisier field than its posterior.
    errors = [found.numbers.numbers(name)["mse_over_variance_8"] for name in ("moved", "sharp")]
    assert errors[0] < errors[1] < 1.6 * errors[0] + 0.05


def test_the_files_hold_what_was_found(found, written):
    metrics = json.loads((written / "metrics.json").read_text())
    assert list(metrics) == found.names
    entry = metrics["moved"]
    assert entry["nats"] == entry["nats_own_place"] == found.redshifts("moved")["nats_own_place"]
    keys = {"nats", "nats_own_place", "nats_own_place_error", "ln_p", "ln_p_photo", "inside_68",
            "pit_worst_tenth", "nmad_before", "nmad_after", "bias_after", "outliers_after", "by",
            "smoothed", "smoothed_by_redshift", "k", "r", "transfer", "power", "r_bands",
            "null"}  # fmt: skip
    assert keys <= set(entry)
    assert set(entry["smoothed"]) == {"4", "8"}
    assert set(entry["smoothed"]["4"]) == {"mse", "mae", "correlation", "mse_over_variance"}
    parts = entry["smoothed_by_redshift"]
    assert [parts[0]["low"], parts[-1]["high"]] == list(RANGE)
    assert 0 < parts[1]["4"]["mse_over_variance"] < 1
    assert len(entry["k"]) == len(entry["r"])
    assert entry["r"][0] > metrics["photo"]["r"][5]
    assert "nats" not in metrics["wiener"]
    there = {path.name for path in written.iterdir()} - {".truez.json"}
    assert there == set(SKY_EVALUATION_FILES)
    page = (written / "index.html").read_text()
    for words in ("moved gains", "Null test", "mean of 3 samples", "By photo-z",
                  "By distance to the edge", "data:image/png"):  # fmt: skip
        assert words in page
    assert "nats per galaxy" in (written / "table.md").read_text()
    assert found.to_table()["field"].tolist() == found.names


def test_samples_are_judged_at_the_draws_of_their_seed(mock, moved, found, written):
    sampled = found.samples["moved"]
    assert (list(found.samples), sampled.num, sampled.seed) == (["moved"], 3, 2)
    mesh, redshift = found.mesh, moved.draws(3, seed=2)[1]
    counts = mesh.paint(mock.ra, mock.dec, redshift)
    judge = SkyFieldJudge(
        mesh, mesh.paint(mock.ra, mock.dec, mock.z_true), mesh.expected(mock.surveys.nz), (4.0, 8.0)
    )
    wanted = judge.spectra(counts)
    np.testing.assert_allclose(sampled.samples["P0"][1], wanted.power_rr.ravel(), rtol=1e-5)
    np.testing.assert_allclose(sampled.samples["cross"][1], wanted.power_rt.ravel(), rtol=1e-5)
    np.testing.assert_allclose(sampled.truth["P0"], wanted.power_tt.ravel(), rtol=1e-5)
    assert 0.9 < np.sum(sampled.samples["pdf"][1]) * np.diff(sampled.x["pdf"])[0] < 1.01
    # A sample has more power than its estimate, and knows less of the truth.
    high = (0.3, 0.5)
    assert (sampled.power_ratio(high) > 1.1 * sampled.power_ratio_of_estimate(high)).all()
    assert (sampled.r(high) < sampled.r_of_estimate(high)).all()
    bands = json.loads((written / "metrics.json").read_text())["moved"]["samples"]["bands"]
    assert bands["0.3-0.5"]["r"]["mean"] == pytest.approx(sampled.r(high).mean(), rel=1e-5)
    figure = found.pictures()["sky_samples"]()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["truth", "3 samples of moved", "moved", "r² of moved"]


def test_a_given_linear_field_takes_the_place_of_the_one_that_would_be_made(mock, monkeypatch):
    made = []

    def counted(method, *args, **kwargs):
        made.append(method)
        return original(method, *args, **kwargs)

    original = evaluation.linear_optimum
    monkeypatch.setattr(evaluation, "linear_optimum", counted)
    both = reconstruct(mock.surveys, "wiener", patches=CELLS)
    found = evaluate_sky(mock, {"mine": both}, redshift_range=RANGE)
    assert made == ["wiener-spec"]
    assert found.names == ["photo", "photo-z", "wiener-spec", "mine"]
    assert found.best is None
    assert "No estimate with posteriors" in found.verdict()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((0.1, 0.5), "redshift_range 0.1,0.5 goes beyond the field moved, which covers redshifts"),
        ((0.2, 0.12), "redshift_range 0.2,0.12 must be two ascending redshifts from 0 on"),
    ],
)
def test_ranges_that_cannot_be_judged_are_refused(mock, moved, limits, words):
    with pytest.raises(ValueError, match=words):
        evaluate_sky(mock, {"moved": moved}, redshift_range=limits)


def test_a_range_without_galaxies_is_refused(mock):
    with pytest.raises(ValueError, match="holds no galaxy without a spectrum: choose one within"):
        evaluate_sky(mock, {}, redshift_range=(0.4, 0.5))


def test_fields_of_other_surveys_are_refused(mock, moved, catalogue):
    def changed(**values):
        return SkyField(moved.patches, moved.cosmology, {**moved.metadata, **values})

    with pytest.raises(ValueError, match="other is an estimate of another mock than this one"):
        evaluate_sky(mock, {"other": changed(mock="0" * 16)})
    with pytest.raises(ValueError, match=r"with a photo-z error of 0\.05 instead of 0\.012: give"):
        evaluate_sky(mock, {"other": changed(sigma_z=0.05)})
    with pytest.raises(ValueError, match="spectroscopic galaxies 7 instead of"):
        evaluate_sky(mock, {"other": changed(num_spec=7)})
    away = SkyField(
        tuple(replace(p, completeness=np.zeros_like(p.completeness)) for p in moved),
        moved.cosmology, moved.metadata,
    )  # fmt: skip
    with pytest.raises(ValueError, match="other covers another part of the sky"):
        evaluate_sky(mock, {"other": away})
    with pytest.raises(ValueError, match="must not be called 'photo-z'"):
        evaluate_sky(mock, {"photo-z": moved})
    with pytest.raises(ValueError, match="must not be called 'wiener'"):
        evaluate_sky(mock, {"wiener": moved})
    other = replace(mock, ids=mock.ids[::-1].copy())
    with pytest.raises(ValueError, match="a catalogue of other galaxies than the mock"):
        evaluate_sky(other, {"sharp": catalogue})


def test_a_catalogue_without_medians_is_refused(mock, catalogue):
    with pytest.raises(ValueError, match="has 0 columns z_median"):
        evaluate_sky(mock, {"photo-table": catalogue.parent / "mock" / "photo.parquet"})


def test_a_catalogue_may_have_gaps(mock, moved):
    median = np.where(np.arange(len(mock.ids)) % 2, mock.z_true, np.nan)
    draws = np.empty((0, len(mock.ids)))
    given = SkyRedshifts(median, median - 0.01, median + 0.01, draws)
    judged = evaluate_sky(mock, {"moved": moved, "half": given}, redshift_range=RANGE)
    own = judged.redshifts("half")
    assert own["nmad_after"] == 0
    assert own["inside_68"] == 100
    assert own["num_without"] == pytest.approx(own["num"], rel=0.1)


def test_photo_z_that_are_seen_and_their_numbers_are_those_of_the_errors(mock):
    surveys = mock.surveys
    low = surveys.photo_range[0]
    z = np.array([0.11, 0.17])
    np.testing.assert_allclose(visible(surveys, z, (low, 1.0)), [1, 1], atol=2e-3)
    half = visible(surveys, z, (0.17, 1.0))
    assert half[1] == pytest.approx(0.5, abs=0.01)
    edges = np.linspace(0.15, 0.2, 101)
    counted = np.histogram(mock.z_phot, [0.15, 0.2])[0][0]
    middle = (edges[1:] + edges[:-1]) / 2
    expected = observed_density(surveys, middle).mean() * 0.05
    assert expected == pytest.approx(counted, rel=0.1)
