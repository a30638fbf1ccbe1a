"""``truez demo``: the main job on a universe that it makes."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options

DEFAULT_OUT = "truez-demo"


def demo(
    out: Annotated[str, typer.Option(help="Folder for everything.")] = DEFAULT_OUT,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting of the demo's recipe, such as universe.seed=7; may be repeated.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Run the whole way once, on data that it makes itself.

    A simulated universe, whose matter gravity has moved, two surveys of its galaxies at the
    densities of arXiv:2504.06309, the reconstructions, and a page of numbers and pictures that
    judges them.
    """
    import shlex
    import time
    from pathlib import Path

    from truez.cli.progress import progress_bar
    from truez.cli.tables import show
    from truez.evaluate.report import evaluate_mock
    from truez.experiments.demo import DemoRecipe
    from truez.experiments.recipes import read_recipe
    from truez.reconstruct import Reconstruction, reconstruct
    from truez.surveys.observe import make_mock

    target = Path(out)
    options.refuse_existing(str(target / "mock.toml"), overwrite=overwrite)
    command = ["truez", "demo", *(["--out", out] if out != DEFAULT_OUT else [])]
    for text in settings or ():
        command += ["--set", text]
    started = time.monotonic()
    recipe = DemoRecipe(**read_recipe("demo", settings or ()))
    config = recipe.mock_config  # made now, so that what is wrong with it comes at once
    with progress_bar() as progress:
        galaxies = recipe.universe.make(progress=progress)
        particles = " x ".join(str(n) for n in galaxies.box.meshsize)
        found = make_mock(
            galaxies.positions,
            recipe.box,
            config,
            velocities=galaxies.velocities[:, 2],
            columns={"mass": galaxies.mass},
            source={
                "catalogue": f"galaxies in an N-body simulation of {particles} particles",
                **galaxies.metadata,
            },
        )
        found.write(target)
        typer.echo(f"{out}: {found}")
        fields: dict[str, Reconstruction] = {}
        for method in recipe.reconstruct.methods:
            fields[method] = reconstruct(found.surveys, method, progress=progress)
            fields[method].write(target / f"{method}.h5")
        result = evaluate_mock(found, fields, progress=progress)
        page = result.write(target / "report", title="truez demo", commands=[shlex.join(command)])
    show(result.tables()[:2])
    seconds = time.monotonic() - started
    typer.echo(f"{page}: to look at; the demo took {seconds:.0f} seconds")
