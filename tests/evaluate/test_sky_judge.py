"""Redshifts of a reconstruction on the sky, judged: what they say of themselves is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from truez.evaluate.sky import photo_baseline, summary
from truez.evaluate.sky.judge import edge_lengths, judge_redshifts
from truez.sky.field import SkyField
from truez.sky.make_mock import mock_from_spectra
from truez.sky.mock import SkyMockConfig
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.surveys.footprint import Rectangle

FIELD = Rectangle(10, 20, -5, 5)
#: Redshifts between two sheets of galaxies, half the width of one, and the share of galaxies there.
PERIOD, HALF, SHARE = 0.05, 0.008, 0.7


@pytest.fixture(scope="module")
def mock():
    """Galaxies of which many are in sheets at one redshift."""
    rng = np.random.default_rng(1)
    num = 12_000
    z = 0.05 + 0.25 * rng.beta(2.5, 2, num)
    sheets = np.round(z / PERIOD) * PERIOD + rng.uniform(-HALF, HALF, num)
    z = np.where(rng.random(num) < SHARE, sheets, z)
    config = SkyMockConfig(
        cosmology="planck18", redshift_range=(0.05, 0.3), spec_fraction=0.1, seed=1
    )
    sky = (rng.uniform(10, 20, num), rng.uniform(-5, 5, num), z)
    return mock_from_spectra(sky, config, footprint=FIELD)


@pytest.fixture(scope="module")
def found(mock):
    return reconstruct(mock.surveys, "redistribution", patches=PatchSettings(cellsize=10))


def with_intensity(found: SkyField, of_redshift) -> SkyField:
    """The same patches with an intensity that depends on redshift alone."""
    patches = []
    for patch in found:
        along = torch.from_numpy(of_redshift(patch.box.redshift_centers)).float()
        patches.append(replace(patch, intensity=along.expand(patch.box.meshsize).contiguous()))
    return SkyField(tuple(patches), found.cosmology, {})


def in_sheets(z):
    inside = np.abs(z / PERIOD - np.round(z / PERIOD)) * PERIOD < HALF
    return np.where(inside, 1 - SHARE + SHARE * PERIOD / (2 * HALF), 1 - SHARE)


def numbers(mock, field):
    judged = judge_redshifts(mock, field)
    return summary(judged, redshift_range=(0.1, 0.25), has_spectrum=mock.has_spectrum)


def test_an_intensity_of_one_is_the_baseline(mock, found):
    field = with_intensity(found, np.ones_like)
    judged = judge_redshifts(mock, field)
    rows = judged.chosen((0.1, 0.25), mock.has_spectrum)
    np.testing.assert_allclose(judged.gain[rows], 0, atol=1e-5)
    edges = field[0].box.redshift_edges
    surveys = mock.surveys
    counts = np.maximum(surveys.nz.counts(edges) - surveys.spec_nz.counts(edges), 0)
    ln_p, pit = photo_baseline(
        mock.z_phot[rows], mock.z_true[rows], edges, error=mock.error, counts=counts
    )
    # Spectra can be a little more than all galaxies at the ends, where the mesh has a floor.
    np.testing.assert_allclose(judged.ln_p[rows], ln_p, atol=0.02)
    np.testing.assert_allclose(judged.pit[rows], pit, atol=0.01)


def test_galaxies_with_spectra_have_no_posterior(mock, found):
    judged = judge_redshifts(mock, found)
    assert not judged.known[mock.spec_rows].any()


def test_the_intensity_that_the_galaxies_follow_gains_and_is_calibrated(mock, found):
    right = numbers(mock, with_intensity(found, in_sheets))
    assert right["nats_own_place"] > 0.15
    assert right["pit_worst_tenth"] < 1.5
    assert right["inside_68"] == pytest.approx(68, abs=2)
    wrong = numbers(mock, with_intensity(found, lambda z: in_sheets(z + PERIOD / 2)))
    assert wrong["nats_own_place"] < -0.15
    assert wrong["ln_p_photo"] == pytest.approx(right["ln_p_photo"], abs=1e-5)


def test_the_medians_are_those_of_the_sharpened_catalogue(mock, found):
    judged = judge_redshifts(mock, found)
    catalog = found.redshifts()
    rows = np.flatnonzero(judged.known)
    np.testing.assert_allclose(judged.z_after[rows], catalog["z_median"][rows], atol=1e-6)


def test_surveys_of_other_galaxies_and_fields_without_intensity_are_refused(mock, found):
    other = mock_from_spectra(
        (mock.ra[1:], mock.dec[1:], mock.z_true[1:]), mock.config, footprint=FIELD
    )
    with pytest.raises(ValueError, match="reconstruct the surveys of this mock"):
        judge_redshifts(mock, found, surveys=other.surveys)
    bare = SkyField(tuple(replace(p, intensity=None) for p in found), found.cosmology, {})
    with pytest.raises(ValueError, match="has no intensity"):
        judge_redshifts(mock, bare)


def test_distances_to_the_edge_are_lengths_at_the_photo_z(mock):
    found = edge_lengths(mock)
    angle = np.minimum.reduce([mock.ra - 10, 20 - mock.ra, mock.dec + 5, 5 - mock.dec])
    chi = mock.config.cosmology.distances.from_redshift(np.maximum(mock.z_phot, 0))
    np.testing.assert_allclose(found, np.radians(angle) * chi, atol=1.0)
