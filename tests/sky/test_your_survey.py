"""The guide to your own survey: its commands and its code run on small files of a light cone."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.docs.blocks import run
from tests.sky.light_cone import light_cone, turned

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.healpix import centers, nested
from truez.mesh.sphere import separation
from truez.surveys.footprint_output import write_healpix
from truez.surveys.pixel_map import PixelMap

pytestmark = pytest.mark.usefixtures("rough_figures")
DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(bash|python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Cells of the quick test.
COARSE = "--cellsize 8"


def files(folder):
    """spec.fits, photo.fits and mask.fits, of 72 deg^2 about (135, 0.5) with a hole."""
    cone = light_cone(density=0.008)
    ra, dec = turned(cone, 135, 0.5)
    pixels = np.unique(nested(ra, dec, 64))
    fine = (pixels[:, None] * 64 + np.arange(64)).ravel()
    a, d = centers(fine, 512)
    inside = (separation(a, d, 137.0, 1.0) > 0.5) & (np.abs(d - 0.5) < 3) & (np.abs(a - 135) < 6)
    mask = PixelMap(512, fine[inside], np.ones(inside.sum(), np.float32))
    write_healpix(folder / "mask.fits", mask)
    seen = ~mask.outside(ra, dec)
    lost = np.arange(len(cone)) % 400 == 7
    photo = {
        "RA": ra, "DEC": dec, "Z_PHOT_MEAN": np.where(lost, -99, cone.z_phot),
        "Z_PHOT_STD": cone.sigma * (1 + cone.z), "TARGETID": 39_000_000 + np.arange(len(cone)),
    }  # fmt: skip
    spec = {name: values[cone.spec & seen] for name, values in photo.items()}
    spec |= {"Z": cone.z[cone.spec & seen]}
    names = ("TARGETID", "RA", "DEC", "Z")
    units = {"RA": "deg", "DEC": "deg"}
    Catalog({name: spec[name] for name in names}, units).write(folder / "spec.fits")
    Catalog({name: values[seen] for name, values in photo.items()}, units).write(
        folder / "photo.fits"
    )


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey")
    files(folder)
    return folder


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:method redistribution is used")  # its cells are coarse
def test_the_guide_leads_from_two_catalogues_and_a_mask_to_maps(survey, monkeypatch, capsys):
    monkeypatch.chdir(survey)
    blocks = BLOCK.findall((DOCS / "guides" / "your-survey.md").read_text("utf-8"))
    lines = [
        line for language, text in blocks if language == "bash"
        for line in text.replace("\\\n", " ").splitlines() if line.strip()
    ]  # fmt: skip
    assert [shlex.split(line)[1] for line in lines] == [
        "reconstruct", "redshifts", "reconstruct", "map",
    ]  # fmt: skip
    for line in lines:
        words = shlex.split(line if " map " in line else f"{line} {COARSE}")
        assert words[0] == "truez"
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert not ended.value.code, f"{words}: {capsys.readouterr().err}"
    found, given = Catalog.read("redshifts.fits"), Catalog.read("photo.fits")
    assert set(given.columns) < set(found.columns)
    assert len(found) == len(given)
    assert (found["flag"][given["Z_PHOT_MEAN"] < 0] & 8 > 0).all()
    assert found["information_gain"][found["flag"] == 0].size > 100
    with fits.open("maps.fits") as hdus:
        assert "DELTA_1" in hdus[1].columns.names
    assert Path("maps.png").is_file()
    python = [text for language, text in blocks if language == "python"]
    assert len(python) == 1
    exec(compile(python[0].replace("cellsize=2", "cellsize=8"), "your-survey.md", "exec"), {})


@pytest.mark.filterwarnings("ignore:method redistribution is used")
def test_the_python_of_the_page_on_the_sky_runs(survey, monkeypatch):
    monkeypatch.chdir(survey)
    block, *_ = [  # others read what their commands write
        text for language, text in BLOCK.findall((DOCS / "guides" / "sky.md").read_text("utf-8"))
        if language == "py"
    ]  # fmt: skip
    for there, here in (("cellsize=2.0", "cellsize=10"), ("Z_PHOT", "Z_PHOT_MEAN"),
                        ("Z_ERR", "Z_PHOT_STD"), ('"ID"', '"TARGETID"')):  # fmt: skip
        assert there in block
        block = block.replace(there, here)
    names = {}
    exec(compile(block, "sky.md", "exec"), names)
    assert np.isfinite(names["result"].at([135.0], [0.5], [0.2])).all()


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:method redistribution is used")
def test_the_first_survey_becomes_sharpened_redshifts(survey, monkeypatch, capsys):
    monkeypatch.chdir(survey)
    redshifts, near = "--redshift-range 0.11,0.25", "--redshift-range 0.04,0.3"
    changes = {
        redshifts: f"{redshifts} {COARSE}", near: f"{near} {COARSE}",
        "demo --sky": "demo --sky --set universe.boxsize=128 --set universe.num_particles=40 "
        "--set universe.num_steps=3 --set reconstruct.cellsize=10",
    }  # fmt: skip
    run("docs/start/first-survey.md", capsys, changes)
    found, demo = Catalog.read("sharpened.fits"), Catalog.read("demo-redshifts.fits")
    assert np.mean((demo["flag"] & ~4 == 0) & np.isfinite(demo["z_median"])) > 0.99
    good = found["flag"] == 0
    assert np.median(found["z_std"][good]) < np.median(found["Z_PHOT_STD"][good])


COMMAND = (
    "reconstruct --spec spec.fits --photo photo.fits --sky RA,DEC,Z "
    "--photo-sky RA,DEC,Z_PHOT_MEAN --dry-run --z-err-column Z_PHOT_STD --footprint mask.fits "
    "--match-radius 1"
)
#: What is wrong in the command, and the words of the table.
BROKEN = [
    (("spec.fits", "hours.parquet"), "ra looks like hours, so give --ra-unit hourangle"),
    (("mask.fits", "100,170,-20,30"), "of the photo survey: give the footprint of these galaxies"),
    (("mask.fits", "140,150,-3,3"), "correct --footprint or the columns of the sky"),
    (("RA,DEC,Z ", "RA,DEC,TARGETID "), "divide velocities cz by 299792.458 km/s"),
    (("Z_PHOT_STD", "TARGETID"), "must hold errors below 1, but"),
    (("--dry-run", "--dry-run --nz nz.csv"), "nz contradicts the photo redshifts"),
    (("--z-err-column Z_PHOT_STD", ""), "the photo-z error must be given once"),
    (("--match-radius 1", ""), "give one of --match-id"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN, ids=[words[:30] for _, words in BROKEN])
def test_what_stops_it_is_in_the_guide(survey, monkeypatch, capsys, change, words):
    monkeypatch.chdir(survey)
    spec = Catalog.read("spec.fits")
    hours = {**spec.columns, "RA": spec["RA"] / 15}
    Catalog(hours).write("hours.parquet")
    z = np.linspace(0.01, 1, 50)
    Catalog({"z": z, "n": 1e5 * z**2 * np.exp(-((z / 0.5) ** 2))}).write("nz.csv")
    assert change[0] in COMMAND
    with pytest.raises(SystemExit) as ended:
        main(COMMAND.replace(*change).split())
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert f"| `{words}" in (DOCS / "guides" / "your-survey.md").read_text("utf-8")


def test_the_output_in_the_guide_is_that_of_its_command(survey, monkeypatch, capsys):
    monkeypatch.chdir(survey)
    page = (DOCS / "guides" / "your-survey.md").read_text("utf-8")
    (command, shown), *_ = re.findall(
        r"^```bash\n(.*?)^```$\n\n((?:    [^\n]*\n)+)", page, re.MULTILINE | re.DOTALL
    )
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command.replace("\\\n", " "))[1:])
    assert not ended.value.code
    number = r"-?\d[\d.]*(?:e[+-]\d+)?"  # fits and times are not the same everywhere
    out = capsys.readouterr().out.strip()
    shown = re.sub("^    ", "", shown, flags=re.MULTILINE).strip()
    assert re.sub(number, "#", out) == re.sub(number, "#", shown)
