"""The simulated galaxies compared with the paper's Table I and with TNG300; their calibration.

    python benchmarks/galaxies.py table [--seeds 1006 1007 1008 1009] [--catalog FILE --boxsize L]
    python benchmarks/galaxies.py tng300 FILE
    python benchmarks/galaxies.py calibrate [--seeds 101 102 103 104] [--evaluations 80]

``table`` prints the scores of the raw photometric and spectroscopic fields in sub-boxes of 200
Mpc/h, in boxes of 512 Mpc/h with 256^3 particles, or in a catalogue that ``truez simulate`` wrote.
``tng300`` compares counts in cells and P(k) with the galaxies of TNG300 (the file
``tng300_galaxies.h5`` that ``docs/results/tng300.md`` describes) and draws
``docs/images/galaxies.png``.
``calibrate`` repeats the search for the defaults of `truez.simulate.GalaxyModel`: the smallest sum
of squared distances from the targets (Nelder & Mead), in the mean of some boxes. The result is in
``docs/concepts/simulator.md``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import h5py
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

from truez.catalogs.catalog import Catalog
from truez.cosmology import COSMOLOGIES
from truez.evaluate.figures.style import PAGE_WIDTH, TRUTH_STYLE, plain_ticks, save, styled
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.simulate import GalaxyModel, Particles, galaxies_from_particles, simulate
from truez.statistics.power import power
from truez.statistics.scores import sub_box_scores
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

#: Table I of arXiv:2504.06309: mean and scatter of 36 sub-boxes. Its variance follows from them.
PAPER = {
    ("photo", "mse"): (8.82, 0.62),
    ("photo", "mae"): (1.52, 0.07),
    ("photo", "ssim"): (0.43, 0.04),
    ("photo", "psnr"): (28.67, 0.96),
    ("spec", "mse"): (33.21, 2.59),
    ("spec", "mae"): (1.37, 0.08),
    ("spec", "ssim"): (0.52, 0.02),
    ("spec", "psnr"): (22.92, 0.99),
}
VARIANCE = 7.2
#: Target biases of the two samples, and their tolerances.
BIAS = {"photo": (1.18, 0.06), "spec": (1.7, 0.1)}
REDSHIFT, SIGMA_Z, PHOTO, SPEC = 0.59, 0.02, 1.85e-2, 1e-3
SIDE, NUM_PARTICLES = 512.0, 256
CELLS = 100  # of 2 Mpc/h, a side of a sub-box
IMAGES = Path(__file__).parents[1] / "docs" / "images"

# TNG300: cosmology and cube, in comoving Mpc there; the file is a random fifth of the galaxies.
TNG_SIDE, TNG_LOWER, TNG_FRACTION = 290.0, 5.0, 0.2
RADII = (4.0, 8.0, 16.0)


def particles_of(cosmology: str, redshift: float, seed: int) -> Particles:
    box = Box(SIDE, NUM_PARTICLES)
    return simulate(box, COSMOLOGIES[cosmology], redshift=redshift, seed=seed)


def observe(positions, velocities, mass, box: Box, trim=None) -> Mock:
    config = MockConfig(
        redshift=REDSHIFT,
        cosmology=COSMOLOGIES["wmap"],
        sigma_z=SIGMA_Z,
        rank_by="mass",
        spec=Selection(density=SPEC),
        photo=Selection(density=PHOTO),
        trim=trim,
        seed=1,
    )
    return make_mock(positions, box, config, velocities=velocities, columns={"mass": mass})


def sub_boxes(mock: Mock, region=None) -> dict:
    """Scores of the sub-boxes, one array for each; ``variance`` is that of the truth."""
    truth, photo, spec = mock.fields()
    result = {}
    for name, given in (("photo", photo), ("spec", spec)):
        found = sub_box_scores(given, truth=truth, cells=CELLS, region=region)
        for score in ("mse", "mae", "ssim", "psnr"):
            result[name, score] = found.values[score]
    variances = [
        np.var(truth.crop(start, start + np.array(found.cells)).numpy(), dtype=np.float64)
        for start in found.starts
    ]
    result["truth", "variance"] = np.array(variances)
    return result


def bias(positions, matter: Field, limit: float = 0.1) -> float:
    """Root of the ratio of the galaxies' spectrum, less shot noise, to that of matter."""
    tracer = power(paint(positions, matter.box))
    reference = power(matter)
    kept = reference.k < limit
    weights = reference.nmodes[kept]
    signal = weights @ (tracer.poles[0] - tracer.shotnoise)[kept]
    return math.sqrt(signal / (weights @ reference.poles[0][kept]))


def table(seeds: list[int], catalog: str | None, boxsize: float) -> None:
    parts, biases = [], []
    if catalog is None:
        title = f"{len(seeds)} boxes of {SIDE:g} Mpc/h, seeds {', '.join(map(str, seeds))}"
        for seed in seeds:
            particles = particles_of("wmap", REDSHIFT, seed)
            galaxies = galaxies_from_particles(particles, density=PHOTO, seed=seed)
            matter = paint(particles.positions, particles.box)
            heaviest = galaxies.most_massive(SPEC)
            biases.append(
                [bias(galaxies.positions, matter), bias(galaxies.positions[heaviest], matter)]
            )
            mock = observe(
                galaxies.positions, galaxies.velocities[:, 2], galaxies.mass, Box(SIDE, 256)
            )
            parts.append(sub_boxes(mock))
            print(f"seed {seed} done", flush=True)
    else:
        title = f"{Path(catalog).name}, {boxsize:g} Mpc/h, Z from 800 to 1000 Mpc/h"
        found = Catalog.read(catalog, ["x", "y", "z", "vz", "mass"])
        positions = np.stack([found[axis] for axis in "xyz"], axis=1)
        box = Box.from_cellsize(boxsize, 2.0)
        mock = observe(positions, found["vz"], found["mass"], box, trim=(200, 1000))
        nx, ny, _ = box.meshsize
        parts.append(sub_boxes(mock, ((0, 0, 400), (nx, ny, 500))))
    rows = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    print(f"\n{title}: {len(rows['photo', 'mse'])} sub-boxes of {2 * CELLS} Mpc/h\n")
    print("| field | score | ours | Table I | difference |\n|---|---|--:|--:|--:|")
    for (name, score), (value, scatter) in PAPER.items():
        ours = rows[name, score]
        mean = ours.mean()
        off = f"{mean - value:+.2f} dB" if score == "psnr" else f"{mean / value - 1:+.1%}"
        print(
            f"| {name} | {score.upper()} | {mean:.4g} +- {ours.std(ddof=1):.2g} "
            f"| {value} +- {scatter} | {off} |"
        )
    variance = rows["truth", "variance"]
    print(
        f"| truth | variance | {variance.mean():.3g} +- {variance.std(ddof=1):.2g} | {VARIANCE} "
        f"| {variance.mean() / VARIANCE - 1:+.1%} |"
    )
    if biases:
        photo, spec = np.mean(biases, axis=0)
        print(f"\nbias at k < 0.1 h/Mpc, real space: photo {photo:.3f}, spec {spec:.3f}")


def moments(positions, radius: float, side: float) -> tuple[float, float]:
    """Variance and skewness S3 of counts in cubes of ``radius`` a side, less Poisson noise."""
    number = int(side / radius)
    edges = [np.linspace(0, number * radius, number + 1)] * 3
    counts = np.histogramdd(positions, bins=edges)[0]
    mean = counts.mean()
    delta = counts / mean - 1
    second = (delta**2).mean()
    third = (delta**3).mean() - 3 * second / mean + 2 / mean**2
    variance = second - 1 / mean
    return variance, third / variance**2


def spectrum(positions, side: float):
    """P(k) of a cube as if it were periodic, without shot noise: alike for all cubes."""
    found = power(paint(positions, Box(side, 128), "tsc"), compensate=True)
    # Bins of three fundamentals or more: narrower ones would show the scatter of single modes.
    edges = np.geomspace(found.k[0] * 0.99, math.pi * 96 / side, 13)
    number = np.digitize(found.k, edges)
    kept = [number == i for i in range(1, 13) if (number == i).any()]
    k = np.array([np.average(found.k[one], weights=found.nmodes[one]) for one in kept])
    p = np.array([np.average(found.poles[0][one], weights=found.nmodes[one]) for one in kept])
    return k, p - found.shotnoise


def cubes(positions, side: float) -> list:
    """The cubes of a side that fit into the box without overlap."""
    starts = np.arange(int(SIDE / side)) * side
    result = []
    for x in starts:
        for y in starts:
            for z in starts:
                local = positions - np.array([x, y, z])
                result.append(local[((local >= 0) & (local < side)).all(axis=1)])
    return result


def tng300(path: str, seed: int) -> None:
    h = COSMOLOGIES["tng"].h
    side = TNG_SIDE * h
    with h5py.File(path) as file:
        everything = np.stack([file[axis][:] for axis in "xyz"], axis=1)
        bright = file["mr"][:] < -21
    everything = (everything.astype(np.float64) - TNG_LOWER) * h
    samples = {"all": everything, "bright": everything[bright]}
    particles = particles_of("tng", 0.0, seed)
    rng = np.random.default_rng(seed)
    results = {}
    print("| sample | of | density | " + " | ".join(f"var {r:g}" for r in RADII), end="")
    print(" | " + " | ".join(f"S3 {r:g}" for r in RADII) + " |")
    print("|---|---|--:" + "|--:" * 6 + "|")
    for name, real in samples.items():
        density = len(real) / side**3
        ranked = galaxies_from_particles(particles, density=density, seed=seed)
        many = galaxies_from_particles(particles, density=density / TNG_FRACTION, seed=seed)
        thinned = rng.random(len(many)) < TNG_FRACTION
        ours = {"most massive": ranked.positions, "thinned": many.positions[thinned]}
        for kind, cut in [("TNG300", [real])] + [
            (kind, cubes(positions.astype(np.float64), side)) for kind, positions in ours.items()
        ]:
            values = np.array([[moments(one, r, side) for r in RADII] for one in cut])
            spectra = [spectrum(one, side) for one in cut]
            k, p = spectra[0][0], np.array([one[1] for one in spectra])
            results[name, kind] = (values, k, p)
            mean = values.mean(axis=0)
            scatter = values.std(axis=0, ddof=1) if len(cut) > 1 else np.full_like(mean, np.nan)
            cells = [
                f"{m:.3g}" + ("" if math.isnan(s) else f" +- {s:.2g}")
                for m, s in zip(mean.T.ravel(), scatter.T.ravel(), strict=True)
            ]
            print(f"| {name} | {kind} | {density:.3g} | " + " | ".join(cells) + " |", flush=True)
    IMAGES.mkdir(exist_ok=True)
    print(*save(draw(results), IMAGES / "galaxies"))


@styled
def draw(results: dict) -> Figure:
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex="col")
    looks = {
        "TNG300": {**TRUTH_STYLE, "marker": "o", "markersize": 3.5, "zorder": 3},
        "most massive": {"color": "#D55E00", "linestyle": (0, (6, 1)), "marker": "s"},
        "thinned": {"color": "#0072B2", "linestyle": (0, (2, 1)), "marker": "^"},
    }
    labels = {
        "TNG300": "TNG300",
        "most massive": "truez, the most massive objects",
        "thinned": "truez, a random fifth of five times as many",
    }
    titles = {"all": "all", "bright": "bright"}
    for row, name in zip(panels, titles, strict=True):
        for number, (kind, look) in enumerate(looks.items()):
            values, k, p = results[name, kind]
            shift = 1 + 0.03 * (number - 1)  # error bars side by side
            for panel, column in ((row[0], 0), (row[1], 1)):
                here = values[..., column]
                error = here.std(axis=0, ddof=1) if len(here) > 1 else None
                panel.errorbar(
                    np.array(RADII) * shift,
                    here.mean(axis=0),
                    error,
                    **{"markersize": 3.5, "capsize": 2, **look},
                    label=labels[kind],
                )
            row[2].plot(k, p.mean(axis=0), **{**look, "marker": ""})
            if len(p) > 1:
                scatter = p.std(axis=0, ddof=1)
                low, high = p.mean(axis=0) - scatter, p.mean(axis=0) + scatter
                row[2].fill_between(k, low, high, color=look["color"], alpha=0.2, linewidth=0)
        row[0].set_ylabel(f"{titles[name]}: variance of counts")
        row[1].set_ylabel("skewness $S_3$")
        row[2].set_ylabel("$P(k)$ [(Mpc/h)$^3$]")
        row[0].set_yscale("log")
        row[0].set_yticks([0.5, 1, 2, 5, 10])
        row[0].set_yticks([], minor=True)
        plain_ticks(row[0].yaxis)
        row[2].set_yscale("log")
        row[1].set_ylim(0, None)
    for panel in panels[:, :2].flat:
        panel.set_xscale("log")
        panel.set_xticks(RADII, [f"{r:g}" for r in RADII], minor=False)
        panel.set_xticks([], minor=True)
    for panel in panels[:, 2]:
        panel.set_xscale("log")
    panels[1, 0].set_xlabel("side of the cells [Mpc/h]")
    panels[1, 1].set_xlabel("side of the cells [Mpc/h]")
    panels[1, 2].set_xlabel("$k$ [h/Mpc]")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def calibrate(seeds: list[int], evaluations: int) -> None:
    """Search from a start found by hand; prints every trial, and the best one last."""
    boxes = [particles_of("wmap", REDSHIFT, seed) for seed in seeds]
    names = ("slope", "threshold", "ceiling", "halo_scatter", "gap", "stripping")
    trials = []

    def measured(particles: Particles, seed: int, model: GalaxyModel) -> dict:
        galaxies = galaxies_from_particles(particles, density=PHOTO, seed=seed, model=model)
        mock = observe(galaxies.positions, galaxies.velocities[:, 2], galaxies.mass, Box(SIDE, 256))
        result = {key: values.mean() for key, values in sub_boxes(mock).items()}
        matter = paint(particles.positions, particles.box)
        for name, rows in (("photo", slice(None)), ("spec", galaxies.most_massive(SPEC))):
            result[name, "bias"] = bias(galaxies.positions[rows], matter)
        return result

    def distance(x) -> float:
        settings = dict(zip(names, map(float, np.exp(x)), strict=True))
        model = GalaxyModel(**settings)
        each = [measured(box, seed, model) for box, seed in zip(boxes, seeds, strict=True)]
        mean = {key: np.mean([one[key] for one in each]) for key in each[0]}
        # A distance of one is half of the tolerance of 10%, or 0.6 dB.
        total = ((mean["truth", "variance"] / VARIANCE - 1) / 0.05) ** 2
        for key, (value, _) in PAPER.items():
            off = (mean[key] - value) / 0.3 if key[1] == "psnr" else (mean[key] / value - 1) / 0.05
            total += off**2
        for name, (wanted, tolerance) in BIAS.items():
            total += ((mean[name, "bias"] - wanted) / tolerance) ** 2
        trials.append((total, settings))
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in settings.items())
        scores = ", ".join(f"{' '.join(key)} {value:.3g}" for key, value in mean.items())
        print(f"{total:.2f}: {numbers}; {scores}", flush=True)
        return total

    start = np.log([0.47, 1.4, 20.0, 0.5, 1.0, 0.5])
    simplex = np.vstack([start, start + 0.25 * np.eye(len(start))])
    options = {"initial_simplex": simplex, "maxfev": evaluations}
    minimize(distance, start, method="Nelder-Mead", options=options)
    total, settings = min(trials, key=lambda trial: trial[0])
    print(f"best: {total:.2f}: {settings}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("table")
    one.add_argument("--seeds", type=int, nargs="+", default=[1006, 1007, 1008, 1009])
    one.add_argument("--catalog")
    one.add_argument("--boxsize", type=float, default=1200.0)
    two = commands.add_parser("tng300")
    two.add_argument("file")
    two.add_argument("--seed", type=int, default=1005)
    three = commands.add_parser("calibrate")
    three.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104])
    three.add_argument("--evaluations", type=int, default=80)
    given = parser.parse_args()
    if given.command == "table":
        table(given.seeds, given.catalog, given.boxsize)
    elif given.command == "tng300":
        tng300(given.file, given.seed)
    else:
        calibrate(given.seeds, given.evaluations)


if __name__ == "__main__":
    main()
