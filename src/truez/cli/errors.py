"""Bad input as one sentence with an exit code, in which parameters have the names of options."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from truez.cli.methods import METHODS
from truez.support.notes import Note

#: Exit codes: bad input (the same as a usage error), and stopped by Ctrl-C (128 + SIGINT).
BAD_INPUT, INTERRUPTED = 2, 130


#: Words of a library's sentence that mean an option: the words, and what replaces them where the
#: command has that option.
PHRASES: tuple[tuple[str, str, str], ...] = (
    ('outside="drop"', "drop_outside", "--drop-outside"),
    ("interlacing=False", "interlacing", "--no-interlacing"),
    (
        "boxsize, boxcenter or the length unit",
        "length_unit",
        "--boxsize, --boxcenter or --length-unit",
    ),
    ("spec density", "spec_density", "--spec-density"),
    ("photo density", "photo_density", "--photo-density"),
    ("needs a density or a cut", "spec_cut", "needs --spec-density or --spec-cut"),
)
#: Names that are ordinary words of a sentence as well: only `PHRASES` replaces them.
ORDINARY = frozenset({"boxes", "mock", "other", "out", "photo", "settings", "spec", "start"})
#: Verbs before a name that make it a parameter: "leave weights out", "needs hubble".
_VERBS = "give|choose|leave|needs?|say|set|correct|take|pass"


@contextmanager
def one_sentence(
    *, debug: bool = False, options: Callable[[], Mapping[str, str]] = dict
) -> Iterator[None]:
    """Turn bad input into one sentence on stderr and exit code 2, Ctrl-C into exit code 130.

    Bad input is a `ValueError`, an `OSError` (no such file, no permission, a full disk) or more
    than the memory holds. Any other exception is a defect of truez and keeps its traceback.

    Parameters
    ----------
    debug : bool
        Show the traceback of bad input too.
    options : function
        The options of the command by the names of their parameters, as for `name_options`.

    Raises
    ------
    SystemExit
    """
    try:
        yield
    except KeyboardInterrupt:
        if debug:
            raise
        typer.echo("truez: interrupted; no output file was left half written", err=True)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader of our stdout has gone (`truez ... | head`): the command line's own case
    except MemoryError as error:
        if debug:
            raise
        reason = sentence(error)
        typer.echo(f"truez: out of memory ({reason}): use larger cells or a smaller box", err=True)
        raise SystemExit(BAD_INPUT) from None
    except (ValueError, OSError) as error:
        if debug:
            raise
        typer.echo(f"truez: {name_options(sentence(error), options())}", err=True)
        raise SystemExit(BAD_INPUT) from None


@contextmanager
def notes(options: Callable[[], Mapping[str, str]] = dict) -> Iterator[None]:
    """Print each `Note` to stderr once, with the options of the command."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            text = f"truez: note: {name_options(str(message), options())}"
            if not issubclass(category, Note):
                others(message, category, *place, **more)
            elif text not in printed:
                printed.add(text)
                typer.echo(text, err=True)

        warnings.showwarning = show
        yield


def sentence(error: Exception) -> str:
    """The message of ``error`` on one line."""
    if hasattr(error, "errors"):  # a pydantic.ValidationError, without importing pydantic here
        return "; ".join(_setting(detail) for detail in error.errors())
    if isinstance(error, OSError) and error.errno is not None:
        place = "" if error.filename is None else f"{error.filename}: "
        if error.errno == errno.ENOSPC:
            return f"{place}the disk is full: free some space and run the command again"
        return f"{place}{(error.strerror or str(error)).lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def name_options(text: str, options: Mapping[str, str]) -> str:
    """A sentence with the parameters of a command written as its options.

    A name is a parameter

    - anywhere, if it has an underscore (``length_unit``), but not within quotes or a dotted name;
    - at the beginning of the sentence, if a colon follows it (``spec: ...``), or there or behind a
      semicolon, if "must", "need", a sign or a number follows it (``boxsize must be ...``,
      ``floor = 0.2 is ...``), or, for a method, its name;
    - behind a verb such as "give" or "leave" (``leave weights out``).

    Parameters
    ----------
    text : str
        The sentence of a library function.
    options : mapping of str to str
        The options by the names of their parameters: ``{"length_unit": "--length-unit"}``.
    """
    for phrase, name, replacement in PHRASES:
        if name in options:
            text = text.replace(phrase, replacement)
    for name, option in options.items():
        text = re.sub(rf"^{name}(?=: )", option, text)
        if "_" in name:
            text = re.sub(rf"(?<![\w./'\"-]){name}(?![\w/'\"-]|\.\w|=)", option, text)
        elif name not in ORDINARY:
            text = re.sub(
                rf"(?:^|(?<=; )){name}(?= must\b| needs?\b| =|:| of \d| -?\d)", option, text
            )
            text = re.sub(rf"\b((?:{_VERBS}) ){name}(?![\w/'\"-]|\.\w|=)", rf"\1{option}", text)
    if "method" in options:
        text = re.sub(rf"^method(?= ({'|'.join(METHODS)})\b)", options["method"], text)
    return text


def _setting(detail: dict[str, Any]) -> str:
    # pydantic writes our own ValueErrors as "Value error, ...".
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = ".".join(str(part) for part in detail["loc"])
    if isinstance(detail["input"], dict):  # the whole section, not a value
        return f"{name}: {message}" if name else message
    return f"{name}: {message}, not {detail['input']!r}" if name else message
