"""``truez simulate``: a universe on demand, as a catalogue of galaxies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from truez.simulate import Universe

DEFAULT_OUT = "universe.parquet"
#: Distance of the particles where their number is not given [Mpc/h].
DEFAULT_SPACING = 2.0
#: Particles along each side of the box that is measured to foretell the time of another.
MEASURED = 96
#: Bytes of one galaxy in a catalogue (seven float32) and in one of text, and of one particle in a
#: checkpoint (six).
ROW, TEXT_ROW, PARTICLE = 28, 90, 24
TEXT = (".ecsv", ".csv", ".txt", ".dat")


def simulate(
    out: Annotated[
        str, typer.Option(help="The catalogue; its suffix is its format.")
    ] = DEFAULT_OUT,
    boxsize: Annotated[
        str, typer.Option(help="Side of the periodic box, or three sides X,Y,Z [Mpc/h].")
    ] = "512",
    num_particles: Annotated[
        str | None,
        typer.Option(
            help="Particles along each side, or three numbers; one every 2 Mpc/h by default.",
            show_default=False,
        ),
    ] = None,
    redshift: options.Redshift = 0.59,
    seed: Annotated[int, typer.Option(help="Names the universe.")] = 0,
    cosmology: options.CosmologyText = "wmap",
    density: Annotated[float, typer.Option(help="Of the galaxies [(h/Mpc)^3].")] = 1.85e-2,
    start_redshift: Annotated[
        float, typer.Option(help="Where perturbation theory hands over to the time steps.")
    ] = 9.0,
    num_steps: Annotated[int, typer.Option(help="Time steps from there.")] = 12,
    spacing: Annotated[
        str, typer.Option(help="Steps equal in the scale factor (linear) or its logarithm (log).")
    ] = "linear",
    force_factor: Annotated[
        int, typer.Option(help="Cells of the force mesh per particle and axis, 1 to 4.")
    ] = 2,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Give all modes their mean amplitude.")
    ] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="The paired universe, voids for clusters.")
    ] = False,
    device: options.Device = "auto",
    checkpoint: Annotated[
        bool,
        typer.Option(
            help="Keep every step beside the catalogue until that is written, so that the same "
            "command goes on after a break."
        ),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what memory, disk and time it would take.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Simulate a box of galaxies: gravity on a mesh, and galaxies where the matter is dense.

    The catalogue holds x, y, z [Mpc/h], the peculiar velocities vx, vy, vz [km/s] and a mass in
    arbitrary units, to rank galaxies by. The same options give the same galaxies, on a CPU bit for
    bit. Example:

    `truez simulate --boxsize 512 --num-particles 256 --redshift 0.59 --seed 1 --out cat.parquet`
    """
    import time
    from pathlib import Path

    from truez.catalogs.formats import format_of
    from truez.cli.progress import progress_bar
    from truez.simulate import Universe, catalog_from_galaxies

    target = Path(out)
    format_of(target)
    options.refuse_existing(out, overwrite=overwrite or dry_run)
    sides = _one_or_three(boxsize, "--boxsize")
    particles: Any = (  # whole numbers or not: the universe says
        [max(round(side / DEFAULT_SPACING), 8) for side in sides]
        if num_particles is None
        else _one_or_three(num_particles, "--num-particles")
    )
    universe = Universe(
        boxsize=sides,
        num_particles=particles,
        redshift=redshift,
        cosmology=options.cosmology_from(cosmology, None),
        seed=seed,
        density=density,
        start_redshift=start_redshift,
        num_steps=num_steps,
        spacing=spacing,
        force_factor=force_factor,
        fixed=fixed,
        flip=flip,
    )
    where = options.chosen_device(device)
    steps = target.with_name(target.name + ".checkpoint") if checkpoint else None
    needs = _needs(universe, target, steps, where)
    if dry_run:
        typer.echo(f"{needs}\n  time     {_in_words(_foretold(universe, where))}")
        return
    if steps is not None and steps.exists():
        typer.echo(f"{steps}: going on from the step that an earlier run reached", err=True)
    started = time.monotonic()
    with progress_bar() as progress:
        galaxies = universe.make(device=where, checkpoint=steps, progress=progress)
    catalog_from_galaxies(galaxies).write(target)
    if steps is not None:
        steps.unlink(missing_ok=True)
    typer.echo(
        f"{out}: {len(galaxies)} galaxies of a box of {' x '.join(f'{s:g}' for s in sides)} Mpc/h "
        f"at z = {redshift:g}, in {time.monotonic() - started:.0f} seconds"
    )


def _one_or_three(text: str, option: str) -> tuple[float, float, float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"{option} must be one positive number or three, X,Y,Z, not {text!r}")
    x, y, z = values * (3 // len(values))
    return x, y, z


def _needs(universe: Universe, target: Path, checkpoint: Path | None, device: str) -> str:
    """What a universe takes of this machine, in words; a `ValueError` if there is not so much."""
    from truez.cli.machine import free_disk, free_memory, in_words
    from truez.simulate.universe import as_option

    memory, free = universe.memory_needed, free_memory()
    if device == "cuda":
        import torch

        free = torch.cuda.mem_get_info()[0]
    particles = as_option(universe.box.meshsize)
    if memory > free:
        most = _most_particles(universe, free)
        mend = "a smaller boxsize" if most is None else f"num_particles of {as_option(most)}"
        raise ValueError(
            f"num_particles of {particles} takes {in_words(memory)} of memory, and "
            f"{in_words(free)} are free: take {mend}"
        )
    text = target.name.lower().endswith(TEXT)
    catalog = universe.num_galaxies * (TEXT_ROW if text else ROW)
    step = PARTICLE * universe.box.num_cells if checkpoint else 0
    # A step is written beside the one before, and the catalogue beside the last.
    there = checkpoint.stat().st_size if checkpoint and checkpoint.exists() else 0
    disk, room = step + max(step, catalog) - there, free_disk(target)
    if disk > room:
        less = ", or leave out the steps with --no-checkpoint" if checkpoint else ""
        raise ValueError(
            f"{target} and what is kept on the way take {in_words(disk)} of disk, and "
            f"{in_words(room)} are free: free some or choose another --out{less}"
        )
    kept = f", and {in_words(2 * step)} on the way" if step else ""
    return (
        f"{target}: a universe of {universe.num_galaxies} galaxies\n"
        f"  box      {universe.box}\n"
        f"  memory   {in_words(memory)} of {in_words(free)} that are free\n"
        f"  disk     {in_words(catalog)}{kept}, of {in_words(room)} that are free"
    )


def _most_particles(universe: Universe, memory: int) -> list[int] | None:
    """Particles along each side that fit into memory; None where those would not be enough."""
    from scipy.fft import next_fast_len

    shortest = min(universe.box.boxsize)
    shares = [side / shortest for side in universe.box.boxsize]
    # Memory is nearly proportional to the number of particles.
    start = min(universe.box.meshsize) * (memory / universe.memory_needed) ** (1 / 3)
    for number in range(2 * math.ceil(0.55 * start), 7, -2):
        counts = [round(number * share) for share in shares]
        if math.prod(counts) < universe.num_galaxies:
            return None
        smaller = universe.model_copy(update={"num_particles": tuple(counts)})
        if number == next_fast_len(number, real=True) and smaller.memory_needed <= memory:
            return counts
    return None


def _foretold(universe: Universe, device: str) -> float:
    """Seconds that a universe takes, from the time of a smaller one with fewer steps."""
    import itertools
    import statistics
    import time

    from truez.mesh.box import Box
    from truez.simulate import ParticleMesh, simulate

    number = min(MEASURED, max(universe.box.meshsize))
    # Large cells, whose waves are low at any start.
    box = Box(max(4.0 * MEASURED, *universe.box.boxsize), number)

    def run() -> list[float]:
        """When it began, and when each step ended."""
        times: list[float] = []
        simulate(
            box,
            universe.cosmology,
            redshift=universe.redshift,
            seed=universe.seed,
            settings=ParticleMesh(
                universe.start_redshift, num_steps=5, force_factor=universe.force_factor
            ),
            device=device,
            progress=lambda *_: times.append(time.perf_counter()),
        )
        return times

    run()  # compiles
    began, *ended = run()
    # The median, since a busy machine makes some steps slow.
    step = statistics.median(b - a for a, b in itertools.pairwise(ended))
    start = max(ended[0] - began - step, 0.0)
    particles = universe.box.num_cells
    scale = particles * math.log(particles) / (box.num_cells * math.log(box.num_cells))
    # A force more than there are steps, and finding the galaxies takes about as long as one.
    return scale * (start + (universe.num_steps + 2) * step)


def _in_words(seconds: float) -> str:
    unit, size = next(
        (unit, size)
        for unit, size in (("hours", 3600), ("minutes", 60), ("seconds", 0))
        if seconds >= size
    )
    number = max(seconds / (size or 1), 0.1)
    return (
        f"about {number:.{1 if number < 10 else 0}f} {unit}, estimated from a small run on this "
        "machine"
    )
