"""Photo-z before and after, judged by true redshifts of galaxies that were not used as spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import find_columns, floats_of, redshifts_of, sky_coordinates
from truez.catalogs.formats import header
from truez.catalogs.given import as_catalog, column_pair, ids_of
from truez.cosmology import Cosmology
from truez.evaluate.photoz.densities import Densities, SplitNormals, common_edges
from truez.evaluate.photoz.galaxies import OWN, PhotozGalaxies, choose, magnitudes
from truez.evaluate.photoz.numbers import JudgedPhotoz, equal_bins
from truez.evaluate.photoz.report import PhotozReport
from truez.evaluate.photoz.scores import PdfScores, scores_of
from truez.evaluate.sky.redshifts import EDGE_BINS, INTERVAL
from truez.sky.agreement import check_pdfs
from truez.support.checks import check_type
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.footprint_edge import edge_distance
from truez.surveys.footprint_input import footprint_of
from truez.surveys.matching import match_ids
from truez.surveys.pdfs import PdfTable, read_pdfs, read_pdfs_of_rows

Array = NDArray[np.float64]
#: A file of p(z), or what it holds.
Pdfs = PdfTable | str | Path
#: Most bins of a quantity.
_MOST_BINS = 50
#: Galaxies of which p(z) are compared with the redshift that they are of.
_SOME = 10_000


@dataclass(frozen=True, kw_only=True)
class PhotozDetails:
    """Settings of `judge_photoz` that are seldom needed.

    Parameters
    ----------
    z_err_column : str, optional
        Errors of the photo-z, or ``LOWER:UPPER`` as of `truez.SkyDetails`: p(z) before are
        Gaussians, where no file of them is given.
    pdf_id : str, optional
        Column that names a galaxy in the catalogue and in the files of p(z), or
        ``COLUMN:PDFCOLUMN``; rows are in the order of the catalogue without it. A file of p(z)
        after with as many rows as the catalogue is in its order.
    magnitude : str, optional
        Column by which galaxies are divided as well.
    sky : two names
        Columns of right ascension and declination, for the distance to the edge of a footprint.
    redshift_range : (2,) floats, optional
        Photo-z between which galaxies are judged.
    point : {"median", "mean", "mode"}
        Of the posterior, the redshift after.
    dz : float
        Width of the cells of redshift in which p(z) before and after are compared.
    floor : float
        Share of every p(z), before and after, that is taken to be even over all cells, in ln p
        alone; with 0, galaxies without any probability at the truth have no ln p.
    num_bins : int
        Bins of photo-z and magnitude, with equally many galaxies.
    cosmology : str, Cosmology or astropy cosmology
        Of distances to the edge.

    Raises
    ------
    ValueError
        If a number is not in its range.
    """

    z_err_column: str | None = None
    pdf_id: str | None = None
    magnitude: str | None = None
    sky: Sequence[str] = ("RA", "DEC")
    redshift_range: tuple[float, float] | None = None
    point: str = "median"
    dz: float = 0.001
    floor: float = 0.001
    num_bins: int = 5
    cosmology: Any = "planck18"

    def __post_init__(self) -> None:
        if not 1e-5 <= self.dz <= 0.1:
            raise ValueError(f"dz must be from 0.00001 to 0.1, not {self.dz:g}")
        if not 0 <= self.floor < 0.5:
            raise ValueError(f"floor must be at least 0 and below 0.5, not {self.floor:g}")
        if not 1 <= self.num_bins <= _MOST_BINS:
            raise ValueError(f"num_bins must be from 1 to {_MOST_BINS}, not {self.num_bins}")
        if len(self.sky) < 2:
            raise ValueError(f"sky must name two columns, RA,DEC, not {','.join(self.sky)}")
        if self.redshift_range is not None:
            low, high = self.redshift_range
            if not low < high:
                raise ValueError(f"redshift_range must be in order, not {low:g},{high:g}")


def judge_photoz(
    catalog: Any,
    *,
    truth: str | ArrayLike,
    photo_z: str,
    pdf: Pdfs | None = None,
    pdf_after: Pdfs | None = None,
    footprint: Footprint | str | Path | Sequence[float] | None = None,
    details: PhotozDetails | None = None,
    progress: Progress = silent,
) -> PhotozReport:
    """How good redshifts are before and after ``truez redshifts``, by true redshifts of some.

    Galaxies whose redshift was given to the map (``spec_matched``) are left out, and so are those
    without a posterior. Where no file of p(z) after is given, their PIT, CDE loss and ln p are not
    known, and the CRPS is that of half Gaussians on either side of the median with the ends of the
    interval of the catalogue.

    Parameters
    ----------
    catalog : path, Catalog, astropy Table, DataFrame, or mapping of arrays
        Of ``truez redshifts`` on the sky.
    truth : str or (n,) array
        Column of true redshifts, or those of every galaxy, nan where they are not known; see
        `matched_truths` for those of another catalogue.
    photo_z : str
        Column of the photo-z.
    pdf, pdf_after : path or PdfTable, optional
        p(z) before and after, see `truez.surveys.pdfs.read_pdfs`.
    footprint : Footprint, (4,) numbers, str or path, optional
        Of the photometric survey: galaxies are divided by the distance to its edge.
    details : PhotozDetails, optional
    progress : Progress

    Returns
    -------
    PhotozReport

    Raises
    ------
    ValueError
        If columns are missing, files do not fit each other, or no galaxy can be judged.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.evaluate.photoz import judge_photoz
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.2, 0.8, 2000)
    >>> z_phot, after = z + 0.04 * rng.normal(size=(2, z.size)) * [[1], [0.5]]
    >>> catalog = {"Z_PHOT": z_phot, "z_median": after, "z_mean": after, "z_mode": after,
    ...            "z_lo": after - 0.02, "z_hi": after + 0.02, "Z_SPEC": z,
    ...            "spec_matched": np.zeros(z.size, bool), "flag": np.zeros(z.size, int)}
    >>> report = judge_photoz(catalog, truth="Z_SPEC", photo_z="Z_PHOT")
    >>> round(report.numbers["nmad_after"] / report.numbers["nmad_before"], 1)
    0.5
    """
    how = details or PhotozDetails()
    check_type(how, PhotozDetails, "details", "truez.evaluate.photoz.PhotozDetails(...)")
    name = str(catalog) if isinstance(catalog, str | Path) else "catalog"
    errors = None
    if how.z_err_column is not None and pdf is None:
        errors = ErrorColumns.of(how.z_err_column)
    area = None if footprint is None else footprint_of(footprint)
    own_id = None if how.pdf_id is None else column_pair(how.pdf_id, "pdf_id")[0]
    needed = [photo_z, truth if isinstance(truth, str) else None, own_id, how.magnitude]
    needed += [*(errors.names if errors else ()), *(how.sky[:2] if area else ())]
    table = _catalog(catalog, [column for column in needed if column], name)
    z_true = _truth(table, truth, photo_z, name)
    chosen = choose(
        table, z_true, photo_z, redshift_range=how.redshift_range, point=how.point, name=name
    )
    chosen = replace(chosen, quantities=_quantities(table, chosen, area, how, name))

    ids = None if own_id is None else ids_of(table, own_id, name=name)
    tables = {
        when: _in_order(found, option, ids, how.pdf_id or "", len(table), name)
        for when, option, found in (("before", "pdf", pdf), ("after", "pdf_after", pdf_after))
        if found is not None
    }
    for when, redshift in (("before", chosen.z_before), ("after", chosen.median)):
        if when in tables:
            _check_pdfs(tables[when], chosen.rows, redshift, when)
    kinds = dict.fromkeys(tables, "file")
    given: dict[str, tuple[Densities, NDArray[np.int64]]] = {
        when: (found, chosen.rows) for when, found in tables.items()
    }
    every = np.arange(len(chosen))
    if "before" not in given and errors is not None:
        given["before"] = _gaussians(table, chosen, errors, name), every
        kinds["before"] = "gaussian"
    if "after" not in given:
        own = SplitNormals.from_interval(chosen.median, chosen.low, chosen.high, chosen.interval)
        given["after"], kinds["after"] = (own, every), "interval"
    approximate = {}
    if kinds["after"] == "interval":
        approximate = {"after": ("inside_68", "crps")[chosen.interval != INTERVAL :]}
    edges, narrow = common_edges(list(given.values()), chosen.z_true, how.dz)
    scores: dict[str, PdfScores] = {}
    for when in sorted(given, reverse=True):
        densities, rows = given[when]
        scores[when] = scores_of(densities, rows, chosen.z_true, edges, progress=progress)
    judged = JudgedPhotoz(
        z_true=chosen.z_true, z_before=chosen.z_before, z_after=chosen.z_after,
        floor=how.floor, reach=float(edges[-1] - edges[0]), known=approximate, **scores,
    )  # fmt: skip
    about = {
        "p_of_z": kinds,
        "unusable": {when: int((~one.usable).sum()) for when, one in scores.items()},
        "dz": how.dz,
        "z_max": float(edges[-1]),
        "narrow": narrow,
        "floor": how.floor,
        "point": how.point,
        "interval": chosen.interval,
        "redshift_range": None if how.redshift_range is None else list(how.redshift_range),
    }
    return PhotozReport(
        numbers=judged.numbers(),
        by=_bins(judged, chosen, how.num_bins),
        counts=chosen.counts,
        about=about,
        judged=judged,
        provenance={"catalog": dict(table.metadata), "versions": versions()},
    )


def matched_truths(
    catalog: Any, truths: Any, column: str, match_id: str, *, names: tuple[str, str] | None = None
) -> Array:
    """True redshifts of the galaxies of a catalogue from another one, by identifiers.

    Parameters
    ----------
    catalog, truths : path, Catalog, astropy Table, DataFrame, or mapping of arrays
    column : str
        Of the true redshifts in ``truths``.
    match_id : str
        Column that names a galaxy in both, or ``COLUMN:COLUMN`` of the first and the second.
    names : two str, optional
        Of the catalogues, for messages.

    Returns
    -------
    (n,) array
        nan for galaxies without.

    Raises
    ------
    ValueError
        If a column is missing, identifiers are not unique, or no galaxy is in both.

    Examples
    --------
    >>> from truez.evaluate.photoz import matched_truths
    >>> matched_truths({"ID": [7, 8, 9]}, {"ID": [9, 7], "Z": [0.3, 0.5]}, "Z", "ID")
    array([0.5, nan, 0.3])
    """
    ours, theirs = column_pair(match_id, "match_id")
    first, second = names or tuple(
        str(one) if isinstance(one, str | Path) else default
        for one, default in ((catalog, "catalog"), (truths, "truths"))
    )
    table, other = _catalog(catalog, [ours], first), _catalog(truths, [column, theirs], second)
    own = find_columns([column, theirs], other.columns, second)
    z, _ = redshifts_of(other, own[0], second)
    found = match_ids(
        ids_of(table, find_columns([ours], table.columns, first)[0], name=first),
        ids_of(other, own[1], name=second),
        column=match_id, samples=(first, second), remedy="or choose other catalogues",
    )  # fmt: skip
    return np.where(found.rows >= 0, z[found.rows], np.nan)


def _catalog(value: Any, wanted: list[str], name: str) -> Catalog:
    """A catalogue, of whose file only the columns that may be needed are read."""
    columns = None
    if isinstance(value, str | Path):
        known = header(Path(value)).columns
        own = find_columns(wanted, known, name)
        columns = [column for column in known if column in own or column.endswith(OWN)]
    return as_catalog(value, columns, name=name, keep_missing=True)


def _truth(table: Catalog, truth: str | ArrayLike, photo_z: str, name: str) -> Array:
    if isinstance(truth, str):
        column, other = find_columns([truth, photo_z], table.columns, name)
        if column == other:
            raise ValueError(
                f"truth must not be column {column!r}, which is photo_z: name the column of true "
                "redshifts"
            )
        return redshifts_of(table, column, name)[0]
    values = np.ma.filled(np.ma.asarray(truth, np.float64), np.nan)
    if values.shape != (len(table),):
        raise ValueError(
            f"truth must have a redshift or nan for each of {len(table)} galaxies of {name}, not "
            f"shape {values.shape}"
        )
    return redshifts_of(Catalog({"truth": values}), "truth", "truth")[0]


def _quantities(
    table: Catalog, chosen: PhotozGalaxies, area: Footprint | None, how: PhotozDetails, name: str
) -> dict[str, Array]:
    """What galaxies are divided by."""
    result = dict(chosen.quantities)
    if how.magnitude is not None:
        result["magnitude"] = magnitudes(table, how.magnitude, name)[chosen.rows]
    if area is not None:
        sky = sky_coordinates(table.select(chosen.rows), how.sky[:2], name=name)
        area.check_galaxies(sky.ra, sky.dec, name)
        distances = Cosmology.of(how.cosmology).distances
        angle = np.radians(edge_distance(area, sky.ra, sky.dec))
        result["edge_distance"] = angle * distances.from_redshift(
            np.clip(chosen.z_before, 0, distances.LIMIT)
        )
    return result


def _bins(
    judged: JudgedPhotoz, chosen: PhotozGalaxies, num_bins: int
) -> dict[str, list[dict[str, Any]]]:
    result = {}
    for quantity, values in chosen.quantities.items():
        if not np.isfinite(values).any():
            continue
        edges = EDGE_BINS if quantity == "edge_distance" else equal_bins(values, num_bins)
        result[quantity] = [entry for entry in judged.numbers_by(values, edges) if entry["num"]]
    return result


def _in_order(
    given: Pdfs, option: str, ids: NDArray[Any] | None, pdf_id: str, num: int, name: str
) -> PdfTable:
    """The p(z) of a file in the order of the catalogue."""
    if isinstance(given, PdfTable):
        return given.in_order(num, option=option, name=name)
    if ids is not None and option == "pdf_after" and len(read_pdfs(given)) == num:
        ids = None
    return read_pdfs_of_rows(given, num, ids=ids, pdf_id=pdf_id, option=option, name=name)


def _check_pdfs(
    table: PdfTable, rows: NDArray[np.int64], redshift: Array, when: str
) -> None:  # fmt: skip
    """Raise an error if no p(z) can be used, or they are not those of the galaxies."""
    option, of = {"before": ("pdf", "photo_z"), "after": ("pdf_after", "z_median")}[when]
    step = max(len(rows) // _SOME, 1)
    mean, std = table.moments(rows[::step])
    if not np.isfinite(mean).any():
        counts = table.problems().counts.items()
        reasons = " and ".join(f"{number} {problem.text}" for problem, number in counts)
        raise ValueError(
            f"{option} has no p(z) that can be used of {len(mean)} galaxies that are judged; of "
            f"all, {reasons}: give another file"
        )
    sigma = np.where(std > 0, std, np.nan) / (1 + mean)
    known = np.isfinite(sigma)
    check_pdfs(redshift[::step][known], mean[known], sigma[known], option=option, of=of,
               remedy="another file")  # fmt: skip


def _gaussians(
    table: Catalog, chosen: PhotozGalaxies, errors: ErrorColumns, name: str
) -> SplitNormals:
    """p(z) of photo-z and their errors; those without an error above 0 are not known."""
    columns = find_columns(errors.names, table.columns, name)
    values = [floats_of(table, column, name) for column in columns]
    own = errors.errors(*values)[chosen.rows]
    if not (own > 0).any():
        raise ValueError(
            f"z_err_column {errors} of {name} has no error above 0 among the galaxies that are "
            "judged: choose another"
        )
    return SplitNormals(chosen.z_before, own, own)
