"""The column network on the sky: galaxies moved to where it expects them.

The network that was trained on boxes reads a sky box as it is, with fields in terms of expected
counts (`truez.networks.uneven_inputs`). One set of conditions serves a shell of an even network,
those of its median galaxy; a local one has conditions of each cell (`truez.networks.local_inputs`).
At the median galaxy it is also checked that the network was trained for such surveys.
The amplitude of the redistribution, a, enters as the bias of the photometric galaxies over that of
those with spectra, ``P_x = a P_s`` and ``P_p = a^2 P_s``, where it is below 1: above 1 it makes up
for the stretch of cells across the sky, also where both are galaxies of one kind. It is not fitted
to the network's own intensity, which has used the photo-z already.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from truez.linear.model import LinearModel
from truez.linear.uneven import TOLERANCE, FilterSettings, UnevenWiener
from truez.linear.uneven_fit import FKP_POWER
from truez.networks.column_inputs import conditions_from, log_bias
from truez.networks.column_net import ColumnNet
from truez.networks.local_inputs import LocalConditions
from truez.networks.network import use_channels_last
from truez.networks.uneven_inputs import uneven_fields
from truez.networks.weights import CELLSIZE_TOLERANCE, Header
from truez.reconstruct.network_methods import (
    check_column_tile,
    load_column_network,
    network_intensity,
    weights_metadata,
)
from truez.reconstruct.settings import ColumnsSettings, Run
from truez.sightlines.fine import corrected
from truez.sightlines.fluctuation_model import fluctuations_metadata
from truez.sightlines.redistribution import WholeVariance
from truez.sky.core import Core
from truez.sky.job import ShellJob, SkySettings
from truez.sky.layout import SkyPatch
from truez.sky.methods import CoreError, each_moved
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import network_samples, patch_conditions, spec_cells
from truez.sky.patches import Patch
from truez.sky.spec_deltas import fine_delta, spec_bias
from truez.sky.surveys import SkySurveys
from truez.sky.typical import CELLS, check_shell, median_place, typical_numbers
from truez.support.memory import release_memory
from truez.support.notes import Note

if TYPE_CHECKING:
    from truez.mesh.sky_box import SkyBox

#: Least amplitude, where spectra say nothing of the photometric galaxies.
_LEAST = 0.01


@dataclass(frozen=True)
class SkyColumnsSettings(ColumnsSettings):
    """Settings of the column network on the sky; see also `ColumnsSettings` and `SkySettings`.

    Parameters
    ----------
    amplitude : float, optional
        a, see above; by default fitted to the photo-z, and 1 at the most.
    tolerance, fkp_power, fit_cellsize
        As of `SkySettings`.
    """

    amplitude: float | None = None
    tolerance: float = TOLERANCE
    fkp_power: float = FKP_POWER
    fit_cellsize: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.linear(0.05)

    def linear(self, floor: float) -> SkySettings:
        """Those of the filter of the spectroscopic survey."""
        names = ("amplitude", "tolerance", "fkp_power", "fit_cellsize", "resampler")
        return SkySettings(floor=floor, **{name: getattr(self, name) for name in names})


def check_columns(
    surveys: SkySurveys, patches: Sequence[Patch], settings: SkyColumnsSettings, run: Run
) -> None:
    """Refuse surveys that the network was not trained for, and a tile beyond the memory.

    Raises
    ------
    ValueError
        With the first property that is outside the limits of the network.
    """
    network, header = load_column_network(settings)
    if surveys.matched is None and surveys.common > 0:
        raise ValueError(
            "method columns needs to know which galaxies are in both surveys: give match_id or "
            "match_radius in place of overlap, or choose method redistribution"
        )
    _check_cells(header, patches[0].box)
    settings.cells_across(patches[0].box)
    for shell in dict.fromkeys(patch.shell for patch in patches):
        box = next(patch.box for patch in patches if patch.shell is shell)
        check_shell(header, surveys, shell, box, settings.resampler)
    for patch in patches:
        check_column_tile(Core(patch).box, network, settings, run)


def columns(job: ShellJob, settings: SkyColumnsSettings) -> Iterator[SkyPatch]:
    """Galaxies moved to where a column network expects them."""
    network, header = load_column_network(settings)
    note_cells(header, job.patches[0].box)
    use_channels_last(network)
    floor = network.config.floor
    model = job.model(settings.linear(floor))
    if job.has_ended():
        return
    guesses: list[int | None] = [None] * len(job.cores)
    if model is not None:
        amplitude = settings.amplitude
        if amplitude is None:
            guesses, found = spec_bias(job, model, settings.linear(floor))
            if job.has_ended():
                return
            amplitude = min(found, 1.0)
            if amplitude < found:  # no fit any more, so that it has no error
                job.about.update(amplitude_fitted=found, amplitude_error=None)
        job.about["amplitude"] = amplitude
        model = model.with_bias(max(amplitude, _LEAST))
        job.about.update(fluctuations_metadata("columns", model))
    place = median_place(job.whole, job.patches[0].shell)
    where = "checked_at" if header.local else "conditions_at"
    job.about.update(
        weights_metadata(header, settings), floor=floor,
        **{where: place}, **typical_numbers(job.whole, place),
    )  # fmt: skip
    if header.local:
        conditions: Conditions = _EachConditions(job, 0.0 if model is None else log_bias(model))
    else:
        conditions = _SharedConditions(_conditions(job.whole, job.patches[0].box, place))
    kept = []
    for number, (core, guess) in enumerate(zip(job.cores, guesses, strict=True)):
        job.progress("patches", number, len(job.cores))
        start = None if guess is None else torch.from_numpy(job.spill.take(guess))
        intensity = _intensity(
            job, core, model, network, conditions.of_patch(core), settings, start
        )
        kept.append(job.spill.keep(intensity.numpy()))
        del intensity, start
        release_memory()
    job.progress("patches", len(job.cores), len(job.cores))

    def variance(core: Core, strength: float) -> WholeVariance:
        here = conditions.of_core(core)

        def whole_variance(given: Tensor, mean: Tensor) -> Tensor:
            with torch.inference_mode():
                return network.variance(given, mean, **here, strength=strength)

        return whole_variance

    error = CoreError(variance, network.error.pairs and job.painted)
    yield from each_moved(job, kept, settings, settings.resampler, error=error)


class _SharedConditions:
    """Conditions of an even network, those of all patches of a shell."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def of_patch(self, _core: Core) -> Mapping[str, Tensor]:
        """Arguments of the network in the patch of a core."""
        return {"conditions": self.values}

    of_core = of_patch


class _EachConditions:
    """Conditions of a local network: of each patch, and of its core a second time."""

    def __init__(self, job: ShellJob, bias: float) -> None:
        self.job, self.bias = job, bias
        self._kept: dict[Core, tuple[Tensor, int]] = {}

    def of_patch(self, core: Core) -> Mapping[str, Tensor]:
        """Arguments of the network in the patch of a core, whose own part is kept."""
        data = PatchData(self.job.surveys, core.patch.box)
        found = patch_conditions(data, self.bias)
        (i, k), (j, n) = core.limits
        density = found.density[:, i:k, j:n].contiguous()
        self._kept[core] = found.profiles, self.job.spill.keep(density.numpy())
        return found.arguments

    def of_core(self, core: Core) -> Mapping[str, Tensor]:
        """Arguments of the network in the box of a core, which are taken."""
        profiles, number = self._kept.pop(core)
        density = torch.from_numpy(self.job.spill.take(number))
        return LocalConditions(profiles, density).arguments


Conditions = _SharedConditions | _EachConditions


def _finer(
    job: ShellJob, core: Core, model: LinearModel, intensity: Tensor, coarse: UnevenWiener,
    settings: SkyColumnsSettings, floor: float,
) -> Tensor:  # fmt: skip
    """An intensity on the box of a core on smaller cells across the sky.

    What the network corrects there is what the spectroscopic survey says of the photometric
    galaxies without a spectrum, on its cells and on the smaller ones.
    """
    number = settings.cells_across(core.box)
    if number == 1:
        return intensity
    fine = fine_delta(job, core, model, settings.linear(floor), number, coarse)
    prior, fine_prior = (
        delta.add_(1).clamp_(min=floor) for delta in (core.cut(coarse.photo), fine)
    )
    return corrected(fine_prior, intensity, prior, periodic=False)


def _intensity(
    job: ShellJob, core: Core, model: LinearModel | None, network: ColumnNet,
    conditions: Mapping[str, Tensor], settings: SkyColumnsSettings, guess: Tensor | None,
) -> Tensor:  # fmt: skip
    """lambda on the box of a core; 1 where there are no spectra to start from.

    ``guess`` is delta_s of the spectroscopic survey in the patch, where that is known.
    """
    data = PatchData(job.surveys, core.patch.box)
    spec = None if model is None else spec_cells(data)
    if model is None or spec is None:
        return torch.ones(core.box.meshsize)
    floor = network.config.floor
    found = uneven_fields(
        model, data.box, network_samples(data, spec, settings.resampler), floor=floor,
        kind=network.config.conditions, settings=FilterSettings(tolerance=settings.tolerance),
        start=guess, progress=job.progress,
    )  # fmt: skip
    job.about.setdefault("floor_fraction", []).append(found.floor_fraction)
    values, alone = found.values, found.spec_alone
    job.note_filter(alone)
    del found
    (i, k), (j, n) = core.limits
    # Tiles begin at multiples of the stride.
    stride = network.stride
    start, stop = (i - i % stride, j - j % stride, 0), (k, n, data.box.meshsize[2])
    intensity = network_intensity(
        network, values, conditions, data.box.crop(start, stop), settings,
        Run(job.device, job.progress), region=(start, stop),
    )  # fmt: skip
    del values, data
    intensity = intensity[i - start[0] :, j - start[1] :].contiguous()
    return _finer(job, core, model, intensity, alone, settings, floor)


def _conditions(surveys: SkySurveys, box: SkyBox, place: float) -> Tensor:
    """Conditions of the network: the galaxies per cell are those of cells at the place."""
    numbers = typical_numbers(surveys, place)
    for name in ("spec_density", "photo_density"):
        numbers[name] *= (place / box.chi_ref) ** 2
    return conditions_from(box, redshift_space=surveys.redshift_space, **numbers)


def _check_cells(header: Header, box: SkyBox) -> None:
    """Refuse cells for which hardly anything is gained any more."""
    if header.survey.cellsize is not None:
        return  # they are checked where the galaxies of a shell are
    (want, *_), (have, *_) = header.cellsize, box.cellsize
    low, high = want * (1 - CELLS), want * (1 + CELLS)
    if not low * (1 - 1e-9) <= have <= high * (1 + 1e-9):
        raise ValueError(
            f"cellsize = {have:.4g} Mpc/h is not from {low:.4g} to {high:.4g}, where a network of "
            f"cells of {want:.4g} serves: give cellsize {want:.4g}, or choose method "
            "redistribution"
        )


def note_cells(header: Header, box: SkyBox) -> None:
    """Note cells on which the network gains less than on those of its training."""
    want, have = header.cellsize[0], box.cellsize[0]
    if header.survey.cellsize is not None:
        return
    if abs(have / want - 1) > CELLSIZE_TOLERANCE:
        warnings.warn(
            f"the network was trained on cells of {want:.4g} Mpc/h and gains less on those of "
            f"{have:.4g}",
            Note,
            stacklevel=2,
        )
