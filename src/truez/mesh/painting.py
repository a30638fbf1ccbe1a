"""Painting galaxies on a mesh, and reading a mesh at positions.

Conventions: the nodes of a mesh are its cell centres. A periodic box wraps. A non-periodic box is
closed at both faces; what a resampler would put beyond a face goes to the edge cell, so the sum of
the mesh is the sum of the weights in both kinds.

On a CPU the galaxies are first sorted by tiles of the mesh that fit in a core's cache
(`truez.mesh.paint_cpu`). Every cell is summed in an order fixed by the input: the result is
bit-identical at any number of threads (that of torch, or ``NUMBA_NUM_THREADS`` where it is set),
and however the catalogue is cut into chunks. On other devices torch's ``index_add_`` does the same
sums, in an order that the device chooses.

Precision: a mesh is float32 and so is each addition, relative error 6e-8. The counts of a cell are
therefore good to 1e-7 times the square root of its galaxies, and whole NGP counts are exact up to
2^24 = 16777216 in one cell. Positions are kept to 2^-20 of a cell or better on meshes up to 2000
cells a side (2^-22 up to 500), whatever their type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import total as total_of
from truez.mesh.fourier import with_room
from truez.mesh.memory import LARGE, check_mesh
from truez.mesh.paint_cpu import add_gradient_cpu, paint_cpu, read_cpu
from truez.mesh.paint_input import Chunk, Positions, Tally, Weights, check_choice
from truez.mesh.paint_torch import add_gradient_torch, paint_torch, read_torch
from truez.mesh.resamplers import RESAMPLERS
from truez.support.checks import check_type
from truez.support.progress import Progress, silent


def paint(
    positions: Positions,
    box: Box,
    resampler: str = "cic",
    *,
    weights: Weights | None = None,
    outside: str = "error",
    shift: float = 0.0,
    device: torch.device | str = "cpu",
    out: Tensor | None = None,
    progress: Progress = silent,
) -> Field:
    """Count galaxies at ``positions`` in the cells of a box.

    Parameters
    ----------
    positions : array or Tensor (n, 3)
        Comoving positions, float32 or float64 [Mpc/h]. Never changed.
    box : Box
        Where they live. A periodic box wraps those beyond its faces, see ``outside``.
    resampler : {"ngp", "cic", "tsc"}
        How a galaxy is shared between the cells near it.
    weights : array or Tensor (n,), optional
        Galaxies that each row counts for; 1 by default. Used in float32.
    outside : {"error", "drop", "wrap"}
        What a position outside a non-periodic box is: an error, or left out and counted. The faces
        are inside, compared in the positions' own precision. A periodic box wraps positions that
        leave it by less than its side, such as those in redshift space; farther ones are outside,
        and so is a catalogue of which more than a third is beyond the faces by 1% of the side,
        which is in another unit or has another centre. With "wrap" it wraps whatever there is.
    shift : float
        Move the galaxies by this many cells along each axis (0.5: the second mesh of interlacing).
        Which galaxies are outside is asked before, and what moves beyond a closed face goes to the
        edge cell.
    device : torch.device or str
        Where to paint.
    out : Tensor, optional
        A float32 mesh on that device, from `truez.mesh.fourier.roomy_mesh`, to be overwritten.
    progress : Progress

    Returns
    -------
    Field
        Kind "counts", with its resampler, its shot noise V sum w^2 / (sum w)^2 [(Mpc/h)^3] (None
        where nothing is painted), and the metadata ``num_galaxies`` painted and ``num_outside``
        left out.

    Raises
    ------
    ValueError
        If an argument is not one of those choices, or positions are not finite or outside: how
        many, and the first row.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, paint
    >>> field = paint(np.array([[1.0, 1.0, 1.0], [5.0, 1.0, 1.0]]), Box(8, cellsize=2), "ngp")
    >>> field[:, 0, 0], field.shotnoise
    (array([1., 0., 1., 0.], dtype=float32), 256.0)
    """
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    total = len(positions) if hasattr(positions, "__len__") else None
    return _paint(
        [(positions, weights)], box, resampler, outside, shift, device, progress, total, out
    )


def paint_chunks(
    chunks: Iterable[Chunk],
    box: Box,
    resampler: str = "cic",
    *,
    outside: str = "error",
    shift: float = 0.0,
    device: torch.device | str = "cpu",
    out: Tensor | None = None,
    progress: Progress = silent,
) -> Field:
    """As `paint`, from an iterable of positions or of ``(positions, weights)``.

    On a CPU the result is bit-identical to that of `paint` for the same rows, however they are
    cut. Memory beyond the mesh and a chunk stays bounded.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, paint_chunks
    >>> chunks = (np.full((3, 3), place) for place in (1.0, 5.0))
    >>> paint_chunks(chunks, Box(8, cellsize=2), "ngp").metadata["num_galaxies"]
    6
    """
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    pairs = (chunk if isinstance(chunk, tuple) else (chunk, None) for chunk in chunks)
    return _paint(pairs, box, resampler, outside, shift, device, progress, None, out)


def readout(field: Field, positions: Positions, resampler: str = "cic") -> NDArray[np.float32]:
    """Interpolate a field at positions, shape (n,), with the weights that `paint` would give.

    The adjoint of `paint`: ``(readout(f, x) * w).sum() == (f * paint(x, weights=w)).sum()``.

    Parameters
    ----------
    field : Field
        Any kind, on any device.
    positions : array or Tensor (n, 3)
        [Mpc/h]; within a non-periodic box.
    resampler : {"ngp", "cic", "tsc"}

    Raises
    ------
    ValueError
        If positions are not finite or outside.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field, readout
    >>> field = Field(np.arange(8.0).reshape(2, 2, 2), Box(4, cellsize=2))
    >>> readout(field, np.array([[1.0, 1.0, 3.0]]), "ngp")
    array([1.], dtype=float32)
    """
    check_type(field, Field, "field", "truez.Field(values, box)")
    check_choice("resampler", resampler, RESAMPLERS)
    tally = Tally()
    if field.values.device.type == "cpu":
        mesh = np.ascontiguousarray(field.numpy(), dtype=np.float32)
        values = read_cpu(mesh, field.box, positions, resampler, tally)
    else:
        values = read_torch(field.values, field.box, positions, resampler, tally).cpu().numpy()
    tally.check("error")
    return values


def add_gradient(
    values: Tensor,
    box: Box,
    positions: Tensor,
    out: Tensor,
    *,
    factor: float = 1.0,
    resampler: str = "cic",
) -> None:
    """Add ``factor`` times the gradient of a mesh, interpolated at positions, to ``out``.

    The gradient is that of `truez.mesh.fourier.DIFFERENCES` at the nodes; it is read as by
    `readout`.

    Parameters
    ----------
    values : Tensor (nx, ny, nz)
        A mesh from `truez.mesh.fourier.roomy_mesh`.
    box : Box
        The periodic box that it fills.
    positions : Tensor (n, 3)
        [Mpc/h], on the device of the mesh.
    out : Tensor (n, 3)
        float32, on the same device; in the unit of the mesh per Mpc/h.
    factor : float
    resampler : {"ngp", "cic", "tsc"}

    Raises
    ------
    ValueError
        If positions are not finite, or the box is closed.
    """
    check_choice("resampler", resampler, RESAMPLERS)
    if not box.periodic:
        raise ValueError("box must be periodic, so that the gradient has no edges")
    tally = Tally()
    if values.device.type == "cpu":
        mesh, sums = with_room(values).numpy(), out.numpy()
        add_gradient_cpu(mesh, box, positions, resampler, factor, tally, sums)
    else:
        add_gradient_torch(values, box, positions, resampler, factor, tally, out)
    tally.check("error")


def _paint(
    chunks: Iterable[Any],
    box: Box,
    resampler: str,
    outside: str,
    shift: float,
    device: torch.device | str,
    progress: Progress,
    total: int | None,
    out: Tensor | None,
) -> Field:
    check_choice("resampler", resampler, RESAMPLERS)
    check_choice("outside", outside, ("error", "drop", "wrap"))
    if outside == "wrap" and not box.periodic:
        raise ValueError("outside must be error or drop for a closed box, which does not wrap")
    if not math.isfinite(shift):
        raise ValueError(f"shift must be a finite number of cells, not {shift!r}")
    tally = Tally(drop=outside == "drop", wrap=outside == "wrap")
    if out is None and box.num_cells > LARGE and torch.device(device).type == "cpu":
        check_mesh(box)
    values = torch.zeros(box.meshsize, device=device) if out is None else out.zero_()
    mesh = values if out is None else with_room(out)
    if values.device.type == "cpu":
        paint_cpu(chunks, box, resampler, shift, tally, progress, total, mesh.numpy())
    else:
        paint_torch(chunks, box, resampler, shift, tally, progress, total, mesh)
    tally.check(outside)
    tally.check_weights()
    if tally.kept >= 1 << 24:
        # Only then can a cell have swallowed additions of 1, having reached 2^24.
        painted = total_of(values)
        if abs(painted - tally.sum) > 1e-4 * tally.square_sum**0.5 * tally.kept**0.5:
            raise ValueError(
                f"the float32 mesh holds {painted:.9g} of {tally.sum:.9g} galaxies, since a cell "
                f"cannot count past 2^24: use a finer meshsize than {box.meshsize}"
            )
    metadata = {"num_galaxies": tally.kept, "num_outside": tally.outside}
    shotnoise = box.volume * tally.square_sum / tally.sum**2 if tally.sum else None
    return Field(values, box, "counts", metadata, shotnoise, resampler)
