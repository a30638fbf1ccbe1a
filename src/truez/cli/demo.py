"""``truez demo``: the main job on a universe that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.mocks import Mock
    from truez.progress import Progress


def demo(
    out: Annotated[str, typer.Option(help="Folder for everything.")] = "truez-demo",
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

    A lognormal universe with redshift-space distortions, two surveys of it at the densities of
    arXiv:2504.06309, the reconstructions, and a page of numbers and pictures that judges them.
    """
    import time
    from pathlib import Path

    from truez.cli.progress import progress_bar
    from truez.cli.tables import show
    from truez.recipes import read_recipe
    from truez.reconstruct import reconstruct
    from truez.report.judge import judge, write_report

    target = Path(out)
    options.refuse_existing(str(target / "mock.toml"), overwrite=overwrite)
    started = time.monotonic()
    recipe = read_recipe("demo", settings or ())
    with progress_bar() as progress:
        found = _mock(recipe, progress)
        found.write(target)
        typer.echo(f"{out}: {found}")
        fields = {}
        for method in recipe["reconstruct"]["methods"]:
            fields[method] = reconstruct(found.surveys, method, progress=progress)
            fields[method].write(target / f"{method}.h5")
        result = judge(found, fields, progress=progress)
        page = write_report(
            target / "report",
            found,
            result,
            fields,
            title="truez demo",
            commands=["truez demo" + "".join(f" --set {text}" for text in settings or ())],
        )
    show(result.tables()[:2])
    seconds = time.monotonic() - started
    typer.echo(f"{page}: to look at; the demo took {seconds:.0f} seconds")


def _mock(recipe: dict[str, Any], progress: Progress) -> Mock:
    """Make a universe and the two surveys of it."""
    from truez.box import Box
    from truez.cosmology import COSMOLOGIES
    from truez.mocks import MockConfig, Selection, make_mock
    from truez.simulate import lognormal_galaxies

    universe, surveys = dict(recipe["universe"]), dict(recipe["surveys"])
    cosmology = COSMOLOGIES[universe.pop("cosmology")]
    box = Box.from_cellsize(universe.pop("boxsize"), universe.pop("cellsize"))
    redshift = universe.pop("redshift")
    galaxies = lognormal_galaxies(box, cosmology, redshift=redshift, progress=progress, **universe)
    config = MockConfig(
        redshift=redshift,
        cosmology=cosmology,
        rank_by="mass",
        spec=Selection(density=surveys.pop("spec_density")),
        **surveys,
    )
    return make_mock(
        galaxies.positions,
        box,
        config,
        velocities=galaxies.velocities[:, 2],
        columns={"mass": galaxies.mass},
        source={"catalogue": "a lognormal universe", **galaxies.metadata},
    )
