"""What lies in the folder of a run, finished or not.

`truez paper` writes ``run.toml`` (the resolved recipe), ``mock-test/`` (or ``mock/``),
``training/``, ``surveys/`` (truth, photo and spec as painted), ``fields/NAME.h5``, ``results/``
with ``table1.ecsv``, ``figures/*.png`` with ``captions.json`` and ``stages.json``; only the first
must be there. The folders of `truez demo` (a mock, its fields and ``report/``) and of
`truez evaluate` (``metrics.json`` and pictures) are read as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table as ColumnTable
from numpy.typing import NDArray

from truez.evaluate.figures.captions import CAPTIONS
from truez.evaluate.figures.style import Picture
from truez.evaluate.labels import SURVEYS
from truez.evaluate.store import REDSHIFTS
from truez.statistics.scores import SCORES, SubBoxScores
from truez.support.documents import listing, number_of, read_json, read_toml, section
from truez.support.printable import printable

_REMEDY = "make the run again"
_OF_SUB_BOXES = ("mean", "sigma", "error")
TABLE_COLUMNS = ("field", "score", "mean", "sigma", "error", "paper_mean", "paper_sigma")


@dataclass(frozen=True, eq=False)
class Score:
    """One score of one field: mean, scatter and error of the mean over sub-boxes, and the paper's.

    What is not known is NaN, or None for the score of each sub-box.
    """

    mean: float
    sigma: float = math.nan
    error: float = math.nan
    paper_mean: float = math.nan
    paper_sigma: float = math.nan
    boxes: NDArray[np.float64] | None = None


#: Scores by field and by name.
Scores = dict[str, dict[str, Score]]


@dataclass(frozen=True)
class RunFolder:
    """The parts of a run; what has not been made yet is empty and named in ``missing``.

    ``config`` is that of ``run.toml`` or ``mock.toml``; ``mock`` the mock folder of the box whose
    fields are shown, ``surveys`` its ``truth``, ``photo`` and ``spec`` where they lie there
    painted, all three or none, and ``fields`` reconstructions of that box or of a part of it. A
    stage has ``name``, ``seconds``, ``peak_memory`` [bytes] and ``finished``; ``documents`` are
    texts by file name.
    """

    path: Path
    scores: Scores
    pictures: Sequence[Picture]
    documents: dict[str, str]
    missing: Sequence[str]
    config: dict[str, Any] = attribute(default_factory=dict)
    mock: Path | None = None
    surveys: dict[str, Path] = attribute(default_factory=dict)
    fields: dict[str, Path] = attribute(default_factory=dict)
    stages: Sequence[dict[str, Any]] = ()

    @property
    def about(self) -> dict[str, Any]:
        """What ``run.toml`` says of the run beside its recipe."""
        found: dict[str, Any] = self.config.get("run", {})
        return found

    @classmethod
    def read(cls, folder: str | Path) -> RunFolder:
        """Look into a folder, which must be that of a run, with no damaged file."""
        path = Path(folder)
        if not path.is_dir():
            raise FileNotFoundError(f"there is no folder {path}")
        if (path / "run.toml").is_file():
            return cls._run(path)
        if (path / "mock.toml").is_file():
            return cls._demo(path)
        if (path / "metrics.json").is_file():
            return cls._evaluation(path)
        raise ValueError(
            f"{path} is not the folder of a run: it holds no run.toml (truez paper), no mock.toml "
            "(truez demo) and no metrics.json (truez evaluate)"
        )

    @classmethod
    def _run(cls, path: Path) -> RunFolder:
        config, text = read_toml(path / "run.toml", remedy=_REMEDY)
        name = str(path / "run.toml")
        about = section(config.get("run", {}), name, "run", remedy=_REMEDY)
        listing(about.get("notes", []), name, "run.notes", remedy=_REMEDY)
        section(config.get("versions", {}), name, "versions", remedy=_REMEDY)
        documents = {"run.toml": text}
        known = (path / name for name in ("mock-test", "mock"))
        mock = next((folder for folder in known if (folder / "mock.toml").is_file()), None)
        if mock is not None:
            _, text = read_toml(mock / "mock.toml", remedy=_REMEDY)
            documents[f"{mock.name}/mock.toml"] = text
        fields, surveys = _field_files(path / "fields"), _field_files(path / "surveys")
        names = ("truth", *SURVEYS)
        surveys = {name: surveys[name] for name in names} if surveys.keys() >= {*names} else {}
        table = path / "results" / "table1.ecsv"
        scores = _with_boxes(_read_table(table), table.parent) if table.is_file() else {}
        pictures, absent = _pictures(path / "figures")
        training = path / "training"
        losses = training / "losses.png"
        if losses.is_file() and not any("losses" in found.path.name for found in pictures):
            pictures.append(Picture(losses, *CAPTIONS["losses"]))
        trained = (training / "best.safetensors").is_file()
        stages = _stages(path / "stages.json") if (path / "stages.json").is_file() else []
        checks = (
            (stages, "stages.json is not there: what the stages took is not known."),
            (mock or surveys, "The mock of the test box is not there: no slices can be shown."),
            (trained or about.get("network") is False,
             "training/best.safetensors is not there: no network has been trained."),
            (fields, "fields/ holds no reconstruction."),
            (scores, "results/table1.ecsv is not there: no field has been judged."),
            (pictures, "figures/ holds no figure."),
        )  # fmt: skip
        missing = [words for there, words in checks if not there] + absent
        return cls(
            path, scores, pictures, documents, missing, config=config, mock=mock,
            surveys=surveys, fields=fields, stages=stages,
        )  # fmt: skip

    @classmethod
    def _demo(cls, path: Path) -> RunFolder:
        config, text = read_toml(path / "mock.toml", remedy=_REMEDY)
        fields, report = _field_files(path), path / "report"
        metrics = report / "metrics.json"
        scores = read_scores(metrics) if metrics.is_file() else {}
        pictures, absent = _pictures(report)
        checks = (
            (fields, "There is no reconstruction beside the mock."),
            (scores, "report/metrics.json is not there: no field has been judged."),
        )
        missing = [words for there, words in checks if not there] + absent
        return cls(
            path, scores, pictures, {"mock.toml": text}, missing, config=config, mock=path,
            fields=fields,
        )  # fmt: skip

    @classmethod
    def _evaluation(cls, path: Path) -> RunFolder:
        pictures, absent = _pictures(path)
        about = path / "about.json"
        documents = {}
        if about.is_file():
            content = read_json(about, remedy=_REMEDY)
            documents[about.name] = json.dumps(content, indent=1, ensure_ascii=False)
        missing = ("The fields are not kept with an evaluation: no slices can be shown.", *absent)
        scores = read_scores(path / "metrics.json")
        return cls(path, scores, pictures, documents, missing)


def _field_files(folder: Path) -> dict[str, Path]:
    files = sorted(folder.glob("*.h5"), key=lambda path: path.stem)
    return {printable(path.stem): path for path in files}


def _stages(path: Path) -> list[dict[str, Any]]:
    remedy = "remove it, and all stages run again"
    stages = listing(read_json(path, remedy=remedy), str(path), remedy=remedy)
    for number, stage in enumerate(stages):
        key = f"stage {number}"
        section(stage, str(path), key, keys=["name"], remedy=remedy)
        for name in ("seconds", "peak_memory"):
            number_of(stage.get(name), str(path), f"{name} of {key}", remedy=remedy)
    return stages


def _read_table(path: Path) -> Scores:
    try:
        table = ColumnTable.read(path, format="ascii.ecsv")
        absent = [name for name in TABLE_COLUMNS if name not in table.colnames]
        if absent:
            raise KeyError(f"no column {', '.join(absent)}")
        scores: Scores = {}
        for row in table:
            mean, sigma, error, *paper = (
                math.nan if getattr(row[name], "mask", False) else float(row[name])
                for name in TABLE_COLUMNS[2:]
            )
            score = Score(mean, sigma, error, paper[0], paper[1])
            scores.setdefault(str(row["field"]), {})[str(row["score"])] = score
    except Exception as error:  # astropy has many
        raise ValueError(f"{path} is not a table of scores: make the run again") from error
    return scores


def _with_boxes(scores: Scores, folder: Path) -> Scores:
    """The same with the score of each sub-box, where it lies beside the table."""
    for field, entry in scores.items():
        path = folder / f"scores-{field}.ecsv"
        if path.parent == folder and path.is_file():  # whatever the name of the field
            values = SubBoxScores.read(path).values
            for name in entry.keys() & values.keys():
                entry[name] = replace(entry[name], boxes=values[name])
    return scores


def scores_of(metrics: Mapping[str, Any]) -> Scores:
    """The scores in what ``metrics.json`` holds, over sub-boxes where there are any."""
    scores: Scores = {}
    for field, entry in metrics.items():
        known = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        for name in ("mse_over_variance", *REDSHIFTS[1:]):
            known.pop(name, None)
        scores[field] = {name: Score(float(value)) for name, value in known.items()}
        for name, parts in (entry.get("sub_boxes") or {}).items():
            mean, sigma, error = (
                math.nan if parts[key] is None else float(parts[key]) for key in _OF_SUB_BOXES
            )
            scores[field][name] = Score(mean, sigma, error)
    return scores


def read_scores(path: Path) -> Scores:
    """The scores in a ``metrics.json``.

    Raises
    ------
    ValueError
        If it does not hold what `truez.evaluate.results.Evaluation.write` writes.
    """
    name, remedy = str(path), "evaluate the fields again"
    metrics = section(read_json(path, remedy=remedy), name, remedy=remedy)
    for field, entry in metrics.items():
        section(entry, name, field, remedy=remedy)
        for score in {*SCORES, "mse_over_variance"} & entry.keys():
            number_of(entry[score], name, f"{field}.{score}", remedy=remedy)
        key = f"{field}.sub_boxes"
        for score, parts in section(entry.get("sub_boxes") or {}, name, key, remedy=remedy).items():
            inner = f"{key}.{score}"
            section(parts, name, inner, keys=_OF_SUB_BOXES, remedy=remedy)
            for part in _OF_SUB_BOXES:
                number_of(parts[part], name, f"{inner}.{part}", remedy=remedy)
    return scores_of(metrics)


def _pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """The PNG files of a folder, those with captions first and in their order."""
    captions = folder / "captions.json"
    pictures, absent = [], []
    found, remedy = {}, "remove it, or make the figures again"
    if captions.is_file():
        found = section(read_json(captions, remedy=remedy), str(captions), remedy=remedy)
    for name, text in found.items():
        section(text, str(captions), name, keys=("title", "caption"), remedy=remedy)
        path = folder / f"{Path(name).stem}.png"  # in this folder, whatever the name
        if path.is_file():
            pictures.append(Picture(path, str(text["title"]), str(text["caption"])))
        else:
            absent.append(f"{folder.name}/{path.name} is not there.")
    known = {picture.path for picture in pictures}
    for path in sorted(folder.glob("*.png")):
        if path not in known:
            title = printable(path.stem.replace("_", " "))
            pictures.append(Picture(path, *CAPTIONS.get(path.stem, (title, ""))))
    return pictures, absent
