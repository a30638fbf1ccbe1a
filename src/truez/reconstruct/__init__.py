"""Reconstruction: from two surveys to the density field in true redshift space.

`reconstruct` runs one of `METHODS`. Each has a function ``(surveys, settings, run) ->
Reconstruction`` and a small frozen class of its settings; to add a method, register a `Method`
under a new name, as the example of `reconstruct` does, or write a plug-in
(`truez.support.plugins`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, overload

import torch

from truez.mesh.box import Box
from truez.mesh.memory import check_mesh
from truez.reconstruct.choice import DEFAULT_METHOD, OTHER_METHOD, Choice, choose_method
from truez.reconstruct.fit_check import check_survey
from truez.reconstruct.methods import (
    check_both,
    redistribution,
    redistribution_median,
    wiener,
    wiener_photo,
    wiener_spec,
)
from truez.reconstruct.network_methods import (
    check_columns,
    check_dual_unet,
    column_tile,
    columns,
    columns_median,
    columns_serve,
    dual_unet,
)
from truez.reconstruct.plugin import plugin_method
from truez.reconstruct.result import Reconstruction
from truez.reconstruct.settings import (
    FLOOR,
    ColumnsMedianSettings,
    ColumnsSettings,
    Method,
    NetworkSettings,
    OwnPlaceSettings,
    RedistributionMedianSettings,
    RedistributionSettings,
    Run,
    WienerSettings,
)
from truez.sightlines.fine import cells_across, fine_box
from truez.support.checks import check_type
from truez.support.plugins import Registry
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.surveys import Surveys

if TYPE_CHECKING:
    from truez.sky.result import SkyReconstruction
    from truez.sky.surveys import SkySurveys

__all__ = [
    "DEFAULT_METHOD",
    "FLOOR",
    "METHODS",
    "PATCH_METHODS",
    "Choice",
    "Method",
    "Reconstruction",
    "Run",
    "check_start",
    "check_survey",
    "check_uneven",
    "choose",
    "column_tile",
    "estimate",
    "prepared",
    "reconstruct",
    "written_meshes",
]

# Memory for each cell of the mesh at the peak of a method, without the tile of a network [bytes]:
# somewhat below what was measured, since a job that fits must never be refused.
_FILTERED, _MOVED, _COLUMNS, _UNET = 48, 52, 48, 16
# The same for each cell of an intensity on smaller ones across the sky.
_FINE = 16
#: truez's own methods by their names.
_OWN: dict[str, Method] = {
    "columns": Method(
        columns, ColumnsSettings, _COLUMNS, check_columns, columns_serve, uneven=True
    ),
    "columns-median": Method(
        columns_median, ColumnsMedianSettings, _COLUMNS, check_columns, columns_serve
    ),
    "redistribution": Method(redistribution, RedistributionSettings, _MOVED, uneven=True),
    "redistribution-median": Method(redistribution_median, RedistributionMedianSettings, _MOVED),
    "wiener": Method(wiener, WienerSettings, _FILTERED, check_both, uneven=True),
    "wiener-spec": Method(wiener_spec, WienerSettings, _FILTERED, uneven=True),
    "wiener-photo": Method(wiener_photo, WienerSettings, _FILTERED),
    "dual-unet": Method(dual_unet, NetworkSettings, _UNET, check_dual_unet),
}
#: Every method by its name, those of plug-ins (entry points ``truez.methods``) among them.
METHODS: Registry[Method] = Registry("truez.methods", plugin_method, _OWN)
#: Methods that a box in patches can be reconstructed by (`truez.reconstruct.patched`).
PATCH_METHODS = ("columns", "redistribution", "wiener", "wiener-spec", "wiener-photo")


def check_start(
    box: Box,
    method: str | None = None,
    *,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> None:
    """Refuse what can be known of a reconstruction before its surveys are read.

    Arguments and errors as in `reconstruct`, for surveys in a box.
    """

    def check(name: str) -> None:
        prepared(box, name, settings, Run(device))

    if method is None:
        choose_method(check, given=settings, settings=_names(OTHER_METHOD), quiet=True)
    else:
        check(method)


def choose(surveys: Surveys, *, device: torch.device | str = "cpu", **settings: Any) -> Choice:
    """The method that `reconstruct` uses for surveys in a box where none is asked for.

    Parameters
    ----------
    surveys : Surveys
    device : torch.device or str
        Where a network runs.
    **settings
        Those that the method is to have.

    Returns
    -------
    Choice
        ``columns`` if its network was trained for such surveys, and ``redistribution`` if not,
        which a note says.

    Raises
    ------
    ValueError
        If neither serves the surveys, or only the network has the settings.
    """

    def check(method: str) -> None:
        if not surveys.even:
            check_uneven(method, surveys.uneven_words)
        prepared(surveys.box, method, settings, Run(device))
        serves = METHODS[method].serves
        if serves is not None:
            serves(surveys, METHODS[method].settings(**settings))

    return choose_method(check, given=settings, settings=_names(OTHER_METHOD))


def _names(method: str) -> list[str]:
    """The settings that a method has."""
    return [item.name for item in fields(METHODS[method].settings)]


def prepared(
    box: Box, method: str, settings: Mapping[str, Any], run: Run
) -> Callable[[Surveys], Reconstruction]:
    """The method as a function of the surveys alone, if it can run in the box."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    chosen = METHODS[method]
    known = _names(method)
    for name in settings:
        if name not in known:
            raise ValueError(
                f"method {method} has no setting {name}: leave {name} out, or choose another "
                f"method; its settings are {', '.join(known)}"
            )
    given = chosen.settings(**settings)
    other = ", or reconstruct in patches" if method in PATCH_METHODS else ""
    check_mesh(box, chosen.cell, other=other)
    if isinstance(given, OwnPlaceSettings) and (number := given.cells_across(box)) > 1:
        check_fine(box, number)
    if chosen.check is not None:
        chosen.check(box, given, run)
    return lambda surveys: chosen.run(surveys, given, run)


def check_fine(box: Box, number: int) -> None:
    """Refuse an intensity on ``number`` x ``number`` smaller cells that is beyond the memory."""
    coarse = max(box.cellsize[:2])
    remedy = f"give sky_cellsize, {coarse:.5g} Mpc/h or that divided by a smaller number"
    check_mesh(fine_box(box, number), _FINE, remedy=remedy)


def written_meshes(box: Box, method: str | None = None, **settings: Any) -> int:
    """Meshes of a box that the HDF5 file of a reconstruction takes the room of.

    They are delta and, of methods that move galaxies, the intensity on its smaller cells and sigma,
    which medians do not have. Arguments as in `reconstruct`.
    """
    how = METHODS[method or DEFAULT_METHOD].settings
    if not issubclass(how, OwnPlaceSettings):
        return 1
    number = cells_across(box, settings.get("sky_cellsize"))
    return number**2 + (1 if hasattr(how, "draws") else 2)


def check_uneven(method: str, uneven: str = "") -> None:
    """Raise an error for a method that needs even surveys.

    Those are surveys whose expected counts are the same everywhere, and whose galaxies have one
    photo-z error and no weights. ``uneven`` is what the surveys have instead, in words.
    """
    if not METHODS[method].uneven:
        can = [name for name, one in METHODS.usable() if one.uneven]
        found = uneven and f", and the surveys have {uneven}"
        raise ValueError(
            f"method {method} needs even expected counts and one photo-z error, without weights"
            f"{found}: choose method {', '.join(can[:-1])} or {can[-1]}"
        )


@overload
def reconstruct(
    surveys: Surveys, method: str | None = None, *, device: torch.device | str = "cpu",
    progress: Progress = silent, **settings: Any,
) -> Reconstruction: ...  # fmt: skip
@overload
def reconstruct(
    surveys: SkySurveys, method: str | None = None, *, device: torch.device | str = "cpu",
    progress: Progress = silent, **settings: Any,
) -> SkyReconstruction: ...  # fmt: skip
def reconstruct(
    surveys: Any,
    method: str | None = None,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **settings: Any,
) -> Any:
    """Estimate the overdensity of the photometric sample in true redshift space.

    Parameters
    ----------
    surveys : Surveys or SkySurveys
        The two samples, their box and the photo-z error, or those on the sky. For the latter
        methods, settings, among them ``patches``, and the result are those of
        `truez.sky.reconstruct.reconstruct`, which has a default of its own.
    method : str, optional
        One of `METHODS`; by default that of `choose`, ``columns``, and for surveys unlike those
        that its network was trained for ``redistribution``, which a note and the metadata
        (``method_note``) say. ``columns``: the photometric galaxies are moved along their sight
        lines to where a network expects them. ``redistribution``: to where the linear optimum of
        the spectroscopic survey does. ``columns-median``, ``redistribution-median``: the median
        over catalogues whose redshifts are drawn from the posteriors, which has a lower mean
        absolute error but does not conserve the number of galaxies. ``wiener``, ``wiener-spec``,
        ``wiener-photo``: the linear optimum of both surveys or of one, fitted to the observed
        spectra. ``dual-unet``: the network of arXiv:2504.06309, which needs ``weights``.
    device : torch.device or str
        Where a network runs.
    progress : Progress
        Called during the work, such as `truez.progress_bar`.
    **settings
        Those of the method, see `WienerSettings`, `RedistributionSettings`, `NetworkSettings`,
        `ColumnsSettings` and those of the medians in `truez.reconstruct.settings`.

    Returns
    -------
    Reconstruction or SkyReconstruction
        Its metadata describe the surveys and the method.

    Raises
    ------
    ValueError
        If the method or a setting is unknown, weights are missing, or the network that was asked
        for does not fit the surveys.

    Examples
    --------
    >>> import truez
    >>> galaxies = truez.lognormal_galaxies(
    ...     truez.Box((128, 128, 256), cellsize=4), "planck18", redshift=0.6, density=1e-2,
    ...     bias=1.5, seed=1,
    ... )
    >>> mock = galaxies.observe(spec_density=1e-3, sigma_z=0.01, cellsize=4, seed=2)
    >>> print(repr(truez.reconstruct(mock.surveys, "redistribution", floor=0.1)))
    Reconstruction by redistribution; error per cell and intensity are known
      128 x 128 x 256 Mpc/h, 32 x 32 x 64 cells of 4 Mpc/h, periodic

    A new method:

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Smoothed:
    ...     radius: float = 8.0
    >>> def smoothed_spec(surveys, settings, run):
    ...     return truez.Reconstruction(surveys.spec_field().smooth(settings.radius))
    >>> truez.reconstruct.METHODS["smoothed-spec"] = truez.reconstruct.Method(
    ...     smoothed_spec, Smoothed
    ... )
    >>> truez.reconstruct(mock.surveys, "smoothed-spec", radius=16).delta.shape
    (32, 32, 64)
    """
    if any(base.__name__ == "SkySurveys" for base in type(surveys).__mro__):
        # Of a room above this one, which is imported when it is needed.
        sky = importlib.import_module("truez.sky.reconstruct")
        given = {**settings, **({} if method is None else {"method": method})}
        given |= {} if device == "cpu" else {"device": device}
        return sky.reconstruct(surveys, progress=progress, **given)
    check_type(surveys, Surveys, "surveys", "truez.Surveys.from_catalogs(...)")
    choice = Choice(method) if method is not None else choose(surveys, device=device, **settings)
    method = choice.method
    if not surveys.even and method in METHODS:
        check_uneven(method)
    result = prepared(surveys.box, method, settings, Run(device, progress))(surveys)
    check_type(result, Reconstruction, f"what the method {method} returns")
    made = {"method": method, **choice.metadata, "versions": versions()}
    metadata = {**surveys.describe(), **result.delta.metadata, **made}
    resampler = result.delta.resampler or settings.get("resampler", "cic")
    delta = replace(result.delta, metadata=metadata, resampler=resampler, shotnoise=None)
    # Those of a method that fitted their photo-z error have it.
    return replace(result, delta=delta, surveys=result.surveys or surveys)


#: The same function by its former name.
estimate = reconstruct

# ``truez.reconstruct`` is this function, also after this module was imported by that name.
reconstruct.METHODS = METHODS  # type: ignore[attr-defined]
reconstruct.Method = Method  # type: ignore[attr-defined]
reconstruct.Reconstruction = Reconstruction  # type: ignore[attr-defined]
