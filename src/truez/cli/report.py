"""``truez report``: one page for a run."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    run: Annotated[
        str, typer.Argument(help="Folder of truez paper, truez demo or truez evaluate.")
    ],
    out: Annotated[
        str | None, typer.Option(help="The page; by default RUN/report.html.", show_default=False)
    ] = None,
) -> None:
    """Write one page that holds a run: verdict, tables, figures and slices to move through.

    The page is one file and loads nothing from a network, so it can be mailed and kept. A run that
    is not finished has one too, which says what is missing; an older page is replaced. Example:

    `truez report my-run`
    """
    from truez.cli.progress import progress_bar
    from truez.evaluate.page.report import write_run_page

    with progress_bar() as progress:
        page = write_run_page(run, out=out, progress=progress)
    typer.echo(f"{page}: to look at ({page.stat().st_size / 1e6:.1f} MB)")
