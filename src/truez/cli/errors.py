"""What the user sees when something is wrong: one sentence and an exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

#: Exit codes: bad input (the same as a usage error), and stopped by Ctrl-C (128 + SIGINT).
BAD_INPUT, INTERRUPTED = 2, 130


@contextmanager
def one_sentence(*, debug: bool = False) -> Iterator[None]:
    """Turn bad input into one sentence on stderr and exit code 2, Ctrl-C into exit code 130.

    Bad input is a `ValueError`, an `OSError` (no such file, no permission, a full disk) or more
    than the memory holds. Any
    other exception is a defect of truez and keeps its traceback.

    Parameters
    ----------
    debug : bool
        Show the traceback of bad input too.

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
        typer.echo(
            f"truez: out of memory ({reason}): take larger cells or less at a time", err=True
        )
        raise SystemExit(BAD_INPUT) from None
    except (ValueError, OSError) as error:
        if debug:
            raise
        typer.echo(f"truez: {sentence(error)}", err=True)
        raise SystemExit(BAD_INPUT) from None


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


def _setting(detail: dict[str, Any]) -> str:
    # pydantic writes our own ValueErrors as "Value error, ...".
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = ".".join(str(part) for part in detail["loc"])
    return f"{name}: {message}, not {detail['input']!r}" if name else message
