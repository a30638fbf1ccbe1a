"""p(z) of each galaxy of a photometric catalogue on the sky, in place of photo-z errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.given import column_pair
from truez.sky.columns import SkyTable
from truez.sky.details import SkyDetails
from truez.surveys.nz import NumberDensity, read_number_density
from truez.surveys.pdfs import (
    GalaxyPdfs,
    PdfPrior,
    PdfSummary,
    PdfTable,
    prior_of_stack,
    read_pdfs_of_rows,
    summarise,
)
from truez.surveys.pdfs.reading import holds_sharpened
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Name of the photo-z that are medians of p(z), where a catalogue has none.
MEDIAN = "median of p(z)"
#: Ends of the errors over 1 + z that p(z) may have.
_LEAST, _MOST = 1e-6, 0.999
#: Lowest density of a sum of p(z) that is a prior, over the highest.
_FLOOR = 1e-3
#: Probability far from the median that is none.
_FEW = 1e-4
#: Places in a file where as many p(z) one behind the other are looked at first.
_PLACES, _TOGETHER = 16, 128
#: The highest redshift is so many standard deviations above the mean of p(z), and between these.
_FAR, _LOWEST, _HIGHEST = 6.0, 0.2, 20.0
#: Cells per standard deviation of the narrow p(z), by this quantile, and the fewest and most.
_PER_WIDTH, _NARROW, _CELLS = 4.0, 0.02, (300, 3000)


@dataclass(frozen=True, eq=False)
class GivenPdfs:
    """p(z) of the galaxies of a catalogue, row by row.

    Parameters
    ----------
    pdfs : GalaxyPdfs
    summary : PdfSummary
    metadata : dict
        Their origin, for the headers of outputs.
    """

    pdfs: GalaxyPdfs
    summary: PdfSummary
    metadata: dict[str, Any]


def pdf_columns(how: SkyDetails) -> list[str]:
    """Columns of the photometric catalogue that p(z) need: that of the identifier."""
    return [] if how.pdf_id is None else [column_pair(how.pdf_id, "pdf_id")[0]]


def read_galaxy_pdfs(table: SkyTable, counted: NDArray[np.bool_], how: SkyDetails) -> GivenPdfs:
    """The p(z) of the rows of a photometric catalogue.

    Parameters
    ----------
    table : SkyTable
    counted : (n,) bool array
        Rows that take part.
    how : SkyDetails

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none of p(z), its prior is not named, its rows are not those of the catalogue, or
        none of them can be used.
    """
    prior = _prior(how)
    found = _rows(table, how)
    pdfs = GalaxyPdfs(found, prior or PdfPrior())
    summary = summarise(pdfs, edges_of(found), rows=counted)
    counts = {key.text: number for key, number in summary.problems.counts.items()}
    good = counted & (summary.flags == 0)
    if not good.any():
        reasons = " and ".join(f"{number} {text}" for text, number in counts.items())
        more = "" if pdfs.prior.density is None else ", pdf_prior"
        raise ValueError(
            f"pdf has no p(z) that can be used of the {int(counted.sum())} galaxies of photo that "
            f"take part, since {reasons}: correct the file{more}, or pdf_id"
        )
    share, limits = float(how.outlier_fraction), how.outlier_range
    if share and limits is None:
        limits = float(summary.median[good].min()), float(summary.median[good].max())
    if prior is None:
        prior = _prior(how, summary)
        assert prior is not None
    pdfs = GalaxyPdfs(found, prior, summary.flags, share, limits)
    name = how.pdf_prior if isinstance(how.pdf_prior, str | Path) else "as given"
    about = {"pdf_prior": str(name), "pdf_id": how.pdf_id, "pdf_layout": found.layout,
             "pdf_problems": counts}  # fmt: skip
    if isinstance(how.pdf, str | Path):
        about["pdf_file"] = str(how.pdf)
    return GivenPdfs(pdfs, summary, about)


def pdfs_of_part(
    found: PdfTable, whole: GalaxyPdfs, edges: Array, how: SkyDetails
) -> GivenPdfs:  # fmt: skip
    """The p(z) of the galaxies of a part of a survey.

    Parameters
    ----------
    found : PdfTable
        Of these galaxies; there may be none.
    whole : GalaxyPdfs
        Of the survey, or of a sample of it: the prior and outliers are its.
    edges : (k + 1,) array
        Those of `edges_of` the table of the whole.
    how : SkyDetails
    """
    summary = summarise(GalaxyPdfs(found, _prior(how) or PdfPrior()), edges)
    return GivenPdfs(replace(whole, table=found, flags=summary.flags), summary, {})


def edges_of(table: PdfTable) -> Array:
    """Redshifts that p(z) are measured with: finer than most of them, and up to the highest."""
    num = len(table)
    # Some rows one behind the other here and there, which a file gives quickly.
    starts = np.unique(np.linspace(0, max(num - _TOGETHER, 0), _PLACES).astype(np.int64))
    rows = np.unique((starts[:, None] + np.arange(_TOGETHER)).clip(max=max(num - 1, 0)))
    mean, std = table.moments(rows)
    known = np.isfinite(mean) & (std > 0)
    if not known.any():
        return np.linspace(0.0, _HIGHEST, _CELLS[0] + 1)
    top = min(max(float((mean + _FAR * std)[known].max()), _LOWEST), _HIGHEST)
    step = float(np.quantile(std[known] / (1 + np.abs(mean[known])), _NARROW)) / _PER_WIDTH
    cells = int(np.clip(np.log1p(top) / step, *_CELLS))
    return np.expm1(np.linspace(0.0, np.log1p(top), cells + 1))


def _rows(table: SkyTable, how: SkyDetails) -> PdfTable:
    """p(z) in the order of the catalogue."""
    num = len(table.catalog)
    if isinstance(how.pdf, PdfTable):
        if how.pdf_id is not None:
            raise ValueError(
                "pdf_id is of a file of p(z), and pdf is a PdfTable: leave pdf_id out, and order "
                "its rows with its by_id"
            )
        return how.pdf.in_order(num)
    assert how.pdf is not None
    _check_given(how.pdf)
    own = pdf_columns(how)
    ids = table.catalog[own[0]] if own else None
    return read_pdfs_of_rows(how.pdf, num, ids=ids, pdf_id=how.pdf_id or "")


def _check_given(path: str | Path) -> None:
    """Refuse p(z) that truez sharpened: they hold a map already."""
    try:
        sharpened = holds_sharpened(path)
    except (ValueError, OSError):  # said where it is read
        return
    if sharpened:
        raise ValueError(
            f"pdf {path} holds sharpened p(z), which truez wrote (pdf_out) and which know a map "
            "already: give those of the photo-z code"
        )


def _prior(how: SkyDetails, summary: PdfSummary | None = None) -> PdfPrior | None:
    """The prior that is named; None for one that is found from p(z), without a summary of them."""
    name = str(how.pdf_prior) if isinstance(how.pdf_prior, str | Path) else None
    given = how.nz
    if summary is None and (name == "stack" or (name == "nz" and given is None)):
        return None
    if name == "nz" and summary is not None:
        return prior_of_stack(summary)
    if name == "nz" and given is not None and not isinstance(given, NumberDensity):
        given = read_number_density(given)
    stack = None if summary is None else _stack(summary)
    return PdfPrior.of(how.pdf_prior, nz=given, stack=stack)  # type: ignore[arg-type]


def _stack(summary: PdfSummary) -> NumberDensity:
    """The sum of the p(z), with a floor: where there are hardly any, little could be much of it."""
    edges = summary.edges
    density = summary.stack / np.diff(edges)
    density = np.maximum(density, _FLOOR * density.max())
    nodes = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    return NumberDensity(nodes, np.concatenate([density[:1], density, density[-1:]]))


def error_of(given: GivenPdfs, redshift: Array, how: SkyDetails) -> RedshiftError:
    """The sizes of p(z) as photo-z errors of each galaxy: half of their central 68%, and outliers.

    Parameters
    ----------
    given : GivenPdfs
    redshift : (n,) array
        Photo-z, NaN where there is none.
    how : SkyDetails
    """
    limits = how.outlier_range
    if limits is None:
        known = redshift[np.isfinite(redshift)]
        limits = float(known.min()), float(known.max())
    return sizes_of(given, float(np.median(given.summary.sigma_z[given.pdfs.usable])), limits)


def sizes_of(given: GivenPdfs, typical: float, limits: tuple[float, float] | None) -> RedshiftError:
    """The same, with the size of p(z) that cannot be used and the photo-z of outliers given."""
    usable, summary = given.pdfs.usable, given.summary
    sigma = np.where(usable, summary.sigma_z, typical).clip(_LEAST, _MOST)
    # What a Gaussian has beyond four sigma makes no outliers.
    far = np.where(usable & (summary.outlier_fraction > _FEW), summary.outlier_fraction, 0.0)
    outliers = (1 - (1 - given.pdfs.outlier_fraction) * (1 - far)).clip(0, _MOST)
    return RedshiftError(sigma, outliers, limits)
