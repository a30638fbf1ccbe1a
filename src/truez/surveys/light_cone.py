"""Light cones: the sky that an observer in a simulated box sees, with redshift-space distortions.

A periodic box is repeated in all directions. The middle of the footprint is seen along a direction
in which the box repeats late: along (2, 3, 6) / 7 a cube of side L shows the same structure after
7 L only (Kitzbichler & White 2007). All galaxies are those of one snapshot, without evolution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.cosmology import SPEED_OF_LIGHT, Cosmology
from truez.mesh.box import Box
from truez.mesh.sphere import directions, frame, unit_vectors
from truez.support.checks import as_numbers
from truez.surveys.footprint import Footprint
from truez.surveys.magnitudes import distance_modulus
from truez.surveys.nz import NumberDensity
from truez.surveys.random_sky import cap

Array = NDArray[np.float64]
#: Direction in a periodic box of the middle of the footprint.
LATE = (2.0, 3.0, 6.0)
#: Nodes of the numbers that a box holds per redshift.
_NODES = 400


@dataclass(frozen=True)
class ConeView:
    """Where the observer is, and which way the footprint lies.

    Parameters
    ----------
    observer : (3,) floats, optional
        In the box [Mpc/h]; by default the lower corner of a periodic box, and the middle of the
        lower face of the last axis of a closed one.
    direction : (3,) floats, optional
        Direction in the box, of any length, of the middle of the footprint; by default (2, 3, 6) in
        a periodic box, and that of the middle of a closed one.

    Raises
    ------
    ValueError
        If a number is not finite, or the direction is 0.
    """

    observer: tuple[float, float, float] | None = None
    direction: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("observer", "direction"):
            value = getattr(self, name)
            if value is not None and not (len(value) == 3 and np.isfinite(value).all()):
                raise ValueError(f"{name} must be three finite numbers, not {value!r}")
        if self.direction is not None and not any(self.direction):
            raise ValueError("direction must not be 0,0,0")

    def place(self, box: Box) -> Array:
        """The observer (3,) [Mpc/h]."""
        if self.observer is not None:
            return np.array(self.observer, np.float64)
        place = np.array(box.lower, np.float64)
        if not box.periodic:
            place[:2] = np.array(box.boxcenter)[:2]
        return place

    def toward(self, box: Box) -> Array:
        """Unit vector (3,) in the box of the middle of the footprint."""
        if self.direction is not None:
            vector = np.array(self.direction, np.float64)
        elif box.periodic:
            vector = np.array(LATE)
        else:
            vector = np.array(box.boxcenter) - self.place(box)
            if not vector.any():
                raise ValueError("an observer in the middle of a closed box needs a direction")
        return np.asarray(vector / np.linalg.norm(vector))


@dataclass(frozen=True, eq=False)
class LightCone:
    """Galaxies on a light cone, each an array (n,).

    Parameters
    ----------
    ra, dec : arrays
        [deg].
    redshift : array
        Observed, with peculiar velocities.
    rows : int array
        Of the simulation's galaxies, each of which may be there several times.
    num_copies : int
        Copies of the box that the cone touches.
    """

    ra: Array
    dec: Array
    redshift: Array
    rows: NDArray[np.int64]
    num_copies: int = 1

    def __len__(self) -> int:
        return len(self.ra)

    def __repr__(self) -> str:
        if not len(self):
            return "LightCone without galaxies"
        low, high = self.redshift.min(), self.redshift.max()
        return f"LightCone of {len(self)} galaxies at z = {low:.3g} to {high:.3g}"

    def take(self, rows: NDArray[Any]) -> LightCone:
        """Some of the galaxies, by a mask (n,) or by indices."""
        return LightCone(
            self.ra[rows], self.dec[rows], self.redshift[rows], self.rows[rows], self.num_copies
        )


def cut_light_cone(
    positions: ArrayLike,
    box: Box,
    *,
    cosmology: Cosmology,
    footprint: Footprint,
    redshift_range: tuple[float, float],
    generator: np.random.Generator,
    velocities: ArrayLike | None = None,
    view: ConeView | None = None,
) -> LightCone:
    """The galaxies of a box that an observer sees within a footprint, thinned by its completeness.

    Parameters
    ----------
    positions : (n, 3) array
        Comoving, in real space [Mpc/h].
    box : Box
        Repeated where it is periodic.
    cosmology : Cosmology
    footprint : Footprint
    redshift_range : (2,) floats
        Observed redshifts, with peculiar velocities.
    generator : numpy Generator
        For the completeness.
    velocities : (n, 3) array, optional
        Peculiar [km/s]; without them redshifts are those of the Hubble flow.
    view : ConeView, optional

    Raises
    ------
    ValueError
        If the cone leaves a closed box, the range is empty, or there is no galaxy.
    """
    looked = view or ConeView()
    low, high = check_range(redshift_range)
    points = as_numbers(positions, "positions").astype(np.float64, copy=False)
    box.check_contains(points, "galaxies")
    moves = None if velocities is None else as_numbers(velocities, "velocities")
    if moves is not None and moves.shape != points.shape:
        raise ValueError(f"velocities must have shape {points.shape}, not {moves.shape}")
    fastest = 0.0 if moves is None else float(np.linalg.norm(moves, axis=1).max(initial=0))
    reach = _reach(cosmology, low, high, fastest)
    middle, angle = cap(footprint)
    to_sky = frame(*(float(x) for x in directions(looked.toward(box))))
    axes = frame(*(float(x) for x in directions(middle)))
    observer = looked.place(box)
    if not box.periodic:
        _check_inside(box, footprint, observer, (to_sky, axes), (low, high), cosmology)
    shifts = list(_copies(box, observer, looked.toward(box), angle, reach))
    found = []
    for shift in shifts:
        vectors = points + (shift - observer)
        distance = np.linalg.norm(vectors, axis=1)
        rows = np.flatnonzero((distance > max(reach[0], 1e-3)) & (distance < reach[1]))
        vectors, chi = vectors[rows], distance[rows]
        z = cosmology.distances.redshift(chi)
        if moves is not None:
            radial = (vectors * moves[rows]).sum(axis=1) / chi
            z = z + (1 + z) * radial / SPEED_OF_LIGHT
        ra, dec = directions((vectors @ to_sky.T) @ axes)
        seen = (z >= low) & (z <= high)
        seen[seen] = generator.random(int(seen.sum())) < footprint.completeness(ra[seen], dec[seen])
        found.append((ra[seen], dec[seen], z[seen], rows[seen]))
    if not any(len(part[0]) for part in found):
        raise ValueError(
            f"the light cone of footprint and redshift_range {low:g},{high:g} holds no galaxy: "
            "make it larger"
        )
    ra, dec, z, chosen = (np.concatenate(values) for values in zip(*found, strict=True))
    return LightCone(ra, dec, z, chosen, len(shifts))


def numbers_in_cone(
    density: float,
    *,
    footprint: Footprint,
    redshift_range: tuple[float, float],
    cosmology: Cosmology,
    magnitudes: Array | None = None,
    magnitude_limit: float | None = None,
) -> NumberDensity:
    """dN/dz that a box of even density gives on average, from its volume alone.

    Parameters
    ----------
    density : float
        Of the box [(h/Mpc)^3].
    footprint : Footprint
        Counted with its completeness.
    redshift_range : (2,) floats
    cosmology : Cosmology
    magnitudes : (n,) array, optional
        Absolute, of all galaxies of the box.
    magnitude_limit : float, optional
        Apparent magnitude of the faintest that are observed.
    """
    low, high = check_range(redshift_range)
    z = np.linspace(low, high, _NODES)
    chi = cosmology.distances.from_redshift(z)
    slope = SPEED_OF_LIGHT / cosmology.hubble(z) * cosmology.h
    volume = math.radians(1) ** 2 * footprint.area * chi**2 * slope
    share = np.ones_like(z)
    if magnitudes is not None and magnitude_limit is not None:
        faintest = magnitude_limit - distance_modulus(z, cosmology)
        share = np.searchsorted(np.sort(magnitudes), faintest, side="right") / len(magnitudes)
    return NumberDensity(z, density * volume * share)


def thin_to_density(
    redshift: Array, wanted: NumberDensity, there: NumberDensity, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which galaxies to keep such that on average their dN/dz is the wanted one; clustering stays.

    Raises
    ------
    ValueError
        If more are wanted at some redshift than are there.
    """
    z = there.redshift
    asked, given = wanted(z), there(z)
    worst = int(np.argmax(asked - given))
    if asked[worst] > given[worst] * (1 + 1e-9):
        raise ValueError(
            f"nz asks for {asked[worst]:.4g} galaxies per unit redshift at z = {z[worst]:.3g}, "
            f"where the simulation has {given[worst]:.4g}: scale it with num_photo, or give a "
            "denser simulation"
        )
    share = wanted(redshift) / np.maximum(there(redshift), 1e-300)
    return np.asarray(generator.random(len(redshift)) < share)


def check_range(redshift_range: tuple[float, float]) -> tuple[float, float]:
    """A range of redshifts; raises ValueError unless it ascends from 0 or above."""
    low, high = redshift_range
    if not (0 <= low < high <= 20):
        raise ValueError(
            f"redshift_range must be two ascending redshifts from 0 to 20, not {low:g},{high:g}"
        )
    return low, high


def _reach(cosmology: Cosmology, low: float, high: float, fastest: float) -> tuple[float, float]:
    """Distances between which galaxies may be observed in a range of redshifts [Mpc/h]."""
    shift = 1.01 * fastest / SPEED_OF_LIGHT
    ends = [max((1 + low) / (1 + shift) - 1, 0.0), (1 + high) / max(1 - shift, 0.5) - 1]
    near, far = cosmology.distances.from_redshift(np.minimum(ends, cosmology.distances.LIMIT))
    return float(near), float(far)


def _copies(
    box: Box, observer: Array, toward: Array, angle: float, reach: tuple[float, float]
) -> Iterator[Array]:
    """Shifts (3,) [Mpc/h] of the copies of a box that a cone may touch."""
    if not box.periodic:
        yield np.zeros(3)
        return
    size, center = np.array(box.boxsize), np.array(box.boxcenter)
    radius = float(np.linalg.norm(size)) / 2
    first = np.floor((observer - reach[1] - np.array(box.lower)) / size).astype(int)
    last = np.floor((observer + reach[1] - np.array(box.lower)) / size).astype(int)
    ranges = [range(a, b + 1) for a, b in zip(first, last, strict=True)]
    for number in itertools.product(*ranges):
        shift = np.array(number) * size
        away = center + shift - observer
        distance = float(np.linalg.norm(away))
        if not reach[0] - radius < distance < reach[1] + radius:
            continue
        if distance > radius:
            off = math.acos(float(np.clip(away @ toward / distance, -1, 1)))
            if off > angle + math.asin(radius / distance):
                continue
        yield shift


def _check_inside(
    box: Box,
    footprint: Footprint,
    observer: Array,
    frames: tuple[Array, Array],
    redshifts: tuple[float, float],
    cosmology: Cosmology,
) -> None:
    """Refuse a cone that leaves a closed box."""
    to_sky, axes = frames
    spacing = max(0.02 * math.sqrt(footprint.area), 1e-3)
    ra, dec = footprint.sample(spacing)
    inside = ~footprint.outside(ra, dec)
    sky = unit_vectors(ra[inside], dec[inside])
    rays = (sky @ axes.T) @ to_sky
    for redshift in redshifts:
        places = observer + rays * float(cosmology.distances.from_redshift(redshift))
        lost = int(np.count_nonzero(~box.inside(places)))
        if lost:
            raise ValueError(
                f"redshift_range: at z = {redshift:g} {100 * lost / len(places):.0f}% of the "
                "footprint lie outside the closed box: make the range or the footprint smaller, "
                "move the observer, or say that the box is periodic"
            )
