"""Options of ``truez reconstruct`` of a partition.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from truez.cli.options import OUTPUT, below_one, option

#: Panel of the help.
PARTITION = "Partition"


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where the patches of a partition are made, and what is made of each."""

    workers: Annotated[
        int | None,
        option(PARTITION, "Processes of this machine; by default this one alone.", min=1),
    ] = None
    threads: Annotated[int, option(PARTITION, "Of each of them.", min=1)] = 1
    scheduler: Annotated[
        str | None,
        option(PARTITION, "Address of a dask scheduler, or its file, in place of --workers."),
    ] = None
    plan: Annotated[
        str | None,
        option(
            PARTITION,
            "Folder of a run, in place of --out: only the first pass is made, and "
            "patches by truez run-patch.",
        ),
    ] = None
    make: Annotated[
        str, option(PARTITION, "What is made of each patch: field, redshifts or both.")
    ] = "field,redshifts"
    first_patches: Annotated[
        int,
        option(PARTITION, "Patches of a shell that what all share is measured on.", min=1),
    ] = 8
    pdf_column: Annotated[
        str | None, option(PARTITION, "Nested column with p(z), in place of photo-z errors.")
    ] = None
    interval: Annotated[
        float,
        option(
            OUTPUT, "Partition: share of the posterior between z_lo and z_hi.", callback=below_one
        ),
    ] = 0.68
