"""p(z) in files: what is read of them, and what is refused."""

import pickle

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from catalogs.fuzzing import FOREIGN, LONGEST_MESSAGE, mutated
from surveys.pdfs.pdf_files import (
    LAYOUTS,
    gaussians,
    nested,
    numbers_of,
    write_nested,
    write_qp,
    write_tables,
)
from truez.surveys.pdfs import (
    PdfTable,
    Problem,
    quantile_columns,
    read_ids,
    read_pdfs,
    read_quantiles,
)
from truez.surveys.pdfs import hdf5 as hdf5_module
from truez.surveys.pdfs import parquet as parquet_module

EDGES = np.linspace(0.3, 1.2, 31)


def in_memory(layout):
    grid, columns = numbers_of(layout, *gaussians())
    return PdfTable.of_arrays(layout, columns, grid)


def same(table, other, rows=None, atol=1e-12):
    np.testing.assert_allclose(table.probability(rows, EDGES), other.probability(rows, EDGES),
                               atol=atol, rtol=0)  # fmt: skip


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(params=[None, 8])
def small_blocks(request, monkeypatch):
    """Files read as a whole, and eight galaxies at a time."""
    if request.param:
        monkeypatch.setattr(hdf5_module, "block_rows", lambda width: request.param)
        monkeypatch.setattr(parquet_module, "_ROWS", request.param)
    return request.param


def test_files_of_qp_have_the_probabilities_of_their_numbers(layout, tmp_path, small_blocks):
    grid, columns = numbers_of(layout, *gaussians())
    path = write_qp(tmp_path / "pz.hdf5", layout, grid, columns)
    table = read_pdfs(path)
    assert (table.layout, table.num) == (layout, 40)
    same(table, in_memory(layout))
    for rows in (slice(5, 30, 4), np.array([39, 3, 3, 17]), np.arange(40) % 3 == 0, [7]):
        some, every = table.probability(rows, EDGES), table.probability(None, EDGES)
        np.testing.assert_allclose(some, every[rows], atol=1e-12)
        np.testing.assert_allclose(table.moments(rows)[0], table.moments()[0][rows], rtol=1e-12)


def test_nested_parquet_has_the_probabilities_of_qp(layout, tmp_path, small_blocks):
    grid, columns = numbers_of(layout, *gaussians())
    shared = {"hist": "bins", "interp": "xvals", "quant": "quants"}.get(layout)
    if shared:
        columns = {shared: np.tile(grid, (40, 1)), **columns}
    for as_structs in (False, True) if layout != "hist" else (False,):
        column = nested(columns, as_structs=as_structs)
        path = write_nested(tmp_path / "pz.parquet", {"bpz_ens": column})
        table = read_pdfs(path)
        assert table.num == 40
        same(table, in_memory(layout))
        backwards = np.arange(40)[::-1]
        same(table, in_memory(layout), backwards)
        table.probability([30], EDGES)
        same(table, in_memory(layout), slice(2, 9))
        assert read_ids(path, "objectId").tolist() == list(range(40))
        copy = pickle.loads(pickle.dumps(table))
        same(copy, in_memory(layout), np.array([1, 38]))


def test_bins_of_dp1_are_those_from_0_to_3(tmp_path):
    rng = np.random.default_rng(2)
    pdfs = rng.random((6, 300))
    path = write_nested(tmp_path / "pz.parquet", {"knn_ens_hist": nested({"pdfs": pdfs})})
    same(read_pdfs(path), PdfTable.of_arrays("hist", {"pdfs": pdfs}, np.linspace(0, 3, 301)))
    path = write_nested(tmp_path / "x.parquet", {"knn_ens_hist": nested({"pdfs": pdfs[:, 1:]})})
    with pytest.raises(ValueError, match="has 299 densities in each row of 'knn_ens_hist', but no"):
        read_pdfs(path).problems()


def test_nested_rows_without_p_z_are_flagged(tmp_path):
    rows = [{"loc": [0.5], "scale": [0.1]}, None, {"loc": [], "scale": []},
            {"loc": [None], "scale": [0.1]}]  # fmt: skip
    kind = pa.struct({"loc": pa.list_(pa.float64()), "scale": pa.list_(pa.float64())})
    path = write_nested(tmp_path / "pz.parquet", {"gpz_ens_norm": pa.array(rows, kind)})
    found = read_pdfs(path).problems()
    assert found.flags.tolist() == [0, *3 * [Problem.NOT_FINITE]]


def test_nested_grids_of_different_lengths_are_those_of_their_rows(tmp_path):
    grids = [np.linspace(0, 2, 401), np.linspace(0.1, 1.9, 181)]
    mean, std = np.array([0.6, 0.8]), np.array([0.05, 0.04])
    parts = [numbers_of("interp", mean[i : i + 1], std[i : i + 1], nodes=grids[i])[1]
             for i in range(2)]  # fmt: skip
    column = nested({"xvals": grids, "yvals": [part["yvals"][0] for part in parts]})
    table = read_pdfs(write_nested(tmp_path / "pz.parquet", {"a_ens_interp": column}))
    for row in range(2):
        alone = PdfTable.of_arrays("interp", parts[row], grids[row])
        np.testing.assert_allclose(
            table.probability([row], EDGES), alone.probability(None, EDGES), atol=1e-12
        )


def test_one_of_several_nested_columns_is_chosen_by_name(tmp_path):
    columns = {
        "bpz_ens_norm": nested(numbers_of("norm", *gaussians())[1]),
        "knn_ens_mixmod": nested(numbers_of("mixmod", *gaussians())[1]),
    }
    path = write_nested(tmp_path / "pz.parquet", columns)
    assert read_pdfs(f"{path}#knn_ens_mixmod").layout == "mixmod"
    with pytest.raises(ValueError) as raised:
        read_pdfs(path)
    assert str(raised.value) == (
        f"{path} has p(z) in 2 columns, bpz_ens_norm, knn_ens_mixmod: choose one as FILE#COLUMN"
    )
    with pytest.raises(ValueError, match="no column 'tpz' of p\\(z\\), but bpz_ens_norm, knn_ens_"):
        read_pdfs(f"{path}#tpz")


def test_files_of_a_pattern_and_of_a_folder_are_one_table(tmp_path):
    grid, columns = numbers_of("interp", *gaussians())
    for number in range(4):
        part = {name: values[10 * number : 10 * number + 10] for name, values in columns.items()}
        ids = {"id": np.arange(10 * number, 10 * number + 10)}
        write_qp(tmp_path / f"pz-{number}.hdf5", "interp", grid, part, ids)
        column = nested({"xvals": np.tile(grid, (10, 1)), **part})
        (tmp_path / "hats" / "Norder=0").mkdir(parents=True, exist_ok=True)
        write_nested(
            tmp_path / "hats" / "Norder=0" / f"Npix={number}.parquet", {"a": column}, ids=ids["id"]
        )
    pattern = tmp_path / "pz-{0..3}.hdf5"
    for path in (pattern, tmp_path / "hats"):
        table = read_pdfs(path)
        assert table.num == 40
        same(table, in_memory("interp"))
        same(table, in_memory("interp"), np.array([25, 2, 39, 10, 9]))
    assert read_ids(pattern, "id").tolist() == list(range(40))
    write_qp(tmp_path / "pz-4.hdf5", "norm", *numbers_of("norm", *gaussians()))
    with pytest.raises(ValueError, match="hold p\\(z\\) as interp and norm: give files of one lay"):
        read_pdfs(tmp_path / "pz-{0..4}.hdf5")


def test_a_group_of_a_file_is_chosen_by_name(tmp_path):
    path = tmp_path / "many.hdf5"
    write_qp(path, "norm", *numbers_of("norm", *gaussians(5)), {"id": np.arange(5)}, group="qp/a")
    write_qp(path, "hist", *numbers_of("hist", *gaussians(7)), group="qp/b")
    assert read_pdfs(f"{path}#qp/a").num == 5
    assert read_pdfs(f"{path}#qp/b").num == 7
    assert read_ids(f"{path}#qp/a", "id").tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="has no dataset 'meta/pdf_name' of its own: choose"):
        read_pdfs(path)


@pytest.mark.parametrize("suffix", [".fits", ".csv", ".parquet", ".hdf5"])
def test_columns_of_quantiles_are_found_in_catalogues(suffix, tmp_path):
    mean, std = gaussians()
    ends = {"L95": -2.0, "L68": -1.0, "MEDIAN": 0.0, "U68": 1.0, "U95": 2.0}
    table = Table({f"Z_PHOT_{name}": mean + step * std for name, step in ends.items()})
    table["Z_PHOT_STD"], table["ID"] = std, np.arange(40)
    path = tmp_path / f"photo{suffix}"
    if suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            for name in table.colnames:
                file[name] = table[name].data
    elif suffix == ".parquet":
        pq.write_table(pa.table({name: table[name].data for name in table.colnames}), path)
    else:
        table.write(path)
    found = read_pdfs(path)
    assert (found.layout, found.num) == ("quant", 40)
    below = found.probability(None, [-1.0, 0.7])[:, 0]
    near = np.abs(below - 0.5) < 0.34
    expected = np.interp((0.7 - mean) / std, [-1, 0, 1], [0.16, 0.5, 0.84])
    np.testing.assert_allclose(below[near], expected[near], atol=1e-9)
    assert near.sum() > 3
    assert read_ids(path, "ID").tolist() == list(range(40))


def test_columns_of_quantiles_are_known_by_their_names():
    names = ["bpz_z_err68_low", "bpz_z_median", "bpz_z_err68_high", "bpz_z_err95_low", "z_mean",
             "z_phot_l68", "Z_PHOT_U68", "MEDIAN_SNR"]  # fmt: skip
    assert quantile_columns(names) == {
        "bpz_z": {"bpz_z_err95_low": 0.025, "bpz_z_err68_low": 0.16, "bpz_z_median": 0.5,
                  "bpz_z_err68_high": 0.84}
    }  # fmt: skip


def test_one_of_several_sets_of_quantiles_is_chosen_by_its_name(tmp_path):
    path = tmp_path / "photo.csv"
    steps = {"L68": 0.4, "MEDIAN": 0.5, "U68": 0.6}
    Table({f"{start}_{name}": [z + shift] for start, shift in (("A", 0), ("B", 0.2))
           for name, z in steps.items()}).write(path)  # fmt: skip
    assert read_pdfs(f"{path}#b").moments()[0] == pytest.approx([0.7])
    with pytest.raises(
        ValueError, match=r"has quantiles of 2 kinds, A, B: choose one, such as .*#A"
    ):
        read_quantiles(path)
    Table({"ID": [1]}).write(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="has no columns of quantiles such as Z_PHOT_L68, Z_PHOT_"):
        read_pdfs(tmp_path / "none.csv")


BROKEN = {
    "no_name": ("interp", lambda f: f["meta"].pop("pdf_name"), "has no dataset 'meta/pdf_name'"),
    "no_data": ("interp", lambda f: f["data"].pop("yvals"), "has no dataset 'data/yvals'"),
    "no_grid": ("interp", lambda f: f["meta"].pop("xvals"), "has no dataset 'meta/xvals'"),
    "short_grid": ("interp", lambda f: replaced(f, "meta/xvals", f["meta/xvals"][:, 1:]),
                   "has 400 xvals for 401 yvals of each galaxy, where interp has as many, two or"),
    "long_bins": ("hist", lambda f: replaced(f, "data/pdfs", f["data/pdfs"][:, 1:]),
                  "has 401 bins for 399 pdfs of each galaxy, where hist has one more: write"),
    "falling": ("interp", lambda f: replaced(f, "meta/xvals", f["meta/xvals"][()][:, ::-1]),
                "has xvals that do not ascend or are not finite: sort them"),
    "nan_grid": ("interp", lambda f: replaced(f, "meta/xvals", np.full(401, np.nan)),
                 "has xvals that do not ascend or are not finite: sort them"),
    "percent": ("quant", lambda f: replaced(f, "meta/quants", np.linspace(0, 100, 400)),
                "from 0 to 100, which must be probabilities from 0 to 1: divide percentages by"),
    "lengths": ("norm", lambda f: replaced(f, "data/scale", f["data/scale"][1:]),
                "has columns of different shapes, loc 40 x 1, scale 39 x 1: write the file again"),
    "shape": ("hist", lambda f: replaced(f, "data/pdfs", f["data/pdfs"][()][None]),
              "has pdfs of the shape 1 x 40 x 400, which must be one row for each galaxy"),
    "empty": ("hist", lambda f: replaced(f, "data/pdfs", f["data/pdfs"][:0]), "has no galaxies"),
    "text": ("norm", lambda f: replaced(f, "data/loc", np.full((40, 1), b"a")),
             "has loc that are no numbers: write them as floats"),
    "external": ("norm", lambda f: linked(f, "data/loc", h5py.ExternalLink("other.hdf5", "x")),
                 "has no dataset 'data/loc' of its own"),
    "declared": ("norm", lambda f: declared(f, ("data/loc", "data/scale")),
                 "declares 1e.14 galaxies, far more than it holds: copy or write it again"),
    "spline": ("norm", lambda f: replaced(f, "meta/pdf_name", np.array([b"spline"])),
               "holds p.z. as 'spline', which |cannot be read through qp as p.z.: convert it"),
}  # fmt: skip


def replaced(file, name, values):
    values = np.array(values)
    del file[name]
    file[name] = values


def linked(file, name, link):
    del file[name]
    file[name] = link


def declared(file, names):
    for name in names:
        del file[name]
        file.create_dataset(name, (10**14, 1), "f4", chunks=(1000, 1))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_in_one_sentence(case, tmp_path):
    layout, change, message = BROKEN[case]
    path = write_qp(tmp_path / "pz.hdf5", layout, *numbers_of(layout, *gaussians()))
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as raised:
        read_pdfs(path).problems()
    text = str(raised.value)
    assert len(text) < LONGEST_MESSAGE + len(str(path))
    assert "\n" not in text
    assert not FOREIGN.search(text)


def test_blocks_are_whole_chunks_of_the_file(tmp_path):
    path = tmp_path / "pz.hdf5"
    write_qp(path, "interp", *numbers_of("interp", *gaussians()))
    with h5py.File(path, "a") as file:
        values = file["data/yvals"][()]
        del file["data/yvals"]
        file.create_dataset("data/yvals", data=values, chunks=(7, 401), compression="gzip")
    table = read_pdfs(path)
    (source,) = table.sources
    assert source.block % 7 == 0
    assert 0.5e7 < source.block * 401 * 8 < 5e7
    same(table, in_memory("interp"))


def test_files_that_are_none_are_refused(tmp_path):
    for name in ("pz.hdf5", "pz.parquet", "pz.pq", "pz.fits", "pz.csv", "pz-*.hdf5"):
        with pytest.raises(FileNotFoundError, match="there is no file of p\\(z\\) "):
            read_pdfs(tmp_path / name)
    for name in ("pz.hdf5", "pz.parquet"):
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(ValueError, match=r" is (not an HDF5 file|cut off or damaged): copy or"):
            read_pdfs(tmp_path / name)


SOUND = {}


def sound(suffix, tmp_path_factory):
    if suffix not in SOUND:
        folder = tmp_path_factory.mktemp("sound")
        grid, columns = numbers_of("interp", *gaussians(20), nodes=np.linspace(0, 2, 21))
        path = folder / f"pz{suffix}"
        if suffix == ".hdf5":
            write_qp(path, "interp", grid, columns)
        else:
            write_nested(path, {"a": nested({"xvals": np.tile(grid, (20, 1)), **columns})})
        SOUND[suffix] = path.read_bytes()
    return SOUND[suffix]


@pytest.mark.parametrize("suffix", [".hdf5", ".parquet"])
@given(data=st.data())
def test_damaged_files_are_read_or_refused_in_one_sentence(suffix, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / f"pz{suffix}"
    path.write_bytes(data.draw(mutated(sound(suffix, tmp_path_factory))))
    try:
        table = read_pdfs(path)
        table.probability(None, EDGES)
        table.moments()
        table.problems(EDGES)
    except ValueError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < LONGEST_MESSAGE + len(str(path))
        assert not FOREIGN.search(text.replace(str(path), ""))


def test_a_truncated_file_is_refused(tmp_path, tmp_path_factory):
    for suffix in (".hdf5", ".parquet"):
        path = tmp_path / f"pz{suffix}"
        path.write_bytes(sound(suffix, tmp_path_factory)[:-100])
        with pytest.raises(ValueError, match="is cut off or damaged: copy or write it again"):
            read_pdfs(path).problems()


SETS = {"Z_PHOT": 0.5, "SGC": 0.9}


def quantile_tables(path, tables):
    """A FITS or HDF5 file of tables with sets of quantiles, and the ids 10, 11, ..."""
    for number, (table, sets) in enumerate(tables.items()):
        columns = {"ID": np.arange(5) + 10 * (number + 1)}
        for prefix in sets:
            for end, shift in (("L68", -0.1), ("MEDIAN", 0.0), ("U68", 0.1)):
                columns[f"{prefix}_{end}"] = np.full(5, SETS[prefix] + number + shift)
        if path.suffix == ".fits":
            hdu = fits.BinTableHDU(Table(columns), name=table)
            if number == 0:
                fits.PrimaryHDU().writeto(path)
            fits.append(path, hdu.data, hdu.header)
        else:
            Table(columns).write(path, path=table, append=True)
    return path


def middle(path):
    return read_pdfs(path).moments()[0].round(3).tolist()


@pytest.mark.parametrize("suffix", [".fits", ".h5"])
def test_a_table_and_a_set_of_quantiles_are_chosen_by_their_names(suffix, tmp_path):
    path = quantile_tables(tmp_path / f"p{suffix}", {"NORTH": ["Z_PHOT", "SGC"], "SGC": ["Z_PHOT"]})
    assert middle(f"{path}#NORTH#Z_PHOT") == 5 * [0.5]
    assert middle(f"{path}#NORTH#sgc") == 5 * [0.9]
    assert middle(f"{path}#SGC#Z_PHOT") == middle(f"{path}#SGC") == 5 * [1.5]
    assert read_ids(f"{path}#SGC#Z_PHOT", "ID").tolist() == [20, 21, 22, 23, 24]
    assert read_ids(f"{path}#SGC", "ID").tolist() == [20, 21, 22, 23, 24]
    with pytest.raises(ValueError, match=r"2 kinds, Z_PHOT, SGC: choose one, such as .*NORTH#Z_PH"):
        read_pdfs(f"{path}#NORTH")


def test_a_name_that_is_a_table_and_quantiles_is_refused(tmp_path):
    path = quantile_tables(tmp_path / "p.fits", {"SGC": ["SGC", "Z_PHOT"]})
    sentence = r"has a table 'SGC' and p\(z\) that begin with it: choose .*p.fits#SGC#PREFIX or "
    with pytest.raises(ValueError, match=sentence):
        read_pdfs(f"{path}#SGC")
    assert middle(f"{path}#1#SGC") == 5 * [0.9]
    assert middle(f"{path}#Z_PHOT") == 5 * [0.5]


def test_files_of_a_pattern_have_a_table_and_a_set_of_quantiles(tmp_path):
    for number in range(2):
        quantile_tables(tmp_path / f"p{number}.fits", {"N": ["Z_PHOT", "SGC"], "S": ["Z_PHOT"]})
    assert middle(tmp_path / "p{0..1}.fits#S#Z_PHOT") == 10 * [1.5]
    assert middle(tmp_path / "p*.fits#S") == 10 * [1.5]
    assert read_ids(tmp_path / "p*.fits#S#Z_PHOT", "ID").tolist() == 2 * [20, 21, 22, 23, 24]


def test_intervals_of_hsc_are_quantiles():
    names = [f"demp_photoz_err{level}_{end}" for level in (68, 95) for end in ("min", "max")]
    found = quantile_columns([*names, "demp_photoz_median", "demp_photoz_best"])
    assert list(found["demp_photoz"].values()) == [0.025, 0.16, 0.5, 0.84, 0.975]


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".list.parquet"])
def test_the_vector_column_of_euclid_is_read_on_its_grid(suffix, tmp_path):
    mean, std = gaussians(20)
    grid, columns = numbers_of("interp", mean, std, nodes=np.linspace(0, 6, 601))
    density, path = columns["yvals"].astype(np.float32), tmp_path / f"phz{suffix}"
    density[4] = np.nan
    if suffix == ".fits":
        Table({"OBJECT_ID": np.arange(20), "PHZ_PDF": density}).write(path)
    else:
        values = pa.FixedSizeListArray.from_arrays(pa.array(density.ravel()), 601)
        if ".list" in suffix:
            values = pa.array([None if row == 4 else list(density[row]) for row in range(20)],
                              pa.list_(pa.float32()))  # fmt: skip
        pq.write_table(pa.table({"OBJECT_ID": np.arange(20), "PHZ_PDF": values}), path)
    for name in ("", "#phz_pdf"):
        table = read_pdfs(f"{path}{name}")
        expected = PdfTable.of_arrays("interp", {"yvals": density.astype(float)}, grid)
        np.testing.assert_allclose(
            table.probability(None, EDGES), expected.probability(None, EDGES), atol=1e-6
        )
    assert table.problems().rows.tolist() == [4]
    assert read_ids(f"{path}#phz_pdf", "OBJECT_ID").tolist() == list(range(20))


def test_a_vector_column_of_another_length_is_refused(tmp_path):
    Table({"phz_pdf": np.ones((3, 300))}).write(tmp_path / "phz.fits")
    with pytest.raises(
        ValueError, match="has 300 numbers in each row of 'phz_pdf', where 601 from"
    ):
        read_pdfs(tmp_path / "phz.fits")
    lists = pa.array([[1.0] * 601, [1.0] * 4])
    pq.write_table(pa.table({"phz_phz_pdf": lists}), tmp_path / "phz.parquet")
    with pytest.raises(ValueError, match="has 4 numbers in a row of 'phz_phz_pdf', where 601 from"):
        read_pdfs(tmp_path / "phz.parquet").problems()


def test_quantiles_beside_nested_columns_are_chosen_by_their_name(tmp_path):
    mean, std = gaussians(5)
    table = {"knn_ens_norm": nested(numbers_of("norm", mean, std)[1])}
    table |= {f"bpz_z_{end}": np.full(5, z) for end, z in (
        ("err68_low", 0.4), ("median", 0.5), ("err68_high", 0.6))}  # fmt: skip
    path = write_nested(tmp_path / "dp1.parquet", table)
    np.testing.assert_allclose(read_pdfs(path).moments()[0], mean)
    np.testing.assert_allclose(read_pdfs(f"{path}#bpz_z").moments()[0], 0.5)
    np.testing.assert_allclose(read_pdfs(f"{path}#KNN_ens_norm").moments()[0], mean)


@pytest.mark.parametrize("suffix", [".fits", ".pq"])
def test_ids_beside_tables_of_qp_are_found_by_their_name(suffix, tmp_path):
    mean, std = gaussians()
    ids = {"object_id": np.arange(40) + 7, "name": np.array([f"g{i}" for i in range(40)])}
    for number in range(2):
        path = write_tables(tmp_path / f"pz{number}{suffix}", "interp",
                            *numbers_of("interp", mean, std), ids)  # fmt: skip
    assert read_ids(path, "OBJECT_ID").tolist() == list(range(7, 47))
    assert read_ids(path, "name")[39] == "g39"
    with pytest.raises(ValueError) as raised:
        read_ids(path, "id")
    assert str(raised.value).startswith(f"ancil of {path} has no column 'id'")
    if suffix == ".fits":
        both = tmp_path / "pz{0..1}.fits"
        assert read_ids(both, "object_id").tolist() == 2 * list(range(7, 47))


def test_a_table_of_another_kind_is_none_of_qp(tmp_path):
    path = tmp_path / "cat.pq"
    pq.write_table(pa.table({f"Z_{name}": np.linspace(0.1, 0.9, 40) + shift
                             for name, shift in (("L68", -0.02), ("MEDIAN", 0), ("U68", 0.02))}),
                   path)  # fmt: skip
    assert read_pdfs(path).layout == "quant"
    with pytest.raises(FileNotFoundError, match="there is no file of p"):
        read_pdfs(tmp_path / "none.pq")
    write_tables(
        tmp_path / "a.pq", "hist", *numbers_of("hist", *gaussians()), {"id": np.arange(40)}
    )
    for part in ("data", "meta", "ancil"):
        with pytest.raises(ValueError, match=f"a{part}.pq is a part of the p.z. .*a.pq: give that"):
            read_pdfs(tmp_path / f"a{part}.pq")
    (tmp_path / "ameta.pq").write_bytes(b"PAR1")
    with pytest.raises(FileNotFoundError, match="there is no file of p"):
        read_pdfs(tmp_path / "a.pq")
