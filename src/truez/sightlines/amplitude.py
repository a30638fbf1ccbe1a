"""How much of an estimated overdensity the photo-z themselves want: the amplitude of lambda.

The intensity is ``lambda = max(1 + a delta, floor)``. Galaxies with expected counts N_j in the
cells of their sight lines and p(photo-z | cell j) = K_ij have the likelihood of a Poisson process,

    ln L(a) = sum over galaxies of ln[ sum_j N_j lambda_j K_ij ]  -  sum over cells of N lambda V,

with V the probability that a galaxy of a cell is in the sample at its photo-z. No true redshift
enters. Its maximum corrects the amplitude of a delta of galaxies with another bias, and errors of
the linear model; where delta is right it is at a = 1. Of very many galaxies an even selection is
used, and as large a share of the expected ones.

**Relative.** p(z) of a code that was trained on galaxies of the same field know its peaks already,
and completeness that the footprint does not have is in both surveys: they would pass for
agreement. A fit that is relative in ``redshift`` leaves out what the intensity is on average at
each redshift, B_j, and one in ``sky`` what it is on each sight line, A_i (1 otherwise):

    ln L(a) = sum over galaxies of ln[ sum_j N_j lambda_j / (A_i B_j) K_ij ],

with ``B_j = sum N lambda / sum N`` over the sight lines and ``A_i = sum_j N_j V_j lambda_j / B_j``.
A_i costs a part of the structure where sight lines are short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.posteriors import CellsBeyond, interpolated
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: What is found, by the names of the metadata.
AMPLITUDE = ("amplitude", "amplitude_error", "amplitude_gain")
#: Step of the amplitudes that are tried first, with those halfway, and the highest one.
_STEP, _HIGHEST = 0.25, 2.0
#: Cells of likelihoods that are worked on at a time.
CHUNK_CELLS = 2**18
#: Of more galaxies than these an even selection is used: the error of `a` is 0.01 by then.
MOST_GALAXIES = 2**17


@dataclass(frozen=True)
class Amplitude:
    """The amplitude that maximises the likelihood of photo-z.

    Parameters
    ----------
    value : float
        From 0 to 2.
    error : float
        Its standard deviation, from the curvature; nan at an end.
    gain : float
        ln L above that of ``a = 0``, over the number of galaxies [nats].
    """

    value: float
    error: float
    gain: float


@dataclass(frozen=True, eq=False, kw_only=True)
class AmplitudeSample:
    """Galaxies on the sight lines of a box, for the fit of an amplitude.

    Parameters
    ----------
    box, positions, likelihood
        As in `truez.sightlines.posteriors.walk_rows`; the galaxies must be those that ``expected``
        and ``visible`` count, without those of known redshift that ``delta`` is made of.
    delta : Tensor (nx, ny, nz)
    expected : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per cell.
    visible : Tensor, broadcastable to (nx, ny, nz), optional
        V: the probability that a galaxy of a cell is among these, where they were chosen by photo-z
        or place on the sky; 1 by default.
    beyond : CellsBeyond, optional
        As in `truez.sightlines.posteriors.walk_rows`.
    """

    box: Box
    positions: NDArray[np.floating]
    likelihood: Callable[[NDArray[np.int64]], Tensor | NDArray[np.floating]]
    delta: Tensor
    expected: Tensor
    visible: Tensor | None = None
    beyond: CellsBeyond | None = None

    def __post_init__(self) -> None:
        if tuple(self.delta.shape) != self.box.meshsize:
            raise ValueError(
                f"delta must be of the mesh {self.box.meshsize}, not {tuple(self.delta.shape)}"
            )


def fit_amplitude(
    samples: AmplitudeSample | Iterable[AmplitudeSample],
    *,
    floor: float = 0.05,
    relative: Collection[str] = (),
    progress: Progress = silent,
) -> Amplitude:
    """Fit the amplitude of an overdensity to the photo-z of galaxies.

    Parameters
    ----------
    samples : AmplitudeSample or several
        Of one box, or of the boxes of several patches that share the amplitude.
    floor : float
        Lowest intensity.
    relative : collection of {"redshift", "sky"}
        Leave out what the intensity is on average at each redshift, on each sight line: see above.
    progress : Progress

    Returns
    -------
    Amplitude

    Raises
    ------
    ValueError
        If there are no galaxies, none of which lies where galaxies are expected, or the floor is
        not positive.
    """
    given = [samples] if isinstance(samples, AmplitudeSample) else list(samples)
    num = sum(len(sample.positions) for sample in given)
    fit = AmplitudeFit(floor=floor, ways=[relative], num_galaxies=num, progress=progress)
    for sample in given:
        fit.add(sample)
    return fit.result()


class AmplitudeSums(NamedTuple):
    """What an `AmplitudeFit` has been given: ln L (ways, k), galaxies, and those that it used."""

    log_likelihood: Array
    num_given: int
    num: int


class AmplitudeFit:
    """The fit of an amplitude to samples that are given one after the other, and not kept.

    Parameters
    ----------
    floor : float
        Lowest intensity.
    ways : sequence of collections of {"redshift", "sky"}
        What the amplitude is relative to, as of `fit_amplitude`, in one way or several; each sample
        has its own averages.
    num_galaxies : int
        About how many there will be; of very many, one in so many is used.
    progress : Progress

    Attributes
    ----------
    num_given : int
        Galaxies that were added.

    Raises
    ------
    ValueError
        If the floor is not between 0 and 1.
    """

    def __init__(
        self, *, floor: float = 0.05, ways: Sequence[Collection[str]] = ((),),
        num_galaxies: int = 0,
        progress: Progress = silent,
    ) -> None:  # fmt: skip
        if not 0 < floor < 1:
            raise ValueError(f"floor must be between 0 and 1, not {floor!r}")
        for way in ways:
            if not set(way) <= {"redshift", "sky"}:
                raise ValueError(f"relative must be of redshift and sky, not {way!r}")
        self.floor, self.ways, self.progress = floor, [frozenset(way) for way in ways], progress
        self.every = max(1, math.ceil(num_galaxies / MOST_GALAXIES))
        self.amplitudes = np.asarray(_STEP / 2 * np.arange(round(2 * _HIGHEST / _STEP) + 1))
        self._found = np.zeros((len(ways), len(self.amplitudes)))
        self.num_given = self._num = 0

    def add(self, sample: AmplitudeSample) -> None:
        """Add the galaxies of a sample."""
        problem = _Problem(sample, self.floor, self.every, self.progress, self.ways)
        self._found += problem.log_likelihood(self.amplitudes)
        self.num_given += len(sample.positions)
        self._num += problem.num

    def sums(self) -> AmplitudeSums:
        """What has been added so far, which `add_sums` of another fit adds to that one."""
        return AmplitudeSums(self._found, self.num_given, self._num)

    def add_sums(self, sums: AmplitudeSums) -> None:
        """Add what another fit of the same floor and ways was given."""
        self._found = self._found + sums.log_likelihood
        self.num_given += sums.num_given
        self._num += sums.num

    def result(self, way: int = 0) -> Amplitude:
        """The amplitude of all galaxies in one way; raises ValueError where there are none."""
        if not self.num_given:
            raise ValueError("there are no galaxies to fit the amplitude to")
        if not self._num:
            raise ValueError(
                "none of the galaxies to fit the amplitude to lies where galaxies are expected: "
                "check the footprint and N(z)"
            )
        found, num = self._found[way], self._num
        # The highest of every other one, and then of it and its neighbours.
        best = 2 * int(np.argmax(found[::2]))
        if best in (0, len(found) - 1):
            return Amplitude(float(self.amplitudes[best]), math.nan, (found[best] - found[0]) / num)
        middle = best - 1 + int(np.argmax(found[best - 1 : best + 2]))
        # A parabola through three.
        low, high, half = found[middle - 1], found[middle + 1], _STEP / 2
        curvature = (low - 2 * found[middle] + high) / half**2
        shift = (low - high) / (2 * half * curvature)
        value = self.amplitudes[best] + half * (middle - best) + shift
        top = found[middle] - 0.5 * curvature * shift**2
        return Amplitude(float(value), float((-curvature) ** -0.5), (top - found[0]) / num)


class _Problem:
    """ln L of some amplitudes in some ways, of one galaxy in ``every`` so many."""

    def __init__(
        self, sample: AmplitudeSample, floor: float, every: int, progress: Progress,
        ways: Sequence[Collection[str]],
    ) -> None:  # fmt: skip
        self.sample, self.floor, self.progress, self.ways = sample, floor, progress, ways
        mesh = sample.box.meshsize
        self.expected = sample.expected.expand(mesh)
        visible = torch.ones(1) if sample.visible is None else sample.visible
        self.visible = visible.expand(mesh)
        self.rows = np.arange(0, len(sample.positions), every)
        self.num = 0

    def log_likelihood(self, amplitudes: Array) -> Array:
        """ln L of each amplitude in each way, (ways, k)."""
        sample, result = self.sample, np.zeros((len(self.ways), len(amplitudes)))
        share, num = len(self.rows) / max(len(sample.positions), 1), len(self.rows)
        counted, means = self._over_sight_lines(amplitudes)
        result[[not way for way in self.ways]] = -share * counted
        step = max(1, CHUNK_CELLS // sample.box.meshsize[2])
        self.num = 0
        for first in range(0, num, step):
            self.progress("amplitude", first, num)
            rows = self.rows[first : first + step]
            places = sample.positions[rows].astype(np.float64)
            expected = interpolated(self.expected, places, sample.box)
            delta = interpolated(sample.delta, places, sample.box)
            if sample.beyond is not None:
                expected = sample.beyond.with_expected(expected, places, sample.box)
                delta = sample.beyond.around(delta, 0.0)
            alone = torch.as_tensor(sample.likelihood(rows), dtype=torch.float32) * expected
            good = alone.sum(1) > 0
            self.num += int(good.sum())
            result += self._logs(alone[good], delta[good], places[good.numpy()], amplitudes, means)
        self.progress("amplitude", num, num)
        return result

    def _logs(
        self, alone: Tensor, delta: Tensor, places: Array, amplitudes: Array, means: Tensor
    ) -> Array:
        """Sums of ``ln sum_j N_j lambda_j / (A_i B_j) K_ij`` over galaxies, (ways, k).

        ``alone`` (m, n) is N_j K_ij on the sight lines of galaxies at ``places``.
        """
        sample, beyond = self.sample, self.sample.beyond
        before = 0 if beyond is None else beyond.before
        inside = slice(before, before + sample.box.meshsize[2])
        counts: Tensor | None = None
        if any("sky" in way for way in self.ways):
            counts = interpolated(self.expected * self.visible, places, sample.box)
        result = np.empty((len(self.ways), len(amplitudes)))
        for number, a in enumerate(amplitudes):
            intensity = self._intensity(delta, float(a))
            over = torch.ones(delta.shape[1], len(self.ways))
            for column, way in enumerate(self.ways):
                if "redshift" in way:
                    over[inside, column] = 1 / means[number]
            found = ((alone * intensity) @ over).log()
            for column, way in enumerate(self.ways):
                if "sky" in way:
                    assert counts is not None
                    own = (counts * intensity[:, inside]) @ over[inside, column]
                    found[:, column] -= own.clamp(min=1e-30).log()
            result[:, number] = found.sum(0, dtype=torch.float64).numpy()
        return result

    def _over_sight_lines(self, amplitudes: Array) -> tuple[Array, Tensor]:
        """Expected galaxies (k,), and mean intensities at each redshift (k, nz), 1 without any."""
        nz = self.sample.box.meshsize[2]
        whole = torch.zeros(len(amplitudes), nz, dtype=torch.float64)
        expected = torch.zeros(nz, dtype=torch.float64)
        planes = zip(self.sample.delta, self.expected, self.visible, strict=True)
        for plane, counts, visible in planes:
            weights = counts * visible
            expected += weights.sum(0, dtype=torch.float64)
            for number, a in enumerate(amplitudes):
                seen = weights * self._intensity(plane, float(a))
                whole[number] += seen.sum(0, dtype=torch.float64)
        means = torch.where(expected > 0, whole / expected.clamp(min=1e-300), 1.0)
        return whole.sum(1).numpy(), means.float()

    def _intensity(self, delta: Tensor, amplitude: float) -> Tensor:
        return (1 + amplitude * delta).clamp(min=self.floor)
