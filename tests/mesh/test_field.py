"""Field: overdensities, crops, and files that come back as they were."""

import os
import stat
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.support.files import atomic_path, write_text

BOX = Box(boxsize=(20, 30, 40), meshsize=(4, 5, 6), boxcenter=(0, 0, 100), periodic=False)


def make_field(kind="counts", box=BOX, **metadata):
    values = torch.rand(box.meshsize, generator=torch.Generator().manual_seed(1)) + 0.1
    return Field(values, box, kind, metadata)


class TestDelta:
    def test_by_default_it_is_relative_to_the_mean(self):
        field = make_field()
        delta = field.to_delta()
        assert delta.kind == "delta"
        torch.testing.assert_close(delta.values, field.values / field.values.mean() - 1)
        assert float(delta.values.mean()) == pytest.approx(0, abs=1e-6)
        assert field.kind == "counts"

    def test_of_a_number_expected(self):
        field = make_field()
        torch.testing.assert_close(field.to_delta(2.0).values, field.values / 2 - 1)

    def test_of_a_field_expected_is_zero_outside_the_survey(self):
        field = make_field()
        expected = torch.linspace(0, 3, 6).expand(BOX.meshsize).clone()
        delta = field.to_delta(Field(expected, BOX, "counts"))
        assert (delta.values[..., 0] == 0).all()
        inside = (slice(None), slice(None), slice(1, None))
        torch.testing.assert_close(
            delta.values[inside], field.values[inside] / expected[inside] - 1
        )

    def test_a_constant_field_expected_is_the_number(self):
        field = make_field()
        constant = Field(torch.full(BOX.meshsize, 2.0), BOX, "counts")
        torch.testing.assert_close(field.to_delta(constant).values, field.to_delta(2.0).values)

    @pytest.mark.parametrize(
        ("field", "expected", "sentence"),
        [
            (make_field("delta"), None, "this field is an overdensity already (kind 'delta')"),
            (make_field(), 0.0, "the mean of the field must be positive, not 0.0"),
            (make_field(), float("nan"), "the mean of the field must be positive, not nan"),
            (
                Field(torch.zeros(BOX.meshsize), BOX, "counts"),
                None,
                "the mean of the field must be positive, not 0.0",
            ),
            (
                make_field(),
                make_field("density"),
                "expected must be a field of the same kind on the same box",
            ),
            (
                make_field(),
                Field(torch.zeros(BOX.meshsize), BOX, "counts"),
                "expected is zero everywhere: it must be positive in some cells",
            ),
        ],
    )
    def test_what_has_none(self, field, expected, sentence):
        with pytest.raises(ValueError) as error:
            field.to_delta(expected)
        assert str(error.value) == sentence


def test_crop_gives_the_cells_and_their_box():
    field = make_field(seed=7)
    part = field.crop((1, 0, 2), (4, 5, 5))
    assert torch.equal(part.values, field.values[1:4, :, 2:5])
    assert part.box == BOX.crop((1, 0, 2), (4, 5, 5))
    assert (part.kind, part.metadata) == ("counts", {"seed": 7})


def test_smooth_keeps_the_kind_and_the_mean():
    field = make_field("density")
    smoothed = field.smooth(5.0)
    assert smoothed.kind == "density"
    assert float(smoothed.values.mean()) == pytest.approx(float(field.values.mean()), rel=1e-6)
    assert float(smoothed.values.std()) < float(field.values.std())


@pytest.mark.parametrize(
    ("shape", "kind", "sentence"),
    [
        (BOX.meshsize, "mass", "kind must be one of counts, density, delta, not 'mass'"),
        ((4, 5, 5), "counts", "values of shape (4, 5, 5) do not fit a mesh of (4, 5, 6)"),
    ],
)
def test_a_field_that_does_not_fit_its_box(shape, kind, sentence):
    with pytest.raises(ValueError) as error:
        Field(torch.zeros(shape), BOX, kind)
    assert str(error.value) == sentence


class TestFiles:
    @pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".fits", ".FITS"])
    @pytest.mark.parametrize("kind", ["counts", "density", "delta"])
    @pytest.mark.parametrize("box", [BOX, Box(10, (3, 4, 5))], ids=["closed", "periodic"])
    def test_what_is_written_is_read(self, tmp_path, suffix, kind, box):
        # The text is longer than a FITS card, which is 80 characters.
        field = make_field(kind, box, seed=3, note="n " * 100, edges=[0.1, 0.2])
        field = replace(field, shotnoise=0.1 + 0.2, resampler="cic")
        path = tmp_path / f"new/folder/field{suffix}"
        field.write(path)
        back = Field.read(path)
        assert torch.equal(back.values, field.values)
        assert back.values.is_contiguous()
        assert (back.box, back.kind, back.metadata) == (field.box, kind, field.metadata)
        assert (back.shotnoise, back.resampler) == (0.1 + 0.2, "cic")

    def test_the_layout_of_hdf5_is_the_documented_one(self, tmp_path):
        field = make_field()
        field.write(tmp_path / "a.h5", sigma=field.values * 2)
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["values"].dtype == np.float32
            assert set(file["values"].attrs) == {
                "kind", "boxsize", "meshsize", "boxcenter", "periodic", "metadata",
            }  # fmt: skip
            np.testing.assert_array_equal(file["sigma"], field.values * 2)

    def test_the_first_axis_of_fits_is_x(self, tmp_path):
        make_field().write(tmp_path / "a.fits")
        with fits.open(tmp_path / "a.fits") as hdus:
            assert [hdus[0].header[f"NAXIS{i}"] for i in (1, 2, 3)] == [4, 5, 6]

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("a.h5", b"", "{path} is not a field that truez wrote, as it is "),
            ("a.h5", b"x,y,z\n1,2,3\n", "{path} is not a field that truez wrote, as it is "),
            ("a.fits", b"x,y,z\n1,2,3\n", "{path} is not a field that truez wrote, as it is "),
        ],
    )
    def test_a_file_that_is_no_field(self, tmp_path, name, content, sentence):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            Field.read(path)
        assert str(error.value).startswith(sentence.format(path=path))

    def test_an_hdf5_file_of_something_else(self, tmp_path):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            file["values"] = np.zeros((2, 2, 2))
        with pytest.raises(ValueError, match="is not a field that truez wrote"):
            Field.read(path)

    def test_a_fits_file_of_something_else(self, tmp_path):
        path = tmp_path / "a.fits"
        fits.PrimaryHDU(np.zeros((2, 2, 2))).writeto(path)
        with pytest.raises(ValueError, match="is not a field that truez wrote"):
            Field.read(path)
        fits.PrimaryHDU().writeto(path, overwrite=True)
        with pytest.raises(ValueError, match="is not a field that truez wrote"):
            Field.read(path)

    @pytest.mark.medium
    @pytest.mark.parametrize("suffix", [".h5", ".fits"])
    @given(st.dictionaries(st.text(max_size=9), st.text("a'&\"\\/é\n ", max_size=200), max_size=2))
    def test_any_metadata_comes_back(self, tmp_path_factory, suffix, metadata):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        Field(torch.ones(1, 1, 1), Box(1, 1), "counts", metadata).write(path)
        assert Field.read(path).metadata == metadata

    @pytest.mark.filterwarnings("ignore:File may have been truncated")
    def test_a_damaged_file(self, tmp_path):
        for suffix in (".h5", ".fits"):
            path = tmp_path / f"a{suffix}"
            make_field().write(path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            with pytest.raises(ValueError, match="is not a field that truez wrote"):
                Field.read(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            Field.read(tmp_path / "a.h5")
        assert str(error.value) == f"there is no field file {tmp_path / 'a.h5'}"

    def test_a_suffix_that_is_not_known(self, tmp_path):
        sentence = f"a field is read and written as .h5, .hdf5 or .fits, not {tmp_path / 'a.npy'}"
        for action in (make_field().write, Field.read):
            with pytest.raises(ValueError) as error:
                action(tmp_path / "a.npy")
            assert str(error.value) == sentence

    def test_extra_meshes_do_not_fit_fits(self, tmp_path):
        field = make_field()
        with pytest.raises(ValueError, match=r"^a FITS field holds one mesh"):
            field.write(tmp_path / "a.fits", sigma=field.values)
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        field = make_field()
        field.write(tmp_path / "a.h5")
        before = (tmp_path / "a.h5").read_bytes()
        with pytest.raises(ValueError, match=r"^sigma of shape \(2,\) is not of the field's$"):
            field.write(tmp_path / "a.h5", sigma=torch.zeros(2))
        assert (tmp_path / "a.h5").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


class TestAtomicPath:
    def test_the_temporary_file_keeps_the_suffix_and_the_umask(self, tmp_path):
        old = os.umask(0o027)
        try:
            with atomic_path(tmp_path / "deep/a.fits") as path:
                assert path.suffix == ".fits"
                assert path.parent == tmp_path / "deep"
                path.write_text("new")
        finally:
            os.umask(old)
        target = tmp_path / "deep/a.fits"
        assert target.read_text() == "new"
        assert stat.S_IMODE(target.stat().st_mode) == 0o640

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_when_interrupted_the_old_file_stays(self, tmp_path, error):
        write_text(tmp_path / "a.txt", "old")
        with pytest.raises(error), atomic_path(tmp_path / "a.txt") as path:
            path.write_text("half")
            raise error
        assert (tmp_path / "a.txt").read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 1
