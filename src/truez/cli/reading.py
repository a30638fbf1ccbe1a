"""The options of how catalogues are read, which every command that reads one has.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from truez.cli.options import COORDINATES, option


def _follow(context: typer.Context, value: bool) -> bool:
    """Follow links for as long as the command runs."""
    if value:
        from truez.catalogs.formats import following_links

        context.with_resource(following_links())
    return value


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The table of a file, rows without values, and links into other files."""

    table: Annotated[
        str | None,
        option(COORDINATES, "Table of FITS or HDF5, by name or number."),
    ] = None
    drop_missing: Annotated[
        bool,
        option(
            COORDINATES,
            "Leave out, and count, rows without a value.",
            "--drop-missing",
        ),
    ] = False
    follow_links: Annotated[
        bool,
        option(
            COORDINATES,
            "Follow links of HDF5 within its folder.",
            "--follow-links",
            callback=_follow,
        ),
    ] = False

    def place(self, path: str) -> str:
        """The path of a catalogue with its table."""
        from truez.support.tables import with_table

        return with_table(path, self.table)

    def whole_rows(self, catalog: Any, columns: list[str], path: str) -> Any:
        """The rows of a catalogue that are used; how many are left out is printed."""
        if not self.drop_missing:
            return catalog
        kept = catalog.without_missing(columns)
        echo_dropped(len(catalog) - len(kept), path)
        return kept


def echo_dropped(count: int, path: str) -> None:
    """Print how many rows of a catalogue have been left out."""
    if count:
        typer.echo(f"  {count} rows of {path} without a value are left out")
