"""What this machine has left: memory and disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Files of a control group, version 2 and 1: limit, use, and the name in memory.stat of what the
# system caches of files and releases when memory is needed.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(root: Path = Path("/")) -> int:
    """Memory [bytes] that this process can still take before the system ends it.

    On Linux the least of what the machine has available and of what the process's control groups
    (containers, batch jobs) leave it; elsewhere all of the machine's memory.

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
    return max(min(free), 0)


def free_disk(path: Path) -> int:
    """Free space [bytes] where ``path`` would be written."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def in_words(size: float) -> str:
    """Bytes for a person: ``12 MB``, ``3.4 GB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / 1e9:.0f} GB"
    return f"{size / 1e3:.3g} kB"


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
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) > 1}
