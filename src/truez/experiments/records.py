"""The records of the stages that have run in a folder, and of the files that they wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from truez.support.documents import listing, read_json
from truez.support.files import write_text

RECORDS = "stages.json"


class Output(BaseModel):
    """A file that a stage wrote: size [bytes], time of its last change [ns], hash.

    The hash of a file of a stage that has not ended is empty.
    """

    model_config = ConfigDict(frozen=True)

    size: int
    changed: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Output:
        """The size, time and hash of a file."""
        there = path.stat()
        return cls(size=there.st_size, changed=there.st_mtime_ns, sha256=file_hash(path))

    def is_unchanged(self, path: Path) -> bool:
        """Whether the file exists and is the same; if its time differs, its content decides."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return path.stat().st_mtime_ns == self.changed or file_hash(path) == self.sha256


class Record(BaseModel):
    """A stage that has run.

    The key is a hash of all that the result depends on. ``seconds`` is the time of all parts of its
    run, of which one that was killed counts up to the last time written; ``peak_memory`` the
    largest memory of the process during the run, the interpreter's included [bytes]; ``finished`` a
    date and time (UTC); ``outputs`` are the files that it wrote, by their paths in the run's
    folder.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    key: str
    seconds: float
    peak_memory: int
    finished: str
    outputs: dict[str, Output]

    @property
    def digest(self) -> str:
        """A hash of the contents of the files."""
        return hash_of({path: output.sha256 for path, output in self.outputs.items()})

    def is_unchanged(self, folder: Path) -> bool:
        """Whether all files exist and are the same."""
        return all(output.is_unchanged(folder / path) for path, output in self.outputs.items())


def read_records(folder: str | Path) -> list[Record]:
    """The stages that have run in a folder; none if it has no ``stages.json``."""
    path = Path(folder) / RECORDS
    if not path.is_file():
        return []
    remedy = "remove it, and all stages run again"
    content = listing(read_json(path, remedy=remedy), str(path), remedy=remedy)
    try:
        return TypeAdapter(list[Record]).validate_python(content)
    except ValidationError as error:
        raise ValueError(f"{path} is not a list of stages that truez wrote: {remedy}") from error


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Write the records of a folder."""
    content = [record.model_dump() for record in records]
    write_text(folder / RECORDS, json.dumps(content, indent=1) + "\n")


def hash_of(content: Any) -> str:
    """SHA-256 of plain values."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
