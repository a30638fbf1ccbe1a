"""``truez simulate``: a simulated universe, as a catalogue of galaxies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.options import BOX, OUTPUT, SIMULATION, not_negative, option, positive
from truez.cli.parameters import flattened

if TYPE_CHECKING:
    from pathlib import Path

    from truez.simulate import Universe

DEFAULT_OUT = "universe.parquet"
#: Distance of the particles where their number is not given [Mpc/h].
DEFAULT_SPACING = 2.0
#: Suffixes of catalogues that are text.
TEXT = (".ecsv", ".csv", ".tsv", ".txt", ".dat", ".list", ".ascii")


@dataclass(frozen=True, kw_only=True)
class UniverseOptions:
    """The options of a simulated universe, which are those of `truez.Universe`."""

    boxsize: Annotated[
        str, option(BOX, "Side of the periodic box, or three sides X,Y,Z [Mpc/h].")
    ] = "512"
    redshift: options.Redshift = 0.59
    cosmology: options.CosmologyText = "wmap"
    seed: Annotated[int, option(SIMULATION, "Seed of the initial conditions.")] = 0
    density: Annotated[
        float, option(SIMULATION, "Density of the galaxies [(h/Mpc)^3].", callback=positive)
    ] = 1.85e-2
    num_particles: Annotated[
        str | None,
        option(
            SIMULATION,
            "Particles along each side, or three numbers; one every 2 Mpc/h by default.",
        ),
    ] = None
    start_redshift: Annotated[
        float,
        option(
            SIMULATION,
            "Redshift at which the time steps follow perturbation theory.",
            callback=not_negative,
        ),
    ] = 9.0
    num_steps: Annotated[int, option(SIMULATION, "Time steps from there.")] = 12
    spacing: Annotated[
        str,
        option(SIMULATION, "Steps equal in the scale factor (linear) or in its logarithm (log)."),
    ] = "linear"
    force_factor: Annotated[
        int, option(SIMULATION, "Cells of the force mesh per particle and axis, 1 to 4.")
    ] = 2
    fixed: Annotated[
        bool, option(SIMULATION, "Give all modes their mean amplitude.", "--fixed")
    ] = False
    flip: Annotated[
        bool,
        option(SIMULATION, "The paired universe, with the sign of all modes changed.", "--flip"),
    ] = False
    vary: Annotated[
        bool,
        option(
            SIMULATION,
            "Draw Omega_m and sigma_8, the redshift (0 to 1.2) and the galaxies' model around the "
            "given ones, from the seed: for networks.",
            "--vary",
        ),
    ] = False

    def universe(self) -> Universe:
        """The universe of these options."""
        from truez.simulate import Universe
        from truez.simulate.variety import varied

        boxsize = options.sides(self.boxsize, "--boxsize")
        particles: Any = (  # `Universe` refuses numbers that are not whole
            [max(round(side / DEFAULT_SPACING), 8) for side in boxsize]
            if self.num_particles is None
            else options.sides(self.num_particles, "--num-particles")
        )
        universe = Universe(
            boxsize=boxsize,
            num_particles=particles,
            redshift=self.redshift,
            cosmology=options.cosmology_from(self.cosmology, None),
            seed=self.seed,
            density=self.density,
            start_redshift=self.start_redshift,
            num_steps=self.num_steps,
            spacing=self.spacing,
            force_factor=self.force_factor,
            fixed=self.fixed,
            flip=self.flip,
        )
        return varied(universe) if self.vary else universe


@flattened
def simulate(
    given: UniverseOptions,
    out: Annotated[str, option(OUTPUT, "The catalogue; its suffix is its format.")] = DEFAULT_OUT,
    checkpoint: Annotated[
        bool,
        option(
            OUTPUT,
            "Keep the last step beside the catalogue until that is written, so that the same "
            "command continues after an interruption.",
        ),
    ] = True,
    dry_run: Annotated[
        bool, option(OUTPUT, "Only print the memory, disk and time.", "--dry-run")
    ] = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
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
    from truez.simulate import catalog_from_galaxies
    from truez.support.files import atomic_path
    from truez.support.folders import remember
    from truez.support.progress_bar import progress_bar

    target = Path(out)
    with options.named("--out"):
        format_of(target)
    if not dry_run:
        options.refuse_existing(out, overwrite=overwrite)
    universe = given.universe()
    where = options.chosen_device(device)
    steps = target.with_name(target.name + ".checkpoint") if checkpoint else None
    needs = _needs(universe, target, steps, where)
    if dry_run:
        from truez.experiments.costs import time_simulation

        typer.echo(
            f"{needs}\n  time     {_in_words(time_simulation(universe, where).of(universe))}"
        )
        return
    is_resumed = steps is not None and steps.exists()
    if steps is not None:
        remember(steps)
    started = time.monotonic()
    with progress_bar() as progress:
        galaxies = universe.make(device=where, checkpoint=steps, progress=progress)
    if is_resumed:
        typer.echo(f"{steps}: continued from the last step of an earlier run", err=True)
    with atomic_path(target) as temporary:
        catalog_from_galaxies(galaxies).write(temporary)
        if steps is not None:  # of no use beside a whole catalogue
            steps.unlink(missing_ok=True)
    sides = " x ".join(f"{side:g}" for side in universe.box.boxsize)
    typer.echo(
        f"{out}: {len(galaxies)} galaxies of a box of {sides} Mpc/h at z = {universe.redshift:g}, "
        f"in {time.monotonic() - started:.0f} seconds"
    )


def _needs(universe: Universe, target: Path, checkpoint: Path | None, device: str) -> str:
    """Memory and disk of a universe, as text; a `ValueError` if they are not free."""
    from truez.experiments.costs import PARTICLE, ROW, TEXT_ROW
    from truez.simulate.universe import free_on
    from truez.support.disk import check_disk, free_disk
    from truez.support.memory import in_words

    universe.check_memory(device)
    text = target.name.lower().endswith(TEXT)
    catalog = universe.num_galaxies * (TEXT_ROW if text else ROW)
    step = PARTICLE * universe.box.num_cells if checkpoint else 0
    # A step is written beside the one before, and the catalogue beside the last.
    there = checkpoint.stat().st_size if checkpoint and checkpoint.exists() else 0
    less = ", or leave out the checkpoints with --no-checkpoint" if checkpoint else ""
    more = " with its checkpoints" if checkpoint else ""
    needed = step + max(step, catalog) - there
    check_disk(needed, target, option="--out", more=more, less=less)
    kept = f", and {in_words(2 * step)} for checkpoints" if step else ""
    return (
        f"{target}: a universe of {universe.num_galaxies} galaxies\n"
        f"  box      {universe.box}\n"
        f"  memory   {in_words(universe.memory_needed)} of {in_words(free_on(device))} that are "
        "free\n"
        f"  disk     {in_words(catalog)}{kept}, of {in_words(free_disk(target))} that are free"
    )


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
