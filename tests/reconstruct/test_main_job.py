"""The whole way by the commands of the README, on a small universe."""

import json

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.simulate import lognormal_galaxies
from truez.surveys.mock import Mock

pytestmark = pytest.mark.usefixtures("rough_figures")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalogue with velocities, in Mpc, with the line of sight along y."""
    folder = tmp_path_factory.mktemp("job")
    cosmology = COSMOLOGIES["wmap"]
    galaxies = lognormal_galaxies(
        Box((144, 96, 192), (36, 24, 48)), cosmology, redshift=0.59, density=1e-2, bias=1.2, seed=3
    )
    x, y, z = galaxies.positions.T / cosmology.h
    vx, vy, vz = galaxies.velocities.T
    columns = {"x": y, "y": z, "z": x, "vx": vy, "vy": vz, "vz": vx, "mass": galaxies.mass}
    units = {**dict.fromkeys("xyz", "Mpc"), **dict.fromkeys(("vx", "vy", "vz"), "km/s")}
    Catalog(columns, units=units).write(folder / "galaxies.parquet")
    side = np.array([96, 192, 144]) / cosmology.h
    code = run(
        "mock", folder / "galaxies.parquet", "--velocities", "vx,vy,vz", "--hubble", 0.71,
        "--boxsize", ",".join(f"{s:.8f}" for s in side), "--los", "y", "--redshift", 0.59,
        "--cosmology", "wmap", "--rank-by", "mass", "--spec-density", 1e-3, "--sigma-z", 0.01,
        "--cellsize", 4, "--out", folder / "mock",
    )  # fmt: skip
    assert code == 0
    for method in ("wiener", "wiener-spec", "wiener-photo"):
        out = folder / f"{method}.h5"
        assert run("reconstruct", folder / "mock", "--method", method, "--out", out) == 0
    return folder


def test_the_mock_is_in_redshift_space_with_the_sight_line_last(folder):
    mock = Mock.read(folder / "mock")
    np.testing.assert_allclose(mock.box.boxsize, (144, 96, 192), rtol=1e-6)
    assert mock.box.meshsize == (36, 24, 48)
    assert mock.config.redshift_space
    assert mock.truth[:, 2].max() > 180


@pytest.mark.medium
def test_wiener_beats_everything_it_is_made_of(folder, capsys):
    fields = [folder / f"{name}.h5" for name in ("wiener", "wiener-spec", "wiener-photo")]
    assert run("evaluate", folder / "mock", *fields, "--out", folder / "report") == 0
    printed = capsys.readouterr().out
    metrics = json.loads((folder / "report" / "metrics.json").read_text())
    assert set(metrics) == {
        "zero", "empty", "photo", "spec", "wiener", "wiener-spec", "wiener-photo"
    }  # fmt: skip
    for name, entry in metrics.items():
        assert {"mse", "mae", "psnr", "ssim", "correlation", "k", "r", "transfer", "r_opt"} <= set(
            entry
        )
        assert name in printed
    assert metrics["empty"]["mae"] == pytest.approx(1, abs=1e-4)
    for name in ("zero", "photo", "spec", "wiener-spec", "wiener-photo"):
        assert metrics["wiener"]["mse"] < metrics[name]["mse"]
    # No linear estimate beats the limit by more than the scatter of the few modes.
    r, limit = (np.array(metrics["wiener"][key], dtype=float) for key in ("r", "r_opt"))
    assert np.median(r - limit) < 0.03
    assert (folder / "report" / "index.html").stat().st_size > 100_000
    assert (folder / "report" / "slices_along.png").is_file()


def test_two_catalogues_give_what_the_mock_gives(folder):
    mock = folder / "mock"
    for overlap in (("--match-id", "id"), ("--overlap", "nested")):
        out = folder / "two.h5"
        code = run(
            "reconstruct", "--method", "wiener",
            "--spec", mock / "spec.parquet", "--photo", mock / "photo.parquet",
            "--boxsize", "144,96,192", "--redshift", 0.59, "--sigma-z", 0.01, "--cellsize", 4,
            "--cosmology", "wmap", "--out", out, "--overwrite", *overlap,
        )  # fmt: skip
        assert code == 0
        np.testing.assert_allclose(
            Field.read(out).numpy(), Field.read(folder / "wiener.h5").numpy(), atol=1e-3
        )


@pytest.fixture(scope="module")
def trained(folder):
    code = run(
        "train", "small", "--mock", folder / "mock", "--out", folder / "run",
        "--set", "training.steps=6", "--set", "training.validate_every=3",
        "--set", "training.crop=[8, 8, 16]", "--set", "network.spec_width=2",
        "--set", "network.photo_width=2", "--set", "network.head_width=2",
    )  # fmt: skip
    assert code == 0
    return folder / "run"


@pytest.mark.medium
def test_a_network_is_judged_where_it_has_not_learned(folder, trained, capsys):
    out, report = folder / "unet.h5", folder / "unet-report"
    weights = trained / "best.safetensors"
    assert run(
        "reconstruct", folder / "mock", "--method", "dual-unet", "--weights", weights,
        "--tile", 0, "--out", out,
    ) == 0  # fmt: skip
    assert "error of the estimate" not in capsys.readouterr().out  # it is not known
    assert run("evaluate", folder / "mock", out, folder / "wiener.h5", "--out", report) == 0
    about = json.loads((report / "about.json").read_text())
    assert about["region_name"] == "test"
    start, stop = Mock.read(folder / "mock").regions["test"]
    assert about["region"]["start"] == list(start)
    assert about["region"]["stop"] == list(stop)
    assert (report / "losses.png").is_file()
    assert (trained / "losses.png").is_file()
    capsys.readouterr()
    assert run("info", weights) == 0
    assert "weights of a dual-unet network" in capsys.readouterr().out


def test_weights_refuse_another_survey(folder, trained, capsys):
    mock = folder / "mock"
    code = run(
        "reconstruct", "--spec", mock / "spec.parquet", "--photo", mock / "photo.parquet",
        "--boxsize", "144,96,192", "--redshift", 0.59, "--sigma-z", 0.03, "--cellsize", 4,
        "--cosmology", "wmap", "--overlap", "nested", "--method", "dual-unet",
        "--weights", trained / "best.safetensors", "--out", folder / "refused.h5",
    )  # fmt: skip
    assert code == 2
    assert "was trained for" in capsys.readouterr().err
    assert not (folder / "refused.h5").exists()


def test_spectrum_of_catalogue_and_field(folder, capsys):
    out = folder / "pk.ecsv"
    truth = folder / "mock" / "truth.parquet"
    assert run("spectrum", truth, "--boxsize", "144,96,192", "--cellsize", 4, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "P0" in printed
    assert out.is_file()
    assert out.with_suffix(".png").is_file()
    assert run("spectrum", folder / "wiener.h5") == 0


def test_info_tells_files_apart(folder, capsys):
    for path, words in (
        ("mock", "two surveys of galaxies.parquet"),
        ("wiener.h5", "a field of kind delta"),
        ("galaxies.parquet", "a catalogue of"),
    ):
        assert run("info", folder / path) == 0
        assert words in capsys.readouterr().out


def test_demo_runs_on_less(tmp_path):
    code = run(
        "demo", "--out", tmp_path / "demo", "--set", "universe.boxsize=[64, 64, 128]",
        "--set", "universe.num_particles=[20, 20, 40]", "--set", "universe.num_steps=2",
        "--set", "surveys.cellsize=4.0", "--set", 'reconstruct.methods=["wiener"]',
    )  # fmt: skip
    assert code == 0
    assert (tmp_path / "demo" / "report" / "index.html").is_file()
    assert Field.read(tmp_path / "demo" / "wiener.h5").kind == "delta"


MOCK = ("--boxsize", 96, "--redshift", 0.5, "--sigma-z", 0.01, "--rank-by", "mass",
        "--spec-density", 1e-4, "--length-unit", "Mpc/h")  # fmt: skip
PAIR = ("--spec", "mock/spec.parquet", "--photo", "mock/photo.parquet", "--boxsize", 96,
        "--redshift", 0.5, "--sigma-z", 0.01)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mock", "none.parquet", *MOCK), "none.parquet"),
        (("mock", "galaxies.parquet", *MOCK, "--positions", "x,y,q"), "'q'"),
        (("mock", "galaxies.parquet", *MOCK[:-1], "parsec"), "'parsec'"),
        (("mock", "galaxies.parquet", *MOCK[:-1], "Mpc"), "hubble"),
        (("mock", "galaxies.parquet", *MOCK, "--cosmology", "big"), "--cosmology must be one of"),
        (("mock", "galaxies.parquet", *MOCK, "--trim", "5"), "--trim must be two numbers"),
        (("mock", "galaxies.parquet", *MOCK, "--los", "w"), "'w'"),
        (("reconstruct",), "give a mock folder, or both --spec FILE and --photo FILE"),
        (("reconstruct", "mock", "--spec", "mock/spec.parquet"), "leave out --spec"),
        (("reconstruct", "nowhere"), "there is no mock folder nowhere"),
        (
            ("reconstruct", "--photo-bias", "5", "0.25"),
            "there is no mock folder 0.25; numbers and names of one option have commas",
        ),
        (("reconstruct", "mock", "--method", "magic"), "--method must be one of columns"),
        (("reconstruct", "mock", "--method", "dual-unet"), "needs --weights"),
        (
            ("reconstruct", "mock", "--method", "dual-unet", "--weights", "wiener.h5"),
            "wiener.h5",
        ),
        (("reconstruct", *PAIR), "say which galaxies both surveys hold: --match-id COLUMN, or"),
        (("reconstruct", *PAIR, "--overlap", "some"), "--overlap must be nested, disjoint or a"),
        (("reconstruct", *PAIR, "--match-id", "name"), "'name'"),
        (("reconstruct", *PAIR, "--overlap", "nested", "--not-periodic"), "lie outside the closed"),
        (("evaluate", "mock", "galaxies.parquet"), "galaxies.parquet"),
        (("evaluate", "mock", "wiener.h5", "--region", "moon"), "--region must be one of"),
        (("evaluate", "wiener.h5", "wiener.h5"), "needs the fields of both surveys: --photo"),
        (("train", "huge", "--mock", "mock", "--out", "r"), "recipe must be one of"),
        (("train", "small", "--mock", "mock", "--out", "r", "--set", "training.sped=1"), "sped"),
        (("train", "small", "--mock", "mock", "--out", "r", "--resume"), "no run to resume"),
        (("spectrum", "galaxies.parquet"), "galaxies.parquet"),
        (("info", "nothing"), "there is no file or folder nothing"),
    ],
)
def test_bad_input_is_one_sentence(folder, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.iterdir())
    wants_out = arguments[0] in ("mock", "reconstruct", "evaluate")
    code = run(*arguments, *(("--out", tmp_path / "out.h5") if wants_out else ()))
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert sorted(p.name for p in folder.iterdir()) == before


def test_nothing_is_overwritten_unasked(folder, capsys):
    before = (folder / "wiener.h5").read_bytes()
    assert run("reconstruct", folder / "mock", "--out", folder / "wiener.h5") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "wiener.h5").read_bytes() == before
