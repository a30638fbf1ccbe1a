"""Fluctuations fitted to simulated surveys, so that samples spread as much as the estimate errs.

The spread of n samples is n / (n - 1) times the mean of their power less the power of their mean.
In bins of (k_perp, k_par) it is brought to the power of the estimate's error, by steps in which
ln T gains the ratio of what is wanted and found beyond the spread of galaxies drawn one by one,
smoothed over neighbouring bins. The tables of `FluctuationModel` are fitted to all surveys at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting
from scipy.ndimage import gaussian_filter

from truez.linear.model import LinearModel
from truez.mesh.field import Field
from truez.sightlines.drawn import drawn_fields
from truez.sightlines.fluctuation_model import FluctuationModel
from truez.sightlines.fluctuations import Fluctuations, table_of
from truez.sightlines.intensity import Intensity
from truez.statistics.power import power_2d
from truez.support.settings import Settings
from truez.surveys.surveys import Surveys

Array = NDArray[np.float64]
#: Edges of the bins of k_perp and k_par [h/Mpc].
EDGES = np.array(
    [0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.6, 2.3]
)  # fmt: skip
#: Wavenumbers that the bins are for.
NODES = np.concatenate([[EDGES[1] / 2], np.sqrt(EDGES[1:-1] * EDGES[2:])])
#: Wanted and found differ by at most this factor in a step.
_LARGEST_STEP = 3.0
#: Standard deviation of the smoothing [bins].
_SMOOTHING = 0.9
#: Weight of tables t_1, t_2 and t_3 of zero, as a share of that of the surveys.
_RIDGE = 0.02


class FluctuationFit(Settings):
    """Settings of a fit.

    Parameters
    ----------
    samples : int
        Of each survey in a step.
    seed : int
    """

    samples: Annotated[int, Setting(ge=2)] = 4
    seed: Annotated[int, Setting(ge=0, lt=2**31)] = 0


@dataclass(frozen=True, eq=False)
class SampledSurvey:
    """A simulated survey, its reconstruction, and the power of what is wrong with it.

    Parameters
    ----------
    surveys : Surveys
    intensity : Intensity
    model : LinearModel
    modes : (m, m) array
        Modes in each bin.
    error, truth, alone : (m, m) arrays
        Power of the estimate's error and of the truth, and the spread of galaxies that are drawn
        one by one [(Mpc/h)^3].
    """

    surveys: Surveys
    intensity: Intensity
    model: LinearModel
    modes: Array
    error: Array
    truth: Array
    alone: Array

    @classmethod
    def of(
        cls,
        surveys: Surveys,
        intensity: Intensity,
        model: LinearModel,
        *,
        estimate: Field,
        truth: Field,
        config: FluctuationFit,
    ) -> SampledSurvey:
        """That of a survey with its estimate and the truth of it."""
        error = Field(truth.values - estimate.values, truth.box)
        measured = power_2d(truth, kperp_edges=EDGES, kpar_edges=EDGES)
        return cls(
            surveys, intensity, model, measured.nmodes.astype(np.float64), _power(error),
            np.nan_to_num(measured.power), _spread(surveys, intensity, None, config),
        )  # fmt: skip

    def spread(self, fluctuations: Fluctuations | None, config: FluctuationFit) -> Array:
        """Power of samples about their mean, (m, m) [(Mpc/h)^3]."""
        return _spread(self.surveys, self.intensity, fluctuations, config)


def _spread(
    surveys: Surveys,
    intensity: Intensity,
    fluctuations: Fluctuations | None,
    config: FluctuationFit,
) -> Array:
    number, mean = config.samples, None
    power = np.zeros((len(NODES), len(NODES)))
    for sample in drawn_fields(
        surveys, intensity, fluctuations, seed=config.seed, numbers=range(number)
    ):
        power += _power(sample)
        mean = sample.values if mean is None else mean.add_(sample.values)
    assert mean is not None
    power -= number * _power(Field(mean.div_(number), surveys.box))
    return power / (number - 1)


def start_model(surveys: Sequence[SampledSurvey], *, amplitude: float = 0.6) -> FluctuationModel:
    """A model of T = amplitude everywhere, with the limits of these surveys."""
    m = len(NODES)
    tables = np.zeros((4, m, m))
    tables[0] = np.log(amplitude)
    free = FluctuationModel(
        tuple(NODES), tuple(map(table_of, tables)), (-np.inf,) * 2, (np.inf,) * 2
    )
    conditions = np.array([free.conditions(survey.model) for survey in surveys])
    low, high = conditions.min(0), conditions.max(0)
    return replace(
        free, lowest=(float(low[0]), float(low[1])), highest=(float(high[0]), float(high[1]))
    )


def improved(
    model: FluctuationModel, surveys: Sequence[SampledSurvey], spread: Sequence[Array]
) -> FluctuationModel:
    """The model after one step.

    Parameters
    ----------
    model : FluctuationModel
        Of wavenumbers `NODES`.
    surveys : sequence of SampledSurvey
        Those with the same conditions are summed.
    spread : sequence of (m, m) arrays
        What `SampledSurvey.spread` of each is with this model [(Mpc/h)^3].
    """
    groups: dict[tuple[float, float], list[int]] = {}
    for number, survey in enumerate(surveys):
        density, error = model.conditions(survey.model)
        groups.setdefault((round(density, 1), round(error, 1)), []).append(number)
    shape = surveys[0].modes.shape
    normal, wanted = np.zeros((4, 4, *shape)), np.zeros((4, *shape))
    for members in groups.values():
        step, weight = _log_ratio([surveys[i] for i in members], [spread[i] for i in members])
        row = np.mean([model.terms(surveys[i].model) for i in members], axis=0)
        wanted += row[:, None, None] * _smooth(weight * step)
        normal += (row[:, None] * row)[:, :, None, None] * _smooth(weight)
    for axis in (1, 2, 3):
        normal[axis, axis] += _RIDGE * normal[0, 0]
    normal[0, 0] *= 1 + 1e-9
    change = np.linalg.solve(normal.transpose(2, 3, 0, 1), np.moveaxis(wanted, 0, -1)[..., None])[
        ..., 0
    ]
    tables = np.asarray(model.tables) + np.moveaxis(change, -1, 0)
    return replace(model, tables=tuple(map(table_of, tables)))


def _log_ratio(surveys: Sequence[SampledSurvey], spread: Sequence[Array]) -> tuple[Array, Array]:
    """ln of wanted over found fluctuations of some surveys, and the weight of each bin."""
    modes = np.sum([one.modes for one in surveys], axis=0)
    truth = np.mean([one.truth for one in surveys], axis=0)
    wanted = np.mean([one.error - one.alone for one in surveys], axis=0)
    found = np.mean([some - one.alone for one, some in zip(surveys, spread, strict=True)], axis=0)
    there = (modes > 0) & (found > 0)
    ratio = np.divide(wanted, found, where=there, out=np.ones_like(found))
    weight = np.divide(found, truth, where=there, out=np.zeros_like(found)) ** 2 * modes
    step = np.log(ratio.clip(1 / _LARGEST_STEP, _LARGEST_STEP))
    return np.where(there, step, 0.0), np.where(there, weight, 0.0) + 1e-9


def _smooth(values: Array) -> Array:
    smoothed: Array = gaussian_filter(values, _SMOOTHING, mode="nearest")
    return smoothed


def _power(field: Field) -> Array:
    """P(k_perp, k_par) with its shot noise [(Mpc/h)^3]; 0 in bins without modes."""
    return np.nan_to_num(power_2d(field, kperp_edges=EDGES, kpar_edges=EDGES).power)
