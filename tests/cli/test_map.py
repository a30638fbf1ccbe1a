"""``truez map``: from a field on the sky to HEALPix maps and their picture."""

import numpy as np
import pytest
from astropy.io import fits
from tests.sky.sky_fields import sky_field

from truez.cli.app import main
from truez.mesh.box import Box
from truez.mesh.field import Field

pytestmark = pytest.mark.usefixtures("rough_figures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("map")
    sky_field("350,10,-6,6", np.zeros, cellsize=12).write(place / "field.h5")
    Field(np.zeros((8, 8, 8), np.float32), Box(64, cellsize=8)).write(place / "box.h5")
    (place / "text.h5").write_text("text")
    return place


def truez(folder, monkeypatch, capsys, text):
    """Exit code, stdout and stderr of a command in a folder."""
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    return int(stop.value.code or 0), *capsys.readouterr()


def test_maps_and_their_figure_are_written(folder, monkeypatch, capsys):
    command = "map field.h5 --zbins 0.12,0.2,0.25 --nside 32 --out maps.fits"
    code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, err) == (0, "")
    assert "maps.fits: SkyMaps of 2 bins between z = 0.12, 0.2, 0.25" in out
    assert "DELTA_1: z = 0.2 to 0.25, " in out
    data = fits.getdata(folder / "maps.fits")
    np.testing.assert_allclose(data["DELTA_0"], 0, atol=1e-6)
    for name in ("maps.png", "maps.pdf"):
        assert (folder / name).stat().st_size > 1000
    code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, out) == (2, "")
    assert "maps.fits is there already: give another --out, or --overwrite" in err
    assert truez(folder, monkeypatch, capsys, f"{command} --overwrite")[0] == 0


def test_pixels_smaller_than_cells_are_said_to_be(folder, monkeypatch, capsys):
    command = "map field.h5 --zbins 0.12,0.2 --nside 128 --out fine.fits"
    code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, err) == (0, "")
    assert "pixels of 0.46 deg are smaller than the cells of " in out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("spectrum field.h5 --out a.ecsv", "field.h5 is a field on the sky, and spectra are of"),
        ("spectrum field.h5 --samples --out a.ecsv", "field.h5 is a field on the sky, and spectra"),
        ("evaluate field.h5", "field.h5 is a field on the sky, and the first argument is the"),
        ("evaluate box.h5", "a truth file such as box.h5 needs the fields of both surveys: --pho"),
        ("map box.h5 --zbins 0.1,0.2", "box.h5 is a field in one box, and maps are made of those"),
        ("map text.h5 --zbins 0.1,0.2", "text.h5 is not a field on the sky that truez wrote"),
        ("map none.h5 --zbins 0.1,0.2", "there is no field file none.h5"),
        ("map field.h5 --zbins 0.2,0.15", "--zbins must be two or more increasing redshifts, not"),
        ("map field.h5 --zbins 0.2", "--zbins must be two or more increasing redshifts, not 0.2"),
        ("map field.h5 --zbins 0.2,0.4", "--zbins 0.2,0.4 reach beyond the map, which is from z"),
        ("map field.h5 --zbins a,b", "--zbins must be numbers A,B,..., not 'a,b'"),
        ("map field.h5 --zbins 0.12,0.2 --nside 100", "--nside must be a power of 2, not 100"),
        ("map field.h5 --zbins 0.12,0.2 --nside 0", "--nside must be a power of 2, not 0"),
        ("map field.h5 --zbins 0.12,0.2 --nside 4096", "--nside must be at most 256 for the cells"),
        ("map field.h5 --zbins 0.12,0.2 --out a.h5", "--out: maps are written as .fits, not a.h5"),
        ("map field.h5", "map needs --zbins (Z0,Z1,...: increasing redshifts"),
    ],
)
def test_wrong_input_is_one_sentence(folder, monkeypatch, capsys, command, sentence):
    before = sorted(folder.iterdir())
    command = command if "--out" in command else f"{command} --out new.fits"
    code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert len(err) < 300
    assert sorted(folder.iterdir()) == before
