"""p(z) in layouts and formats that truez does not read itself, by qp (``pip install truez[qp]``).

qp reads the whole file into memory. What it holds in one of our layouts is taken as it is; other
p(z) are evaluated at redshifts in a row, between which they are taken as linear: the nodes of the
file where all galaxies share them, and a thousand steps over their range otherwise.
"""

from __future__ import annotations

import importlib
import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from truez.support.memory import check_memory
from truez.surveys.pdfs.layouts import LAYOUTS, Array, PdfError
from truez.surveys.pdfs.sources import Arrays

#: Suffixes that qp reads, none of which it unpickles.
SUFFIXES = (".hdf5", ".h5", ".fits", ".fit", ".pq")
_STEPS = 1000
#: Galaxies that are evaluated at a time.
_ROWS = 2**14
#: Bytes in memory for each byte of a file at least.
_READING = 2


def read_through_qp(path: Path, layout: str) -> Arrays:
    """The p(z) of a file that qp reads, in memory.

    Parameters
    ----------
    path : Path
    layout : str
        What it holds, for the message where qp is missing.

    Raises
    ------
    PdfError
        If qp is not installed, or cannot read it.
    """
    try:
        qp = importlib.import_module("qp")
    except ImportError:
        raise PdfError(
            f"{path} holds p(z) as {layout}, which is read through qp: pip install 'truez[qp]', or "
            "write it as hist, interp, quant, norm or mixmod in HDF5"
        ) from None
    if path.suffix.lower() not in SUFFIXES:
        raise PdfError(
            f"{path} is read through qp, but does not end in {', '.join(SUFFIXES)}: write it in "
            "one of these formats"
        )
    if path.is_file():
        check_memory(_READING * path.stat().st_size, f"reading {path}", "convert it to interp")
    try:
        # tables_io prints what it reads.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return _arrays(qp.read(str(path)), str(path))
    except (PdfError, MemoryError):
        raise
    except Exception as error:  # qp and its formats have many
        raise PdfError(
            f"{path} cannot be read through qp as p(z): convert it to interp, or write it again"
        ) from error


def _arrays(ensemble: Any, where: str) -> Arrays:
    name = str(ensemble.gen_class.name)
    meta, data = ensemble.metadata, ensemble.objdata
    if name in LAYOUTS:
        shape = LAYOUTS[name]
        grid = np.ravel(meta[shape.grid]) if shape.grid else None
        return Arrays(name, grid, {key: np.asarray(data[key]) for key in shape.columns}, where)
    nodes = _nodes(meta, data, where)
    num = int(ensemble.npdf)
    density = np.empty((num, len(nodes)), np.float32)
    for start in range(0, num, _ROWS):
        density[start : start + _ROWS] = ensemble[start : start + _ROWS].pdf(nodes)
    return Arrays("interp", nodes, {"yvals": density}, where)


def _nodes(meta: Any, data: Any, where: str) -> Array:
    """Redshifts to evaluate densities at."""
    for name in ("xvals", "bins"):
        if name in meta:
            return np.unique(np.asarray(meta[name], np.float64))
    for name in ("xvals", "bins", "splx"):
        if name in data:
            values = np.asarray(data[name], np.float64)
            return np.linspace(np.nanmin(values), np.nanmax(values), _STEPS + 1)
    raise PdfError(f"{where} holds p(z) without redshifts that they reach from and to: convert "
                   "it to interp")  # fmt: skip
