"""Fluctuations fitted to simulated surveys, so that samples have the power of the truth.

In bins of (k_perp, k_par) the power of the samples' mean is brought to what it has in common with
the truth, P_mt = P_mm, by the contrast, and their spread to the power of its error by the spectrum
of the fluctuations. In each step ln tau gains ln(P_mt / P_mm), and ln T the ratio of what is wanted
and found beyond the spread of galaxies drawn one by one, smoothed over neighbouring bins. The
tables of `FluctuationModel` are fitted to all surveys at once.
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
class SampledPower:
    """Power of samples in the bins, (m, m) each [(Mpc/h)^3].

    Parameters
    ----------
    spread : array
        Of a sample about the mean of infinitely many.
    mean, common : array
        Of that mean, and what it has in common with the truth.
    """

    spread: Array
    mean: Array
    common: Array


@dataclass(frozen=True, eq=False)
class SampledSurvey:
    """A simulated survey, its reconstruction, and the truth of it.

    Parameters
    ----------
    surveys : Surveys
    intensity : Intensity
    model : LinearModel
    field : Field
        The truth.
    modes : (m, m) array
        Modes in each bin.
    truth : (m, m) array
        Power of the truth [(Mpc/h)^3].
    alone : (m, m) array
        Spread of galaxies that are drawn one by one [(Mpc/h)^3].
    """

    surveys: Surveys
    intensity: Intensity
    model: LinearModel
    field: Field
    modes: Array
    truth: Array
    alone: Array

    @classmethod
    def of(
        cls,
        surveys: Surveys,
        intensity: Intensity,
        model: LinearModel,
        *,
        truth: Field,
        config: FluctuationFit,
    ) -> SampledSurvey:
        """That of a survey with the truth of it."""
        measured = power_2d(truth, kperp_edges=EDGES, kpar_edges=EDGES)
        made = cls(
            surveys, intensity, model, truth, measured.nmodes.astype(np.float64),
            np.nan_to_num(measured.power), np.zeros(()),
        )  # fmt: skip
        return replace(made, alone=made.power(None, config).spread)

    def power(self, fluctuations: Fluctuations | None, config: FluctuationFit) -> SampledPower:
        """What samples with some fluctuations have."""
        number, mean = config.samples, None
        power = np.zeros((len(NODES), len(NODES)))
        for sample in drawn_fields(
            self.surveys, self.intensity, fluctuations, seed=config.seed, numbers=range(number)
        ):
            power += _power(sample)
            mean = sample.values if mean is None else mean.add_(sample.values)
        assert mean is not None
        mean.div_(number)
        of_mean = _power(Field(mean, self.surveys.box))
        of_error = _power(Field(self.field.values - mean, self.surveys.box))
        spread = (power - number * of_mean) / (number - 1)
        common = (of_mean + self.truth - of_error) / 2
        return SampledPower(spread, of_mean - spread / number, common)


def start_model(surveys: Sequence[SampledSurvey], *, amplitude: float = 0.6) -> FluctuationModel:
    """A model of T = amplitude everywhere, with the limits of these surveys."""
    m = len(NODES)
    tables = np.zeros((4, m, m))
    even = tuple(map(table_of, tables))
    tables[0] = np.log(amplitude)
    free = FluctuationModel(
        tuple(NODES), tuple(map(table_of, tables)), even, (-np.inf,) * 2, (np.inf,) * 2
    )
    conditions = np.array([free.conditions(survey.model) for survey in surveys])
    low, high = conditions.min(0), conditions.max(0)
    return replace(
        free, lowest=(float(low[0]), float(low[1])), highest=(float(high[0]), float(high[1]))
    )


def improved(
    model: FluctuationModel, surveys: Sequence[SampledSurvey], powers: Sequence[SampledPower]
) -> FluctuationModel:
    """The model after one step.

    Parameters
    ----------
    model : FluctuationModel
        Of wavenumbers `NODES`.
    surveys : sequence of SampledSurvey
        Those with the same conditions are summed.
    powers : sequence of SampledPower
        What `SampledSurvey.power` of each is with this model.
    """
    groups: dict[tuple[float, float], list[int]] = {}
    for number, survey in enumerate(surveys):
        density, error = model.conditions(survey.model)
        groups.setdefault((round(density, 1), round(error, 1)), []).append(number)
    steps = []
    for members in groups.values():
        row = np.mean([model.terms(surveys[i].model) for i in members], axis=0)
        steps.append((row, *_steps([surveys[i] for i in members], [powers[i] for i in members])))
    tables = np.asarray(model.tables) + _fitted([(row, step) for row, step, _ in steps])
    contrast = np.asarray(model.contrast) + _fitted([(row, step) for row, _, step in steps])
    return replace(
        model, tables=tuple(map(table_of, tables)), contrast=tuple(map(table_of, contrast))
    )


@dataclass(frozen=True)
class _Step:
    """What the logarithm of a table should gain, and the weight of each bin, (m, m) each."""

    gain: Array
    weight: Array

    @classmethod
    def of(cls, wanted: Array, found: Array, weight: Array) -> _Step:
        """That from what is found to what is wanted; nothing where either is not positive."""
        there = (found > 0) & (weight > 0)
        ratio = np.divide(wanted, found, where=there, out=np.ones_like(found))
        gain = np.log(ratio.clip(1 / _LARGEST_STEP, _LARGEST_STEP))
        return cls(np.where(there, gain, 0.0), np.where(there, weight, 0.0) + 1e-9)


def _steps(surveys: Sequence[SampledSurvey], powers: Sequence[SampledPower]) -> tuple[_Step, _Step]:
    """Those of ln T and of ln tau that some surveys want."""
    modes = np.sum([one.modes for one in surveys], axis=0)
    truth = np.mean([one.truth for one in surveys], axis=0)
    alone = np.mean([one.alone for one in surveys], axis=0)
    spread, mean, common = (
        np.mean([getattr(one, name) for one in powers], axis=0)
        for name in ("spread", "mean", "common")
    )

    def weight(power: Array) -> Array:
        share = np.divide(power, truth, where=modes > 0, out=np.zeros_like(power))
        weight: Array = share**2 * modes
        return weight

    # As P_tt - P_mm where P_mt = P_mm, with less scatter from universe to universe.
    error = truth - 2 * common + mean
    fluctuations = _Step.of(error - alone, spread - alone, weight(spread - alone))
    return fluctuations, _Step.of(common, mean, weight(mean))


def _fitted(steps: Sequence[tuple[Array, _Step]]) -> Array:
    """What four tables should gain, (4, m, m), of the steps of surveys with these terms (4,)."""
    shape = steps[0][1].gain.shape
    normal, wanted = np.zeros((4, 4, *shape)), np.zeros((4, *shape))
    for row, step in steps:
        wanted += row[:, None, None] * _smooth(step.weight * step.gain)
        normal += (row[:, None] * row)[:, :, None, None] * _smooth(step.weight)
    for axis in (1, 2, 3):
        normal[axis, axis] += _RIDGE * normal[0, 0]
    normal[0, 0] *= 1 + 1e-9
    change = np.linalg.solve(normal.transpose(2, 3, 0, 1), np.moveaxis(wanted, 0, -1)[..., None])
    return np.moveaxis(change[..., 0], -1, 0)


def _smooth(values: Array) -> Array:
    smoothed: Array = gaussian_filter(values, _SMOOTHING, mode="nearest")
    return smoothed


def _power(field: Field) -> Array:
    """P(k_perp, k_par) with its shot noise [(Mpc/h)^3]; 0 in bins without modes."""
    return np.nan_to_num(power_2d(field, kperp_edges=EDGES, kpar_edges=EDGES).power)
