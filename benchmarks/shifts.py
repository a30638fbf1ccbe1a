"""Surveys that are not what is assumed of them: the network, the redistribution, and the truth.

    OMP_NUM_THREADS=1 python benchmarks/shifts.py [--weights FILE] [--results FILE.json]
        [--only NAME,...] [--quick]

Universes of 128 x 256 x 512 Mpc/h are simulated and observed as the fiducial surveys of the
benchmark are (sigma_z = 0.02, 1.85e-2 and 1e-3 galaxies per (Mpc/h)^3, redshift space), in each
case with one thing wrong. Each is reconstructed twice, with what is assumed and with perfect
knowledge of the same surveys; where nothing is assumed that could be wrong (the spectroscopic
sample, fingers of God), only the training of the network is of another world.

Nats, errors and spectra have the same yardsticks in both: ln p of the true cell above that of the
photo-z alone with the right error, and the Wiener filter of both surveys with perfect knowledge.
Under another cosmology for the distances the cells are others, and the yardsticks are those of the
same cells.

What is found is added to --results (JSON) after every reconstruction: a run that was stopped goes
on there. Of the whole file it writes ``shifts.md`` and the picture ``docs/images/shifts.png``
(``--only`` and ``--quick`` write neither).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import truez
from truez.evaluate.box_redshifts import judged_from
from truez.evaluate.figures.style import METHOD_COLORS, PAGE_WIDTH, save, styled
from truez.evaluate.judge import sigma_calibration
from truez.evaluate.store import plain, read_json, write_json
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.networks.weights import shipped_weights
from truez.sightlines.calibration import calibrate, calibrate_posteriors
from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import Posteriors, walk
from truez.simulate.galaxies import Galaxies
from truez.statistics.power import compare
from truez.support.notes import Note
from truez.support.progress import silent
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.uneven import spread_counts

Array = NDArray[np.float64]
Given = Callable[[Mock, Galaxies], Mock]
HERE = Path(__file__).parent
IMAGE = HERE.parent / "docs" / "images" / "shifts"
SIZES = {False: (128.0, 256.0, 512.0), True: (64.0, 128.0, 256.0)}
CELL, SPACING, BAND = 2.0, 2.0, (0.1, 0.5)
SIGMA_Z, PHOTO, SPEC, ALL = 0.02, 1.85e-2, 1e-3, 4e-2
#: N(z) that falls by ten from the near to the far face, and its mistake.
PEAK, WIDTH, NZ_SHIFT = 0.475, 0.15, 0.01
#: What the methods find of the surveys that might be wrong, in their metadata.
CHECKS = ("photoz_sigma_scale", "photoz_sigma_gain")
#: Columns of the table: key and format.
COLUMNS = {
    "own nats": ("own_nats", ".3f"),
    "MSE / W": ("mse", ".3f"),
    "(1 - r^2) / W": ("lost", ".3f"),
    "PIT, worst tenth [%]": ("pit_worst_tenth", ".2f"),
    "in the 68% interval [%]": ("inside_68", ".1f"),
    "error^2 / sigma^2": ("variance", ".2f"),
}
MARKS = {"columns": "D", "redistribution": "o"}
METHODS = {"columns": "network", "redistribution": "redistribution"}

WORDS = """One simulated universe of {sides} Mpc/h (seed {seed}, cells of 2 Mpc/h), observed as
the fiducial surveys are, in each row with one thing wrong; the falling N(z) is of galaxies of all
masses in a closed box. In brackets is what perfect knowledge of the same surveys gives. "Own
nats" is ln p of the true cell, at the galaxy's own place on the sky, above that of the photo-z
alone with the right error and N(z); the mean squared error and 1 - r^2 (spectra summed over k =
0.1 to 0.5 h/Mpc) are over those of the Wiener filter with perfect knowledge. Without brackets
nothing that is assumed is wrong, only the training of the network was in another world. One core,
{took:.0f} minutes."""


@lru_cache(maxsize=1)
def simulated(seed: int, sides: tuple[float, float, float], sigma_8: float) -> Galaxies:
    """Galaxies of a universe with ``sigma_8`` times the usual fluctuations."""
    cosmology = truez.Universe().cosmology
    return truez.Universe(
        boxsize=sides, num_particles=tuple(round(side / SPACING) for side in sides), density=ALL,
        seed=seed, cosmology=replaced(cosmology, sigma_8=sigma_8 * cosmology.sigma_8),
    ).make()  # fmt: skip


def replaced(settings: Any, **changes: Any) -> Any:
    """Settings with others, which are checked."""
    return type(settings)(**{**settings.model_dump(), **changes})


def observed(
    galaxies: Galaxies, rows: NDArray[Any], chosen: NDArray[np.bool_], *, outliers: float = 0.0,
    closed: bool = False,
) -> Mock:  # fmt: skip
    """Surveys of the galaxies ``rows``, of which those ``chosen`` have a spectrum."""
    box = Box.from_cellsize(galaxies.box.boxsize, CELL, galaxies.box.boxcenter, not closed)
    config = MockConfig(
        redshift=galaxies.redshift, cosmology=galaxies.cosmology, sigma_z=SIGMA_Z,
        outlier_fraction=outliers, spec=Selection(cuts=("chosen>0.5",)), seed=1,
    )  # fmt: skip
    return make_mock(
        galaxies.positions[rows], box, config, velocities=galaxies.velocities[rows],
        columns={"chosen": chosen.astype(np.float64)},
    )  # fmt: skip


def by_mass(galaxies: Galaxies, **how: Any) -> Mock:
    """The fiducial surveys: those with spectra are the most massive ones."""
    rows, number = most_massive(galaxies)
    return observed(galaxies, rows, np.arange(len(rows)) < number, **how)


def most_massive(galaxies: Galaxies) -> tuple[NDArray[Any], int]:
    """Rows of the photometric sample, heaviest first, and the size of the spectroscopic one."""
    return galaxies.most_massive(PHOTO), round(SPEC * galaxies.box.volume)


def at_random(galaxies: Galaxies, *, among: float | None = None) -> Mock:
    """Spectra of random galaxies, of all or of a density ``among`` of the most massive ones."""
    rows, number = most_massive(galaxies)
    most = len(rows) if among is None else round(among * galaxies.box.volume)
    chosen = np.zeros(len(rows), bool)
    chosen[np.random.default_rng(2).choice(most, number, replace=False)] = True
    return observed(galaxies, rows, chosen)


def fingers_doubled(galaxies: Galaxies) -> Mock:
    """Velocities of satellites doubled, relative to the galaxy at the centre of their halo."""
    assert galaxies.central is not None
    scale = galaxies.metadata["galaxies"]["scale"]
    mesh = Box.from_cellsize(galaxies.box.boxsize, scale, galaxies.box.boxcenter)
    places = (galaxies.positions - np.float32(mesh.lower)) / np.float32(mesh.cellsize)
    cells = np.floor(places).astype(np.int64) % np.array(mesh.meshsize)
    halo = np.ravel_multi_index(tuple(cells.T), mesh.meshsize)
    centre = np.full(mesh.num_cells, -1)
    centre[halo[galaxies.central]] = np.flatnonzero(galaxies.central)
    host = centre[halo]
    velocities = galaxies.velocities.copy()
    moves = (host >= 0) & ~galaxies.central
    velocities[moves] += velocities[moves] - galaxies.velocities[host[moves]]
    return by_mass(replace(galaxies, velocities=velocities))


def falling(galaxies: Galaxies) -> Mock:
    """Surveys in a closed box whose N(z) falls by ten along the line of sight."""
    cosmology, redshift = galaxies.cosmology, galaxies.redshift
    box = Box.from_cellsize(galaxies.box.boxsize, CELL, galaxies.box.boxcenter, periodic=False)
    rows = galaxies.most_massive(len(galaxies) / galaxies.box.volume)
    place = galaxies.positions[rows, 2].astype(np.float64)
    place += galaxies.velocities[rows, 2] * cosmology.distance_per_velocity(redshift)
    share = PHOTO * galaxies.box.volume / len(rows) / profile_of(box, galaxies).mean()
    kept = np.random.default_rng(3).random(len(rows)) < share * profile_of(box, galaxies, place)
    # The rows begin with the heaviest galaxy.
    chosen = np.arange(np.count_nonzero(kept)) < round(SPEC * galaxies.box.volume)
    return with_density(observed(galaxies, rows[kept], chosen, closed=True), galaxies, 0.0)


def with_density(mock: Mock, galaxies: Galaxies, shift: float) -> Mock:
    """Expected counts by N(z); that of the photometric survey lies lower in redshift by ``shift``.

    That of the spectroscopic survey, whose redshifts are known, is right.
    """
    fields = {}
    for name, away in (("expected_spec", 0.0), ("expected_photo", shift)):
        line = torch.from_numpy(profile_of(mock.box, galaxies, shift=away).astype(np.float32))
        fields[name] = Field(line.expand(mock.box.meshsize), mock.box, "counts")
    return replace(mock, surveys=replace(mock.surveys, **fields))


def profile_of(box: Box, galaxies: Galaxies, place: Array | None = None, shift: float = 0) -> Array:
    """N(z) at places along the line of sight [Mpc/h], by default at the cells; 1 at its peak."""
    cosmology = galaxies.cosmology
    if place is None:
        place = box.edges(2)[:-1] + box.cellsize[2] / 2
    middle = float(cosmology.comoving_distance(galaxies.redshift)) - box.boxcenter[2]
    z = cosmology.distances.redshift(middle + np.clip(place, box.lower[2], box.upper[2]))
    return np.exp(-(((z + shift - PEAK) / WIDTH) ** 2))


def other_error(scale: float) -> Given:
    """Assume another width of the photo-z error."""

    def given(mock: Mock, _: Galaxies) -> Mock:
        error = mock.surveys.error
        return assuming(mock, error=replace(error, sigma=scale * error.sigma))

    return given


def no_outliers(mock: Mock, _: Galaxies) -> Mock:
    """Assume that no photo-z is an outlier."""
    return assuming(mock, error=PhotozError(mock.surveys.error.sigma))


def usual_cosmology(mock: Mock, _: Galaxies) -> Mock:
    """Assume the usual fluctuations."""
    return assuming(mock, cosmology=truez.Universe().cosmology)


def shifted_density(mock: Mock, galaxies: Galaxies) -> Mock:
    """Assume an N(z) of the photometric survey that lies too low in redshift."""
    return with_density(mock, galaxies, NZ_SHIFT)


def other_distances(change: float) -> Given:
    """Assume another Omega_m for the distances, those across and along at the mock's redshift."""

    def given(mock: Mock, _: Galaxies) -> Mock:
        surveys, right, z = mock.surveys, mock.surveys.cosmology, mock.surveys.redshift
        wrong = replaced(right, omega_m=right.omega_m + change)
        across = float(wrong.comoving_distance(z) / right.comoving_distance(z))
        along = float(right.hubble(z) / wrong.hubble(z))
        scale = np.array([across, across, along])
        sides = tuple(float(x) for x in surveys.box.boxsize * scale)
        center = tuple(float(x) for x in surveys.box.boxcenter * scale)
        box = Box(sides, tuple(round(side / CELL) for side in sides), center)
        moved = assuming(
            mock, photo=surveys.photo * scale, spec=surveys.spec * scale, box=box,
            cosmology=wrong, error=replace(surveys.error, sigma=surveys.error.sigma * along),
        )  # fmt: skip
        return replace(moved, truth=mock.truth * scale)

    return given


def assuming(mock: Mock, **changes: Any) -> Mock:
    """A mock of which something else is assumed."""
    return replace(mock, surveys=replace(mock.surveys, **changes))


@dataclass(frozen=True)
class World:
    """Surveys of a universe, and by name what is assumed of them that is wrong."""

    name: str
    observe: Callable[[Galaxies], Mock]
    wrong: Mapping[str, Given]
    sigma_8: float = 1.0


WORLDS = (
    World(
        "nothing wrong", by_mass,
        {
            "sigma_z 25% too low": other_error(0.75),
            "sigma_z 25% too high": other_error(1.25),
            "distances: Omega_m - 0.05": other_distances(-0.05),
            "distances: Omega_m + 0.05": other_distances(0.05),
        },
    ),
    World("5% outliers", partial(by_mass, outliers=0.05), {"5% outliers given as 0": no_outliers}),
    World("10% outliers", partial(by_mass, outliers=0.1), {"10% outliers given as 0": no_outliers}),
    World("falling N(z)", falling, {"N(z) 0.01 too low": shifted_density}),
    World("spectra at random", at_random, {}),
    World("spectra of half of the massive", partial(at_random, among=2 * SPEC), {}),
    World("fingers of God doubled", fingers_doubled, {}),
    World("sigma_8 - 20%", by_mass, {"sigma_8 20% lower": usual_cosmology}, 0.8),
    World("sigma_8 + 20%", by_mass, {"sigma_8 20% higher": usual_cosmology}, 1.2),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What a reconstruction is compared with."""

    ln_p: Array
    truth: Field
    mse: float
    lost: float

    @classmethod
    def of(cls, mock: Mock) -> Yardstick:
        """The photo-z alone and the Wiener filter, with what is known of a mock."""
        truth = paint(mock.truth, mock.box).to_delta(len(mock.truth) / mock.box.num_cells)
        alone = calibrate(mock.surveys, torch.ones(mock.box.meshsize), mock.truth).ln_p
        best = truez.reconstruct(mock.surveys, "wiener")
        field = over_mean(best.delta, mock.surveys)
        return cls(alone, truth, mean_square(field, truth), lost(field, truth))


def over_mean(field: Field, surveys: truez.Surveys) -> Field:
    """An overdensity over the mean, in place of expected counts, painted with CIC."""
    if surveys.even:
        return field
    counts = (1 + field.values) * surveys.true_expected().values
    if field.resampler == "ngp":
        counts = spread_counts(counts, "cic", field.box)
    return Field(counts, field.box, "counts").to_delta(len(surveys.photo) / field.box.num_cells)


def mean_square(field: Field, truth: Field) -> float:
    return float((field.values - truth.values).double().square().mean())


def lost(field: Field, truth: Field) -> float:
    """1 - r^2 of the spectra summed over the band."""
    return 1 - float(compare(field, truth=truth, edges=np.array(BAND)).r[0]) ** 2


def judged(mock: Mock, method: str, yardstick: Yardstick, weights: Path) -> dict[str, Any]:
    """The numbers of a reconstruction, or why there is none."""
    surveys, start = mock.surveys, time.process_time()
    settings = {"weights": weights} if method == "columns" else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Note)
        try:
            made = truez.reconstruct(surveys, method, **settings)
        except ValueError as error:
            return {"refused": str(error)}
    notes = [str(one.message) for one in caught if issubclass(one.category, Note)]
    evidence: list[NDArray[Any]] = []

    def posteriors() -> Iterator[Posteriors]:
        for some in walk(surveys, Intensity.of(made, mock.box), silent):
            evidence.append(some.log_evidence.double().numpy())
            yield some

    found = calibrate_posteriors(surveys, posteriors(), mock.truth)
    numbers = judged_from(found, surveys).take(surveys.photo_only()).numbers()
    field, truth = over_mean(made.delta, surveys), yardstick.truth
    assert made.sigma is not None
    scale = surveys.true_expected().values * (mock.box.num_cells / len(surveys.photo))
    return {
        "own_nats": float(np.nanmean(found.ln_p - yardstick.ln_p)),
        "mse": mean_square(field, truth) / yardstick.mse,
        "lost": lost(field, truth) / yardstick.lost,
        "pit_worst_tenth": numbers["pit_worst_tenth"],
        "inside_68": numbers["inside_68"],
        "variance": sigma_calibration(truth, field, made.sigma * scale)["all"],
        "evidence": float(np.concatenate(evidence).mean()),
        "checks": {name: made.metadata[name] for name in CHECKS if name in made.metadata},
        "notes": notes,
        "seconds": time.process_time() - start,
    }


def measure(file: Path, settings: dict[str, Any], worlds: Sequence[World]) -> dict[str, Any]:
    """The results of all worlds, those of the file among them."""
    content = read_json(file) if file.is_file() else {"settings": settings, "results": {}}
    if content["settings"] != settings:
        raise SystemExit(f"{file} holds results of {content['settings']}: give another --results")
    results = content["results"]
    for world in worlds:
        names = [world.name, *world.wrong]
        wanted = [(n, m) for n in names for m in METHODS if m not in results.get(n, {})]
        if not wanted:
            continue
        galaxies = simulated(settings["seed"], tuple(settings["sides"]), world.sigma_8)
        right = world.observe(galaxies)
        yardstick = Yardstick.of(right)
        for name, method in wanted:
            mock = right if name == world.name else world.wrong[name](right, galaxies)
            other = mock.box != right.box
            own = Yardstick.of(mock) if other else yardstick
            entry = judged(mock, method, own, Path(settings["weights"]))
            results.setdefault(name, {})[method] = plain(entry)
            print(name, method, json.dumps(results[name][method]), file=sys.stderr, flush=True)
            write_json(file, content, indent=1)
    return results


def rows_of(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """By case: its name, what was found with what is assumed, and with perfect knowledge."""
    for world in WORLDS:
        right = results.get(world.name)
        if right and (not world.wrong or world.name == WORLDS[0].name):
            yield world.name, right, {}
        for name in world.wrong:
            if right and name in results:
                yield name, results[name], right


def page(results: dict[str, Any], settings: dict[str, Any]) -> str:
    """``shifts.md``."""
    table = ["| surveys | method | " + " | ".join(COLUMNS) + " | noted |"]
    table.append("|---|---|" + "--:|" * len(COLUMNS) + "---|")
    refused: dict[str, str] = {}
    for name, assumed, right in rows_of(results):
        for method, label in METHODS.items():
            found, best = assumed[method], right.get(method, {})
            cells = [cell_of(found, best, *column) for column in COLUMNS.values()]
            if "refused" in found and best.keys() <= {"refused"}:
                cells = ["refused", *[""] * (len(COLUMNS) - 1)]
            if "refused" in found:
                refused[name] = found["refused"]
            noted = "yes" if found.get("notes") else ""
            table.append(f"| {name} | {label} | {' | '.join(cells)} | {noted} |")
    above = ["| surveys | own nats | ln evidence of the photo-z |", "|---|--:|--:|"]
    for name, assumed, _ in rows_of(results):
        if "refused" not in assumed["columns"]:
            one, two = (assumed[method] for method in METHODS)
            cells = (f"{one[key] - two[key]:+.4f}" for key in ("own_nats", "evidence"))
            above.append(f"| {name} | {' | '.join(cells)} |")
    notes = {
        note for entry in results.values() for m in METHODS for note in entry[m].get("notes", ())
    }
    sides = " x ".join(f"{side:g}" for side in settings["sides"])
    took = sum(entry[m].get("seconds", 0) for entry in results.values() for m in METHODS)
    parts = [
        "# Surveys that are not what is assumed of them",
        f"    OMP_NUM_THREADS=1 python benchmarks/shifts.py --seed {settings['seed']}"
        + " --quick" * (tuple(settings["sides"]) == SIZES[True]),
        WORDS.format(sides=sides, seed=settings["seed"], took=took / 60),
        "![Own nats and the share of galaxies within the 68% interval](../docs/images/shifts.png)",
        "\n".join(table),
        "The network less the redistribution, per galaxy, with what is assumed:",
        "\n".join(above),
        *(["Notes at run time:"] * bool(notes)),
        *(f"- {note}" for note in sorted(notes)),
        *(f"Refused by the network, {name}: {why}." for name, why in refused.items()),
    ]
    return "\n\n".join(parts) + "\n"


def cell_of(found: dict[str, Any], right: dict[str, Any], key: str, style: str) -> str:
    """A number, in brackets that with perfect knowledge."""
    texts = [f"{one[key]:{style}}" if key in one else "refused" for one in (found, right)]
    return f"{texts[0]} ({texts[1]})" if right else texts[0]


@styled
def drawn(results: dict[str, Any]) -> Figure:
    """Own nats and coverage of each case, with what is assumed and with perfect knowledge."""
    rows = list(rows_of(results))
    figure = Figure(figsize=(PAGE_WIDTH, 0.27 * len(rows) + 1.0), layout="constrained")
    nats, inside = figure.subplots(1, 2, sharey=True)
    colors = {"columns": METHOD_COLORS[1], "redistribution": METHOD_COLORS[2]}
    for axis, key, label in (
        (nats, "own_nats", "information gained [nats per galaxy]"),
        (inside, "inside_68", "galaxies within their 68% interval [%]"),
    ):
        for number, (_, assumed, right) in enumerate(rows):
            axis.axhline(number, color="0.88", linewidth=0.6, zorder=0)
            for (method, marker), away in zip(MARKS.items(), (-0.14, 0.14), strict=True):
                look = {"color": colors[method], "marker": marker, "linestyle": "none"}
                place = number + away
                values = [one.get(method, {}).get(key) for one in (assumed, right)]
                if None not in values:
                    axis.plot(values, [place] * 2, color=colors[method], linewidth=0.8)
                for value, filled in zip(values[::-1], (False, True), strict=True):
                    if value is not None:
                        face = colors[method] if filled else "white"
                        size = 3.2 if filled else 6.0  # one inside the other where they agree
                        axis.plot(value, place, markersize=size, markerfacecolor=face, **look)
        axis.set_xlabel(label)
    inside.axvline(68, color="black", linewidth=0.8, zorder=1)
    nats.set_yticks(range(len(rows)), [symbols(name) for name, *_ in rows])
    nats.set_ylim(len(rows) - 0.5, -0.5)
    for axis in (nats, inside):
        axis.tick_params(axis="y", length=0)
    for method, marker in MARKS.items():
        for face, words in ((colors[method], "as assumed"), ("white", "perfect knowledge")):
            nats.plot(
                [], [], color=colors[method], marker=marker, markerfacecolor=face, markersize=4.5,
                linestyle="none", label=f"{METHODS[method]}, {words}",
            )  # fmt: skip
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.2)
    return figure


def symbols(name: str) -> str:
    """The name of a case as a text of matplotlib."""
    for word, symbol in (
        ("Omega_m", r"$\Omega_m$"),
        ("sigma_8", r"$\sigma_8$"),
        ("sigma_z", r"$\sigma_z$"),
    ):
        name = name.replace(word, symbol)
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=shipped_weights("column-net"))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--seed", type=int, default=1005)
    parser.add_argument("--only", help="worlds, separated by commas")
    parser.add_argument("--quick", action="store_true", help="an eighth of the universe")
    given = parser.parse_args()
    only = given.only and given.only.split(",")
    worlds = [world for world in WORLDS if not only or world.name in only]
    file = given.results or HERE / ("shifts-quick.json" if given.quick else "shifts.json")
    settings = {
        "seed": given.seed, "sides": list(SIZES[given.quick]), "weights": str(given.weights)
    }  # fmt: skip
    results = measure(file, settings, worlds)
    if only or given.quick:
        return
    Path(HERE / "shifts.md").write_text(page(results, settings), encoding="utf-8")
    save(drawn(results), IMAGE)
    IMAGE.with_suffix(".pdf").unlink()


if __name__ == "__main__":
    main()
