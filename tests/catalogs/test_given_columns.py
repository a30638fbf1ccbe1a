"""Columns of other libraries keep their missing values, units and exact integers in Python."""

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.utils.masked import Masked

from truez import COSMOLOGIES, Box, Catalog, Field, MockConfig, PhotozError, Selection, make_mock
from truez.surveys.surveys import Surveys

BOX = Box(8, 4)
BIG = 2**61
POSITIONS = np.arange(15.0).reshape(5, 3) / 2
LOST = np.array([[True, False, False]] + [[False] * 3] * 4)


def surveys(photo, **settings):
    settings = {"overlap": "nested", **settings}
    return Surveys.from_catalogs(
        spec=settings.pop("spec", POSITIONS[:2]), photo=photo, box=BOX, redshift=0.5,
        sigma_z=0.001, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(pd.array([BIG + 1, None], "Int64")),
        pa.array([BIG + 1, None]),
        pa.chunked_array([[BIG + 1], [None]]),
        Masked(np.array([BIG + 1, 7]), mask=[False, True]),
        np.ma.array([BIG + 1, 7], mask=[False, True]),
    ],
    ids=["pandas", "arrow", "chunks", "astropy", "numpy"],
)
def test_missing_integers_stay_missing_and_the_others_exact(values):
    found = Catalog({"id": values})["id"]
    assert found.mask.tolist() == [False, True]
    assert (found.dtype, int(found[0])) == (np.int64, BIG + 1)


@pytest.mark.parametrize("values", [pd.Series(["a", None]), pa.array(["a", None])])
def test_missing_text_stays_missing(values):
    assert Catalog({"name": values})["name"].tolist() == ["a", None]


def test_a_masked_quantity_keeps_its_mask_and_its_unit():
    catalog = Catalog({"x": Masked([1.0, 2.0] * u.kpc, mask=[True, False])})
    assert catalog["x"].mask.tolist() == [True, False]
    assert dict(catalog.units) == {"x": "kpc"}


@pytest.mark.parametrize("columns", [pd.DataFrame({"x": [1.0]}), None, np.zeros((2, 3)), [1]])
def test_a_catalogue_of_no_mapping_is_refused_in_one_sentence(columns):
    with pytest.raises(ValueError, match=r"^columns must be a mapping .*: give a dict of its col"):
        Catalog(columns)


@pytest.mark.parametrize("frame", [pd.DataFrame, pa.table])
def test_ids_of_a_frame_are_compared_exactly_beside_missing_ones(frame):
    columns = dict(zip("xyz", POSITIONS.T, strict=True))
    ids = [BIG, None, BIG + 2, BIG + 3, None]
    given = pd.array(ids, "Int64") if frame is pd.DataFrame else ids
    spec = {name: values[:2] for name, values in columns.items()} | {"ID": [BIG, BIG + 1]}
    found = surveys(frame(columns | {"ID": given}), spec=spec, match_id="ID", overlap=None)
    assert round(found.num_both) == 1
    assert found.metadata["photo_without_id"] == 2


@pytest.mark.parametrize("mask", [np.ma.array, Masked])
def test_masked_positions_are_refused(mask):
    with pytest.raises(ValueError, match="1 of 5 rows of photo are masked: leave those rows out"):
        surveys(mask(POSITIONS, mask=LOST))


def test_positions_with_a_unit_are_converted_or_need_hubble():
    found = surveys(POSITIONS * u.dimensionless_unscaled)
    np.testing.assert_array_equal(found.photo, POSITIONS)
    with pytest.raises(ValueError, match="photo: lengths in kpc need hubble"):
        surveys(1000 * POSITIONS * u.kpc)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box([8, 8, 8] * u.Mpc, 4), "boxsize must be plain numbers"),
        (lambda: Box(np.ma.array([8, 8, 8], mask=[1, 0, 0]), 4), "1 of 3 boxsize are masked"),
        (lambda: Field(np.ones((4, 4, 4)) * u.Mpc, BOX), "values must be plain numbers"),
        (lambda: Field(np.ma.array(np.ones((4, 4, 4)), mask=True), BOX), "values are masked"),
        (lambda: PhotozError(10 * u.Mpc), "sigma must be plain numbers"),
        (lambda: PhotozError("10"), "sigma must be a finite length >= 0 Mpc/h, not '10'"),
    ],
)
def test_masks_and_units_are_never_dropped(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"velocities": np.full((5, 3), 4e5)}, "up to 4e.05 km/s exceed the speed of light"),
        (
            {"columns": {"m": np.ones((5, 2))}},
            r"m must be one column of numbers, not of shape \(5, 2\)",
        ),
    ],
)
def test_a_mock_of_impossible_columns_is_refused(change, message):
    config = MockConfig(
        redshift=0.5, cosmology=COSMOLOGIES["wmap"], sigma_z=0.001, rank_by="m",
        spec=Selection(density=5e-3),
    )  # fmt: skip
    given = {"velocities": np.zeros((5, 3)), "columns": {"m": np.ones(5)}} | change
    with pytest.raises(ValueError, match=message):
        make_mock(POSITIONS, BOX, config, **given)
