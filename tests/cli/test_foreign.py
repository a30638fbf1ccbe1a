"""What truez did not write is not replaced by any command, and nothing finished is lost."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.evaluate.sharpened_catalog import sharpened_catalog

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.surveys.mock import MOCK_FILES, Mock

UNIVERSE = ("--set", "universe.boxsize=64", "--set", "universe.num_particles=24")
TRAIN = ("--set", "training.steps=2", "--set", "training.crop=[8,8,8]")
#: Each command with a file of the user's where a result of its own would be.
CASES = [
    (("mock", "sim.parquet", "--boxsize", 64, "--cellsize", 4, "--redshift", 0.6, "--rank-by", "m",
      "--spec-density", 1e-3, "--sigma-z", 0.01), ["photo.parquet", "spec.parquet"]),
    (("train", "small", "--mock", "mock", *TRAIN),
     ["best.safetensors", "last.safetensors", "config.json", "losses.csv", "losses.png"]),
    (("evaluate", "mock"), ["index.html", "about.json", "spectra.png"]),
    (("photoz", "z.fits", "--truth", "Z_SPEC", "--photo-z", "Z_PHOT"),
     ["index.html", "photoz_by.png"]),
    (("demo", *UNIVERSE), ["columns.h5", "photo.parquet", "report/index.html"]),
    (("paper", "--recipe", "paper-small"),
     ["training/notes.txt", "run.toml", "report.html", "mock-train/photo.parquet"]),
    (("benchmark", "--boxsize", 64, "--num-particles", 32, "--setting", "fiducial", "--seeds", 1),
     ["summary.json", "tables.md", "benchmark.html"]),
]  # fmt: skip


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a simulation and a mock of it."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(1)
    columns = {axis: 64 * rng.random(3000) for axis in "xyz"} | {"m": rng.random(3000)}
    Catalog(columns, units=dict.fromkeys("xyz", "Mpc/h")).write(folder / "sim.parquet")
    Catalog(sharpened_catalog(200)).write(folder / "z.fits")
    arguments = [a if a != "sim.parquet" else folder / a for a in CASES[0][0]]
    assert run(*arguments, "--out", folder / "mock") == 0
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of that folder, which is the current one."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, name) for command, names in CASES for name in names),
        *(
            ((*command, "--overwrite"), name)
            for command, names in CASES
            for name in names
            if command[0] in {"mock", "evaluate", "demo"}
        ),
    ],
    ids=lambda given: (
        "-".join(map(str, given[:: len(given) - 1])) if isinstance(given, tuple) else given
    ),
)
def test_a_file_of_the_user_is_refused_before_any_work(place, capsys, command, name):
    (place / "out" / name).parent.mkdir(parents=True)
    (place / "out" / name).write_text("mine")
    before = tree(place)
    capsys.readouterr()
    assert run(*command, "--out", "out") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("truez: out/")
    assert err.endswith(
        f" was not written by truez {command[0]} and would be replaced: move it away, or choose "
        "another folder with --out\n"
    )
    assert tree(place) == before


@pytest.mark.parametrize("command", [command for command, _ in CASES], ids=lambda given: given[0])
def test_a_file_is_no_folder(place, capsys, command):
    (place / "out").write_text("mine")
    capsys.readouterr()
    assert run(*command, "--out", "out") == 2
    assert capsys.readouterr().err == "truez: out is a file: choose a folder with --out\n"
    assert (place / "out").read_text() == "mine"


def test_the_catalogue_itself_is_not_replaced(place, capsys):
    (place / "sim.parquet").rename(place / "photo.parquet")
    before = tree(place)
    assert run("mock", "photo.parquet", *CASES[0][0][2:], "--out", ".") == 2
    assert "photo.parquet was not written by truez mock" in capsys.readouterr().err
    assert tree(place) == before


def test_other_files_of_a_folder_are_kept(place):
    assert run(*CASES[0][0], "--out", ".") == 0
    (place / "notes.txt").write_text("mine")
    assert run(*CASES[0][0], "--out", ".", "--overwrite", "--seed", 1) == 0
    assert set(tree(place)) >= {"notes.txt", "sim.parquet", *MOCK_FILES}
    assert Mock.read(place).config.seed == 1


def test_a_mock_is_replaced_whole_or_not_at_all(place, monkeypatch, capsys):
    before = tree(place)
    write = Catalog.write
    full = iter([False, False, True])

    def fill(*arguments, **settings):
        if next(full):
            raise OSError(28, "No space left on device")
        return write(*arguments, **settings)

    monkeypatch.setattr(Catalog, "write", fill)
    assert run(*CASES[0][0], "--out", "mock", "--overwrite", "--seed", 1) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert tree(place) == before


HOLDER = """
import sys, time
from truez.support.folders import lock
lock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("command", "out"),
    [
        *((command, "out") for command, _ in CASES),
        (("simulate", "--boxsize", 64, "--num-particles", 16), "out.parquet"),
        (("reconstruct", "mock", "--method", "wiener"), "out.h5"),
        (("redshifts", "mock", "--method", "redistribution"), "out.fits"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else given,
)
def test_the_second_of_two_runs_is_refused(place, capsys, command, out):
    before = tree(place)
    capsys.readouterr()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, out], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert run(*command, "--out", out) == 2
        other.kill()
    err = capsys.readouterr().err
    assert err.startswith(f"truez: {out} is being written by another truez (process {other.pid}, ")
    assert err.endswith("): wait for its end, or give another --out\n")
    assert {k: v for k, v in tree(place).items() if not k.endswith(".lock")} == before


@pytest.mark.parametrize(
    ("command", "name"),
    [(CASES[0][0], "mock.toml"), (("evaluate", "mock"), "metrics.json"),
     (("demo", *UNIVERSE), "mock.toml")],
    ids=lambda given: given[0] if isinstance(given, tuple) else given,
)  # fmt: skip
def test_the_mark_of_a_result_must_be_that_of_the_command(place, capsys, command, name):
    (place / "out").mkdir()
    text = (place / "mock/mock.toml").read_text() if command[0] == "demo" else "mine = 1\n"
    (place / "out" / name).write_text(text)
    before = tree(place)
    assert run(*command, "--out", "out", "--overwrite") == 2
    assert f"out/{name} was not written by truez {command[0]}" in capsys.readouterr().err
    assert tree(place) == before


BOX = "--boxsize 64 --cellsize 4 --redshift 0.6 --sigma-z 0.01 --overlap nested"


@pytest.mark.parametrize(
    ("command", "out", "option"),
    [
        (f"reconstruct --spec s.h5 --photo sim.parquet {BOX}", "s.h5", "--spec"),
        (f"redshifts --spec s.h5 --photo sim.parquet {BOX}", "sim.parquet", "--photo"),
        ("redshifts mock", "mock/photo.parquet", "FOLDER"),
        ("reconstruct --spec s.h5 --photo sim.parquet --sky x,y,z --footprint s.h5", "s.h5",
         "--spec"),
        ("redshifts --spec sim.parquet --photo sim.parquet --sky x,y,z --footprint z.fits#1",
         "z.fits", "--footprint"),
        ("redshifts --spec s*.h5 --photo sim.parquet --sky x,y,z", "s.h5", "--spec"),
        ("spectrum t.ecsv --boxsize 64", "t.ecsv", "DATA"),
    ],
)  # fmt: skip
def test_what_a_command_reads_is_not_replaced(place, capsys, command, out, option):
    table = Catalog.read("sim.parquet")
    table.write("s.h5")
    table.write("t.ecsv")
    before = tree(place)
    assert run(*command.split(), "--out", out, "--overwrite") == 2
    err = capsys.readouterr().err
    assert err.startswith(f"truez: --out {out} is read by the same command, as {option}: give ")
    assert tree(place) == before


def test_what_a_command_wrote_is_replaced_beside_its_input(place):
    for _ in range(2):
        assert run("spectrum", "mock/photo.parquet", "--boxsize", 64, "--cellsize", 4,
                   "--out", "mock/pk.ecsv", "--overwrite") == 0  # fmt: skip
