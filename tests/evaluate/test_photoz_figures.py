"""Pictures of photo-z before and after: legible in print, and of what they are given."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluate.printed import (
    assert_fits_a_page_and_is_legible,
    assert_is_saved_and_has_a_caption,
)

from truez.evaluate.figures import photoz
from truez.evaluate.photoz.numbers import PDF, POINT


def entries(rng, low=0.1, *, nats=True):
    result = []
    for number in range(4):
        entry = {"low": low + number, "high": low + number + 1, "center": low + number + 0.5}
        for name in (*POINT, *PDF):
            for when in ("before", "after"):
                entry |= {f"{name}_{when}": rng.random(), f"{name}_{when}_error": 0.02}
        result.append(entry | ({"nats": 0.3, "nats_error": np.nan} if nats else {}))
    return result


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(1)
    z = rng.uniform(0.1, 1.2, 3000)
    redshifts = {"before": z + 0.05 * rng.normal(size=z.size),
                 "after": z + 0.02 * rng.normal(size=z.size)}  # fmt: skip
    by = {"magnitude": entries(rng, 18), "redshift": entries(rng), "edge_distance": entries(rng)}
    return {
        "photoz_scatter": photoz.scatter(redshifts, z, outlier=0.15),
        "photoz_residuals": photoz.residuals(redshifts, z, outlier=0.15),
        "photoz_pit": photoz.pit({"before": rng.random(3000), "after": rng.random(3000) ** 2}),
        "photoz_by": photoz.by_quantity(by, POINT),
        "photoz_pdf_by": photoz.by_quantity(by, [*PDF[:-1], "nats"]),
    }


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", ["photoz_scatter", "photoz_residuals", "photoz_pit", "photoz_by", "photoz_pdf_by"]
)
def test_figures_fit_a_page_are_legible_and_have_a_caption(drawn, name, tmp_path):
    assert_fits_a_page_and_is_legible(drawn[name])
    assert_is_saved_and_has_a_caption(drawn[name], name, tmp_path)


def test_before_and_after_share_their_limits(drawn):
    before, after, *_ = drawn["photoz_scatter"].axes
    assert before.get_xlim() == after.get_xlim() == before.get_ylim() == after.get_ylim()


def test_the_band_of_the_pit_is_two_standard_deviations(drawn):
    band = drawn["photoz_pit"].axes[0].patches[0].get_extents().bounds
    low = drawn["photoz_pit"].axes[0].transData.inverted().transform((0, band[1]))[1]
    assert low == pytest.approx(5 - 2 * 100 * np.sqrt(0.05 * 0.95 / 3000), abs=1e-6)


def test_the_same_redshifts_are_drawn_and_an_exact_one_too():
    z = np.full(3, 0.5)
    same = {"before": z, "after": z}
    photoz.scatter(same, z, outlier=0.15)
    photoz.residuals(same, z, outlier=0.15)
    photoz.pit({"after": [0.5]})


def test_what_is_not_known_is_not_drawn():
    rng = np.random.default_rng(1)
    figure = photoz.by_quantity({"redshift": entries(rng, nats=False)}, ["nmad", "nats"])
    lines = [len(axis.containers) for axis in figure.axes]
    assert lines[0] == 2
    assert figure.axes[0].get_ylim()[0] == 0
