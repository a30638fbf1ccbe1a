"""Units that files state are found wherever writers put them, and --length-unit wins."""

import warnings

import astropy.units as u
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable, Table

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_positions, read_positions
from truez.cli.app import main
from truez.mesh.box import Box
from truez.support.notes import Note
from truez.surveys.surveys import Surveys

XYZ = {name: np.arange(4.0) + axis for axis, name in enumerate("xyz")}
SIDES = np.array([64.0, 64.0, 128.0])


def units_of(path):
    return dict(formats.header(path).units)


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize(
    ("suffix", "more"),
    [
        (".fits", {}),
        (".parquet", {}),
        (".ecsv", {}),
        (".csv", {"format": "ascii.ecsv"}),
        (".txt", {"format": "ascii.ecsv", "delimiter": ","}),
        (".h5", {"path": "deep/tab", "serialize_meta": True}),
    ],
)
def test_tables_of_astropy(kind, suffix, more, tmp_path):
    table = kind(XYZ)
    table["v"] = np.arange(8.0).reshape(4, 2)
    for name in (*"xyz", "v"):
        table[name].unit = "Mpc"
        if kind is QTable:
            table[name] = table[name].value * u.Mpc
    path = tmp_path / f"c{suffix}"
    table.write(path, **more)
    before = "deep/tab/" if suffix == ".h5" else ""
    expected = {f"{before}{name}": "Mpc" for name in (*"xyz", "v.0", "v.1")}
    assert units_of(path) == expected
    with pytest.raises(ValueError, match=r"^lengths in Mpc need hubble"):
        read_positions(path, [f"{before}{name}" for name in "xyz"])


@pytest.mark.parametrize("key", ["unit", "units", "Units", "UNIT", "Unit"])
def test_attributes_in_any_case(key, tmp_path):
    fields = [pa.field(name, pa.float64(), metadata={key: "kpc/h"}) for name in "xyz"]
    table = pa.table([pa.array(values) for values in XYZ.values()], schema=pa.schema(fields))
    pq.write_table(table, tmp_path / "c.parquet")
    for number, value in enumerate(
        [
            "kpc/h",
            b"kpc/h",
            np.array([b"kpc/h"]),
            np.array(["kpc/h"], dtype=object),
            np.array(b"kpc/h", "S8"),
        ]
    ):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            for name, values in XYZ.items():
                file[name] = values
                text = isinstance(value, np.ndarray) and value.dtype.kind == "O"
                kind = h5py.string_dtype() if text else None
                file[name].attrs.create(key, value, dtype=kind)
        assert units_of(tmp_path / f"{number}.h5") == dict.fromkeys("xyz", "kpc/h")
    assert units_of(tmp_path / "c.parquet") == dict.fromkeys("xyz", "kpc/h")


def test_an_attribute_of_one_unit_for_each_field(tmp_path):
    rows = np.zeros(3, [("x", "f8"), ("m", "f8")])
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["tab"] = rows
        file["tab"].attrs["units"] = np.array([b"Mpc/h", b"Msun/h"])
    assert units_of(tmp_path / "c.h5") == {"tab/x": "Mpc/h", "tab/m": "Msun/h"}


def test_quantities_of_asdf(tmp_path):
    asdf = pytest.importorskip("asdf")
    tagged = asdf.tagged.TaggedDict
    tree = {n: tagged({"value": v, "unit": "Mpc"}, "!unit/quantity-1.1.0") for n, v in XYZ.items()}
    plain = {name: {"value": values, "unit": "Mpc"} for name, values in XYZ.items()}
    columns = [{"data": v, "name": n, "unit": "Mpc"} for n, v in XYZ.items()]
    table = {"colnames": list("xyz"), "columns": columns, "qtable": False, "meta": {}}
    asdf.AsdfFile({"plain": plain, "cat": table}).write_to(tmp_path / "c.asdf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = {f"{group}/{name}": "Mpc" for group in ("plain", "cat") for name in "xyz"}
        assert units_of(tmp_path / "c.asdf") == expected
        found = Catalog.read(tmp_path / "c.asdf", ["plain/y", "cat/z"])
    np.testing.assert_array_equal(found["plain/y"], XYZ["y"])
    np.testing.assert_array_equal(found["cat/z"], XYZ["z"])
    assert tree


def test_a_table_of_asdf_as_asdf_astropy_writes_it(tmp_path):
    asdf = pytest.importorskip("asdf")
    tagged = asdf.tagged.TaggedDict
    core, astropy = "tag:stsci.edu:asdf/", "tag:astropy.org:astropy/"
    masked = np.ma.array([7, 8, 9, 10], mask=[0, 1, 0, 0])
    columns = {
        "x": tagged({"data": XYZ["x"], "name": "x", "unit": "Mpc"}, f"{core}core/column-1.0.0"),
        "id": tagged({"data": masked, "name": "id"}, f"{core}core/column-1.0.0"),
        "q": tagged({"value": XYZ["y"], "unit": "kpc"}, f"{core}unit/quantity-1.2.0"),
        "c": tagged({"frame": "icrs"}, f"{astropy}coordinates/skycoord-1.0.0"),
    }
    table = {"colnames": list(columns), "columns": list(columns.values()), "qtable": True}
    tree = {"cat": tagged({**table, "meta": {}}, f"{astropy}table/table-1.0.0")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asdf.AsdfFile(tree).write_to(tmp_path / "c.asdf")
    found = Catalog.read(tmp_path / "c.asdf")
    assert list(found.columns) == ["cat/x", "cat/id", "cat/q"]
    assert dict(found.units) == {"cat/x": "Mpc", "cat/q": "kpc"}
    assert found["cat/id"].tolist() == [7, None, 9, 10]


def test_quantities_and_columns_in_memory():
    quantities = {name: values * u.Mpc for name, values in XYZ.items()}
    assert dict(Catalog(quantities).units) == dict.fromkeys("xyz", "Mpc")
    assert dict(Catalog(Table(quantities)["x", "y"]).units) == {"x": "Mpc", "y": "Mpc"}
    assert dict(Catalog(quantities, {"x": "kpc"}).units)["x"] == "kpc"


def test_a_header_with_objects_that_are_not_needed(tmp_path):
    from astropy.coordinates import SkyCoord

    table = Table(XYZ)
    table["x"].unit = "Mpc"
    table["coord"] = SkyCoord(XYZ["x"] * u.deg, XYZ["y"] * u.deg)
    table.write(tmp_path / "c.ecsv")
    found = Catalog.read(tmp_path / "c.ecsv", ["x", "y"])
    assert dict(found.units) == {"x": "Mpc"}
    np.testing.assert_array_equal(found["y"], XYZ["y"])


@pytest.mark.parametrize(
    "line", ["meta: !!python/object/apply:os.system [ls]", "meta: [", "meta: {a: 1}}", "\t- :"]
)
def test_a_damaged_header_is_one_sentence(line, tmp_path):
    Catalog(XYZ).write(tmp_path / "c.ecsv")
    text = (tmp_path / "c.ecsv").read_text()
    (tmp_path / "c.ecsv").write_text(text.replace("# meta: {}", f"# {line}"))
    with pytest.raises(ValueError, match="cannot be read as ECSV: its header is damaged in line"):
        Catalog.read(tmp_path / "c.ecsv")


# --- the user's word


@pytest.mark.parametrize("stated", ["kpc/h", "furlong", "deg"])
def test_the_user_wins_with_a_note(stated, tmp_path):
    catalog = Catalog(XYZ, dict.fromkeys("xyz", stated))
    catalog.write(tmp_path / "c.h5")
    sentence = f"column 'x' is in '{stated}' by its file, and length_unit Mpc/h is used instead"
    with pytest.warns(Note) as heard:
        found = catalog.positions(length_unit="Mpc/h")
    assert [str(note.message) for note in heard] == [sentence]
    np.testing.assert_array_equal(found, np.stack(list(XYZ.values()), axis=1))
    with pytest.warns(Note):
        iter_positions(tmp_path / "c.h5", length_unit="Mpc/h")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Catalog(XYZ, dict.fromkeys("xyz", "h^{-1} Mpc")).positions(length_unit="Mpc/h")


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(1)
    true = rng.random((2000, 3)) * SIDES
    photo = true.copy()
    photo[:, 2] = (photo[:, 2] + rng.normal(0, 17.7, 2000)) % SIDES[2]
    return true[::5], photo


def catalog(positions, unit):
    columns = {name: positions[:, axis].copy() for axis, name in enumerate("xyz")}
    return Catalog(columns, dict.fromkeys("xyz", unit) if unit else None)


def reconstructed(folder, spec, photo, *more, expected=0):
    spec.write(folder / "spec.fits")
    photo.write(folder / "photo.fits")
    words = ["reconstruct", "--spec", folder / "spec.fits", "--photo", folder / "photo.fits",
             "--redshift", 0.59, "--sigma-z", 0.005, "--cosmology", "wmap", "--overlap", "nested",
             "--cellsize", 8, "--method", "wiener", "--out", folder / "f.h5", *more]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == expected
    if expected:
        return None
    from truez.mesh.field import Field

    return Field.read(folder / "f.h5").values.numpy()


def test_two_files_have_two_units(galaxies, tmp_path, capsys):
    spec, photo = galaxies
    sides = ("--boxsize", "64,64,128")
    wanted = reconstructed(tmp_path, catalog(spec, "Mpc/h"), catalog(photo, "Mpc/h"), *sides)
    large = ("--boxsize", "64000,64000,128000", "--overwrite")
    pairs = [
        (catalog(spec, "Mpc/h"), catalog(1000 * photo, "kpc/h"), large),
        (catalog(1000 * spec, "kpc/h"), catalog(photo, "Mpc/h"), (*sides, "--overwrite")),
        (catalog(1000 * spec, None), catalog(1000 * photo, "kpc/h"), large),
        (catalog(1000 * spec, "kpc/h"), catalog(photo, None), (*sides, "--overwrite")),
        (
            catalog(spec / 0.71, "Mpc"),
            catalog(photo, "Mpc/h"),
            (*sides, "--overwrite", "--hubble", 0.71),
        ),
    ]
    for one, other, more in pairs:
        found = reconstructed(tmp_path, one, other, *more)
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert "note" not in capsys.readouterr().err


def test_the_note_of_a_unit_that_is_not_used(galaxies, tmp_path, capsys):
    spec, photo = galaxies
    sides = ("--boxsize", "64,64,128")
    both = catalog(spec, "parsnip"), catalog(photo, "parsnip")
    reconstructed(tmp_path, *both, *sides, expected=2)
    said = capsys.readouterr().err
    assert said == (
        f"truez: the unit 'parsnip' of the position column 'x' of {tmp_path}/photo.fits is no "
        "length that truez knows: give --length-unit, one of Mpc/h, kpc/h, Gpc/h, Mpc, kpc, Gpc\n"
    )
    reconstructed(tmp_path, *both, *sides, "--overwrite", "--length-unit", "Mpc/h")
    said = [line for line in capsys.readouterr().err.splitlines() if "note" in line]
    assert said == [
        (
            "truez: note: column 'x' is in 'parsnip' by its file, and --length-unit Mpc/h is used "
            "instead"
        )
    ]


def test_a_vector_column_keeps_its_unit(galaxies, tmp_path):
    spec, photo = galaxies
    for name, positions in (("spec", spec), ("photo", photo)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["pos"] = 1000 * positions
            file["pos"].attrs["Units"] = np.array([b"kpc/h"])
    from truez.surveys.details import SurveyDetails

    surveys = Surveys.from_catalogs(
        spec=tmp_path / "spec.h5", photo=tmp_path / "photo.h5", box=Box(SIDES, (8, 8, 16)),
        redshift=0.59, sigma_z=0.005, overlap="nested", cosmology="wmap",
        details=SurveyDetails(positions="pos"),
    )  # fmt: skip
    np.testing.assert_allclose(surveys.photo, photo)


@pytest.mark.parametrize("name", ["{} [kpc]", "{}(kpc)", "pos_{} [ckpc]"])
def test_a_unit_in_the_name_of_a_column_is_a_unit(name, tmp_path):
    names = [name.format(axis) for axis in "xyz"]
    path = tmp_path / "a.csv"
    path.write_text(",".join(names) + "\n1000,2000,3000\n")
    with pytest.raises(ValueError, match="lengths in kpc need hubble"):
        Catalog.read(path).positions(names)
    found = Catalog.read(path).positions(names, hubble=0.5)
    np.testing.assert_allclose(found, [[0.5, 1, 1.5]])


def test_a_number_or_word_in_brackets_is_no_unit(tmp_path):
    names = ["x(1)", "y [mean]", "z"]
    catalog = Catalog(dict.fromkeys(names, np.ones(2)), units={"z": "Mpc/h"})
    np.testing.assert_array_equal(catalog.positions(names), np.ones((2, 3)))


def test_velocities_in_another_unit_by_their_name_are_refused():
    names = ["vx [m/s]", "vy", "vz"]
    with pytest.raises(ValueError, match=r"'vx \[m/s\]' is in 'm/s': convert them"):
        Catalog(dict.fromkeys(names, np.ones(2))).velocities(names)
