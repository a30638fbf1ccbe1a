"""What can be known at the start is refused at the start, by every command."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluate.sharpened_catalog import sharpened_catalog
from tests.sky.sky_fields import sky_field

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks.network import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, save_weights
from truez.simulate import Universe, catalog_from_galaxies
from truez.support import disk, memory
from truez.surveys.mock import Mock

CATALOGUE = ("--boxsize", 64, "--cellsize", 2, "--redshift", 0.6, "--sigma-z", 0.01)
TWO = ("--spec", "sim.parquet", "--photo", "sim.parquet", "--overlap", "nested")
RANKED = ("--rank-by", "m", "--spec-density", 1e-3)
TRAIN = ("--set", "training.steps=2", "--set", "training.crop=[8,8,8]")
#: Each command with the suffix of its output, which is a folder where there is none.
COMMANDS = {
    "simulate": (("--boxsize", 64, "--num-particles", 24), ".parquet"),
    "mock": (("sim.parquet", *CATALOGUE, *RANKED), ""),
    "train": (("small", "--mock", "mock", *TRAIN), ""),
    "reconstruct": (("mock", "--method", "wiener"), ".h5"),
    "redshifts": (("mock", "--method", "redistribution"), ".fits"),
    "partition": (
        (
            "--photo",
            "sky.parquet",
            "--footprint",
            "0,10,0,10",
            "--redshift-range",
            "0.1,0.3",
            "--sigma-z",
            0.02,
            "--cellsize",
            16,
            "--halo",
            20,
        ),
        "",
    ),
    "map": (("sky.h5", "--zbins", "0.12,0.2", "--nside", 256), ".fits"),
    "evaluate": (("mock", "field.h5"), ""),
    "photoz": (("z.fits", "--truth", "Z_SPEC", "--photo-z", "Z_PHOT"), ""),
    "report": (("mock",), ".html"),
    "spectrum": (("sim.parquet", "--boxsize", 64), ".ecsv"),
    "paper": (("--recipe", "paper-small"), ""),
    "benchmark": (("--boxsize", 64, "--num-particles", 32, "--seeds", 1), ""),
    "demo": (("--set", "universe.boxsize=64", "--set", "universe.num_particles=32"), ""),
}
#: Places where nothing can be written, without the suffix, and what is said of them.
PLACES = {
    "/proc/nowhere/out": "cannot be written (no such file or directory): give another --out",
    "file/out": "file is a file, and file/out",
    "file/deep/out": "file is a file, and file/deep/out",
    f"new/{'x' * 300}/out": "cannot be written (file name too long): give another --out",
    "link/out": "link is a link to what does not exist: give another --out",
}
WIENER = ("mock", "--method", "wiener")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def tree(folder):
    return {str(p.relative_to(folder)): p.lstat().st_size for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A simulation, a mock of it, a field, and weights of a dual UNet."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(1)
    columns = {axis: 64 * rng.random(3000) for axis in "xyz"} | {"m": rng.random(3000)}
    Catalog(columns, units=dict.fromkeys("xyz", "Mpc/h")).write(folder / "sim.parquet")
    command = ("mock", folder / "sim.parquet", *CATALOGUE, *RANKED)
    assert run(*command, "--out", folder / "mock") == 0
    mock = Mock.read(folder / "mock")
    mock.surveys.photo_field().write(folder / "field.h5")
    sky_field("350,10,-6,6", np.zeros, cellsize=16).write(folder / "sky.h5")
    sky = {"RA": 10 * rng.random(500), "DEC": 10 * rng.random(500), "Z": 0.4 * rng.random(500)}
    Catalog(sky).write(folder / "sky.parquet")
    network = build_network("dual-unet", {"spec_width": 4, "photo_width": 4})
    header = Header.of(network, mock.box, SurveyLimits.from_mock(mock, "cic"))
    save_weights(folder / "unet.safetensors", network, header)
    Catalog(sharpened_catalog(200)).write(folder / "z.fits")
    (folder / "file").write_text("mine")
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of that folder, which is the current one, with a link to nothing."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    Path("link").symlink_to("nowhere")
    return tmp_path / "here"


@pytest.fixture
def refused(place, capsys):
    """A function that runs a command which is refused, and returns its sentence."""

    def check(*command):
        before = tree(place)
        capsys.readouterr()
        assert run(*command) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("truez: ")
        assert err.count("\n") == 1
        assert len(err) <= 300
        assert tree(place) == before
        return err.removeprefix("truez: ").rstrip("\n")

    return check


def limit(monkeypatch, *, free=1e12, room=1e12):
    monkeypatch.setattr(memory, "available_memory", lambda: int(free))
    monkeypatch.setattr(disk, "free_disk", lambda _: int(room))


class TestOutputs:
    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    @pytest.mark.parametrize("where", PLACES)
    @pytest.mark.parametrize("name", COMMANDS)
    def test_a_place_where_nothing_can_be_written(self, refused, name, where):
        arguments, suffix = COMMANDS[name]
        text = refused(name, *arguments, "--out", f"{where}{suffix}")
        assert PLACES[where] in text

    @pytest.mark.parametrize("name", [name for name, (_, suffix) in COMMANDS.items() if suffix])
    def test_a_folder_is_no_file(self, refused, name):
        arguments, suffix = COMMANDS[name]
        Path(f"out{suffix}").mkdir()
        text = refused(name, *arguments, "--out", f"out{suffix}")
        assert text == f"out{suffix} is a folder: give the name of a file with --out"

    @pytest.mark.parametrize("name", [name for name, (_, suffix) in COMMANDS.items() if not suffix])
    def test_a_file_is_no_folder(self, refused, name):
        text = refused(name, *COMMANDS[name][0], "--out", "file")
        assert text == "file is a file: choose a folder with --out"

    @pytest.mark.parametrize(
        ("name", "inner"), [("paper", "results"), ("benchmark", "slices"), ("demo", "report")]
    )
    def test_a_file_in_the_place_of_an_inner_folder(self, refused, name, inner):
        Path("out").mkdir()
        Path("out", inner).write_text("mine")
        text = refused(name, *COMMANDS[name][0], "--out", "out")
        assert text.startswith(f"out/{inner} ")
        assert text.endswith("choose another folder with --out")

    @pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="needs /dev/null")
    def test_a_device_is_no_file(self, refused, monkeypatch):
        Path("null.h5").symlink_to("/dev/null")
        text = refused("reconstruct", *WIENER, "--out", "null.h5", "--overwrite")
        assert text == "null.h5 is a device or pipe, not a file: give another --out"

    def test_a_file_that_nobody_may_replace(self, refused, monkeypatch):
        def guarded(path, *_):
            raise PermissionError(1, "Operation not permitted", str(path))

        Path("out.h5").write_text("mine")
        monkeypatch.setattr(Path, "open", guarded)
        text = refused("reconstruct", *WIENER, "--out", "out.h5", "--overwrite")
        assert text == "out.h5 cannot be written (operation not permitted): give another --out"


class TestMemory:
    @pytest.mark.parametrize(
        "name", [name for name in COMMANDS if name not in ("report", "photoz")]
    )
    def test_what_the_memory_does_not_hold(self, refused, monkeypatch, name):
        limit(monkeypatch, free=1e5)
        arguments, suffix = COMMANDS[name]
        more = ("--cellsize", 1) if name == "spectrum" else ()
        text = refused(name, *arguments, *more, "--out", f"out{suffix}", "--device", "cpu") if (
            name in {"simulate", "train", "reconstruct", "redshifts", "paper", "benchmark"}
        ) else refused(name, *arguments, *more, "--out", f"out{suffix}")  # fmt: skip
        assert " of memory, and 100 kB are free: " in text

    @pytest.mark.parametrize("name", ["mock", "spectrum", "reconstruct", "redshifts"])
    def test_cells_of_a_catalogue_too_small_for_this_machine(self, refused, monkeypatch, name):
        limit(monkeypatch, free=23e9)
        inputs = {"mock": ("sim.parquet", *CATALOGUE, *RANKED, "--out", "out"),
                  "spectrum": ("sim.parquet", "--boxsize", 64)}  # fmt: skip
        method = ("--method", "redistribution")
        out = f"out{COMMANDS[name][1]}"
        arguments = inputs.get(name, (*TWO, *CATALOGUE, *method, "--out", out))
        monkeypatch.setattr(Catalog, "read", None)  # nothing is read
        text = refused(name, *arguments, "--cellsize", 0.01)
        assert text.startswith("--cellsize: a mesh of 6400 x 6400 x 6400 cells of 0.01 Mpc/h needs")
        assert "and 23 GB are free: take cells of at least 0.0" in text
        assert text.endswith(", or give --patch 512") == (name in ("reconstruct", "redshifts"))
        for size in (1e-300, 1e-320):
            text = refused(name, *arguments, "--cellsize", size)
            assert text.startswith(f"--cellsize {size:g} Mpc/h divides a side of 64 Mpc/h into ")
            assert text.endswith("more than 1048576 cells: take larger cells")

    @pytest.mark.parametrize("name", ["reconstruct", "redshifts"])
    def test_a_box_in_patches_may_be_larger_than_the_memory(self, refused, monkeypatch, name):
        limit(monkeypatch, free=60e6)
        sides = (*CATALOGUE[:3], 0.25, *CATALOGUE[4:], "--method", "redistribution")
        arguments = (name, *TWO, *sides, "--match-id", "none", "--out", f"out{COMMANDS[name][1]}")
        arguments = [word for word in arguments if word not in ("--overlap", "nested")]
        assert refused(*arguments).startswith("--cellsize: a mesh of 256 x 256 x 256 cells of 0.25")
        text = refused(*arguments, "--patch", 8, "--margin", 4, "--sky-cellsize", 0.25)
        assert " has no column 'none' (--match-id)" in text

    def test_the_mesh_of_a_mock_folder(self, refused, monkeypatch):
        limit(monkeypatch, free=23e9)
        content = Path("mock/mock.toml").read_text()
        mesh = content[content.index("meshsize") : content.index("boxcenter")]
        huge = content.replace(mesh, "meshsize = [40000, 40000, 40000]\n")
        Path("mock/mock.toml").write_text(huge)
        for name in ("reconstruct", "redshifts", "evaluate", "train"):
            arguments, suffix = COMMANDS[name]
            text = refused(name, *arguments, "--out", f"out{suffix}")
            assert text.startswith("a mesh of 40000 x 40000 x 40000 cells of 0.0016 Mpc/h needs ")
            assert "and 23 GB are free: take cells of at least 0.0" in text

    def test_a_tile_that_does_not_fit_names_the_option(self, refused, monkeypatch):
        limit(monkeypatch, free=2e7)
        text = refused("reconstruct", "mock", "--device", "cpu", "--tile", 0, "--out", "out.h5")
        assert text.startswith("a tile of 32 x 32 x 32 cells needs ")
        assert text.endswith("20 MB are free: give a smaller tile, or leave --tile out")

    def test_a_network_of_huge_layers(self, refused, monkeypatch):
        limit(monkeypatch, free=1e9)
        text = refused("train", "small", "--mock", "mock", *TRAIN, "--out", "out",
                       "--set", "network.spec_width=8000")  # fmt: skip
        assert text.startswith("a dual-unet of these settings needs ")
        assert text.endswith("of memory, and 1 GB are free: set fewer or narrower layers")

    @pytest.mark.parametrize(
        "command", [("demo",), ("train", "columns-cpu", "--device", "cpu")], ids=lambda c: c[0]
    )
    def test_a_universe_of_a_recipe_is_named_by_its_key(self, refused, monkeypatch, command):
        limit(monkeypatch, free=8e8)
        changes = ["universe.boxsize=512", "universe.num_particles=2048"]
        changes += ["surveys.cellsize=8"] if command == ("demo",) else []
        given = [word for change in changes for word in ("--set", change)]
        text = refused(*command, *given, "--out", "out")
        assert text.startswith("universe.num_particles 2048 takes ")
        assert "are free: " in text
        assert text.split(": ")[-1].split()[1].startswith("universe.")

    def test_a_batch_beyond_the_memory(self, refused, monkeypatch):
        limit(monkeypatch, free=1e9)
        text = refused("train", "small", "--mock", "mock", *TRAIN, "--out", "out",
                       "--device", "cpu", "--set", "training.batch=10000")  # fmt: skip
        assert text.startswith("training on 10000 crops of 8 x 8 x 8 cells at a time needs ")
        assert "set training.batch or training.crop to less" in text


class TestDisk:
    @pytest.mark.parametrize(
        "name", [name for name in COMMANDS if name not in (
            "mock", "map", "evaluate", "photoz", "report", "spectrum"
        )],
    )  # fmt: skip
    def test_what_the_disk_does_not_hold(self, refused, monkeypatch, name):
        limit(monkeypatch, room=5000)
        arguments, suffix = COMMANDS[name]
        text = refused(name, *arguments, "--out", f"out{suffix}")
        assert " of disk, and 5 kB are free: free some or choose another " in text
        assert "--out" in text


class TestSettings:
    @pytest.mark.parametrize(
        "name", ["simulate", "train", "reconstruct", "redshifts", "paper", "benchmark"]
    )
    @pytest.mark.parametrize("device", ["cuda", "tpu"])
    def test_a_device_that_is_not_there(self, refused, monkeypatch, name, device):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(Mock, "read", None)  # nothing is read
        arguments, suffix = COMMANDS[name]
        text = refused(name, *arguments, "--out", f"out{suffix}", "--device", device)
        assert text.startswith("--device ")

    def test_weights_of_another_network(self, refused, monkeypatch):
        monkeypatch.setattr(Mock, "read", None)
        weights = ("--weights", "unet.safetensors")
        for name in ("reconstruct", "redshifts"):
            text = refused(name, "mock", *weights, "--out", f"out{COMMANDS[name][1]}")
            assert text.startswith("unet.safetensors holds a dual-unet, not a column network")
        text = refused("benchmark", *COMMANDS["benchmark"][0], *weights, "--out", "out")
        assert text == (
            "unet.safetensors holds a dual-unet, and --weights needs a column-net: give other "
            "weights"
        )

    def test_weights_for_other_cells(self, refused, monkeypatch):
        monkeypatch.setattr(Catalog, "read", None)
        for name in ("reconstruct", "redshifts"):
            text = refused(
                name, *TWO, *CATALOGUE, "--method", "columns", "--cellsize", 4, "--out",
                f"out{COMMANDS[name][1]}",
            )  # fmt: skip
            assert "cells of 4 Mpc/h" in text
            assert "above what the network was trained for" in text
            assert "set --cellsize to another value" in text

    def test_a_method_without_redshifts(self, refused, monkeypatch):
        monkeypatch.setattr(Mock, "read", None)
        text = refused("redshifts", *WIENER, "--out", "out.fits")
        assert text.startswith("--method wiener has no posterior of single galaxies")

    def test_a_field_of_another_box_is_known_before_the_mock_is_painted(self, refused, monkeypatch):
        Field(torch.zeros(8, 8, 8), Box(64, 8), "delta").write("other.h5")
        monkeypatch.setattr(Mock, "fields", None)
        assert "other" in refused("evaluate", "mock", "other.h5", "--out", "out")

    def test_columns_that_a_catalogue_lacks(self, refused):
        Path("words.csv").write_text("x,y,z,mass\n1,2,3,4\n")
        text = refused(
            "paper", "--recipe", "paper", "--catalog", "words.csv", "--set",
            "boxes.split=paper", "--without-network", "--out", "out",
        )  # fmt: skip
        assert text.startswith("words.csv has no column 'vx'")

    @pytest.mark.parametrize(
        ("name", "setting", "words"),
        [
            ("paper", "boxes.spec_density=0.5", "boxes.spec_density up to 0.5 (h/Mpc)^3 is more"),
            ("paper", "boxes.photo_density=0.5", "boxes.photo_density up to 0.5 (h/Mpc)^3 is more"),
            ("demo", "surveys.photo_density=0.5", "photo_density up to 0.5 (h/Mpc)^3 is more than"),
            ("demo", "surveys.trim=[10,900]", "trim must be a range within the 64 Mpc/h of the"),
        ],
    )
    def test_settings_that_the_universe_or_a_network_cannot_give(
        self, refused, name, setting, words
    ):
        text = refused(name, *COMMANDS[name][0], "--set", setting, "--out", "out")
        assert words in text

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("surveys.cellsize=4", "the survey has cells of 4 Mpc/h along the sight lines"),
            ("surveys.sigma_z=0.2", "the survey has a photo-z error of "),
        ],
    )
    def test_a_network_that_is_asked_for_is_checked(self, refused, setting, words):
        asked = ("--set", 'reconstruct.methods=["columns"]')
        text = refused("demo", *COMMANDS["demo"][0], "--set", setting, *asked, "--out", "out")
        assert words in text

    def test_universes_with_too_few_galaxies(self, refused):
        few = Universe(boxsize=64, num_particles=16, num_steps=1, density=5e-3, seed=1)
        Path("boxes").mkdir()
        catalog_from_galaxies(few.make()).write("boxes/1.parquet")
        text = refused("benchmark", "--boxes", "boxes", "--seeds", 1, "--out", "out")
        assert text.startswith("boxes/1.parquet does not do for the setting fiducial, whose ")
        assert "photo_density up to 0.0185 (h/Mpc)^3 is more than the universe's 0.005" in text


@pytest.mark.parametrize("free", [3e4, 1e6, 4e7])
@pytest.mark.parametrize("size", [(64, 64, 64), (100, 250, 990)])
def test_the_cells_that_are_named_fit_and_are_nearly_the_smallest(free, size, monkeypatch):
    from truez.mesh.memory import check_mesh

    limit(monkeypatch, free=free)
    with pytest.raises(ValueError, match="take cells of at least") as caught:
        check_mesh(Box(size, cellsize=0.1), 40)
    side = float(str(caught.value).split()[-2])
    check_mesh(Box(size, cellsize=side), 40)
    with pytest.raises(ValueError, match="of memory"):
        check_mesh(Box(size, cellsize=0.85 * side), 40)


def test_a_machine_without_memory_has_no_cells_that_fit(monkeypatch):
    from truez.mesh.memory import check_mesh

    limit(monkeypatch, free=10)
    with pytest.raises(ValueError, match=r"use another machine$"):
        check_mesh(Box(64, cellsize=2), 40)
