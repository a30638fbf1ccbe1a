"""Whether the photo-z agree with the error that is given for them, without any true redshift.

On a sight line of which the intensity is lambda, the photo-z of a galaxy is in cell i with the
probability ``(K mu)_i / sum_i (K mu)_i``, mu = nbar lambda. Where an intensity comes from the
spectroscopic survey alone, this likelihood has its maximum near the right K: a wider one blurs the
structures more than the photo-z do, a narrower one less. It costs one product with K for each width
that is tried, on some sight lines.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.intensity import check_intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.redistribution import kernel_of, movable, with_margin
from truez.support.notes import Note
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import longer_box

#: Widths that are tried, over the given one, even in their logarithm.
SCALES = tuple(1.25**n for n in range(-3, 4))
#: Cells of the sight lines that the likelihood is taken of, in planes spread over the box.
CELLS = 2**22
#: What is found, by the names of the metadata.
CHECKED = ("photoz_sigma_scale", "photoz_sigma_gain")
#: By which factor the width must differ, and what it must gain [nats of all galaxies], for a note.
#: Galaxies that share structures are not independent: their likelihood varies about 10 times as
#: much as that of independent ones.
FACTOR, LEAST = 1.15, 100.0


@dataclass(frozen=True)
class ErrorCheck:
    """The width of the photo-z error that fits the photo-z best.

    Parameters
    ----------
    scale : float
        That width over the given one; within the range that is tried.
    gain : float
        What it gains over the given one [nats per galaxy].
    num_galaxies : int
        Galaxies in the likelihood.
    """

    scale: float
    gain: float
    num_galaxies: int

    @property
    def agrees(self) -> bool:
        """Whether the photo-z do not contradict the given error."""
        near = 1 / FACTOR <= self.scale <= FACTOR
        return near or self.gain * self.num_galaxies < LEAST

    @property
    def metadata(self) -> dict[str, Any]:
        """For the metadata of outputs."""
        return dict(zip(CHECKED, (self.scale, self.gain), strict=True))

    def warn(self, sigma: float) -> None:
        """Note a photo-z error ``sigma`` [Mpc/h] that the photo-z contradict."""
        if not self.agrees:
            warnings.warn(
                f"the photo-z fit an error of {self.scale * sigma:.3g} Mpc/h along the line of "
                f"sight better than the {sigma:.3g} Mpc/h that is given, by {self.gain:.2g} nats "
                "per galaxy: check sigma_z and outlier_fraction",
                Note,
                stacklevel=3,
            )


def check_error(surveys: Surveys, intensity: Tensor, *, cells: int = CELLS) -> ErrorCheck | None:
    """Compare the photo-z error of even surveys with what their photo-z want.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        lambda > 0 from the spectroscopic survey alone, relative to the expected counts.
    cells : int
        About how many cells to work on.

    Returns
    -------
    ErrorCheck or None
        None where there is nothing to compare: exact photo-z, or no galaxy without a spectrum.

    Raises
    ------
    ValueError
        If the surveys are uneven, or the intensity is not positive or of another mesh.
    """
    if not surveys.even:
        raise ValueError("these surveys are uneven, and the check is of one photo-z error for all")
    check_intensity(intensity, surveys.box)
    kernel, error = kernel_of(surveys), surveys.error
    planes = _planes(surveys.box, kernel, cells)
    counts = _counts(surveys, kernel, planes)
    number = float(counts.sum(dtype=torch.float64))
    if error.sigma == 0 or number == 0:
        return None
    here = with_margin(intensity[torch.from_numpy(planes)], kernel.true_margin)
    margins = {"photo_margin": kernel.photo_margin, "true_margin": kernel.true_margin}
    found = []
    for scale in SCALES:
        trial = Kernel.of(replace(error, sigma=scale * error.sigma), surveys.box, **margins)
        seen = trial.smear(here)
        total = seen.sum(-1, dtype=torch.float64).log() * counts.sum(-1)
        # Where the given error allows a galaxy, a narrower one may not.
        log = torch.where(counts > 0, seen.clamp(min=1e-30), 1.0).log()
        found.append(float(((counts * log).sum(-1, dtype=torch.float64) - total).sum()) / number)
    scale, gain = _peak(found)
    return ErrorCheck(scale, gain, round(number))


def noted_error(surveys: Surveys, intensity: Tensor) -> dict[str, Any]:
    """Metadata of `check_error`, after a note where the photo-z contradict the given error."""
    found = check_error(surveys, intensity)
    if found is None:
        return {}
    found.warn(surveys.error.sigma)
    return found.metadata


def _planes(box: Box, kernel: Kernel, cells: int) -> NDArray[np.int64]:
    """Rows of sight lines, evenly spread over the box."""
    nx, ny, _ = box.meshsize
    number = min(nx, max(1, cells // (ny * max(kernel.num_photo, kernel.num_true))))
    return ((np.arange(number) + 0.5) * nx / number).astype(np.int64)


def _counts(surveys: Surveys, kernel: Kernel, planes: NDArray[np.int64]) -> Tensor:
    """Galaxies without a known redshift per cell of some planes, (planes, ny, num_photo)."""
    box = longer_box(surveys.box, kernel.photo_margin)
    places = (surveys.photo[movable(surveys, kernel)] - box.lower) / box.cellsize
    index = np.floor(places).astype(np.int64).clip(0, np.array(box.meshsize) - 1)
    number = np.full(box.meshsize[0], -1)
    number[planes] = np.arange(len(planes))
    index[:, 0] = number[index[:, 0]]
    index = index[index[:, 0] >= 0]
    shape = (len(planes), *box.meshsize[1:])
    flat = np.bincount(np.ravel_multi_index(tuple(index.T), shape), minlength=math.prod(shape))
    return torch.from_numpy(flat.reshape(shape).astype(np.float32))


def _peak(found: Sequence[float]) -> tuple[float, float]:
    """The width of the highest likelihood, by a parabola through three, and its gain."""
    best = int(np.argmax(found))
    middle = SCALES.index(1.0)
    if best in (0, len(found) - 1):
        return SCALES[best], found[best] - found[middle]
    low, top, high = found[best - 1 : best + 2]
    bend = low - 2 * top + high
    shift = 0.5 * (low - high) / bend if bend < 0 else 0.0
    step = math.log(SCALES[1] / SCALES[0])
    value = top - 0.25 * (low - high) * shift
    return SCALES[best] * math.exp(shift * step), value - found[middle]
