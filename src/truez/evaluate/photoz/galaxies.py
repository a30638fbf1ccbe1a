"""Which galaxies of a catalogue of ``truez redshifts`` are judged, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import find_columns, floats_of, redshifts_of
from truez.evaluate.sky.redshifts import INTERVAL
from truez.sky.redshifts import BEYOND, CUT, EDGE, FLAGS, NO_PHOTO_Z, NO_POSTERIOR, OUTSIDE

Array = NDArray[np.float64]
#: Flags of galaxies that have no posterior.
_WITHOUT = (OUTSIDE, BEYOND, NO_PHOTO_Z, NO_POSTERIOR, CUT)
#: What may stand for a redshift after, and the columns that show what ``truez redshifts`` wrote.
POINTS = ("median", "mean", "mode")
OWN = ("z_median", "z_mean", "z_mode", "z_lo", "z_hi", "spec_matched", "flag")
#: Numbers of magnitudes that surveys write where there is none.
_BRIGHTEST, _FAINTEST = -50.0, 50.0


@dataclass(frozen=True, eq=False, kw_only=True)
class PhotozGalaxies:
    """Galaxies that are judged: their redshifts, and what they are divided by.

    Parameters
    ----------
    rows : (n,) int array
        Of the catalogue.
    z_true, z_before, z_after : (n,) arrays
    median, low, high : (n,) arrays
        Of the posterior: ends of the central interval of probability ``interval``.
    interval : float
    quantities : mapping of a name to (n,) arrays
        ``redshift`` (photo-z), ``magnitude``, ``edge_distance`` [Mpc/h]; nan where not known.
    counts : mapping of str to int
        Galaxies of the catalogue, and those left out by their reason, see `choose`.
    """

    rows: NDArray[np.int64]
    z_true: Array
    z_before: Array
    z_after: Array
    median: Array
    low: Array
    high: Array
    interval: float
    quantities: Mapping[str, Array]
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Sharpened:
    """The columns of a catalogue that ``truez redshifts`` added, without the prefix.

    Parameters
    ----------
    columns : mapping of str to (n,) arrays
    interval : float
        Probability between ``z_lo`` and ``z_hi``.
    """

    columns: Mapping[str, NDArray[Any]]
    interval: float

    @classmethod
    def of(cls, catalog: Catalog, name: str) -> Sharpened:
        """The columns, with any prefix.

        Raises
        ------
        ValueError
            If they are not there.
        """
        prefixes = [
            column.removesuffix("z_median") for column in catalog.columns
            if column.endswith("z_median")
            and f"{column.removesuffix('z_median')}spec_matched" in catalog.columns
        ]  # fmt: skip
        if len(prefixes) != 1:
            found = "no columns" if not prefixes else f"{len(prefixes)} sets of columns"
            raise ValueError(
                f"{name} has {found} z_median and spec_matched: give a catalogue that truez "
                "redshifts wrote on the sky"
            )
        wanted = [f"{prefixes[0]}{column}" for column in OWN]
        lost = [column for column in wanted if column not in catalog.columns]
        if lost:
            raise ValueError(
                f"{name} has no column {lost[0]}: give a catalogue that truez redshifts wrote on "
                "the sky"
            )
        columns = {own: _own(catalog, column) for own, column in zip(OWN, wanted, strict=True)}
        about = catalog.metadata.get("truez", {})
        interval = about.get("interval") if isinstance(about, Mapping) else None
        if not (isinstance(interval, float) and 0 < interval < 1):
            interval = INTERVAL
        return cls(columns, interval)


def _own(catalog: Catalog, column: str) -> NDArray[Any]:
    values = catalog[column]
    if values.dtype.kind == "b":
        return np.asarray(np.ma.filled(values, False))
    return vectors.floats(catalog.columns, column).astype(np.float64)


def choose(
    catalog: Catalog,
    z_true: Array,
    photo_z: str,
    *,
    redshift_range: tuple[float, float] | None = None,
    point: str = "median",
    name: str = "catalog",
) -> PhotozGalaxies:
    """The galaxies with a true redshift that was not given to the map, and with both redshifts.

    They are chosen by their photo-z, never by the truth: among those chosen by their true redshift
    not even a right posterior is calibrated.

    Parameters
    ----------
    catalog : Catalog
        Of ``truez redshifts``.
    z_true : (n,) array
        Of every galaxy of the catalogue, nan where it is not known.
    photo_z : str
        Column of the photo-z.
    redshift_range : (2,) floats, optional
        Photo-z between which galaxies are judged.
    point : {"median", "mean", "mode"}
        Of the posterior, the redshift after.
    name : str
        Of the catalogue, for messages.

    Returns
    -------
    PhotozGalaxies
        Whose ``counts`` are ``rows`` of the catalogue and ``with_truth`` among them; of the latter,
        one after the other, those left out as ``spec_matched``, ``without_photo_z``,
        ``beyond_range`` and ``without_posterior``; ``num`` that remain; and by ``flag_1``,
        ``flag_2``, ... those with a truth that have this flag.

    Raises
    ------
    ValueError
        If columns are missing or no galaxy remains.
    """
    if point not in POINTS:
        raise ValueError(f"point must be one of {', '.join(POINTS)}, not {point!r}")
    own = Sharpened.of(catalog, name)
    column = find_columns([photo_z], catalog.columns, name)[0]
    before, _ = redshifts_of(catalog, column, name)
    known = np.isfinite(z_true)
    counts = {"rows": len(catalog), "with_truth": int(known.sum())}
    flag = np.nan_to_num(own.columns["flag"]).astype(np.int64)
    for bit in FLAGS:
        if num := int(np.count_nonzero(known & (flag & bit > 0))):
            counts[f"flag_{bit}"] = num
    low, high = redshift_range or (-np.inf, np.inf)
    after = own.columns[f"z_{point}"]
    without = ~np.isfinite(after) | ~np.isfinite(own.columns["z_median"])
    reasons = {
        "spec_matched": own.columns["spec_matched"] != 0,
        "without_photo_z": ~np.isfinite(before),
        "beyond_range": ~((before >= low) & (before <= high)),
        "without_posterior": without | (flag & sum(_WITHOUT) > 0),
    }
    left = known
    for reason, rows in reasons.items():
        counts[reason] = int(np.count_nonzero(left & rows))
        left = left & ~rows
    counts["num"] = int(left.sum())
    _check_any(counts, redshift_range, name)
    rows = np.flatnonzero(left)
    return PhotozGalaxies(
        rows=rows, z_true=z_true[rows], z_before=before[rows], z_after=after[rows],
        median=own.columns["z_median"][rows], low=own.columns["z_lo"][rows],
        high=own.columns["z_hi"][rows], interval=own.interval,
        quantities={"redshift": before[rows]}, counts=counts,
    )  # fmt: skip


def _check_any(
    counts: Mapping[str, int], redshift_range: tuple[float, float] | None, name: str
) -> None:
    if counts["num"] > 1:
        return
    left = counts["with_truth"] - counts["spec_matched"]
    some = {0: "none", 1: "only one"}[counts["num"]]
    if left <= 1:
        raise ValueError(
            f"of {counts['with_truth']} galaxies of {name} with a true redshift "
            f"{counts['spec_matched']} were given to the map as spectra, and {some} is left to "
            "judge: keep a part of the spectra back from truez redshifts"
        )
    where = "" if redshift_range is None else " in redshift_range {:g},{:g}".format(*redshift_range)
    raise ValueError(
        f"of {left} galaxies of {name} with a true redshift and no spectrum {some} has a photo-z"
        f"{where} and a posterior: choose other columns or a wider range"
    )


def magnitudes(catalog: Catalog, column: str, name: str) -> Array:
    """Magnitudes (n,), nan where there is none, such as -99 or 99.

    Raises
    ------
    ValueError
        If there is no such column, or no magnitude in it.
    """
    own = find_columns([column], catalog.columns, name)[0]
    values = floats_of(catalog, own, name)
    with np.errstate(invalid="ignore"):
        result = np.where((values > _BRIGHTEST) & (values < _FAINTEST), values, np.nan)
    if not np.isfinite(result).any():
        raise ValueError(f"column {own!r} of {name} holds no magnitude: choose another")
    return result


def about_flags(counts: Mapping[str, int]) -> list[str]:
    """What flags of the galaxies with a truth say, such as ``3 outside the footprint``."""
    return [f"{counts[f'flag_{bit}']:,} {words}" for bit, words in FLAGS.items()
            if bit != EDGE and f"flag_{bit}" in counts]  # fmt: skip
