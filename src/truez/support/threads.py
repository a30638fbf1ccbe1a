"""Plain threads, for numpy, scipy and compiled loops that release the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


class Threads:
    """As many threads as torch uses, or ``NUMBA_NUM_THREADS`` where that is set."""

    def __enter__(self) -> Threads:
        self.number = int(os.environ.get("NUMBA_NUM_THREADS") or torch.get_num_threads())
        self._pool = ThreadPoolExecutor(self.number) if self.number > 1 else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, task: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Results of ``task`` on the items, in their order."""
        return list(map(task, items) if self._pool is None else self._pool.map(task, items))
