"""``truez train``: train a network on a mock, or on one simulated universe after another."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options


def train(
    recipe: Annotated[
        str, typer.Argument(help="small, paper, or a TOML file with network and training.")
    ],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    mock: Annotated[
        str | None, typer.Option(help="Mock folder to train on.", show_default=False)
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="Folder of universes from truez simulate to train on: seeds from 2000 on train, "
            "1000 to 1999 validate.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting, such as training.steps=1000; may be repeated.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Weights to start from, in place of random ones.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: options.Device = "auto",
) -> None:
    """Train the dual UNet on a mock, or on simulated universes.

    A mock is cut across the sky into training, validation and test regions with gaps between.
    Without one, the universes of the recipe are simulated as they are needed, or those of --boxes
    are read, and each is seen with new photo-z noise again and again; others, of seeds of their
    own, are for validation. The best weights are kept in OUT/best.safetensors; the losses and
    their picture lie beside them. With --start weights of an earlier run learn on. A run that was
    stopped goes on with `--resume`, to the same weights bit for bit on a CPU. Examples:

    `truez train small --mock tng --out tng/run`

    `truez train small --out run --set surveys.sigma_z=0.01`
    """
    from pathlib import Path

    from truez.cli.progress import progress_bar
    from truez.evaluate.figures.losses import losses, read_losses
    from truez.evaluate.figures.style import save
    from truez.experiments.recipes import read_recipe
    from truez.surveys.mock import Mock
    from truez.training.run import train_on_mock, train_on_universes

    if mock is not None and boxes is not None:
        raise ValueError("--mock and --boxes are two things to train on: give one of them")
    content = read_recipe(recipe, settings or ())
    where = options.chosen_device(device)
    with progress_bar() as progress:
        if mock is not None:
            state = train_on_mock(
                content,
                Mock.read(mock),
                out=out,
                start=start,
                resume=resume,
                device=where,
                progress=progress,
            )
        else:
            state = train_on_universes(
                content,
                folder=boxes,
                out=out,
                start=start,
                resume=resume,
                device=where,
                progress=progress,
            )
    picture, _ = save(losses(**read_losses(Path(out) / "losses.csv")), Path(out) / "losses")
    typer.echo(
        f"{Path(out) / 'best.safetensors'}: {state.step} steps in {state.minutes:.1f} minutes, "
        f"lowest validation loss {state.best:.4g}"
    )
    typer.echo(f"{picture}: training and validation loss")
