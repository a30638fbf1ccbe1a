"""GAMA G09: redshifts of a real survey with simulated photo-z become as sharp as was measured."""

import numpy as np
import pytest
import torch

from truez.catalogs.catalog import Catalog
from truez.cosmology import Cosmology
from truez.sky.details import SkyDetails
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.sky.redshifts import walk_patch
from truez.sky.surveys import SkySurveys

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def chosen(sample, rng, z, mag):
    """The tenth of the galaxies that have a spectrum."""
    num = len(z)
    if sample == "random":
        return rng.permutation(num)[: num // 10]
    if sample == "bright":
        return np.argsort(mag)[: num // 10]
    distance = Cosmology.of("planck18").distances.from_redshift
    absolute = mag - 5 * np.log10(distance(z) * (1 + z)) - 25 - z
    limit = 19.8 - 5 * np.log10(float(distance(0.3)) * 1.3) - 25 - 0.3
    return rng.permutation(np.flatnonzero(absolute < limit))[: num // 10]


@pytest.mark.parametrize(
    ("sample", "sigma", "nats", "worst"),
    [
        ("random", 0.02, 0.495, 0.006),
        ("bright", 0.02, 0.435, 0.010),
        ("lum", 0.02, 0.46, 0.006),
        ("random", 0.01, 0.43, 0.006),
    ],
)
def test_redshifts_gain_information_and_are_calibrated(data_folder, sample, sigma, nats, worst):
    table = Catalog.read(data_folder / "gama_g09.csv")
    inside = (table["Z"] > 0.01) & (table["Z"] < 0.505)
    ra, dec, z, mag = (table[name][inside] for name in ("RA", "Dec", "Z", "Rpetro"))
    rng = np.random.default_rng(1)
    z_phot = z + sigma * (1 + z) * rng.standard_normal(len(z))
    rows = chosen(sample, rng, z, mag)
    photo = {"RA": ra, "DEC": dec, "Z": z_phot, "ID": np.arange(len(z))}
    spec = {name: values[rows] for name, values in photo.items()} | {"Z": z[rows]}
    surveys = SkySurveys.from_catalogs(
        photo=photo, spec=spec, footprint=(129, 141, -2, 3), sigma_z=sigma, match_id="ID",
        details=SkyDetails(redshift_range=(0.01, 0.505)),
    )  # fmt: skip
    result = reconstruct(
        surveys, "redistribution", patches=PatchSettings(cellsize=2.0, chi_ref=650.0)
    )
    (patch,) = result
    judged = np.flatnonzero(surveys.unknown & (z_phot > 0.08) & (z_phot < 0.35))
    gain, pit = np.full((2, len(judged)), np.nan)
    edges = patch.box.redshift_edges
    place = np.interp(z[judged], edges, np.arange(len(edges)))
    for some in walk_patch(PatchData(surveys, patch.box), patch.intensity, judged):
        below, there = some.below(torch.from_numpy(place[some.rows]).float())
        gain[some.rows], pit[some.rows] = there.log() + some.log_even, below
    assert np.isfinite(gain).all()
    assert gain.mean() > nats
    tenths = np.histogram(pit, 10, (0, 1))[0] / len(pit)
    assert np.abs(tenths - 0.1).max() < worst
    assert 0.67 < np.mean((pit > 0.16) & (pit < 0.84)) < 0.695
    if (sample, sigma) == ("random", 0.02):
        away = (result.redshifts()["z_median"][judged] - z[judged]) / (1 + z[judged])
        assert 1.4826 * np.median(np.abs(away - np.median(away))) < 0.0158
