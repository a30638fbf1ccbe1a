"""What the spectroscopic survey says of the photometric one in the patches of a shell.

The filter, on the cells of the patches or on smaller ones across the sky, part by part, and its
amplitude, which is fitted to the photo-z on the cells of the patches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.local import spec_filter
from truez.linear.model import LinearModel
from truez.linear.uneven import FilterSettings, UnevenWiener
from truez.mesh.box import Box
from truez.mesh.sky_box import SkyBox
from truez.sightlines.amplitude import AmplitudeFit, AmplitudeSample
from truez.sightlines.fine import fine_box, interpolated_across
from truez.sky.core import Core
from truez.sky.job import ShellJob, SkySettings
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import spec_cells
from truez.sky.settled import AMPLITUDE
from truez.sky.surveys import SkySurveys
from truez.support.memory import release_memory

#: Error of an amplitude that is relative to the mean at each redshift from which on one that is not
#: counts: in a field as narrow as the structures all structure is in the mean.
_CERTAIN = 0.1
#: Small cells that are filtered at a time, and what is read around them [Mpc/h].
_FINE_CELLS, _FINE_HALO = 2**25, 20.0

Range = tuple[int, int]


def spec_deltas(
    job: ShellJob, model: LinearModel | None, settings: SkySettings, *, number: int = 1
) -> tuple[list[int], float]:
    """What the spectroscopic survey says of the photometric one in the cores, and its amplitude.

    The fields are kept in the spill of the job, one number each.

    Parameters
    ----------
    job : ShellJob
    model : LinearModel, optional
        None: nothing is known.
    settings : SkySettings
    number : int
        How many small cells of the fields lie along a side of a cell across the sky.
    """
    fit = _amplitude_fit(job, settings, bias=False)
    kept: list[int] = []
    to_fit = settings.amplitude is None and job.is_open(AMPLITUDE)
    for core, found in _each_filtered(job, model, settings):
        delta = torch.zeros(core.box.meshsize) if found is None else core.cut(found.photo)
        if to_fit:
            _add_to_fit(fit, job.surveys, core, delta)
            if not job.makes_patches:  # it ends there
                continue
        if number > 1:
            delta = fine_delta(job, core, model, settings, number, found)
        kept.append(job.spill.keep(delta.numpy()))
    amplitude = settings.amplitude
    if amplitude is None:
        amplitude = _fitted_amplitude(job, fit)
    job.about["amplitude"] = amplitude
    return kept, amplitude


def spec_bias(
    job: ShellJob, model: LinearModel, settings: SkySettings
) -> tuple[list[int | None], float]:
    """delta_s of the spectroscopic survey in the patches, and the bias of the photometric one.

    The bias is the amplitude of delta_p, over that of the model. Filters of a model with another
    bias have the same delta_s, and can begin with it. It is kept in the spill of the job, one
    number each, None where no spectra are expected.
    """
    fit = _amplitude_fit(job, settings, bias=True)
    kept: list[int | None] = []
    for core, found in _each_filtered(job, model, settings):
        if found is None:
            kept.append(None)
        else:
            if job.is_open(AMPLITUDE):
                _add_to_fit(fit, job.surveys, core, core.cut(found.photo))
            kept.append(job.spill.keep(found.spec.numpy()))
    return kept, _fitted_amplitude(job, fit)


def _each_filtered(
    job: ShellJob, model: LinearModel | None, settings: SkySettings
) -> Iterator[tuple[Core, UnevenWiener | None]]:
    """The cores of a job, and the filters of their patches one after the other."""
    for place, core in enumerate(job.cores):
        job.progress("filter", place, len(job.cores))
        yield core, spec_filtered(job, PatchData(job.surveys, core.patch.box), model, settings)
        release_memory()
    job.progress("filter", len(job.cores), len(job.cores))


def spec_filtered(
    job: ShellJob, data: PatchData, model: LinearModel | None, settings: SkySettings, *,
    with_target: bool = False, start: Tensor | None = None,
) -> UnevenWiener | None:  # fmt: skip
    """The filter of the spectroscopic survey; None where it expects no galaxies."""
    spec = None if model is None else spec_cells(data)
    if model is None or spec is None:
        return None
    given: dict[str, Any] = {} if settings.filter == "local" else {"start": start}
    found = spec_filter(
        model, data.box, spec, photo_expected=data.expected_photo() if with_target else None,
        common=data.surveys.common, settings=FilterSettings(tolerance=settings.tolerance),
        name=settings.filter, **given,
    )  # fmt: skip
    job.note_filter(found)
    return found


def fine_delta(
    job: ShellJob, core: Core, model: LinearModel | None, settings: SkySettings, number: int,
    coarse: UnevenWiener | None,
) -> Tensor:  # fmt: skip
    """delta_p of the spectroscopic survey on small cells of the box of a core.

    Parameters
    ----------
    job : ShellJob
    core : Core
    model : LinearModel, optional
    settings : SkySettings
    number : int
        How many small cells lie along a side of a cell across the sky.
    coarse : UnevenWiener, optional
        The filter on the cells of the patch, which the one on small cells begins with; None where
        no spectra are expected.

    Returns
    -------
    Tensor (number nx, number ny, nz)
    """
    box, (low, _) = core.patch.box, zip(*core.limits, strict=True)
    nx, ny, nz = core.box.meshsize
    result = torch.zeros((number * nx, number * ny, nz))
    if coarse is None:
        return result
    for ranges in itertools.product(*_parts(core, number)):
        around = [
            (max(a - halo, 0), min(b + halo, num))
            for (a, b), halo, num in zip(ranges, _halos(box), box.meshsize, strict=False)
        ]
        (i, k), (j, n) = around
        part, there = box.crop((i, j, 0), (k, n, nz)), coarse.photo[i:k, j:n]
        guess, missed = coarse.spec[i:k, j:n], None
        if part.meshsize != box.meshsize:
            # What lies beyond the part is in the filter on the cells of the patch.
            own = spec_filtered(job, PatchData(job.surveys, part), model, settings, start=guess)
            guess, missed = (guess, there) if own is None else (own.spec, there - own.photo)
        values = _refined(job, fine_box(part, number), model, settings, number, guess)
        if missed is not None:
            values += interpolated_across(missed, number, periodic=False)
        inner, outer = (
            tuple(slice(number * (a - first), number * (b - first))
                  for (a, b), first in zip(ranges, firsts, strict=True))
            for firsts in ((i, j), low)
        )  # fmt: skip
        result[outer] = values[inner]
    return result


def _refined(
    job: ShellJob, box: SkyBox, model: LinearModel | None, settings: SkySettings, number: int,
    guess: Tensor,
) -> Tensor:  # fmt: skip
    """delta_p on the small cells of a box, of delta_s of larger ones; 0 without spectra."""
    start = interpolated_across(guess, number, periodic=False)
    found = spec_filtered(job, PatchData(job.surveys, box), model, settings, start=start)
    return torch.zeros(box.meshsize) if found is None else found.photo


def most_fine_cells(box: Box, number: int) -> int:
    """Small cells that are filtered at a time in a patch at the most."""
    nx, ny, nz = box.meshsize
    sides = [_side(box, number) + 2 * halo for halo in _halos(box)]
    return number**2 * nz * min(nx, sides[0]) * min(ny, sides[1])


def _halos(box: Box) -> list[int]:
    """What is read around small cells, in cells of the box along both axes."""
    return [math.ceil(_FINE_HALO / cell - 1e-9) for cell in box.cellsize[:2]]


def _side(box: Box, number: int) -> int:
    """Cells of the box on a side of the parts in which small cells are filtered."""
    nx, ny, nz = box.meshsize
    if number**2 * box.num_cells <= _FINE_CELLS:
        return max(nx, ny)
    halo = max(_halos(box))
    return max(math.isqrt(_FINE_CELLS // (number**2 * nz)) - 2 * halo, halo, 1)


def _parts(core: Core, number: int) -> list[list[Range]]:
    """Ranges of cells of the patch on both axes that divide a core for its small cells."""
    side, result = _side(core.patch.box, number), []
    for first, last in core.limits:
        edges = np.linspace(first, last, math.ceil((last - first) / side) + 1).round().astype(int)
        result.append(list(itertools.pairwise(edges.tolist())))
    return result


def _amplitude_fit(job: ShellJob, settings: SkySettings, *, bias: bool) -> AmplitudeFit:
    """The fit of the amplitude, in ways of which the first that is certain enough counts.

    With p(z) that hold N(z), and its peaks maybe, it is relative to the mean at each redshift.
    Where a footprint is that of the galaxies, it does not know their completeness, so that the mean
    of each sight line is left out as well. As a ``bias`` it is relative where the field is wide
    enough: the likelihood alone has its maximum where the intensity, with all its errors, is best.
    """
    surveys = job.surveys
    areas = (surveys.footprint, surveys.spec_footprint)
    if any(getattr(area, "metadata", {}).get("origin") == "data" for area in areas):
        ways: list[tuple[str, ...]] = [("redshift", "sky")]
    elif surveys.pdfs is not None and surveys.pdfs.prior.density is not None:
        ways = [("redshift",)]
    else:
        ways = [("redshift",), ()] if bias else [()]
    return AmplitudeFit(floor=settings.floor, ways=ways, num_galaxies=job.num_unknown)


def _fitted_amplitude(job: ShellJob, fit: AmplitudeFit) -> float:
    """The amplitude that the photo-z in the cores of a shell want."""
    found = job.found(AMPLITUDE, lambda: amplitude_found(fit), fit)
    if job.has_ended():
        return 1.0
    amplitude = float(found.pop("amplitude"))
    job.about.update(found)
    return amplitude


def amplitude_found(fit: AmplitudeFit) -> dict[str, Any]:
    """What a fit of the amplitude in the cores of a shell finds, for metadata; 1 without galaxies.

    It is ``amplitude``, with ``amplitude_error``, ``amplitude_gain`` and ``amplitude_relative``.
    """
    if not fit.num_given:
        return {"amplitude": 1.0}
    for number in range(len(fit.ways)):
        found = fit.result(number)
        if found.error < _CERTAIN:  # not where it is nan, at an end
            break
    return {
        "amplitude": found.value,
        "amplitude_error": None if math.isnan(found.error) else found.error,
        "amplitude_gain": float(found.gain),
        "amplitude_relative": sorted(fit.ways[number]),
    }


def _add_to_fit(fit: AmplitudeFit, surveys: SkySurveys, core: Core, delta: Tensor) -> None:
    """Add the galaxies of a core, where something is known of their density."""
    data = PatchData(surveys, core.box)
    rows = data.within(core.mask)
    if len(rows) and bool((delta != 0).any()):
        visible = torch.from_numpy(core.mask)[:, :, None] * data.visible(*data.photo_bounds)
        fit.add(_amplitude_sample(data, rows, delta, visible))


def _amplitude_sample(
    data: PatchData, rows: NDArray[np.int64], delta: Tensor, visible: Tensor
) -> AmplitudeSample:
    expected = data.expected_unknown()
    if data.surveys.photo_weights is not None:
        # Galaxies count once in the likelihood, whatever their weights.
        expected *= len(rows) / max(float(data.surveys.photo_weights[rows].sum()), 1e-300)
    return AmplitudeSample(
        box=data.box, positions=data.places(rows),
        likelihood=lambda some: data.likelihood(rows[some]), delta=delta, expected=expected,
        visible=visible, beyond=data.unknown_beyond,
    )  # fmt: skip
