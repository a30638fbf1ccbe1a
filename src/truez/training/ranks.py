"""Several processes that train one network together, one on each GPU or on some cores.

    torchrun --standalone --nproc-per-node 4 -m truez train columns-gpu --boxes pool --out run

Every process, a *rank*, draws samples of its own (`truez.training.samples.Source`), and the
gradients are averaged over all of them before each step (torch's DistributedDataParallel): a step
of n ranks with ``batch`` crops is one of n x ``batch`` crops. Rank 0 validates and writes the
folder of the run, which all ranks must be able to read. Running statistics of batch normalisation
are those of rank 0. A process that was not started with others is rank 0 of 1, and nothing is
averaged.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

#: How long a process waits for the others to come, and for one of them that is at work, such as
#: rank 0 while it validates.
_TO_COME, _AT_WORK = timedelta(minutes=5), timedelta(hours=6)
#: Variables of the environment in which torchrun says how the processes find each other.
_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Ranks:
    """The processes of a training.

    Parameters
    ----------
    rank : int
        Number of this process, from 0.
    num_ranks : int
        How many there are.
    num_local : int
        How many of them share this machine.
    """

    rank: int = 0
    num_ranks: int = 1
    num_local: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Those that this process has joined with `joined`; itself alone otherwise."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        size = distributed.get_world_size()
        local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        return cls(distributed.get_rank(), size, local)

    @property
    def writes(self) -> bool:
        """Whether this process validates, and writes the folder of the run."""
        return self.rank == 0

    @property
    def described(self) -> dict[str, int]:
        """The number of ranks, for outputs and to compare with those of a run; nothing for one."""
        return {} if self.num_ranks == 1 else {"num_ranks": self.num_ranks}

    def seed(self, seed: int, step: int) -> int:
        """Seed of what a network draws in a step, such as dropout."""
        if self.rank == 0:
            return (seed << 32) + step
        # The fourth number keeps this stream apart from those of the samples.
        sequence = np.random.SeedSequence([seed, step, self.rank, 7])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def agree(self, loss: float, minutes: float) -> tuple[float, float]:
        """The mean loss of all ranks, and the time of rank 0, which decides on the end of a run."""
        if self.num_ranks == 1:
            return loss, minutes
        both = torch.tensor(
            [loss / self.num_ranks, minutes if self.writes else 0.0], dtype=torch.float64
        )
        distributed.all_reduce(both)
        return float(both[0]), float(both[1])

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of rank 0."""
        if self.num_ranks > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def averaged(
        self, network: nn.Module, loss: Callable[[Any], Tensor]
    ) -> Callable[[Any], Tensor]:
        """The loss of a network on a sample, whose gradients are means over the ranks.

        The network gets the weights of rank 0.
        """
        if self.num_ranks == 1:
            return loss
        device = next(network.parameters()).device
        return DistributedDataParallel(
            _Loss(network, loss),
            device_ids=[device] if device.type == "cuda" else None,
            # A loss may leave out a head of the network.
            find_unused_parameters=True,
        )


class _Loss(nn.Module):
    """A loss as a module that holds its network."""

    def __init__(self, network: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, sample: Any) -> Tensor:
        return self.loss(sample)


def num_started() -> int:
    """How many processes torchrun, or another launcher with its variables, has started.

    Raises
    ------
    ValueError
        If the environment does not say how they find each other.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not (text.isdecimal() and int(text) >= 1):
        raise ValueError(
            f"WORLD_SIZE must be a number of processes, not {text[:40]!r}: unset it, or start the "
            "training with torchrun"
        )
    missing = [name for name in _VARIABLES if name not in os.environ]
    if int(text) > 1 and missing:
        raise ValueError(
            f"WORLD_SIZE = {text} is for {text} processes that train together, and {missing[0]} is "
            f"not set: start them with torchrun --nproc-per-node {text} -m truez train, or unset "
            "WORLD_SIZE"
        )
    return int(text)


@contextmanager
def joined(device: torch.device | str = "cpu") -> Iterator[str]:
    """Context in which this process trains together with the others that torchrun has started.

    Parameters
    ----------
    device : torch.device or str
        Kind of device: each process of a machine has a GPU of its own.

    Yields
    ------
    str
        The device of this process. Where it was started alone it is ``device``.

    Raises
    ------
    ValueError
        If the processes do not find each other, or there are more of them than GPUs.

    Examples
    --------
    >>> from truez.training import joined
    >>> with joined("cpu") as device:
    ...     print(device)
    cpu
    """
    where = torch.device(device)
    number = num_started()
    if number == 1:
        yield str(device)
        return
    if not distributed.is_available():
        raise ValueError("this torch cannot train in several processes: start one alone")
    local = int(os.environ["LOCAL_RANK"])
    if where.type == "cuda":
        there = torch.cuda.device_count()
        if local >= there:
            raise ValueError(
                f"{local + 1} or more processes on this machine cannot share its {there} GPUs: "
                f"start at most {there} (torchrun --nproc-per-node {there}), or give device cpu"
            )
        where = torch.device("cuda", local)
        torch.cuda.set_device(where)
    _join(number, "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
    try:
        yield str(where)
        with suppress(RuntimeError):  # one that has failed ends the others
            distributed.barrier()
    finally:
        gc.collect()  # what averages gradients ends before the group does
        distributed.destroy_process_group()


def _join(number: int, backend: str) -> None:
    rank = int(os.environ["RANK"])
    try:
        found = rendezvous("env://", rank, number, timeout=_TO_COME)
        store, rank, number = next(found)
        store.set_timeout(_AT_WORK)
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=number, timeout=_AT_WORK
        )
    except (RuntimeError, OSError) as error:  # those of torch.distributed are RuntimeErrors
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = " ".join(str(error).split())[:80]
        raise ValueError(
            f"process {rank} of {number} does not reach the others at {place} ({reason}): start "
            "all of them with torchrun, and check its --rdzv-endpoint where there are several "
            "machines"
        ) from error
