"""``truez benchmark``: every method on the same boxes, with errors, and a page of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.experiments.benchmark import Job
    from truez.experiments.stages import Stage


def benchmark(
    context: typer.Context,
    out: Annotated[
        str, typer.Option(help="Folder of the benchmark; what stands in it is kept.")
    ] = "truez-benchmark",
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            help="Universes, such as 901-904 or 1,2; all below 1000, which no network is "
            "trained on.",
            show_default="901-904",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="fiducial, sparse or narrow; may be repeated. All three by default.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights of a column network; those of truez by default.", show_default=False
        ),
    ] = None,
    unet: Annotated[
        str | None, typer.Option(help="Weights of a dual UNet.", show_default=False)
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="Folder with catalogues of truez simulate --density 4e-2, one for each seed, in "
            "place of simulating them.",
            show_default=False,
        ),
    ] = None,
    boxsize: Annotated[
        str, typer.Option(help="Side of the periodic boxes, or three sides X,Y,Z [Mpc/h].")
    ] = "512",
    num_particles: Annotated[
        str, typer.Option(help="Particles along each side, or three numbers.")
    ] = "256",
    redshift: options.Redshift = 0.59,
    cellsize: options.Cellsize = 2.0,
    draws: Annotated[
        int, typer.Option(help="Drawn catalogues that medians are taken over; 0 for no medians.")
    ] = 64,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls/--no-controls",
            help="Judge surveys without information too, in the first box of the first setting.",
        ),
    ] = True,
    device: options.Device = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what stages there are, and what they would take."),
    ] = False,
) -> None:
    """Judge every method on the same boxes, in three settings of the surveys, with errors.

    Simulates the boxes, or takes those of --boxes, and writes benchmark.html, tables.md and
    summary.json. Works in stages as `truez paper` does: the same command goes on after any break,
    and more seeds cost only themselves. Examples:

    `truez benchmark --unet unet/best.safetensors --out benchmark`

    `truez benchmark --boxsize 128 --num-particles 64 --setting fiducial --seeds 1,2 --draws 4`
    """
    from pathlib import Path

    from truez.cli.stages import tell
    from truez.experiments.benchmark import Job, benchmark_stages
    from truez.experiments.benchmark.settings import DENSITY, check_seeds, seeds_from, settings_from
    from truez.experiments.stages import run_stages
    from truez.networks.weights import shipped_weights
    from truez.simulate import Universe
    from truez.support.progress_bar import progress_bar

    if boxes is not None:
        given = ("boxsize", "num_particles", "redshift")
        options.refuse_given(context, given, "--boxes brings its own universes")
    chosen = seeds_from(seeds or ["901-904"])
    check_seeds(chosen)
    job = Job(
        folder=Path(out),
        seeds=tuple(chosen),
        settings=tuple(settings_from(setting or ())),
        universe=Universe(
            boxsize=_one_or_three(boxsize, "--boxsize"),
            num_particles=_one_or_three(num_particles, "--num-particles"),
            redshift=redshift,
            density=DENSITY,
        ),
        boxes=None if boxes is None else Path(boxes),
        weights=shipped_weights("column-net") if weights is None else Path(weights),
        unet=None if unet is None else Path(unet),
        draws=draws,
        controls=controls,
        cellsize=cellsize,
        device=options.chosen_device(device),
    )
    stages = benchmark_stages(job)
    if dry_run:
        _foretell(job, stages)
        return
    _check_room(job, stages)
    with progress_bar() as progress:
        run_stages(job.folder, stages, tell=tell, progress=progress)
    _show(job)


def _one_or_three(text: str, option: str) -> Any:
    count = 3 if "," in text else 1
    values = options.numbers(text, option, count)
    return values[0] if count == 1 else values


def _show(job: Job) -> None:
    """The first tables, and where the rest is."""
    from truez.cli.tables import show
    from truez.experiments.benchmark.acceptance import acceptance, control_figures
    from truez.experiments.benchmark.run import read_controls, read_measured
    from truez.experiments.benchmark.tables import acceptance_table, ratio_tables

    measured = read_measured(job)
    lines = acceptance({one.name: one for one in measured})
    controls = read_controls(job)
    lines += [] if controls is None else control_figures(controls)
    tables = [acceptance_table(lines)] if lines else []
    show([*tables, *(table for one in measured for table in ratio_tables(one))])
    typer.echo(f"{job.folder / 'benchmark.html'}: to look at; tables.md holds all tables")


def _check_room(job: Job, stages: list[Stage]) -> None:
    """Refuse a benchmark whose stages take more memory than there is."""
    from truez.cli.stages import check_memory, still_to_do
    from truez.experiments.benchmark.needs import needs

    check_memory(still_to_do(job.folder, stages, needs(job, stages)))


def _foretell(job: Job, stages: list[Stage]) -> None:
    from truez.cli.machine import free_disk, free_memory, in_words
    from truez.cli.stages import show_needs, still_to_do
    from truez.experiments.benchmark.needs import needs

    found = needs(job, stages)
    left = still_to_do(job.folder, stages, found)
    show_needs(f"{job.folder}: what is done", found, left)
    typer.echo(
        "times are those of one quiet CPU core; "
        f"{in_words(free_memory())} of memory and "
        f"{in_words(free_disk(job.folder / 'summary.json'))} of disk are free"
    )
