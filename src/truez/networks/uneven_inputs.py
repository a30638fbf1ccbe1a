"""The inputs of a `truez.networks.column_net.ColumnNet` from surveys with uneven expected counts.

The network was trained on even surveys, whose fields are overdensities and terms of the Wiener
filter in Fourier space. Those of uneven surveys are, with f = n_s / n_p the share of the expected
photometric galaxies of a cell that have a spectrum, d_s and d_p the parts that both surveys have in
delta_p (`truez.linear.uneven`), and d what the spectroscopic survey alone says of it,

    s, p    counts over expected counts, less 1,
    w_s s   (1 - f) d_s + f s,
    w_p p   (1 - f) d_p,
    prior   max(1 + (1 - f) d + f s, floor),

since the photometric sample consists of the galaxies with spectra, whose places are known, and the
others. The surplus over the prior is that of the photometric galaxies without spectra, each class
of them with its own p(photo-z | z). Where no photometric galaxies are expected all fields are 0, as
they are beyond the faces of a box. A local network reads f besides, the surplus over an even
intensity, and where photometric galaxies are expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from truez.linear.conjugate import slabs
from truez.linear.counts import CellCounts, over
from truez.linear.model import LinearModel
from truez.linear.uneven import (
    DEFAULT,
    FilterSettings,
    UnevenWiener,
    uneven_wiener,
    uneven_wiener_spec,
)
from truez.mesh.box import Box
from truez.networks.column_inputs import stacked
from truez.networks.conditions import Kind
from truez.sightlines.conserve import PhotoClass, surplus
from truez.sightlines.redistribution import with_margin
from truez.support.progress import Progress, silent


@dataclass(frozen=True, eq=False, kw_only=True)
class UnevenSamples:
    """Two surveys with uneven expected counts on a closed box.

    Parameters
    ----------
    spec : CellCounts
        Spectroscopic galaxies, as `uneven_wiener` takes them.
    photo : sequence of CellCounts
        Photometric galaxies without a spectrum, by classes of photo-z errors, likewise.
    spec_delta, photo_delta : Tensor (nx, ny, nz)
        Overdensities of all galaxies of both surveys, painted as for the network, 0 where none are
        expected.
    classes : sequence of PhotoClass
        Photometric galaxies without a spectrum, painted across the sky, with their ``expected`` in
        the cells of their kernels, whose true margins are the same.
    photo_expected : Tensor (nx, ny, nz)
        n_p, all photometric galaxies that are expected per true cell.
    common : float
        Share of the spectroscopic galaxies that are in the photometric sample.
    """

    spec: CellCounts
    photo: Sequence[CellCounts]
    spec_delta: Tensor
    photo_delta: Tensor
    classes: Sequence[PhotoClass]
    photo_expected: Tensor
    common: float = 1.0


@dataclass(frozen=True, eq=False)
class UnevenFields:
    """Fields of a column network for uneven surveys, and what they were made of.

    Parameters
    ----------
    values : Tensor (6, nx, ny, nz), or (9, nx, ny, nz) for a local network
        The fields of `ColumnNet.inputs`.
    floor_fraction : float
        Share of the cells where galaxies are expected in which the prior is at its floor.
    spec_alone : UnevenWiener
        The filter of the spectroscopic survey.
    """

    values: Tensor
    floor_fraction: float
    spec_alone: UnevenWiener


def uneven_fields(
    model: LinearModel,
    box: Box,
    samples: UnevenSamples,
    *,
    floor: float,
    kind: Kind = "even",
    settings: FilterSettings = DEFAULT,
    start: Tensor | None = None,
    progress: Progress = silent,
) -> UnevenFields:
    """The fields of `ColumnNet.inputs` for uneven surveys.

    Parameters
    ----------
    model : LinearModel
        As for `uneven_wiener`.
    box : Box
    samples : UnevenSamples
    floor : float
        Lowest intensity of the prior.
    kind : {"even", "local"}
        That of the network.
    settings : FilterSettings
    start : Tensor (nx, ny, nz), optional
        A guess of delta_s from the spectroscopic survey, see `uneven_wiener_spec`.
    progress : Progress
    """
    alone = uneven_wiener_spec(
        model, box, samples.spec, common=samples.common, settings=settings, start=start,
        progress=progress,
    )  # fmt: skip
    both = uneven_wiener(
        model, box, samples.spec, samples.photo, common=samples.common, parts=True,
        settings=settings, progress=progress,
    )  # fmt: skip
    assert both.from_spec is not None
    assert both.from_photo is not None
    inside = samples.photo_expected > 0
    # N(z) of the two surveys, fitted apart, may contradict each other.
    known = over(samples.common * samples.spec.expected, samples.photo_expected).clamp_(max=1)
    own, free = known * samples.spec_delta, 1 - known
    prior = 1 + free * alone.photo + own
    fields = [
        samples.spec_delta, samples.photo_delta, free * both.from_spec + own,
        free * both.from_photo,
    ]  # fmt: skip
    del both, own, free
    filled = float((prior < floor)[inside].double().mean())
    prior = torch.where(inside, prior.clamp_(min=floor), 1.0)
    fields += [prior.log(), _surplus(prior, samples.classes, inside)]
    if kind == "local":
        plain = _surplus(torch.ones_like(prior), samples.classes, inside)
        fields += [plain, known.expand(box.meshsize), inside.expand(box.meshsize)]
        del plain
    del prior, known
    values = stacked(fields)
    return UnevenFields(values.mul_(inside), filled, alone)


def _surplus(intensity: Tensor, classes: Sequence[PhotoClass], inside: Tensor) -> Tensor:
    """`truez.sightlines.conserve.surplus` over its mean inside, less 1."""
    result = torch.zeros_like(intensity)
    num, margin = intensity.shape[2], classes[0].kernel.true_margin
    inside = inside.expand(intensity.shape)
    for slab in slabs(intensity):
        parts = [_placed(one, slab) for one in classes]
        found = surplus(with_margin(intensity[slab], margin), parts).narrow(2, margin, num)
        result[slab] = torch.where(inside[slab], found, 0.0)
    mean = float(result.sum(dtype=torch.float64)) / max(int(inside.sum()), 1)
    return result.div_(mean).sub_(1) if mean > 0 else result


def _placed(one: PhotoClass, slab: slice) -> PhotoClass:
    """The sight lines of a slab, without galaxies where their photo-z allows no place."""
    assert one.expected is not None
    counts, expected = one.counts[slab], one.expected[slab]
    counts = torch.where(one.kernel.smear(expected) > 0, counts, 0.0)
    return replace(one, counts=counts, expected=expected)
