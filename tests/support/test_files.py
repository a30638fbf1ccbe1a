"""Files are whole or not there, and what killed processes left of them is removed."""

import os
import subprocess
import sys

import pytest

from truez.support import temporaries
from truez.support.files import atomic_folder, atomic_path, stop_writing, write_text
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


def test_an_error_of_the_system_names_the_target(tmp_path):
    target = tmp_path / "sub/a.txt"
    with pytest.raises(OSError, match="No space") as caught, atomic_path(target):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(target)
    with pytest.raises(OSError, match="No space") as caught, atomic_path(target) as new:
        raise OSError(28, "No space left on device", str(new))
    assert caught.value.filename == str(target)
    with pytest.raises(OSError, match="No space") as caught, atomic_folder(target, last="b") as new:
        write_text(new / "b", "")
        raise OSError(28, "No space left on device", str(new / "c/d.txt"))
    assert caught.value.filename == str(target / "c/d.txt")
    assert left(tmp_path / "sub") == []


def test_a_signal_when_the_file_is_made_leaves_nothing(tmp_path, monkeypatch):
    make = os.open

    def stopped(*arguments):
        handle = make(*arguments)
        stop_writing()
        assert left(tmp_path) == []
        return handle

    monkeypatch.setattr(os, "open", stopped)
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert left(tmp_path) == []


@pytest.mark.parametrize("fails", ["written", "closed"])
def test_a_full_disk_under_an_hdf5_file_is_an_error_and_no_crash(tmp_path, fails):
    # The library wrote again at its end, and Python ended with a segmentation fault.
    program = (
        "import os, sys\n"
        "import numpy as np\n"
        "from truez.support.files import atomic_path\n"
        "from truez.support.hdf5 import created\n"
        "with atomic_path(sys.argv[1]) as path, created(path) as file:\n"
        "    file['x'] = np.zeros(10)\n"
        "    os.dup2(os.open('/dev/full', os.O_RDWR), file.id.get_vfd_handle())\n"
        f"    if {fails!r} == 'written':\n"
        "        file['y'] = np.zeros(10_000_000)\n"
        "    file.attrs['z'] = 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.h5")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "\nOSError: [Errno 28] " in done.stderr
    assert done.stderr.endswith(f": '{tmp_path / 'a.h5'}'\n")
    assert left(tmp_path) == []
