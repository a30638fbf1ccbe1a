"""HATS catalogues through a partition, a run and the join: as input, and as output."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from tests.sky.distributed.small_run import COLUMNS, SmallSky, begun, caller
from tests.sky.partition.hats_files import write_hats

from truez.catalogs.hats_folder import INFO, PROPERTIES, pixel_path, pixels_in, properties_of
from truez.mesh.healpix import nested
from truez.sky.distributed.driver import make_patches
from truez.sky.distributed.join_catalog import CatalogJoin
from truez.sky.distributed.join_field import join_field
from truez.sky.distributed.join_hats import HatsJoin
from truez.sky.distributed.workers import OwnProcess
from truez.sky.field import SkyField
from truez.sky.partition.sky_input import SkyInput
from truez.sky.partition.stored import Partition

ALL = list(range(6))
NEW = ("z_mean", "z_std", "z_mode", "flag", "spec_matched")


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    made = SmallSky(tmp_path_factory.mktemp("sky"))
    for name, table in zip(("photo", "spec"), made.tables, strict=True):
        write_hats(made.folder / f"{name}.in", table, sky=COLUMNS[:2], order=4)
    return made


def run_of(sky, name, **inputs):
    """A whole run whose inputs are Parquet, but for those that are given."""
    given = {one: sky.folder / f"{one}.parquet" for one in ("photo", "spec")} | inputs
    given = {one: SkyInput(path, COLUMNS) for one, path in given.items()}
    partition = Partition.make(sky.folder / f"divided-{name}", sky.partition.plan, **given)
    made = begun(partition.folder, sky.folder / name)
    assert make_patches(made, OwnProcess()) == []
    return made


@pytest.fixture(scope="module")
def run(sky):
    """A run of Parquet files."""
    return run_of(sky, "parquet")


@pytest.fixture(scope="module")
def of_hats(sky):
    """A run whose photometric galaxies are of HATS."""
    return run_of(sky, "photo", photo=sky.folder / "photo.in")


def field_of(run, path):
    join_field(run, path, ALL)
    return SkyField.read(path)


def joined(run, path, **more):
    CatalogJoin(run, ALL, **more).write(path)
    return pq.read_table(path).sort_by("ID")


def rows_of(folder):
    """All rows of a HATS catalogue, by pixel."""
    return {
        (order, pixel): pq.ParquetFile(
            folder / f"dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet"
        ).read()
        for order, pixel, _ in pixels_in(folder)
    }


def check_equal(one, other, names=NEW, tolerance=0.0):
    for name in names:
        ours, theirs = one[name].to_numpy(), other[name].to_numpy()
        if tolerance and ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["photo", "spec"])
def test_a_run_of_a_hats_catalogue_is_that_of_its_rows(sky, run, of_hats, sample, tmp_path):
    other = of_hats if sample == "photo" else run_of(sky, "spec", spec=sky.folder / "spec.in")
    # Sums are made in another order.
    fields = [field_of(one, tmp_path / f"{place}.h5") for place, one in enumerate((run, other))]
    assert len(fields[0]) == len(fields[1]) == len(ALL)
    for ours, theirs in zip(*fields, strict=True):
        for name in ("delta", "sigma", "intensity"):
            one, two = (getattr(x, name).numpy() for x in (ours, theirs))
            assert np.isfinite(one).any()
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    one, two = (joined(x, tmp_path / f"{place}.parquet") for place, x in enumerate((run, other)))
    check_equal(one, two, ("ID", "RA", "Dec", "Z"))
    check_equal(one, two, tolerance=1e-6)
    assert np.isfinite(one["z_mean"].to_numpy()).mean() > 0.99


def test_the_pixels_of_a_hats_catalogue_are_kept(sky, of_hats, tmp_path):
    HatsJoin(CatalogJoin(of_hats, ALL)).write(tmp_path / "out.hats")
    found, given = rows_of(tmp_path / "out.hats"), rows_of(sky.folder / "photo.in")
    assert list(found) == sorted(given, key=lambda one: one[1] << 2 * (29 - one[0]))
    assert {order for order, _ in found} == {4, 5}
    for pixel, table in found.items():
        assert table.select(given[pixel].column_names).equals(given[pixel])
    CatalogJoin(of_hats, ALL).write(tmp_path / "out.parquet")
    whole = pq.read_table(tmp_path / "out.parquet")
    check_equal(pa.concat_tables(found.values()), whole, whole.column_names)  # in the same order
    about = properties_of(str(tmp_path / "out.hats"))
    assert about["hats_nrows"] == str(len(sky.tables[0]["ID"]))
    assert (about["hats_col_ra"], about["hats_col_healpix"]) == ("RA", "_healpix_29")
    assert about["obs_collection"] == "out"


def test_a_hats_catalogue_is_made_of_rows_in_any_order(sky, run, tmp_path, monkeypatch):
    module = "truez.sky.distributed.join_hats"
    monkeypatch.setattr(f"{module}._MOST_ROWS", 300)
    monkeypatch.setattr(f"{module}._MOST_BYTES", 100_000)
    monkeypatch.setattr(f"{module}._BATCH", 64)
    monkeypatch.setattr("truez.sky.distributed.join_catalog._ROWS", 500)
    out = tmp_path / "out.hats"
    join = HatsJoin(CatalogJoin(run, ALL, prefix="t_"))
    join.check(out)
    join.write(out)
    assert sorted(path.name for path in out.iterdir()) == ["dataset", PROPERTIES, INFO]
    found = rows_of(out)
    assert len({order for order, _ in found}) > 1
    for (order, pixel), table in found.items():
        assert 0 < len(table) <= 300
        assert table.column_names[0] == "_healpix_29"
        index = nested(table["RA"].to_numpy(), table["Dec"].to_numpy(), 2**29)
        np.testing.assert_array_equal(table["_healpix_29"].to_numpy(), index)
        assert (index >> 2 * (29 - order) == pixel).all()
        assert (np.diff(index) >= 0).all()
    whole = pa.concat_tables(found.values()).sort_by("ID")
    one = joined(run, tmp_path / "out.parquet", prefix="t_")  # with those that are in no patch
    assert whole.drop_columns("_healpix_29").schema.equals(one.schema, check_metadata=True)
    check_equal(whole, one, one.column_names)
    # As pyarrow and others read it.
    dataset = pa.dataset.parquet_dataset(out / "dataset/_metadata")
    assert dataset.count_rows() == len(one)
    assert len(dataset.files) == len(found)
    assert pq.read_schema(out / "dataset/_common_metadata").equals(whole.schema)


def test_what_is_written_is_read_by_a_partition(sky, run, tmp_path, monkeypatch):
    monkeypatch.setattr("truez.sky.distributed.join_hats._MOST_ROWS", 1000)
    HatsJoin(CatalogJoin(run, ALL)).write(tmp_path / "out.hats")
    given = SkyInput(tmp_path / "out.hats", ("RA", "Dec", "z_mean"))
    made = Partition.make(tmp_path / "again", sky.partition.plan, photo=given)
    pq.write_table(
        pa.concat_tables(rows_of(tmp_path / "out.hats").values()), tmp_path / "a.parquet"
    )
    copied = Partition.make(
        tmp_path / "copied", sky.partition.plan,
        photo=SkyInput(tmp_path / "a.parquet", ("RA", "Dec", "z_mean")),
    )  # fmt: skip
    assert made.num_rows("photo") == copied.num_rows("photo")
    for number in (0, 3):
        ours, theirs = (one.read(number).photo for one in (made, copied))
        assert ours.core.sum() > 100
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.catalog["z_std"], theirs.catalog["z_std"])


@pytest.fixture
def truez(capsys):
    return caller(capsys)


def test_a_catalogue_is_replaced_as_a_whole_or_not_at_all(run, truez, tmp_path, monkeypatch):
    out = tmp_path / "out.hats"
    command = ["join", run.folder.path, "--redshifts", out]
    most = "truez.sky.distributed.join_hats._MOST_ROWS"
    monkeypatch.setattr(most, 300)
    code, words, err = truez(*command)
    assert (code, err) == (0, "")
    assert words.startswith(f"{out}: 4")
    code, _, err = truez(*command)
    assert code == 2
    assert "is there already: give another --redshifts, or --overwrite" in err
    (out / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("truez.sky.distributed.join_hats.HatsWriter.finish", full)
        code, _, err = truez(*command, "--overwrite")
    assert code == 2
    assert "the disk is full" in err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(most, 2000)
    assert truez(*command, "--overwrite")[0] == 0
    files = {path.relative_to(out / "dataset") for path in out.rglob("Npix=*.parquet")}
    assert 1 < len(files) < len(before) - 5
    assert files == {Path(pixel_path(*pixel)).with_suffix(".parquet") for pixel in rows_of(out)}
    assert (out / "notes.txt").read_text() == "mine"


def test_folders_of_others_are_left_alone(sky, run, of_hats, truez, tmp_path):
    command = ["join", run.folder.path, "--overwrite", "--redshifts"]
    (tmp_path / "a.hats").write_text("a file")
    for name, place in (("b", "dataset"), ("c", PROPERTIES)):
        path = tmp_path / f"{name}.hats" / place
        path.parent.mkdir()
        if place == PROPERTIES:
            path.write_text("hats_builder=lsdb v0.11\nobs_collection=truez\n")
        else:
            path.mkdir()
            (path / "notes.txt").write_text("mine")
        code, _, err = truez(*command, path.parent)
        assert code == 2
        assert f"{path} was not written by truez join and would be replaced" in err
    code, _, err = truez(*command, tmp_path / "a.hats")
    assert code == 2
    assert "a.hats" in err
    assert (tmp_path / "a.hats").read_text() == "a file"
    own = sky.folder / "photo.parquet"
    code, _, err = truez(*command, own)
    assert code == 2
    assert f"{own} is the photometric catalogue of the run: give another name" in err


def changed(run, folder, **columns):
    """A run whose photometric input has other columns, as it is joined."""
    given = run.partition.given("photo")
    table = pq.read_table(given.path)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, folder / "photo.parquet")
    about = dict(run.partition._about)
    about["photo"] = {**about["photo"], "made_from": {"input": replace(
        given, path=folder / "photo.parquet").to_dict()}}  # fmt: skip
    return replace(run, partition=replace(run.partition, _about=about))


def test_an_index_of_the_input_is_used_if_it_is_one(run, tmp_path):
    num = run.partition.num_rows("photo")
    photo = pq.read_table(run.partition.given("photo").path)
    right = nested(photo["RA"].to_numpy(), photo["Dec"].to_numpy(), 2**29)
    pdfs = pa.array([[float(row)] * (row % 4) for row in range(num)])  # and nested columns
    made = changed(run, tmp_path, _healpix_29=right.astype(np.uint64), PDF=pdfs)
    HatsJoin(CatalogJoin(made, ALL)).write(tmp_path / "out.hats")
    table = pa.concat_tables(rows_of(tmp_path / "out.hats").values())
    assert table["_healpix_29"].type == pa.int64()
    np.testing.assert_array_equal(table["_healpix_29"].to_numpy(), np.sort(right))
    assert table.column_names.count("_healpix_29") == 1
    pairs = zip(table["ID"].to_pylist(), table["PDF"].to_pylist(), strict=True)
    assert all(pdf == [float(row)] * (row % 4) for row, pdf in pairs)
    for number, wrong in enumerate((np.arange(num), right.astype(float))):
        (tmp_path / str(number)).mkdir()
        other = changed(run, tmp_path / str(number), _healpix_29=wrong)
        with pytest.raises(ValueError, match="has a column '_healpix_29' that is not the pixel of"):
            HatsJoin(CatalogJoin(other, ALL)).write(tmp_path / f"{number}.hats")
        assert not (tmp_path / f"{number}.hats").exists()


def test_other_angles_than_degrees_are_refused(run, tmp_path):
    about = dict(run.partition._about)
    given = replace(run.partition.given("photo"), ra_unit="hourangle").to_dict()
    about["photo"] = {**about["photo"], "made_from": {"input": given}}
    other = replace(run, partition=replace(run.partition, _about=about))
    with pytest.raises(ValueError, match="is of HATS, whose directions are in degrees, and those"):
        HatsJoin(CatalogJoin(other, ALL)).check(tmp_path / "out.hats")
