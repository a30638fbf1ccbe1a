"""Every method on one mock, one after the other, each judged as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from truez.evaluate.box_redshifts import redshift_numbers
from truez.evaluate.judge import Judge, sub_box_cells
from truez.evaluate.labels import CONSTANTS, WIENER
from truez.experiments.benchmark.settings import RADII, SUB_BOX, Job, Setting
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Box, Mesh
from truez.mesh.field import Field
from truez.networks.weights import load_weights, read_header
from truez.reconstruct import Reconstruction, check_survey, reconstruct
from truez.sightlines.intensity import Intensity
from truez.sightlines.median import median_of_draws
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock
from truez.surveys.surveys import Surveys

#: Every method, in the order of the tables.
METHODS = (
    "zero", "empty", "photo", "spec", "wiener-spec", "wiener-photo", "wiener", "redistribution",
    "redistribution-median", "dual-unet", "columns", "columns-median",
)  # fmt: skip
#: Methods with trained networks, and the option and architecture of their weights.
NETWORKS = {"dual-unet": ("--unet", "dual-unet"), "columns": ("--weights", "column-net")}
#: Multipoles that are judged.
ELLS = (0, 2, 4)
#: Pieces of work without a network.
_NUM_STEPS = 8

#: Called with the name of every field, and the field, such as for a picture of it.
See = Callable[[str, Field], None]


def _see_nothing(name: str, field: Field) -> None:
    """Look at no field."""


def judge_of(truth: Field) -> Judge:
    """The judge of every field of a box."""

    def cells(box: Box) -> Mesh | None:
        return sub_box_cells(box, (SUB_BOX,), least=1)

    return Judge(truth, radii=RADII, cells=cells, scores=("mse", "mae"), ells=ELLS)


def measure(
    mock: Mock, job: Job, setting: Setting, *, see: See = _see_nothing, progress: Progress = silent
) -> dict[str, Any]:
    """All numbers of all methods without a trained network.

    They are ``survey``, ``truth``, ``methods`` by name, and what the linear ``optimum`` needs.
    ``see`` is called with ``truth`` and every estimate, none of which is kept.
    """
    truth, photo, spec = mock.fields()
    judge, surveys = judge_of(truth), mock.surveys
    see("truth", truth)
    found: dict[str, Any] = {}
    for name, value in CONSTANTS.items():
        progress("methods", len(found), _NUM_STEPS, name)
        found[name] = judge.constant(value)
    for name, field in (("photo", photo), ("spec", spec)):
        progress("methods", len(found), _NUM_STEPS, name)
        found[name] = judge.judge(field)
        see(name, field)
    model = fit_linear_model(spec=spec, photo=photo, surveys=surveys)
    for name, use in WIENER.items():
        progress("methods", len(found), _NUM_STEPS, name)
        field = model.wiener(spec=spec, photo=photo, use=use)
        found[name] = judge.judge(field, sigma=model.sigma(surveys.box, use))
        see(name, field)
    del photo, spec, field
    progress("methods", len(found), _NUM_STEPS, "redistribution")
    found |= _estimated("redistribution", mock, job, setting, judge, see, progress)
    progress("methods", _NUM_STEPS, _NUM_STEPS)
    return {
        "survey": surveys.describe() | {"box": surveys.box.to_dict()},
        "truth": judge.of_truth(),
        "methods": found,
        "optimum": {
            "model": asdict(model),
            "observed": 1 - model.r_opt_shells(judge.edges, surveys.box) ** 2,
        },
    }


def measure_network(
    name: str,
    mock: Mock,
    job: Job,
    setting: Setting,
    *,
    see: See = _see_nothing,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The same of a method with a trained network, one of `NETWORKS`.

    It is ``methods`` by name; none, and the reason under ``absent``, where its weights do not fit
    the surveys.
    """
    path = weights_of(name, job)
    assert path is not None
    reason = misfit(path, mock.surveys)
    if reason is not None:
        return {"methods": {}, "absent": reason}
    truth, _, _ = mock.fields()
    return {"methods": _estimated(name, mock, job, setting, judge_of(truth), see, progress)}


def _estimated(
    name: str, mock: Mock, job: Job, setting: Setting, judge: Judge, see: See, progress: Progress
) -> dict[str, Any]:
    """An estimate of `truez.reconstruct`, with its redshifts and its median if it has them."""
    surveys = mock.surveys
    made = estimate_with(name, job, surveys, progress)
    found = {name: judge.judge(made.field, sigma=made.sigma)}
    see(name, made.field)
    if made.intensity is None:
        return found
    intensity = Intensity.of(made, surveys.box)
    del made  # two meshes
    found[name]["posteriors"] = redshift_numbers(mock, intensity, progress=progress)
    if job.draws:
        # The last number keeps this stream apart from the others of the mock.
        rng = np.random.default_rng([mock.config.seed, setting.stream, METHODS.index(name), 7])
        field = median_of_draws(surveys, intensity, job.draws, rng, progress=progress)
        found[f"{name}-median"] = judge.judge(field)
        see(f"{name}-median", field)
    return found


def estimate_with(name: str, job: Job, surveys: Surveys, progress: Progress) -> Reconstruction:
    """The estimate of a method of `truez.reconstruct`, as a user gets it."""
    settings: dict[str, Any] = {"floor": job.floor} if name == "redistribution" else {}
    if name in NETWORKS:
        settings["weights"] = weights_of(name, job)
    return reconstruct(surveys, name, device=job.device, progress=progress, **settings)


def weights_of(name: str, job: Job) -> Path | None:
    """The weights that a method needs; None for those without a network, or if none were given."""
    return {"columns": job.weights, "dual-unet": job.unet}.get(name)


def check_weights(job: Job) -> None:
    """Refuse files that do not hold the weights of the network that they are given for.

    Raises
    ------
    ValueError
    """
    for name, (option, wanted) in NETWORKS.items():
        path = weights_of(name, job)
        if path is None:
            continue
        _, header = load_weights(path)
        if header.architecture != wanted:
            raise ValueError(
                f"{path} holds a {header.architecture}, and {option} needs a {wanted}: give other "
                "weights"
            )


def misfit(path: Path, surveys: Surveys) -> str | None:
    """Why weights do not fit surveys, or None where they do."""
    try:
        check_survey(read_header(path), surveys)
    except ValueError as error:
        return f"its weights were made for other surveys: {error}"
    return None
