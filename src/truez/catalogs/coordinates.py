"""Sky coordinates of a catalogue: right ascension, declination and redshift, whatever their units.

Columns are found without regard to case. Angles come out in degrees, redshifts as they are: the
frame that they refer to is written down and never converted. A galaxy without a redshift keeps its
row, with NaN: missing values and what surveys write in their place are counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.angles import angle_unit, declination_unit
from truez.catalogs.catalog import Catalog
from truez.catalogs.formats._names import missing_column
from truez.catalogs.known_redshifts import HIGHEST, STAND_INS, reasons_without
from truez.catalogs.units import canonical

__all__ = [
    "FRAMES", "HIGHEST", "STAND_INS", "SkyCoordinates", "check_degrees", "find_columns",
    "floats_of", "redshifts_of", "sky_coordinates", "without_stand_ins",
]  # fmt: skip

Array = NDArray[np.float64]
#: What redshifts may refer to.
FRAMES = ("none", "heliocentric", "cmb")
_SEXAGESIMAL = re.compile(r"^\s*[+-]?\d+\s*([:hd°\s])\s*\d+")


@dataclass(frozen=True, eq=False)
class SkyCoordinates:
    """Where the galaxies of a catalogue are on the sky, and their redshifts.

    Parameters
    ----------
    ra, dec : (n,) arrays
        [deg]; right ascensions from 0 to below 360.
    redshift : (n,) array
        NaN where there is none.
    without : mapping of str to int
        Galaxies without a redshift by reason: ``missing`` (masked, or no number), ``stand_in``
        (such as -99), ``not_positive`` (0 or below) and ``too_high`` (above 20).
    frame : {"none", "heliocentric", "cmb"}
        What the redshifts refer to, as the user says.
    """

    ra: Array
    dec: Array
    redshift: Array
    without: Mapping[str, int] = field(default_factory=dict)
    frame: str = "none"

    def __len__(self) -> int:
        return len(self.ra)

    @property
    def has_redshift(self) -> NDArray[np.bool_]:
        """Which galaxies have one."""
        return np.isfinite(self.redshift)

    @property
    def num_without(self) -> int:
        """Number of galaxies that have none."""
        return sum(self.without.values())

    def describe(self) -> dict[str, Any]:
        """Plain values for the headers of outputs."""
        return {"frame": self.frame, "without_redshift": dict(self.without)}


def find_columns(names: Sequence[str], known: Collection[str], where: str) -> list[str]:
    """The columns of a catalogue that have names, in the catalogue's own spelling.

    A name as it is written comes first, then one in other case.

    Raises
    ------
    ValueError
        If there is none, or several differ in case alone.
    """
    result = []
    for name in names:
        alike = [column for column in known if column.lower() == name.lower()]
        if name in known:
            alike = [name]
        if not alike:
            raise ValueError(missing_column(name, known, where))
        if len(alike) > 1:
            raise ValueError(
                f"column {name!r} of {where} could be {' or '.join(alike)}: write its name in the "
                "same case"
            )
        result.append(alike[0])
    return result


def without_stand_ins(
    catalog: Catalog, columns: Sequence[str], stand_ins: Sequence[float]
) -> Catalog:
    """The catalogue with NaN in place of the stand-ins for missing values.

    Parameters
    ----------
    catalog : Catalog
    columns : sequence of str
        Columns of text stay as they are.
    stand_ins : sequence of float
        As float32 too, as many catalogues hold them.
    """
    single = np.array(stand_ins, np.float32)
    changed: dict[str, Any] = {}
    for name in columns:
        if catalog[name].dtype.kind not in "iuf" or catalog[name].ndim != 1:
            continue
        values = vectors.floats(catalog.columns, name).astype(np.float64)
        absent = np.isin(values, stand_ins) | np.isin(values.astype(np.float32), single)
        if absent.any():
            changed[name] = np.where(absent, np.nan, values)
    units = {name: unit for name, unit in catalog.units.items() if name in changed}
    return catalog.with_columns(changed, units) if changed else catalog


def sky_coordinates(
    catalog: Catalog,
    columns: Sequence[str] = ("RA", "DEC", "Z"),
    *,
    ra_unit: str | None = None,
    dec_unit: str | None = None,
    frame: str = "none",
    name: str = "the catalogue",
) -> SkyCoordinates:
    """Directions and redshifts of the galaxies of a catalogue.

    Parameters
    ----------
    catalog : Catalog
    columns : three names
        Of right ascension, declination and redshift, found without regard to case; two where there
        is no redshift.
    ra_unit, dec_unit : {"deg", "hourangle", "rad"}, optional
        By default what the catalogue states, else degrees; rad for both where it is for the first.
    frame : {"none", "heliocentric", "cmb"}
        What the redshifts refer to; written down, not converted.
    name : str
        Of the catalogue, for messages.

    Raises
    ------
    ValueError
        If a column is missing, text, or in a unit that is no angle; right ascensions look like
        hours or radians and no unit is stated; a declination is beyond a pole, or a position has no
        value; redshifts are velocities; or no galaxy has a redshift.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Catalog
    >>> from truez.catalogs.coordinates import sky_coordinates
    >>> catalog = Catalog({"ra": [10.0, -5.0], "dec": [1.0, 2.0], "z_phot": [0.5, -99.0]})
    >>> sky = sky_coordinates(catalog, ("RA", "Dec", "Z_PHOT"))
    >>> sky.ra, sky.redshift, sky.num_without
    (array([ 10., 355.]), array([0.5, nan]), 1)
    """
    if frame not in FRAMES:
        raise ValueError(f"frame must be one of {', '.join(FRAMES)}, not {frame!r}")
    if len(columns) not in (2, 3):
        raise ValueError(
            f"sky must name three columns, RA,DEC,Z, and not {len(columns)}: {','.join(columns)}"
        )
    if len(catalog) == 0:
        raise ValueError(f"{name} holds no rows")
    found = find_columns(columns, catalog.columns, name)
    factors = [
        angle_unit(column, given, option, catalog.units, name)
        for column, option, given in (
            (found[0], "ra_unit", ra_unit),
            (found[1], "dec_unit", dec_unit or declination_unit(ra_unit)),
        )
    ]
    angles = [_angles(catalog, column, name) for column in found[:2]]
    if ra_unit is None and found[0] not in catalog.units:
        check_degrees(angles[0], angles[1], name)
    ra, dec = (angle * (factor or 1.0) for angle, factor in zip(angles, factors, strict=True))
    _check_range(ra, dec, found, name)
    without: dict[str, int] = {}
    redshift = np.full(len(catalog), np.nan)
    if len(found) == 3:
        redshift, without = redshifts_of(catalog, found[2], name)
    ra = np.mod(ra, 360.0)
    return SkyCoordinates(np.where(ra >= 360.0, 0.0, ra), dec, redshift, without, frame)


def _angles(catalog: Catalog, column: str, where: str) -> Array:
    """A column of angles in its own unit, all of them numbers."""
    values = catalog[column]
    if values.dtype.kind == "U":
        known = [str(value) for value in np.ma.compressed(values)[:100] if str(value).strip()]
        text = next((value for value in known if _SEXAGESIMAL.match(value)), None)
        if text is not None:
            raise ValueError(
                f"column {column!r} of {where} holds sexagesimal text, {text!r}: convert it to "
                "decimal degrees, such as with astropy.coordinates.Angle(column, unit).deg"
            )
    numbers = floats_of(catalog, column, where)
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if bad:
        raise ValueError(
            f"column {column!r} of {where} has no value in {bad} of {numbers.size} rows: remove "
            "those rows"
        )
    return numbers


def floats_of(catalog: Catalog, column: str, where: str) -> Array:
    """A column of numbers, NaN where one is missing."""
    try:
        return vectors.floats(catalog.columns, column).astype(np.float64)
    except ValueError as error:
        name = f"column {column!r}"
        raise ValueError(str(error).replace(name, f"{name} of {where}", 1)) from None


def check_degrees(ra: Array, dec: Array, where: str) -> None:
    """Raise an error for right ascensions of no stated unit that are not degrees by their look.

    Parameters
    ----------
    ra, dec : (n,) arrays
        All values, or the least and the largest.
    where : str
        Name of the catalogue, for messages.
    """
    low, high, wide, tall = ra.min(), ra.max(), np.ptp(ra), np.ptp(dec)
    looks = ""
    if low >= 0 and high <= 24 and wide > 12 and tall > 30:
        looks = "hours"
    if low >= -np.pi and high <= 2 * np.pi and wide > 6 and 1.5 < tall <= np.pi:
        looks = "radians"
    if looks:
        unit = {"hours": "hourangle", "radians": "rad"}[looks]
        raise ValueError(
            f"ra_unit must be given: right ascensions of {where}, {low:.4g} to {high:.4g}, look "
            f"like {looks} (ra_unit {unit}), but may be degrees (ra_unit deg)"
        )


def _check_range(ra: Array, dec: Array, columns: Sequence[str], where: str) -> None:
    for values, column, low, high in ((ra, columns[0], -360, 360), (dec, columns[1], -90, 90)):
        outside = int(np.count_nonzero((values < low) | (values > high)))
        if outside:
            worst = values[np.argmax(np.maximum(low - values, values - high))]
            raise ValueError(
                f"column {column!r} of {where} must hold degrees from {low} to {high}, but "
                f"{outside} of {values.size} are not, such as {worst:.6g}: correct the columns or "
                "their units; positions in Mpc/h belong in a box"
            )


def redshifts_of(catalog: Catalog, column: str, where: str) -> tuple[Array, dict[str, int]]:
    """Redshifts of a column, NaN where there is none, and how many there are of each reason.

    Parameters
    ----------
    catalog : Catalog
    column : str
        In the catalogue's own spelling, see `find_columns`.
    where : str
        Name of the catalogue, for messages.

    Raises
    ------
    ValueError
        If it holds text or velocities, or no redshift at all.
    """
    z = floats_of(catalog, column, where)
    unit = catalog.units.get(column)
    stated = unit is not None and canonical(unit) == "km/s"
    reasons = reasons_without(z)
    known = ~np.any(list(reasons.values()), axis=0)
    middle = float(np.median(z[known])) if known.any() else 0.0
    if stated or middle > HIGHEST:
        raise ValueError(
            f"column {column!r} of {where} must hold redshifts, but its median is {middle:.5g}"
            f"{' km/s' if stated else ''}: divide velocities cz by 299792.458 km/s, or choose the "
            "column of redshifts"
        )
    reasons["too_high"] = known & (z > HIGHEST)
    known &= ~reasons["too_high"]
    if not known.any():
        raise ValueError(
            f"column {column!r} of {where} has a redshift in none of {z.size} rows: choose another"
        )
    counts = {reason: int(np.count_nonzero(rows)) for reason, rows in reasons.items()}
    result = np.where(known, z, np.nan)
    return result, {reason: count for reason, count in counts.items() if count}
