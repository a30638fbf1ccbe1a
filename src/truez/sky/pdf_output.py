"""Sharpened p(z) of every photometric galaxy of the sky, in a file that qp reads.

A posterior is constant in the cells of the sight lines of its patch, which differ from shell to
shell. It is written in one of three layouts of qp (`truez.surveys.pdfs.layouts`):

==========  ========================================================================================
``hist``    mean density in the bins of one grid: the cells of each shell in its core, so that a
            posterior within one is written as it is
``interp``  density at nodes, linear between them: the edges of these bins. Each node has the mean
            of the posterior with the weight that it has in the interpolation, so that the integral
            is 1, the mean is that of the posterior, and no density is negative
``quant``   redshifts at which 137 cumulative probabilities are reached, from 1e-5 to 1 - 1e-5
==========  ========================================================================================

No posterior has a structure finer than a cell, so that nodes and bins as fine as cells resolve
all of them. Beyond the boxes of all patches, where outliers and known redshifts may be, bins grow
by a quarter each up to 0.03 (1 + z).

A known redshift is as narrow as a bin: all in its bin (hist), the weights of the interpolation at
it (interp, whose mean it is), even over the width of its bin around it (quant). Galaxies without a
posterior are nan; as quantiles, which qp wants to be finite and ascending, they are at z = -99.
Probabilities below 1e-10 of a cell are written as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from truez.catalogs import formats
from truez.mesh.sky_box import SkyBox
from truez.sightlines.posteriors import Posteriors
from truez.sky.columns import SkyTable, id_columns
from truez.sky.patch_data import PatchData
from truez.sky.patches import Patch
from truez.sky.quantiles import LEVELS, bins_of, known_quantiles, quantiles_of
from truez.sky.sight_line import SightLine, onward
from truez.sky.surveys import SkySurveys
from truez.support.checks import shown
from truez.support.disk import check_disk
from truez.support.progress import Progress, silent
from truez.surveys.pdfs.writing import PdfWriter, pdf_writer, text_bytes

Array = NDArray[np.float64]
LAYOUTS = ("interp", "quant", "hist")
#: More galaxies are written as quantiles by default.
MANY = 10_000_000
#: Where quantiles of galaxies without a posterior are, and how far apart the outermost.
_NOWHERE, _APART = -99.0, 0.1
#: Probability of a cell that is written as 0.
_LEAST = 1e-10
#: Known redshifts that are written at a time.
_STEP = 2**14
#: Bytes on a disk of a number of a galaxy at least, with what waits until it is merged, and of its
#: columns: of quantiles, and of densities, of which most are 0.
_DISK = {"quant": 6.0, "interp": 0.4, "hist": 0.4}
_COLUMNS = 90
#: A box of a patch, and the distances between which the core of its shell lies [Mpc/h].
Place = tuple[SkyBox, float, float]


def default_layout(num: int) -> str:
    """The layout of p(z) of so many galaxies, where none is chosen."""
    return "quant" if num > MANY else "interp"


def redshift_edges(surveys: SkySurveys, patches: Iterable[Patch | Place]) -> Array:
    """Edges of the redshift bins that all galaxies share, (n + 1,).

    Parameters
    ----------
    surveys : SkySurveys
    patches : iterable of Patch or (SkyBox, near, far)
    """
    places = (
        (one.box, one.shell.near, one.shell.far) if isinstance(one, Patch) else one
        for one in patches
    )  # fmt: skip
    shells = {(near, far): box for box, near, far in places}
    order = sorted(shells)
    edges = np.zeros(0)
    low, high = np.inf, -np.inf
    for near, far in order:
        box = shells[near, far]
        distance, own = box.edges(2), box.redshift_edges
        own = own[((distance >= near) | ((near, far) == order[0]))
                  & ((distance <= far) | ((near, far) == order[-1]))]  # fmt: skip
        if len(edges) and own[0] - edges[-1] < (own[1] - own[0]) / 2:
            own = own[1:]  # no narrow bin at a seam
        edges = np.concatenate([edges, own])
        ends = PatchData(surveys, box).sight_line.edges
        low, high = min(low, float(ends[0])), max(high, float(ends[-1]))
    known = surveys.spec.redshift[surveys.matched_pairs[0]]
    if len(known):
        low, high = min(low, float(known.min())), max(high, float(known.max()))
    edges = np.unique(edges)
    first, last = float(edges[1] - edges[0]), float(edges[-1] - edges[-2])
    # Nor one at the ends.
    low = edges[0] if low >= edges[0] else max(min(low, float(edges[0] - first / 2)), 0.0)
    high = edges[-1] if high <= edges[-1] else max(high, float(edges[-1] + last / 2))
    before = onward(float(edges[0]), -first, float(low))[::-1]
    return np.concatenate([before, edges, onward(float(edges[-1]), last, float(high))])


class SkyPdfs:
    """A file of p(z) of the photometric galaxies that is being written; see `sky_pdfs`.

    Parameters
    ----------
    writer : PdfWriter
    layout : {"interp", "quant", "hist"}
    edges : (n + 1,) array
        Of the redshift bins that all galaxies share.
    ids : mapping of str to (n_p,) arrays
        Columns that name the galaxies.
    """

    def __init__(
        self, writer: PdfWriter, layout: str, edges: Array, ids: Mapping[str, NDArray[Any]]
    ) -> None:
        self.layout, self.edges = layout, edges
        self._writer, self._ids = writer, ids
        self._matrices: dict[bytes, csr_array] = {}

    def add(self, rows: NDArray[np.int64], some: Posteriors, line: SightLine) -> None:
        """Add the posteriors of some rows of ``surveys.photo``."""
        if self.layout == "quant":
            self._writer.put(rows, {"locs": quantiles_of(some, line)})
            return
        p = some.probability.double().numpy()
        p = np.where(p < _LEAST, 0.0, p)
        p /= p.sum(1, keepdims=True)
        key = line.edges.tobytes()
        if key not in self._matrices:
            self._matrices[key] = densities_of(line.edges, self.edges, self.layout)
        self._put(rows, (self._matrices[key].T @ p.T).T)

    def finish(
        self, surveys: SkySurveys, columns: Mapping[str, NDArray[Any]],
        metadata: Mapping[str, Any], progress: Progress = silent,
    ) -> None:  # fmt: skip
        """Write known redshifts and the columns of the catalogue, when all posteriors are there."""
        known, rows = surveys.matched_pairs
        for start in range(0, len(rows), _STEP):
            part = slice(start, start + _STEP)
            self._spikes(rows[part], surveys.spec.redshift[known[part]])
        fill: Any = np.nan
        if self.layout == "quant":
            fill = _NOWHERE + _APART * (LEVELS - 0.5)
        self._writer.merge(fill=fill, width=self.width, progress=progress)
        ids = {name: text_bytes(values) for name, values in self._ids.items()}
        self._writer.add_ancil({**ids, **columns})
        self._writer.describe(metadata)
        self._writer.finish()

    @property
    def width(self) -> int:
        """Numbers of each galaxy."""
        sizes = {"quant": len(LEVELS), "hist": len(self.edges) - 1, "interp": len(self.edges)}
        return sizes[self.layout]

    def _spikes(self, rows: NDArray[np.int64], z: Array) -> None:
        """Write galaxies of known redshift."""
        if self.layout == "quant":
            self._writer.put(rows, {"locs": known_quantiles(z, self.edges)})
            return
        bins = bins_of(z, self.edges)
        width = np.diff(self.edges)[bins]
        place = np.arange(len(rows))
        values = np.zeros((len(rows), self.width))
        if self.layout == "hist":
            values[place, bins] = 1 / width
        else:
            upper = (z - self.edges[bins]) / width
            values[place, bins], values[place, bins + 1] = 1 - upper, upper
            values /= _areas(self.edges)
        self._put(rows, values)

    def _put(self, rows: NDArray[np.int64], values: Array) -> None:
        self._writer.put(rows, {"pdfs" if self.layout == "hist" else "yvals": values})


@contextmanager
def sky_pdfs(
    path: str | Path, surveys: SkySurveys, patches: Iterable[Patch | Place], *,
    layout: str | None = None, ids: Mapping[str, NDArray[Any]] | None = None,
) -> Iterator[SkyPdfs]:  # fmt: skip
    """Write p(z) of all photometric galaxies, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in .hdf5, by which qp knows the format.
    surveys : SkySurveys
    patches : iterable of Patch or (SkyBox, near, far)
        Those that the surveys are reconstructed on, such as `truez.sky.plan.plan` makes.
    layout : {"interp", "quant", "hist"}, optional
        By default interp, and quant for more than 1e7 galaxies.
    ids : mapping of str to (n_p,) arrays, optional
        Columns that name the galaxies.

    Raises
    ------
    ValueError
        If the suffix or the layout is another, or there is not enough disk.

    Examples
    --------
    >>> from truez.sky.pdf_output import sky_pdfs
    >>> from truez.sky.plan import plan
    >>> from truez.sky.reconstruct import sharpen
    >>> def write(surveys, path):
    ...     patches = plan(surveys, method="redistribution")
    ...     with sky_pdfs(path, surveys, patches, layout="quant") as pdfs:
    ...         return sharpen(surveys, "redistribution", patches=patches, pdf_out=pdfs)
    """
    num = len(surveys.photo)
    layout = layout or default_layout(num)
    check_layout(layout)
    edges = redshift_edges(surveys, patches)
    width = len(LEVELS) if layout == "quant" else len(edges)
    needed = _DISK[layout] * width * int(surveys.unknown.sum()) + _COLUMNS * num
    check_disk(needed, path, option="pdf_out", more=f" ({layout} of {num} galaxies)")
    grid = LEVELS if layout == "quant" else edges
    with pdf_writer(path, layout, num, grid) as writer:
        yield SkyPdfs(writer, layout, edges, ids or {})


def check_layout(layout: str) -> None:
    """Refuse a layout that is none of those of the sky."""
    if layout not in LAYOUTS:
        raise ValueError(f"pdf_layout must be {', '.join(LAYOUTS)}, not {shown(layout)}")


def ids_of_photo(photo: str | Path, match_id: str | None) -> dict[str, NDArray[Any]]:
    """Columns that name the galaxies of a photometric catalogue.

    Those of ``match_id``, or a column ``id`` in any case if there is one.

    Raises
    ------
    ValueError
        If one has missing values, or is there twice.
    """
    there = formats.header(Path(photo)).columns
    if match_id is not None:
        wanted = id_columns(match_id)[1]
    else:
        wanted = [name for name in there if name.lower() == "id"][:1]
    if not wanted:
        return {}
    ids = SkyTable.of(photo, wanted, "photo").catalog.columns
    for name, values in ids.items():
        if count := int(np.ma.getmaskarray(values).sum()):
            raise ValueError(
                f"column {name!r} of {photo} names the galaxies of the file of p(z) and has no "
                f"value in {count} rows: remove those rows from it"
            )
    return {name: np.asarray(values) for name, values in ids.items()}


def densities_of(cells: Array, grid: Array, layout: str) -> csr_array:
    """Densities on a grid of one that is constant in cells, for probability 1 of each cell.

    Parameters
    ----------
    cells : (m + 1,) array
        Edges of the cells.
    grid : (n,) array
        Edges of the bins (hist), or nodes (interp), which reach as far as the cells.
    layout : {"interp", "hist"}

    Returns
    -------
    csr_array (m, n - 1) or (m, n)
    """
    points = np.union1d(cells, np.clip(grid, cells[0], cells[-1]))
    middle = (points[1:] + points[:-1]) / 2
    cell = np.clip(np.searchsorted(cells, middle) - 1, 0, len(cells) - 2)
    place = np.clip(np.searchsorted(grid, middle) - 1, 0, len(grid) - 2)
    share = np.diff(points) / np.diff(cells)[cell]
    width = np.diff(grid)[place]
    if layout == "hist":
        return csr_array((share / width, (cell, place)), shape=(len(cells) - 1, len(grid) - 1))
    # The mean of a weight that is linear is that in the middle.
    upper = share * (middle - grid[place]) / width
    values = np.concatenate([share - upper, upper])
    nodes = np.concatenate([place, place + 1])
    values /= _areas(grid)[nodes]
    return csr_array((values, (np.tile(cell, 2), nodes)), shape=(len(cells) - 1, len(grid)))


def _areas(nodes: Array) -> Array:
    """Integrals of the functions that are 1 at a node and fall to 0 at those beside it."""
    half = np.diff(nodes) / 2
    return np.asarray(np.append(half, 0.0) + np.insert(half, 0, 0.0))
