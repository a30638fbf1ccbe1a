"""What a comparison of photo-z before and after found: tables, words, pictures and files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.table import Table as ColumnTable

from truez.evaluate.photoz.galaxies import about_flags
from truez.evaluate.photoz.numbers import PDF, POINT, JudgedPhotoz, ks_by_chance
from truez.evaluate.sky.redshifts import OUTLIER
from truez.evaluate.store import plain, write_json
from truez.evaluate.tables import Table, markdown_page, number, with_error
from truez.support.files import atomic_folder, atomic_path, write_text
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from truez.evaluate.figures.style import Picture
    from truez.evaluate.page.page import Page

#: The file that shows that the folder of a report is whole, and all that may be in it.
WHOLE = "metrics.json"
_FIGURES = ("photoz_scatter", "photoz_residuals", "photoz_pit", "photoz_by", "photoz_pdf_by")
PHOTOZ_FILES = (
    WHOLE, "table.md", "table.ecsv", "captions.json", "index.html",
    *(f"{name}{suffix}" for suffix in (".png", ".pdf") for name in _FIGURES),
)  # fmt: skip
#: Text in ``metrics.json`` by which it is known.
MARK = '"with_truth"'
HOW_TO_READ = (
    "sigma_NMAD is 1.4826 times the median of |d - median(d)| with d = (z - z_true) / (1 + "
    f"z_true), the bias the median of d, outliers have |d| > {OUTLIER}. In 68%: true redshifts in "
    "the central 68% interval of p(z); PIT: largest distance from 10% of the galaxies in a tenth "
    "of their p(z); KS: largest distance of the distribution of the PIT from an even one. CRPS, "
    "CDE loss: lower is better; ln p: of the density at the true redshift, higher is better, and "
    "its change are the nats gained. Changes are of the same galaxies; the better one is marked "
    "where the change is more than two of its errors, in bins the number where that after is. "
    "Errors take galaxies to be independent."
)
#: What galaxies are divided by: key, the heading of its column, and words of a title.
QUANTITIES = {
    "magnitude": "magnitude", "redshift": "photo-z", "edge_distance": "distance [Mpc/h]",
}  # fmt: skip
_TITLES = {"edge_distance": "distance to the edge of the footprint"}
#: Rows of the table: key, words, and the better end.
_ROWS = (
    ("nmad", "sigma_NMAD", -1),
    ("bias", "bias", 0),
    ("outliers", "outliers [%]", -1),
    ("inside_68", "true z in 68% [%]", 0),
    ("pit_worst_tenth", "PIT, worst tenth [%]", 0),
    ("ks", "PIT, KS", 0),
    ("crps", "CRPS [redshift]", -1),
    ("cde_loss", "CDE loss", -1),
    ("ln_p", "ln p(true z)", 1),
)  # fmt: skip
#: Headings and formats of numbers in bins.
_SHORT = {
    "nmad": ("sigma_NMAD", ".4f"), "bias": ("bias", "+.4f"), "outliers": ("outliers [%]", ".2f"),
    "inside_68": ("in 68% [%]", ".1f"), "pit_worst_tenth": ("PIT [%]", ".1f"),
    "crps": ("CRPS", ".4f"), "cde_loss": ("CDE loss", ".1f"),
}  # fmt: skip
_AFTER = {
    "file": "p(z) after are those of the file.",
    "interval": (
        "No file of p(z) after was given (truez redshifts writes it with --pdf-out): their PIT, "
        "CDE loss and ln p are not known, and their CRPS is an approximation, that of half "
        "Gaussians on either side of the median with the ends of the {interval:.0f}% interval."
    ),
}
_BEFORE = {
    "file": "p(z) before are those of the file.",
    "gaussian": "p(z) before are Gaussians of the photo-z and their errors.",
    None: (
        "Neither p(z) before nor errors of the photo-z were given: scores of p(z) are of those "
        "after alone, and a gain is not known."
    ),
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PhotozReport:
    """Redshifts before and after beside the truth.

    Parameters
    ----------
    numbers : dict
        Of all galaxies, see `truez.evaluate.photoz.numbers`.
    by : dict of a quantity to list of dict
        The same of bins of ``redshift`` (photo-z), ``magnitude`` and ``edge_distance`` [Mpc/h],
        each with ``low``, ``high`` and ``center``; bins without galaxies are left out.
    counts : mapping of str to int
        Galaxies of the catalogue, and those left out, see `truez.evaluate.photoz.galaxies.choose`.
    about : dict
        How p(z) were compared, as plain values.
    judged : JudgedPhotoz
        Galaxy by galaxy.
    provenance : dict
        What made the catalogue, as plain values.
    """

    numbers: dict[str, Any]
    by: dict[str, list[dict[str, Any]]]
    counts: Mapping[str, int]
    about: dict[str, Any]
    judged: JudgedPhotoz
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"PhotozReport of {self.counts['num']} galaxies\n  {self.verdict()}"

    def _repr_html_(self) -> str:
        return str(self.to_table()._repr_html_())

    @property
    def has_gain(self) -> bool:
        """Whether p(z) before and after are known of any galaxy."""
        return "nats" in self.numbers

    # --- plain values ---------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``metrics.json``; what is not a finite number is None."""
        found: dict[str, Any] = plain(
            {"all": self.numbers, "by": self.by, "counts": self.counts, "about": self.about}
        )
        return found

    def to_table(self) -> ColumnTable:
        """The numbers of all galaxies and of each bin as columns.

        ``quantity`` is ``all`` or that of the bin, from ``low`` to ``high``; shares in tenths of
        p(z) are left out.
        """
        rows = [{"quantity": "all", **self.numbers}]
        rows += [{"quantity": name, **one} for name, bins in self.by.items() for one in bins]
        keys = [key for key in rows[0] if not key.startswith("pit_") or "worst" in key]
        table = ColumnTable({"quantity": [row["quantity"] for row in rows]})
        for key in ("low", "high", *keys[1:]):
            values = [row.get(key, math.nan) for row in rows]
            whole = key.startswith(("num", "zero"))
            table[key] = [0 if v != v else v for v in values] if whole else values
        return table

    # --- tables and words -----------------------------------------------------------------------

    def tables(self) -> list[Table]:
        """All galaxies before and after, and bins of each quantity."""
        named = {name: words for name, words in QUANTITIES.items() if name in self.by}
        return [self.table(), *(self._by(name, words) for name, words in named.items())]

    def table(self) -> Table:
        """All numbers before, after, and their change."""
        rows: list[tuple[str, ...]] = []
        best: set[tuple[int, int]] = set()
        for key, words, better in _ROWS:
            if not {f"{key}_before", f"{key}_after"} & self.numbers.keys():
                continue
            cells = [self._cell(f"{key}_{when}") for when in ("before", "after")]
            change = "nats" if key == "ln_p" else f"{key}_change"
            if better and (winner := self._better(self.numbers, change, better)):
                best.add((len(rows), winner))
            rows.append((words, *cells, self._cell(change)))
        title = f"Photo-z before and after, {self.counts['num']:,} galaxies"
        return Table(title, ("", "before", "after", "change"), tuple(rows), frozenset(best))

    def _cell(self, key: str, entry: Mapping[str, Any] | None = None) -> str:
        found = self.numbers if entry is None else entry
        if key not in found:
            return "—"
        if f"{key}_error" not in found:  # of the PIT
            return number(float(found[key]), ".3f" if key.startswith("ks") else ".2f")
        return with_error(float(found[key]), float(found[f"{key}_error"]))

    @staticmethod
    def _better(entry: Mapping[str, Any], change: str, better: int) -> int:
        """1 where the number before is better, 2 where that after is, 0 where it is not known."""
        value, error = entry.get(change, math.nan), entry.get(f"{change}_error", math.nan)
        if not abs(value) > 2 * error:
            return 0
        return 2 if better * value > 0 else 1

    def _by(self, quantity: str, words: str) -> Table:
        """Numbers of bins, before and after in one cell, marked where that after is better."""
        ends = {key: better for key, _, better in _ROWS}
        shown = [key for key in _SHORT
                 if {f"{key}_before", f"{key}_after"} & self.numbers.keys()]  # fmt: skip
        rows: list[tuple[str, ...]] = []
        best: set[tuple[int, int]] = set()
        for entry in self.by[quantity]:
            end = f"{entry['high']:.3g}" if math.isfinite(entry["high"]) else "more"
            cells = [f"{entry['low']:.3g} to {end}", f"{entry['num']:,}"]
            if self.has_gain:
                cells.append(self._cell("nats", entry))
            for key in shown:
                if ends[key] and self._better(entry, f"{key}_change", ends[key]) == 2:
                    best.add((len(rows), len(cells)))
                cells.append(" → ".join(_text(entry, f"{key}_{when}", _SHORT[key][1])
                                        for when in ("before", "after")))  # fmt: skip
            rows.append(tuple(cells))
        heads = (words, "galaxies", *["nats"] * self.has_gain, *(_SHORT[key][0] for key in shown))
        title = f"By {_TITLES.get(quantity, words)}, before → after"
        return Table(title, heads, tuple(rows), frozenset(best))

    def verdict(self) -> str:
        """What has changed, in a sentence or two."""
        n = self.numbers
        change, error = n["nmad_change"], n["nmad_change_error"]
        verb = "does not change within two errors, from"
        if abs(change) > 2 * error:
            verb = "falls from" if change < 0 else "rises from"
        text = (
            f"sigma_NMAD {verb} {n['nmad_before']:.4f} to {n['nmad_after']:.4f} "
            f"({100 * change / n['nmad_before']:+.0f}%), the share of outliers is "
            f"{n['outliers_before']:.2f}% before and {n['outliers_after']:.2f}% after"
        )
        if self.has_gain:
            gain = with_error(abs(n["nats"]), n["nats_error"])
            verb = "gain" if n["nats"] >= 0 else "lose"
            text += f", and p(z) {verb} {gain} nats per galaxy"
        text += "."
        if "inside_68_after" in n:
            before = f" (before {n['inside_68_before']:.1f}%)" if "inside_68_before" in n else ""
            text += (
                f" Of the true redshifts {n['inside_68_after']:.1f}%{before} lie in the central "
                "68% intervals."
            )
        return text

    def words(self) -> list[str]:
        """What was judged, one paragraph each."""
        c = self.counts
        left = [
            f"{c[key]:,} {text}" for key, text in (
                ("spec_matched", "whose redshift was given to the map"),
                ("without_photo_z", "without a photo-z"),
                ("beyond_range", "with a photo-z beyond the range"),
                ("without_posterior", "without a posterior"),
            ) if c.get(key)
        ]  # fmt: skip
        out = f"; left out are {', '.join(left)}" if left else ""
        flags = about_flags(c)
        flagged = f" Flags: {', '.join(flags)}." if flags else ""
        limits = self.about["redshift_range"]
        where = "" if limits is None else ", of photo-z {:g} to {:g},".format(*limits)
        first = (
            f"Of {c['rows']:,} galaxies {c['with_truth']:,} have a true redshift{out}. The "
            f"{c['num']:,} that remain{where} are judged.{flagged} The redshift after is the "
            f"{self.about['point']} of the posterior."
        )
        return [first, *self._pdf_words()]

    def _pdf_words(self) -> list[str]:
        """How p(z) were compared, and what is approximate."""
        n, about = self.numbers, self.about
        kinds = about["p_of_z"]
        parts = [_BEFORE[kinds.get("before")],
                 _AFTER[kinds["after"]].format(interval=100 * about["interval"])]  # fmt: skip
        if set(kinds.values()) == {"file"} and len(kinds) == 2:
            parts = ["p(z) before and after are those of the files."]
        parts.append(
            f"p(z) are compared in cells of {about['dz']:g} from 0 to {about['z_max']:.4g}."
        )
        unusable = {when: num for when, num in about["unusable"].items() if num}
        if unusable:
            each = " and ".join(f"{num:,} {when}" for when, num in unusable.items())
            parts.append(
                f"{each} cannot be used: scores of p(z) are of the other "
                f"{n.get('num_pdf', 0):,} galaxies."
            )
        zero = {when: n.get(f"zero_{when}", 0) for when in ("before", "after")}
        if any(zero.values()):
            each = " and ".join(f"{num:,} {when}" for when, num in zero.items() if num)
            parts.append(f"p(z) are 0 at the true redshift of {each}.")
        if about["floor"] and {"ln_p_before", "ln_p_after"} & n.keys():
            parts.append(
                f"In ln p a share of {about['floor']:g} of every p(z), before and after, is even "
                "over all cells, so that no galaxy counts without limit."
            )
        elif not about["floor"] and any(zero.values()):
            parts.append(f"ln p is that of the {n['num_ln_p']:,} others; floor includes them.")
        if {"ks_before", "ks_after"} & n.keys():
            chance = f"{ks_by_chance(n['num_pdf']):.3f}"
            parts.append(f"By chance KS is above {chance} in 5 of 100 samples of right p(z).")
        if about["narrow"] > 0.01:
            parts.append(
                f"{100 * about['narrow']:.0f}% of the p(z) are narrower than a cell: choose a "
                "smaller dz."
            )
        return [" ".join(parts)]

    def markdown(self) -> str:
        """The tables as a Markdown page."""
        words = [self.verdict(), *self.words(), HOW_TO_READ]
        return markdown_page("Photo-z before and after", words, self.tables())

    # --- pictures and files ---------------------------------------------------------------------

    def plot(self) -> Figure:
        """True redshifts against those before and after."""
        return self.pictures()["photoz_scatter"]()

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure."""
        from truez.evaluate.figures import photoz

        j = self.judged
        redshifts = {"before": j.z_before, "after": j.z_after}
        made: dict[str, Callable[[], Figure]] = {
            "photoz_scatter": partial(photoz.scatter, redshifts, j.z_true, outlier=OUTLIER),
            "photoz_residuals": partial(photoz.residuals, redshifts, j.z_true, outlier=OUTLIER),
        }
        usable = j.usable
        if j.scores and usable.any():
            values = {when: one.pit[usable] for when, one in j.scores.items()
                      if when not in j.known}  # fmt: skip
            if values:
                made["photoz_pit"] = partial(photoz.pit, values)
        by = {name: self.by[name] for name in QUANTITIES if self.by.get(name)}
        made["photoz_by"] = partial(photoz.by_quantity, by, POINT)
        measures = [name for name in (*PDF[:-1], "nats")
                    if {name, f"{name}_before", f"{name}_after"} & self.numbers.keys()]  # fmt: skip
        if measures:
            made["photoz_pdf_by"] = partial(photoz.by_quantity, by, measures)
        return made

    def write(
        self,
        folder: str | Path,
        *,
        title: str = "Photo-z before and after",
        commands: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Path:
        """Write everything into a folder, with one page to look at.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. Gets ``metrics.json``, ``table.md``, ``table.ecsv``, each
            figure as PNG and PDF with ``captions.json``, and ``index.html``.
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
            with atomic_path(new / "table.ecsv") as temporary:
                self.to_table().write(temporary, format="ascii.ecsv", overwrite=True)
            pictures = write_pictures(new, self.pictures(), progress=progress)
            self._page(title, commands, pictures).write(new / "index.html", maker="truez photoz")
            content = {**self.to_dict(), "provenance": plain(self.provenance)}
            write_json(new / WHOLE, content, indent=1)
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


def _text(entry: Mapping[str, Any], key: str, style: str) -> str:
    """A number of a bin, without the sign of zero."""
    text = number(float(entry.get(key, math.nan)), style)
    return text if text.strip("-+0.") else text.lstrip("-+")
