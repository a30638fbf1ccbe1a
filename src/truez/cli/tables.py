"""Tables of the report on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from truez.support.printable import printable

if TYPE_CHECKING:
    from truez.evaluate.tables import Table


def show(tables: Iterable[Table]) -> None:
    """Print tables on stdout, the best of each column in bold."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    def text(cell: str, style: str = "") -> Text:
        """A text that may come from a file: no markup of rich, nothing that a terminal obeys."""
        return Text(printable(cell, keep="\N{NO-BREAK SPACE}"), style)

    console = Console()
    # A pipe or a log has no width: a table is then written as wide as it is.
    if not console.is_terminal:
        console = Console(width=160)
    for table in tables:
        grid = Grid(title=text(table.title), title_justify="left")
        for number, name in enumerate(table.columns):
            grid.add_column(text(name), justify="left" if number == 0 else "right")
        for i, row in enumerate(table.rows):
            styles = ("bold" if (i, j) in table.best else "" for j in range(len(row)))
            grid.add_row(*(text(cell, style) for cell, style in zip(row, styles, strict=True)))
        console.print(grid)
