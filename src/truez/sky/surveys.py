"""The two surveys of one part of the sky as they are observed: the input of a reconstruction.

Every galaxy keeps its row. Those that can take no part are flagged: outside the footprint, or
without a photo-z or an error of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.coordinates import SkyCoordinates
from truez.cosmology import Cosmology
from truez.sky.details import SkyDetails
from truez.sky.given import surveys_from_catalogs
from truez.support.checks import check_type
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import ErrorClass
from truez.surveys.pdfs import GalaxyPdfs
from truez.surveys.pdfs.classes import PdfClassRule
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class SkySurveys:
    """A photometric and a spectroscopic sample on the sky.

    `from_catalogs` makes it, with N(z) fitted and galaxies matched.

    Parameters
    ----------
    photo, spec : SkyCoordinates
        Directions and photo-z of n_p galaxies, and directions and redshifts of n_s; NaN for
        galaxies without.
    error : RedshiftError
        Of the photo-z: one, or one for each of the n_p galaxies.
    pdfs : GalaxyPdfs, optional
        p(z) of each of the n_p galaxies, from which ``error`` was measured then. Redshifts are
        sharpened with them, and ``error`` describes their sizes.
    footprint, spec_footprint : Footprint
        Of both samples.
    nz : NumberDensity
        Of the photometric survey at true redshifts, before any cut in photo-z.
    spec_nz : NumberDensity
        Of the spectroscopic survey.
    classes : sequence of ErrorClass
        Galaxies of similar photo-z errors, with rows of ``photo``, and the N(z) of each class.
    cosmology : Cosmology, str or astropy cosmology
    photo_range : (2,) floats
        Photo-z between which the photometric sample was cut.
    redshift_range : (2,) floats
        Redshifts that the map covers.
    matched : (n_s,) int array, optional
        Row of each spectroscopic galaxy in ``photo``, -1 where it is not in ``photo``; None where
        only the number of common galaxies is known.
    num_both : float
        That number, of the spectroscopic galaxies that take part.
    photo_weights, spec_weights : (n_p,), (n_s,) arrays, optional
        Galaxies that each row counts for.
    photo_cut : (n_p,) bool array, optional
        Photometric galaxies that a cut of the sample leaves out; they have no redshift in
        ``photo``.
    class_rule : PdfClassRule, optional
        By which galaxies are in ``classes`` where there are p(z).
    mean_weight : float, optional
        Of the galaxies of unknown redshift: that of a whole survey where this is a part of it.
    redshift_space : bool
        Whether redshifts contain peculiar velocities.
    metadata : dict
        Origin of the samples, for the headers of outputs.
    """

    photo: SkyCoordinates
    spec: SkyCoordinates
    error: RedshiftError
    footprint: Footprint
    spec_footprint: Footprint
    nz: NumberDensity
    spec_nz: NumberDensity
    classes: tuple[ErrorClass, ...]
    cosmology: Cosmology
    photo_range: tuple[float, float]
    redshift_range: tuple[float, float]
    pdfs: GalaxyPdfs | None = None
    matched: NDArray[np.int64] | None = None
    num_both: float = 0.0
    photo_weights: Array | None = None
    spec_weights: Array | None = None
    photo_cut: NDArray[np.bool_] | None = None
    class_rule: PdfClassRule | None = None
    mean_weight: float | None = None
    redshift_space: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_type(self.error, RedshiftError, "error", "truez.surveys.redshift_error")
        object.__setattr__(self, "cosmology", Cosmology.of(self.cosmology))
        if self.error.num_galaxies not in (None, len(self.photo)):
            raise ValueError(
                f"error is of {self.error.num_galaxies} galaxies and photo of {len(self.photo)}"
            )
        if self.pdfs is not None and len(self.pdfs) != len(self.photo):
            raise ValueError(
                f"pdfs are of {len(self.pdfs)} galaxies and photo of {len(self.photo)}"
            )
        for name, sample in (("photo", self.photo), ("spec", self.spec)):
            weights = getattr(self, f"{name}_weights")
            if weights is not None and weights.shape != (len(sample),):
                raise ValueError(
                    f"{name}_weights must be one for each of {len(sample)} galaxies, not of shape "
                    f"{weights.shape}"
                )
        low, high = self.redshift_range
        if not 0 <= low < high <= self.cosmology.distances.LIMIT:
            raise ValueError(
                f"redshift_range must be two redshifts from 0 to {self.cosmology.distances.LIMIT:g}"
                f" in order, not {low:g},{high:g}"
            )
        if not self.nz.counts([low, high])[0] > 1e-6 * self.nz.total:
            ends = self.nz.quantile([0.001, 0.999])
            raise ValueError(
                f"redshift_range {low:g},{high:g} holds none of the photo galaxies, which lie at "
                f"z = {ends[0]:.3g} to {ends[1]:.3g}: give a part of their range"
            )
        if self.matched is not None:
            rows = self.matched[self.matched >= 0]
            if self.matched.shape != (len(self.spec),) or (
                len(rows) and (rows.max() >= len(self.photo) or len(np.unique(rows)) < len(rows))
            ):
                raise ValueError(
                    f"matched must hold a row of photo, or -1, for each of {len(self.spec)} spec "
                    "galaxies, and none twice"
                )

    @classmethod
    def from_catalogs(
        cls,
        *,
        photo: Any,
        spec: Any = None,
        footprint: Any,
        sigma_z: float | None = None,
        match_id: str | None = None,
        overlap: str | float | None = None,
        cosmology: Any = "planck18",
        details: SkyDetails | None = None,
    ) -> SkySurveys:
        """Surveys from two catalogues of one part of the sky, or from one.

        Parameters
        ----------
        photo, spec : path, Catalog, astropy Table, DataFrame, or mapping of arrays
            Right ascension, declination and redshift of the photometric and the spectroscopic
            sample. Without ``spec``, ``details.spec_z_column`` is a column of ``photo``.
        footprint : Footprint, (4,) numbers, str or path
            Of the photometric survey, see `truez.surveys.footprint_input.footprint_of`.
        sigma_z : float, optional
            Photo-z error over 1 + z that all galaxies share; otherwise a column of ``details``.
        match_id : str, optional
            Columns that name a galaxy in both catalogues: ``ID``, ``SPECCOL:PHOTOCOL``, or several
            joined with ``+``. In its place ``details.match_radius``, or ``overlap``.
        overlap : {"nested", "disjoint"} or float, optional
            Whether, or which fraction of, spectroscopic galaxies are in ``photo`` too.
        cosmology : str, Cosmology or astropy cosmology
            See `Cosmology.of`.
        details : SkyDetails, optional
            Names of columns, errors of each galaxy, weights, N(z), ranges.

        Raises
        ------
        ValueError
            If an argument has another type or value, a column is missing, or footprint, N(z) and
            galaxies contradict each other.
        FileNotFoundError
            If there is no such file.

        Examples
        --------
        >>> import numpy as np
        >>> from truez.sky.surveys import SkySurveys
        >>> rng = np.random.default_rng(1)
        >>> z = 0.3 * rng.beta(3, 2, 4000)
        >>> photo = {"RA": rng.uniform(10, 20, z.size), "DEC": rng.uniform(-5, 5, z.size),
        ...          "Z": z + 0.01 * (1 + z) * rng.normal(size=z.size), "ID": np.arange(z.size)}
        >>> spec = {name: values[:500] for name, values in photo.items()} | {"Z": z[:500]}
        >>> surveys = SkySurveys.from_catalogs(
        ...     spec=spec, photo=photo, footprint=(10, 20, -5, 5), sigma_z=0.01, match_id="ID",
        ... )
        >>> surveys.num_both, int(surveys.unknown.sum())
        (500.0, 3500)
        """
        how = details or SkyDetails()
        check_type(how, SkyDetails, "details", "truez.sky.details.SkyDetails(...)")
        return cls(
            **surveys_from_catalogs(
                photo=photo, spec=spec, footprint=footprint, sigma_z=sigma_z, match_id=match_id,
                overlap=overlap, cosmology=Cosmology.of(cosmology), how=how,
            )
        )  # fmt: skip

    def __repr__(self) -> str:
        lost = len(self.photo) - int(self.usable.sum())
        more = f", {lost} of them without a usable photo-z, outside or cut" if lost else ""
        far = len(self.spec) - int(self.spec_usable.sum())
        beyond = f"{far} of them without a redshift, cut or outside, " if far else ""
        low, high = self.redshift_range
        return (
            f"SkySurveys on {self.footprint.area:.4g} deg^2, map at z = {low:.3g} to {high:.3g}\n"
            f"  photo {len(self.photo)} galaxies{more}\n"
            f"    {self.error!r}\n"
            f"{self._pdf_line}"
            f"  spec {len(self.spec)} galaxies, {beyond}{self.num_both:.0f} of them in photo"
        )

    @property
    def _pdf_line(self) -> str:
        """What is said of p(z) where there are any."""
        if self.pdfs is None:
            return ""
        bad = int(np.count_nonzero(self.usable & ~self.pdfs.usable))
        more = f", N(z) in place of {bad} that cannot be used" if bad else ""
        return f"    p(z) of each galaxy ({self.pdfs.table.layout}){more}\n"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    @cached_property
    def outside(self) -> NDArray[np.bool_]:
        """Which photometric galaxies are outside the footprint."""
        return self.footprint.outside(self.photo.ra, self.photo.dec)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Which photometric galaxies take part: those in the footprint with a photo-z."""
        return self.photo.has_redshift & ~self.outside

    @cached_property
    def spec_usable(self) -> NDArray[np.bool_]:
        """Which spectroscopic galaxies take part: those in its footprint with a redshift."""
        outside = self.spec_footprint.outside(self.spec.ra, self.spec.dec)
        return self.spec.has_redshift & ~outside

    @cached_property
    def known_rows(self) -> NDArray[np.int64]:
        """Rows of the photometric galaxies whose redshift is known."""
        return self.matched_pairs[1]

    @cached_property
    def matched_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of ``spec`` and of ``photo`` that are one galaxy of known redshift."""
        if self.matched is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        ours = np.flatnonzero((self.matched >= 0) & self.spec.has_redshift)
        return ours, self.matched[ours]

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """Which usable photometric galaxies have no known redshift."""
        result = self.usable.copy()
        result[self.known_rows] = False
        return result

    @cached_property
    def unknown_weight(self) -> float:
        """Mean weight of the usable photometric galaxies of unknown redshift."""
        if self.mean_weight is not None or self.photo_weights is None:
            return self.mean_weight or 1.0
        own = self.photo_weights[self.unknown]
        return max(float(own.sum()), 1e-300) / max(len(own), 1)

    @cached_property
    def class_of(self) -> NDArray[np.int64]:
        """The class of errors of each photometric galaxy, -1 for those that take no part."""
        result = np.full(len(self.photo), -1, dtype=np.int64)
        for number, one in enumerate(self.classes):
            result[one.rows] = number
        return result

    @property
    def common(self) -> float:
        """Share of the spectroscopic galaxies that are in the photometric sample."""
        return self.num_both / max(int(self.spec_usable.sum()), 1)

    @cached_property
    def largest_error(self) -> float:
        """The 95th percentile of the photo-z errors over 1 + z."""
        return float(np.quantile(self._errors, 0.95))

    @cached_property
    def _errors(self) -> Array:
        """Photo-z errors over 1 + z of the galaxies that take part."""
        sigma = np.broadcast_to(self.error.sigma_z, len(self.photo))[self.usable]
        if self.error.absolute:
            sigma = sigma / (1 + np.maximum(self.photo.redshift[self.usable], 0))
        return np.asarray(sigma)

    def describe(self) -> dict[str, Any]:
        """Plain values that describe the surveys, for the headers of outputs."""
        return {
            "num_photo": len(self.photo),
            "num_spec": len(self.spec),
            "num_both": self.num_both,
            "num_photo_outside": int(self.outside.sum()),
            "photo": self.photo.describe(),
            "spec": self.spec.describe(),
            "sigma_z": float(np.mean(self._errors if self.error.absolute else self.error.sigma_z)),
            "outlier_fraction": float(np.mean(self.error.outlier_fraction)),
            "area": self.footprint.area,
            "photo_range": list(self.photo_range),
            "redshift_range": list(self.redshift_range),
            "redshift_space": self.redshift_space,
            "cosmology": self.cosmology.model_dump(),
            "nz": None if self.nz.fit is None else str(self.nz.fit),
            "spec_nz": None if self.spec_nz.fit is None else str(self.spec_nz.fit),
            **self.metadata,
        }

    def with_redshift_range(self, low: float, high: float) -> SkySurveys:
        """The same surveys with a map of other redshifts."""
        return replace(self, redshift_range=(low, high))
