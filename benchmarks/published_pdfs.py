"""p(z) of each galaxy, as photo-z codes publish them, in place of photo-z errors.

    TRUEZ_DATA=FOLDER python benchmarks/published_pdfs.py [--parts gaussians,mixtures,cosmos]
        [--seeds 1,2,3] [--out FILE.md]

FOLDER holds gama_g09.csv, cosmos_zcosmos_photoz.fits and cosmos_pz_ugriz.hdf5. Each part is a
table:

gaussians  GAMA G09 with photo-z errors of 0.02 (1 + z), whose p(z) are written to files of each
           layout: redshifts against those with the errors of each galaxy as a column;
mixtures   GAMA G09 with p(z) of two peaks, 0.15 (1 + z) apart, the lower one with a tenth of the
           galaxies, and with a tenth of outliers besides: gain and calibration;
cosmos     zCOSMOS with p(z) of a random forest from its photometry, and with their mean and
           standard deviation: a random 15% of the galaxies have spectra, the others are judged by
           theirs, those with 0.2 < Z_PHOT_MEAN < 1.0. Gains are over the p(z) themselves; in a
           second run the galaxies without spectra have changed their places among each other.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from gama_g09 import FIELD, JUDGED, REDSHIFTS, Run
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.evaluate.sky import JudgedRedshifts
from truez.evaluate.sky.judge import judge_redshifts
from truez.sky.details import SkyDetails
from truez.sky.mock import SkyMock
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.sky.redshifts import walk_patch
from truez.sky.result import SkyReconstruction
from truez.sky.surveys import SkySurveys
from truez.surveys.pdfs import PdfTable, read_pdfs, write_pdfs
from truez.surveys.pixel_map import PixelMap

Array = NDArray[np.float64]
Lines = Iterator[str]
DATA = Path(os.environ.get("TRUEZ_DATA", "."))
#: Grid of the p(z) of GAMA, and levels of their quantiles.
GRID = np.linspace(0, 0.8, 321)
LEVELS = np.concatenate([[0.0005, 0.002], np.linspace(0.01, 0.99, 99), [0.998, 0.9995]])
#: Peaks are so far apart over 1 + z, and the second one has so many of the galaxies; outliers.
APART, SECOND, OUTLIERS = 0.15, 0.1, 0.1
#: Grid of the p(z) of COSMOS, photo-z that are judged, and the share with spectra.
COSMOS_GRID, COSMOS_JUDGED, SPECTRA = np.linspace(0, 1.5, 301), (0.2, 1.0), 0.15


SKY = ("ra", "dec", "z")


@dataclass(frozen=True, eq=False)
class Judged:
    """Redshifts of the galaxies that are judged, and medians of all."""

    redshifts: JudgedRedshifts
    median: Array


def gama() -> Run:
    return Run(Catalog.read(DATA / "gama_g09.csv"), PatchSettings(cellsize=2.0, chi_ref=650))


def judged(
    run: Run, mock: SkyMock, details: dict[str, Any], more: dict[str, Array] | None = None,
    sigma_z: float | None = None,
) -> Judged:  # fmt: skip
    """GAMA with one description of the errors."""
    photo = {"ra": mock.ra, "dec": mock.dec, "z": mock.z_phot, "id": mock.ids}
    spec = {name: values[mock.spec_rows] for name, values in photo.items()}
    surveys = SkySurveys.from_catalogs(
        photo=photo | (more or {}), spec=spec | {"z": mock.z_true[mock.spec_rows]},
        footprint=FIELD, match_id="id", sigma_z=sigma_z,
        details=SkyDetails(sky=SKY, redshift_range=REDSHIFTS, **details),
    )  # fmt: skip
    field = reconstruct(surveys, "redistribution", patches=run.patches)
    found = judge_redshifts(mock, field, surveys=surveys)
    rows = found.chosen(JUDGED, mock.has_spectrum)
    return Judged(found.take(rows), found.z_after[rows])


def gaussians(seeds: list[int]) -> Lines:
    """Layouts of the same errors."""
    yield (
        "| errors as | seed | medians, largest difference [sigma] | rms | nats | PIT, worst tenth "
        "[%] | ln p |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|"
    run = gama()
    for seed in seeds:
        mock = run.mock("random", 0.02, seed)
        sigma = 0.02 * (1 + mock.z_phot)
        one = judged(run, mock, {}, sigma_z=0.02)
        column = judged(run, mock, {"z_err_column": "z_err"}, {"z_err": sigma})
        yield _row("--sigma-z 0.02", seed, one, one)
        yield _row("--z-err-column", seed, column, one)
        with TemporaryDirectory() as folder:
            for layout in ("norm", "hist", "interp", "quant"):
                path = Path(folder) / f"{layout}.hdf5"
                write_pdfs(path, layout, *_gaussian(layout, mock.z_phot, sigma))
                found = judged(run, mock, {"pdf": path, "pdf_prior": "flat"})
                # Of Gaussians in z, and of what they are as a function of the true z.
                yield _row(f"--pdf, {layout}", seed, found, column if layout == "norm" else one)


def _row(name: str, seed: int, found: Judged, other: Judged) -> str:
    away = (found.median - other.median) / (0.02 * (1 + other.redshifts.z_phot))
    numbers = found.redshifts.numbers()
    return (
        f"| {name} | {seed} | {np.nanmax(np.abs(away)):.3f} | {np.sqrt(np.nanmean(away**2)):.4f} | "
        f"{numbers['nats_own_place']:.4f} | {numbers['pit_worst_tenth']:.2f} | "
        f"{numbers['ln_p']:.4f} |"
    )


def _gaussian(layout: str, mean: Array, sigma: Array) -> tuple[dict[str, Array], Array | None]:
    """Columns and grid of p(z) of photo-z with errors of 0.02 (1 + z) under a flat prior.

    Of norm Gaussians of the width at the photo-z, which is not quite the same.
    """
    if layout == "norm":
        return {"loc": mean, "scale": sigma}, None
    fine = np.linspace(GRID[0], GRID[-1], 16 * (len(GRID) - 1) + 1)
    density = _flat(mean, fine)
    if layout == "interp":
        return {"yvals": density[:, ::16]}, GRID
    steps = (density[:, 1:] + density[:, :-1]) / 2 * (fine[1] - fine[0])
    if layout == "hist":
        return {"pdfs": steps.reshape(len(mean), -1, 16).sum(2) / np.diff(GRID)}, GRID
    below = np.concatenate([np.zeros((len(mean), 1)), steps.cumsum(1)], 1)
    below /= below[:, -1:]
    return {"locs": np.array([np.interp(LEVELS, one, fine) for one in below])}, LEVELS


def _flat(mean: Array, z: Array) -> Array:
    """Likelihood of photo-z with errors of 0.02 (1 + z) at redshifts."""
    width = 0.02 * (1 + z)
    return np.asarray(np.exp(-(((mean[:, None] - z) / width) ** 2) / 2) / width)


def mixtures(seeds: list[int]) -> Lines:
    """Two peaks and outliers."""
    yield (
        "| p(z) | seed | ln p of p(z) and N(z) | after | nats | PIT, worst tenth [%] | in the 68% "
        "interval [%] |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|"
    run = gama()
    for seed in seeds:
        mock = run.mock("random", 0.02, seed)
        rng = np.random.default_rng(seed)
        low, high = 0.0, 0.6
        seen = confused(rng, mock.z_true)
        lost = rng.random(len(seen)) < OUTLIERS
        seen[lost] = rng.uniform(low, high, lost.sum())
        mock = replace(mock, z_phot=np.where(mock.has_spectrum, mock.z_phot, seen))
        own = {
            "pdf": PdfTable.of_arrays("interp", {"yvals": two_peaks(seen)}, GRID),
            "pdf_prior": "flat",
            "outlier_fraction": OUTLIERS,
            "outlier_range": (low, high),
        }
        one = {"z_err_column": "z_err", "outlier_fraction": OUTLIERS, "outlier_range": (low, high)}
        for name, details in (("own", own), ("one Gaussian and outliers", one)):
            got = judged(run, mock, details, {"z_err": 0.02 * (1 + seen)}).redshifts.numbers()
            yield (
                f"| {name} | {seed} | {got['ln_p_photo']:.3f} | {got['ln_p']:.3f} | "
                f"{got['nats_own_place']:.3f} | {got['pit_worst_tenth']:.2f} | "
                f"{got['inside_68']:.1f} |"
            )


def confused(rng: np.random.Generator, z: Array) -> Array:
    """Photo-z of which a tenth are too high by `APART`."""
    second = rng.random(len(z)) < SECOND
    return np.asarray(z + (1 + z) * (APART * second + 0.02 * rng.normal(size=len(z))))


def two_peaks(seen: Array) -> Array:
    """p(z_phot | z) on the grid, without outliers."""
    away = (seen[:, None] - GRID) / (1 + GRID)
    peaks = (1 - SECOND) * np.exp(-((away / 0.02) ** 2) / 2)
    peaks += SECOND * np.exp(-(((away - APART) / 0.02) ** 2) / 2)
    return np.asarray(peaks / (1 + GRID))


@dataclass(frozen=True, eq=False)
class Cosmos:
    """zCOSMOS with photo-z, spectra of a part, and the truth."""

    catalog: Catalog
    table: PdfTable

    def column(self, name: str) -> Array:
        return np.asarray(self.catalog[name], np.float64)

    @cached_property
    def before(self) -> tuple[Array, Array]:
        """ln p per unit redshift at the truth of the p(z) as they are, and probability below it."""
        z, width = self.column("Z_SPEC"), COSMOS_GRID[1] - COSMOS_GRID[0]
        cell = np.searchsorted(COSMOS_GRID, z, side="right") - 1
        p = self.table.probability(None, COSMOS_GRID)
        rows = np.arange(len(z))
        part = (z - COSMOS_GRID[cell]) / width
        below = p.cumsum(1)[rows, cell] - p[rows, cell] * (1 - part)
        return np.log(p[rows, cell] / width), below

    def run(self, details: dict[str, Any], seed: int, shuffled: bool) -> dict[str, float]:
        """Numbers of the galaxies without spectra."""
        rng = np.random.default_rng(seed)
        has = rng.random(len(self.catalog)) < SPECTRA
        ra, dec = self.column("RA"), self.column("DEC")
        photo = {"ra": ra, "dec": dec, "z": self.column("Z_PHOT_MEAN"), "id": np.arange(len(ra)),
                 "z_err": self.column("Z_PHOT_STD")}  # fmt: skip
        spec = {name: photo[name][has] for name in ("ra", "dec", "id")}
        if shuffled:
            others = np.flatnonzero(~has)
            mixed = rng.permutation(others)
            for name in ("ra", "dec"):
                photo[name] = photo[name].copy()
                photo[name][others] = (ra if name == "ra" else dec)[mixed]
        surveys = SkySurveys.from_catalogs(
            photo=photo, spec=spec | {"z": self.column("Z_SPEC")[has]},
            footprint=PixelMap.from_data(ra, dec), match_id="id",
            details=SkyDetails(sky=SKY, **details),
        )  # fmt: skip
        field = reconstruct(surveys, "redistribution", patches=PatchSettings(cellsize=2.0))
        return self._numbers(surveys, field)

    def _numbers(self, surveys: SkySurveys, field: SkyReconstruction) -> dict[str, float]:
        ln_p, pit = self._posteriors(surveys, field)
        z = surveys.photo.redshift
        low, high = COSMOS_JUDGED
        rows = (z > low) & (z < high) & surveys.unknown & np.isfinite(ln_p)
        ln_p_before, pit_before = self.before
        gain = (ln_p - ln_p_before)[rows]
        return {
            "num": int(rows.sum()), "amplitude": field.metadata["shells"][0]["amplitude"],
            "gain": float(gain.mean()), "error": float(gain.std() / np.sqrt(len(gain))),
            "ln_p": float(ln_p[rows].mean()), "before": _worst(pit_before[rows]),
            "after": _worst(pit[rows]),
            "inside": 100 * float(((pit[rows] > 0.16) & (pit[rows] < 0.84)).mean()),
        }  # fmt: skip

    def _posteriors(self, surveys: SkySurveys, field: SkyReconstruction) -> tuple[Array, Array]:
        """ln p per unit redshift at the truth, and probability below it; nan without."""
        truth, photo = self.column("Z_SPEC"), surveys.photo
        ln_p, pit = np.full((2, len(truth)), np.nan)
        z = np.where(surveys.usable, photo.redshift, np.nan)
        patch_of = field.patch_of(photo.ra, photo.dec, z)
        for number, patch in enumerate(field):
            assert patch.intensity is not None
            data = PatchData(surveys, patch.box)
            line = data.sight_line
            rows = np.flatnonzero((patch_of == number) & surveys.unknown)
            for some in walk_patch(data, patch.intensity, rows):
                galaxies = rows[some.rows]
                place = torch.from_numpy(line.place(truth[galaxies]))
                pit[galaxies] = some.below(place.float())[0].double().numpy()
                inside = some.at(place.float()).double().numpy()
                cell = np.clip(np.floor(place.numpy()).astype(int) + line.before, 0,
                               len(line.edges) - 2)  # fmt: skip
                ln_p[galaxies] = np.log(inside / np.diff(line.edges)[cell])
        return ln_p, pit


def _worst(pit: Array) -> float:
    return 100 * float(np.abs(np.histogram(pit, 10, (0, 1))[0] / len(pit) - 0.1).max())


def cosmos(seeds: list[int]) -> Lines:
    """Real photometry and real errors."""
    yield (
        "| errors as | places | seed | amplitude | gain over p(z) [nats] | ln p | PIT, worst tenth "
        "of p(z) [%] | after [%] | in the 68% interval [%] |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    data = Cosmos(
        Catalog.read(DATA / "cosmos_zcosmos_photoz.fits"),
        read_pdfs(DATA / "cosmos_pz_ugriz.hdf5"),
    )
    ways: dict[str, dict[str, Any]] = {
        f"--pdf, prior {prior}": {"pdf": data.table, "pdf_prior": prior}
        for prior in ("flat", "nz", "stack")
    }
    for name, details in (ways | {"Z_PHOT_MEAN +- STD": {"z_err_column": "z_err"}}).items():
        for shuffled in (False, True):
            for seed in seeds:
                got = data.run(details, seed, shuffled)
                yield (
                    f"| {name} | {'shuffled' if shuffled else 'own'} | {seed} | "
                    f"{got['amplitude']:.2f} | {got['gain']:.3f} +- {got['error']:.3f} | "
                    f"{got['ln_p']:.3f} | {got['before']:.2f} | {got['after']:.2f} | "
                    f"{got['inside']:.1f} |"
                )


PARTS: dict[str, tuple[str, Callable[[list[int]], Lines]]] = {
    "gaussians": ("GAMA G09: Gaussians in each layout", gaussians),
    "mixtures": ("GAMA G09: two peaks and 10% outliers", mixtures),
    "cosmos": ("zCOSMOS: p(z) of its photometry", cosmos),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", help="by default 1,2,3, and 1 for gaussians")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    if "TRUEZ_DATA" not in os.environ:
        sys.exit("set TRUEZ_DATA to the folder that holds the catalogues")
    warnings.simplefilter("ignore")
    words = " ".join(["python benchmarks/published_pdfs.py", *sys.argv[1:]])
    lines = ["# p(z) of each galaxy, as they are published", "", f"    {words}"]
    for name in options.parts.split(","):
        heading, function = PARTS[name]
        lines += ["", f"## {heading}", ""]
        start = time.perf_counter()
        seeds = options.seeds or ("1" if name == "gaussians" else "1,2,3")
        for line in function([int(seed) for seed in seeds.split(",")]):
            print(line, flush=True)
            lines.append(line)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    options.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
