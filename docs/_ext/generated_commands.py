"""A page for each sub-command, made of its parameters and its docstring as typer holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: Rich's markup of the help pages, in which code is bold and brackets are escaped.
BOLD = re.compile(r"\[bold\](.*?)\[/bold\]", re.DOTALL)
INTRODUCTION = """Made of the options that the commands have; `truez COMMAND --help` shows the same.
Results go to stdout and to files, progress to stderr. Bad input ends with exit code 2 and one
sentence that says how to correct it. `truez --version` prints the version; `truez --debug COMMAND`
shows where in the code an error comes from."""
#: What the value of an option is called, by its type.
PLACEHOLDERS = {"str": "TEXT", "list": "TEXT", "int": "INTEGER", "float": "NUMBER", "Path": "PATH"}
COMMANDS = re.compile(r"(?<![\w`])(--[a-z][a-z0-9-]+)(?![\w`])")


def markdown(text: str | None) -> str:
    """A help text in Markdown: code in backticks, options too."""
    parts = []
    last = 0
    text = text or ""
    for match in BOLD.finditer(text):
        parts += [_plain(text[last : match.start()]), f"`{match[1]}`".replace("\\[", "[")]
        last = match.end()
    return "".join([*parts, _plain(text[last:])])


def paragraphs(text: str | None) -> str:
    """A whole help text, in which a paragraph that is one command is a block."""
    parts = []
    for part in (text or "").split("\n\n"):
        command = BOLD.fullmatch(part.strip().rstrip(".:"))
        if command is None:
            parts.append(markdown(part))
            continue
        words = command[1].replace("\\[", "[").replace(" --", "\n--").splitlines()
        lines = [words[0]]
        for word in words[1:]:
            if len(lines[-1]) + len(word) < 88:
                lines[-1] += f" {word}"
            else:
                lines.append(f"    {word}")
        parts.append("```text\n" + " \\\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    text = text.replace("\\[", "[")
    text = re.sub(r"([*_<>|$])", r"\\\1", text)
    text = re.sub(r"\bdocs/([\w/-]+\.md)", r"[](/\1)", text)
    return COMMANDS.sub(r"`\1`", text)


def cell(text: str) -> str:
    """Text within one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|") if "\\|" not in text else text


def names(parameter: Any) -> str:
    """All spellings of an option, with the placeholder of its value."""
    spelled = [*parameter.opts, *parameter.secondary_opts]
    value = "" if getattr(parameter, "is_flag", False) else f" {placeholder(parameter)}"
    return ", ".join(f"`{name}{value}`" for name in spelled)


def placeholder(parameter: Any) -> str:
    """What an option's value is called on its help page."""
    if parameter.metavar:
        return PLACEHOLDERS.get(parameter.metavar.strip("<>"), str(parameter.metavar))
    # typer before 0.29 has the type of click.
    described = getattr(parameter, "type_descriptor", None)
    kind = parameter.type.name if described is None else described.annotation.__name__
    return PLACEHOLDERS.get(kind, kind.upper())


def default(parameter: Any) -> str:
    """The default value as a sentence, or nothing."""
    value = parameter.default
    if parameter.required:
        return " **Required.**"
    if value is None or value is False or callable(value) or value in ("", (), []):
        return ""
    if value is True:
        return " On by default."
    if "default" in str(parameter.help or "").lower():
        return ""
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return "" if "Sentinel" in shown else f" Default: `{shown}`."


def usage(name: str, command: Any) -> str:
    """The line of usage."""
    arguments = []
    for parameter in filter(_is_argument, command.params):
        shown = argument(parameter) + ("..." if parameter.nargs != 1 else "")
        arguments.append(shown if parameter.required else f"[{shown}]")
    return " ".join(["truez", name, *arguments, "[OPTIONS]"])


def argument(parameter: Any) -> str:
    """What an argument is called on the help page."""
    return str(parameter.metavar or parameter.name.upper())


def _is_argument(parameter: Any) -> bool:
    return parameter.param_type_name == "argument"


def command_page(name: str, command: Any) -> str:
    """The page of one sub-command."""
    lines = [f"# truez {name}", "", f"```text\n{usage(name, command)}\n```", ""]
    lines += [paragraphs(command.help), ""]
    arguments = [p for p in command.params if _is_argument(p)]
    groups: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not _is_argument(parameter) and not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            groups.setdefault(panel, []).append(parameter)
    if arguments:
        lines += ["## Arguments", ""]
        for parameter in arguments:
            text = markdown(parameter.help) or "See above."
            lines += [f"`{argument(parameter)}`", f": {text}", ""]
    for panel, parameters in groups.items():
        lines += [f"## {panel}", ""]
        for parameter in parameters:
            text = f"{markdown(parameter.help)}{default(parameter)}".strip()
            lines += [names(parameter), f": {' '.join(text.split()) or 'See above.'}", ""]
    return "\n".join(lines)


def command_pages() -> Iterator[tuple[str, str]]:
    """All pages, as (path under docs, text)."""
    import typer.main

    from truez.cli.app import COMMANDS as ALL
    from truez.cli.app import EXPERIMENTS, app

    group: Any = typer.main.get_command(app)
    rows: dict[bool, list[str]] = {True: [], False: []}
    for name in ALL:
        command = group.get_command(None, name)
        yield f"reference/commands/{name}.md", command_page(name, command)
        first = markdown((command.help or "").split("\n\n")[0])
        rows[name in EXPERIMENTS].append(f"| [`truez {name}`]({name}.md) | {first} |")
    table = ["| command | what it does |", "|---|---|"]
    lines = ["# Commands", "", INTRODUCTION, "", *table, *rows[False]]
    lines += ["", "## Experiments", "", *table, *rows[True]]
    lines += ["", "```{toctree}", ":hidden:", "", *ALL, "```", ""]
    yield "reference/commands/index.md", "\n".join(lines)
