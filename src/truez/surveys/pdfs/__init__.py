"""p(z) of each galaxy, as photo-z codes and surveys publish them.

`read_pdfs` reads, a block of galaxies at a time, so that memory does not grow with the survey:

==================  ================================================================================
file                p(z)
==================  ================================================================================
HDF5 of qp          hist, interp, interp_irregular, quant, norm, mixmod
nested Parquet      the same as columns of lists, as Rubin's DP1 has them; a file or a folder
catalogue           columns of quantiles, such as Z_PHOT_L95, _L68, _MEDIAN, _U68, _U95, or the
                    vector column PHZ_PDF of Euclid
anything else       through qp, in the extra ``truez[qp]``
==================  ================================================================================

A `PdfTable` gives the probability of each galaxy in cells of redshift, integrated exactly, and with
the `PdfPrior` that the code used the likelihood that a map multiplies. `write_pdfs` writes
those of qp, and `pdf_writer` a block at a time.
"""

from __future__ import annotations

from truez.surveys.pdfs.classes import pdf_classes
from truez.surveys.pdfs.forms import Problem
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.layouts import LAYOUTS, PdfError
from truez.surveys.pdfs.number_density import fit_pdf_number_density
from truez.surveys.pdfs.parquet import nested_columns
from truez.surveys.pdfs.prior import PdfPrior
from truez.surveys.pdfs.quantiles import pdfs_from_quantiles, quantile_columns, read_quantiles
from truez.surveys.pdfs.reading import read_ids, read_pdfs, read_pdfs_of_rows
from truez.surveys.pdfs.summary import PdfSummary, prior_of_stack, summarise
from truez.surveys.pdfs.table import PdfTable, Problems
from truez.surveys.pdfs.vectors import vector_columns
from truez.surveys.pdfs.writing import PdfWriter, pdf_writer, write_pdfs

__all__ = [
    "LAYOUTS", "GalaxyPdfs", "PdfError", "PdfPrior", "PdfSummary", "PdfTable", "PdfWriter",
    "Problem", "Problems", "fit_pdf_number_density", "nested_columns", "pdf_classes", "pdf_writer",
    "pdfs_from_quantiles", "prior_of_stack", "quantile_columns", "read_ids", "read_pdfs",
    "read_pdfs_of_rows", "read_quantiles", "summarise", "vector_columns", "write_pdfs",
]  # fmt: skip
