"""A run as every process opens it: its plan, the partition, and what all patches share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from truez.sky.distributed.folder import RunFolder
from truez.sky.distributed.run_plan import RunPlan, digest_of
from truez.sky.distributed.survey_numbers import with_numbers
from truez.sky.partition.shared import SharedSurveys
from truez.sky.partition.stored import Partition
from truez.sky.patches import Patch
from truez.sky.registry import METHODS, SkyMethod
from truez.sky.settled import Settled
from truez.support.documents import read_json, section

_AGAIN = "begin again with truez run --overwrite"
#: The run that this process has opened last, by its folder and the state of its plan.
_last: dict[tuple[str, int], OpenRun] = {}


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run.

    Parameters
    ----------
    folder : RunFolder
    plan : RunPlan
    partition : Partition
    """

    folder: RunFolder
    plan: RunPlan
    partition: Partition

    @classmethod
    def open(cls, folder: str | Path) -> OpenRun:
        """Open a run, or take the one that this process opened last.

        Raises
        ------
        FileNotFoundError
            If there is none, or no partition any more.
        ValueError
            If a file is damaged, or the partition has changed.
        """
        own = RunFolder(Path(folder).absolute())
        key = str(own.path), own.plan.stat().st_mtime_ns if own.plan.is_file() else 0
        if key not in _last:
            plan = RunPlan.read(own)
            partition = Partition.open(plan.partition)
            if digest_of(partition) != plan.digest:
                raise ValueError(
                    f"{plan.partition} is another partition than when the run {own.path} began: "
                    f"{_AGAIN}"
                )
            _last.clear()
            _last[key] = cls(own, plan, partition)
        return _last[key]

    @property
    def method(self) -> SkyMethod:
        """The method."""
        return METHODS[self.plan.method]

    @cached_property
    def settings(self) -> Any:
        """Settings of the method."""
        return self.method.settings(**self.plan.settings)

    @cached_property
    def measured(self) -> SharedSurveys:
        """What all patches share of the surveys, as this process measures it on the sample."""
        return self.plan.surveys.measured(self.partition)

    @cached_property
    def shared(self) -> SharedSurveys:
        """What all patches share of the surveys, as it was settled."""
        return with_numbers(self.measured, self.settled()["surveys"])

    def settled(self) -> dict[str, Any]:
        """What is settled so far: ``surveys``, and the numbers of each of the ``shells``."""
        path = self.folder.settled
        if not path.is_file():
            raise FileNotFoundError(
                f"the first pass of {self.folder.path} has not begun: run truez run with "
                "this folder again, which goes on"
            )
        return section(read_json(path, remedy=_AGAIN), str(path), keys=("surveys", "shells"),
                       remedy=_AGAIN)  # fmt: skip

    def settled_of(self, patch: Patch, *, is_first_pass: bool = False) -> Settled:
        """What is settled of the shell of a patch."""
        shells = self.settled()["shells"]
        numbers = shells[self.partition.patches.shells.index(patch.shell)]
        return Settled(self.shared.surveys, numbers, is_first_pass=is_first_pass)
