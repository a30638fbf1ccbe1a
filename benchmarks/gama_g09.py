"""Redshifts of GAMA G09 with simulated photo-z: what is gained, how calibrated it is, and where.

    TRUEZ_DATA=FOLDER python benchmarks/gama_g09.py [--parts table,edge,mask,seams,errors,null]
        [--seeds 1,2,3] [--cellsize 2] [--chi-ref 650] [--out FILE.md]

FOLDER holds gama_g09.csv (RA, Dec, Z, Rpetro). The redshifts are scattered by sigma_z (1 + z), and
a tenth of the galaxies keeps its spectrum: of all (random), of the smallest Rpetro (bright), or of
those that are luminous enough to be seen to z = 0.3 (lum). Gains are in nats per galaxy without a
spectrum at 0.08 < z_phot < 0.35, over p(z | z_phot) with N(z). A seed chooses the errors and the
spectra; the galaxies are the same for all. Each part is a table:

table   gain and calibration, mean of the seeds and standard deviation between them;
edge    gain within 2.5 Mpc/h of the edge over that of the others at the same photo-z, and of the
        same galaxies with an edge beside them, the field being cut at dec = 0.5, and without it;
mask    gain beyond the edge of the spectra where those cover one or the other half of the field;
seams   gain of the same galaxies on patches of 5 degrees and on one;
errors  ln p of the true cell with three models of errors that differ between galaxies;
null    random galaxies with the same N(z).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from truez.catalogs.catalog import Catalog
from truez.evaluate.sky import JudgedRedshifts, gain_beside
from truez.evaluate.sky.judge import edge_lengths, judge_redshifts
from truez.mesh.sphere import unit_vectors
from truez.sky.details import SkyDetails
from truez.sky.make_mock import mock_from_spectra
from truez.sky.mock import SkyMock, SkyMockConfig
from truez.sky.null import null_mock
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.sky.result import SkyReconstruction
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Footprint, Rectangle
from truez.surveys.photo_scatter import PhotoScatter

Array = NDArray[np.float64]
FIELD, MIDDLE = Rectangle(129, 141, -2, 3), (135.0, 0.5)
REDSHIFTS, JUDGED = (0.01, 0.505), (0.08, 0.35)
SAMPLES = {"random": "random", "bright": "bright", "lum": "luminous"}
#: What follows in the file is of the command line, and stays.
BY_HAND = "\n## By the command line\n"
#: Errors that differ: shares and sigma_z of classes, and outliers.
CLASSES = ((0.2, 0.005), (0.5, 0.02), (0.3, 0.05))
OUTLIERS, OUTLIER_RANGE = 0.05, (0.0, 0.6)
OWN = PhotoScatter(error_classes=CLASSES, outlier_fraction=OUTLIERS, outlier_range=OUTLIER_RANGE)
ROWS = [
    ("random", 0.02), ("bright", 0.02), ("lum", 0.02), ("random", 0.01), ("random", None),
]  # fmt: skip
#: Halves of the field, and the sign of right ascension beyond them.
HALVES = ((Rectangle(129, MIDDLE[0], -2, 3), 1), (Rectangle(MIDDLE[0], 141, -2, 3), -1))
Lines, Pair = Iterator[str], tuple[float, float]


@dataclass(frozen=True, eq=False)
class Run:
    """The catalogue, and how it is reconstructed."""

    catalog: Catalog
    patches: PatchSettings

    def mock(
        self, sample: str, sigma_z: float | None, seed: int, spec_footprint: Footprint | None = None
    ) -> SkyMock:
        """Two surveys; errors differ without a ``sigma_z``."""
        config = SkyMockConfig(
            cosmology="planck18", redshift_range=REDSHIFTS, seed=seed, spec_fraction=0.1,
            photo=OWN if sigma_z is None else PhotoScatter(sigma_z=sigma_z),
            spec_choice=SAMPLES[sample], complete_to=0.3, k_correction=1.0,
        )  # fmt: skip
        columns = tuple(self.catalog[name] for name in ("RA", "Dec", "Z"))
        return mock_from_spectra(
            columns, config, footprint=FIELD, spec_footprint=spec_footprint,
            magnitude=self.catalog["Rpetro"],
        )  # fmt: skip

    @lru_cache(maxsize=32)  # noqa: B019
    def usual(self, sample: str, sigma_z: float | None, seed: int) -> Judged:
        """With spectra in the whole field, on one patch."""
        return self.of(self.mock(sample, sigma_z, seed))

    def of(self, mock: SkyMock, surveys: SkySurveys | None = None, **patches: Any) -> Judged:
        """Reconstruct a mock, with other surveys or patches where they are given."""
        start = time.perf_counter()
        patches_of = replace(self.patches, **patches)
        field = reconstruct(surveys or mock.surveys, "redistribution", patches=patches_of)
        name, took = mock.config.spec_choice, time.perf_counter() - start
        print(f"{name}, seed {mock.config.seed}: {took:.0f} s", file=sys.stderr)
        return Judged(mock, field, judge_redshifts(mock, field, surveys=surveys))


@dataclass(frozen=True, eq=False)
class Judged:
    """A reconstruction and its redshifts."""

    mock: SkyMock
    field: SkyReconstruction
    redshifts: JudgedRedshifts

    @cached_property
    def rows(self) -> NDArray[Any]:
        """The galaxies that are judged."""
        return self.redshifts.chosen(JUDGED, self.mock.has_spectrum)

    @cached_property
    def part(self) -> JudgedRedshifts:
        """Their redshifts."""
        return self.redshifts.take(self.rows)

    @cached_property
    def distance(self) -> Array:
        """Comoving distances at the photo-z of all galaxies [Mpc/h]."""
        distances = self.mock.config.cosmology.distances
        return np.asarray(distances.from_redshift(np.clip(self.mock.z_phot, 0, 1)))


def table(run: Run, seeds: list[int]) -> Lines:
    yield "| spectra of | sigma_z | nats | PIT, worst tenth [%] | in the 68% interval [%] | nmad |"
    yield "|---|--:|--:|--:|--:|--:|"
    keys = {"nats_own_place": 3, "pit_worst_tenth": 2, "inside_68": 1, "nmad_after": 5}
    for sample, sigma_z in ROWS:
        found = [run.usual(sample, sigma_z, seed).part.numbers() for seed in seeds]
        cells = []
        for key, digits in keys.items():
            values = [one[key] for one in found]
            cells.append(text(np.mean(values), np.std(values, ddof=int(len(values) > 1)), digits))
        yield f"| {sample} | {'own' if sigma_z is None else sigma_z} | {' | '.join(cells)} |"


def text(value: Any, error: Any, digits: int) -> str:
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def edge(run: Run, seeds: list[int]) -> Lines:
    yield (
        "| spectra of | seed | within 2.5 Mpc/h | others, same photo-z | ratio | beside a cut, "
        "0 to 2.5 Mpc/h | 2.5 to 5 | 5 to 10 | 10 to 20 | further |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for sample in SAMPLES:
        for seed in seeds:
            whole = run.usual(sample, 0.02, seed)
            near, rest, error = at_the_edge(whole)
            cells = [text(*pair, 3) for pair in beside_a_cut(run, whole)]
            yield (
                f"| {sample} | {seed} | {near:.3f} | {rest:.3f} | {text(near / rest, error, 3)} | "
                f"{' | '.join(cells)} |"
            )


def at_the_edge(whole: Judged) -> tuple[float, float, float]:
    """Gains near the edge and of the others at the same photo-z, and the error of their ratio.

    The error is that of a jackknife over square degrees.
    """
    near = edge_lengths(whole.mock)[whole.rows] < 2.5
    ra, dec = (np.floor(values[whole.rows]) for values in (whole.mock.ra, whole.mock.dec))
    fields = np.unique(100 * ra + dec, return_inverse=True)[1]
    ratios = [
        np.divide(*gain_beside(whole.part.take(fields != i), near[fields != i]))
        for i in range(fields.max() + 1)
    ]
    error = np.sqrt((len(ratios) - 1) * np.var(ratios))
    return *gain_beside(whole.part, near), float(error)


def beside_a_cut(run: Run, whole: Judged) -> list[Pair]:
    """Gain with a cut at the middle of the field over that without, by distance from the cut."""
    mock, middle = whole.mock, MIDDLE[1]
    gain = np.full(len(mock.ids), np.nan)
    for half, inside in (
        (Rectangle(129, 141, -2, middle), mock.dec < middle),
        (Rectangle(129, 141, middle, 3), mock.dec >= middle),
    ):
        gain[inside] = run.of(part_of(mock, inside, half)).redshifts.gain
    away = np.radians(np.abs(mock.dec - middle)) * whole.distance
    rows = whole.rows[np.isfinite(gain[whole.rows])]
    rows = rows[edge_lengths(mock)[rows] > 10]
    return [
        over(gain[some], whole.redshifts.gain[some])
        for some in by(rows, away[rows], (0, 2.5, 5, 10, 20, np.inf))
    ]


def part_of(mock: SkyMock, inside: NDArray[np.bool_], footprint: Footprint) -> SkyMock:
    """The galaxies of a mock in a part of its footprint."""
    names = ("ids", "ra", "dec", "z_phot", "sigma_z", "z_true", "outlier", "magnitude")
    spectra = np.flatnonzero(mock.has_spectrum[inside])
    return replace(
        mock, **{name: getattr(mock, name)[inside] for name in names}, spec_rows=spectra,
        footprint=footprint, spec_footprint=footprint,
    )  # fmt: skip


def by(rows: NDArray[Any], values: Array, limits: Sequence[float]) -> list[NDArray[Any]]:
    """Rows by their values between limits."""
    return [rows[(values >= low) & (values < high)] for low, high in pairwise(limits)]


def over(one: Array, other: Array) -> Pair:
    """The ratio of the mean gains of the same galaxies, and its error."""
    error = np.std(one - other) / np.sqrt(len(one)) / other.mean()
    return float(one.mean() / other.mean()), float(error)


def mask(run: Run, seeds: list[int]) -> Lines:
    heads = " | ".join(f"{low} to {low + 10}" for low in range(0, 80, 10))
    yield f"| spectra of | seed | inside | {heads} | PIT, worst tenth, beyond [%] |"
    yield "|---|--:" + "|--:" * 10 + "|"
    for sample in SAMPLES:
        for seed in seeds:
            means, worst = beyond_spectra(run, sample, seed)
            cells = [text(*pair, 4) for pair in means]
            yield f"| {sample} | {seed} | {' | '.join(cells)} | {worst:.2f} |"


def beyond_spectra(run: Run, sample: str, seed: int) -> tuple[list[Pair], float]:
    """Gain where there are spectra and 0 to 10, ..., 70 to 80 Mpc/h beyond their edge.

    Of both halves of the field; with the worst tenth of the PIT of all galaxies beyond [%].
    """
    parts = []
    for half, sign in HALVES:
        found = run.of(run.mock(sample, 0.02, seed, half))
        mock, rows = found.mock, found.rows
        angle = np.radians((mock.ra - MIDDLE[0]) * np.cos(np.radians(mock.dec)))
        # Galaxies of 0.03 in z share their structure.
        block = sign * (1 + np.floor(mock.z_phot[rows] / 0.03))
        away = (sign * angle * found.distance)[rows]
        parts.append((away, block, found.part.gain, found.part.pit))
    away, block, gain, pit = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    tenths = np.histogram(pit[away > 0], 10, (0, 1))[0] / (away > 0).sum()
    return [
        mean_of(gain[some], block[some])
        for some in by(np.arange(len(away)), away, (-np.inf, *range(0, 81, 10)))
    ], 100 * float(np.abs(tenths - 0.1).max())


def mean_of(values: Array, block: Array) -> Pair:
    """Mean of values, and its error from blocks of galaxies."""
    number = np.unique(block, return_inverse=True)[1]
    error = np.sqrt((np.bincount(number, values - values.mean()) ** 2).sum()) / len(values)
    return float(values.mean()), float(error)


def seams(run: Run, seeds: list[int]) -> Lines:
    yield "| spectra of | seed | patches | 0 to 3 Mpc/h of a seam | 3 to 10 | 10 to 30 | further |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for sample in SAMPLES:
        for seed in seeds:
            one = run.usual(sample, 0.02, seed)
            several = run.of(one.mock, widest=5.0)
            cells = [text(*pair, 4) for pair in at_seams(one, several)]
            yield f"| {sample} | {seed} | {len(several.field)} | {' | '.join(cells)} |"


def at_seams(one: Judged, several: Judged) -> list[Pair]:
    """Gain on several patches over that on one, by the distance from a seam."""
    away = seam_distance(several)[one.rows]
    return [
        over(several.redshifts.gain[some], one.redshifts.gain[some])
        for some in by(one.rows, away, (0, 3, 10, 30, np.inf))
    ]


def seam_distance(several: Judged) -> Array:
    """Of all galaxies from the nearest seam within 5 deg, at their photo-z, to 0.02 deg [Mpc/h]."""
    ra, dec = FIELD.sample(0.02)
    places, galaxies = unit_vectors(ra, dec), unit_vectors(several.mock.ra, several.mock.dec)
    there, own = (
        several.field.patch_of(*sky, np.full(len(sky[0]), 0.2))
        for sky in ((ra, dec), (several.mock.ra, several.mock.dec))
    )
    away = np.full(len(own), np.inf)
    for number in np.unique(own):
        mine = own == number
        away[mine] = cKDTree(places[there != number]).query(galaxies[mine])[0]
    return np.asarray(away * several.distance)


def errors(run: Run, seeds: list[int]) -> Lines:
    yield (
        "| model of the errors | seed | ln p of photo-z and N(z) | after | nats | PIT, worst tenth "
        "[%] | in the 68% interval [%] |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for seed in seeds:
        for name, got in error_models(run, seed).items():
            yield (
                f"| {name} | {seed} | {got['ln_p_photo']:.3f} | {got['ln_p']:.3f} | "
                f"{got['nats_own_place']:.3f} | {got['pit_worst_tenth']:.2f} | "
                f"{got['inside_68']:.1f} |"
            )


def error_models(run: Run, seed: int) -> dict[str, dict[str, Any]]:
    """Numbers of the galaxies to which all models of errors that differ give a chance."""
    own = run.usual("random", None, seed)
    mock, rows = own.mock, own.rows
    names: dict[str, Any] = {"sky": ("ra", "dec", "z"), "redshift_range": REDSHIFTS}
    rms = float(np.sqrt(np.mean(mock.sigma_z**2)))
    found = {
        "own": own,
        "own, no outliers": run.of(
            mock, surveys_of(mock, None, SkyDetails(**names, sigma_z_column="sigma_z"))
        ),
        "rms for all": run.of(mock, surveys_of(mock, rms, SkyDetails(**names))),
    }
    rows = rows[np.all([one.redshifts.known[rows] for one in found.values()], axis=0)]
    return {name: one.redshifts.take(rows).numbers() for name, one in found.items()}


def surveys_of(mock: SkyMock, sigma_z: float | None, details: SkyDetails) -> SkySurveys:
    """The surveys of a mock with another model of its errors."""
    photo = {"ra": mock.ra, "dec": mock.dec, "z": mock.z_phot, "id": mock.ids}
    spec = {name: values[mock.spec_rows] for name, values in photo.items()}
    return SkySurveys.from_catalogs(
        photo=photo | {"sigma_z": mock.sigma_z}, spec=spec | {"z": mock.z_true[mock.spec_rows]},
        footprint=FIELD, sigma_z=sigma_z, match_id="id", details=details,
    )  # fmt: skip


def null(run: Run, seeds: list[int]) -> Lines:
    yield "| spectra of | seed | nats | PIT, worst tenth [%] |"
    yield "|---|--:|--:|--:|"
    for sample in SAMPLES:
        for seed in seeds:
            found = run.of(null_mock(run.mock(sample, 0.02, seed), seed=seed)).part.numbers()
            yield (
                f"| {sample} | {seed} | {found['nats_own_place']:.4f} +- "
                f"{found['nats_own_place_error']:.4f} | {found['pit_worst_tenth']:.2f} |"
            )


PARTS: dict[str, tuple[str, Callable[[Run, list[int]], Lines]]] = {
    "table": ("Gain and calibration", table),
    "edge": ("Edges: ratios of gains", edge),
    "mask": ("Beyond the spectra: gain by distance from their edge [Mpc/h]", mask),
    "seams": ("Seams: gain on patches of 5 degrees over that on one, the same galaxies", seams),
    "errors": ("Errors that differ: mean ln p of the true cell", errors),
    "null": ("Random galaxies", null),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", help="by default 1, and 1,2,3 for the first table")
    parser.add_argument("--cellsize", type=float, default=2.0)
    parser.add_argument("--chi-ref", type=float, default=650.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    if "TRUEZ_DATA" not in os.environ:
        sys.exit("set TRUEZ_DATA to the folder that holds gama_g09.csv")
    run = Run(
        Catalog.read(Path(os.environ["TRUEZ_DATA"]) / "gama_g09.csv"),
        PatchSettings(cellsize=options.cellsize, chi_ref=options.chi_ref),
    )
    words = " ".join(["python benchmarks/gama_g09.py", *sys.argv[1:]])
    lines = ["# Redshifts of GAMA G09", "", f"    {words}"]
    for name in options.parts.split(","):
        heading, function = PARTS[name]
        seeds = options.seeds or ("1,2,3" if name == "table" else "1")
        lines += ["", f"## {heading}", ""]
        for line in function(run, [int(seed) for seed in seeds.split(",")]):
            print(line, flush=True)
            lines.append(line)
    before = options.out.read_text() if options.out.exists() else ""
    _, heading, by_hand = before.partition(BY_HAND)
    options.out.write_text("\n".join([*lines, ""]) + heading + by_hand)


if __name__ == "__main__":
    main()
