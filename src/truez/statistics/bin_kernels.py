"""The loop that bins the modes of a half mesh on a CPU; see `truez.statistics.binning`."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np


@functools.cache
def compiled() -> Any:
    """The loop below as machine code, compiled at its first call and cached on disk.

    It releases the interpreter's lock, so that plain threads run groups of planes side by side.
    """
    from truez.support.compiled import compiled as kept

    # NaN and infinity keep their meaning: only the order of sums and divisions' form are free.
    free = {"reassoc", "contract", "arcp"}
    return kept(sum_planes, fastmath=free)


def sum_planes(
    a: Any, b: Any, x: Any, y: Any, z: Any, weights: Any, first: Any, second: Any,
    is_mu: Any, product: Any, moments: Any,
    ax: Any, ay: Any, az: Any, bx: Any, by: Any, bz: Any,
    group: Any, groups: Any, sums: Any,
) -> None:  # fmt: skip
    """Add to ``sums`` (bins, columns) the planes +-k_x of index group, group + groups, ..."""
    nx, ny, nz = a.shape
    columns = sums.shape[1]
    num_products = 3 if product == 2 else 1
    last_first, last_second = first[-2], second[-2]
    z2 = z * z
    rows = np.empty((columns, nz))
    q = rows[3:]
    for i in range(group, nx // 2 + 1, groups):
        num_i = 1 if i == 0 or 2 * i == nx else 2
        for j in range(ny // 2 + 1):
            num_j = 1 if j == 0 or 2 * j == ny else 2
            perp2 = x[i] * x[i] + y[j] * y[j]
            if perp2 >= last_first:
                continue
            # Modes beyond the last edge are not read (except one, against rounding).
            limit = last_first - perp2 if is_mu else last_second
            stop = min(np.searchsorted(z2, limit) + 1, nz)
            start = 1 if i == 0 and j == 0 else 0

            # The products, added over the rows (+-k_x, +-k_y), times the window factors.
            q[:, :stop] = 0.0
            for side_i in range(num_i):
                ii = i if side_i == 0 else nx - i
                for side_j in range(num_j):
                    jj = j if side_j == 0 else ny - j
                    row_a, row_b = a[ii, jj], b[ii, jj]
                    if product == 0:
                        for k in range(stop):
                            q[0, k] += row_a[k].real ** 2 + row_a[k].imag ** 2
                    elif product == 1:
                        for k in range(stop):
                            u, v = row_a[k], row_b[k]
                            q[0, k] += u.real * v.real + u.imag * v.imag
                    elif product == 2:
                        for k in range(stop):
                            u, v = row_a[k], row_b[k]
                            q[0, k] += u.real * u.real + u.imag * u.imag
                            q[moments, k] += v.real * v.real + v.imag * v.imag
                            q[2 * moments, k] += u.real * v.real + u.imag * v.imag
                    else:
                        for k in range(stop):
                            q[0, k] += row_a[k].real
            fa, fb = ax[i] * ay[j], bx[i] * by[j]
            for n in range(num_products):
                row = q[n * moments]
                both = product == 1 or n == 2
                for k in range(stop):
                    # The first square has a's factors twice, the second b's, the rest both.
                    ga, gb = fa * az[k], fb * bz[k]
                    g = ga * gb if both else (gb * gb if n == 1 else ga * ga)
                    row[k] *= g * weights[k]

            # The coordinates, and the products times mu^2, mu^4, ...
            multiplicity = float(num_i * num_j)
            for k in range(stop):
                w = multiplicity * weights[k]
                rows[0, k] = w
                r2 = perp2 + z2[k]
                rows[1, k] = w * math.sqrt(r2 if is_mu else perp2)
                rows[2, k] = w * (z[k] / math.sqrt(max(r2, 1e-300)) if is_mu else z[k])
            for n in range(num_products):
                for m in range(1, moments):
                    row, below = q[n * moments + m], q[n * moments + m - 1]
                    for k in range(start, stop):
                        row[k] = below[k] * (z2[k] / (perp2 + z2[k]))

            # Walk the edges. Mostly one edge is passed or none, so the first step has no branch
            # and the loop after it is seldom entered.
            b1, b2 = 0, 0
            for k in range(start, stop):
                r2 = perp2 + z2[k]
                first2 = r2 if is_mu else perp2
                second2 = z2[k] / r2 if is_mu else z2[k]
                b1 += first2 >= first[b1]
                while first2 >= first[b1]:
                    b1 += 1
                b2 += second2 >= second[b2]
                while second2 >= second[b2]:
                    b2 += 1
                target = sums[b1 * second.size + b2]
                for c in range(columns):
                    target[c] += rows[c, k]
