"""Expected counts of a survey in the cells of a sky box: footprint times N(z).

The expected number of galaxies in a cell is its solid angle times the mean completeness over it,
times the galaxies between the redshifts of its faces over the area of the footprint. Both factors
are integrals over the cell. At photo-z, N(z) is first folded with p(z_phot | z), which changes with
redshift. Fields painted with CIC or TSC compare with counts that are shared between cells as those
of random galaxies are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from truez.mesh.field import Field
from truez.mesh.resamplers import RESAMPLERS, gathered, shares
from truez.mesh.sky_box import SkyBox
from truez.support.checks import check_type
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError
from truez.surveys.stacked_error import SharedError, StackedError

Array = NDArray[np.float64]


def expected_profile(
    box: SkyBox, density: NumberDensity, error: SharedError | None = None
) -> Array:
    """Galaxies of the whole survey between the faces of the cells of a sight line, shape (nz,).

    Parameters
    ----------
    box : SkyBox
    density : NumberDensity
    error : RedshiftError or StackedError, optional
        Of photo-z, for the numbers at photo-z; those at true redshifts by default.
    """
    edges = box.redshift_edges
    return density.counts(edges) if error is None else density.observed(edges, error)


def expected_counts(
    box: SkyBox,
    *,
    footprint: Footprint,
    density: NumberDensity | Sequence[NumberDensity],
    error: SharedError | Sequence[SharedError] | None = None,
    resampler: str = "ngp",
    fraction: NDArray[np.float32] | None = None,
) -> Field:
    """Expected counts of a survey per cell.

    Parameters
    ----------
    box : SkyBox
    footprint : Footprint
    density : NumberDensity or several
        N(z) of the survey over its whole footprint, or of each class of photo-z errors.
    error : RedshiftError or StackedError, or several, optional
        Of photo-z, for counts at photo-z: one, or one for each N(z). Counts at true redshifts by
        default.
    resampler : {"ngp", "cic", "tsc"}
        How the galaxies are painted that these counts are compared with.
    fraction : (nx, ny) array, optional
        `Footprint.fraction` of the box for this resampler, where it is known already.

    Returns
    -------
    Field
        Of kind counts. Its sum is the number of galaxies in the part of the footprint and of the
        redshifts that the box covers.

    Raises
    ------
    ValueError
        If there are not as many errors as densities, or the footprint does not reach into the box.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.mesh.sky_box import SkyBox
    >>> from truez.surveys.expected import expected_counts
    >>> from truez.surveys.footprint import Rectangle
    >>> from truez.surveys.nz import NumberDensity
    >>> box = SkyBox.around(135, 0.5, width=(14, 7), distances=(0, 700), chi_ref=650,
    ...                     cellsize=10, cosmology="planck18")
    >>> nz = NumberDensity(np.array([0.0, 0.1, 0.2]), np.array([0.0, 1e5, 0.0]))
    >>> field = expected_counts(box, footprint=Rectangle(129, 141, -2, 3), density=nz)
    >>> round(float(field.values.sum()), -2)
    10000.0
    """
    check_type(box, SkyBox, "box")
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler must be one of {', '.join(RESAMPLERS)}, not {resampler!r}")
    densities = [density] if isinstance(density, NumberDensity) else list(density)
    errors = [error] * len(densities) if error is None else (
        [error] if isinstance(error, RedshiftError | StackedError) else list(error)
    )  # fmt: skip
    if len(errors) != len(densities) or not densities:
        raise ValueError(
            f"expected counts need one error for each N(z), not {len(errors)} for {len(densities)}"
        )
    profiles = [
        expected_profile(box, part, own) for part, own in zip(densities, errors, strict=True)
    ]
    profile = np.sum(profiles, axis=0)
    across = fraction
    if across is None:
        across = footprint.fraction(box, resampler=resampler)
    if across.shape != box.meshsize[:2]:
        raise ValueError(
            f"fraction must have one value for each of {box.meshsize[0]} x {box.meshsize[1]} sight "
            f"lines, not {across.shape}"
        )
    if not (across > 0).any():
        raise ValueError(f"the footprint does not reach into the {box}: correct one of them")
    # Galaxies are spread evenly over the depth of a cell.
    even = shares(resampler, (np.arange(1000) + 0.5) / 1000).mean(axis=0)
    line = gathered(profile[:, None] * even, 0) * (box.cell_area / footprint.area)
    values = torch.from_numpy(across.astype(np.float32))[:, :, None] * torch.from_numpy(
        line.astype(np.float32)
    )
    return Field(values, box, "counts", {"origin": "expected counts"}, resampler=resampler)
