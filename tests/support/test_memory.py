"""Memory that this process can take."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from truez.support import memory

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system counts what is taken")


@pytest.fixture
def root(tmp_path):
    """A system with 8000000 kB available, of which this process has taken 1000 kB."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "proc/self/status").write_text("Name:\ttruez\nVmSize:\t1000 kB\nVmData:\t400 kB\n")
    return tmp_path


@pytest.mark.parametrize(("name", "taken"), [("RLIMIT_AS", 1000), ("RLIMIT_DATA", 400)])
def test_the_limit_of_a_process_less_what_it_has_taken(root, name, taken, monkeypatch):
    limits = {getattr(resource, name): (5_000_000, resource.RLIM_INFINITY)}
    everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr("resource.getrlimit", lambda which: limits.get(which, everything))
    assert memory.available_memory(root) == 5_000_000 - 1024 * taken


@LINUX
def test_ulimit_bounds_what_is_available():
    code = "from truez.support.memory import available_memory as a; print(a())"
    command = f"ulimit -v 3000000; {sys.executable} -c '{code}'"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 3_000_000 * 1024


def test_work_beyond_the_memory_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    memory.check_memory(1.9e9, "a mesh", "take larger cells")
    expected = "^a mesh needs 3.5 GB of memory, and 2 GB are free: take larger cells$"
    with pytest.raises(ValueError, match=expected):
        memory.check_memory(3.5e9, "a mesh", "take larger cells")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing")
def test_free_memory_between_what_is_in_use_is_given_back():
    def resident():
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))

    blocks = [np.ones(12_000) for _ in range(1000)]
    kept = blocks[::50]
    del blocks
    before = resident()
    memory.release_memory()
    assert resident() < before - 50e6
    assert all(block.sum() == 12_000 for block in kept)
