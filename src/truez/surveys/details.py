"""Optional properties of two catalogues and of their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.angles import check_no_angles
from truez.catalogs.catalog import Catalog
from truez.catalogs.formats._missing import present
from truez.catalogs.units import axis_order
from truez.mesh.field import Field
from truez.support.settings import SettingError
from truez.surveys.selection import Selection, select


@dataclass(frozen=True)
class SurveyDetails:
    """Settings of `truez.Surveys.from_catalogs` that are seldom needed.

    Parameters
    ----------
    positions : three column names, or one of a vector column
        Of both catalogues, in the axes of the file.
    spec_positions : the same, optional
        Of the spectroscopic catalogue, where they differ.
    length_unit : {"Mpc/h", "kpc/h", "Mpc", "kpc"}, optional
        Of the positions of both catalogues; by default what each of them states, else Mpc/h.
    hubble : float, optional
        h, needed for Mpc and kpc.
    los : {"x", "y", "z"}
        Axis of the line of sight.
    outlier_fraction : float
        Share of photo-z that are uniform over the line of sight.
    redshift_space : bool
        Whether positions carry peculiar velocities; False for a simulation in real space.
    photo_bounds : {"truth", "photo-z"}
        How the photometric sample is bounded along the line of sight of a closed box, see
        `truez.Surveys`.
    drop_missing : bool
        Leave out galaxies without a finite position, and with ``match_id`` those without an id.
    spec_cut, photo_cut : sequence of str
        Thresholds of the samples such as ``mag<=24``, each of a column of its catalogue: galaxies
        that do not pass all of them are not in the sample.
    sigma_z_column, z_err_column : str, optional
        Of the photometric catalogue: each galaxy's error over 1 + z, or its absolute error in
        redshift, in place of one ``sigma_z`` for all.
    weight_column, spec_weight_column : str, optional
        Weights for completeness, by which each galaxy's counts are multiplied.
    expected_spec, expected_photo : Field or path, optional
        Expected galaxies per cell at true places: a field of kind counts on the box, with the line
        of sight last, whatever ``los`` is. Only ratios matter: it is scaled to the number of
        galaxies.

    Examples
    --------
    >>> from truez import SurveyDetails
    >>> SurveyDetails(positions=("X", "Y", "Z"), length_unit="Mpc", hubble=0.7).los
    'z'
    """

    positions: Sequence[str] = ("x", "y", "z")
    spec_positions: Sequence[str] | None = None
    length_unit: str | None = None
    hubble: float | None = None
    los: int | str = "z"
    outlier_fraction: float = 0.0
    redshift_space: bool = True
    photo_bounds: Literal["truth", "photo-z"] = "truth"
    drop_missing: bool = False
    spec_cut: Sequence[str] = ()
    photo_cut: Sequence[str] = ()
    sigma_z_column: str | None = None
    z_err_column: str | None = None
    weight_column: str | None = None
    spec_weight_column: str | None = None
    expected_spec: Field | str | Path | None = None
    expected_photo: Field | str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("positions", "spec_positions"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, (value,))
        axis_order(self.los)
        check_cuts(self.spec_cut, "spec_cut")
        check_cuts(self.photo_cut, "photo_cut")
        for name in ("weight_column", "spec_weight_column"):
            refuse_fkp(getattr(self, name), name)

    def columns(self, sample: str) -> list[str]:
        """The position columns of ``spec`` or ``photo``."""
        own = self.spec_positions if sample == "spec" else None
        return list(own or self.positions)

    def properties(self, sample: str) -> dict[str, str]:
        """Columns of numbers of each galaxy of a sample, and the settings that name them."""
        names = ["sigma_z_column", "z_err_column", "weight_column"]
        chosen = ["spec_weight_column"] if sample == "spec" else names
        return {str(getattr(self, name)): name for name in chosen if getattr(self, name)}

    def cuts(self, sample: str) -> Selection:
        """The thresholds of a sample."""
        return Selection(cuts=tuple(getattr(self, f"{sample}_cut")))

    def whole_rows(
        self, catalog: Catalog, sample: str, ids: NDArray[Any] | None
    ) -> NDArray[np.bool_]:
        """Which galaxies (n,) have a finite position, and an id where ``ids`` are given.

        Raises
        ------
        ValueError
            If no galaxy has them.
        """
        names = vectors.three(self.columns(sample), catalog.columns, "the catalogue", "positions")
        names = [*names, *self.properties(sample), *self.cuts(sample).columns]
        rows: NDArray[np.bool_] = present(catalog.columns, names)
        if ids is not None:
            rows &= present({"ids": ids}, ["ids"])
        if not rows.any():
            raise ValueError("no galaxy has a position, and an id where one is asked for")
        return rows

    def positions_of(self, catalog: Catalog, sample: str) -> NDArray[np.floating[Any]]:
        """Positions of a catalogue, (n, 3) [Mpc/h], the line of sight last."""
        columns = self.columns(sample)
        unit = self.length_unit
        names = vectors.three(columns, catalog.columns, "the catalogue", "positions")
        if unit is None and not any(name in catalog.units for name in names):
            unit = "Mpc/h"
        check_no_angles(names, catalog.units, "positions")
        return catalog.positions(columns, length_unit=unit, hubble=self.hubble, los=self.los)


def check_cuts(cuts: Sequence[str], name: str) -> None:
    """Raise an error for thresholds that do not read as such; ``name`` is their setting."""
    if isinstance(cuts, str):
        raise ValueError(f"{name} must be a list of thresholds, not the text {cuts!r}")
    try:
        Selection(cuts=tuple(cuts))
    except SettingError as error:
        raise ValueError(f"{name} {error.reason}") from None


def passing(catalog: Catalog, cuts: Sequence[str], sample: str) -> NDArray[np.bool_]:
    """Which galaxies of a catalogue (n,) pass all thresholds."""
    kept = np.zeros(len(catalog), dtype=bool)
    rows = np.arange(len(catalog))
    chosen = Selection(cuts=tuple(cuts))
    kept[select(chosen, sample, rows, catalog.columns, volume=1.0, rank_by=None, highest=True)] = (
        True
    )
    return kept


def refuse_fkp(column: str | None, name: str) -> None:
    """Raise an error for a column of FKP weights, which ``name`` names."""
    if column is not None and "fkp" in column.lower():
        raise ValueError(
            f"{name} {column!r} holds FKP weights, which are no completeness: leave them out, as "
            "the filter weights galaxies itself, or name the completeness weights"
        )
