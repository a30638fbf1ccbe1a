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
import tomllib
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
from truez.statistics.scores import SubBoxScores

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
        found = self.config.get("run", {})
        return found if isinstance(found, dict) else {}

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
        text = (path / "run.toml").read_text(encoding="utf-8")
        config = _toml(path / "run.toml", text)
        documents = {"run.toml": text}
        known = (path / name for name in ("mock-test", "mock"))
        mock = next((folder for folder in known if (folder / "mock.toml").is_file()), None)
        if mock is not None:
            documents[f"{mock.name}/mock.toml"] = (mock / "mock.toml").read_text(encoding="utf-8")
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
        stages = _json(path / "stages.json") if (path / "stages.json").is_file() else []
        checks = (
            (stages, "stages.json is not there: what the stages took is not known."),
            (mock or surveys, "The mock of the test box is not there: no slices can be shown."),
            (trained or config.get("run", {}).get("network") is False,
             "training/best.safetensors is not there: no network has been trained."),
            (fields, "fields/ holds no reconstruction."),
            (scores, "results/table1.ecsv is not there: no field has been judged."),
            (pictures, "figures/ holds no figure."),
        )  # fmt: skip
        missing = [words for there, words in checks if not there] + absent
        return cls(
            path, scores, pictures, documents, missing, config=config, mock=mock,
            surveys=surveys, fields=fields, stages=_stages(path, stages),
        )  # fmt: skip

    @classmethod
    def _demo(cls, path: Path) -> RunFolder:
        text = (path / "mock.toml").read_text(encoding="utf-8")
        fields, report = _field_files(path), path / "report"
        metrics = report / "metrics.json"
        scores = scores_of(_json(metrics)) if metrics.is_file() else {}
        pictures, absent = _pictures(report)
        checks = (
            (fields, "There is no reconstruction beside the mock."),
            (scores, "report/metrics.json is not there: no field has been judged."),
        )
        missing = [words for there, words in checks if not there] + absent
        config, documents = _toml(path / "mock.toml", text), {"mock.toml": text}
        return cls(
            path, scores, pictures, documents, missing, config=config, mock=path, fields=fields
        )

    @classmethod
    def _evaluation(cls, path: Path) -> RunFolder:
        pictures, absent = _pictures(path)
        about = path / "about.json"
        documents = {about.name: about.read_text(encoding="utf-8")} if about.is_file() else {}
        missing = ("The fields are not kept with an evaluation: no slices can be shown.", *absent)
        scores = scores_of(_json(path / "metrics.json"))
        return cls(path, scores, pictures, documents, missing)


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML ({error}): make the run again") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): make it again") from error


def _field_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.h5"), key=lambda path: path.stem)}


def _stages(path: Path, stages: Any) -> list[dict[str, Any]]:
    if not isinstance(stages, list) or not all(isinstance(s, dict) and "name" in s for s in stages):
        raise ValueError(f"{path / 'stages.json'} must be a list of stages with names")
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
        raise ValueError(f"{path} is not a table of scores ({error}): make it again") from error
    return scores


def _with_boxes(scores: Scores, folder: Path) -> Scores:
    """The same with the score of each sub-box, where it lies beside the table."""
    for field, entry in scores.items():
        path = folder / f"scores-{field}.ecsv"
        if path.is_file():
            values = SubBoxScores.read(path).values
            for name in entry.keys() & values.keys():
                entry[name] = replace(entry[name], boxes=values[name])
    return scores


def scores_of(metrics: Mapping[str, Any]) -> Scores:
    """The scores in what ``metrics.json`` holds, over sub-boxes where there are any."""
    scores: Scores = {}
    for field, entry in metrics.items():
        known = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        known.pop("mse_over_variance", None)
        scores[field] = {name: Score(float(value)) for name, value in known.items()}
        for name, parts in entry.get("sub_boxes", {}).items():
            mean, sigma, error = (
                math.nan if parts[key] is None else float(parts[key])
                for key in ("mean", "sigma", "error")
            )
            scores[field][name] = Score(mean, sigma, error)
    return scores


def _pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """The PNG files of a folder, those with captions first and in their order."""
    captions = folder / "captions.json"
    pictures, absent = [], []
    for name, text in (_json(captions) if captions.is_file() else {}).items():
        path = folder / Path(name).with_suffix(".png").name
        if path.is_file():
            pictures.append(Picture(path, str(text["title"]), str(text["caption"])))
        else:
            absent.append(f"{folder.name}/{path.name} is not there.")
    known = {picture.path for picture in pictures}
    for path in sorted(folder.glob("*.png")):
        if path not in known:
            title = path.stem.replace("_", " ")
            pictures.append(Picture(path, *CAPTIONS.get(path.stem, (title, ""))))
    return pictures, absent
