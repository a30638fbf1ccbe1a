"""``truez reconstruct`` of a partition: a run in a folder, by this process, others or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from truez.cli import options
from truez.cli.parameters import option_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from truez.cli.cluster_options import ClusterOptions
    from truez.cli.inputs import SurveyOptions
    from truez.cli.sky_options import SkyOptions
    from truez.sky.details import SkyDetails
    from truez.sky.distributed.driver import Prepared
    from truez.sky.distributed.estimate import Estimate
    from truez.sky.distributed.folder import Outcome
    from truez.sky.distributed.opened import OpenRun

#: Options of catalogues that a partition leaves open, those of the run beside them.
_OPEN = {
    "sigma_z", "sigma_z_column", "z_err_column", "outlier_fraction", "match_id", "overlap",
    "spec_cut", "photo_cut", "weight_column", "spec_weight_column", "real_space", "frame",
    "spec_footprint", "nz", "spec_nz", "pdf_prior", "outlier_column", "photo_bias", "match_radius",
    "dry_run", "folder", "method", "resampler", "floor", "filter", "sky_cellsize", "pairs",
    "weights", "tile", "symmetries", "bf16", "out", "overwrite", "device",
}  # fmt: skip


def is_partition(folder: str) -> bool:
    """Whether a folder is that of ``truez partition``."""
    from pathlib import Path

    path = Path(folder) / "plan.json"
    return path.is_file() and b"truez patches" in path.read_bytes()


def reconstruct_partition(
    context: typer.Context, partition: str, given: SurveyOptions, sky: SkyOptions,
    cluster: ClusterOptions, method: str, out: str, *, settings: Mapping[str, Any],
    overwrite: bool,
) -> None:  # fmt: skip
    """Plan a run, or go on with it."""
    from truez.cli.cluster_options import ClusterOptions as Group
    from truez.sky.distributed.driver import begin, make_patches, prepare
    from truez.sky.distributed.first_pass import settle
    from truez.sky.distributed.run_plan import GivenSurveys, Wanted
    from truez.sky.distributed.workers import Where
    from truez.support.progress_bar import progress_bar

    known = _OPEN | set(option_names(Group))
    others = [p.name for p in context.command.params if p.name and p.name not in known]
    options.refuse_given(context, others, f"{partition} is a partition, which states these")
    if (cluster.plan is not None) == _is_typed(context, "out") and not sky.dry_run:
        raise ValueError(
            "a partition needs --out FOLDER of the run, or --plan FOLDER to make its patches with "
            "truez run-patch: give one of them"
        )
    where = Where(cluster.workers, cluster.scheduler, cluster.threads)
    made = options.names(cluster.make)
    if not made or set(made) - {"field", "redshifts"}:
        raise ValueError(f"--make must be field, redshifts or field,redshifts, not {cluster.make}")
    surveys = GivenSurveys(given.sigma_z, given.match_id, given.overlap,
                           _details(given, sky, cluster))  # fmt: skip
    wanted = Wanted("field" in made, "redshifts" in made, cluster.interval)
    typed = {name: value for name, value in settings.items() if _is_typed(context, name)}
    folder = cluster.plan or out
    if not sky.dry_run:
        claim_run(folder, overwrite=overwrite, option="--plan" if cluster.plan else "--out")
    with progress_bar() as progress:
        prepared = prepare(
            partition, surveys, method if _is_typed(context, "method") else None, settings=typed,
            wanted=wanted, first_patches=cluster.first_patches,
            device=options.chosen_device(context.params["device"]), progress=progress,
        )  # fmt: skip
        if sky.dry_run:
            echo_plan(prepared)
            return
        run = begin(folder, prepared, workers=cluster.workers or 1)
        with where.pool(progress) as pool:
            if pool.dashboard:
                typer.echo(f"dashboard: {pool.dashboard}", err=True)
            if cluster.plan is None:
                failed = make_patches(run, pool, progress=progress)
            else:
                failed = []
                settle(run, pool, progress)
    typer.echo(f"{folder}: {run.plan.method} on {prepared.partition.patches!r}")
    if cluster.plan is not None:
        typer.echo(f"  patches 0 to {len(run.partition) - 1}: truez run-patch {folder} NUMBER")
        return
    _echo_costs(run)
    fail(failed, len(run.partition), f"run the command again, which makes {_those(failed)} alone")


def claim_run(folder: str, *, overwrite: bool, option: str) -> None:
    """Keep the folder of a run from other commands, and refuse files of others in it."""
    from pathlib import Path

    from truez.sky.distributed.folder import FILE, KIND, NAMES
    from truez.support.folders import lock, refuse_foreign
    from truez.support.outputs import check_output
    from truez.support.temporaries import remove, remove_all_partial

    names = [FILE, *NAMES]
    check_output(folder, folder=True, inside=names, option=option)
    lock(folder, option=option)
    plan = Path(folder) / FILE
    is_own = plan.is_file() and KIND.encode() in plan.read_bytes()
    refuse_foreign(folder, names, own=[FILE] if is_own else [], maker="truez reconstruct",
                   option=option)  # fmt: skip
    if not is_own:
        return
    if overwrite:
        for name in (*NAMES, FILE):  # the plan last, by which the others are known
            remove(Path(folder) / name)
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

    typer.echo(f"{prepared.partition.patches!r}")
    echo_estimate(prepared.plan.method, estimate(prepared))


def echo_estimate(method: str, found: Estimate) -> None:
    """Print time, memory and disk of a run with a method."""
    from truez.sky.distributed.workers import num_cores
    from truez.support.memory import in_words

    hours = found.seconds / 3600
    typer.echo(f"  method {method}: {in_words(found.memory)} of memory for the largest patch")
    typer.echo(f"  {hours:.3g} hours on one core, of which the first pass {found.first_share:.0%}")
    for cores in (num_cores(), 128):
        typer.echo(f"  {hours / cores:.3g} hours on {cores} cores")
    typer.echo(f"  {in_words(found.disk)} of disk, and as much again for truez join")


def _echo_costs(run: OpenRun) -> None:
    """Print what the patches have taken."""
    from truez.support.memory import in_words

    records = [run.folder.read_record(n) for n in range(len(run.partition))
               if run.folder.is_whole(n)]  # fmt: skip
    if records:
        hours = sum(one["seconds"] for one in records) / 3600
        most = max(one["memory"] for one in records)
        typer.echo(f"  {len(records)} patches, {hours:.2g} hours, {in_words(most)} at most")


def _those(failed: Sequence[Outcome]) -> str:
    return "that" if len(failed) == 1 else "those"


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def _pdf_named() -> Iterator[None]:
    """The option of p(z) by its name on the command line."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("details.pdf", "--pdf-column")) from error


def _details(given: SurveyOptions, sky: SkyOptions, cluster: ClusterOptions) -> SkyDetails:
    from truez.sky.details import SkyDetails

    if sky.outlier_column is not None and given.outlier_fraction:
        raise ValueError("--outlier-fraction and --outlier-column are both given: leave one out")
    with _pdf_named():
        return SkyDetails(
            frame=sky.frame,
            sigma_z_column=given.sigma_z_column,
            z_err_column=given.z_err_column,
            pdf=cluster.pdf_column,
            pdf_prior=sky.pdf_prior,
            outlier_fraction=sky.outlier_column or given.outlier_fraction,
            photo_bias=options.numbers(sky.photo_bias or "", "--photo-bias"),
            match_radius=sky.match_radius,
            weight_column=given.weight_column,
            spec_weight_column=given.spec_weight_column,
            spec_cut=tuple(given.spec_cut or ()),
            photo_cut=tuple(given.photo_cut or ()),
            spec_footprint=sky.spec_footprint,
            nz=sky.nz,
            spec_nz=sky.spec_nz,
            redshift_space=not given.real_space,
        )
