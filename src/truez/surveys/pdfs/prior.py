"""The prior that photo-z codes have put into their p(z), and the likelihood without it.

A map of galaxies multiplies its own prior, N(z) times the density on the sight line, with the
likelihood of the photometry. What codes write is a posterior: their likelihood times a prior of
their own, which would be counted twice. So it is divided out, and must be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from os.path import lexists
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from truez.support.checks import shown
from truez.support.tables import split_table
from truez.surveys.nz import NumberDensity, read_number_density
from truez.surveys.pdfs.forms import Array, check_edges


@dataclass(frozen=True, eq=False)
class PdfPrior:
    """The prior of p(z).

    Parameters
    ----------
    density : NumberDensity, optional
        Of redshift; flat without it.
    """

    density: NumberDensity | None = None

    def mass(self, edges: ArrayLike) -> Array:
        """Prior probability between edges (k + 1,), in any scale, shape (k,)."""
        limits = check_edges(edges)
        return np.diff(limits) if self.density is None else self.density.counts(limits)

    @property
    def span(self) -> tuple[float, float] | None:
        """Redshifts between which it is; None for a flat one, which is everywhere."""
        if self.density is None:
            return None
        low, high = self.density.redshift[[0, -1]].tolist()
        return low, high

    @classmethod
    def of(
        cls, pdf_prior: str | Path | NumberDensity | None, *, nz: NumberDensity | None = None,
        stack: NumberDensity | None = None,
    ) -> PdfPrior:  # fmt: skip
        """The prior that a user names.

        Parameters
        ----------
        pdf_prior : str, path or NumberDensity
            ``flat``; ``nz``, which is N(z) of the survey; ``stack``, the sum of its p(z), peaks
            and all; or a file of it, with columns ``z`` and ``n``, or what was read from one.
        nz, stack : NumberDensity, optional
            N(z) of the photometric survey, and the sum of its p(z).

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If none is named, N(z) is not there, or the file is none of it.

        Examples
        --------
        >>> PdfPrior.of("flat").mass([0.0, 0.5, 1.5])
        array([0.5, 1. ])
        """
        if isinstance(pdf_prior, NumberDensity):
            return cls(pdf_prior)
        if pdf_prior is None or not str(pdf_prior):
            raise ValueError(
                "pdf_prior must name the prior that is in the p(z), flat, nz, stack or a file of "
                "z, n: the map has its own prior, N(z) times the density, and multiplies it with a "
                "likelihood, so that of the photo-z code is divided out"
            )
        if str(pdf_prior) == "flat":
            return cls()
        if str(pdf_prior) == "nz":
            if nz is None:
                raise ValueError(
                    "pdf_prior is nz, but there is no N(z) of the photometric survey: pass it as "
                    "nz, or give pdf_prior a file of z and n"
                )
            return cls(nz)
        if str(pdf_prior) == "stack":
            if stack is None:
                raise ValueError(
                    "pdf_prior is stack, but there is no sum of p(z): pass it as stack, or give "
                    "pdf_prior a file of z and n"
                )
            return cls(stack)
        if not lexists(split_table(pdf_prior)[0]):  # also where the name is too long
            raise FileNotFoundError(
                f"pdf_prior must be flat, nz, stack or a file of z and n, and there is no file "
                f"{shown(str(pdf_prior))}"
            )
        return cls(read_number_density(pdf_prior, option="pdf_prior"))
