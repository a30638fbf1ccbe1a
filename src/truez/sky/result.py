"""What a reconstruction on the sky returns: a field in patches, which also sharpens redshifts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.sightlines.drawn import sample_numbers
from truez.sky.drawn import drawn_fields, resampler_of, write_samples
from truez.sky.field import SkyField
from truez.sky.field_file import StoredPatches, patch_writer
from truez.sky.joint import PatchFluctuations, joint_redshifts, moving, patch_fluctuations
from truez.sky.patches import Patch
from truez.sky.pdf_output import Place, SkyPdfs, sky_pdfs
from truez.sky.redshifts import FLAGS, Sharpener
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent
from truez.support.spill import Spill

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
        with pdfs_into(pdf_out, surveys, places) as pdfs:
            found = Sharpener(surveys, self.layout, interval=interval, pdfs=pdfs)
            return finished(self._sharpened(found, progress), interval, self.metadata, progress)

    def draws(self, n: int, *, seed: int, progress: Progress = silent) -> Array:
        """Redshifts drawn from the posteriors, shape (n, rows): catalogues that the surveys allow.

        Draw i depends on (seed, i) alone, and is the catalogue that sample i of `samples` shows.
        Known redshifts are unchanged; nan for galaxies without a posterior.

        Parameters
        ----------
        n : int
            At least 1.
        seed : int
            At least 0.
        progress : Progress

        Raises
        ------
        ValueError
            If the method moves no galaxies, the surveys are not known, or a number is another.
        """
        numbers, surveys = sample_numbers(n, seed), self._stored_surveys()
        drawn = joint_redshifts(
            surveys, self.layout, self.intensity, self.fluctuations, seed=seed, numbers=numbers,
            progress=progress,
        )  # fmt: skip
        return np.asarray(drawn, np.float64)

    def samples(
        self, n: int, *, seed: int, first: int = 0, progress: Progress = silent
    ) -> Iterator[SkyField]:
        """Posterior samples of the field: overdensities that the two surveys allow, one at a time.

        The galaxies are painted as those of the estimate are, at the redshifts of `draws`. Sample i
        depends on (seed, i) alone. Its patches are painted when they are asked for, and not kept:
        memory is a few meshes of one of them, and 4 bytes for each galaxy of a few samples.
        Galaxies of one group move together (`fluctuations`); in a shell without spectra they are
        drawn one by one.

        Parameters
        ----------
        n : int
            How many, at least 1.
        seed : int
            At least 0.
        first : int
            Number of the first one.
        progress : Progress

        Yields
        ------
        SkyField
            Its metadata hold ``seed`` and ``number``.

        Raises
        ------
        ValueError
            As `draws`.
        """
        numbers, surveys = sample_numbers(n, seed, first), self._stored_surveys()
        if not self.has("intensity"):
            moving(None)
        return drawn_fields(
            surveys, self, self.fluctuations, seed=seed, numbers=numbers, progress=progress
        )

    def write(
        self, path: str | Path, *, samples: int = 0, seed: int = 0, progress: Progress = silent
    ) -> None:
        """Write to HDF5 (``.h5``, ``.hdf5``), whole or not at all.

        Parameters
        ----------
        path : str or Path
        samples : int
            Write so many posterior samples as well, those of `samples`, patch by patch;
            `truez.sky.samples_file.StoredSkySamples` reads them.
        seed : int
            Of the samples.
        progress : Progress
        """
        if samples == 0:
            super().write(path)
            return
        sample_numbers(samples, seed)
        surveys = self._stored_surveys()
        with patch_writer(path) as writer:
            for patch in self:
                writer.add(patch)
                del patch  # before the next one is read
            writer.describe(self.cosmology, self.metadata)
            write_samples(
                writer, surveys, self.layout, self.intensity, self.fluctuations, num=samples,
                seed=seed, resampler=resampler_of(self.metadata), progress=progress,
            )  # fmt: skip

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
            found.add(self.intensity(number), progress=progress)
        return found

    @property
    def fluctuations(self) -> PatchFluctuations:
        """What galaxies of one group share in a sample, of each patch; None for nothing.

        It is that of its shell in the metadata.
        """
        return patch_fluctuations(self.metadata, self.layout.outlines)

    def _stored_surveys(self) -> SkySurveys:
        if self.surveys is None:
            raise ValueError(
                "this reconstruction does not hold its surveys: read it with "
                "SkyReconstruction.read(path, surveys=...)"
            )
        return with_stored_pdfs(self.surveys, Spill())


def with_stored_pdfs(surveys: SkySurveys, spill: Spill) -> SkySurveys:
    """The surveys with p(z) where those of a few galaxies are read quickly, wherever they are."""
    if surveys.pdfs is None:
        return surveys
    return replace(surveys, pdfs=surveys.pdfs.stored(spill))


def pdfs_into(
    pdf_out: PdfOut, surveys: SkySurveys, patches: Iterable[Patch | Place]
) -> AbstractContextManager[SkyPdfs | None]:
    """The file of p(z); one that is open already stays so."""
    if pdf_out is None or isinstance(pdf_out, SkyPdfs):
        return nullcontext(pdf_out)
    return sky_pdfs(pdf_out, surveys, patches)


def finished(
    found: Sharpener, interval: float, metadata: Mapping[str, Any], progress: Progress
) -> Catalog:
    """The catalogue of all redshifts, when those of the last patch are there."""
    meaning = {str(bit): words for bit, words in FLAGS.items()}
    columns, about = found.columns(), {"interval": interval, "flag": meaning}
    if isinstance(found.pdfs, SkyPdfs):
        found.pdfs.finish(found.surveys, columns, {**metadata, **about}, progress)
    return Catalog(columns, metadata=about)
