"""What a run of a partition will take: time, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass

from truez.sky.distributed.driver import Prepared, disk_of
from truez.sky.distributed.first_pass import first_patches
from truez.sky.registry import METHODS

#: Time of a galaxy for each cell of its sight line, measured on GAMA G09 [s].
PER_GALAXY = 2.5e-7
#: Work of a patch in the first pass over that of making it: spectra, a filter, and the intensity
#: with the pairs of galaxies.
_FIRST = 1.5


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Parameters
    ----------
    seconds : float
        On one core.
    first_share : float
        Share of it that is the first pass.
    memory : float
        Of a worker, for the largest patch [bytes].
    disk : float
        Of the files of all patches [bytes].
    """

    seconds: float
    first_share: float
    memory: float
    disk: float


def estimate(prepared: Prepared) -> Estimate:
    """What a run takes, of the patches and galaxies of its partition."""
    plan, partition = prepared.plan, prepared.partition
    method = METHODS[plan.method]
    how = method.settings(**plan.settings)
    counts = partition.core_counts("photo")
    even = partition.num_rows("photo") / len(partition)
    seconds = [
        method.time(patch, how)
        + PER_GALAXY * patch.box.meshsize[2] * (even if counts is None else counts[patch.number])
        for patch in partition.patches
    ]
    first = _FIRST * sum(
        seconds[number]
        for shell in partition.patches.shells
        for number in first_patches(partition, shell, plan.first_patches)
    )
    total = sum(seconds) + first
    memory = max(method.memory(patch, how) for patch in partition.patches)
    return Estimate(total, first / total, memory, disk_of(prepared))
