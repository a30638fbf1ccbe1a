"""``truez evaluate`` of a mock on the sky."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from truez.cli import options


@dataclass(frozen=True)
class SkyRequest:
    """What is to be judged.

    Parameters
    ----------
    folder : str
        Of the mock.
    files : mapping of a name to Path
        Fields, and catalogues of redshifts.
    out : str
    redshift_range : str, optional
    null : bool
    seed : int
    """

    folder: str
    files: Mapping[str, Path]
    out: str
    redshift_range: str | None
    null: bool
    seed: int

    @property
    def command(self) -> str:
        """The command line."""
        words = ["truez", "evaluate", self.folder, *map(str, self.files.values())]
        if self.redshift_range is not None:
            words += ["--redshift-range", self.redshift_range]
        if self.null:
            words += ["--null", *(["--seed", str(self.seed)] if self.seed else [])]
        return shlex.join([*words, "--out", self.out])


def evaluate_on_sky(request: SkyRequest) -> None:
    """Judge the estimates, write the folder, and print the table."""
    import time

    from truez.cli.tables import show
    from truez.evaluate.page.words import duration
    from truez.evaluate.sky.evaluation import evaluate_sky
    from truez.sky.mock import SkyMock
    from truez.support.printable import printable
    from truez.support.progress_bar import progress_bar

    limits = None
    if request.redshift_range is not None:
        limits = options.pair(request.redshift_range, "--redshift-range")
    started = time.monotonic()
    mock = SkyMock.read(request.folder)
    with progress_bar() as progress:
        result = evaluate_sky(
            mock, request.files, redshift_range=limits, null=request.null, seed=request.seed,
            progress=progress,
        )  # fmt: skip
        page = result.write(
            request.out,
            title=printable(Path(request.folder).resolve().name),
            commands=[request.command],
            progress=progress,
        )
    shown = result.tables()
    show([shown[0], *(table for table in shown[1:] if request.null and "Null" in table.title)])
    typer.echo(f"{Path(request.out) / 'metrics.json'}: numbers; {page}: to look at")
    typer.echo(f"judged in {duration(time.monotonic() - started)}")
