"""Compiled code lies where only the user can write, and a broken file of it is made anew."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from truez.support.compiled import cache_folder, compiled, is_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


def square_sum(values):
    total = 0.0
    for value in values:
        total += value * value
    return total


def summed():
    """Whether a new process would find the code on disk; the result is checked."""
    loop = compiled(square_sum)
    assert loop(np.arange(4.0)) == 14
    return bool(loop.stats.cache_hits)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not summed()
    assert summed()
    return tmp_path


def files(folder, suffix):
    found = sorted(Path(folder).rglob(f"*{suffix}"))
    assert found
    return found


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "text"])
def test_a_broken_file_is_made_anew(folder, suffix, damage):
    (path,) = files(folder, suffix)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    new = {"cut": content[:-20], "empty": b"", "bit": bytes(flipped), "text": b"no cache"}
    path.write_bytes(new[damage])
    assert not summed()
    assert summed()


def test_where_nothing_can_be_kept_the_loop_still_runs(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere")
    assert not summed()
    assert not summed()


def test_it_lies_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache/truez"
    assert (tmp_path / "cache/truez").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert cache_folder() is None


@pytest.mark.parametrize(("mode", "private"), [(0o700, True), (0o755, True), (0o777, False)])
def test_a_folder_that_others_may_write_is_not_used(tmp_path, monkeypatch, mode, private):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    assert cache_folder() == (folder if private else None)
    (folder / "inner").mkdir(mode=0o700)
    assert is_private(folder / "inner") == private  # else others could put a folder in its place
    folder.chmod(0o1777)  # as /tmp has it
    assert is_private(folder / "inner")
    assert not is_private(folder)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="for the superuser")
def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    assert cache_folder() is None
