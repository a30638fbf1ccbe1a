"""The two surveys of one volume, as an observer has them: what every reconstruction starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.surveys.photoz import PhotozError

Positions = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
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
        How many galaxies both samples hold (all of ``spec`` where it is nested in ``photo``).
    cosmology : Cosmology
        For the shape of the linear spectrum, where few modes are seen.
    redshift : float
        Effective redshift of the volume.
    redshift_space : bool
        Whether true positions carry peculiar velocities; False for a simulation in real space.
    photo_bounds : {"truth", "photo-z"}
        What bounds the photometric sample along the line of sight of a closed box. ``"truth"``: the
        sample fills the box and its photo-z leak out (a simulation). ``"photo-z"``: the sample was
        cut in photo-z, and as many leak in as out (a survey).
    matched : (n_s,) int array, optional
        Row of ``photo`` that each spectroscopic galaxy is, -1 where it is none of them; None where
        only their number is known.
    metadata : dict
        Where the samples came from, for the outputs.
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
        for name in ("photo", "spec"):
            positions = getattr(self, name)
            if positions.ndim != 2 or positions.shape[1] != 3:
                raise ValueError(f"{name} must have shape (n, 3), not {positions.shape}")
            if len(positions) == 0:
                raise ValueError(f"the {name} sample holds no galaxies")
            # Along the line of sight photo-z may leave a closed box; across it nothing may.
            leaves = name == "photo" and not self.box.periodic
            self.box.check_contains(
                positions, f"{name} galaxies", axes=(0, 1) if leaves else (0, 1, 2)
            )
        if not (np.isfinite(self.redshift) and self.redshift >= 0):
            raise ValueError(f"redshift must be a finite number >= 0, not {self.redshift!r}")
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

    def _check_matched(self, matched: NDArray[np.int64]) -> None:
        """Refuse matches that are no rows, or not as many as `num_both`."""
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
        """Refuse a choice of ``photo_bounds`` that the photo-z of a closed box contradict."""
        outside = len(self.photo) - int(np.count_nonzero(self.photo_inside()))
        if self.photo_bounds == "photo-z":
            if outside:
                raise ValueError(
                    f"{outside} photo-z lie outside the box, so the sample was not cut in photo-z: "
                    "leave them out, or choose photo_bounds truth"
                )
            return
        lost = 1 - float(self.error.visible_fraction(self.box).mean())
        expected = lost * len(self.photo)
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
        """Plain values that say what the surveys are, for the outputs."""
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

        ``metadata["num_outside"]`` counts the galaxies whose photo-z lies outside a closed box, and
        ``metadata["shotnoise"]`` is the noise power of this field, which the thinning of galaxies
        at the faces raises above ``1 / n_p``.
        """
        counts = paint(self.photo[self.photo_inside()], self.box, resampler)
        expected = self.photo_expected()
        delta = counts.to_delta(expected)
        cell = self.box.volume / self.box.num_cells
        per_cell = 1 / expected.values[0, 0].to(torch.float64)
        metadata = {
            **delta.metadata,
            "num_outside": len(self.photo) - counts.metadata["num_galaxies"],
            "shotnoise": cell * float(per_cell.mean()),
        }
        return Field(delta.values, delta.box, delta.kind, metadata)

    def spec_field(self, resampler: str = "cic") -> Field:
        """Overdensity of the spectroscopic sample."""
        level = len(self.spec) / self.box.num_cells
        return paint(self.spec, self.box, resampler).to_delta(level)


def match_rows(spec_ids: NDArray[Any], photo_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Row of the photometric sample that each spectroscopic galaxy is, -1 for none; shape (n_s,).

    Parameters
    ----------
    spec_ids, photo_ids : (n_s,), (n_p,) arrays
        Names of the galaxies, equal for the same one and unique within each sample.
    """
    if len(photo_ids) == 0:
        return np.full(len(spec_ids), -1, dtype=np.int64)
    order = np.argsort(photo_ids, kind="stable")
    place = np.searchsorted(photo_ids, spec_ids, sorter=order)
    rows = order[np.minimum(place, len(order) - 1)]
    return np.where(photo_ids[rows] == spec_ids, rows, -1).astype(np.int64)


def count_overlap(
    num_spec: int,
    *,
    ids: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None),
    overlap: str | None = None,
) -> float:
    """How many galaxies both surveys hold, which the shot noise of their cross power needs.

    Parameters
    ----------
    num_spec : int
        Galaxies of the spectroscopic sample.
    ids : two (n,) arrays, optional
        A column of each survey that names its galaxies; equal values are the same galaxy.
    overlap : str, optional
        Without ids: "nested", "disjoint", or the fraction of spectroscopic galaxies that are in
        the photometric sample too.

    Raises
    ------
    ValueError
        If a name stands for two galaxies of one survey, or ``overlap`` is none of these.
    """
    spec_ids, photo_ids = ids
    if spec_ids is not None and photo_ids is not None:
        for name, values in (("spec", spec_ids), ("photo", photo_ids)):
            if len(np.unique(values)) < len(values):
                raise ValueError(f"ids of the {name} survey are not unique: they name no galaxy")
        both = len(np.intersect1d(spec_ids, photo_ids))
        if both == 0:
            raise ValueError(
                "no galaxy is named in both surveys: give the column that names them alike, or say "
                "overlap disjoint"
            )
        return float(both)
    text = {"nested": "1", "disjoint": "0"}.get(str(overlap), str(overlap))
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ValueError(
            f"overlap must be nested, disjoint or a fraction from 0 to 1, not {overlap!r}"
        )
    return fraction * num_spec
