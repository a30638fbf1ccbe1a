"""Files of p(z) that truez writes: read back by truez here, by qp in test_pdf_of_qp."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surveys.pdfs.pdf_files import LAYOUTS, gaussians, numbers_of
from truez.support import temporaries
from truez.support.spill import Spill
from truez.surveys.pdfs import PdfTable, pdf_writer, read_ids, read_pdfs, write_pdfs
from truez.surveys.pdfs.scattered import ScatteredRows

EDGES = np.linspace(0.3, 1.2, 31)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_comes_back(layout, tmp_path):
    grid, columns = numbers_of(layout, *gaussians())
    ids = np.arange(40) + 7
    names = np.array([f"é{i}" for i in ids])
    path = tmp_path / "pz.hdf5"
    write_pdfs(path, layout, columns, grid, ancil={"object_id": ids, "name": names},
               metadata={"made": "by hand"})  # fmt: skip
    table = read_pdfs(path)
    assert (table.layout, table.num) == (layout, 40)
    assert read_ids(path, "object_id").tolist() == ids.tolist()
    assert read_ids(path, "name").tolist() == names.tolist()
    expected = PdfTable.of_arrays(layout, columns, grid)
    np.testing.assert_allclose(table.probability(None, EDGES), expected.probability(None, EDGES),
                               atol=3e-6)  # fmt: skip
    with h5py.File(path) as file:
        assert file.attrs["metadata"] == '{"made": "by hand"}'
    assert [found.name for found in tmp_path.iterdir()] == ["pz.hdf5"]
    assert not temporaries.temporaries


@pytest.mark.parametrize("layout", ["interp", "mixmod"])
def test_galaxies_in_any_order_are_those_in_order(layout, tmp_path, monkeypatch):
    # More than one block is merged, and chunks end within it.
    monkeypatch.setattr("truez.surveys.pdfs.writing._MERGED", 4 * 401 * 7)
    monkeypatch.setattr("truez.surveys.pdfs.writing._BLOCK", 4 * 401 * 3)
    grid, columns = numbers_of(layout, *gaussians())
    write_pdfs(tmp_path / "order.hdf5", layout, columns, grid)
    order = np.random.default_rng(3).permutation(40)
    with pdf_writer(tmp_path / "any.hdf5", layout, 40, grid) as writer:
        for rows in np.array_split(order, 6):
            writer.put(rows, {name: values[rows] for name, values in columns.items()})
        writer.merge()
    with h5py.File(tmp_path / "order.hdf5") as one, h5py.File(tmp_path / "any.hdf5") as other:
        for name in one["data"]:
            np.testing.assert_array_equal(one["data"][name][:], other["data"][name][:])
            assert other["data"][name].compression == "gzip"


@settings(deadline=None, max_examples=60)
@given(
    num=st.integers(1, 30), width=st.integers(1, 6), pieces=st.integers(1, 5),
    seed=st.integers(0, 2**31), step=st.integers(1, 9), on_disk=st.booleans(),
)  # fmt: skip
def test_scattered_rows_are_a_table(num, width, pieces, seed, step, on_disk, tmp_path_factory):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num, width)).astype(np.float32) * (rng.random((num, width)) < 0.6)
    there = rng.permutation(num)[: rng.integers(0, num + 1)]
    spill = Spill(tmp_path_factory.mktemp("spill") / "rows.bin" if on_disk else None)
    rows = ScatteredRows(width, spill)
    for part in np.array_split(there, pieces):
        rows.put(part, values[part])
    fill = np.full(width, -7.0)
    expected = np.full((num, width), -7.0, np.float32)
    expected[there] = values[there]
    for start in range(0, num, step):
        stop = min(start + step, num)
        np.testing.assert_array_equal(rows.read(start, stop, fill=fill), expected[start:stop])
    spill.close()


def test_galaxies_that_did_not_come_are_filled(tmp_path):
    with pdf_writer(tmp_path / "pz.hdf5", "interp", 5, [0.0, 0.5, 1.0]) as writer:
        writer.put(np.array([3]), {"yvals": [[0.0, 2.0, 0.0]]})
        writer.merge()
    flags = read_pdfs(tmp_path / "pz.hdf5").problems().flags
    assert flags.astype(bool).tolist() == [True, True, True, False, True]


def test_memory_does_not_grow_with_the_galaxies(tmp_path, monkeypatch):
    # What is merged at a time is bounded, whatever the order.
    read = []
    whole = ScatteredRows.read

    def spied(self, start, stop, **more):
        read.append(stop - start)
        return whole(self, start, stop, **more)

    monkeypatch.setattr(ScatteredRows, "read", spied)
    monkeypatch.setattr("truez.surveys.pdfs.writing._MERGED", 2**14)
    monkeypatch.setattr("truez.surveys.pdfs.writing._BLOCK", 2**12)
    grid = np.linspace(0, 1, 64)
    with pdf_writer(tmp_path / "pz.hdf5", "interp", 1000, grid) as writer:
        for rows in np.array_split(np.arange(1000)[::-1], 20):
            writer.put(rows, {"yvals": np.ones((len(rows), 64)) * (1 + rows[:, None])})
        writer.merge()
    assert max(read) == 64
    assert sum(read) == 1000
    with h5py.File(tmp_path / "pz.hdf5") as file:
        np.testing.assert_array_equal(file["data/yvals"][:, 5], 1 + np.arange(1000))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (("pz.h5", "norm", {"loc": [0.5], "scale": [0.1]}),
         "a file of p(z) must end in .hdf5, for qp to read it, not be pz.h5"),
        (("pz.hdf5", "spline", {"loc": [0.5]}),
         "layout must be hist, interp, interp_irregular, quant, norm, mixmod, not 'spline'"),
        (("pz.hdf5", "norm", {"loc": [0.5]}),
         "p(z) as norm have the columns loc, scale and no grid: pass these alone"),
        (("pz.hdf5", "hist", {"pdfs": [[1.0, 2.0]]}, [0.0, 1.0]),
         ("the table of p(z) has 2 bins for 2 pdfs of each galaxy, where hist has one more: write "
          "the file again")),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(how, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as raised:
        write_pdfs(*how)
    assert str(raised.value) == sentence
    assert not list(tmp_path.iterdir())


def test_other_columns_are_of_the_same_galaxies(tmp_path):
    with pytest.raises(ValueError) as raised:
        write_pdfs(tmp_path / "pz.hdf5", "norm", {"loc": [0.5, 0.6], "scale": [0.1, 0.1]},
                   ancil={"id": [1]})  # fmt: skip
    assert str(raised.value) == (
        "ancil column 'id' has shape (1,), but there are p(z) of 2 galaxies: give one value for "
        "each"
    )


def test_a_file_of_too_few_galaxies_is_not_left(tmp_path):
    path = tmp_path / "pz.hdf5"
    path.write_bytes(b"old")
    with (
        pytest.raises(ValueError, match=r"p\(z\) of 1 galaxies came, of 2"),
        pdf_writer(path, "norm", 2) as writer,
    ):
        writer.append({"loc": [0.5], "scale": [0.1]})
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["pz.hdf5"]
