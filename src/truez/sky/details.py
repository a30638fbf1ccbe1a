"""Optional properties of two catalogues on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from truez.surveys.details import check_cuts, refuse_fkp
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import PdfTable

#: What N(z) may be given as.
Numbers = NumberDensity | str | Path
#: What a footprint may be given as.
Area = Footprint | str | Path | Sequence[float]
#: What p(z) of the galaxies may be given as.
Pdfs = PdfTable | str | Path


@dataclass(frozen=True)
class SkyDetails:
    """Settings of `truez.SkySurveys.from_catalogs` that are seldom needed.

    Columns are found without regard to case.

    Parameters
    ----------
    sky, photo_sky : three column names
        Right ascension, declination and redshift of the spectroscopic catalogue, and of the
        photometric one where they differ. With ``pdf`` those of the photometric one may be two: the
        photo-z is then the median of p(z).
    ra_unit, dec_unit : {"deg", "hourangle", "rad"}, optional
        Of both catalogues; by default what each states, else degrees.
    frame : {"none", "heliocentric", "cmb"}
        What the redshifts refer to; written down, not converted.
    photo_frame : {"none", "heliocentric", "cmb"}, optional
        What photo-z refer to, where it is not ``frame``.
    spec_z_column : str, optional
        Column of the photometric catalogue with the spectroscopic redshifts of some of its
        galaxies, in place of a spectroscopic catalogue.
    sigma_z_column, z_err_column : str, optional
        Of the photometric catalogue: each galaxy's error over 1 + z, or its absolute error, in
        place of one ``sigma_z`` for all. An absolute error may be ``LOWER:UPPER``, the ends of a
        68% interval, of which half the width is taken, or ``LOWER:UPPER:LEVEL``.
    pdf : path or PdfTable, optional
        p(z) of each galaxy, as `truez.surveys.pdfs.read_pdfs` reads them, in place of errors.
    pdf_prior : {"flat", "nz", "stack"}, path or NumberDensity
        The prior that is in the p(z), see `truez.surveys.pdfs.PdfPrior.of`.
    pdf_id : str, optional
        Column of identifiers in the photometric catalogue and in the file of p(z), or
        ``PHOTOCOL:PDFCOL``; without it rows are in one order.
    outlier_fraction : float or str
        Share of outliers, or the column of the photometric catalogue with that of each galaxy. With
        ``pdf`` it is the share by which each p(z) is mixed with a uniform one.
    outlier_range : (2,) floats, optional
        Photo-z between which outliers are uniform; by default those between which there are any.
    photo_bias : sequence of floats
        Coefficients of 1, z, z^2, ... of the mean of z_phot - z.
    match_radius : float, optional
        Largest angle between the places of one galaxy in both catalogues [arcsec].
    weight_column, spec_weight_column : str, optional
        Completeness weights, by which each galaxy's counts are multiplied.
    spec_footprint : Footprint, (4,) numbers, str or path, optional
        Of the spectroscopic survey, where it is not that of the photometric one.
    nz, spec_nz : NumberDensity or path, optional
        N(z) of each survey, which is fitted to its redshifts by default.
    photo_range : (2,) floats, optional
        Photo-z between which the photometric sample was cut; those of its galaxies by default.
    redshift_range : (2,) floats, optional
        True redshifts that the map covers; those of 99.9% of the galaxies by default.
    redshift_space : bool
        Whether redshifts contain peculiar velocities; False for simulations without.
    spec_cut, photo_cut : sequence of str
        Thresholds such as ``mag<=24``, each of a column of the catalogue: galaxies that do not pass
        all of them take no part.
    stand_ins : sequence of float
        Numbers that stand for no redshift or no error, besides -99 and others that are always
        known.

    Raises
    ------
    ValueError
        If columns or ranges are not as many as they must be, two errors are given, weights are FKP
        weights, or settings do not go with p(z).

    Examples
    --------
    >>> import truez
    >>> details = truez.SkyDetails(photo_sky=("RA", "DEC", "Z_PHOT"), z_err_column="Z_ERR")
    >>> details.sky, details.photo_columns
    (('RA', 'DEC', 'Z'), ('RA', 'DEC', 'Z_PHOT'))
    """

    sky: Sequence[str] = ("RA", "DEC", "Z")
    photo_sky: Sequence[str] | None = None
    ra_unit: str | None = None
    dec_unit: str | None = None
    frame: str = "none"
    photo_frame: str | None = None
    spec_z_column: str | None = None
    sigma_z_column: str | None = None
    z_err_column: str | None = None
    pdf: Pdfs | None = None
    pdf_prior: Numbers | None = None
    pdf_id: str | None = None
    outlier_fraction: float | str = 0.0
    outlier_range: tuple[float, float] | None = None
    photo_bias: Sequence[float] = ()
    match_radius: float | None = None
    weight_column: str | None = None
    spec_weight_column: str | None = None
    spec_footprint: Area | None = None
    nz: Numbers | None = None
    spec_nz: Numbers | None = None
    photo_range: tuple[float, float] | None = None
    redshift_range: tuple[float, float] | None = None
    redshift_space: bool = True
    spec_cut: Sequence[str] = ()
    photo_cut: Sequence[str] = ()
    stand_ins: Sequence[float] = ()

    def __post_init__(self) -> None:
        for name in ("sky", "photo_sky"):
            value = getattr(self, name)
            if value is None:
                continue
            columns = tuple(value.split(",")) if isinstance(value, str) else tuple(value)
            if len(columns) not in self._lengths(name):
                raise ValueError(
                    f"{name} must name three columns, RA,DEC,Z, not {','.join(columns)}"
                    + (", or two with pdf" if name == "photo_sky" and len(columns) == 2 else "")
                )
            object.__setattr__(self, name, columns)
        self._check_pdf()
        if self.sigma_z_column is not None and self.z_err_column is not None:
            raise ValueError(
                f"sigma_z_column {self.sigma_z_column!r} and z_err_column {self.z_err_column!r} "
                "are both errors of the photo-z: give one of them"
            )
        if self.z_err_column is not None:
            ErrorColumns.of(self.z_err_column)
        check_cuts(self.spec_cut, "spec_cut")
        check_cuts(self.photo_cut, "photo_cut")
        for name in ("weight_column", "spec_weight_column"):
            refuse_fkp(getattr(self, name), name)
        for name in ("photo_range", "redshift_range", "outlier_range"):
            value = getattr(self, name)
            if value is not None and not (len(value) == 2 and value[0] < value[1]):
                raise ValueError(f"{name} must be two redshifts in order, not {value!r}")

    def _lengths(self, name: str) -> tuple[int, ...]:
        """How many columns of the sky there may be."""
        # Without photo_sky, sky is also of the photometric catalogue, and of it alone where
        # spec_z_column has the redshifts.
        alone = name == "photo_sky" or (self.photo_sky is None and self.spec_z_column is not None)
        return (2, 3) if self.pdf is not None and alone else (3,)

    def _check_pdf(self) -> None:
        """Raise an error for settings that have no meaning with, or without, p(z)."""
        if self.pdf is None:
            for name in ("pdf_prior", "pdf_id"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is of p(z): give pdf, or leave {name} out")
            return
        if tuple(self.photo_bias):
            raise ValueError(
                "photo_bias has no meaning with pdf, whose p(z) are of the true redshift: leave "
                "photo_bias out"
            )
        if isinstance(self.outlier_fraction, str):
            raise ValueError(
                f"outlier_fraction {self.outlier_fraction!r} is a column, and p(z) has the "
                "outliers of each galaxy: leave it out with pdf"
            )

    @property
    def photo_columns(self) -> tuple[str, ...]:
        """Right ascension, declination and photo-z of the photometric catalogue.

        Without the photo-z where it is the median of p(z).
        """
        return tuple(self.photo_sky or self.sky)
