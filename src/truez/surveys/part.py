"""A part of two even surveys in a box: those in a smaller box, with the numbers of the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.surveys.surveys import Surveys
from truez.surveys.whole import Whole

Rows = NDArray[np.int64]


def part_of(surveys: Surveys, box: Box, whole: Whole) -> tuple[Surveys, Rows]:
    """The galaxies of surveys in a box that cuts theirs across the sky.

    Parameters
    ----------
    surveys : Surveys
        Even ones.
    box : Box
        With whole sight lines of theirs. In a periodic box it may reach beyond the faces, where the
        galaxies of the other side are, and is periodic itself.
    whole : Whole
        Numbers of ``surveys``.

    Returns
    -------
    Surveys
    rows : (m,) ints
        The rows of ``surveys.photo`` that are in it.
    """
    spec, spec_rows = _inside(surveys.spec, surveys.box, box)
    photo, photo_rows = _inside(surveys.photo, surveys.box, box)
    matched = None
    num_both = min(round(whole.densities[2] * box.volume), len(spec), len(photo))
    if surveys.matched is not None:
        given = surveys.matched[spec_rows]
        place = np.searchsorted(photo_rows, given).clip(max=max(len(photo_rows) - 1, 0))
        there = (given >= 0) & np.isin(given, photo_rows)
        matched = np.where(there, place, -1).astype(np.int64)
        num_both = int(np.count_nonzero(there))
    part = replace(
        surveys, spec=spec, photo=photo, box=box, num_both=num_both, matched=matched, whole=whole,
        photo_kept=None, metadata={},
    )  # fmt: skip
    return part, photo_rows


def _inside(
    positions: NDArray[np.floating[Any]], outer: Box, box: Box
) -> tuple[NDArray[np.floating[Any]], Rows]:
    """Positions in a box across the sky, those of a periodic one moved to it, and their rows."""
    rows = np.arange(len(positions))
    result: dict[int, NDArray[np.floating[Any]]] = {}
    for axis in (0, 1):
        if box.meshsize[axis] == outer.meshsize[axis]:
            continue
        x = positions[rows, axis]
        lower, upper = x.dtype.type(box.lower[axis]), x.dtype.type(box.upper[axis])
        if outer.periodic:
            away = np.remainder(x.astype(np.float64) - box.lower[axis], outer.boxsize[axis])
            x = (box.lower[axis] + away).astype(x.dtype)
        kept = (x >= lower) & ((x < upper) if outer.periodic else (x <= upper))
        result = {other: values[kept] for other, values in result.items()}
        result[axis], rows = x[kept], rows[kept]
    inside = positions[rows]
    for axis, values in result.items():
        inside[:, axis] = values
    return inside, rows
