"""Errors of photo-z in one column, or as the ends of an interval in two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Probability of an interval whose half width is one standard deviation, as surveys round it.
ONE_SIGMA = 0.68


@dataclass(frozen=True)
class ErrorColumns:
    """The columns that ``COLUMN``, ``LOWER:UPPER`` or ``LOWER:UPPER:LEVEL`` names.

    Parameters
    ----------
    names : tuple of str
        One, of standard deviations, or two, of the ends of an interval.
    level : float
        Probability of the interval.

    Examples
    --------
    >>> from truez.surveys.error_columns import ErrorColumns
    >>> ErrorColumns.of("Z_L95:Z_U95:0.95")
    ErrorColumns(names=('Z_L95', 'Z_U95'), level=0.95)
    """

    names: tuple[str, ...]
    level: float = ONE_SIGMA

    @classmethod
    def of(cls, text: str, option: str = "z_err_column") -> ErrorColumns:
        """The columns of a text.

        Raises
        ------
        ValueError
            If it has other parts; ``option`` names it.
        """
        if ":" not in text:
            return cls((text,))
        *names, last = (part.strip() for part in text.split(":"))
        level: float = ONE_SIGMA
        if len(names) == 1:
            names.append(last)
        else:
            try:
                level = float(last)
            except ValueError:
                level = np.nan
        if len(names) != 2 or not all(names) or not 0 < level < 1:
            raise ValueError(
                f"{option} must be COLUMN, LOWER:UPPER for the ends of a 68% interval, or "
                f"LOWER:UPPER:LEVEL such as Z_L95:Z_U95:0.95, not {text!r}"
            )
        return cls((names[0], names[1]), level)

    def __str__(self) -> str:
        level = [] if self.level == ONE_SIGMA or len(self.names) == 1 else [f"{self.level:g}"]
        return ":".join([*self.names, *level])

    def errors(self, *columns: Array) -> Array:
        """Standard deviations: half the width of a 68% interval, of others that of a Gaussian.

        Parameters
        ----------
        *columns : (n,) arrays
            Those of ``names``.

        Returns
        -------
        (n,) array
            NaN where an interval has no width.
        """
        if len(columns) == 1:
            return columns[0]
        lower, upper = columns
        width = np.where(upper > lower, upper - lower, np.nan)
        return np.asarray(width / (2 * self._ends), dtype=np.float64)

    @property
    def _ends(self) -> float:
        """Distance of the ends of the interval from its middle, in standard deviations."""
        from scipy.stats import norm

        return 1.0 if self.level == ONE_SIGMA else float(norm.ppf((1 + self.level) / 2))
