"""p(z) of every photometric galaxy, in a file that qp reads.

qp (LSST DESC, https://qp.readthedocs.io) calls it an ensemble of the type ``hist``: redshift bins
that all galaxies share, and each one's density in them [per unit of redshift]. Densities are 1 in
total; those of a galaxy without a posterior are nan. `truez.surveys.pdfs.writing` has the groups of
the file, and `PdfFile` the columns of ``ancil``.

**Redshift.** A box has no observer, so redshift is linear along it, as the photo-z error is:
``z = z_box + (x - x_center) H(z_box) / c``, with z_box the effective redshift at the centre of the
box. In a box that reaches further than its distance it goes below 0.

**Bins.** Those of a closed box are its cells, and the cells beyond its faces where a sample that
was cut in photo-z may have its galaxies. A periodic box is cut open for each galaxy, opposite to
its photo-z: the bins reach half a box beyond either face, and a galaxy near a face has one peak
around its photo-z, not the two halves that a folded p(z) would have. Means, widths and intervals
that qp computes then mean something; the n(z) of all galaxies is folded by adding up bins one box
apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.sightlines.redistribution import kernel_of
from truez.sightlines.sharpened import Sharpened, SharpenedChunk
from truez.surveys.pdfs.writing import PdfWriter, pdf_writer, text_bytes
from truez.surveys.surveys import Surveys

Array = NDArray[Any]


def redshift_from_place(place: ArrayLike, surveys: Surveys) -> NDArray[np.float64]:
    """Redshift at places along the line of sight of the surveys' box [Mpc/h]."""
    scale = surveys.cosmology.distance_error(1.0, surveys.redshift)
    offset = np.asarray(place, dtype=np.float64) - surveys.box.boxcenter[2]
    return np.asarray(surveys.redshift + offset / scale)


def redshift_columns(
    found: Sharpened, surveys: Surveys, rows: slice, known: NDArray[np.bool_]
) -> dict[str, Array]:
    """Sharpened redshifts of the galaxies ``rows`` as columns, in redshift.

    ``known`` (m,) are those whose redshift the spectroscopic survey has.
    """
    places = {
        "z_phot": surveys.photo[rows, 2],
        "z_mean": found.mean,
        "z_mode": found.mode,
        "z_lo": found.lower,
        "z_hi": found.upper,
    }
    columns: dict[str, Array] = {
        name: redshift_from_place(values, surveys) for name, values in places.items()
    }
    columns["z_std"] = found.std / surveys.cosmology.distance_error(1.0, surveys.redshift)
    columns["information_gain"] = found.information
    if surveys.matched is not None:
        columns["spec_matched"] = known
    return columns


def grid_edges(surveys: Surveys) -> NDArray[np.float64]:
    """Edges of the cells that hold the posteriors of all galaxies, (n + 1,) [Mpc/h]."""
    first, stop = _grid(surveys)
    return surveys.box.lower[2] + surveys.box.cellsize[2] * np.arange(first, stop + 1.0)


def _grid(surveys: Surveys) -> tuple[int, int]:
    """The first cell of the common grid, and that behind its last."""
    kernel, num = kernel_of(surveys), surveys.box.meshsize[2]
    if surveys.box.periodic:  # from that of a photo-z in the first cell to that of one in the last
        return -(num // 2), 2 * num - 1 - num // 2
    return -kernel.true_margin, num + kernel.true_margin


class PdfFile:
    """A file of p(z) that is being written; see `pdf_file`.

    The columns of ``ancil`` are those that `append` is given, such as the galaxies' names, and

    ===================  ========================================================================
    z_phot               the photo-z
    z_mean, z_std        of the posterior
    z_mode               centre of its likeliest bin
    z_lo, z_hi           ends of the interval of the catalogue
    information_gain     over the photo-z alone [nats]
    spec_matched         whether the redshift was known: all is in one bin then, and z_mean is it
    ===================  ========================================================================

    in redshift, and like the densities of a periodic box around the photo-z.
    """

    def __init__(self, writer: PdfWriter, surveys: Surveys, edges: NDArray[np.float64]) -> None:
        self._writer, self._surveys = writer, surveys
        self._first, stop = _grid(surveys)
        # As wide as they are on paper: differences of the edges would round.
        self._bins = stop - self._first
        self._width = float(edges[-1] - edges[0]) / self._bins

    def append(
        self,
        chunk: SharpenedChunk,
        extra: Mapping[str, Array] | None = None,
        *,
        text_lengths: Mapping[str, int] | None = None,
    ) -> None:
        """Write the next galaxies.

        Parameters
        ----------
        chunk : SharpenedChunk
            With posteriors.
        extra : mapping of str to (m,) arrays, optional
            Columns of ``ancil`` that come before its own, the same in every chunk.
        text_lengths : mapping of str to int, optional
            Characters of the longest text in those of text, over all chunks.
        """
        known = chunk.sharpened.std == 0  # no posterior is narrower than its bin
        densities = self._densities(chunk, known)
        lengths = text_lengths or {}
        columns = {name: text_bytes(v, lengths.get(name, 0)) for name, v in (extra or {}).items()}
        columns.update(self._own(chunk, known))
        self._writer.append({"pdfs": densities}, columns)

    def finish(self) -> None:
        """Write what is left, so that a full disk is known before the file is moved into place."""
        self._writer.finish()

    def _densities(self, chunk: SharpenedChunk, known: NDArray[np.bool_]) -> NDArray[np.float32]:
        assert chunk.start is not None
        assert chunk.probability is not None
        box, num = self._surveys.box, chunk.probability.shape[1]
        result = np.zeros((len(chunk.start), self._bins), dtype=np.float32)
        for start in np.unique(chunk.start):
            rows, first = chunk.start == start, start - self._first
            result[rows, first : first + num] = chunk.probability[rows]
        result[np.isnan(chunk.sharpened.mean)] = np.nan
        place = (chunk.sharpened.mean[known] - box.lower[2]) / box.cellsize[2]
        # The upper face belongs to the last cell.
        cell = np.floor(place).astype(np.int64).clip(0, box.meshsize[2] - 1)
        result[known] = 0
        result[np.flatnonzero(known), cell - self._first] = 1
        result /= np.float32(self._width)
        return result

    def _own(self, chunk: SharpenedChunk, known: NDArray[np.bool_]) -> dict[str, Array]:
        assert chunk.start is not None
        assert chunk.probability is not None
        surveys, found = self._surveys, chunk.sharpened
        likeliest = chunk.start + chunk.probability.argmax(1) + 0.5
        mode = surveys.box.lower[2] + surveys.box.cellsize[2] * likeliest
        mode = np.where(known | np.isnan(found.mean), found.mean, mode)
        return redshift_columns(replace(found, mode=mode), surveys, chunk.rows, known)


@contextmanager
def pdf_file(
    path: str | Path, surveys: Surveys, metadata: Mapping[str, Any] | None = None
) -> Iterator[PdfFile]:
    """Write p(z) of all photometric galaxies, a chunk after the other, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in .hdf5, by which qp knows the format.
    surveys : Surveys
    metadata : mapping, optional
        Plain values that say what made the file.

    Yields
    ------
    PdfFile
        To append every chunk of `truez.sightlines.sharpened.sharpen_chunks` to, with its
        posteriors.

    Raises
    ------
    ValueError
        If the suffix is another.
    """
    edges = redshift_from_place(grid_edges(surveys), surveys)
    with pdf_writer(path, "hist", len(surveys.photo), edges, metadata) as writer:
        yield PdfFile(writer, surveys, edges)
