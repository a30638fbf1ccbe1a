"""The methods with a network: columns, their median, and the dual UNet of the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from truez.linear.uneven_box import fit_surveys
from truez.mesh.box import Box, Region
from truez.mesh.fourier import total
from truez.networks.box_inputs import box_inputs
from truez.networks.column_inputs import column_inputs
from truez.networks.column_net import ColumnNet
from truez.networks.network import DELTAS, Network, use_channels_last
from truez.networks.tile_sizes import fitting_tile, tile_memory, tile_shape
from truez.networks.tiles import predict, tiled
from truez.networks.weights import Header, load_weights, shipped_weights
from truez.reconstruct.fit_check import check_survey
from truez.reconstruct.methods import median_of
from truez.reconstruct.own_place import (
    FoundIntensity,
    error_checked,
    found_intensity,
    moved,
    strength_of,
)
from truez.reconstruct.result import Reconstruction
from truez.reconstruct.settings import (
    ColumnsMedianSettings,
    ColumnsSettings,
    NetworkSettings,
    Run,
    Tile,
)
from truez.reconstruct.uneven_methods import finer_intensity
from truez.sightlines.fluctuation_model import fluctuations_metadata
from truez.sightlines.redistribution import Redistribution, WholeVariance
from truez.sightlines.spec_prior import SpecPrior
from truez.support.memory import check_memory
from truez.surveys.surveys import Surveys

#: For the tensors of one tile of a column network [bytes].
_TILE_MEMORY = 2e9
#: Core of a tile of the paper's network [cells].
_UNET_TILE = 64


def check_columns(box: Box, settings: ColumnsSettings, run: Run) -> None:
    """Refuse weights of another network or for other cells, and a tile beyond the memory."""
    network, header = load_column_network(settings)
    header.check(box, resampler=settings.resampler)
    check_column_tile(box, network, settings, run)


def columns_serve(surveys: Surveys, settings: ColumnsSettings) -> None:
    """Refuse surveys that the network was not trained for."""
    check_survey(load_column_network(settings)[1], surveys, settings.resampler)


def check_column_tile(box: Box, network: ColumnNet, settings: ColumnsSettings, run: Run) -> None:
    """Refuse a tile that the user chose and the memory does not hold."""
    if not isinstance(settings.tile, str):
        _check_tile(box, network, column_tile(network, box, settings.tile), run)


def check_dual_unet(box: Box, settings: NetworkSettings, run: Run) -> None:
    """As `check_columns`, for the network of the paper."""
    network, header = _load_unet(settings)
    header.check(box, resampler=settings.resampler)
    if not isinstance(settings.tile, str):
        _check_tile(box, network, settings.tile, run)


def columns(surveys: Surveys, settings: ColumnsSettings, run: Run) -> Reconstruction:
    """Galaxies moved to where a column network expects them."""
    network, header = load_column_network(settings)
    floor = network.config.floor
    check_survey(header, surveys, settings.resampler)
    use_channels_last(network)
    if not surveys.even:
        return _uneven_columns(surveys, network, header, settings, run)
    found = column_inputs(
        surveys,
        floor=floor,
        resampler=settings.resampler,
        kind=network.config.conditions,
        model=None if run.shared is None else run.shared.model,
        progress=run.progress,
    )
    # By the prior, of the spectroscopic survey alone: the network's intensity fits any error.
    checked = error_checked(surveys, partial(getattr, found, "prior"), run)
    values = network_intensity(
        network, found.values, {"conditions": found.conditions}, surveys.box, settings, run
    )
    conditions, filled, model = found.conditions, found.floor_fraction, found.model
    del found  # six meshes
    prior = SpecPrior.of(surveys, model, floor=floor, resampler=settings.resampler)
    values = prior.refined(values, surveys.box, settings.cells_across(surveys.box))
    own = found_intensity(surveys, values, settings, run)
    whole_variance = _error_of(network, {"conditions": conditions}, surveys, own, run)
    made = moved(surveys, own, run, resampler=settings.resampler, whole_variance=whole_variance)
    metadata = _about(made, header, settings, floor, filled)
    metadata |= {"linear_model": model.summary(), **checked, **own.about}
    metadata |= fluctuations_metadata("columns", model)
    return Reconstruction(replace(made.field, metadata=metadata), made.sigma, values)


def _uneven_columns(
    surveys: Surveys, network: ColumnNet, header: Header, settings: ColumnsSettings, run: Run
) -> Reconstruction:
    """As `columns`, by a local network."""
    floor, resampler = network.config.floor, settings.resampler
    run.progress("linear model", 0, 1, "fitting the observed spectra")
    model = fit_surveys(surveys, resampler=resampler)
    run.progress("linear model", 1, 1)
    found = box_inputs(model, surveys, floor=floor, resampler=resampler, progress=run.progress)
    conditions, filled = found.conditions.arguments, found.floor_fraction
    values = network_intensity(network, found.values, conditions, surveys.box, settings, run)
    alone = found.spec_alone
    del found  # nine meshes
    number = settings.cells_across(surveys.box)
    values = finer_intensity(model, surveys, alone, values, number, floor=floor, run=run)
    filtered = alone.about()
    del alone
    own = found_intensity(surveys, values, settings, run)
    whole_variance = _error_of(network, conditions, surveys, own, run)
    made = moved(surveys, own, run, resampler=resampler, whole_variance=whole_variance)
    metadata = _about(made, header, settings, floor, filled)
    metadata |= {**filtered, "linear_model": model.summary(), **own.about}
    metadata |= fluctuations_metadata("columns", model)
    field = replace(made.field, metadata=metadata)
    return Reconstruction(field, made.sigma, values, surveys=surveys)


def _error_of(
    network: ColumnNet, conditions: Mapping[str, Tensor], surveys: Surveys, own: FoundIntensity,
    run: Run,
) -> WholeVariance:  # fmt: skip
    """The error of a network's intensity, for surveys of these conditions."""
    strength = strength_of(surveys, own, run) if network.error.pairs else 0.0

    def whole_variance(given: Tensor, mean: Tensor) -> Tensor:
        with torch.inference_mode():
            return network.variance(given, mean, **conditions, strength=strength)

    return whole_variance


def _about(
    made: Redistribution, header: Header, settings: ColumnsSettings, floor: float, filled: float
) -> dict[str, Any]:
    """What outputs say of a reconstruction by a column network, besides its linear model."""
    return {
        **made.field.metadata,
        **weights_metadata(header, settings),
        "floor": floor,
        "floor_fraction": filled,
        "symmetries": settings.symmetries,
        "bf16": settings.bf16,
        "sigma": math.sqrt(total(made.sigma**2) / made.field.box.num_cells),
    }


def network_intensity(
    network: ColumnNet,
    values: Tensor,
    conditions: Mapping[str, Tensor],
    box: Box,
    settings: ColumnsSettings,
    run: Run,
    *,
    region: Region | None = None,
) -> Tensor:
    """The intensity of a column network, which is on the CPU afterwards.

    Parameters
    ----------
    network : ColumnNet
    values : Tensor (channels, nx, ny, nz)
        Its fields.
    conditions : mapping of name to Tensor
        Its arguments about the surveys, as a whole or as fields, such as
        `truez.networks.local_inputs.LocalConditions.arguments`.
    box : Box
        Of the fields, or of the region.
    settings : ColumnsSettings
    run : Run
    region : pair of cell triples, optional
        As in `truez.networks.tiles.tiled`.

    Returns
    -------
    Tensor (nx, ny, nz), or of the region's shape
    """
    fields = {name: given for name, given in conditions.items() if given.ndim > 1}
    whole: dict[str, Any] = {
        name: given.to(run.device) for name, given in conditions.items() if given.ndim == 1
    }
    with settings.precision(run.device):
        log_intensity = tiled(
            network,
            values,
            tile=column_tile(network, box, settings.tile),
            periodic=box.periodic,
            region=region,
            num_symmetries=settings.symmetries,
            device=run.device,
            progress=run.progress,
            fields=fields,
            **whole,
        )
    network.cpu()
    return log_intensity.exp_()


def weights_metadata(header: Header, settings: ColumnsSettings) -> dict[str, Any]:
    """What outputs say of the weights of a column network."""
    weights = column_weights(settings)
    # Not the path in the package, which depends on the machine.
    name = str(weights) if settings.weights is not None else f"those of truez, {weights.name}"
    return {"weights": name, "network": header.provenance}


def columns_median(surveys: Surveys, settings: ColumnsMedianSettings, run: Run) -> Reconstruction:
    """The median over catalogues drawn from the posteriors of the column network."""
    return median_of(columns(surveys, settings, run), surveys, settings, run)


def dual_unet(surveys: Surveys, settings: NetworkSettings, run: Run) -> Reconstruction:
    """The estimate of the network of arXiv:2504.06309."""
    network, header = _load_unet(settings)
    check_survey(header, surveys, settings.resampler)
    # 1.1 to 1.3 times as fast on CPUs (benchmarks/dual_unet_forward.py).
    use_channels_last(network)
    spec, photo = surveys.spec_field(settings.resampler), surveys.photo_field(settings.resampler)
    with settings.precision(run.device):
        field = predict(
            network,
            spec=spec,
            photo=photo,
            tile=_UNET_TILE if isinstance(settings.tile, str) else settings.tile,
            num_symmetries=settings.symmetries,
            device=run.device,
            progress=run.progress,
        )
    metadata = {
        "weights": str(settings.weights),
        "network": header.provenance,
        "symmetries": settings.symmetries,
        "bf16": settings.bf16,
        "num_photo_outside": photo.metadata["num_outside"],
    }
    return Reconstruction(replace(field, metadata=metadata))


def column_weights(settings: ColumnsSettings) -> Path:
    """The file of the network of columns: that of the settings, or that of the package."""
    return shipped_weights("column-net") if settings.weights is None else Path(settings.weights)


def load_column_network(settings: ColumnsSettings) -> tuple[ColumnNet, Header]:
    """The network of settings and its header, if it is one of columns with the floor they have.

    Raises
    ------
    ValueError
        If it is another, or the weights cannot be read.
    """
    network, header = load_weights(column_weights(settings))
    if not isinstance(network, ColumnNet):
        raise ValueError(
            f"{column_weights(settings)} holds a {header.architecture}, not a column network: "
            f"choose method {header.architecture}, or other weights"
        )
    floor = network.config.floor
    if settings.floor not in (None, floor):
        raise ValueError(
            f"floor = {settings.floor:g} is not the {floor:g} that the network was trained with: "
            "leave it out"
        )
    return network, header


def _load_unet(settings: NetworkSettings) -> tuple[Network, Header]:
    if settings.weights is None:
        raise ValueError("method dual-unet needs weights, the file of a trained network")
    network, header = load_weights(settings.weights)
    if header.inputs != DELTAS:
        raise ValueError(
            f"{settings.weights} holds a {header.architecture}, not a network of fields alone: "
            "choose method columns, or other weights"
        )
    return network, header


def _check_tile(box: Box, network: Network, tile: Tile, run: Run) -> None:
    """Refuse a tile that the user chose and the memory does not hold."""
    assert not isinstance(tile, str)
    if torch.device(run.device).type == "cpu":
        whole = tile_shape(box.meshsize, None, network.stride)
        core = list(map(min, tile_shape(box.meshsize, tile, network.stride), whole))
        needed = tile_memory(network, box.meshsize, tile=core, periodic=box.periodic)
        sides = " x ".join(map(str, core))
        check_memory(needed, f"a tile of {sides} cells", "give a smaller tile, or leave tile out")


def column_tile(network: Network, box: Box, tile: Tile = "auto") -> tuple[int | None, ...]:
    """Core of the tiles of a column network [cells], as `columns` chooses them.

    Parameters
    ----------
    network : Network
    box : Box
        The mesh.
    tile
        As in `NetworkSettings`; the tiles hold whole sight lines, whatever its last number is.

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
