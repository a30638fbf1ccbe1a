"""A small light cone of lognormal galaxies with a footprint, N(z) and photo-z errors, for tests."""

from dataclasses import dataclass

import numpy as np

import truez
from truez.mesh.sphere import directions, frame
from truez.sky.details import SkyDetails
from truez.sky.surveys import SkySurveys

COSMOLOGY = truez.Cosmology.of("planck18")
#: The footprint, 12 x 6 deg about the direction (0, 0) of the cone itself.
HALF = (6.0, 3.0)
SIGMA = 0.012


@dataclass(frozen=True)
class Cone:
    """Galaxies: directions in the cone's own frame [deg], true redshifts and photo-z."""

    ra: np.ndarray
    dec: np.ndarray
    z: np.ndarray
    z_phot: np.ndarray
    sigma: np.ndarray
    spec: np.ndarray

    def __len__(self):
        return len(self.z)


def light_cone(seed=1, *, clustered=True, own_errors=False, density=0.02):
    """Galaxies of a box 300 to 750 Mpc/h away, fewer the farther they are."""
    rng = np.random.default_rng(seed)
    box = truez.Box((170, 90, 450), cellsize=5)
    galaxies = truez.lognormal_galaxies(
        box, COSMOLOGY, redshift=0.2, density=density, bias=1.6, seed=seed
    )
    positions = np.array(galaxies.positions, np.float64)
    if not clustered:
        positions = rng.uniform(0, 1, positions.shape) * box.boxsize
    positions += np.array([-85.0, -45.0, 300.0])
    chi = np.linalg.norm(positions, axis=1)
    ra, dec = directions(positions[:, [2, 0, 1]])
    ra = (ra + 180) % 360 - 180
    kept = (np.abs(ra) < HALF[0]) & (np.abs(dec) < HALF[1]) & (chi > 300) & (chi < 740)
    kept &= rng.random(len(chi)) < np.exp(-(((chi - 300) / 260) ** 2))
    z = COSMOLOGY.distances.redshift(chi[kept])
    sigma = np.full(len(z), SIGMA)
    if own_errors:
        sigma = rng.choice([0.006, 0.025], len(z))
    z_phot = z + sigma * (1 + z) * rng.standard_normal(len(z))
    spec = rng.random(len(z)) < 0.15
    return Cone(ra[kept], dec[kept], z, z_phot, sigma, spec)


def turned(cone, ra, dec, angle=0.0):
    """Directions of the cone [deg] with its middle at (ra, dec), turned about it by an angle."""
    a, d = np.radians(cone.ra), np.radians(cone.dec)
    local = np.stack([np.cos(d) * np.sin(a), np.sin(d), np.cos(d) * np.cos(a)], -1)
    turn = np.radians(angle)
    x, y = local[:, 0].copy(), local[:, 1].copy()
    local[:, 0], local[:, 1] = (
        np.cos(turn) * x - np.sin(turn) * y,
        np.sin(turn) * x + np.cos(turn) * y,
    )
    return directions(local @ frame(ra, dec))


def tables(cone, ra=None, dec=None):
    """The photometric and the spectroscopic catalogue."""
    ra = cone.ra % 360 if ra is None else ra
    dec = cone.dec if dec is None else dec
    photo = {"RA": ra, "Dec": dec, "Z": cone.z_phot, "ID": np.arange(len(cone)), "SZ": cone.sigma}
    spec = {name: values[cone.spec] for name, values in photo.items()}
    return photo, spec | {"Z": cone.z[cone.spec]}


def surveys_of(cone, *, photo=None, spec=None, footprint=(354, 6, -3, 3), **details):
    """Surveys of the cone's catalogues, or of others."""
    own = tables(cone)
    photo, spec = own[0] if photo is None else photo, own[1] if spec is None else spec
    details = {"redshift_space": False, "redshift_range": (0.105, 0.253)} | details
    sigma = None if {"sigma_z_column", "z_err_column", "pdf"} & set(details) else SIGMA
    return SkySurveys.from_catalogs(
        photo=photo, spec=spec, footprint=footprint, sigma_z=sigma, match_id="id",
        details=SkyDetails(**details),
    )  # fmt: skip
