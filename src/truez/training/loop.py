"""The training loop: one function, to be read from top to bottom.

A run lives in a folder, see `truez.training.folder`. The training loss is the mean over the steps
since the row before, in train mode on crops padded with zeros; the validation loss is over fixed
sub-boxes in eval mode. Unless another objective is given, both are the mean squared error of the
overdensity (Eq. 4 of arXiv:2504.06309).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from truez.networks.network import Network, architecture_of, use_channels_last
from truez.networks.tiles import check_local
from truez.networks.weights import Header
from truez.support.files import write_text
from truez.training.config import FREE, TrainingConfig
from truez.training.folder import (
    BEST,
    Run,
    check_folder,
    check_whole,
    save_step,
    write_details,
    write_losses,
)
from truez.training.objective import Objective, mean_squared_error
from truez.training.optimizers import Optimizer
from truez.training.ranks import Ranks
from truez.training.samples import Source
from truez.training.state import State, check_step, read_checkpoint, write_checkpoint
from truez.training.validation import Judge

#: With fewer cells than the side of a kernel, gradients of convolutions in bf16 are wrong on CPUs,
#: and not reproducible (torch 2.13, avx512_bf16).
_LEAST_CELLS = 3


def train(
    config: TrainingConfig,
    network: Network,
    samples: Source,
    validation: Judge,
    run: Run,
    *,
    objective: Objective = mean_squared_error,
) -> State:
    """Train ``network``, in place, to estimate the truth from (spec, photo).

    Processes that have joined others (`truez.training.ranks`) train it together.

    Parameters
    ----------
    config : TrainingConfig
    network : Network
        Fresh, with its normalisation set; ends with the weights of the last step, with ``ema`` the
        averaged ones, in eval mode and on the device of the run.
    samples : Source
        Samples to train on, such as `truez.training.samples.Samples`.
    validation : Judge
        Fields that the weights are chosen by, such as `truez.training.validation.Validation`.
    run : Run
        Folder, device, and what the weights files say of the data.
    objective : function
        Loss of the network on a sample.

    Returns
    -------
    State
        With the losses and the lowest validation loss, which rank 0 alone knows.

    Raises
    ------
    ValueError
        If settings and samples do not fit, if the folder holds a run already, or if the loss
        stops being finite: the sentence says what to start from again.
    FileNotFoundError
        If there is nothing to resume.
    """
    device, ranks = torch.device(run.device), Ranks.current()
    check_folder(run.out, resume=run.resume)
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
        "survey": run.survey.model_dump(mode="json"),
        "start": run.recipe.get("start"),
        **ranks.described,
    }
    state = State()
    if run.resume:
        state = read_checkpoint(run.checkpoint, settings, network, optimizer, ema)
        check_step(run.checkpoint, state, steps)
    loss_of = ranks.averaged(network, lambda drawn: objective(network, drawn, config, device))
    provenance = {"seed": config.seed, "recipe": dict(run.recipe), **ranks.described}
    header = Header.of(network, samples.box, run.survey, provenance=provenance)
    if ranks.writes:
        if not run.resume:
            write_checkpoint(run.checkpoint, state, settings, network, optimizer, ema)
        text = {**settings, "training": config.model_dump(mode="json"), **header.provenance}
        write_text(run.out / "config.json", json.dumps(text, indent=2) + "\n")

    started = time.monotonic() - 60 * state.minutes
    network.train()
    note = ""
    while state.step < steps:
        sample = samples.draw(state.step, ranks.rank)
        # Dropout, too, depends on nothing but the seed, the step and the rank.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(ranks.seed(config.seed, state.step))
            loss = loss_of(sample)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip or math.inf)
        minutes = (time.monotonic() - started) / 60
        value, minutes = ranks.agree(float(loss.detach()), minutes)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            _stop("training loss", value, state.step + 1, run)
        optimizer.step(config.rate(state.step, steps, state.minutes))
        if ema is not None:
            _average(ema, network, min(config.ema, (1 + state.step) / (10 + state.step)))

        state.step += 1
        state.loss_sum += value
        state.loss_steps += 1
        state.minutes = minutes
        done = state.step == steps or 0 < config.max_minutes <= state.minutes
        if ranks.writes and (done or state.step % config.validate_every == 0):
            with _averaged(network, ema):
                judged = validation.judge(network, samples.shape, context=config.context)
                found = judged["loss"]
                if not math.isfinite(found):
                    _stop("validation loss", found, state.step, run)
                state.losses.append((state.step, state.loss_sum / state.loss_steps, found))
                if len(judged) > 1:
                    state.details.append({"step": state.step, **judged})
                state.loss_sum, state.loss_steps = 0.0, 0
                if state.best is None or found < state.best:
                    state.best = found
                    save_step(run.out / BEST, network, header, state)
            write_losses(run.out / "losses.csv", state)
            if state.details:
                write_details(run.out / "validation.csv", state)
            note = f", validation {found:.4g} (best {state.best:.4g})"
        if ranks.writes and (done or state.step % config.checkpoint_every == 0):
            with _averaged(network, ema):
                save_step(run.out / "last.safetensors", network, header, state)
            write_checkpoint(run.checkpoint, state, settings, network, optimizer, ema)
        run.progress("train", state.step, steps, f"loss {value:.4g}{note}")
        if done:
            break
    if ema is not None:
        network.load_state_dict(ema)
    ranks.spread(network.state_dict().values())
    network.eval()
    if ranks.writes:
        check_whole(run.out)
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


def _stop(name: str, value: float, step: int, run: Run) -> None:
    """End a run that has diverged, with what to do: its best weights are from before."""
    best, start = run.out / BEST, ""
    if best.is_file():
        start = f" with start = {best}, its best weights so far, and"
    raise ValueError(
        f"the {name} or its gradient is not finite at step {step} (loss {value:.4g}): train again"
        f"{start} with a lower training.learning_rate or a training.clip such as 1, into another "
        "folder"
    )
