"""Columns of angles: their names, their units, and what is none."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from truez.catalogs.units import LENGTHS, canonical

#: Units of angles and the degrees in each.
ANGLES = {"deg": 1.0, "hourangle": 15.0, "rad": math.degrees(1.0)}
_SPELLINGS = {
    "degree": "deg", "degrees": "deg", "°": "deg", "decimal degrees": "deg", "hour": "hourangle",
    "hours": "hourangle", "h": "hourangle", "hr": "hourangle", "radian": "rad", "radians": "rad",
}  # fmt: skip
#: Names of columns of right ascensions and of declinations.
_SKY_NAMES = (
    r"ra|raj2000|alpha_?j2000|right_?asc\w*|coord_ra",
    r"dec|de|dej2000|decj2000|delta_?j2000|declination|coord_dec",
)


def place_columns(known: Collection[str]) -> tuple[str, ...]:
    """Columns of right ascension and declination by their names; empty where either is missing.

    Names as ``TARGET_RA`` count where there are none that are nothing else.
    """
    found = []
    for names in _SKY_NAMES:
        for pattern in (names, rf"(.*_)?({names})(_.*)?"):
            alike = [name for name in known if re.fullmatch(pattern, name.lower())]
            if alike:
                found.append(alike[0])
                break
    return tuple(found) if len(found) == 2 else ()


def check_no_angles(names: Sequence[str], units: Mapping[str, str], what: str) -> None:
    """Raise an error if columns that should hold lengths hold right ascensions and declinations.

    Parameters
    ----------
    names : sequence of str
        Columns of positions.
    units : mapping of str to str
        Units of columns that have one.
    what : str
        The option that names them.

    Raises
    ------
    ValueError
    """
    for name in names:
        unit = units.get(name)
        if (unit is not None and _spelled(unit) in ANGLES) or (
            unit is None and re.fullmatch("|".join(_SKY_NAMES), name.lower())
        ):
            raise ValueError(
                f"{what}: column {name!r} holds angles, and positions in a box are lengths: name "
                "the columns RA,DEC,Z with sky, or give comoving positions in Mpc/h"
            )


def declination_unit(ra_unit: str | None) -> str | None:
    """The unit of declinations that goes with one of right ascensions."""
    return None if ra_unit is None or _spelled(ra_unit) == "hourangle" else ra_unit


def angle_unit(
    column: str, given: str | None, option: str, units: Mapping[str, str], where: str
) -> float | None:
    """Degrees in the unit of a column of angles, None where nothing states it.

    Parameters
    ----------
    column : str
    given : str, optional
        As the user gives it: deg, hourangle or rad.
    option : str
        The argument by which it is given, for messages.
    units : mapping of str to str
        As the catalogue states them.
    where : str
        Name of the catalogue, for messages.

    Raises
    ------
    ValueError
        If it is no angle.
    """
    if given is not None:
        if _spelled(given) not in ANGLES:
            raise ValueError(f"{option} must be one of {', '.join(ANGLES)}, not {given!r}")
        return ANGLES[_spelled(given)]
    stated = units.get(column)
    if stated is None:
        return None
    if _spelled(stated) in ANGLES:
        return ANGLES[_spelled(stated)]
    kind = "a length" if canonical(stated) in LENGTHS else "no angle that truez knows"
    raise ValueError(
        f"column {column!r} of {where} is in {stated!r}, which is {kind}: name the columns of "
        f"right ascension and declination, or give {option}, one of {', '.join(ANGLES)}"
    )


def _spelled(unit: str) -> str:
    text = unit.strip().lower()
    return _SPELLINGS.get(text, text)
