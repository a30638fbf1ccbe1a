"""p(z) of each galaxy on the command line: ``--pdf`` of redshifts and reconstruct, and info."""

import re

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, tables
from tests.surveys.pdfs.pdf_files import numbers_of, write_qp

from truez.catalogs.catalog import Catalog
from truez.cli.app import main

CATALOGS = (
    "--spec spec.parquet --photo photo.fits --cellsize 8 --method redistribution "
    "--footprint 354,6,-3,3 --match-id ID"
)
SKY = f"{CATALOGS} --sky ra,dec,z"
PDF = f"{SKY} --pdf pz.hdf5 --pdf-prior flat"


@pytest.fixture(scope="module")
def cone():
    return light_cone(density=0.005)


@pytest.fixture(scope="module")
def folder(cone, tmp_path_factory):
    place = tmp_path_factory.mktemp("pdf")
    photo, spec = tables(cone)
    Catalog(photo).write(place / "photo.fits")
    Catalog(spec).write(place / "spec.parquet")
    num = len(cone)
    grid, columns = numbers_of(
        "hist", cone.z_phot, cone.sigma * (1 + cone.z), nodes=np.linspace(0, 0.5, 301)
    )
    pdfs = np.where(np.arange(num)[:, None] % 300 == 5, 0.0, columns["pdfs"])
    turned = np.random.default_rng(1).permutation(num)
    for name, rows in (("pz", np.arange(num)), ("short", np.arange(num - 3)), ("turned", turned)):
        write_qp(place / f"{name}.hdf5", "hist", grid, {"pdfs": pdfs[rows]}, {"object_id": rows})
    gain = {"information_gain": np.zeros(num)}
    write_qp(place / "sharpened.hdf5", "hist", grid, {"pdfs": pdfs}, gain)
    write_qp(place / "zero.hdf5", "hist", grid, {"pdfs": np.zeros_like(pdfs)})
    z = np.linspace(0, 0.5, 60)
    Catalog({"z": z, "n": z**2 * np.exp(-z / 0.1)}).write(place / "prior.csv")
    Catalog({"z": z + 5, "n": z}).write(place / "far.csv")
    (place / "folder").mkdir()
    # As TXPipe has it: no photo-z beside p(z), whose name is that of another survey's redshift.
    Catalog({"ra": photo["RA"], "dec": photo["Dec"], "ID": photo["ID"]}).write(place / "bare.fits")
    legacy = {"RA": photo["RA"], "DEC": photo["Dec"], "Z_PHOT_MEAN": photo["Z"],
              "Z_PHOT_STD": photo["SZ"], "ID": photo["ID"]}  # fmt: skip
    Catalog(legacy).write(place / "legacy.fits")
    return place


def truez(folder, monkeypatch, capsys, text):
    """Exit code, stdout and stderr of a command in a folder."""
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    return int(stop.value.code or 0), *capsys.readouterr()


def test_redshifts_are_sharpened_with_a_file_of_pdfs(cone, folder, monkeypatch, capsys):
    code, out, err = truez(folder, monkeypatch, capsys, f"redshifts {PDF} --out z.parquet")
    assert (code, err) == (0, "")
    zero = np.arange(len(cone)) % 300 == 5
    assert f"p(z) of each galaxy (hist), N(z) in place of {zero.sum()} that cannot be used" in out
    assert "a p(z) that cannot be used: they are 0 everywhere or have no width" in out
    assert re.search(r"p\(z\) are in \d+ classes .* which loses 0\.\d+ nats per galaxy;", out)
    unknown = zero & ~cone.spec
    assert f"flag 64: {unknown.sum()} galaxies, p(z) cannot be used: N(z) in its place" in out
    found = Catalog.read(folder / "z.parquet")
    np.testing.assert_array_equal(found["flag"] & 64 > 0, unknown)
    sharpened = np.isfinite(found["information_gain"]) & ~cone.spec
    assert found["information_gain"][sharpened & ~zero].mean() > 0.1
    away = np.abs(found["z_median"] - cone.z)[sharpened & ~zero]
    before = np.abs(cone.z_phot - cone.z)[sharpened & ~zero]
    assert np.median(away) < 0.95 * np.median(before)
    about = found.metadata["truez"]
    assert about["pdf_file"] == "pz.hdf5"
    assert about["pdf_prior"] == "flat"
    assert about["pdf_classes"] >= 1
    assert 0 < about["pdf_class_loss"] < 0.05
    assert about["pdf_problems"] == {"are 0 everywhere or have no width": int(zero.sum())}


@pytest.mark.medium
def test_rows_in_any_order_are_found_by_their_ids(folder, monkeypatch, capsys):
    for name, more in (("a", "--pdf pz.hdf5"), ("b", "--pdf turned.hdf5 --pdf-id ID:object_id")):
        code, _, err = truez(
            folder, monkeypatch, capsys,
            f"redshifts {SKY} --pdf-prior prior.csv {more} --outlier-fraction 0.02 "
            f"--out {name}.fits",
        )  # fmt: skip
        assert code == 0
        # They are likelihoods, of which the known redshifts tell.
        assert "note: --pdf-prior is not flat, but p(z) times N(z) are better by 0.0" in err
    one, other = (Catalog.read(folder / f"{name}.fits") for name in "ab")
    for name in ("z_mean", "z_lo", "log_evidence", "flag"):
        np.testing.assert_array_equal(one[name], other[name])


def test_a_catalogue_without_photo_z_and_a_dry_run(cone, folder, monkeypatch, capsys):
    bare = PDF.replace("photo.fits", "bare.fits")
    code, out, err = truez(
        folder, monkeypatch, capsys, f"reconstruct {bare} --photo-sky ra,dec --dry-run"
    )
    assert (code, err) == (0, "")
    assert "s on one core" in out
    lost = np.count_nonzero(np.arange(len(cone)) % 300 == 5)
    assert f"galaxies, {lost} of them without a usable photo-z, outside or cut" in out
    code, out, err = truez(
        folder, monkeypatch, capsys, f"reconstruct {bare} --photo-sky ra,dec --out field.h5"
    )
    assert (code, err) == (0, "")
    assert (folder / "field.h5").exists()


def test_columns_of_errors_are_not_filled_in_beside_pdfs(folder, monkeypatch, capsys):
    survey = PDF.replace("photo.fits", "legacy.fits") + " --survey legacy --dry-run"
    code, out, err = truez(folder, monkeypatch, capsys, f"redshifts {survey}")
    assert (code, err) == (0, "")
    assert "legacy.fits: Legacy Surveys photo-z (legacy), photometric\n" in out
    assert "--photo-sky RA,DEC,Z_PHOT_MEAN\n" in out
    assert "z-err-column" not in out


BOX = "--spec spec.parquet --photo photo.fits --boxsize 100 --redshift 0.2 --match-id ID"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            f"redshifts {SKY} --pdf pz.hdf5",
            (
                "--pdf-prior must name the prior that is in the p(z), flat, nz, stack or a file of "
                "z, n: the map has its own prior, N(z) times the density"
            ),
        ),
        (
            f"redshifts {SKY} --pdf short.hdf5 --pdf-prior flat",
            "give the p(z) of the same rows in the same order, or ids that both have (--pdf-id)",
        ),
        (
            f"redshifts {SKY} --pdf turned.hdf5 --pdf-prior flat",
            "of their errors from the photo-z of photo (median): give the p(z) of the same rows",
        ),
        (
            f"redshifts {SKY} --pdf zero.hdf5 --pdf-prior flat",
            " are 0 everywhere or have no width: correct the file, or --pdf-id",
        ),
        (
            f"redshifts {SKY} --pdf pz.hdf5 --pdf-prior far.csv",
            "at the redshifts of the survey: correct the file, --pdf-prior, or --pdf-id",
        ),
        (
            f"redshifts {SKY} --pdf folder --pdf-prior flat",
            "--pdf: folder is a folder without Parquet files: give a file of p(z)",
        ),
        (
            f"redshifts {PDF} --pdf-id ID",
            "--pdf: ancil of pz.hdf5 has no column 'ID' (--pdf-id), only object_id",
        ),
        (
            f"redshifts {SKY} --pdf sharpened.hdf5 --pdf-prior flat",
            "--pdf sharpened.hdf5 holds sharpened p(z), which truez wrote (--pdf-out) and which",
        ),
        (f"redshifts {PDF} --pdf-id nope:object_id", "photo has no column 'nope' (--pdf-id"),
        (
            f"redshifts {PDF} --pdf-id a:b:c",
            "--pdf-id must be COLUMN or COLUMN:COLUMN, not 'a:b:c'",
        ),
        (
            f"redshifts {PDF} --sigma-z 0.02",
            (
                "the photo-z error must be given once, by --sigma-z, --sigma-z-column, "
                "--z-err-column or --pdf, and --sigma-z and --pdf are given"
            ),
        ),
        (f"reconstruct {PDF} --z-err-column SZ", "and --z-err-column and --pdf are given"),
        (f"redshifts {SKY}", "--z-err-column or --pdf, and none is given"),
        (f"redshifts {SKY} --pdf photo.fits --pdf-prior flat", "--pdf: photo.fits has no columns"),
        (
            f"redshifts {SKY} --pdf gone.hdf5 --pdf-prior flat",
            (
                "there is no file of p(z) gone.hdf5 (--pdf): this option reads p(z), and --pdf-out "
                "of truez redshifts writes it"
            ),
        ),
        (
            f"redshifts {SKY} --pdf pz.hdf5 --pdf-prior x",
            "--pdf-prior must be flat, nz, stack or a",
        ),
        (f"redshifts {PDF} --photo-bias 0.1", "leave --photo-bias out"),
        (f"redshifts {PDF} --outlier-column SZ", "--outlier-column 'SZ' is a column, and p(z) has"),
        (f"redshifts {SKY} --sigma-z 0.01 --pdf-prior flat", "--pdf-prior is of p(z): give --pdf"),
        (f"redshifts {SKY} --sigma-z 0.01 --pdf-id ID", "--pdf-id is of p(z): give --pdf, or"),
        (
            f"redshifts {SKY} --photo-sky ra,dec --sigma-z 0.01",
            "--photo-sky must name three columns, RA,DEC,Z, not ra,dec, or two with --pdf",
        ),
        (
            f"redshifts {BOX} --pdf pz.hdf5",
            (
                "--pdf reads p(z) of galaxies on the sky (--sky RA,DEC,Z), and a box takes none: "
                "leave --pdf out, or give --pdf-out to truez redshifts, which writes p(z)"
            ),
        ),
        (
            f"reconstruct {BOX} --sigma-z 0.01 --pdf-id ID",
            "these are options of the sky: give --sky RA,DEC,Z, or leave out",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(command, sentence, folder, monkeypatch, capsys):
    code, out, err = truez(folder, monkeypatch, capsys, f"{command} --out broken.h5")
    assert (code, out) == (2, "")
    assert err.startswith("truez: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert len(err) <= 300
    assert not (folder / "broken.h5").exists()


def test_info_says_what_a_file_of_pdfs_holds(cone, folder, monkeypatch, capsys):
    code, out, err = truez(folder, monkeypatch, capsys, "info pz.hdf5")
    assert (code, err) == (0, "")
    zero = np.count_nonzero(np.arange(len(cone)) % 300 == 5)
    assert out.startswith(f"pz.hdf5: p(z) of {len(cone)} galaxies\n  layout        hist, ")
    assert f"unusable      {zero} are 0 everywhere or have no width\n" in out
    assert "for --pdf-id  object_id\n" in out
    code, out, _ = truez(folder, monkeypatch, capsys, "info sharpened.hdf5")
    assert code == 0
    assert "to use them   truez photoz --pdf-after sharpened.hdf5" in out
