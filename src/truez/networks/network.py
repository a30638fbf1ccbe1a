"""Base class of the networks, and the network of a name.

A network is one file of this folder: the architecture ``dual-unet`` is in ``dual_unet.py``, which
sets ``NETWORK`` to its class; no list has to be changed. The class derives from `Network`, has a
frozen ``Config`` and states its receptive radius, so that `truez.networks.tiles` can run it on a
field of any size.
"""

from __future__ import annotations

import importlib
import pkgutil
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from truez.support.checks import shown
from truez.support.memory import check_memory
from truez.support.settings import SettingError, Settings

#: Channels of a layer, and number of layers: far above any network that can be trained, and few
#: enough that the network of a hostile file is refused at once.
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Layers = Annotated[int, Field(ge=0, le=100)]


#: Input fields of a network of the fields alone.
DELTAS = ("spec delta", "photo delta")


class NetworkConfig(Settings):
    """Settings of a network: frozen, and an unknown setting is an error."""

    def normalised(self, spec: Tensor, photo: Tensor, truth: Tensor) -> Self:
        """The same settings with scales measured on (training) overdensities.

        Settings without scales are returned as they are.
        """
        del spec, photo, truth
        return self


class Network(nn.Module):
    """A map from input fields to an estimate of the true overdensity, local in space.

    ``forward`` takes (batch, in_channels, nx, ny, nz), fields in the order of ``inputs``, and
    returns (batch, 1, nx, ny, nz), the ``output``, for any mesh. Cells beyond the mesh are 0. A
    network that ``joins_ends`` also takes ``joined=True``: the line of sight is then whole and
    periodic. One that ``sheds_halo`` also takes ``halo``, the number of cells at all faces across
    the sky that it reads only: its result covers the other cells. Further arguments are passed by
    name to `truez.networks.tiles.tiled`. One that ``can_recompute`` keeps less for its gradients
    when its ``recompute`` is set, and computes the rest again in the backward pass: less memory,
    more time, the same numbers.
    """

    Config: ClassVar[type[NetworkConfig]]
    output: ClassVar[str] = "photo delta at true redshifts"
    joins_ends: ClassVar[bool] = False
    sheds_halo: ClassVar[bool] = False
    can_recompute: ClassVar[bool] = False
    recompute: bool = False
    config: Any
    __call__: Callable[..., Tensor]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input fields, the two overdensities by default."""
        return DELTAS

    @property
    def in_channels(self) -> int:
        """Number of the input fields."""
        return len(self.inputs)

    @property
    @abstractmethod
    def stride(self) -> int:
        """Total stride [cells]: shifting the input by this much shifts the output."""

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Largest distance along an axis to an input cell that a result depends on [cells]."""

    @property
    def receptive_radii(self) -> tuple[int, int, int]:
        """Receptive radius along each axis [cells]."""
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

        With ``gradients``, of the backward pass too; ``extra`` are further arguments of `forward`.
        """
        with _on_meta(self, meshsize, batch) as (network, inputs):
            counter = FlopCounterMode(display=False)
            with counter:
                _pass(network, inputs, gradients, extra)
        return int(counter.get_total_flops())

    def memory(
        self, meshsize: Sequence[int], batch: int = 1, *, gradients: bool = False, **extra: Any
    ) -> int:
        """Peak memory of the tensors of one forward pass without gradients, with weights [bytes].

        With ``gradients``, of a forward and backward pass in train mode; ``extra`` are further
        arguments of `forward`. Scratch space of the convolution library is not included.
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
    """A copy of the network on the meta device, whose operations cost nothing, and an input."""
    with torch.device("meta"):
        twin = type(network)(network.config)
        twin.recompute = network.recompute
        yield twin, torch.empty(batch, network.in_channels, *meshsize)


def use_channels_last(network: nn.Module) -> None:
    """Store the kernels with the channels last, in place; convolutions then do so with fields."""
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages in use while operations run, and keeps the peak."""

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
    """Names of the networks of this installation."""
    modules = [
        info.name for info in pkgutil.iter_modules(importlib.import_module(__package__).__path__)
    ]
    found = [
        m for m in modules if hasattr(importlib.import_module(f"{__package__}.{m}"), "NETWORK")
    ]
    return sorted(m.replace("_", "-") for m in found)


def network_class(architecture: object) -> type[Network]:
    """Class of the network called ``architecture``.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    known = architectures()
    if architecture not in known:
        raise ValueError(
            f"architecture must be one of {', '.join(known)}, not {shown(architecture)}"
        )
    module = importlib.import_module(f"{__package__}.{str(architecture).replace('-', '_')}")
    found: type[Network] = module.NETWORK
    return found


def architecture_of(network: Network) -> str:
    """The name by which `network_class` finds the class of ``network``."""
    return type(network).__module__.rpartition(".")[2].replace("_", "-")


def build_network(architecture: str, config: Mapping[str, Any], *, seed: int = 0) -> Network:
    """A new network from its name and its settings, with weights drawn from ``seed``.

    The random state of the caller does not change.
    """
    cls = network_class(architecture)
    try:
        settings = cls.Config(**config)
    except SettingError as error:
        raise ValueError(f"network.{error} ({architecture})") from error
    if torch.get_default_device().type != "meta":
        plan_network(architecture, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(settings)


def plan_network(architecture: str, config: Mapping[str, Any]) -> Network:
    """A network without values, on torch's meta device, where it takes no memory.

    Raises
    ------
    ValueError
        As `build_network`, and if its values take more memory than there is.
    """
    with torch.device("meta"):
        network = build_network(architecture, config)
    size = sum(int(t.nbytes) for t in network.state_dict().values())
    check_memory(size, f"a {architecture} of these settings", "set fewer or narrower layers")
    return network
