"""Units of lengths and velocities in catalogues, and the axis order with the line of sight last.

Inside truez lengths are comoving Mpc/h and velocities peculiar km/s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

#: Units of length in catalogues: (factor to Mpc/h, whether it is also multiplied by h).
LENGTHS = {
    "Mpc/h": (1.0, False),
    "kpc/h": (1e-3, False),
    "Gpc/h": (1e3, False),
    "Mpc": (1.0, True),
    "kpc": (1e-3, True),
    "Gpc": (1e3, True),
}

# What a unit may contain without being another: comoving lengths are the only ones of truez.
_SILENT = re.compile(r"co-?moving|\\(?:mathrm|rm|text|,|;| )|[\s*.()\[\]{}$^~_\u00b7\u22c5]")
_LENGTH = re.compile(r"(?P<before>1/h|h-1)?c?(?P<prefix>[kmg])pc(?:cm)?(?P<after>/h|h-1)?")
_IN_NAME = re.compile(r"[\[(]([^\[\]()]+)[\])]$")
_OTHER = ("m/s", "m", "cm", "pc", "deg", "rad", "arcsec")  # which are refused as units
_VELOCITY = re.compile(r"km(?:/s(?:ec|econd)?|s(?:ec)?-1|s)")


def canonical(unit: str) -> str | None:
    """The unit in truez's spelling, None where truez does not know it.

    Mpc means comoving Mpc, so the c of cMpc, the cm of Mpccm and the word comoving are dropped.
    """
    text = unit.lower().replace("\u207b\u00b9", "-1").replace("\u2212", "-")
    text = _SILENT.sub("", text).replace("littleh", "h")
    if _VELOCITY.fullmatch(text):
        return "km/s"
    match = _LENGTH.fullmatch(text)
    if match is None or (match["before"] and match["after"]):
        return None
    name = {"k": "kpc", "m": "Mpc", "g": "Gpc"}[match["prefix"]]
    return f"{name}/h" if match["before"] or match["after"] else name


def unit_in_name(name: str) -> str:
    """The unit in brackets at the end of a name, such as ``x [Mpc]``; empty where there is none."""
    match = _IN_NAME.search(name)
    return match[1] if match and (canonical(match[1]) or match[1] in _OTHER) else ""


def check_length_unit(unit: str, what: str = "length_unit") -> str:
    """A length unit in truez's spelling."""
    own = canonical(unit)
    if own not in LENGTHS:
        raise ValueError(f"{what} must be one of {', '.join(LENGTHS)}, not {unit!r}")
    return own


def length_factor(unit: str, hubble: float | None = None) -> float:
    """Factor that converts a length in ``unit`` to Mpc/h.

    Parameters
    ----------
    unit : str
        Mpc/h, kpc/h (also ckpc/h), Gpc/h, Mpc, kpc or Gpc, comoving.
    hubble : float, optional
        h = H0 / (100 km/s/Mpc); needed for Mpc, kpc and Gpc.

    Raises
    ------
    ValueError
        If the unit is unknown, or h is missing or not between 0.1 and 2.
    """
    factor, needs_hubble = LENGTHS[check_length_unit(unit)]
    if hubble is not None and not 0.1 < hubble < 2:
        raise ValueError(f"hubble must be h = H0 / (100 km/s/Mpc), about 0.7, not {hubble!r}")
    if not needs_hubble:
        return factor
    if hubble is None:
        raise ValueError(f"lengths in {unit} need hubble, the h that converts them to Mpc/h")
    return factor * hubble


def axis_order(los: int | str) -> tuple[int, int, int]:
    """The axes of a catalogue in the order that puts the line of sight last.

    The permutation is cyclic, which keeps the handedness: (0, 1, 2) for los 2 ("z"), (1, 2, 0) for
    los 0 ("x"), (2, 0, 1) for los 1 ("y").
    """
    axes: dict[int | str, int] = {0: 0, 1: 1, 2: 2, "x": 0, "y": 1, "z": 2, "0": 0, "1": 1, "2": 2}
    if isinstance(los, bool) or los not in axes:
        raise ValueError(f"los must be an axis, 0, 1, 2 or x, y, z, not {los!r}")
    axis = axes[los]
    return (axis + 1) % 3, (axis + 2) % 3, axis


def los_last(values: Sequence[T], los: int | str) -> tuple[T, T, T]:
    """Three values given per axis of a catalogue, such as a box size, with the line of sight last.

    See `axis_order`.
    """
    a, b, c = axis_order(los)
    return values[a], values[b], values[c]
