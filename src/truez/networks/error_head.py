"""Errors of a redistribution, from what unknown redshifts leave to what is found.

Given its intensity, the posterior mean of a cell has the variance of galaxies that lie there or
not, one by one (`truez.sightlines.conserve.variance`). The intensity has an error of its own, which
moves whole groups of galaxies, so the true variance is larger, and more so where more are expected:

    ln v = ln v_given + f(ln v_given, ln mean; conditions),

both in counts. f is learned beside the intensity, by the likelihood of the true counts for a normal
distribution of variance v, whose maximum is their mean square whatever their distribution is. It is
0 before training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Cells whose count is known better than this [counts^2] are left out of what is learned.
SMALLEST = 1e-3
_HIDDEN = 16
#: Cells that are worked on at a time, which bounds the memory.
_CELLS = 2**20


class ErrorHead(nn.Module):
    """f of this module.

    Parameters
    ----------
    num_conditions : int
    """

    def __init__(self, num_conditions: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_conditions, _HIDDEN)
        self.first = nn.Linear(2, _HIDDEN, bias=False)
        self.second = nn.Linear(_HIDDEN, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, variance: Tensor, mean: Tensor, conditions: Tensor) -> Tensor:
        """The whole variance of the counts.

        Parameters
        ----------
        variance : Tensor (...)
            Given the intensity [counts^2].
        mean : Tensor (...)
            Expected counts of the same galaxies.
        conditions : Tensor (num_conditions,)
            Of the survey, of order one.

        Returns
        -------
        Tensor (...)
            [counts^2], float32.
        """
        survey = self.embed(conditions.float())
        if not torch.is_grad_enabled():
            result = torch.empty_like(variance, memory_format=torch.contiguous_format)
            given, expected, whole = variance.reshape(-1), mean.reshape(-1), result.view(-1)
            for start in range(0, len(whole), _CELLS):
                part = slice(start, start + _CELLS)
                whole[part] = self._scaled(given[part], expected[part], survey)
            return result
        return self._scaled(variance, mean, survey)

    def _scaled(self, variance: Tensor, mean: Tensor, survey: Tensor) -> Tensor:
        logs = [x.clamp(min=SMALLEST).log() for x in (variance, mean)]
        hidden = functional.silu(self.first(torch.stack(logs, dim=-1)) + survey)
        hidden = functional.silu(self.second(hidden))
        change: Tensor = self.last(hidden)[..., 0]
        return variance * change.exp()


def surprise(truth: Tensor, mean: Tensor, variance: Tensor, given: Tensor) -> Tensor:
    """Mean of -ln p of true counts, for a normal distribution and less its constant.

    Parameters
    ----------
    truth, mean : Tensor (...)
        [counts]
    variance, given : Tensor (...)
        Of the whole error, and given the intensity [counts^2]; cells where the latter is below
        `SMALLEST` do not count.
    """
    counts = given >= SMALLEST
    safe = torch.where(counts, variance, 1.0)
    each = 0.5 * ((truth - mean).square() / safe + safe.log())
    return torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)
