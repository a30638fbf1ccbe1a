"""The linear optimum that the truth itself gives, and the one that an observer finds.

The spectra P_tt, P_ss and P_ts of truth and spectroscopic field are averaged over the boxes in bins
of (k, mu). Raw, they are too noisy where modes are few. So each is divided by the same bin of a
smooth model (the mean of what was fitted to the observed fields of the boxes), and the ratio, which
is close to 1 and changes slowly, is smoothed: natural splines in ln k times 1, mu^2 and mu^4, by
least squares with the number of modes as weight. Model times ratio are the spectra at every mode of
the mesh. Those of the photometric field follow, for it is the truth with every galaxy moved by
itself (C is the resampler's shot factor):

    P_tp = phi P_tt      P_sp = phi P_ts      P_pp = phi^2 P_tt + C (1 - phi^2) / n_p

Measured by themselves they would not fit the others: where phi is nearly 1, 1 - r_opt^2 is a
thousandth, and the scatter of a ratio more. At last, over the modes of a shell,

    1 - r_opt^2(k) = sum P_tt (1 - r_opt^2(k, mu)) / sum P_tt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from truez.evaluate.store import Optimum
from truez.linear.model import LinearModel, Spectra
from truez.linear.modes import mesh_modes
from truez.mesh.box import Box
from truez.mesh.fourier import hermitian_weights
from truez.statistics.binning import Floats, squared_edges
from truez.surveys.photoz import PhotozError

#: Spacing of the spline's knots in ln k, and prior widths: of a second difference between knots,
#: and of the terms in mu^2 and mu^4.
KNOT_SPACING, CURVATURE, ANISOTROPY = 0.4, 0.1, 0.5
#: Spectra that are taken from the truth.
_MEASURED = ("tt", "ss", "ts")
#: Powers of mu^2.
_POWERS = (0, 1, 2)
#: A spectrum is at least this share of the model.
_LOWEST = 0.05
_TABLE = 512


def model_from(values: dict[str, Any]) -> LinearModel:
    """A linear model from plain values, those of `dataclasses.asdict`."""
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    kept["error"] = PhotozError(**values["error"])
    return LinearModel(**kept)


def mean_model(models: Sequence[LinearModel]) -> LinearModel:
    """The mean of models with the same table of k and the same photo-z error."""
    first = models[0]
    kept: dict[str, Any] = {}
    for item in fields(LinearModel):
        values = [getattr(model, item.name) for model in models]
        if isinstance(values[0], tuple):
            kept[item.name] = tuple(np.mean(values, axis=0).tolist())
        elif isinstance(values[0], float):
            kept[item.name] = float(np.mean(values))
        else:
            kept[item.name] = getattr(first, item.name)
    return LinearModel(**kept)


def optimum_of(
    spectra: dict[str, Floats], model: LinearModel, box: Box, *, edges: Floats, num_boxes: int
) -> Optimum:
    """The optimum that measured spectra ``tt``, ``ss`` and ``ts`` (n, num_mu) give.

    They are means over ``num_boxes`` boxes, shot noise included [(Mpc/h)^3], of fields on the mesh
    of ``box`` in bins with the ``edges`` (n + 1,) of k [h/Mpc], and are divided by those of the
    model.
    """
    shape = spectra["tt"].shape
    bins = _Bins(edges, shape[1])
    modes, k, mu2 = (np.zeros(bins.size) for _ in range(3))
    expected = {name: np.zeros(bins.size) for name in _MEASURED}
    for wave, along, found, weights in _modes(model, box):
        cosine2 = _cosine2(wave, along)
        index, inside = bins.index(wave, cosine2)
        modes += _sums(index, weights, inside, bins.size)
        k += _sums(index, weights * wave, inside, bins.size)
        mu2 += _sums(index, weights * cosine2, inside, bins.size)
        for name, total in expected.items():
            total += _sums(index, weights * getattr(found, name), inside, bins.size)
    known = modes > 0
    number = modes[known]
    place, mu2 = np.log(k[known] / number), mu2[known] / number
    grid = np.linspace(place.min(), place.max(), _TABLE)
    tables = {}
    for name, total in expected.items():
        ratio = spectra[name].reshape(-1)[known] / (total[known] / number)
        # The same weights for all three, so that what they share cancels in r_opt.
        tables[name] = torch.from_numpy(_smooth(place, mu2, ratio, num_boxes * number / 2, grid))
    power, lost = np.zeros(bins.size), np.zeros(bins.size)
    for wave, along, found, weights in _modes(model, box):
        cosine2 = _cosine2(wave, along)
        index, inside = bins.index(wave, cosine2)
        ratios = {name: _ratio(table, grid, wave, cosine2) for name, table in tables.items()}
        truth = _with_photo(found, ratios, model.error.characteristic(along))
        here = truth.tt * weights
        power += _sums(index, here, inside, bins.size)
        share = 1 - truth.coherence().clamp(0, 1)
        lost += _sums(index, here * share, inside, bins.size)
    return Optimum(power.reshape(shape), lost.reshape(shape))


def _with_photo(model: Spectra, ratios: dict[str, Tensor], phi: Tensor) -> Spectra:
    """All six spectra, from the model and what its first three are multiplied with."""
    tt, ss, ts = (getattr(model, name) * ratios[name] for name in _MEASURED)
    noise = model.pp - phi**2 * model.tt
    return Spectra(tt=tt, ss=ss, pp=phi**2 * tt + noise, ts=ts, tp=phi * tt, sp=phi * ts)


class _Bins:
    """Bins of (k, |mu|), flattened; each holds its lower edge, the last mu both."""

    def __init__(self, edges: Floats, num_mu: int) -> None:
        self.k2 = torch.from_numpy(squared_edges(edges)[:-1])
        self.mu2 = torch.from_numpy(squared_edges(np.linspace(0, 1, num_mu + 1))[:-1])
        self.num_k, self.num_mu = len(edges) - 1, num_mu
        self.size = self.num_k * num_mu

    def index(self, k: Tensor, mu2: Tensor) -> tuple[Tensor, Tensor]:
        """(number of the bin, whether it is one) of each mode, flattened."""
        row = torch.bucketize((k**2).flatten(), self.k2, right=True) - 1
        column = torch.bucketize(mu2.flatten(), self.mu2, right=True) - 1
        inside = (row >= 0) & (row < self.num_k) & (k.flatten() > 0)
        return row * self.num_mu + column.clamp(max=self.num_mu - 1), inside


def _sums(index: Tensor, values: Tensor, inside: Tensor, size: int) -> NDArray[np.float64]:
    total = torch.bincount(index[inside], values.flatten()[inside], size)
    result: NDArray[np.float64] = total.numpy()
    return result


def _modes(model: LinearModel, box: Box) -> Iterator[tuple[Tensor, Tensor, Spectra, Tensor]]:
    """Walk the half mesh: (k, k_par, spectra, Hermitian weights)."""
    for _, k, k_par, window, shot in mesh_modes(box, model.resampler):
        weights = hermitian_weights(box.meshsize[2]).expand(k.shape)
        yield k, k_par, model.spectra(k, k_par, window, shot), weights


def _cosine2(k: Tensor, k_par: Tensor) -> Tensor:
    return (k_par / k.clamp(min=1e-12)) ** 2


def _smooth(
    place: Floats, mu2: Floats, ratio: Floats, weight: Floats, grid: Floats
) -> NDArray[np.float64]:
    """The factors of 1, mu^2 and mu^4 on a grid of ln k, shape (3, len(grid))."""
    num = max(math.ceil((grid[-1] - grid[0]) / KNOT_SPACING) + 1, 4)
    knots = np.linspace(grid[0], grid[-1], num)
    splines = CubicSpline(knots, np.eye(num), bc_type="natural")
    basis = splines(place)
    design = np.concatenate([basis * mu2[:, None] ** power for power in _POWERS], axis=1)
    second = np.diff(np.eye(num), 2, axis=0)
    curvature = second.T @ second / CURVATURE**2
    prior = np.zeros((3 * num, 3 * num))
    for power in _POWERS:
        part = slice(power * num, (power + 1) * num)
        level = 1e-4 if power == 0 else ANISOTROPY**-2
        prior[part, part] = curvature + level * np.eye(num)
    weighted = design * weight[:, None]
    solution = np.linalg.solve(design.T @ weighted + prior, weighted.T @ (ratio - 1))
    result: NDArray[np.float64] = solution.reshape(3, num) @ splines(grid).T
    result[0] += 1
    return result


def _ratio(table: Tensor, grid: Floats, k: Tensor, mu2: Tensor) -> Tensor:
    """What a spectrum of the model is multiplied with."""
    step = grid[1] - grid[0]
    where = ((torch.log(k.clamp(min=1e-12)) - grid[0]) / step).clamp(0, len(grid) - 1)
    low = where.long().clamp(max=len(grid) - 2)
    part = where - low
    result = torch.zeros_like(k)
    for coefficients, power in zip(table, _POWERS, strict=True):
        result += torch.lerp(coefficients[low], coefficients[low + 1], part) * mu2**power
    return result.clamp(min=_LOWEST)
