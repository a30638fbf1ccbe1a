"""The photo-z error between the cells of a sight line: the matrix K = p(z_phot | z_true).

``K[i, j]`` is the probability that a galaxy somewhere in cell j (uniformly) shows its photo-z in
cell i. It is an integral of the error's distribution over both cells, so it is non-negative however
narrow the error is, and what it is applied to stays positive without any clipping.

With s the error in cells and ``A(u) = s [phi(u / s) - (u / s) Q(u / s)]`` (phi the normal density,
Q its upper tail; ``A'' = phi(u / s) / s``), the Gaussian part at a distance of d >= 1 cells is the
second difference ``A(d - 1) - 2 A(d) + A(d + 1)``. Outliers are uniform over the cells of the box.

A dense matrix is also the fastest way along sight lines of a few hundred cells, which all share it:
one product of (sight lines, cells) with (cells, cells). `benchmarks/columns.py` compares it with
Fourier transforms, which leave negative probabilities of the size of rounding and win by a factor
of 1.4 at 600 periodic cells only, and with banded sums, ten times as slow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr
from torch import Tensor

from truez.mesh.box import Box
from truez.surveys.photoz import PhotozError
from truez.surveys.redshift_error import RedshiftError

#: From this many cells of error on, where in its cell a galaxy lies no longer matters to K (by
#: 1e-7), and the second difference would lose digits.
_WIDE = 1e3
#: No photo-z is further off than this many standard deviations (1e-299).
_FAR = 37.0


@dataclass(frozen=True, eq=False)
class Kernel:
    """p(z_phot | z_true) between the cells of a sight line.

    Parameters
    ----------
    matrix : Tensor (num_photo, num_true)
        Probability that a galaxy in true cell j has its photo-z in cell i; float32. Columns of the
        matrix sum to one less what leaks out of the photo cells.
    photo_margin, true_margin : int
        Cells beyond either face of a closed box: of photo-z that have left it, and of true places
        that may have come in. A margin of 0 loses what leaks out.
    periodic : bool
        Whether the ends are joined.
    """

    matrix: Tensor
    photo_margin: int = 0
    true_margin: int = 0
    periodic: bool = False

    @classmethod
    def of(
        cls, error: PhotozError, box: Box, *, photo_margin: int = 0, true_margin: int = 0
    ) -> Kernel:
        """The kernel of a photo-z error along the last axis of a box.

        Raises
        ------
        ValueError
            If a margin is negative, or the box periodic and so without any beyond.
        """
        for name, margin in (("photo_margin", photo_margin), ("true_margin", true_margin)):
            if margin < 0 or (margin and box.periodic):
                kind = "periodic" if box.periodic else "closed"
                raise ValueError(f"{name} must be {'0' if box.periodic else '>= 0'} cells in a "
                                 f"{kind} box, not {margin!r}")  # fmt: skip
        num = box.meshsize[2]
        photo = np.arange(-photo_margin, num + photo_margin)
        true = np.arange(-true_margin, num + true_margin)
        width = error.sigma / box.cellsize[2]
        if box.periodic:
            ring = _wrapped(width, num)
            gaussian = ring[np.abs(photo[:, None] - true[None, :])]
        else:
            reach = np.arange(num + photo_margin + true_margin)
            gaussian = _gaussian(width, reach)[np.abs(photo[:, None] - true[None, :])]
        inside = ((photo >= 0) & (photo < num))[:, None]
        outliers = error.outlier_fraction
        matrix = (1 - outliers) * gaussian + outliers * inside / num
        assert (matrix >= 0).all()
        values = torch.from_numpy(matrix.astype(np.float32))
        return cls(values, photo_margin, true_margin, box.periodic)

    @classmethod
    def of_redshifts(
        cls, error: RedshiftError, edges: ArrayLike, *, photo_edges: ArrayLike | None = None
    ) -> Kernel:
        """The kernel of a photo-z error that changes with redshift.

        Parameters
        ----------
        error : RedshiftError
            That galaxies share.
        edges : (num_true + 1,) array
            Redshifts of the edges of the true cells.
        photo_edges : (num_photo + 1,) array, optional
            Those of the photo-z, by default the same: ``edges`` with as many cells more on both
            sides, the kernel's ``photo_margin``.

        Raises
        ------
        ValueError
            If galaxies have their own errors, or edges do not rise or do not belong together.

        Examples
        --------
        >>> import numpy as np
        >>> from truez.sightlines.kernel import Kernel
        >>> from truez.surveys.redshift_error import RedshiftError
        >>> error = RedshiftError(0.02, 0.05, (0.0, 1.0))
        >>> kernel = Kernel.of_redshifts(error, np.linspace(0.1, 0.5, 9))
        >>> kernel.matrix.shape, round(float(kernel.matrix[4, 4]), 2)
        (torch.Size([8, 8]), 0.56)
        """
        true = np.asarray(edges, dtype=np.float64)
        photo = true if photo_edges is None else np.asarray(photo_edges, dtype=np.float64)
        matrix = error.matrix(photo, true)
        margin = (len(photo) - len(true)) // 2
        inner = photo[margin : len(photo) - margin]
        if margin < 0 or inner.shape != true.shape or not np.allclose(inner, true, rtol=1e-9):
            raise ValueError(
                f"photo_edges must be the {len(true)} edges and as many more on both sides"
            )
        return cls(torch.from_numpy(matrix.astype(np.float32)), photo_margin=margin)

    @property
    def num_photo(self) -> int:
        """Cells of the photo-z, with their margins."""
        return self.matrix.shape[0]

    @property
    def num_true(self) -> int:
        """Cells of the true place, with their margins."""
        return self.matrix.shape[1]

    @property
    def num_cells(self) -> int:
        """Cells of the box."""
        return self.num_true - 2 * self.true_margin

    def to(self, device: torch.device | str) -> Kernel:
        """The same kernel on ``device``."""
        return replace(self, matrix=self.matrix.to(device))

    def smear(self, values: Tensor) -> Tensor:
        """K applied along the last axis: (..., num_true) to (..., num_photo)."""
        return values @ self.matrix.T

    def gather(self, values: Tensor) -> Tensor:
        """The transpose: (..., num_photo) to (..., num_true)."""
        return values @ self.matrix


def _gaussian(width: float, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability to move by ``cells`` >= 0 in one direction, for an error of ``width`` cells."""
    if width == 0:
        return np.where(cells == 0, 1.0, 0.0)
    distance = cells.astype(np.float64)
    if width > _WIDE:
        return np.asarray(ndtr((0.5 - distance) / width) - ndtr((-0.5 - distance) / width))
    ramp = _ramp(distance, width)
    result = _ramp(np.abs(distance - 1), width) - 2 * ramp + _ramp(distance + 1, width)
    # Below zero the ramp is A(-u) = u + A(u).
    result = np.where(cells == 0, 1 + result, result)
    return np.where(distance < _FAR * width + 1, result, 0.0)


def _ramp(distance: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """A(u) of the module, for u >= 0, without cancellation in the tail."""
    with np.errstate(over="ignore"):
        u = np.minimum(distance / width, 2 * _FAR)
    density = np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
    ratio = u * math.sqrt(math.pi / 2) * erfcx(u / math.sqrt(2))
    ramp: NDArray[np.float64] = width * density * (1 - ratio)
    return ramp


def _wrapped(width: float, num: int) -> NDArray[np.float64]:
    """Probability to move by 0, 1, ..., num - 1 cells on a ring of ``num``."""
    if width > 1.5 * num:  # its first harmonic is exp(-44)
        return np.full(num, 1 / num)
    turns = math.ceil(_FAR * width / num) + 1
    cells = np.arange(num)[None, :] + num * np.arange(-turns, turns + 1)[:, None]
    result: NDArray[np.float64] = _gaussian(width, np.abs(cells)).sum(axis=0)
    return result
