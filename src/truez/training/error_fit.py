"""An error head fitted to cells of views, and how well its variance is that of the errors.

The loss is `truez.networks.error_head.surprise`, each view weighing the same. It is least where
the variance is the mean squared error, for any distribution of the counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field as Setting
from torch import Tensor

from truez.networks.conditions import centred, scaling_of
from truez.networks.error_head import ErrorHead, surprise, variance_of
from truez.support.progress import Progress, silent
from truez.support.settings import Settings
from truez.training.error_cells import ErrorCells, gathered

#: Parts of the cells, by their variance, of which it is shown whether it is that of the errors.
PARTS = 10


class FitConfig(Settings):
    """Settings of the fit of an error head.

    Parameters
    ----------
    steps : int
    batch : int
        Cells of each view in a step.
    learning_rate : float
        Of Adam; it falls to zero as a cosine.
    seed : int
    """

    steps: Annotated[int, Setting(ge=1)] = 800
    batch: Annotated[int, Setting(ge=1)] = 500
    learning_rate: Annotated[float, Setting(gt=0, le=1)] = 5e-3
    seed: Annotated[int, Setting(ge=0, lt=2**31)] = 0


def fit_head(
    head: ErrorHead, cells: Sequence[ErrorCells], config: FitConfig, *, progress: Progress = silent
) -> ErrorHead:
    """Fit an error head to cells.

    Parameters
    ----------
    head : ErrorHead
        Of the conditions of a local network; it is changed.
    cells : sequence of ErrorCells
        Of the views, one each; those without any do not count.
    config : FitConfig
    progress : Progress

    Returns
    -------
    ErrorHead
        The same head.

    Raises
    ------
    ValueError
        If there are no cells.
    """
    cells = [one for one in cells if len(one)]
    if not cells:
        raise ValueError(
            "in no cell of the views an error is expected, as they have too few photometric "
            "galaxies without a spectrum: make others with truez views"
        )
    values, conditions = _joined(cells)
    sizes = torch.tensor([len(one) for one in cells])
    starts = sizes.cumsum(0) - sizes
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(head.parameters(), lr=config.learning_rate)
    for step in range(config.steps):
        if step % 100 == 0:
            progress("error head", step, config.steps)
        rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        share = torch.rand((len(sizes), config.batch), generator=generator, dtype=torch.float64)
        place = (starts[:, None] + (share * sizes[:, None]).long()).flatten()
        truth, mean, given, strength = values[place].unbind(1)
        variance = head(given, mean, conditions[place].T, strength)
        loss = surprise(truth, mean, variance, given)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    progress("error head", config.steps, config.steps)
    return head


def _joined(cells: Sequence[ErrorCells]) -> tuple[Tensor, Tensor]:
    """Counts and strengths of pairs (n, 4), conditions (n, 10) of the cells, view by view."""
    values = torch.cat([
        torch.stack([one.truth, one.mean, one.given, torch.full_like(one.mean, one.strength)], 1)
        for one in cells
    ])  # fmt: skip
    center, scale = scaling_of("local")
    conditions = [centred(one.conditions, center, scale, axis=0).T for one in cells]
    return values, torch.cat(conditions)


def predicted(head: ErrorHead | None, cells: ErrorCells) -> Tensor:
    """The variance of cells by a head [counts^2], or without one that given the intensity, (n,)."""
    if head is None:
        return cells.given
    center, scale = scaling_of("local")
    with torch.no_grad():
        return variance_of(
            head, cells.given, cells.mean, cells.conditions, strength=cells.strength,
            center=center, scale=scale,
        )  # fmt: skip


def calibration(head: ErrorHead | None, cells: Sequence[ErrorCells]) -> dict[str, list[float]]:
    """Squared error over predicted variance, by kinds of surveys.

    Parameters
    ----------
    head : ErrorHead, optional
        Without one the variance is that given the intensity.
    cells : sequence of ErrorCells

    Returns
    -------
    mapping of str to list of float
        Of each kind the mean over all its cells, and those of the tenths of its cells, from the
        smallest to the largest variance.
    """
    result = {}
    for kind, some in gathered(cells).items():
        variance = np.concatenate([predicted(head, one).double().numpy() for one in some])
        error = np.concatenate([(one.truth - one.mean).double().square().numpy() for one in some])
        if not len(error):
            continue
        ratio = (error / variance)[np.argsort(variance, kind="stable")]
        parts = [part for part in np.array_split(ratio, PARTS) if len(part)]
        result[kind] = [float(ratio.mean()), *(float(part.mean()) for part in parts)]
    return result


def mean_surprise(head: ErrorHead | None, cells: Sequence[ErrorCells]) -> float:
    """The loss of a head: the mean over the kinds of surveys of that of their views."""
    kinds = []
    for some in gathered([one for one in cells if len(one)]).values():
        each = [
            float(surprise(one.truth, one.mean, predicted(head, one), one.given)) for one in some
        ]
        kinds.append(math.fsum(each) / len(each))
    return math.fsum(kinds) / max(len(kinds), 1)


def table(found: Mapping[str, Sequence[float]]) -> str:
    """Lines of text of a `calibration`."""
    width = max(map(len, found), default=0)
    return "\n".join(
        f"{kind:<{width}}  {values[0]:.3f}  " + " ".join(f"{value:.2f}" for value in values[1:])
        for kind, values in found.items()
    )
