"""The inner loops of posteriors at the galaxies' own places, on a CPU.

Plain Python over numpy arrays; `compiled` returns the loops as machine code (numba, imported on the
first use). Rows are galaxies, columns the cells of their sight lines. `truez.sightlines.own_place`
says what they compute.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np


def blend(lines: Any, nodes: Any, shares: Any, out: Any) -> None:
    """Sight lines of a mesh at the places of galaxies: sums of four, with their shares.

    Parameters
    ----------
    lines : (num, n) float32
    nodes : (m, 4) int64
        Numbers of the four lines.
    shares : (m, 4) float32
    out : (m, n) float32
    """
    for g in range(nodes.shape[0]):
        one, two = lines[nodes[g, 0]], lines[nodes[g, 1]]
        three, four = lines[nodes[g, 2]], lines[nodes[g, 3]]
        a, b, c, d = shares[g, 0], shares[g, 1], shares[g, 2], shares[g, 3]
        here = out[g]
        for j in range(here.size):
            here[j] = a * one[j] + b * two[j] + c * three[j] + d * four[j]


def normalized(likelihood: Any, mean: Any, out: Any, sums: Any) -> None:
    """Posteriors ``mean x likelihood`` over their sums, which go to ``sums``; 0 where those are 0.

    Parameters
    ----------
    likelihood, mean, out : (m, n) float32
    sums : (m,) float32
    """
    for g in range(out.shape[0]):
        like, here, result = likelihood[g], mean[g], out[g]
        total = np.float32(0)
        for j in range(result.size):
            value = like[j] * here[j]
            result[j] = value
            total += value
        sums[g] = total
        if total > 0:
            factor = np.float32(1) / total
            for j in range(result.size):
                result[j] *= factor


def neighbours(
    sky: Any,
    radius: Any,
    background: Any,
    lines: Any,
    band: Any,
    ring: bool,
    near: Any,
    even: Any,
) -> None:
    """Galaxies near others on the sky, and those that are expected, near each cell.

    Parameters
    ----------
    sky : tuple of three arrays
        Which rows are computed, (m,) bools, the others are neighbours only; their places on the
        sky, (m, 2) float64, ordered by cell; and the first row of each cell of the sky, which is as
        wide as the largest radius at least, (num_x, num_y + 1) int64.
    radius : (m,) float64
        Of the weight (1 - r^2 / radius^2)^2 of each galaxy's neighbours.
    background : (m,) float32
        Factor of the expected galaxies that makes them the expected sum over neighbours.
    lines : tuple of two arrays (m, n) float32
        Posteriors, and expected galaxies.
    band : (2 k + 1,) float32
        Weights along the line of sight.
    ring : bool
        Whether the ends of the line of sight are joined.
    near, even : (m, n) float32
        Sums over neighbours, and what is expected of them.
    """
    wanted, places, starts = sky
    posteriors, mean = lines
    n, reach = posteriors.shape[1], band.size // 2
    line = np.zeros(n + 2 * reach, np.float32)
    level = np.zeros(n + 2 * reach, np.float32)
    num_x, num_y = starts.shape[0], starts.shape[1] - 1
    for cx in range(num_x):
        for cy in range(num_y):
            for g in range(starts[cx, cy], starts[cx, cy + 1]):
                if not wanted[g]:
                    continue
                inner, expected = line[reach : reach + n], level[reach : reach + n]
                own, factor = mean[g], background[g]
                for j in range(n):
                    inner[j] = np.float32(0)
                    expected[j] = factor * own[j]
                x, y = places[g, 0], places[g, 1]
                limit = radius[g] * radius[g]
                low, high = max(cy - 1, 0), min(cy + 2, num_y)
                for side in range(max(cx - 1, 0), min(cx + 2, num_x)):
                    for other in range(starts[side, low], starts[side, high]):
                        dx, dy = places[other, 0] - x, places[other, 1] - y
                        square = dx * dx + dy * dy
                        if other != g and square < limit:
                            root = np.float32(1.0 - square / limit)
                            weight = root * root
                            row = posteriors[other]
                            for j in range(n):
                                inner[j] += weight * row[j]
                if ring:
                    # In an order that goes round a short ring several times.
                    for j in range(reach):
                        line[reach - 1 - j] = line[reach - 1 - j + n]
                        line[reach + n + j] = line[reach + j]
                        level[reach - 1 - j] = level[reach - 1 - j + n]
                        level[reach + n + j] = level[reach + j]
                one, two = near[g], even[g]
                for j in range(n):
                    one[j] = np.float32(0)
                    two[j] = np.float32(0)
                for k in range(band.size):
                    share = band[k]
                    shifted, base = line[k : k + n], level[k : k + n]
                    for j in range(n):
                        one[j] += share * shifted[j]
                        two[j] += share * base[j]


def tilted(strength: float, near: Any, even: Any, intensity: Any, joint: Any) -> None:
    """Multiply intensity and joint probability by ``(1 + s near) / (1 + s even)``.

    Parameters
    ----------
    strength : float
    near, even, intensity, joint : (m, n) float32
    """
    s, unit = np.float32(strength), np.float32(1)
    for g in range(near.shape[0]):
        above, below, one, two = near[g], even[g], intensity[g], joint[g]
        for j in range(above.size):
            value = (unit + s * above[j]) / (unit + s * below[j])
            one[j] *= value
            two[j] *= value


def likelihoods(strengths: Any, near: Any, even: Any, joint: Any, mean: Any, out: Any) -> None:
    """Sums over galaxies of ``ln sum joint f - ln sum mean f``, f as of `tilted` for strengths s.

    Parameters
    ----------
    strengths : (k,) float64
    near, even, joint, mean : (m, n) float32
    out : (k,) float64
        The sums are added to it.
    """
    n = near.shape[1]
    one, two = np.ones((1, n), np.float32), np.ones((1, n), np.float32)
    for g in range(near.shape[0]):
        for k in range(strengths.size):
            one[0, :] = mean[g]
            two[0, :] = joint[g]
            tilted(strengths[k], near[g : g + 1], even[g : g + 1], one, two)
            above, below = np.float32(0), np.float32(0)
            for j in range(n):
                above += two[0, j]
                below += one[0, j]
            if above > 0 and below > 0:
                out[k] += np.log(above) - np.log(below)


def painted(
    probability: Any, nodes: Any, shares: Any, bands: Any, ring: bool, counts: Any, once: Any,
    twice: Any,
) -> None:  # fmt: skip
    """Share galaxies between the sight lines of a mesh.

    Parameters
    ----------
    probability : (m, n) float32
        Posteriors on the cells of the mesh.
    nodes : (m, k) int64
        Lines of the mesh.
    shares : (m, k) float32
    bands : (3, n) float32
        Weight of cell j in itself, and of the cells before and behind it.
    ring : bool
    counts, once, twice : (num, n) float32
        Sums over galaxies of share x p, of share^2 x p and of (share x smoothed p)^2.
    """
    n = probability.shape[1]
    smooth = np.zeros(n, np.float32)
    for g in range(probability.shape[0]):
        p = probability[g]
        for j in range(n):
            smooth[j] = bands[0, j] * p[j]
        for j in range(1, n):
            smooth[j] += bands[1, j] * p[j - 1]
        for j in range(n - 1):
            smooth[j] += bands[2, j] * p[j + 1]
        if ring:
            smooth[0] += bands[1, 0] * p[n - 1]
            smooth[n - 1] += bands[2, n - 1] * p[0]
        for j in range(n):
            smooth[j] *= smooth[j]
        for k in range(nodes.shape[1]):
            share = shares[g, k]
            if share == 0:
                continue
            square = share * share
            a, b, c = counts[nodes[g, k]], once[nodes[g, k]], twice[nodes[g, k]]
            for j in range(n):
                a[j] += share * p[j]
                b[j] += square * p[j]
                c[j] += square * smooth[j]


@functools.cache
def compiled() -> types.SimpleNamespace:
    """The loops above as machine code, which release the interpreter's lock."""
    from numba.extending import register_jitable

    from truez.support.compiled import compiled as kept

    register_jitable(fastmath=True)(tilted)
    loops = (blend, normalized, neighbours, tilted, likelihoods, painted)
    return types.SimpleNamespace(**{loop.__name__: kept(loop, fastmath=True) for loop in loops})
