"""Work in stages: each writes its files, is skipped if they exist, and continues when interrupted.

A stage is up to date if its settings and the contents of the files of the stages before it have not
changed since it ran, and neither have its own files. `run_stages` records this in ``stages.json``,
a list of `Record` in the order in which the stages ended. An interrupted stage finds the files that
it left, and continues from them if it can; if its settings or what it depends on have changed in
the meantime, they are removed before it begins; a folder of a stage, such as that of a training, is
moved aside instead. A folder of a run has a mark, and files of others are not replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from truez import __version__
from truez.support.documents import DocumentError, listing, read_json, section
from truez.support.files import remove_partial, write_text
from truez.support.folders import refuse_foreign
from truez.support.progress import Progress, silent

RECORDS, INTERRUPTED = "stages.json", ".broken-off.json"
#: The file that shows that a folder is one of stages, and those of folders of earlier versions.
MARK, EARLIER = ".truez.json", (RECORDS, INTERRUPTED)
#: How often the time of a stage is written, in case it is interrupted [s].
NOTE_INTERVAL = 5.0


@dataclass(frozen=True)
class Need:
    """What a stage takes.

    Time [s], 0 where it is not known; memory at its peak, disk of the files that it leaves, and
    ``temporary`` disk that it takes besides until it ends [bytes]. The remedy is what to do where
    the memory is too small.
    """

    seconds: float
    memory: float
    disk: float
    remedy: str
    temporary: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One piece of work, which ``run`` does.

    It writes the files ``makes`` in the run's folder, reads those of the stages ``needs``, and its
    result depends on the plain values (JSON) of its ``settings`` as well. ``scratch`` are files
    that it writes in order to continue when interrupted; ``cost`` returns what it takes, without
    running it.
    """

    name: str
    run: Callable[[Progress], None]
    makes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()
    cost: Callable[[], Need] | None = None


class Output(BaseModel):
    """A file that a stage wrote: size [bytes], time of its last change [ns], hash."""

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
        return _hash_of({path: output.sha256 for path, output in self.outputs.items()})

    def is_unchanged(self, folder: Path) -> bool:
        """Whether all files exist and are the same."""
        return all(output.is_unchanged(folder / path) for path, output in self.outputs.items())


class Report(Protocol):
    """Called after each stage; ``ran`` is False for one that was skipped."""

    def __call__(self, name: str, record: Record, ran: bool) -> None:  # noqa: D102
        ...


class Kept(Protocol):
    """Called when a folder of a stage is moved aside."""

    def __call__(self, before: Path, after: Path) -> None:  # noqa: D102
        ...


def _not_said(before: Path, after: Path) -> None:
    """Say nothing."""


def _no_report(name: str, record: Record, ran: bool) -> None:
    """Report nothing."""


def run_stages(
    folder: str | Path,
    stages: Sequence[Stage],
    *,
    report: Report = _no_report,
    kept: Kept = _not_said,
    maker: str | None = None,
    progress: Progress = silent,
) -> list[Record]:
    """Run the stages that are not up to date, each after those that it needs.

    The folder is made if it does not exist. ``report`` is called after every stage, ``kept`` where
    a folder of a stage whose settings have changed is moved aside, and ``progress`` is passed to
    the stages that run; ``maker`` is the command that runs them. Returns the records of all the
    stages, in their order.

    Raises
    ------
    ValueError
        As `check_stages`.
    """
    folder = Path(folder)
    check_stages(folder, stages, maker=maker)
    mark_folder(folder, maker)
    done = {record.name: record for record in read_records(folder)}
    interrupted = _Interrupted(folder)
    for stage in stages:
        if _is_current(stage, done, folder):
            report(stage.name, done[stage.name], False)
            continue
        key = _key(stage, done)
        if not interrupted.has(stage.name, key):
            _remove(folder, (*stage.scratch, *stage.makes), kept)
        for path in (*stage.makes, *stage.scratch):
            remove_partial(folder / path)
        if done.pop(stage.name, None) is not None:
            _write_records(folder, done.values())
        interrupted.begin(stage.name, key)
        stage.run(interrupted.during(progress))
        seconds, memory = interrupted.read()
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
        interrupted.end(stage.name)
        report(stage.name, record, True)
    return [done[stage.name] for stage in stages]


def mark_folder(folder: Path, maker: str | None) -> None:
    """Make the folder of a run of ``maker``, whose first file says so."""
    if not (folder / MARK).exists():
        write_text(folder / MARK, json.dumps({"truez": __version__, "maker": maker}) + "\n")


def check_stages(
    folder: str | Path,
    stages: Sequence[Stage],
    *,
    maker: str | None = None,
    others: Sequence[str] = (),
) -> None:
    """Refuse the folder of another command, or one with files of others in the stages' places.

    ``others`` are files that the run writes beside those of its stages.

    Raises
    ------
    ValueError
    """
    other = _maker(Path(folder) / MARK)
    if None not in (other, maker) and other != maker:
        raise ValueError(
            f"{folder} is the folder of {other}, not of {maker}: choose another folder with out"
        )
    names = [name for stage in stages for name in (*stage.makes, *stage.scratch)]
    names += others
    refuse_foreign(folder, names, own=(MARK, *EARLIER), maker=maker or "truez")


def _maker(mark: Path) -> str | None:
    """The command of the mark of a folder, if it has one."""
    try:
        found = section(read_json(mark, remedy=""), str(mark), remedy="").get("maker")
    except (OSError, DocumentError):
        return None
    return found if isinstance(found, str) else None


def needs(stages: Sequence[Stage]) -> dict[str, Need]:
    """What each stage takes, by its name; stages without a cost are left out."""
    return {stage.name: stage.cost() for stage in stages if stage.cost is not None}


def up_to_date(folder: str | Path, stages: Sequence[Stage]) -> set[str]:
    """Names of the stages that `run_stages` would skip."""
    folder = Path(folder)
    done = {record.name: record for record in read_records(folder)}
    found: set[str] = set()
    for stage in stages:
        if found.issuperset(stage.needs) and _is_current(stage, done, folder):
            found.add(stage.name)
    return found


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


def _write_records(folder: Path, records: Iterable[Record]) -> None:
    content = [record.model_dump() for record in records]
    write_text(folder / RECORDS, json.dumps(content, indent=1) + "\n")


class _Interrupted:
    """The stages that began and did not end: their keys, and their time and memory so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / INTERRUPTED
        self.content: dict[str, dict[str, Any]] = {}
        with suppress(OSError, DocumentError):  # then no stage was interrupted
            known = section(read_json(self.path, remedy=""), str(self.path), remedy="")
            self.content = {name: entry for name, entry in known.items() if _is_begun(entry)}

    def has(self, name: str, key: str) -> bool:
        """Whether the stage was interrupted, with the same key."""
        return self.content.get(name, {}).get("key") == key

    def begin(self, name: str, key: str) -> None:
        """Measure a stage, from where it was interrupted."""
        if not self.has(name, key):
            self.content[name] = {"key": key, "seconds": 0.0, "peak_memory": 0}
        self.known, self.before = self.content[name], dict(self.content[name])
        _reset_peak_memory()
        self.started = self.written = time.monotonic()
        self.write()

    def read(self) -> tuple[float, int]:
        """Seconds of the stage that runs, and the largest memory [bytes], over all its parts."""
        seconds = self.before["seconds"] + time.monotonic() - self.started
        return seconds, max(self.before["peak_memory"], peak_memory())

    def during(self, progress: Progress) -> Progress:
        """The same progress, which also writes time and memory every few seconds."""

        def metered(task: str, done: int, total: int | None, note: str = "") -> None:
            if time.monotonic() - self.written > NOTE_INTERVAL:
                self.written = time.monotonic()
                self.known["seconds"], self.known["peak_memory"] = self.read()
                self.write()
            progress(task, done, total, note)

        return metered

    def end(self, name: str) -> None:
        """Remove the stage, which has ended."""
        self.content.pop(name)
        self.write()

    def write(self) -> None:
        if self.content:
            write_text(self.path, json.dumps(self.content))
        else:
            self.path.unlink(missing_ok=True)


def _is_begun(entry: Any) -> bool:
    """Whether an entry has what `_Interrupted` writes of a stage."""
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        return False
    numbers = (entry.get("seconds"), entry.get("peak_memory"))
    return all(isinstance(number, int | float) and number >= 0 for number in numbers)


def _is_current(stage: Stage, done: Mapping[str, Record], folder: Path) -> bool:
    known = done.get(stage.name)
    return known is not None and known.key == _key(stage, done) and known.is_unchanged(folder)


def _key(stage: Stage, done: Mapping[str, Record]) -> str:
    needs = {name: done[name].digest for name in stage.needs}
    return _hash_of({"stage": stage.name, "settings": stage.settings, "needs": needs})


def _hash_of(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path, paths: Iterable[str], kept: Kept) -> None:
    """Remove files; a folder, which may hold days of work and files of others, is moved aside."""
    for path in paths:
        target = folder / path
        if not target.is_dir():
            target.unlink(missing_ok=True)
        elif any(target.iterdir()):
            number = 1
            while os.path.lexists(aside := folder / f"{path}-{number}"):
                number += 1
            target.rename(aside)
            kept(target, aside)


def _reset_peak_memory() -> None:
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
