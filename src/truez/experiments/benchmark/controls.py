"""Surveys that are robbed of information: what a method still claims to know, it makes up.

The truth stays that of the whole surveys, and so does the linear model (what a survey knows of its
own statistics), except for ``random``, where everything starts from the galaxies:

========== =========================================================================================
control    what the method is given
========== =========================================================================================
both       the two surveys as they are
spec only  the photometric field is 0 everywhere. The intensity itself, over its mean, stands for
           the field, since there are no galaxies to move
photo only the spectroscopic field is 0 everywhere, and no true redshift is known
shuffled   photometric galaxies without a known redshift are anywhere in the sky, each with its
           photo-z. (If they only changed places with one another, the density of the whole column
           would stay, which is much of what they know.)
random     galaxies anywhere, the spectroscopic ones among the photometric; the linear model is
           fitted to them, and where the fit refuses them, others are drawn
========== =========================================================================================

The filter has the weights that are best for what it is given, but of both surveys for ``shuffled``.
Nats are those of the real galaxies under the intensity that a control gives, of ``random`` those of
its own galaxies: on the sight lines of the mesh, and at the galaxies' own places with what pairs
add. (Neighbours that are ``shuffled`` are not those of the real galaxies, whose pairs add nothing
then.)
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.experiments.benchmark.methods import estimate_with, judge_of, misfit
from truez.experiments.benchmark.settings import Job
from truez.linear.fit import NoFitError, fit_linear_model
from truez.linear.model import LinearModel, Use
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.networks.column_inputs import conditions_of, network_fields
from truez.networks.column_net import ColumnNet
from truez.networks.network import use_channels_last
from truez.networks.weights import load_weights
from truez.reconstruct.network_methods import network_intensity
from truez.reconstruct.own_place import FoundIntensity, found_intensity, moved
from truez.reconstruct.settings import ColumnsSettings, OwnPlaceSettings, Run
from truez.sightlines.calibration import calibrate
from truez.sightlines.fine import fine_box
from truez.sightlines.intensity import Intensity
from truez.sightlines.redistribution import information_gain
from truez.sightlines.spec_prior import SpecPrior
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock
from truez.surveys.surveys import Surveys

CONTROLS = ("both", "spec only", "photo only", "shuffled", "random")
#: Surveys that the filter is told of.
_USE: dict[str, Use] = {"spec only": "spec", "photo only": "photo"}
#: Sets of random galaxies before giving up to find one that can be fitted.
_TRIES = 20


def measure_controls(
    mock: Mock, job: Job, rng: np.random.Generator, *, progress: Progress = silent
) -> dict[str, Any]:
    """Every control for the filter and for each method that moves galaxies.

    By method and control it returns the numbers of `truez.evaluate.judge.Judge`, and ``nats`` and
    ``nats_own_place`` where galaxies are moved; with what the bins are, under ``truth``, and the
    same of the random galaxies at their true places, under ``random_truth``; ``refused``, how many
    sets of random galaxies the fit refused. ``rng`` is that of what is shuffled and random.
    """
    surveys = mock.surveys
    movers = ["redistribution"]
    if job.weights is not None and misfit(job.weights, surveys) is None:
        movers.append("columns")
    truth, photo, spec = mock.fields()
    judge = judge_of(truth)
    model = fit_linear_model(spec=spec, photo=photo, surveys=surveys)
    shuffled = shuffle(surveys, rng)
    nothing = Field(torch.zeros_like(spec.values), spec.box, "delta")
    inputs: dict[str, tuple[Field, Field, Surveys | None]] = {
        "both": (spec, photo, surveys),
        "spec only": (spec, nothing, None),
        "photo only": (nothing, photo, replace(surveys, matched=None)),
        "shuffled": (spec, shuffled.photo_field(), shuffled),
    }
    del photo, spec
    found: dict[str, dict[str, Any]] = {name: {} for name in ("wiener", *movers)}
    for number, (control, (s, p, galaxies)) in enumerate(inputs.items()):
        progress("controls", number, len(CONTROLS), control)
        filtered = model.wiener(spec=s, photo=p, use=_USE.get(control, "both"))
        found["wiener"][control] = judge.judge(filtered)
        for name in movers:
            network = job.weights if name == "columns" else None
            given = _Given(s, p, galaxies, surveys.spec[:0] if s is nothing else surveys.spec)
            made = _intensity(model, given, surveys, network, job, progress)
            intensity = made.intensity
            shared = intensity.on_mesh(s.box)
            field = (
                Field(shared / float(shared.double().mean()) - 1, s.box, "delta")
                if galaxies is None
                else moved(galaxies, made, Run(), resampler="cic").field
            )
            if galaxies is shuffled:
                intensity = Intensity(intensity.values)
            found[name][control] = judge.judge(field) | _gains(surveys, intensity, mock.truth)
    progress("controls", len(inputs), len(CONTROLS), "random")
    del inputs
    noise, places, filtered, refused = _fitted_noise(surveys, job, rng, progress)
    found["wiener"]["random"] = judge.judge(filtered)
    for name in movers:
        noisy = estimate_with(name, job, noise, progress)
        gains = _gains(noise, Intensity.of(noisy, noise.box), places)
        found[name]["random"] = judge.judge(noisy.field) | gains
    level = len(places) / surveys.box.num_cells
    alone = judge.judge(paint(places, surveys.box).to_delta(level))
    progress("controls", len(CONTROLS), len(CONTROLS))
    return {"truth": judge.of_truth(), "methods": found, "random_truth": alone, "refused": refused}


def _gains(
    surveys: Surveys, intensity: Intensity, truth: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Nats per galaxy shared between sight lines, and at the galaxies' own places."""
    own = calibrate(surveys, intensity, truth).gain
    return {
        "nats": information_gain(surveys, intensity.on_mesh(surveys.box), truth),
        "nats_own_place": float(np.nanmean(own)),
    }


def shuffle(surveys: Surveys, rng: np.random.Generator) -> Surveys:
    """Photometric galaxies without a known redshift, anywhere in the sky."""
    rows = np.flatnonzero(surveys.photo_only())
    box, photo = surveys.box, surveys.photo.copy()
    photo[rows, :2] = rng.uniform(box.lower[:2], box.upper[:2], (len(rows), 2))
    return replace(surveys, photo=photo)


def random_surveys(
    surveys: Surveys, rng: np.random.Generator
) -> tuple[Surveys, NDArray[np.float64]]:
    """As many galaxies anywhere in the box, and the true places (n_p, 3) of the photometric ones.

    The matched ones are the same in both surveys, as they are in the real ones.
    """
    box = surveys.box
    true = rng.uniform(box.lower, box.upper, (len(surveys.photo), 3))
    spec = rng.uniform(box.lower, box.upper, (len(surveys.spec), 3))
    if surveys.matched is not None:
        known = surveys.matched >= 0
        spec[known] = true[surveys.matched[known]]
    photo = true.copy()
    photo[:, 2] = surveys.error.scatter(true[:, 2], box, rng)
    return replace(surveys, photo=photo, spec=spec), true


def _fitted_noise(
    surveys: Surveys, job: Job, rng: np.random.Generator, progress: Progress
) -> tuple[Surveys, NDArray[np.float64], Field, int]:
    """Random surveys that can be fitted: (surveys, true places, filtered, how many could not)."""
    for refused in range(_TRIES):
        noise, places = random_surveys(surveys, rng)
        # Leaving the block with this error goes on to the next draw.
        with contextlib.suppress(NoFitError):
            return noise, places, estimate_with("wiener", job, noise, progress).field, refused
    raise ValueError(
        f"none of {_TRIES} sets of random galaxies could be fitted: leave the controls out"
    )


@dataclass(frozen=True)
class _Given:
    """What a control is given: two fields, the galaxies of both, if it has any."""

    spec: Field
    photo: Field
    galaxies: Surveys | None
    spectra: NDArray[np.floating[Any]]


def _intensity(
    model: LinearModel,
    given: _Given,
    full: Surveys,
    weights: Path | None,
    job: Job,
    progress: Progress,
) -> FoundIntensity:
    """What the redistribution, or a column network, makes of two surveys with a known model.

    ``full`` are those that the model is of.
    """
    box, settings = given.spec.box, OwnPlaceSettings()
    run = Run(job.device, progress)
    number = settings.cells_across(box)
    prior = SpecPrior(model, given.spectra, full.known_share, job.floor, "cic")
    if weights is None:
        values = prior.intensity(fine_box(box, number))
    else:
        network, _ = load_weights(weights)
        assert isinstance(network, ColumnNet)
        prior = replace(prior, floor=network.config.floor)
        kind = network.config.conditions
        conditions = conditions_of(full, model if kind == "local" else None)
        fields = [given.spec, given.photo]
        channels, _ = network_fields(model, fields, given.galaxies, floor=prior.floor, kind=kind)
        use_channels_last(network)
        coarse = network_intensity(
            network, channels, {"conditions": conditions}, box, ColumnsSettings(), run
        )
        del channels
        values = prior.refined(coarse, box, number)
    if given.galaxies is None:
        return FoundIntensity(Intensity(values), {})
    return found_intensity(given.galaxies, values, settings, run)
