"""The report of a mock: every estimate beside the truth, the surveys and the linear optimum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.evaluate.evaluation import Evaluation, evaluate
from truez.evaluate.figures.losses import losses as draw_losses
from truez.evaluate.figures.losses import read_losses
from truez.evaluate.page.page import Embedded, Page, page_tables, room_for_slices
from truez.evaluate.page.run_folder import scores_of
from truez.evaluate.page.run_slices import in_order
from truez.evaluate.page.slices import cut_slices
from truez.evaluate.page.verdict import verdict
from truez.evaluate.page.words import surveys_in_words
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Region
from truez.mesh.field import Field
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.mock import Mock

#: The slices of the page of an evaluation may have this size [bytes].
SLICES_BYTES = 5e6

REGIONS = ("auto", "all", "evaluation", "train", "validation", "test")


def judge(
    mock: Mock,
    reconstructions: Mapping[str, Field],
    *,
    region: str = "auto",
    smoothing: Sequence[float] = (0, 4, 8),
    progress: Progress = silent,
) -> Evaluation:
    """Judge reconstructions of a mock against its truth and the limit of every linear method.

    Parameters
    ----------
    mock : Mock
    reconstructions : mapping of name to Field
        Overdensities on the mock's box.
    region : {"auto", "all", "evaluation", "train", "validation", "test"}
        Where to judge. ``auto`` is the test region if a network trained on this mock is among the
        reconstructions, so that nobody is judged where it has learned; else the evaluation region.
    smoothing : sequence of float
        Gaussian radii [Mpc/h].
    progress : Progress
    """
    if region not in REGIONS:
        raise ValueError(f"region must be one of {', '.join(REGIONS)}, not {region!r}")
    chosen = region
    if region == "auto":
        trained_here = any(learned_from(f, mock) for f in reconstructions.values())
        chosen = "test" if trained_here else "evaluation"
    for name, field in reconstructions.items():
        if field.metadata.get("mock", mock.fingerprint) != mock.fingerprint:
            raise ValueError(f"{name} is an estimate of another mock than this one")
    resampler = _resampler(reconstructions)
    truth, photo, spec = mock.fields(resampler)
    model = fit_linear_model(spec, photo, mock.surveys, resampler=resampler)
    start, stop = cells_of(mock, chosen)
    part = truth.box.crop(start, stop)

    def r_opt(edges: NDArray[np.float64]) -> NDArray[np.float64]:
        return model.r_opt_shells(edges, part)

    result = evaluate(
        truth,
        photo,
        spec,
        reconstructions,
        region=(start, stop),
        r_opt=r_opt,
        smoothing=smoothing,
        progress=progress,
    )
    result.about["region_name"] = chosen
    return result


def _resampler(reconstructions: Mapping[str, Field]) -> str:
    """How the estimates were painted, and so the truth has to be."""
    found = {f.metadata["resampler"] for f in reconstructions.values() if "resampler" in f.metadata}
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


def write_report(
    folder: str | Path,
    mock: Mock,
    evaluation: Evaluation,
    reconstructions: Mapping[str, Field],
    *,
    title: str,
    commands: Sequence[str],
    losses: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write an evaluation as numbers, pictures and one page; gives the page.

    ``losses`` is the ``losses.csv`` of a training run to show, ``commands`` are the command lines
    that make the page again.
    """
    target = Path(folder)
    provenance: dict[str, Any] = {
        "mock": mock.config.model_dump(mode="json", exclude_none=True),
        "source": mock.source,
        "reconstructions": {name: f.metadata for name, f in reconstructions.items()},
        "versions": versions(),
    }
    drawn = {} if losses is None else {"losses": lambda: draw_losses(**read_losses(losses))}
    pictures = evaluation.write(target, provenance=provenance, figures=drawn)
    figures = [Embedded.of(picture) for picture in pictures]
    scores = scores_of(evaluation.to_dict())
    shown = in_order({"truth": evaluation.truth, **evaluation.fields}, scores)
    page = Page(
        title=title,
        verdict=verdict(scores),
        words=_summary(mock, evaluation, reconstructions),
        tables=page_tables(evaluation.tables(), evaluation.context()),
        slices=cut_slices(
            {name: partial(shown.__getitem__, name) for name in shown},
            budget=min(SLICES_BYTES, room_for_slices(figures)),
            progress=progress,
        ),
        figures=figures,
        documents={"provenance": json.dumps(provenance, indent=2, default=str, ensure_ascii=False)},
        commands=commands,
    )
    return page.write(target, maker="truez evaluate")


def _summary(mock: Mock, evaluation: Evaluation, reconstructions: Mapping[str, Field]) -> list[str]:
    surveys = mock.surveys
    observed = surveys_in_words(
        mock.config, mock.source, mock.box, num_photo=len(surveys.photo), num_spec=len(surveys.spec)
    )
    where = {"all": "the whole box", "evaluation": "the evaluation region"}.get(
        evaluation.about["region_name"], f"the {evaluation.about['region_name']} region"
    )
    limit = (
        f"Judged in {where}. The linear optimum is the limit of every linear method, fitted to "
        "the two surveys without the truth."
    )
    words = [observed, limit]
    trained = [name for name, field in reconstructions.items() if learned_from(field, mock)]
    if trained:
        region = mock.regions["train"]
        words.append(
            f"{', '.join(trained)}: trained on cells {region[0][0]} to {region[1][0]} of the first "
            "axis of this same box, and chosen by its validation region; the regions are apart."
        )
    return words
