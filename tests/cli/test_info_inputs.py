"""``truez info`` says what masks, randoms, N(z) and p(z) are, and the option that takes them."""

import re
import sys

import healsparse
import numpy as np
import pytest
from astropy.io import fits
from mocpy import MOC
from tests.surveys.masks.test_masks import MANGLE, write_txpipe
from tests.surveys.pdfs.pdf_files import (
    LAYOUTS,
    gaussians,
    nested,
    numbers_of,
    write_nested,
    write_qp,
    write_tables,
)

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.sphere import WHOLE_SKY

NSIDE = 64
PIXELS = np.arange(2000, 2600)
AREA = len(PIXELS) * WHOLE_SKY / (12 * NSIDE**2)


@pytest.fixture
def info(tmp_path, monkeypatch, capsys):
    """Exit code, stdout and stderr of ``truez info`` in a folder."""
    monkeypatch.chdir(tmp_path)

    def run(name, *more):
        with pytest.raises(SystemExit) as stop:
            main(["info", name, *more])
        return int(stop.value.code or 0), *capsys.readouterr()

    run.folder = tmp_path
    return run


def number(text, name):
    return float(re.search(rf"{name} +([-\d.e+]+)", text)[1])


def healpix(path, values, pixels=None, **keys):
    columns = [fits.Column("COMPLETENESS", "E", array=values)]
    if pixels is not None:
        columns.insert(0, fits.Column("PIXEL", "K", array=pixels))
        keys["INDXSCHM"] = "EXPLICIT"
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"PIXTYPE": "HEALPIX", "NSIDE": NSIDE, "ORDERING": "NESTED", **keys})
    table.writeto(path)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """A mask of each kind with the same pixels, of completeness 0.5 where it has fractions."""
    folder = tmp_path_factory.mktemp("masks")
    whole = np.zeros(12 * NSIDE**2, np.float32)
    whole[PIXELS] = 0.5
    healpix(folder / "whole.fits", whole)
    healpix(folder / "part.fits", whole[PIXELS], PIXELS)
    for kind, dtype, value in (("fraction", np.float32, 0.5), ("boolean", bool, True),
                               ("integer", np.int32, 1)):  # fmt: skip
        mask = healsparse.HealSparseMap.make_empty(32, NSIDE, dtype)
        mask[PIXELS] = np.full(len(PIXELS), value, dtype)
        mask.write(folder / f"{kind}.hsp")
        mask.write(folder / f"{kind}.parquet", format="parquet")
        mask.write(folder / f"{kind}.h5", format="hdf5")
    moc = MOC.from_healpix_cells(PIXELS, np.full(len(PIXELS), 6), max_depth=6)
    for form in ("fits", "json", "ascii"):
        moc.save(folder / f"moc.{form}", format=form)
    write_txpipe(folder / "txpipe.hdf5", {"mask": (PIXELS, np.full(len(PIXELS), 0.5))},
                 nside=NSIDE, nest=True)  # fmt: skip
    grid, columns = numbers_of("hist", *gaussians())
    write_qp(folder / "pz.hdf5", "hist", grid, columns)
    return folder


KINDS = {
    "whole.fits": ("HEALPix map in FITS", 0.5), "part.fits": ("HEALPix map in FITS", 0.5),
    "moc.fits": ("MOC in FITS", 1), "moc.json": ("MOC in JSON", 1),
    "moc.ascii": ("MOC in ASCII", 1),
    "txpipe.hdf5": ("map of TXPipe in HDF5", 0.5),
} | {
    f"{kind}.{suffix}": (f"healsparse map of {'fractions' if kind == 'fraction' else 'yes and no'}",
                         0.5 if kind == "fraction" else 1)
    for kind in ("fraction", "boolean", "integer") for suffix in ("hsp", "parquet", "h5")
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_mask_has_its_kind_area_resolution_completeness_and_option(
    name, masks, info, monkeypatch
):
    monkeypatch.chdir(masks)
    code, out, err = info(name)
    assert (code, err) == (0, "")
    what, mean = KINDS[name]
    assert out.startswith(f"{name}: a mask, {what}\n")
    assert number(out, "area") == pytest.approx(AREA * mean, rel=1e-4)
    assert f"NSIDE {NSIDE}, 0.916 deg" in out
    assert number(out, "completeness") == mean
    assert f"--footprint {name}, or --spec-footprint" in out


def test_a_ring_around_the_sky_is_all_around(info):
    values = np.zeros(12 * NSIDE**2, np.float32)
    values[12 * NSIDE**2 // 2 - 500 : 12 * NSIDE**2 // 2 + 500] = 1
    healpix(info.folder / "ring.fits", values, ORDERING="RING", COORDSYS="G")
    assert "l 0 to 360, b " in info("ring.fits")[1]


def test_mangle_and_what_is_no_completeness_are_a_sentence(info):
    (info.folder / "geometry.ply").write_text(MANGLE)
    code, out, err = info("geometry.ply")
    assert (code, out) == (2, "")
    assert err.startswith(
        "truez: footprint geometry.ply holds mangle polygons: write their weights"
    )
    healpix(info.folder / "depth.fits", np.full(12 * NSIDE**2, 24.0))
    assert "must hold completeness from 0 to 1, not 0 to 24" in info("depth.fits")[2]


def test_a_catalogue_with_the_keys_of_a_map_is_one(info):
    columns = [fits.Column(name, "D", array=[1.0]) for name in ("RA", "DEC", "Z")]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"NSIDE": 8, "ORDERING": "NESTED"})
    table.writeto(info.folder / "cat.fits")
    assert info("cat.fits")[1].startswith("cat.fits: a catalogue of 1 rows")


@pytest.mark.parametrize("name", ["LRG_NGC_0_clustering.ran.fits", "randoms.parquet", "rand1.csv"])
def test_randoms_are_known_by_the_name_of_their_file(name, info):
    rng = np.random.default_rng(1)
    columns = {"RA": rng.uniform(10, 20, 20_000), "DEC": rng.uniform(-2, 2, 20_000)}
    Catalog(columns | {"Z": rng.uniform(0, 1, 20_000)}).write(info.folder / name)
    code, out, _ = info(name)
    assert code == 0
    assert "\nby its name randoms, 20000 of them, with redshifts\n" in out
    assert number(out, "area") == pytest.approx(40, rel=0.05)
    assert f"--randoms {name}, or --spec-randoms" in out
    assert "command" not in out
    suffix = name.rpartition(".")[2]
    Catalog(columns).write(info.folder / f"more-random.{suffix}")
    assert "by its name randoms, 20000" in info(f"more-random.*{suffix}")[1]
    Catalog(columns).write(info.folder / "brand.fits")
    assert "randoms" not in info("brand.fits")[1]


def test_n_of_z_of_desi_and_of_two_columns(info):
    middle = np.arange(0.305, 0.9, 0.01)
    number_in = np.round(1000 * np.exp(-(((middle - 0.6) / 0.1) ** 2)))
    lines = [f"{z:.4f} {z - 0.005:.4f} {z + 0.005:.4f} 1e-4 {n} 1e5"
             for z, n in zip(middle, number_in, strict=True)]  # fmt: skip
    text = "# zmid zlow zhigh n(z) Nbin Vol_bin\n" + "\n".join(lines)
    (info.folder / "LRG_nz.txt").write_text(text)
    code, out, _ = info("LRG_nz.txt")
    assert code == 0
    assert "\nby its columns N(z), from 0.3 to 0.9 at " in out
    assert number(out, "galaxies") == pytest.approx(number_in.sum(), rel=0.01)
    assert number(out, "median        z =") == pytest.approx(0.6, abs=0.005)
    assert "--nz LRG_nz.txt, or --spec-nz" in out
    Catalog({"z": middle, "n": number_in}).write(info.folder / "nz.csv")
    assert "--nz nz.csv, or --spec-nz" in info("nz.csv")[1]
    Catalog({"z": middle, "n": number_in, "ra": middle, "dec": middle}).write(
        info.folder / "cat.csv"
    )
    assert "N(z)" not in info("cat.csv")[1]


@pytest.mark.parametrize(
    ("columns", "photo", "spec"),
    [
        ("TARGET_RA Dec zz", "TARGET_RA,Dec,PHOTO_Z --z-err-column ERROR, or --sigma-z-column of",
         "TARGET_RA,Dec,REDSHIFT"),
        ("ra dec z_phot sigma_z", "ra,dec,z_phot --sigma-z-column sigma_z, or --z-err-colum", None),
        ("RA DEC ZPHOT ZERR", "RA,DEC,ZPHOT --z-err-column ZERR, or", None),
        ("RA DEC Z", None, "RA,DEC,Z"),
        ("RA DEC PHOTOZ PHOTOZ_ERR Z_SPEC",
         "RA,DEC,PHOTOZ --z-err-column PHOTOZ_ERR, or", "RA,DEC,Z_SPEC"),
    ],
)  # fmt: skip
def test_a_catalogue_of_no_known_survey_has_the_options_that_take_it(info, columns, photo, spec):
    values = {name: [float(number)] for number, name in enumerate(columns.split())}
    Catalog(values).write(info.folder / "my galaxies.csv")
    line, *options = info("my galaxies.csv")[1].splitlines()[1 + len(values) :]
    assert line == "by its columns galaxies on the sky, with names of no survey that truez knows"
    starts = [(photo, "  with photo-z  --photo 'my galaxies.csv' --photo-sky "),
              (spec, "  with spectra  --spec 'my galaxies.csv' --sky ")]  # fmt: skip
    wanted = [start + given for given, start in starts if given]
    assert len(options) == len(wanted)
    for found, start in zip(options, wanted, strict=True):
        assert found.startswith(start)


def test_what_is_no_survey_has_no_options_of_one(info):
    Catalog({"x": [1.0], "y": [2.0], "z": [0.1]}).write(info.folder / "box.csv")
    made = {"method": "columns", "versions": {"truez": "0.2.0"}}
    desi = {name: np.array([1.0]) for name in ("RA", "DEC", "Z", "WEIGHT", "TARGETID")}
    Catalog(desi).write(info.folder / "lss.fits")
    Catalog(desi, metadata=made).write(info.folder / "drawn.fits")
    assert "on the sky" not in info("box.csv")[1]
    assert "names of DESI" in info("lss.fits")[1]
    assert "names of DESI" not in info("drawn.fits")[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_p_z_have_their_layout_grid_number_and_problems(layout, info):
    mean, std = gaussians()
    grid, columns = numbers_of(layout, mean, std)
    broken = {name: np.array(values) for name, values in columns.items()}
    next(reversed(broken.values()))[3:5] = np.nan
    write_qp(info.folder / "pz.hdf5", layout, grid, broken, {"object_id": np.arange(40)})
    code, out, _ = info("pz.hdf5")
    assert code == 0
    assert out.startswith(f"pz.hdf5: p(z) of 40 galaxies\n  layout        {layout}")
    what = {"hist": ", 400 bins from 0 to 2", "interp": ", 401 nodes from 0 to 2",
            "quant": ", 400 quantiles from 0.0005 to 0.9995"}.get(layout, "")  # fmt: skip
    assert f"layout        {layout}{what}\n" in out
    assert "\n  unusable      2 are missing or not finite\n" in out
    low, high = np.quantile(np.delete(mean, [3, 4]), [0.01, 0.99])
    assert number(out, "redshift") == pytest.approx(low, abs=0.02)
    assert float(re.search(r"to (\S+) for 98%", out)[1]) == pytest.approx(high, abs=0.02)
    assert "--pdf pz.hdf5 --pdf-prior flat, nz, stack or a FILE of z and n" in out
    assert out.endswith("\n  for --pdf-id  object_id\n")


@pytest.mark.parametrize("suffix", [".fits", ".pq"])
def test_tables_of_qp_are_p_z(suffix, info, monkeypatch):
    ids = {"object_id": np.arange(40)}
    write_tables(info.folder / f"pz{suffix}", "hist", *numbers_of("hist", *gaussians()), ids)
    monkeypatch.setitem(sys.modules, "qp", None)
    assert info(f"pz{suffix}") == (
        0, f"pz{suffix}: p(z) in the layout hist, which is read through qp (truez[qp])\n", "",
    )  # fmt: skip
    code, _, err = info(f"other{suffix}")
    assert (code, err) == (2, f"truez: there is no file or folder other{suffix}\n")
    monkeypatch.undo()
    pytest.importorskip("qp")
    monkeypatch.chdir(info.folder)
    _, out, _ = info(f"pz{suffix}")
    assert out.startswith(
        f"pz{suffix}: p(z) of 40 galaxies\n  layout        hist, 400 bins from 0 to 2\n"
    )
    assert out.endswith("\n  for --pdf-id  object_id\n")


def test_nested_columns_of_p_z_are_named_in_their_catalogue(info):
    _, columns = numbers_of("norm", *gaussians())
    write_nested(info.folder / "dp1.parquet", {"gpz_ens_norm": nested(columns),
                                               "knn_ens_norm": nested(columns)})  # fmt: skip
    _, out, _ = info("dp1.parquet")
    assert out.count("\np(z)  --pdf 'dp1.parquet#gpz_ens_norm' --pdf-prior PRIOR: norm in a") == 1
    assert "'dp1.parquet#knn_ens_norm'" in out
    assert "cannot use" not in out
    assert info("dp1.parquet#knn_ens_norm")[1].startswith(
        "dp1.parquet#knn_ens_norm: p(z) of 40 galaxies\n  layout        norm\n"
    )


def test_a_set_of_quantiles_and_a_group_are_described_by_their_names(info):
    ends = {f"Z_{name}": np.linspace(0.1, 0.9, 40) + shift
            for name, shift in (("L68", -0.02), ("MEDIAN", 0), ("U68", 0.02))}  # fmt: skip
    Catalog(ends).write(info.folder / "ends.fits")
    assert (
        "--pdf 'ends.fits#Z' --pdf-prior PRIOR: quantiles of 16%, 50%, 84%; the"
        in (info("ends.fits")[1])
    )
    _, out, _ = info("ends.fits#Z")
    assert "p(z) of 40 galaxies\n  layout        quant, 3 quantiles from 0.16 to 0.84\n" in out
    assert info("ends.fits#1")[1].startswith("ends.fits#1: a catalogue of 40 rows")
    grid, columns = numbers_of("interp", *gaussians())
    write_qp(info.folder / "group.hdf5", "interp", grid, columns, group="bpz")
    assert "p(z) of 40 galaxies\n  layout        interp, 401 nodes" in info("group.hdf5#bpz")[1]


@pytest.mark.parametrize("name", ["part.fits", "moc.fits", "fraction.h5", "txpipe.hdf5", "pz.hdf5"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_files_that_are_cut_off_are_described_or_one_sentence(name, share, masks, info):
    whole = (masks / name).read_bytes()
    (info.folder / name).write_bytes(whole[: int(share * len(whole))])
    code, out, err = info(name)
    if code == 0:  # where what is missing is padding
        assert out
        return
    assert code == 2
    assert err.startswith("truez: ")
    assert err.count("\n") == 1
