"""What an evaluation on the sky found: numbers, tables, pictures and the files that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truez.evaluate.sky.estimates import EVEN, LINEAR, PHOTO
from truez.evaluate.sky.maps import RADIUS, SkyMaps
from truez.evaluate.sky.mesh import SkyMesh
from truez.evaluate.sky.numbers import SkyNumbers
from truez.evaluate.sky.redshifts import JudgedRedshifts
from truez.evaluate.store import write_json
from truez.evaluate.tables import markdown_page
from truez.sky.mock import SkyMock
from truez.support.files import atomic_folder, atomic_path, write_text
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from truez.evaluate.figures.style import Picture
    from truez.evaluate.page.page import Page

#: The file that shows that the folder of an evaluation is whole, and all that may be in it.
WHOLE = "metrics.json"
_FIGURES = ("sky_scores", "gain_by_place", "wedge", "sky_slices", "sky_maps", "number_densities",
            "spectra", "sky_samples")  # fmt: skip
SKY_EVALUATION_FILES = (
    WHOLE, "numbers.json", "about.json", "table.md", "spectra.ecsv", "captions.json", "index.html",
    *(f"{name}{suffix}" for suffix in (".png", ".pdf") for name in _FIGURES),
)  # fmt: skip
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
class SkyEvaluation(SkyNumbers):
    """Estimates of a mock on the sky beside its truth.

    Parameters
    ----------
    numbers, about
        As of `SkyNumbers`.
    mock : SkyMock
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
    provenance : dict
        What made the fields, as plain values.
    """

    mock: SkyMock
    judged: dict[str, JudgedRedshifts]
    planes: dict[str, Any]
    maps: dict[str, list[Any]]
    sky_maps: SkyMaps
    mesh: SkyMesh
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        low, high = self.about["redshift_range"]
        return (
            f"SkyEvaluation of {', '.join(self.names)}\n"
            f"  at z = {low:g} to {high:g} of {self.mock!r}\n  {self.verdict()}"
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
        words = [self.verdict(), *self.words(), HOW_TO_READ]
        return markdown_page("Evaluation", words, self.tables())

    # --- pictures and files ---------------------------------------------------------------------

    def plot(self) -> Figure:
        """Smoothed scores of every field."""
        return self.pictures()["sky_scores"]()

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure."""
        from truez.evaluate.figures import sample_bands, sky, sky_fields
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
        if self.samples:
            made["sky_samples"] = partial(sample_bands.sky_samples, self.samples, label=self.label)
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
