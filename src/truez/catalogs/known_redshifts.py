"""Which numbers of a catalogue are redshifts of galaxies, and which are written in their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Numbers that surveys write where there is no redshift.
STAND_INS = (-99.0, -9.0, -1.0, 99.0, 99.9, 99.99, 999.0, 9999.0)
#: Above it no galaxy has its redshift: it is a velocity, or a distance.
HIGHEST = 20.0


def reasons_without(redshift: Array) -> dict[str, NDArray[np.bool_]]:
    """Which numbers are no redshifts of galaxies, by reason; those above 20 are among the rest."""
    reasons = {"missing": ~np.isfinite(redshift), "stand_in": np.isin(redshift, STAND_INS)}
    reasons["stand_in"] |= np.isin(redshift.astype(np.float32), np.array(STAND_INS, np.float32))
    with np.errstate(invalid="ignore"):
        reasons["not_positive"] = redshift <= 0
    reasons["not_positive"] &= ~reasons["stand_in"] & ~reasons["missing"]
    return reasons


def known_redshifts(numbers: Array, stand_ins: Sequence[float] = ()) -> Array:
    """Redshifts (n,) of a part of a catalogue, NaN where there is none, by the rules of all of it.

    Parameters
    ----------
    numbers : (n,) array
    stand_ins : sequence of float
        Numbers that mean that there is none, besides -99 and others that are always known.

    Raises
    ------
    ValueError
        If most are above 20: they are velocities.
    """
    known = ~np.any(list(reasons_without(numbers).values()), axis=0)
    known &= ~np.isin(numbers.astype(np.float32), np.array(stand_ins, np.float32))
    middle = float(np.median(numbers[known])) if known.any() else 0.0
    if middle > HIGHEST:
        raise ValueError(
            f"must hold redshifts, but their median is {middle:.5g}: divide velocities cz by "
            "299792.458 km/s, or choose the column of redshifts"
        )
    return np.where(known & (numbers <= HIGHEST), numbers, np.nan)
