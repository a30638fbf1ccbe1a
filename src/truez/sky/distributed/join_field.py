"""One field of the patches of a run, copied one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch import field_metadata
from truez.sky.field_file import patch_writer
from truez.support.disk import check_disk
from truez.support.progress import Progress, silent

#: What is the largest of all patches, and what each has a list of.
_LARGEST = ("filter_iterations", "filter_residual")
_LISTS = ("floor_fraction",)


def join_field(
    run: OpenRun, path: str | Path, numbers: list[int], progress: Progress = silent
) -> None:
    """Write the patches of a run as one field, which `SkyReconstruction.read` reads.

    Parameters
    ----------
    run : OpenRun
    path : str or Path
        HDF5 file to write.
    numbers : list of int
        The patches, in their order.
    progress : Progress

    Raises
    ------
    ValueError
        If the run makes no field, or a file or the disk does not do.
    """
    if not run.plan.wanted.field:
        raise ValueError(f"the run {run.folder.path} makes no field: leave field out")
    files = [run.folder.field(number) for number in numbers]
    lost = next((file for file in files if not file.is_file()), None)
    if lost is not None:
        raise ValueError(
            f"{lost} is missing, and was there: remove the file of that patch in "
            f"{run.folder.path}/patches, and run the command again"
        )
    check_disk(sum(file.stat().st_size for file in files), path)
    with patch_writer(path) as writer:
        for place, (number, file) in enumerate(zip(numbers, files, strict=True)):
            progress("joining the field", place, len(numbers))
            writer.copy(file, number)
        progress("joining the field", len(numbers), len(numbers))
        writer.describe(
            run.partition.plan.cosmology, field_metadata(run, shells_found(run, numbers))
        )


def shells_found(run: OpenRun, numbers: list[int]) -> list[dict[str, Any]]:
    """What was found in each shell, of the records of its patches."""
    patches, result = run.partition.patches, []
    for shell in patches.shells:
        own = [n for n in numbers if patches[n].shell is shell]
        about: dict[str, Any] = {"near": shell.near, "far": shell.far, "chi_ref": shell.chi_ref}
        excess = expected = 0.0
        for number in own:
            record = run.folder.read_record(number)
            above, weight = record["mean"]
            excess, expected = excess + above, expected + weight
            for name, value in record["about"].items():
                if name in _LARGEST:
                    about[name] = max(about.get(name, value), value)
                elif name in _LISTS:
                    about[name] = about.get(name, []) + value
                else:
                    about.setdefault(name, value)
        if expected > 0:
            about["mean"] = excess / expected
        result.append(about)
    return result
