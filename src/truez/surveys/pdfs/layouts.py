"""The layouts of p(z) that truez reads itself, and the forms that their numbers make.

================  ===========================  =================================================
layout            shared by all galaxies       of each galaxy
================  ===========================  =================================================
hist              ``bins`` (m + 1,)            ``pdfs`` (m,)
interp            ``xvals`` (m,)               ``yvals`` (m,)
interp_irregular  nothing                      ``xvals``, ``yvals`` (m,)
quant             ``quants`` (m,)              ``locs`` (m,)
norm              nothing                      ``loc``, ``scale``
mixmod            nothing                      ``means``, ``stds``, ``weights`` (m,)
================  ===========================  =================================================

The names are those of qp. Quantiles are points of a cumulative probability that is linear between
them. Beyond the first and the last one the density falls exponentially, from that beside them and
with the probability that is left there: quantiles are added where half of it is left, a quarter,
and so on. Were it to end instead, a seventh of real galaxies (COSMOS) would lie where three
quantiles have nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.surveys.pdfs.forms import Form, Gaussians, Lines, Steps

Array = NDArray[np.float64]
#: Quantiles that a tail has but for its end, each with half of the probability of the one before.
_HALVES = 12


#: Redshifts of the columns of densities that are known by their names: PHZ_PDF of Euclid is from 0
#: to 6 in steps of 0.01 (https://euclid.esac.esa.int/msp/dpdd, phz.photoZCatalog), PHZ_PHZ_PDF that
#: of the tables that IRSA has joined.
GRIDS = dict.fromkeys(("phz_pdf", "phz_phz_pdf"), np.linspace(0.0, 6.0, 601))


class PdfError(ValueError):
    """A file of p(z) that cannot be used; its message is one sentence for the user."""


@dataclass(frozen=True)
class Layout:
    """Names of the numbers of a layout.

    Parameters
    ----------
    grid : str
        Redshifts or probabilities that all galaxies share; empty where there are none.
    columns : tuple of str
        Of the numbers of each galaxy.
    more : int
        Numbers of the grid over those of each galaxy.
    """

    grid: str
    columns: tuple[str, ...]
    more: int = 0


LAYOUTS = {
    "hist": Layout("bins", ("pdfs",), 1),
    "interp": Layout("xvals", ("yvals",)),
    "interp_irregular": Layout("", ("xvals", "yvals")),
    "quant": Layout("quants", ("locs",)),
    "norm": Layout("", ("loc", "scale")),
    "mixmod": Layout("", ("means", "stds", "weights")),
}


def check_grid(layout: str, grid: Any, width: int, where: str) -> Array:
    """The grid of a layout, which must ascend and fit ``width`` numbers of each galaxy.

    Raises
    ------
    PdfError
        With ``where`` as the subject of the sentence.
    """
    shape = LAYOUTS[layout]
    values = np.asarray(grid)
    if values.dtype.kind not in "fiu":
        raise PdfError(f"{where} holds {shape.grid} that are no numbers: write them as floats")
    values = values.astype(np.float64).ravel()
    if len(values) != width + shape.more or width < (1 if shape.more else 2):
        raise PdfError(
            f"{where} has {len(values)} {shape.grid} for {width} {shape.columns[0]} of each "
            f"galaxy, where {layout} has {'one more' if shape.more else 'as many, two or more'}: "
            "write the file again"
        )
    if not (np.isfinite(values).all() and (np.diff(values) > 0).all()):
        raise PdfError(f"{where} has {shape.grid} that do not ascend or are not finite: sort them")
    if layout == "quant" and not (values[0] >= 0 and values[-1] <= 1):
        raise PdfError(
            f"{where} has {shape.grid} from {values[0]:g} to {values[-1]:g}, which must be "
            "probabilities from 0 to 1: divide percentages by 100"
        )
    return values


def form_of(layout: str, grid: Array | None, columns: Mapping[str, NDArray[Any]]) -> Form:
    """The form of the numbers (n, m) of some galaxies."""
    values = {
        name: np.asarray(numbers, np.float64).reshape(len(numbers), -1)
        for name, numbers in columns.items()
    }
    if layout == "hist":
        assert grid is not None
        return Steps(grid, values["pdfs"] * np.diff(grid))
    if layout == "interp":
        assert grid is not None
        return Lines(grid, values["yvals"])
    if layout == "interp_irregular":
        nodes = values["xvals"]
        same = len(nodes) and (nodes == nodes[0]).all() and (np.diff(nodes[0]) > 0).all()
        return Lines(nodes[0] if same else nodes, values["yvals"])
    if layout == "quant":
        assert grid is not None
        return quantile_steps(grid, values["locs"])
    if layout == "norm":
        return Gaussians(values["loc"], values["scale"], np.ones_like(values["loc"]))
    return Gaussians(values["means"], values["stds"], values["weights"])


def quantile_steps(levels: Array, places: Array) -> Steps:
    """Densities between quantiles.

    Parameters
    ----------
    levels : (m,) array
        Probabilities, ascending from 0 or above to 1 or below.
    places : (n, m) array
        Redshifts that they are reached at. Infinite ones at the probabilities 0 and 1 are replaced
        as if those quantiles were not given.
    """
    low, places = _tail(levels, places)
    # The upper end is the lower one of the mirrored p(z).
    high, mirrored = _tail(1 - low[::-1], -places[:, ::-1])
    levels, places = 1 - high[::-1], -mirrored[:, ::-1]
    mass = np.diff(levels)
    return Steps(places, np.broadcast_to(mass, (len(places), len(mass))))


def _tail(levels: Array, places: Array) -> tuple[Array, Array]:
    """Quantiles with those of the tail below the first one, down to 0."""
    if levels[0] == 0 and len(levels) > 2 and np.isneginf(places[:, 0]).any():
        bare = np.isneginf(places[:, 0])
        inner, tails = _tail(levels[1:], places[:, 1:])
        # Of the others nothing changes: they are linear between their first two quantiles.
        step = (places[:, 1:2] - places[:, :1]) * (inner[: _HALVES + 1] / levels[1])
        own = np.concatenate([places[:, :1] + step, places[:, 1:]], axis=1)
        return inner, np.where(bare[:, None], tails, own)
    if levels[0] == 0:
        return levels, places
    halves = np.arange(_HALVES + 1, 0, -1)
    shares = levels[0] * 0.5**halves
    shares[0] = 0.0
    with np.errstate(all="ignore"):  # of galaxies with a problem
        length = (places[:, 1] - places[:, 0]) * (levels[0] / (levels[1] - levels[0]))
        tail = places[:, :1] - np.log(2) * length[:, None] * halves
    return np.concatenate([shares, levels]), np.concatenate([tail, places], axis=1)
