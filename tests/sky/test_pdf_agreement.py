"""The prior of p(z) against the galaxies of known redshift."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from truez.sky.pdf_agreement import check_prior
from truez.support.notes import Note
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import GalaxyPdfs, PdfPrior, PdfTable

#: N(z) is a Gaussian, and so are the errors: p(z) with N(z) is another one.
CENTER, WIDTH, ERROR = 0.5, 0.1, 0.06
GRID = np.linspace(0.0, 1.0, 501)


def numbers(center=CENTER, width=WIDTH):
    return NumberDensity(GRID, np.exp(-(((GRID - center) / width) ** 2) / 2))


def sample(num=4000, seed=1):
    rng = np.random.default_rng(seed)
    true = CENTER + WIDTH * rng.standard_normal(num)
    return true, true + ERROR * rng.standard_normal(num)


def pdfs_of(seen, *, holds, prior):
    """p(z) that are likelihoods, or hold N(z)."""
    center, scale = seen, np.full(len(seen), ERROR)
    if holds:
        share = WIDTH**2 / (WIDTH**2 + ERROR**2)
        center, scale = CENTER + share * (seen - CENTER), scale * share**0.5
    table = PdfTable.of_arrays("norm", {"loc": center, "scale": scale})
    return GalaxyPdfs(table, prior)


def checked(pdfs, rows, true, spec_nz=None):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", Note)
        numbers_found = check_prior(pdfs, rows, true[rows], numbers(), spec_nz or numbers())
    return numbers_found, [str(one.message) for one in found]


NAMED = PdfPrior(numbers())


@pytest.mark.parametrize(("holds", "prior"), [(False, PdfPrior()), (True, NAMED)])
def test_nothing_is_said_of_a_prior_that_is_right(holds, prior):
    true, seen = sample()
    found, said = checked(pdfs_of(seen, holds=holds, prior=prior), np.arange(2000), true)
    assert not said
    assert found["num"] == 2000
    assert (found["as_given"] > found["times_nz"]) == holds
    # ln p at the truth of the right one: the mean of that of a Gaussian.
    width = ERROR * WIDTH / np.hypot(ERROR, WIDTH)
    right = -0.5 - np.log(np.sqrt(2 * np.pi) * width)
    assert max(found["as_given"], found["times_nz"]) == pytest.approx(right, abs=0.05)


@pytest.mark.parametrize(
    ("holds", "prior", "words"),
    [
        (True, PdfPrior(), r"pdf_prior is flat, .* worse by .* known redshifts .* nz and stack"),
        (False, NAMED, r"pdf_prior is not flat, .* better by .* see pdf_prior flat"),
    ],
)
def test_a_wrong_prior_is_noted(holds, prior, words):
    true, seen = sample()
    with pytest.warns(Note, match=words):
        check_prior(pdfs_of(seen, holds=holds, prior=prior), np.arange(3000), true[:3000],
                    numbers(), numbers())  # fmt: skip


@pytest.mark.parametrize(("holds", "prior"), [(False, PdfPrior()), (True, NAMED)])
def test_spectra_of_nearer_galaxies_do_not_tell_against_a_right_prior(holds, prior):
    # Of those with a spectrum N(z) is another one.
    true, seen = sample(20_000)
    near = np.exp(-(((true - 0.35) / 0.08) ** 2) / 2)
    rows = np.flatnonzero(np.random.default_rng(3).random(len(true)) < near)
    whole = numbers()
    spec_nz = NumberDensity(GRID, whole.density * np.exp(-(((GRID - 0.35) / 0.08) ** 2) / 2))
    assert not checked(pdfs_of(seen, holds=holds, prior=prior), rows, true, spec_nz)[1]


def test_few_known_redshifts_and_p_z_that_cannot_be_used_tell_nothing():
    true, seen = sample(200)
    pdfs = pdfs_of(seen, holds=True, prior=PdfPrior())
    assert checked(pdfs, np.arange(99), true) == (None, [])
    flags = np.ones(200, np.uint8)
    unusable = GalaxyPdfs(pdfs.table, pdfs.prior, flags)
    assert checked(unusable, np.arange(200), true) == (None, [])
