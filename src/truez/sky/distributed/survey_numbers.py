"""The numbers of the surveys as a whole, which a file fixes.

Every process has the same to the last bit, whatever its libraries make of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from truez.sky.partition.shared import SharedSurveys
from truez.surveys.nz import NumberDensity


def survey_numbers(shared: SharedSurveys) -> dict[str, Any]:
    """Plain values of what all patches share of the surveys."""
    surveys = shared.surveys
    return {
        "nz": _density(surveys.nz),
        "spec_nz": _density(surveys.spec_nz),
        "classes": [_density(one.density) for one in surveys.classes],
        "num_both": float(surveys.num_both),
        "mean_weight": None if surveys.mean_weight is None else float(surveys.mean_weight),
        "photo_range": [float(z) for z in surveys.photo_range],
    }


def with_numbers(shared: SharedSurveys, given: Mapping[str, Any]) -> SharedSurveys:
    """The surveys with these numbers.

    Raises
    ------
    ValueError
        If the sample that they are measured on has changed.
    """
    surveys = shared.surveys
    if len(given["classes"]) != len(surveys.classes):
        raise ValueError(
            "the sample in the folder of the partition is another than when the run began: begin "
            "again with truez run --overwrite"
        )
    low, high = given["photo_range"]
    classes = tuple(
        replace(one, density=_with(one.density, own))
        for one, own in zip(surveys.classes, given["classes"], strict=True)
    )
    return replace(
        shared,
        surveys=replace(
            surveys, nz=_with(surveys.nz, given["nz"]), classes=classes,
            spec_nz=_with(surveys.spec_nz, given["spec_nz"]), num_both=given["num_both"],
            mean_weight=given["mean_weight"], photo_range=(low, high),
        ),
    )  # fmt: skip


def _density(density: NumberDensity) -> list[list[float]]:
    return [density.redshift.tolist(), density.density.tolist()]


def _with(density: NumberDensity, given: list[list[float]]) -> NumberDensity:
    z, numbers = (np.asarray(one, np.float64) for one in given)
    return replace(density, redshift=z, density=numbers)
