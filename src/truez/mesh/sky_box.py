"""The sky box: a patch of sky as a box whose sight lines are parallel to the last axis.

The first two axes are an equal-area projection of the sky (zenithal, of Lambert; ZEA in FITS) about
the direction (ra, dec), times a distance of reference chi_ref; the last axis is comoving distance.
A cell thus covers the same solid angle wherever it is, and all cells of a sight line see the same
part of the sky. Lengths across the sky are true at chi_ref and off by chi / chi_ref elsewhere;
shapes are distorted by 0.4% at 10 degrees from the centre and by 1.5% at 20 (Calabretta & Greisen
2002, section 5.1.7).

A sky box is a closed `Box`, and whatever works along the last axis of a box works on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.sphere import check_directions, directions, frame, unit_vectors

Array = NDArray[np.float64]
#: Half the width of a sky box in units of chi_ref, at which the opposite side of the sky begins.
_WIDEST = math.sqrt(2.0)


@dataclass(frozen=True, init=False)
class SkyBox(Box):
    """A patch of sky with a mesh on it: projected angles times ``chi_ref``, and comoving distance.

    Parameters
    ----------
    boxsize, meshsize, boxcenter, cellsize
        As for `Box` [Mpc/h]. The first two axes are 0 at the direction (ra, dec) and grow east and
        north, unless turned by ``angle``; the last is comoving distance. ``boxcenter`` is needed.
    periodic : bool
        False: a sky box is closed.
    ra, dec : float
        Direction about which the sky is projected [deg].
    chi_ref : float
        Comoving distance at which lengths across the sky are true [Mpc/h].
    cosmology : Cosmology, str or astropy cosmology
        For distances; see `Cosmology.of`.
    angle : float
        From north, eastward, to the second axis at the centre [deg].

    Raises
    ------
    ValueError
        If it is periodic, reaches to negative distances, beyond redshift 20, or over more than a
        hemisphere, or as for `Box`.

    Examples
    --------
    >>> from truez.mesh.sky_box import SkyBox
    >>> box = SkyBox.around(
    ...     135, 0.5, width=(12.0, 5.0), distances=(60, 1320), chi_ref=650, cellsize=2,
    ...     cosmology="planck18",
    ... )
    >>> print(box)
    sky about 135, 0.5 deg, 12.2 x 5.11 deg at 650 Mpc/h and 60 to 1320 Mpc/h, 69 x 29 x 630 cells
    >>> box.positions(ra=[136.0], dec=[1.5], redshift=[0.2]).round(2)
    array([[ 11.34,  11.35, 570.77]])
    """

    ra: float
    dec: float
    chi_ref: float
    cosmology: Cosmology
    angle: float

    def __init__(
        self,
        boxsize: float | Sequence[float] | ArrayLike,
        meshsize: int | Sequence[int] | ArrayLike | None = None,
        boxcenter: float | Sequence[float] | ArrayLike | None = None,
        periodic: bool = False,
        *,
        ra: float,
        dec: float,
        chi_ref: float,
        cosmology: object,
        angle: float = 0.0,
        cellsize: float | None = None,
    ) -> None:
        if periodic:
            raise ValueError("a sky box is closed: leave periodic out")
        if boxcenter is None:
            raise ValueError("a sky box needs boxcenter, whose last number is a comoving distance")
        super().__init__(boxsize, meshsize, boxcenter, False, cellsize=cellsize)
        check_directions(ra, dec)
        if not (math.isfinite(chi_ref) and chi_ref > 0):
            raise ValueError(f"chi_ref must be a positive distance in Mpc/h, not {chi_ref!r}")
        object.__setattr__(self, "ra", float(ra) % 360.0)
        object.__setattr__(self, "dec", float(dec))
        object.__setattr__(self, "chi_ref", float(chi_ref))
        object.__setattr__(self, "cosmology", Cosmology.of(cosmology))
        if not math.isfinite(angle):
            raise ValueError(f"angle must be a finite number of degrees, not {angle!r}")
        object.__setattr__(self, "angle", float(angle))
        reach = math.hypot(*(max(-self.lower[i], self.upper[i], 0) for i in (0, 1)))
        if reach > _WIDEST * self.chi_ref:
            raise ValueError(
                f"a sky box must lie within 90 deg of its direction, but its corner is "
                f"{reach:.6g} Mpc/h away at chi_ref {self.chi_ref:g} Mpc/h: take "
                "smaller cells, or a larger chi_ref"
            )
        # Rounding may put the face of a box that begins at the observer a hair behind it.
        if self.lower[2] < -1e-9 * self.boxsize[2]:
            raise ValueError(
                f"a sky box must begin at a distance >= 0, not at {self.lower[2]:g} Mpc/h"
            )
        if self.upper[2] > self.cosmology.distances.farthest:
            raise ValueError(
                f"a sky box must end below redshift {self.cosmology.distances.LIMIT:g}, but its "
                f"far face is at {self.upper[2]:g} Mpc/h"
            )

    @classmethod
    def around(
        cls,
        ra: float,
        dec: float,
        *,
        width: float | tuple[float, float],
        distances: tuple[float, float],
        chi_ref: float,
        cellsize: float,
        cosmology: object,
    ) -> SkyBox:
        """The smallest sky box of cubic cells that is centred on a direction.

        Parameters
        ----------
        ra, dec : float
            Centre [deg].
        width : float or (2,) floats
            Full width east to west and south to north, through the centre [deg].
        distances : (2,) floats
            Comoving distances between which it must reach [Mpc/h]; it ends up to one cell further.
        chi_ref : float
            Distance at which cells are cubes [Mpc/h].
        cellsize : float
            Side of a cell [Mpc/h].
        cosmology : Cosmology, str or astropy cosmology
        """
        angles = np.broadcast_to(np.asarray(width, np.float64), (2,))
        near, far = (float(chi) for chi in distances)
        if not (np.isfinite(angles).all() and (angles > 0).all() and (angles <= 180).all()):
            raise ValueError(f"width must be angles above 0 to 180 deg, not {width!r}")
        if not 0 <= near < far:
            raise ValueError(f"distances must be a range of Mpc/h from 0 on, not {distances!r}")
        # Of the projection: R = 2 sin(theta / 2) at an angle theta from the centre.
        lengths = [4 * chi_ref * math.sin(math.radians(angle) / 4) for angle in angles]
        cells = [math.ceil(length / cellsize - 1e-9) for length in (*lengths, far - near)]
        size = [max(number, 1) * cellsize for number in cells]
        center = (0.0, 0.0, near + size[2] / 2)
        return cls(
            size, [max(number, 1) for number in cells], center, ra=ra, dec=dec, chi_ref=chi_ref,
            cosmology=cosmology,
        )  # fmt: skip

    @property
    def cell_area(self) -> float:
        """Solid angle that a cell covers, the same for all [deg^2]."""
        return self.cellsize[0] * self.cellsize[1] * math.degrees(1 / self.chi_ref) ** 2

    @property
    def cell_volumes(self) -> Array:
        """Comoving volumes of the cells along a sight line, shape (nz,) [(Mpc/h)^3]."""
        chi = np.maximum(self.edges(2), 0.0)
        solid = self.cellsize[0] * self.cellsize[1] / self.chi_ref**2
        return np.asarray(solid * np.diff(chi**3) / 3)

    @property
    def redshift_edges(self) -> Array:
        """Redshifts of the cell edges along a sight line, shape (nz + 1,)."""
        return self.cosmology.distances.redshift(np.maximum(self.edges(2), 0.0))

    @property
    def redshift_centers(self) -> Array:
        """Redshifts of the cell centres along a sight line, shape (nz,)."""
        return self.cosmology.distances.redshift(self.centers(2))

    @property
    def axes(self) -> Array:
        """Unit vectors on the sphere of the axes at the centre, rows of a (3, 3) matrix."""
        turn = math.radians(self.angle)
        east, north, outward = frame(self.ra, self.dec)
        first = math.cos(turn) * east - math.sin(turn) * north
        return np.array([first, math.cos(turn) * north + math.sin(turn) * east, outward])

    def project(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Array, Array]:
        """Places on the first two axes of directions [deg], from the centre [Mpc/h].

        The direction opposite to the centre, a circle in this projection, is put on the first axis.
        """
        a, d = check_directions(ra, dec)
        local = unit_vectors(a, d) @ self.axes.T
        toward = 1 + local[..., 2]
        opposite = toward < 1e-30
        factor = self.chi_ref * np.sqrt(2 / np.where(opposite, 1.0, toward))
        x = np.where(opposite, 2 * self.chi_ref, factor * local[..., 0])
        return x, np.where(opposite, 0.0, factor * local[..., 1])

    def deproject(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Right ascension and declination [deg] of places across the sky [Mpc/h]; see `project`.

        Raises
        ------
        ValueError
            If a place is further from the centre than the opposite direction, 2 chi_ref.
        """
        u, v = (np.asarray(place, np.float64) / self.chi_ref for place in (x, y))
        square = u**2 + v**2
        if not bool((square <= 4).all()):
            raise ValueError(f"a place further than 2 chi_ref = {2 * self.chi_ref:g} Mpc/h from "
                             "the centre of a sky box is no direction")  # fmt: skip
        across = np.sqrt(1 - square / 4)
        local = np.stack([u * across, v * across, 1 - square / 2], axis=-1)
        return directions(local @ self.axes)

    def positions(self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike) -> Array:
        """Positions of galaxies, shape (n, 3) [Mpc/h]; they may lie outside the box.

        Parameters
        ----------
        ra, dec : (n,) arrays
            Directions [deg].
        redshift : (n,) array
            Cosmological redshifts, or those of the survey for positions in redshift space.

        Raises
        ------
        ValueError
            If a direction is not in degrees, or a redshift not a number from 0 to 20.
        """
        x, y = self.project(ra, dec)
        return np.stack([x, y, self.cosmology.distances.from_redshift(redshift)], axis=-1)

    def sky(self, positions: NDArray[np.floating[Any]]) -> tuple[Array, Array, Array]:
        """Right ascension, declination [deg] and redshift of positions (n, 3) [Mpc/h].

        The inverse of `positions`, to rounding.
        """
        ra, dec = self.deproject(positions[..., 0], positions[..., 1])
        return ra, dec, self.cosmology.distances.redshift(positions[..., 2])

    def cell_of(self, positions: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int64], ...]:
        """Numbers of the cells that hold positions (n, 3) [Mpc/h], three arrays (n,).

        A position on the upper face belongs to the last cell; outside the box all are -1.
        """
        inside = self.inside(positions)
        result = []
        for axis in range(3):
            cell = np.floor((positions[:, axis] - self.lower[axis]) / self.cellsize[axis])
            cell = np.clip(np.where(inside, cell, 0), 0, self.meshsize[axis] - 1)
            result.append(np.where(inside, cell, -1).astype(np.int64))
        return tuple(result)

    def sight_lines(self) -> tuple[Array, Array]:
        """Directions of the sight lines through the cells' centres, two arrays (nx, ny) [deg]."""
        x, y = np.meshgrid(self.centers(0), self.centers(1), indexing="ij")
        return self.deproject(x, y)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> SkyBox:
        """The sky box of cells ``start <= i < stop`` on each axis, in the same projection."""
        part = super().crop(start, stop)
        return SkyBox(**{**self.to_dict(), **part.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``SkyBox(**box.to_dict())`` and `box_from_dict` give the sky box back."""
        return {
            **super().to_dict(),
            "ra": self.ra,
            "dec": self.dec,
            "chi_ref": self.chi_ref,
            "cosmology": self.cosmology.model_dump(),
            "angle": self.angle,
        }

    def __str__(self) -> str:
        widths = [4 * math.degrees(math.asin(min(x / self.chi_ref / 4, 1.0)))
                  for x in self.boxsize[:2]]  # fmt: skip
        cells = " x ".join(str(n) for n in self.meshsize)
        return (
            f"sky about {self.ra:g}, {self.dec:g} deg, {widths[0]:.3g} x {widths[1]:.3g} deg at "
            f"{self.chi_ref:g} Mpc/h and {max(self.lower[2], 0):.5g} to {self.upper[2]:.5g} Mpc/h, "
            f"{cells} cells"
        )


def box_from_dict(values: Mapping[str, Any]) -> Box:
    """The box or sky box whose ``to_dict`` gave ``values``."""
    return SkyBox(**values) if "chi_ref" in values else Box(**values)
