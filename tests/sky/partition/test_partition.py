"""Catalogues divided among patches: what is there, in which order, and after a kill."""

import hashlib
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sky.partition.divided_sky import galaxies, input_of, plan_of, write_folder

from truez.catalogs.catalog import Catalog
from truez.sky.partition import divide as divide_module
from truez.sky.partition.counts import NSIDE, WIDTH, Counts
from truez.sky.partition.divide import SampleFolder
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.routing import Router
from truez.sky.partition.runs import Run
from truez.sky.partition.stored import Partition
from truez.surveys.footprint import Rectangle, Union
from truez.surveys.pixel_map import PixelMap

#: So little that the galaxies are several runs.
LITTLE = 2**20


@pytest.fixture(scope="module")
def columns():
    return galaxies(60_000)


@pytest.fixture(scope="module")
def divided(tmp_path_factory, columns):
    folder = tmp_path_factory.mktemp("divided")
    photo = write_folder(folder / "photo.parquet", columns)
    some = {name: values[::9] for name, values in columns.items()}
    Catalog(some, {"ra": "deg"}).write(folder / "spec.fits")
    return Partition.make(
        folder / "out", plan_of(), photo=input_of(photo), spec=input_of(folder / "spec.fits"),
        memory=LITTLE,
    )  # fmt: skip


def sums(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def test_each_galaxy_is_once_in_a_core_or_in_the_rest(divided, columns):
    found = [divided.table("photo", number) for number in range(len(divided))]
    cores = pa.concat_tables([one.filter(one["truez_core"]) for one in found])
    rest = pq.read_table(SampleFolder(divided.folder / "photo").rest)
    rows = np.concatenate([cores["truez_row"].to_numpy(), rest["truez_row"].to_numpy()])
    np.testing.assert_array_equal(np.sort(rows), np.arange(60_000))
    assert len(cores) > 20_000
    # In the order of the input the columns are the input's.
    order = np.argsort(rows)
    for name, values in columns.items():
        own = np.concatenate([cores[name].to_numpy(), rest[name].to_numpy()])
        assert own.dtype == values.dtype
        np.testing.assert_array_equal(own[order], values)


def test_patches_hold_what_the_router_says_in_the_order_of_the_input(divided, columns):
    z = np.where(columns["z"] < 0, np.nan, columns["z"])
    members = Router(divided.patches).members(columns["ra"], columns["dec"], z)
    assert len(divided) > 10
    for number in range(len(divided)):
        own = members.patches == number
        inputs = divided.read(number)
        np.testing.assert_array_equal(inputs.photo.rows, members.rows[own])
        np.testing.assert_array_equal(inputs.photo.core, members.core[own])
        np.testing.assert_array_equal(inputs.photo.catalog["id"], columns["id"][members.rows[own]])
        assert inputs.spec.catalog.units == {"ra": "deg"}
        assert set(inputs.photo.rows[inputs.photo.core] % 9 == 0) == {False, True}
    low = divided.read(3, {"photo": ["ID"]}).photo
    assert sorted(low.catalog.columns) == ["dec", "id", "ra", "z"]
    np.testing.assert_array_equal(low.sky.redshift, z[low.rows])


def test_counts_are_those_of_the_catalogue(divided, columns):
    counts = divided.counts("photo")
    z = np.where(columns["z"] < 0, np.nan, columns["z"])
    whole = Counts.of(columns["ra"], columns["dec"], z)
    np.testing.assert_array_equal(counts.keys, whole.keys)
    np.testing.assert_array_equal(counts.numbers, whole.numbers)
    assert counts.total == 60_000
    assert counts.without == int(np.isnan(z).sum())
    assert counts.pixels.max() < 12 * NSIDE**2
    edges, numbers = counts.redshifts()
    np.testing.assert_array_equal(numbers, np.histogram(z, edges)[0])
    assert edges[1] == WIDTH


def test_the_folder_is_opened_by_itself(divided):
    again = Partition.open(divided.folder)
    assert repr(again) == repr(divided)
    assert again.samples == ("photo", "spec")
    assert [patch.box for patch in again.patches] == [patch.box for patch in divided.patches]
    assert not SampleFolder(divided.folder / "photo").runs.exists()
    assert again.num_rows("photo") == 60_000


@pytest.mark.medium
def test_files_of_all_formats_give_the_same_galaxies(tmp_path, columns, divided):
    few = {name: values[:3000] for name, values in columns.items()}
    wanted = None
    for suffix in ("parquet", "fits", "h5", "csv", "ecsv"):
        Catalog(few).write(tmp_path / f"photo.{suffix}")
        made = Partition.make(
            tmp_path / suffix, plan_of(), photo=input_of(tmp_path / f"photo.{suffix}"),
            memory=LITTLE,
        )  # fmt: skip
        found = [made.read(number).photo for number in range(len(made))]
        rows = np.concatenate([one.rows for one in found])
        ids = np.concatenate([one.catalog["id"] for one in found])
        assert ids.dtype.kind == "i"
        wanted = (rows, ids) if wanted is None else wanted
        np.testing.assert_array_equal(rows, wanted[0])
        np.testing.assert_array_equal(ids, wanted[1])


def test_a_remote_folder_gives_the_same_galaxies(tmp_path, columns):
    fsspec = pytest.importorskip("fsspec")
    local = write_folder(tmp_path / "photo.parquet", columns)
    system = fsspec.filesystem("memory")
    system.put(str(local), "/survey/photo.parquet", recursive=True)
    made = [
        Partition.make(tmp_path / name, plan_of(), photo=input_of(path), memory=LITTLE)
        for name, path in (("a", local), ("b", "memory://survey/photo.parquet"))
    ]
    for number in range(len(made[0])):
        assert made[0].table("photo", number).equals(made[1].table("photo", number))


def test_nested_columns_and_missing_values_are_kept(tmp_path):
    few = galaxies(2000)
    quantiles = pa.array([[i, i + 1.0, i + 2.0] for i in range(2000)], pa.list_(pa.float32()))
    lost = pa.array(np.arange(2000), mask=np.arange(2000) % 5 == 0)
    text = pa.array([f"name {i}" for i in range(2000)]).dictionary_encode()
    table = pa.table({**few, "pdf": quantiles, "lost": lost, "text": text})
    pq.write_table(table, tmp_path / "photo.parquet")
    made = Partition.make(tmp_path / "out", plan_of(), photo=input_of(tmp_path / "photo.parquet"))
    own = made.table("photo", 0)
    rows = own["truez_row"].to_pylist()
    assert own["pdf"].to_pylist() == [[i, i + 1.0, i + 2.0] for i in rows]
    assert own["lost"].to_pylist() == [None if i % 5 == 0 else i for i in rows]
    assert own["text"].to_pylist() == [f"name {i}" for i in rows]
    catalog = made.read(0).photo.catalog
    assert "pdf" not in catalog.columns
    assert np.ma.getmaskarray(catalog["lost"]).sum() == sum(i % 5 == 0 for i in rows)


@pytest.mark.medium
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for rows in (60_000, 240_000):
        photo = input_of(write_folder(tmp_path / f"{rows}.parquet", galaxies(rows), group=5000))
        plan_of().patches  # noqa: B018, they are made once
        arrow, held = [], pa.total_allocated_bytes()  # by tests before
        tracemalloc.start()
        Partition.make(
            tmp_path / str(rows), plan_of(), photo=photo, memory=LITTLE,
            progress=lambda *_, arrow=arrow: arrow.append(pa.total_allocated_bytes()),
        )  # fmt: skip
        peaks.append((tracemalloc.get_traced_memory()[1], max(arrow) - held))
        tracemalloc.stop()
    (numpy_few, arrow_few), (numpy_many, arrow_many) = peaks
    assert numpy_many < 1.2 * numpy_few
    assert arrow_few < 20e6  # several times less than the galaxies
    assert arrow_many < 1.5 * arrow_few


class Killed(BaseException):
    """The end of a process at a chosen place."""


@pytest.mark.parametrize("after", [0, 1, 3, 8, 20, 41])
def test_a_pass_that_is_ended_goes_on_to_the_same_bytes(tmp_path, columns, monkeypatch, after):
    few = {name: values[:30_000] for name, values in columns.items()}
    photo = input_of(write_folder(tmp_path / "photo.parquet", few))
    Partition.make(tmp_path / "whole", plan_of(), photo=photo, memory=LITTLE)
    count = 0

    def end(*arguments):
        nonlocal count
        count += 1
        if count > after:
            raise Killed

    for module, name in ((Run, "write"), (divide_module, "_write"), (SampleFolder, "describe")):
        own = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, own=own: (end(), own(*given), end())[1]
        )  # fmt: skip
    with pytest.raises(Killed):
        Partition.make(tmp_path / "killed", plan_of(), photo=photo, memory=LITTLE)
    monkeypatch.undo()
    again = Partition.make(tmp_path / "killed", plan_of(), photo=photo, memory=LITTLE)
    assert count > after
    assert len(again) > 10
    assert sums(tmp_path / "killed") == sums(tmp_path / "whole")


def test_a_pass_that_is_not_whole_is_not_opened(tmp_path, columns, monkeypatch):
    photo = input_of(write_folder(tmp_path / "photo.parquet", galaxies(3000)))
    monkeypatch.setattr(divide_module, "_write", lambda *given: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        Partition.make(tmp_path / "out", plan_of(), photo=photo)
    with pytest.raises(ValueError) as error:
        Partition.open(tmp_path / "out")
    assert str(error.value) == (
        f"{tmp_path / 'out' / 'photo'} is not whole, as its pass was ended: run truez partition "
        "again, which goes on"
    )


DAMAGE = {
    "plan.json": ['{"kind": "truez patches"}', "[]", "cut"],
    "photo/manifest.json": ['{"patches": 3, "made_from": {"input": {"path": "a"}}}',
                            '{"patches": null, "made_from": {"input": {"paths": 1}}}', "cut"],
    "photo/patch-00000.parquet": ["PAR1", "cut"],
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_refused_by_name(tmp_path, name):
    Catalog(galaxies(3000)).write(tmp_path / "photo.parquet")
    made = Partition.make(tmp_path / "out", plan_of(), photo=input_of(tmp_path / "photo.parquet"))
    path = made.folder / name
    whole = path.read_bytes()
    values = [text.encode() for text in DAMAGE[name]]
    if name == "plan.json":
        found = json.loads(whole)
        values += [json.dumps(found | {key: wrong}).encode()
                   for key in found for wrong in (None, "x", [], {"a": 1})
                   if (key, wrong) != ("density", None)]  # fmt: skip
    for value in values:
        path.write_bytes(whole[: len(whole) // 2] if value == b"cut" else value)
        with pytest.raises(ValueError) as error:
            Partition.open(made.folder).read(0)
        assert name in str(error.value), value
        assert len(str(error.value)) < 250 + len(str(tmp_path))


def test_the_plan_gives_the_same_patches_again(tmp_path):
    rng = np.random.default_rng(1)
    pixels = PixelMap.from_data(rng.uniform(40, 60, 3000), rng.uniform(0, 20, 3000))
    both = Union((Rectangle(350, 5, -3.3, 7.1), pixels))
    for number, footprint in enumerate((Rectangle(350, 20, -10, 15), pixels, both)):
        plan = plan_of(footprint)
        # Without a stride it is the plan, and has the digest, of before there was one.
        assert "stride" not in plan.to_dict()["settings"]
        if number:
            plan = replace(plan, settings=replace(plan.settings, stride=4))
        plan.write(tmp_path / str(number))
        again = PatchPlan.read(tmp_path / str(number))
        assert again.to_dict() == json.loads(json.dumps(plan.to_dict()))
        assert [patch.box for patch in again.patches] == [patch.box for patch in plan.patches]


BROKEN = {
    "nan": ("ra", np.nan, "has no value", "-360 to 360"),
    "infinite": ("ra", np.inf, "is inf", "-360 to 360"),
    "beyond a pole": ("dec", 95.0, "is 95", "-90 to 90"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_position_is_refused_by_file_column_and_row(tmp_path, case):
    column, value, words, limits = BROKEN[case]
    columns = galaxies(3000)
    folder = write_folder(tmp_path / "photo.parquet", columns, parts=4)
    rows = pq.read_metadata(folder / "part-0.parquet").num_rows
    columns[column][rows + 2] = value
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    write_folder(folder, columns, parts=4)
    with pytest.raises(ValueError) as error:
        Partition.make(tmp_path / "out", plan_of(), photo=input_of(folder))
    assert str(error.value) == (
        f"column {column!r} {words} in row 2 of {folder / 'part-1.parquet'}, and must be an angle "
        f"from {limits} deg: correct or remove that row"
    )


def test_files_that_differ_or_are_damaged_are_refused_by_name(tmp_path):
    folder = write_folder(tmp_path / "photo.parquet", galaxies(3000))
    path = folder / "part-2.parquet"
    right = pq.read_table(path)

    def refused(**changes):
        with pytest.raises(ValueError) as error:
            Partition.make(tmp_path / "out", plan_of(), photo=input_of(folder, **changes))
        return str(error.value)

    pq.write_table(right.drop_columns(["z"]), path)
    assert refused() == f"{path} has no column 'z', only id, ra, dec, mag"
    strings = right.set_column(3, "z", pa.array(["a"] * len(right)))
    pq.write_table(strings, path)
    assert refused() == (
        f"column 'z' of {path} is string, and in the files before it is double: write it with one "
        "type in all files"
    )
    path.write_bytes(b"PAR1 and nothing more")
    assert refused() == (
        f"{path} cannot be read as Parquet: it is cut off, damaged or of an unusual kind: copy or "
        "write it again"
    )
    pq.write_table(right, path)
    assert "photo" in refused(columns=["colour"])
    cz = right.set_column(3, "z", pa.array(right["z"].to_numpy() * 3e5))
    for other in folder.iterdir():
        pq.write_table(cz, other)
    assert "divide velocities cz by 299792.458 km/s" in refused()
    twice = right.append_column("truez_row", right["id"])
    for other in folder.iterdir():
        pq.write_table(twice, other)
    assert "has a column 'truez_row', which a partition adds" in refused()


def test_another_input_or_plan_is_refused_where_one_was_divided(tmp_path):
    photo = write_folder(tmp_path / "photo.parquet", galaxies(3000))
    out = tmp_path / "out"
    Partition.make(out, plan_of(), photo=input_of(photo))
    with pytest.raises(ValueError, match="holds a partition of other patches"):
        Partition.make(out, plan_of(sigma_z=0.02), photo=input_of(photo))
    with pytest.raises(ValueError, match="with another input"):
        Partition.make(out, plan_of(), photo=input_of(photo, columns=["id"]))
    before = sums(out)
    Partition.make(out, plan_of(), photo=input_of(photo))
    assert sums(out) == before
    pq.write_table(pq.read_table(photo / "part-1.parquet"), photo / "part-1.parquet")
    with pytest.raises(ValueError, match="its files have changed"):
        Partition.make(out, plan_of(), photo=input_of(photo))


def test_galaxies_elsewhere_and_hours_are_refused(tmp_path):
    columns = galaxies(3000)
    Catalog({**columns, "dec": columns["dec"] - 60}).write(tmp_path / "south.parquet")
    with pytest.raises(ValueError, match=r"none of the 3000 galaxies of .* is in a patch"):
        Partition.make(tmp_path / "a", plan_of(), photo=input_of(tmp_path / "south.parquet"))
    hours = {**columns, "ra": np.linspace(0, 23.9, 3000), "dec": np.linspace(-40, 40, 3000)}
    Catalog(hours).write(tmp_path / "hours.parquet")
    with pytest.raises(ValueError, match="look like hours"):
        Partition.make(tmp_path / "b", plan_of(), photo=input_of(tmp_path / "hours.parquet"))
    with pytest.raises(FileNotFoundError, match="there is no catalogue file"):
        Partition.make(tmp_path / "c", plan_of(), photo=input_of(tmp_path / "none.parquet"))
