"""What a method of `truez.reconstruct` returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.catalogs.catalog import Catalog
from truez.mesh.field import Field, slab_limit
from truez.mesh.field_file import field_suffix, read_extra
from truez.mesh.samples_file import check_samples_suffix, write_with_samples
from truez.sightlines.drawn import drawn_fields, sample_numbers
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity, check_mesh
from truez.sightlines.joint import joint_places
from truez.sightlines.pairs import Pairs
from truez.sightlines.pdf_file import redshift_columns, redshift_from_place
from truez.sightlines.sharpened import posteriors, sharpen
from truez.support.checks import as_numbers, check_type
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction:
    """The density field that exact redshifts would show, with its error and intensity if known.

    Parameters
    ----------
    delta : Field
        Overdensity of the photometric sample in true redshift space, on the surveys' box.
    sigma : Tensor (nx, ny, nz), optional
        Standard deviation of its error in each cell, if the method estimates it. Without a network
        it is the scatter from unknown redshifts under an exact intensity: the true error is
        larger (docs/concepts/redistribution.md). A column network has learned it.
    intensity : Tensor (nx, ny, nz), or of smaller cells across the sky, optional
        The lambda > 0 that moves galaxies along their sight lines
        (`truez.sightlines.conserve`), relative to the expected counts: it also sharpens their
        redshifts.
    surveys : Surveys, optional
        The surveys that were reconstructed; redshifts need them.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> photo = np.random.default_rng(1).uniform(0, 64, (2000, 3))
    >>> surveys = truez.Surveys.from_catalogs(
    ...     spec=photo[:200], photo=photo, box=truez.Box(64, cellsize=4), redshift=0.6,
    ...     sigma_z=0.002, overlap="nested",
    ... )
    >>> delta = truez.Field(np.zeros((16, 16, 16)), surveys.box)
    >>> result = truez.Reconstruction(delta, intensity=np.ones((16, 16, 16)), surveys=surveys)
    >>> result.redshifts()["z_mean"].shape, result.draws(3, seed=1).shape
    ((2000,), (3, 2000))
    """

    delta: Field
    sigma: Tensor | None = None
    intensity: Tensor | None = None
    surveys: Surveys | None = None

    def __post_init__(self) -> None:
        check_type(self.delta, Field, "delta", "truez.Field(values, box)")
        if self.delta.kind != "delta":
            raise ValueError(f"delta must be an overdensity, not of kind {self.delta.kind!r}")
        for name in ("sigma", "intensity"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Tensor):
                array = np.array(as_numbers(value, name), dtype=np.float32)
                value = torch.from_numpy(array)
                object.__setattr__(self, name, value)
        if self.sigma is not None and tuple(self.sigma.shape) != self.delta.shape:
            raise ValueError(
                f"sigma must be of the mesh {self.delta.shape}, not {tuple(self.sigma.shape)}"
            )
        if self.intensity is not None:
            check_mesh(self.intensity, self.delta.box)

    def __repr__(self) -> str:
        method = self.metadata.get("method")
        words = f"Reconstruction by {method}" if method else "Reconstruction"
        meshes = {"error per cell": self.sigma, "intensity": self.intensity}
        known = [name for name, mesh in meshes.items() if mesh is not None]
        if known:
            words += f"; {' and '.join(known)} {'is' if len(known) == 1 else 'are'} known"
        return f"{words}\n  {self.delta.box}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.delta.__array__(dtype, copy)

    @property
    def field(self) -> Field:
        """The same as ``delta``."""
        return self.delta

    @property
    def metadata(self) -> dict[str, Any]:
        """Origin of the field, as plain values."""
        return self.delta.metadata

    @property
    def pairs(self) -> Pairs | None:
        """What neighbours on the sky add to the intensity, of the metadata; None for nothing."""
        return Pairs.of(self.metadata)

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
            Row by row those of ``surveys.photo``: z_phot, z_mean, z_std, z_mode, z_lo, z_hi,
            information_gain [nats], and spec_matched where it is known which galaxies are in both
            surveys. nan for galaxies without a posterior, beyond a closed box.

        Raises
        ------
        ValueError
            If the method moves no galaxies, or the surveys are not known.
        """
        surveys, intensity = self._moving()
        found = sharpen(surveys, intensity, interval=interval, progress=progress)
        columns = redshift_columns(found, surveys, slice(None), ~surveys.photo_only())
        return Catalog(columns, metadata={"interval": interval})

    def pdf(self, rows: ArrayLike) -> tuple[Array, NDArray[np.float32]]:
        """p(z) of some photometric galaxies.

        Parameters
        ----------
        rows : (m,) ints, or one
            Of ``surveys.photo``.

        Returns
        -------
        edges : array (m, cells + 1)
            Of the bins in redshift. Those of a periodic box begin half a box before the photo-z.
        pdf : array (m, cells)
            Density per unit of redshift; nan for galaxies without a posterior.
        """
        surveys, intensity = self._moving()
        chosen = np.atleast_1d(np.asarray(rows))
        if chosen.dtype.kind == "b":
            chosen = np.flatnonzero(chosen)
        number = len(surveys.photo)
        if chosen.dtype.kind not in "iu" or (
            len(chosen) and not (chosen.min() >= 0 and chosen.max() < number)
        ):
            raise ValueError(f"rows must be whole numbers from 0 to {number - 1}, not {rows!r}")
        places, probability = posteriors(surveys, intensity, chosen.astype(np.int64))
        edges = redshift_from_place(places, surveys)
        return edges, (probability / np.diff(edges, axis=1)).astype(np.float32)

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
        surveys, _ = self._moving()
        result = self.places(n, seed=seed, progress=progress)
        for place in result:
            place[:] = redshift_from_place(place, surveys)
        return result

    def places(self, n: int, *, seed: int, progress: Progress = silent) -> Array:
        """The same as `draws`, in comoving Mpc/h along the line of sight of the box."""
        surveys, intensity = self._moving()
        numbers = sample_numbers(n, seed)
        return joint_places(
            surveys, intensity, self.fluctuations, seed=seed, numbers=numbers, progress=progress
        )

    def samples(
        self, n: int, *, seed: int, first: int = 0, progress: Progress = silent
    ) -> Iterator[Field]:
        """Posterior samples of the field: overdensities that the two surveys allow, one at a time.

        The galaxies are painted as those of ``delta`` are, at the redshifts of `draws`; memory is
        one mesh more, and 8 bytes for each galaxy of a few samples. Sample i depends on (seed, i)
        alone. Galaxies of one group move together (`fluctuations`), so that samples have the
        clustering of the truth (docs/guides/samples.md); without fluctuations they are drawn one by
        one, and samples lack that of what is unknown.

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
        Field
            Its metadata hold ``seed`` and ``number``.

        Raises
        ------
        ValueError
            As `draws`.

        Examples
        --------
        >>> import numpy as np
        >>> import truez
        >>> photo = np.random.default_rng(1).uniform(0, 64, (2000, 3))
        >>> surveys = truez.Surveys.from_catalogs(
        ...     spec=photo[:200], photo=photo, box=truez.Box(64, cellsize=4), redshift=0.6,
        ...     sigma_z=0.002, overlap="nested",
        ... )
        >>> result = truez.reconstruct(surveys, "redistribution")
        >>> [sample.metadata["number"] for sample in result.samples(2, seed=1)]
        [0, 1]
        """
        surveys, intensity = self._moving()
        numbers = sample_numbers(n, seed, first)
        method = self.metadata.get("method")
        return drawn_fields(
            surveys,
            intensity,
            self.fluctuations,
            seed=seed,
            numbers=numbers,
            resampler=self.delta.resampler or "cic",
            metadata={} if method is None else {"method": method},
            progress=progress,
        )

    def plot(self, *, thickness: float = 10.0) -> Any:
        """Slabs along the line of sight: the surveys, where they are known, and the estimate.

        All have the colours of the estimate, beyond which sparse spectra go far.

        Parameters
        ----------
        thickness : float
            Of the slabs [Mpc/h].

        Returns
        -------
        matplotlib Figure
        """
        import matplotlib.pyplot as plt

        fields = {self.metadata.get("method", "reconstruction"): self.delta}
        if self.surveys is not None:
            fields = {
                "spec": self.surveys.spec_field(),
                "photo": self.surveys.photo_field(),
            } | fields
        limit = slab_limit(self.delta.slab(thickness))
        figure, axes = plt.subplots(
            1, len(fields), layout="constrained", squeeze=False, figsize=(3.6 * len(fields), 4.2)
        )
        for ax, (name, field) in zip(axes[0], fields.items(), strict=True):
            field.plot(thickness=thickness, ax=ax, limit=limit)
            ax.set_title(str(name)[:60], parse_math=False)  # a file may hold any name
        return figure

    def write(
        self,
        path: str | Path,
        *,
        samples: int = 0,
        seed: int = 0,
        progress: Progress = silent,
    ) -> None:
        """Write to HDF5 (``.h5``), with sigma and intensity, or to FITS, which holds delta alone.

        See `truez.mesh.field` for the layout. The surveys are not in the file.

        Parameters
        ----------
        path : str or Path
        samples : int
            Write so many posterior samples as well, as `samples` makes them one at a time; HDF5
            only. `truez.mesh.samples_file.StoredSamples` reads them.
        seed : int
            Of the samples.
        progress : Progress
        """
        meshes = {"sigma": self.sigma, "intensity": self.intensity}
        known = {name: mesh for name, mesh in meshes.items() if mesh is not None}
        if samples == 0:
            self.delta.write(path, **({} if field_suffix(path) == ".fits" else known))
            return
        check_samples_suffix(path)
        made = self.samples(samples, seed=seed, progress=progress)
        write_with_samples(path, self.delta, made, num=samples, seed=seed, **known)

    @classmethod
    def read(cls, path: str | Path, surveys: Surveys | None = None) -> Reconstruction:
        """Read a file that `write` wrote; ``surveys`` are those of the estimate, for redshifts.

        Raises
        ------
        ValueError
            If the file is not a truez field.
        FileNotFoundError
            If there is none.
        """
        delta = Field.read(path)
        found = read_extra(path, ("sigma", "intensity"))
        meshes = {name: torch.from_numpy(values) for name, values in found.items()}
        return cls(delta, surveys=surveys, **meshes)

    @property
    def fluctuations(self) -> Fluctuations | None:
        """What galaxies of one group share in a sample, of the metadata; None for nothing."""
        return Fluctuations.of(self.metadata)

    def _moving(self) -> tuple[Surveys, Intensity]:
        """The surveys and the intensity, where both are known."""
        intensity = Intensity.of(self, self.delta.box)
        if self.surveys is None:
            raise ValueError(
                "this reconstruction does not hold its surveys: read it with "
                "Reconstruction.read(path, surveys=...)"
            )
        return self.surveys, intensity
