"""A local approximation to the Wiener filter of uneven counts, for very large boxes.

The filters ``(S^-1 + n_i)^-1 n_i`` of some levels n_i of expected counts, each applied to
``c / n - 1`` everywhere and mixed in every cell linearly in ln n. Each level takes one convolution,
so that 8 of them take the time of as many iterations of `truez.linear.uneven.uneven_wiener_spec`,
however uneven the counts are. Where these fall by 20, with holes, the mean squared error is 1 to 6%
above the optimum (n P of 20 to 600 at the most), and the field differs by 10 to 20% rms. Of even
counts it is exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from truez.linear.conjugate import slabs
from truez.linear.counts import CellCounts
from truez.linear.filter import padded_box
from truez.linear.signal import SignalMesh
from truez.linear.uneven import (
    DEFAULT,
    FilterSettings,
    UnevenWiener,
    check_samples,
    uneven_wiener_spec,
    with_galaxies,
)
from truez.mesh.box import Box

if TYPE_CHECKING:
    from torch import Tensor

    from truez.linear.model import LinearModel

#: The lowest level over the highest.
_LOWEST_LEVEL = 1e-3


def check_filter(name: str, *, both: bool = False) -> None:
    """Raise an error for a filter that is neither "exact" nor "local".

    The local approximation is one of the spectroscopic survey, and not of ``both``.
    """
    if name not in ("exact", "local"):
        raise ValueError(f"filter must be exact or local, not {name!r}")
    if both and name == "local":
        raise ValueError(
            "filter must be exact for both surveys, as local is of the spectroscopic one alone: "
            "leave filter out, or choose method wiener-spec"
        )


def spec_filter(
    model: LinearModel, box: Box, spec: CellCounts, *, name: str = "exact", **given: Any
) -> UnevenWiener:
    """The filter of the spectroscopic survey by its name.

    Parameters
    ----------
    model, box, spec
        As in `uneven_wiener_spec`.
    name : {"exact", "local"}
        `truez.linear.uneven.uneven_wiener_spec` or `local_wiener_spec`.
    **given
        ``photo_expected``, ``common`` and ``settings`` of both.
    """
    check_filter(name)
    chosen = uneven_wiener_spec if name == "exact" else local_wiener_spec
    return chosen(model, box, spec, **given)


def local_wiener_spec(
    model: LinearModel,
    box: Box,
    spec: CellCounts,
    *,
    photo_expected: Tensor | None = None,
    common: float = 1.0,
    settings: FilterSettings = DEFAULT,
    num_levels: int = 8,
) -> UnevenWiener:
    """The local approximation, see the module.

    Parameters
    ----------
    model, box, spec, photo_expected, common, settings
        As in `uneven_wiener_spec`.
    num_levels : int
        Levels from the highest n down to the lowest, a thousandth of the highest at the least.

    Returns
    -------
    UnevenWiener
        Without iterations and residual.

    Raises
    ------
    ValueError
        As `uneven_wiener_spec`, or for fewer than 2 levels.
    """
    check_samples(box, [("spec", spec)], common)
    if num_levels < 2:
        raise ValueError(f"num_levels must be at least 2, not {num_levels!r}")
    mesh = SignalMesh(padded_box(box, 0.0), spec.counts)
    signal = mesh.signal(model, settings.resampler)
    expected = spec.expected.expand(box.meshsize)
    highest = float(expected.max())
    parts = (part[part > 0] for part in (expected[slab] for slab in slabs(expected)))
    least = min(float(part.min()) for part in parts if len(part))
    lowest = max(least, _LOWEST_LEVEL * highest)
    # A step above 0 serves an even survey too.
    step = max(math.log(highest / lowest) / (num_levels - 1), 1e-6)
    nx, ny, nz = box.meshsize
    data, room = mesh.padded(spec.counts - expected), mesh.room()
    for slab in slabs(expected):
        data[:nx, :ny, :nz][slab] /= expected[slab].clamp(min=lowest)
    delta = torch.zeros(box.meshsize, dtype=data.dtype, device=data.device)
    photo = delta if signal.same else torch.zeros_like(delta)
    for number in range(num_levels):
        level = math.log(lowest) + number * step
        filtered = signal.filtered(math.exp(level))
        fields = [(delta, filtered.spec)]
        fields += [] if signal.same else [(photo, filtered.cross)]
        for field, octant in fields:
            room.copy_(data)
            mesh.multiply_(room, octant * math.exp(level))
            for slab in slabs(field):
                place = expected[slab].clamp(min=lowest).log().sub_(level).div_(step)
                field[slab] += (1 - place.abs()).clamp(min=0) * room[:nx, :ny, :nz][slab]
    target = with_galaxies(delta, photo, spec, photo_expected, common)
    return UnevenWiener(delta, photo, target, 0, math.nan)
