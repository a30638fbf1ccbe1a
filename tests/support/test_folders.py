"""Files of others are not replaced, results are replaced whole, and one run writes at a time."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from truez.support import folders, temporaries
from truez.support.files import atomic_folder, atomic_path, end_moves, stop_writing, write_text
from truez.support.folders import is_of_another, lock, refuse_foreign, release_locks, remember

HOLDER = """
import signal, sys, time
from truez.support.folders import lock
lock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def released():
    yield
    release_locks()


class Holder:
    """Another process that writes ``target``."""

    def __init__(self, target):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(target)], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        assert self.process.stdout.readline() == "held\n"
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class TestLock:
    @pytest.mark.parametrize("name", ["out", "a/b/out", "there", "there/f.h5", "."])
    def test_two_processes_do_not_write_one_target(self, tmp_path, name):
        (tmp_path / "there").mkdir()
        target = tmp_path / name
        with Holder(target) as other:
            words = rf"another truez \(process {other.pid}, since 20\d\d-.*\): wait for its end, or"
            with pytest.raises(ValueError, match=words):
                lock(target)
            if target.parent != tmp_path.parent:
                (target if not target.suffix else target.parent).mkdir(parents=True, exist_ok=True)
                with pytest.raises(ValueError, match=words):
                    lock(target)  # the place of a new lock is another one now
            lock(tmp_path / "another")
        lock(target)  # that of a killed process has ended
        release_locks()
        assert tree(tmp_path) == {}

    def test_the_same_process_may_ask_twice(self, tmp_path):
        lock(tmp_path / "a")
        lock(tmp_path / "a")

    def test_where_nothing_can_be_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(13, "Denied")))
        with pytest.raises(PermissionError) as caught:
            lock(tmp_path / "a.h5")
        assert caught.value.filename == str(tmp_path / "a.h5")

    def test_a_link_is_the_folder_that_it_leads_to(self, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to("there")
        with Holder(tmp_path / "there"), pytest.raises(ValueError, match="another truez"):
            lock(tmp_path / "link")

    def test_a_link_in_the_place_of_a_lock_is_not_followed(self, tmp_path):
        lock(tmp_path / "a")
        (own,) = tmp_path.iterdir()
        release_locks()
        (tmp_path / "notes.txt").write_text("mine")
        own.symlink_to(tmp_path / "notes.txt")
        with pytest.raises(OSError, match="symbolic links") as caught:
            lock(tmp_path / "a")
        assert caught.value.filename == str(tmp_path / "a")
        assert (tmp_path / "notes.txt").read_text() == "mine"


class TestWithoutLocks:
    """On a file system without locks the files say who holds them."""

    @pytest.fixture(autouse=True)
    def without(self, monkeypatch):
        def refuse(handle, how):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(folders.fcntl, "flock", refuse)

    def test_a_process_that_runs_is_refused_and_one_that_ended_is_not(self, tmp_path):
        with (
            Holder(tmp_path / "a") as other,
            pytest.raises(ValueError, match=rf"another truez \(process {other.pid}, since 20"),
        ):
            lock(tmp_path / "a")
        lock(tmp_path / "a")
        lock(tmp_path / "a")
        release_locks()
        assert tree(tmp_path) == {}

    def test_one_of_another_machine_is_refused_for_a_day(self, tmp_path, monkeypatch):
        lock(tmp_path / "a")
        (own,) = tmp_path.iterdir()
        owner = json.loads(own.read_text())
        release_locks()
        own.write_text(json.dumps({**owner, "host": "abcdef", "process": 1}))
        with pytest.raises(ValueError, match="another truez"):
            lock(tmp_path / "a")
        day_before = own.stat().st_mtime - 25 * 3600
        os.utime(own, (day_before, day_before))
        lock(tmp_path / "a")


class TestForeign:
    @pytest.mark.parametrize("name", ["a.txt", "sub"])
    def test_files_of_others_are_refused(self, tmp_path, name):
        (tmp_path / "sub").mkdir()
        (tmp_path / ("sub/notes.txt" if name == "sub" else name)).write_text("mine")
        with pytest.raises(ValueError, match=rf"{name} was not written by truez x and would be"):
            refuse_foreign(tmp_path, ["a.txt", "sub"], own=["whole"], maker="truez x")
        (tmp_path / "whole").write_text("")
        refuse_foreign(tmp_path, ["a.txt", "sub"], own=["whole"], maker="truez x")

    def test_other_names_empty_folders_and_new_ones_are_not(self, tmp_path):
        (tmp_path / "sub").mkdir()
        (tmp_path / "notes.txt").write_text("mine")
        for folder in (tmp_path, tmp_path / "new"):
            refuse_foreign(folder, ["a.txt", "sub"], own=["whole"], maker="truez x")

    def test_links_that_lead_nowhere_are_files_too(self, tmp_path):
        (tmp_path / "a.txt").symlink_to("nowhere")
        with pytest.raises(ValueError, match=r"a\.txt was not written"):
            refuse_foreign(tmp_path, ["a.txt"], own=["whole"], maker="truez x")

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(ValueError, match=r"out is a file: choose a folder with out"):
            refuse_foreign(tmp_path / "out", ["a.txt"], own=["whole"], maker="truez x")


def write(target, text, *, stop=None):
    with atomic_folder(target, last="whole") as new:
        for name in ("whole", "sub/a.txt", "b.txt"):
            write_text(new / name, text)
            if stop is not None and name != "whole":
                stop()


class TestNewcomers:
    """What another program puts at an output while a command runs is left there."""

    def test_a_file(self, tmp_path):
        remember(tmp_path / "a.txt")
        for number in (1, 2):
            (tmp_path / "a.txt").write_text("mine")
            with pytest.raises(ValueError, match=rf"is left as it is: .* is in .*a-{number}\.txt"):
                write_text(tmp_path / "a.txt", f"new {number}")
        assert tree(tmp_path) == {"a.txt": b"mine", "a-1.txt": b"new 1", "a-2.txt": b"new 2"}

    @pytest.mark.parametrize("kind", ["link", "file", "folder"])
    def test_what_replaces_an_earlier_result(self, tmp_path, kind):
        target = tmp_path / "a.txt"
        target.write_text("old")
        remember(target)
        target.unlink()
        if kind == "link":
            target.symlink_to("nowhere")
        elif kind == "file":
            target.write_text("mine, and longer")
        else:
            target.mkdir()
        assert is_of_another(target)
        with pytest.raises(ValueError, match=r"what would have replaced it is in .*a-1\.txt"):
            write_text(target, "new")
        assert (tmp_path / "a-1.txt").read_text() == "new"

    def test_what_the_command_itself_wrote_is_its_own(self, tmp_path):
        remember(tmp_path / "a.txt")
        write_text(tmp_path / "a.txt", "1")
        (tmp_path / "a.txt").write_text("changed by hand")
        write_text(tmp_path / "a.txt", "2")
        release_locks()
        (tmp_path / "a.txt").write_text("of an earlier command")
        write_text(tmp_path / "a.txt", "3")
        assert tree(tmp_path) == {"a.txt": b"3"}

    @pytest.mark.parametrize("name", ["b.txt", "sub/a.txt", "whole"])
    def test_no_file_of_a_folder_is_moved_then(self, tmp_path, name):
        refuse_foreign(tmp_path / "out", ["whole", "sub", "b.txt"], own=["whole"], maker="truez x")
        mine = tmp_path / "out" / name
        mine.parent.mkdir(parents=True)
        mine.write_text("mine")
        with pytest.raises(ValueError, match=rf"{name} was made by another program .*out/new-1$"):
            write(tmp_path / "out", "new")
        assert tree(tmp_path) == {
            f"out/{name}": b"mine",
            **{f"out/new-1/{one}": b"new" for one in ("whole", "sub/a.txt", "b.txt")},
        }


class TestWhole:
    def test_an_earlier_result_is_replaced_and_other_files_are_kept(self, tmp_path):
        write(tmp_path / "out", "old")
        (tmp_path / "out/notes.txt").write_text("mine")
        write(tmp_path / "out", "new")
        assert tree(tmp_path / "out") == {
            "whole": b"new", "sub/a.txt": b"new", "b.txt": b"new", "notes.txt": b"mine",
        }  # fmt: skip

    def test_an_error_leaves_the_earlier_result_or_nothing(self, tmp_path):
        def fail():
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            write(tmp_path / "out", "new", stop=fail)
        assert list(tmp_path.iterdir()) == []
        write(tmp_path / "out", "old")
        before = tree(tmp_path)
        with pytest.raises(OSError, match="No space"):
            write(tmp_path / "out", "new", stop=fail)
        assert tree(tmp_path) == before

    def test_what_a_killed_process_left_is_removed_by_the_next(self, tmp_path):
        program = (
            "import os, signal, sys\n"
            "from truez.support.files import atomic_folder\n"
            "with atomic_folder(sys.argv[1], last='whole') as new:\n"
            "    (new / 'b.txt').write_text('half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        write(tmp_path / "out", "old")
        before = tree(tmp_path)
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=False)
        assert done.returncode == -signal.SIGKILL
        assert {k: v for k, v in tree(tmp_path).items() if ".new-" not in k} == before
        assert tree(tmp_path) != before
        write(tmp_path / "out", "old")
        assert tree(tmp_path) == before

    def test_a_folder_that_is_removed_meanwhile_is_an_error(self, tmp_path):
        def remove():
            shutil.rmtree(tmp_path / "out")

        with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out", last="w") as new:
            (new / "w").write_text(json.dumps(1))
            remove()
            (new / "v").write_text("")

    def test_a_folder_that_is_removed_and_made_again_is_an_error(self, tmp_path):
        def remove():
            shutil.rmtree(tmp_path / "out")

        with pytest.raises(FileNotFoundError, match="was removed in the meantime: run the command"):
            write(tmp_path / "out", "new", stop=remove)
        with (
            pytest.raises(FileNotFoundError, match="was removed in the meantime"),
            atomic_path(tmp_path / "out/a.txt") as new,
        ):
            new.write_text("")
            remove()
        assert list(tmp_path.iterdir()) == []


MOVED = """
import os, signal, sys
from pathlib import Path
from truez.support.files import atomic_folder, stop_writing
count = 0
def hook(event, arguments):
    global count
    if event == "os.rename" and str(arguments[0]).startswith(sys.argv[1]):
        count += 1
        if count == int(sys.argv[2]):
            if sys.argv[3] == "SIGTERM":
                stop_writing()
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
with atomic_folder(sys.argv[1], last="whole") as new:
    for name in ("whole", "a.txt", "b.txt"):
        (new / name).write_text("new")
"""


class TestMoves:
    """A process that ends while it moves the files of a result leaves it whole."""

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_what_is_left_is_moved_by_the_next_process(self, tmp_path, number, name):
        target = tmp_path / "out"
        for one in ("whole", "a.txt", "b.txt"):
            write_text(target / one, "old")
        done = subprocess.run(
            [sys.executable, "-c", MOVED, str(target), str(number), name], check=False
        )
        assert done.returncode == -signal.SIGKILL
        word = b"old" if number == 1 else b"new"
        whole = dict.fromkeys(("out/whole", "out/a.txt", "out/b.txt"), word)
        if name == "SIGKILL" and number > 1:
            assert "out/whole" not in tree(tmp_path)
        elif name == "SIGTERM":
            assert tree(tmp_path) == whole
        end_moves(target, last="whole")
        temporaries.remove_all_partial(target)
        assert tree(tmp_path) == whole
        assert not [path for path in target.iterdir() if path.is_dir()]

    def test_a_process_stops_only_its_own(self, tmp_path):
        with atomic_path(tmp_path / "a.txt") as new:
            new.write_text("half")
            other = new.with_name(new.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
            other.write_text("of the parent of a fork")
            temporaries.temporaries.add(other)
            stop_writing()
            assert not new.exists()
            assert other.exists()
            temporaries.temporaries.discard(other)
            new.write_text("whole")
        assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_signal_while_a_lock_is_taken_leaves_no_file(tmp_path, monkeypatch):
    locked = folders._lock

    def stopped(handle):  # as the handler of a signal, which ends the process
        monkeypatch.setattr(folders, "_lock", locked)
        release_locks()
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "_lock", stopped)
    with pytest.raises(KeyboardInterrupt):
        lock(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nor_does_it_remove_the_lock_of_another_process(tmp_path, monkeypatch):
    locked = folders._lock
    lock(tmp_path)
    (path,) = tmp_path.iterdir()
    with monkeypatch.context() as other:

        def stopped(handle):
            other.setattr(folders, "_lock", locked)
            release_locks()
            raise KeyboardInterrupt

        other.setattr(folders, "_held", {})
        other.setattr(folders, "_lock", stopped)
        with pytest.raises(KeyboardInterrupt):
            lock(tmp_path)
    assert path.exists()
    release_locks()


def test_a_process_that_has_just_taken_the_lock_is_named_as_well(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    lock(tmp_path)
    (path,) = tmp_path.iterdir()
    owner = path.read_text()
    release_locks()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = threading.Timer(0.1, path.write_text, (owner,))
        writer.start()
        with pytest.raises(ValueError, match=rf"another truez \(process {os.getpid()}, since"):
            lock(tmp_path)
        writer.join()
