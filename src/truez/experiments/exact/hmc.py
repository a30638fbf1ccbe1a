"""Hamiltonian Monte Carlo of a field in Fourier space, with its step found while it warms up.

Positions and momenta are unitary modes of a real mesh, and the mass of each is 1. A posterior is to
be given in coordinates y in which all modes have a scatter of about 1: then ``U = |y|^2 / 2 + V``,
the motion in the first part is a rotation that is done exactly, and only V is left to the steps
(Shahbaba et al. 2014). In a million dimensions, of most of which the data say little, they may be
longer than those of a leapfrog that has to follow all of U. While a chain warms up, the step is
adapted until a share `ACCEPTED` of the proposals is taken. Each
trajectory has a length between half and three halves of the given one, so that no mode has a period
which it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from truez.experiments.exact.kernels import kick, turn

Modes = NDArray[np.complex64]
#: Share of the proposals that should be taken.
ACCEPTED = 0.75
#: Steps of a trajectory at most.
_LONGEST = 100
#: Trajectories at first from which nothing is learnt: there the energy still falls.
_FALLING = 8
#: Change of ln(step) for a proposal that is accepted too rarely, and its decay with their number.
_GAIN, _DECAY = 0.25, 0.5
#: An energy error beyond this is a step that was too long.
_DIVERGED = 50.0


class Target(Protocol):
    """What is sampled, such as `truez.experiments.exact.posterior.Posterior`."""

    @property
    def meshsize(self) -> tuple[int, int, int]:
        """Cells of the mesh."""

    def modes(self, mesh: NDArray[np.floating[Any]]) -> Modes:
        """Unitary modes of a real mesh."""

    def square(self, modes: Modes) -> float:
        """Sum of their squares."""

    def energy_and_gradient(self, y: Modes) -> tuple[Callable[[], float], Modes]:
        """-ln p, as a function, and its derivative."""


@dataclass
class StepSize:
    """A step that is adapted trajectory by trajectory, from the ``first`` one.

    In a million dimensions the accepted share falls from 1 to 0 within a factor of two of the
    step, so that each trajectory may change it by no more than some tens of percent, and less and
    less (Robbins & Monro 1951); the mean of ln(step) over the later half is taken at last.
    """

    first: float
    log_step: float = math.nan
    history: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if math.isnan(self.log_step):
            self.log_step = math.log(self.first)

    @property
    def step(self) -> float:
        """The step to take next."""
        return math.exp(self.log_step)

    def learn(self, accepted: float) -> None:
        """Take in the probability with which a proposal was accepted."""
        self.history.append(self.log_step)
        number = len(self.history) - _FALLING
        if number > 0:
            self.log_step += _GAIN * number**-_DECAY * (accepted - ACCEPTED)

    def fix(self) -> None:
        """Take the mean of what was found from now on."""
        later = self.history[len(self.history) // 2 :]
        self.log_step = sum(later) / len(later)


@dataclass
class Walker:
    """One chain: a place, its energy, and the random numbers that lead on from it.

    Parameters
    ----------
    target : Target
    y : complex64 modes
        Where it is.
    rng : Generator
    step : StepSize
    length : float
        Mean length of a trajectory; pi / 2 makes a draw of a normal distribution independent.
    """

    target: Target
    y: Modes
    rng: np.random.Generator
    step: StepSize
    length: float = math.pi / 2
    num_gradients: int = 0

    def __post_init__(self) -> None:
        energy, self._gradient = self.target.energy_and_gradient(self.y)
        self._energy = energy()

    @property
    def energy(self) -> float:
        """-ln p of the place."""
        return self._energy

    def move(self, *, learn: bool = False) -> float:
        """Walk one trajectory, and return the probability with which its end is accepted.

        With ``learn`` the step is adapted.
        """
        target, step = self.target, self.step.step
        momentum = target.modes(self.rng.standard_normal(target.meshsize, dtype=np.float32))
        length = self.length * self.rng.uniform(0.5, 1.5)
        number = min(max(1, round(length / step)), _LONGEST)
        before = self._energy + 0.5 * target.square(momentum)
        y, gradient = self.y.copy(), self._gradient
        whole, half = np.float32(step), np.float32(step / 2)
        # In float64: rounded, they would make all modes grow or shrink a little.
        cosine, sine = math.cos(step), math.sin(step)
        kick(y, momentum, gradient, half)
        for left in reversed(range(number)):
            turn(y, momentum, cosine, sine)
            energy, gradient = target.energy_and_gradient(y)
            kick(y, momentum, gradient, whole if left else half)
        self.num_gradients += number
        after = energy()
        excess = after + 0.5 * target.square(momentum) - before
        probability = math.exp(min(0.0, -excess)) if excess < _DIVERGED else 0.0
        if self.rng.random() < probability:
            self.y, self._energy, self._gradient = y, after, gradient
        if learn:
            self.step.learn(probability)
        return probability
