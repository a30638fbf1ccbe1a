"""The numbers of the fields of one box, in the one format in which they are kept.

The file is one JSON object; null is what is not a finite number, and spectra have seven digits, as
float32 fields give no more:

    truth     variance, smoothed_variance by radius [Mpc/h], sub_box_cells, edges of k [h/Mpc]; and
              in bins of (k, mu): k, mu, nmodes, power, with poles by degree where asked for
    methods   by name: mean, mse, mae and other scores, mse_over_variance, smoothed by radius,
              sub_boxes by score (mean, sigma, error); of all but constant fields, in the bins of
              the truth, power and cross; where known poles, sigma_calibration, posteriors, as
              `truez.evaluate.box_redshifts.redshift_numbers` has them, and samples, as
              `truez.evaluate.sample_bands.SampleBands.to_dict` does
    optimum   observed: 1 - r_opt^2 in shells of k, as a fit to the observed fields has it

`truez.evaluate.judge.Judge` makes the entries; everything that is shown (shells, bands, means over
boxes) is summed up from these bins. **r of a band is that of the spectra summed over the band's
modes**, here and nowhere else. A shell belongs to the band that holds its mean k.
"""

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

from truez.statistics.binning import Floats
from truez.statistics.power import Comparison
from truez.support import documents
from truez.support.documents import section
from truez.support.files import write_text

Band = tuple[float, float]
#: Ranges of k [h/Mpc] in which spectra are quoted.
BANDS: tuple[Band, ...] = (
    (0.0, 0.03), (0.03, 0.066), (0.066, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 0.3), (0.3, 0.5),
)  # fmt: skip
#: What is stored with seven digits.
_SPECTRA = ("k", "mu", "power", "cross", "poles")
#: Single numbers of the redshifts that a method gives; those that tables show come first.
REDSHIFTS = (
    "nats", "nats_own_place", "pit_worst_tenth", "inside_68", "ln_p", "ln_p_photo", "nmad_before",
    "nmad_after",
)  # fmt: skip
#: Parts of a method's entry that are no single numbers of its cells.
_PARTS = ("smoothed", "sub_boxes", "power", "cross", "poles", "sigma_calibration", "posteriors",
          "noise", "samples")  # fmt: skip


def lost(r: Floats, r_opt: Floats | None = None) -> Floats:
    """Share 1 - r^2 of the truth's power that a field does not explain.

    With ``r_opt`` over the optimum's own share; not finite where the optimum loses nothing.
    """
    share: Floats = 1 - r**2
    if r_opt is None:
        return share
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = share / (1 - r_opt**2)
    return ratio


def in_words(band: Band) -> str:
    """Such as ``0.1-0.15``."""
    return f"{band[0]:g}-{band[1]:g}" if band[0] else f"<{band[1]:g}"


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


@dataclass(frozen=True, eq=False)
class Optimum:
    """The linear optimum: sums over the modes of each bin (n, num_mu) [(Mpc/h)^3].

    ``power`` is that of P_tt, and ``lost`` of P_tt (1 - r_opt^2).
    """

    power: Floats
    lost: Floats


class Numbers:
    """The numbers of one box.

    Parameters
    ----------
    content : mapping
        What the file holds, or will hold; arrays may be lists.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    @classmethod
    def read(cls, path: Path) -> Numbers:
        """Read what `write` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged.
        """
        return cls(read_json(path))

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, {key: _stored(value, key) for key, value in self.content.items()})

    @property
    def methods(self) -> dict[str, Any]:
        """The entries of the fields, by name."""
        methods: dict[str, Any] = self.content["methods"]
        return methods

    @cached_property
    def edges(self) -> Floats:
        """Edges of the shells (n + 1,) [h/Mpc]."""
        return array(self.content["truth"]["edges"])

    @cached_property
    def nmodes(self) -> Floats:
        """Number of modes in the bins (n, num_mu)."""
        return array(self.content["truth"]["nmodes"])

    @cached_property
    def power(self) -> Floats:
        """Power of the truth in the bins (n, num_mu) [(Mpc/h)^3]."""
        return array(self.content["truth"]["power"])

    @cached_property
    def k(self) -> Floats:
        """Mean wavenumber of each shell (n,) [h/Mpc]; nan where it is empty."""
        return self._mean(self.content["truth"]["k"])

    @property
    def bands(self) -> list[Band]:
        """Those of `BANDS` that hold a shell."""
        return [band for band in BANDS if self.rows(band).any()]

    def total(self, values: Floats, axis: int | None = None) -> Any:
        """Sum over modes of a mean per mode in each bin (n, num_mu)."""
        return np.where(self.nmodes > 0, values * self.nmodes, 0.0).sum(axis=axis)

    def _mean(self, values: ArrayLike) -> Floats:
        """Mean over the modes of each shell (n,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.total(array(values), axis=1) / self.nmodes.sum(axis=1))

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

    def shells(self, name: str) -> Comparison:
        """Spectra of a field against the truth in shells of k; a constant has no power."""
        entry = self.methods[name]
        truth = self._mean(self.power)
        rr, rt = (
            self._mean(entry[key]) if key in entry else np.zeros_like(truth)
            for key in ("power", "cross")
        )
        return Comparison(self.edges, self.k, self.nmodes.sum(axis=1).astype(int), rr, truth, rt)

    def pole(self, entry: Mapping[str, Any], ell: int, band: Band) -> float:
        """A multipole of an entry, its mean over the modes of a band [(Mpc/h)^3]."""
        rows, modes = self.rows(band), self.nmodes.sum(axis=1)
        values = array(entry["poles"][str(ell)])[rows]
        weight = modes[rows].sum()
        return float((values * modes[rows]).sum() / weight) if weight > 0 else math.nan

    def lost(self, band: Band, optimum: Optimum | None = None) -> float:
        """1 - r_opt^2 in a band: of an optimum in the same bins, or as observed in this box.

        The latter is a mean with the power of the truth as weight. nan where it is not known.
        """
        rows = self.rows(band)
        if optimum is not None:
            power = float(optimum.power[rows].sum())
            return float(optimum.lost[rows].sum()) / power if power > 0 else math.nan
        observed = self.content.get("optimum", {}).get("observed")
        weight = self.total(self.power, axis=1)[rows]
        if observed is None or not weight.sum() > 0:
            return math.nan
        return float((array(observed)[rows] * weight).sum() / weight.sum())

    def numbers(self, name: str) -> dict[str, float]:
        """The single numbers of a field that need no optimum.

        ``mse_4`` and ``mse_over_variance_4`` are of fields smoothed with 4 Mpc/h, ``sub_ssim`` and
        ``sub_ssim_sigma`` mean and scatter over sub-boxes.
        """
        entry = self.methods[name]
        variances = self.content["truth"]["smoothed_variance"]
        result = {key: value for key, value in entry.items() if key not in _PARTS}
        for radius, smooth in entry["smoothed"].items():
            result |= {f"{key}_{float(radius):g}": value for key, value in smooth.items()}
            result[f"mse_over_variance_{float(radius):g}"] = smooth["mse"] / variances[radius]
        for score, parts in (entry["sub_boxes"] or {}).items():
            result[f"sub_{score}"] = parts["mean"]
            result[f"sub_{score}_sigma"] = parts["sigma"]
        found = entry.get("posteriors", {})
        result |= {key: found[key] for key in REDSHIFTS if key in found}
        if "inside" in found:  # so earlier versions wrote the share in the 68% interval
            result["pit_worst_tenth"] = 100 * float(np.abs(array(found["pit"]) - 0.1).max())
            result["inside_68"] = 100 * found["inside"]
        if "sigma_calibration" in entry:
            result["sigma_variance"] = entry["sigma_calibration"]["all"]
        return {key: math.nan if value is None else value for key, value in result.items()}


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Write plain values; what is not finite becomes null."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(
        plain(content), indent=indent, separators=separators, allow_nan=False, ensure_ascii=False
    )
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    remedy = "remove it, and it is made again"
    return section(documents.read_json(path, remedy=remedy), str(path), remedy=remedy)


def array(values: ArrayLike) -> Floats:
    """Numbers of a file, null as nan."""
    return np.asarray(values, dtype=np.float64)


def plain(value: Any) -> Any:
    """``value`` for JSON: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def short(values: NDArray[Any]) -> Floats:
    """Values with seven digits, which is what float32 fields give."""
    exponent = np.floor(np.log10(np.abs(np.where(values == 0, 1, values)), dtype=np.float64))
    scale = 10.0 ** (6 - np.nan_to_num(exponent))
    result: Floats = np.round(values * scale) / scale
    return result


def _stored(value: Any, key: str) -> Any:
    """``value`` with its spectra rounded."""
    if isinstance(value, Mapping):
        poles = key == "poles"
        return {name: _stored(inner, key if poles else name) for name, inner in value.items()}
    return short(value) if key in _SPECTRA and isinstance(value, np.ndarray) else value
