"""Loops of the sampler, which numba compiles at their first call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


@functools.cache
def _compiled(function: Callable[..., None]) -> Any:
    from truez.support.compiled import compiled as kept

    return kept(function, fastmath={"reassoc", "contract", "arcp"})


def kick(y: Any, momentum: Any, gradient: Any, size: Any) -> None:
    """Change the momentum by ``-size (gradient - y)``, all modes; in place."""
    _compiled(_kick)(y.reshape(-1), momentum.reshape(-1), gradient.reshape(-1), size)


def turn(y: Any, momentum: Any, cosine: Any, sine: Any) -> None:
    """Rotate place and momentum, in place."""
    _compiled(_turn)(y.reshape(-1), momentum.reshape(-1), cosine, sine)


def gather_posteriors(
    column: Any, photo: Any, intensity: Any, kernel: Any, shares: Any, total: Any, drawn: Any
) -> None:
    """Add the posterior of each galaxy to ``total`` (n, nz), and draw a cell from it.

    Parameters
    ----------
    column, photo : (n,) int arrays
        Sight line and photo-z cell of each galaxy.
    intensity : (columns, nz) float32
    kernel : (nz, nz) float32
        p(z_phot | z), a row for each photo-z cell.
    shares : (n,) float32
        Random numbers between 0 and 1.
    total : (n, nz) float32
    drawn : (n,) int array
        The cells, which are written.
    """
    _compiled(_gather)(column, photo, intensity, kernel, shares, total, drawn)


def _kick(y: Any, momentum: Any, gradient: Any, size: Any) -> None:
    for i in range(y.size):
        momentum[i] -= size * (gradient[i] - y[i])


def _turn(y: Any, momentum: Any, cosine: Any, sine: Any) -> None:
    for i in range(y.size):
        place, speed = y[i], momentum[i]
        y[i] = cosine * place + sine * speed
        momentum[i] = cosine * speed - sine * place


def _gather(
    column: Any, photo: Any, intensity: Any, kernel: Any, shares: Any, total: Any, drawn: Any
) -> None:
    num = kernel.shape[1]
    for g in range(column.size):
        mean, row = intensity[column[g]], kernel[photo[g]]
        whole = mean[0] * row[0]
        for j in range(1, num):
            whole += mean[j] * row[j]
        scale = 1 / whole
        for j in range(num):
            total[g, j] += mean[j] * row[j] * scale
        left, cell = shares[g] * whole, 0
        while cell < num - 1:
            left -= mean[cell] * row[cell]
            if left < 0:
                break
            cell += 1
        drawn[g] = cell
