"""The training loop: one function, to be read from top to bottom.

A run lives in a folder:

    config.json             the resolved settings, what was trained on, survey and recipe
    losses.csv              step, train, validation
    validation.csv          step and all that a validation tells, where that is more than its loss
    best.safetensors        weights of the lowest validation loss
    last.safetensors        weights of the last checkpoint's step
    checkpoint.safetensors  everything that ``resume`` needs

With ``ema`` the weights files hold the averaged weights, and the checkpoint those of the step too.

The training loss is the mean over the steps since the row before, in train mode on crops padded
with zeros; the validation loss is over fixed sub-boxes in eval mode. Unless another objective is
given, both are the mean squared error of the overdensity (Eq. 4 of arXiv:2504.06309).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting
from torch import Tensor, nn

from truez.networks.network import Network, architecture_of, use_channels_last
from truez.networks.tiles import check_local
from truez.networks.weights import Header, Survey, save_weights
from truez.support.files import write_text
from truez.support.progress import Progress, silent
from truez.training.optimizers import Name, Optimizer
from truez.training.samples import Source
from truez.training.state import State, read_checkpoint, write_checkpoint
from truez.training.validation import Judge

CHECKPOINT = "checkpoint.safetensors"
#: Settings that change nothing in the weights, and may change when a run goes on.
FREE = {"max_minutes", "checkpoint_every", "recompute"}
#: With fewer cells than the side of a kernel, gradients of convolutions in bf16 are wrong on CPUs,
#: and not twice the same (torch 2.13, avx512_bf16).
_LEAST_CELLS = 3


class TrainingConfig(BaseModel):
    """Settings of `train`; the defaults that the paper gives are the paper's.

    Parameters
    ----------
    steps, epochs : int
        Length of the run, one of the two. An epoch is as many crops as fill the regions side by
        side.
    crop : (3,) ints
        Cells of a crop; 0 is the whole axis of a region. With batch normalisation make it large:
        the statistics of a small crop differ from the running ones that an estimate uses (on a
        Gaussian toy, crops of 12^3 cells ended at an MSE of 0.28 in training, 0.48 in validation).
    batch : int
        Crops per step.
    mode, symmetries
        See `truez.training.samples.Samples`; a universe knows no grid, since it has no faces.
    margin : int
        Cells at a crop's faces that the loss leaves out.
    optimizer : {"adam", "muon"}
        See `truez.training.optimizers`.
    learning_rate, weight_decay : float
        Of Adam.
    kernel_rate : float
        With Muon, the learning rate of convolution kernels over ``learning_rate``.
    schedule : {"constant", "cosine"}
        Cosine falls to zero at the last step.
    warmup : int
        Steps over which the learning rate rises linearly.
    clip : float
        Largest norm of the gradient; 0 is no limit.
    ema : float
        Decay per step of the averaged weights that are validated and saved; 0 is none.
    validate_every, checkpoint_every : int
        Steps between them; the last step does both.
    context : bool
        Validate with the fields around each sub-box, as an estimate of a whole field sees them; or
        with zeros around it, as the paper does.
    max_minutes : float
        Time after which the run ends as if it were done, counting all its parts; 0 is no limit.
    bf16 : bool or "everywhere"
        bfloat16 on a GPU; "everywhere": on a CPU too, where one with instructions for it
        (avx512_bf16, amx_bf16 in /proc/cpuinfo) is two to three times as fast, and others are
        slower. Crops must then have three cells after the network's strides.
    channels_last : bool
        Memory layout of the convolutions; which one is faster depends on widths and machine.
    recompute : bool
        Keep less of a pass forward and compute it again on the way back, where the network can: a
        third more work, less than half the memory, the same weights.
    seed : int
        Of crops, symmetries and dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[int, Setting(ge=0)] = 0
    epochs: Annotated[int, Setting(ge=0)] = 0
    crop: tuple[int, int, int] = (100, 100, 100)
    batch: Annotated[int, Setting(ge=1)] = 2
    mode: Literal["random", "grid"] = "random"
    symmetries: bool = True
    margin: Annotated[int, Setting(ge=0)] = 0
    optimizer: Name = "adam"
    learning_rate: Annotated[float, Setting(gt=0)] = 3.9e-4
    weight_decay: Annotated[float, Setting(ge=0)] = 0.0
    kernel_rate: Annotated[float, Setting(gt=0)] = 1.0
    schedule: Literal["constant", "cosine"] = "constant"
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
            raise ValueError("one of steps and epochs must be given, and only one")
        if self.optimizer == "adam" and self.kernel_rate != 1:
            raise ValueError("kernel_rate is for optimizer = muon: leave it out")
        if self.optimizer == "muon" and self.weight_decay:
            raise ValueError("weight_decay is for optimizer = adam: leave it out")
        if min(self.crop) < 0:
            raise ValueError(f"crop must not be negative, not {self.crop}")
        if any(0 < n <= 2 * self.margin for n in self.crop):
            raise ValueError(f"margin of {self.margin} cells leaves nothing of a crop {self.crop}")
        return self

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of ``step``, counted from 0, in a run of ``steps``."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if self.schedule == "constant":
            return self.learning_rate * rise
        way = max(step - self.warmup, 0) / max(steps - self.warmup, 1)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * way))


#: The loss of a network on what a source draws.
Objective = Callable[[Network, Any, TrainingConfig, torch.device], Tensor]


def mean_squared_error(
    network: Network, sample: tuple[Tensor, Tensor], config: TrainingConfig, device: torch.device
) -> Tensor:
    """Mean squared error of the truth, without the margin at the crop's faces."""
    inputs, truth = (t.to(device) for t in sample)
    if config.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
    with autocast(config, device):
        estimate = network(inputs)
    x, y, z = (slice(config.margin, n - config.margin) for n in truth.shape[2:])
    return nn.functional.mse_loss(estimate.float()[..., x, y, z], truth[..., x, y, z])


def autocast(config: TrainingConfig, device: torch.device) -> torch.autocast:
    """The context in which a network runs with the precision of ``config``."""
    enabled = config.bf16 == "everywhere" or (config.bf16 and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def train(
    config: TrainingConfig,
    network: Network,
    samples: Source,
    validation: Judge,
    *,
    out: str | Path,
    survey: Survey,
    objective: Objective = mean_squared_error,
    recipe: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> State:
    """Train ``network``, in place, to turn (spec, photo) into truth.

    Parameters
    ----------
    config : TrainingConfig
    network : Network
        Fresh, with its normalisation set; ends with the weights of the last step, with ``ema`` the
        averaged ones, in eval mode and on ``device``.
    samples : Source
        What is trained on, such as `truez.training.samples.Samples`.
    validation : Judge
        What the weights are judged by, such as `truez.training.validation.Validation`.
    out : path
        Folder of the run, see above.
    survey : Survey
        What the samples were made from; goes into the weights files.
    objective : function
        Gives the loss of the network on a sample.
    recipe : mapping, optional
        The settings as the user gave them; goes there too.
    resume : bool
        Go on with the run in ``out``. On a CPU the result is the same to the last bit as that of a
        run that never stopped (with the same number of threads).

    Returns
    -------
    State
        With the losses and the lowest validation loss.

    Raises
    ------
    ValueError
        If settings and samples do not fit, if ``out`` holds a run already, or if the loss
        stops being finite; the last checkpoint is then left as it was.
    FileNotFoundError
        If there is nothing to resume.
    """
    out, device = Path(out), torch.device(device)
    checkpoint = out / CHECKPOINT
    check_folder(out, resume=resume)
    check_local(network)
    if min(samples.shape) <= 2 * config.margin:
        raise ValueError(f"margin of {config.margin} cells leaves nothing of {samples.shape} cells")
    if config.recompute and not network.can_recompute:
        raise ValueError(
            f"recompute must be false for {architecture_of(network)}, which keeps all it needs"
        )
    check_half(config, samples.shape, network, device)
    network.recompute = config.recompute
    steps = config.steps or config.epochs * samples.steps_per_epoch

    network.to(device)
    if config.channels_last:
        use_channels_last(network)
    optimizer = Optimizer(
        config.optimizer,
        network,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        kernel_rate=config.kernel_rate,
    )
    # The averaged weights, with the running statistics of batch normalisation.
    ema = {k: t.clone() for k, t in network.state_dict().items()} if config.ema else None
    settings = {
        "training": config.model_dump(mode="json", exclude=FREE),
        **samples.describe(),
        **validation.describe(),
        "network": network.config.model_dump(mode="json"),
        "survey": survey.model_dump(mode="json"),
        "start": (recipe or {}).get("start"),
    }
    state = State()
    if resume:
        state = read_checkpoint(checkpoint, settings, network, optimizer, ema)
    provenance = {"seed": config.seed, "recipe": dict(recipe or {})}
    header = Header.of(network, samples.box, survey, provenance=provenance)
    if not resume:
        write_checkpoint(checkpoint, state, settings, network, optimizer, ema)
    text = {**settings, "training": config.model_dump(mode="json"), **header.provenance}
    write_text(out / "config.json", json.dumps(text, indent=2) + "\n")

    started = time.monotonic() - 60 * state.minutes
    network.train()
    note = ""
    while state.step < steps:
        sample = samples.draw(state.step)
        # Dropout, too, depends on nothing but the seed and the step.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed((config.seed << 32) + state.step)
            loss = objective(network, sample, config, device)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip or math.inf)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            _stop("training loss", value, state.step + 1, checkpoint)
        optimizer.step(config.rate(state.step, steps))
        if ema is not None:
            _average(ema, network, min(config.ema, (1 + state.step) / (10 + state.step)))

        state.step += 1
        state.loss_sum += value
        state.loss_steps += 1
        state.minutes = (time.monotonic() - started) / 60
        done = state.step == steps or 0 < config.max_minutes <= state.minutes
        if done or state.step % config.validate_every == 0:
            with _averaged(network, ema):
                told = validation.judge(network, samples.shape, context=config.context)
                judged = told["loss"]
                if not math.isfinite(judged):
                    _stop("validation loss", judged, state.step, checkpoint)
                state.losses.append((state.step, state.loss_sum / state.loss_steps, judged))
                if len(told) > 1:
                    state.details.append({"step": state.step, **told})
                state.loss_sum, state.loss_steps = 0.0, 0
                if state.best is None or judged < state.best:
                    state.best = judged
                    _save(out / "best.safetensors", network, header, state)
            write_losses(out / "losses.csv", state)
            if state.details:
                write_details(out / "validation.csv", state)
            note = f", validation {judged:.4g} (best {state.best:.4g})"
        if done or state.step % config.checkpoint_every == 0:
            with _averaged(network, ema):
                _save(out / "last.safetensors", network, header, state)
            write_checkpoint(checkpoint, state, settings, network, optimizer, ema)
        progress("train", state.step, steps, f"loss {value:.4g}{note}")
        if done:
            break
    if ema is not None:
        network.load_state_dict(ema)
    network.eval()
    return state


def check_half(
    config: TrainingConfig, shape: Sequence[int], network: Network, device: torch.device
) -> None:
    """Refuse crops of a shape for which a CPU's bf16 kernels are wrong.

    Raises
    ------
    ValueError
    """
    least = _LEAST_CELLS * network.stride
    if config.bf16 == "everywhere" and device.type == "cpu" and min(shape) < least:
        raise ValueError(
            f"training.crop of {min(shape)} cells is too small for bf16 on a CPU, whose "
            f"convolutions then give wrong gradients: take {least} cells or more, or bf16 = false"
        )


def check_folder(out: str | Path, *, resume: bool) -> None:
    """Refuse a folder that holds a run already, or no run to resume.

    Raises
    ------
    ValueError, FileNotFoundError
    """
    # Written before the first step, so that a run can be resumed whenever it is killed.
    there = (Path(out) / CHECKPOINT).is_file()
    if resume and not there:
        raise FileNotFoundError(f"there is no run to resume in {out}: {CHECKPOINT} is missing")
    if there and not resume:
        raise ValueError(f"out = {out} already holds a run: resume it, or choose another folder")


def write_losses(path: Path, state: State) -> None:
    """Write the losses so far as a table: step, train, validation."""
    rows = [f"{step},{train!r},{validation!r}" for step, train, validation in state.losses]
    write_text(path, "\n".join(["step,train,validation", *rows]) + "\n")


def write_details(path: Path, state: State) -> None:
    """Write all that validations told as a table."""
    names = list(state.details[0])
    rows = [",".join(repr(row[name]) for name in names) for row in state.details]
    write_text(path, "\n".join([",".join(names), *rows]) + "\n")


@contextmanager
def _averaged(network: Network, ema: dict[str, Tensor] | None) -> Iterator[None]:
    """Give the network its averaged weights, if there are any, and then its own again."""
    if ema is None:
        yield
        return
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(ema)
    try:
        yield
    finally:
        network.load_state_dict(own)


@torch.no_grad()
def _average(ema: dict[str, Tensor], network: Network, decay: float) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            ema[name].lerp_(tensor, 1 - decay)
        else:
            ema[name].copy_(tensor)


def _save(path: Path, network: Network, header: Header, state: State) -> None:
    facts = {"step": state.step, "validation_loss": state.losses[-1][2] if state.losses else None}
    own = header.model_copy(update={"provenance": {**header.provenance, **facts}})
    save_weights(path, network, own)


def _stop(name: str, value: float, step: int, checkpoint: Path) -> None:
    raise ValueError(
        f"the {name} or its gradient is not finite at step {step} (loss {value}): lower "
        f"learning_rate or set clip; {checkpoint} holds the last good state"
    )
