"""Clustering of redshifts drawn by ``truez redshifts --clustering``, beside truth and photo-z.

    OMP_NUM_THREADS=1 python benchmarks/clustering.py MOCK FOLDER [--range 0.08,0.35]

MOCK is a mock on the sky, and FOLDER what was written of it. The monopole xi(s) is that of Landy &
Szalay (1993) with weights WEIGHT x WEIGHT_FKP. The truth are the galaxies that the draws are of, at
their true redshifts, with the randoms of the folder; the photo-z have randoms whose redshifts are
scattered by the photo-z error. Errors are of a jackknife of ten strips. P(k) are those of a mesh of
galaxies less randoms, less shot noise, of the same weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.mesh.sphere import unit_vectors
from truez.sky.drawn_density import DrawnDensity
from truez.sky.mock import SkyMock

Array = NDArray[np.float64]
#: Separations [Mpc/h], galaxies per random galaxy in pairs of randoms alone, strips, and P0.
EDGES = np.array([1.0, 2, 4, 6, 8, 10, 14, 20, 30])
PAIRS, MIXED, STRIPS, POWER = 2, 6, 10, 1e4
#: Cosine of the angle to the line of sight from which on a pair lies along it, and what is compared
#: with the truth: a result, and all pairs, those across or those along.
STEEP = 0.8
RATIOS = {
    "photo-z / truth": ("photo-z", 0), "draws / truth": ("draws", 0),
    "across (mu < 0.8)": ("draws", 1), "along": ("draws", 2),
}  # fmt: skip
#: Of spectra: bins of k [h/Mpc], cells and empty room around the survey [Mpc/h], the cosine between
#: modes across and along, and what is compared.
WAVES = np.array([0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8])
CELL, ROOM, MIDDLE = 3.0, 40.0, 0.5
POWERS = {
    "photo-z / truth": ("photo-z", 0), "draw / truth": ("draw 0", 0),
    "across (mu < 0.5)": ("draw 0", 1), "along": ("draw 0", 2),
}  # fmt: skip


@dataclass(frozen=True)
class Points:
    """Places (n, 3) [Mpc/h], weights, and strips of right ascension."""

    place: Array
    weight: Array
    strip: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_] | slice) -> Points:
        return Points(self.place[rows], self.weight[rows], self.strip[rows])


def points(mock: SkyMock, ra: Array, dec: Array, z: Array, weight: Array) -> Points:
    chi = mock.config.cosmology.distances.from_redshift(z)
    # In which an island at right ascension 0 is not cut.
    middle = np.degrees(np.angle(np.exp(1j * np.radians(mock.ra)).mean()))
    east, own = ((x - middle + 180) % 360 for x in (ra, mock.ra))
    strip = np.searchsorted(np.quantile(own, np.linspace(0, 1, STRIPS + 1)[1:-1]), east)
    return Points(unit_vectors(ra, dec) * chi[:, None], weight, strip)


def pairs(a: Points, b: Points) -> tuple[Array, Array]:
    """Weighted pairs by the strip of the first and by separation, and those within a strip."""
    reach = EDGES[-1]
    lower = np.minimum(a.place.min(0), b.place.min(0)) - reach
    shape = ((np.maximum(a.place.max(0), b.place.max(0)) - lower) / reach).astype(int) + 2
    cells = np.ravel_multi_index(tuple(((b.place - lower) / reach).astype(int).T), shape)
    order = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[order], np.arange(np.prod(shape) + 1))
    own = ((a.place - lower) / reach).astype(int)
    bins = np.searchsorted(EDGES, np.arange(int(reach)), side="right") - 1
    return count(
        a.place, a.weight, a.strip, own, b.place[order], b.weight[order], b.strip[order], starts,
        shape, bins,
    )  # fmt: skip


@numba.njit(fastmath=True)
def count(place, weight, strip, cell, others, weights, strips, starts, shape, bins):  # type: ignore[no-untyped-def]
    """Pairs of each point with those in the cells around it; edges of bins are whole numbers."""
    num, reach = 2 * (bins.max() + 1), len(bins)
    every, within = np.zeros((STRIPS, num)), np.zeros((STRIPS, num))
    for i in range(len(place)):
        for x in range(cell[i, 0] - 1, cell[i, 0] + 2):
            for y in range(cell[i, 1] - 1, cell[i, 1] + 2):
                row = (x * shape[1] + y) * shape[2] + cell[i, 2]
                for j in range(starts[row - 1], starts[row + 2]):
                    square = (
                        (place[i, 0] - others[j, 0]) ** 2
                        + (place[i, 1] - others[j, 1]) ** 2
                        + (place[i, 2] - others[j, 2]) ** 2
                    )
                    if square < reach**2:
                        k = bins[int(np.sqrt(square))]
                        if k >= 0:
                            along, far = 0.0, 0.0
                            for axis in range(3):
                                middle = place[i, axis] + others[j, axis]
                                along += middle * (place[i, axis] - others[j, axis])
                                far += middle**2
                            if along**2 >= STEEP**2 * square * far:
                                k += num // 2
                            product = weight[i] * weights[j]
                            every[strip[i], k] += product
                            if strip[i] == strips[j]:
                                within[strip[i], k] += product
    return every, within


def shares(a: Points, b: Points, *, same: bool) -> Array:
    """Pairs over all pairs of the weights: of all strips, and without each, (strips + 1, 3, n).

    Of any direction, across the line of sight and along it.
    """
    every, within = pairs(a, b)
    other = every if same else pairs(b, a)[0]
    total = np.concatenate([every.sum(0)[None], every.sum(0) - every - other + within])
    sums = [
        np.concatenate([[x.weight.sum()], x.weight.sum() - np.bincount(x.strip, x.weight, STRIPS)])
        for x in (a, b)
    ]
    across, along = np.split(total / (sums[0] * sums[1])[:, None], 2, axis=1)
    return np.stack([across + along, across, along], axis=1)


def monopole(data: Points, randoms: Points) -> tuple[Array, Array]:
    """xi(s) by direction (3, n), and that without each of the strips, (strips, 3, n)."""
    few = randoms.take(slice(0, PAIRS * len(data.strip)))
    many = randoms.take(slice(0, MIXED * len(data.strip)))
    dd, dr = shares(data, data, same=True), shares(data, many, same=False)
    xi = (dd - 2 * dr) / shares(few, few, same=True) + 1
    return xi[0], xi[1:]


def spectra(samples: dict[str, tuple[Points, Points]]) -> dict[str, Array]:
    """P(k) of samples with their randoms, less shot noise, in bins of k (any mu, below, above)."""
    places = np.concatenate([part.place for pair in samples.values() for part in pair])
    # The line of sight is nearly the middle of the survey.
    away = places.mean(0) / np.linalg.norm(places.mean(0))
    lower = places.min(0) - ROOM
    edges = [low + CELL * np.arange(num + 1)
             for low, num in zip(lower, np.ceil((np.ptp(places, 0) + 2 * ROOM) / CELL).astype(int),
                                 strict=True)]  # fmt: skip
    waves = [2 * np.pi * np.fft.fftfreq(len(edge) - 1, CELL) for edge in edges]
    k = np.stack(np.meshgrid(*waves, indexing="ij"))
    size = np.sqrt((k**2).sum(0))
    mu = np.abs(np.tensordot(away, k, 1)) / np.maximum(size, 1e-9)
    found = {}
    for name, (data, randoms) in samples.items():
        share = data.weight.sum() / randoms.weight.sum()
        meshes = [
            np.histogramdd(part.place, edges, weights=part.weight)[0] for part in (data, randoms)
        ]
        power = np.abs(np.fft.fftn(meshes[0] - share * meshes[1])) ** 2
        power -= (data.weight**2).sum() + share**2 * (randoms.weight**2).sum()
        found[name] = np.array([
            [power[(size >= low) & (size < high) & ways].mean()
             for low, high in itertools.pairwise(WAVES)]
            for ways in (mu <= 1.01, mu < MIDDLE, mu >= MIDDLE)
        ])  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mock")
    parser.add_argument("folder")
    parser.add_argument("--range", default="0.08,0.35")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--plot")
    options = parser.parse_args()
    low, high = (float(part) for part in options.range.split(","))
    mock, folder = SkyMock.read(options.mock), Path(options.folder)
    reach = json.loads((folder / "clustering.json").read_text())["photo_reach"]
    surveys = mock.surveys.with_redshift_range(low, high)
    expected = DrawnDensity(surveys, tuple(reach))

    def read(name: str) -> Points:
        table = Catalog.read(folder / name, ["RA", "DEC", "Z", "WEIGHT", "WEIGHT_FKP"])
        rows = (table["Z"] >= low) & (table["Z"] <= high)
        ra, dec, z = (np.asarray(table[name])[rows] for name in ("RA", "DEC", "Z"))
        weight = np.asarray(table["WEIGHT"] * table["WEIGHT_FKP"])[rows]
        return points(mock, ra, dec, z, weight)

    def own(z: Array, rows: NDArray[np.bool_]) -> Points:
        rows = rows & (z >= low) & (z <= high)
        ra, dec = mock.ra[rows], mock.dec[rows]
        weight = 1 / (1 + POWER * expected.density(ra, dec, z[rows]))
        return points(mock, ra, dec, z[rows], weight)

    randoms = read("randoms.ran.fits")
    in_reach = (mock.z_phot >= reach[0]) & (mock.z_phot <= reach[1]) | mock.has_spectrum
    samples = {
        "truth": (own(mock.z_true, surveys.usable & in_reach), randoms),
        **{f"draw {i}": (read(f"draw_{i}.dat.fits"), randoms) for i in range(options.draws)},
        "photo-z": (own(mock.z_phot, surveys.usable), scattered(mock, (low, high))),
    }
    each = {name: monopole(*pair) for name, pair in samples.items()}
    drawn = [each[f"draw {i}"] for i in range(options.draws)]
    mean = tuple(np.mean([one[i] for one in drawn], axis=0) for i in (0, 1))
    results = {"truth": each["truth"], "draws": mean, "photo-z": each["photo-z"]}
    print(f"| s [Mpc/h] | {' | '.join(results)} | {' | '.join(RATIOS)} |")
    print("|---|" + "--:|" * (len(results) + len(RATIOS)))
    truth, without = results["truth"]
    for i, (near, far) in enumerate(itertools.pairwise(EDGES)):
        cells = [f"{near:g} to {far:g}", *(f"{xi[0, i]:.3g}" for xi, _ in results.values())]
        for name, way in RATIOS.values():
            xi, parts = results[name]
            ratio = parts[:, way, i] / without[:, way, i]
            error = np.sqrt((STRIPS - 1) * np.var(ratio))
            cells.append(f"{xi[way, i] / truth[way, i]:.2f} +- {error:.2f}")
        print(f"| {' | '.join(cells)} |")
    power = spectra(samples)
    print(f"\n| k [h/Mpc] | {' | '.join(POWERS)} |\n|---|" + "--:|" * len(POWERS))
    for i, (near, far) in enumerate(itertools.pairwise(WAVES)):
        ratios = (power[name][way, i] / power["truth"][way, i] for name, way in POWERS.values())
        print(f"| {near:g} to {far:g} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    if options.plot:
        draw(results, options.plot)


def scattered(mock: SkyMock, limits: tuple[float, float]) -> Points:
    """Random galaxies at redshifts of N(z), scattered by the photo-z error."""
    from truez.surveys.random_sky import random_directions

    rng = np.random.default_rng(7)
    nz, photo = mock.surveys.nz, mock.config.photo
    z = nz.quantile(rng.random(2 * MIXED * len(mock.ids)))
    z = photo.scattered(z, mock.sigma_z[rng.integers(len(mock.ids), size=len(z))], rng).z_phot
    z = z[(z >= limits[0]) & (z <= limits[1])]
    ra, dec = random_directions(mock.footprint, len(z), rng)
    expected = DrawnDensity(mock.surveys.with_redshift_range(*limits), mock.surveys.photo_range)
    return points(mock, ra, dec, z, 1 / (1 + POWER * expected.density(ra, dec, z)))


def draw(results: dict[str, tuple[Array, Array]], path: str) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
    middle = np.sqrt(EDGES[1:] * EDGES[:-1])
    looks = {"truth": ("black", "o", "-"), "draws": ("C0", "s", "-"), "photo-z": ("C1", "^", "--")}
    names = {"truth": "true redshifts", "draws": "draws of truez redshifts", "photo-z": "photo-z"}
    for name, (xi, parts) in results.items():
        error = np.sqrt((STRIPS - 1) * np.var(parts[:, 0], axis=0))
        color, marker, line = looks[name]
        axes.errorbar(middle, xi[0], error, color=color, marker=marker, ls=line, ms=4, capsize=2,
                      label=names[name])  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=r"$s$ [Mpc/$h$]", ylabel=r"$\xi_0(s)$")
    axes.set_xticks([1, 2, 5, 10, 20, 40], labels=["1", "2", "5", "10", "20", "40"])
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
