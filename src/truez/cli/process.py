"""The process of a command: its signals, its streams, and the warnings of libraries.

Ctrl-C, SIGTERM and SIGHUP give one line on stderr, leave no temporary files, and exit with 130, 143
or 129. An exception cannot do that at any time: one that is raised while the interpreter calls a
destructor or a callback is printed and dropped, and the work goes on. The handler ends the process
itself. Only what every interpreter has loaded is imported, so that this works from the start.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Any

#: What the line says of each signal.
WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}

#: What ends the writing of a process, where its module is loaded.
CLEANERS = {
    "truez.support.files": "stop_writing",
    "truez.support.folders": "release_locks",
}


def prepare_process() -> None:
    """Prepare the process that runs one command, before anything else is imported."""
    _catch_signals()
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show is no reason to fail after the work.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # -W and PYTHONWARNINGS ask for warnings, and --debug for all that there is to know.
    if not sys.warnoptions and "--debug" not in sys.argv:
        _quieten()


def _catch_signals() -> None:
    """Let the signals of `WORDS` end this process, but those that its parent had it ignore."""
    for name in WORDS:
        number = getattr(signal, name, None)  # not every system has all of them
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _quieten() -> None:
    """Keep what libraries write about themselves off stderr, where the sentence of an error is."""
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

    import logging

    logging.disable(logging.CRITICAL)


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
