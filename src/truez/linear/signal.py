"""The signal covariance of a `truez.linear.model.LinearModel` on a mesh, diagonal in Fourier space.

Of the modes f_k of `truez.mesh.fourier`, the covariance S multiplies each by P(k, mu) W^2 over the
volume of a cell, where W is the window of the cells. The mode of k = 0 has no signal: the mean is
known. Its three numbers of a mode, of P_s, P_x and P_p, are kept for one octant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from truez.linear.modes import OCTANT_MODES, folded, mesh_modes
from truez.mesh.box import Box
from truez.mesh.fourier import array_of, convolve_, in_parts, irfft_, rfft_, roomy_mesh

if TYPE_CHECKING:
    from truez.linear.model import LinearModel


class Pair(NamedTuple):
    """The numbers of a symmetric 2 x 2 matrix for one octant of modes, (nx, ny, nz) each."""

    spec: Tensor
    cross: Tensor
    photo: Tensor

    @property
    def same(self) -> bool:
        """Whether both samples have one spectrum and are coherent."""
        return torch.equal(self.spec, self.cross) and torch.equal(self.spec, self.photo)

    def filtered(self, mean: float) -> Pair:
        """``(S^-1 + N)^-1`` where N is ``mean`` for the first field and 0 for the second."""
        level = 1 / (1 + mean * self.spec)
        photo = self.photo - self.cross**2 * (mean * level)
        return Pair(self.spec * level, self.cross * level, photo)


class SignalMesh:
    """A mesh on which to multiply modes by the numbers of an octant.

    Parameters
    ----------
    box : Box
        Periodic, or with room behind the faces of a closed box (`truez.linear.filter.padded_box`).
    like : Tensor
        Meshes are of its device and precision, float32 or float64.
    """

    def __init__(self, box: Box, like: Tensor) -> None:
        self.box, self.like = box, like
        nx, ny, _ = box.meshsize
        self._x, self._y = (array_of(folded(n).to(like.device)) for n in (nx, ny))

    def signal(self, model: LinearModel, resampler: str | None) -> Pair:
        """S of both samples of a model; fields have the window of ``resampler``, None for none."""
        octant = [n // 2 + 1 for n in self.box.meshsize]
        cell = self.box.volume / self.box.num_cells
        meshes = [torch.zeros(octant, dtype=self.like.dtype) for _ in range(3)]
        walk = mesh_modes(self.box, resampler, modes_per_slab=OCTANT_MODES, octant=True)
        for plane, k, k_par, window, _ in walk:
            spec, cross, photo = (power / cell for power in model.powers(k, k_par, window))
            # No two fields are more than coherent.
            cross = torch.minimum(cross, torch.sqrt(spec * photo))
            for mesh, power in zip(meshes, (spec, cross, photo), strict=True):
                mesh[plane] = torch.where(k > 0, power, 0.0)
        return Pair(*(mesh.to(self.like.device) for mesh in meshes))

    def room(self) -> Tensor:
        """A mesh of zeros to work in."""
        double = self.like.dtype == torch.float64
        return roomy_mesh(self.box.meshsize, self.like.device, double=double)

    def padded(self, values: Tensor) -> Tensor:
        """Values with zeros behind their upper faces, up to this mesh; a copy."""
        result = torch.zeros(self.box.meshsize, dtype=self.like.dtype, device=self.like.device)
        nx, ny, nz = values.shape
        result[:nx, :ny, :nz] = values
        return result

    def multiply_(self, mesh: Tensor, octant: Tensor) -> None:
        """Multiply the modes of a mesh from `room`, in place."""
        numbers = array_of(octant)
        convolve_(mesh, lambda rows: self._unfolded(numbers, rows))

    def multiply_pair_(self, spec: Tensor, photo: Tensor, pair: Pair) -> None:
        """Multiply the modes of two meshes from `room` by a 2 x 2 matrix, in place."""
        octants = [array_of(octant) for octant in pair]
        modes = [rfft_(mesh) for mesh in (spec, photo)]
        arrays = [array_of(mesh) for mesh in modes]

        def mix(rows: slice) -> None:
            ss, sp, pp = (self._unfolded(octant, rows) for octant in octants)
            s, p = (array[:, rows] for array in arrays)
            new = sp * s + pp * p
            s *= ss
            s += sp * p
            p[...] = new

        in_parts(mix, modes[0], axis=1)
        for mesh in modes:
            irfft_(mesh, self.box.meshsize)

    def _unfolded(self, octant: Any, rows: slice) -> Any:
        """Of an octant the numbers of the modes in a range of the second axis."""
        return octant[self._x[:, None], self._y[rows][None, :]]
