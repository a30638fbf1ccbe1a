"""Reconstruction on the sky: from two surveys to a field in patches, and sharpened redshifts.

The footprint is cut into patches, each a sky box. In every shell one linear model is fitted to all
patches; the method then estimates patch after patch, and keeps the core of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.sky.agreement import field_mean
from truez.sky.core import layout_of
from truez.sky.field import SkyField
from truez.sky.field_file import StoredPatches, check_suffix, patch_writer
from truez.sky.job import ShellJob
from truez.sky.layout import SkyPatch, intensity_of
from truez.sky.patches import Patch, Patches, PatchSettings
from truez.sky.pdf_output import Place, SkyPdfs, sky_pdfs
from truez.sky.plan import Plan, choose
from truez.sky.redshifts import FLAGS, Sharpener
from truez.sky.registry import METHODS, check_moves
from truez.sky.surveys import SkySurveys
from truez.support.checks import check_type
from truez.support.memory import release_memory
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.support.spill import Spill, spill_beside

Array = NDArray[np.float64]
#: Where p(z) are written, if anywhere.
PdfOut = str | Path | SkyPdfs | None


@dataclass(frozen=True, eq=False, repr=False)
class SkyReconstruction(SkyField):
    """The density field on the patches of a sky, which also sharpens redshifts.

    Parameters
    ----------
    patches, cosmology, metadata
        As of `SkyField`.
    surveys : SkySurveys, optional
        Those that were reconstructed; redshifts need them.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.1, 0.2, 4000)
    >>> photo = {"RA": rng.uniform(10, 20, z.size), "DEC": rng.uniform(-5, 5, z.size),
    ...          "Z": z + 0.01 * (1 + z) * rng.normal(size=z.size), "ID": np.arange(z.size)}
    >>> spec = {name: values[:400] for name, values in photo.items()} | {"Z": z[:400]}
    >>> surveys = truez.SkySurveys.from_catalogs(
    ...     spec=spec, photo=photo, footprint=(10, 20, -5, 5), sigma_z=0.01, match_id="ID",
    ... )
    >>> result = truez.reconstruct(surveys, "redistribution")
    >>> print(repr(result).split(" on ")[0])
    SkyReconstruction by redistribution
    >>> bool(np.isfinite(result.redshifts()["z_mean"]).mean() > 0.95)
    True
    """

    surveys: SkySurveys | None = None

    def redshifts(
        self, *, interval: float = 0.68, pdf_out: PdfOut = None, progress: Progress = silent
    ) -> Catalog:
        """Sharpened redshifts of the photometric galaxies.

        Parameters
        ----------
        interval : float
            Share of the posterior between ``z_lo`` and ``z_hi``.
        pdf_out : str, Path or SkyPdfs, optional
            File to write p(z) of each galaxy to, .hdf5 for qp: `truez.sky.pdf_output`.
        progress : Progress

        Returns
        -------
        Catalog
            Row by row those of ``surveys.photo``: z_phot, z_mean, z_median, z_mode, z_std, z_lo,
            z_hi; information_gain over photo-z and N(z), as the posterior expects it, and
            log_evidence, ln p of the photo-z under the map per unit redshift [nats]; spec_matched;
            and flag, a sum of the bits 1 (outside the footprint), 2 (photo-z beyond the map), 4 (at
            an edge or a hole of the footprint), 8 (no usable photo-z), 16 (no posterior), 32 (left
            out by a cut), 64 (N(z) in place of a p(z) that cannot be used). A known redshift is its
            own mean, with a deviation of 0; nan without a posterior.

        Raises
        ------
        ValueError
            If the method moves no galaxies, or the surveys are not known.
        """
        surveys = self._stored_surveys()
        places = [(one.box, one.near, one.far) for one in self.layout.outlines]
        with _pdfs(pdf_out, surveys, places) as pdfs:
            found = Sharpener(surveys, self.layout, interval=interval, pdfs=pdfs)
            return _finished(self._sharpened(found, progress), interval, self.metadata, progress)

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
        found = Sharpener(self._stored_surveys(), self.layout, draws=int(n), seed=seed)
        return self._sharpened(found, progress).drawn

    @classmethod
    def read(cls, path: str | Path, surveys: SkySurveys | None = None) -> SkyReconstruction:
        """Open a file that `write` wrote; ``surveys`` are those of the estimate, for redshifts.

        Patches are read when they are asked for.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is another file.
        """
        found = StoredPatches(path)
        return cls(found, found.cosmology, found.metadata, surveys)

    def _sharpened(self, found: Sharpener, progress: Progress) -> Sharpener:
        for number in range(len(self)):
            found.add(self.intensity(number), progress)
        return found

    def _stored_surveys(self) -> SkySurveys:
        if self.surveys is None:
            raise ValueError(
                "this reconstruction does not hold its surveys: read it with "
                "SkyReconstruction.read(path, surveys=...)"
            )
        return with_stored_pdfs(self.surveys, Spill())


def reconstruct(
    surveys: SkySurveys,
    method: str | Plan | None = None,
    *,
    patches: PatchSettings | Patches | None = None,
    path: str | Path | None = None,
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
    return SkyReconstruction.read(path, surveys)


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
        Redshifts to draw from each posterior, see `SkyReconstruction.draws`.
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
    with _pdfs(pdf_out, work.surveys, work.plan.patches) as pdfs:
        found = Sharpener(
            work.surveys, layout_of(surveys, work.plan.patches), interval=interval, draws=draws,
            seed=seed, pdfs=pdfs,
        )  # fmt: skip
        for patch in work.patches(spill, progress, painted=False):
            found.add(intensity_of(patch), progress)
            del patch  # before the next one is made
        catalog = _finished(found, interval, work.metadata, progress)
    return SharpenedRedshifts(catalog, found.drawn, work.metadata, found.layout.reach)


def with_stored_pdfs(surveys: SkySurveys, spill: Spill) -> SkySurveys:
    """The surveys with p(z) where those of a few galaxies are read quickly, wherever they are."""
    if surveys.pdfs is None:
        return surveys
    return replace(surveys, pdfs=surveys.pdfs.stored(spill))


def _pdfs(
    pdf_out: PdfOut, surveys: SkySurveys, patches: Iterable[Patch | Place]
) -> AbstractContextManager[SkyPdfs | None]:
    """The file of p(z); one that is open already stays so."""
    if pdf_out is None or isinstance(pdf_out, SkyPdfs):
        return nullcontext(pdf_out)
    return sky_pdfs(pdf_out, surveys, patches)


def _finished(
    found: Sharpener, interval: float, metadata: Mapping[str, Any], progress: Progress
) -> Catalog:
    """The catalogue of all redshifts, when those of the last patch are there."""
    meaning = {str(bit): words for bit, words in FLAGS.items()}
    columns, about = found.columns(), {"interval": interval, "flag": meaning}
    if found.pdfs is not None:
        found.pdfs.finish(found.surveys, columns, {**metadata, **about}, progress)
    return Catalog(columns, metadata=about)


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

    def patches(
        self, spill: Spill, progress: Progress, *, painted: bool = True
    ) -> Iterator[SkyPatch]:
        """The patches, one at a time; what is found in each shell is noted in ``shells``."""
        for shell in self.plan.patches.shells:
            own = [patch for patch in self.plan.patches if patch.shell is shell]
            job = ShellJob(
                self.surveys, own, progress, device=self.device, spill=spill, painted=painted
            )
            excess = expected = 0.0
            for patch in METHODS[self.plan.method].run(job, self.how):
                if painted:
                    above, weight = field_mean(patch)
                    excess, expected = excess + above, expected + weight
                yield patch
                del patch  # before the next one is made
                release_memory()
            about = {"near": shell.near, "far": shell.far, "chi_ref": shell.chi_ref}
            if expected > 0:
                about["mean"] = excess / expected
            self.shells.append({**about, **job.about})

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
