"""All methods on the same data, judged together.

`evaluate_fields` puts the zero field (delta = 0), the empty field (delta = -1), the two surveys and
every reconstruction beside each other: a number means little without those beside it. The zero
field's mean squared error is the variance of the truth, and the empty field's mean absolute error
is 1 for a truth of mean zero, so a method that does not beat both has not found structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from truez.evaluate.box_redshifts import redshift_numbers
from truez.evaluate.estimates import delta_of, intensity_of, sigma_of
from truez.evaluate.judge import Judge, check_overdensity, sub_box_cells
from truez.evaluate.labels import CONSTANTS, SURVEYS
from truez.evaluate.page.words import surveys_in_words
from truez.evaluate.results import Evaluation
from truez.evaluate.sample_bands import SampleBands, sample_bands
from truez.evaluate.store import Numbers
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Region
from truez.mesh.field import Field
from truez.mesh.memory import check_mesh
from truez.sightlines.intensity import Intensity
from truez.statistics.binning import Floats
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.mock import Mock

#: Memory that judging a mock takes at least for each cell of its mesh [bytes]; 53 were measured.
JUDGED = 40
REGIONS = ("auto", "all", "evaluation", "train", "validation", "test")


def evaluate_mock(
    mock: Mock,
    estimates: Mapping[str, Any],
    *,
    region: str = "auto",
    smoothing: Sequence[float] = (0, 4, 8),
    progress: Progress = silent,
) -> Evaluation:
    """Judge estimates of a mock; arguments and errors as in `truez.evaluate.evaluate`."""
    if region not in REGIONS:
        raise ValueError(f"region must be one of {', '.join(REGIONS)}, not {region!r}")
    check_mesh(mock.box, JUDGED)
    fields = {name: delta_of(name, estimate) for name, estimate in estimates.items()}
    for name, field in fields.items():
        check_overdensity(name, field, mock.box)
    chosen = region
    if region == "auto":
        trained_here = any(learned_from(field, mock) for field in fields.values())
        chosen = "test" if trained_here else "evaluation"
    for name, field in fields.items():
        if field.metadata.get("mock", mock.fingerprint) != mock.fingerprint:
            raise ValueError(f"{name} is an estimate of another mock than this one")
    resampler = _resampler(fields)
    truth, photo, spec = mock.fields(resampler)
    model = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys, resampler=resampler)
    cells = cells_of(mock, chosen)
    judge = Judge(truth, region=cells, radii=smoothing, cells=sub_box_cells)

    def r_opt(edges: Floats) -> Floats:
        return model.r_opt_shells(edges, judge.truth.box)

    def redshifts(intensity: Intensity) -> dict[str, Any]:
        return redshift_numbers(
            mock, intensity, region=cells, resampler=resampler, progress=progress
        )

    found = evaluate_fields(
        judge, photo, spec, estimates, r_opt=r_opt, redshifts=redshifts, progress=progress
    )
    found.about["region_name"] = chosen
    provenance = {
        "mock": mock.config.model_dump(mode="json", exclude_none=True),
        "source": mock.source,
        "reconstructions": {name: field.metadata for name, field in fields.items()},
        "versions": versions(),
    }
    return replace(found, summary=_summary(mock, chosen, fields), provenance=provenance)


def _resampler(fields: Mapping[str, Field]) -> str:
    """How the estimates were painted, and so the truth has to be."""
    found = {f.resampler for f in fields.values() if f.resampler is not None}
    if len(found) > 1:
        raise ValueError(
            f"the estimates were painted with {' and '.join(sorted(found))}: judge those of one "
            "resampler at a time"
        )
    return str(found.pop()) if found else "cic"


def learned_from(field: Field, mock: Mock) -> bool:
    """Whether a network that was trained on ``mock`` made this field."""
    recipe = field.metadata.get("network", {}).get("recipe", {})
    return bool(recipe.get("mock") == mock.fingerprint)


def cells_of(mock: Mock, region: str) -> Region:
    """Cells of a named region."""
    if region == "all":
        return (0, 0, 0), mock.box.meshsize
    return mock.evaluation_region if region == "evaluation" else mock.regions[region]


def _summary(mock: Mock, region: str, fields: Mapping[str, Field]) -> list[str]:
    """What was judged in words, one paragraph each."""
    surveys = mock.surveys
    surveys_text = surveys_in_words(
        mock.config, mock.source, mock.box, num_photo=len(surveys.photo), num_spec=len(surveys.spec)
    )
    where = {"all": "the whole box", "evaluation": "the evaluation region"}.get(
        region, f"the {region} region"
    )
    limit_text = (
        f"Judged in {where}. The linear optimum is the limit of every linear method, fitted to "
        "the two surveys without the truth."
    )
    words = [surveys_text, limit_text]
    trained = [name for name, field in fields.items() if learned_from(field, mock)]
    if trained:
        cells = mock.regions["train"]
        words.append(
            f"{', '.join(trained)}: trained on cells {cells[0][0]} to {cells[1][0]} of the first "
            "axis of this same box, and chosen by its validation region; the regions are apart."
        )
    return words


def evaluate_fields(
    judge: Judge,
    photo: Field,
    spec: Field,
    estimates: Mapping[str, Any],
    *,
    r_opt: Callable[[Floats], Floats] | None = None,
    redshifts: Callable[[Intensity], Mapping[str, Any]] | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Judge estimates, the two surveys and the two constant fields against the truth.

    ``photo`` and ``spec`` are overdensities on the whole box of the truth, and so are the
    estimates, by name: a Field, or a reconstruction with ``delta``, ``sigma`` and ``intensity``.
    ``r_opt`` returns the correlation coefficient of the linear optimum, given bin edges (n + 1,)
    [h/Mpc], and ``redshifts`` the numbers of `truez.evaluate.box_redshifts.redshift_numbers` of an
    intensity.

    Raises
    ------
    ValueError
        If a name is taken, or a field is not an overdensity on the truth's box or not finite.
    """
    for name in estimates:
        if name in (*CONSTANTS, *SURVEYS, "truth"):
            raise ValueError(
                f"a reconstruction must not be called {name!r}, which is a field of every "
                "evaluation: rename its file"
            )
    given = {"photo": photo, "spec": spec, **estimates}
    for name, estimate in given.items():
        check_overdensity(name, delta_of(name, estimate), judge.whole.box)
    truth = judge.of_truth()
    limit = None if r_opt is None else _optimum(r_opt, judge.edges)
    fields: dict[str, Field] = {}
    methods: dict[str, Any] = {}
    drawn: dict[str, SampleBands] = {}
    names = [*CONSTANTS, *given]
    for done, name in enumerate(names):
        progress("evaluate", done, len(names), name)
        if name in CONSTANTS:
            methods[name] = judge.constant(CONSTANTS[name])
            continue
        estimate = given[name]
        delta = delta_of(name, estimate)
        intensity = intensity_of(estimate, delta.box)
        known = None if redshifts is None or intensity is None else redshifts(intensity)
        del intensity
        methods[name] = judge.judge(delta, sigma=sigma_of(estimate), posteriors=known)
        fields[name] = judge.cut(delta)
        stored = getattr(estimate, "stored_samples", None)
        if stored is not None:
            check_overdensity(f"sample 0 of {name}", stored[0], judge.whole.box)
            drawn[name] = sample_bands(
                judge, delta, stored, seed=stored.seed, name=name, progress=progress
            )
            methods[name]["samples"] = drawn[name].to_dict()
    progress("evaluate", len(names), len(names))
    content: dict[str, Any] = {"truth": truth, "methods": methods}
    if limit is not None:
        content["optimum"] = {"observed": 1 - limit**2}
    about = _about(judge, truth)
    return Evaluation(judge.truth, fields, Numbers(content), limit, about, samples=drawn)


def _about(judge: Judge, truth: Mapping[str, Any]) -> dict[str, Any]:
    """What was judged, as plain values."""
    box = judge.whole.box
    start, stop = judge.region or ((0, 0, 0), box.meshsize)
    nmodes = truth["nmodes"].sum(axis=1)
    power = np.nansum(truth["power"] * truth["nmodes"], axis=1) / nmodes
    about = {
        "box": box.to_dict(),
        "region": {"start": list(start), "stop": list(stop), "box": judge.truth.box.to_dict()},
        "mean": truth["mean"],
        "smoothing": [0.0, *judge.radii],
        "variance": [truth["variance"], *truth["smoothed_variance"].values()],
        "edges": judge.edges,
        "nmodes": nmodes,
        "power_truth": power,
    }
    if judge.cells is not None:
        number = [n // c for n, c in zip(judge.truth.box.meshsize, judge.cells, strict=True)]
        covered = math.prod(number) * math.prod(judge.cells) / judge.truth.box.num_cells
        about["sub_boxes"] = {
            "cells": list(judge.cells),
            "number": math.prod(number),
            "covered": covered,
        }
    return about


def _optimum(r_opt: Callable[[Floats], Floats], edges: Floats) -> Floats:
    values = np.asarray(r_opt(edges), dtype=np.float64)
    if values.shape != (len(edges) - 1,) or not np.isfinite(values).all():
        raise ValueError(
            f"r_opt must give one finite number for each of the {len(edges) - 1} bins, "
            f"not {values!r}"
        )
    return values
