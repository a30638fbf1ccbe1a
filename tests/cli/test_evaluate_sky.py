"""``truez evaluate`` of mocks on the sky, and ``truez demo --sky``: bad ones are one sentence."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from tests.evaluate.sky_cone import cone_mock

import truez
from truez.cli.app import main
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.sky.result import SkyReconstruction

pytestmark = pytest.mark.usefixtures("rough_figures")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Mocks on the sky and in a box, and a field of each."""
    place = tmp_path_factory.mktemp("judged")
    mock = cone_mock(density=0.005)
    mock.write(place / "sky")
    field = reconstruct(mock.surveys, "redistribution", patches=PatchSettings(cellsize=10))
    field.write(place / "field.h5")
    other = SkyReconstruction(field.patches, field.cosmology, {**field.metadata, "mock": "0" * 16})
    other.write(place / "other.h5")
    box = truez.Box(96, cellsize=8)
    positions = np.random.default_rng(1).uniform(0, 96, (3000, 3))
    config = truez.MockConfig(
        redshift=0.5, cosmology="planck18", sigma_z=0.004, rank_by="mass", redshift_space=False,
        spec=truez.Selection(density=1e-3),
    )  # fmt: skip
    in_box = truez.make_mock(positions, box, config, columns={"mass": positions[:, 0]})
    in_box.write(place / "box")
    truez.paint(positions, box).to_delta().write(place / "delta.h5")
    return place


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("sky delta.h5", "delta.h5 is a field in a box, and the mock is on the sky: give a field"),
        ("box field.h5", "field.h5 is a field on the sky, and box is in a box: give the mock on "),
        ("sky other.h5", "other is an estimate of another mock than this one: give its own"),
        ("sky field.h5 --redshift-range 0.5,0.7", "--redshift-range 0.5,0.7 goes beyond the field"),
        ("sky --redshift-range 0.5,0.7", "--redshift-range 0.5,0.7 holds no galaxy without a spec"),
        (
            "sky field.h5 --redshift-range 0.2",
            "--redshift-range must be two numbers, LOW,HIGH, not",
        ),
        ("sky field.h5 --region all", "a mock on the sky has no such option: leave out --region"),
        ("sky --photo delta.h5", "a mock on the sky has no such option: leave out --photo"),
        (
            "box delta.h5 --redshift-range 0.1,0.2",
            "only a mock on the sky has such options: leave ",
        ),
        ("box delta.h5 --null", "only a mock on the sky has such options: leave out --null"),
        ("sky sky/photo.parquet", "sky/photo.parquet has 0 columns z_median: give a catalogue of "),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(
    folder, monkeypatch, capsys, command, sentence
):
    monkeypatch.chdir(folder)
    assert run("evaluate", *command.split(), "--out", "report") == 2
    _, err = capsys.readouterr()
    assert err.startswith(f"truez: {sentence}"), err
    assert err.count("\n") == 1
    assert len(err) < 308
    assert not (folder / "report").exists()


@pytest.mark.medium
def test_a_field_of_a_sky_mock_is_judged(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = ("evaluate", "sky", "field.h5", "--redshift-range", "0.12,0.22", "--out", "found")
    assert run(*command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in ("photo survey", "Wiener, both", "nats per galaxy", "found/metrics.json: numbers"):
        assert words in out
    metrics = json.loads((folder / "found" / "metrics.json").read_text())
    assert metrics["field"]["nats"] > 0.1
    page = (folder / "found" / "index.html").read_text()
    assert shlex.join(["truez", *command]) in page
    assert run(*command) == 2
    assert "is there already: give another --out, or --overwrite" in capsys.readouterr().err


def test_the_page_of_a_run_is_not_that_of_a_sky_mock(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert run("report", "sky") == 2
    err = capsys.readouterr().err
    assert err.startswith("truez: sky is a mock on the sky, whose page truez evaluate writes: look")


@pytest.mark.slow
def test_the_demo_on_the_sky_leaves_a_mock_that_is_judged_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes = [
        "universe.boxsize=96", "universe.num_particles=32", "universe.num_steps=2",
        "surveys.footprint=0,8,-3,3", "surveys.redshift_range=[0.06,0.2]",
        "surveys.magnitude_limit=19.0", "surveys.spec_fraction=0.3", "reconstruct.cellsize=8",
        "evaluate.redshift_range=[0.08,0.16]",
    ]  # fmt: skip
    settings = [word for change in changes for word in ("--set", change)]
    assert run("demo", "--sky", *settings, "--out", "demo") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "demo/report/index.html: to look at; the demo took" in out
    there = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"mock.toml", "redistribution.h5", "redshifts.fits", "report"} <= there
    first = json.loads((tmp_path / "demo/report/metrics.json").read_text())
    again = ("evaluate", "demo", "demo/redistribution.h5", "--redshift-range", "0.08,0.16")
    assert run(*again, "--out", "again") == 0
    second = json.loads((tmp_path / "again/metrics.json").read_text())
    assert second["redistribution"]["ln_p"] == pytest.approx(first["redistribution"]["ln_p"])
    scores = [found["wiener"]["smoothed"]["4"] for found in (first, second)]
    assert scores[1] == pytest.approx(scores[0])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("surveys.footprint=here", "footprint must be"),
        ("surveys.spec_fraction=2", "surveys.spec_fraction must be above 0 and below 1, not 2"),
        ('reconstruct.methods=["magic"]', "reconstruct.methods must hold columns, redistribution"),
        ("surveys.sigmaz=1", "surveys.sigmaz is not a known setting: did you mean sigma_z"),
    ],
)
def test_a_wrong_setting_of_the_demo_is_one_sentence(tmp_path, capsys, setting, sentence):
    assert run("demo", "--sky", "--set", setting, "--out", tmp_path / "demo") == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
