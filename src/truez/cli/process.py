"""The process of a command: its signals, its streams, and the warnings of libraries.

Ctrl-C, SIGTERM and SIGHUP give one line on stderr, leave no temporary files, and exit with 130, 143
or 129. An exception cannot do that at any time: one that is raised while the interpreter calls a
destructor or a callback is printed and dropped, and the work goes on. The handler ends the process
itself. Only what every interpreter has loaded is imported, so that this works from the start.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from typing import Any

#: What the line says of each signal.
WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}

#: Variables of the environment that say how many threads a library takes.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Parameters of mallopt of glibc: no mapping of its own for large memory (M_MMAP_MAX), free memory
#: at the end of the heap is kept up to 2 GiB (M_TRIM_THRESHOLD), which grows by 64 MiB (M_TOP_PAD).
_MALLOPT = ((-4, 0), (-1, 2**31 - 1), (-2, 2**26))

#: What ends the writing of a process, where its module is loaded.
CLEANERS = {
    "truez.support.files": "stop_writing",
    "truez.support.folders": "release_locks",
}


def prepare_process() -> None:
    """Prepare the process that runs one command, before anything else is imported."""
    # Threads of OpenMP that wait for each other are to sleep: on a busy machine those that spin
    # take most of its time (G09 on two cores that others use: 130 s of them, or 20 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _catch_signals()
    keep_memory()
    for name in ("stdout", "stderr"):
        stream = _patient(getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    # -W and PYTHONWARNINGS ask for warnings, and --debug for all that there is to know.
    if not sys.warnoptions and "--debug" not in sys.argv:
        _quieten()


class _Patient(io.TextIOWrapper):
    """A stream on which nothing makes a command fail after its work.

    What its encoding lacks is replaced, and what nobody reads any more is dropped.
    """

    def write(self, text: str) -> int:
        """Write text, or drop it where the reader has gone."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left where the reader has gone."""
        try:
            super().flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        super().flush()


def _patient(stream: Any) -> Any:
    """The same stream as a `_Patient` one; for one that was closed, a stream to nowhere."""
    if stream is None:
        return _Patient(io.BufferedWriter(io.FileIO(os.devnull, "w")), "utf-8", "replace")
    if type(stream) is not io.TextIOWrapper:
        return stream
    encoding, by_line = stream.encoding, stream.line_buffering
    # Written through, because typer writes to the buffer below where the encoding is ASCII.
    return _Patient(stream.detach(), encoding, "replace", None, by_line, True)


def _catch_signals() -> None:
    """Let the signals of `WORDS` end this process, but those that its parent had it ignore."""
    for name in WORDS:
        number = getattr(signal, name, None)  # not every system has all of them
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def keep_memory() -> None:
    """Let the C library keep what is freed for the next mesh, where it can (glibc).

    By default each mesh is new memory of the system, which clears it page by page: a quarter to a
    third of the time of a network or a filter on one thread, at a peak that is up to 30% lower.
    `truez.support.memory.release_memory` still gives back what is free. Whoever sets the C library
    up in the environment (``MALLOC_...``, ``GLIBC_TUNABLES``) has chosen already.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    for parameter, value in _MALLOPT:
        mallopt(parameter, value)


def _quieten() -> None:
    """Keep what libraries write about themselves off stderr, where the sentence of an error is."""
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

    import logging

    logging.disable(logging.CRITICAL)


def check_threads() -> None:
    """Refuse numbers of threads in the environment that libraries would complain about later."""
    for name in THREADS:
        text = os.environ.get(name, "").strip()
        if text and not all(part.strip().isdigit() and int(part) for part in text.split(",")):
            raise ValueError(
                f"{name} must be a whole number of threads, not {text[:40]!r}: correct or unset it"
            )


def line(name: str) -> str:
    """The line for a signal."""
    return f"truez: {WORDS[name]}; no output file was left half written\n"


def _stop(number: int, _frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)
    text = line(signal.Signals(number).name)
    try:
        for name, function in CLEANERS.items():
            if name in sys.modules:
                getattr(sys.modules[name], function)()
        if sys.stderr.isatty():  # a progress bar may be there, which hides the cursor
            text = f"\r\x1b[2K\x1b[?25h{text}"
        os.write(2, text.encode())
        sys.stdout.flush()
    finally:
        # Whatever is wrong with the streams is no reason to go on.
        os._exit(128 + number)
