"""``truez redshifts --pdf-out`` with catalogues on the sky."""

import h5py
import numpy as np
import pytest
from tests.sky.light_cone import light_cone, tables

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.surveys.pdfs import read_ids, read_pdfs

SKY = (
    "redshifts --spec spec.parquet --photo photo.parquet --sky ra,dec,z --cellsize 8 "
    "--method redistribution --sigma-z 0.012 --footprint 354,6,-3,3 --match-id ID:GALAXY"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sky")
    photo, spec = tables(light_cone(density=0.004))
    photo["GALAXY"] = photo.pop("ID")
    Catalog(photo | {"OTHER": np.array([f"g{i}" for i in photo["GALAXY"]])}).write(
        place / "photo.parquet"
    )
    Catalog(spec).write(place / "spec.parquet")
    return place


@pytest.fixture
def run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def of(text):
        with pytest.raises(SystemExit) as stop:
            main(text.split())
        return int(stop.value.code or 0), *capsys.readouterr()

    return of


@pytest.mark.parametrize(
    ("more", "layout", "width"),
    [("", "interp", None), ("--pdf-layout quant --prefix t_", "quant", 137)],
)
def test_p_of_z_is_written_beside_the_catalogue(run, tmp_path, more, layout, width):
    out, pdf = tmp_path / "z.parquet", tmp_path / "p.hdf5"
    code, printed, err = run(f"{SKY} --out {out} --pdf-out {pdf} {more}")
    assert (code, err) == (0, "")
    found, table = Catalog.read(out), read_pdfs(pdf)
    assert (table.layout, table.num) == (layout, len(found))
    width = width or table.sources[0].width
    assert f"{pdf}: p(z) of each galaxy as {layout}, {width} numbers, for qp" in printed
    assert read_ids(pdf, "GALAXY").tolist() == found["GALAXY"].tolist()
    prefix = "t_" if "prefix" in more else ""
    mean, good = found[f"{prefix}z_mean"], np.isfinite(found[f"{prefix}information_gain"])
    np.testing.assert_allclose(table.moments()[0][good], mean[good], atol=2e-4)
    with h5py.File(pdf) as file:
        np.testing.assert_array_equal(file["ancil/z_mean"][:], mean)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.hdf5", "z.parquet"]


def test_what_is_there_is_replaced_when_asked_only(run, tmp_path, monkeypatch):
    out, pdf = tmp_path / "z.fits", tmp_path / "p.hdf5"
    command = f"{SKY} --out {out} --pdf-out {pdf}"
    pdf.write_bytes(b"old")
    code, _, err = run(command)
    assert code == 2
    assert f"{pdf} is there already: give another --pdf-out, or --overwrite" in err
    out.write_bytes(b"old")
    with monkeypatch.context() as patch:
        # The catalogue fails when p(z) are whole: both stay as they were.
        patch.setattr("truez.sky.catalog.write_redshifts", lambda *_, **__: 1 / 0)
        assert run(f"{command} --overwrite")[0] == 1
    assert (out.read_bytes(), pdf.read_bytes()) == (b"old", b"old")
    assert run(f"{command} --overwrite")[0] == 0
    assert read_pdfs(pdf).num == len(Catalog.read(out))
    pdf.unlink()
    code, _, err = run(command)
    assert code == 2
    assert "as where a run was killed between the two: give another --out, or --overwrite" in err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--pdf-out p.h5", "--pdf-out: a file of p(z) must end in .hdf5, for qp to read it, not"),
        ("--pdf-out p.hdf5 --pdf-layout norm",
         "--pdf-layout must be interp, quant, hist, not 'norm'"),
        ("--pdf-layout hist", "--pdf-layout is the layout of --pdf-out: give that, too"),
        ("--pdf-out z.hdf5 --out z.hdf5", "--out and --pdf-out must be two files, not both z.hdf5"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_sentence(run, folder, more, sentence):
    before = sorted(folder.iterdir())
    code, out, err = run(f"{SKY} {more}")
    assert (code, out) == (2, "")
    assert err.startswith("truez: ")
    assert sentence in err
    assert sorted(folder.iterdir()) == before


def test_a_box_has_one_layout(run):
    code, _, err = run("redshifts --pdf-out p.hdf5 --pdf-layout quant")
    assert code == 2
    assert "these are options of the sky: give --sky RA,DEC,Z, or leave out --pdf-layout" in err


def test_ids_that_are_missing_are_refused_before_the_work(run, folder, tmp_path):
    photo = Catalog.read(folder / "photo.parquet")
    names = np.ma.MaskedArray(photo["GALAXY"], mask=np.arange(len(photo)) == 5)
    photo.with_columns({"GALAXY": names}, {}).write(folder / "some.parquet")
    command = SKY.replace("photo.parquet", "some.parquet")
    code, _, err = run(f"{command} --out {tmp_path}/z.fits --pdf-out {tmp_path}/p.hdf5")
    assert code == 2
    assert (
        "column 'GALAXY' (--match-id 'ID:GALAXY') of some.parquet names the galaxies of the file "
        "of p(z) and has no value in 1 rows: remove those rows from it"
    ) in err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_writes_nothing(run, tmp_path):
    code, out, err = run(f"{SKY} --out {tmp_path}/z.fits --pdf-out {tmp_path}/p.hdf5 --dry-run")
    assert (code, err) == (0, "")
    assert "patch 0: " in out
    assert not list(tmp_path.iterdir())
