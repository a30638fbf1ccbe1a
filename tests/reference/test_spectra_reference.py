"""Multipoles of a clustered, anisotropic catalogue as abacusutils and Triumvirate measure them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from truez.mesh.box import Box
from truez.mesh.fourier import rfft
from truez.mesh.painting import paint
from truez.statistics.binning import bin_modes
from truez.statistics.power import catalog_power, power

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("make_spectra", HERE / "make_spectra.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
BOX = Box(make.BOXSIZE, make.MESHSIZE)


@pytest.fixture(scope="module")
def positions():
    return make.clustered_catalog()


def load(peer, positions):
    found = np.load(HERE / f"spectra_{peer}.npz")
    np.testing.assert_allclose(positions.sum(axis=0), found["checksum"], rtol=1e-12)
    return found


def check(result, found, name, tolerance):
    np.testing.assert_array_equal(result.nmodes, found[f"{name}_nmodes"])
    np.testing.assert_allclose(result.k, found[f"{name}_k"], rtol=1e-5)
    scale = result.poles[0]
    for column, ell in enumerate(make.ELLS):
        apart = np.abs(result.poles[ell] - found[name][:, column]) / scale
        assert apart.max() < tolerance, f"{name} P{ell} differs by {apart.max():.2g} of P0"


def test_the_catalogue_is_clustered_and_anisotropic(positions):
    result = catalog_power(positions, BOX, edges=make.EDGES)
    assert result.poles[0][0] > 5 * result.shotnoise
    assert (np.abs(result.poles[2]) > 0.3 * result.poles[0]).any()


@pytest.mark.parametrize(
    ("peer", "resampler"), [("abacusutils", "cic"), ("abacusutils", "tsc"), ("triumvirate", "cic")]
)
def test_interlaced_and_compensated(positions, peer, resampler):
    result = catalog_power(positions, BOX, resampler=resampler, edges=make.EDGES)
    check(result, load(peer, positions), f"{resampler}_interlaced", 5e-5)


@pytest.mark.parametrize("resampler", ["cic", "tsc"])
def test_plain(positions, resampler):
    # abacusutils puts the nodes on the corners of cells, half a cell from ours.
    field = paint(positions, BOX, resampler, shift=0.5)
    found = load("abacusutils", positions)
    check(power(field, edges=make.EDGES), found, f"{resampler}_plain", 2e-5)


def test_wedges(positions):
    found = load("abacusutils", positions)
    delta = paint(positions, BOX, "tsc", shift=0.5).to_delta()
    sums = bin_modes(rfft(delta.values), None, BOX, make.EDGES, np.array(make.MU_EDGES))
    np.testing.assert_array_equal(sums.nmodes, found["wedges_nmodes"])
    held = sums.nmodes > 0
    measured = BOX.volume * sums.products[0, 0][held] / sums.nmodes[held]
    np.testing.assert_allclose(measured, found["wedges"][held], rtol=1e-4)
