"""Fields at the edges of a footprint and around its holes."""

import numpy as np
import pytest
import torch
from tests.sky.light_cone import SIGMA, Cone, surveys_of

from truez.mesh.healpix import nested
from truez.sightlines.intensity import Intensity
from truez.sky.core import Core
from truez.sky.methods import moved
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.surveys.footprint import Rectangle
from truez.surveys.pixel_map import PixelMap

NSIDE = 64  # pixels of 0.9 deg, 5 to 11 Mpc/h


def holed(rng):
    """A footprint of whole pixels, an eighth of which are missing."""
    pixels = np.unique(nested(*Rectangle(355, 5, -3, 3).sample(0.05)[:2], NSIDE))
    pixels = pixels[rng.random(len(pixels)) > 1 / 8]
    return PixelMap(NSIDE, pixels, np.ones(len(pixels), np.float32))


def random_sky(rng, area, num=150_000):
    """Galaxies that fill a footprint evenly, with photo-z."""
    ra, dec = rng.uniform(-7, 7, num), np.degrees(np.arcsin(rng.uniform(-0.08, 0.08, num)))
    ra, dec = (some[area.completeness(ra, dec) > 0] for some in (ra, dec))
    z = 0.1 + 0.16 * rng.beta(2, 3, len(ra))
    z_phot = z + SIGMA * (1 + z) * rng.standard_normal(len(z))
    return Cone(ra, dec, z, z_phot, np.full(len(z), SIGMA), rng.random(len(z)) < 0.1)


@pytest.mark.parametrize("resampler", ["ngp", "cic"])
def test_random_galaxies_are_as_dense_in_cells_at_an_edge_as_elsewhere(resampler):
    rng = np.random.default_rng(1)
    area = holed(rng)
    surveys = surveys_of(random_sky(rng, area), footprint=area)
    (patch,) = plan(surveys, PatchSettings(cellsize=5.0), method="redistribution")
    core = Core(patch)
    found = moved(surveys, core, Intensity(torch.ones(core.box.meshsize)), resampler)
    profile = found.expected_profile[found.core_cells]
    for low, high in ((0.05, 0.5), (0.5, 0.95), (0.999, 1.0)):
        lines = found.core & (found.completeness >= low) & (found.completeness <= high)
        delta = found.delta[torch.from_numpy(lines)].numpy()[:, found.core_cells]
        mean = float(delta.mean(axis=0) @ profile / profile.sum())
        num_galaxies = float(found.completeness[lines].sum() * profile.sum())
        assert abs(mean) < 3 * num_galaxies**-0.5, (low, high)
        assert num_galaxies > 3000
