"""``truez paper``: arXiv:2504.06309 from one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options
from truez.cli.options import METHOD, OUTPUT, existing, option

if TYPE_CHECKING:
    from pathlib import Path

    from truez.experiments.paper import Job


#: Recipes of the whole paper.
RECIPES = ("paper", "paper-small")


def paper(
    recipe: Annotated[
        str,
        option(
            METHOD,
            f"{', '.join(RECIPES)}, or a TOML file like them.",
            callback=options.existing_recipe,
            is_eager=True,
        ),
    ] = "paper",
    settings: options.Settings = None,
    catalog: Annotated[
        str | None,
        option(
            METHOD,
            "Catalogue of subhaloes instead of the simulation, with --set boxes.split=paper; "
            "boxes.catalogue says how it is read.",
            **existing("catalogue"),
        ),
    ] = None,
    without_network: Annotated[
        bool, option(METHOD, "Leave the network out: data and filters only.", "--without-network")
    ] = False,
    until: Annotated[
        str | None,
        option(
            METHOD,
            "Stop after this stage, or after all whose names begin with it: universe, mock, paint, "
            "wiener, training, unet, correction, measure, table, figures.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        option(OUTPUT, "Folder of the run, truez-RECIPE by default; finished stages are kept."),
    ] = None,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
) -> None:
    """Reproduce arXiv:2504.06309: simulation, surveys, network, Table I and Figs. 2 to 6.

    The work is done in stages. Each writes its results to the folder of the run, and is skipped
    if these exist and nothing that they depend on has changed: the same command continues after an
    interruption, to the same weights and fields bit for bit on a CPU. Examples:

    `truez paper --recipe paper-small --out run`

    `truez paper --set boxes.split=paper --without-network --dry-run`
    """
    from pathlib import Path

    from truez.cli.stages import check_room, clock, kept, report
    from truez.cli.tables import show
    from truez.experiments.paper import Job, PaperRecipe, paper_stages, prepare, run_stages
    from truez.experiments.paper.measure import table1_text
    from truez.experiments.paper.run import MAKER, SETTINGS
    from truez.experiments.paper.run import until as stages_until
    from truez.experiments.recipes import read_recipe
    from truez.experiments.stages import check_stages, files_of
    from truez.mesh.memory import VALUE, check_mesh
    from truez.support.folders import lock
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar

    name = Path(recipe).stem
    job = Job(
        PaperRecipe(**read_recipe(recipe, settings or (), known=RECIPES)),
        Path(f"truez-{name}" if out is None else out),
        options.chosen_device(device),
        None if catalog is None else Path(catalog),
        network=not without_network,
        name=name,
    )
    with options.named("boxes.cellsize"):
        check_mesh(job.recipe.box, 3 * VALUE)
    if dry_run:
        _estimate(job, until)
        return
    stages = stages_until(paper_stages(job), until)
    check_output(job.folder, folder=True, inside=files_of(stages), option="--out")
    lock(job.folder, option="--out")
    check_stages(job.folder, stages, maker=MAKER, others=(SETTINGS,))
    check_room(job.folder, stages, device=job.device)
    prepare(job)
    with progress_bar() as progress:
        records = run_stages(
            job.folder, stages, report=report, kept=kept, maker=MAKER, progress=progress
        )
    seconds = sum(record.seconds for record in records)
    typer.echo(f"{job.folder}: {len(records)} stages, {clock(seconds)} of work in all")
    if any(record.name == "training" for record in records):
        typer.echo(_reach(job.folder))
    if any(record.name == "table" for record in records):
        show([table1_text(job.folder)])
    for note in job.recipe.notes:
        typer.echo(note)
    for page in ("report.html", "figures/captions.json", "results/table1.ecsv"):
        if (job.folder / page).is_file():
            typer.echo(f"{job.folder / page}: results")
            break


def _reach(folder: Path) -> str:
    from truez.experiments.paper.learn import WEIGHTS
    from truez.networks.weights import read_header

    header = read_header(folder / WEIGHTS)
    cells = header.receptive_radius
    length = cells * header.cellsize[0]
    return (
        f"{folder / WEIGHTS}: receptive radius {cells} cells, {length:g} Mpc/h; beyond the faces "
        "of sub-boxes the network reads zeros, beyond those of tiles the fields"
    )


def _estimate(job: Job, until: str | None) -> None:
    """Print the stages and what they take."""
    from truez.cli.stages import show_needs, still_to_do
    from truez.experiments.paper import paper_stages
    from truez.experiments.paper.costs import measure_speed, network_words
    from truez.experiments.paper.run import until as stages_until
    from truez.experiments.stages import needs
    from truez.support.disk import free_disk
    from truez.support.memory import available_memory, in_words
    from truez.support.progress_bar import progress_bar

    stages_until(paper_stages(job), until)  # an unknown stage is refused before the trial runs
    with progress_bar() as progress:
        speed = measure_speed(job, progress=progress)
    stages = stages_until(paper_stages(job, speed), until)
    found = needs(stages)
    left = still_to_do(job.folder, stages, found)
    show_needs(f"{job.folder}: recipe {job.name}", found, left)
    where = "cpu" if job.device == "cpu" else f"{job.device}, whose time is not estimated"
    temporary = max((need.temporary for need in left.values()), default=0)
    if temporary:
        typer.echo(f"a simulation also takes {in_words(temporary)} of disk until it ends")
    typer.echo(
        f"on {where}, times from small runs on this machine; {in_words(available_memory())} of "
        f"memory and {in_words(free_disk(job.folder))} of disk are free"
    )
    if job.network:
        typer.echo(network_words(job.recipe))
    for note in job.recipe.notes:
        typer.echo(note)
