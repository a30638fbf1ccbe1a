"""Scores of a field against the truth, cell by cell.

A score is a function of two meshes in `SCORES`; its name becomes an attribute of `Scores`. To add
one, write the function and put ``@score`` above it. Sums are in float64. Where a score is
undefined it is NaN: the correlation of a constant field, PSNR and SSIM against a constant truth.
PSNR is infinite for a field equal to the truth.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from truez.mesh.box import Mesh, Region
from truez.mesh.field import Field
from truez.mesh.fourier import total
from truez.statistics.results import read_table, whole, write_table
from truez.support.checks import check_type
from truez.support.threads import Threads

Values = NDArray[np.floating[Any]]

#: The scores by name, in their order.
SCORES: dict[str, Callable[[Values, Values], float]] = {}

#: Side of the uniform window of SSIM [cells].
SSIM_WINDOW = 7

# Cells that are widened to float64 at a time.
_SLAB_CELLS = 2**22
# Cells of a slab of SSIM: its temporaries are many, and two slabs are worked on at a time.
_SSIM_CELLS = 2**21


def score(function: Callable[[Values, Values], float]) -> Callable[[Values, Values], float]:
    """Register a function of (field, truth), two meshes of one shape, in `SCORES`."""
    SCORES[function.__name__] = function
    return function


@score
def mse(field: Values, truth: Values) -> float:
    """Mean squared error."""
    return sum(float(((f - t) ** 2).sum()) for f, t in _slabs(field, truth)) / truth.size


@score
def mae(field: Values, truth: Values) -> float:
    """Mean absolute error."""
    return sum(float(np.abs(f - t).sum()) for f, t in _slabs(field, truth)) / truth.size


@score
def psnr(field: Values, truth: Values) -> float:
    """Peak signal-to-noise ratio 10 log10(L^2 / MSE) [dB], L = max - min of the truth."""
    span, error = _span(truth), mse(field, truth)
    if span == 0:
        return math.nan
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)


@score
def ssim(field: Values, truth: Values) -> float:
    """Structural similarity in 3D: uniform window of 7^3 cells, K1 = 0.01, K2 = 0.03, range L.

    The mean over the windows that lie within the mesh, as scikit-image takes it, slab by slab and
    several of them at a time.
    """
    from skimage.metrics import structural_similarity

    span, margin = _span(truth), SSIM_WINDOW // 2
    if span == 0:
        return math.nan

    def one(part: slice) -> tuple[float, int]:
        """Mean over the windows of a slab, and their planes."""
        f, t = field[part].astype(np.float64), truth[part].astype(np.float64)
        mean = structural_similarity(  # type: ignore[no-untyped-call]
            f, t, win_size=SSIM_WINDOW, data_range=span, gaussian_weights=False, K1=0.01, K2=0.03
        )
        return float(mean), len(t) - 2 * margin

    with Threads() as threads:
        found: list[tuple[float, int]] = threads.run(one, _parts(truth, _SSIM_CELLS, margin))
    return sum(mean * planes for mean, planes in found) / sum(planes for _, planes in found)


@score
def correlation(field: Values, truth: Values) -> float:
    """Pearson correlation coefficient of the cells."""
    mean_f, mean_t = field.mean(dtype=np.float64), truth.mean(dtype=np.float64)
    ff = tt = ft = 0.0
    for f, t in _slabs(field, truth):
        f -= mean_f
        t -= mean_t
        ff += float((f * f).sum())
        tt += float((t * t).sum())
        ft += float((f * t).sum())
    # The variance of a constant is only the rounding of its mean.
    floor = 1e-14 * truth.size
    if ff <= floor * mean_f**2 or tt <= floor * mean_t**2:
        return math.nan
    return ft / math.sqrt(ff * tt)


def _slabs(field: Values, truth: Values) -> Iterator[tuple[Values, Values]]:
    """Yield float64 copies of slabs."""
    for part in _parts(truth, _SLAB_CELLS):
        yield field[part].astype(np.float64), truth[part].astype(np.float64)


def _parts(truth: Values, cells: int, margin: int = 0) -> Iterator[slice]:
    """Yield planes of slabs of ``cells``, which share ``2 margin`` planes with their neighbours."""
    nx = truth.shape[0]
    step = max(1, cells // (truth.shape[1] * truth.shape[2]))
    for start in range(margin, nx - margin, step):
        yield slice(start - margin, min(start + step, nx - margin) + margin)


def _span(truth: Values) -> float:
    return float(truth.max()) - float(truth.min())


class Scores(Mapping[str, float]):
    """Scores by name, as a mapping and as attributes: ``scores["mse"]`` is ``scores.mse``."""

    def __init__(self, **values: float) -> None:
        self._values = values

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no score {name!r}; there are {', '.join(SCORES)}")
        return self._values[name]

    def __repr__(self) -> str:
        return f"Scores({', '.join(f'{name}={value:.6g}' for name, value in self.items())})"


def scores(
    field: Field, *, truth: Field, smoothing: float = 0.0, region: Region | None = None
) -> Scores:
    """All scores of an overdensity field against the truth.

    Parameters
    ----------
    field, truth : Field
        Of kind delta, on the same box.
    smoothing : float
        Standard deviation of a Gaussian that both whole fields are convolved with first [Mpc/h].
    region : (start, stop), optional
        Judge only the cells ``start <= i < stop`` of each axis. L and the mean are the region's.

    Returns
    -------
    Scores
        mse, mae, psnr [dB], ssim, correlation.

    Raises
    ------
    ValueError
        If a field is not of kind delta or holds NaN, the boxes differ, or a side of the region is
        shorter than the window of SSIM.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field, scores
    >>> rng = np.random.default_rng(1)
    >>> truth = Field(rng.normal(size=(16, 16, 16)), Box(64, cellsize=4))
    >>> field = Field(truth + 0.1, truth.box)
    >>> found = scores(field, truth=truth)
    >>> round(found.mse, 4), round(found.correlation, 4)
    (0.01, 1.0)
    """
    meshes = _meshes(field, truth, smoothing, region)
    _check_window(meshes[1].shape)
    return Scores(**{name: function(*meshes) for name, function in SCORES.items()})


@dataclass(frozen=True, eq=False)
class SubBoxScores:
    """Scores of the sub-boxes of a field.

    Attributes
    ----------
    starts : int array (n, 3)
        First cell of each sub-box on the mesh of the field.
    cells : (3,) ints
        Cells of a sub-box along each axis.
    values : dict of name to array (n,)
        The scores of each sub-box.
    covered : float
        Part of the region that the sub-boxes cover; the rest, at its upper ends, is too narrow for
        another one.
    """

    starts: NDArray[np.int64]
    cells: Mesh
    values: dict[str, NDArray[np.float64]]
    covered: float

    @property
    def num_boxes(self) -> int:
        """Number of sub-boxes."""
        return len(self.starts)

    @property
    def mean(self) -> Scores:
        """Mean over the sub-boxes."""
        return Scores(**{name: float(array.mean()) for name, array in self.values.items()})

    @property
    def sigma(self) -> Scores:
        """Scatter of the sub-boxes (n - 1 in the denominator).

        NaN for a single one, and for a score that is infinite in one of them.
        """
        with np.errstate(invalid="ignore"):
            return Scores(
                **{
                    name: float(array.std(ddof=1)) if array.size > 1 else math.nan
                    for name, array in self.values.items()
                }
            )

    @property
    def error(self) -> Scores:
        """Error of the mean, sigma / sqrt(number of sub-boxes)."""
        root = math.sqrt(self.num_boxes)
        return Scores(**{name: value / root for name, value in self.sigma.items()})

    def write(self, path: str | Path) -> None:
        """Write one row for each sub-box to an ECSV file, whole or not at all."""
        table = Table({"x": self.starts[:, 0], "y": self.starts[:, 1], "z": self.starts[:, 2]})
        for name in table.colnames:
            table[name].description = "first cell of the sub-box"
        for name, array in self.values.items():
            table[name] = array
        table.meta.update(
            {"truez": "SubBoxScores", "cells": list(self.cells), "covered": self.covered}
        )
        write_table(table, path)

    @classmethod
    def read(cls, path: str | Path) -> SubBoxScores:
        """Read a file that `write` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        FileNotFoundError
            If there is none.
        """
        table = read_table(path, cls.__name__)
        with whole(path):
            values = {name: np.asarray(table[name], np.float64) for name in table.colnames[3:]}
            starts = np.stack([np.asarray(table[name]) for name in ("x", "y", "z")], axis=1)
            nx, ny, nz = table.meta["cells"]
            return cls(starts, (nx, ny, nz), values, float(table.meta["covered"]))


def sub_box_scores(
    field: Field,
    *,
    truth: Field,
    cells: int | Sequence[int],
    smoothing: float = 0.0,
    region: Region | None = None,
) -> SubBoxScores:
    """Scores of every sub-box of ``cells`` cells a side, cut from the lower corner of the region.

    Parameters
    ----------
    field, truth, smoothing, region
        As in `scores`; smoothing comes before any cut. L of a sub-box is its own.
    cells : int or (3,) ints
        Cells of a sub-box along each axis.

    Raises
    ------
    ValueError
        As `scores`, or if no sub-box fits into the region.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field, sub_box_scores
    >>> rng = np.random.default_rng(1)
    >>> truth = Field(rng.normal(size=(16, 16, 16)), Box(64, cellsize=4))
    >>> found = sub_box_scores(Field(truth * 0.5, truth.box), truth=truth, cells=8)
    >>> found.num_boxes, found.mean.mse < 0.3
    (8, True)
    """
    given, target = _meshes(field, truth, smoothing, region)
    try:
        sides = [operator.index(n) for n in (cells if isinstance(cells, Iterable) else [cells] * 3)]
    except TypeError:
        sides = []
    if len(sides) != 3 or min(sides) < 1:
        raise ValueError(f"cells must be one positive whole number or three, not {cells!r}")
    side = (sides[0], sides[1], sides[2])
    _check_window(side)
    numbers = [n // c for n, c in zip(target.shape, side, strict=True)]
    if min(numbers) < 1:
        raise ValueError(
            f"no sub-box of {_by(side)} cells fits into a region of {_by(target.shape)} cells"
        )
    corners = np.stack(np.meshgrid(*map(np.arange, numbers), indexing="ij"), axis=-1)
    local = corners.reshape(-1, 3) * np.asarray(side)
    values = {name: np.empty(len(local)) for name in SCORES}
    for row, corner in enumerate(local):
        part = tuple(slice(c, c + n) for c, n in zip(corner, side, strict=True))
        for name, function in SCORES.items():
            values[name][row] = function(given[part], target[part])
    origin = (0, 0, 0) if region is None else region[0]
    covered = len(local) * math.prod(side) / target.size
    return SubBoxScores(local + np.asarray(origin), side, values, covered)


def _meshes(
    field: Field, truth: Field, smoothing: float, region: Region | None
) -> tuple[Values, Values]:
    """The two meshes of the region, smoothed before the region is cut out."""
    check_type(field, Field, "field", "make one with truez.Field(values, box)")
    check_type(truth, Field, "truth", "make one with truez.Field(values, box)")
    if field.box != truth.box:
        raise ValueError(
            f"field and truth must be on the same box, not {field.box} and {truth.box}"
        )
    meshes = []
    for name, given in (("field", field), ("truth", truth)):
        if given.kind != "delta":
            raise ValueError(
                f"{name} must be of kind delta, not {given.kind}: use Field.to_delta()"
            )
        if not math.isfinite(total(given.values)):
            raise ValueError(f"{name} must hold finite values only, but some are NaN or infinite")
        smooth = given.smooth(smoothing)
        meshes.append((smooth if region is None else smooth.crop(*region)).numpy())
    return meshes[0], meshes[1]


def _check_window(shape: Sequence[int]) -> None:
    if min(shape) < SSIM_WINDOW:
        raise ValueError(
            f"{_by(shape)} cells are too few for the window of SSIM: each side needs "
            f"{SSIM_WINDOW} or more"
        )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)
