"""Optional properties of two catalogues and of their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import check_no_angles
from truez.catalogs.formats._missing import present
from truez.catalogs.units import axis_order


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

    def __post_init__(self) -> None:
        for name in ("positions", "spec_positions"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, (value,))
        axis_order(self.los)

    def columns(self, sample: str) -> list[str]:
        """The position columns of ``spec`` or ``photo``."""
        own = self.spec_positions if sample == "spec" else None
        return list(own or self.positions)

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
