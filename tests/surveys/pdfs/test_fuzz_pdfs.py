"""p(z) of odd numbers, types and shapes are used, flagged, or refused in one sentence."""

import h5py
import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.fuzzing import FOREIGN, LONGEST_MESSAGE
from surveys.pdfs.pdf_files import GRIDS, LAYOUTS, gaussians, numbers_of, write_qp
from truez.surveys.pdfs import PdfPrior, read_pdfs

EDGES = np.linspace(0.0, 1.5, 16)
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, -1e300, 1e-320, -99.0, 3e38]
TYPES = ["f4", "f2", "i8", "u1", "?", "c16", "S5", "O"]


def read_or_refuse(path):
    """The p(z) of a file whose numbers are probabilities or NaN, None where it is refused."""
    try:
        table = read_pdfs(path)
        mass = table.probability(None, EDGES)
        likelihood = table.likelihood(None, EDGES, PdfPrior.of("flat"))
        flags = table.problems().flags
        table.moments()
    except ValueError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < LONGEST_MESSAGE + len(str(path))
        assert not FOREIGN.search(text.replace(str(path), ""))
        return None
    sound = flags == 0
    for numbers in (mass, likelihood):
        assert np.isnan(numbers[~sound]).all()
        assert np.isfinite(numbers[sound]).all()
        assert (numbers[sound] >= 0).all()
    assert (mass[sound].sum(1) <= 1 + 1e-9).all()
    return table


def few(layout):
    nodes, levels = np.linspace(0, 2, 9), np.array([0.1, 0.5, 0.9])
    return numbers_of(layout, *gaussians(4), nodes=nodes, levels=levels)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_odd_numbers(layout, data, tmp_path_factory):
    grid, columns = few(layout)
    columns = {name: np.array(values, float) for name, values in columns.items()}
    for _ in range(data.draw(st.integers(1, 4))):
        one = columns[data.draw(st.sampled_from(sorted(columns)))]
        row, place = (data.draw(st.integers(0, size - 1)) for size in one.shape)
        one[row, place] = data.draw(st.sampled_from(NUMBERS) | st.floats())
    if grid is not None and data.draw(st.booleans()):
        grid = np.array(grid)
        grid[data.draw(st.integers(0, len(grid) - 1))] = data.draw(st.sampled_from(NUMBERS))
    read_or_refuse(write_qp(tmp_path_factory.mktemp("pz") / "pz.hdf5", layout, grid, columns))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", TYPES)
def test_odd_types(layout, kind, tmp_path):
    grid, columns = few(layout)
    text = kind in ("S5", "O")
    for changed in [*columns, *([GRIDS[layout]] if grid is not None else [])]:
        path = tmp_path / f"{changed}.hdf5"
        write_qp(path, layout, grid, columns)
        with h5py.File(path, "a") as file:
            name = f"data/{changed}" if changed in columns else f"meta/{changed}"
            values = file[name][:]
            del file[name]
            file[name] = np.full(values.shape, b"text") if text else values.astype(kind)
        found = read_or_refuse(path)
        assert found is None or kind in ("f4", "f2", "i8", "u1")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(0,), (), (4,), (0, 9), (4, 0), (2, 2, 2), (3, 9), (4, 1)])
def test_odd_shapes(layout, shape, tmp_path):
    grid, columns = few(layout)
    for changed in columns:
        path = tmp_path / f"{changed}.hdf5"
        write_qp(path, layout, grid, columns | {changed: np.full(shape, 0.5)})
        read_or_refuse(path)


@pytest.mark.parametrize("kind", ["f4", "i4", "?", "U4", "c16"])
def test_columns_of_quantiles_of_odd_types(kind, tmp_path):
    ends = {f"Z_{name}": np.full(3, z) for name, z in (("L68", 0.4), ("MEDIAN", 0.5), ("U68", 0.6))}
    ends["Z_MEDIAN"] = np.full(3, "x" if kind == "U4" else 1).astype(kind)
    Table(ends).write(tmp_path / "photo.fits")
    found = read_or_refuse(tmp_path / "photo.fits")
    assert (found is not None) == (kind in ("f4", "i4"))


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.lists(st.sampled_from([*NUMBERS, 0.4, 0.5]), min_size=3, max_size=3),
                     min_size=1, max_size=4))  # fmt: skip
def test_columns_of_quantiles_of_odd_numbers(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantiles") / "photo.fits"
    Table(np.array(rows, float), names=["Z_L68", "Z_MEDIAN", "Z_U68"]).write(path)
    assert read_or_refuse(path) is not None
