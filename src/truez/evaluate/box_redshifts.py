"""How good the redshifts of galaxies in a box are, where the truth is known.

The galaxies are those without a spectrum, in a region those whose photo-z lies in it: among
galaxies chosen by their true redshift not even a right posterior is calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as attributes_of
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.sky.redshifts import JudgedRedshifts
from truez.mesh.box import Region
from truez.sightlines.calibration import calibrate
from truez.sightlines.intensity import Intensity
from truez.sightlines.pdf_file import redshift_from_place
from truez.sightlines.redistribution import information_gain
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock
from truez.surveys.surveys import Surveys


def redshift_numbers(
    mock: Mock,
    intensity: Any,
    *,
    region: Region | None = None,
    resampler: str = "cic",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Information, calibration and errors of the redshifts that an intensity gives.

    Parameters
    ----------
    mock : Mock
    intensity : Intensity, Reconstruction, or Tensor or array (nx, ny, nz)
        lambda > 0, relative to the expected counts, also on smaller cells across the sky.
    region : pair of cell triples (start, stop), optional
        Where galaxies are judged; the whole box, and what has left it, by default.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are shared between sight lines, for ``nats``.
    progress : Progress

    Returns
    -------
    dict
        ``nats``, the information gain per galaxy [nats] on the sight lines of the mesh: a galaxy is
        shared between those around it, each with its own intensity, as networks are trained; of
        smaller cells the mean is taken, and pairs add nothing. The others are those of
        `truez.evaluate.sky.JudgedRedshifts.numbers`, such as ``nats_own_place``, with the intensity
        at the galaxy's own place on the sky, as ``truez redshifts`` has it. Empty where there is no
        galaxy to judge.

    Raises
    ------
    ValueError
        If the intensity is not positive and finite on the mock's mesh.
    """
    given = Intensity.of(intensity, mock.box)
    chosen = judged_galaxies(mock, region)
    judged = judge_redshifts(mock, given, progress=progress).take(chosen)
    if not judged.known.any():
        return {}
    surveys = mock.surveys
    own = {item.name: getattr(surveys, item.name) for item in attributes_of(surveys) if item.init}
    part = _Part(**own, chosen=chosen)
    nats = information_gain(part, given.on_mesh(mock.box), mock.truth, resampler=resampler)
    return {"nats": nats, **judged.numbers()}


def judged_galaxies(mock: Mock, region: Region | None = None) -> NDArray[np.bool_]:
    """Photometric galaxies (n_p,) without a spectrum whose photo-z lies in a region of cells.

    Where the region has the whole line of sight of a closed box, it has the photo-z that have left
    the box, too.
    """
    surveys, box = mock.surveys, mock.box
    result = surveys.photo_only()
    if region is None:
        return result
    place = (surveys.photo - np.asarray(box.lower)) / np.asarray(box.cellsize)
    for axis, (start, stop, cells) in enumerate(zip(*region, box.meshsize, strict=True)):
        if start > 0:
            result &= place[:, axis] >= start
        if stop < cells:
            result &= place[:, axis] < stop
    return result


def judge_redshifts(
    mock: Mock, intensity: Tensor | Intensity, *, progress: Progress = silent
) -> JudgedRedshifts:
    """Posteriors of all photometric galaxies at their true redshifts; nan where it is known.

    Redshifts are linear along the box, as in `truez.sightlines.pdf_file`. The baseline is the
    photo-z on the same cells with the expected counts, an intensity of 1.
    """
    surveys = mock.surveys
    found = calibrate(surveys, intensity, mock.truth, progress=progress)
    return JudgedRedshifts(
        z_true=redshift_from_place(found.truth, surveys),
        z_phot=redshift_from_place(surveys.photo[:, 2], surveys),
        z_after=redshift_from_place(found.median, surveys),
        ln_p=found.ln_p,
        ln_p_photo=found.ln_p - found.gain,
        pit=found.pit,
    )


@dataclass(frozen=True, eq=False)
class _Part(Surveys):
    """Surveys of which only the photometric galaxies ``chosen`` (n_p,) are asked for."""

    chosen: NDArray[np.bool_] | None = None

    def photo_only(self) -> NDArray[np.bool_]:
        return super().photo_only() & (True if self.chosen is None else self.chosen)
