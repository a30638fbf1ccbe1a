"""Results of `truez.statistics.power`: arrays in bins, written to and read from ECSV files.

Power is in (Mpc/h)^3, wavenumbers are in h/Mpc and lengths in Mpc/h. A bin without modes has
``nmodes`` 0 and NaN elsewhere. In a file the bins are rows, two-dimensional ones in the order of
their array, and the edges and single numbers are in the header.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from truez.support.files import atomic_path
from truez.support.printable import printable

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

#: The attributes that hold one value for each bin, with their units; all others go to the header.
COLUMNS = {
    "k": "mean wavenumber [h/Mpc]",
    "k_perp": "mean wavenumber across the line of sight [h/Mpc]",
    "k_par": "mean wavenumber along the line of sight [h/Mpc]",
    "mu": "mean of |k_par| / k",
    "r": "mean separation [Mpc/h]",
    "nmodes": "number of modes, a mode and its conjugate counting as two",
    "npairs": "number of separations on the mesh",
    "poles": "multipole, shot noise included [(Mpc/h)^3]",
    "power": "power, shot noise included [(Mpc/h)^3]",
    "power_rr": "power of the field, shot noise included [(Mpc/h)^3]",
    "power_tt": "power of the truth, shot noise included [(Mpc/h)^3]",
    "power_rt": "cross power [(Mpc/h)^3]",
    "power_spec": "power of the spectroscopic survey [(Mpc/h)^3]",
    "power_model": "power of the estimate [(Mpc/h)^3]",
    "factor": "factor that multiplies amplitudes",
    "xi": "mean of delta_a(x) delta_b(x + r)",
    "ntriangles": "number of triangles of modes, in all orders of their sides",
    "bispectrum": "equilateral bispectrum, shot noise included [(Mpc/h)^6]",
}


def write_table(table: Table, path: str | Path) -> None:
    """Write a table to an ECSV file, whole or not at all."""
    with atomic_path(_ecsv(path)) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def read_table(path: str | Path, kind: str) -> Table:
    """Read a table whose header says ``truez: kind``."""
    if not _ecsv(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        table = Table.read(path, format="ascii.ecsv")
        found = table.meta["truez"]
    except Exception as error:  # astropy raises many types
        raise ValueError(
            f"{path} is not a result that truez wrote: give another file, or make it again"
        ) from error
    if found != kind:
        raise ValueError(f"{path} holds {printable(str(found))[:40]}, not {kind}")
    return table


@contextmanager
def whole(path: str | Path) -> Iterator[None]:
    """Refuse a table, read from ``path``, that lacks a part or holds one of another type."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged, as it does not hold all of a result: give another file, or make "
            "it again"
        ) from error


def _ecsv(path: str | Path) -> Path:
    if Path(path).suffix.lower() != ".ecsv":
        raise ValueError(f"results are read and written as .ecsv, not {path}")
    return Path(path)


class Result:
    """Files, tables and ``repr`` of a measurement, from the attributes of its dataclass."""

    def write(self, path: str | Path) -> None:
        """Write to an ECSV file, whole or not at all."""
        write_table(self.to_table(), path)

    def __repr__(self) -> str:
        about = self._attributes()
        edges = about.get("edges")
        parts = []
        if edges is not None and len(edges) > 1:
            what, unit = ("r", "Mpc/h") if "xi" in about else ("k", "h/Mpc")
            parts.append(
                f"{len(edges) - 1} bins of {what} from {edges[0]:.4g} to {edges[-1]:.4g} {unit}"
            )
        elif "kperp_edges" in about:
            shape = f"{len(about['kperp_edges']) - 1} x {len(about['kpar_edges']) - 1}"
            parts.append(f"{shape} bins of k_perp and k_par")
        if "poles" in about:
            parts.append(f"ells {tuple(about['poles'])}")
        if "mu_edges" in about:
            parts.append(f"{len(about['mu_edges']) - 1} bins of mu")
        if about.get("shotnoise") is not None:
            parts.append(f"shot noise {about['shotnoise']:.4g} (Mpc/h)^3")
        return f"{type(self).__name__}: {', '.join(parts)}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.to_table()._repr_html_()}"

    def to_table(self) -> Table:
        """The bins as rows of an astropy Table, with edges and single numbers in its ``meta``."""
        table = Table()
        meta: dict[str, Any] = {"truez": type(self).__name__}
        for name, value in self._attributes().items():
            if name not in COLUMNS:
                meta[name] = np.asarray(value).tolist()
                continue
            several = name == "poles"
            for column, array in (
                {f"pole_{ell}": pole for ell, pole in value.items()} if several else {name: value}
            ).items():
                table[column] = array.reshape(-1)
                table[column].description = COLUMNS[name]
                meta["shape"] = list(array.shape)
        table.meta.update(meta)
        return table

    def _attributes(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        FileNotFoundError
            If there is none.
        """
        table = read_table(path, cls.__name__)
        with whole(path):
            return cls.from_table(table)

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """The measurement that `to_table` turned into a table."""
        values: dict[str, Any] = {}
        for item in fields(cls):  # type: ignore[arg-type]
            name = item.name
            if name == "poles":
                names = [column for column in table.colnames if column.startswith("pole_")]
                values[name] = {int(column[5:]): np.asarray(table[column]) for column in names}
            elif name in COLUMNS:
                values[name] = np.asarray(table[name]).reshape(table.meta["shape"])
            else:
                value = table.meta[name]
                values[name] = np.asarray(value) if isinstance(value, list) else value
        return cls(**values)


@dataclass(frozen=True, eq=False, repr=False)
class Power(Result):
    """Multipoles of a power spectrum, shape (n,) each."""

    #: Bin edges (n + 1,) [h/Mpc]; each bin includes its lower and excludes its upper.
    edges: Floats
    #: Mean wavenumber of the modes in each bin [h/Mpc].
    k: Floats
    #: Number of modes, a mode and its conjugate counting as two.
    nmodes: Counts
    #: Multipoles by degree, shot noise included [(Mpc/h)^3].
    poles: dict[int, Floats]
    #: Shot noise contained in the monopole [(Mpc/h)^3]; 0 for a cross power, None where unknown.
    shotnoise: float | None

    @property
    def ells(self) -> tuple[int, ...]:
        """The degrees of the multipoles."""
        return tuple(self.poles)

    def plot(self, *, ax: Any = None) -> Any:
        """Draw k P_ell(k); the monopole without its shot noise, where that is known.

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
        for ell, pole in self.poles.items():
            noise = (self.shotnoise or 0.0) if ell == 0 else 0.0
            ax.plot(self.k, self.k * (pole - noise), label=rf"$\ell = {ell}$")
        ax.axhline(0, color="0.7", lw=0.8)
        ax.set(xlabel=r"$k$ [$h$/Mpc]", ylabel=r"$k\,P_\ell(k)$ [(Mpc/$h$)$^2$]")
        ax.legend(frameon=False)
        return ax.figure


@dataclass(frozen=True, eq=False, repr=False)
class Wedges(Result):
    """Power in bins of (k, mu), shape (n, num_mu) each."""

    edges: Floats
    mu_edges: Floats
    k: Floats
    mu: Floats
    nmodes: Counts
    power: Floats
    shotnoise: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Power2D(Result):
    """Power in bins of (k_perp, k_par), across and along the line of sight, shape (n, m) each."""

    kperp_edges: Floats
    kpar_edges: Floats
    k_perp: Floats
    k_par: Floats
    nmodes: Counts
    power: Floats
    shotnoise: float | None


class _Compared:
    """Correlation and transfer of a field r with the truth t, from the spectra of the pair."""

    power_rr: Floats
    power_tt: Floats
    power_rt: Floats

    @property
    def r(self) -> Floats:
        """Correlation coefficient P_rt / sqrt(P_rr P_tt); NaN where either has no power."""
        both = np.sqrt(self.power_rr * self.power_tt)
        ratio: Floats = np.divide(
            self.power_rt, both, out=np.full_like(both, np.nan), where=both > 0
        )
        return ratio

    @property
    def transfer(self) -> Floats:
        """T = sqrt(P_rr / P_tt); NaN where the truth has no power."""
        ratio: Floats = np.divide(
            self.power_rr,
            self.power_tt,
            out=np.full_like(self.power_rr, np.nan),
            where=self.power_tt > 0,
        )
        return np.sqrt(ratio)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(_Compared, Result):
    """A field r against the truth t in bins of k, shape (n,) each."""

    edges: Floats
    k: Floats
    nmodes: Counts
    power_rr: Floats
    power_tt: Floats
    power_rt: Floats


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonMu(_Compared, Result):
    """A field r against the truth t in bins of (k, mu), shape (n, num_mu) each."""

    edges: Floats
    mu_edges: Floats
    k: Floats
    mu: Floats
    nmodes: Counts
    power_rr: Floats
    power_tt: Floats
    power_rt: Floats


@dataclass(frozen=True, eq=False, repr=False)
class Comparison2D(_Compared, Result):
    """A field r against the truth t in bins of (k_perp, k_par), shape (n, m) each."""

    kperp_edges: Floats
    kpar_edges: Floats
    k_perp: Floats
    k_par: Floats
    nmodes: Counts
    power_rr: Floats
    power_tt: Floats
    power_rt: Floats


@dataclass(frozen=True, eq=False, repr=False)
class Correlation(Result):
    """A correlation function in bins of separation, shape (n,) each."""

    edges: Floats
    r: Floats
    npairs: Counts
    xi: Floats
