"""Space on a disk, and the refusal of outputs that it cannot hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from truez.support.memory import in_words


def free_disk(path: str | Path) -> float:
    """Free space [bytes] where ``path`` would be written; infinite where the system knows none."""
    folder = Path(path).absolute()
    while not folder.is_dir():
        folder = folder.parent
    there = shutil.disk_usage(folder)
    return there.free if there.total else float("inf")


def check_disk(
    needed: float, path: str | Path, *, option: str = "out", more: str = "", less: str = ""
) -> None:
    """Refuse an output that needs more space than there is.

    Parameters
    ----------
    needed : float
        Space of the output that is not there yet [bytes].
    path : str or Path
        The output, which may not exist.
    option : str
        The argument that names it.
    more : str
        What is written besides, behind the name of the output.
    less : str
        What else would need less, at the end of the sentence.

    Raises
    ------
    ValueError
        With both sizes.
    """
    room = free_disk(path)
    if needed > room:
        raise ValueError(
            f"{path}{more} takes {in_words(needed)} of disk, and {in_words(room)} are free: free "
            f"some or choose another {option}{less}"
        )
