"""HATS catalogues: patches are those of a partition of the same galaxies, without a pass."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.sky.partition.divided_sky import galaxies, input_of, plan_of
from tests.sky.partition.hats_files import write_hats

from truez.catalogs.hats_folder import is_hats, pixel_path
from truez.sky.partition.sample import draw_sample
from truez.sky.partition.stored import Partition


@pytest.mark.medium
@pytest.mark.parametrize("inner", ["dataset/", ""])
def test_patches_of_a_hats_catalogue_are_those_of_its_rows(tmp_path, inner):
    table = write_hats(tmp_path / "hats", galaxies(8000), nested_folder=inner)
    assert is_hats(str(tmp_path / "hats"))
    assert not is_hats(str(tmp_path))
    pq.write_table(table, tmp_path / "photo.parquet")
    plan = plan_of()
    once = Partition.make(tmp_path / "a", plan, photo=input_of(tmp_path / "photo.parquet"))
    made = Partition.make(tmp_path / "b", plan, photo=input_of(tmp_path / "hats"))
    assert {path.name for path in (tmp_path / "b").rglob("*") if path.is_file()} == {
        "plan.json", "manifest.json"
    }  # fmt: skip
    for number in range(len(plan.patches)):
        one, other = once.read(number).photo, made.read(number, {"photo": ["ID", "z"]}).photo
        # Rows are those of the files in the order of the sky, as the table is.
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.core, other.core)
        np.testing.assert_array_equal(one.catalog["id"], other.catalog["id"])
        assert sorted(other.catalog.columns) == ["dec", "id", "ra", "z"]
    samples = [draw_sample(one, "photo", ["ID"], 0.4) for one in (once, made)]
    assert 0.3 < samples[0].share == samples[1].share < 0.5
    assert made.num_rows("photo") == samples[1].total == 8000
    assert pq.read_table(samples[0].path).equals(pq.read_table(samples[1].path))


def test_a_damaged_hats_catalogue_is_refused(tmp_path):
    write_hats(tmp_path / "hats", galaxies(3000))
    info = tmp_path / "hats" / "partition_info.csv"
    whole = info.read_text()
    info.write_text("Norder\n3\n")
    with pytest.raises(ValueError, match="must list the columns Norder and Npix: copy it again"):
        Partition.make(tmp_path / "a", plan_of(), photo=input_of(tmp_path / "hats"))
    info.write_text("Norder,Npix\n2,99999\n")
    with pytest.raises(ValueError, match="lists no pixels, or none of HEALPix: copy it again"):
        Partition.make(tmp_path / "b", plan_of(), photo=input_of(tmp_path / "hats"))
    info.write_text(whole)
    first, *_, last = (tuple(map(int, line.split(","))) for line in whole.split()[1:])
    missing = "lists the pixel {1} of order {0}, and has no file of it: copy it again"
    (tmp_path / "hats/dataset" / f"{pixel_path(*last)}.parquet").unlink()
    made = Partition.make(tmp_path / "c", plan_of(), photo=input_of(tmp_path / "hats"))
    with pytest.raises(FileNotFoundError, match=missing.format(*last)):
        [made.read(number) for number in range(len(made))]
    # The columns of the first are read before anything is made.
    (tmp_path / "hats/dataset" / f"{pixel_path(*first)}.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=missing.format(*first)):
        Partition.make(tmp_path / "d", plan_of(), photo=input_of(tmp_path / "hats"))


def test_the_main_catalogue_of_a_collection_is_read(tmp_path):
    write_hats(tmp_path / "whole/main", galaxies(3000))
    write_hats(tmp_path / "whole/margin", galaxies(500, seed=2))
    (tmp_path / "whole/collection.properties").write_text(
        "#HATS Collection\nobs_collection=whole\nhats_primary_table_url=main\nall_margins=margin\n"
    )
    assert is_hats(str(tmp_path / "whole"))
    made = Partition.make(tmp_path / "a", plan_of(), photo=input_of(tmp_path / "whole"))
    assert made.num_rows("photo") == 3000
    # Without the list of the pixels it is that of the files.
    (tmp_path / "whole/main/partition_info.csv").unlink()
    (tmp_path / "whole/main/hats.properties").write_text("obs_collection=main\n")
    table = pq.ParquetFile(next((tmp_path / "whole/main").rglob("*.parquet"))).read()
    pq.write_table(table, tmp_path / "whole/main/dataset/data_thumbnail.parquet")
    other = Partition.make(tmp_path / "b", plan_of(), photo=input_of(tmp_path / "whole"))
    assert other.num_rows("photo") == 3000
    np.testing.assert_array_equal(other.read(2).photo.rows, made.read(2).photo.rows)
    assert len(other.read(2).photo)


def test_files_that_differ_are_named(tmp_path):
    write_hats(tmp_path / "hats", galaxies(3000))
    made = Partition.make(tmp_path / "a", plan_of(), photo=input_of(tmp_path / "hats"))
    path = sorted((tmp_path / "hats").rglob("Npix=*.parquet"))[-1]
    table = pq.ParquetFile(path).read()
    place, last = table.schema.get_field_index("mag"), table["id"][0].as_py()
    number = next(n for n in range(len(made)) if last in made.read(n).photo.catalog["id"])

    def read():
        return Partition.open(tmp_path / "a").read(number).photo

    pq.write_table(table.drop_columns("mag"), path)
    with pytest.raises(ValueError, match=r"Npix=\d+.parquet has no column 'mag', which files"):
        read()
    pq.write_table(table.set_column(place, "mag", table["mag"].cast("float64")), path)
    assert read().catalog["mag"].dtype == "f4"
    pq.write_table(table.set_column(place, "mag", [["bright"] * len(table)]), path)
    with pytest.raises(ValueError, match=r"column 'mag' of .*Npix=\d+.parquet is string, and in"):
        read()
