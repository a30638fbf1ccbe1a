"""Linear methods of reconstruction on the sky: what is done with the patches of one shell.

A method takes a `ShellJob` and settings and yields its patches in their order, one at a time, so
that they need not all be in memory. To add one, register a function and the class of its settings
in `truez.sky.registry.METHODS`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.local import check_filter, spec_filter
from truez.linear.model import LinearModel
from truez.linear.uneven import (
    TOLERANCE,
    FilterSettings,
    UnevenWiener,
    uneven_wiener,
)
from truez.linear.uneven_fit import FKP_POWER
from truez.mesh.field import Field
from truez.sightlines.amplitude import AmplitudeFit, AmplitudeSample
from truez.sightlines.intensity import Intensity
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.redistribution import WholeVariance
from truez.sky.core import Core
from truez.sky.layout import SkyPatch, grown
from truez.sky.linear_fit import fit_shell
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import spec_cells, unknown_classes
from truez.sky.patches import Patch
from truez.sky.surveys import SkySurveys
from truez.support.memory import release_memory
from truez.support.notes import Note
from truez.support.progress import Progress, silent
from truez.support.spill import Spill

#: Error of an amplitude that is relative to the mean at each redshift from which on one that is not
#: counts: in a field as narrow as the structures all structure is in the mean.
_CERTAIN = 0.1
#: Least cells that spectra are measured in [Mpc/h].
_FIT_CELLSIZE = 4.0


@dataclass(frozen=True)
class SkySettings:
    """Settings of the linear methods on the sky.

    Parameters
    ----------
    floor : float
        Lowest intensity.
    amplitude : float, optional
        a of lambda = max(1 + a delta, floor); fitted to the photo-z by default.
    filter : {"exact", "local"}
        ``local`` is the approximation of `truez.linear.local.local_wiener_spec`, for methods that
        filter the spectroscopic survey alone.
    tolerance : float
        Residual of the filter to stop at.
    fkp_power : float
        P_0 of the weights of the spectra that the linear model is fitted to [(Mpc/h)^3].
    fit_cellsize : float, optional
        Cells of the meshes that they are measured on [Mpc/h]; by default those of the field, and 4
        at least.
    resampler : {"ngp", "cic", "tsc"}
        The field is as if galaxies at their true places had been painted with it.
    """

    floor: float = 0.05
    amplitude: float | None = None
    filter: str = "exact"
    tolerance: float = TOLERANCE
    fkp_power: float = FKP_POWER
    fit_cellsize: float | None = None
    resampler: str = "cic"

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must be between 0 and 1, not {self.floor!r}")
        if self.amplitude is not None and not 0 <= self.amplitude <= 2:
            raise ValueError(f"amplitude must be from 0 to 2, not {self.amplitude!r}")
        check_filter(self.filter)
        if self.fit_cellsize is not None and not 0 < self.fit_cellsize < math.inf:
            raise ValueError(f"fit_cellsize must be positive, not {self.fit_cellsize!r}")


@dataclass(frozen=True, eq=False)
class ShellJob:
    """The patches of one shell, and the surveys.

    Parameters
    ----------
    surveys : SkySurveys
    patches : sequence of Patch
    progress : Progress
    about : dict
        What the method found, filled while it runs; for the metadata.
    device : torch.device or str
        Where a network runs.
    spill : Spill
        Where meshes of patches wait for a second pass.
    painted : bool
        Whether fields are wanted; else intensities alone, and delta may be nan.
    """

    surveys: SkySurveys
    patches: Sequence[Patch]
    progress: Progress = silent
    about: dict[str, Any] = field(default_factory=dict)
    device: torch.device | str = "cpu"
    spill: Spill = field(default_factory=Spill)
    painted: bool = True

    @cached_property
    def cores(self) -> list[Core]:
        """The cores of the patches."""
        return [Core(patch) for patch in self.patches]

    def model(self, settings: SkySettings) -> LinearModel | None:
        """The linear model of the shell, None without spectra."""
        data = [PatchData(self.surveys, patch.box) for patch in self.patches]
        cellsize = settings.fit_cellsize
        if cellsize is None:
            cellsize = max(_FIT_CELLSIZE, self.patches[0].box.cellsize[0])
        model = fit_shell(
            data, cellsize=cellsize, fkp_power=settings.fkp_power,
            progress=self.progress,
        )  # fmt: skip
        if model is None:
            near, far = self.patches[0].shell.near, self.patches[0].shell.far
            warnings.warn(
                f"between {near:.0f} and {far:.0f} Mpc/h there are too few spectra for a linear "
                "model: the intensity is 1 there",
                Note,
                stacklevel=2,
            )
        else:
            self.about["linear_model"] = model.summary()
        return model

    def note_filter(self, found: UnevenWiener) -> None:
        """Write down the most iterations and the largest residual of the patches."""
        for name, value in found.about().items():
            self.about[name] = max(self.about.get(name, value), value)


def redistribution(job: ShellJob, settings: SkySettings) -> Iterator[SkyPatch]:
    """Galaxies moved to where the linear optimum of the spectroscopic survey expects them."""
    kept, amplitude = spec_deltas(job, job.model(settings), settings)
    for number, core in enumerate(job.cores):
        job.progress("redistribution", number, len(job.cores))
        delta = torch.from_numpy(job.spill.take(kept[number]))
        intensity = delta.mul_(amplitude).add_(1).clamp_(min=settings.floor)
        yield estimated(job, core, intensity, settings.resampler)
    job.progress("redistribution", len(job.cores), len(job.cores))


def spec_deltas(
    job: ShellJob, model: LinearModel | None, settings: SkySettings, *, bias: bool = False
) -> tuple[list[int], float]:
    """What the spectroscopic survey says of the photometric one in the cores, and its amplitude.

    The fields are kept in the spill of the job, one number each, unless the amplitude alone is
    wanted, as the bias of the photometric galaxies over the others.
    """
    fit = _amplitude_fit(job, settings, bias=bias)
    kept: list[int] = []
    for number, core in enumerate(job.cores):
        job.progress("filter", number, len(job.cores))
        found = _spec_filter(job, PatchData(job.surveys, core.patch.box), model, settings)
        whole = torch.zeros(core.patch.box.meshsize) if found is None else found.photo
        delta = core.cut(whole)
        if settings.amplitude is None:
            _add_to_fit(fit, job.surveys, core, delta)
        if not bias:
            kept.append(job.spill.keep(delta.numpy()))
        release_memory()
    job.progress("filter", len(job.cores), len(job.cores))
    amplitude = settings.amplitude
    if amplitude is None:
        amplitude = _fitted_amplitude(job, fit)
    job.about["amplitude"] = amplitude
    return kept, amplitude


def wiener_spec(job: ShellJob, settings: SkySettings) -> Iterator[SkyPatch]:
    """The linear optimum of the spectroscopic survey alone."""
    model = job.model(settings)

    def target(data: PatchData) -> Tensor | None:
        found = _spec_filter(job, data, model, settings, with_target=True)
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
    job: ShellJob, core: Core, intensity: Tensor, resampler: str,
    whole_variance: WholeVariance | None = None,
) -> SkyPatch:  # fmt: skip
    """A patch of an intensity, with its galaxies `moved` if fields are wanted."""
    if job.painted:
        return moved(job.surveys, core, intensity, resampler, whole_variance)
    data = PatchData(job.surveys, core.box)
    return _patch(data, core, torch.full(core.box.meshsize, math.nan), None, intensity)


def moved(
    surveys: SkySurveys, core: Core, intensity: Tensor, resampler: str,
    whole_variance: WholeVariance | None = None,
) -> SkyPatch:  # fmt: skip
    """A patch whose galaxies are moved by an intensity.

    Parameters
    ----------
    surveys : SkySurveys
    core : Core
    intensity : Tensor
        lambda > 0 on the box of the core.
    resampler : {"ngp", "cic", "tsc"}
    whole_variance : function, optional
        As in `truez.sightlines.redistribution.redistribute_surveys`.
    """
    data = PatchData(surveys, core.box)
    # Those whose share reaches the core or the cells next to it.
    near = grown(core.mask, 2)
    rows = data.within(near)
    expected = data.expected_painted(resampler)
    known, known_weights = data.known(near)
    made = posterior_field(
        data.own_places(rows), Intensity(intensity),
        expected=Field(expected, data.box, "counts"), known=known,
        weights=None if surveys.photo_weights is None else surveys.photo_weights[rows],
        known_weights=known_weights, resampler=resampler, whole_variance=whole_variance,
    )  # fmt: skip
    return _patch(data, core, made.field.values, made.sigma, intensity)


def _patch(
    data: PatchData, core: Core, delta: Tensor, sigma: Tensor | None = None,
    intensity: Tensor | None = None,
) -> SkyPatch:  # fmt: skip
    foreign = torch.from_numpy(~grown(core.mask))
    for mesh in (delta, sigma):
        if mesh is not None:
            mesh[foreign] = math.nan
    outline = vars(core.outline(data))
    return SkyPatch(**outline, delta=delta, sigma=sigma, intensity=intensity)


def _filtered(job: ShellJob, target: Callable[[PatchData], Tensor | None]) -> Iterator[SkyPatch]:
    """Patches of filtered fields, 0 where there is no spectroscopic survey."""
    for number, core in enumerate(job.cores):
        job.progress("filter", number, len(job.cores))
        found = target(PatchData(job.surveys, core.patch.box))
        whole = torch.zeros(core.patch.box.meshsize) if found is None else found
        yield _patch(PatchData(job.surveys, core.box), core, core.cut(whole))
    job.progress("filter", len(job.cores), len(job.cores))


def _spec_filter(
    job: ShellJob, data: PatchData, model: LinearModel | None, settings: SkySettings, *,
    with_target: bool = False,
) -> UnevenWiener | None:  # fmt: skip
    """The filter of the spectroscopic survey; None where it expects no galaxies."""
    spec = None if model is None else spec_cells(data)
    if model is None or spec is None:
        return None
    found = spec_filter(
        model, data.box, spec, photo_expected=data.expected_photo() if with_target else None,
        common=data.surveys.common, settings=FilterSettings(tolerance=settings.tolerance),
        name=settings.filter,
    )  # fmt: skip
    job.note_filter(found)
    return found


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
    return AmplitudeFit(floor=settings.floor, ways=ways, num_galaxies=_num_unknown(job))


def _fitted_amplitude(job: ShellJob, fit: AmplitudeFit) -> float:
    """The amplitude that the photo-z in the cores of a shell want; 1 without galaxies."""
    if not fit.num_given:
        return 1.0
    for number in range(len(fit.ways)):
        found = fit.result(number)
        if found.error < _CERTAIN:  # not where it is nan, at an end
            break
    job.about["amplitude_error"] = None if math.isnan(found.error) else found.error
    job.about["amplitude_gain"] = float(found.gain)
    job.about["amplitude_relative"] = sorted(fit.ways[number])
    return found.value


def _num_unknown(job: ShellJob) -> int:
    """Photometric galaxies of the shell without a known redshift."""
    surveys, shell = job.surveys, job.patches[0].shell
    low, high = surveys.cosmology.distances.redshift([shell.near, shell.far])
    z = surveys.photo.redshift[surveys.unknown]
    return int(np.count_nonzero((z >= low) & (z <= high)))


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
