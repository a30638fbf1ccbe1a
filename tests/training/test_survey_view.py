"""Views of surveys in files."""

from dataclasses import replace

import numpy as np
import pytest

from training.survey_views import view
from truez.training.survey_view import SurveyView

ARRAYS = (
    "fields", "density", "profiles", "ratio", "unknown", "shares", "kernels", "galaxies", "starts",
)  # fmt: skip


def test_a_file_has_what_was_written(tmp_path):
    made = view((8, 4, 4), number=60)
    made.write(tmp_path / "one.view")
    again = SurveyView.read(tmp_path / "one.view")
    for name in ARRAYS:
        assert np.array_equal(getattr(made, name), getattr(again, name))
        assert getattr(made, name).dtype == getattr(again, name).dtype
    for name in ("about", "periodic", "photo_margin", "true_margin"):
        assert getattr(made, name) == getattr(again, name)
    assert repr(again) == "SurveyView('uneven', mesh 8 x 4 x 4, closed, 60 galaxies of 2 classes)"


def test_arrays_of_a_file_are_on_the_disk_until_they_are_used(tmp_path):
    view((8, 4, 4)).write(tmp_path / "one.view")
    again = SurveyView.read(tmp_path / "one.view")
    for name in ARRAYS:
        values = getattr(again, name)
        assert not values.flags.owndata
        assert not values.flags.writeable
        assert values.flags.aligned
    loaded = again.loaded()
    assert np.array_equal(loaded.fields, again.fields)
    assert loaded.fields.flags.owndata


def test_equal_views_have_equal_files(tmp_path):
    for name in "ab":
        view((8, 4, 4)).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_galaxies_are_sorted_by_their_place_on_the_sky():
    made = view((8, 4, 4))
    x = made.galaxies[:, 0]
    assert (np.diff(x) >= 0).all()
    assert made.starts[0] == 0
    assert made.starts[-1] == len(x)
    for cell in range(16):
        assert (x[made.starts[cell] : made.starts[cell + 1]] == cell).all()


def test_arrays_of_another_shape_or_kind_are_refused():
    with pytest.raises(ValueError, match="fields must be float16 of shape"):
        view((8, 4, 4), fields=np.zeros((6, 8, 4, 4), np.float16))
    with pytest.raises(ValueError, match="profiles must be float32 of shape"):
        view((8, 4, 4), profiles=np.zeros((10, 4)))
    with pytest.raises(ValueError, match="galaxies must have a true cell from 0 to 3, not 4 to 4"):
        view((8, 4, 4), galaxies=np.array([[0, 0, 0, 4, 0]], np.int16))


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    fields = np.zeros((9, 8, 4, 4), np.float16)
    fields[0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="fields of a view must be finite"):
        view((8, 4, 4), fields=fields).write(tmp_path / "one.view")
    assert not (tmp_path / "one.view").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="has no text 'truez-view'"):
        SurveyView.read(tmp_path / "other")


def test_galaxies_without_a_place_are_left_out():
    made = view((4, 4, 4), margin=0, number=300)
    assert made.placed() is made
    unknown = made.unknown.copy()
    unknown[1, 2, 3] = 0
    kernels = made.kernels.copy()
    kernels[1, 2] = 0  # no galaxy of class 1 shows this photo-z
    found = replace(made, unknown=unknown, kernels=kernels).placed()
    x, y, photo, true, kind = made.galaxies.T
    bad = (x // 2 == 1) & (y // 2 == 2) & (true == 3)
    bad |= (photo == 2) & (kind == 1)
    assert 0 < bad.sum() < len(bad)
    assert np.array_equal(found.galaxies, made.galaxies[~bad])
    assert found.starts[-1] == len(found.galaxies)


def test_galaxies_of_the_margin_are_where_the_face_is():
    made = view((4, 4, 4), true_margin=2, number=300)
    assert made.placed() is made
    unknown = made.unknown.copy()
    unknown[..., 0] = 0
    left = replace(made, unknown=unknown).placed().galaxies[:, 3]
    assert set(left) == {3, 4, 5, 6, 7}
