"""The command ``truez``: finds its sub-commands by name and imports only the one that is asked for.

A sub-command ``name`` is the function ``name`` in the file ``truez/cli/name.py``, with typer's
annotations; the first line of its docstring is its line in ``truez --help``. To add one, write the
file and put its name into `COMMANDS`. Such a file imports nothing heavy at its top (torch, numpy,
pydantic, ... come inside the function), so that ``truez --help`` stays under half a second.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from truez import __version__
from truez.cli.errors import one_sentence

#: The sub-commands, in the order of the help page.
COMMANDS: tuple[str, ...] = (
    "simulate",
    "mock",
    "train",
    "reconstruct",
    "redshifts",
    "evaluate",
    "report",
    "spectrum",
    "paper",
    "benchmark",
    "demo",
    "info",
)


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None, which becomes a usage error."""
        if cmd_name not in COMMANDS:
            return None
        function = getattr(importlib.import_module(f"truez.cli.{cmd_name}"), cmd_name)
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        single.command(name=cmd_name)(function)
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in the base class, which looks for near misses in `commands`: ours are not there."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}: the commands are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with bad input told in one sentence."""
        with one_sentence(debug=ctx.params["debug"]):
            return super().invoke(ctx)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"truez {__version__}")
        raise typer.Exit


@app.callback()
def truez(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    """The true-redshift density field from two galaxy surveys, one sharp and one deep.

    Results go to stdout and to files, progress to stderr. Bad input ends with exit code 2 and one
    sentence that says what to mend.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line (``sys.argv`` by default); always ends with `SystemExit`."""
    app(args=None if arguments is None else list(arguments), prog_name="truez")
