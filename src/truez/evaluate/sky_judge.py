"""The redshifts of a reconstruction on the sky beside the truth of its mock."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from truez.evaluate.sky import JudgedRedshifts
from truez.sky.field import SkyField
from truez.sky.mock import SkyMock
from truez.sky.patch_data import PatchData
from truez.sky.redshifts import walk_patch
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent
from truez.surveys.footprint_edge import edge_distance

Array = NDArray[np.float64]


def judge_redshifts(
    mock: SkyMock,
    field: SkyField,
    *,
    surveys: SkySurveys | None = None,
    progress: Progress = silent,
) -> JudgedRedshifts:
    """Posteriors of the photometric galaxies without spectra at their true redshifts.

    The baseline is N(z) of the galaxies without spectra times p(z_phot | z), on the same cells: an
    intensity of 1. ``ln_p`` is that of the true cell, so that it depends on the cells.

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
        nan for galaxies without a posterior, and those whose true redshift lies beyond the box of
        the patch that their photo-z is in.

    Raises
    ------
    ValueError
        If the surveys are of other galaxies, or the field has no intensities.
    """
    known = mock.surveys if surveys is None else surveys
    if len(known.photo) != len(mock.ids):
        raise ValueError(
            f"surveys have {len(known.photo)} photometric galaxies and the mock {len(mock.ids)}: "
            "reconstruct the surveys of this mock"
        )
    names = ("z_after", "ln_p", "ln_p_photo", "pit")
    found = {name: np.full(len(mock.ids), np.nan) for name in names}
    z = np.where(known.usable, known.photo.redshift, np.nan)
    patch_of = field.patch_of(known.photo.ra, known.photo.dec, z)
    for number, patch in enumerate(field):
        if patch.intensity is None:
            raise ValueError(
                "this field moves no galaxies and has no intensity: its redshifts cannot be judged"
            )
        edges = patch.box.redshift_edges
        cells = np.arange(len(edges), dtype=np.float64)
        rows = np.flatnonzero((patch_of == number) & known.unknown)
        for some in walk_patch(PatchData(known, patch.box), patch.intensity, rows, progress):
            galaxies = rows[some.rows]
            true = mock.z_true[galaxies]
            place = torch.from_numpy(np.interp(true, edges, cells))
            below, there = some.below(place.float())
            cell = place.long().clamp(0, some.probability.shape[1] - 1)[:, None]
            ln_p = some.probability.gather(1, cell)[:, 0].double().log().numpy()
            gain = (there.log() + some.log_even).double().numpy()
            inside = (true >= edges[0]) & (true <= edges[-1])
            median = some.quantile(torch.tensor([0.5]))[:, 0].double().numpy()
            found["z_after"][galaxies] = np.interp(median, cells, edges)
            found["ln_p"][galaxies] = np.where(inside, ln_p, np.nan)
            found["ln_p_photo"][galaxies] = np.where(inside, ln_p - gain, np.nan)
            found["pit"][galaxies] = np.where(inside, below.double().numpy(), np.nan)
    return JudgedRedshifts(z_true=mock.z_true, z_phot=mock.z_phot, **found)


def edge_lengths(mock: SkyMock) -> Array:
    """Distance of the galaxies of a mock from the edge of its footprint, at their photo-z [Mpc/h].

    Parameters
    ----------
    mock : SkyMock
    """
    angle = np.radians(edge_distance(mock.footprint, mock.ra, mock.dec))
    distances = mock.config.cosmology.distances
    return np.asarray(angle * distances.from_redshift(np.clip(mock.z_phot, 0, distances.LIMIT)))
