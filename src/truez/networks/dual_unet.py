"""The paper's dual UNet: two UNet branches, one per survey, and one field out.

Du et al. 2025 (arXiv:2504.06309, Fig. 1 and Sect. III A) give: 128 channels for the spectroscopic
and 16 for the photometric input, convolutions of 5^3 and 3^3, down-sampling with 3^3, up-sampling
with 2^3, skip connections, copied blocks that reuse weights, batch normalisation, ReLU, dropout,
100^3 cells in and out. What they leave open is chosen here, and each choice is a setting:

==================  ==========================  ====================================================
open in the paper   choice                      why
==================  ==========================  ====================================================
depth               3 levels, stride 4          the deepest that divides 100 cells (8 does not)
width per level     1, 2, 4 times the first     the usual UNet doubling
where 5^3 is used   first convolution, level 0  3^3 elsewhere: 5^3 costs 4.6 times as much
copied block        one convolution 3^3 at the  "copied" is read as the same weights applied twice;
                    width of its level, twice   each application has its own batch statistics
fusion              before the output           "dual" is read as two whole UNets; ``skips`` joins
                                                both encoders into one decoder instead
sharing of weights  none between branches       128 and 16 channels forbid what the text says
head                3^3 to 32 channels, 1^3     not given
down-sampling       3^3, stride 2, keeps width  followed by normalisation and ReLU, like all
up-sampling         2^3, stride 2, transposed   to the width of its level, linear
dropout             0.1 after each block        the rate is not given
inputs              delta / standard deviation  not given; ``asinh`` tames the spec field, whose
                                                delta reaches 1000
==================  ==========================  ====================================================

Convolutions pad with zeros. The input transform keeps 0 at 0, so beyond the mesh the field has its
mean. No layer uses statistics over space at inference: batch normalisation is frozen then.

With `DualUNet.recompute` a training step keeps only what goes into each convolution, and finds the
rest again on its way back: the same numbers, a third more work, and less than half the memory.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from truez.networks.network import Network, NetworkConfig, Width
from truez.networks.unet_layers import (
    Convolution,
    Decoder,
    Encoder,
    Step,
    cells_read,
    modules_of,
)


class DualUNetConfig(NetworkConfig):
    """Settings of `DualUNet`; the defaults are the paper's size.

    Parameters
    ----------
    spec_width, photo_width : int
        Channels of the two branches at full resolution.
    multipliers : tuple of int
        Width of each level over that of the first; their number is the depth.
    kernels : tuple of odd int
        Side of the first convolution of each level's encoder block [cells of that level].
    repeats : tuple of int
        How often the copied 3^3 convolution is applied in the blocks of each level.
    share_repeats : bool
        Whether those applications share their weights.
    fusion : {"output", "skips"}
        Two whole UNets joined before the output, or two encoders with one decoder.
    head_width : int
        Channels of the last hidden layer.
    norm : {"batch", "none"}
        Batch normalisation after every convolution but the up-sampling and the last.
    dropout : float
        Rate after each block, in [0, 1).
    transform : {"none", "asinh"}
        Applied to delta / scale of each input.
    spec_scale, photo_scale, output_scale : float
        Overdensities that count as 1 inside the network; see `normalised`.
    """

    spec_width: Width = 128
    photo_width: Width = 16
    multipliers: Annotated[tuple[Width, ...], Field(max_length=16)] = (1, 2, 4)
    kernels: tuple[Annotated[int, Field(le=99)], ...] = (5, 3, 3)
    repeats: tuple[Annotated[int, Field(le=100)], ...] = (2, 2, 2)
    share_repeats: bool = True
    fusion: Literal["output", "skips"] = "output"
    head_width: Width = 32
    norm: Literal["batch", "none"] = "batch"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    transform: Literal["none", "asinh"] = "asinh"
    spec_scale: Annotated[float, Field(gt=0)] = 1.0
    photo_scale: Annotated[float, Field(gt=0)] = 1.0
    output_scale: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = len(self.multipliers)
        if levels == 0:
            raise ValueError(
                f"multipliers must be whole numbers of 1 or more, not {self.multipliers}"
            )
        if len(self.kernels) != levels or len(self.repeats) != levels:
            raise ValueError(
                f"kernels and repeats need one entry for each of the {levels} multipliers, not "
                f"{self.kernels} and {self.repeats}"
            )
        if any(k < 1 or k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels must be odd, not {self.kernels}")
        if min(self.repeats) < 0:
            raise ValueError(f"repeats must not be negative, not {self.repeats}")
        return self

    @property
    def depth(self) -> int:
        """Number of levels."""
        return len(self.multipliers)

    def normalised(self, spec: Tensor, photo: Tensor, truth: Tensor) -> Self:
        """Give the same settings with scales measured on (training) overdensities.

        The inputs' scale is their standard deviation for ``none``. For ``asinh`` it is the mean of
        |delta|, about twice which divides the linear from the logarithmic part. The output's is the
        standard deviation of the truth. Six digits are kept, so that scales, and with them the
        network, do not depend on the order of a sum, which changes with the number of threads.
        """

        def scale(delta: Tensor) -> float:
            size = delta.abs().mean(dtype=torch.float64) if asinh else delta.double().std()
            return _six_digits(float(size))

        asinh = self.transform == "asinh"
        return self.model_copy(
            update={
                "spec_scale": scale(spec),
                "photo_scale": scale(photo),
                "output_scale": _six_digits(float(truth.double().std())),
            }
        )


def _six_digits(scale: float) -> float:
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"a field to normalise by must vary: its scale is {scale!r}")
    return float(f"{scale:.6g}")


def _directly(step: Step, *inputs: Tensor) -> Tensor:
    return step(*inputs)


class _Untracked:
    """While it lasts, batch normalisations leave their running statistics as they are."""

    def __init__(self, network: nn.Module) -> None:
        self.norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
        self.kept: list[dict[str, Tensor]] = []

    def __enter__(self) -> None:
        # They update copies: checkpoint insists on a pass that saves as many tensors as the first.
        self.kept = [dict(norm.named_buffers()) for norm in self.norms]
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer.clone())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
        self.kept = []


class DualUNet(Network):
    """The paper's network; see the page of this module for what it is and what was chosen.

    Parameters
    ----------
    config : DualUNetConfig
        All of its settings.
    """

    Config = DualUNetConfig
    can_recompute = True
    config: DualUNetConfig

    def __init__(self, config: DualUNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DualUNetConfig()
        self.spec_encoder = Encoder(config.spec_width, config)
        self.photo_encoder = Encoder(config.photo_width, config)
        spec, photo = self.spec_encoder.widths, self.photo_encoder.widths
        joint = [a + b for a, b in zip(spec, photo, strict=True)]
        branches = [joint] if config.fusion == "skips" else [spec, photo]
        self.decoders = modules_of(Decoder(widths, config) for widths in branches)
        self.head = Convolution(joint[0], config.head_width, 3, config)
        self.last = nn.Conv3d(config.head_width, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Training starts from the mean field, not from noise.
        nn.init.zeros_(self.last.weight)

    @property
    def stride(self) -> int:
        """Total stride [cells], 2^(depth - 1)."""
        return 1 << len(self.spec_encoder.downs)

    @property
    def receptive_radius(self) -> int:
        """Farthest input cell that any output cell depends on, along one axis [cells].

        Followed back through the layers themselves, for every phase of the stride.
        """
        radius = 0
        for cell in range(self.stride):
            for decoder in self.decoders:
                wanted = decoder.reads(cells_read(self.last, self.head.reads((cell, cell))))
                for encoder in (self.spec_encoder, self.photo_encoder):
                    first, last = encoder.reads(wanted)
                    radius = max(radius, cell - first, last - cell)
        return radius

    def forward(self, inputs: Tensor) -> Tensor:
        """Estimate the true overdensity.

        Parameters
        ----------
        inputs : Tensor (batch, 2, nx, ny, nz)
            Spectroscopic and photometric overdensity. A mesh that the stride does not divide is
            padded with zeros at its upper end, and cropped again.

        Returns
        -------
        Tensor (batch, 1, nx, ny, nz)
            Overdensity of the photometric sample at true redshifts.
        """
        config = self.config
        mesh = inputs.shape[2:]
        extra = [-n % self.stride for n in mesh]
        if any(extra):
            inputs = functional.pad(inputs, (0, extra[2], 0, extra[1], 0, extra[0]))
        spec = inputs[:, :1] / config.spec_scale
        photo = inputs[:, 1:] / config.photo_scale
        if config.transform == "asinh":
            spec, photo = torch.asinh(spec), torch.asinh(photo)
        run = self._recomputed if self.recompute and torch.is_grad_enabled() else _directly
        seen = [self.spec_encoder(run, spec), self.photo_encoder(run, photo)]
        if config.fusion == "skips":
            seen = [[torch.cat(pair, dim=1) for pair in zip(*seen, strict=True)]]
        features = [decode(run, levels) for decode, levels in zip(self.decoders, seen, strict=True)]
        output = run(self._outputs, *features)
        return output[:, :, : mesh[0], : mesh[1], : mesh[2]]

    def _outputs(self, *features: Tensor) -> Tensor:
        joined = features[0] if len(features) == 1 else torch.cat(features, dim=1)
        output: Tensor = self.last(self.head(joined)) * self.config.output_scale
        return output

    def _recomputed(self, step: Step, *inputs: Tensor) -> Tensor:
        """Run a step, of which only the inputs are kept for its gradients."""

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            # The running statistics have seen this batch when it comes again.
            return nullcontext(), _Untracked(self)

        # Dropout draws the same numbers again: checkpoint restores the random state.
        output: Tensor = checkpoint(step, *inputs, use_reentrant=False, context_fn=contexts)
        return output


NETWORK = DualUNet
