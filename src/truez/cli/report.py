"""``truez report``: one page for a run."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli.options import OUTPUT, existing, option


def report(
    run: Annotated[
        str,
        typer.Argument(
            help="Folder of truez paper, truez demo or truez evaluate.",
            **existing("folder", folder=True),
        ),
    ],
    out: Annotated[str | None, option(OUTPUT, "The page; RUN/report.html by default.")] = None,
) -> None:
    """Write one page of a run: verdict, tables, figures, and slices to move through.

    The page is one file and loads nothing from the internet. A run that is not finished gets a
    page as well, which lists what is missing; an older page is replaced. Example:

    `truez report my-run`
    """
    from pathlib import Path

    from truez.evaluate.page.report import write_run_page
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar

    check_output(Path(run) / "report.html" if out is None else out, option="--out")
    with progress_bar() as progress:
        page = write_run_page(run, out=out, progress=progress)
    typer.echo(f"{page}: to look at ({page.stat().st_size / 1e6:.1f} MB)")
