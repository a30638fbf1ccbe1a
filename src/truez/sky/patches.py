"""Patches: sky boxes that cover a survey, with cores that divide it.

A patch is one tile of the sky in one shell of distance. Its core is written, and a halo around it
is read: as much as the method needs at seams, where the survey goes on in the next patch, and less
at the outer edges, beyond which nothing is observed. Each galaxy is in exactly one core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from truez.cosmology import Cosmology
from truez.mesh.sky_box import SkyBox
from truez.mesh.sphere import directions, frame
from truez.sky.shells import Shell, plan_shells
from truez.sky.tiling import Tiling
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity

Array = NDArray[np.float64]
#: Islands whose parts are no further from their middle are projected about it as a whole, on one
#: lattice of cells: how they are cut then changes nothing but what is beyond halos [deg].
_ONE_PROJECTION = 24.0
#: Patches that are never reconstructed: their cells would be 10^11 or more.
_MOST_PATCHES = 100_000
#: Meshes of float32 that the filter holds at a time.
FILTER_MESHES = 5


@dataclass(frozen=True)
class PatchSettings:
    """How a survey is cut into patches.

    Parameters
    ----------
    cellsize : float
        Side of a cell, across the sky at chi_ref [Mpc/h].
    halo : float
        Around a core where the survey goes on, across the sky at chi_ref: 20 for the filter, 62 for
        the shipped network [Mpc/h].
    edge : float
        Around a core at the outer edges of the survey [Mpc/h].
    max_cells : int
        Cells of the largest patch.
    widest : float
        Largest side of a core [deg].
    chi_ref : float, optional
        For a survey of one shell, see `plan_shells` [Mpc/h].
    shift : (2,) floats
        Parts of a tile by which the cuts are moved, from 0 to below 1.
    stride : int
        Of a network [cells]: boxes begin at multiples of it on the lattice that they share, so that
        it reads the same groups of cells in each.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    cellsize: float = 2.0
    halo: float = 20.0
    edge: float = 12.0
    max_cells: int = 2**25
    widest: float = 20.0
    chi_ref: float | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("cellsize", "widest"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value!r}")
        for name in ("halo", "edge"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a length >= 0 Mpc/h, not {value!r}")
        if self.chi_ref is not None and not (math.isfinite(self.chi_ref) and self.chi_ref > 0):
            raise ValueError(f"chi_ref must be a positive distance, not {self.chi_ref!r} Mpc/h")
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1 cell, not {self.stride!r}")
        if self.max_cells < 1000:
            raise ValueError(f"max_cells must be at least 1000, not {self.max_cells!r}")


@dataclass(frozen=True, eq=False)
class Patch:
    """A sky box and its core.

    Parameters
    ----------
    number : int
        Of the patch.
    box : SkyBox
        The core and the halo around it.
    shell : Shell
        Its range of distances.
    tiling : Tiling
        That of the shell.
    tile : int
        Its tile.
    """

    number: int
    box: SkyBox
    shell: Shell
    tiling: Tiling
    tile: int

    def __repr__(self) -> str:
        core = f"core {self.shell.near:.5g} to {self.shell.far:.5g} Mpc/h"
        return f"Patch {self.number}: {self.box}, {core}"

    @property
    def num_cells(self) -> int:
        """Cells of the box."""
        return self.box.num_cells

    def memory(self, meshes: int = FILTER_MESHES) -> int:
        """Bytes of a number of meshes of float32 of the box."""
        return 4 * meshes * self.num_cells

    @cached_property
    def core_sight_lines(self) -> NDArray[np.bool_]:
        """Which sight lines are of the core, by their centres, shape (nx, ny).

        Those beyond the footprint are of the core that they are next to.
        """
        return np.asarray(self.tiling.nearest_tile(*self.box.sight_lines()) == self.tile)

    @property
    def core_cells(self) -> slice:
        """The cells along a sight line whose centres are in the core."""
        centers = self.box.centers(2)
        first, last = np.searchsorted(centers, [self.shell.near, self.shell.far])
        return slice(int(first), int(last))


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of a survey, by shells from the nearest on.

    Parameters
    ----------
    patches : sequence of Patch
    shells : sequence of Shell
    cosmology : Cosmology

    Examples
    --------
    >>> from truez.sky.patches import plan_patches
    >>> from truez.surveys.footprint import Rectangle
    >>> patches = plan_patches(
    ...     Rectangle(129, 141, -2, 3), cosmology="planck18", redshift_range=(0.02, 0.5),
    ...     sigma_z=0.02,
    ... )
    >>> len(patches), patches.patch_of([130.0, 150.0], [0.0, 0.0], [0.1, 0.1]).tolist()
    (1, [0, -1])
    """

    patches: tuple[Patch, ...]
    shells: tuple[Shell, ...]
    cosmology: Cosmology

    def __len__(self) -> int:
        return len(self.patches)

    def __iter__(self) -> Iterator[Patch]:
        return iter(self.patches)

    def __getitem__(self, number: int) -> Patch:
        return self.patches[number]

    def __repr__(self) -> str:
        largest = max(patch.num_cells for patch in self.patches)
        shells = "1 shell" if len(self.shells) == 1 else f"{len(self.shells)} shells"
        return (
            f"Patches: {len(self)} in {shells}, {self.num_cells:.3g} cells, {largest:.3g} at most"
        )

    @property
    def num_cells(self) -> int:
        """Cells of all patches."""
        return sum(patch.num_cells for patch in self.patches)

    def patch_of(self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike) -> NDArray[np.int64]:
        """The patch whose core holds each galaxy, shape (n,); -1 outside the survey.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].
        redshift : (n,) array
            Photo-z, or exact redshifts; those that are not numbers are in no patch.
        """
        a, d, z = (np.asarray(values, np.float64) for values in (ra, dec, redshift))
        known = (z >= 0) & (z <= self.cosmology.distances.LIMIT)
        chi = np.full(z.shape, -1.0)
        chi[known] = self.cosmology.distances.from_redshift(z[known])
        edges = np.array([shell.near for shell in self.shells] + [self.shells[-1].far])
        number = np.searchsorted(edges, chi, side="right") - 1
        # The far edge of the last shell is inside, but for the rounding of the table.
        number[(chi >= edges[-1]) & (chi <= edges[-1] * (1 + 1e-12))] = len(self.shells) - 1
        result = np.full(z.shape, -1, dtype=np.int64)
        for index, shell in enumerate(self.shells):
            rows = np.flatnonzero(number == index)
            own = [patch for patch in self.patches if patch.shell is shell]
            tiles = np.array([patch.tile for patch in own])
            numbers = np.array([patch.number for patch in own])
            tile = own[0].tiling.tile_of(a[rows], d[rows])
            place = np.minimum(np.searchsorted(tiles, tile), len(tiles) - 1)
            result[rows] = np.where(tile >= 0, numbers[place], -1)
        return result

    def to_table(self) -> Table:
        """One row for each patch: where it is, its cells, and the memory of the filter [MB]."""
        table = Table()
        boxes = [patch.box for patch in self.patches]
        table["patch"] = [patch.number for patch in self.patches]
        for name in ("ra", "dec", "chi_ref"):
            table[name] = [getattr(box, name) for box in boxes]
        for axis, name in enumerate(("width", "height")):
            table[name] = [math.degrees(box.boxsize[axis] / box.chi_ref) for box in boxes]
        table["near"] = [patch.shell.near for patch in self.patches]
        table["far"] = [patch.shell.far for patch in self.patches]
        table["cells"] = [patch.num_cells for patch in self.patches]
        table["memory"] = [patch.memory() / 1e6 for patch in self.patches]
        return table


def plan_patches(
    footprint: Footprint,
    *,
    cosmology: object,
    redshift_range: tuple[float, float],
    sigma_z: float,
    density: NumberDensity | None = None,
    settings: PatchSettings | None = None,
) -> Patches:
    """The patches of a survey.

    Parameters
    ----------
    footprint : Footprint
        Of the photometric survey.
    cosmology : Cosmology, str or astropy cosmology
    redshift_range : (2,) floats
        Redshifts between which cores lie.
    sigma_z : float
        Photo-z error over 1 + z: where errors differ, their 95th percentile.
    density : NumberDensity, optional
        N(z), for chi_ref; see `plan_shells`.
    settings : PatchSettings, optional

    Raises
    ------
    ValueError
        If the range is empty, or ``max_cells`` is too few for the halo.
    """
    how = settings or PatchSettings()
    background = Cosmology.of(cosmology)
    shells = plan_shells(
        background, redshift_range=redshift_range, sigma_z=sigma_z, density=density,
        chi_ref=how.chi_ref,
    )  # fmt: skip
    tiles = sum(footprint.area / _width(shell, how) ** 2 for shell in shells)
    if tiles > _MOST_PATCHES:
        raise ValueError(
            f"cellsize = {how.cellsize:g} Mpc/h at chi_ref = {shells[0].chi_ref:.4g} Mpc/h cuts "
            f"the survey into {tiles:.2g} patches: take larger cells, or a smaller chi_ref"
        )
    patches: list[Patch] = []
    for shell in shells:
        tiling = Tiling.of(footprint, _width(shell, how), shift=how.shift)
        for tile in tiling.numbers:
            box = _box(tiling, int(tile), shell, how, background)
            patches.append(Patch(len(patches), box, shell, tiling, int(tile)))
    return Patches(tuple(patches), tuple(shells), background)


def _width(shell: Shell, how: PatchSettings) -> float:
    """Side of a core that leaves its patch within the largest number of cells [deg]."""
    along = math.ceil((shell.reach[1] - shell.reach[0]) / how.cellsize)
    side = math.sqrt(how.max_cells / along) * how.cellsize
    core = side - 2 * max(how.halo, how.edge) - 2 * how.cellsize
    # Projected sizes exceed angles times chi_ref by 1% at most, and bounds are those of a sample.
    core *= 0.93
    if core < max(how.halo, 2 * how.cellsize):
        more = "" if how.max_cells == PatchSettings().max_cells else ", or a larger max_cells"
        raise ValueError(
            f"cellsize = {how.cellsize:g} Mpc/h is too small: no core is left between halos of "
            f"{how.halo:g} Mpc/h in a patch of {how.max_cells:g} cells, {along} of them along the "
            f"sight line: take larger cells{more}"
        )
    return min(math.degrees(core / shell.chi_ref), how.widest)


def _box(
    tiling: Tiling, tile: int, shell: Shell, how: PatchSettings, cosmology: Cosmology
) -> SkyBox:
    """The sky box of a tile: its core, and what is observed within the halo around it."""
    core = tiling.sample[tiling.tiles == tile]
    island = tiling.axes_of(tile)
    # Lengths in units of chi_ref, bounds as (2 ends, 2 axes).
    slack = math.radians(tiling.spacing)
    middle = core.mean(axis=0)
    axes = island
    bounds = _bounds(core, axes, slack)
    if tiling.radius_of(tile) > _ONE_PROJECTION:
        for _ in range(2):  # about the mean, then about the middle of what is projected
            axes = _upright(middle / np.linalg.norm(middle), island)
            bounds = _bounds(core, axes, slack)
            across = bounds.mean(axis=0)
            middle = axes.T @ [*across, math.sqrt(max(1 - across @ across, 0.0))]
    halo, edge = how.halo / shell.chi_ref, how.edge / shell.chi_ref
    signs = np.array([[-1.0], [1.0]])
    around = bounds + signs * halo
    near = tiling.sample @ axes[2] > math.cos(min(np.abs(around).max() * 2, math.pi))
    others = _projected(tiling.sample[near], axes)
    others = others[((others >= around[0]) & (others <= around[1])).all(axis=1)]
    seen = np.array([others.min(axis=0), others.max(axis=0)]) + signs * (edge + slack)
    bounds = np.array([
        np.minimum(np.maximum(around[0], seen[0]), bounds[0] - edge),
        np.maximum(np.minimum(around[1], seen[1]), bounds[1] + edge),
    ])  # fmt: skip
    # On the lattice of cells that all patches about one direction share.
    step = how.cellsize / shell.chi_ref
    first = np.floor(bounds[0] / step + 1e-9)
    first -= first % how.stride
    bounds = np.array([first, np.ceil(bounds[1] / step - 1e-9)]) * step
    cells = np.rint(np.ptp(bounds, axis=0) / step).astype(int)
    along = math.ceil((shell.reach[1] - shell.reach[0]) / how.cellsize - 1e-9)
    size = [*(cells * how.cellsize), along * how.cellsize]
    center = [*(bounds.mean(axis=0) * shell.chi_ref), shell.reach[0] + size[2] / 2]
    ra, dec = (float(angle) for angle in directions(axes[2]))
    east, north, _ = frame(ra, dec)
    angle = math.degrees(math.atan2(axes[1] @ east, axes[1] @ north))
    return SkyBox(
        size, [*cells, along], center, ra=ra, dec=dec, chi_ref=shell.chi_ref,
        cosmology=cosmology, angle=angle,
    )  # fmt: skip


def _bounds(core: Array, axes: Array, slack: float) -> Array:
    """Ends of the projected core, (2 ends, 2 axes)."""
    places = _projected(core, axes)
    return np.array([places.min(axis=0) - slack, places.max(axis=0) + slack])


def _upright(middle: Array, island: Array) -> Array:
    """Axes at a direction with the second toward the pole of an island's frame."""
    north = island[1] - (island[1] @ middle) * middle
    if np.linalg.norm(north) < 1e-6:  # at that pole
        north = island[2] - (island[2] @ middle) * middle
    north /= np.linalg.norm(north)
    return np.array([np.cross(north, middle), north, middle])


def _projected(vectors: Array, axes: Array) -> Array:
    """Places of unit vectors (n, 3) in the equal-area projection about axes, (n, 2)."""
    local = vectors @ axes.T
    return np.asarray(local[:, :2] * np.sqrt(2 / np.maximum(1 + local[:, 2:], 1e-12)))
