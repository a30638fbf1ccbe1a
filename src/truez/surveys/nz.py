"""N(z), the number of galaxies of a survey per redshift, as a table.

`truez.surveys.nz_fit` fits it to redshifts; here it is integrated, compared, drawn and read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.vectors import floats
from truez.support.notes import Note
from truez.surveys.stacked_error import SharedError

Array = NDArray[np.float64]
#: Names of the columns of a file, in lower case.
_REDSHIFTS, _NUMBERS = ("z", "redshift", "zmid", "z_mid"), ("n", "nz", "n(z)", "dndz", "dn/dz")
#: Difference of the shares below a redshift that is worth a note, and times the root of the number
#: of galaxies, by chance in 1 of 100.
_UNUSUAL, _CHANCE = 0.1, 1.63
#: Those of DESI's files of N(z): edges of a bin and the (weighted) number of galaxies in it.
_BINS = ("zlow", "zhigh", "nbin")


@dataclass(frozen=True)
class NumberFit:
    """The form that was fitted, and how well.

    Parameters
    ----------
    amplitude, a, z0, b : float
        Of dN/dz = exp(amplitude) z^a exp(-(z / z0)^b).
    chi2 : float
        Of the histogram, in bins that expect 5 galaxies or more. Clustering adds to it: N(z) of
        exact redshifts has some 10 per degree of freedom in a field of 60 deg^2.
    dof : int
        Number of these bins, less 4.
    edges : (n + 1,) array
        Bins of the histogram.
    counts, model : (n,) arrays
        Galaxies in them, weighted, and the fitted numbers.
    """

    amplitude: float
    a: float
    z0: float
    b: float
    chi2: float
    dof: int
    edges: Array = field(repr=False)
    counts: Array = field(repr=False)
    model: Array = field(repr=False)

    def __str__(self) -> str:
        return (
            f"dN/dz = exp({self.amplitude:.4g}) z^{self.a:.3g} exp(-(z/{self.z0:.3g})^{self.b:.3g})"
            f", chi2/dof = {self.chi2:.4g}/{self.dof}, within {100 * self.difference:.2g}%"
        )

    @property
    def difference(self) -> float:
        """The largest difference of the shares of galaxies below any redshift, data less fit."""
        return abs(self._worst()[1])

    def note(self, name: str, option: str) -> None:
        """Note a fit whose shares are away by more than 10%, besides what chance makes.

        Parameters
        ----------
        name, option : str
            Of the survey, and of what may be given in place of the fit.
        """
        worst, away = self._worst()
        if abs(away) > _UNUSUAL + _CHANCE / np.sqrt(self.counts.sum()):
            share = 100 * self.counts[: worst + 1].sum() / self.counts.sum()
            warnings.warn(
                f"the form of N(z) that was fitted is not that of the {name} galaxies: "
                f"{share:.0f}% of them are below {self.edges[worst + 1]:.3g} where it expects "
                f"{share - 100 * away:.0f}%: give {option}",
                Note,
                stacklevel=2,
            )

    def _worst(self) -> tuple[int, float]:
        """The bin at whose end the shares differ most, and by how much."""
        away = np.cumsum(self.counts) / self.counts.sum() - np.cumsum(self.model) / self.model.sum()
        worst = int(np.argmax(np.abs(away)))
        return worst, float(away[worst])


@dataclass(frozen=True, eq=False)
class NumberDensity:
    """dN/dz of a survey over its whole footprint, linear between nodes and 0 beyond them.

    Parameters
    ----------
    redshift : (m,) array
        Nodes, ascending.
    density : (m,) array
        Galaxies per unit redshift there.
    fit : NumberFit, optional
        Where it was fitted.

    Raises
    ------
    ValueError
        If nodes do not ascend from 0 or above, or a density is negative, not finite or 0 at all.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.nz import NumberDensity
    >>> nz = NumberDensity(np.array([0.0, 0.5, 1.0]), np.array([0.0, 2000.0, 0.0]))
    >>> float(nz.total), nz.counts([0.0, 0.5, 1.0]), float(nz.quantile(0.5))
    (1000.0, array([500., 500.]), 0.5)
    """

    redshift: Array
    density: Array
    fit: NumberFit | None = None

    def __post_init__(self) -> None:
        z, n = (np.asarray(x, np.float64) for x in (self.redshift, self.density))
        if z.ndim != 1 or z.shape != n.shape or z.size < 2:
            raise ValueError(f"N(z) needs two redshifts or more and as many numbers, not {z.shape} "
                             f"and {n.shape}")  # fmt: skip
        if not (np.isfinite(z).all() and z[0] >= 0 and (np.diff(z) > 0).all()):
            raise ValueError("the redshifts of N(z) must be finite, >= 0 and ascending")
        if not (np.isfinite(n).all() and (n >= 0).all() and (n > 0).any()):
            raise ValueError("the numbers of N(z) must be finite and >= 0, and not all 0")
        object.__setattr__(self, "redshift", z)
        object.__setattr__(self, "density", n)

    def __repr__(self) -> str:
        text = "" if self.fit is None else f"\n  {self.fit}"
        low, high = self.quantile([0.005, 0.995])
        about = f"{self.total:.6g} galaxies, 99% of them at z = {low:.3g} to {high:.3g}"
        return f"NumberDensity of {about}{text}"

    def __call__(self, redshift: ArrayLike) -> Array:
        """Galaxies per unit redshift."""
        z = np.asarray(redshift, np.float64)
        return np.asarray(np.interp(z, self.redshift, self.density, left=0.0, right=0.0))

    def below(self, redshift: ArrayLike) -> Array:
        """Number of galaxies below redshifts."""
        z = np.clip(np.asarray(redshift, np.float64), self.redshift[0], self.redshift[-1])
        steps = np.diff(self.redshift) * (self.density[1:] + self.density[:-1]) / 2
        sums = np.concatenate([[0.0], np.cumsum(steps)])
        node = np.clip(np.searchsorted(self.redshift, z, side="right") - 1, 0, len(steps) - 1)
        rest = z - self.redshift[node]
        return np.asarray(sums[node] + rest * (self.density[node] + self(z)) / 2)

    def counts(self, edges: ArrayLike) -> Array:
        """Number of galaxies between redshifts (n + 1,), shape (n,)."""
        return np.asarray(np.diff(self.below(edges)))

    @property
    def total(self) -> float:
        """Number of all galaxies."""
        return float(self.below(self.redshift[-1]))

    def quantile(self, share: ArrayLike) -> Array:
        """Redshifts below which shares of the galaxies are."""
        sums = self.below(self.redshift)
        wanted = np.clip(np.asarray(share, np.float64), 0, 1) * sums[-1]
        node = np.clip(np.searchsorted(sums, wanted, side="right") - 1, 0, len(sums) - 2)
        rest, first = wanted - sums[node], self.density[node]
        slope = np.diff(self.density)[node] / np.diff(self.redshift)[node]
        # The root of first d + slope d^2 / 2 = rest that stays finite where either is 0.
        root = first + np.sqrt(np.maximum(first**2 + 2 * slope * rest, 0))
        step = np.divide(2 * rest, root, out=np.zeros_like(rest), where=root > 0)
        return np.asarray(np.minimum(self.redshift[node] + step, self.redshift[node + 1]))

    def scaled(self, total: float) -> NumberDensity:
        """The same shape with another number of galaxies."""
        if not (np.isfinite(total) and total > 0):
            raise ValueError(f"the number of galaxies must be positive, not {total!r}")
        return NumberDensity(self.redshift, self.density * (total / self.total))

    def within(self, low: float, high: float) -> NumberDensity:
        """The part between two redshifts, for a survey that was cut in true redshift."""
        inner = self.redshift[(self.redshift > low) & (self.redshift < high)]
        nodes = np.unique(np.concatenate([[max(low, self.redshift[0])], inner,
                                          [min(high, self.redshift[-1])]]))  # fmt: skip
        if not low < high or nodes[-1] <= nodes[0] or not self.counts([low, high])[0] > 0:
            raise ValueError(f"N(z) has no galaxies between z = {low:g} and {high:g}")
        return replace(self, redshift=nodes, density=self(nodes))

    def observed(self, edges: ArrayLike, error: SharedError) -> Array:
        """Expected number of galaxies with photo-z between ``edges`` (n + 1,), shape (n,)."""
        step = max(error.sigma_z / 5, 2e-4)
        num = int(np.clip((self.redshift[-1] - self.redshift[0]) / step, 500, 20_000))
        fine = np.linspace(self.redshift[0], self.redshift[-1], num + 1)
        if error.sigma_z == 0 and not error.bias:
            fine = np.union1d(fine, np.asarray(edges, np.float64))
        middle = (fine[1:] + fine[:-1]) / 2
        return np.asarray(error.probability(edges, middle) @ self.counts(fine))

    @classmethod
    def sum(cls, parts: Sequence[NumberDensity]) -> NumberDensity:
        """N(z) of several samples together."""
        nodes = np.unique(np.concatenate([part.redshift for part in parts]))
        return cls(nodes, np.sum([part(nodes) for part in parts], axis=0))

    def check_matches(
        self, redshift: ArrayLike, error: SharedError, *, name: str, option: str = "nz",
        most: float = 0.2,
    ) -> float:  # fmt: skip
        """The largest difference of the shares of galaxies below any redshift, data less N(z).

        Parameters
        ----------
        redshift : (n,) array
            Photo-z, or exact redshifts under an error of 0.
        error : RedshiftError or StackedError
        name, option : str
            Of the survey, and of where N(z) comes from, for the message.
        most : float
            Above it, besides what the number of galaxies explains, N(z) is not that of the data.
            In fields of a square degree clustering alone makes as much. Above 0.1 a `Note` says so.

        Raises
        ------
        ValueError
        """
        z = np.sort(np.asarray(redshift, np.float64))
        edges = np.linspace(z[0], z[-1], 201)
        share = np.searchsorted(z, edges[1:], side="right") / z.size
        model = np.cumsum(self.observed(edges, error))
        if not model[-1] > 0:
            raise ValueError(f"{option} has no galaxies where the {name} survey has: correct it")
        away = share - model / model[-1]
        worst = int(np.argmax(np.abs(away)))
        found = (
            f"{100 * share[worst]:.0f}% of them are below {edges[1 + worst]:.3g} where it expects "
            f"{100 * model[worst] / model[-1]:.0f}%"
        )
        chance = _CHANCE / np.sqrt(z.size)
        if abs(away[worst]) > most + chance:
            raise ValueError(
                f"{option} contradicts the {name} redshifts: {found}: correct it, or let it be "
                "fitted"
            )
        if abs(away[worst]) > _UNUSUAL + chance:
            warnings.warn(f"{option} differs from the {name} redshifts: {found}", Note,
                          stacklevel=2)  # fmt: skip
        return float(abs(away[worst]))

    def plot(self, *, ax: Any = None) -> Any:
        """Draw dN/dz, and the histogram with the fit over it where it was fitted.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Figure
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        if self.fit is not None:
            width = np.diff(self.fit.edges)
            ax.stairs(self.fit.counts / width, self.fit.edges, color="0.6", label="galaxies")
            ax.plot((self.fit.edges[1:] + self.fit.edges[:-1]) / 2, self.fit.model / width,
                    color="C0", label="fit to the histogram")  # fmt: skip
        ax.plot(self.redshift, self.density, color="C1", ls="--", label="N(z)")
        ax.set(xlabel="redshift", ylabel="dN/dz", ylim=(0, None))
        ax.legend(frameon=False)
        return ax.figure


def holds_number_density(columns: Iterable[str]) -> bool:
    """Whether columns are of a file of N(z): bins of DESI, or z and n and one more at most."""
    names = {name.lower() for name in columns}
    pair = not names.isdisjoint(_REDSHIFTS) and not names.isdisjoint(_NUMBERS)
    return set(_BINS) <= names or (pair and len(names) <= 3)


def read_number_density(
    path: str | Path, total: float | None = None, *, option: str = "nz"
) -> NumberDensity:
    """N(z) from a file of redshifts and numbers per unit redshift.

    Parameters
    ----------
    path : path
        A catalogue of any format with columns ``z`` and ``n``, or with two columns in this order.
        Numbers are those of galaxies per unit redshift, not per volume; their scale is free where
        ``total`` is given. Of a file of DESI (zmid zlow zhigh n(z) Nbin Vol_bin) the galaxies of
        each bin, Nbin, are taken, and not its n(z), which is per volume.
    total : float, optional
        Number of galaxies of the survey, to which it is scaled.
    option : str
        That names the file, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has other columns, or they are no N(z).
    """
    try:
        table = Catalog.read(path)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    names = list(table.columns)
    binned = set(_BINS) <= {name.lower() for name in names}
    z, n = (
        next((name for name in names if name.lower() in known), None)
        for known in (_REDSHIFTS, _NUMBERS)
    )
    if len(names) == 2 and (z is None or n is None):
        z, n = names
    if (z is None or n is None) and not binned:
        raise ValueError(
            f"{option} {path} needs columns z and n, the galaxies per unit redshift, and has "
            f"{', '.join(names[:8])}: rename them"
        )
    try:
        if binned:
            result = NumberDensity(*_of_bins(table))
        else:
            assert z is not None
            assert n is not None
            result = NumberDensity(floats(table.columns, z), floats(table.columns, n))
    except ValueError as error:
        raise ValueError(f"{option} {path}: {error}: correct the file") from None
    return result if total is None else result.scaled(total)


def _of_bins(table: Catalog) -> tuple[Array, Array]:
    """Nodes and galaxies per unit redshift of a table of bins as DESI writes it."""
    names = {name.lower(): name for name in table.columns}
    low, high, number = (floats(table.columns, names[name]).astype(np.float64) for name in _BINS)
    if not (high > low).all():
        raise ValueError("bins need zlow below zhigh")
    density = number / (high - low)
    # The outer bins keep their galaxies up to their edges.
    nodes = np.concatenate([low[:1], (low + high) / 2, high[-1:]])
    return nodes, np.concatenate([density[:1], density, density[-1:]])
