"""Posterior samples in the file of a field: written as they come, read one at a time."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from truez import Box, Field, Reconstruction
from truez.mesh.file_checks import FieldError
from truez.mesh.samples_file import StoredSamples, num_samples, write_with_samples

BOX = Box((8, 8, 16), (4, 4, 8), periodic=True)
FIELD = Field(torch.linspace(-1, 3, 128).reshape(BOX.meshsize), BOX, "delta",
              {"method": "columns"}, None, "cic")  # fmt: skip


def made(num, box=BOX):
    for number in range(num):
        yield Field(torch.full(box.meshsize, float(number)), box, "delta", {}, 2.5, "tsc")


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "field.h5"
    write_with_samples(
        place, FIELD, made(3), num=3, seed=7, sigma=FIELD.values.abs(),
        intensity=torch.ones(8, 8, 8),
    )  # fmt: skip
    return place


def test_samples_are_read_one_by_one(path):
    samples = StoredSamples(path)
    assert (len(samples), samples.seed, num_samples(path)) == (3, 7, 3)
    assert repr(samples).startswith("3 samples of seed 7 on 8 x 8 x 16 Mpc/h")
    for number, sample in enumerate(samples):
        assert sample.metadata == {"method": "columns", "seed": 7, "number": number}
        assert (sample.box, sample.kind, sample.shotnoise, sample.resampler) == (
            BOX, "delta", 2.5, "tsc",
        )  # fmt: skip
        assert (sample.numpy() == number).all()
    assert samples[-1].metadata["number"] == 2
    assert [one.metadata["number"] for one in samples[1:]] == [1, 2]
    with pytest.raises(IndexError):
        samples[3]


def test_the_field_and_its_meshes_are_read_as_before(path):
    np.testing.assert_array_equal(Field.read(path), FIELD)
    found = Reconstruction.read(path)
    np.testing.assert_array_equal(found.sigma, FIELD.values.abs())
    assert found.intensity.shape == (8, 8, 8)


def test_a_file_without_samples(tmp_path):
    for name in ("field.h5", "field.fits"):
        FIELD.write(tmp_path / name)
        assert num_samples(tmp_path / name) == 0
    with pytest.raises(FieldError, match="has no posterior samples: truez reconstruct --samples N"):
        StoredSamples(tmp_path / "field.h5")
    with pytest.raises(ValueError, match="a FITS file holds one mesh and no samples"):
        StoredSamples(tmp_path / "field.fits")
    with pytest.raises(FileNotFoundError):
        StoredSamples(tmp_path / "none.h5")


def test_chunks_hold_one_sample_or_less(path, tmp_path, monkeypatch):
    with h5py.File(path) as file:
        assert file["samples"].chunks == (1, 4, 4, 8)
        assert file["samples"].dtype == np.float32
        assert file["samples"].attrs["seed"] == 7
    monkeypatch.setattr("truez.mesh.samples_file._CHUNK", 300)
    write_with_samples(tmp_path / "small.h5", FIELD, made(2), num=2, seed=0)
    with h5py.File(tmp_path / "small.h5") as file:
        assert file["samples"].chunks == (1, 2, 4, 8)
    assert (StoredSamples(tmp_path / "small.h5")[1].numpy() == 1).all()


def failing(num):
    yield from made(num)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("samples", "error"),
    [
        (failing(1), KeyboardInterrupt),
        (made(1), "samples must be 2 fields, not 1"),
        (made(2, Box((8, 8, 16), (4, 4, 4))), "samples must be overdensities on 8 x 8 x 16 Mpc/h"),
        ((Field(FIELD.values, BOX, "counts") for _ in range(2)), "samples must be overdensities"),
    ],
)
def test_interrupted_writing_leaves_the_old_file_and_nothing_else(path, samples, error):
    before = path.read_bytes()
    kind, words = (error, None) if isinstance(error, type) else (ValueError, error)
    with pytest.raises(kind, match=words):
        write_with_samples(path, FIELD, samples, num=2, seed=1)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["field.h5"]


def test_samples_are_written_as_they_come(path):
    """Of a sample that has been written no one holds on."""
    import gc
    import weakref

    alive = []

    def watched():
        for field in made(4):
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1
            alive.append(weakref.ref(field.values))
            yield field

    write_with_samples(path, FIELD, watched(), num=4, seed=1)
    assert len(StoredSamples(path)) == 4


# --- broken files ---------------------------------------------------------------------------------


def put(array=None, shape=None, **options):
    def change(file):
        attributes = dict(file["samples"].attrs)
        del file["samples"]
        if shape is not None:
            file.create_dataset("samples", shape, "f4", **options)
        else:
            file.create_dataset("samples", data=array)
        file["samples"].attrs.update(attributes)

    return change


def attribute(name, value):
    def change(file):
        if value is None:
            del file["samples"].attrs[name]
        else:
            file["samples"].attrs[name] = value

    return change


def link(file):
    shutil.copy(file.filename, other := file.filename + ".other.h5")
    del file["samples"]
    file["samples"] = h5py.ExternalLink(other, "/samples")


SHAPE = (2, 4, 4, 8)
BROKEN = {
    "shape": (put(np.zeros((2, 4, 4, 4))), "its samples have 2 x 4 x 4 x 4 cells, not those of N"),
    "one axis": (put(np.zeros(256)), "its samples have 256 cells, not those of N x 4 x 4 x 8"),
    "none": (put(shape=(0, 4, 4, 8)), "its samples have 0 x 4 x 4 x 8 cells"),
    "empty": (put(h5py.Empty("f4")), "its samples have no cells"),
    "text": (put(np.full(SHAPE, b"a")), "holds no real numbers"),
    "nan": (
        put(np.full(SHAPE, np.nan)),
        "NaN or infinity in 128 of its 128 values of sample 0",
    ),
    "huge": (put(shape=(10**9, 4, 4, 8), chunks=(1, 4, 4, 8)), "declares 1.28e+11 cells, far more"),
    "link": (link, "its 'samples' is a link to another place"),
    "group": (lambda f: (f.pop("samples"), f.create_group("samples")), "its 'samples' is no mesh"),
    "no seed": (attribute("seed", None), "its seed is not a number"),
    "seed": (attribute("seed", 1.5), "its seed is 1.5, not a whole number"),
    "seed text": (attribute("seed", "a"), "its seed is not a number"),
    "resampler": (attribute("resampler", "x"), "its resampler is 'x', not ngp"),
    "resampler list": (attribute("resampler", [3, 4]), "as it is damaged"),
    "shot noise": (attribute("shotnoise", np.nan), "its shotnoise is not a number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_samples_that_are_broken(path, case):
    change, sentence = BROKEN[case]
    with h5py.File(path, "r+") as file:
        change(file)
    np.testing.assert_array_equal(Field.read(path), FIELD)
    with pytest.raises(FieldError) as error:
        StoredSamples(path)[0]
    message = str(error.value)
    assert sentence in message
    assert str(path) in message
    assert message.isprintable()
    assert len(message) - len(str(path)) < 200


def test_a_file_that_is_cut_off(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 600])
    with pytest.raises(FieldError, match="as it is damaged: give another file, or make it again"):
        StoredSamples(path)


def test_a_file_that_is_replaced_after_it_was_read(path):
    samples = StoredSamples(path)
    write_with_samples(path, FIELD, made(3), num=3, seed=8)
    with pytest.raises(ValueError, match="has been replaced or removed since it was read"):
        samples[0]


def test_one_sample_at_a_time_has_to_fit_into_the_memory(path, monkeypatch):
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 128 * 12)
    assert len(StoredSamples(path)) == 3
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 1000)
    with pytest.raises(FieldError, match=r"needs 1\.54 kB of memory, and 1 kB are free"):
        StoredSamples(path)
