"""What ``truez run``, ``truez run-patch`` and ``truez join`` share.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.cli.run import Catalogs
    from truez.sky.distributed.driver import Prepared
    from truez.sky.distributed.estimate import Estimate
    from truez.sky.distributed.folder import Outcome
    from truez.sky.distributed.opened import OpenRun
    from truez.support.progress import Progress


def is_partition(folder: str) -> bool:
    """Whether a folder is that of ``truez partition``."""
    from pathlib import Path

    path = Path(folder) / "plan.json"
    return path.is_file() and b"truez patches" in path.read_bytes()


def refuse_partition(folder: str | None) -> None:
    """Raise a ValueError for a partition where a mock folder is due."""
    if folder is not None and is_partition(folder):
        raise ValueError(
            f"{folder} is a partition: truez run {folder} --out FOLDER makes field and redshifts "
            "of its patches, and truez join FOLDER one file of each"
        )


def prepared_run(
    context: typer.Context, partition: str, catalogs: Catalogs, method: str, *,
    settings: Mapping[str, Any], make: str, interval: float, quantiles: int, first_patches: int,
    claimed: str | None, progress: Progress,
) -> Prepared:  # fmt: skip
    """The run that options describe, whose folder, if there is one, is kept from others."""
    from truez.sky.distributed.driver import prepare
    from truez.sky.distributed.run_plan import GivenSurveys, Wanted
    from truez.sky.quantiles import some_levels

    made = options.names(make)
    if not made or set(made) - {"field", "redshifts", "pdf"}:
        raise ValueError(f"--make must be field, redshifts or pdf, or several of them, not {make}")
    if "pdf" in made and "redshifts" not in made:
        raise ValueError(f"--make {make} makes p(z) without redshifts: give redshifts,pdf")
    if "pdf" not in made and _is_typed(context, "quantiles"):
        both = ",".join(dict.fromkeys([*made, "redshifts", "pdf"]))
        raise ValueError(
            f"--quantiles {quantiles} are those of p(z), which --make {make} leaves out: give "
            f"--make {both}"
        )
    with options.named("--quantiles"):
        some_levels(quantiles)
    surveys = GivenSurveys(
        catalogs.sigma_z, catalogs.match_id, catalogs.overlap, catalogs.details()
    )
    if claimed is not None:
        option = "--out" if context.params["plan"] is None else "--plan"
        claim_run(claimed, option=option)
    return prepare(
        partition, surveys, method if _is_typed(context, "method") else None,
        settings={name: value for name, value in settings.items() if _is_typed(context, name)},
        wanted=Wanted("field" in made, "redshifts" in made, interval, "pdf" in made, quantiles),
        first_patches=first_patches, device=options.chosen_device(context.params["device"]),
        progress=progress,
    )  # fmt: skip


def claim_run(folder: str, *, option: str) -> None:
    """Keep the folder of a run from other commands, and refuse files of others in it."""
    from pathlib import Path

    from truez.sky.distributed.folder import FILE, KIND, NAMES
    from truez.support.folders import lock, refuse_foreign
    from truez.support.outputs import check_output
    from truez.support.temporaries import remove_all_partial

    names = [FILE, *NAMES]
    check_output(folder, folder=True, inside=names, option=option)
    lock(folder, option=option)
    plan = Path(folder) / FILE
    is_own = plan.is_file() and KIND.encode() in plan.read_bytes()
    refuse_foreign(folder, names, own=[FILE] if is_own else [], maker="truez run",
                   option=option)  # fmt: skip
    if is_own:
        remove_all_partial(folder)


def fail(failed: Sequence[Outcome], total: int, remedy: str) -> None:
    """Print why patches have failed, and raise a ValueError if any has."""
    if not failed:
        return
    for outcome in failed:
        typer.echo(f"truez: patch {outcome.number}: {outcome.error}", err=True)
    numbers = ", ".join(str(outcome.number) for outcome in failed[:10])
    more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
    raise ValueError(
        f"{len(failed)} of {total} patches are not made ({numbers}{more}), and the others are "
        f"whole: {remedy}"
    )


def echo_plan(prepared: Prepared) -> None:
    """Print what a run will take."""
    from truez.sky.distributed.estimate import estimate
    from truez.sky.distributed.patch_pdfs import pdf_bytes
    from truez.support.memory import in_words

    typer.echo(f"{prepared.partition.patches!r}")
    echo_estimate(prepared.plan.method, estimate(prepared))
    wanted = prepared.plan.wanted
    if wanted.pdf:
        num, each = prepared.partition.num_rows("photo"), pdf_bytes(wanted.quantiles)
        typer.echo(
            f"  of it p(z): {wanted.quantiles} quantiles of each of {num} galaxies, about {each} "
            f"bytes of each: {in_words(each * num)}"
        )


def echo_estimate(method: str, found: Estimate) -> None:
    """Print time, memory and disk of a run with a method."""
    from truez.sky.distributed.workers import num_cores
    from truez.support.memory import in_words

    hours = found.seconds / 3600
    typer.echo(f"  method {method}: {in_words(found.memory)} of memory for a worker")
    typer.echo(f"  {hours:.3g} hours on one core, of which the first pass {found.first_share:.0%}")
    for cores in (num_cores(), 128):
        typer.echo(f"  {found.elapsed(cores) / 3600:.3g} hours on {cores} cores")
    typer.echo(f"  {in_words(found.disk)} of disk, and as much again for truez join")


def echo_costs(run: OpenRun) -> None:
    """Print what the patches have taken."""
    from truez.support.memory import in_words

    records = [run.folder.read_record(n) for n in range(len(run.partition))
               if run.folder.is_whole(n)]  # fmt: skip
    if records:
        hours = sum(one["seconds"] for one in records) / 3600
        most = max(one["memory"] for one in records)
        typer.echo(f"  {len(records)} patches, {hours:.2g} hours, {in_words(most)} at most")


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
