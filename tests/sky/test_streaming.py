"""Patches are made, written, read and used one at a time."""

import weakref

import h5py
import numpy as np
import pytest
import torch
from tests.sky.light_cone import light_cone, surveys_of

from truez.mesh.file_checks import FieldError
from truez.sky import methods, registry
from truez.sky.field import SkyField
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct, sharpen
from truez.support import temporaries
from truez.support.spill import Spill, spill_beside

CELLS = PatchSettings(cellsize=8.0, widest=7.0)


@pytest.fixture(scope="module")
def surveys():
    return surveys_of(light_cone())


@pytest.fixture(scope="module")
def whole(surveys):
    return reconstruct(surveys, "redistribution", patches=CELLS)


@pytest.fixture(scope="module")
def stored(surveys, tmp_path_factory):
    return reconstruct(
        surveys, "redistribution", patches=CELLS, path=tmp_path_factory.mktemp("sky") / "field.h5"
    )


def same(one, other):
    return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


def test_a_field_that_is_streamed_to_a_file_is_the_one_in_memory(whole, stored, surveys):
    assert len(stored) == len(whole) > 1
    for one, other in zip(stored, whole, strict=True):
        assert one.box == other.box
        assert np.array_equal(one.core, other.core)
        assert np.array_equal(one.completeness, other.completeness)
        assert np.array_equal(one.expected_profile, other.expected_profile)
        assert all(
            same(getattr(one, m), getattr(other, m)) for m in ("delta", "sigma", "intensity")
        )
    assert stored.metadata["shells"] == whole.metadata["shells"]
    sky = surveys.photo
    read, kept = (one.at(sky.ra, sky.dec, sky.redshift) for one in (stored, whole))
    assert np.isfinite(kept).mean() > 0.9
    assert np.array_equal(read, kept, equal_nan=True)


def test_nothing_but_the_field_is_left_beside_it(stored):
    folder = stored.patches._checks.path.parent
    assert [path.name for path in folder.iterdir()] == ["field.h5"]
    assert not temporaries.temporaries


@pytest.mark.medium
def test_redshifts_without_a_field_are_those_of_the_field(whole, stored, surveys, tmp_path):
    with spill_beside(tmp_path / "redshifts.fits") as spill:
        found = sharpen(surveys, "redistribution", patches=CELLS, spill=spill, draws=2, seed=5)
    assert not list(tmp_path.iterdir())
    for one in (whole.redshifts(), stored.redshifts()):
        assert np.isfinite(one["z_mean"]).sum() > 10_000
        for name, values in one.columns.items():
            assert np.array_equal(found.catalog[name], values, equal_nan=values.dtype.kind == "f")
    assert np.array_equal(found.draws, stored.draws(2, seed=5), equal_nan=True)
    # Without a field there is no mean of it, and no error.
    shells = [{**shell} for shell in whole.metadata["shells"]]
    assert all(abs(shell.pop("mean")) < 0.5 for shell in shells)
    names = {"error_model", "error_model_left_out"}
    assert all(len(names & set(shell)) == 1 for shell in shells)
    shells = [{key: value for key, value in shell.items() if key not in names} for shell in shells]
    assert found.metadata == whole.metadata | {"shells": shells}


@pytest.fixture
def watched(monkeypatch):
    """How many of the patches that a method has made are alive when it makes the next."""
    alive, made = [], []

    def run(job, settings):
        for patch in methods.redistribution(job, settings):
            made.append(weakref.ref(patch))
            yield patch
            del patch
            alive.append(sum(one() is not None for one in made))

    method = registry.SkyMethod(run, methods.SkyRedistributionSettings)
    monkeypatch.setitem(registry.METHODS, "watched", method)
    return alive


@pytest.mark.medium
def test_no_patch_is_in_memory_when_the_next_is_made(watched, surveys, tmp_path):
    reconstruct(surveys, "watched", patches=CELLS, path=tmp_path / "field.h5")
    sharpen(surveys, "watched", patches=CELLS)
    assert len(watched) == 2 * len(plan(surveys, CELLS, method="redistribution"))
    assert set(watched) == {0}


def test_redshifts_paint_no_field(surveys, monkeypatch):
    monkeypatch.setattr(methods, "moved", None)
    sharpen(surveys, "redistribution", patches=CELLS)


def test_a_failed_run_leaves_nothing(surveys, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("stopped")

    monkeypatch.setattr(methods, "moved", fails)
    with pytest.raises(RuntimeError, match="stopped"):
        reconstruct(surveys, "redistribution", patches=CELLS, path=tmp_path / "field.h5")
    assert not list(tmp_path.iterdir())


def test_too_little_memory_for_a_patch_is_refused_at_the_start(surveys, monkeypatch):
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"the largest patch, of .* cells, needs .* use larger"):
        reconstruct(surveys, "redistribution", patches=CELLS)


@pytest.mark.parametrize("on_disk", [False, True])
def test_spilled_arrays_come_back_once(tmp_path, on_disk):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4, 5), (2, 2, 7))]
    spill = Spill(tmp_path / "spill.bin" if on_disk else None)
    numbers = [spill.keep(values) for values in arrays]
    for number in reversed(numbers):
        assert np.array_equal(spill.take(number), arrays[number])
        with pytest.raises(KeyError):
            spill.take(number)
    if on_disk:
        assert (tmp_path / "spill.bin").stat().st_size == 0
        assert np.array_equal(spill.take(spill.keep(arrays[1])), arrays[1])
    spill.close()


@pytest.fixture
def damaged(stored, tmp_path):
    """A copy of the field, and a function that changes it."""
    path = tmp_path / "damaged.h5"
    path.write_bytes(stored.patches._checks.path.read_bytes())

    def change(how):
        with h5py.File(path, "r+") as file:
            how(file)
        return path

    return change


def soft(file):
    file["patches/00001"].move("delta", "old")
    file["patches/00001/delta"] = h5py.SoftLink("/patches/00001/old")


def external(file):
    del file["patches/00001/core"]
    file["patches/00001/core"] = h5py.ExternalLink("other.h5", "/core")


def group_link(file):
    file["patches"].move("00001", "00009")
    file["patches/00001"] = h5py.SoftLink("/patches/00009")


def huge(file):
    group = file["patches/00001"]
    group.attrs["meshsize"] = [40_000, 40_000, 1000]
    for name in ("core", "completeness"):
        del group[name]
        group.create_dataset(name, (40_000, 40_000), "f4")


def other_mesh(file):
    del file["patches/00001/delta"]
    file["patches/00001/delta"] = np.zeros((2, 2, 2), np.float32)


def no_number(file):
    file["patches/00001"].attrs["ra"] = "east"


def no_json(file):
    file.attrs["metadata"] = "{"


def beyond(file):
    file["patches/00001"].attrs["chi_ref"] = -5.0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (soft, "its 'delta' is a link to another place"),
        (external, "its 'core' is a link to another place"),
        (group_link, "its '00001' is a link to another place"),
        (huge, "it declares 1.6e.09 cells, far more than it holds"),
        (other_mesh, "its 'delta' is not of the mesh that it declares"),
        (no_number, "its ra is not a number"),
        (no_json, "metadata"),
        (beyond, "chi_ref"),
    ],
)
def test_a_hostile_file_is_refused_in_one_sentence(damaged, how, message):
    path = damaged(how)
    with pytest.raises(ValueError, match=message) as refused:
        list(SkyField.read(path))
    text = str(refused.value)
    assert str(path) in text
    assert len(text.replace(str(path), "")) < 300
    assert not any(word in text.lower() for word in ("h5py", "hdf5 error", "unable to"))


def test_a_cut_file_is_refused(stored, tmp_path):
    path = tmp_path / "cut.h5"
    content = stored.patches._checks.path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FieldError, match="is not a field on the sky that truez wrote, as it is"):
        SkyField.read(path)


def test_a_field_whose_file_is_replaced_is_not_mixed_with_the_new_one(damaged):
    path = damaged(lambda file: None)
    field = SkyField.read(path)
    assert field[-1].box == field.layout.outlines[-1].box
    damaged(no_number)
    with pytest.raises(ValueError, match="replaced or removed since it was read: read it again"):
        field[0]
