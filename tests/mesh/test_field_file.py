"""A damaged or hostile file of a field is refused in one sentence, before it takes memory."""

import json
import math
import shutil

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits

from truez import Box, Field, Reconstruction
from truez.mesh.field_file import FieldError, NoFieldError, read_extra, read_field, read_header

BOX = Box((8, 8, 16), (4, 4, 8), periodic=True)


@pytest.fixture
def path(tmp_path):
    values = torch.linspace(-1, 3, 128).reshape(BOX.meshsize)
    field = Field(values, BOX, "delta", {"method": "wiener"}, 2.5, "cic")
    field.write(tmp_path / "field.h5", sigma=values.abs())
    field.write(tmp_path / "field.fits")
    return tmp_path / "field.h5"


def attribute(name, value):
    def change(file):
        file["values"].attrs[name] = value

    return change


def without(name):
    def change(file):
        del file["values"].attrs[name]

    return change


def put(file, make):
    """Another data set under the attributes of the old one."""
    attributes = dict(file["values"].attrs)
    del file["values"]
    make(file)
    file["values"].attrs.update(attributes)


def values(array, **options):
    return lambda file: put(file, lambda f: f.create_dataset("values", data=array, **options))


def declared(*shape, **options):
    """A data set that says it has a shape and holds nothing."""

    def change(file):
        put(file, lambda f: f.create_dataset("values", shape, "f4", **options))
        file["values"].attrs["meshsize"] = shape

    return change


def broken(value):
    def change(file):
        file["values"][0, 1, 2] = value

    return change


def link(file):
    """A link to the same field in another file."""
    shutil.copy(file.filename, other := file.filename + ".other.h5")
    del file["values"]
    file["values"] = h5py.ExternalLink(other, "/values")


def soft(file):
    file.move("values", "hidden")
    file["values"] = h5py.SoftLink("/hidden")


def virtual(file):
    shutil.copy(file.filename, other := file.filename + ".other.h5")
    layout = h5py.VirtualLayout(BOX.meshsize, "f4")
    layout[:] = h5py.VirtualSource(other, "values", BOX.meshsize)
    put(file, lambda f: f.create_virtual_dataset("values", layout))


def stored_elsewhere(file):
    place = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    put(file, lambda f: f.create_dataset("values", BOX.meshsize, "f4", external=place))


DEEP = "[" * 20_000
ZEROS = np.zeros(BOX.meshsize)
FIELDS = {
    "deep": (attribute("metadata", DEEP), "is nested more than 64 levels deep"),
    "metadata list": (attribute("metadata", "[1]"), "must hold named values, not [1]"),
    "metadata number": (attribute("metadata", 3.0), "its metadata are no text"),
    "metadata bytes": (attribute("metadata", b"\xff"), "is damaged in line 1, column 1"),
    "shot noise": (attribute("metadata", '{"shotnoise": [1]}'), "its shotnoise is [1], not a n"),
    "shot noise nan": (attribute("metadata", '{"shotnoise": NaN}'), "its shotnoise is nan"),
    "resampler": (attribute("metadata", '{"resampler": 3}'), "its resampler is 3, not ngp"),
    "boxsize text": (attribute("boxsize", "abc"), "its boxsize is not three numbers"),
    "boxsize nan": (attribute("boxsize", [math.nan, 1, 1]), "its boxsize is not three numbers"),
    "boxsize zero": (attribute("boxsize", [0.0, 1, 1]), "boxsize must be positive"),
    "boxsize negative": (attribute("boxsize", [-1.0, 1, 1]), "boxsize must be positive"),
    "boxsize one": (attribute("boxsize", 8.0), "its boxsize is not three numbers"),
    "no boxsize": (without("boxsize"), "its boxsize is not three numbers"),
    "boxcenter": (attribute("boxcenter", [math.inf, 0, 0]), "its boxcenter is not three numbers"),
    "meshsize": (attribute("meshsize", [5, 5, 5]), "its meshsize is 5 x 5 x 5, and its values ha"),
    "meshsize text": (attribute("meshsize", "abc"), "its meshsize is not three numbers"),
    "periodic": (attribute("periodic", "maybe"), "its periodic is neither true nor false"),
    "periodic 7": (attribute("periodic", 7), "its periodic is neither true nor false"),
    "kind": (attribute("kind", "\x1b[2J"), r"its kind is '\x1b[2J', not counts, density or delta"),
    "kind 3": (attribute("kind", 3), "its kind is 3, not counts"),
    "text": (values(np.full(BOX.meshsize, b"a")), "its 'values' holds no real numbers"),
    "complex": (values(ZEROS.astype("c8")), "its 'values' holds no real numbers"),
    "flags": (values(ZEROS.astype(bool)), "its 'values' holds no real numbers"),
    "one axis": (values(np.zeros(128)), "its meshsize is 4 x 4 x 8, and its values have 128 c"),
    "number": (values(3.0), "its meshsize is 4 x 4 x 8, and its values have no cells"),
    "empty": (values(h5py.Empty("f4")), "its values have no cells"),
    "nan": (broken(math.nan), "has NaN or infinity in 1 of its 128 values"),
    "infinity": (broken(math.inf), "has NaN or infinity in 1 of its 128 values"),
    "float64": (values(ZEROS + 1e300), "has NaN or infinity in 128 of its 128 values"),
    "huge": (declared(200_000, 200_000, 200_000), "declares 8e+15 cells, far more than it holds"),
    "bomb": (
        declared(512, 512, 2048, chunks=(64, 64, 64), compression="gzip"),
        "declares 5.37e+08 cells, far more than it holds",
    ),
    "link": (link, "its 'values' is a link to another place"),
    "soft link": (soft, "its 'values' is a link to another place"),
    "virtual": (virtual, "its 'values' lies in other files"),
    "external": (stored_elsewhere, "its 'values' lies in other files"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_field_that_is_broken(path, case):
    change, sentence = FIELDS[case]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError) as error:
        Field.read(path)
    message = str(error.value)
    assert sentence in message
    assert str(path) in message
    assert message.endswith("give another file, or make it again")
    assert message.isprintable()
    assert len(message) - len(str(path)) < 200


def test_a_field_larger_than_the_memory_is_refused_with_both_sizes(path, monkeypatch):
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 1000)
    for name in (path, path.with_suffix(".fits")):
        with pytest.raises(ValueError, match=r"needs 1\.54 kB of memory, and 1 kB are free: use"):
            Field.read(name)
    assert read_header(path).box == BOX


def test_whole_numbers_are_read(path):
    with h5py.File(path, "r+") as file:
        values(np.arange(128).reshape(BOX.meshsize), compression="gzip")(file)
    np.testing.assert_array_equal(Field.read(path)[0, 0], np.arange(8))


def card(name, value):
    def change(hdu):
        hdu.header[name] = value

    return change


CARDS = {
    "deep": (card("METADATA", DEEP), "is nested more than 64 levels deep"),
    "metadata": (card("METADATA", 3), "its metadata are no text"),
    "boxsize": (card("BOXSIZE2", "abc"), "its boxsize is not three numbers"),
    "zero": (card("BOXSIZE2", 0.0), "boxsize must be positive"),
    "periodic": (card("PERIODIC", 3), "its periodic is neither true nor false"),
    "kind": (card("KIND", 3), "its kind is 3, not counts"),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_fits_field_that_is_broken(path, case):
    change, sentence = CARDS[case]
    name = path.with_suffix(".fits")
    with fits.open(name, mode="update") as hdus:
        change(hdus[0])
    with pytest.raises(FieldError if case != "deep" else ValueError) as error:
        Field.read(name)
    assert sentence in str(error.value)


def test_a_fits_field_that_declares_more_than_it_holds(path):
    name = path.with_suffix(".fits")
    content = name.read_bytes()
    place = content.index(b"NAXIS1  =") + 10
    name.write_bytes(content[:place] + b"%20d" % 10**9 + content[place + 20 :])
    with pytest.raises(FieldError, match="far more than it holds"):
        Field.read(name)


def test_a_compressed_fits_file_is_not_unpacked(path):
    import gzip

    name = path.with_suffix(".fits")
    name.write_bytes(gzip.compress(name.read_bytes()))
    with pytest.raises(NoFieldError, match="as it is not a FITS file"):
        Field.read(name)


@pytest.mark.parametrize("content", [b"", b"\0" * 9000, b"\x89HDF\r\n\x1a\n" + b"\0" * 99])
@pytest.mark.parametrize("suffix", [".h5", ".fits"])
def test_files_of_something_else(tmp_path, content, suffix):
    path = tmp_path / f"zeros{suffix}"
    path.write_bytes(content)
    with pytest.raises(FieldError) as error:
        read_field(path)
    assert str(error.value).startswith(f"{path} is not a field that truez wrote, as it is ")


def test_further_meshes_are_checked_as_well(path):
    assert set(read_extra(path, ("sigma", "intensity"))) == {"sigma"}
    assert Reconstruction.read(path).sigma is not None
    with h5py.File(path, "r+") as file:
        file["sigma"][0, 0, 0] = math.nan
    with pytest.raises(FieldError, match="has NaN or infinity in 1 of its 128 sigma"):
        Reconstruction.read(path)
    with h5py.File(path, "r+") as file:
        del file["sigma"]
        file["sigma"] = h5py.ExternalLink("other.h5", "/values")
    with pytest.raises(FieldError, match="its 'sigma' is a link to another place"):
        Reconstruction.read(path)


def test_a_header_says_what_the_file_says(path):
    header = read_header(path)
    assert (header.kind, header.shotnoise, header.resampler) == ("delta", 2.5, "cic")
    assert header.described == {"method": "wiener", "shotnoise": 2.5, "resampler": "cic"}
    assert json.loads(Field.read(path)._described()) == header.described
