"""A small light cone as a mock on the sky, for tests of its evaluation."""

from tests.sky.light_cone import SIGMA, light_cone

from truez.sky.make_mock import mock_from_spectra
from truez.sky.mock import SkyMockConfig
from truez.surveys.footprint import Rectangle
from truez.surveys.photo_scatter import PhotoScatter

#: Redshifts that are judged.
RANGE = (0.12, 0.22)


def cone_mock(density=0.01, seed=1):
    """Galaxies of the light cone, whose redshifts are scattered again."""
    cone = light_cone(density=density)
    config = SkyMockConfig(
        cosmology="planck18", redshift_range=(0.1, 0.25), spec_fraction=0.15, seed=seed,
        photo=PhotoScatter(sigma_z=SIGMA),
    )  # fmt: skip
    sky = (cone.ra % 360, cone.dec, cone.z)
    return mock_from_spectra(sky, config, footprint=Rectangle(354, 6, -3, 3))
