"""What an evaluation on the sky found: numbers, tables, pictures and the files that hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table as ColumnTable

from truez.evaluate.labels import heading, label
from truez.evaluate.sky import JudgedRedshifts
from truez.evaluate.sky_estimates import EVEN, LINEAR, PHOTO
from truez.evaluate.sky_maps import RADIUS, SkyMaps
from truez.evaluate.sky_mesh import SkyMesh
from truez.evaluate.store import Numbers, in_words, plain, write_json
from truez.evaluate.summary import Measured
from truez.evaluate.tables import Cell, Table, band_table, make_table, number
from truez.sky.mock import SkyMock
from truez.statistics.power import Comparison
from truez.support.files import atomic_folder, atomic_path, write_text
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from truez.evaluate.figures.style import Picture
    from truez.evaluate.page.page import Page

#: The file that shows that the folder of an evaluation is whole, and all that may be in it.
WHOLE = "metrics.json"
_FIGURES = ("sky_scores", "gain_by_place", "wedge", "sky_slices", "sky_maps", "number_densities",
            "spectra")  # fmt: skip
SKY_EVALUATION_FILES = (
    WHOLE, "numbers.json", "about.json", "table.md", "spectra.ecsv", "captions.json", "index.html",
    *(f"{name}{suffix}" for suffix in (".png", ".pdf") for name in _FIGURES),
)  # fmt: skip
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
HOW_TO_READ = (
    "The best of each column is marked. nats per galaxy: information on the true redshift gained "
    "over p(z | z_phot) that has N(z) as its prior, of galaxies without a spectrum. PIT: largest "
    "distance from 10% of the galaxies in a tenth of their posterior; in 68%: true redshifts in "
    "the central interval. sigma_NMAD and outliers (beyond 0.15) are of (z - z_true) / (1 + "
    "z_true) for the posterior's median. MSE/Var is the mean squared error of the smoothed field "
    "over the variance of the truth, R the Gaussian smoothing [Mpc/h] of galaxies and of their "
    "expected counts, C the correlation coefficient of the cells."
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SkyEvaluation:
    """Estimates of a mock on the sky beside its truth.

    Parameters
    ----------
    mock : SkyMock
    numbers : Numbers
        Of every field, and by name under ``redshifts`` those of its redshifts.
    judged : dict of a name to JudgedRedshifts
        Of the fields with posteriors.
    planes : dict of a name to (n, m) array
        Smoothed contrast in a plane through the line of sight, the truth first.
    maps : dict of a name to list of (nx, ny) arrays
        Contrast in thin bins of redshift.
    sky_maps : SkyMaps
        Their pixels.
    mesh : SkyMesh
        That fields are compared on.
    about : dict
        Plain values that say what was judged.
    provenance : dict
        What made the fields, as plain values.
    """

    mock: SkyMock
    numbers: Numbers
    judged: dict[str, JudgedRedshifts]
    planes: dict[str, Any]
    maps: dict[str, list[Any]]
    sky_maps: SkyMaps
    mesh: SkyMesh
    about: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

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

    def __repr__(self) -> str:
        low, high = self.about["redshift_range"]
        return (
            f"SkyEvaluation of {', '.join(self.names)}\n"
            f"  at z = {low:g} to {high:g} of {self.mock!r}\n  {self.verdict()}"
        )

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
        """Every table: all methods side by side, by place, by scale, and the null test."""
        found = [self.table(), *self._by_place(), self._by_redshift()]
        if self.numbers.bands:
            one = self.measured
            title = "r(k) by scale, k in h/Mpc"
            found.append(
                band_table(title, one, one.r, better=1, bands=self.numbers.bands, style=".3f")
            )
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

    def words(self) -> list[str]:
        """What was judged, one paragraph each."""
        mock, (low, high) = self.mock, self.about["redshift_range"]
        num = max((self.redshifts(n).get("num", 0) for n in self.names), default=0)
        surveys = str(mock).replace("\n ", ",").replace("  ", " ")
        judged = (
            f"Galaxies without a spectrum are judged where their photo-z is between {low:g} and "
            f"{high:g} ({num:,} of them), and cells where their redshift is. Fields are compared "
            f"on {self.about['mesh']['cells']:,} cells of {self.mesh.cellsize:g} Mpc/h."
        )
        return [f"{surveys[0].upper()}{surveys[1:]}.", judged]

    def markdown(self) -> str:
        """The tables as a Markdown page."""
        parts = ["# Evaluation", self.verdict(), *self.words(), HOW_TO_READ]
        for table in self.tables():
            parts += [f"## {table.title}", table.markdown().rstrip()]
        return "\n\n".join(parts) + "\n"

    # --- pictures and files ---------------------------------------------------------------------

    def plot(self) -> Figure:
        """Smoothed scores of every field."""
        return self.pictures()["sky_scores"]()

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure."""
        from truez.evaluate.figures import sky, sky_fields
        from truez.evaluate.figures.spectra import spectra

        mock = self.mock
        by = {n: self.redshifts(n)["by"] for n in self.names
              if n != EVEN and "by" in self.redshifts(n)}  # fmt: skip
        radius = self.about["smoothing"][0]
        shown = [PHOTO, *([EVEN] if self.best is None else []), *LINEAR, *self.given]
        planes = {n: self.planes[n] for n in (*shown, "truth") if n in self.planes}
        mapped = {n: self.maps[n] for n in (PHOTO, EVEN, *self.given, "truth") if n in self.maps}
        made: dict[str, Callable[[], Figure]] = {
            "sky_scores": partial(
                sky_fields.smoothed_scores,
                {n: self.numbers.numbers(n) for n in self.names}, self.about["smoothing"],
                label=self.label,
            ),
        }  # fmt: skip
        if by:
            made["gain_by_place"] = partial(sky.gain_by_place, by, label=self.label)
        made["wedge"] = self._wedge
        made["sky_slices"] = partial(
            sky_fields.slices, planes, self.mesh, radius=radius, label=self.label
        )
        made["sky_maps"] = partial(
            sky_fields.maps,
            mapped,
            self.about["bins"],
            self.sky_maps.box,
            radius=RADIUS,
            label=self.label,
        )
        known = mock.surveys
        made["number_densities"] = partial(
            sky.number_densities,
            {"photometric survey": known.nz, "spectroscopic survey": known.spec_nz},
            truth={"photometric survey": mock.z_true}, limits=mock.config.redshift_range,
        )  # fmt: skip
        made["spectra"] = partial(
            spectra, {n: self.spectra(n) for n in self.names}, label=self.label
        )
        return made

    def _wedge(self) -> Figure:
        """Galaxies in a thin range of declination, before and after."""
        from truez.evaluate.figures import sky

        mock, (low, high) = self.mock, self.about["redshift_range"]
        rows, first, last = sky.thin_range(mock.dec, (mock.z_true > low) & (mock.z_true < high))
        spectra = mock.has_spectrum
        shown = np.flatnonzero(rows & ~spectra)
        panels = {"photo-z": (mock.ra[shown], mock.z_phot[shown])}
        if self.best is not None:
            after = self.judged[self.best].z_after[shown]
            panels[f"sharpened: {self.label(self.best)}"] = mock.ra[shown], after
        panels["true redshifts"] = mock.ra[shown], mock.z_true[shown]
        known = np.flatnonzero(rows & spectra)
        return sky.wedge(
            panels, spec=(mock.ra[known], mock.z_true[known]), ra_range=sky.extent(mock.ra),
            redshift_range=(low, high), about=f"declination {first:.2f} to {last:.2f}°",
        )  # fmt: skip

    def write(
        self,
        folder: str | Path,
        *,
        title: str = "Evaluation",
        commands: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Path:
        """Write everything into a folder, with one page to look at.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. Gets the files that `truez.evaluate.results.Evaluation.write`
            describes.
        title : str
            Of the page.
        commands : sequence of str
            The command lines that make the page again.
        progress : Progress

        Returns
        -------
        Path
            The page.
        """
        from truez.evaluate.figures.captions import write_pictures

        with atomic_folder(folder, last=WHOLE) as new:
            write_text(new / "table.md", self.markdown())
            with atomic_path(new / "spectra.ecsv") as temporary:
                self.columns().write(temporary, format="ascii.ecsv", overwrite=True)
            pictures = write_pictures(new, self.pictures(), progress=progress)
            self.numbers.write(new / "numbers.json")
            write_json(new / "about.json", {**self.about, "provenance": self.provenance}, indent=1)
            self._page(title, commands, pictures).write(new / "index.html", maker="truez evaluate")
            write_json(new / WHOLE, self.to_dict(), indent=1)
        return Path(folder) / "index.html"

    def _page(self, title: str, commands: Sequence[str], pictures: Sequence[Picture]) -> Page:
        from truez.evaluate.page.page import Embedded, Page, as_document, page_tables

        return Page(
            title=title,
            verdict=self.verdict(),
            words=self.words(),
            tables=page_tables(self.tables(), HOW_TO_READ),
            figures=[Embedded.of(picture) for picture in pictures],
            documents={"provenance": as_document(self.provenance)},
            commands=commands,
        )


def _cell(value: Any, style: str) -> Cell:
    known = math.nan if value is None else float(value)
    return number(known, style), known
