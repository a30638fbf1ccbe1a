"""Chains of a box, and what is kept of their draws: means, not fields."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from truez.experiments.exact.diagnostics import effective_size, split_rhat
from truez.experiments.exact.hmc import StepSize, Walker
from truez.experiments.exact.kernels import gather_posteriors
from truez.experiments.exact.posterior import Posterior
from truez.experiments.exact.summaries import Summaries
from truez.experiments.exact.world import Observed
from truez.mesh.painting import paint
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created
from truez.support.progress import Progress, silent

#: The step that warming up begins with.
FIRST_STEP = 0.05


@dataclass(frozen=True)
class Sampling:
    """How a posterior is sampled.

    Parameters
    ----------
    chains : int
        Each from its own draw of the prior.
    warm_up : int
        Trajectories of a chain that are not kept, in which its step is found.
    draws : int
        Trajectories of a chain that are kept.
    length : float
        Mean length of a trajectory.
    """

    chains: int = 2
    warm_up: int = 30
    draws: int = 80
    length: float = math.pi / 2

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warm_up", 1), ("draws", 4)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)!r}")


@dataclass(eq=False)
class Draws:
    """Sums over the draws of a posterior.

    Parameters
    ----------
    probability : (num_chains, n, nz) float32
        Of the true cell of each photometric galaxy without a spectrum, sum over a chain's draws.
    intensity : (nx, ny, nz) float64
        Sum of exp(g - v / 2).
    painted, squares : (nx, ny, nz) float64
        Sums of the painted counts of drawn catalogues, and of their squares.
    traces : list of lists
        The `Summaries` of each draw, for each chain.
    chains : list of dict
        ``step``, ``accepted`` (mean probability) and ``gradients`` of each.
    number : int
        Draws so far.
    """

    probability: NDArray[np.float32]
    intensity: NDArray[np.float64]
    painted: NDArray[np.float64]
    squares: NDArray[np.float64]
    traces: list[list[list[float]]]
    chains: list[dict[str, float]]
    number: int = 0

    @classmethod
    def empty(cls, observed: Observed, chains: int) -> Draws:
        """Of no draw."""
        mesh = observed.world.meshsize
        shape = (chains, len(observed.other), mesh[2])
        intensity, painted, squares = (np.zeros(mesh) for _ in range(3))
        return cls(np.zeros(shape, np.float32), intensity, painted, squares, [], [])

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of the painted counts over the draws [counts^2]."""
        mean = self.painted / self.number
        found = self.squares / self.number - mean**2
        return np.asarray(np.maximum(found, 0.0) * self.number / max(self.number - 1, 1))

    def diagnostics(self, names: list[str], truth: list[float]) -> dict[str, Any]:
        """R-hat, effective sample size and rank of the truth, of each summary."""
        traces = np.asarray(self.traces)
        found = {}
        for number, name in enumerate(names):
            values = traces[:, :, number]
            found[name] = {
                "rhat": split_rhat(values),
                "ess": effective_size(values),
                "mean": float(values.mean()),
                "sigma": float(values.std()),
                "truth": truth[number],
                "rank": float((values < truth[number]).mean()),
            }
        return found


def sample(
    observed: Observed,
    how: Sampling,
    *,
    state: Path | None = None,
    interval: float = 300.0,
    progress: Progress = silent,
) -> tuple[Draws, dict[str, Any]]:
    """Draw from the posterior of a universe.

    Parameters
    ----------
    observed : Observed
    how : Sampling
    state : Path, optional
        A file that is written every ``interval`` seconds, and from which an interrupted run
        continues with the same numbers.
    interval : float
        [s]
    progress : Progress

    Returns
    -------
    Draws
    dict
        Their `Draws.diagnostics`.
    """
    posterior = Posterior(observed)
    summaries = Summaries(posterior)
    run = _Run(posterior, summaries, how, Draws.empty(observed, how.chains))
    if state is not None and state.is_file():
        run.read(state)
    written = time.monotonic()
    total = how.chains * (how.warm_up + how.draws)
    while not run.done:
        progress("posterior", run.moves, total, f"{observed.seed}, chain {run.chain + 1}")
        run.move()
        if state is not None and time.monotonic() - written > interval:
            run.write(state)
            written = time.monotonic()
    progress("posterior", total, total)
    if state is not None:
        run.write(state)
    field = observed.field.astype(np.float32)
    truth = summaries.of(posterior.modes(field), field)
    return run.draws, run.draws.diagnostics(summaries.names, truth)


class _Run:
    """Where the chains are."""

    def __init__(
        self, posterior: Posterior, summaries: Summaries, how: Sampling, draws: Draws
    ) -> None:
        self.posterior, self.summaries, self.how, self.draws = posterior, summaries, how, draws
        observed, world = posterior.observed, posterior.world
        cells = observed.photo_cells
        self._column = np.ravel_multi_index((cells[:, 0], cells[:, 1]), world.meshsize[:2])
        self._photo = cells[:, 2]
        self._kernel = posterior.kernel.matrix.numpy()
        self._drawn = np.zeros(len(cells), np.int64)
        self.chain, self.moved, self._accepted = 0, 0, 0.0
        self.walker: Walker | None = None

    @property
    def moves(self) -> int:
        """Trajectories so far, of all chains."""
        return self.chain * (self.how.warm_up + self.how.draws) + self.moved

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.chain == self.how.chains

    def move(self) -> None:
        """One trajectory, and its draw where the chain is warm."""
        if self.walker is None:
            self.walker = self._start()
            self.moved = 0
            self.draws.traces.append([])
        walker, warm = self.walker, self.moved >= self.how.warm_up
        if self.moved == self.how.warm_up:
            walker.step.fix()
            self._accepted = 0.0
        probability = walker.move(learn=not warm)
        self.moved += 1
        if warm:
            self._accepted += probability
            self._keep(walker)
        if self.moved == self.how.warm_up + self.how.draws:
            self.draws.chains.append(
                {
                    "step": walker.step.step,
                    "accepted": self._accepted / self.how.draws,
                    "gradients": walker.num_gradients,
                }
            )
            self.walker, self.moved = None, 0
            self.chain += 1

    def _start(self) -> Walker:
        posterior = self.posterior
        rng = np.random.default_rng([posterior.observed.seed, 20, self.chain])
        noise = rng.standard_normal(posterior.meshsize, dtype=np.float32)
        return Walker(
            posterior, posterior.from_noise(noise), rng, StepSize(FIRST_STEP), self.how.length
        )

    def _keep(self, walker: Walker) -> None:
        posterior, draws = self.posterior, self.draws
        observed, world, rng = posterior.observed, posterior.world, walker.rng
        field = posterior.field(walker.y)
        draws.traces[-1].append(self.summaries.of(posterior.scale * walker.y, field.numpy()))
        intensity = posterior.intensity(field)
        lines = intensity.reshape(-1, world.meshsize[2]).numpy()
        shares = rng.random(len(self._drawn), dtype=np.float32)
        total = draws.probability[self.chain]
        gather_posteriors(
            self._column, self._photo, lines, self._kernel, shares, total, self._drawn
        )
        place = observed.other.copy()
        along = (self._drawn + rng.random(len(place))) * world.cellsize
        place[:, 2] = world.box.lower[2] + along
        painted = paint(np.concatenate([place, observed.spec]), world.box, "cic").numpy()
        draws.painted += painted
        draws.squares += painted.astype(np.float64) ** 2
        draws.intensity += intensity.numpy()
        draws.number += 1

    def write(self, path: Path) -> None:
        """Write all that is needed to go on."""
        draws, walker = self.draws, self.walker
        values = {
            "fingerprint": self.posterior.observed.fingerprint,
            "how": asdict(self.how),
            "chain": self.chain,
            "moved": self.moved,
            "number": draws.number,
            "traces": draws.traces,
            "chains": draws.chains,
        }
        if walker is not None:
            values["rng"] = walker.rng.bit_generator.state
            values["step"] = asdict(walker.step)
            values["gradients"] = walker.num_gradients
            values["accepted"] = self._accepted
        with atomic_path(path) as temporary, system_errors(), created(temporary) as file:
            file.attrs["state"] = json.dumps(values)
            for name in ("probability", "intensity", "painted", "squares"):
                file.create_dataset(name, data=getattr(draws, name))
            if walker is not None:
                file.create_dataset("y", data=walker.y)

    def read(self, path: Path) -> None:
        """Go on from what `write` wrote; nothing is done for a file of another run."""
        with h5py.File(path, "r") as file:
            values = json.loads(file.attrs["state"])
            fingerprint = self.posterior.observed.fingerprint
            if (values["fingerprint"], values["how"]) != (fingerprint, asdict(self.how)):
                return
            for name in ("probability", "intensity", "painted", "squares"):
                setattr(self.draws, name, file[name][()])
            y = file["y"][()] if "y" in file else None
        self.chain, self.moved = values["chain"], values["moved"]
        self.draws.number = values["number"]
        self.draws.traces, self.draws.chains = values["traces"], values["chains"]
        if y is None:
            return
        rng = np.random.default_rng()
        rng.bit_generator.state = values["rng"]
        step = StepSize(**values["step"])
        self.walker = Walker(self.posterior, y, rng, step, self.how.length)
        self.walker.num_gradients = values["gradients"]
        self._accepted = values["accepted"]


def mean_intensity(draws: Draws) -> torch.Tensor:
    """Mean of exp(g - v / 2) over the draws, float32."""
    return torch.from_numpy((draws.intensity / draws.number).astype(np.float32))
