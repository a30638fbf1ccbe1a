"""Pictures of surveys on the sky: they show the galaxies and numbers that they are given."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluate.printed import (
    assert_fits_a_page_and_is_legible,
    assert_is_saved_and_has_a_caption,
)

from truez.evaluate.figures.sky import gain_by_place, number_densities, wedge
from truez.surveys.nz_fit import fit_number_density
from truez.surveys.redshift_error import RedshiftError


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(1)
    z = 0.5 * rng.beta(2, 3, 3000)
    return np.mod(rng.uniform(350, 370, z.size), 360), z, z + 0.03 * rng.normal(size=z.size)


def entries(rng, low: float = 0.1):
    return [
        {
            "num": 1000, "low": low + i, "high": low + i + 1, "center": low + i + 0.5,
            "nats_own_place": 0.4 + 0.05 * i, "nats_own_place_error": 0.01,
            "pit": rng.dirichlet(np.full(10, 500.0)),
        }
        for i in range(3)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(galaxies):
    ra, z, z_phot = galaxies
    rng = np.random.default_rng(2)
    spec = rng.random(z.size) < 0.1
    by = [
        {"redshift": entries(rng), "magnitude": entries(rng, 18.0), "edge_distance": entries(rng)}
        for _ in range(2)
    ]
    by[0]["edge_distance"].append({"num": 0, "low": 9.0, "high": 10.0})
    fits = {
        "photometric": fit_number_density(z_phot[z_phot > 0], error=RedshiftError(0.02)),
        "spectroscopic": fit_number_density(z[spec], name="spec"),
    }
    return {
        "wedge": wedge(
            {"photo-z": (ra, z_phot), "sharpened": (ra, z)}, spec=(ra[spec], z[spec]),
            ra_range=(350, 10), redshift_range=(0.05, 0.4), about="declination -1 to 1°",
        ),
        "number_densities": number_densities(fits, truth={"photometric": z}, limits=(0.0, 0.5)),
        "gain_by_place": gain_by_place({"columns": by[0], "redistribution": by[1]}),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["wedge", "number_densities", "gain_by_place"])
def test_figures_fit_a_page_are_legible_and_have_a_caption(drawn, name, tmp_path):
    assert_fits_a_page_and_is_legible(drawn[name])
    assert_is_saved_and_has_a_caption(drawn[name], name, tmp_path)


def points(axis, name):
    (line,) = [line for line in axis.lines if line.get_label() == name]
    return np.hypot(*line.get_data())


def test_galaxies_are_as_far_from_the_apex_as_their_redshift(drawn, galaxies):
    _, z, z_phot = galaxies
    for axis, given in zip(drawn["wedge"].axes, (z_phot, z), strict=True):
        inside = np.sort(given[(given >= 0.05) & (given <= 0.4)])
        np.testing.assert_allclose(np.sort(points(axis, "without spectrum")), inside)
        assert len(points(axis, "with spectrum")) > 100


def test_a_wedge_says_how_much_wider_its_angles_are(drawn, galaxies):
    assert "drawn 1.3 times as wide" in drawn["wedge"].get_supxlabel()
    ra, z, _ = galaxies
    wide = wedge({"truth": (ra, z)}, ra_range=(300, 60), redshift_range=(0.05, 0.4))
    assert wide.get_supxlabel() == "angle: right ascension"


def test_right_ascensions_outside_the_range_are_not_drawn(galaxies):
    ra, z, _ = galaxies
    figure = wedge({"truth": (ra, z)}, ra_range=(355, 0), redshift_range=(0.0, 0.6))
    num = np.count_nonzero(ra >= 355)
    assert len(points(figure.axes[0], "without spectrum")) == num


def test_gains_are_drawn_at_the_mean_of_each_bin_that_holds_galaxies(drawn):
    axis = drawn["gain_by_place"].axes[2]
    assert axis.get_xlabel().startswith("distance to the edge")
    line = axis.containers[0].lines[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [0.6, 1.6, 2.6])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [0.4, 0.45, 0.5])


def test_the_histogram_of_the_fit_is_drawn_per_unit_redshift(drawn, galaxies):
    axis = drawn["number_densities"].axes[0]
    steps = next(p for p in axis.patches if p.get_label() == "redshifts as measured")
    values, edges, _ = steps.get_data()
    total = np.count_nonzero(galaxies[2] > 0)
    assert (values * np.diff(edges)).sum() == pytest.approx(total)
