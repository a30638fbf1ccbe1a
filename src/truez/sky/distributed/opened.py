"""A run as every process opens it: its plan, the partition, and what all patches share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from truez.support.replacing import refuse_replaced

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
    known : SharedSurveys, optional
        What all patches share of the surveys, where this process has measured it already.
    """

    folder: RunFolder
    plan: RunPlan
    partition: Partition
    known: SharedSurveys | None = None

    @classmethod
    def open(cls, folder: str | Path, known: SharedSurveys | None = None) -> OpenRun:
        """Open a run, or take the one that this process opened last.

        Parameters
        ----------
        folder : str or Path
        known : SharedSurveys, optional
            What all patches share of the surveys, so that it is not measured once more.

        Raises
        ------
        FileNotFoundError
            If there is none, or no partition any more.
        ValueError
            If a file is damaged, or the partition has changed.
        """
        own = RunFolder(Path(folder).absolute())
        refuse_replaced(own.path, "truez run")
        key = str(own.path), own.plan.stat().st_mtime_ns if own.plan.is_file() else 0
        found = _last.get(key)
        if found is None:
            plan = RunPlan.read(own)
            partition = Partition.open(plan.partition)
            if digest_of(partition) != plan.digest:
                raise ValueError(
                    f"{plan.partition} is another partition than when the run {own.path} began: "
                    f"{_AGAIN}"
                )
            found = cls(own, plan, partition)
        if known is not None and found.known is None:
            found = replace(found, known=known)
        _last.clear()
        _last[key] = found
        return found

    @property
    def method(self) -> SkyMethod:
        """The method."""
        return METHODS[self.plan.method]

    def largest_first(self, numbers: Sequence[int]) -> list[int]:
        """Patches in the order of work: the largest first, so that none is left at the end."""
        sizes = self.partition.patches
        return sorted(numbers, key=lambda number: (-sizes[number].num_cells, number))

    @cached_property
    def settings(self) -> Any:
        """Settings of the method."""
        return self.method.settings(**self.plan.settings)

    @cached_property
    def measured(self) -> SharedSurveys:
        """What all patches share of the surveys, as this process measures it on the sample."""
        return self.known or self.plan.surveys.measured(self.partition)

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
