"""Where the patches of a run are worked on: this process, processes of this machine, a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from truez.sky.distributed.folder import Outcome
from truez.support.checks import shown
from truez.support.memory import release_garbage
from truez.support.progress import Progress, silent

#: What is done with a patch: a function of a module, of the folder of a run and a number.
Task = Callable[[str, int], None]
#: Variables by which libraries know how many threads they may take.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_INSTALL = "dask is not installed: pip install 'truez[cluster]'"


class Pool(Protocol):
    """Something that works on patches."""

    @property
    def dashboard(self) -> str | None:
        """Address of the pages that show the work, if there are any."""

    def run(self, task: Task, folder: str, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Work on patches, and yield how each has ended, in any order."""


@dataclass(frozen=True)
class Where:
    """Where the work is done.

    Parameters
    ----------
    workers : int, optional
        Processes of this machine; by default this process alone.
    scheduler : str, optional
        Address of the scheduler of a dask cluster, such as ``tcp://10.0.0.1:8786``, or the file
        that it has written.
    threads : int
        Of each worker.
    """

    workers: int | None = None
    scheduler: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise ValueError(
                "workers and scheduler are both given: workers of a cluster are started there, so "
                "leave workers out"
            )
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        cores, wanted = num_cores(), (self.workers or 1) * self.threads
        if self.workers is not None and wanted > cores:
            raise ValueError(
                f"workers = {self.workers} with threads = {self.threads} would take {wanted} cores,"
                f" and there are {cores}: give fewer workers"
            )

    @contextmanager
    def pool(self, progress: Progress = silent) -> Iterator[Pool]:
        """The workers, which end with the block.

        Raises
        ------
        ValueError
            If dask is needed and not installed.
        OSError
            If the scheduler cannot be reached.
        """
        if self.workers is None and self.scheduler is None:
            yield OwnProcess(progress)
            return
        with _client(self) as client:
            yield DaskPool(client, self.threads)


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class OwnProcess:
    """The process itself, with the threads that it has."""

    progress: Progress = silent
    dashboard: str | None = None

    def run(self, task: Task, folder: str, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Work on patches one after the other."""
        for number in numbers:
            yield attempt(task, folder, number)


@dataclass(frozen=True)
class DaskPool:
    """The workers of a dask cluster.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        Of each worker.
    """

    client: Any
    threads: int

    @property
    def dashboard(self) -> str | None:
        """Address of the pages of the cluster."""
        return str(self.client.dashboard_link) if self.client.dashboard_link else None

    def run(self, task: Task, folder: str, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Work on patches; one whose worker dies is tried again, on another one."""
        from distributed import as_completed

        futures = {
            self.client.submit(attempt, task, folder, number, self.threads, pure=False): number
            for number in numbers
        }
        try:
            for future in as_completed(futures, loop=self.client.loop):
                number = futures.pop(future)
                try:
                    outcome = future.result()
                except Exception as error:  # its worker has died too often, or the scheduler
                    outcome = _lost(number, error)
                future.release()
                yield outcome
        finally:
            self.client.cancel(list(futures))


def attempt(task: Task, folder: str, number: int, threads: int | None = None) -> Outcome:
    """Work on a patch, and say how it has ended."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        task(folder, number)
    except Exception as error:  # whatever it is, other patches go on
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = folder  # of a file that has no name
        return Outcome.of_error(number, error)
    finally:
        release_garbage()
    return Outcome(number)


def _lost(number: int, error: BaseException) -> Outcome:
    """The outcome of a patch of which a cluster has no result."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        died = "the workers that tried it died, perhaps for want of memory: give fewer workers"
        return Outcome(number, died, is_system=True)
    raise ConnectionError(
        f"the dask scheduler was lost ({type(error).__name__}): run the command again, which goes "
        "on"
    ) from error


@contextmanager
def _client(where: Where) -> Iterator[Any]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError(_INSTALL) from None
    if where.scheduler is not None:
        with _connected(where.scheduler) as client:
            _check_threads(client, where)
            yield client
        return
    environment = dict.fromkeys(_THREADS, str(where.threads))
    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        # A patch takes what it takes: it is neither stopped nor its worker ended for it.
        "distributed.worker.memory.terminate": False,
        "distributed.worker.memory.pause": False,
        # A worker that works is silent at times; one that has died is known at once.
        "distributed.scheduler.worker-ttl": None,
    }
    with dask.config.set(settings), LocalCluster(
        n_workers=where.workers, threads_per_worker=1, processes=True, memory_limit=0,
        dashboard_address="127.0.0.1:0", silence_logs=50,
    ) as cluster, Client(cluster, set_as_default=False) as client:  # fmt: skip
        yield client


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    is_file = os.path.isfile(address)  # noqa: PTH113
    given = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = Client(**given, set_as_default=False, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(
            f"scheduler = {shown(address)} cannot be reached: give the address that dask scheduler "
            "prints, such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        yield client


def _check_threads(client: Any, where: Where) -> None:
    """Refuse workers that would work on several patches at a time in one process."""
    several = [number for number in client.nthreads().values() if number > 1]
    if several:
        raise ValueError(
            f"scheduler = {where.scheduler} has workers of {several[0]} threads, which would share "
            "one process: start them with --nthreads 1, and more of them"
        )
