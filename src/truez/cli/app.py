"""The command ``truez``: finds its sub-commands by name and imports only the one that is run.

A sub-command ``name`` is the function ``name`` in the file ``truez/cli/name.py`` (``run-patch`` is
``run_patch``), with typer's annotations; the first line of its docstring is its line in
``truez --help``. To add one, write the file and add its name to `COMMANDS` or `EXPERIMENTS`. Such a
file imports nothing heavy at its top (torch, numpy, pydantic, ... are imported in the function), so
that ``truez --help`` stays under half a second.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import typer.completion
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from truez.cli.about import print_citation, print_plugins, print_version
from truez.cli.errors import USAGE, name_column, notes, one_sentence
from truez.cli.options import refuse_inputs
from truez.cli.process import check_threads, prepare_process
from truez.support.folders import release_locks

#: The sub-commands of the second panel of the help page.
EXPERIMENTS: tuple[str, ...] = ("train", "views", "paper", "benchmark", "report")
#: All sub-commands, in the order of the help page.
COMMANDS: tuple[str, ...] = (
    "reconstruct", "redshifts", "partition", "run", "run-patch", "join", "map", "evaluate",
    "photoz", "mock", "simulate", "spectrum", "info", "demo", *EXPERIMENTS,
)  # fmt: skip
HELP, DEBUG = ("-h", "--help"), "--debug"
#: The environment variable in which a shell asks for completions.
COMPLETION = "_TRUEZ_COMPLETE"
DESCRIPTION = """The true-redshift density field of a spectroscopic and a photometric survey.

Results go to stdout and to files, progress to stderr. Bad input ends with exit code 2 and one
sentence that says how to correct it. `truez COMMAND --help` lists the options of a command.
"""


class SubCommand(TyperCommand):
    """A sub-command, whose help page does not list --help itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As in the base class, but --help wins over everything, paths that do not exist too."""
        try:
            return super().parse_args(ctx, ["--help"] if set(HELP) & set(args) else args)
        except USAGE as error:
            error.ctx = error.ctx or ctx  # so that the sentence names the command
            raise

    def invoke(self, ctx: Any) -> Any:
        """As in the base class; an error about a column names the option that asks for it."""
        try:
            refuse_inputs(ctx)
            return super().invoke(ctx)
        except ValueError as error:
            values = {p.opts[0]: ctx.params.get(p.name) for p in self.params}
            text = name_column(str(error), values)
            if text == str(error):
                raise
            raise ValueError(text) from error

    def get_help_option(self, ctx: Any) -> Any:
        """The option, hidden."""
        found = super().get_help_option(ctx)
        if found is not None:
            found.hidden = True
        return found


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are run."""

    def make_context(self, info_name: Any, args: list[str], *rest: Any, **settings: Any) -> Any:
        """As in the base class; an unknown option of truez itself becomes one sentence."""
        with one_sentence(debug=DEBUG in args):
            return super().make_context(info_name, args, *rest, **settings)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None, which becomes a usage error."""
        if cmd_name not in COMMANDS:
            return None
        own = cmd_name.replace("-", "_")
        function = getattr(importlib.import_module(f"truez.cli.{own}"), own)
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        panel = "Experiments" if cmd_name in EXPERIMENTS else None
        single.command(name=cmd_name, cls=SubCommand, rich_help_panel=panel)(function)
        command: Any = typer.main.get_command(single)
        command.help = _markup(command.help)
        for parameter in command.params:
            parameter.help = _markup(parameter.help)
            parameter.callback = _not_empty(parameter.callback)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in the base class, which looks for near misses in `commands`: ours are not there."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            close = difflib.get_close_matches(args[0].lower(), COMMANDS, 1)
            meant = f"did you mean {close[0]}? The" if close else "the"
            known = ", ".join(COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}: {meant} commands are {known}")
        found = super().resolve_command(ctx, args)
        ctx.meta["truez.command"] = found[1]
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run the command; bad input becomes one sentence with the command's options."""

        def options() -> dict[str, str]:
            command = ctx.meta.get("truez.command")
            found = {} if command is None else {p.name: p.opts[0] for p in command.params}
            return {name: option for name, option in found.items() if option.startswith("-")}

        try:
            with one_sentence(debug=ctx.params["debug"], options=options), notes(options):
                check_threads()
                return super().invoke(ctx)
        finally:
            release_locks()


def _not_empty(check: Callable[..., Any] | None) -> Callable[..., Any]:
    """The check of an option or argument that refuses empty text first."""

    def checked(context: Any, parameter: Any, value: Any) -> Any:
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and not text.strip():
                name = parameter.opts[0]
                if not name.startswith("-"):
                    name = parameter.name.upper()
                raise ValueError(f"{name} must not be empty: give a value, or leave it out")
        return value if check is None else check(context, parameter, value)

    return checked


def _markup(text: str | None) -> str:
    """A docstring in rich's markup: paragraphs in one line each, `code` in bold."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    lines = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return re.sub(r"`([^`]+)`", r"[bold]\1[/bold]", escape(lines))


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": list(HELP)},
)


@app.callback(help=_markup(DESCRIPTION))
def truez(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
    cite: Annotated[
        bool,
        typer.Option(
            "--cite", callback=print_citation, is_eager=True, help="Print what to cite and stop."
        ),
    ] = False,
    plugins: Annotated[
        bool,
        typer.Option(
            "--plugins",
            callback=print_plugins,
            is_eager=True,
            help="Print what other packages add to truez and stop.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    """The options of ``truez`` itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line (``sys.argv`` by default); always ends with `SystemExit`.

    Without ``arguments`` the process is the command's own, see `truez.cli.process`.
    """
    if arguments is None:
        prepare_process()
    if COMPLETION in os.environ:  # a shell asks how a line may go on
        typer.completion.completion_init()  # type: ignore[attr-defined]
    app(args=None if arguments is None else list(arguments), prog_name="truez")
