"""Sharpened redshifts of galaxies on the sky, from the intensity on the patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import Posteriors
from truez.sightlines.sharpened import check_interval
from truez.sky.joint import PatchDraws, Redshifts, SkyDraws, moving, own_patches, walk_patch
from truez.sky.layout import Layout, Outline, grown
from truez.sky.patch_data import PatchData, sight_line_of
from truez.sky.pdf_output import SkyPdfs
from truez.sky.quantiles import QuantileRows
from truez.sky.sight_line import SightLine
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: Bits of the flag of a galaxy.
OUTSIDE, BEYOND, EDGE, NO_PHOTO_Z, NO_POSTERIOR, CUT, NO_PDF = 1, 2, 4, 8, 16, 32, 64
#: What they mean, for metadata and documents.
FLAGS = {
    OUTSIDE: "outside the footprint",
    BEYOND: "photo-z beyond the map",
    EDGE: "at an edge or a hole of the footprint",
    NO_PHOTO_Z: "no usable photo-z",
    NO_POSTERIOR: "no posterior: no galaxies are expected where its photo-z allows it to be",
    CUT: "left out by a cut of the sample (photo_cut)",
    NO_PDF: "p(z) cannot be used: N(z) in its place",
}
#: Columns that are nan for galaxies without a posterior.
COLUMNS = ("z_mean", "z_median", "z_mode", "z_std", "z_lo", "z_hi", "information_gain",
           "log_evidence")  # fmt: skip


class Sharpener:
    """Redshifts of the galaxies of patches that are given one after the other, and not kept.

    Parameters
    ----------
    surveys : SkySurveys
        Those that were reconstructed.
    layout : Layout
        Of the field.
    interval : float
        Share of the posterior between z_lo and z_hi.
    draws : int
        Redshifts to draw of each galaxy, as `truez.sky.joint` does.
    seed : int
    pdfs : SkyPdfs or QuantileRows, optional
        Where the posteriors are written to as well.
    patch_of : (n_p,) int array, optional
        The patch of the layout that each galaxy is in, -1 for none; by default the one whose core
        holds its photo-z.
    """

    def __init__(
        self, surveys: SkySurveys, layout: Layout, *, interval: float = 0.68, draws: int = 0,
        seed: int = 0, pdfs: SkyPdfs | QuantileRows | None = None,
        patch_of: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        check_interval(interval)
        self.surveys, self.layout, self.pdfs = surveys, layout, pdfs
        num = len(surveys.photo)
        self.patch_of = own_patches(surveys, layout) if patch_of is None else patch_of
        self._columns = {name: np.full(num, np.nan) for name in COLUMNS}
        self._added = 0
        self._edge = np.zeros(num, dtype=bool)
        self._shares = torch.tensor([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
        self._draws = SkyDraws(surveys, seed=seed, numbers=range(draws))

    def add(
        self,
        intensity: Intensity | None,
        fluctuations: Fluctuations | None = None,
        progress: Progress = silent,
    ) -> None:
        """Sharpen the redshifts of the galaxies of the next patch.

        Parameters
        ----------
        intensity : Intensity
            Of the patch.
        fluctuations : Fluctuations, optional
            Of the patch, for draws.
        progress : Progress

        Raises
        ------
        ValueError
            If there is no intensity.
        """
        intensity = moving(intensity)
        number, self._added = self._added, self._added + 1
        rows = np.flatnonzero(self.patch_of == number)
        if not len(rows):
            return
        outline = self.layout.outlines[number]
        data = PatchData(self.surveys, outline.box)
        self._edge[rows[_at_edge(outline, data.places(rows))]] = True
        rows = rows[self.surveys.unknown[rows]]
        first = True
        for turn in self._draws.in_patch(data, intensity, fluctuations, part=number):

            def drawn(some: Posteriors, turn: PatchDraws = turn) -> tuple[Posteriors, Redshifts]:
                return some, turn.redshifts(rows[some.rows], some)

            for some, redshift in walk_patch(data, intensity, rows, progress, then=drawn):
                galaxies = rows[some.rows]
                self._draws.put(galaxies, turn, redshift)
                if not first:
                    continue
                for name, values in _summary(some, data.sight_line, self._shares).items():
                    self._columns[name][galaxies] = values
                if self.pdfs is not None:
                    self.pdfs.add(galaxies, some, data.sight_line)
            first = False
            del turn, drawn  # before the next samples are made

    def drawn(self) -> Redshifts:
        """Redshifts drawn of all galaxies, (draws, n_p), when those of the last patch are there."""
        return self._draws.redshifts()

    def columns(self) -> dict[str, NDArray[Any]]:
        """Row by row those of ``surveys.photo``: z_phot, `COLUMNS`, spec_matched and flag."""
        surveys, patch_of = self.surveys, self.patch_of
        columns: dict[str, NDArray[Any]] = {"z_phot": surveys.photo.redshift.copy()}
        columns |= {name: values.copy() for name, values in self._columns.items()}
        flag = np.zeros(len(surveys.photo), dtype=np.int16)
        flag[surveys.outside] |= OUTSIDE
        cut = np.zeros(len(flag), dtype=bool) if surveys.photo_cut is None else surveys.photo_cut
        flag[cut] |= CUT
        flag[~surveys.photo.has_redshift & ~cut] |= NO_PHOTO_Z
        flag[surveys.usable & (patch_of < 0)] |= BEYOND
        flag[self._edge] |= EDGE
        lost = surveys.unknown & (patch_of >= 0) & np.isnan(columns["z_mean"])
        flag[lost] |= NO_POSTERIOR
        if surveys.pdfs is not None:
            flag[surveys.unknown & ~surveys.pdfs.usable] |= NO_PDF
        known, matched = surveys.matched_pairs
        for name in ("z_mean", "z_median", "z_mode", "z_lo", "z_hi"):
            columns[name][matched] = surveys.spec.redshift[known]
        columns["z_std"][matched] = 0.0
        spec_matched = np.zeros(len(surveys.photo), dtype=bool)
        spec_matched[matched] = True
        return {**columns, "spec_matched": spec_matched, "flag": flag}


def _at_edge(patch: Outline, places: Array) -> NDArray[np.bool_]:
    """Which places are on sight lines next to one that is not half as complete as most."""
    covered = patch.completeness > 0
    empty = patch.completeness < 0.5 * np.median(patch.completeness[covered])
    return np.asarray(grown(empty)[sight_line_of(patch.box, places)])


def _summary(some: Posteriors, line: SightLine, shares: Tensor) -> dict[str, Array]:
    """Summary statistics of posteriors in redshift."""
    edges = line.edges
    centers, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    p = some.probability
    z, square = torch.from_numpy(centers).float(), torch.from_numpy(width**2 / 12).float()
    likeliest = (p / torch.from_numpy(width).float()).argmax(1)
    # Moments about the likeliest cell lose no digits.
    offset = z - z[likeliest][:, None]
    shift = (p * offset).sum(1)
    variance = (p * ((offset - shift[:, None]) ** 2 + square)).sum(1)
    low, median, high = line.redshift(some.quantile(shares)).T
    mode = centers[likeliest.numpy()]
    result = {
        "z_mean": mode + shift.double().numpy(),
        "z_median": median,
        "z_mode": mode,
        "z_std": variance.sqrt().double().numpy(),
        "z_lo": low,
        "z_hi": high,
        "information_gain": ((p * some.intensity.log()).sum(1) + some.log_even).numpy(),
        "log_evidence": some.log_evidence.numpy(),
    }
    return {name: np.asarray(values, np.float64) for name, values in result.items()}
