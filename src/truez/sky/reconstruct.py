"""Reconstruction on the sky: from two surveys to a field in patches, and sharpened redshifts.

The footprint is cut into patches, each a sky box. In every shell one linear model is fitted to all
patches; the method then estimates patch after patch, and keeps the core of each.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.reconstruct.settings import Run
from truez.sky.field import SkyField, SkyPatch, read_patches
from truez.sky.methods import ShellJob
from truez.sky.patches import Patches, PatchSettings, plan_patches
from truez.sky.redshifts import FLAGS, drawn, sharpened
from truez.sky.registry import METHODS, SkyMethod
from truez.sky.surveys import SkySurveys
from truez.support.checks import check_type
from truez.support.notes import Note
from truez.support.progress import Progress, silent
from truez.support.provenance import versions

Array = NDArray[np.float64]
#: The method that is used by default, and that for surveys which it does not serve.
DEFAULT_METHOD, OTHER_METHOD = "columns", "redistribution"


@dataclass(frozen=True, eq=False, repr=False)
class SkyReconstruction(SkyField):
    """The density field on the patches of a sky, which also sharpens redshifts.

    Parameters
    ----------
    patches, cosmology, metadata
        As of `SkyField`.
    surveys : SkySurveys, optional
        Those that were reconstructed; redshifts need them.
    """

    surveys: SkySurveys | None = None

    def redshifts(self, *, interval: float = 0.68, progress: Progress = silent) -> Catalog:
        """Sharpened redshifts of the photometric galaxies.

        Parameters
        ----------
        interval : float
            Share of the posterior between ``z_lo`` and ``z_hi``.
        progress : Progress

        Returns
        -------
        Catalog
            Row by row those of ``surveys.photo``: z_phot, z_mean, z_median, z_mode, z_std, z_lo,
            z_hi; information_gain over photo-z and N(z), as the posterior expects it, and
            log_evidence, ln p of the photo-z under the map per unit redshift [nats]; spec_matched;
            and flag, a sum of the bits 1 (outside the footprint), 2 (photo-z beyond the map), 4 (at
            an edge or a hole of the footprint), 8 (no usable photo-z), 16 (no posterior). A known
            redshift is its own mean, with a deviation of 0; nan without a posterior.

        Raises
        ------
        ValueError
            If the method moves no galaxies, or the surveys are not known.
        """
        columns = sharpened(self, self._surveys(), interval=interval, progress=progress)
        meaning = {str(bit): words for bit, words in FLAGS.items()}
        return Catalog(columns, metadata={"interval": interval, "flag": meaning})

    def draws(self, n: int, *, seed: int, progress: Progress = silent) -> Array:
        """Redshifts drawn from the posteriors, galaxy by galaxy, shape (n, rows).

        Draw i depends on (seed, i) alone. Known redshifts are unchanged; nan for galaxies without a
        posterior. Draws of different galaxies are independent.

        Parameters
        ----------
        n : int
        seed : int
        progress : Progress
        """
        if not (isinstance(n, int | np.integer) and n >= 1):
            raise ValueError(f"n must be a whole number of draws >= 1, not {n!r}")
        return drawn(self, self._surveys(), int(n), seed, progress)

    @classmethod
    def read(cls, path: str | Path, surveys: SkySurveys | None = None) -> SkyReconstruction:
        """Read a file that `write` wrote; ``surveys`` are those of the estimate, for redshifts.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is another file.
        """
        return cls(*read_patches(path), surveys)

    def _surveys(self) -> SkySurveys:
        if self.surveys is None:
            raise ValueError(
                "this reconstruction does not hold its surveys: read it with "
                "SkyReconstruction.read(path, surveys=...)"
            )
        return self.surveys


def plan(
    surveys: SkySurveys, settings: PatchSettings | None = None, *, method: str | None = None
) -> Patches:
    """The patches of surveys, with the halo that a method needs.

    Parameters
    ----------
    surveys : SkySurveys
    settings : PatchSettings, optional
    method : str, optional
        One of `truez.sky.registry.METHODS`; that of `choose` by default.
    """
    if method is None:
        return choose(surveys, settings)[1]
    halo = _method(method).halo
    how = PatchSettings(halo=halo) if settings is None else settings
    return plan_patches(
        surveys.footprint,
        cosmology=surveys.cosmology,
        redshift_range=surveys.redshift_range,
        sigma_z=surveys.largest_error,
        density=surveys.nz,
        settings=how if how.halo >= halo else replace(how, halo=halo),
    )


def choose(
    surveys: SkySurveys,
    patches: PatchSettings | Patches | None = None,
    *,
    method: str | None = None,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> tuple[str, Patches]:
    """The method for surveys and their patches, with what is known before the work refused.

    Where none is asked for it is ``columns`` if its network was trained for such surveys, and
    ``redistribution`` if not, which a note says.

    Parameters
    ----------
    surveys : SkySurveys
    patches : PatchSettings or Patches, optional
    method : str, optional
    device : torch.device or str
        Where a network runs.
    **settings
        Those that the method is to have.

    Raises
    ------
    ValueError
        If a method or setting is unknown, or the network that it asks for does not serve the
        surveys.
    """

    def cut(method: str) -> Patches:
        return patches if isinstance(patches, Patches) else plan(surveys, patches, method=method)

    first = cut(method or DEFAULT_METHOD)
    if method is not None:
        check_start(surveys, method, first, device=device, **settings)
        return method, first
    try:
        check_start(surveys, DEFAULT_METHOD, first, device=device, **settings)
    except ValueError as error:
        known = {item.name for item in fields(METHODS[OTHER_METHOD].settings)}
        if not known.issuperset(settings):
            raise
        reason = str(error).rpartition(": ")[0] or str(error)
        warnings.warn(f"method {OTHER_METHOD} is used: {reason}", Note, stacklevel=2)
        return OTHER_METHOD, cut(OTHER_METHOD)
    return DEFAULT_METHOD, first


def check_start(
    surveys: SkySurveys,
    method: str,
    patches: Patches,
    *,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> None:
    """Refuse what is known of a reconstruction before the work.

    Arguments and errors as in `reconstruct`.
    """
    chosen = _method(method)
    known = [item.name for item in fields(chosen.settings)]
    for name in settings:
        if name not in known:
            raise ValueError(
                f"method {method} has no setting {name}: leave {name} out, or choose another "
                f"method; its settings are {', '.join(known)}"
            )
    how = chosen.settings(**settings)
    if chosen.check is not None:
        chosen.check(surveys, tuple(patches), how, Run(device))


def reconstruct(
    surveys: SkySurveys,
    method: str | None = None,
    *,
    patches: PatchSettings | Patches | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **settings: Any,
) -> SkyReconstruction:
    """Estimate the overdensity of the photometric sample in true redshift space.

    Parameters
    ----------
    surveys : SkySurveys
    method : str, optional
        ``columns``: the photometric galaxies are moved along their sight lines to where a network
        expects them, which sharpens their redshifts. ``redistribution``: to where the linear
        optimum of the spectroscopic survey does. ``wiener``, ``wiener-spec``: the linear optimum
        of both surveys, or of the spectroscopic one. By default that of `choose`: ``columns`` where
        its network was trained for such surveys, and ``redistribution`` where not.
    patches : PatchSettings or Patches, optional
        How the sky is cut, such as ``PatchSettings(cellsize=4)``.
    device : torch.device or str
        Where a network runs.
    progress : Progress
    **settings
        Those of the method: `truez.sky.network_method.SkyColumnsSettings`, or
        `truez.sky.methods.SkySettings`.

    Returns
    -------
    SkyReconstruction

    Raises
    ------
    ValueError
        If the method or a setting is unknown, the network was not trained for such surveys, or the
        observed spectra fit no model.
    """
    check_type(surveys, SkySurveys, "surveys", "SkySurveys.from_catalogs(...)")
    method, cut = choose(surveys, patches, method=method, device=device, **settings)
    chosen = METHODS[method]
    how = chosen.settings(**settings)
    made: list[SkyPatch] = []
    about = []
    for shell in cut.shells:
        own = [patch for patch in cut if patch.shell is shell]
        job = ShellJob(surveys, own, progress, device=device)
        made += chosen.run(job, how)
        about.append({"near": shell.near, "far": shell.far, "chi_ref": shell.chi_ref, **job.about})
    plain = {name: str(x) if isinstance(x, Path) else x for name, x in vars(how).items()}
    metadata = {
        **surveys.describe(), "method": method, "settings": plain, "shells": about,
        "versions": versions(),
    }  # fmt: skip
    return SkyReconstruction(tuple(made), surveys.cosmology, metadata, surveys)


def _method(name: str) -> SkyMethod:
    if name not in METHODS:
        raise ValueError(f"method on the sky must be one of {', '.join(METHODS)}, not {name!r}")
    return METHODS[name]
