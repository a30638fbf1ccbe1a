"""Power spectra of fields and catalogues that are larger than the memory.

Meshes lie in temporary files (`truez.mesh.scratch`), where they are transformed in two passes, and
their modes are binned as they are read: the spectra are those of `truez.statistics.power` but for
rounding. A catalogue is painted in chunks of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field_file import read_header
from truez.mesh.fourier import roomy_mesh
from truez.mesh.paint_input import Chunk
from truez.mesh.painting import paint_chunks
from truez.mesh.scratch import copy_field, scratch_mesh, transformed
from truez.statistics.pairs import Pair, interlace, inverse_window, scaled_modes, window_of
from truez.statistics.power import Edges, poles_of
from truez.statistics.results import Power
from truez.support.progress import Progress, silent


def stored_power(
    path: str | Path,
    other: str | Path | None = None,
    *,
    beside: str | Path,
    edges: Edges | None = None,
    ells: Sequence[int] = (0, 2, 4),
    compensate: bool = False,
    progress: Progress = silent,
) -> Power:
    """Multipoles of the power of a field in a file, or of its cross power with another.

    Parameters
    ----------
    path, other : str or Path
        HDF5 files of fields on the same box and mesh.
    beside : str or Path
        An output, in whose folder a temporary file as large as the values of each field is made.
    edges, ells, compensate
        As of `truez.statistics.power.power`.
    progress : Progress

    Returns
    -------
    Power

    Raises
    ------
    ValueError
        As `truez.statistics.power.power`; if a file is no such field, or the disk has no room.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from truez import Box, Field
    >>> from truez.statistics.stored import stored_power
    >>> values = np.random.default_rng(1).normal(size=(16, 16, 16))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Field(values, Box(64, cellsize=4)).write(f"{folder}/field.h5")
    ...     stored_power(f"{folder}/field.h5", beside=f"{folder}/out", edges={"step": 0.2})
    Power: 3 bins of k from 0 to 0.6 h/Mpc, ells (0, 2, 4)
    """
    paths = [path] if other is None else [path, other]
    headers = [read_header(one) for one in paths]
    box = headers[0].box
    if headers[-1].box != box:
        raise ValueError(
            f"field and other must be on the same box, not {box} and {headers[-1].box}"
        )
    names = ("field", "other")
    windows = [
        window_of(box, one.resampler, name) if compensate else None
        for one, name in zip(headers, names, strict=False)
    ]
    with ExitStack() as stack:
        modes, scales = [], []
        for number, one in enumerate(paths):
            progress("transforming", number, len(paths) + 1)
            mesh = stack.enter_context(scratch_mesh(box, beside))
            header = copy_field(one, mesh)
            found, scale = scaled_modes(transformed(mesh), header.kind, str(one))
            modes.append(found)
            scales.append(scale)
        progress("transforming", len(paths), len(paths) + 1, "binning")
        second = modes[1] if other is not None else None
        pair = Pair(box, modes[0], second, scales[0] * scales[-1], (windows[0], windows[-1]))
        if second is None:
            pair.shotnoise = headers[0].shotnoise
        result = poles_of(pair, edges, ells)
        progress("transforming", len(paths) + 1, len(paths) + 1)
        del modes, pair, second
    return result


def chunked_power(
    chunks: Callable[[], Iterable[Chunk]],
    box: Box,
    *,
    resampler: str = "tsc",
    interlacing: bool = True,
    beside: str | Path | None = None,
    edges: Edges | None = None,
    ells: Sequence[int] = (0, 2, 4),
    progress: Progress = silent,
) -> Power:
    """`truez.statistics.power.catalog_power` of galaxies that come in chunks.

    Parameters
    ----------
    chunks : function
        Returns positions (n, 3) [Mpc/h], or pairs of positions and weights (n,), one chunk after
        the other; it is called twice with ``interlacing``. Weights are to be of order one.
    box, resampler, interlacing, edges, ells, progress
        As there.
    beside : str or Path, optional
        An output, beside which the meshes are in temporary files; they are in memory by default.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> from truez.statistics.stored import chunked_power
    >>> positions = np.random.default_rng(1).uniform(0, 100, (1000, 3))
    >>> chunks = lambda: (positions[:600], positions[600:])
    >>> chunked_power(chunks, truez.Box(100, cellsize=5), edges={"step": 0.1}, ells=(0,))
    Power: 6 bins of k from 0 to 0.6 h/Mpc, ells (0,), shot noise 1000 (Mpc/h)^3
    """
    if interlacing and not box.periodic:
        raise ValueError("interlacing needs a periodic box: pass interlacing=False")

    def painted(stack: ExitStack, shift: float) -> tuple[Tensor, float | None]:
        if beside is None:
            mesh = roomy_mesh(box.meshsize)
        else:
            mesh = stack.enter_context(scratch_mesh(box, beside))
        counts = paint_chunks(
            chunks(), box, resampler, shift=shift, out=mesh, progress=progress
        )  # fmt: skip
        return transformed(mesh), counts.shotnoise

    with ExitStack() as stack:
        modes, shotnoise = painted(stack, 0.0)
        modes, scale = scaled_modes(modes, "counts", "the painted catalogue")
        if interlacing:
            shifted, _ = painted(stack, 0.5)
            interlace(modes, shifted, box)
            del shifted
        pair = Pair(box, modes, None, scale**2, (inverse_window(box, resampler), None))
        pair.shotnoise = shotnoise
        result = poles_of(pair, edges, ells)
        del modes, pair
    return result
