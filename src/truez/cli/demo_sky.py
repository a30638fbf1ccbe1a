"""``truez demo --sky``: the main job on a light cone of a universe that it makes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import typer

from truez.cli import options

DEFAULT_OUT = "truez-demo-sky"
#: What the mock of a demo says of its galaxies.
SOURCE = "a light cone of an N-body simulation"


def demo_on_sky(settings: Sequence[str], out: str, *, overwrite: bool) -> None:
    """Simulate, observe, reconstruct and judge, and print the table."""
    import time
    from pathlib import Path

    from truez.cli.tables import show
    from truez.evaluate.sky.evaluation import evaluate_sky
    from truez.experiments.demo_sky import DemoSkyRecipe
    from truez.experiments.recipes import read_recipe
    from truez.sky.catalog import write_redshifts
    from truez.sky.make_mock import Simulated, mock_from_simulation
    from truez.sky.mock import SKY_FILES
    from truez.sky.patches import PatchSettings
    from truez.sky.reconstruct import reconstruct
    from truez.support.files import atomic_folder
    from truez.support.progress_bar import progress_bar
    from truez.surveys.mock import MOCK_FILES

    recipe = DemoSkyRecipe(**read_recipe("demo-sky", settings))
    recipe.check()
    methods, made = recipe.reconstruct.methods, "redshifts.fits"
    names = [*MOCK_FILES, *SKY_FILES, *(f"{method}.h5" for method in methods), made, "report"]
    options.claim_folder(
        out, names, last=MOCK_FILES[-1], says=SOURCE, maker="truez demo", overwrite=overwrite
    )
    command = ["truez", "demo", "--sky", *(["--out", out] if out != DEFAULT_OUT else [])]
    for text in settings:
        command += ["--set", text]
    started = time.monotonic()
    with progress_bar() as progress, atomic_folder(out, last=MOCK_FILES[-1]) as target:
        galaxies = recipe.universe.make(progress=progress)
        particles = " x ".join(str(n) for n in galaxies.box.meshsize)
        mock = mock_from_simulation(
            Simulated.of(galaxies),
            recipe.mock_config,
            footprint=recipe.surveys.area,
            source={"catalogue": f"{SOURCE} of {particles} particles"},
        )
        del galaxies
        mock.write(target)
        patches = PatchSettings(cellsize=recipe.reconstruct.cellsize)
        fields = {}
        for number, method in enumerate(methods):
            field = reconstruct(mock.surveys, method, patches=patches, progress=progress)
            field.write(target / f"{method}.h5")
            fields[method] = target / f"{method}.h5"
            if number == 0 and field[0].intensity is not None:
                found = field.redshifts(progress=progress)
                write_redshifts(
                    target / made, target / "photo.parquet", found.columns,
                    metadata={**field.metadata, **found.metadata},
                )  # fmt: skip
        result = evaluate_sky(
            mock, fields, redshift_range=recipe.evaluate.redshift_range, progress=progress
        )
        result.write(
            target / "report", title="demo", commands=[shlex.join(command)], progress=progress
        )
    typer.echo(f"{out}: {mock}")
    show(result.tables()[:1])
    seconds = time.monotonic() - started
    page = Path(out) / "report" / "index.html"
    typer.echo(f"{page}: to look at; the demo took {seconds:.0f} seconds")
