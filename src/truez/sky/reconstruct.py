"""Reconstruction on the sky: from two surveys to a field in patches, and sharpened redshifts.

The footprint is cut into patches, each a sky box. In every shell one linear model is fitted to all
patches; the method then estimates patch after patch, and keeps the core of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.sightlines.drawn import sample_numbers
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.joint import SAMPLES_AT_ONCE
from truez.sky.agreement import field_mean
from truez.sky.core import layout_of
from truez.sky.drawn import resampler_of, write_samples
from truez.sky.field_file import check_suffix, patch_writer
from truez.sky.job import ShellJob
from truez.sky.joint import patch_fluctuations
from truez.sky.layout import SkyPatch, intensity_of
from truez.sky.patches import Patches, PatchSettings
from truez.sky.plan import Plan, choose
from truez.sky.redshifts import Sharpener
from truez.sky.registry import METHODS, check_moves
from truez.sky.result import PdfOut, SkyReconstruction, finished, pdfs_into, with_stored_pdfs
from truez.sky.surveys import SkySurveys
from truez.support.checks import check_type
from truez.support.memory import check_memory, release_memory
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.support.spill import Spill, spill_beside

Array = NDArray[np.float64]


def reconstruct(
    surveys: SkySurveys,
    method: str | Plan | None = None,
    *,
    patches: PatchSettings | Patches | None = None,
    path: str | Path | None = None,
    samples: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **settings: Any,
) -> SkyReconstruction:
    """Estimate the overdensity of the photometric sample in true redshift space.

    Parameters
    ----------
    surveys : SkySurveys
    method : str or Plan, optional
        ``columns``: the photometric galaxies are moved along their sight lines to where a network
        expects them, which sharpens their redshifts. ``redistribution``: to where the linear
        optimum of the spectroscopic survey does. ``wiener``, ``wiener-spec``: the linear optimum
        of both surveys, or of the spectroscopic one. By default that of `choose`: ``columns`` where
        its network was trained for such surveys, and ``redistribution`` where not, which a note
        and the metadata (``method_note``) say. A `Plan` of `choose` has its own patches.
    patches : PatchSettings or Patches, optional
        How the sky is cut, such as ``PatchSettings(cellsize=4)``.
    path : str or Path, optional
        HDF5 file to write the patches to as they are made, from which they are read when they are
        asked for, so that memory is bounded by the largest of them. By default all are in memory.
    samples : int
        Posterior samples that are written to ``path`` as well, those of
        `SkyReconstruction.samples`; `truez.sky.samples_file.StoredSkySamples` reads them.
    seed : int
        Of the samples.
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
        If the method or a setting is unknown, the network was not trained for such surveys, the
        observed spectra fit no model, or there is not enough memory.
    """
    if path is not None:
        check_suffix(path)
    work = _work(surveys, method, patches, device, settings)
    if samples:
        if path is None:
            raise ValueError(
                f"samples = {samples} are written to a file: give path, or call samples() of the "
                "result"
            )
        check_samples(surveys, work.plan, work.how, samples, seed)
    if path is None:
        work = work.with_stored_pdfs(spill := Spill())
        made = tuple(work.patches(spill, progress))
        return SkyReconstruction(made, surveys.cosmology, work.metadata, work.surveys)
    with patch_writer(path) as writer, spill_beside(Path(path)) as spill:
        work = work.with_stored_pdfs(spill)
        for patch in work.patches(spill, progress):
            writer.add(patch)
            del patch  # before the next one is made
        writer.describe(surveys.cosmology, work.metadata)
        if samples:
            layout = layout_of(surveys, work.plan.patches)
            write_samples(
                writer, work.surveys, layout, writer.intensity,
                patch_fluctuations(work.metadata, layout.outlines), num=samples, seed=seed,
                resampler=resampler_of(work.metadata), progress=progress,
            )  # fmt: skip
    return SkyReconstruction.read(path, surveys)


def check_samples(surveys: SkySurveys, plan: Plan, how: Any, samples: int, seed: int) -> None:
    """Raise a ValueError for samples that cannot be drawn, before the work.

    Parameters
    ----------
    surveys : SkySurveys
    plan : Plan
    how : object
        Settings of its method.
    samples, seed : int
        Number of samples, and their seed.
    """
    sample_numbers(samples, seed)
    check_moves(plan.method)
    number, method = len(surveys.photo), METHODS[plan.method]
    largest = max(method.memory(patch, how, samples) for patch in plan.patches)
    check_memory(
        4 * min(samples, SAMPLES_AT_ONCE) * number + largest,
        f"samples of {number} galaxies", "draw none",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SharpenedRedshifts:
    """Sharpened redshifts of the photometric galaxies.

    Parameters
    ----------
    catalog : Catalog
        As of `SkyReconstruction.redshifts`.
    draws : (n, n_p) array
        As of `SkyReconstruction.draws`.
    metadata : dict
        Of the reconstruction.
    reach : (2,) floats
        Photo-z between which galaxies have posteriors: that of the layout.
    """

    catalog: Catalog
    draws: Array
    metadata: dict[str, Any]
    reach: tuple[float, float]


def sharpen(
    surveys: SkySurveys,
    method: str | Plan | None = None,
    *,
    patches: PatchSettings | Patches | None = None,
    spill: Spill | None = None,
    device: torch.device | str = "cpu",
    interval: float = 0.68,
    draws: int = 0,
    seed: int = 0,
    pdf_out: PdfOut = None,
    progress: Progress = silent,
    **settings: Any,
) -> SharpenedRedshifts:
    """Sharpened redshifts as `reconstruct` gives them, without the field.

    Parameters
    ----------
    surveys, method, patches, device, progress, **settings
        As of `reconstruct`.
    spill : Spill, optional
        Where meshes wait for a second pass, such as `truez.support.spill.spill_beside` a file; by
        default in memory.
    interval : float
        Share of the posterior between ``z_lo`` and ``z_hi``.
    draws, seed : int
        Redshifts to draw of each galaxy: `SkyReconstruction.draws`.
    pdf_out : str, Path or SkyPdfs, optional
        File to write p(z) of each galaxy to, .hdf5 for qp, as interp or, of more than 1e7
        galaxies, quantiles; `truez.sky.pdf_output.sky_pdfs` chooses.

    Raises
    ------
    ValueError
        As `reconstruct`, or if the method moves no galaxies.
    """
    if isinstance(method, str):
        check_moves(method)
    spill = Spill() if spill is None else spill
    work = _work(surveys, method, patches, device, settings).with_stored_pdfs(spill)
    with pdfs_into(pdf_out, work.surveys, work.plan.patches) as pdfs:
        found = Sharpener(
            work.surveys, layout_of(surveys, work.plan.patches), interval=interval, draws=draws,
            seed=seed, pdfs=pdfs,
        )  # fmt: skip
        for patch in work.patches(spill, progress, painted=False):
            found.add(intensity_of(patch), work.fluctuations, progress)
            del patch  # before the next one is made
        catalog = finished(found, interval, work.metadata, progress)
    return SharpenedRedshifts(
        catalog, np.asarray(found.drawn(), np.float64), work.metadata, found.layout.reach
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """A method with its settings on the patches of surveys."""

    surveys: SkySurveys
    plan: Plan
    how: Any
    device: torch.device | str
    shells: list[dict[str, Any]] = field(default_factory=list)

    def with_stored_pdfs(self, spill: Spill) -> _Work:
        """The same with p(z) where the galaxies of a patch are read quickly, wherever they are."""
        return replace(self, surveys=with_stored_pdfs(self.surveys, spill))

    @property
    def fluctuations(self) -> Fluctuations | None:
        """What galaxies of one group share in the patch that was made last."""
        return Fluctuations.of(self.shells[-1])

    def patches(
        self, spill: Spill, progress: Progress, *, painted: bool = True
    ) -> Iterator[SkyPatch]:
        """The patches, one at a time; what is found in each shell is noted in ``shells``."""
        for shell in self.plan.patches.shells:
            own = [patch for patch in self.plan.patches if patch.shell is shell]
            about = {"near": shell.near, "far": shell.far, "chi_ref": shell.chi_ref}
            self.shells.append(about)
            job = ShellJob(
                self.surveys, own, progress, about, self.device, spill=spill, painted=painted
            )
            excess = expected = 0.0
            for patch in METHODS[self.plan.method].run(job, self.how):
                if painted:
                    above, weight = field_mean(patch)
                    excess, expected = excess + above, expected + weight
                yield patch
                del patch  # before the next one is made
                release_memory()
            if expected > 0:
                about["mean"] = excess / expected

    @property
    def metadata(self) -> dict[str, Any]:
        """What describes the result."""
        plain = {name: str(x) if isinstance(x, Path) else x for name, x in vars(self.how).items()}
        return {
            **self.surveys.describe(), "method": self.plan.method, **self.plan.metadata,
            "settings": plain,
            "shells": self.shells, "versions": versions(),
        }  # fmt: skip


def _work(
    surveys: SkySurveys, method: str | Plan | None, patches: PatchSettings | Patches | None,
    device: torch.device | str, settings: Mapping[str, Any],
) -> _Work:  # fmt: skip
    """What is to be done."""
    check_type(surveys, SkySurveys, "surveys", "SkySurveys.from_catalogs(...)")
    plan = method
    if not isinstance(plan, Plan):
        plan = choose(surveys, patches, method=plan, device=device, **settings)
    return _Work(surveys, plan, METHODS[plan.method].settings(**settings), device)
