"""``truez demo``: the main job on a universe that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from truez.cli import options
from truez.cli.demo_sky import DEFAULT_OUT as SKY_OUT
from truez.cli.demo_sky import demo_on_sky
from truez.cli.options import METHOD, OUTPUT, option

DEFAULT_OUT = "truez-demo"
#: What the mock of a demo says of its galaxies.
SOURCE = "galaxies in an N-body simulation"


def demo(
    settings: options.Settings = None,
    sky: Annotated[
        bool, option(METHOD, "Surveys on the sky, limited in flux, of a light cone.", "--sky")
    ] = False,
    out: Annotated[
        str | None,
        option(OUTPUT, "Folder for everything; truez-demo, or truez-demo-sky, by default."),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Run all steps once, on a simulated universe.

    An N-body simulation, two surveys of its galaxies at the densities of arXiv:2504.06309, their
    reconstructions, and a page of numbers and figures that compares them with the truth. Example:

    `truez demo --set universe.seed=7 --out demo`

    With --sky the two surveys are those of a light cone, in right ascension, declination and
    redshift, with photo-z errors that differ from galaxy to galaxy:

    `truez demo --sky`
    """
    if sky:
        demo_on_sky(settings or (), out or SKY_OUT, overwrite=overwrite)
        return
    demo_in_box(settings or (), out or DEFAULT_OUT, overwrite=overwrite)


def demo_in_box(settings: Sequence[str], out: str, *, overwrite: bool) -> None:
    """Simulate, observe, reconstruct and judge in a periodic box, and print the tables."""
    import shlex
    import time
    from pathlib import Path

    from truez.cli.tables import show
    from truez.evaluate.evaluation import JUDGED, evaluate_mock
    from truez.experiments.demo import DemoRecipe
    from truez.experiments.recipes import read_recipe
    from truez.mesh.memory import VALUE, check_mesh
    from truez.reconstruct import Reconstruction, reconstruct
    from truez.support.disk import check_disk
    from truez.support.files import atomic_folder
    from truez.support.progress_bar import progress_bar
    from truez.surveys.mock import MOCK_FILES
    from truez.surveys.observe import make_mock

    recipe = DemoRecipe(**read_recipe("demo", settings))
    config = recipe.mock_config
    with options.named("surveys.cellsize"):
        check_mesh(recipe.box, JUDGED)
    named = any(text.partition("=")[0].strip() == "reconstruct.methods" for text in settings)
    methods = recipe.methods(named=named)
    names = [*MOCK_FILES, *(f"{method}.h5" for method in methods), "report"]
    options.claim_folder(
        out,
        names,
        last=MOCK_FILES[-1],
        says=SOURCE,
        maker="truez demo",
        overwrite=overwrite,
    )
    check_disk(VALUE * recipe.box.num_cells * len(methods), out, option="--out")
    command = ["truez", "demo", *(["--out", out] if out != DEFAULT_OUT else [])]
    for text in settings:
        command += ["--set", text]
    started = time.monotonic()
    with progress_bar() as progress, atomic_folder(out, last=MOCK_FILES[-1]) as target:
        galaxies = recipe.universe.make(progress=progress)
        particles = " x ".join(str(n) for n in galaxies.box.meshsize)
        found = make_mock(
            galaxies,
            recipe.box,
            config,
            source={"catalogue": f"{SOURCE} of {particles} particles"},
        )
        found.write(target)
        fields: dict[str, Reconstruction] = {}
        for method in methods:
            fields[method] = reconstruct(found.surveys, method, progress=progress)
            fields[method].write(target / f"{method}.h5")
        result = evaluate_mock(found, fields, progress=progress)
        result.write(
            target / "report",
            title="demo",
            commands=[shlex.join(command)],
            progress=progress,
        )
    typer.echo(f"{out}: {found}")
    show(result.tables()[:2])
    seconds = time.monotonic() - started
    page = Path(out) / "report" / "index.html"
    typer.echo(f"{page}: to look at; the demo took {seconds:.0f} seconds")
