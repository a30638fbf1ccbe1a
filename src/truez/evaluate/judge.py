"""One judge: a field, the truth and a region give numbers, as `truez.evaluate.store` keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from truez.mesh.box import Box, Mesh, Region
from truez.mesh.field import Field
from truez.statistics.binning import Floats, check_edges
from truez.statistics.power import compare_mu, default_edges, power
from truez.statistics.scores import SCORES, SSIM_WINDOW, SubBoxScores, sub_box_scores

#: Bins of mu.
NUM_MU = 10
#: Parts of equal size that sigma is judged in.
DECILES = 10
#: Growth of the bins of k in figures, beyond which they are one fundamental wide [fraction of k].
BIN_GROWTH = 0.1


class Judge:
    """What fields are compared with.

    Parameters
    ----------
    truth : Field
        The overdensity in true redshift space, on the whole box.
    region : pair of cell triples (start, stop), optional
        Where fields are judged; the whole box by default. Smoothing happens before the cut.
    radii : sequence of float
        Gaussian radii that both fields are smoothed with besides [Mpc/h]; 0 among them is nothing.
    edges : array (n + 1,), optional
        Shells of k [h/Mpc]; `truez.statistics.power.default_edges` otherwise.
    cells : function of a Box, or (3,) ints, optional
        Cells of a sub-box, such as by `sub_box_cells`; none are judged where it gives None.
    scores : sequence of str
        The scores of whole fields, of `truez.statistics.scores.SCORES`; sub-boxes have all.
    ells : sequence of int
        Multipoles that are kept of each field; each field then takes one more transform.

    Raises
    ------
    ValueError
        If the truth is no finite overdensity or constant over the region, the region does not lie
        in the box, or a shell holds no mode.
    """

    def __init__(
        self,
        truth: Field,
        *,
        region: Region | None = None,
        radii: Sequence[float] = (4.0, 8.0),
        edges: ArrayLike | None = None,
        cells: Callable[[Box], Mesh | None] | Mesh | None = None,
        scores: Sequence[str] = tuple(SCORES),
        ells: Sequence[int] = (),
    ) -> None:
        check_overdensity("truth", truth, truth.box)
        self.whole, self.region = truth, region
        self.truth = self.cut(truth)
        self.variance = _variance(self.truth)
        if self.variance == 0:
            raise ValueError("truth is constant over the region: there is no structure to judge")
        box = self.truth.box
        if "ssim" in scores and min(box.meshsize) < SSIM_WINDOW:
            raise ValueError(
                f"the region must have {SSIM_WINDOW} cells or more on each side for SSIM, not "
                f"{' x '.join(map(str, box.meshsize))}"
            )
        self.radii = sorted({float(radius) for radius in radii} - {0.0})
        self.edges = default_edges(box) if edges is None else check_edges(edges)
        self.cells = cells(box) if callable(cells) else cells
        self.scores, self.ells = tuple(scores), tuple(ells)

    def cut(self, whole: Field) -> Field:
        """The region of a field."""
        return whole if self.region is None else whole.crop(*self.region)

    @cached_property
    def smoothed(self) -> dict[float, Field]:
        """The truth in the region, smoothed with each radius [Mpc/h]."""
        return {radius: self.cut(self.whole.smooth(radius)) for radius in self.radii}

    def of_truth(self) -> dict[str, Any]:
        """The bins, and the numbers of the truth itself.

        Raises
        ------
        ValueError
            If a shell holds no mode.
        """
        found = compare_mu(self.truth, truth=self.truth, edges=self.edges, num_mu=NUM_MU)
        nmodes = found.nmodes.sum(axis=1)
        if not nmodes.all():
            raise ValueError(
                f"edges must hold modes in every bin, but {(nmodes == 0).sum()} of {len(nmodes)} "
                "hold none in the region: make them wider"
            )
        return {
            "mean": float(self.truth.values.double().mean()),
            "variance": self.variance,
            "smoothed_variance": {str(r): _variance(field) for r, field in self.smoothed.items()},
            "sub_box_cells": None if self.cells is None else list(self.cells),
            "edges": self.edges,
            "k": found.k,
            "mu": found.mu,
            "nmodes": found.nmodes,
            "power": found.power_tt,
            **self._poles(self.truth),
        }

    def constant(self, value: float) -> dict[str, Any]:
        """The numbers of a field of one value, which has no spectrum, nor changes by smoothing."""
        flat = self.flat(value)
        return self._scores(flat, lambda _: flat)

    def flat(self, value: float) -> Field:
        """A field of one value, in the region."""
        return Field(torch.full_like(self.truth.values, value), self.truth.box, "delta")

    def judge(
        self,
        field: Field,
        *,
        sigma: Tensor | float | None = None,
        posteriors: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """All numbers of an overdensity on the whole box.

        Parameters
        ----------
        field : Field
        sigma : Tensor (nx, ny, nz) or float, optional
            Standard deviation of its error, of each cell or of all.
        posteriors : mapping, optional
            Numbers of its redshifts, such as ``nats``, to be kept with the others.
        """
        here = self.cut(field)
        found = compare_mu(here, truth=self.truth, edges=self.edges, num_mu=NUM_MU)
        entry = self._scores(here, lambda radius: self.cut(field.smooth(radius)))
        entry |= {"power": found.power_rr, "cross": found.power_rt, **self._poles(here)}
        if isinstance(sigma, Tensor):
            width = self.cut(Field(sigma, field.box, "delta")).values
            entry["sigma_calibration"] = sigma_calibration(self.truth, here, width)
        elif sigma:
            error = float((self.truth.values - here.values).double().var(correction=0))
            entry["sigma_calibration"] = {"all": error / sigma**2}
        if posteriors is not None:
            entry["posteriors"] = dict(posteriors)
        return entry

    def sub_boxes(self, here: Field) -> SubBoxScores:
        """Scores of the sub-boxes of a field in the region, of a judge that has sub-boxes."""
        assert self.cells is not None
        return sub_box_scores(here, truth=self.truth, cells=self.cells)

    def _poles(self, here: Field) -> dict[str, Any]:
        if not self.ells:
            return {}
        poles = power(here, edges=self.edges, ells=self.ells).poles
        return {"poles": {str(ell): pole for ell, pole in poles.items()}}

    def _scores(self, here: Field, smooth: Callable[[float], Field]) -> dict[str, Any]:
        whole = self._score(here, self.truth)
        boxes = None if self.cells is None else self.sub_boxes(here)
        parts = ("mean", "sigma", "error")
        return {
            "mean": float(here.values.double().mean()),
            **whole,
            "mse_over_variance": whole["mse"] / self.variance,
            "smoothed": {
                str(radius): self._score(smooth(radius), truth)
                for radius, truth in self.smoothed.items()
            },
            "sub_boxes": None
            if boxes is None
            else {n: {part: getattr(boxes, part)[n] for part in parts} for n in boxes.values},
        }

    def _score(self, field: Field, truth: Field) -> dict[str, float]:
        values, target = field.numpy(), truth.numpy()
        return {name: SCORES[name](values, target) for name in self.scores}


def check_overdensity(name: str, given: Field, box: Box) -> None:
    """Refuse what is no finite overdensity on a box."""
    if given.kind != "delta":
        raise ValueError(f"{name} must be an overdensity, not {given.kind}: use Field.to_delta()")
    if given.box != box:
        raise ValueError(
            f"{name} lies on another box ({given.box}) than the truth ({box}): "
            "make both on the same one"
        )
    broken = given.values.numel() - int(torch.isfinite(given.values).sum())
    if broken:
        raise ValueError(f"{name} holds {broken} cells that are not finite: correct them first")


def sub_box_cells(
    box: Box, sides: Sequence[float] = (200.0, 100.0, 50.0, 25.0), *, least: int = 2
) -> Mesh | None:
    """Cells of sub-boxes: equal parts of each axis, so that next to nothing is left out.

    Of the wanted sides [Mpc/h] the first is taken of which the box holds ``least``. None where the
    box holds too few, or they are too small for the window of SSIM.
    """
    for wanted in sides:
        x, y, z = (
            n // max(round(side / wanted), 1)
            for n, side in zip(box.meshsize, box.boxsize, strict=True)
        )
        if math.prod(n // c for n, c in zip(box.meshsize, (x, y, z), strict=True)) >= least:
            return (x, y, z) if min(x, y, z) >= SSIM_WINDOW else None
    return None


def edges_of(box: Box) -> Floats:
    """Shells of k for figures [h/Mpc]: one fundamental wide as `default_edges`, 10% from there."""
    width = sorted(box.fundamental)[1]
    edges = [0.0, 1.5 * width]
    while edges[-1] < box.nyquist:
        edges.append(edges[-1] + max(width, BIN_GROWTH * edges[-1]))
    # The last one may reach beyond the Nyquist wavenumber.
    return np.array(edges if len(edges) == 2 else edges[:-1], dtype=np.float64)


def sigma_calibration(truth: Field, field: Field, sigma: Tensor) -> dict[str, Any]:
    """Variance of (truth - estimate) / sigma in deciles of sigma, 1 where sigma is right.

    Cells of sigma 0, where no galaxy may be, are left out.
    """
    known = sigma.numpy() > 0
    width = sigma.numpy()[known]
    pull = (truth.numpy()[known].astype(np.float64) - field.numpy()[known]) / width
    edges = np.quantile(width, np.linspace(0, 1, DECILES + 1)[1:-1])
    index = np.searchsorted(edges, width, side="right")
    number = np.bincount(index, minlength=DECILES)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(index, pull, DECILES) / number
        square = np.bincount(index, pull**2, DECILES) / number
        levels = np.bincount(index, width, DECILES) / number
    return {
        "sigma": levels,
        "variance": square - mean**2,
        "all": float(pull.var()),
        "share": float(known.mean()),
    }


def _variance(field: Field) -> float:
    return float(field.values.double().var(correction=0))
