"""The names in the folder of a run, and the small files in it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truez.support.documents import DocumentError, read_json, section
from truez.support.files import write_text
from truez.support.folders import is_of_another

#: What is done, and what ``run.json`` says of itself.
FILE, KIND = "run.json", "truez run 1"
#: The folders in a run.
FIRST, FIELDS, REDSHIFTS, PATCHES, FAILED = "first", "fields", "redshifts", "patches", "failed"
PDFS = "pdfs"
SETTLED = "settled.json"
#: All that a run writes, beside `FILE`.
NAMES = (SETTLED, FIRST, FIELDS, REDSHIFTS, PDFS, PATCHES, FAILED)
_AGAIN = "remove it and run truez run with the same --out again"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def plan(self) -> Path:
        """File of what is done."""
        return self.path / FILE

    @property
    def settled(self) -> Path:
        """File of what all patches share."""
        return self.path / SETTLED

    def part(self, name: str, number: int) -> Path:
        """File of what a patch has to say of something that all patches share."""
        return self.path / FIRST / f"{name}-{number:05d}.npz"

    def fit(self, name: str, shell: int) -> Path:
        """File of what the parts of the patches of a shell settle."""
        return self.path / FIRST / f"{name}-of-shell-{shell:05d}.json"

    def field(self, number: int) -> Path:
        """File of the field of a patch."""
        return self.path / FIELDS / f"patch-{number:05d}.h5"

    def redshifts(self, number: int) -> Path:
        """File of the redshifts of a patch."""
        return self.path / REDSHIFTS / f"patch-{number:05d}.parquet"

    def pdfs(self, number: int) -> Path:
        """File of the p(z) of a patch, in the order of its redshifts."""
        return self.path / PDFS / f"patch-{number:05d}.parquet"

    def record(self, number: int) -> Path:
        """File that says that a patch is whole, and what was found in it."""
        return self.path / PATCHES / f"patch-{number:05d}.json"

    def failure(self, number: int) -> Path:
        """File of the reason why a patch has failed."""
        return self.path / FAILED / f"patch-{number:05d}.json"

    def read_record(self, number: int) -> dict[str, Any]:
        """What was found in a patch."""
        path = self.record(number)
        keys = ("about", "mean", "seconds", "memory")
        return section(read_json(path, remedy=_AGAIN), str(path), keys=keys, remedy=_AGAIN)

    def write_record(self, number: int, about: Mapping[str, Any]) -> None:
        """Write that a patch is whole, and that it has not failed."""
        write_text(self.record(number), json.dumps(about))
        self.failure(number).unlink(missing_ok=True)

    def is_begun(self) -> bool:
        """Whether there is a run, that another program has not put there meanwhile."""
        return self.plan.is_file() and not is_of_another(self.plan)

    def is_whole(self, number: int) -> bool:
        """Whether a patch has been made."""
        path = self.record(number)
        return path.is_file() and not is_of_another(path)

    def write_failure(self, number: int, reason: str) -> None:
        """Write why a patch has failed, where the disk has room for it."""
        with suppress(OSError, ValueError):
            write_text(self.failure(number), json.dumps({"reason": reason}))

    def read_failure(self, number: int) -> str | None:
        """Why a patch has failed, None if it has not or nobody knows."""
        with suppress(OSError, DocumentError):
            found = read_json(self.failure(number), remedy=_AGAIN)
            return str(section(found, "", keys=("reason",), remedy=_AGAIN)["reason"])
        return None


@dataclass(frozen=True)
class Outcome:
    """How the work on one patch has ended.

    Parameters
    ----------
    number : int
        Of the patch.
    error : str, optional
        Why it has failed.
    is_full : bool
        Whether the disk was full.
    is_data : bool
        Whether it is for what the galaxies of the patch are.
    is_system : bool
        Whether it is for what the machine is: its files, or its memory.
    """

    number: int
    error: str | None = None
    is_full: bool = False
    is_data: bool = False
    is_system: bool = False

    @classmethod
    def of_error(cls, number: int, error: BaseException) -> Outcome:
        """That of an exception."""
        if isinstance(error, OSError) and error.errno is not None:
            place = "" if error.filename is None else f"{error.filename}: "
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            words = "the disk is full" if full else (error.strerror or str(error)).lower()
            return cls(number, f"{place}{words}", full, is_system=True)
        text = " ".join(str(error).split()) or type(error).__name__
        known = isinstance(error, ValueError | OSError)
        return cls(
            number,
            text if known else f"{type(error).__name__}: {text}",
            is_data=isinstance(error, ValueError),
            is_system=isinstance(error, OSError),
        )

    @property
    def kind(self) -> type[Exception]:
        """The exception that a failure is raised as."""
        return ValueError if self.is_data else OSError if self.is_system else RuntimeError

    def raise_full(self) -> None:
        """Raise an OSError if the disk was full: no other patch fares better."""
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.error).split(": ")[0])
