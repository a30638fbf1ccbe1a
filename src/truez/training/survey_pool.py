"""Folders of survey views, which are made once and trained on many times.

A folder has two parts, ``training`` and ``validation``, with a file a view, such as
``training/00012.safetensors``. A view is a function of its number alone, so that several processes
may share the work, and an interrupted one goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from truez.networks.conditions import LOCAL_CONDITIONS, SIDE
from truez.networks.survey_limits import SurveyLimits
from truez.networks.tensors import CHECKSUM, read_text
from truez.support.progress import Progress, silent
from truez.training.survey_view import KEY, SurveyView

Purpose = Literal["training", "validation"]
SUFFIX = ".safetensors"
#: Conditions along the line of sight whose ranges are limits of a network.
_CONDITIONS = {
    "cellsize": LOCAL_CONDITIONS.index("ln side across"),
    "along": LOCAL_CONDITIONS.index("ln side along"),
    "redshift": LOCAL_CONDITIONS.index("redshift"),
}
#: What to do with a folder that lacks views.
_REMEDY = "make some with truez views"


@dataclass(frozen=True, eq=False)
class ViewPool:
    """The views of one part of a folder, which are read when they are needed.

    Parameters
    ----------
    paths : sequence of Path
        Their files.
    """

    paths: Sequence[Path]
    _open: dict[int, SurveyView] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls, folder: str | Path, purpose: Purpose, names: Iterable[str] | None = None
    ) -> ViewPool:
        """The views of a part of a folder, those of ``names`` or all.

        Raises
        ------
        FileNotFoundError
            If the folder has no views of this purpose, or not those of the names.
        """
        part = Path(folder) / purpose
        found = sorted(part.glob(f"*{SUFFIX}"))
        if names is not None:
            wanted = set(names)
            found = [path for path in found if path.stem in wanted]
            missing = sorted(wanted - {path.stem for path in found})
            if missing:
                raise FileNotFoundError(
                    f"{part} lacks the view {missing[0]}, with which the run began: put it back, "
                    "or train into another folder"
                )
        if not found:
            raise FileNotFoundError(f"{part} has no views for {purpose}: {_REMEDY}")
        return cls(found)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> SurveyView:
        """A view, mapped into memory."""
        if number not in self._open:
            self._open[number] = SurveyView.read(self.paths[number])
        return self._open[number]

    @cached_property
    def about(self) -> list[dict[str, Any]]:
        """What is known of each view, see `SurveyView`."""
        return [json.loads(read_text(path, KEY))["about"] for path in self.paths]

    def describe(self) -> dict[str, str]:
        """Names of the views, with the beginnings of their checksums."""
        return {path.stem: read_text(path, CHECKSUM)[:16] for path in self.paths}

    @property
    def ranges(self) -> dict[str, Any]:
        """What the views reach together, by the names of their ``limits``.

        A range of numbers is (lowest, highest); what is not a number is itself where all views
        have the same, and otherwise "both". Sides of cells and redshifts are those of the
        conditions.
        """
        limits = [about["limits"] for about in self.about]
        found = {name: _whole([one[name] for one in limits]) for name in limits[0]}
        profiles = [self[number].profiles for number in range(len(self))]
        for name, row in _CONDITIONS.items():
            values = [one[row].astype(float) for one in profiles]
            ends = [(float(one.min()), float(one.max())) for one in values]
            if name != "redshift":
                ends = [(SIDE * math.exp(low), SIDE * math.exp(high)) for low, high in ends]
            found[name] = _whole(ends)
        return found

    @property
    def limits(self) -> SurveyLimits:
        """The surveys of the views, for the header of weights."""
        ranges = self.ranges
        return SurveyLimits(**{name: ranges[name] for name in SurveyLimits.model_fields})


def make_views(
    make: Callable[[int], SurveyView],
    numbers: Iterable[int],
    folder: str | Path,
    purpose: Purpose,
    *,
    prefix: str = "",
    progress: Progress = silent,
) -> list[Path]:
    """Make the views of a folder that are not there yet.

    Parameters
    ----------
    make : function of a number
        The view of that number; it should depend on nothing else.
    numbers : iterable of int
        Those of one process.
    folder : str or Path
    purpose : {"training", "validation"}
    prefix : str
        Of the names of the files, for views of another kind beside those of the same numbers.
    progress : Progress

    Returns
    -------
    list of Path
        The files that were written.
    """
    part = Path(folder) / purpose
    wanted = {number: part / f"{prefix}{number:05d}{SUFFIX}" for number in numbers}
    missing = {number: path for number, path in wanted.items() if not path.exists()}
    for done, (number, path) in enumerate(missing.items()):
        progress("views", done, len(missing), f"number {number}")
        make(number).placed().write(path)
    progress("views", len(missing), len(missing))
    return list(missing.values())


def _whole(values: Sequence[Any]) -> Any:
    """A range that holds all of several, or the value that is the same in all, or "both"."""
    if isinstance(values[0], Sequence) and not isinstance(values[0], str):
        return min(low for low, _ in values), max(high for _, high in values)
    return values[0] if all(value == values[0] for value in values) else "both"
