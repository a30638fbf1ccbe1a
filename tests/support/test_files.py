"""Files are whole or not there, and what killed processes left of them is removed."""

import os
import subprocess
import sys

import pytest

from truez.support import temporaries
from truez.support.files import atomic_path, write_text
from truez.support.temporaries import is_running, process_start

KILLED = """
import os, signal, sys
from truez.support.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a.h5", "a", "a.b.parquet", "[a]*.csv", f"{'long' * 50}.txt"])
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path, name):
    target = tmp_path / name
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert len(left(tmp_path)) == 1
    write_text(target, "whole")
    assert left(tmp_path) == [name]


def test_temporary_files_of_running_processes_and_other_files_are_kept(tmp_path):
    target = tmp_path / "a.txt"
    others = [".a-notes.txt", ".a-abcd1234.txt", ".a-b-000000-1-1-abcdefgh.txt", ".ab.txt"]
    for name in others:
        (tmp_path / name).write_text("mine")
    with atomic_path(target) as first, atomic_path(target) as second:
        first.write_text("1")
        second.write_text("2")
        third = tmp_path / first.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-").replace(
            f"-{process_start(os.getpid()) or 0}-", f"-{process_start(os.getppid()) or 0}-"
        )
        third.write_text("of a process that runs")
        write_text(target, "3")
        assert first.exists()
        assert second.exists()
        assert third.exists()
    assert left(tmp_path) == sorted([*others, third.name, "a.txt"])


def test_an_id_that_was_given_again_is_another_process(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_path(target) as temporary:
        pattern = temporary.name
    own, start = f"-{os.getpid()}-", process_start(os.getpid())
    assert start is not None
    assert own in pattern
    for pid, began in ((os.getpid(), start), (os.getpid(), start - 1), (os.getppid(), 1)):
        name = pattern.replace(f"{own}{start}-", f"-{pid}-{began}-")
        (tmp_path / name).write_text("half")
    write_text(target, "whole")
    assert left(tmp_path) == ["a.txt"]


def test_those_of_another_host_are_kept_for_a_day(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    monkeypatch.setattr(temporaries, "host_name", lambda: "abcdef")
    with atomic_path(target) as temporary:
        name = temporary.name
    monkeypatch.undo()
    found = tmp_path / name
    found.write_text("half")
    write_text(target, "whole")
    assert found.exists()
    day_before = found.stat().st_mtime - 25 * 3600
    os.utime(found, (day_before, day_before))
    write_text(target, "whole")
    assert not found.exists()


def test_a_process_runs_or_not():
    me = os.getpid()
    assert is_running(me, process_start(me) or 0)
    assert is_running(me, 0)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid, start = child.pid, process_start(child.pid)
        child.wait()
    assert not is_running(pid, start or 0)
    assert process_start(pid) is None
