"""Options that several commands share, as objects: one parameter of a command for many options.

A group of options is a frozen dataclass whose fields have typer's annotations. `flattened` passes
the fields to typer, and the object to the command:

    @dataclass(frozen=True, kw_only=True)
    class Output:
        out: Annotated[str, typer.Option(help="File to write.")] = "field.h5"

    @flattened
    def paint(catalog: Annotated[str, typer.Argument()], output: Output) -> None:
        ...  # output.out

A field may be such a dataclass itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """The same command for typer: each dataclass among its parameters is replaced by its fields.

    Parameters
    ----------
    command : function
        Its parameters have typer's annotations, or are dataclasses whose fields have them.

    Raises
    ------
    ValueError
        If two options have the same name.
    """
    hints = get_type_hints(command, include_extras=True)
    given = {
        parameter: hints[parameter.name] for parameter in signature(command).parameters.values()
    }
    flat: dict[str, Parameter] = {}
    for parameter, kind in given.items():
        alone = parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind)
        for leaf in _leaves(kind) if _is_group(kind) else (alone,):
            if leaf.name in flat:
                raise ValueError(f"{command.__name__} has two options called {leaf.name}")
            flat[leaf.name] = leaf

    @functools.wraps(command)
    def run(**values: Any) -> None:
        command(**{p.name: _gathered(kind, p.name, values) for p, kind in given.items()})

    run.__signature__ = Signature(list(flat.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: leaf.annotation for name, leaf in flat.items()}
    return run


def option_names(kind: type) -> tuple[str, ...]:
    """Names of all options of a dataclass, those of its dataclass fields included."""
    return tuple(parameter.name for parameter in _leaves(kind))


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _leaves(kind: type) -> Iterator[Parameter]:
    """The fields as parameters, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        if _is_group(hints[field.name]):
            yield from _leaves(hints[field.name])
        else:
            default = Parameter.empty if field.default is MISSING else field.default
            yield Parameter(
                field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
            )


def _gathered(kind: Any, name: str, values: Mapping[str, Any]) -> Any:
    """The value of one option, or the object of a group."""
    if not _is_group(kind):
        return values[name]
    hints = get_type_hints(kind, include_extras=True)
    return kind(
        **{field.name: _gathered(hints[field.name], field.name, values) for field in fields(kind)}
    )
