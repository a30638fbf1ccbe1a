"""Convolutions of a column network, zero-padded or periodic along the line of sight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from truez.networks.conditions import at_points

#: Scale of the residual branches of a fresh network, so that its signal keeps its size.
_BRANCH = 0.3


class Conv(nn.Conv3d):
    """A centred convolution, padded with zeros, or periodic along the last axis."""

    def __init__(self, inputs: int, width: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(inputs, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2, 0))
        self.reach = tuple(k // 2 for k in kernel)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, joined: bool = False) -> Tensor:
        """Convolve ``x``; with ``joined`` the last axis is periodic."""
        end = self.reach[2]
        if end and joined:
            x = _joined(x, end)
        elif end:
            x = functional.pad(x, (end, end))
        return super().forward(x)


def _joined(x: Tensor, end: int) -> Tensor:
    """The last axis, periodic, with ``end`` cells more at each end."""
    size = x.shape[-1]
    if end <= size:
        joined: Tensor = _Joined.apply(x, end)  # type: ignore[no-untyped-call]
        return joined
    cells = torch.arange(-end, size + end, device=x.device) % size
    return x.index_select(-1, cells)


class _Joined(torch.autograd.Function):
    """Periodic padding of the last axis, whose gradient is added up in place.

    Autograd would make three tensors of the whole size, which takes a fifth of a training step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, end: int) -> Tensor:
        ctx.end = end
        return torch.cat([x[..., x.shape[-1] - end :], x, x[..., :end]], dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        end, size = ctx.end, gradient.shape[-1] - 2 * ctx.end
        result = gradient[..., end : end + size].clone()
        result[..., size - end :] += gradient[..., :end]
        result[..., :end] += gradient[..., end + size :]
        return result, None


class Block(nn.Module):
    """A residual block: x plus a branch of 3^3, the conditions, and 1 x 1 x along."""

    def __init__(self, width: int, along: int, embedding: int) -> None:
        super().__init__()
        self.first = Conv(width, width, (3, 3, 3))
        self.second = Conv(width, width, (1, 1, along))
        self.film = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.second.weight.mul_(_BRANCH)

    def forward(self, x: Tensor, embedded: Tensor, joined: bool) -> Tensor:
        """Apply the block.

        ``embedded`` (batch, embedding) are the conditions; cell by cell they are (batch, embedding,
        nx or 1, ny or 1, nz).
        """
        film = at_points(self.film, embedded)
        if film.ndim == 2:
            film = film[..., None, None, None]
        scale, shift = film.chunk(2, dim=1)
        branch = self.first(functional.silu(x), joined)
        branch = torch.addcmul(shift, branch, 1 + scale)
        change: Tensor = self.second(functional.silu(branch), joined)
        return x + change

    def reach(self, axis: int) -> int:
        """Farthest cell that the block reads along an axis [cells]."""
        return self.first.reach[axis] + self.second.reach[axis]
