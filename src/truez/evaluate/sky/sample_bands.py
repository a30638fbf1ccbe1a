"""Posterior samples of a field on the sky beside its estimate and the truth.

Their galaxies are painted on the mesh that fields are compared on, at the redshifts that
`truez.sky.joint` draws for the seed of the samples: cells of patches are not interpolated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.sample_bands import SampleBands, pdf_edges
from truez.evaluate.sky.fields import SkyFieldJudge
from truez.statistics.binning import Floats


def sky_sample_bands(
    judge: SkyFieldJudge,
    estimate: Tensor,
    samples: Iterable[Tensor],
    *,
    seed: int,
    expected: Tensor | None = None,
) -> SampleBands:
    """Measure an estimate, its posterior samples and the truth.

    Parameters
    ----------
    judge : SkyFieldJudge
    estimate : Tensor
        Its galaxies on the mesh of the judge.
    samples : iterable of Tensor
        The same of each sample, one at a time.
    seed : int
        Of the samples.
    expected : Tensor, optional
        Counts that are expected of them, where they differ from the truth's.

    Returns
    -------
    SampleBands
        With P0, cross, r and pdf; power is of contrasts weighted as those of all fields are.
    """
    about, radius = judge.about_truth, judge.radii[0]
    truth = judge.truth[radius] + 1.0
    edges = pdf_edges(truth)

    def density(contrast: NDArray[np.floating[Any]]) -> Floats:
        return np.histogram(contrast, edges)[0] / (contrast.size * np.diff(edges))

    def measure(counts: Tensor) -> dict[str, Floats]:
        found = judge.spectra(counts, expected)
        power, cross = found.power_rr.ravel(), found.power_rt.ravel()
        with np.errstate(divide="ignore", invalid="ignore"):
            r = cross / np.sqrt(power * found.power_tt.ravel())
        here = judge.contrast(counts, radius, expected) + 1.0
        return {"P0": power, "cross": cross, "r": r, "pdf": density(here)}

    whole = about["power"].ravel()
    known = {"P0": whole, "cross": whole, "r": np.ones_like(whole), "pdf": density(truth)}
    drawn = [measure(counts) for counts in samples]
    stacked = {name: np.stack([one[name] for one in drawn]) for name in known}
    x = {**dict.fromkeys(("P0", "cross", "r"), about["k"].ravel()),
         "pdf": (edges[1:] + edges[:-1]) / 2}  # fmt: skip
    nmodes = about["nmodes"].ravel().astype(np.float64)
    return SampleBands(seed, radius, nmodes, x, known, measure(estimate), stacked)
