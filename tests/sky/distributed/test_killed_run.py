"""``truez run`` whose scheduler, worker or client is killed goes on to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.sky.distributed.small_run import OPTIONS

from truez.sky.distributed.workers import num_cores

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "COLUMNS": "80"}

LOST = (
    "truez: the dask scheduler was lost (FutureCancelledError): run the command again, which goes "
    "on"
)


def start(folder, *words):
    """Start ``truez`` in a folder; what it prints goes to files there."""
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "truez", *map(str, words)], stdout=out, stderr=err, cwd=folder,
            env=ENVIRONMENT,
        )  # fmt: skip


def truez(folder, *words):
    assert start(folder, *words).wait(600) == 0, (folder / "err.txt").read_text()


@pytest.fixture(scope="module")
def whole(sky):
    """What a run that nothing stops, and its join, leave."""
    truez(sky.folder, "run", "divided", *OPTIONS, "--out", "whole")
    return joined(sky.folder, "whole")


def joined(folder, run):
    """The bytes of the joined field and catalogue."""
    names = [f"{run}.h5", f"{run}.parquet"]
    truez(folder, "join", run, "--field", names[0], "--redshifts", names[1])
    return [(folder / name).read_bytes() for name in names]


@contextmanager
def program(folder, *words):
    """A process that is killed at the end."""
    with (folder / f"{words[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=log, stderr=log, cwd=folder, env=ENVIRONMENT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def cluster(folder, name):
    """A scheduler and a worker of a dask cluster: their processes, and the scheduler's file."""
    file = folder / f"{name}.json"
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
                 "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file))  # fmt: skip
    worker = ("distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1",
              "--no-dashboard", "--no-nanny")  # fmt: skip
    with program(folder, *scheduler) as first:
        wait_for(lambda: file.is_file() or first.poll() is not None)
        with program(folder, *worker) as second:
            yield first, second, file


def wait_for(what):
    end = time.monotonic() + 600
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def until_patches(run, process, least=1):
    """Wait until some patches of a run are made, or it has ended."""
    wait_for(lambda: len(list(run.glob("patches/*.json"))) >= least or process.poll() is not None)


def half_written(run):
    """Temporary files in a run."""
    return [path for path in run.rglob(".*") if path.is_file()]


def test_a_scheduler_that_is_killed_ends_the_run_in_one_sentence(sky, whole):
    run = sky.folder / "lost"
    with cluster(sky.folder, "one") as (scheduler, worker, file):
        client = start(sky.folder, "run", "divided", *OPTIONS, "--scheduler", file, "--out", run)
        until_patches(run, client)
        time.sleep(random.Random(5).uniform(0, 0.05))
        scheduler.kill()
        assert client.wait(600) == 2
        said = (sky.folder / "err.txt").read_text().splitlines()
        assert [line for line in said if not line.startswith("dashboard: ")] == [LOST]
        with suppress(subprocess.TimeoutExpired):  # it ends after the patch that it is at
            worker.wait(30)
    made = len(list(run.glob("patches/*.json")))
    assert 1 <= made < 6
    for record in run.glob("patches/*.json"):
        assert (run / f"fields/{record.stem}.h5").is_file()
        assert (run / f"redshifts/{record.stem}.parquet").is_file()
    with cluster(sky.folder, "two") as (_, _, file):
        truez(sky.folder, "run", "divided", *OPTIONS, "--scheduler", file, "--out", run)
    assert half_written(run) == []
    assert joined(sky.folder, "lost") == whole


@pytest.mark.skipif(num_cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("least", [0, 2])
def test_a_client_that_is_killed_takes_its_workers_along(sky, whole, least):
    run = sky.folder / f"client-{least}"
    words = ("run", "divided", *OPTIONS, "--workers", 2, "--out", run)
    client = start(sky.folder, *words)
    wait_for(lambda: (run / "run.json").is_file())
    until_patches(run, client, least)
    workers = children(client.pid)
    client.kill()
    client.wait()
    assert len(workers) >= 2
    wait_for(lambda: not any(map(is_running, workers)))
    truez(sky.folder, *words)
    assert half_written(run) == []
    assert joined(sky.folder, run.name) == whole


@pytest.mark.skipif(num_cores() < 2, reason="needs two cores")
def test_a_worker_that_is_killed_is_replaced(sky, whole):
    run = sky.folder / "worker"
    client = start(sky.folder, "run", "divided", *OPTIONS, "--workers", 2, "--out", run)
    until_patches(run, client)
    worker = next(pid for pid in children(client.pid) if "spawn_main" in command_of(pid))
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    assert client.wait(600) == 0, (sky.folder / "err.txt").read_text()
    assert half_written(run) == []
    assert joined(sky.folder, "worker") == whole


def children(pid):
    """The processes that a process has started, and theirs."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *children(int(child))]
    return found


def command_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return ""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
