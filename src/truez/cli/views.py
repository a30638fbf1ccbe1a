"""``truez views``: views of surveys of simulated universes, to train networks on."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options
from truez.cli.options import OUTPUT, SURVEYS, existing, option

#: Views for training, and surveys of how many universes for validation, where none are given.
DEFAULT_TRAINING, DEFAULT_UNIVERSES = 60, 2


def views(
    boxes: Annotated[
        str,
        typer.Argument(
            help="Folder of universes from truez simulate.", **existing("folder", folder=True)
        ),
    ],
    *,
    validation: Annotated[
        bool,
        option(
            SURVEYS,
            "Make the views for validation, of fixed surveys of the universes with seeds from 1000 "
            "to 1999; otherwise those for training, of drawn surveys of those from 2000 on.",
            "--validation",
        ),
    ] = False,
    number: Annotated[
        int | None,
        option(
            SURVEYS,
            f"Views that there are in the end: {DEFAULT_TRAINING}, or the fixed surveys of "
            f"{DEFAULT_UNIVERSES} universes, by default.",
            callback=options.positive,
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        option(
            SURVEYS,
            "Make views of one of the fixed surveys, such as fiducial; may be repeated. For "
            "training they are kept beside those of drawn surveys.",
        ),
    ] = None,
    seed: Annotated[
        int, option(SURVEYS, "Seed of the drawn surveys.", callback=options.not_negative)
    ] = 0,
    part: Annotated[
        str, option(SURVEYS, "Make a part of them, such as 1/2, beside other processes.")
    ] = "1/1",
    out: Annotated[str, option(OUTPUT, "Folder of the views; those in it are kept.")],
) -> None:
    """Make views of surveys, which networks for uneven surveys are trained on.

    A view holds all that a training reads of two surveys of a universe: masks, N(z), photo-z errors
    and samples are drawn, galaxies are painted, fitted and filtered. Each takes about half a minute
    on one core, and 0.1 to 0.2 GB of disk. Those that are there already are not made again, so that
    the same command goes on after an interruption. Three examples:

    `truez views pool --out views --number 60 --part 1/2`

    `truez views pool --out views --validation`

    `truez views pool --out views --fixed fiducial --fixed narrow --number 10`
    """
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar
    from truez.training.survey_draws import VALIDATION
    from truez.training.survey_pool import Purpose, make_views
    from truez.training.survey_supply import ViewSupply, numbers_of

    purpose: Purpose = "validation" if validation else "training"
    default = DEFAULT_UNIVERSES * len(VALIDATION) if validation else DEFAULT_TRAINING
    with options.named("--part"):
        numbers = numbers_of(part, number or default)
    check_output(out, folder=True, option="--out")
    with options.named("--fixed"):
        supply = ViewSupply.of(boxes, purpose, seed, fixed or ())
    # Those of drawn surveys have plain numbers.
    prefix = "fixed-" if fixed else ""
    with progress_bar() as progress:
        made = make_views(supply, numbers, out, purpose, prefix=prefix, progress=progress)
    typer.echo(
        f"{out}: {len(made)} views made for {purpose}, {len(numbers) - len(made)} were there"
    )
