"""``truez benchmark``: every method on the same boxes, with errors, and a page of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.options import METHOD, NETWORK, OUTPUT, SIMULATION, SURVEYS, existing, option

if TYPE_CHECKING:
    from truez.experiments.benchmark import Job
    from truez.experiments.stages import Stage


def benchmark(
    context: typer.Context,
    seeds: Annotated[
        list[str] | None,
        option(
            SURVEYS,
            "Universes, such as 901-904 or 1,2; all below 1000, which no network is trained on.",
            show_default="901-904",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        option(
            SURVEYS,
            "fiducial, sparse, narrow or lognormal (boxes and seeds of its own, beside the exact "
            "posterior); may be repeated. All by default.",
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        option(
            SURVEYS,
            "Folder with catalogues of truez simulate --density 4e-2, one for each seed, instead "
            "of simulating them.",
            **existing("folder", folder=True),
        ),
    ] = None,
    boxsize: Annotated[
        str, option(SIMULATION, "Side of the periodic boxes, or three sides X,Y,Z [Mpc/h].")
    ] = "512",
    num_particles: Annotated[
        str, option(SIMULATION, "Particles along each side, or three numbers.")
    ] = "256",
    redshift: Annotated[
        float, option(SIMULATION, "Redshift of the boxes.", callback=options.redshift)
    ] = 0.59,
    cellsize: Annotated[
        float, option(METHOD, "Side of a cell [Mpc/h].", callback=options.positive)
    ] = 2.0,
    draws: Annotated[
        int, option(METHOD, "Drawn catalogues of each median; 0 for no medians.")
    ] = 64,
    samples: Annotated[
        int,
        option(
            METHOD,
            "Posterior samples of each method whose coverage, ranks, spread and spectra are "
            "judged; 0 for none.",
        ),
    ] = 0,
    controls: Annotated[
        bool,
        option(
            METHOD,
            "Also judge surveys without information, in the first box of the first setting.",
            "--controls/--no-controls",
        ),
    ] = True,
    exact: Annotated[
        bool,
        option(
            METHOD,
            "Sample the exact posterior of the lognormal boxes anew, in place of the stored "
            "results.",
            "--exact",
        ),
    ] = False,
    weights: Annotated[
        str | None,
        option(
            NETWORK,
            "Weights of a column network; those of truez by default.",
            **existing("weights file"),
        ),
    ] = None,
    unet: Annotated[
        str | None, option(NETWORK, "Weights of a dual UNet.", **existing("weights file"))
    ] = None,
    out: Annotated[
        str, option(OUTPUT, "Folder of the benchmark; finished stages are kept.")
    ] = "truez-benchmark",
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
) -> None:
    """Compare all methods on the same boxes, in three settings of the surveys, with errors, and
    beside the best possible estimate in a lognormal universe.

    Simulates the boxes, or reads those of --boxes, and writes benchmark.html, tables.md and
    summary.json. The work is done in stages as in `truez paper`: the same command continues after
    an interruption, and with more seeds only the new ones are computed. Examples:

    `truez benchmark --unet unet/best.safetensors --out benchmark`

    `truez benchmark --boxsize 128 --num-particles 64 --setting fiducial --seeds 1,2 --draws 4`
    """
    from pathlib import Path

    from truez.cli.stages import check_room, kept, report
    from truez.evaluate.evaluation import JUDGED
    from truez.experiments.benchmark import Job, benchmark_stages
    from truez.experiments.benchmark.settings import DENSITY, check_seeds, seeds_from, settings_from
    from truez.experiments.benchmark.universes import box_of
    from truez.experiments.stages import check_stages, files_of, run_stages
    from truez.mesh.memory import check_mesh
    from truez.networks.weights import shipped_weights
    from truez.simulate import Universe
    from truez.support.folders import lock
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar

    if boxes is not None:
        given = ("boxsize", "num_particles", "redshift")
        options.refuse_given(context, given, "--boxes contains universes")
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
        samples=samples,
        controls=controls,
        cellsize=cellsize,
        device=options.chosen_device(device),
        exact=exact,
    )
    mesh = box_of(job)
    with options.named("--cellsize"):
        check_mesh(mesh, JUDGED)
    stages = benchmark_stages(job)
    if dry_run:
        _estimate(job, stages)
        return
    check_output(job.folder, folder=True, inside=files_of(stages), option="--out")
    lock(job.folder, option="--out")
    check_stages(job.folder, stages, maker="truez benchmark")
    check_room(job.folder, stages, device=job.device)
    with progress_bar() as progress:
        run_stages(
            job.folder, stages, report=report, kept=kept, maker="truez benchmark", progress=progress
        )
    _show(job)


def _one_or_three(text: str, option: str) -> Any:
    """The number of ``512``, or the three of ``X,Y,Z``."""
    values = options.sides(text, option)
    return values if "," in text else values[0]


def _show(job: Job) -> None:
    """Print the first tables, and the path of the page."""
    from truez.cli.tables import show
    from truez.experiments.benchmark.acceptance import acceptance, control_figures
    from truez.experiments.benchmark.run import read_controls, read_measured
    from truez.experiments.benchmark.tables import (
        acceptance_table,
        ratio_tables,
        yardstick_tables,
    )

    measured = read_measured(job)
    lines = acceptance({one.name: one for one in measured})
    controls = read_controls(job)
    lines += [] if controls is None else control_figures(controls)
    tables = [acceptance_table(lines)] if lines else []
    for one in measured:
        tables += [*yardstick_tables(one), *ratio_tables(one)]
    show(tables)
    typer.echo(f"{job.folder / 'benchmark.html'}: page; tables.md holds all tables")


def _estimate(job: Job, stages: list[Stage]) -> None:
    """Print the stages and what they take."""
    from truez.cli.stages import show_needs, still_to_do
    from truez.experiments.stages import needs
    from truez.support.disk import free_disk
    from truez.support.memory import available_memory, in_words

    found = needs(stages)
    left = still_to_do(job.folder, stages, found)
    show_needs(f"{job.folder}: stages", found, left)
    typer.echo(
        "times are those of one quiet CPU core; "
        f"{in_words(available_memory())} of memory and "
        f"{in_words(free_disk(job.folder))} of disk are free"
    )
