"""Expected counts as fields, errors and weights of each galaxy: what makes a survey uneven."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

import truez
from truez.sightlines.kernel import Kernel
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import cell_matrix, own_likelihood, spread_counts

BOX = truez.Box((40, 40, 120), cellsize=5)


def surveys(box=BOX, **changes):
    rng = np.random.default_rng(1)
    true = rng.uniform(box.lower, box.upper, (4000, 3))
    sigma = rng.choice([4.0, 12.0], len(true))
    photo = true.copy()
    photo[:, 2] += sigma * rng.standard_normal(len(true))
    if box.periodic:
        photo[:, 2] %= box.boxsize[2]
    given = {
        "photo": photo, "spec": true[:800], "box": box, "num_both": 800, "redshift": 0.5,
        "error": truez.PhotozError(9.0), "cosmology": "planck18", "matched": np.arange(800),
        "photo_sigma": sigma,
    }  # fmt: skip
    return Surveys(**{**given, **changes})


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_probabilities_of_cells_are_those_of_the_kernel(periodic, outliers):
    box = truez.Box((40, 40, 120), cellsize=5, periodic=periodic)
    margins = {} if periodic else {"photo_margin": 3, "true_margin": 5}
    for sigma in (0.0, 2.0, 30.0, 300.0):
        error = truez.PhotozError(sigma, outliers)
        torch.testing.assert_close(
            cell_matrix(error, box, **margins), Kernel.of(error, box, **margins).matrix,
            atol=2e-7, rtol=1e-4,
        )  # fmt: skip


@pytest.mark.parametrize("periodic", [True, False])
def test_a_galaxy_has_its_own_error_at_its_own_photo_z(periodic):
    box = truez.Box((40, 40, 120), cellsize=5, periodic=periodic)
    found = surveys(box, error=truez.PhotozError(9.0, 0.05))
    rows = np.array([3, 50, 999])
    margin = 0 if periodic else 4
    likelihood = own_likelihood(found, rows, margin).numpy()
    true = np.linspace(-5 * margin, 120 + 5 * margin, 100 * (24 + 2 * margin), endpoint=False)
    true += (true[1] - true[0]) / 2
    for row, values in zip(rows, likelihood, strict=True):
        away = found.photo[row, 2] - true
        images = (-120, 0, 120) if periodic else (0,)
        density = sum(norm.pdf(away + image, scale=found.photo_sigma[row]) for image in images)
        inside = periodic or 0 <= found.photo[row, 2] <= 120
        density = 0.95 * density + 0.05 * inside / 120
        np.testing.assert_allclose(values, density.reshape(-1, 100).mean(1), rtol=2e-3, atol=1e-7)


def test_expected_counts_are_scaled_to_the_galaxies():
    share = torch.linspace(1, 2, 24).expand(BOX.meshsize)
    found = surveys(expected_photo=truez.Field(share, BOX, "counts"))
    assert float(found.true_expected().values.sum()) == pytest.approx(4000, rel=1e-5)
    again = replace(found, redshift=0.6)
    assert torch.equal(again.expected_photo.values, found.expected_photo.values)
    # Without those of known redshift, which are the same everywhere.
    unknown = truez.surveys.uneven.unknown_counts(found)
    torch.testing.assert_close(unknown, found.true_expected().values - 800 / BOX.num_cells)
    observed = found.photo_expected().values
    assert float(observed.sum()) == pytest.approx(4000, rel=1e-3)
    assert float(observed[0, 0, 0]) > float(found.true_expected().values[0, 0, 0])


def test_classes_hold_galaxies_of_similar_errors():
    found = surveys()
    assert [round(error.sigma) for error in found.classes] == [4, 12]
    np.testing.assert_array_equal(found.class_of, (found.photo_sigma > 5).astype(int))
    assert found.error.sigma == pytest.approx(np.sqrt(np.mean(found.photo_sigma**2)))
    assert found.class_shares.sum() == pytest.approx(1)
    assert "photo-z errors of each galaxy" in repr(found)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_expected_counts_are_shared_as_galaxies_are(periodic, resampler):
    box = truez.Box(40, cellsize=5, periodic=periodic)
    rng = np.random.default_rng(2)
    share = rng.uniform(0, 1, box.meshsize).astype(np.float32)
    share[2:4] = 0
    galaxies = rng.uniform(0, 40, (400_000, 3))
    weights = share[tuple((galaxies // 5).astype(int).T)]
    found = spread_counts(torch.from_numpy(share), resampler, box)
    counts = truez.paint(galaxies, box, resampler, weights=weights).values * (512 / 400_000)
    torch.testing.assert_close(found, counts, atol=0.1, rtol=0)
    assert float(found.sum()) == pytest.approx(float(share.sum()), rel=1e-5)


def field(values, box=BOX, kind="counts"):
    return truez.Field(values, box, kind)


EVEN = torch.ones(BOX.meshsize)
HALF = torch.linspace(1, 2, 24).expand(BOX.meshsize).clone()
HALF[0, 0] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expected_photo": HALF}, "expected_photo must be a truez.Field"),
        ({"expected_photo": field(EVEN, kind="delta")}, "a field of kind counts, not of kind del"),
        ({"expected_spec": field(torch.ones(8, 8, 12), truez.Box((40, 40, 60), cellsize=5))},
         "expected_spec is on 8 x 8 x 12 cells in 40 x 40 x 60 Mpc/h about 20 x 20 x 30, and the"),
        ({"expected_spec": field(HALF - 1.5)}, "not negative and not all zero, and there is -1.5"),
        ({"expected_spec": field(0 * HALF)}, "not negative and not all zero, and there is 0 in it"),
        ({"expected_spec": field(HALF)}, "expected_spec is 0 in cells where 1. of 800 spec galax"),
        ({"expected_photo": field(HALF)}, "expected_photo is 0 on sight lines where"),
        ({"expected_photo": field(HALF**20 + 1)}, "does not follow the photo galaxies: where it"),
        ({"photo_sigma": np.ones(3)}, "photo_sigma must be one for each of 4000 photo galaxies"),
        ({"photo_sigma": np.zeros(4000)}, "photo_sigma must be above 0 Mpc/h, but is not for 4000"),
        ({"photo_weights": np.ones(3)}, "photo_weights must be one for each of 4000 galaxies"),
        ({"spec_weights": -np.ones(800)}, "spec_weights must be finite and >= 0, and not all 0"),
        ({"spec_weights": np.zeros(800)}, "spec_weights must be finite and >= 0, and not all 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        surveys(**changes)


def test_catalogues_say_which_galaxies_and_which_errors():
    rng = np.random.default_rng(1)
    num = 3000
    photo = {
        **dict(zip("xyz", rng.uniform(0, 1, (3, num)) * [[40], [40], [120]], strict=True)),
        "id": np.arange(num), "mag": rng.uniform(20, 25, num), "w": rng.uniform(1, 2, num),
        "err": rng.choice([0.002, 0.004], num),
    }  # fmt: skip
    photo["mag"][11] = np.nan
    spec = {name: values[:300] for name, values in photo.items()}
    details = truez.SurveyDetails(
        photo_cut=("mag<24", "mag>=21"), spec_cut=("mag<23",), z_err_column="err",
        weight_column="w", drop_missing=True,
    )  # fmt: skip
    given = {"spec": spec, "photo": photo, "box": BOX, "redshift": 0.5, "match_id": "id"}
    found = Surveys.from_catalogs(**given, details=details)
    kept = (photo["mag"] < 24) & (photo["mag"] >= 21)
    np.testing.assert_array_equal(found.photo_kept, kept)
    np.testing.assert_array_equal(found.photo_weights, photo["w"][kept])
    scale = found.cosmology.distance_error(1.0, 0.5)
    np.testing.assert_allclose(found.photo_sigma, photo["err"][kept] * scale)
    assert found.metadata["photo_dropped"] == 1
    assert found.metadata["photo_cut"] == num - 1 - kept.sum()
    known = found.matched[found.matched >= 0]
    np.testing.assert_array_equal(
        np.flatnonzero(kept)[known], np.flatnonzero(kept[:300] & (spec["mag"] < 23))
    )
    with pytest.raises(ValueError, match="and sigma_z and z_err_column are given"):
        Surveys.from_catalogs(**given, sigma_z=0.01, details=details)
    with pytest.raises(ValueError, match="weight_column 'w_fkp' holds FKP weights"):
        truez.SurveyDetails(weight_column="w_fkp")
    with pytest.raises(ValueError, match="photo_cut must be a list of thresholds, not the text"):
        truez.SurveyDetails(photo_cut="mag<24")


def test_the_page_makes_expected_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "concepts" / "method.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(block, "method.md", "exec"), {})
    found = truez.Field.read("expected.h5")
    assert found.kind == "counts"
    assert float(found.values.min()) == 0
