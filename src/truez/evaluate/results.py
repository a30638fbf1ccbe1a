"""What an evaluation found: numbers, tables, pictures and the files that hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.table import Table as ColumnTable

from truez.evaluate.labels import CONSTANTS, SURVEYS, given_label, heading
from truez.evaluate.sample_bands import SampleBands
from truez.evaluate.store import REDSHIFTS, Numbers, in_words, lost, plain, write_json
from truez.evaluate.summary import Measured
from truez.evaluate.tables import (
    Table,
    band_table,
    markdown_page,
    number,
    numbers_table,
    sample_band_tables,
    sigma_table,
    sub_box_table,
)
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, power_2d
from truez.statistics.scores import SCORES
from truez.support.files import atomic_folder, atomic_path, write_text
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from truez.evaluate.figures.style import Picture
    from truez.evaluate.page.page import Page

#: The slices on the page may have this size [bytes].
SLICES_BYTES = 5e6
#: The file that shows that the folder of an evaluation is whole, and all that may be in it.
WHOLE = "metrics.json"
EVALUATION_FILES = (
    WHOLE, "numbers.json", "about.json", "table.md", "spectra.ecsv", "captions.json", "index.html",
    *(f"{name}{suffix}" for suffix in (".png", ".pdf")
      for name in ("slices_along", "slices_across", "spectra", "power_2d", "samples", "losses")),
)  # fmt: skip

HOW_TO_READ = (
    "The best of each column is marked. MSE/Var is the mean squared error over the variance of the "
    "truth, R a Gaussian smoothing [Mpc/h] of both fields, C the correlation coefficient of the "
    "cells. The zero field scores the variance of the truth and the empty field a mean absolute "
    "error of 1 (for a truth of mean zero): a method is judged beside both."
)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Fields beside the truth.

    Parameters
    ----------
    truth : Field
        The truth in the region.
    fields : dict of name to Field
        Every field but the constant ones, in the region: ``photo``, ``spec``, then the estimates.
    numbers : Numbers
        Of every field: ``zero``, ``empty``, ``photo``, ``spec``, then the estimates.
    r_opt : array (n,) or None
        Correlation coefficient of the linear optimum in the shells of k.
    about : dict
        Plain values that say what was judged: box, region, variance, bins, sub-boxes.
    summary : sequence of str
        What was judged in words, one paragraph each.
    provenance : dict
        What made the fields, as plain values.
    samples : dict of name to SampleBands
        What was measured of posterior samples, of the estimates that have any.
    """

    truth: Field
    fields: dict[str, Field]
    numbers: Numbers
    r_opt: Floats | None
    about: dict[str, Any] = field(default_factory=dict)
    summary: Sequence[str] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, SampleBands] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The fields in their order."""
        return list(self.numbers.methods)

    @property
    def measured(self) -> Measured:
        """The numbers as means over one box."""
        return Measured([self.numbers], called=given_label)

    def spectra(self, name: str) -> Comparison:
        """Spectra of a field against the truth in shells of k."""
        return self.numbers.shells(name)

    def __repr__(self) -> str:
        values = {name: self.numbers.numbers(name) for name in self.names}
        best = min(values, key=lambda name: values[name]["mse"])
        return (
            f"Evaluation of {', '.join(n for n in self.names if n not in CONSTANTS)}\n"
            f"  over {self.truth.box}\n"
            f"  lowest mean squared error: {best}, {values[best]['mse']:#.3g} "
            f"({values[best]['mse_over_variance']:#.3g} of the variance of the truth)"
        )

    def _repr_html_(self) -> str:
        return str(self.to_table()._repr_html_())

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
        entry: dict[str, Any] = {score: kept[score] for score in SCORES} | {ratio: kept[ratio]}
        entry["smoothed"] = {
            f"{float(radius):g}": {**scores, ratio: flat[f"{ratio}_{float(radius):g}"]}
            for radius, scores in kept["smoothed"].items()
        }
        entry |= {"k": spectra.k, "r": spectra.r, "transfer": spectra.transfer}
        entry |= {"power": spectra.power_rr, "r_opt": self.r_opt, "lost_over_optimum": None}
        if self.r_opt is not None:
            entry["lost_over_optimum"] = lost(spectra.r, self.r_opt)
        if kept["sub_boxes"] is not None:
            entry["sub_boxes"] = kept["sub_boxes"]
        if "power" in kept:
            one = self.measured
            bands = self.numbers.bands
            entry["r_bands"] = {in_words(band): one.r(name, band).mean for band in bands}
        entry |= {key: kept[key] for key in ("sigma_calibration",) if key in kept}
        entry |= {key: flat.get(key) for key in REDSHIFTS}
        if name in self.samples:
            entry["samples"] = self.samples[name].summary()
        return entry

    def to_table(self) -> ColumnTable:
        """The single numbers as columns, one row for each field.

        Scores of cells, those of fields smoothed with R Mpc/h (such as ``mse_over_variance_4``),
        r in bands of k [h/Mpc] (such as ``r_0.1-0.15``) and, where they are known, the numbers of
        redshifts of ``metrics.json``, such as ``nats`` per galaxy, and ``sigma_variance``, the
        variance of (truth - estimate) / sigma.
        """
        one, rows = self.measured, {name: self.numbers.numbers(name) for name in self.names}
        columns = {key: [row[key] for row in rows.values()] for key in self._keys()}
        for band in self.numbers.bands:
            columns[f"r_{in_words(band)}"] = [
                one.r(name, band).mean if name in one.waves else math.nan for name in rows
            ]
        for key in (*REDSHIFTS, "sigma_variance"):
            if any(key in row for row in rows.values()):
                columns[key] = [row.get(key, math.nan) for row in rows.values()]
        table = ColumnTable({"field": list(rows), **columns})
        for key in columns:
            table[key].info.format = ".3f" if key.startswith("r_") else heading(key)[1].strip("#")
        return table

    def columns(self) -> ColumnTable:
        """The spectra of every field as columns, for ``spectra.ecsv``.

        k [h/Mpc], nmodes, power_truth [(Mpc/h)^3], r_opt where known, and for each field its r,
        transfer and power [(Mpc/h)^3]; all powers contain shot noise.
        """
        found = {name: self.spectra(name) for name in self.names}
        first = found["photo"]
        table = ColumnTable({"k": first.k, "nmodes": first.nmodes, "power_truth": first.power_tt})
        if self.r_opt is not None:
            table["r_opt"] = self.r_opt
        for name, spectra in found.items():
            table[f"r_{name}"] = spectra.r
            table[f"transfer_{name}"] = spectra.transfer
            table[f"power_{name}"] = spectra.power_rr
        for name in table.colnames:
            if name == "k":
                table[name].description = "mean wavenumber [h/Mpc]"
            elif name.startswith("power_"):
                table[name].description = "power, shot noise included [(Mpc/h)^3]"
        return table

    def _keys(self) -> list[str]:
        """The numbers of cells, and of fields smoothed with each radius."""
        ratios = [f"mse_over_variance_{radius:g}" for radius in self.about["smoothing"][1:]]
        return [*SCORES, "mse_over_variance", *ratios]

    # --- tables ---------------------------------------------------------------------------------

    def tables(self) -> list[Table]:
        """Every table that there is."""
        one = self.measured
        found = [numbers_table("Scores over the region", one, self._keys(), errors=False)]
        if self.numbers.bands:
            found.append(self.band_table())
        if "sub_boxes" in self.about:
            title = f"Mean ± 1 sigma over {self.about['sub_boxes']['number']} sub-boxes"
            title += " (error of the mean)"
            found.append(sub_box_table(title, one, list(SCORES), errors=False))
        found.append(numbers_table("Redshifts", one, REDSHIFTS[:4], errors=False))
        found.append(sigma_table("Variance of (truth - estimate) / sigma", one))
        if self.samples:
            called = {one.called(name): drawn for name, drawn in self.samples.items()}
            found += sample_band_tables(called)
        return [table for table in found if table.rows]

    def band_table(self) -> Table:
        """r in bands of k [h/Mpc], with the linear optimum where known."""
        one, bands = self.measured, self.numbers.bands
        title = "r(k) by scale, k in h/Mpc"
        table = band_table(title, one, one.r, better=1, bands=bands, style=".3f")
        if self.r_opt is None:
            return table
        last = ("linear optimum", *(number(one.r_opt(band), ".3f") for band in bands))
        return Table(table.title, table.columns, (*table.rows, last), table.best)

    def context(self) -> str:
        """One paragraph on what was judged and how to read the tables."""
        mean = round(self.about["mean"], 3) + 0.0  # no minus zero
        parts = [
            f"Judged over {self.truth.box}.",
            f"The truth there has mean {mean:g} and variance {self.about['variance'][0]:#.3g}.",
            HOW_TO_READ,
        ]
        if "sub_boxes" in self.about:
            boxes = self.about["sub_boxes"]
            cells = " x ".join(str(n) for n in boxes["cells"])
            parts.append(
                f"Sub-boxes have {cells} cells and cover {100 * boxes['covered']:.0f}% of the "
                "region; the error of the mean takes them as independent."
            )
        return " ".join(parts)

    def markdown(self) -> str:
        """The tables as a Markdown page."""
        return markdown_page("Evaluation", [self.context()], self.tables())

    # --- pictures and files ---------------------------------------------------------------------

    def plot(self) -> Figure:
        """r(k), T(k), P(k) and what is left to gain, of every field."""
        from truez.evaluate.figures.spectra import spectra

        return spectra({name: self.spectra(name) for name in self.fields}, r_opt=self.r_opt)

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure: slices along and across the line of sight, spectra, power_2d.

        And samples, where estimates have any.
        """
        from truez.evaluate.figures import planes, sample_bands, slices

        names = [*(name for name in self.fields if name not in SURVEYS), "spec", "photo"]
        shown = {"truth": self.truth, **{name: self.fields[name] for name in names}}
        limits = slices.slice_limits(self.truth)
        makers: dict[str, Callable[[], Figure]] = {
            "slices_along": partial(slices.slices, shown, view="along", limits=limits),
            "slices_across": partial(slices.slices, shown, view="across", limits=limits),
            "spectra": self.plot,
            "power_2d": lambda: planes.power_2d({n: power_2d(f) for n, f in shown.items()}),
        }
        if self.samples:
            makers["samples"] = partial(sample_bands.samples, self.samples)
        return makers

    def write(
        self,
        folder: str | Path,
        *,
        title: str = "Evaluation",
        commands: Sequence[str] = (),
        losses: str | Path | None = None,
        progress: Progress = silent,
    ) -> Path:
        """Write everything into a folder, with one page to look at.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. Gets ``metrics.json`` (by field), ``numbers.json`` (the same
            in fine bins, as `truez.evaluate.store` has it), ``about.json`` (what was judged),
            ``table.md``, ``spectra.ecsv``, each figure as PNG and PDF with ``captions.json``, and
            ``index.html``.
        title : str
            Of the page.
        commands : sequence of str
            The command lines that make the page again.
        losses : str or Path, optional
            The ``losses.csv`` of a training run to show.
        progress : Progress

        Returns
        -------
        Path
            The page.
        """
        with atomic_folder(folder, last=WHOLE) as new:
            self._write(new, title, commands, losses, progress)
        return Path(folder) / "index.html"

    def _write(
        self,
        folder: Path,
        title: str,
        commands: Sequence[str],
        losses: str | Path | None,
        progress: Progress,
    ) -> None:
        from truez.evaluate.figures.captions import write_pictures
        from truez.evaluate.figures.losses import losses as draw_losses
        from truez.evaluate.figures.losses import read_losses

        write_text(folder / "table.md", self.markdown())
        with atomic_path(folder / "spectra.ecsv") as temporary:
            self.columns().write(temporary, format="ascii.ecsv", overwrite=True)
        figures = self.pictures()
        if losses is not None:
            figures["losses"] = lambda: draw_losses(**read_losses(losses))
        pictures = write_pictures(folder, figures, progress=progress)
        self.numbers.write(folder / "numbers.json")
        about = {**self.about, "provenance": self.provenance}
        write_json(folder / "about.json", about, indent=1)
        page = self._page(title, commands, pictures, progress)
        page.write(folder / "index.html", maker="truez evaluate")
        write_json(folder / WHOLE, self.to_dict(), indent=1)

    def _page(
        self, title: str, commands: Sequence[str], pictures: Sequence[Picture], progress: Progress
    ) -> Page:
        from truez.evaluate.page.page import (
            Embedded,
            Page,
            as_document,
            page_tables,
            room_for_slices,
        )
        from truez.evaluate.page.run_folder import scores_of
        from truez.evaluate.page.run_slices import in_order
        from truez.evaluate.page.slices import cut_slices
        from truez.evaluate.page.verdict import verdict

        figures = [Embedded.of(picture) for picture in pictures]
        scores = scores_of(self.to_dict())
        shown = in_order({"truth": self.truth, **self.fields}, scores)
        return Page(
            title=title,
            verdict=verdict(scores),
            words=self.summary,
            tables=page_tables(self.tables(), self.context()),
            slices=cut_slices(
                {name: partial(shown.__getitem__, name) for name in shown},
                budget=min(SLICES_BYTES, room_for_slices(figures)),
                progress=progress,
            ),
            figures=figures,
            documents={"provenance": as_document(self.provenance)},
            commands=commands,
        )
