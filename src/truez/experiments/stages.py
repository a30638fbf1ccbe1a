"""Work in stages: each writes its files, is skipped when they stand, and goes on after a break.

A stage stands if its settings, and the contents of the files that the stages before it wrote, are
what they were, and its own files are what it wrote. `run_stages` keeps the account of that in
``stages.json``, a list of `Record` in the order in which the stages ended. A stage that was broken
off finds the files that it left, and goes on from them if it can; where its settings or what it
depends on have changed in the meantime, they are removed before it begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from truez.support.files import write_text
from truez.support.progress import Progress, silent

RECORDS, BROKEN_OFF = "stages.json", ".broken-off.json"
#: How often the time of a stage is noted, for the case that it is broken off [s].
NOTE_INTERVAL = 5.0


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Parameters
    ----------
    name : str
    run : function of a Progress
        Does the work.
    makes : tuple of str
        The files that it writes, in the run's folder.
    needs : tuple of str
        Names of the stages whose files it reads.
    settings : mapping
        Plain values (JSON) that its result depends on besides.
    scratch : tuple of str
        Files that it keeps on the way, to go on from.
    """

    name: str
    run: Callable[[Progress], None]
    makes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()


class Output(BaseModel):
    """A file as a stage left it: size [bytes], time of its last change [ns], hash of it."""

    model_config = ConfigDict(frozen=True)

    size: int
    changed: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Output:
        """The file as it is."""
        there = path.stat()
        return cls(size=there.st_size, changed=there.st_mtime_ns, sha256=_hash(path))

    def stands(self, path: Path) -> bool:
        """Whether the file is there and unchanged; its content counts where its time differs."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return path.stat().st_mtime_ns == self.changed or _hash(path) == self.sha256


class Record(BaseModel):
    """A stage that was done.

    Parameters
    ----------
    name, key : str
        The key is a hash of all that the result depends on.
    seconds : float
        Time of all parts of its run; of one that was killed, up to the last note.
    peak_memory : int
        Largest memory of the process meanwhile, the interpreter's included [bytes].
    finished : str
        Date and time (UTC).
    outputs : dict of path to Output
        The files, in the run's folder.
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
        """A hash of what the files hold."""
        contents = {path: output.sha256 for path, output in self.outputs.items()}
        return _hash_of(contents)

    def stands(self, folder: Path) -> bool:
        """Whether all files are there and unchanged."""
        return all(output.stands(folder / path) for path, output in self.outputs.items())


class Tell(Protocol):
    """Called as ``tell(name, record, again)`` when a stage is done.

    ``again`` says whether it was done now; otherwise it stood.
    """

    def __call__(self, name: str, record: Record, again: bool) -> None:  # noqa: D102
        ...


def _tell_nobody(name: str, record: Record, again: bool) -> None:
    """Tell nobody."""


def run_stages(
    folder: str | Path,
    stages: Sequence[Stage],
    *,
    tell: Tell = _tell_nobody,
    progress: Progress = silent,
) -> list[Record]:
    """Do the stages that do not stand, in their order.

    Parameters
    ----------
    folder : path
        Of the run; made if it does not exist.
    stages : sequence of Stage
        Each after those that it needs.
    tell, progress
        Told of every stage, and handed to those that run.

    Returns
    -------
    list of Record
        Of all the stages, in their order.

    Raises
    ------
    ValueError
        If ``stages.json`` is not one, or as a stage does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = {record.name: record for record in read_records(folder)}
    broken_off = _BrokenOff(folder)
    for stage in stages:
        key = _key(stage, done)
        known = done.get(stage.name)
        if known is not None and known.key == key and known.stands(folder):
            tell(stage.name, known, False)
            continue
        if not broken_off.knows(stage.name, key):
            _remove(folder, (*stage.makes, *stage.scratch))
        _remove_halves(folder, (*stage.makes, *stage.scratch))
        if done.pop(stage.name, None) is not None:
            _write_records(folder, done.values())
        watch = broken_off.begin(stage.name, key)
        stage.run(watch.seen_by(progress))
        seconds, memory = watch.so_far()
        record = Record(
            name=stage.name,
            key=key,
            seconds=seconds,
            peak_memory=memory,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            outputs={path: Output.of(folder / path) for path in stage.makes},
        )
        done[stage.name] = record
        _write_records(folder, done.values())
        broken_off.end(stage.name)
        tell(stage.name, record, True)
    return [done[stage.name] for stage in stages]


def standing(folder: str | Path, stages: Sequence[Stage]) -> set[str]:
    """Names of the stages that `run_stages` would skip."""
    folder = Path(folder)
    done = {record.name: record for record in read_records(folder)}
    found: set[str] = set()
    for stage in stages:
        known = done.get(stage.name)
        if (
            known is not None
            and found.issuperset(stage.needs)
            and known.key == _key(stage, done)
            and known.stands(folder)
        ):
            found.add(stage.name)
    return found


def read_records(folder: str | Path) -> list[Record]:
    """The stages that were done in a folder; none if it holds no ``stages.json``.

    Raises
    ------
    ValueError
        If that file is damaged.
    """
    path = Path(folder) / RECORDS
    if not path.is_file():
        return []
    try:
        return TypeAdapter(list[Record]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(
            f"{path} is no account of stages that truez wrote: remove it, and all of them are done "
            "again"
        ) from error


def _write_records(folder: Path, records: Iterable[Record]) -> None:
    content = [record.model_dump() for record in records]
    write_text(folder / RECORDS, json.dumps(content, indent=1) + "\n")


class _BrokenOff:
    """The stages that began and did not end: their keys, and what they have taken so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BROKEN_OFF
        try:
            self.content: dict[str, dict[str, Any]] = dict(json.loads(self.path.read_bytes()))
        except (OSError, ValueError):
            self.content = {}

    def knows(self, name: str, key: str) -> bool:
        """Whether the stage was broken off as it would be done now."""
        return self.content.get(name, {}).get("key") == key

    def begin(self, name: str, key: str) -> _Watch:
        """A watch that goes on from where the stage was broken off."""
        if not self.knows(name, key):
            self.content[name] = {"key": key, "seconds": 0.0, "peak_memory": 0}
        known = self.content[name]
        watch = _Watch(self, known, known["seconds"], known["peak_memory"])
        self.write()
        return watch

    def end(self, name: str) -> None:
        """Forget the stage."""
        self.content.pop(name)
        self.write()

    def write(self) -> None:
        if self.content:
            write_text(self.path, json.dumps(self.content))
        else:
            self.path.unlink(missing_ok=True)


class _Watch:
    """Time and memory of a stage, over all parts of its run; noted every few seconds."""

    def __init__(
        self, account: _BrokenOff, known: dict[str, Any], seconds: float, memory: int
    ) -> None:
        self.account, self.known = account, known
        self.seconds, self.memory = seconds, memory
        _reset_peak_memory()
        self.started = self.noted = time.monotonic()

    def so_far(self) -> tuple[float, int]:
        """Seconds, and the largest memory [bytes]."""
        seconds = self.seconds + time.monotonic() - self.started
        return seconds, max(self.memory, peak_memory())

    def seen_by(self, progress: Progress) -> Progress:
        """The same progress, looked at."""

        def watched(task: str, done: int, total: int | None, note: str = "") -> None:
            if time.monotonic() - self.noted > NOTE_INTERVAL:
                self.noted = time.monotonic()
                self.known["seconds"], self.known["peak_memory"] = self.so_far()
                self.account.write()
            progress(task, done, total, note)

        return watched


def _key(stage: Stage, done: Mapping[str, Record]) -> str:
    needs = {name: done[name].digest for name in stage.needs}
    # Through JSON, as the account keeps it: tuples are lists there.
    return _hash_of({"stage": stage.name, "settings": stage.settings, "needs": needs})


def _hash_of(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        target = folder / path
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _remove_halves(folder: Path, paths: Iterable[str]) -> None:
    """Remove what a killed process was writing, see `truez.support.files.atomic_path`."""
    for path in paths:
        target = folder / path
        for half in target.parent.glob(f".{target.stem}-????????{target.suffix}"):
            half.unlink()


def _reset_peak_memory() -> None:
    """Let the system forget the largest memory so far, where it can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Largest memory of this process since the last reset [bytes]; 0 where nothing tells it."""
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
