"""Power of posterior samples beside that of their estimate."""

import numpy as np
import pytest

from truez import Box, Field
from truez.statistics.power import Power, power
from truez.statistics.sampled import SampledPower

BOX = Box(64.0, 16)


def field(seed):
    return Field(np.random.default_rng(seed).normal(size=BOX.meshsize), BOX, shotnoise=3.0)


@pytest.fixture
def measured():
    return SampledPower.of(power(field(0)), [power(field(seed)) for seed in range(1, 8)])


def test_mean_and_scatter_are_those_of_the_samples(measured):
    poles = np.stack([power(field(seed)).poles[2] for seed in range(1, 8)])
    assert measured.num == 7
    np.testing.assert_allclose(measured.mean(2), poles.mean(axis=0))
    np.testing.assert_allclose(measured.std(2), poles.std(axis=0, ddof=1))
    low, high = measured.band(2)
    assert ((low < measured.mean(2)) & (measured.mean(2) < high)).all()
    assert measured.shotnoise == 3.0
    assert repr(measured).startswith("SampledPower: 7 samples beside Power: 7 bins of k")


@pytest.mark.parametrize("number", [1, 7])
def test_a_file_holds_all_of_it(measured, tmp_path, number):
    given = SampledPower(measured.estimate, {e: p[:number] for e, p in measured.samples.items()})
    given.write(tmp_path / "pk.ecsv")
    found = SampledPower.read(tmp_path / "pk.ecsv")
    assert (found.num, found.estimate.ells) == (number, (0, 2, 4))
    for ell in (0, 2, 4):
        np.testing.assert_allclose(found.samples[ell], given.samples[ell])
        np.testing.assert_allclose(found.estimate.poles[ell], given.estimate.poles[ell])
    np.testing.assert_allclose(found.estimate.edges, given.estimate.edges)
    names = given.to_table().colnames
    assert names[:3] == ["k", "nmodes", "pole_0"]
    assert {"pole_4_mean", "pole_4_std", "pole_4_p16", "pole_4_p84", "pole_4_samples"} < set(names)
    assert np.isnan(given.to_table()["pole_0_std"]).all() == (number == 1)
    with pytest.raises(ValueError, match="holds SampledPower, not Power"):
        Power.read(tmp_path / "pk.ecsv")


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="samples must hold at least one measurement, not none"):
        SampledPower.of(power(field(0)), [])


def test_a_damaged_file_is_refused(measured, tmp_path):
    table = measured.to_table()
    table.remove_column("pole_0_samples")
    del table.meta["samples_shotnoise"]
    table.write(tmp_path / "pk.ecsv", format="ascii.ecsv")
    with pytest.raises(ValueError, match="is damaged, as it does not hold all of a result"):
        SampledPower.read(tmp_path / "pk.ecsv")
