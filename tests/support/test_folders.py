"""Files of others are not replaced, results are replaced whole, and one run writes at a time."""

import json
import os
import signal
import subprocess
import sys

import pytest

from truez.support.files import atomic_folder, write_text
from truez.support.folders import lock, refuse_foreign, release_locks

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
            import shutil

            shutil.rmtree(tmp_path / "out")

        with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out", last="w") as new:
            (new / "w").write_text(json.dumps(1))
            remove()
            (new / "v").write_text("")
