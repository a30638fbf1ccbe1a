"""What every network of truez is, and how one is found by its name.

A network is one file of this folder: the architecture ``dual-unet`` lives in ``dual_unet.py``,
which sets ``NETWORK`` to its class. Nothing else has to be told. The class derives from `Network`,
has a frozen ``Config`` and says how far it sees, so that `truez.networks.tiles` can run it on a
field of any size.
"""

from __future__ import annotations

import importlib
import pkgutil
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


class NetworkConfig(BaseModel):
    """Settings of a network: frozen, and an unknown setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def normalised(self, spec: Tensor, photo: Tensor, truth: Tensor) -> Self:
        """Give the same settings with scales measured on (training) overdensities.

        A network without scales needs none, and returns itself.
        """
        del spec, photo, truth
        return self


class Network(nn.Module):
    """A map from input fields to an estimate of the true overdensity, local in space.

    ``forward`` takes (batch, in_channels, nx, ny, nz), fields in the order of ``inputs``, and gives
    (batch, 1, nx, ny, nz), the ``output``, for any mesh. Cells beyond the mesh count as 0. A
    network that ``joins_ends`` takes ``joined=True`` too: then the line of sight is whole and
    periodic. One that ``sheds_halo`` takes ``halo``, the cells at all faces across the sky that it
    only reads: its result is that of the others. Whatever else it takes is given by name to
    `truez.networks.tiles.tiled`. One that ``can_recompute`` keeps less for its gradients when its
    ``recompute`` is set, and finds the rest again on the way back: less memory, more time, the same
    numbers.
    """

    Config: ClassVar[type[NetworkConfig]]
    in_channels: ClassVar[int] = 2
    inputs: ClassVar[tuple[str, ...]] = ("spec delta", "photo delta")
    output: ClassVar[str] = "photo delta at true redshifts"
    joins_ends: ClassVar[bool] = False
    sheds_halo: ClassVar[bool] = False
    can_recompute: ClassVar[bool] = False
    recompute: bool = False
    config: Any
    __call__: Callable[..., Tensor]

    @property
    @abstractmethod
    def stride(self) -> int:
        """Total stride [cells]: shifting the input by this much shifts the output."""

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Farthest input cell that any output cell depends on, along one axis [cells]."""

    @property
    def receptive_radii(self) -> tuple[int, int, int]:
        """The same for each axis."""
        radius = self.receptive_radius
        return radius, radius, radius

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(int(p.numel()) for p in self.parameters())

    def flops(
        self, meshsize: Sequence[int], batch: int = 1, *, gradients: bool = False, **extra: Any
    ) -> int:
        """Floating point operations of one forward pass (a multiply-add counts as two).

        With ``gradients``, of the pass back, too; ``extra`` is what `forward` takes.
        """
        with _on_meta(self, meshsize, batch) as (network, inputs):
            counter = FlopCounterMode(display=False)
            with counter:
                _pass(network, inputs, gradients, extra)
        return int(counter.get_total_flops())

    def memory(
        self, meshsize: Sequence[int], batch: int = 1, *, gradients: bool = False, **extra: Any
    ) -> int:
        """Peak of the tensors alive in one forward pass without gradients, and the weights [bytes].

        With ``gradients``, in a pass forward and back that trains; ``extra`` is what `forward`
        takes. Scratch space of the convolution library comes on top.
        """
        weights = sum(int(t.nbytes) for t in self.state_dict().values())
        with _on_meta(self, meshsize, batch) as (network, inputs):
            ledger = _Ledger(inputs)
            with ledger:
                _pass(network, inputs, gradients, extra)
        return weights + ledger.peak


def _pass(network: Network, inputs: Tensor, gradients: bool, extra: Mapping[str, Any]) -> None:
    network.train(gradients)
    with torch.set_grad_enabled(gradients):
        output = network(inputs, **extra)
        if gradients:
            torch.autograd.backward(output.square().mean())


@contextmanager
def _on_meta(
    network: Network, meshsize: Sequence[int], batch: int
) -> Iterator[tuple[Network, Tensor]]:
    """Give a weightless twin, and an input, whose operations cost nothing."""
    with torch.device("meta"):
        twin = type(network)(network.config)
        twin.recompute = network.recompute
        yield twin, torch.empty(batch, network.in_channels, *meshsize)


def use_channels_last(network: nn.Module) -> None:
    """Lay the kernels out with the channels last, in place; convolutions then do so with fields."""
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the storages alive while operations run, and keeps the peak."""

    def __init__(self, *inputs: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}
        self.bytes = self.peak = 0
        for tensor in inputs:
            self._book(tensor)

    def _book(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = 0
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
        self.alive[key] += 1
        weakref.finalize(tensor, self._strike, key, storage.nbytes())

    def _strike(self, key: int, size: int) -> None:
        self.alive[key] -= 1
        if self.alive[key] == 0:
            del self.alive[key]
            self.bytes -= size

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._book(tensor)
        return result


def architectures() -> list[str]:
    """Names of the networks that this installation has."""
    modules = [
        info.name for info in pkgutil.iter_modules(importlib.import_module(__package__).__path__)
    ]
    found = [
        m for m in modules if hasattr(importlib.import_module(f"{__package__}.{m}"), "NETWORK")
    ]
    return sorted(m.replace("_", "-") for m in found)


def network_class(architecture: str) -> type[Network]:
    """Find the class of the network called ``architecture``.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    known = architectures()
    if architecture not in known:
        raise ValueError(f"architecture must be one of {', '.join(known)}, not {architecture!r}")
    module = importlib.import_module(f"{__package__}.{architecture.replace('-', '_')}")
    found: type[Network] = module.NETWORK
    return found


def architecture_of(network: Network) -> str:
    """Give the name under which `network_class` finds the class of ``network``."""
    return type(network).__module__.rpartition(".")[2].replace("_", "-")


def build_network(architecture: str, config: Mapping[str, Any], *, seed: int = 0) -> Network:
    """Make a fresh network from its name and its settings, with weights drawn from ``seed``.

    The caller's random state is left as it was.
    """
    cls = network_class(architecture)
    try:
        settings = cls.Config(**config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ValueError(f"network.{where} of {architecture}: {first['msg']}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(settings)
