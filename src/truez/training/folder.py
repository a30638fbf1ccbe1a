"""The folder of a training run.

    config.json             resolved settings, data, surveys and recipe
    losses.csv              step, training loss, validation loss
    validation.csv          step and all numbers of a validation, if there are more than its loss
    best.safetensors        weights of the lowest validation loss
    last.safetensors        weights of the step of the last checkpoint
    checkpoint.safetensors  all that a resumed run needs

With ``ema`` the weights files hold the averaged weights, and the checkpoint those of the step too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from truez.networks.network import Network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, save_weights
from truez.support.files import write_text
from truez.support.folders import refuse_foreign
from truez.support.progress import Progress, silent
from truez.support.temporaries import remove_all_partial
from truez.training.ranks import Ranks
from truez.training.state import State, check_checkpoint, stored_settings

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
#: All that a run may write, with the figure of its losses.
FILES = (
    "config.json", "losses.csv", "validation.csv", BEST, "last.safetensors",
    "losses.png", "losses.pdf",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A training run: its folder, what its files say of the data, and where it computes.

    Parameters
    ----------
    out : Path
        Folder of the run.
    survey : SurveyLimits
        Surveys of the samples, for the weights files.
    recipe : mapping
        Settings as the user gave them, for the weights files.
    resume : bool
        Resume the run in ``out``. On a CPU the result is the same to the last bit as that of a run
        that never stopped (with the same number of threads).
    device : torch.device or str
        Where the network is trained.
    progress : Progress
    """

    out: Path
    survey: SurveyLimits
    recipe: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    device: torch.device | str = "cpu"
    progress: Progress = silent

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.out / CHECKPOINT


def check_folder(out: str | Path, *, resume: bool) -> None:
    """Refuse a folder that holds a run already, no run that can be resumed, or files of others.

    Raises
    ------
    ValueError, FileNotFoundError
    """
    ranks = Ranks.current()
    if not (resume or ranks.writes):
        return  # rank 0 may have begun to write
    # Written before the first step, so that a run can be resumed whenever it is killed.
    there = (Path(out) / CHECKPOINT).is_file()
    if resume and not there:
        shared = f" for rank {ranks.rank}" if ranks.rank else ""
        raise FileNotFoundError(
            f"there is no run to resume in {out}: {CHECKPOINT} is missing{shared}"
        )
    if resume:
        check_checkpoint(Path(out) / CHECKPOINT)
        began = stored_settings(Path(out) / CHECKPOINT).get("num_ranks", 1)
        if began != ranks.num_ranks:
            how = "without torchrun" if began == 1 else f"with torchrun and {began} processes"
            raise ValueError(
                f"the run in {out} is one of {began} processes, not {ranks.num_ranks}: resume it "
                f"{how}, or train into another folder"
            )
    if not ranks.writes:
        return
    if there and not resume:
        raise ValueError(f"{out} already holds a run: give resume, or choose another out")
    refuse_foreign(out, (*FILES, CHECKPOINT), own=[CHECKPOINT], maker="truez train")
    if there:
        remove_all_partial(out)


def check_whole(out: str | Path) -> None:
    """Refuse the folder of a run that has ended, if a file of it was removed meanwhile.

    Raises
    ------
    FileNotFoundError
    """
    for name in (CHECKPOINT, "config.json", "losses.csv", "best.safetensors", "last.safetensors"):
        if not (Path(out) / name).is_file():
            raise FileNotFoundError(
                f"{Path(out) / name} was removed during the training: train again, into another "
                "folder"
            )


def write_losses(path: Path, state: State) -> None:
    """Write the losses so far as a table: step, train, validation."""
    rows = [f"{step},{train!r},{validation!r}" for step, train, validation in state.losses]
    write_text(path, "\n".join(["step,train,validation", *rows]) + "\n")


def write_details(path: Path, state: State) -> None:
    """Write all numbers of the validations so far as a table."""
    names = list(state.details[0])
    rows = [",".join(repr(row[name]) for name in names) for row in state.details]
    write_text(path, "\n".join([",".join(names), *rows]) + "\n")


def save_step(path: Path, network: Network, header: Header, state: State) -> None:
    """Write the weights of a step, with its number and validation loss in the header."""
    facts = {"step": state.step, "validation_loss": state.losses[-1][2] if state.losses else None}
    own = header.model_copy(update={"provenance": {**header.provenance, **facts}})
    save_weights(path, network, own)
