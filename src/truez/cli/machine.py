"""What this machine has left: memory and disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from truez.support.memory import available_memory as free_memory
from truez.support.memory import in_words

__all__ = ["free_disk", "free_memory", "in_words"]


def free_disk(path: Path) -> int:
    """Free space [bytes] where ``path`` would be written."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
