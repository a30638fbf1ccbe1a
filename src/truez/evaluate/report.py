"""The report of a mock: every estimate beside the truth, the surveys and the linear optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as attributes_of
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.estimates import delta_of
from truez.evaluate.evaluation import Evaluation, evaluate_fields
from truez.evaluate.judge import Judge, sub_box_cells
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Region
from truez.mesh.field import Field
from truez.sightlines.redistribution import information_gain
from truez.statistics.binning import Floats
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.mock import Mock
from truez.surveys.surveys import Surveys

REGIONS = ("auto", "all", "evaluation", "train", "validation", "test")


def evaluate_mock(
    mock: Mock,
    estimates: Mapping[str, Any],
    *,
    region: str = "auto",
    smoothing: Sequence[float] = (0, 4, 8),
    progress: Progress = silent,
) -> Evaluation:
    """Judge estimates of a mock against its truth and the limit of every linear method.

    Parameters
    ----------
    mock : Mock
    estimates : mapping of name to Field or reconstruction (``delta``, ``sigma``, ``intensity``)
        Overdensities on the mock's box.
    region : {"auto", "all", "evaluation", "train", "validation", "test"}
        Where to judge. ``auto`` is the test region if a network trained on this mock is among the
        estimates, so that nobody is judged where it has learned; else the evaluation region.
    smoothing : sequence of float
        Gaussian radii [Mpc/h].
    progress : Progress

    Raises
    ------
    ValueError
        If the region is unknown, or an estimate is not one of this mock.
    """
    if region not in REGIONS:
        raise ValueError(f"region must be one of {', '.join(REGIONS)}, not {region!r}")
    fields = {name: delta_of(name, estimate) for name, estimate in estimates.items()}
    chosen = region
    if region == "auto":
        trained_here = any(learned_from(field, mock) for field in fields.values())
        chosen = "test" if trained_here else "evaluation"
    for name, field in fields.items():
        if field.metadata.get("mock", mock.fingerprint) != mock.fingerprint:
            raise ValueError(f"{name} is an estimate of another mock than this one")
    resampler = _resampler(fields)
    truth, photo, spec = mock.fields(resampler)
    model = fit_linear_model(spec, photo, mock.surveys, resampler=resampler)
    cells = cells_of(mock, chosen)
    judge = Judge(truth, region=cells, radii=smoothing, cells=sub_box_cells)

    def r_opt(edges: Floats) -> Floats:
        return model.r_opt_shells(edges, judge.truth.box)

    def nats(intensity: Tensor) -> float:
        return nats_in(mock, intensity, cells, resampler=resampler)

    found = evaluate_fields(
        judge, photo, spec, estimates, r_opt=r_opt, nats=nats, progress=progress
    )
    found.about["region_name"] = chosen
    return replace(
        found, summary=_summary(mock, chosen, fields), provenance=_provenance(mock, fields)
    )


def nats_in(mock: Mock, intensity: Tensor, cells: Region, *, resampler: str = "cic") -> float:
    """Information gain [nats per galaxy] of the galaxies that truly lie in a region.

    Those are the photometric ones without a known redshift; nan where the region holds none.
    """
    surveys, (start, stop) = mock.surveys, cells
    if (tuple(start), tuple(stop)) != ((0, 0, 0), mock.box.meshsize):
        place = (mock.truth - np.asarray(mock.box.lower)) / np.asarray(mock.box.cellsize)
        inside = ((place >= start) & (place < stop)).all(axis=1)
        known = {item.name: getattr(surveys, item.name) for item in attributes_of(surveys)}
        surveys = _Part(**known, inside=inside)
    if not surveys.photo_only().any():
        return math.nan
    return information_gain(surveys, intensity, mock.truth, resampler=resampler)


@dataclass(frozen=True, eq=False)
class _Part(Surveys):
    """Surveys of which only the photometric galaxies ``inside`` (n_p,) are asked for."""

    inside: NDArray[np.bool_] | None = None

    def photo_only(self) -> NDArray[np.bool_]:
        result = super().photo_only()
        return result if self.inside is None else result & self.inside


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


def _provenance(mock: Mock, fields: Mapping[str, Field]) -> dict[str, Any]:
    """What made the surveys and the estimates, as plain values."""
    return {
        "mock": mock.config.model_dump(mode="json", exclude_none=True),
        "source": mock.source,
        "reconstructions": {name: field.metadata for name, field in fields.items()},
        "versions": versions(),
    }


def _summary(mock: Mock, region: str, fields: Mapping[str, Field]) -> list[str]:
    """What was judged in words, one paragraph each."""
    config, surveys = mock.config, mock.surveys
    n_spec, n_photo, _ = surveys.densities
    space = "in redshift space" if config.redshift_space else "in real space"
    where = {"all": "the whole box", "evaluation": "the evaluation region"}.get(
        region, f"the {region} region"
    )
    surveys_text = (
        f"Two surveys of {mock.source.get('catalogue', 'a simulation')} {space} at redshift "
        f"{config.redshift:g}, in a box of {mock.box}. The photometric sample holds "
        f"{len(surveys.photo):,} galaxies ({n_photo:.3g} (h/Mpc)³) with a redshift error of "
        f"{config.sigma_z:g} (1 + z), {surveys.error.sigma:.3g} Mpc/h along the line of sight; "
        f"the spectroscopic one {len(surveys.spec):,} ({n_spec:.3g} (h/Mpc)³) with exact "
        "redshifts. The truth is the photometric sample at its exact redshifts."
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
