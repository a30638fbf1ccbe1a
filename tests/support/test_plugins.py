"""Plug-ins: found by their metadata, imported when asked for, and never in the way when broken."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, surveys_of, tables

import truez
from support.installed_plugins import install_example, write_metadata
from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.reconstruct import METHODS, Method, Reconstruction, check_uneven
from truez.sky import registry
from truez.sky.patches import PatchSettings
from truez.sky.result import SkyReconstruction
from truez.support.plugins import PluginError

#: What a broken package states, and the sentence.
BROKEN = {
    "absent": ("not_there:METHOD", "ModuleNotFoundError: No module named 'not_there'"),
    "fails": ("broken_plugin.fails:METHOD", "ZeroDivisionError: division by zero"),
    "nothing": ("broken_plugin.thing:NOTHING", "AttributeError: module"),
    "thing": (
        "broken_plugin.thing:THING",
        "THING is a int, and must be a truez.reconstruct",
    ),
    "settings": ("broken_plugin.thing:LOOSE", "the settings of a method must be a dataclass"),
}
MODULE = """
import dataclasses
import truez.reconstruct as R

THING = 7
LOOSE = R.Method(lambda *_: None, dict)


@dataclasses.dataclass(frozen=True)
class Settings:
    pass


def run(surveys, settings, run):
    return {}["delta"]


FAILING = R.Method(run, Settings)
NAME = "half a format"
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of installed packages, and what is known of plug-ins read anew."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{':'.join(sys.path)}")

    def forget():
        for known in (METHODS, registry.METHODS):
            vars(known).pop("_plugins", None)
            known._loaded.clear()
        formats.formats.cache_clear()
        for name in list(sys.modules):
            if name.split(".")[0] in ("truez_plugin_example", "broken_plugin"):
                del sys.modules[name]

    forget()
    yield folder
    forget()


@pytest.fixture
def example(installed):
    install_example(installed)
    return installed


@pytest.fixture
def broken(installed):
    package = installed / "broken_plugin"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "fails.py").write_text("1 / 0\n")
    (package / "thing.py").write_text(MODULE)
    entries = {name: target for name, (target, _) in BROKEN.items()}
    entries["failing"] = "broken_plugin.thing:FAILING"
    groups = {"truez.methods": entries, "truez.formats": {"half": "broken_plugin.thing"}}
    write_metadata(installed, "broken-plugin", "1.0", groups)
    return installed


@pytest.fixture(scope="module")
def surveys():
    galaxies = truez.lognormal_galaxies(
        truez.Box(64, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    )
    return galaxies.observe(spec_density=1e-3, sigma_z=0.01, cellsize=4, seed=2).surveys


def ended(capsys, *arguments):
    """Exit code, stdout and stderr of the command line."""
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    return stop.value.code or 0, *capsys.readouterr()


class TestAMethod:
    def test_it_runs_in_a_box_as_its_own_function_does(self, example, surveys):
        result = truez.reconstruct(surveys, "smoothed-spec", radius=12)
        expected = surveys.spec_field().smooth(12)
        assert np.array_equal(result.delta, expected)
        assert result.delta.metadata["method"] == "smoothed-spec"

    def test_it_sharpens_redshifts_on_the_sky(self, example):
        cone = light_cone(density=0.006)
        sky = surveys_of(cone)
        cells = PatchSettings(cellsize=8)
        result = truez.reconstruct(sky, "smoothed-spec", patches=cells, radius=10)
        found = result.redshifts()
        assert np.isfinite(found["z_mean"]).mean() > 0.5
        gain = found["information_gain"]
        assert np.nanmean(gain) > 0.01

    def test_it_is_listed_and_not_imported(self, example):
        assert "smoothed-spec" in METHODS
        assert "smoothed-spec" in registry.METHODS
        assert list(METHODS)[-1] == "smoothed-spec"
        assert len(METHODS) == len(list(METHODS))
        assert "truez_plugin_example" not in sys.modules

    def test_its_settings_are_checked(self, example, surveys):
        with pytest.raises(ValueError, match=r"^radius must be a positive length in Mpc/h, not -1"):
            truez.reconstruct(surveys, "smoothed-spec", radius=-1)
        with pytest.raises(ValueError, match="method smoothed-spec has no setting width: leave"):
            truez.reconstruct(surveys, "smoothed-spec", width=1)

    def test_from_the_command_line(self, example, tmp_path, capsys):
        rng = np.random.default_rng(1)
        for name, number in (("photo", 3000), ("spec", 300)):
            places = {axis: rng.uniform(0, 64, number) for axis in "xyz"}
            Catalog(places).write(tmp_path / f"{name}.npz")
        out = tmp_path / "field.h5"
        options = [
            "reconstruct", "--spec", tmp_path / "spec.npz", "--photo", tmp_path / "photo.npz",
            "--boxsize", "64", "--redshift", "0.6", "--sigma-z", "0.01", "--overlap", "disjoint",
            "--cellsize", "4", "--method", "smoothed-spec", "--out", out,
        ]  # fmt: skip
        code, text, errors = ended(capsys, *options, "--setting", "radius=12")
        assert code == 0, errors
        assert "smoothed-spec on " in text
        assert truez.Field.read(out).metadata["smoothing"] == 12
        for setting, sentence in {
            "radius": "--setting must be NAME=VALUE, not 'radius'",
            "width=1": "method smoothed-spec has no setting width",
            "radius=far": "radius must be a positive length in Mpc/h, not 'far'",
            "cellsize=1": "--setting cellsize has an option of its own: give --cellsize",
        }.items():
            code, _, errors = ended(capsys, *options, "--overwrite", "--setting", setting)
            assert (code, errors.count("\n")) == (2, 1)
            assert sentence in errors

    @pytest.mark.medium
    def test_settings_from_the_command_line_on_the_sky(
        self, example, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        cone = light_cone(density=0.006)
        photo, spec = tables(cone)
        Catalog(photo).write("photo.fits")
        Catalog(spec).write("spec.fits")
        options = [
            "--spec", "spec.fits", "--photo", "photo.fits", "--sky", "ra,dec,z", "--match-id", "ID",
            "--sigma-z", "0.012", "--footprint", "354,6,-3,3", "--redshift-range", "0.105,0.253",
            "--real-space", "--cellsize", "8", "--method", "smoothed-spec",
        ]  # fmt: skip
        for setting, sentence in {
            "radius": "--setting must be NAME=VALUE, not 'radius'",
            "width=1": "method smoothed-spec has no setting width",
            "radius=-3": "radius must be a positive length in Mpc/h, not -3",
            "floor=0.1": "--setting floor has an option of its own: give --floor",
        }.items():
            for command in ("reconstruct", "redshifts"):
                code, _, errors = ended(capsys, command, *options, "--setting", setting)
                assert (code, errors.count("\n")) == (2, 1)
                assert sentence in errors
        gains = {}
        for radius in (10, 40):
            chosen = [*options, "--floor", "0.2", "--setting", f"radius={radius}", "--overwrite"]
            code, _, errors = ended(capsys, "redshifts", *chosen, "--out", "z.fits")
            assert code == 0, errors
            found = Catalog.read("z.fits")
            assert found.metadata["truez"]["settings"] == {"radius": radius, "floor": 0.2}
            gains[radius] = np.nanmean(found["information_gain"][~found["spec_matched"]])
        assert gains[10] > gains[40] > 0
        code, _, errors = ended(
            capsys, "reconstruct", *options, "--floor", "0.2", "--setting", "radius=40",
            "--out", "field.h5",
        )  # fmt: skip
        assert code == 0, errors
        sharpened = SkyReconstruction.read("field.h5", surveys_of(cone)).redshifts()
        again = np.nanmean(sharpened["information_gain"][~sharpened["spec_matched"]])
        assert again == pytest.approx(gains[40], rel=1e-3)

    def test_a_method_of_a_box_with_an_intensity_sharpens_redshifts(
        self, tmp_path, monkeypatch, capsys
    ):
        def lifted(surveys, settings, run):
            delta = surveys.spec_field().smooth(settings.radius)
            intensity = (1 + delta.values).clamp(min=0.1) if settings.moves else None
            return Reconstruction(delta, intensity=intensity, surveys=surveys)

        @dataclass(frozen=True)
        class Settings:
            radius: float = 8.0
            moves: bool = True

        monkeypatch.setitem(METHODS, "lifted", Method(lifted, Settings))
        galaxies = truez.lognormal_galaxies(
            truez.Box(64, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
        )
        galaxies.observe(spec_density=1e-3, sigma_z=0.01, cellsize=4, seed=2).write(
            tmp_path / "mock"
        )
        out = tmp_path / "z.fits"
        options = ["redshifts", tmp_path / "mock", "--method", "lifted", "--out", out]
        code, _, errors = ended(capsys, *options, "--setting", "radius=6", "--draws", "1")
        assert code == 0, errors
        found = Catalog.read(out)
        assert np.nanmean(found["information_gain"]) > 0.01
        assert np.isfinite(found["z_draw_0"]).mean() > 0.9
        code, _, errors = ended(capsys, *options, "--overwrite", "--setting", "moves=false")
        assert (code, errors.count("\n")) == (2, 1)
        assert "moves no galaxies and has no intensity" in errors


class TestAFormat:
    def test_what_is_written_is_read(self, example, tmp_path):
        rng = np.random.default_rng(1)
        table = Catalog({"ra": rng.uniform(0, 360, 50), "id": np.arange(50), "s": ["a"] * 50})
        table.write(tmp_path / "table.npz")
        again = Catalog.read(tmp_path / "table.npz")
        assert list(again.columns) == ["ra", "id", "s"]
        assert all(np.array_equal(again[name], table[name]) for name in again.columns)

    def test_vectors_are_components_and_chunks_are_as_long_as_asked_for(self, example, tmp_path):
        np.savez(tmp_path / "v.npz", v=np.arange(30.0).reshape(10, 3))
        pieces = [len(piece["v.1"]) for piece in formats.chunks(tmp_path / "v.npz", ["v.1"], 4)]
        assert pieces == [4, 4, 2]

    def test_a_damaged_file_is_one_sentence(self, example, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"PK not a zip file")
        with pytest.raises(ValueError, match=r"a\.npz.*NumPy archive"):
            Catalog.read(tmp_path / "a.npz")

    def test_without_the_package_the_suffix_is_unknown(self, installed, tmp_path):
        with pytest.raises(ValueError, match=r"the suffix of .*a\.npz is not that of a catalogue"):
            Catalog.read(tmp_path / "a.npz")


class TestABrokenPlugin:
    @pytest.mark.parametrize("name", BROKEN)
    def test_it_is_one_sentence_with_the_name_of_the_package(self, name, broken, surveys):
        start = f"the method '{name}' of the package broken-plugin 1.0 cannot be used: "
        with pytest.raises(PluginError) as error:
            truez.reconstruct(surveys, name)
        text = str(error.value)
        assert text.startswith(start)
        assert BROKEN[name][1] in text
        assert text.endswith("; update or uninstall broken-plugin")
        with pytest.raises(PluginError):
            registry.METHODS[name]

    def test_a_defect_while_it_runs_names_the_package(self, broken, surveys):
        with pytest.raises(PluginError, match=r"'failing' of .* broken-plugin 1.0 failed: KeyErr"):
            truez.reconstruct(surveys, "failing")

    def test_nothing_else_is_disturbed(self, broken, surveys, tmp_path):
        assert truez.reconstruct(surveys, "wiener-spec").delta.shape == (16, 16, 16)
        with pytest.raises(ValueError, match=r"^method must be one of columns, .*, not 'none'$"):
            truez.reconstruct(surveys, "none")
        with pytest.raises(ValueError, match="choose method columns, redistribution, wiener or"):
            check_uneven("dual-unet")
        Catalog({"x": np.arange(3.0)}).write(tmp_path / "a.fits")
        assert len(Catalog.read(tmp_path / "a.fits")) == 3

    def test_the_list_has_a_line_for_each(self, broken, example, capsys):
        code, text, _ = ended(capsys, "--plugins")
        lines = text.splitlines()
        assert (code, len(lines)) == (0, len(BROKEN) + 4)
        for name, (_, reason) in BROKEN.items():
            (line,) = [one for one in lines if f"'{name}'" in one]
            assert reason in line
        package = "truez-plugin-example 0.1.0"
        assert f"The method 'smoothed-spec' of the package {package}: in a box, on the sky" in lines
        assert any("'half'" in line and "has no header, chunks, write" in line for line in lines)

    def test_a_half_format_is_one_sentence(self, broken, tmp_path):
        (tmp_path / "a.half").write_text("1")
        with pytest.raises(ValueError, match=r"'half' of the package broken-plugin 1.0 cannot be"):
            Catalog.read(tmp_path / "a.half")


def test_one_name_of_two_packages_is_refused(example, surveys):
    write_metadata(example, "other-plugin", "2.0", {"truez.methods": {"smoothed-spec": "math:pi"}})
    with pytest.raises(PluginError, match=r"is one of the package .* as well: uninstall one"):
        truez.reconstruct(surveys, "smoothed-spec")


def test_names_of_truez_stay_its_own(installed, surveys, capsys):
    write_metadata(installed, "taker", "1.0", {"truez.methods": {"wiener": "math:pi"}})
    assert truez.reconstruct(surveys, "wiener").delta.shape == (16, 16, 16)
    code, text, _ = ended(capsys, "--plugins")
    assert code == 0
    assert "not used: truez has its own of that name" in text


def test_a_method_for_one_kind_of_surveys_says_so(installed, surveys):
    package = installed / "broken_plugin"
    package.mkdir()
    (package / "__init__.py").write_text(MODULE + "\nfrom truez.sky.registry import SkyMethod\n"
                                         "SKY = SkyMethod(run, Settings)\n")  # fmt: skip
    entries = {"sky-only": "broken_plugin:SKY", "box-only": "broken_plugin:FAILING"}
    write_metadata(installed, "halves", "1.0", {"truez.methods": entries})
    with pytest.raises(PluginError, match=r"halves 1.0 is for surveys on the sky \(--sky\), not"):
        truez.reconstruct(surveys, "sky-only")
    with pytest.raises(PluginError, match=r"halves 1.0 is for surveys in a box, not on the sky"):
        registry.METHODS["box-only"]


def test_help_imports_no_plugin(broken):
    code = (
        "import sys\nfrom truez.cli.app import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'broken_plugin' not in sys.modules and 'importlib.metadata' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
