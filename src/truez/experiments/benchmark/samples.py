"""Posterior samples of one mock, judged one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from truez.evaluate.coverage import SampleJudge, SampleNumbers
from truez.experiments.benchmark.methods import METHODS, NETWORKS, estimate_with, misfit, weights_of
from truez.experiments.benchmark.settings import Job, Setting
from truez.linear.fit import fit_linear_model
from truez.linear.residual import residual_samples
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock

#: Methods that samples are made of; of the first the filtered field with a Gaussian residual.
SAMPLED = ("wiener", "redistribution", "columns")
#: Version of the numbers: it is raised when the same settings lead to others.
VERSION = 3


def sampled_methods(job: Job) -> list[str]:
    """The methods of `SAMPLED` that there are; none without samples."""
    there = [name for name in SAMPLED if name not in NETWORKS or weights_of(name, job) is not None]
    return there if job.samples else []


def measure_samples(
    mock: Mock, method: str, job: Job, setting: Setting, *, progress: Progress = silent
) -> dict[str, Any]:
    """The numbers of the samples of a method, as `SampleNumbers` has them.

    Or the reason under ``absent``, where its weights do not fit the surveys.
    """
    path = weights_of(method, job)
    reason = None if path is None else misfit(path, mock.surveys)
    if reason is not None:
        return {"absent": reason}
    truth, photo, spec = mock.fields()
    # The last number keeps this stream apart from the others of the mock.
    stream = [mock.config.seed, setting.stream, METHODS.index(method), 8]
    seed = int(np.random.default_rng(stream).integers(2**31))
    if method == "wiener":
        model = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys)
        estimate = model.wiener(spec=spec, photo=photo)
        samples = residual_samples(model, estimate, job.samples, seed=seed)
    else:
        made = estimate_with(method, job, mock.surveys, progress)
        estimate = made.field
        samples = made.samples(job.samples, seed=seed)
    del photo, spec
    judge = SampleJudge(
        truth, estimate=estimate, density=mock.surveys.densities[1], seed=mock.config.seed
    )
    for sample in samples:
        progress("samples", judge.num_samples, job.samples, method)
        judge.add(sample)
    progress("samples", job.samples, job.samples, method)
    return dict(judge.numbers().content)


def read_samples(content: dict[str, Any]) -> SampleNumbers | None:
    """The numbers of a result; None where the method is absent."""
    return None if "absent" in content else SampleNumbers(content)
