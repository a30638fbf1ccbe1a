"""The inputs of a `truez.networks.column_net.ColumnNet` from two surveys.

The linear model is fitted to the observed spectra, in training as at inference, and never to the
truth. Its filters act on the whole box, so the network need not. The surveys are even; for others
see `truez.networks.local_inputs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truez.linear.filter import wiener_parts
from truez.linear.fit import fit_linear_model
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks.conditions import Kind, even_conditions, local_conditions, log_widths
from truez.sightlines.conserve import PhotoClass
from truez.sightlines.redistribution import kernel_of, photo_class, surplus_of
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys

#: Wavenumbers that the bias of the two samples is compared at [h/Mpc].
_BIAS_K = (0.1, 0.3)


@dataclass(frozen=True, eq=False)
class ColumnInputs:
    """Fields and conditions for a column network.

    Parameters
    ----------
    values : Tensor (6, nx, ny, nz), or (9, nx, ny, nz) for a local network
        The fields of `ColumnNet.inputs`.
    conditions : Tensor (5,) or (10,)
        See `truez.networks.conditions`.
    model : LinearModel
        As fitted.
    floor_fraction : float
        Share of the cells in which the prior is at its floor.
    num_photo_outside : int
        Galaxies whose photo-z lies outside a closed box.
    """

    values: Tensor
    conditions: Tensor
    model: LinearModel
    floor_fraction: float
    num_photo_outside: int

    @property
    def wiener(self) -> Tensor:
        """The linear optimum of both surveys, (nx, ny, nz)."""
        return self.values[2] + self.values[3]

    @property
    def prior(self) -> Tensor:
        """The intensity without a network, max(1 + Wiener(spec only), floor), (nx, ny, nz)."""
        return self.values[4].exp()


def column_inputs(
    surveys: Surveys,
    *,
    floor: float,
    resampler: str = "cic",
    galaxies: PhotoClass | None = None,
    kind: Kind = "even",
    model: LinearModel | None = None,
    progress: Progress = silent,
) -> ColumnInputs:
    """Paint, fit and filter two surveys.

    Parameters
    ----------
    surveys : Surveys
    floor : float
        Lowest intensity of the prior.
    resampler : {"ngp", "cic", "tsc"}
    galaxies : PhotoClass, optional
        Result of `truez.sightlines.redistribution.photo_class` for them, where that is known
        already.
    kind : {"even", "local"}
        That of the network.
    model : LinearModel, optional
        Of the surveys that these are a part of; it is fitted to these by default.
    progress : Progress

    Raises
    ------
    ValueError
        If no positive spectra describe the surveys.
    """
    progress("linear model", 0, 3, "painting")
    spec, photo = surveys.spec_field(resampler), surveys.photo_field(resampler)
    progress("linear model", 1, 3, "fitting the observed spectra")
    if model is None:
        with one_thread():
            model = fit_linear_model(spec=spec, photo=photo, surveys=surveys, resampler=resampler)
    progress("linear model", 2, 3, "filtering")
    outside = int(photo.metadata["num_outside"])
    fields = [spec, photo]
    del spec, photo
    values, filled = network_fields(
        model, fields, surveys, floor=floor, resampler=resampler, galaxies=galaxies, kind=kind
    )
    progress("linear model", 3, 3)
    conditions = conditions_of(surveys, model if kind == "local" else None)
    return ColumnInputs(values, conditions, model, filled, outside)


def network_fields(
    model: LinearModel,
    seen: list[Field],
    surveys: Surveys | None,
    *,
    floor: float,
    resampler: str = "cic",
    galaxies: PhotoClass | None = None,
    kind: Kind = "even",
) -> tuple[Tensor, float]:
    """The fields of `ColumnNet.inputs` for two overdensities and a linear model of them.

    Parameters
    ----------
    model : LinearModel
    seen : list of two Fields
        Spectroscopic and photometric overdensity. The list is emptied, to save memory.
    surveys : Surveys, optional
        Whose photometric galaxies are those of the field; none, if that is empty.
    floor, resampler, galaxies, kind
        As in `column_inputs`.

    Returns
    -------
    values : Tensor (6, nx, ny, nz) or (9, nx, ny, nz)
    filled : float
        Share of the cells in which the prior is at its floor.
    """
    part = surveys is not None and surveys.whole is not None
    part_spec, part_photo, intensity = wiener_parts(model, *seen, part=part)
    fields = [seen.pop(0).values, seen.pop(0).values, part_spec, part_photo]
    del part_spec, part_photo
    intensity += 1
    filled = float((intensity < floor).double().mean())
    intensity.clamp_(min=floor)
    if surveys is None:
        surplus = torch.zeros_like(intensity)
        plain = surplus
    else:
        if galaxies is None:
            galaxies = photo_class(surveys, kernel_of(surveys), resampler=resampler, squares=False)
        surplus = surplus_of(surveys, intensity, galaxies)
        plain = surplus
        if kind == "local":
            plain = surplus_of(surveys, torch.ones_like(intensity), galaxies)
        del galaxies
    fields += [intensity.log_(), surplus]
    if kind == "local":
        one = torch.ones(()).expand(intensity.shape)
        fields += [plain, min(model.n_both / model.n_photo, 1.0) * one, one]
    del intensity, surplus, plain
    return stacked(fields), filled


def stacked(fields: list[Tensor]) -> Tensor:
    """Fields (nx, ny, nz) as the channels of one tensor; the list is emptied, to save memory."""
    values = torch.empty(len(fields), *fields[0].shape)
    for number in range(len(values)):
        values[number] = fields.pop(0)
    return values


@contextmanager
def one_thread() -> Iterator[None]:
    """Work on one core: threads that share small tensors wait for one another.

    A fit takes 2.6 s this way; on two busy cores it took 90 s.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def conditions_of(surveys: Surveys, model: LinearModel | None = None) -> Tensor:
    """The conditions of a column network for two surveys, float32 (5,).

    With the linear model of the surveys they are those of a local network, (10,).
    """
    n_spec, n_photo, n_both = surveys.densities
    box, error = surveys.box, surveys.error
    if model is None:
        return conditions_from(
            box,
            sigma=error.sigma,
            spec_density=n_spec,
            photo_density=n_photo,
            redshift_space=surveys.redshift_space,
            outlier_fraction=error.outlier_fraction,
        )
    cell = box.volume / box.num_cells
    return local_conditions(
        log_sigma=log_widths([error.sigma / box.cellsize[2]]),
        per_cell=(n_spec * cell, n_photo * cell),
        redshift_space=surveys.redshift_space,
        outliers=error.outlier_fraction,
        sides=(side_across(box), box.cellsize[2]),
        redshift=surveys.redshift,
        common=min(n_both / n_spec, 1.0),
        log_bias=log_bias(model),
    )


def conditions_from(
    box: Box,
    *,
    sigma: float,
    spec_density: float,
    photo_density: float,
    redshift_space: bool,
    outlier_fraction: float,
) -> Tensor:
    """The conditions of an even network from the properties of surveys, float32 (5,).

    Parameters
    ----------
    box : Box
        Whose cells the fields have.
    sigma : float
        Photo-z error [Mpc/h].
    spec_density, photo_density : float
        Number densities [(h/Mpc)^3].
    redshift_space : bool
    outlier_fraction : float
    """
    cell = box.volume / box.num_cells
    return even_conditions(
        sigma=sigma / box.cellsize[2],
        per_cell=(spec_density * cell, photo_density * cell),
        redshift_space=redshift_space,
        outliers=outlier_fraction,
    )


def side_across(box: Box) -> float:
    """Side of a square of the area that a cell has across the sky [Mpc/h]."""
    return math.sqrt(box.cellsize[0] * box.cellsize[1])


def log_bias(model: LinearModel) -> float:
    """ln of the bias of the photometric galaxies over that of the spectroscopic ones."""
    k = np.exp(model.log_k)
    chosen = (k >= _BIAS_K[0]) & (k <= _BIAS_K[1])
    away = (np.asarray(model.log_photo) - np.asarray(model.log_spec)) / 2
    return float(away[chosen].mean() if chosen.any() else away.mean())
