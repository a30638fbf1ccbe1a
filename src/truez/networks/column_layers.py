"""Convolutions of a column network, whose line of sight may be joined at its ends."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Residual branches start small, so that the signal of a fresh network keeps its size.
_BRANCH = 0.3


class Conv(nn.Conv3d):
    """A centred convolution that pads with zeros, or joins the ends of the last axis."""

    def __init__(self, inputs: int, width: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(inputs, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2, 0))
        self.reach = tuple(k // 2 for k in kernel)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, joined: bool = False) -> Tensor:
        """See the class; ``joined`` says which."""
        end = self.reach[2]
        if end and joined:
            x = _joined(x, end)
        elif end:
            x = functional.pad(x, (end, end))
        return super().forward(x)


def _joined(x: Tensor, end: int) -> Tensor:
    """The last axis with ``end`` cells of the other end at each, round and round if need be."""
    size = x.shape[-1]
    if end <= size:
        joined: Tensor = _Joined.apply(x, end)  # type: ignore[no-untyped-call]
        return joined
    cells = torch.arange(-end, size + end, device=x.device) % size
    return x.index_select(-1, cells)


class _Joined(torch.autograd.Function):
    """Ends joined, with a gradient that is added up in place.

    That of the three slices would be three tensors of the whole size, a fifth of a training step.
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
    """x plus a small branch: 3^3, the conditions, 1 x 1 x along."""

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
        """``embedded`` (batch, embedding) are the conditions; the rest as in `Conv`."""
        scale, shift = self.film(embedded)[..., None, None, None].chunk(2, dim=1)
        branch = self.first(functional.silu(x), joined)
        branch = torch.addcmul(shift, branch, 1 + scale)
        change: Tensor = self.second(functional.silu(branch), joined)
        return x + change

    def reach(self, axis: int) -> int:
        """How many cells away it reads."""
        return self.first.reach[axis] + self.second.reach[axis]
