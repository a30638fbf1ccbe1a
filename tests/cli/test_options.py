"""Options: objects of several of them, the help in panels, and errors that name the option."""

import inspect
import re
import shlex
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from truez.catalogs.catalog import Catalog
from truez.cli import app as frame
from truez.cli.errors import name_options
from truez.cli.methods import METHODS
from truez.cli.parameters import flattened, option_names
from truez.reconstruct import METHODS as RECONSTRUCT_METHODS
from truez.surveys.mock import Mock


@dataclass(frozen=True, kw_only=True)
class Cells:
    cellsize: Annotated[float, typer.Option(help="Side of a cell.")] = 2.0
    los: Annotated[str, typer.Option(help="Line of sight.")]


@dataclass(frozen=True, kw_only=True)
class Survey:
    cells: Cells
    real_space: Annotated[bool, typer.Option("--real-space", help="No velocities.")] = False


class TestFlattened:
    @pytest.fixture
    def calls(self):
        return []

    @pytest.fixture
    def app(self, calls):
        def paint(
            context: typer.Context,
            path: Annotated[str, typer.Argument()],
            survey: Survey,
            seed: Annotated[int, typer.Option()] = 0,
        ) -> None:
            """Paint."""
            calls.append((path, survey, seed, context.get_parameter_source("cellsize").name))

        app = typer.Typer()
        app.command()(flattened(paint))
        return app

    def test_the_fields_are_options_and_the_command_gets_the_object(self, app, calls):
        result = CliRunner().invoke(app, ["a.h5", "--los", "x", "--cellsize", "4", "--real-space"])
        assert result.exit_code == 0, result.output
        survey = Survey(cells=Cells(cellsize=4.0, los="x"), real_space=True)
        assert calls == [("a.h5", survey, 0, "COMMANDLINE")]

    def test_defaults_are_those_of_the_dataclass(self, app, calls):
        assert CliRunner().invoke(app, ["a.h5", "--los", "z", "--seed", "3"]).exit_code == 0
        assert calls == [("a.h5", Survey(cells=Cells(los="z")), 3, "DEFAULT")]

    def test_a_field_without_a_default_is_required(self, app, calls):
        result = CliRunner().invoke(app, ["a.h5"])
        assert result.exit_code == 2
        assert "--los" in result.output
        assert not calls

    def test_the_signature_has_no_dataclass(self):
        def paint(survey: Survey, seed: int = 0) -> None:
            """Paint."""

        flat = flattened(paint)
        assert flat.__doc__ == "Paint."
        assert list(inspect.signature(flat).parameters) == ["cellsize", "los", "real_space", "seed"]
        assert option_names(Survey) == ("cellsize", "los", "real_space")

    def test_two_options_of_one_name_are_refused(self):
        def paint(survey: Survey, los: str = "z") -> None:
            """Paint."""

        with pytest.raises(ValueError, match="paint has two options called los"):
            flattened(paint)


def command(name):
    return frame.LazyGroup(name="truez").get_command(None, name)


def help_page(name, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as ended:
        frame.main([*([name] if name else []), "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


class TestHelp:
    def test_the_methods_are_those_of_reconstruct(self):
        assert set(METHODS) == set(RECONSTRUCT_METHODS)

    @pytest.mark.parametrize("name", frame.COMMANDS)
    def test_every_option_has_a_help_text_and_a_panel(self, name):
        for parameter in command(name).params:
            assert parameter.help, parameter.name
            if parameter.opts[0].startswith("-"):
                assert parameter.rich_help_panel, parameter.name

    @pytest.mark.parametrize(("width", "lines"), [(100, 100), (80, 105)])
    @pytest.mark.parametrize("name", frame.COMMANDS)
    def test_a_page_fits_two_screens(self, name, width, lines, monkeypatch, capsys):
        page = help_page(name, width, monkeypatch, capsys)
        # Those for boxes and skies fit three.
        three = name in ("mock", "reconstruct", "redshifts")
        assert page.count("\n") <= (1.7 * lines if three else lines)
        assert "…" not in page, "a word is cut"

    def test_units_in_brackets_are_shown(self, monkeypatch, capsys):
        assert "[Mpc/h]" in help_page("reconstruct", 100, monkeypatch, capsys)

    def test_the_panels_of_a_page(self, monkeypatch, capsys):
        page = help_page("reconstruct", 100, monkeypatch, capsys)
        assert re.findall(r"╭─ (.*?) ─", page) == [
            "Arguments", "Surveys", "Photo-z", "Box", "Coordinates", "Method", "Network",
            "Sky", "Output", "Machine",
        ]  # fmt: skip

    def test_the_commands_of_users_come_before_experiments(self, monkeypatch, capsys):
        page = help_page("", 100, monkeypatch, capsys)
        users, experiments = page.split("─ Experiments ─")
        found = re.findall(r"^│ ([\w-]+) {2,}\w", users.split("─ Commands ─")[1], re.MULTILINE)
        assert found == list(frame.COMMANDS[: -len(frame.EXPERIMENTS)])
        found = re.findall(r"^│ (\w+) {2,}\w", experiments, re.MULTILINE)
        assert found == list(frame.EXPERIMENTS)

    def test_help_comes_even_if_a_path_does_not_exist(self, capsys):
        with pytest.raises(SystemExit) as ended:
            frame.main(["reconstruct", "--spec", "nowhere.fits", "--help"])
        assert not ended.value.code
        assert "Usage: truez reconstruct" in capsys.readouterr().out


OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in (
        "boxsize", "boxcenter", "length_unit", "hubble", "floor", "tile", "method", "weights",
        "out", "photo", "spec", "mock", "redshift", "sigma_z", "match_id", "drop_outside",
        "boxes", "seed",
    )
}  # fmt: skip
SENTENCES = [
    ("boxsize must be positive, not -1", "--boxsize must be positive, not -1"),
    ("boxsize of 3 Mpc/h is small", "--boxsize of 3 Mpc/h is small"),
    ("floor = 0.2 is not the 0.05", "--floor = 0.2 is not the 0.05"),
    ("redshift 2 must be below 1", "--redshift 2 must be below 1"),
    ("seed: Input should be less; redshift: Input should be more",
     "--seed: Input should be less; --redshift: Input should be more"),
    ("length_unit must be given", "--length-unit must be given"),
    ("correct the box and sigma_z", "correct the box and --sigma-z"),
    ("lengths in Mpc need hubble, the h", "lengths in Mpc need --hubble, the h"),
    ("it has no network: leave weights out", "it has no network: leave --weights out"),
    ("method wiener has no weights", "--method wiener has no weights"),
    ('or leave them out with outside="drop"', "or leave them out with --drop-outside"),
    ("correct boxsize, boxcenter or the length unit",
     "correct --boxsize, --boxcenter or --length-unit"),
    # What is no parameter stays.
    ("5 photo galaxies lie outside the box", "5 photo galaxies lie outside the box"),
    ("photo must have shape (n, 3)", "photo must have shape (n, 3)"),
    ("the floor is below the tile", "the floor is below the tile"),
    ("choose a method without a network", "choose a method without a network"),
    ("leave out --boxsize", "leave out --boxsize"),
    ("set boxes.cells to less", "set boxes.cells to less"),
    ("surveys.sigma_z: must be below 1", "surveys.sigma_z: must be below 1"),
    ("a.h5 has no column 'match_id'", "a.h5 has no column 'match_id'"),
    ("/data/length_unit/a.h5 is empty", "/data/length_unit/a.h5 is empty"),
    ("set mock.sigma_z=3", "set mock.sigma_z=3"),
    ("a.h5 has no column 'q', only x, sigma_z, match_id and 3 more",
     "a.h5 has no column 'q', only x, sigma_z, match_id and 3 more"),
    ("there is no column 'q' for match_id: choose one of seed, sigma_z",
     "there is no column 'q' for --match-id: choose one of seed, sigma_z"),
    ("footprint a.fits has no column 'q': it has sigma_z, hubble",
     "footprint a.fits has no column 'q': it has sigma_z, hubble"),
    ("photo_bounds must be truth", "photo_bounds must be truth"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), SENTENCES, ids=[given for given, _ in SENTENCES])
def test_a_sentence_names_the_options_of_the_command(given, expected):
    assert name_options(given, OPTIONS) == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a catalogue of 300 galaxies and a file of text."""
    folder = tmp_path_factory.mktemp("broken")
    positions = np.random.default_rng(5).uniform(0, 64, (300, 3))
    columns = dict(zip("xyz", positions.T, strict=True))
    Catalog({**columns, "mass": positions[:, 0] + 1, "id": np.arange(300)}).write(
        folder / "cat.parquet"
    )
    (folder / "page.txt").write_text("text")
    return folder


TWO = (
    "reconstruct --spec cat.parquet --photo cat.parquet --boxsize 64 --redshift 0.6 --sigma-z 0.01 "
    "--match-id id --out o.h5"
)
MOCK = (
    "mock cat.parquet --boxsize 64 --redshift 0.6 --sigma-z 0.01 --rank-by mass --spec-density "
    "1e-4 --out o"
)
PK = "spectrum cat.parquet --boxsize 64 --cellsize 8"
UNIVERSE = "simulate --boxsize 64 --num-particles 32 --dry-run --out o.parquet"
ABOVE_0, FROM_0 = "a finite number above 0", "a finite number of at least 0"
TO_1, TO_100, TO_03 = (f"a number from 0 to {end}" for end in ("below 1", "100", "0.3"))
POSITIVE = "one positive number or three, X,Y,Z"
FINITE = "one finite number or three, X,Y,Z"
#: Numbers: the command, the option, what it must be, and the values that are refused.
NUMBERS = [
    *[(base, "--boxsize", POSITIVE, "0 -128 nan abc 1,2") for base in (TWO, MOCK, PK, UNIVERSE)],
    (UNIVERSE, "--num-particles", POSITIVE, "0 -128 nan abc 1,2"),
    *[(base, "--boxcenter", FINITE, "nan abc 1,2") for base in (TWO, MOCK, PK)],
    *[(base, "--cellsize", ABOVE_0, "0 -128 nan inf") for base in (TWO, MOCK, PK)],
    *[(base, "--hubble", ABOVE_0, "0 -128 nan inf") for base in (TWO, MOCK, PK)],
    *[(base, "--redshift", TO_100, "-128 nan inf 5000") for base in (TWO, MOCK, UNIVERSE)],
    (UNIVERSE, "--start-redshift", FROM_0, "-128 nan inf"),
    *[(base, "--sigma-z", TO_03, "-128 nan inf 1 0.9") for base in (TWO, MOCK)],
    *[(base, "--outlier-fraction", TO_1, "-128 nan inf 1") for base in (TWO, MOCK)],
    *[(MOCK, f"--{name}-density", ABOVE_0, "0 -128 nan inf") for name in ("spec", "photo")],
    (UNIVERSE, "--density", ABOVE_0, "0 -128 nan inf"),
    (MOCK, "--trim", "two numbers, LOW,HIGH", "0 nan,3 abc 1,2,3"),
    (f"{TWO} --method redistribution", "--floor", "a positive intensity", "0 -128 nan inf"),
    (TWO, "--symmetries", "1, 2, 4, 8 or 16", "0 -128 3"),
    (UNIVERSE, "--num-steps", "a whole number from 1 to 100000", "0 -128"),
    ("redshifts --out o.fits", "--interval", "between 0 and 1", "0 -128 nan inf"),
    ("benchmark --dry-run", "--boxsize", POSITIVE, "0 -128 nan abc 1,2"),
    ("benchmark --dry-run", "--num-particles", POSITIVE, "0 -128 nan abc 1,2"),
    ("benchmark --dry-run", "--cellsize", ABOVE_0, "0 -128 nan inf"),
    ("benchmark --dry-run", "--draws", "0 (no medians) or more", "-128"),
    ("benchmark --dry-run", "--samples", "0 (none) or 4 or more", "-128 3"),
]
#: Paths: the command with the path as its end, and what it is called.
PATHS = [
    ("reconstruct", "there is no mock folder nowhere"),
    ("redshifts", "there is no mock folder nowhere"),
    *[(f"{name} --{survey}", f"there is no catalogue file nowhere (--{survey})")
      for name in ("reconstruct", "redshifts") for survey in ("spec", "photo")],
    ("reconstruct --method magic --cellsize 0 --weights",
     "there is no weights file nowhere (--weights)"),
    ("mock", "there is no catalogue file nowhere"),
    ("mock --boxsize x --out o", "there is no catalogue file nowhere"),
    ("evaluate", "there is no mock folder or field file nowhere"),
    ("evaluate cat.parquet", "there is no field file nowhere"),
    ("evaluate cat.parquet --photo", "there is no field file nowhere (--photo)"),
    ("evaluate cat.parquet --spec", "there is no field file nowhere (--spec)"),
    ("spectrum", "there is no catalogue or field file nowhere"),
    ("spectrum --boxsize 64 --resampler pcs", "there is no catalogue or field file nowhere"),
    ("spectrum page.txt --other", "there is no field file nowhere (--other)"),
    ("info", "there is no file or folder nowhere"),
    ("report", "there is no folder nowhere"),
    ("train small --mock", "there is no mock folder nowhere (--mock)"),
    ("train small --boxes", "there is no folder nowhere (--boxes)"),
    ("train small --start", "there is no weights file nowhere (--start)"),
    ("paper --until painting --catalog", "there is no catalogue nowhere (--catalog)"),
    ("benchmark --boxes", "there is no folder nowhere (--boxes)"),
    ("benchmark --seeds x --weights", "there is no weights file nowhere (--weights)"),
    ("benchmark --unet", "there is no weights file nowhere (--unet)"),
]  # fmt: skip
#: Other broken command lines and their sentences.
OTHERS = [
    ("reconstruct .", ". is not a mock folder: it holds no mock.toml"),
    (f"{TWO} --spec .", ". is a folder: give a catalogue file (--spec)"),
    (f"{TWO} --weights .", ". is a folder: give a weights file (--weights)"),
    (f"{TWO} --photo page.txt --positions 1,2,3",
     "page.txt has no column '1' (--positions '1,2,3'), only text"),
    ("report page.txt", "page.txt is a file: give a folder"),
    ("train none.toml --out o", "there is no recipe file none.toml"),
    ("paper --recipe none.toml", "there is no recipe file none.toml (--recipe)"),
    ("paper --recipe none", "--recipe must be one of paper, paper-small or a path that ends in"),
    ("paper --set boxes.split=paper --recipe paper-small",
     "boxes.split = paper needs divide, where the test part begins [Mpc/h]\n"),
    (f"{TWO} --out o.xyz", "--out: a field is read and written as .h5, .hdf5 or .fits, not o.xyz"),
    ("redshifts --out o.xyz", "--out: the suffix of o.xyz is not that of a catalogue"),
    ("redshifts --pdf-out o.xyz", "--pdf-out: a file of p(z) must end in .hdf5"),
    (f"{UNIVERSE} --out o.xyz", "--out: the suffix of o.xyz is not that of a catalogue"),
    (f"{TWO} --los w", "--los must be an axis"),
    (f"{TWO} --length-unit parsec", "--length-unit must be one of Mpc/h"),
    (f"{TWO} --length-unit Mpc", "lengths in Mpc need --hubble"),
    (f"{TWO} --cosmology h=3,omega_m=0.3",
     "--cosmology 'h=3,omega_m=0.3': h must be above 0.1 and below 2, not 3\n"),
    (f"{TWO} --cosmology h=0.7", "--cosmology 'h=0.7': omega_m is missing: add it\n"),
    (f"{TWO} --photo-bounds sky", "--photo-bounds must be truth or photo-z, not 'sky'"),
    (f"{TWO} --positions x,y", "--positions need three different columns, not x, y"),
    (f"{TWO} --match-id name", "--spec: cat.parquet has no column 'name'"),
    (f"{TWO} --method magic", "--method must be one of"),
    (f"{TWO} --method wiener --symmetries 4", "has no such setting: leave out --symmetries"),
    (f"{TWO} --method wiener --bf16", "has no such setting: leave out --bf16"),
    (f"{TWO} --method dual-unet", "--method dual-unet needs --weights"),
    (f"{TWO} --method columns --fit-sigma", "has no such setting: leave out --fit-sigma"),
    (f"{TWO} --boxsize 20", "correct --boxsize, --boxcenter or --length-unit"),
    (f"{MOCK} --boxsize 20", "correct --boxsize, --boxcenter or --length-unit"),
    (f"{MOCK} --rank middle", "--rank must be highest or lowest, not 'middle'"),
    (f"{MOCK} --seed -1", "--seed must be at least 0, not -1\n"),
    (f"{MOCK} --spec-density 5", "--spec-density 5 (h/Mpc)^3 is"),
    (f"{MOCK} --trim 50,20", "--trim must be a lower and an upper distance"),
    ("mock cat.parquet --boxsize 64 --redshift 0 --sigma-z 0 --out o",
     "the spectroscopic sample needs --spec-density or --spec-cut"),
    (f"{UNIVERSE} --start-redshift 0.2", "--redshift 0.59 must be below --start-redshift 0.2"),
    (f"{UNIVERSE} --force-factor 9", "--force-factor must be one of 1, 2, 3, 4"),
    (f"{PK} --resampler pcs", "--resampler must be one of ngp, cic, tsc, not 'pcs'"),
    ("spectrum cat.parquet --cellsize 4 --no-interlacing",
     "without --boxsize DATA is a field: leave out --cellsize, --no-interlacing"),
    ("benchmark --seeds x", "--seeds must be numbers or ranges such as 901-904, not 'x'"),
    ("benchmark --setting x",
     "--setting must be one of fiducial, sparse, narrow, lognormal, not 'x'"),
]  # fmt: skip
BROKEN = [
    *[(f"{line} {option} {value}", f"{option} must be {words}, not ")
      for line, option, words, values in NUMBERS for value in values.split()],
    *[(f"{line} nowhere", f"{sentence}\n") for line, sentence in PATHS],
    *OTHERS,
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), BROKEN, ids=[line for line, _ in BROKEN])
def test_an_error_names_the_option(line, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as ended:
        frame.main(shlex.split(line))
    assert ended.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("truez: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("option", ["--cellsize", "--redshift", "--tile", "--symmetries"])
def test_text_where_a_number_is_needed_is_a_usage_error(option, capsys):
    with pytest.raises(SystemExit) as ended:
        frame.main(["reconstruct", option, "many"])
    assert ended.value.code == 2
    kind = "a whole number" if option in {"--tile", "--symmetries"} else "a number"
    assert capsys.readouterr().err == f"truez: {option} must be {kind}, not 'many'\n"


def test_a_mock_folder_refuses_the_options_of_catalogues(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Mock, "read", None)  # refused before anything is read
    with pytest.raises(SystemExit) as ended:
        frame.main(["reconstruct", str(tmp_path), "--not-periodic", "--match-id", "id"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "truez: a mock folder contains these settings: leave out --match-id, --not-periodic\n"
    )
