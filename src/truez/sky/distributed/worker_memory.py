"""What a worker takes of the memory: Python and its libraries, galaxies, and the meshes."""

from __future__ import annotations

from typing import Any

from truez.sky.core import Core
from truez.sky.partition.stored import Partition
from truez.sky.patches import Patches
from truez.sky.registry import METHODS

#: Of a process with its libraries and the sample of galaxies, and for each galaxy of a patch, its
#: margins included [bytes]; as measured by `benchmarks/runs.py`.
_PROCESS, _GALAXY = 6e8, 200.0


def worker_memory(
    patches: Patches, method: str, settings: Any, num_galaxies: float,
    partition: Partition | None = None,
) -> float:  # fmt: skip
    """Memory that a worker takes at its peak, for the patch that takes most [bytes].

    Parameters
    ----------
    patches : Patches
    method : str
    settings : object
        Those of the method.
    num_galaxies : float
        Photometric ones.
    partition : Partition, optional
        By which the galaxies of each patch are known; else there are as many in all cells.
    """
    counts = None if partition is None else partition.patch_counts("photo")
    if counts is None:
        even = num_galaxies / sum(Core(patch).box.num_cells for patch in patches)
        held = [even * patch.num_cells for patch in patches]
    else:
        held = [float(count) for count in counts]
    chosen = METHODS[method]
    return _PROCESS + max(
        chosen.memory(patch, settings) + _GALAXY * held[patch.number] for patch in patches
    )
