"""The numbers of exact posteriors: made by sampling them, or read from those that are stored.

The stored ones are what ``truez benchmark --exact`` writes, one file for each seed. It holds the
settings of the world and of the chains, a fingerprint of the observed counts, the numbers of the
exact estimate as those of any method, and under ``chains`` how they were found: steps, accepted
share and gradients of each chain, and R-hat, effective sample size and rank of the truth of every
summary.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from truez.evaluate.judge import Judge
from truez.evaluate.store import Numbers, read_json
from truez.experiments.exact.estimate import exact_numbers
from truez.experiments.exact.sampling import Sampling, sample
from truez.experiments.exact.world import LognormalWorld
from truez.mesh.field import Field
from truez.support.progress import Progress, silent

#: Name of the exact estimate among the methods.
EXACT = "exact"


def exact_result(
    world: LognormalWorld,
    seed: int,
    how: Sampling,
    judge_of: Any,
    *,
    state: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Sample the posterior of a box, and judge its mean.

    Parameters
    ----------
    world : LognormalWorld
    seed : int
    how : Sampling
    judge_of : function of a Field
        Returns the `truez.evaluate.judge.Judge` of a truth.
    state : Path, optional
        As in `truez.experiments.exact.sampling.sample`.
    progress : Progress

    Returns
    -------
    dict
        What a stored file holds.
    """
    observed = world.observe(seed)
    started = time.process_time()
    draws, summaries = sample(observed, how, state=state, progress=progress)
    truth: Field = observed.mock.fields().truth
    judge: Judge = judge_of(truth)
    return {
        "world": world.describe(),
        "seed": seed,
        "fingerprint": observed.fingerprint,
        "methods": {EXACT: exact_numbers(observed, draws, judge)},
        "chains": {
            "sampling": asdict(how),
            "cpu_seconds": time.process_time() - started,
            "chains": draws.chains,
            "summaries": summaries,
        },
    }


def stored_result(world: LognormalWorld, seed: int) -> dict[str, Any] | None:
    """The stored numbers of a box; None where there are none of this world and seed."""
    resource = files("truez.experiments.exact") / "stored" / f"{seed}.json"
    if not resource.is_file():
        return None
    with as_file(resource) as path:
        found = read_json(path)
    return found if found["world"] == world.describe() else None


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a file such as those that are stored."""
    Numbers(result).write(path)
