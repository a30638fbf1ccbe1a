"""Expected counts on sky boxes: sums, the densities of random galaxies, photo-z, painting."""

from dataclasses import replace

import numpy as np
import pytest

from truez.mesh.box import Box
from truez.mesh.healpix import centers
from truez.mesh.painting import paint
from truez.mesh.sky_box import SkyBox
from truez.surveys.expected import expected_counts, expected_profile
from truez.surveys.footprint import Rectangle
from truez.surveys.nz import NumberDensity
from truez.surveys.pixel_map import PixelMap
from truez.surveys.redshift_error import RedshiftError

G09 = Rectangle(129, 141, -2, 3)
NZ = NumberDensity(np.array([0.02, 0.1, 0.25, 0.4]), np.array([0.0, 4e5, 6e5, 0.0]))
BOX = SkyBox.around(
    135, 0.5, width=(14, 7), distances=(0, 1400), chi_ref=650, cellsize=14, cosmology="planck18"
)


def draw(num, seed=1, footprint=G09, nz=NZ):
    """Random galaxies in a footprint with an N(z)."""
    rng = np.random.default_rng(seed)
    ra = rng.uniform(128, 142, 2 * num)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians([-3, 4])), 2 * num)))
    kept = rng.random(2 * num) < footprint.completeness(ra, dec)
    return ra[kept], dec[kept], nz.quantile(rng.random(np.count_nonzero(kept)))


@pytest.mark.parametrize("ra", [135.0, 0.0])
@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_they_sum_to_the_galaxies_of_the_footprint(ra, resampler):
    box, footprint = replace(BOX, ra=ra), Rectangle((ra - 6) % 360, (ra + 6) % 360, -2, 3)
    field = expected_counts(box, footprint=footprint, density=NZ, resampler=resampler)
    assert field.kind == "counts"
    assert float(field.values.double().sum()) == pytest.approx(NZ.total, rel=2e-3)
    assert field.resampler == resampler


def test_a_box_over_half_of_the_footprint_expects_half_of_the_galaxies():
    box = SkyBox(
        (68.07, 90, 1400), (40, 40, 70), (34.035, 0, 700), ra=135, dec=0.5, chi_ref=650,
        cosmology="planck18",
    )  # fmt: skip
    field = expected_counts(box, footprint=G09, density=NZ)
    assert float(field.values.double().sum()) == pytest.approx(NZ.total / 2, rel=3e-3)


@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_random_galaxies_have_these_densities(resampler):
    # In the cells of all distances and directions, edges included, within Poisson noise.
    ra, dec, z = draw(150_000)
    nz = NZ.scaled(ra.size)
    field = paint(BOX.positions(ra, dec, z), BOX, resampler)
    expected = expected_counts(BOX, footprint=G09, density=nz, resampler=resampler)
    counts, level = field.values.double().numpy(), expected.values.double().numpy()
    if resampler == "ngp":
        filled = level > 5
        pulls = (counts - level)[filled] / np.sqrt(level[filled])
        assert filled.sum() > 2500
        assert pulls.mean() == pytest.approx(0, abs=0.05)
        assert pulls.std() == pytest.approx(1, abs=0.03)
    for axes in ((0, 1), (0, 2), (1, 2)):
        a, b = counts.sum(axis=axes), level.sum(axis=axes)
        seen = b > 100
        assert (np.abs(a - b)[seen] < 4.5 * np.sqrt(b[seen])).all()


def test_a_mask_with_holes_is_felt_in_every_cell():
    ra, dec = centers(np.arange(12 * 256**2), 256)
    values = G09.completeness(ra, dec)
    values[np.hypot(ra - 135, dec) < 1] = 0
    values[(ra > 138) & (values > 0)] = 0.5
    mask = PixelMap(256, np.arange(values.size), values)
    a, d, z = draw(150_000, footprint=mask)
    field = expected_counts(BOX, footprint=mask, density=NZ.scaled(a.size)).values.double().numpy()
    counts = paint(BOX.positions(a, d, z), BOX, "ngp").values.double().numpy()
    sky, model = counts.sum(axis=2), field.sum(axis=2)
    seen = model > 20
    pulls = (sky - model)[seen] / np.sqrt(model[seen])
    assert pulls.std() == pytest.approx(1, abs=0.25)
    assert model.min() == 0
    assert sky[model == 0].sum() == 0


def test_at_photo_z_the_error_grows_with_redshift():
    error = RedshiftError(0.03, 0.05, (0.0, 0.5), (0.005,))
    z = NZ.quantile(np.random.default_rng(1).random(400_000))
    rng = np.random.default_rng(2)
    photo = z + 0.005 + 0.03 * (1 + z) * rng.normal(size=z.size)
    lost = rng.random(z.size) < 0.05
    photo[lost] = rng.uniform(0, 0.5, lost.sum())
    counts = np.histogram(photo, BOX.redshift_edges)[0]
    profile = expected_profile(BOX, NZ.scaled(z.size), error)
    seen = profile > 20
    assert (np.abs(counts - profile)[seen] < 5 * np.sqrt(profile[seen])).all()


def test_classes_add_up():
    errors = [RedshiftError(0.01), RedshiftError(0.05)]
    parts = [
        expected_counts(BOX, footprint=G09, density=NZ, error=error).values for error in errors
    ]
    both = expected_counts(BOX, footprint=G09, density=[NZ, NZ], error=errors).values
    assert both.numpy() == pytest.approx((parts[0] + parts[1]).numpy(), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"footprint": Rectangle(0, 10, -2, 3)}, "the footprint does not reach into the sky about"),
        ({"error": [RedshiftError(0.1)] * 2}, "need one error for each N"),
        ({"density": []}, "need one error for each N"),
        ({"resampler": "pcs"}, "resampler must be one of"),
        ({"fraction": np.ones((2, 2))}, "fraction must have one value for each of"),
        ({"box": Box(10, 2)}, "box must be a truez.SkyBox, not Box"),
    ],
)
def test_what_does_not_fit_is_refused(changes, sentence):
    given = {"box": BOX, "footprint": G09, "density": NZ, **changes}
    with pytest.raises(ValueError, match=sentence):
        expected_counts(given.pop("box"), **given)
