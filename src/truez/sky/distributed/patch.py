"""One patch of a run, made by itself: the same function in every process and on every machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.sky.agreement import field_mean
from truez.sky.distributed.first_parts import next_name, write_part
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch_pdfs import write_pdf_part
from truez.sky.field_file import patch_writer
from truez.sky.job import ShellJob
from truez.sky.layout import Layout, SkyPatch, intensity_of
from truez.sky.partition.patch_surveys import patch_surveys
from truez.sky.partition.shared import needed_columns
from truez.sky.partition.sky_input import ROW
from truez.sky.partition.stored import PatchInputs
from truez.sky.pdf_output import redshift_edges
from truez.sky.quantiles import QuantileRows
from truez.sky.redshifts import COLUMNS, Sharpener
from truez.sky.result import with_stored_pdfs
from truez.sky.settled import Settled
from truez.support.files import atomic_path, system_errors
from truez.support.memory import peak_memory, reset_peak_memory
from truez.support.notes import kept_notes
from truez.support.progress import Progress, silent
from truez.support.spill import spill_beside

#: Rows of a group in a file of redshifts: few, as they are joined in the order of the input.
GROUP_ROWS = 2**14
#: Columns of such a file.
NAMES = (*COLUMNS, "spec_matched", "flag")


def measure_part(folder: str | Path, number: int, progress: Progress = silent) -> None:
    """Write what a patch has to say of the first thing that is not settled yet in its shell.

    Parameters
    ----------
    folder : str or Path
        Of the run.
    number : int
        Of the patch.
    progress : Progress

    Raises
    ------
    ValueError
        If the galaxies of the patch cannot be used, or a file is damaged.
    """
    run = OpenRun.open(folder)
    patch = run.partition.patches[number]
    settled = run.settled_of(patch, is_first_pass=True)
    path = run.folder.part(next_name(settled.numbers), number)
    if path.is_file():
        return
    # Its notes come again when the patch is made, and are kept there.
    with kept_notes(), _job(run, number, path, settled, progress) as (_, job):
        made = list(run.method.run(job, run.settings))
        assert not made
        write_part(path, settled.part)


def make_patch(folder: str | Path, number: int, progress: Progress = silent) -> None:
    """Make a patch of a run: its field and the redshifts of its galaxies, each file whole.

    One that has been made is left as it is. What all patches share must be settled.

    Parameters
    ----------
    folder : str or Path
        Of the run.
    number : int
        Of the patch.
    progress : Progress

    Raises
    ------
    ValueError
        If there is no such patch, its galaxies cannot be used, or a file is damaged.
    OSError
        If the disk is full.
    """
    run = OpenRun.open(folder)
    if not 0 <= number < len(run.partition):
        raise ValueError(
            f"number must be that of a patch, 0 to {len(run.partition) - 1}, not {number}"
        )
    if run.folder.is_whole(number):
        return
    run.plan.check_weights(run.folder)
    begun = time.monotonic()
    reset_peak_memory()
    patch, wanted = run.partition.patches[number], run.plan.wanted
    settled = run.settled_of(patch)
    record = run.folder.record(number)
    with kept_notes() as notes, _job(run, number, record, settled, progress) as (inputs, job):
        made = next(iter(run.method.run(job, run.settings)))
        mean = field_mean(made) if wanted.field else (0.0, 0.0)
        if wanted.field:
            with patch_writer(run.folder.field(number)) as writer:
                writer.add(made)
                writer.describe(run.partition.plan.cosmology, field_metadata(run, [job.about]))
        if wanted.redshifts:
            _write_redshifts(run, number, made, inputs, job, progress)
    run.folder.write_record(
        number,
        {"about": job.about, "mean": mean, "seconds": time.monotonic() - begun,
         "memory": peak_memory(), "galaxies": len(inputs.photo), "notes": list(notes)},
    )  # fmt: skip


def field_metadata(run: OpenRun, shells: list[dict[str, Any]]) -> dict[str, Any]:
    """What describes the field, with what was found in shells."""
    plan, partition = run.plan, run.partition
    about = run.shared.surveys.describe()
    for sample in partition.samples:  # not those of the sample of galaxies
        about[f"num_{sample}"] = partition.num_rows(sample)
        about[f"{sample}_file"] = partition.given(sample).path
    note = {} if plan.note is None else {"method_note": plan.note}
    settings = {n: str(x) if isinstance(x, Path) else x for n, x in vars(run.settings).items()}
    return {**about, "method": plan.method, **note, "settings": settings, "shells": shells,
            "versions": plan.versions}  # fmt: skip


@contextmanager
def _job(
    run: OpenRun, number: int, target: Path, settled: Settled, progress: Progress
) -> Iterator[tuple[PatchInputs, ShellJob]]:
    """The job of a patch, with its galaxies."""
    patch = run.partition.patches[number]
    inputs = run.partition.read(number, needed_columns(run.shared, run.partition))
    about = {"near": patch.shell.near, "far": patch.shell.far, "chi_ref": patch.shell.chi_ref}
    with spill_beside(target) as spill:
        surveys = with_stored_pdfs(patch_surveys(inputs, run.shared), spill)
        yield inputs, ShellJob(
            surveys, [patch], progress, about, run.plan.device, spill=spill,
            painted=run.plan.wanted.field, settled=settled,
        )  # fmt: skip


def _write_redshifts(
    run: OpenRun, number: int, made: SkyPatch, inputs: PatchInputs, job: ShellJob,
    progress: Progress,
) -> None:  # fmt: skip
    """Write the redshifts of the galaxies of a core, and their p(z), in the order of the input."""
    own, surveys = galaxies_of(run, number, inputs, made), job.surveys
    outline, wanted = replace_meshes(made), run.plan.wanted
    pdfs = QuantileRows(job.spill, wanted.levels) if wanted.pdf else None
    found = Sharpener(
        surveys, Layout((outline,), surveys.cosmology), interval=wanted.interval,
        patch_of=np.where(own & surveys.usable, 0, -1), pdfs=pdfs,
    )  # fmt: skip
    found.add(intensity_of(made), progress=progress)
    columns = {name: values[own] for name, values in found.columns().items() if name in NAMES}
    rows = inputs.photo.rows[own]
    write_redshift_part(run.folder.redshifts(number), rows, columns)
    if pdfs is not None:
        known, matched = surveys.matched_pairs
        edges = redshift_edges(run.shared.surveys, run.partition.patches)
        pdfs.add_known(matched, surveys.spec.redshift[known], edges)
        write_pdf_part(run.folder.pdfs(number), rows, np.flatnonzero(own), pdfs)


def galaxies_of(
    run: OpenRun, number: int, inputs: PatchInputs, made: SkyPatch
) -> NDArray[np.bool_]:  # fmt: skip
    """Which photometric galaxies have their redshifts from a patch: one patch for each galaxy.

    It is the one whose core holds the galaxy; of those with a photo-z beyond the map, in the box of
    the first or the last shell, that whose core is next to it.
    """
    sky, patches = inputs.photo.sky, run.partition.patches
    edges = made.box.redshift_edges
    low, high = run.partition.plan.redshift_range
    known = (sky.redshift >= edges[0]) & (sky.redshift <= edges[-1])
    z = np.where(known, np.clip(sky.redshift, low, high), np.nan)
    return np.asarray(inputs.photo.core | (patches.patch_of(sky.ra, sky.dec, z) == number))


def replace_meshes(made: SkyPatch) -> SkyPatch:
    """The patch without the meshes that redshifts do not need."""
    return replace(made, delta=made.delta[:0], sigma=None)


def write_redshift_part(path: Path, rows: NDArray[np.int64], columns: dict[str, Any]) -> None:
    """Write redshifts of galaxies by their rows in the input."""
    table = pa.table({ROW: rows, **{name: columns[name] for name in NAMES}})
    about = {"truez": json.dumps({"rows": "of the input"})}
    with atomic_path(path) as temporary, system_errors():
        pq.write_table(
            table.replace_schema_metadata(about), temporary, row_group_size=GROUP_ROWS,
            compression="zstd", use_dictionary=["spec_matched", "flag"],
            column_encoding={ROW: "DELTA_BINARY_PACKED"},
        )  # fmt: skip
