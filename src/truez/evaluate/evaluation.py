"""All methods on the same data, judged together.

`evaluate_fields` puts the zero field (delta = 0), the empty field (delta = -1), the two surveys and
every reconstruction beside each other: a number means little without those beside it. The zero
field's mean squared error is the variance of the truth, and the empty field's mean absolute error
is 1 for a truth of mean zero, so a method that does not beat both has not found structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from truez.evaluate.estimates import delta_of, intensity_of, sigma_of
from truez.evaluate.judge import Judge, check_overdensity
from truez.evaluate.labels import CONSTANTS, SURVEYS
from truez.evaluate.results import Evaluation
from truez.evaluate.store import Numbers
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.support.progress import Progress, silent


def evaluate_fields(
    judge: Judge,
    photo: Field,
    spec: Field,
    estimates: Mapping[str, Any],
    *,
    r_opt: Callable[[Floats], Floats] | None = None,
    nats: Callable[[Tensor], float] | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Judge estimates, the two surveys and the two constant fields against the truth.

    Parameters
    ----------
    judge : Judge
        Knows the truth, the region and the bins.
    photo, spec : Field
        Overdensities on the whole box of the truth.
    estimates : mapping of name to Field or reconstruction (``delta``, ``sigma``, ``intensity``)
        On that box. The names ``zero``, ``empty``, ``photo``, ``spec`` and ``truth`` are taken.
    r_opt : callable, optional
        Correlation coefficient of the linear optimum, given bin edges (n + 1,) [h/Mpc].
    nats : callable, optional
        Information gain [nats per galaxy] of an intensity; asked for each estimate that has one.
    progress : Progress

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
    names = [*CONSTANTS, *given]
    for done, name in enumerate(names):
        progress("evaluate", done, len(names), name)
        if name in CONSTANTS:
            methods[name] = judge.constant(CONSTANTS[name])
            continue
        estimate = given[name]
        delta, intensity = delta_of(name, estimate), intensity_of(estimate)
        known = None if nats is None or intensity is None else {"nats": nats(intensity)}
        del intensity
        methods[name] = judge.judge(delta, sigma=sigma_of(estimate), posteriors=known)
        fields[name] = judge.cut(delta)
    progress("evaluate", len(names), len(names))
    content: dict[str, Any] = {"truth": truth, "methods": methods}
    if limit is not None:
        content["optimum"] = {"observed": 1 - limit**2}
    return Evaluation(judge.truth, fields, Numbers(content), limit, _about(judge, truth))


def _about(judge: Judge, truth: Mapping[str, Any]) -> dict[str, Any]:
    """What was judged, as plain values."""
    box = judge.whole.box
    start, stop = judge.region or ((0, 0, 0), box.meshsize)
    nmodes = truth["nmodes"].sum(axis=1)
    power = np.nansum(truth["power"] * truth["nmodes"], axis=1) / nmodes
    about = {
        "box": box.to_dict(),
        "region": {
            "start": list(start),
            "stop": list(stop),
            "box": judge.truth.box.to_dict(),
        },
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
