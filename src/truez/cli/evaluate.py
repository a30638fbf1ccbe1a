"""``truez evaluate``: estimates beside the truth, the surveys and the linear optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options
from truez.cli.options import METHOD, OUTPUT, SURVEYS, existing, option
from truez.cli.sky_options import SKY

if TYPE_CHECKING:
    from pathlib import Path

    from truez.mesh.field import Field


#: Options that only mocks in a box, and only mocks on the sky, have.
BOX_ONLY, SKY_ONLY = ("region", "photo", "spec"), ("redshift_range", "null", "seed")


def evaluate(
    context: typer.Context,
    truth: Annotated[
        str,
        typer.Argument(
            help="Mock folder, or a field file of the truth.",
            **existing("mock folder or field file", folder=None),
        ),
    ],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            help="Field files to judge; on the sky also catalogues of truez redshifts.",
            **existing("field file"),
        ),
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
    redshift_range: Annotated[
        str | None,
        option(
            SKY,
            "LOW,HIGH: photo-z of the galaxies, and redshifts of the cells, that are judged; all "
            "that the fields cover by default.",
        ),
    ] = None,
    null: Annotated[
        bool,
        option(
            SKY,
            "Judge each method on random galaxies as well, with everything fitted again.",
            "--null",
        ),
    ] = False,
    seed: Annotated[int, option(SKY, "Seed of the random galaxies.", min=0)] = 0,
    out: Annotated[str, option(OUTPUT, "Folder for the numbers, figures and page.")] = "report",
    overwrite: options.Overwrite = False,
) -> None:
    """Compare fields with the truth, all methods side by side.

    Prints one table with the zero field, the empty field, the two surveys and every given field,
    and writes metrics.json, spectra, slices and a page. With a field file as the truth the linear
    optimum is not known, and r_opt is null. Example:

    `truez evaluate tng tng/wiener.h5 tng/unet.h5 --out tng/report`

    A mock on the sky is judged beside its photo-z with N(z) and the Wiener filter of its surveys,
    see docs/guides/sky.md:
    `truez evaluate g09 g09/columns.h5 --redshift-range 0.08,0.35 --out report`
    """
    import shlex
    from pathlib import Path

    from truez.cli.evaluate_sky import SkyRequest, evaluate_on_sky
    from truez.cli.tables import show
    from truez.evaluate.estimates import FieldFile
    from truez.evaluate.evaluation import evaluate_fields, evaluate_mock
    from truez.evaluate.judge import Judge, sub_box_cells
    from truez.evaluate.results import EVALUATION_FILES, WHOLE
    from truez.evaluate.sky.estimates import is_sky_field
    from truez.evaluate.sky.results import SKY_EVALUATION_FILES
    from truez.mesh.field import Field
    from truez.sky.mock import is_sky_mock
    from truez.support.printable import printable
    from truez.support.progress_bar import progress_bar
    from truez.surveys.mock import Mock

    if redshift_range is not None:
        options.pair(redshift_range, "--redshift-range")
    on_sky = is_sky_mock(truth)
    if on_sky:
        options.refuse_given(context, BOX_ONLY, "a mock on the sky has no such option")
    else:
        options.refuse_given(context, SKY_ONLY, "only a mock on the sky has such options")
    options.claim_folder(
        out,
        SKY_EVALUATION_FILES if on_sky else EVALUATION_FILES,
        last=WHOLE,
        says='"mse_over_variance"',
        maker="truez evaluate",
        overwrite=overwrite,
    )
    files: dict[str, Path] = {}
    for name in fields or []:
        stem = printable(Path(name).stem)
        if stem in files:
            raise ValueError(f"two field files are called {stem}: rename one of them")
        files[stem] = Path(name)
    if on_sky:
        evaluate_on_sky(SkyRequest(truth, files, out, redshift_range, null, seed))
        return
    for path in files.values():
        if is_sky_field(path):
            raise ValueError(
                f"{path} is a field on the sky, and {truth} is in a box: give the mock on the sky "
                "that it is of"
            )
    given = {stem: FieldFile.read(path) for stem, path in files.items()}
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
            if is_sky_field(truth):
                raise ValueError(
                    f"{truth} is a field on the sky, and the first argument is the truth: give the "
                    "folder of a mock before it, or the redshifts to truez photoz, which judges by "
                    "spectra"
                )
            if photo is None or spec is None:
                raise ValueError(
                    f"a truth file such as {truth} needs the fields of both surveys: --photo, "
                    "--spec; an estimate is given after the folder of its mock"
                )
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
