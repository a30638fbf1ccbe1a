"""Which patches need a galaxy: the one whose core holds it, and those whose margins it is in.

A photometric galaxy is in a margin if it is on a sight line of the patch's box and its photo-z, or
its known redshift, is in the box. A spectroscopic galaxy is in that of every patch whose sight
lines it is on, or close to, whatever its redshift: there it may be one with a photometric galaxy.

The sky is looked up in HEALPix pixels. Of each pixel the patches that touch it are known, and which
of them hold it as a whole; places are computed for the others alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from truez.mesh.healpix import centers, nested, nside_for
from truez.sky.patch_data import near_box, sight_line_of
from truez.sky.patches import Patch, Patches
from truez.sky.shells import Shell

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Pixels along the side of the smallest patch, and the coarsest and finest pixels.
_PER_SIDE, _COARSEST, _FINEST = 24, 32, 512
#: By which the margins of a spectroscopic survey are wider, so that all of its galaxies that match
#: a photometric one at the edge of a box are there [deg].
_SLACK = 0.01
#: Distance of the corners of a pixel from its centre in sides of it, and how much longer than
#: angles lengths can be in the projection within 90 deg of its centre.
_CORNER, _STRETCH = 1.3, 1.45


@dataclass(frozen=True, eq=False)
class Members:
    """Galaxies of patches, by patch and then in the order of the galaxies.

    Parameters
    ----------
    rows, patches : (m,) int arrays
        A galaxy and the number of a patch that needs it. Those in no core also have one entry with
        the number of patches: they are the rest.
    core : (m,) bool array
        Whether the galaxy is in the core of the patch.
    """

    rows: Ints
    patches: NDArray[np.int32]
    core: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Router:
    """Which patches need which galaxies.

    Parameters
    ----------
    patches : Patches
    any_redshift : bool
        Whether margins hold galaxies of any redshift: for a spectroscopic survey.
    slack : float
        By which margins are wider than the box across the sky [deg].

    Examples
    --------
    >>> from truez.sky.partition.routing import Router
    >>> from truez.sky.patches import PatchSettings, plan_patches
    >>> from truez.surveys.footprint import Rectangle
    >>> patches = plan_patches(
    ...     Rectangle(0, 20, 0, 5), cosmology="planck18", redshift_range=(0.1, 0.3), sigma_z=0.01,
    ...     settings=PatchSettings(cellsize=5, widest=10),
    ... )
    >>> found = Router(patches).members([4.0, 6.5, 50.0], [2.0, 2.0, 2.0], [0.2, 0.2, 0.2])
    >>> for row, patch, core in zip(found.rows, found.patches, found.core):
    ...     print(row, patch if patch < len(patches) else "rest", bool(core))
    0 0 True
    1 0 True
    1 1 False
    2 rest False
    """

    patches: Patches
    any_redshift: bool = False
    slack: float = 0.0

    def members(
        self, ra: Array, dec: Array, redshift: Array, other: Array | None = None
    ) -> Members:
        """The patches that need galaxies.

        Parameters
        ----------
        ra, dec : (n,) arrays
            Directions [deg].
        redshift : (n,) array
            That by which galaxies are in cores; NaN for those without.
        other : (n,) array, optional
            A known redshift besides, by which they may be in margins as well.
        """
        a, d, z = (np.asarray(x, np.float64) for x in (ra, dec, redshift))
        core = self.patches.patch_of(a, d, z)
        own = nested(a, d, self._nside)
        found = [self._of_shell(table, own, a, d, z, other) for table in self._tables]
        rows, patches = (np.concatenate(x) for x in zip(*found, strict=True))
        # The core has the last word of its own galaxies, whatever the rounding of the box's faces.
        margin = patches != core[rows]
        rest = np.where(core < 0, len(self.patches), core)
        rows = np.concatenate([rows[margin], np.arange(len(a))])
        patches = np.concatenate([patches[margin], rest]).astype(np.int32)
        is_core = np.zeros(len(rows), bool)
        is_core[len(rows) - len(a) :] = core >= 0
        order = np.argsort(patches.astype(np.int64) * len(a) + rows, kind="stable")
        return Members(rows[order], patches[order], is_core[order])

    def inside(
        self, number: int, ra: Array, dec: Array, redshift: Array, other: Array | None = None
    ) -> Members:
        """The galaxies that one patch needs; arguments as of `members`."""
        a, d, z = (np.asarray(x, np.float64) for x in (ra, dec, redshift))
        rows = _on_sight_lines(self.patches[number], a, d, self.slack)
        core = np.zeros(len(a), bool)
        some = np.flatnonzero(np.isfinite(z))
        some = some[near_box(self.patches[number].box, a[some], d[some])]
        core[some] = self.patches.patch_of(a[some], d[some], z[some]) == number
        rows = np.union1d(rows[self._needed(number, z[rows], _some(other, rows))],
                          np.flatnonzero(core))  # fmt: skip
        return Members(rows, np.full(len(rows), number, np.int32), core[rows])

    def _needed(self, number: int, redshift: Array, other: Array | None) -> NDArray[np.bool_]:
        """Which galaxies on the sight lines of a patch it needs."""
        if self.any_redshift:
            return np.isfinite(redshift)
        low, high = self.patches[number].box.redshift_edges[[0, -1]]
        with np.errstate(invalid="ignore"):
            inside = (redshift >= low) & (redshift <= high)
            if other is not None:
                inside |= (other >= low) & (other <= high)
        return np.asarray(inside)

    def _of_shell(
        self, table: _Table, own: Ints, ra: Array, dec: Array, redshift: Array, other: Array | None
    ) -> tuple[Ints, Ints]:
        """Galaxies, in the pixels ``own``, and the patches of one shell that need them."""
        # All boxes of a shell are of the same distances.
        seen = np.flatnonzero(self._needed(int(table.patches[0]), redshift, other))
        own = own[seen]
        place = np.minimum(np.searchsorted(table.pixels, own), len(table.pixels) - 1)
        known = table.pixels[place] == own
        found, place = seen[known], place[known]
        first = table.first[place]
        num = table.first[place + 1] - first
        rows = np.repeat(found, num)
        # The entries of a pixel are one behind the other.
        entries = np.arange(len(rows)) + np.repeat(first - (np.cumsum(num) - num), num)
        patches, doubtful = table.patches[entries], np.flatnonzero(~table.whole[entries])
        keep = np.ones(len(rows), bool)
        keep[doubtful] = False
        by_patch = doubtful[np.argsort(patches[doubtful], kind="stable")]
        starts = np.flatnonzero(np.diff(patches[by_patch], prepend=-1))
        for part in np.split(by_patch, starts)[1:]:
            patch, some = self.patches[int(patches[part[0]])], rows[part]
            keep[part[_on_sight_lines(patch, ra[some], dec[some], self.slack)]] = True
        return rows[keep], patches[keep]

    @cached_property
    def _nside(self) -> int:
        """Resolution of the pixels."""
        sides = [np.degrees(min(p.box.boxsize[:2]) / p.box.chi_ref) for p in self.patches]
        return int(np.clip(nside_for(min(sides) / _PER_SIDE), _COARSEST, _FINEST))

    @cached_property
    def _tables(self) -> list[_Table]:
        """The pixels of the patches of each shell."""
        return [self._table(shell) for shell in self.patches.shells]

    def _table(self, shell: Shell) -> _Table:
        pixels, numbers, whole = [], [], []
        for patch in self.patches:
            if patch.shell is not shell:
                continue
            level, own = _COARSEST, np.arange(12 * _COARSEST**2)
            touched, inner = _touched(patch, own, level, self.slack)
            while level < self._nside:
                level, own = 2 * level, (4 * own[touched][:, None] + np.arange(4)).ravel()
                touched, inner = _touched(patch, own, level, self.slack)
            pixels.append(own[touched])
            numbers.append(np.full(int(touched.sum()), patch.number))
            whole.append(inner[touched])
        every, patches, inside = (np.concatenate(x) for x in (pixels, numbers, whole))
        order = np.lexsort([patches, every])
        own, first = np.unique(every[order], return_index=True)
        return _Table(own, np.append(first, len(every)), patches[order], inside[order])


def router_of(patches: Patches, sample: str) -> Router:
    """That of a catalogue, ``photo`` or ``spec``, whose margins hold galaxies of any redshift."""
    is_spec = sample == "spec"
    return Router(patches, any_redshift=is_spec, slack=_SLACK if is_spec else 0.0)


@dataclass(frozen=True, eq=False)
class _Table:
    """Pixels, and the patches that touch each: the entries from ``first`` of it to the next."""

    pixels: Ints
    first: Ints
    patches: Ints
    whole: NDArray[np.bool_]


def _touched(
    patch: Patch, pixels: Ints, nside: int, slack: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels may touch the sight lines of a patch, and which are wholly on them."""
    box = patch.box
    places = np.stack(box.project(*centers(pixels, nside)), axis=-1)
    corner = np.degrees(_CORNER * np.sqrt(np.pi / 3) / nside)
    wide, more = (_STRETCH * np.radians(x) * box.chi_ref for x in (corner, corner + slack))
    lower, upper = np.array(box.lower[:2]), np.array(box.upper[:2])
    touched = ((places >= lower - more) & (places <= upper + more)).all(axis=1)
    return touched, ((places >= lower + wide) & (places <= upper - wide)).all(axis=1)


def _some(values: Array | None, rows: Ints) -> Array | None:
    return None if values is None else np.asarray(values, np.float64)[rows]


def _on_sight_lines(patch: Patch, ra: Array, dec: Array, slack: float) -> Ints:
    """Rows of the directions [deg] on the sight lines of a patch, or as close to them as that."""
    box = patch.box
    rows = near_box(box, ra, dec) if not slack else np.arange(len(ra))
    places = np.stack(box.project(ra[rows], dec[rows]), axis=-1)
    if not slack:
        return np.asarray(rows[sight_line_of(box, places)[0] >= 0])
    wider = _STRETCH * np.radians(slack) * box.chi_ref
    lower, upper = np.array(box.lower[:2]) - wider, np.array(box.upper[:2]) + wider
    return np.asarray(rows[((places >= lower) & (places <= upper)).all(axis=1)])
