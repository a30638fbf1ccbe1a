"""``truez evaluate``: estimates beside the truth, the surveys and the linear optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options
from truez.cli.options import METHOD, OUTPUT, SURVEYS, existing, option

if TYPE_CHECKING:
    from pathlib import Path

    from truez.mesh.field import Field


def evaluate(
    truth: Annotated[
        str,
        typer.Argument(
            help="Mock folder, or a field file of the truth.",
            **existing("mock folder or field file", folder=None),
        ),
    ],
    fields: Annotated[
        list[str] | None,
        typer.Argument(help="Field files to judge.", **existing("field file")),
    ] = None,
    region: Annotated[
        str,
        option(
            METHOD,
            "Where to judge a mock: all, evaluation (without the trimmed ends), train, validation "
            "or test. auto is test if a network trained on this mock is judged, else evaluation.",
        ),
    ] = "auto",
    photo: Annotated[
        str | None,
        option(
            SURVEYS, "Field of the photometric survey, with a truth file.", **existing("field file")
        ),
    ] = None,
    spec: Annotated[
        str | None,
        option(
            SURVEYS,
            "Field of the spectroscopic survey, with a truth file.",
            **existing("field file"),
        ),
    ] = None,
    out: Annotated[str, option(OUTPUT, "Folder for the numbers, figures and page.")] = "report",
    overwrite: options.Overwrite = False,
) -> None:
    """Compare fields with the truth, all methods side by side.

    Prints one table with the zero field, the empty field, the two surveys and every given field,
    and writes metrics.json, spectra, slices and a page. With a field file as the truth the linear
    optimum is not known, and r_opt is null. Example:

    `truez evaluate tng tng/wiener.h5 tng/unet.h5 --out tng/report`
    """
    import shlex
    from pathlib import Path

    from truez.cli.tables import show
    from truez.evaluate.estimates import FieldFile
    from truez.evaluate.evaluation import evaluate_fields, evaluate_mock
    from truez.evaluate.judge import Judge, sub_box_cells
    from truez.evaluate.results import EVALUATION_FILES, WHOLE
    from truez.mesh.field import Field
    from truez.support.printable import printable
    from truez.support.progress_bar import progress_bar
    from truez.surveys.mock import Mock

    options.claim_folder(
        out, EVALUATION_FILES, last=WHOLE, maker="truez evaluate", overwrite=overwrite
    )
    given: dict[str, FieldFile] = {}
    for name in fields or []:
        stem = printable(Path(name).stem)
        if stem in given:
            raise ValueError(f"two field files are called {stem}: rename one of them")
        given[stem] = FieldFile.read(name)
    command = "truez " + shlex.join(["evaluate", truth, *(fields or []), "--out", out])
    if region != "auto":
        command += f" --region {region}"
    with progress_bar() as progress:
        if Path(truth).is_dir():
            if photo is not None or spec is not None:
                raise ValueError("a mock folder holds both surveys: leave out --photo and --spec")
            found = Mock.read(truth)
            result = evaluate_mock(found, given, region=region, progress=progress)
        else:
            if photo is None or spec is None:
                raise ValueError("a truth file needs the fields of both surveys: --photo, --spec")
            if region != "auto":
                raise ValueError("--region names a part of a mock folder, not of a field file")
            judge = Judge(Field.read(truth), cells=sub_box_cells)
            result = evaluate_fields(
                judge, Field.read(photo), Field.read(spec), given, progress=progress
            )
        page = result.write(
            out,
            title=printable(Path(truth).resolve().name),
            commands=[command],
            losses=_losses([file.delta for file in given.values()]),
            progress=progress,
        )
    show(result.tables())
    typer.echo(f"{Path(out) / 'metrics.json'}: numbers; {page}: to look at")


def _losses(fields: list[Field]) -> Path | None:
    """The losses beside the weights of the first network among the fields, if they are there."""
    from contextlib import suppress
    from pathlib import Path

    from truez.evaluate.figures.losses import read_losses

    for field in fields:
        weights = field.metadata.get("weights")
        if isinstance(weights, str) and weights:
            with suppress(OSError, ValueError):  # the file is not there, or no table of losses
                losses = Path(weights).with_name("losses.csv")
                read_losses(losses)
                return losses
    return None
