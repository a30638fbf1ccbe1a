"""The numbers of estimates on the sky: as plain values, columns and tables, and in a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from astropy.table import Table as ColumnTable

from truez.evaluate.labels import heading, label
from truez.evaluate.sample_bands import SampleBands
from truez.evaluate.sky.estimates import EVEN, LINEAR, PHOTO
from truez.evaluate.store import Numbers, in_words, plain
from truez.evaluate.summary import Measured
from truez.evaluate.tables import Cell, Table, band_table, make_table, number, sample_band_tables
from truez.statistics.power import Comparison

#: Texts of the fields that every evaluation has.
_LABELS = {PHOTO: "photo survey", EVEN: "photo-z and N(z)"}
#: Columns of the table: key, heading, format and better end.
_REDSHIFTS = (
    ("nats_own_place", "nats per galaxy", ".3f", 1),
    ("ln_p", "ln p", ".3f", 0),
    ("pit_worst_tenth", "PIT, worst tenth [%]", ".2f", -1),
    ("inside_68", "in 68% [%]", ".1f", 0),
    ("nmad_after", "sigma_NMAD", ".4f", -1),
    ("outliers_after", "outliers [%]", ".2f", -1),
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SkyNumbers:
    """The numbers of all fields of a mock on the sky.

    Parameters
    ----------
    numbers : Numbers
        Of every field, and by name under ``redshifts`` those of its redshifts.
    about : dict
        Plain values that say what was judged.
    samples : dict of a name to SampleBands
        What was measured of posterior samples, of the fields that have any.
    """

    numbers: Numbers
    about: dict[str, Any]
    samples: dict[str, SampleBands] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The fields in their order."""
        return list(self.numbers.methods)

    @property
    def given(self) -> list[str]:
        """The estimates among them that were given."""
        return [name for name in self.names if name not in (PHOTO, EVEN, *LINEAR)]

    @property
    def measured(self) -> Measured:
        """The numbers as means over one survey."""
        return Measured([self.numbers], called=self.label)

    def label(self, name: str) -> str:
        """What readers see instead of a name."""
        if name in _LABELS:
            return _LABELS[name]
        return label(name) if name in (*LINEAR, "truth") else name

    def redshifts(self, name: str) -> dict[str, Any]:
        """The numbers of the redshifts of an estimate; empty where it has none."""
        found: dict[str, Any] = self.numbers.content["redshifts"].get(name, {})
        return found

    def spectra(self, name: str) -> Comparison:
        """Spectra of a field against the truth in shells of k."""
        return self.numbers.shells(name)

    @property
    def best(self) -> str | None:
        """The estimate that gains most; None where none has posteriors."""
        gains = {n: self.redshifts(n).get("nats_own_place") for n in self.names if n != EVEN}
        known = {n: gain for n, gain in gains.items() if gain is not None}
        return max(known, key=known.__getitem__) if known else None

    # --- plain values ---------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``metrics.json``; what is not a finite number is None."""
        contents: dict[str, Any] = plain({name: self._entry(name) for name in self.names})
        return contents

    def _entry(self, name: str) -> dict[str, Any]:
        kept, flat, spectra = (
            self.numbers.methods[name], self.numbers.numbers(name), self.spectra(name)
        )  # fmt: skip
        ratio = "mse_over_variance"
        one, bands = self.measured, self.numbers.bands
        found = dict(self.redshifts(name))
        if name in self.samples:
            found["samples"] = self.samples[name].summary()
        if "nats_own_place" in found:
            found = {"nats": found["nats_own_place"], **found}
        return {
            **found,
            "smoothed": {
                f"{float(radius):g}": {**scores, ratio: flat[f"{ratio}_{float(radius):g}"]}
                for radius, scores in kept["smoothed"].items()
            },
            "smoothed_by_redshift": kept["smoothed_by_redshift"],
            "k": spectra.k,
            "r": spectra.r,
            "transfer": spectra.transfer,
            "power": spectra.power_rr,
            "r_bands": {in_words(band): one.r(name, band).mean for band in bands},
        }

    def to_table(self) -> ColumnTable:
        """The numbers of the first table as columns, one row for each field."""
        rows = {name: {**self.numbers.numbers(name), **self.redshifts(name)} for name in self.names}
        keys = [key for key, *_ in (*_REDSHIFTS, *self._scores())]
        table = ColumnTable({"field": list(rows)})
        for key in keys:
            values = [row.get(key) for row in rows.values()]
            table[key] = [math.nan if value is None else float(value) for value in values]
        return table

    def columns(self) -> ColumnTable:
        """The spectra of every field as columns, for ``spectra.ecsv``.

        k [h/Mpc], nmodes, power_truth [(Mpc/h)^3], and for each field its r, transfer and power.
        """
        found = {name: self.spectra(name) for name in self.names}
        first = found[PHOTO]
        table = ColumnTable({"k": first.k, "nmodes": first.nmodes, "power_truth": first.power_tt})
        for name, spectra in found.items():
            table[f"r_{name}"] = spectra.r
            table[f"transfer_{name}"] = spectra.transfer
            table[f"power_{name}"] = spectra.power_rr
        return table

    def _scores(self) -> list[tuple[str, str, str, int]]:
        """Columns of smoothed fields."""
        result = []
        for radius in self.about["smoothing"]:
            for key in ("mse_over_variance", "correlation"):
                text, _, better = heading(f"{key}_{radius:g}")
                result.append((f"{key}_{radius:g}", text, ".3f", better))
        return result

    # --- tables and words -----------------------------------------------------------------------

    def tables(self) -> list[Table]:
        """Every table: all methods side by side, by place, by scale, samples, and the null test."""
        found = [self.table(), *self._by_place(), self._by_redshift()]
        if self.numbers.bands:
            one = self.measured
            title = "r(k) by scale, k in h/Mpc"
            found.append(
                band_table(title, one, one.r, better=1, bands=self.numbers.bands, style=".3f")
            )
        if self.samples:
            found += sample_band_tables({self.label(n): one for n, one in self.samples.items()})
        return [*found, *self._null()]

    def table(self) -> Table:
        """All methods side by side."""
        low, high = self.about["redshift_range"]
        heads = [*_REDSHIFTS, *self._scores()]
        rows = []
        for name in self.names:
            values = {**self.numbers.numbers(name), **self.redshifts(name)}
            rows.append((self.label(name), [_cell(values.get(key), style) for key, _, style, _ in
                                            heads]))  # fmt: skip
        title = f"Redshifts and fields at z = {low:g} to {high:g}"
        return make_table(title, [(text, better) for _, text, _, better in heads], rows)

    def _by_place(self) -> list[Table]:
        """Nats and calibration by redshift, magnitude and distance to the edge."""
        from truez.evaluate.figures.sky import QUANTITIES

        result = []
        names = [name for name in self.names if name != EVEN and "by" in self.redshifts(name)]
        for quantity, words in QUANTITIES.items():
            by = {n: self.redshifts(n)["by"].get(quantity) for n in names}
            if not by or not all(by.values()):
                continue
            bins = next(iter(by.values()))
            heads = []
            for one in bins:
                end = f"{one['high']:.3g}" if math.isfinite(one["high"]) else "more"
                several = len(by) > 1  # of one nothing is the best
                heads += [
                    (f"nats, {one['low']:.3g} to {end}", int(several)),
                    ("PIT [%]", -int(several)),
                ]
            rows = []
            for name, entries in by.items():
                cells: list[Cell] = []
                for entry in entries:
                    cells += [
                        _cell(entry.get("nats_own_place"), ".3f"),
                        _cell(entry.get("pit_worst_tenth"), ".2f"),
                    ]
                rows.append((self.label(name), cells))
            title = f"By {words.replace('$h$', 'h')}"
            result.append(make_table(title, heads, rows))
        return result

    def _by_redshift(self) -> Table:
        """Scores of smoothed fields in parts of the range of redshift."""
        radius = f"{self.about['smoothing'][0]:g}"
        entries = {n: self.numbers.methods[n]["smoothed_by_redshift"] for n in self.names}
        heads: list[tuple[str, int]] = []
        for one in next(iter(entries.values())):
            words = f"{one['low']:.3g} to {one['high']:.3g}"
            heads += [(f"MSE/Var, {words}", -1), ("C", 1)]
        rows = []
        for name, parts in entries.items():
            cells: list[Cell] = []
            for part in parts:
                scores = part.get(radius, {})
                cells += [_cell(scores.get(key), ".3f")
                          for key in ("mse_over_variance", "correlation")]  # fmt: skip
            rows.append((self.label(name), cells))
        return make_table(f"Fields smoothed with {radius} Mpc/h, by redshift", heads, rows)

    def _null(self) -> list[Table]:
        rows = []
        for name in self.names:
            found = self.redshifts(name).get("null")
            if found is not None:
                cells = [
                    _cell(found[key], style)
                    for key, style in (
                        ("nats_own_place", ".4f"), ("nats_own_place_error", ".4f"),
                        ("pit_worst_tenth", ".2f"), ("inside_68", ".1f"),
                    )
                ]  # fmt: skip
                rows.append((self.label(name), cells))
        heads = [("nats per galaxy", 0), ("error", 0), ("PIT, worst tenth [%]", 0),
                 ("in 68% [%]", 0)]  # fmt: skip
        return [make_table("Null test: random galaxies", heads, rows)] if rows else []

    def verdict(self) -> str:
        """Which estimate gains most, and beside what."""
        best = self.best
        if best is None:
            return "No estimate with posteriors has been judged."
        found = self.redshifts(best)
        gain = f"{found['nats_own_place']:.3f} ± {found['nats_own_place_error']:.3f}"
        text = (
            f"{self.label(best)} gains {gain} nats per galaxy over photo-z and N(z): sigma_NMAD "
            f"falls from {found['nmad_before']:.4f} to {found['nmad_after']:.4f}, and "
            f"{found['inside_68']:.1f}% of the true redshifts lie in their central 68% intervals."
        )
        first = f"{self.about['smoothing'][0]:g}"
        scores = {n: self.numbers.numbers(n)[f"mse_over_variance_{first}"] for n in self.names}
        lowest = min(scores, key=scores.__getitem__)
        beside = [f"{self.label(n)} {scores[n]:.3f}" for n in (*LINEAR, EVEN, PHOTO)
                  if n in scores and n != lowest]  # fmt: skip
        return (
            f"{text} Of the fields smoothed with {first} Mpc/h that of {self.label(lowest)} has "
            f"the lowest error, {scores[lowest]:.3f} of the variance of the truth, beside "
            f"{', '.join(beside)}."
        )


def _cell(value: Any, style: str) -> Cell:
    known = math.nan if value is None else float(value)
    return number(known, style), known
