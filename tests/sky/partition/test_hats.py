"""HATS catalogues: patches are those of a partition of the same galaxies, without a pass."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sky.partition.divided_sky import galaxies, input_of, plan_of

from truez.mesh.healpix import nested
from truez.sky.partition.hats import is_hats
from truez.sky.partition.sample import draw_sample
from truez.sky.partition.stored import Partition


def write_hats(folder, columns, *, nested_folder="dataset/", order=2):
    """A HATS catalogue of pixels of two orders, with the rows in its order."""
    fine = nested(columns["ra"], columns["dec"], 2**29)
    coarse = nested(columns["ra"], columns["dec"], 2**order)
    # The odd pixels of the lower order are divided into four.
    lower = np.where(coarse % 2, 4 * coarse + (fine >> 2 * (29 - order - 1)) % 4, coarse)
    table = pa.table({"_healpix_29": fine, **columns}).take(pa.array(np.argsort(fine)))
    orders = np.where(coarse % 2, order + 1, order)
    listed = []
    for level, pixel in sorted(set(zip(orders.tolist(), lower.tolist(), strict=True))):
        own = nested(table["ra"].to_numpy(), table["dec"].to_numpy(), 2**level) == pixel
        path = folder / f"{nested_folder}Norder={level}/Dir={pixel // 10000 * 10000}"
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pa.array(own)), path / f"Npix={pixel}.parquet")
        listed.append(f"{level},{pixel}")
    (folder / "partition_info.csv").write_text("\n".join(["Norder,Npix", *listed, ""]))
    return table


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
    next((tmp_path / "hats").rglob("Npix=*.parquet")).unlink()
    made = Partition.make(tmp_path / "c", plan_of(), photo=input_of(tmp_path / "hats"))
    with pytest.raises(FileNotFoundError, match=r"lists the pixel .* and has no file of it"):
        [made.read(number) for number in range(len(made))]
