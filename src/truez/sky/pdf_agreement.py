"""Whether p(z) hold the prior that is said to be in them, by the galaxies whose redshift is known.

A map multiplies p(z) by N(z) over the prior that is in them. Where the prior is called flat and
N(z) is in the p(z) already, it counts twice; where N(z) is called the prior and is not in them, it
is missing. The mean of ln p at the redshifts of galaxies with spectra is higher for the right one.
Spectra may be of brighter or nearer galaxies, so their own N(z) is tried too.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from truez.support.notes import Note
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import GalaxyPdfs

Array = NDArray[np.float64]
#: Most galaxies that are looked at, and the fewest; cells of redshift.
_MOST, _FEWEST, _CELLS = 20_000, 100, 300
#: What one prior must be better than the other by [nats], and in standard errors.
_MUCH, _SURE = 0.005, 4.0
#: Probability below which a redshift is as good as excluded.
_LEAST = 1e-6


def check_prior(
    pdfs: GalaxyPdfs, rows: NDArray[np.int64], redshift: Array, nz: NumberDensity,
    spec_nz: NumberDensity,
) -> dict[str, float] | None:  # fmt: skip
    """Note a prior of p(z) that the known redshifts contradict.

    Parameters
    ----------
    pdfs : GalaxyPdfs
    rows : (n,) int array
        Galaxies of known redshift.
    redshift : (n,) array
        That.
    nz, spec_nz : NumberDensity
        N(z) of the photometric and the spectroscopic survey.

    Returns
    -------
    dict or None
        ``num`` galaxies, and the mean of ln p at their redshifts with p(z) times N(z), ``times_nz``
        [per unit redshift], and as they are, ``as_given``; None where there are fewer than 100.
    """
    known = np.flatnonzero(pdfs.usable[rows] & np.isfinite(redshift))
    known = known[:: max(1, -(-len(known) // _MOST))]
    if len(known) < _FEWEST:
        return None
    rows, true = rows[known], redshift[known]
    low, high = nz.redshift[[0, -1]]
    edges = np.linspace(min(low, true.min()), max(high, true.max()) + 1e-6, _CELLS + 1)
    cell = np.searchsorted(edges, true, side="right") - 1
    p = pdfs.table.probability(rows, edges)
    sound = np.isfinite(p).all(1)
    p, cell = p[sound], cell[sound]
    own, spec = (_per_redshift(one, edges) for one in (nz, spec_nz))
    over = np.divide(spec, own, out=np.zeros_like(own), where=own > 0)
    times = max((_ln_p(p, cell, factor) for factor in (own, spec)), key=np.mean)
    given = max((_ln_p(p, cell, factor) for factor in (np.ones_like(own), over)), key=np.mean)
    gain = times - given
    mean, error = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
    if abs(mean) > max(_MUCH, _SURE * error):
        flat = pdfs.prior.density is None
        if flat and mean < 0:
            said, advice = "flat", "they seem to hold N(z) already: see pdf_prior nz and stack"
        elif not flat and mean > 0:
            said, advice = "not flat", "they do not seem to hold N(z): see pdf_prior flat"
        else:
            said = ""
        if said:
            worse = "worse" if flat else "better"
            warnings.warn(
                f"pdf_prior is {said}, but p(z) times N(z) are {worse} by {abs(mean):.3f} +- "
                f"{error:.3f} in ln p of {len(gain)} known redshifts than as they are: {advice}",
                Note,
                stacklevel=2,
            )
    width = np.log(edges[1] - edges[0])
    return {"num": len(gain), "times_nz": float(times.mean() - width),
            "as_given": float(given.mean() - width)}  # fmt: skip


def _per_redshift(density: NumberDensity, edges: Array) -> Array:
    counts = density.counts(edges)
    return np.asarray(counts / counts.max())


def _ln_p(p: Array, cell: NDArray[np.int64], factor: Array) -> Array:
    """ln of the probability of a cell of each row, times a factor of the cells."""
    weighted = p * factor
    total = weighted.sum(1)
    there = weighted[np.arange(len(p)), cell]
    share = np.divide(there, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(np.log(np.maximum(share, _LEAST)))
