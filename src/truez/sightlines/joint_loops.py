"""The inner loops of joint draws, on a CPU: see `truez.sightlines.fluctuations`.

Plain Python over numpy arrays; `compiled` returns the loops as machine code (numba, imported on the
first use). Rows are galaxies, columns the cells of their posteriors, the first of which is cell
``start`` of the sight lines of a mesh of n cells; beyond its ends there are no fluctuations, unless
they are joined.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np


def gather(lines: Any, nodes: Any, shares: Any, start: Any, ring: bool, out: Any) -> None:
    """Lines of a mesh at the place of a galaxy, from the first cell of its posterior on.

    Parameters
    ----------
    lines : (num, n) float32
    nodes : (4,) int64
        Numbers of the lines around it.
    shares : (4,) float32
    start : int
    ring : bool
        Whether the ends of a line are joined.
    out : (cells,) float32
        It is 0 beyond the ends.
    """
    one, two = lines[nodes[0]], lines[nodes[1]]
    three, four = lines[nodes[2]], lines[nodes[3]]
    a, b, c, d = shares[0], shares[1], shares[2], shares[3]
    n = one.size
    j = 0
    while j < out.size:
        cell = start + j
        if ring:
            cell %= n
        elif cell < 0:
            last = min(out.size, -start)
            for i in range(j, last):
                out[i] = np.float32(0)
            j = last
            continue
        elif cell >= n:
            for i in range(j, out.size):
                out[i] = np.float32(0)
            break
        length = min(n - cell, out.size - j)
        for i in range(length):
            out[j + i] = (
                a * one[cell + i] + b * two[cell + i] + c * three[cell + i] + d * four[cell + i]
            )
        j += length


def restored(
    posterior: Any, sky: Any, start: Any, lines: Any, band: Any, powers: Any, ring: bool
) -> None:
    """Replace posteriors by what is drawn from with fluctuations.

    Parameters
    ----------
    posterior : (m, cells) float32
        It is overwritten, with sums of 1 where it had them.
    sky : tuple of (m, 4) int64 and (m, 4) float32
        Numbers and shares of the lines around each galaxy.
    start : (m,) int64
    lines : tuple of two arrays (num, n) float32
        h, and ln(lambda_R + c).
    band : (r + 1,) float32
        K at 0, 1, ... cells.
    powers : (2,) float32
        Sharpness and tilt.
    ring : bool
    """
    nodes, shares = sky
    size, level = lines
    cells, reach = posterior.shape[1], band.size - 1
    h, tilt = np.empty(cells, np.float32), np.empty(cells, np.float32)
    near, padded = np.empty(cells, np.float32), np.zeros(cells + 2 * reach, np.float32)
    unit, least = np.float32(1), np.float32(0.05)
    for g in range(posterior.shape[0]):
        gather(size, nodes[g], shares[g], start[g], ring, h)
        gather(level, nodes[g], shares[g], start[g], ring, tilt)
        p, inner = posterior[g], padded[reach : reach + cells]
        for j in range(cells):
            inner[j] = h[j] * p[j]
        if ring:
            for j in range(reach):
                padded[reach - 1 - j] = padded[reach - 1 - j + cells]
                padded[reach + cells + j] = padded[reach + j]
        for j in range(cells):
            near[j] = band[0] * inner[j]
        for k in range(1, reach + 1):
            share = band[k]
            above, below = (
                padded[reach + k : reach + k + cells],
                padded[reach - k : reach - k + cells],
            )
            for j in range(cells):
                near[j] += share * (above[j] + below[j])
        total = np.float32(0)
        for j in range(cells):
            mean = max(unit + h[j] * near[j], least)
            value = p[j] * np.exp(powers[0] * np.log(mean) - powers[1] * tilt[j])
            p[j] = value
            total += value
        if total > 0:
            factor = unit / total
            for j in range(cells):
                p[j] *= factor


def drawn(
    posterior: Any, sky: Any, start: Any, lines: Any, chosen: Any, ring: bool, out: Any
) -> None:
    """Places drawn from posteriors times the exponential of fluctuations [cells from ``start``].

    Within a cell the density has the slope of its neighbours.

    Parameters
    ----------
    posterior : (m, cells) float32
    sky, start, ring
        As in `restored`.
    lines : (num, n) float32
        ln(lambda_s / lambda).
    chosen : (m,) float32
        Random numbers between 0 and 1, how much of the probability is before each place.
    out : (m,) float64
    """
    nodes, shares = sky
    cells = posterior.shape[1]
    weight, exponent = np.empty(cells, np.float32), np.empty(cells, np.float32)
    for g in range(posterior.shape[0]):
        gather(lines, nodes[g], shares[g], start[g], ring, exponent)
        p = posterior[g]
        total = 0.0
        for j in range(cells):
            value = p[j] * np.exp(exponent[j])
            weight[j] = value
        for j in range(cells):
            total += weight[j]
        wanted, reached, cell = chosen[g] * total, 0.0, -1
        last = 0
        for j in range(cells):
            if weight[j] > 0:
                last = j
                if reached + weight[j] >= wanted:
                    cell = j
                    break
                reached += weight[j]
        if cell < 0:  # by rounding
            cell, reached = last, wanted - weight[last]
        share = min(max((wanted - reached) / weight[cell], 0.0), 1.0)
        before = weight[cell - 1] if cell > 0 else (weight[cells - 1] if ring else weight[cell])
        after = weight[cell + 1] if cell < cells - 1 else (weight[0] if ring else weight[cell])
        slope = min(max((after - before) / (2.0 * weight[cell]), -2.0), 2.0)
        if abs(slope) > 1e-3:
            half = 1.0 - slope / 2.0
            share = (np.sqrt(half * half + 2.0 * slope * share) - half) / slope
        out[g] = cell + min(max(share, 0.0), 1.0)


@functools.cache
def compiled() -> types.SimpleNamespace:
    """The loops above as machine code, which release the interpreter's lock."""
    from numba.extending import register_jitable

    from truez.support.compiled import compiled as kept

    register_jitable(fastmath=True)(gather)
    loops = (restored, drawn)
    return types.SimpleNamespace(**{loop.__name__: kept(loop, fastmath=True) for loop in loops})
