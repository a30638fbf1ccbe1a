"""Optional properties of two catalogues on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from truez.surveys.details import check_cuts, refuse_fkp
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity

#: What N(z) may be given as.
Numbers = NumberDensity | str | Path
#: What a footprint may be given as.
Area = Footprint | str | Path | Sequence[float]


@dataclass(frozen=True)
class SkyDetails:
    """Settings of `truez.sky.surveys.SkySurveys.from_catalogs` that are seldom needed.

    Columns are found without regard to case.

    Parameters
    ----------
    sky, photo_sky : three column names
        Right ascension, declination and redshift of the spectroscopic catalogue, and of the
        photometric one where they differ.
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
    outlier_fraction : float or str
        Share of outliers, or the column of the photometric catalogue with that of each galaxy.
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
        If columns or ranges are not as many as they must be, two errors are given, or weights are
        FKP weights.

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
            if len(columns) != 3:
                raise ValueError(
                    f"{name} must name three columns, RA,DEC,Z, not {','.join(columns)}"
                )
            object.__setattr__(self, name, columns)
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

    @property
    def photo_columns(self) -> tuple[str, ...]:
        """Right ascension, declination and photo-z of the photometric catalogue."""
        return tuple(self.photo_sky or self.sky)
