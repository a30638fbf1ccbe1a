"""Settings of a training run, as a recipe gives them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field as Setting
from pydantic import model_validator

from truez.networks.precision import half_precision
from truez.support.settings import Settings
from truez.training.optimizers import Name

#: Settings that change nothing in the weights, and may change when a run is resumed.
FREE = {"max_minutes", "checkpoint_every", "recompute"}


class TrainingConfig(Settings):
    """Settings of `truez.training.loop.train`; defaults are the paper's where it gives them.

    Parameters
    ----------
    steps, epochs : int
        Length of the run; one of the two is given. An epoch is as many crops as fill the regions
        without overlap.
    crop : (3,) ints
        Cells of a crop; 0 is the whole axis of a region. With batch normalisation make it large:
        the statistics of a small crop differ from the running ones that an estimate uses (on a
        Gaussian toy, crops of 12^3 cells ended at an MSE of 0.28 in training, 0.48 in validation).
    batch : int
        Crops per step.
    mode, symmetries
        See `truez.training.samples.Samples`; a periodic universe has no grid of sub-boxes.
    margin : int
        Cells at a crop's faces that the loss leaves out.
    optimizer : {"adam", "muon"}
        See `truez.training.optimizers`.
    learning_rate, weight_decay : float
        Parameters of Adam.
    kernel_rate : float
        With Muon, the ratio of the learning rate of convolution kernels to ``learning_rate``.
    schedule : {"constant", "cosine"}
        Learning rate over the steps; the cosine falls to zero at the last step.
    fit_time : bool
        Let the cosine fall with the share of ``max_minutes`` that has passed, where that is more
        than the share of the steps: a run that is too slow for its steps then ends at a learning
        rate of zero as well. Such a run is not the same again.
    warmup : int
        Steps over which the learning rate rises linearly.
    clip : float
        Largest norm of the gradient; 0 is no limit.
    ema : float
        Decay per step of the averaged weights that are validated and saved; 0 is none.
    validate_every, checkpoint_every : int
        Steps between them; the last step does both.
    context : bool
        Validate with the fields around each sub-box, as in an estimate of a whole field; or with
        zeros around it, as the paper does.
    max_minutes : float
        Time after which the run ends as at its last step, counting all its parts; 0 is no limit.
    bf16 : bool or "everywhere"
        bfloat16 on a GPU; "everywhere": on a CPU too, where one with instructions for it
        (avx512_bf16, amx_bf16 in /proc/cpuinfo) is two to three times as fast, and others are
        slower. Crops must then have three cells after the network's strides.
    channels_last : bool
        Memory layout of the convolutions; which one is faster depends on widths and machine.
    recompute : bool
        Keep less of the forward pass and compute it again in the backward pass, where the network
        can: a third more work, less than half the memory, the same weights.
    seed : int
        Seed of crops, symmetries and dropout.
    """

    steps: Annotated[int, Setting(ge=0)] = 0
    epochs: Annotated[int, Setting(ge=0)] = 0
    crop: tuple[int, int, int] = (100, 100, 100)
    batch: Annotated[int, Setting(ge=1)] = 2
    mode: Literal["random", "grid"] = "random"
    symmetries: bool = True
    margin: Annotated[int, Setting(ge=0)] = 0
    optimizer: Name = "adam"
    learning_rate: Annotated[float, Setting(gt=0, le=10)] = 3.9e-4
    weight_decay: Annotated[float, Setting(ge=0)] = 0.0
    kernel_rate: Annotated[float, Setting(gt=0)] = 1.0
    schedule: Literal["constant", "cosine"] = "constant"
    fit_time: bool = False
    warmup: Annotated[int, Setting(ge=0)] = 0
    clip: Annotated[float, Setting(ge=0)] = 0.0
    ema: Annotated[float, Setting(ge=0, lt=1)] = 0.0
    validate_every: Annotated[int, Setting(ge=1)] = 100
    checkpoint_every: Annotated[int, Setting(ge=1)] = 100
    context: bool = True
    max_minutes: Annotated[float, Setting(ge=0)] = 0.0
    bf16: bool | Literal["everywhere"] = True
    channels_last: bool = False
    recompute: bool = False
    seed: Annotated[int, Setting(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError(
                f"steps = {self.steps} and epochs = {self.epochs} cannot be the length of a run: "
                "set one of the two to 0, and only one"
            )
        if self.optimizer == "adam" and self.kernel_rate != 1:
            raise ValueError("kernel_rate is for optimizer = muon: leave it out")
        if self.optimizer == "muon" and self.weight_decay:
            raise ValueError("weight_decay is for optimizer = adam: leave it out")
        if self.fit_time and (self.schedule == "constant" or self.max_minutes == 0):
            raise ValueError("fit_time is for schedule = cosine with max_minutes: leave it out")
        if min(self.crop) < 0:
            raise ValueError(f"crop must hold numbers of at least 0, not {list(self.crop)}")
        if any(0 < n <= 2 * self.margin for n in self.crop):
            shortest = min(n for n in self.crop if n)
            raise ValueError(
                f"margin of {self.margin} cells leaves nothing of a crop of "
                f"{' x '.join(map(str, self.crop))} cells: take at most {(shortest - 1) // 2}"
            )
        return self

    def rate(self, step: int, steps: int, minutes: float = 0.0) -> float:
        """Learning rate of ``step``, counted from 0, in a run of ``steps``, after ``minutes``."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if self.schedule == "constant":
            return self.learning_rate * rise
        way = max(step - self.warmup, 0) / max(steps - self.warmup, 1)
        if self.fit_time:
            way = min(max(way, minutes / self.max_minutes), 1.0)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * way))

    def precision(self, device: torch.device) -> torch.autocast:
        """Context in which the network runs on ``device``."""
        enabled = self.bf16 == "everywhere" or (self.bf16 and device.type == "cuda")
        return half_precision(device, enabled=enabled)
