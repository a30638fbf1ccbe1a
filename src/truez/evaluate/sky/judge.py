"""The redshifts of a reconstruction on the sky beside the truth of its mock.

One walk along the sight lines judges the posteriors, paints them on the mesh that fields are
compared on, and sums their probabilities in bins of redshift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.sky.mesh import SkyMesh
from truez.evaluate.sky.redshifts import JudgedRedshifts
from truez.sightlines.posteriors import Posteriors
from truez.sky.field import SkyField
from truez.sky.joint import walk_patch
from truez.sky.layout import intensity_of
from truez.sky.mock import SkyMock
from truez.sky.patch_data import PatchData
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent
from truez.surveys.footprint_edge import edge_distance

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Probability of a cell below which no part of a galaxy is painted there.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class SkyJudge:
    """Posteriors of the photometric galaxies of a mock without spectra, at their true redshifts.

    The baseline is N(z) of the galaxies without spectra times p(z_phot | z), on the same cells: an
    intensity of 1. ``ln_p`` is that of the true cell, so that it depends on the cells. Outliers may
    be beyond the box of their patch, where cells are longer: there it is that of the part of the
    cell that is as long as the cells of the box.

    Parameters
    ----------
    mock : SkyMock
    surveys : SkySurveys
        Those that were reconstructed.
    bins : sequence of float
        Edges of bins of redshift.
    """

    mock: SkyMock
    surveys: SkySurveys
    bins: Sequence[float] = ()
    found: dict[str, Array] = field(init=False)
    in_bins: Array = field(init=False)

    def __post_init__(self) -> None:
        num = len(self.mock.ids)
        if len(self.surveys.photo) != num:
            raise ValueError(
                f"surveys have {len(self.surveys.photo)} photometric galaxies and the mock {num}: "
                "reconstruct the surveys of this mock"
            )
        names = ("z_after", "ln_p", "ln_p_photo", "pit")
        object.__setattr__(self, "found", {name: np.full(num, np.nan) for name in names})
        object.__setattr__(self, "in_bins", np.zeros((num, max(len(self.bins) - 1, 0))))

    @property
    def judged(self) -> JudgedRedshifts:
        """What was found up to now.

        nan for galaxies without a posterior, and those whose true redshift lies beyond the cells of
        their sight line: those of the box of the patch that their photo-z is in, and with outliers
        all of N(z).
        """
        return JudgedRedshifts(z_true=self.mock.z_true, z_phot=self.mock.z_phot, **self.found)

    def walk(
        self, sky: SkyField, progress: Progress = silent
    ) -> Iterator[tuple[Rows, PatchData, Posteriors]]:
        """Judge all posteriors: yields the galaxies of a few, their patch, and their posteriors.

        Raises
        ------
        ValueError
            If the field has no intensities.
        """
        known = self.surveys
        z = np.where(known.usable, known.photo.redshift, np.nan)
        patch_of = sky.patch_of(known.photo.ra, known.photo.dec, z)
        for number, patch in enumerate(sky):
            intensity = intensity_of(patch)
            if intensity is None:
                raise ValueError(
                    "this field moves no galaxies and has no intensity: its redshifts cannot be "
                    "judged"
                )
            rows = np.flatnonzero((patch_of == number) & known.unknown)
            data = PatchData(known, patch.box)
            for some in walk_patch(data, intensity, rows, progress):
                galaxies = rows[some.rows]
                self._judge(galaxies, data, some)
                yield galaxies, data, some

    def _judge(self, galaxies: Rows, data: PatchData, some: Posteriors) -> None:
        line = data.sight_line
        edges, true = line.edges, self.mock.z_true[galaxies]
        place = torch.from_numpy(line.place(true))
        below, there = some.below(place.float())
        cell = (place + line.before).long().clamp(0, some.probability.shape[1] - 1)
        ln_p = some.probability.gather(1, cell[:, None])[:, 0].double().log().numpy()
        ln_p += _ln_part(data)[cell.numpy()]
        gain = (there.log() + some.log_even).double().numpy()
        inside = (true >= edges[0]) & (true <= edges[-1])
        median = some.quantile(torch.tensor([0.5]))[:, 0]
        found = self.found
        found["z_after"][galaxies] = line.redshift(median)
        found["ln_p"][galaxies] = np.where(inside, ln_p, np.nan)
        found["ln_p_photo"][galaxies] = np.where(inside, ln_p - gain, np.nan)
        found["pit"][galaxies] = np.where(inside, below.double().numpy(), np.nan)
        if self.in_bins.shape[1]:
            places = line.place(self.bins) + line.before
            reached = some.probability.double().cumsum(1).numpy()
            reached = np.concatenate([np.zeros((len(reached), 1)), reached], axis=1)
            whole = np.minimum(places.astype(int), len(edges) - 2)
            part = places - whole
            at = reached[:, whole] * (1 - part) + reached[:, whole + 1] * part
            self.in_bins[galaxies] = np.diff(at, axis=1)

    def painted(self, sky: SkyField, mesh: SkyMesh, progress: Progress = silent) -> Tensor:
        """Judge all posteriors and paint them, with the galaxies of known redshift, as counts."""
        return mesh.paint_parts(self._parts(sky, mesh, progress))

    def _parts(
        self, sky: SkyField, mesh: SkyMesh, progress: Progress
    ) -> Iterator[tuple[Array, Array]]:
        photo, (near, far) = self.surveys.photo, mesh.reach
        for galaxies, data, some in self.walk(sky, progress):
            numbers, chi = _pieces(data, mesh.cellsize)
            there = (chi > near) & (chi < far)
            parts = np.bincount(numbers).astype(np.float32)
            shares = (some.probability.numpy() / parts)[:, numbers[there]]
            i, j = np.nonzero(shares > (_LEAST / parts)[numbers[there]])
            places = mesh.positions(photo.ra[galaxies], photo.dec[galaxies], chi[there], (i, j))
            yield places, shares[i, j].astype(np.float64)
        ours, theirs = self.surveys.matched_pairs
        chi = mesh.cosmology.distances.from_redshift(self.surveys.spec.redshift[ours])
        places = mesh.positions(photo.ra[theirs], photo.dec[theirs], chi)
        yield places, np.ones(len(places))


def _pieces(data: PatchData, length: float) -> tuple[Rows, Array]:
    """Cells of the sight lines of a patch in pieces of about a length [Mpc/h].

    Returns the cell that each piece is of, (n,), and the distances of their middles, (n,).
    """
    box, line = data.box, data.sight_line
    parts = max(round(box.cellsize[2] / length), 1)
    edges = np.linspace(box.lower[2], box.upper[2], box.meshsize[2] * parts + 1)
    numbers = [line.before + np.repeat(np.arange(box.meshsize[2]), parts)]
    middles = [(edges[1:] + edges[:-1]) / 2]
    chi = box.cosmology.distances.from_redshift(line.edges)
    for cell in np.flatnonzero(line.beyond):
        parts = max(round((chi[cell + 1] - chi[cell]) / length), 1)
        edges = np.linspace(chi[cell], chi[cell + 1], parts + 1)
        numbers.append(np.full(parts, cell))
        middles.append((edges[1:] + edges[:-1]) / 2)
    return np.concatenate(numbers), np.concatenate(middles)


def _ln_part(data: PatchData) -> Array:
    """ln of the length of a cell of the box over that of cells beyond it; 0 for its own, (n,)."""
    box, line = data.box, data.sight_line
    lengths = np.diff(box.cosmology.distances.from_redshift(line.edges))
    return np.asarray(np.where(line.beyond, np.log(box.cellsize[2] / lengths), 0.0))


def judge_redshifts(
    mock: SkyMock,
    field: SkyField,
    *,
    surveys: SkySurveys | None = None,
    progress: Progress = silent,
) -> JudgedRedshifts:
    """Posteriors of the photometric galaxies without spectra at their true redshifts.

    Parameters
    ----------
    mock : SkyMock
    field : SkyField
        With intensities.
    surveys : SkySurveys, optional
        Those that were reconstructed; by default the mock's own.
    progress : Progress

    Returns
    -------
    JudgedRedshifts
        As `SkyJudge` has them.

    Raises
    ------
    ValueError
        If the surveys are of other galaxies, or the field has no intensities.
    """
    judge = SkyJudge(mock, mock.surveys if surveys is None else surveys)
    for _ in judge.walk(field, progress):
        pass
    return judge.judged


def edge_lengths(mock: SkyMock) -> Array:
    """Distance of the galaxies of a mock from the edge of its footprint, at their photo-z [Mpc/h].

    Parameters
    ----------
    mock : SkyMock
    """
    angle = np.radians(edge_distance(mock.footprint, mock.ra, mock.dec))
    distances = mock.config.cosmology.distances
    return np.asarray(angle * distances.from_redshift(np.clip(mock.z_phot, 0, distances.LIMIT)))
