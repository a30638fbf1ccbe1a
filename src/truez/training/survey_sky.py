"""The photometric galaxies of a described survey on the sky: expected counts and classes.

As for surveys on the sky (`truez.sky.patch_samples`): those without a spectrum are counted in cells
of their photo-z, by classes of photo-z errors, and count as the share of those at their photo-z
that truly are in the box.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.counts import CellCounts, over
from truez.mesh.painting import paint
from truez.networks.conditions import log_widths
from truez.networks.uneven_inputs import UnevenSamples
from truez.sightlines.amplitude import AmplitudeSample, fit_amplitude
from truez.sightlines.conserve import PhotoClass, Spread
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import paint_columns
from truez.surveys.uneven import expected_with_margin, longer_box
from truez.training.survey_galaxies import ObservedGalaxies, redshift_errors, table_of
from truez.training.survey_geometry import ExpectedCounts, SurveyGeometry

Array = NDArray[np.float64]
#: Galaxies that the bias is fitted to: its error is 0.02 to 0.03 by then. And the least bias.
_GALAXIES, _LEAST = 2**14, 0.1


class SkyPhoto:
    """The photometric galaxies of a survey on the sky.

    Parameters
    ----------
    geometry : SurveyGeometry
    seen : ObservedGalaxies

    Attributes
    ----------
    kernels : Tensor (classes, num_photo, num_true)
        p(z_phot | z_true) of each class of errors, as it is known.
    shares : array (classes, nz)
        Of the classes.
    log_sigma : array (nz,)
        Mean ln of the errors [cells].
    table : int array (n, 5)
        Result of `table_of`.
    unknown, photo : ExpectedCounts
        Photometric galaxies without a spectrum, and all of them.
    """

    def __init__(self, geometry: SurveyGeometry, seen: ObservedGalaxies) -> None:
        self.geometry, self.seen, box = geometry, seen, geometry.box
        photo_margin, true_margin = geometry.photo_margin, geometry.true_margin
        assumed = redshift_errors(geometry, assumed=True)
        edges = geometry.edges(photo_margin), geometry.edges(true_margin)
        matrices = [one.matrix(*edges).astype(np.float32) for one in assumed]
        self.kernels = torch.from_numpy(np.stack(matrices))
        self.shares = geometry.description.error.shares(geometry.places())
        width = np.stack([one.width(geometry.redshifts) for one in assumed])
        self.log_sigma = log_widths(geometry.lengths(width) / box.cellsize[2], self.shares)
        cell = np.floor((seen.photo_place - box.lower[2]) / box.cellsize[2]).astype(np.int64)
        kernel = Kernel(self.kernels[0], photo_margin, true_margin)
        kept, self.table = table_of(geometry, seen, cell + photo_margin, kernel)
        self._places = seen.observed_at()[kept]
        unknown = geometry.expected("unknown")
        factor = len(self.table) / float(self._observed(unknown.along_sight_lines).sum())
        self.unknown = unknown.scaled(factor)
        self.photo = geometry.expected("photo").scaled(factor)

    @property
    def _inner(self) -> Tensor:
        """The kernels of true cells in the box."""
        margin = self.geometry.true_margin
        return self.kernels[:, :, margin : margin + self.geometry.box.meshsize[2]]

    def _padded(self, values: Array) -> Array:
        """Values along the line of sight (..., nz) with those of the ends beyond them."""
        margin = self.geometry.true_margin
        return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(margin, margin)], mode="edge")

    def _observed(self, along: Array) -> Array:
        """Galaxies of each class per cell of photo-z of some along the line of sight (nz,)."""
        true = self._padded(self.shares * along)
        return np.asarray(np.einsum("cij,cj->ci", self.kernels.numpy().astype(np.float64), true))

    @cached_property
    def _inside(self) -> Tensor:
        """Of the galaxies of each class at each photo-z, the share that is in the box."""
        along = self.unknown.along_sight_lines
        inner = np.einsum("cij,cj->ci", self._inner.numpy().astype(np.float64), self.shares * along)
        every = torch.from_numpy(self._observed(along))
        return over(torch.from_numpy(inner), every).float()

    def bias(self, delta: Tensor, *, floor: float) -> float:
        """Bias of the photometric galaxies over what the spectroscopic survey says of them.

        It is the amplitude that the photo-z want of a field (nx, ny, nz), and 1 at the most.
        """
        every = max(1, len(self.table) // _GALAXIES)
        table, places = self.table[::every], self._places[::every]
        margin = self.geometry.true_margin
        weighed = self.kernels * torch.from_numpy(self._padded(self.shares))[:, None, :].float()
        expected = self.unknown.scaled(len(table) / max(len(self.table), 1)).values()
        visible = weighed.sum((0, 1))
        found = fit_amplitude(
            AmplitudeSample(
                box=longer_box(self.geometry.box, margin),
                positions=places,
                likelihood=lambda rows: weighed[table[rows, 4], table[rows, 2]],
                delta=torch.nn.functional.pad(delta, (margin, margin)),
                expected=expected_with_margin(expected, margin),
                visible=visible,
            ),
            floor=floor,
        )
        return float(np.clip(found.value, _LEAST, 1.0))

    def network_samples(
        self, cells: CellCounts, expected: ExpectedCounts, common: float, resampler: str
    ) -> UnevenSamples:
        """What a network reads of both surveys.

        Parameters
        ----------
        cells : CellCounts
            Spectroscopic galaxies.
        expected : ExpectedCounts
            Of them.
        common : float
            Share of them in the photometric sample.
        resampler : {"ngp", "cic", "tsc"}
        """
        box, photo = self.geometry.box, self.seen.observed_at()
        across = _spread(resampler, box.meshsize[0]), _spread(resampler, box.meshsize[1])
        along, margin = _spread(resampler, box.meshsize[2]), self.geometry.photo_margin
        rows = slice(margin, margin + box.meshsize[2])
        ends = self._padded(np.eye(box.meshsize[2]).T).T
        kernels = self.kernels[:, rows].numpy().astype(np.float64)
        observed = sum(
            kernel @ (self._padded(share)[:, None] * ends)
            for kernel, share in zip(kernels, self.shares, strict=True)
        )
        seen = self.photo.through(np.asarray(observed))
        return UnevenSamples(
            spec=cells,
            photo=self._classes(self.unknown.values(), "ngp"),
            spec_delta=_delta(
                paint(self.seen.spec, box, resampler).values, expected.spread(across, along)
            ),
            photo_delta=_delta(
                paint(photo, box, resampler, outside="drop").values, seen.spread(across, along)
            ),
            classes=[
                PhotoClass(one.counts, Kernel(one.matrix, margin), expected=one.expected)
                for one in self._classes(self.unknown.spread(across), resampler)
                if one.matrix is not None
            ],
            photo_expected=self.photo.values(),
            common=common,
        )

    def _classes(self, expected: Tensor, resampler: str) -> list[CellCounts]:
        """Galaxies without a spectrum, of which so many are expected, by classes of errors."""
        box = longer_box(self.geometry.box, self.geometry.photo_margin)
        result = []
        for number, (matrix, share) in enumerate(zip(self._inner, self.shares, strict=True)):
            own = self.table[:, 4] == number
            counts = paint_columns(self._places[own], box, resampler).values
            part = expected * torch.from_numpy(share).float()
            result.append(CellCounts(counts.mul_(self._inside[number]), part, matrix.contiguous()))
        return result


def _spread(resampler: str, num: int) -> Array:
    """Weights that cells get from galaxies in cells, (num, num)."""
    return Spread.of(resampler, Kernel(torch.eye(num))).matrix.double().numpy()


def _delta(counts: Tensor, expected: Tensor) -> Tensor:
    return torch.where(expected > 0, over(counts, expected) - 1, 0.0)
