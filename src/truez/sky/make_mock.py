"""Makers of sky mocks: a light cone of a simulation, or scattered redshifts of a real catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.sky.mock import SkyMock, SkyMockConfig
from truez.surveys.footprint import Footprint
from truez.surveys.light_cone import (
    ConeView,
    LightCone,
    cut_light_cone,
    numbers_in_cone,
    thin_to_density,
)
from truez.surveys.magnitudes import absolute_magnitudes, choose_spectroscopic, distance_modulus
from truez.surveys.matching import match_ids
from truez.surveys.nz import NumberDensity

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simulated:
    """Galaxies of a box from which a light cone is cut.

    Parameters
    ----------
    positions : (n, 3) array
        Comoving, in real space [Mpc/h].
    box : Box
    velocities : (n, 3) array, optional
        Peculiar [km/s]; without them the cone is in real space.
    absolute : (n,) array, optional
        Absolute magnitudes, M - 5 log10(h).

    Examples
    --------
    >>> from truez import Box, lognormal_galaxies
    >>> from truez.sky.make_mock import Simulated
    >>> galaxies = lognormal_galaxies(
    ...     Box(128, cellsize=4), "planck18", redshift=0.2, density=1e-3, bias=1.5, seed=1
    ... )
    >>> Simulated.of(galaxies).absolute.shape == (len(galaxies),)
    True
    """

    positions: NDArray[np.floating[Any]]
    box: Box
    velocities: NDArray[np.floating[Any]] | None = None
    absolute: Array | None = None

    @classmethod
    def of(cls, galaxies: Any) -> Simulated:
        """Those of `truez.Galaxies`, whose magnitudes follow from their masses by abundance."""
        absolute = absolute_magnitudes(galaxies.mass, galaxies.box.volume)
        return cls(galaxies.positions, galaxies.box, galaxies.velocities, absolute)


def mock_from_simulation(
    simulated: Simulated,
    config: SkyMockConfig,
    *,
    footprint: Footprint,
    spec_footprint: Footprint | None = None,
    nz: NumberDensity | None = None,
    view: ConeView | None = None,
    source: dict[str, Any] | None = None,
) -> SkyMock:
    """A light cone with two surveys.

    Parameters
    ----------
    simulated : Simulated
    config : SkyMockConfig
        With a ``magnitude_limit`` the photometric survey is limited in flux.
    footprint : Footprint
        Of both surveys, or of the photometric one. Galaxies are thinned by its completeness.
    spec_footprint : Footprint, optional
    nz : NumberDensity, optional
        Of the photometric galaxies: they are thinned to it at random.
    view : ConeView, optional
    source : dict, optional
        Origin of the simulation, kept with the mock.

    Raises
    ------
    ValueError
        If magnitudes are needed and missing, the cone leaves a closed box, ``nz`` asks for more
        galaxies than there are, or a sample is empty.

    Examples
    --------
    >>> from truez import Box, lognormal_galaxies
    >>> from truez.sky.make_mock import Simulated, mock_from_simulation
    >>> from truez.sky.mock import SkyMockConfig
    >>> from truez.surveys.footprint_input import footprint_of
    >>> galaxies = lognormal_galaxies(
    ...     Box(128, cellsize=4), "planck18", redshift=0.2, density=1e-2, bias=1.5, seed=1
    ... )
    >>> config = SkyMockConfig(
    ...     cosmology="planck18", redshift_range=(0.05, 0.2), spec_fraction=0.1, seed=1
    ... )
    >>> mock = mock_from_simulation(
    ...     Simulated.of(galaxies), config, footprint=footprint_of("350,10,-5,5")
    ... )
    >>> mock.z_true.min() > 0.05, mock.z_phot.shape == mock.ra.shape
    (np.True_, True)
    """
    streams = _streams(config.seed)
    cosmology = config.cosmology
    if config.magnitude_limit is not None and simulated.absolute is None:
        raise ValueError(
            "magnitude_limit needs the magnitudes of the galaxies: give magnitude_column"
        )
    cone = cut_light_cone(
        simulated.positions, simulated.box, cosmology=cosmology, footprint=footprint,
        redshift_range=config.redshift_range, generator=streams["cone"],
        velocities=simulated.velocities, view=view,
    )  # fmt: skip
    kept = np.ones(len(cone), dtype=bool)
    if config.magnitude_limit is not None:
        kept = _apparent(cone, simulated, cosmology) < config.magnitude_limit
    if nz is not None:
        there = numbers_in_cone(
            len(simulated.positions) / simulated.box.volume, footprint=footprint,
            redshift_range=config.redshift_range, cosmology=cosmology,
            magnitudes=simulated.absolute, magnitude_limit=config.magnitude_limit,
        )  # fmt: skip
        kept &= thin_to_density(cone.redshift, nz, there, streams["nz"])
    if not kept.any():
        what = "magnitude_limit" if nz is None else "nz"
        raise ValueError(
            f"{what} leaves none of the {len(cone)} galaxies of the light cone: correct it"
        )
    cone = cone.take(kept)
    magnitude = None if simulated.absolute is None else _apparent(cone, simulated, cosmology)
    about = {
        **(source or {}), "num_in_catalogue": len(simulated.positions),
        "num_copies": cone.num_copies, "redshift_space": simulated.velocities is not None,
    }  # fmt: skip
    return _observed(
        (cone.ra, cone.dec, cone.redshift), np.arange(len(cone)), magnitude, config,
        (footprint, spec_footprint or footprint), about, streams,
    )  # fmt: skip


def mock_from_spectra(
    sky: tuple[Array, Array, Array],
    config: SkyMockConfig,
    *,
    footprint: Footprint,
    spec_footprint: Footprint | None = None,
    ids: NDArray[Any] | None = None,
    spec_ids: NDArray[Any] | None = None,
    magnitude: Array | None = None,
    source: dict[str, Any] | None = None,
) -> SkyMock:
    """Two surveys of real galaxies whose exact redshifts are known: those of the photo-z scattered.

    Parameters
    ----------
    sky : three (n,) arrays
        Right ascension and declination [deg], and redshift, nan where there is none.
    config : SkyMockConfig
    footprint : Footprint
        Galaxies outside are left out; inside they are as complete as they are.
    spec_footprint : Footprint, optional
        The same by default.
    ids : (n,) array, optional
        Of the galaxies, whole numbers or text; their rows by default.
    spec_ids : (m,) array, optional
        Of the galaxies that have spectra, in place of the ``spec_choice``.
    magnitude : (n,) array, optional
        Apparent, nan where there is none: in no survey that is limited in flux.
    source : dict, optional
        Origin of the catalogue, kept with the mock.

    Raises
    ------
    ValueError
        If ids are repeated or name other galaxies, no galaxy is left, or a sample is empty.
    """
    ra, dec, z = (np.asarray(values, np.float64) for values in sky)
    names = np.arange(len(ra)) if ids is None else ids
    low, high = config.redshift_range
    known = np.isfinite(z)
    bright = known.copy()
    if magnitude is not None:
        bright &= np.isfinite(magnitude)
    ranged = bright & (z >= low) & (z <= high)
    inside = ~footprint.outside(ra, dec)
    kept = np.flatnonzero(ranged & inside)
    if not inside.any():
        footprint.check_galaxies(ra, dec, "catalogue")
    if not len(kept):
        raise ValueError(
            f"redshift_range {low:g},{high:g} leaves none of the {int(inside.sum())} galaxies in "
            "the footprint: widen it"
        )
    footprint.check_filled(ra[kept], dec[kept], "catalogue")
    about = {
        **(source or {}), "num_in_catalogue": len(ra),
        "num_without_redshift": int(np.count_nonzero(~known)),
        "num_without_magnitude": int(np.count_nonzero(known & ~bright)),
        "num_outside_range": int(np.count_nonzero(bright & ~ranged)),
        "num_outside_footprint": int(np.count_nonzero(ranged & ~inside)),
    }  # fmt: skip
    chosen = None
    if spec_ids is not None:
        wanted = _named(spec_ids, names)
        chosen = np.flatnonzero(np.isin(kept, wanted))
        about["num_spec_ids"] = len(wanted)
        if not len(chosen):
            raise ValueError(
                f"none of the {len(wanted)} galaxies of spec_ids is within footprint and "
                "redshift_range: widen them"
            )
    return _observed(
        (ra[kept], dec[kept], z[kept]), names[kept],
        None if magnitude is None else np.asarray(magnitude, np.float64)[kept], config,
        (footprint, spec_footprint or footprint), about, _streams(config.seed), chosen,
    )  # fmt: skip


def _streams(seed: int) -> dict[str, np.random.Generator]:
    """Random numbers of each step, so that one does not change with the settings of another."""
    names = ("cone", "nz", "spec", "photo")
    children = np.random.SeedSequence(seed).spawn(len(names))
    return {n: np.random.default_rng(child) for n, child in zip(names, children, strict=True)}


def _apparent(cone: LightCone, simulated: Simulated, cosmology: Cosmology) -> Array:
    assert simulated.absolute is not None
    return simulated.absolute[cone.rows] + distance_modulus(cone.redshift, cosmology)


def _named(spec_ids: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of the catalogue that ids name."""
    found = match_ids(np.unique(spec_ids), ids, column="id")
    lost = int(np.count_nonzero(found.rows < 0))
    if lost:
        raise ValueError(
            f"{lost} of {len(found.rows)} galaxies of spec_ids are not in the catalogue: give ids "
            "of its galaxies"
        )
    return found.rows


def _observed(
    sky: tuple[Array, Array, Array],
    ids: NDArray[Any],
    magnitude: Array | None,
    config: SkyMockConfig,
    footprints: tuple[Footprint, Footprint],
    source: dict[str, Any],
    streams: dict[str, np.random.Generator],
    spec_rows: NDArray[np.int64] | None = None,
) -> SkyMock:
    """The surveys of galaxies at true redshifts."""
    ra, dec, z = sky
    footprint, spec_footprint = footprints
    if spec_rows is None:
        places = np.arange(len(z))
        if spec_footprint is not footprint:
            seen = spec_footprint.completeness(ra, dec)
            places = np.flatnonzero(streams["spec"].random(len(z)) < seen)
            if not len(places):
                raise ValueError(
                    f"spec_footprint holds none of the {len(z)} galaxies: give one that overlaps "
                    "footprint"
                )
        spec_rows = places[_chosen(z[places], _part(magnitude, places), config, streams["spec"])]
    photo = config.photo.observe(z, streams["photo"], magnitude)
    low = np.mean(photo.z_phot <= 0)
    if low > 0.5:
        raise ValueError(
            f"photo_bias and sigma_z put {100 * low:.0f}% of the photo-z at 0 or below: change them"
        )
    return SkyMock(
        ids=ids, ra=ra, dec=dec, z_phot=photo.z_phot, sigma_z=photo.sigma_z, z_true=z,
        outlier=photo.outlier, spec_rows=spec_rows, footprint=footprint,
        spec_footprint=spec_footprint, config=config, magnitude=magnitude, source=source,
    )  # fmt: skip


def _part(values: Array | None, rows: NDArray[np.int64]) -> Array | None:
    return None if values is None else values[rows]


def _chosen(
    z: Array, magnitude: Array | None, config: SkyMockConfig, generator: np.random.Generator
) -> NDArray[np.int64]:
    if config.spec_choice == "ids":
        raise ValueError("spec_choice ids needs spec_ids: give them, or spec_fraction")
    assert config.spec_fraction is not None
    number = round(config.spec_fraction * len(z))
    if number < 1:
        raise ValueError(
            f"spec_fraction {config.spec_fraction:g} of {len(z)} galaxies in the spectroscopic "
            "footprint is none: give a larger one"
        )
    return choose_spectroscopic(
        config.spec_choice, number, generator=generator, redshift=z, magnitude=magnitude,
        cosmology=config.cosmology, complete_to=config.complete_to, k=config.k_correction,
    )  # fmt: skip
