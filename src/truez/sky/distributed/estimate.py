"""What a run of a partition will take: time, memory and disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapreplace
from typing import Any

from truez.mesh.memory import VALUE
from truez.sky.core import Core
from truez.sky.distributed.driver import REDSHIFT_BYTES, Prepared, disk_of
from truez.sky.distributed.first_pass import first_patches
from truez.sky.distributed.run_plan import FIRST_PATCHES
from truez.sky.distributed.worker_memory import worker_memory
from truez.sky.partition.stored import Partition
from truez.sky.patches import Patches
from truez.sky.registry import METHODS, PER_GALAXY

#: Time of the quantiles of a galaxy and of writing them, as measured on cells of 4 Mpc/h [s].
PDF_SECONDS = 1e-5
#: Time in which a command and its workers start and the sample of the galaxies is read, measured on
#: a light cone of 129 deg^2 (`benchmarks/runs.py`) [s].
START = 30.0


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Parameters
    ----------
    first : sequence of float
        Time of each patch that has a part in the first pass, on one core [s].
    making : sequence of float
        Time of making each patch [s].
    memory : float
        Of a worker, for the largest patch [bytes].
    disk : float
        Of the files of all patches [bytes].
    """

    first: Sequence[float]
    making: Sequence[float]
    memory: float
    disk: float

    @property
    def seconds(self) -> float:
        """On one core."""
        return START + sum(self.first) + sum(self.making)

    @property
    def first_share(self) -> float:
        """Share of the time that is the first pass."""
        return sum(self.first) / self.seconds

    def elapsed(self, workers: int) -> float:
        """Time that so many workers take [s], each on a patch at a time, the largest first.

        Examples
        --------
        >>> from truez.sky.distributed.estimate import START, Estimate
        >>> Estimate((1.0,), (3.0, 2.0, 2.0), 0, 0).elapsed(2) - START
        5.0
        """
        return START + sum(_elapsed(part, workers) for part in (self.first, self.making))


def estimate(prepared: Prepared) -> Estimate:
    """What a run takes, of the patches and galaxies of its partition."""
    plan, partition = prepared.plan, prepared.partition
    how = METHODS[plan.method].settings(**plan.settings)
    found = estimate_of(
        partition.patches, plan.method, partition.num_rows("photo"), settings=how,
        first=plan.first_patches, partition=partition,
    )  # fmt: skip
    pdfs = PDF_SECONDS * partition.num_rows("photo") if plan.wanted.pdf else 0.0
    more = 1 + pdfs / sum(found.making)
    return replace(found, making=[more * one for one in found.making], disk=disk_of(prepared))


def estimate_of(
    patches: Patches, method: str, num_galaxies: float, *, settings: Any = None,
    first: int = FIRST_PATCHES, partition: Partition | None = None,
) -> Estimate:  # fmt: skip
    """What a run on patches takes, also where there is no catalogue yet.

    Parameters
    ----------
    patches : Patches
    method : str
    num_galaxies : float
        Photometric ones.
    settings : object, optional
        Those of the method.
    first : int
        Patches of a shell that what all share is measured on.
    partition : Partition, optional
        By which the galaxies of each patch are known; else there are as many for each of its cells.

    Examples
    --------
    >>> from truez.sky.distributed.estimate import estimate_of
    >>> from truez.sky.patches import plan_patches
    >>> from truez.surveys.footprint import Rectangle
    >>> patches = plan_patches(
    ...     Rectangle(0, 90, -30, 30), cosmology="planck18", redshift_range=(0.2, 0.8), sigma_z=0.02
    ... )
    >>> found = estimate_of(patches, "redistribution", 1e8)
    >>> found.seconds > 0, found.memory < 4e9
    (True, True)
    """
    chosen = METHODS[method]
    how = chosen.settings() if settings is None else settings
    counts = None if partition is None else partition.core_counts("photo")
    even = num_galaxies / patches.num_cells
    seconds = [
        chosen.time(patch, how)
        + PER_GALAXY * patch.box.meshsize[2]
        * (even * patch.num_cells if counts is None else counts[patch.number])
        for patch in patches
    ]  # fmt: skip
    early = [
        chosen.first * seconds[number]
        for shell in patches.shells for number in first_patches(patches, shell, first, partition)
    ]  # fmt: skip
    cells = sum(Core(patch).box.num_cells * chosen.written(patch, how) for patch in patches)
    return Estimate(
        early, [chosen.making * one for one in seconds],
        worker_memory(patches, method, how, num_galaxies, partition),
        VALUE * cells + REDSHIFT_BYTES * num_galaxies,
    )  # fmt: skip


def _elapsed(seconds: Sequence[float], workers: int) -> float:
    """When the last of some workers ends, of which each takes the largest patch that is left."""
    ends = [0.0] * workers
    for one in sorted(seconds, reverse=True):
        heapreplace(ends, ends[0] + one)
    return max(ends)
