"""Work in stages: each writes its files, is skipped if they exist, and continues when interrupted.

A stage is up to date if its settings and the contents of the files of the stages before it have not
changed since it ran, and neither have its own files. `run_stages` records this in ``stages.json``,
a list of `Record` in the order in which the stages ended. An interrupted stage finds the files that
it left, and continues from them if it can; if its settings or what it depends on have changed in
the meantime, they are removed before it begins; a folder of a stage, such as that of a training, is
moved aside instead, and so is a file that the stage has not written. A folder of a run has a mark,
and files of others are not replaced.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from truez import __version__
from truez.experiments.records import (
    RECORDS,
    Output,
    Record,
    hash_of,
    read_records,
    write_records,
)
from truez.support.documents import DocumentError, read_json, section
from truez.support.files import told_before_moves, write_text
from truez.support.folders import is_of_another, refuse_foreign
from truez.support.memory import peak_memory, reset_peak_memory
from truez.support.progress import Progress, silent
from truez.support.temporaries import remove_all_partial

INTERRUPTED = ".broken-off.json"
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


class Report(Protocol):
    """Called after each stage; ``ran`` is False for one that was skipped."""

    def __call__(self, name: str, record: Record, ran: bool) -> None:  # noqa: D102
        ...


class Kept(Protocol):
    """Called when a folder of a stage, or a file that it has not written, is moved aside."""

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
        As `check_stages`, and if a file of a stage is removed or changed by others meanwhile.
    """
    folder = Path(folder)
    check_stages(folder, stages, maker=maker)
    mark_folder(folder, maker)
    remove_all_partial(folder)
    # Where the records were removed, nobody knows which of the files are those of stages.
    interrupted = _Interrupted(folder)
    is_known = (folder / RECORDS).is_file() or bool(interrupted.content)
    done = {record.name: record for record in read_records(folder)}
    for stage in stages:
        if _is_current(stage, done, folder):
            interrupted.end(stage.name)
            report(stage.name, done[stage.name], False)
            continue
        key = _key(stage, done)
        written = interrupted.files(stage.name)
        if interrupted.has(stage.name, key):
            _remove(folder, _unknown(folder, stage, written), {}, kept)
        else:
            written = {**(done[stage.name].outputs if stage.name in done else {}), **written}
            paths = (*stage.scratch, *stage.makes)
            _remove(folder, paths, written if is_known else None, kept)
        interrupted.begin(stage.name, key)
        if done.pop(stage.name, None) is not None:
            write_records(folder, done.values())
        with interrupted.watch(_files_of(stage)):
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
        write_records(folder, done.values())
        interrupted.end(stage.name)
        report(stage.name, record, True)
    if not (folder / MARK).exists():
        raise ValueError(f"{folder} was removed while the run went on: run the command again")
    for stage in stages:
        for path, output in done[stage.name].outputs.items():
            if not output.is_unchanged(folder / path):
                raise ValueError(
                    f"{folder / path} was removed or changed while the run went on: run the "
                    "command again"
                )
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
    mark = _read_mark(Path(folder) / MARK)
    other = None if mark is None else mark.get("maker")
    if None not in (other, maker) and other != maker:
        raise ValueError(
            f"{folder} is the folder of {other}, not of {maker}: choose another folder with out"
        )
    names = [*files_of(stages), *others, MARK]
    own = EARLIER if mark is None else (MARK, *EARLIER)
    refuse_foreign(folder, names, own=own, maker=maker or "truez")


def files_of(stages: Sequence[Stage]) -> list[str]:
    """Paths of all files of stages in the folder of their run."""
    return [name for stage in stages for name in (*stage.makes, *stage.scratch)]


def _read_mark(path: Path) -> Mapping[str, Any] | None:
    """What the mark of a folder says; None if it has none, or one that truez has not written."""
    try:
        found = section(read_json(path, remedy=""), str(path), remedy="")
    except (OSError, DocumentError):
        return None
    return found if "truez" in found else None


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


class _Interrupted:
    """The stages that began and did not end: their keys, time and memory so far, and files."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / INTERRUPTED
        self.content: dict[str, dict[str, Any]] = {}
        with suppress(OSError, DocumentError):  # then no stage was interrupted
            known = section(read_json(self.path, remedy=""), str(self.path), remedy="")
            self.content = {name: entry for name, entry in known.items() if _is_begun(entry)}

    def has(self, name: str, key: str) -> bool:
        """Whether the stage was interrupted, with the same key."""
        return name in self.content and self.content[name]["key"] == key

    def files(self, name: str) -> dict[str, Output]:
        """The files that an interrupted stage wrote, by their paths in the run's folder."""
        known = self.content.get(name, {}).get("written", {})
        return {path: Output(**output, sha256="") for path, output in known.items()}

    def begin(self, name: str, key: str) -> None:
        """Measure a stage, from where it was interrupted."""
        if not self.has(name, key):
            self.content[name] = {"key": key, "seconds": 0.0, "peak_memory": 0, "written": {}}
        self.known, self.before = self.content[name], dict(self.content[name])
        self.known.setdefault("written", {})
        reset_peak_memory()
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

    @contextmanager
    def watch(self, paths: Sequence[str]) -> Iterator[None]:
        """Note each of the files of the stage that runs before it is moved into place."""
        places = {(self.path.parent / path).absolute(): path for path in paths}

        def tell(target: Path, temporary: Path) -> None:
            path = places.get(target.absolute())
            if path is not None:
                there = temporary.stat()
                known = {"size": there.st_size, "changed": there.st_mtime_ns}
                self.known["written"][path] = known
                self.write()

        with told_before_moves(tell):
            yield

    def end(self, name: str) -> None:
        """Remove the stage, which has ended."""
        if self.content.pop(name, None) is not None:
            self.write()

    def write(self) -> None:
        """Write what is known, so that a run that is killed here goes on with it."""
        if self.content:
            write_text(self.path, json.dumps(self.content))
        else:
            self.path.unlink(missing_ok=True)


def _is_begun(entry: Any) -> bool:
    """Whether an entry has what `_Interrupted` writes of a stage."""
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        return False
    written = entry.get("written", {})  # which earlier versions did not note
    if not isinstance(written, dict):
        return False
    try:
        for output in written.values():
            Output(**output, sha256="")
    except (TypeError, ValidationError):
        return False
    numbers = (entry.get("seconds"), entry.get("peak_memory"))
    return all(isinstance(number, int | float) and number >= 0 for number in numbers)


def _is_current(stage: Stage, done: Mapping[str, Record], folder: Path) -> bool:
    known = done.get(stage.name)
    return known is not None and known.key == _key(stage, done) and known.is_unchanged(folder)


def _key(stage: Stage, done: Mapping[str, Record]) -> str:
    needs = {name: done[name].digest for name in stage.needs}
    return hash_of({"stage": stage.name, "settings": stage.settings, "needs": needs})


def _files_of(stage: Stage) -> list[str]:
    """The files that a stage writes, but those in a folder of its own, which it knows itself."""
    names = [*stage.scratch, *stage.makes]
    return [n for n in names if not any(str(around) in names for around in Path(n).parents)]


def _unknown(folder: Path, stage: Stage, written: Mapping[str, Output]) -> list[str]:
    """The files in the places of an interrupted stage's that it has not ``written``."""
    return [
        path
        for path in _files_of(stage)
        if path in stage.makes
        and (folder / path).is_file()
        and not (path in written and written[path].is_unchanged(folder / path))
    ]


def _remove(
    folder: Path, paths: Iterable[str], written: Mapping[str, Output] | None, kept: Kept
) -> None:
    """Remove files of a stage, of which ``written`` are known as they were; all of them if None.

    What is not known, and a folder, which may hold days of work, are moved aside.
    """
    for path in paths:
        target = folder / path
        if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
            continue
        is_own = written is None or (path in written and written[path].is_unchanged(target))
        if is_own and not target.is_dir() and not is_of_another(target):
            target.unlink()
            continue
        number = 1
        while os.path.lexists(aside := target.with_name(f"{target.stem}-{number}{target.suffix}")):
            number += 1
        target.rename(aside)
        kept(target, aside)
