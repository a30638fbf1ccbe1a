"""The largest memory of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def reset_peak_memory() -> None:
    """Reset the system's record of the peak memory, where that is possible (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Largest memory of this process since the last reset [bytes]; 0 where it is not known."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    if os.name != "posix":
        return 0
    import resource
    import sys

    # In kilobytes on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
