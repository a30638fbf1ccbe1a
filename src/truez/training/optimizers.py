"""Optimisers of the training loop.

"adam" is the paper's. "muon" orthogonalises the steps of convolution kernels (Jordan et al. 2024,
scaled as by Liu et al. 2025, arXiv:2502.16982), with which column networks train faster; the last
kernel, whose output is the estimate, and all other parameters use Adam.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

Name = Literal["adam", "muon"]


class Optimizer:
    """The optimiser ``name`` for the parameters of a network, on their device and in their layout.

    Parameters
    ----------
    name : {"adam", "muon"}
    network : nn.Module
    learning_rate, weight_decay : float
        Parameters of Adam.
    kernel_rate : float
        Ratio of the learning rate of Muon to that of Adam.
    """

    def __init__(
        self,
        name: Name,
        network: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        kernel_rate: float = 1.0,
    ) -> None:
        everything = list(network.parameters())
        kernels = [p for p in everything if p.ndim == 5][:-1] if name == "muon" else []
        chosen = {id(kernel) for kernel in kernels}
        rest = [p for p in everything if id(p) not in chosen]
        self.kernel_rate = kernel_rate
        self.adam = torch.optim.Adam(rest, lr=learning_rate, weight_decay=weight_decay)
        self.muon: torch.optim.Optimizer | None = None
        # Muon takes matrices, which share the memory of the kernels; each has its order of columns.
        self._matrices = [(kernel, nn.Parameter(_matrix(kernel))) for kernel in kernels]
        if kernels:
            self.muon = torch.optim.Muon(
                [matrix for _, matrix in self._matrices],
                lr=learning_rate * kernel_rate,
                weight_decay=0.0,
                adjust_lr_fn="match_rms_adamw",
            )

    def step(self, learning_rate: float) -> None:
        """Update the parameters by their gradients, which are then freed."""
        for group in self.adam.param_groups:
            group["lr"] = learning_rate
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        if self.muon is None:
            return
        for group in self.muon.param_groups:
            group["lr"] = learning_rate * self.kernel_rate
        for kernel, matrix in self._matrices:
            assert kernel.grad is not None
            assert matrix.data_ptr() == kernel.data_ptr(), "the memory of a kernel must not change"
            matrix.grad = _matrix(kernel.grad, like=kernel)
            kernel.grad = None
        self.muon.step()
        self.muon.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """State of the optimiser, by names such as ``adam.0.exp_avg``."""
        return {
            f"{part}.{index}.{name}": tensor
            for part, optimizer in self._parts().items()
            for index, values in optimizer.state_dict()["state"].items()
            for name, tensor in values.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the state to one that `tensors` returned.

        Raises
        ------
        ValueError
            If a tensor does not belong to a parameter, or a part has none where another has.
        """
        for part, optimizer in self._parts().items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                owner, index, name = key.split(".")
                if owner == part:
                    if not 0 <= int(index) < len(parameters):
                        raise ValueError(f"there is no parameter {index} of {part}")
                    like = parameters[int(index)]
                    if tensor.ndim and tensor.shape != like.shape:
                        raise ValueError(f"the state {key!r} has another shape than its parameter")
                    # Rounding depends on the memory layout of tensors.
                    kept = torch.empty_like(like).copy_(tensor) if tensor.ndim else tensor
                    state.setdefault(int(index), {})[name] = kept.detach()
            if len({frozenset(values) for values in state.values()}) != min(len(tensors), 1):
                raise ValueError(f"the state of {part} is not complete")
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _parts(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam": self.adam} | ({} if self.muon is None else {"muon": self.muon})


def _matrix(values: Tensor, like: Tensor | None = None) -> Tensor:
    """(out, in, x, y, z) as (out, rest): a view if ``values`` has the layout of ``like``."""
    like = values if like is None else like
    if not like.is_contiguous():
        values = values.permute(0, 2, 3, 4, 1)
    return values.detach().reshape(len(values), -1)
