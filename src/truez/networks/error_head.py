"""Variance of a redistribution: that of unknown redshifts, and that of the intensity itself.

Given its intensity, the counts of a cell have the variance of galaxies that are independently in it
or not (`truez.sightlines.conserve.variance`). The intensity has an error too, which moves whole
groups of galaxies, so the true variance is larger, the more so where more galaxies are expected:

    ln v = ln v_given + f(ln v_given, ln mean; conditions),

both in counts. How much galaxies are in groups differs between surveys that are alike in their
conditions. The strength s of their pairs, which the photo-z themselves say
(`truez.sightlines.pairs`), is the variance of what multiplies the intensity on scales that no cell
knows, of a gamma distribution; with n neighbours known, s / (1 + s n) of it is left. A head with a
term of pairs has

    v = v_given [ exp f + s exp g / (1 + s exp h) ],

with g and h of the same layers as f, so that v grows with s.

f is trained beside the intensity or after it, g and h after it, by the likelihood of the true
counts for a normal distribution of variance v. The likelihood is largest where v is the mean
squared error, for any distribution of the counts. f is 0 before training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from truez.networks.conditions import Conditions, centred

#: Cells with a smaller variance than this [counts^2] are left out of the training.
SMALLEST = 1e-3
#: Width of the hidden layers, where none is given.
HIDDEN = 16
#: Cells that are computed at a time, which bounds the memory.
_CELLS = 2**20
#: g and h before training.
_START = -1.0


class ErrorHead(nn.Module):
    """The functions f, g and h above.

    Parameters
    ----------
    num_conditions : int
    hidden : int
        Width of the hidden layers.
    pairs : bool
        Whether there is a term of pairs.
    """

    def __init__(self, num_conditions: int, hidden: int = HIDDEN, *, pairs: bool = False) -> None:
        super().__init__()
        self.hidden, self.pairs = hidden, pairs
        self.embed = nn.Linear(num_conditions, hidden)
        self.first = nn.Linear(2, hidden, bias=False)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 3 if pairs else 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        if pairs:
            nn.init.constant_(self.last.bias[1:], _START)

    def forward(
        self, variance: Tensor, mean: Tensor, conditions: Tensor, strength: Tensor | float = 0.0
    ) -> Tensor:
        """The whole variance of the counts.

        Parameters
        ----------
        variance : Tensor (...)
            Variance given the intensity [counts^2].
        mean : Tensor (...)
            Expected counts of the same galaxies.
        conditions : Tensor (num_conditions,) or (num_conditions, ...)
            Conditions of the survey, of order one; cell by cell they have the axes of the variance,
            or one cell along some of them.
        strength : float or Tensor (...)
            Of the pairs; without a term of pairs it has no part.

        Returns
        -------
        Tensor (...)
            [counts^2], float32.
        """
        survey = self.embed(conditions.float().movedim(0, -1))
        strong = torch.as_tensor(strength).to(variance).expand_as(variance)
        if torch.is_grad_enabled():
            return self._scaled(variance, mean, survey, strong)
        result = torch.empty_like(variance, memory_format=torch.contiguous_format)
        given, expected, whole = variance, mean, result
        if survey.ndim == 1:
            given, expected, strong = (x.reshape(-1) for x in (variance, mean, strong))
            whole = result.view(-1)
        rows = max(_CELLS // max(math.prod(given.shape[1:]), 1), 1)
        for start in range(0, len(whole), rows):
            part = slice(start, start + rows)
            here = survey[part] if survey.ndim > 1 and len(survey) > 1 else survey
            whole[part] = self._scaled(given[part], expected[part], here, strong[part])
        return result

    def _scaled(self, variance: Tensor, mean: Tensor, survey: Tensor, strength: Tensor) -> Tensor:
        logs = [x.clamp(min=SMALLEST).log() for x in (variance, mean)]
        hidden = functional.silu(self.first(torch.stack(logs, dim=-1)) + survey)
        hidden = functional.silu(self.second(hidden))
        change: Tensor = self.last(hidden)
        if not self.pairs:
            return variance * change[..., 0].exp()
        alone, groups, neighbours = change.exp().unbind(-1)
        return variance * (alone + strength * groups / (1 + strength * neighbours))


def variance_of(
    head: ErrorHead,
    given: Tensor,
    mean: Tensor,
    conditions: Tensor,
    density: Tensor | None = None,
    strength: float = 0.0,
    *,
    center: Tensor,
    scale: Tensor,
) -> Tensor:
    """The whole variance by a head, for conditions as they are.

    Parameters
    ----------
    head : ErrorHead
    given, mean : Tensor (...)
        As of `ErrorHead.forward`.
    conditions : Tensor (n,), or (n, nx or 1, ny or 1, nz) for ``given`` (nx, ny, nz)
        See `truez.networks.conditions`.
    density : Tensor (2, nx, ny, nz), optional
        ln of the galaxies per cell of both surveys, in place of those of the conditions.
    strength : float
        Of the pairs of galaxies.
    center, scale : Tensor (n,)
        Offset and scale of the conditions.
    """
    conditions = conditions.to(given)
    if density is not None:
        conditions = Conditions.of(conditions, density, given[None, None]).whole()[0]
    whole: Tensor = head(given, mean, centred(conditions, center, scale, axis=0), strength)
    return whole


def surprise(truth: Tensor, mean: Tensor, variance: Tensor, given: Tensor) -> Tensor:
    """Mean of -ln p of the true counts for a normal distribution, without its constant.

    Parameters
    ----------
    truth, mean : Tensor (...)
        True and expected counts.
    variance, given : Tensor (...)
        Variance of the whole error, and given the intensity [counts^2]; cells where the latter is
        below `SMALLEST` are left out.
    """
    counts = given >= SMALLEST
    safe = torch.where(counts, variance, 1.0)
    each = 0.5 * ((truth - mean).square() / safe + safe.log())
    return torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)
