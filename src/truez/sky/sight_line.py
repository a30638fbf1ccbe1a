"""The cells of redshift that a galaxy of a sky box may truly be in.

The true redshift of an outlier is anywhere in N(z), also beyond the box of its patch, and so may
be a second peak of a p(z). Where there are outliers, or p(z) of each galaxy, the sight lines of a
box go on to the ends of N(z), therefore, in cells that are as long as those of the box at its faces
and longer the further away they are. Nothing is known of the density there: the intensity is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.mesh.sky_box import SkyBox
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: By what cells grow from one to the next, and the longest ones, over 1 + z.
_GROWTH, _LONGEST = 1.25, 0.03
#: Share of the galaxies beyond each end of N(z) that are left out.
_LEFT_OUT = 1e-6


@dataclass(frozen=True, eq=False)
class SightLine:
    """Cells of redshift along the sight lines of a sky box.

    Parameters
    ----------
    edges : (n + 1,) array
        Redshifts of their faces.
    before, after : int
        Cells before and behind those of the box; 0 where no galaxy can be beyond it.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.mesh.sky_box import SkyBox
    >>> from truez.sky.sight_line import SightLine
    >>> from truez.surveys.nz import NumberDensity
    >>> from truez.surveys.redshift_error import RedshiftError
    >>> box = SkyBox.around(135, 0.5, width=(2, 2), distances=(600, 900), chi_ref=800,
    ...                     cellsize=10, cosmology="planck18")
    >>> nz = NumberDensity(np.array([0.1, 0.4, 0.9]), np.array([0.0, 1e5, 0.0]))
    >>> error = RedshiftError(0.01, outlier_fraction=0.05, outlier_range=(0.0, 1.0))
    >>> line = SightLine.of(box, nz, error)
    >>> line.before, line.after, line.edges[[0, -1]].round(2).tolist()
    (9, 18, [0.1, 0.9])
    >>> float(line.redshift(line.place(0.8)).round(6))
    0.8
    """

    edges: Array
    before: int = 0
    after: int = 0

    @classmethod
    def of(
        cls, box: SkyBox, density: NumberDensity, error: RedshiftError, *, anywhere: bool = False
    ) -> SightLine:
        """The cells of a box, and those beyond it to the ends of N(z) where galaxies may be there.

        Parameters
        ----------
        box : SkyBox
        density : NumberDensity
        error : RedshiftError
            With outliers galaxies may be beyond the box.
        anywhere : bool
            Whether they may without them: p(z) of a galaxy is not bound to its photo-z.
        """
        inside = box.redshift_edges
        if not (anywhere or np.any(error.outlier_fraction)):
            return cls(inside)
        low, high = density.quantile([_LEFT_OUT, 1 - _LEFT_OUT])
        before = onward(float(inside[0]), float(inside[0] - inside[1]), float(low))[::-1]
        after = onward(float(inside[-1]), float(inside[-1] - inside[-2]), float(high))
        return cls(np.concatenate([before, inside, after]), len(before), len(after))

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Which cells are beyond the box, (n,)."""
        result = np.ones(len(self.edges) - 1, dtype=bool)
        result[self.before : len(result) - self.after] = False
        return result

    def redshift(self, place: ArrayLike) -> Array:
        """Redshifts of places [cells from the lower face of the box]."""
        return np.asarray(np.interp(np.asarray(place, np.float64), self._places, self.edges))

    def place(self, redshift: ArrayLike) -> Array:
        """Places of redshifts [cells from the lower face of the box], the ends for others."""
        return np.asarray(np.interp(np.asarray(redshift, np.float64), self.edges, self._places))

    @property
    def _places(self) -> Array:
        return np.arange(len(self.edges), dtype=np.float64) - self.before


def onward(face: float, width: float, end: float) -> Array:
    """Faces of growing cells from one of the box, itself left out, to an end of N(z) beyond it.

    A negative width leads to lower redshifts. There are none where N(z) ends within the box.
    """
    way, length, edges = math.copysign(1.0, width), abs(width), [face]
    while way * (end - edges[-1]) > 0:
        length = min(_GROWTH * length, _LONGEST * (1 + edges[-1]))
        rest = way * (end - edges[-1])
        # No cell is left that is shorter than half of the one before.
        edges.append(end if rest < 1.5 * length else edges[-1] + way * length)
    return np.array(edges[1:])
