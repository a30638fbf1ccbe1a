"""Linear methods of reconstruction on the sky: what is done with the patches of one shell.

A method takes a `ShellJob` and settings and yields its patches in their order, one at a time, so
that they need not all be in memory. To add one, register a function and the class of its settings
in `truez.sky.registry.METHODS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from truez.linear.local import check_filter
from truez.linear.uneven import FilterSettings, uneven_wiener
from truez.mesh.field import Field
from truez.networks.column_inputs import log_bias
from truez.networks.error_model import served, shipped_error_model
from truez.reconstruct.own_place import found_pairs
from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.fluctuation_model import fluctuations_metadata
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.redistribution import WholeVariance
from truez.sky.core import Core
from truez.sky.job import ShellJob, SkySettings
from truez.sky.layout import SkyPatch, grown
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import patch_conditions, spec_cells, unknown_classes
from truez.sky.patches import Patch
from truez.sky.settled import PAIRS
from truez.sky.spec_deltas import spec_deltas, spec_filtered
from truez.sky.surveys import SkySurveys
from truez.sky.typical import check_shell
from truez.support.memory import release_memory

#: Least bias of the photometric galaxies over the others that the error model reads.
_LEAST = 0.01


@dataclass(frozen=True)
class SkyRedistributionSettings(OwnPlaceSettings, SkySettings):
    """Settings of the redistribution on the sky; see `SkySettings` and `OwnPlaceSettings`."""


def check_redistribution(
    _surveys: SkySurveys, patches: Sequence[Patch], settings: SkyRedistributionSettings, _run: Run
) -> None:
    """Refuse cells of the intensity that do not divide those of the field."""
    settings.cells_across(patches[0].box)


def redistribution(job: ShellJob, settings: SkyRedistributionSettings) -> Iterator[SkyPatch]:
    """Galaxies moved to where the linear optimum of the spectroscopic survey expects them."""
    number = settings.cells_across(job.patches[0].box)
    model = job.model(settings)
    if job.has_ended():
        return
    kept, amplitude = spec_deltas(job, model, settings, number=number)
    if job.has_ended():
        return

    def intensity(delta: Tensor) -> Tensor:
        return delta.mul(amplitude).add_(1).clamp_(min=settings.floor)

    bias = 0.0
    if model is not None:
        biased = model.with_bias(min(max(amplitude, _LEAST), 1.0))
        bias = log_bias(biased)
        job.about.update(fluctuations_metadata("redistribution", biased))
    error = _error_of(job, bias, settings.resampler)
    yield from each_moved(job, kept, settings, settings.resampler, intensity=intensity, error=error)


@dataclass(frozen=True)
class CoreError:
    """The error of an intensity on the cores of a shell.

    Parameters
    ----------
    variance : function
        Takes a core and the strength of pairs; returns the variance of the error there.
    pairs : bool
        Whether that depends on the strength.
    """

    variance: Callable[[Core, float], WholeVariance]
    pairs: bool


def _error_of(job: ShellJob, bias: float, resampler: str) -> CoreError | None:
    """The error model of the redistribution in a core; None where it does not serve the shell.

    What the job knows of it says which, or why none.
    """
    first = job.patches[0]
    found, about = served(
        shipped_error_model() if job.painted else None,
        lambda header: check_shell(header, job.whole, first.shell, first.box, resampler),
    )
    job.about.update(about)
    if found is None:
        return None
    errors = found

    def variance(core: Core, strength: float) -> WholeVariance:
        conditions = patch_conditions(PatchData(job.surveys, core.box), bias).arguments

        def whole_variance(given: Tensor, mean: Tensor) -> Tensor:
            return errors.variance(given, mean, **conditions, strength=strength)

        return whole_variance

    return CoreError(variance, errors.head.pairs)


def each_moved(
    job: ShellJob, kept: Sequence[int], settings: OwnPlaceSettings, resampler: str, *,
    intensity: Callable[[Tensor], Tensor] = lambda values: values,
    error: CoreError | None = None,
) -> Iterator[SkyPatch]:  # fmt: skip
    """The patches of intensities, with the pairs that the photo-z in all of them want.

    An error that depends on their strength has that without pairs, too.

    Parameters
    ----------
    job : ShellJob
    kept : sequence of int
        Numbers of meshes in the spill of the job, one for each core; they are taken.
    settings : OwnPlaceSettings
    resampler : {"ngp", "cic", "tsc"}
    intensity : function
        lambda of a mesh that was kept, which is not changed.
    error : CoreError, optional
        Of a network or an error model.
    """
    pairs, strength = None, 0.0
    if settings.pairs or (error is not None and error.pairs):
        fit = StrengthFit(Pairs(), job.num_unknown)
        if job.is_open(PAIRS):
            for number, core in enumerate(job.cores):
                job.progress("pairs", number, len(job.cores))
                values = intensity(torch.from_numpy(job.spill.look(kept[number])))
                _add_to_pairs(fit, job.surveys, core, values)
                del values
                release_memory()
            job.progress("pairs", len(job.cores), len(job.cores))
        about = job.found(PAIRS, lambda: pairs_found(fit), fit)
        found = Pairs.of(about)
        if found is not None:
            strength = found.strength
            if settings.pairs:
                pairs, job.about["pairs"] = found, about["pairs"]
    if not job.makes_patches:
        return
    for number, core in enumerate(job.cores):
        job.progress("redistribution", number, len(job.cores))
        values = intensity(torch.from_numpy(job.spill.take(kept[number])))
        whole_variance = None if error is None else error.variance(core, strength)
        yield estimated(job, core, Intensity(values, pairs), resampler, whole_variance)
    job.progress("redistribution", len(job.cores), len(job.cores))


def pairs_found(fit: StrengthFit) -> dict[str, Any]:
    """What a fit of the strength of pairs finds, for metadata: ``pairs``; nothing without any."""
    return {"pairs": found_pairs(fit)[1]} if fit.num_galaxies else {}


def _add_to_pairs(fit: StrengthFit, surveys: SkySurveys, core: Core, intensity: Tensor) -> None:
    """Add the galaxies of a core, with those around them."""
    data = PatchData(surveys, core.box)
    rows, chosen = data.with_neighbours(data.within(core.mask))
    if len(chosen):
        fit.add(data.own_places(rows), intensity, chosen)


def wiener_spec(job: ShellJob, settings: SkySettings) -> Iterator[SkyPatch]:
    """The linear optimum of the spectroscopic survey alone."""
    model = job.model(settings)
    if not job.makes_patches:
        return

    def target(data: PatchData) -> Tensor | None:
        found = spec_filtered(job, data, model, settings, with_target=True)
        return None if found is None else found.target

    yield from _filtered(job, target)


def wiener(job: ShellJob, settings: SkySettings) -> Iterator[SkyPatch]:
    """The linear optimum of both surveys."""
    check_filter(settings.filter, both=True)
    matched = job.surveys.matched is not None or job.surveys.common == 0
    if not matched and len(job.surveys.classes) > 1:
        raise ValueError(
            "method wiener needs to know which galaxies are in both surveys where photo-z errors "
            "differ: give match_id or match_radius in place of overlap, or one sigma_z"
        )
    model = job.model(settings)
    if not job.makes_patches:
        return

    def target(data: PatchData) -> Tensor | None:
        spec = None if model is None else spec_cells(data)
        if model is None or spec is None:
            return None
        found = uneven_wiener(
            model, data.box, spec, unknown_classes(data, data.expected_unknown()),
            common=job.surveys.common, matched=matched,
            settings=FilterSettings(tolerance=settings.tolerance),
        )  # fmt: skip
        job.note_filter(found)
        return found.target

    yield from _filtered(job, target)


def estimated(
    job: ShellJob, core: Core, intensity: Intensity, resampler: str,
    whole_variance: WholeVariance | None = None,
) -> SkyPatch:  # fmt: skip
    """A patch of an intensity, with its galaxies `moved` if fields are wanted."""
    if job.painted:
        return moved(job.surveys, core, intensity, resampler, whole_variance)
    data = PatchData(job.surveys, core.box)
    return _patch(data, core, torch.full(core.box.meshsize, math.nan), None, intensity)


def moved(
    surveys: SkySurveys, core: Core, intensity: Intensity, resampler: str,
    whole_variance: WholeVariance | None = None,
) -> SkyPatch:  # fmt: skip
    """A patch whose galaxies are moved by an intensity.

    Parameters
    ----------
    surveys : SkySurveys
    core : Core
    intensity : Intensity
        On the box of the core, or on smaller cells across the sky.
    resampler : {"ngp", "cic", "tsc"}
    whole_variance : function, optional
        As in `truez.sightlines.redistribution.redistribute_surveys`.
    """
    data = PatchData(surveys, core.box)
    # Those whose share reaches the core or the cells next to it.
    near = grown(core.mask, 2)
    rows, chosen = data.within(near), None
    if intensity.pairs is not None:
        rows, chosen = data.with_neighbours(rows)
    expected = data.expected_painted(resampler)
    known, known_weights = data.known(near)
    made = posterior_field(
        data.own_places(rows), intensity,
        expected=Field(expected, data.box, "counts"), known=known,
        weights=None if surveys.photo_weights is None else surveys.photo_weights[rows],
        known_weights=known_weights, resampler=resampler, whole_variance=whole_variance,
        chosen=chosen,
    )  # fmt: skip
    return _patch(data, core, made.field.values, made.sigma, intensity)


def _patch(
    data: PatchData, core: Core, delta: Tensor, sigma: Tensor | None = None,
    intensity: Intensity | None = None,
) -> SkyPatch:  # fmt: skip
    foreign = torch.from_numpy(~grown(core.mask))
    for mesh in (delta, sigma):
        if mesh is not None:
            mesh[foreign] = math.nan
    outline = vars(core.outline(data))
    if intensity is None:
        return SkyPatch(**outline, delta=delta, sigma=sigma)
    return SkyPatch(
        **outline, delta=delta, sigma=sigma, intensity=intensity.values, pairs=intensity.pairs
    )


def _filtered(job: ShellJob, target: Callable[[PatchData], Tensor | None]) -> Iterator[SkyPatch]:
    """Patches of filtered fields, 0 where there is no spectroscopic survey."""
    for number, core in enumerate(job.cores):
        job.progress("filter", number, len(job.cores))
        found = target(PatchData(job.surveys, core.patch.box))
        whole = torch.zeros(core.patch.box.meshsize) if found is None else found
        yield _patch(PatchData(job.surveys, core.box), core, core.cut(whole))
    job.progress("filter", len(job.cores), len(job.cores))
