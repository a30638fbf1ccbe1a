"""Sums over the modes of a half mesh in bins of (k, mu) or (k_perp, k_par).

All spectra come from here: `bin_modes` runs once over the modes and returns, for every bin, the
number of modes, the sums of their coordinates, and the sums of products such as ``|a|^2`` times
powers of ``mu^2``. It does not depend on volume or mean density; `truez.statistics.power` converts
sums to spectra.

Along a row of the half mesh (k_x and k_y fixed) every coordinate grows with k_z, so the CPU kernel
walks the edges instead of searching them. The four rows (+-k_x, +-k_y) share their bins and are
added before they are binned. Sums are kept apart for a fixed set of planes and added in order, so
the result does not depend on the number of threads. The loops are in
`truez.statistics.bin_kernels`. Other devices take the torch path, which searches and counts slab by
slab.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import hermitian_weights
from truez.statistics.bin_kernels import compiled

Floats = NDArray[np.float64]
#: Factors of the modes of a mesh: one per index of each axis, or None.
Factors = tuple[Floats, Floats, Floats] | None

#: Pairs of bin coordinates. (r, mu) is for a real mesh of separations, cut to z <= boxsize / 2.
COORDINATES = ("k_mu", "kperp_kpar", "r_mu")
#: What is summed, with the number of sums: ``|a|^2``; ``Re(a b*)``; both squares and ``Re(a b*)``;
#: or the real part of ``a`` itself.
PRODUCTS = {"auto": 1, "cross": 1, "all": 3, "value": 1}

# A mode whose wavenumber equals an edge up to rounding lies on the edge. Applied to squares.
_ON_EDGE = 1e-10
# Larger than any squared coordinate.
_BEYOND = 1e300
# Partial sums are kept for at most this many groups of planes, and in at most this many bytes.
_MAX_GROUPS = 64
_MAX_PARTIAL_BYTES = 256 * 2**20
# Modes in a slab of the torch path.
_SLAB_MODES = 2**23


@dataclass(frozen=True, eq=False)
class BinSums:
    """Sums over the modes in each bin; a mode and its conjugate count as two.

    Attributes
    ----------
    nmodes : int64 array (n1, n2)
        Number of modes.
    first, second : float64 arrays (n1, n2)
        Sums of the coordinates: k (or r) and mu, or k_perp and k_par.
    products : float64 array (number of products, moments, n1, n2)
        Sums of each product times ``mu^(2 moment)``.
    """

    nmodes: NDArray[np.int64]
    first: Floats
    second: Floats
    products: Floats


def check_edges(edges: ArrayLike, name: str = "edges") -> Floats:
    """Bin edges as a float64 array.

    Raises
    ------
    ValueError
        If they are not two or more finite numbers that rise from zero or above.
    """
    array = np.asarray(edges, dtype=np.float64)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be two or more finite numbers, not {edges!r}")
    if array[0] < 0 or (np.diff(array) <= 0).any():
        raise ValueError(f"{name} must rise from zero or above, not {edges!r}")
    return array


def bin_modes(
    a: Tensor,
    b: Tensor | None,
    box: Box,
    first_edges: Floats,
    second_edges: Floats,
    *,
    coordinates: str = "k_mu",
    products: str = "auto",
    moments: int = 1,
    factors: tuple[Factors, Factors] = (None, None),
) -> BinSums:
    """Sum products of two half meshes in bins of two coordinates.

    Parameters
    ----------
    a, b : Tensor (nx, ny, nz // 2 + 1)
        Half meshes; ``b`` is needed for the products ``cross`` and ``all``.
    box : Box
        The box whose modes (or separations) they are.
    first_edges, second_edges : arrays
        Edges of k [h/Mpc] or r [Mpc/h] and mu, or of k_perp and k_par [h/Mpc]. A bin includes its
        lower end and excludes its upper, but mu = 1 belongs to a last bin that ends at 1.
    coordinates : {"k_mu", "kperp_kpar", "r_mu"}
        What the edges bin.
    products : {"auto", "cross", "all", "value"}
        What is summed, see `PRODUCTS`.
    moments : int
        Each product is summed times 1, mu^2, ..., mu^(2 moments - 2).
    factors : pair
        For each mesh three arrays, one per axis, that multiply its modes (the inverse of a window,
        even in k), or None.

    Returns
    -------
    BinSums
        The origin, k = 0 or r = 0, is never counted.
    """
    if coordinates not in COORDINATES or products not in PRODUCTS:
        raise ValueError(
            f"coordinates must be one of {', '.join(COORDINATES)} and products one of "
            f"{', '.join(PRODUCTS)}, not {coordinates!r} and {products!r}"
        )
    if (b is None) != (products in ("auto", "value")):
        raise ValueError(f"products {products!r} of {'one mesh' if b is None else 'two meshes'}")
    is_mu = coordinates != "kperp_kpar"
    first, second = squared_edges(first_edges), squared_edges(second_edges)
    if is_mu and second_edges[-1] == 1:
        second[-2] = _BEYOND
    no_factors = [np.ones(n) for n in a.shape]
    job = _Job(
        _lattice(box, coordinates == "r_mu"),
        hermitian_weights(box.meshsize[2]).numpy(),
        first,
        second,
        is_mu,
        products,
        moments,
        *(no_factors if f is None else list(f) for f in factors),
    )
    run = _sum_cpu if a.device.type == "cpu" else _sum_torch
    sums = run(a, a if b is None else b, job).reshape(len(first), len(second), -1)
    # The outer bins hold what lies below the first and above the last edge.
    sums = sums[1:-1, 1:-1]
    shape = (PRODUCTS[products], moments, *sums.shape[:2])
    return BinSums(
        nmodes=np.rint(sums[..., 0]).astype(np.int64),
        first=sums[..., 1].copy(),
        second=sums[..., 2].copy(),
        products=np.moveaxis(sums[..., 3:], -1, 0).reshape(shape),
    )


@dataclass(frozen=True, eq=False)
class _Job:
    """Input of both paths: float64 arrays on the CPU."""

    lattice: list[Floats]
    weights: Floats
    first: Floats
    second: Floats
    is_mu: bool
    products: str
    moments: int
    factors_a: list[Floats]
    factors_b: list[Floats]

    @property
    def shape(self) -> tuple[int, int]:
        """Bins, the outer ones included, and columns: count, two coordinates, the products."""
        return len(self.first) * len(self.second), 3 + PRODUCTS[self.products] * self.moments


def _lattice(box: Box, separations: bool) -> list[Floats]:
    """|k_x|, |k_y|, k_z [h/Mpc] of the half mesh, or the lags |x|, |y|, z [Mpc/h]."""
    (nx, ny, nz), unit = box.meshsize, box.cellsize if separations else box.fundamental
    indices = [np.minimum(np.arange(n), n - np.arange(n)) for n in (nx, ny)]
    indices.append(np.arange(nz // 2 + 1))
    return [index * step for index, step in zip(indices, unit, strict=True)]


def squared_edges(edges: Floats) -> Floats:
    """Squares to compare with, slightly below the edges, and an end that no mode reaches."""
    return np.append(np.asarray(edges, dtype=np.float64) ** 2 * (1 - _ON_EDGE), _BEYOND)


def _sum_cpu(a: Tensor, b: Tensor, job: _Job) -> Floats:
    num_bins, columns = job.shape
    fits = _MAX_PARTIAL_BYTES // (8 * num_bins * columns)
    groups = max(1, min(_MAX_GROUPS, a.shape[0] // 2 + 1, fits))
    partial = np.zeros((groups, num_bins, columns))
    meshes = a.detach().numpy(), b.detach().numpy()
    kernel = compiled()

    def run(group: int) -> None:
        kernel(
            *meshes, *job.lattice, job.weights, job.first, job.second, job.is_mu,
            list(PRODUCTS).index(job.products), job.moments, *job.factors_a, *job.factors_b,
            group, groups, partial[group],
        )  # fmt: skip

    number = int(os.environ.get("NUMBA_NUM_THREADS") or torch.get_num_threads())
    if number == 1:
        for group in range(groups):
            run(group)
    else:
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(run, range(groups)))
    total: Floats = partial.sum(axis=0)
    return total


def _sum_torch(a: Tensor, b: Tensor, job: _Job) -> Floats:
    """Sum by searching and counting, a slab of planes at a time, on any device."""
    device = a.device
    on = [torch.from_numpy(array).to(device) for array in (*job.lattice, job.weights)]
    first, second = (torch.from_numpy(e).to(device) for e in (job.first, job.second))
    x, y, z, weights = on
    num_bins, columns = job.shape
    total = torch.zeros((columns, num_bins), dtype=torch.float64, device=device)
    step = max(1, _SLAB_MODES // (a.shape[1] * a.shape[2]))
    for start in range(0, a.shape[0], step):
        part = slice(start, min(start + step, a.shape[0]))
        perp2 = (x[part] ** 2).reshape(-1, 1, 1) + (y**2).reshape(1, -1, 1)
        z2 = (z**2).reshape(1, 1, -1)
        r2 = perp2 + z2
        mu2 = z2 / r2.clamp(min=1e-300)
        shape = r2.shape
        first2, second2 = (r2, mu2) if job.is_mu else (perp2.expand(shape), z2.expand(shape))
        index = torch.bucketize(first2.contiguous(), first, right=True) * len(second)
        index += torch.bucketize(second2.contiguous(), second, right=True)
        if start == 0:
            index[0, 0, 0] = 0  # the origin joins what lies below the first edges
        w = weights.expand(shape)
        u, v = (
            _times(mesh[part], factors, part)
            for mesh, factors in ((a, job.factors_a), (b, job.factors_b))
        )
        if job.products == "all":
            values = [_re(u, u), _re(v, v), _re(u, v)]
        elif job.products == "value":
            values = [u.real]
        else:
            values = [_re(u, u if job.products == "auto" else v)]
        rows = [w, w * first2.sqrt(), w * second2.sqrt()]
        for value in values:
            rows += [w * value * mu2**m for m in range(job.moments)]
        flat = index.reshape(-1)
        for c, row in enumerate(rows):
            total[c] += torch.bincount(flat, weights=row.reshape(-1), minlength=num_bins)
    sums: Floats = total.T.cpu().numpy()
    return sums


def _times(mesh: Tensor, factors: list[Floats], part: slice) -> Tensor:
    """A slab of a mesh in float64, times its factors."""
    wide = mesh.to(torch.complex128 if mesh.is_complex() else torch.float64)
    fx, fy, fz = (torch.from_numpy(f).to(mesh.device) for f in factors)
    return wide * (fx[part].reshape(-1, 1, 1) * fy.reshape(1, -1, 1) * fz.reshape(1, 1, -1))


def _re(u: Tensor, v: Tensor) -> Tensor:
    """Re(u v*)."""
    return u.real * v.real + u.imag * v.imag
