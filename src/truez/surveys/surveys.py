"""The two surveys of one volume as they are observed: the input of every reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from truez.catalogs.given import as_catalog, ids_of
from truez.cosmology import Cosmology, check_redshift
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.support.checks import as_numbers, check_type, shown
from truez.surveys.details import SurveyDetails
from truez.surveys.matching import count_overlap, match_ids
from truez.surveys.photoz import LARGEST_SIGMA_Z, PhotozError

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
        What bounds the photometric sample along the line of sight of a closed box. ``"truth"``: the
        sample fills the box and its photo-z scatter out of it (a simulation). ``"photo-z"``: the
        sample was cut in photo-z, and as many galaxies scatter in as out (a survey).
    matched : (n_s,) int array, optional
        Row of each spectroscopic galaxy in ``photo``, -1 where it is not in ``photo``; None where
        only the number of common galaxies is known.
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
            if len(positions) == 0:
                raise ValueError(f"the {name} sample holds no galaxies")
            # Along the line of sight photo-z may leave a closed box; across it nothing may.
            leaves = name == "photo" and not self.box.periodic
            self.box.check_contains(
                positions, f"{name} galaxies", axes=(0, 1) if leaves else (0, 1, 2)
            )
        check_redshift(self.redshift)
        if not 0 <= self.num_both <= min(len(self.photo), len(self.spec)):
            raise ValueError(
                f"num_both must be between 0 and the smaller sample's "
                f"{min(len(self.photo), len(self.spec))} galaxies, not {self.num_both!r}"
            )
        if self.photo_bounds not in ("truth", "photo-z"):
            raise ValueError(f"photo_bounds must be truth or photo-z, not {self.photo_bounds!r}")
        if self.matched is not None:
            self._check_matched(self.matched)
        if not self.box.periodic:
            self._check_bounds()

    @classmethod
    def from_catalogs(
        cls,
        *,
        spec: Any,
        photo: Any,
        box: Box,
        redshift: float,
        sigma_z: float,
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
        sigma_z : float
            Photo-z error sigma(z) / (1 + z).
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
            Names and units of columns, the axis of the line of sight, outliers, real space, cuts in
            photo-z.

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
        how = details or SurveyDetails()
        check_type(how, SurveyDetails, "details", "truez.SurveyDetails(positions=...)")
        check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
        if (match_id is None) == (overlap is None):
            raise ValueError(
                "give either match_id, the column that names a galaxy in both catalogues, or "
                "overlap: nested, disjoint or a fraction"
            )
        background = Cosmology.of(cosmology)
        if not (isinstance(sigma_z, int | float) and 0 <= sigma_z <= LARGEST_SIGMA_Z):
            raise ValueError(
                f"sigma_z must be a number from 0 to {LARGEST_SIGMA_Z:g}, not {shown(sigma_z)}"
            )
        check_redshift(redshift)
        sigma = background.distance_error(sigma_z * (1 + redshift), redshift)
        positions, ids = {}, {}
        about: dict[str, Any] = {}
        for name, given in (("spec", spec), ("photo", photo)):
            columns = how.columns(name)
            stored = isinstance(given, str | Path)
            # A column in memory is read by itself, as its missing values are no error.
            needed = [*columns, match_id] if stored and match_id is not None else columns
            catalog = as_catalog(given, needed, name=name, keep_missing=how.drop_missing)
            try:
                named = None
                if match_id is not None:
                    named = ids_of(catalog if stored else given, match_id, name="the catalogue")
                if how.drop_missing:
                    rows = how.whole_rows(catalog, name, named)
                    about[f"{name}_dropped"] = int(np.count_nonzero(~rows))
                    catalog, named = catalog.select(rows), None if named is None else named[rows]
                positions[name] = how.positions_of(catalog, name)
                if named is not None:
                    ids[name] = named
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            about[name] = str(given) if stored else type(given).__name__
        matched = None
        if match_id is None:
            num_both = count_overlap(len(positions["spec"]), str(overlap))
        else:
            matches = match_ids(ids["spec"], ids["photo"], column=match_id)
            num_both, matched = float(matches.num_both), matches.rows
            about["spec_without_id"] = matches.spec_without_id
            about["photo_without_id"] = matches.photo_without_id
        return cls(
            **positions,
            box=box,
            error=PhotozError(sigma, how.outlier_fraction),
            num_both=num_both,
            matched=matched,
            cosmology=background,
            redshift=redshift,
            redshift_space=how.redshift_space,
            photo_bounds=how.photo_bounds,
            metadata={
                **about,
                "sigma_z": sigma_z,
                "match_id": match_id,
                "overlap": None if overlap is None else str(overlap),
                "length_unit": how.length_unit,
                "los": how.los,
            },
        )

    def __repr__(self) -> str:
        n_spec, n_photo, _ = self.densities
        outliers = self.error.outlier_fraction
        more = f", {outliers:.3g} of them outliers" if outliers else ""
        return (
            f"Surveys at z = {self.redshift:g} in {self.box}\n"
            f"  photo {len(self.photo)} galaxies, {n_photo:.3g} (h/Mpc)^3, photo-z error "
            f"{self.error.sigma:.3g} Mpc/h along the line of sight{more}\n"
            f"  spec {len(self.spec)} galaxies, {n_spec:.3g} (h/Mpc)^3, {self.num_both:.0f} of "
            "them in photo"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def _check_matched(self, matched: NDArray[np.int64]) -> None:
        """Raise an error for matches that are not rows, or whose number is not `num_both`."""
        if matched.shape != (len(self.spec),) or matched.dtype.kind not in "iu":
            raise ValueError(
                f"matched must hold one row number for each of {len(self.spec)} spec galaxies, not "
                f"{matched.dtype} of shape {matched.shape}"
            )
        rows = matched[matched >= 0]
        if len(rows) and rows.max() >= len(self.photo):
            raise ValueError(
                f"matched names row {rows.max()} of {len(self.photo)} photo galaxies: count rows "
                "from 0 in the photo sample itself"
            )
        if len(np.unique(rows)) < len(rows):
            raise ValueError("matched names one photo galaxy for two spec galaxies")
        if len(rows) != self.num_both:
            raise ValueError(
                f"matched pairs {len(rows)} galaxies, but num_both is {self.num_both:g}"
            )

    def _check_bounds(self) -> None:
        """Raise an error if the photo-z of a closed box contradict ``photo_bounds``."""
        outside = len(self.photo) - int(np.count_nonzero(self.photo_inside()))
        if self.photo_bounds == "photo-z":
            if outside:
                raise ValueError(
                    f"{outside} photo-z lie outside the box, so the sample was not cut in photo-z: "
                    "leave them out, or choose photo_bounds truth"
                )
            return
        share_outside = 1 - float(self.error.visible_fraction(self.box).mean())
        expected = share_outside * len(self.photo)
        # Clustering at the faces moves the number by some tens of per cent, not by a factor.
        if expected > 30 and not 0.3 * expected < outside < 3 * expected:
            raise ValueError(
                f"{outside} photo-z lie outside the box where about {expected:.0f} should, for a "
                "sample that fills it: choose photo_bounds photo-z if it was cut in photo-z, or "
                "correct the box and sigma_z"
            )

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
            **self.metadata,
        }

    @property
    def densities(self) -> tuple[float, float, float]:
        """(n_s, n_p, n_sp) [(h/Mpc)^3]: spectroscopic, photometric, and in both."""
        volume = self.box.volume
        return len(self.spec) / volume, len(self.photo) / volume, self.num_both / volume

    def true_expected(self) -> Field:
        """Expected counts of the photometric sample at its true redshift, per cell."""
        level = torch.full((1, 1, 1), len(self.photo) / self.box.num_cells)
        return Field(level.expand(self.box.meshsize), self.box, "counts")

    def photo_expected(self) -> Field:
        """Expected counts of the photometric sample at its photo-z, per cell."""
        level = len(self.photo) / self.box.num_cells
        profile = (
            self.error.visible_fraction(self.box)
            if self.photo_bounds == "truth"
            else np.ones(self.box.meshsize[2])
        )
        values = torch.from_numpy((level * profile).astype(np.float32))
        return Field(values.expand(self.box.meshsize), self.box, "counts")

    def photo_field(self, resampler: str = "cic") -> Field:
        """Overdensity of the photometric sample at its photo-z.

        ``metadata["num_outside"]`` counts the galaxies whose photo-z lies outside a closed box. The
        shot noise of this field is raised above ``1 / n_p`` by the thinning of galaxies at the
        faces.
        """
        counts = paint(self.photo[self.photo_inside()], self.box, resampler)
        expected = self.photo_expected()
        delta = counts.to_delta(expected)
        cell = self.box.volume / self.box.num_cells
        per_cell = 1 / expected.values[0, 0].to(torch.float64)
        outside = len(self.photo) - counts.metadata["num_galaxies"]
        metadata = {**delta.metadata, "num_outside": outside}
        return replace(delta, metadata=metadata, shotnoise=cell * float(per_cell.mean()))

    def spec_field(self, resampler: str = "cic") -> Field:
        """Overdensity of the spectroscopic sample."""
        level = len(self.spec) / self.box.num_cells
        return paint(self.spec, self.box, resampler).to_delta(level)
