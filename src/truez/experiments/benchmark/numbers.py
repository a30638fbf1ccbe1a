"""What was measured in one box, as single numbers: read from its file, summed up in bands of k."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.evaluate.tables import plain
from truez.experiments.benchmark.optimum import Optimum
from truez.experiments.benchmark.settings import RADII
from truez.statistics.binning import Floats
from truez.support.files import write_text

Band = tuple[float, float]
#: Ranges of k [h/Mpc] in which spectra are quoted, and the one of the acceptance.
BANDS: tuple[Band, ...] = (
    (0.0, 0.03), (0.03, 0.066), (0.066, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 0.3), (0.3, 0.5),
)  # fmt: skip
WIDE: Band = (0.1, 0.5)


def in_words(band: Band) -> str:
    """Such as ``0.1-0.15``."""
    return f"{band[0]:g}-{band[1]:g}" if band[0] else f"<{band[1]:g}"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values; what is not finite becomes null."""
    write_text(path, json.dumps(plain(content), separators=(",", ":")) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: remove it, and it is made again") from error


def array(values: ArrayLike) -> Floats:
    """Numbers of a file, null as nan."""
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Spectra:
    """Sums over the modes of some bins: of the estimate, the truth, and both [(Mpc/h)^3]."""

    rr: float
    tt: float
    rt: float
    nmodes: float

    @property
    def r(self) -> float:
        """Correlation with the truth; nan where there is none."""
        both = self.rr * self.tt
        return self.rt / math.sqrt(both) if both > 0 else math.nan

    @property
    def significance(self) -> float:
        """The cross power in units of its scatter, were the two fields independent.

        Of ``nmodes`` modes one and its conjugate count as two. 0 where there is no power.
        """
        scatter = self.rr * self.tt / self.nmodes
        return self.rt / math.sqrt(scatter) if scatter > 0 else 0.0

    @property
    def transfer(self) -> float:
        """T = sqrt(P_rr / P_tt)."""
        return math.sqrt(self.rr / self.tt) if self.tt > 0 else math.nan


class BoxResult:
    """One box in one setting, or its controls.

    Parameters
    ----------
    content : mapping
        As `truez.experiments.benchmark.methods.measure` gives it.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        truth = content["truth"]
        self.edges = array(truth["edges"])
        self.nmodes = array(truth["nmodes"])
        self.power = array(truth["power"])
        self.methods: dict[str, Any] = content["methods"]

    @classmethod
    def read(cls, path: Path) -> BoxResult:
        """Read a file of results."""
        return cls(read_json(path))

    @cached_property
    def k(self) -> Floats:
        """Mean wavenumber of each shell (n,) [h/Mpc]; nan where it is empty."""
        total = self.total(array(self.content["truth"]["k"]), axis=1)
        modes = self.nmodes.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / modes)

    def total(self, values: Floats, axis: int | None = None) -> Any:
        """Sum over modes of a mean per mode in each bin (n, num_mu)."""
        return np.where(self.nmodes > 0, values * self.nmodes, 0.0).sum(axis=axis)

    def rows(self, band: Band) -> NDArray[np.bool_]:
        """The shells of a band (n,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.k >= band[0]) & (self.k < band[1]))

    def spectra(self, entry: Mapping[str, Any], band: Band) -> Spectra:
        """Sums of an entry in a band."""
        rows = self.rows(band)
        where = rows[:, None]
        rr, tt, rt = (
            float(self.total(np.where(where, values, 0.0)))
            for values in (array(entry["power"]), self.power, array(entry["cross"]))
        )
        return Spectra(rr, tt, rt, float(self.nmodes[rows].sum()))

    def pole(self, entry: Mapping[str, Any], ell: int, band: Band) -> float:
        """A multipole of an entry, its mean over the modes of a band [(Mpc/h)^3]."""
        rows, modes = self.rows(band), self.nmodes.sum(axis=1)
        values = array(entry["poles"][str(ell)])[rows]
        weight = modes[rows].sum()
        return float((values * modes[rows]).sum() / weight) if weight > 0 else math.nan

    def lost(self, optimum: Optimum, band: Band) -> float:
        """1 - r_opt^2 in a band, of an optimum in the same bins."""
        rows = self.rows(band)
        power = float(optimum.power[rows].sum())
        return float(optimum.lost[rows].sum()) / power if power > 0 else math.nan

    def lost_as_observed(self, band: Band) -> float:
        """1 - r_opt^2 in a band, as the fit to the observed fields of this box has it."""
        rows = self.rows(band)
        weight = self.total(self.power, axis=1)[rows]
        values = array(self.content["optimum"]["observed"])[rows]
        return float((values * weight).sum() / weight.sum()) if weight.sum() > 0 else math.nan

    def numbers(self, name: str) -> dict[str, float]:
        """The single numbers of a method that need no optimum."""
        entry = self.methods[name]
        variances = self.content["truth"]["smoothed_variance"]
        result = {key: entry[key] for key in ("mean", "mse", "mae", "mse_over_variance")}
        for radius in RADII:
            smooth = entry["smoothed"][str(radius)]
            result[f"mse_{radius:g}"] = smooth["mse"]
            result[f"mae_{radius:g}"] = smooth["mae"]
            result[f"mse_over_variance_{radius:g}"] = smooth["mse"] / variances[str(radius)]
        for score, parts in (entry["sub_boxes"] or {}).items():
            result[f"sub_{score}"] = parts["mean"]
            result[f"sub_{score}_sigma"] = parts["sigma"]
        if "posteriors" in entry:
            found = entry["posteriors"]
            result |= {
                "nats": found["nats"],
                "nats_own_place": found["nats_own_place"],
                "pit": 100 * float(np.abs(array(found["pit"]) - 0.1).max()),
                "inside": 100 * found["inside"],
            }
        if "sigma_calibration" in entry:
            result["sigma_variance"] = entry["sigma_calibration"]["all"]
        return {key: math.nan if value is None else value for key, value in result.items()}
