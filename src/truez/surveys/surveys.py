"""The two surveys of one volume as they are observed: the input of every reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from truez.cosmology import Cosmology, check_redshift
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.support.checks import as_numbers, check_type
from truez.surveys import uneven
from truez.surveys.agreement import check_bounds, check_matched
from truez.surveys.details import SurveyDetails
from truez.surveys.given import surveys_from_catalogs
from truez.surveys.photoz import PhotozError
from truez.surveys.whole import Whole

Positions = NDArray[np.floating]


@dataclass(frozen=True, eq=False, kw_only=True)
class Surveys:
    """A photometric and a spectroscopic sample in one box.

    Parameters
    ----------
    photo : (n_p, 3) array
        Photometric galaxies at their photo-z [Mpc/h]. In a closed box some may lie outside along
        the line of sight: they count in the density, and are left out of the field.
    spec : (n_s, 3) array
        Spectroscopic galaxies at their true redshift [Mpc/h].
    box : Box
        The volume and its mesh.
    error : PhotozError
        Photo-z error along the line of sight.
    num_both : float
        Number of galaxies in both samples (all of ``spec`` where it is nested in ``photo``).
    cosmology : Cosmology, str or astropy cosmology
        For the shape of the linear spectrum, where few modes are observed; see `Cosmology.of`.
    redshift : float
        Effective redshift of the volume.
    redshift_space : bool
        Whether true positions carry peculiar velocities; False for a simulation in real space.
    photo_bounds : {"truth", "photo-z"}
        What bounds the photometric sample along the line of sight of a closed box. ``"truth"``: it
        fills the box and its photo-z scatter out of it (a simulation). ``"photo-z"``: it was cut in
        photo-z, and as many galaxies scatter in as out (a survey).
    matched : (n_s,) int array, optional
        Row of each spectroscopic galaxy in ``photo``, -1 where it is not in ``photo``; None where
        only the number of common galaxies is known.
    expected_spec, expected_photo : Field, optional
        Expected galaxies per cell at true places, of kind counts on ``box``, such as a mask times
        N(z), scaled to the number of galaxies; even by default.
    photo_sigma : (n_p,) array, optional
        Photo-z error of each galaxy [Mpc/h], in place of the one of ``error``, which becomes their
        root mean square.
    photo_weights, spec_weights : (n_p,), (n_s,) arrays, optional
        Galaxies that each one counts for, such as weights for completeness.
    photo_kept : bool array, optional
        Rows of the photometric catalogue that ``photo`` holds, where a cut left some out.
    whole : Whole, optional
        Numbers of the surveys that these even ones are a part of (`truez.surveys.part`): as many
        galaxies are expected in a cell as there. Otherwise as many as these surveys have.
    metadata : dict
        Origin of the samples, for the headers of outputs.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> rng = np.random.default_rng(1)
    >>> photo = rng.uniform(0, 64, (5000, 3))
    >>> surveys = truez.Surveys(
    ...     photo=photo, spec=photo[:500], box=truez.Box(64, cellsize=4), num_both=500,
    ...     error=truez.PhotozError(sigma=10), cosmology="planck18", redshift=0.6,
    ... )
    >>> surveys
    Surveys at z = 0.6 in 64 x 64 x 64 Mpc/h, 16 x 16 x 16 cells of 4 Mpc/h, periodic
      photo 5000 galaxies, 0.0191 (h/Mpc)^3, photo-z error 10 Mpc/h along the line of sight
      spec 500 galaxies, 0.00191 (h/Mpc)^3, 500 of them in photo
    """

    photo: Positions
    spec: Positions
    box: Box
    error: PhotozError
    num_both: float
    cosmology: Cosmology
    redshift: float
    redshift_space: bool = True
    photo_bounds: Literal["truth", "photo-z"] = "truth"
    matched: NDArray[np.int64] | None = None
    expected_spec: Field | None = None
    expected_photo: Field | None = None
    photo_sigma: NDArray[np.float64] | None = None
    photo_weights: NDArray[np.float64] | None = None
    spec_weights: NDArray[np.float64] | None = None
    photo_kept: NDArray[np.bool_] | None = None
    whole: Whole | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_type(self.box, Box, "box", "truez.Box(boxsize, cellsize=...)")
        check_type(self.error, PhotozError, "error", "truez.PhotozError(sigma)")
        object.__setattr__(self, "cosmology", Cosmology.of(self.cosmology))
        for name in ("photo", "spec"):
            positions = as_numbers(getattr(self, name), name, floats=True)
            object.__setattr__(self, name, positions)
            if positions.ndim != 2 or positions.shape[1] != 3:
                raise ValueError(f"{name} must have shape (n, 3), not {positions.shape}")
            if len(positions) == 0 and self.whole is None:
                raise ValueError(f"the {name} sample holds no galaxies")
            # Along the line of sight photo-z may leave a closed box; across it nothing may.
            leaves = name == "photo" and not self.box.periodic
            self.box.check_contains(
                positions, f"{name} galaxies", axes=(0, 1) if leaves else (0, 1, 2)
            )
        check_redshift(self.redshift)
        most = min(len(self.photo), len(self.spec))
        if not 0 <= self.num_both <= most:
            raise ValueError(
                f"num_both must be between 0 and the smaller sample's {most} galaxies, not "
                f"{self.num_both!r}"
            )
        if self.photo_bounds not in ("truth", "photo-z"):
            raise ValueError(f"photo_bounds must be truth or photo-z, not {self.photo_bounds!r}")
        if self.matched is not None:
            check_matched(self, self.matched)
        for name, value in uneven.normal_form(self).items():
            object.__setattr__(self, name, value)
        uneven.check_counts(self)
        if self.whole is not None and not self.even:
            raise ValueError(f"whole is for even surveys, and these have {self.uneven_words}")
        if not self.box.periodic and self.whole is None:
            check_bounds(self)

    @classmethod
    def from_catalogs(
        cls,
        *,
        spec: Any,
        photo: Any,
        box: Box,
        redshift: float,
        sigma_z: float | None = None,
        match_id: str | None = None,
        overlap: str | float | None = None,
        cosmology: Any = "planck18",
        details: SurveyDetails | None = None,
    ) -> Surveys:
        """Surveys from two catalogues of one simulated or observed volume.

        Parameters
        ----------
        spec, photo : path, Catalog, astropy Table, DataFrame, mapping of arrays, or (n, 3) array
            The spectroscopic sample, and the photometric one at its photo-z. Positions alone are in
            Mpc/h with the line of sight last.
        box : Box
            The volume and its mesh [Mpc/h].
        redshift : float
            Effective redshift of the volume.
        sigma_z : float, optional
            Photo-z error sigma(z) / (1 + z) that all galaxies share; otherwise a column of
            ``details``.
        match_id : str, optional
            Column of both catalogues that names a galaxy: the same value is the same galaxy, see
            `truez.surveys.matching`. Galaxies without an id are counted in the metadata,
            ``spec_without_id`` and ``photo_without_id``.
        overlap : {"nested", "disjoint"} or float, optional
            Without ``match_id``: every spectroscopic galaxy is in ``photo``, none is, or this
            fraction of them. One of the two has to be given.
        cosmology : str, Cosmology or astropy cosmology
            See `Cosmology.of`.
        details : SurveyDetails, optional
            Names and units of columns, the axis of the line of sight, outliers, real space, cuts,
            and for uneven surveys expected counts, weights and the error of each galaxy.

        Raises
        ------
        ValueError
            If an argument has another type or value, a column is missing, a unit unknown, or the
            galaxies do not fit the box.
        FileNotFoundError
            If there is no such file.

        Examples
        --------
        >>> import numpy as np
        >>> import truez
        >>> photo = np.random.default_rng(1).uniform(0, 64, (5000, 3))
        >>> surveys = truez.Surveys.from_catalogs(
        ...     spec=photo[:500], photo=photo, box=truez.Box(64, cellsize=4), redshift=0.6,
        ...     sigma_z=0.005, overlap="nested",
        ... )
        >>> round(surveys.error.sigma, 1)
        17.1
        """
        return cls(
            **surveys_from_catalogs(
                spec=spec, photo=photo, box=box, redshift=redshift, sigma_z=sigma_z,
                match_id=match_id, overlap=overlap, cosmology=Cosmology.of(cosmology),
                how=details or SurveyDetails(),
            )
        )  # fmt: skip

    def __repr__(self) -> str:
        n_spec, n_photo, _ = self.densities
        outliers = self.error.outlier_fraction
        more = f", {outliers:.3g} of them outliers" if outliers else ""
        return (
            f"Surveys at z = {self.redshift:g} in {self.box}\n"
            f"  photo {len(self.photo)} galaxies, {n_photo:.3g} (h/Mpc)^3, photo-z error "
            f"{self.error.sigma:.3g} Mpc/h along the line of sight{more}\n"
            f"  spec {len(self.spec)} galaxies, {n_spec:.3g} (h/Mpc)^3, {self.num_both:.0f} of "
            f"them in photo" + (f"\n  uneven: {self.uneven_words}" if self.uneven_words else "")
        )

    @property
    def uneven_words(self) -> str:
        """What is uneven, in words; empty where nothing is."""
        words = {
            "expected_spec": "expected counts of spec",
            "expected_photo": "expected counts of photo",
            "photo_sigma": "photo-z errors of each galaxy",
            "photo_weights": "weights of photo",
            "spec_weights": "weights of spec",
        }
        return ", ".join(text for name, text in words.items() if getattr(self, name) is not None)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def photo_inside(self) -> NDArray[np.bool_]:
        """Which photometric galaxies the field holds: all but those that left a closed box."""
        if self.box.periodic:
            return np.ones(len(self.photo), dtype=bool)
        return self.box.inside(self.photo, axes=(2,))

    def photo_only(self) -> NDArray[np.bool_]:
        """Which photometric galaxies have no known true redshift; all where none is `matched`."""
        result = np.ones(len(self.photo), dtype=bool)
        if self.matched is not None:
            result[self.matched[self.matched >= 0]] = False
        return result

    @property
    def known_share(self) -> float:
        """Share of the photometric galaxies whose true redshift is known, 0 without `matched`."""
        if self.whole is not None:
            return self.whole.known_share
        known = 0 if self.matched is None else int(np.count_nonzero(self.matched >= 0))
        return known / len(self.photo)

    def describe(self) -> dict[str, Any]:
        """Plain values that describe the surveys, for the headers of outputs."""
        return {
            "num_photo": len(self.photo),
            "num_spec": len(self.spec),
            "num_both": self.num_both,
            "photoz_sigma": self.error.sigma,
            "outlier_fraction": self.error.outlier_fraction,
            "redshift": self.redshift,
            "redshift_space": self.redshift_space,
            "photo_bounds": self.photo_bounds,
            "cosmology": self.cosmology.model_dump(),
            **({} if self.even else {"uneven": self.uneven_words}),
            **self.metadata,
        }

    @property
    def densities(self) -> tuple[float, float, float]:
        """(n_s, n_p, n_sp) [(h/Mpc)^3]: spectroscopic, photometric, and in both."""
        if self.whole is not None:
            return self.whole.densities
        volume = self.box.volume
        return len(self.spec) / volume, len(self.photo) / volume, self.num_both / volume

    @property
    def even(self) -> bool:
        """Whether expected counts are the same everywhere, and all galaxies alike."""
        return not self.uneven_words

    def spec_expected(self) -> Field:
        """Expected counts of the spectroscopic sample, per cell."""
        return self.expected_spec or self._level(self._per_cell(0))

    def true_expected(self) -> Field:
        """Expected counts of the photometric sample at its true redshift, per cell."""
        return self.expected_photo or self._level(self._per_cell(1))

    def _per_cell(self, sample: int) -> float:
        """Mean galaxies per cell of the spectroscopic sample, 0, or of the photometric one, 1."""
        if self.whole is not None:
            return self.whole.densities[sample] * self.box.volume / self.box.num_cells
        samples = (self.spec, self.spec_weights), (self.photo, self.photo_weights)
        positions, weights = samples[sample]
        number = len(positions) if weights is None else float(weights.sum())
        return number / self.box.num_cells

    def _level(self, per_cell: float) -> Field:
        """So many galaxies in each cell."""
        level = torch.full((1, 1, 1), per_cell)
        return Field(level.expand(self.box.meshsize), self.box, "counts")

    def photo_expected(self) -> Field:
        """Expected counts of the photometric sample at its photo-z, per cell."""
        if not self.even:
            return Field(uneven.observed_counts(self), self.box, "counts")
        level = self._per_cell(1)
        profile = (
            self.error.visible_fraction(self.box)
            if self.photo_bounds == "truth"
            else np.ones(self.box.meshsize[2])
        )
        values = torch.from_numpy((level * profile).astype(np.float32))
        return Field(values.expand(self.box.meshsize), self.box, "counts")

    @cached_property
    def class_of(self) -> NDArray[np.int64]:
        """The class of similar photo-z errors that each photometric galaxy is in, (n_p,)."""
        return self._classes[0]

    @cached_property
    def classes(self) -> list[PhotozError]:
        """The photo-z error of each class."""
        return [replace(self.error, sigma=float(sigma)) for sigma in self._classes[1]]

    @cached_property
    def _classes(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self.photo_sigma is None:
            return np.zeros(len(self.photo), np.int64), np.array([self.error.sigma])
        return uneven.classes_of(self.photo_sigma)

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Share of the galaxies in each class."""
        counts = np.bincount(self.class_of, self.photo_weights, minlength=len(self.classes))
        return np.asarray(counts / counts.sum())

    def sigma_of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The photo-z error of photometric galaxies, (m,) [Mpc/h]."""
        if self.photo_sigma is None:
            return np.full(len(rows), self.error.sigma)
        return self.photo_sigma[rows]

    @property
    def largest_sigma(self) -> float:
        """The largest photo-z error of a galaxy [Mpc/h]."""
        return self.error.sigma if self.photo_sigma is None else float(self.photo_sigma.max())

    def photo_field(self, resampler: str = "cic") -> Field:
        """Overdensity of the photometric sample at its photo-z.

        ``metadata["num_outside"]`` counts the galaxies whose photo-z lies outside a closed box. The
        shot noise of this field is raised above ``1 / n_p`` by the thinning of galaxies at the
        faces.
        """
        inside = self.photo_inside()
        outside = len(self.photo) - int(inside.sum())
        if not self.even:
            counts = self.photo_counts(resampler)
            level = uneven.spread_counts(self.photo_expected().values, resampler, self.box)
            delta = counts.to_delta(Field(level, self.box, "counts"))
            metadata = {**delta.metadata, "num_outside": outside}
            return replace(delta, metadata=metadata, shotnoise=None)
        counts = paint(self.photo[inside], self.box, resampler)
        expected = self.photo_expected()
        delta = counts.to_delta(expected)
        cell = self.box.volume / self.box.num_cells
        per_cell = 1 / expected.values[0, 0].to(torch.float64)
        metadata = {**delta.metadata, "num_outside": outside}
        return replace(delta, metadata=metadata, shotnoise=cell * float(per_cell.mean()))

    def spec_field(self, resampler: str = "cic") -> Field:
        """Overdensity of the spectroscopic sample."""
        if not self.even:
            level = uneven.spread_counts(self.spec_expected().values, resampler, self.box)
            return self.spec_counts(resampler).to_delta(Field(level, self.box, "counts"))
        return paint(self.spec, self.box, resampler).to_delta(self._per_cell(0))

    def spec_counts(self, resampler: str = "ngp") -> Field:
        """Spectroscopic galaxies per cell."""
        return paint(self.spec, self.box, resampler, weights=self.spec_weights)

    def photo_counts(self, resampler: str = "ngp") -> Field:
        """Photometric galaxies per cell at their photo-z, those outside a closed box left out."""
        inside = self.photo_inside()
        weights = None if self.photo_weights is None else self.photo_weights[inside]
        return paint(self.photo[inside], self.box, resampler, weights=weights)
