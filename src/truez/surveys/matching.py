"""Which galaxies two surveys share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def match_rows(spec_ids: NDArray[Any], photo_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each spectroscopic galaxy in the photometric sample, -1 if not there; shape (n_s,).

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
    """Number of galaxies in both surveys, which the shot noise of their cross power depends on.

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
        If two galaxies of one survey have the same name, no galaxy is in both, or ``overlap`` is
        another value.
    """
    spec_ids, photo_ids = ids
    if spec_ids is not None and photo_ids is not None:
        for name, values in (("spec", spec_ids), ("photo", photo_ids)):
            if len(np.unique(values)) < len(values):
                raise ValueError(
                    f"ids of the {name} survey must be unique, but some name several galaxies"
                )
        both = len(np.intersect1d(spec_ids, photo_ids))
        if both == 0:
            raise ValueError(
                "no galaxy is named in both surveys: give the column that names them alike, or "
                "choose overlap disjoint"
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
