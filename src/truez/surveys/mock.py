"""Two mock surveys of a simulation (paper, Sect. II), and the folder that stores them.

A mock folder holds ``photo.parquet`` (the photometric sample at its photo-z), ``spec.parquet``
(the spectroscopic sample), ``truth.parquet`` (the photometric sample at its true redshift) and
``mock.toml`` (their settings and origin). Positions are comoving [Mpc/h], z is the line of sight,
``id`` is the row of the galaxy in the simulation's catalogue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import model_validator

from truez.catalogs.catalog import Catalog
from truez.cosmology import HIGHEST_REDSHIFT, AnyCosmology
from truez.mesh.box import Box, Region
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.support.documents import read_toml, section
from truez.support.files import atomic_folder, write_text
from truez.support.printable import printable
from truez.support.provenance import versions
from truez.support.settings import SettingError, Settings
from truez.surveys.matching import match_rows
from truez.surveys.photoz import LARGEST_SIGMA_Z, PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

Array = NDArray[np.floating[Any]]
#: The files of a mock folder; the last shows that it is whole.
MOCK_FILES = ("photo.parquet", "spec.parquet", "truth.parquet", "mock.toml")


class MockConfig(Settings):
    """Settings of the two surveys of a simulation.

    Parameters
    ----------
    redshift : float
        Redshift of the snapshot.
    cosmology : Cosmology
        Converts redshift errors and velocities to lengths.
    sigma_z : float
        Photo-z error in units of (1 + z) (paper, Eq. 3: 0.02).
    outlier_fraction : float
        Share of photo-z that are uniform over the line of sight.
    rank_by, rank : str, {"highest", "lowest"}
        The column whose highest (a mass) or lowest (a magnitude) values are selected first.
    spec, photo : Selection
        Cuts such as ``mass>3.68e12``, and number densities [(h/Mpc)^3].
    disjoint : bool
        Remove the spectroscopic galaxies from the photometric sample; otherwise they are chosen
        from it, as the paper's Table I implies.
    redshift_space : bool
        Move galaxies by their line-of-sight velocity (paper, Eq. 1).
    trim : (float, float), optional
        Range along the line of sight, from the lower face [Mpc/h], in which fields are judged
        (paper: 200 to 1000).
    split : (float, float)
        Shares of the first sky axis for training and validation; the rest is for the test.
    gap : float
        Width left out between those regions [Mpc/h].
    seed : int
        Seed of the photo-z scatter.

    Examples
    --------
    >>> from truez import MockConfig
    >>> config = MockConfig(
    ...     redshift=0.6, cosmology="planck18", sigma_z=0.02, rank_by="mass", spec={"density": 1e-3}
    ... )
    >>> round(config.error.sigma, 1)
    68.5
    """

    redshift: float = Setting(ge=0, le=HIGHEST_REDSHIFT)
    cosmology: AnyCosmology
    sigma_z: float = Setting(ge=0, le=LARGEST_SIGMA_Z)
    outlier_fraction: float = Setting(default=0.0, ge=0, lt=1)
    rank_by: str | None = None
    rank: Literal["highest", "lowest"] = "highest"
    spec: Selection
    photo: Selection = Selection()
    disjoint: bool = False
    redshift_space: bool = True
    trim: tuple[float, float] | None = None
    split: tuple[float, float] = (0.53, 0.20)
    gap: float = Setting(default=8.0, ge=0)
    seed: int = Setting(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> MockConfig:
        if self.spec.density is None and not self.spec.cuts:
            raise ValueError("the spectroscopic sample needs a density or a cut")
        if self.rank_by is None and (self.spec.density or self.photo.density):
            raise ValueError("a selection by density needs rank_by, the column to rank by")
        if self.trim is not None and not self.trim[0] < self.trim[1]:
            raise ValueError(f"trim must be a lower and an upper distance, not {list(self.trim)}")
        if min(self.split) <= 0 or sum(self.split) >= 1:
            raise ValueError(f"split must be two positive shares of sum below 1, not {self.split}")
        return self

    @property
    def error(self) -> PhotozError:
        """The photo-z error in comoving distance."""
        sigma = self.cosmology.distance_error(self.sigma_z * (1 + self.redshift), self.redshift)
        return PhotozError(sigma, self.outlier_fraction)


class MockFields(NamedTuple):
    """Overdensities of a mock on its whole box."""

    truth: Field
    photo: Field
    spec: Field


@dataclass(frozen=True, eq=False)
class Mock:
    """Two surveys of a simulation, and the truth.

    Parameters
    ----------
    surveys : Surveys
        The two samples as they are observed.
    truth : (n_p, 3) array
        The photometric galaxies in true redshift space [Mpc/h], row by row those of
        ``surveys.photo``.
    photo_ids, spec_ids : int arrays
        Rows of the galaxies in the simulation's catalogue.
    config : MockConfig
    source : dict
        Origin of the catalogue, and counts of the galaxies that were left out.

    Examples
    --------
    >>> from truez import Box, lognormal_galaxies
    >>> galaxies = lognormal_galaxies(
    ...     Box(128, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    ... )
    >>> mock = galaxies.observe(spec_density=1e-3, sigma_z=0.005, cellsize=4, seed=2)
    >>> mock.fields().truth.shape
    (32, 32, 32)
    """

    surveys: Surveys
    truth: Array
    photo_ids: NDArray[np.int64]
    spec_ids: NDArray[np.int64]
    config: MockConfig
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A short hash of the truth and its box: the same for every photo-z of one universe.

        A network that was trained on one of these mocks was trained on the truth of all of them.
        """
        digest = hashlib.sha256(repr(self.box.to_dict()).encode())
        digest.update(np.ascontiguousarray(self.truth).data)
        return digest.hexdigest()[:16]

    @property
    def box(self) -> Box:
        """The box of both surveys."""
        return self.surveys.box

    @property
    def evaluation_region(self) -> Region:
        """Cells in which fields are judged: all but the trimmed ends of the line of sight."""
        return judged_region(self.box, self.config)

    @property
    def regions(self) -> dict[str, Region]:
        """Training, validation and test cells: slabs across the sky with gaps between them."""
        (_, _, z0), (nx, ny, z1) = self.evaluation_region
        gap = round(self.config.gap / self.box.cellsize[0])
        # In a periodic box the last slab also touches the first.
        usable = nx - (3 if self.box.periodic else 2) * gap
        train = round(usable * self.config.split[0])
        validation = round(usable * self.config.split[1])
        starts = (0, train + gap, train + validation + 2 * gap)
        stops = (train, train + gap + validation, usable + 2 * gap)
        if any(stop <= start for start, stop in zip(starts, stops, strict=True)):
            raise ValueError(f"{nx} cells are too few to split with gaps of {gap} cells")
        return {
            name: ((start, 0, z0), (stop, ny, z1))
            for name, start, stop in zip(
                ("train", "validation", "test"), starts, stops, strict=True
            )
        }

    def __repr__(self) -> str:
        name = printable(str(self.source.get("catalogue", "a simulation")))
        return f"Mock of {name}\n  {self.surveys!r}"

    def __str__(self) -> str:
        n_spec, n_photo, _ = self.surveys.densities
        space = "redshift space" if self.config.redshift_space else "real space"
        outliers = self.config.outlier_fraction
        outside = int(np.count_nonzero(~self.surveys.photo_inside()))
        counts = {
            "num_outside": "dropped outside the box",
            "num_left_by_velocity": "dropped because their velocity takes them out of it",
        }
        left = "".join(
            f"\n  {self.source[key]} galaxies {words}"
            for key, words in counts.items()
            if self.source.get(key)
        )
        return (
            f"two surveys of {printable(str(self.source.get('catalogue', 'a simulation')))}\n"
            f"  box      {self.box}\n"
            f"  photo    {len(self.truth)} galaxies, {n_photo:.3g} (h/Mpc)^3\n"
            f"  spec     {len(self.surveys.spec)} galaxies, {n_spec:.3g} (h/Mpc)^3, "
            f"{self.surveys.num_both:.0f} of them in photo\n"
            f"  photo-z  sigma_z = {self.config.sigma_z:g}, "
            f"{self.surveys.error.sigma:.3g} Mpc/h at z = {self.config.redshift:g}, "
            f"{outliers:.3g} outliers, {outside} outside the box\n"
            f"  space    {space}; h = {self.config.cosmology.h:g}, "
            f"Omega_m = {self.config.cosmology.omega_m:g}{left}"
        )

    def fields(self, resampler: str = "cic") -> MockFields:
        """Overdensities on the whole box: ``truth``, ``photo`` and ``spec``."""
        level = len(self.truth) / self.box.num_cells
        truth = paint(self.truth, self.box, resampler).to_delta(level)
        photo, spec = self.surveys.photo_field(resampler), self.surveys.spec_field(resampler)
        return MockFields(truth, photo, spec)

    def write(self, folder: str | Path) -> None:
        """Write the mock folder; an earlier mock there is replaced when the new one is whole."""
        with atomic_folder(folder, last=MOCK_FILES[-1]) as target:
            self._write(target)

    def _write(self, target: Path) -> None:
        for name, ids, positions in (
            ("photo", self.photo_ids, self.surveys.photo),
            ("spec", self.spec_ids, self.surveys.spec),
            ("truth", self.photo_ids, self.truth),
        ):
            columns = {"id": ids, **{axis: positions[:, i] for i, axis in enumerate("xyz")}}
            units = dict.fromkeys("xyz", "Mpc/h")
            Catalog(columns, units=units).write(target / f"{name}.parquet")
        write_text(target / "mock.toml", tomli_w.dumps(self._content()))

    def _content(self) -> dict[str, Any]:
        return {
            "source": _without_none(self.source),
            "box": self.box.to_dict(),
            "mock": _without_none(self.config.model_dump(mode="json")),
            "versions": versions(),
        }

    @classmethod
    def read(cls, folder: str | Path) -> Mock:
        """Read a mock folder.

        Raises
        ------
        FileNotFoundError
            If the folder holds no ``mock.toml``.
        ValueError
            If its files do not fit together.
        """
        path = Path(folder)
        config, box, source = read_settings(path)
        ids, positions = {}, {}
        for name in ("photo", "spec", "truth"):
            catalog = Catalog.read(path / f"{name}.parquet")
            ids[name] = catalog["id"]
            positions[name] = np.stack([catalog[axis] for axis in "xyz"], axis=1)
            broken = np.count_nonzero(~np.isfinite(positions[name]).all(axis=1))
            repeated = len(ids[name]) - len(np.unique(ids[name]))
            if broken or repeated:
                wrong = f"{broken} positions that are not finite" if broken else "repeated ids"
                raise ValueError(f"{name}.parquet in {path} holds {wrong}: make the mock again")
        if not np.array_equal(ids["photo"], ids["truth"]):
            raise ValueError(
                f"photo.parquet and truth.parquet in {path} hold different galaxies: make the mock "
                "again"
            )
        surveys = surveys_of(positions["photo"], positions["spec"], ids, box, config)
        _check_ids(path, surveys, ids, positions["truth"], disjoint=config.disjoint)
        return cls(surveys, positions["truth"], ids["photo"], ids["spec"], config, source)


def judged_region(box: Box, config: MockConfig) -> Region:
    """Cells in which fields are judged: all but the trimmed ends of the line of sight.

    Raises
    ------
    ValueError
        If ``trim`` is no range within the line of sight.
    """
    nx, ny, nz = box.meshsize
    if config.trim is None:
        return (0, 0, 0), (nx, ny, nz)
    cell = box.cellsize[2]
    low, high = config.trim
    # A small tolerance: 200 Mpc/h is cell 100 of 2 Mpc/h, however the division rounds.
    start, stop = int(np.ceil(low / cell - 1e-6)), int(np.floor(high / cell + 1e-6))
    if not 0 <= start < stop <= nz:
        raise ValueError(
            f"trim must be a range within the {box.boxsize[2]:g} Mpc/h of the line of "
            f"sight that holds a cell, not {low:g} to {high:g}"
        )
    return (0, 0, start), (nx, ny, stop)


def read_settings(folder: str | Path) -> tuple[MockConfig, Box, dict[str, Any]]:
    """The settings, the box and the origin of a mock folder, without its galaxies.

    Raises
    ------
    FileNotFoundError
        If it is not a mock folder.
    ValueError
        If its ``mock.toml`` is damaged.
    """
    path, remedy = Path(folder) / "mock.toml", "make the mock again"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a mock folder: it holds no mock.toml")
    content, _ = read_toml(path, remedy=remedy)
    if "sky" in content:
        raise ValueError(f"{folder} holds a mock on the sky, not in a box")
    keys = ("mock", "box", "source")
    section(content, str(path), keys=keys, remedy=remedy)
    mock, box, source = (section(content[key], str(path), key, remedy=remedy) for key in keys)
    try:
        return MockConfig(**mock), Box(**box), source
    except SettingError as error:
        reason = f"mock.{error}"
    except TypeError:
        reason = "box does not hold the settings of a box"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"{path} is damaged ({reason}): {remedy}")


def _check_ids(
    path: Path, surveys: Surveys, ids: Mapping[str, Array], truth: Array, *, disjoint: bool
) -> None:
    """Refuse a mock folder whose spectroscopic galaxies are not those that `make_mock` chose."""
    assert surveys.matched is not None
    found = surveys.matched >= 0
    same = np.isclose(surveys.spec[found], truth[surveys.matched[found]]).all(axis=1)
    wrong = (found if disjoint else ~found).copy()
    wrong[found] |= ~same
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"the id {ids['spec'][row]} in row {row} of spec.parquet in {path} is not that of a "
            "galaxy which the mock chose there: make the mock again"
        )


def surveys_of(
    photo: Array, spec: Array, ids: Mapping[str, NDArray[Any]], box: Box, config: MockConfig
) -> Surveys:
    """The surveys of a mock: ``photo`` at its photo-z, ``spec`` exact, and the ids of both."""
    matched = match_rows(ids["spec"], ids["photo"])
    return Surveys(
        photo=photo,
        spec=spec,
        box=box,
        error=config.error,
        num_both=int(np.count_nonzero(matched >= 0)),
        cosmology=config.cosmology,
        redshift=config.redshift,
        redshift_space=config.redshift_space,
        matched=matched,
    )


def _without_none(values: Any) -> Any:
    """TOML has no null: an absent key is None."""
    if isinstance(values, dict):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    return values
