"""Masks of TXPipe: HDF5 groups of pixels and values, ``maps/mask``.

A map is a group with the datasets ``pixel`` and ``value`` and the attributes ``pixelization``
(healpix), ``nside`` and, where pixels are in nested order, ``nest``; in ring order without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from truez.surveys.masks.completeness import (
    check_datasets,
    check_pixels,
    check_values,
    checked_nside,
    completeness_map,
)
from truez.surveys.pixel_map import PixelMap

#: Names that are taken where there are several maps.
_USUAL = ("maps/mask", "maps/footprint")


def read_txpipe(place: Path, choice: str | None, origin: str) -> PixelMap:
    """The footprint of a map of TXPipe.

    Parameters
    ----------
    place : path
    choice : str, optional
        Name of the map, such as ``mask_0``; by default ``mask``, or the only one.
    origin : str
        What the user wrote.

    Raises
    ------
    ValueError
        If there is no such map, it is not in HEALPix pixels, or its values are no completeness.
    """
    try:
        with h5py.File(place) as file:
            name = _chosen(file, choice, place)
            group = file[name]
            about = {str(key).lower(): value for key, value in group.attrs.items()}
            check_datasets(group, place)
            pixels, values = np.asarray(group["pixel"]).ravel(), np.asarray(group["value"]).ravel()
    except ValueError:
        raise
    except Exception as error:  # h5py has many
        raise ValueError(f"footprint {place} is not an HDF5 file that can be read") from error
    scheme = _text(about.get("pixelization", "healpix"))
    if scheme.lower() != "healpix":
        raise ValueError(
            f"map {name} of footprint {place} is in {scheme} pixels: make it in HEALPix pixels"
        )
    if "nside" not in about:
        raise ValueError(f"map {name} of footprint {place} does not say its nside: set it")
    nside = checked_nside(about["nside"], place)
    if len(pixels) != len(values):
        raise ValueError(
            f"map {name} of footprint {place} must have a pixel for each value, not {len(pixels)} "
            f"for {len(values)}"
        )
    check_pixels(nside, pixels, place)
    check_values(values, f"map {name} of footprint {place}")
    covered = np.flatnonzero(values > 0)
    return completeness_map(
        nside, pixels[covered], values[covered], place=place, origin=origin,
        ring=not _is_nested(about, f"map {name} of footprint {place}"),
    )  # fmt: skip


def _is_nested(about: dict[str, Any], what: str) -> bool:
    """Whether pixels are in nested order; TXPipe's own reader takes ring order for granted."""
    if "ordering" not in about:
        return bool(about.get("nest", False))
    ordering = _text(about["ordering"]).upper()
    if ordering not in ("RING", "NEST", "NESTED"):
        raise ValueError(f"{what} has ordering {ordering!r}: set it to ring or nested")
    return ordering != "RING"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _chosen(file: Any, choice: str | None, place: Path) -> str:
    """Path of the map that is to be read."""
    maps: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and {"pixel", "value"} <= set(item):
            maps.append(name)

    file.visititems(visit)
    if not maps:
        raise ValueError(
            f"footprint {place} is an HDF5 file without a map, a group of the datasets pixel and "
            "value: a catalogue of randoms is given as randoms"
        )
    if choice is not None:
        wanted = [name for name in maps if name in (choice, f"maps/{choice}")]
    else:
        wanted = maps if len(maps) == 1 else [name for name in _USUAL if name in maps]
    if not wanted:
        listed = ", ".join(name.removeprefix("maps/") for name in maps[:6])
        raise ValueError(
            f"footprint {place} has the maps {listed}: choose one of them behind #, such as "
            f"{place}#{maps[0].removeprefix('maps/')}"
        )
    return wanted[0]
