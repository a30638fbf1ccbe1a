"""``truez train``: train a network on a mock, on simulated universes, or on views of surveys."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from truez.cli import options
from truez.cli.errors import quoted
from truez.cli.options import NETWORK, OUTPUT, SURVEYS, existing, option

#: Recipes that train a network, or fit what it says of its errors.
RECIPES = ("small", "paper", "paper-small", "columns-cpu", "columns-gpu", "surveys-cpu", "errors")


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(RECIPES)}, or a TOML file.",
            callback=options.existing_recipe,
            is_eager=True,
        ),
    ],
    *,
    mock: Annotated[
        str | None,
        option(SURVEYS, "Mock folder to train on.", **existing("mock folder", folder=True)),
    ] = None,
    boxes: Annotated[
        str | None,
        option(
            SURVEYS,
            "Folder of universes from truez simulate to train on: seeds from 2000 on train, 1000 "
            "to 1999 validate.",
            **existing("folder", folder=True),
        ),
    ] = None,
    views: Annotated[
        str | None,
        option(
            SURVEYS,
            "Folder of views from truez views to train on, for recipes such as surveys-cpu; the "
            "recipe errors needs --boxes, too, the universes that they were made of.",
            **existing("folder", folder=True),
        ),
    ] = None,
    settings: options.Settings = None,
    start: Annotated[
        str | None,
        option(
            NETWORK, "Weights to start from, instead of random ones.", **existing("weights file")
        ),
    ] = None,
    out: Annotated[str, option(OUTPUT, "Folder of the run.")],
    resume: Annotated[bool, option(OUTPUT, "Continue the run in --out.", "--resume")] = False,
    device: options.Device = "auto",
) -> None:
    """Train a network on a mock, on simulated universes, or on views of surveys.

    A mock is divided across the sky into training, validation and test regions with gaps between
    them. Without one, the universes of the recipe are simulated as they are needed, or those of
    --boxes are read, and each is used many times with new photo-z noise; others, of different
    seeds, are for validation. A network for uneven surveys is trained on --views. The recipe errors
    fits the error model of such a network, that of --start, or without it that of the method
    redistribution, to the views and the universes of --boxes. The best weights
    are written to OUT/best.safetensors, with the losses and their figure beside them. With --start
    training begins from the weights of an earlier run. A run that was stopped continues with
    --resume, to the same weights bit for bit on a CPU. torchrun starts several processes that train
    together, one on each GPU. Examples:

    `truez train small --mock tng --out tng/run`

    `truez train small --out run --set surveys.sigma_z=0.01`

    `torchrun --standalone --nproc-per-node 4 -m truez train columns-gpu --out run`
    """
    from truez.evaluate.figures.losses import losses, read_losses
    from truez.evaluate.figures.style import save
    from truez.experiments.recipes import read_recipe
    from truez.support.folders import lock
    from truez.support.outputs import check_output
    from truez.support.progress import silent
    from truez.support.progress_bar import progress_bar
    from truez.surveys.mock import Mock
    from truez.training.error_run import ERROR_SECTION
    from truez.training.folder import check_folder
    from truez.training.ranks import Ranks, joined, num_started
    from truez.training.run import UNIVERSE_SECTIONS, train_on_mock, train_on_universes
    from truez.training.survey_run import VIEW_SECTION, train_on_views

    given = {"--mock": mock, "--boxes": boxes, "--views": views}
    several = [name for name, value in given.items() if value is not None]
    if recipe == ERROR_SECTION or (several == ["--boxes", "--views"] and recipe.endswith(".toml")):
        content = read_recipe(recipe, settings or (), known=RECIPES)
        if ERROR_SECTION in content:
            if num_started() > 1:
                raise ValueError(
                    f"the recipe {recipe} is fitted by one process: start truez train without "
                    "torchrun"
                )
            _errors(content, given, start=start, out=out, resume=resume)
            return
    if len(several) > 1:
        raise ValueError(f"{several[0]} and {several[1]} exclude each other: give one of them")
    where = options.chosen_device(device)
    unused = UNIVERSE_SECTIONS if mock else ("universe",) if boxes else ()
    for text in settings or ():
        if text.partition(".")[0].strip() in unused:
            raise ValueError(
                f"--set {quoted(text)} changes nothing with {several[0]}, which contains these "
                "settings: leave one of the two out"
            )
    content = read_recipe(recipe, settings or (), known=RECIPES)
    if VIEW_SECTION in content and views is None:
        raise ValueError(f"--views must be given with the recipe {recipe}: its folder of views")
    with joined(where) as place:
        ranks = Ranks.current()
        if ranks.writes:
            check_output(out, folder=True, option="--out")
            lock(out, option="--out")
        check_folder(out, resume=resume)
        with progress_bar() if ranks.writes else nullcontext(silent) as progress:
            how: dict[str, Any] = {
                "out": out, "start": start, "resume": resume, "device": place, "progress": progress
            }  # fmt: skip
            if mock is not None:
                state = train_on_mock(content, Mock.read(mock), **how)
            elif views is not None:
                state = train_on_views(content, views, **how)
            else:
                state = train_on_universes(content, folder=boxes, **how)
    if not ranks.writes:
        return
    picture, _ = save(losses(**read_losses(Path(out) / "losses.csv")), Path(out) / "losses")
    typer.echo(
        f"{Path(out) / 'best.safetensors'}: {state.step} steps in {state.minutes:.1f} minutes, "
        f"lowest validation loss {state.best:.4g}"
    )
    typer.echo(f"{picture}: training and validation loss")


def _errors(
    content: dict[str, Any],
    given: Mapping[str, str | None],
    *,
    start: str | None,
    out: str,
    resume: bool,
) -> None:
    """Fit an error model, and show how well its variance is that of the errors."""
    from truez.support.folders import lock
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar
    from truez.training.error_fit import table
    from truez.training.error_run import TABLE, check_errors_folder, fit_errors

    for name, value in given.items():
        if value is None and name != "--mock":
            raise ValueError(
                f"{name} must be given with the recipe errors, which is for views and the "
                "universes that they were made of"
            )
    if given["--mock"] is not None:
        raise ValueError("--mock is not used with the recipe errors: leave it out")
    views, boxes = given["--views"], given["--boxes"]
    assert views is not None
    assert boxes is not None
    check_output(out, folder=True, option="--out")
    lock(out, option="--out")
    check_errors_folder(out, resume=resume)
    with progress_bar() as progress:
        found = fit_errors(
            content, views, boxes, out=out, start=start, resume=resume, progress=progress
        )
    typer.echo("squared error over sigma^2, of all cells and in tenths of sigma")
    for label, values in (("before", found.before), ("fitted", found.after)):
        typer.echo(f"{label}:\n{table(values)}")
    typer.echo(
        f"{found.path}: validation loss {found.loss:.5f}, {found.loss_before:.5f} before; all "
        f"numbers in {Path(out) / TABLE}"
    )
