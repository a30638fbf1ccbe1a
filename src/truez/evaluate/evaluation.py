"""All methods on the same data, judged together.

`evaluate` puts the zero field (delta = 0), the empty field (delta = -1), the two surveys and every
reconstruction beside each other: a number means little without those beside it. The zero field's
mean squared error is the variance of the truth, and the empty field's mean absolute error is 1 for
a truth of mean zero, so a method that does not beat both has not found structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.evaluate.labels import CONSTANTS, SURVEYS
from truez.evaluate.results import Evaluation, Result
from truez.mesh.box import Mesh, Region
from truez.mesh.field import Field
from truez.statistics.power import compare, default_edges
from truez.statistics.scores import SSIM_WINDOW, scores, sub_box_scores
from truez.support.progress import Progress, silent

__all__ = ["Evaluation", "evaluate"]

#: Sides of sub-boxes [Mpc/h]: the first of which the region holds two is taken.
SUB_BOX_SIDES = (200.0, 100.0, 50.0, 25.0)


def evaluate(
    truth: Field,
    photo: Field,
    spec: Field,
    reconstructions: Mapping[str, Field],
    *,
    region: Region | None = None,
    r_opt: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    smoothing: Sequence[float] = (0, 4, 8),
    sub_box_cells: int | Mesh | None = None,
    edges: NDArray[np.float64] | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Judge reconstructions, the two surveys and the two constant fields against the truth.

    Parameters
    ----------
    truth, photo, spec : Field
        Overdensities on one and the same whole box.
    reconstructions : mapping of name to Field
        Overdensities on that box. The names ``zero``, ``empty``, ``photo``, ``spec`` and ``truth``
        are taken.
    region : pair of cell triples (start, stop), optional
        Where the fields are judged; the whole box by default. Smoothing happens before the cut.
    r_opt : callable, optional
        Correlation coefficient of the linear optimum, given bin edges (n + 1,) [h/Mpc].
    smoothing : sequence of float
        Gaussian radii [Mpc/h]; 0 is always among them.
    sub_box_cells : int or (3,) ints, optional
        Size of sub-boxes. By default about 200 Mpc/h, halved until the region holds at least two.
    edges : array (n + 1,), optional
        Bins of k [h/Mpc]; by default those of `truez.statistics.power.compare`.

    Raises
    ------
    ValueError
        If a name is taken, a field is not an overdensity on the truth's box or not finite, or the
        region does not lie in the box.
    """
    given = {"truth": truth, "photo": photo, "spec": spec, **_checked_names(reconstructions)}
    for name, given_field in given.items():
        _check_field(name, given_field, truth)
    start, stop = ((0, 0, 0), truth.box.meshsize) if region is None else region
    radii = sorted({0.0, *(float(radius) for radius in smoothing)})

    def cut(whole: Field, radius: float) -> Field:
        return whole.smooth(radius).crop(start, stop)

    truths = {radius: cut(truth, radius) for radius in radii}
    target = truths[0.0]
    variance = {radius: _variance(smooth) for radius, smooth in truths.items()}
    if variance[0.0] == 0:
        raise ValueError("truth is constant over the region: there is no structure to judge")
    cells = _sub_box_cells(target, sub_box_cells)
    bins = default_edges(target.box) if edges is None else np.asarray(edges, dtype=np.float64)
    nmodes = compare(target, target, edges=bins).nmodes
    if not nmodes.all():
        raise ValueError(
            f"edges must hold modes in every bin, but {(nmodes == 0).sum()} of {len(nmodes)} hold "
            "none in the region: make them wider"
        )
    limit = None if r_opt is None else _optimum(r_opt, bins)

    names = [*CONSTANTS, *(name for name in given if name != "truth")]
    fields: dict[str, Field] = {}
    results: dict[str, Result] = {}
    for done, name in enumerate(names):
        progress("evaluate", done, len(names), name)
        if name in CONSTANTS:
            # smoothing leaves a constant as it is, and it has no modes but k = 0
            flat = torch.full_like(target.values, CONSTANTS[name])
            versions = {radius: Field(flat, target.box, "delta") for radius in radii}
            waves = Field(torch.zeros_like(flat), target.box, "delta")
        else:
            versions = {radius: cut(given[name], radius) for radius in radii}
            fields[name] = waves = versions[0.0]
        found = {radius: scores(versions[radius], truths[radius]) for radius in radii}
        results[name] = Result(
            scores=found,
            mse_over_variance={r: found[r].mse / variance[r] for r in radii},
            comparison=compare(waves, target, edges=bins),
            sub_boxes=(
                None if cells is None else sub_box_scores(versions[0.0], target, cells=cells)
            ),
        )
    progress("evaluate", len(names), len(names))
    about: dict[str, Any] = {
        "box": truth.box.to_dict(),
        "region": {"start": list(start), "stop": list(stop), "box": target.box.to_dict()},
        "mean": float(target.values.double().mean()),
        "smoothing": radii,
        "variance": [variance[radius] for radius in radii],
        "edges": bins,
        "nmodes": nmodes,
        "power_truth": results["photo"].comparison.power_tt,
    }
    boxes = results["photo"].sub_boxes
    if boxes is not None:
        about["sub_boxes"] = {
            "cells": list(boxes.cells),
            "number": boxes.num_boxes,
            "covered": boxes.covered,
        }
    return Evaluation(target, fields, results, limit, about)


def _checked_names(reconstructions: Mapping[str, Field]) -> Mapping[str, Field]:
    taken = (*CONSTANTS, *SURVEYS, "truth")
    for name in reconstructions:
        if name in taken:
            raise ValueError(
                f"a reconstruction must not be called {name!r}, which is a field of every "
                "evaluation: rename its file"
            )
    return reconstructions


def _check_field(name: str, given: Field, truth: Field) -> None:
    if given.kind != "delta":
        raise ValueError(f"{name} must be an overdensity, not {given.kind}: use Field.to_delta()")
    if given.box != truth.box:
        raise ValueError(
            f"{name} lies on another box ({given.box}) than the truth ({truth.box}): "
            "make both on the same one"
        )
    broken = given.values.numel() - int(torch.isfinite(given.values).sum())
    if broken:
        raise ValueError(f"{name} holds {broken} cells that are not finite: mend it first")


def _variance(values: Field) -> float:
    return float(values.values.double().var(correction=0))


def _sub_box_cells(region: Field, wanted: int | Mesh | None) -> Mesh | None:
    """Cells of a sub-box, or None where the region does not hold two."""
    mesh, size = region.box.meshsize, region.box.boxsize
    if wanted is not None:
        sizes = [(wanted, wanted, wanted) if isinstance(wanted, int) else wanted]
    else:
        # equal parts of each axis, so that next to nothing of the region is left out
        parts = [[max(round(s / side), 1) for s in size] for side in SUB_BOX_SIDES]
        sizes = [(mesh[0] // a, mesh[1] // b, mesh[2] // c) for a, b, c in parts]
    for cells in sizes:
        if math.prod(n // c for n, c in zip(mesh, cells, strict=True)) >= 2:
            return cells if min(cells) >= SSIM_WINDOW or wanted is not None else None
    return None


def _optimum(
    r_opt: Callable[[NDArray[np.float64]], NDArray[np.float64]], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = np.asarray(r_opt(edges), dtype=np.float64)
    if values.shape != (len(edges) - 1,) or not np.isfinite(values).all():
        raise ValueError(
            f"r_opt must give one finite number for each of the {len(edges) - 1} bins, "
            f"not {values!r}"
        )
    return values
