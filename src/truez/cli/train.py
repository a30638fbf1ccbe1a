"""``truez train``: train the paper's network on a mock."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options


def train(
    recipe: Annotated[
        str, typer.Argument(help="small, paper, or a TOML file with network and training.")
    ],
    mock: Annotated[str, typer.Option(help="Mock folder to train on.")],
    out: Annotated[str, typer.Option(help="Folder of the run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting, such as training.steps=1000; may be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: options.Device = "auto",
) -> None:
    """Train the dual UNet on the training region of a mock.

    The mock is cut across the sky into training, validation and test regions with gaps between.
    The best weights by the validation region are kept in OUT/best.safetensors; the losses and
    their picture lie beside them. A run that was stopped goes on with `--resume`, to the same
    weights bit for bit on a CPU. Example:

    `truez train small --mock tng --out tng/run`
    """
    from pathlib import Path

    from truez.cli.progress import progress_bar
    from truez.mocks import Mock
    from truez.recipes import read_recipe
    from truez.report import figures
    from truez.training.run import train_on_mock

    with progress_bar() as progress:
        state = train_on_mock(
            read_recipe(recipe, settings or ()),
            Mock.read(mock),
            out=out,
            resume=resume,
            device=options.chosen_device(device),
            progress=progress,
        )
    picture, _ = figures.save(
        figures.losses(**figures.read_losses(Path(out) / "losses.csv")), Path(out) / "losses"
    )
    typer.echo(
        f"{Path(out) / 'best.safetensors'}: {state.step} steps in {state.minutes:.1f} minutes, "
        f"lowest validation loss {state.best:.4g}"
    )
    typer.echo(f"{picture}: training and validation loss")
