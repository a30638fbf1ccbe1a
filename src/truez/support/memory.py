"""Memory that this process can still take, the refusal of work that needs more, and its peak."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

# Files of a control group, version 2 and 1: limit, use, and the name in memory.stat of what the
# system caches of files and releases when memory is needed.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# Limits of a process (ulimit -v and -d), and what it has taken of each by /proc/self/status.
_PROCESS_LIMITS = (("RLIMIT_AS", "VmSize:"), ("RLIMIT_DATA", "VmData:"))


def available_memory(root: Path = Path("/")) -> int:
    """Memory [bytes] that this process can still take before it is refused or ended.

    On Linux the least of what the machine has available, of what the process's control groups
    (containers, batch jobs) leave it, and of its own limits (``ulimit -v``); elsewhere all of the
    machine's memory.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found.
    """
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in meminfo:
        free.append(1024 * meminfo["MemAvailable:"])
    for folder in _groups(root):
        for limit, use, cached in _GROUP_FILES:
            try:
                most = int((folder / limit).read_text())
                taken = int((folder / use).read_text())
            except (OSError, ValueError):  # no such group, or its limit is "max"
                continue
            free.append(most - taken + _numbers(folder / "memory.stat").get(cached, 0))
    free += _left_by_limits(root)
    return max(min(free), 0)


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse work that needs more memory than this process can take.

    Parameters
    ----------
    needed : float
        Memory [bytes].
    what : str
        The subject of the sentence, such as ``a mesh of 4096^3 cells``.
    remedy : str
        Its end: what to do instead.

    Raises
    ------
    ValueError
        With both sizes.
    """
    free = available_memory()
    if needed > free:
        raise ValueError(
            f"{what} needs {in_words(needed)} of memory, and {in_words(free)} are free: {remedy}"
        )


def in_words(size: float) -> str:
    """Bytes for a person: ``12 MB``, ``3.4 GB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / 1e9:.0f} GB"
    return f"{size / 1e3:.3g} kB"


def release_memory() -> None:
    """Give memory that is free back to the system, where the C library can (glibc).

    Between meshes of many sizes it keeps so much that a long run would take several times what is
    in use.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def release_garbage() -> None:
    """Collect what refers to itself, and give back all that is free, also by Arrow.

    For after a long task whose objects are gone: it takes a tenth of a second or more.
    """
    gc.collect()
    if (arrow := sys.modules.get("pyarrow")) is not None:
        arrow.default_memory_pool().release_unused()
    release_memory()


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

    # In kilobytes on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _left_by_limits(root: Path) -> list[int]:
    """What the limits of this process leave it [bytes], where it has some and the system counts."""
    taken = _numbers(root / "proc/self/status")
    if not taken:
        return []
    import resource  # which only systems with limits have

    left = []
    for limit, use in _PROCESS_LIMITS:
        most, _ = resource.getrlimit(getattr(resource, limit))
        if most != resource.RLIM_INFINITY:
            left.append(most - 1024 * taken.get(use, 0))
    return left


def _groups(root: Path) -> list[Path]:
    """Folders of the process's control groups and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        inner = top / place.lstrip("/")
        # In a container its own group is at the top, whatever its path outside.
        found += [inner, *(p for p in inner.parents if p.is_relative_to(top))]
    return found


def _numbers(path: Path) -> dict[str, int]:
    """The first number behind each name of a file of such lines."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in words if len(pair) > 1 and pair[1].isdecimal()}
