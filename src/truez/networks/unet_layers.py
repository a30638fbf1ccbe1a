"""Layers of the paper's dual UNet, each with the cells that its output depends on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from truez.networks.dual_unet import DualUNetConfig

Interval = tuple[int, int]
Part = TypeVar("Part", bound=nn.Module)
#: A part of the network that is recomputed as one; and how such a part is run.
Step = Callable[..., Tensor]
Run = Callable[..., Tensor]


def modules_of(parts: Iterable[Part]) -> Sequence[Part]:
    """Register layers in a list, and keep their type, which `torch.nn.ModuleList` forgets."""
    return cast("Sequence[Part]", nn.ModuleList(parts))


def cells_read(layer: nn.Conv3d | nn.ConvTranspose3d, cells: Interval) -> Interval:
    """Give the input cells, first and last, that output cells of a convolution are made of."""
    first, last = cells
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    if isinstance(layer, nn.ConvTranspose3d):
        # Output o takes input i where o = i * stride - padding + (0 ... kernel - 1).
        return -((kernel - 1 - padding - first) // stride), (last + padding) // stride
    return first * stride - padding, last * stride - padding + kernel - 1


def _hull(a: Interval, b: Interval) -> Interval:
    return min(a[0], b[0]), max(a[1], b[1])


def _chain(*steps: Step) -> Step:
    """Make one step of several, of which the first may take several tensors."""

    def whole(*inputs: Tensor) -> Tensor:
        x = steps[0](*inputs)
        for step in steps[1:]:
            x = step(x)
        return x

    return whole


def _normalisation(width: int, config: DualUNetConfig) -> nn.Module:
    return nn.BatchNorm3d(width) if config.norm == "batch" else nn.Identity()


class Convolution(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self, inputs: int, width: int, kernel: int, config: DualUNetConfig, stride: int = 1
    ) -> None:
        super().__init__()
        # A bias before batch normalisation would be subtracted again.
        bias = config.norm == "none"
        self.conv = nn.Conv3d(inputs, width, kernel, stride, kernel // 2, bias=bias)
        self.norm = _normalisation(width, config)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, nx, ny, nz) to (batch, width, ...), shorter by the stride."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)

    def reads(self, cells: Interval) -> Interval:
        """Give the input cells behind these output cells."""
        return cells_read(self.conv, cells)


class _Block(nn.Module):
    """A convolution to the width of the level, then the copied one as often as set."""

    def __init__(
        self, inputs: int, width: int, kernel: int, repeats: int, config: DualUNetConfig
    ) -> None:
        super().__init__()
        self.entry = Convolution(inputs, width, kernel, config)
        # Shared, one set of weights serves all applications; the statistics stay each one's own.
        weights = min(repeats, 1) if config.share_repeats else repeats
        bias = config.norm == "none"
        self.copies = modules_of(
            nn.Conv3d(width, width, 3, padding=1, bias=bias) for _ in range(weights)
        )
        self.norms = modules_of(_normalisation(width, config) for _ in range(repeats))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, run: Run, *inputs: Tensor, join: Step | None = None) -> Tensor:
        """Apply the block to one tensor, or to those that ``join`` makes one of."""
        steps: list[Step] = [self.entry if join is None else _chain(join, self.entry)]
        for copy, norm in zip(itertools.cycle(self.copies), self.norms, strict=False):
            steps.append(_chain(copy, norm, partial(functional.relu, inplace=True)))
        if self.dropout.p:
            steps[-1] = _chain(steps[-1], self.dropout)
        x = run(steps[0], *inputs)
        for step in steps[1:]:
            x = run(step, x)
        return x

    def reads(self, cells: Interval) -> Interval:
        """Give the input cells behind these output cells."""
        for copy, _ in zip(itertools.cycle(self.copies), self.norms, strict=False):
            cells = cells_read(copy, cells)
        return self.entry.reads(cells)


class Encoder(nn.Module):
    """One survey, down through the levels; gives the output of every level."""

    def __init__(self, width: int, config: DualUNetConfig) -> None:
        super().__init__()
        self.widths = [width * m for m in config.multipliers]
        inputs = [1, *self.widths[:-1]]
        self.blocks = modules_of(
            _Block(*sizes, config)
            for sizes in zip(inputs, self.widths, config.kernels, config.repeats, strict=True)
        )
        self.downs = modules_of(Convolution(w, w, 3, config, stride=2) for w in self.widths[:-1])

    def forward(self, run: Run, x: Tensor) -> list[Tensor]:
        """Give the output of every level, the finest first."""
        levels = [self.blocks[0](run, x)]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            levels.append(block(run, run(down, levels[-1])))
        return levels

    def reads(self, wanted: list[Interval]) -> Interval:
        """Give the input cells behind the cells ``wanted`` of each level's output."""
        cells = self.blocks[-1].reads(wanted[-1])
        for level in reversed(range(len(self.downs))):
            cells = _hull(wanted[level], self.downs[level].reads(cells))
            cells = self.blocks[level].reads(cells)
        return cells


class Decoder(nn.Module):
    """Up through the levels again, joined at each by what the encoders saw there."""

    def __init__(self, widths: list[int], config: DualUNetConfig) -> None:
        super().__init__()
        pairs = list(zip(widths[1:], widths[:-1], strict=True))
        self.ups = modules_of(nn.ConvTranspose3d(low, high, 2, 2) for low, high in pairs)
        self.blocks = modules_of(
            _Block(2 * high, high, 3, repeats, config)
            for (_, high), repeats in zip(pairs, config.repeats[:-1], strict=True)
        )

    def forward(self, run: Run, levels: list[Tensor]) -> Tensor:
        """Join the encoders' levels, the finest first, into features at full resolution."""
        x = levels[-1]
        for level in reversed(range(len(self.ups))):
            up = self.ups[level]

            def join(low: Tensor, seen: Tensor, up: nn.Module = up) -> Tensor:
                return torch.cat([up(low), seen], dim=1)

            x = self.blocks[level](run, x, levels[level], join=join)
        return x

    def reads(self, cells: Interval) -> list[Interval]:
        """Give the cells of each level's encoder output behind these output cells."""
        wanted = []
        for up, block in zip(self.ups, self.blocks, strict=True):
            cells = block.reads(cells)
            wanted.append(cells)
            cells = cells_read(up, cells)
        return [*wanted, cells]
