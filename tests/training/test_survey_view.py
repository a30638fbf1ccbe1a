"""Views of surveys in files."""

import numpy as np
import pytest

from truez.training.survey_view import SurveyView

ARRAYS = (
    "fields", "density", "profiles", "ratio", "unknown", "shares", "kernels", "galaxies", "starts",
)  # fmt: skip


def view(mesh=(8, 4, 4), *, classes=2, margin=1, number=60, seed=1, **changes):
    nx, ny, nz = mesh
    rng = np.random.default_rng(seed)
    limits = 2 * nx, 2 * ny, nz + 2 * margin, nz, classes
    kernels = rng.random((classes, nz + 2 * margin, nz)) + 0.1
    parts = {
        "fields": rng.normal(size=(9, *mesh)).astype(np.float16),
        "density": rng.normal(size=(2, *mesh)).astype(np.float16),
        "profiles": rng.normal(size=(10, nz)).astype(np.float32),
        "ratio": rng.normal(size=(2 * nx, 2 * ny, nz)).astype(np.float16),
        "unknown": rng.random(mesh).astype(np.float16) + np.float16(0.1),
        "shares": np.full((classes, nz), 1 / classes, np.float32),
        "kernels": (kernels / kernels.sum(1, keepdims=True)).astype(np.float32),
        "galaxies": np.stack([rng.integers(0, n, number) for n in limits], 1).astype(np.int16),
        "about": {"kind": "uneven", "seed": 2000},
        "periodic": False,
        "photo_margin": margin,
    }
    return SurveyView(**{**parts, **changes})


def test_a_file_has_what_was_written(tmp_path):
    made = view()
    made.write(tmp_path / "one.view")
    again = SurveyView.read(tmp_path / "one.view")
    for name in ARRAYS:
        assert np.array_equal(getattr(made, name), getattr(again, name))
        assert getattr(made, name).dtype == getattr(again, name).dtype
    for name in ("about", "periodic", "photo_margin", "true_margin"):
        assert getattr(made, name) == getattr(again, name)
    assert repr(again) == "SurveyView('uneven', mesh 8 x 4 x 4, closed, 60 galaxies of 2 classes)"


def test_arrays_of_a_file_are_on_the_disk_until_they_are_used(tmp_path):
    view().write(tmp_path / "one.view")
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
        view().write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_galaxies_are_sorted_by_their_place_on_the_sky():
    made = view()
    x = made.galaxies[:, 0]
    assert (np.diff(x) >= 0).all()
    assert made.starts[0] == 0
    assert made.starts[-1] == len(x)
    for cell in range(16):
        assert (x[made.starts[cell] : made.starts[cell + 1]] == cell).all()


def test_arrays_of_another_shape_or_kind_are_refused():
    with pytest.raises(ValueError, match="fields must be float16 of shape"):
        view(fields=np.zeros((6, 8, 4, 4), np.float16))
    with pytest.raises(ValueError, match="profiles must be float32 of shape"):
        view(profiles=np.zeros((10, 4)))
    with pytest.raises(ValueError, match="galaxies must have a true cell from 0 to 3, not 4 to 4"):
        view(galaxies=np.array([[0, 0, 0, 4, 0]], np.int16))


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    fields = np.zeros((9, 8, 4, 4), np.float16)
    fields[0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="fields of a view must be finite"):
        view(fields=fields).write(tmp_path / "one.view")
    assert not (tmp_path / "one.view").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="has no text 'truez-view'"):
        SurveyView.read(tmp_path / "other")
