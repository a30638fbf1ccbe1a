"""Two mock surveys on the sky, and the folder that stores them.

A folder holds the same files as that of a mock in a box, see `truez.surveys.mock`: here
``photo.parquet`` (id, ra, dec, z_phot, sigma_z, and magnitude where it is known), ``spec.parquet``
(id, ra, dec, z), ``truth.parquet`` (id, ra, dec, z_true, outlier) and ``mock.toml``. Its section
``sky`` says what a reconstruction needs; footprints of pixels lie beside it as HEALPix maps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import model_validator

from truez.catalogs.catalog import Catalog
from truez.cosmology import AnyCosmology
from truez.sky.details import SkyDetails
from truez.sky.surveys import SkySurveys
from truez.support.documents import read_toml, section
from truez.support.files import atomic_folder, write_text
from truez.support.provenance import versions
from truez.support.settings import SettingError, Settings
from truez.surveys.footprint import Footprint
from truez.surveys.footprint_input import footprint_of
from truez.surveys.footprint_output import rectangles_text, write_healpix
from truez.surveys.matching import match_rows
from truez.surveys.mock import MOCK_FILES
from truez.surveys.photo_scatter import PhotoScatter
from truez.surveys.pixel_map import PixelMap
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Names of footprints in ``mock.toml``.
FOOTPRINTS = ("footprint", "spec_footprint")
#: What a reconstruction reads from photo.parquet and spec.parquet.
PHOTO_COLUMNS, SPEC_COLUMNS = ("ra", "dec", "z_phot"), ("ra", "dec", "z")
#: Catalogues of the folder.
MOCK_NAMES = ("photo", "spec", "truth")
_REMEDY = "make the mock again"
#: The maps of footprints that are no rectangles.
SKY_FILES = tuple(f"{name}.fits" for name in FOOTPRINTS)


class SkyMockConfig(Settings):
    """Settings of the two surveys of a sky mock.

    Parameters
    ----------
    cosmology : Cosmology
    redshift_range : (2,) floats
        True redshifts of all galaxies.
    photo : PhotoScatter
        Errors of the photo-z.
    spec_choice : {"random", "bright", "luminous", "ids"}
        Which galaxies have spectra, see `choose_spectroscopic`; ``ids`` where they were named.
    spec_fraction : float, optional
        Share of the photometric galaxies in the spectroscopic footprint that have spectra.
    complete_to, k_correction : float
        For ``luminous``: the redshift to which the sample is complete, and the K-correction over z.
    magnitude_limit : float, optional
        Apparent magnitude of the faintest photometric galaxies.
    frame : {"none", "heliocentric", "cmb"}
        What the redshifts refer to; written down, not converted.
    seed : int

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    cosmology: AnyCosmology
    redshift_range: tuple[float, float]
    photo: PhotoScatter = PhotoScatter()
    spec_choice: Literal["random", "bright", "luminous", "ids"] = "random"
    spec_fraction: float | None = Setting(default=None, gt=0, lt=1)
    complete_to: float = Setting(default=0.3, gt=0, le=20)
    k_correction: float = Setting(default=0.0, ge=-5, le=5)
    magnitude_limit: float | None = None
    frame: Literal["none", "heliocentric", "cmb"] = "none"
    seed: int = Setting(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> SkyMockConfig:
        low, high = self.redshift_range
        if not 0 <= low < high <= 20:
            raise ValueError(
                f"redshift_range must be two ascending redshifts from 0 to 20, not {low:g},{high:g}"
            )
        if self.spec_choice != "ids" and self.spec_fraction is None:
            raise ValueError("the spectroscopic sample needs spec_fraction or spec_ids")
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class SkyMock:
    """A photometric and a spectroscopic survey of the same sky, and the truth.

    Parameters
    ----------
    ids : (n,) array of whole numbers or text
        Of the photometric galaxies.
    ra, dec : (n,) arrays
        [deg].
    z_phot, sigma_z : (n,) arrays
        Photo-z, and the error of each galaxy over 1 + z.
    z_true : (n,) array
        Observed without error, so with peculiar velocities.
    outlier : (n,) bool array
    spec_rows : (n_s,) ints
        The photometric galaxies that have spectra, ascending.
    footprint, spec_footprint : Footprint
    config : SkyMockConfig
    magnitude : (n,) array, optional
        Apparent.
    source : dict
        Origin of the galaxies, and counts of those that were left out.

    Raises
    ------
    ValueError
        If arrays do not belong together.
    """

    ids: NDArray[Any]
    ra: Array
    dec: Array
    z_phot: Array
    sigma_z: Array
    z_true: Array
    outlier: NDArray[np.bool_]
    spec_rows: NDArray[np.int64]
    footprint: Footprint
    spec_footprint: Footprint
    config: SkyMockConfig
    magnitude: Array | None = None
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("ra", "dec", "z_phot", "sigma_z", "z_true", "outlier", "magnitude")
        for name in names:
            values = getattr(self, name)
            if values is not None and values.shape != self.ids.shape:
                raise ValueError(f"{name} has shape {values.shape}, not {self.ids.shape}")
        if len(np.unique(self.ids)) < len(self.ids):
            raise ValueError("the ids of the galaxies of a mock must be unique")
        if len(self.spec_rows) and not (np.diff(self.spec_rows) > 0).all():
            raise ValueError("spec_rows must ascend")

    @property
    def has_spectrum(self) -> NDArray[np.bool_]:
        """Which photometric galaxies have one, (n,)."""
        result = np.zeros(len(self.ids), dtype=bool)
        result[self.spec_rows] = True
        return result

    @property
    def error(self) -> RedshiftError:
        """p(z_phot | z), of each galaxy where errors differ."""
        photo = self.config.photo
        sigma = self.sigma_z if photo.differs else photo.sigma_z
        return RedshiftError(sigma, photo.outlier_fraction, photo.outlier_range, photo.photo_bias)

    @cached_property
    def surveys(self) -> SkySurveys:
        """The surveys as they are observed, with N(z) fitted to them."""
        photo = self.config.photo
        own = photo.differs
        details = SkyDetails(
            sky=SPEC_COLUMNS, photo_sky=PHOTO_COLUMNS, frame=self.config.frame,
            sigma_z_column="sigma_z" if own else None, outlier_fraction=photo.outlier_fraction,
            outlier_range=photo.outlier_range, photo_bias=photo.photo_bias,
            spec_footprint=self.spec_footprint, redshift_range=self.config.redshift_range,
            redshift_space=bool(self.source.get("redshift_space", True)),
        )  # fmt: skip
        tables = self._tables()
        found = SkySurveys.from_catalogs(
            photo=tables["photo"], spec=tables["spec"], footprint=self.footprint,
            sigma_z=None if own else photo.sigma_z, match_id="id", details=details,
            cosmology=self.config.cosmology,
        )  # fmt: skip
        return replace(found, metadata={**found.metadata, "mock": self.fingerprint})

    @property
    def fingerprint(self) -> str:
        """A short hash of the truth: the same for every photo-z of one sky."""
        digest = hashlib.sha256()
        for values in (self.ra, self.dec, self.z_true):
            digest.update(np.ascontiguousarray(values, np.float64).data)
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return (
            f"SkyMock of {self.source.get('catalogue', 'a simulation')}: {len(self.ids)} galaxies, "
            f"{len(self.spec_rows)} of them with spectra, {self.footprint.area:.4g} deg^2"
        )

    def __str__(self) -> str:
        low, high = self.config.redshift_range
        errors = np.quantile(self.sigma_z, [0.05, 0.5, 0.95])
        words = f"sigma_z = {errors[1]:.3g}"
        if self.config.photo.differs:
            words = f"sigma_z = {errors[0]:.3g} to {errors[2]:.3g}, median {errors[1]:.3g}"
        left = "".join(
            f"\n  {self.source[key]} galaxies {what}"
            for key, what in _LEFT_OUT.items()
            if self.source.get(key)
        )
        below = int(np.count_nonzero(self.z_phot <= 0))
        if below:
            left += f"\n  {below} galaxies have a photo-z of 0 or below"
        spec_area = f" in {self.spec_footprint.area:.4g} deg^2"
        return (
            f"two surveys of {self.source.get('catalogue', 'a simulation')} on the sky\n"
            f"  photo    {len(self.ids)} galaxies at z = {low:g} to {high:g} in "
            f"{self.footprint.area:.4g} deg^2\n"
            f"  spec     {len(self.spec_rows)} of them ({self.config.spec_choice})"
            f"{spec_area if self.spec_footprint is not self.footprint else ''}\n"
            f"  photo-z  {words}, {int(self.outlier.sum())} outliers{left}"
        )

    def write(self, folder: str | Path) -> None:
        """Write the mock folder; an earlier mock there is replaced when the new one is whole."""
        with atomic_folder(folder, last=MOCK_FILES[-1]) as target:
            self._write(target)

    def _tables(self) -> dict[str, Catalog]:
        """The catalogues of the folder."""
        sky = {"id": self.ids, "ra": self.ra, "dec": self.dec}
        units = {"ra": "deg", "dec": "deg"}
        photo = Catalog({**sky, "z_phot": self.z_phot, "sigma_z": self.sigma_z}, units=units)
        if self.magnitude is not None:
            photo = photo.with_columns({"magnitude": self.magnitude}, units={"magnitude": "mag"})
        spec = {name: values[self.spec_rows] for name, values in sky.items()}
        spec["z"] = self.z_true[self.spec_rows]
        truth = {**sky, "z_true": self.z_true, "outlier": self.outlier}
        return {
            "photo": photo, "spec": Catalog(spec, units=units), "truth": Catalog(truth, units=units)
        }  # fmt: skip

    def _write(self, target: Path) -> None:
        for name, table in self._tables().items():
            table.write(target / f"{name}.parquet")
        content = {
            "source": _without_none(self.source),
            "sky": self._section(target),
            "mock": _without_none(self.config.model_dump(mode="json")),
            "versions": versions(),
        }
        write_text(target / "mock.toml", tomli_w.dumps(content))

    def _section(self, target: Path) -> dict[str, Any]:
        """What a reconstruction needs."""
        texts: dict[str, str] = {}
        for name in FOOTPRINTS:
            footprint = getattr(self, name)
            text = rectangles_text(footprint)
            if name == FOOTPRINTS[1] and self.spec_footprint is self.footprint:
                text = texts[FOOTPRINTS[0]]
            elif text is None:
                if not isinstance(footprint, PixelMap):
                    raise ValueError(
                        f"{name} of a mock must be rectangles or a map of pixels: make one map of "
                        "all its parts"
                    )
                text = f"{name}.fits"
                write_healpix(target / text, footprint)
            texts[name] = text
        return {
            "columns": list(SPEC_COLUMNS),
            "photo_columns": list(PHOTO_COLUMNS),
            "sigma_z_column": "sigma_z",
            "match_id": "id",
            **texts,
            **self.config.photo.describe(),
            "sigma_z": self.config.photo.sigma_z,
            "own_errors": self.config.photo.differs,
            "redshift_range": list(self.config.redshift_range),
            "frame": self.config.frame,
            "cosmology": self.config.cosmology.model_dump(),
        }

    @classmethod
    def read(cls, folder: str | Path) -> SkyMock:
        """Read a mock folder.

        Raises
        ------
        FileNotFoundError
            If the folder holds no ``mock.toml``.
        ValueError
            If it is the mock of a box, or its files do not fit together.
        """
        path = Path(folder)
        content = _content(path)
        if "box" in content:
            raise ValueError(f"{path} holds a mock in a box, not on the sky")
        footprints: dict[str, Footprint] = {}
        place, keys = str(path / "mock.toml"), ("mock", "sky", "source")
        section(content, place, keys=keys, remedy=_REMEDY)
        mock, sky, source = (section(content[k], place, k, remedy=_REMEDY) for k in keys)
        section(sky, place, "sky", keys=FOOTPRINTS, remedy=_REMEDY)
        try:
            config = SkyMockConfig(**mock)
            for name in FOOTPRINTS:
                text = sky[name]
                given = path / text if text in SKY_FILES else text
                footprints[name] = footprint_of(given)
            if sky["footprint"] == sky["spec_footprint"]:
                footprints["spec_footprint"] = footprints["footprint"]
        except (ValueError, TypeError, FileNotFoundError) as error:
            reason = str(error)
            if isinstance(error, TypeError):
                reason = "its sections are not those of a mock"
            if isinstance(error, SettingError):
                reason = f"mock.{error}"
            raise _damaged(path, reason) from error
        tables = {name: Catalog.read(path / f"{name}.parquet") for name in MOCK_NAMES}
        photo, spec, truth = (tables[name] for name in MOCK_NAMES)
        ids = photo["id"]
        for name, table in tables.items():
            broken = sum(
                int(np.count_nonzero(~np.isfinite(column)))
                for column in table.columns.values() if column.dtype.kind == "f"
            )  # fmt: skip
            repeated = len(table) - len(np.unique(table["id"]))
            if broken or repeated:
                wrong = f"{broken} values that are not finite" if broken else "repeated ids"
                raise ValueError(f"{name}.parquet in {path} holds {wrong}: make the mock again")
        rows = match_rows(spec["id"], ids)
        if not np.array_equal(ids, truth["id"]):
            raise ValueError(
                f"photo.parquet and truth.parquet in {path} hold different galaxies: make the mock "
                "again"
            )
        if (rows < 0).any() or not np.array_equal(spec["z"], truth["z_true"][rows]):
            raise ValueError(
                f"spec.parquet in {path} holds galaxies that are not those of truth.parquet: make "
                "the mock again"
            )
        if not (np.diff(rows) > 0).all():
            raise ValueError(f"spec.parquet in {path} is in another order: make the mock again")
        return cls(
            ids=ids, ra=photo["ra"], dec=photo["dec"], z_phot=photo["z_phot"],
            sigma_z=photo["sigma_z"], z_true=truth["z_true"], outlier=truth["outlier"],
            spec_rows=rows, **footprints, config=config, source=source,
            magnitude=photo.columns.get("magnitude"),
        )  # fmt: skip


_LEFT_OUT = {
    "num_without_redshift": "without a redshift were left out",
    "num_without_magnitude": "without a magnitude were left out",
    "num_outside_footprint": "outside the footprint were left out",
    "num_outside_range": "outside the redshift range were left out",
}


def is_sky_mock(folder: str | Path) -> bool:
    """Whether a folder holds a mock on the sky, rather than one in a box or none."""
    path = Path(folder)
    return (path / "mock.toml").is_file() and "sky" in _content(path)


def _content(path: Path) -> dict[str, Any]:
    if not (path / "mock.toml").is_file():
        raise FileNotFoundError(f"{path} is not a mock folder: it holds no mock.toml")
    content, _ = read_toml(path / "mock.toml", remedy=_REMEDY)
    return content


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path / 'mock.toml'} is damaged ({reason}): {_REMEDY}")


def _without_none(values: Any) -> Any:
    """TOML has no null: an absent key is None."""
    if isinstance(values, dict):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    return values
