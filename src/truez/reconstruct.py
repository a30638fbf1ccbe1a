"""The main job: two surveys in, the density field in true redshift space out.

To add a method, write a function ``(surveys, job) -> Estimate`` and put it into `METHODS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from truez.linear.fit import fit_linear_model
from truez.linear.model import Use
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import total
from truez.networks.column_inputs import column_inputs
from truez.networks.column_net import ColumnNet
from truez.networks.network import Network, use_channels_last
from truez.networks.symmetries import first_symmetries
from truez.networks.tiles import fitting_tile, predict, tiled
from truez.networks.weights import Header, load_weights, shipped_weights
from truez.sightlines.redistribution import redistribute_surveys
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.surveys import Surveys

DEFAULT_METHOD = "columns"
#: Lowest intensity of the redistribution, relative to the expected counts.
FLOOR = 0.05
#: For the tensors of one tile of a column network [bytes].
_TILE_MEMORY = 1.5e9
#: Core of a tile of the paper's network [cells].
_UNET_TILE = 64

Tile = int | Sequence[int | None] | None | Literal["auto"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method knows of the true density.

    Parameters
    ----------
    field : Field
        Overdensity of the photometric sample on the surveys' box.
    sigma : Tensor (nx, ny, nz), optional
        Standard deviation of its error, where the method knows it cell by cell. Of a
        redistribution without a network it is what unknown redshifts leave, were the intensity
        exact: the true error is larger (docs/redistribution.md). A column network has learned it.
    intensity : Tensor (nx, ny, nz), optional
        The lambda > 0 that moves galaxies along their sight lines (`truez.sightlines.conserve`),
        relative to the expected counts: it also sharpens their redshifts
        (`truez.sightlines.sharpened`).
    """

    field: Field
    sigma: Tensor | None = None
    intensity: Tensor | None = None


@dataclass(frozen=True)
class Job:
    """Settings of `estimate`; see there."""

    weights: str | Path | None = None
    resampler: str = "cic"
    fit_sigma: bool = False
    floor: float = FLOOR
    tile: Tile = "auto"
    symmetries: int = 1
    bf16: bool = False
    device: torch.device | str = "cpu"
    progress: Progress = silent

    def precision(self) -> torch.autocast:
        """The context in which a network runs."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16)


def reconstruct(surveys: Surveys, method: str = DEFAULT_METHOD, **settings: Any) -> Field:
    """The field of `estimate`, which documents the settings."""
    return estimate(surveys, method, **settings).field


def estimate(
    surveys: Surveys,
    method: str = DEFAULT_METHOD,
    *,
    weights: str | Path | None = None,
    resampler: str = "cic",
    fit_sigma: bool = False,
    floor: float = FLOOR,
    tile: Tile = "auto",
    symmetries: int = 1,
    bf16: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Estimate:
    """Estimate the overdensity of the photometric sample in true redshift space.

    Parameters
    ----------
    surveys : Surveys
        The two samples, their box and the photo-z error.
    method : {"columns", "redistribution", "wiener", "wiener-spec", "wiener-photo", "dual-unet"}
        The photometric galaxies moved along their sight lines, to where a column network expects
        them, or to where the linear optimum of the spectroscopic survey does; that optimum itself,
        with both surveys or one of them, fitted to the observed spectra; or the paper's network.
    weights : path, optional
        Weights of the network; those of a column network come with the package.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.
    fit_sigma : bool
        Let the Wiener filter fit the width of the photo-z error, starting from the given one.
    floor : float
        Of the redistribution: its intensity is ``max(1 + Wiener(spec), floor)``. A column network
        has its own.
    tile : int, three ints (None: the whole axis), None (the whole field), or "auto"
        Core of the network's tiles [cells]; it bounds the memory and changes nothing else. Those of
        a column network always hold the whole line of sight. "auto": the quickest for 1.5 GB of
        tensors where they do, else 64.
    symmetries : {1, 2, 4, 8, 16}
        The network sees the surveys turned in so many ways, and the mean of what it says is taken:
        better, for as many times its time.
    bf16 : bool
        The network works with numbers of 16 bits: about half the time on GPUs, and on CPUs with
        instructions for it (avx512_bf16, amx_bf16 in /proc/cpuinfo); others are slower. It changes
        ln lambda of the weights that come with truez by 0.0015 (rms).
    device : torch.device or str
        Where the network runs.
    progress : Progress

    Returns
    -------
    Estimate
        The metadata of its field say how it was made; ``metadata["sigma"]`` is the standard
        deviation of its error per cell, where the method knows that.

    Raises
    ------
    ValueError
        If the method is unknown, weights are missing or not wanted, the network does not fit the
        surveys, or the number of symmetries is none of those.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    first_symmetries(symmetries)
    if isinstance(tile, str) and tile != "auto":
        raise ValueError(f'tile must be a number of cells or "auto", not {tile!r}')
    job = Job(weights, resampler, fit_sigma, floor, tile, symmetries, bf16, device, progress)
    result = METHODS[method](surveys, job)
    made = {"method": method, "resampler": resampler, "versions": versions()}
    metadata = {**surveys.describe(), **result.field.metadata, **made}
    return replace(result, field=replace(result.field, metadata=metadata))


def _wiener(use: Use) -> Callable[[Surveys, Job], Estimate]:
    def run(surveys: Surveys, job: Job) -> Estimate:
        _refuse_network(job, "a Wiener filter")
        job.progress("wiener", 0, 4, "painting")
        spec, photo = surveys.spec_field(job.resampler), surveys.photo_field(job.resampler)
        job.progress("wiener", 1, 4, "fitting the observed spectra")
        model = fit_linear_model(
            spec, photo, surveys, resampler=job.resampler, fit_sigma=job.fit_sigma
        )
        job.progress("wiener", 2, 4, "filtering")
        field = model.wiener(spec, photo, use)
        job.progress("wiener", 3, 4, "error of the estimate")
        metadata = {
            "linear_model": model.summary(),
            "sigma": model.sigma(surveys.box, use),
            "num_photo_outside": photo.metadata["num_outside"],
        }
        job.progress("wiener", 4, 4)
        return Estimate(replace(field, metadata=metadata))

    return run


def _redistribution(surveys: Surveys, job: Job) -> Estimate:
    _refuse_network(job, "a redistribution without a network")
    if not (math.isfinite(job.floor) and job.floor > 0):
        raise ValueError(f"floor must be a positive intensity, not {job.floor!r}")
    job.progress("wiener", 0, 3, "painting")
    spec, photo = surveys.spec_field(job.resampler), surveys.photo_field(job.resampler)
    job.progress("wiener", 1, 3, "fitting the observed spectra")
    model = fit_linear_model(spec, photo, surveys, resampler=job.resampler, fit_sigma=job.fit_sigma)
    job.progress("wiener", 2, 3, "filtering")
    # Of the spectroscopic survey alone: a galaxy's own photo-z must not count twice.
    intensity = model.wiener(spec, photo, "spec").values.add_(1)
    filled = float((intensity < job.floor).double().mean())
    intensity.clamp_(min=job.floor)
    del spec, photo
    job.progress("wiener", 3, 3)
    if job.fit_sigma:
        surveys = replace(surveys, error=model.error)
    moved = redistribute_surveys(surveys, intensity, resampler=job.resampler, progress=job.progress)
    metadata = {
        **moved.field.metadata,
        "linear_model": model.summary(),
        "floor": job.floor,
        "floor_fraction": filled,
        # Not the whole error: that of the intensity is unknown.
        "sigma_given_intensity": math.sqrt(total(moved.sigma**2) / surveys.box.num_cells),
    }
    return Estimate(replace(moved.field, metadata=metadata), moved.sigma, intensity)


def _refuse_network(job: Job, method: str) -> None:
    if job.weights is not None:
        raise ValueError(f"{method} has no weights file: leave weights out")
    if job.symmetries != 1:
        raise ValueError(f"{method} is the same in all symmetries: leave symmetries out")
    if job.bf16:
        raise ValueError(f"{method} has no network that could work with 16 bits: leave bf16 out")


def _dual_unet(surveys: Surveys, job: Job) -> Estimate:
    if job.weights is None:
        raise ValueError("method dual-unet needs weights, the file of a trained network")
    if job.fit_sigma:
        raise ValueError("fit_sigma is for the Wiener filter: a network is trained for its error")
    network, header = load_weights(job.weights)
    if header.inputs != Network.inputs:
        raise ValueError(
            f"{job.weights} holds a {header.architecture}, not a network of fields alone: choose "
            "method columns, or other weights"
        )
    check_survey(header, surveys, job.resampler)
    # 1.1 to 1.3 times as fast on CPUs (benchmarks/dual_unet_forward.py).
    use_channels_last(network)
    spec, photo = surveys.spec_field(job.resampler), surveys.photo_field(job.resampler)
    with job.precision():
        field = predict(
            network,
            spec,
            photo,
            tile=_UNET_TILE if isinstance(job.tile, str) else job.tile,
            num_symmetries=job.symmetries,
            device=job.device,
            progress=job.progress,
        )
    metadata = {
        "weights": str(job.weights),
        "network": header.provenance,
        "symmetries": job.symmetries,
        "bf16": job.bf16,
        "num_photo_outside": photo.metadata["num_outside"],
    }
    return Estimate(replace(field, metadata=metadata))


def _columns(surveys: Surveys, job: Job) -> Estimate:
    if job.fit_sigma:
        raise ValueError("fit_sigma is for the Wiener filter: a network is trained for its error")
    weights = shipped_weights("column-net") if job.weights is None else Path(job.weights)
    network, header = load_weights(weights)
    if not isinstance(network, ColumnNet):
        raise ValueError(
            f"{weights} holds a {header.architecture}, not a column network: choose method "
            f"{header.architecture}, or other weights"
        )
    floor = network.config.floor
    if job.floor not in (FLOOR, floor):
        raise ValueError(
            f"floor = {job.floor:g} is not the {floor:g} that the network was trained with: leave "
            "it out"
        )
    check_survey(header, surveys, job.resampler)
    use_channels_last(network)
    found = column_inputs(surveys, floor=floor, resampler=job.resampler, progress=job.progress)
    tile = column_tile(network, surveys.box, job.tile)
    with job.precision():
        log_intensity = tiled(
            network,
            found.values,
            tile=tile,
            periodic=surveys.box.periodic,
            num_symmetries=job.symmetries,
            device=job.device,
            progress=job.progress,
            conditions=found.conditions.to(job.device),
        )
    intensity = log_intensity.exp_()
    network.cpu()
    conditions, told = found.conditions, found.model.summary()
    filled = found.floor_fraction
    del found  # six meshes

    def whole_variance(given: Tensor, mean: Tensor) -> Tensor:
        with torch.inference_mode():
            return network.variance(given, mean, conditions)

    moved = redistribute_surveys(
        surveys,
        intensity,
        resampler=job.resampler,
        whole_variance=whole_variance,
        progress=job.progress,
    )
    metadata = {
        **moved.field.metadata,
        # Where the package lies on this machine is nobody's business.
        "weights": str(weights) if job.weights is not None else f"those of truez, {weights.name}",
        "network": header.provenance,
        "linear_model": told,
        "floor": floor,
        "floor_fraction": filled,
        "symmetries": job.symmetries,
        "bf16": job.bf16,
        "sigma": math.sqrt(total(moved.sigma**2) / surveys.box.num_cells),
    }
    return Estimate(replace(moved.field, metadata=metadata), moved.sigma, intensity)


def column_tile(network: Network, box: Box, tile: Tile = "auto") -> tuple[int | None, ...]:
    """Core of the tiles of a column network [cells], as `estimate` chooses them.

    Parameters
    ----------
    network : Network
    box : Box
        The mesh.
    tile
        As in `estimate`; the tiles hold whole columns, whatever its last number is.

    Returns
    -------
    (3,) of int or None
        None is the whole axis.
    """
    if isinstance(tile, str):
        return fitting_tile(network, box.meshsize, _TILE_MEMORY, periodic=box.periodic)
    if isinstance(tile, int) or tile is None:
        return (tile, tile, None)
    return (*tile[:2], None)


def check_survey(header: Header, surveys: Surveys, resampler: str = "cic") -> None:
    """Refuse surveys that a network was not trained for, see `Header.check`."""
    n_spec, n_photo, n_both = surveys.densities
    header.check(
        surveys.box,
        sigma=surveys.error.sigma,
        spec_density=n_spec,
        photo_density=n_photo,
        outlier_fraction=surveys.error.outlier_fraction,
        overlap=n_both / n_spec,
        resampler=resampler,
        redshift_space=surveys.redshift_space,
    )


METHODS: dict[str, Callable[[Surveys, Job], Estimate]] = {
    "wiener": _wiener("both"),
    "wiener-spec": _wiener("spec"),
    "wiener-photo": _wiener("photo"),
    "redistribution": _redistribution,
    "dual-unet": _dual_unet,
    "columns": _columns,
}
