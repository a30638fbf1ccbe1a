"""The run of ``truez benchmark``: its stages, and what its folder holds.

    universes/SEED.h5             what was simulated, unless catalogues were given
    results/SETTING-SEED.json     all numbers of one box, of every method without a network
    results/SETTING-SEED-NAME.json    of columns, and of the dual UNet
    results/lognormal-SEED-exact.json   of the exact posterior, where it is sampled anew
    exact/lognormal-SEED.h5       the state of its chains, until it is
    results/samples-SETTING-SEED-METHOD.json    of the posterior samples of a method
    results/controls-...json      surveys without information
    results/optimum-SETTING.json  the linear optimum of the true spectra
    slices/SETTING*.h5            a slab of the first box, for the figure
    summary.json, tables.md       means over the boxes with their errors; the tables
    figures/*.png, *.pdf          with captions.json
    stages.json                   the stages that have run, with their time and memory
    benchmark.html                the page

A stage whose results exist, with the same settings and inputs, is skipped, so that a run continues
where it was interrupted, and with more seeds only the new ones are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from truez.evaluate.coverage import Calibration
from truez.evaluate.figures.captions import picture_files
from truez.evaluate.figures.slices import Slab, project
from truez.evaluate.store import Numbers, Optimum, array, read_json, write_json
from truez.evaluate.summary import Measured
from truez.experiments.benchmark import page
from truez.experiments.benchmark.controls import measure_controls
from truez.experiments.benchmark.costs import BenchmarkCosts
from truez.experiments.benchmark.methods import (
    NETWORKS,
    check_weights,
    judge_of,
    measure,
    measure_network,
    weights_of,
)
from truez.experiments.benchmark.optimum import mean_model, model_from, optimum_of
from truez.experiments.benchmark.pictures import SLICES, figures_of
from truez.experiments.benchmark.samples import VERSION as SAMPLES_VERSION
from truez.experiments.benchmark.samples import measure_samples, read_samples, sampled_methods
from truez.experiments.benchmark.settings import Job, Setting
from truez.experiments.benchmark.universes import (
    catalogues,
    make_mock,
    make_universe,
    universe_file,
)
from truez.experiments.exact.results import EXACT, exact_result, stored_result, write_result
from truez.experiments.records import file_hash, hash_of
from truez.experiments.stages import Stage
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created
from truez.support.progress import Progress


def benchmark_stages(job: Job) -> list[Stage]:
    """All stages of a benchmark, in their order.

    Raises
    ------
    FileNotFoundError, ValueError
        As `universes.catalogues` and `methods.check_weights`.
    """
    check_weights(job)
    stages: list[Stage] = []
    costs, files = BenchmarkCosts(job), catalogues(job)

    def add(name: str, run: Callable[..., None], *arguments: Any, **others: Any) -> None:
        stages.append(Stage(name, partial(run, job, *arguments), **others))

    for seed in job.seeds if job.simulates else ():
        add(
            f"universe-{seed}",
            make_universe,
            seed,
            makes=(universe_file(seed),),
            settings={"universe": job.universe.with_seed(seed).model_dump(mode="json")},
            cost=costs.universe,
        )
    paths = {name: weights_of(name, job) for name in NETWORKS}
    hashes = {name: file_hash(path) for name, path in paths.items() if path is not None}
    first = len(stages)
    for setting in job.settings:
        world, seeds = setting.world, job.seeds_of(setting)
        costs = BenchmarkCosts(job, setting)
        for seed in seeds:
            needs = (f"universe-{seed}",) if job.boxes is None and world is None else ()
            about: dict[str, Any] = {
                **job.describe(),
                "surveys": setting.surveys.describe(),
                "stream": setting.stream,
            }
            if world is not None:
                about["world"] = world.describe()
            elif job.boxes is not None:
                about["catalogue"] = file_hash(files[seed])
            for part in ("", *hashes):
                weights = {"weights": hashes[part]} if part else {}
                slices = (slices_file(setting, part),) if seed == seeds[0] else ()
                add(
                    _stage_name(setting, seed, part),
                    _measure,
                    setting,
                    seed,
                    files.get(seed) if world is None else None,
                    part,
                    makes=(result_file(setting, seed, part), *slices),
                    needs=needs,
                    settings=about | weights | {"slices": bool(slices)},
                    cost=partial(costs.network, part) if part else costs.measure,
                )
            for method in sampled_methods(job):
                add(
                    f"samples-{setting.name}-{seed}-{method}",
                    _measure_samples,
                    setting,
                    seed,
                    files.get(seed) if world is None else None,
                    method,
                    makes=(samples_file(setting, seed, method),),
                    needs=needs,
                    settings=about
                    | {"weights": hashes.get(method), "samples": [job.samples, SAMPLES_VERSION]},
                    cost=partial(costs.samples, method),
                )
            if world is not None and job.exact:
                add(
                    f"exact-{setting.name}-{seed}",
                    _sample_exact,
                    setting,
                    seed,
                    makes=(result_file(setting, seed, EXACT),),
                    settings={
                        "world": world.describe(),
                        "sampling": asdict(job.sampling),
                        **{key: about[key] for key in ("version", "radii", "sub_box")},
                    },
                    scratch=(exact_state(setting, seed),),
                    cost=costs.exact,
                )
            if job.controls and (setting, seed) == (job.settings[0], seeds[0]):
                add(
                    f"controls-{setting.name}-{seed}",
                    _measure_controls,
                    setting,
                    seed,
                    files.get(seed) if world is None else None,
                    makes=(controls_file(setting, seed),),
                    needs=needs,
                    settings=about | {"weights": hashes.get("columns")},
                    cost=costs.controls,
                )
        add(
            f"optimum-{setting.name}",
            _find_optimum,
            setting,
            makes=(optimum_file(setting),),
            needs=tuple(_stage_name(setting, seed) for seed in seeds),
            cost=costs.optimum,
        )
    add(
        "page",
        _write_page,
        makes=("summary.json", "tables.md", "benchmark.html", *picture_files(figures_of(job))),
        needs=tuple(stage.name for stage in stages[first:]),
        settings={"page": page.VERSION, "exact": _stored_versions(job)},
        cost=costs.page,
    )
    return stages


def result_file(setting: Setting, seed: int, part: str = "") -> str:
    """Where the numbers of a box lie; ``part`` names a network."""
    return f"results/{setting.name}-{seed}{_dash(part)}.json"


def slices_file(setting: Setting, part: str = "") -> str:
    """Where the slabs of its estimates lie."""
    return f"slices/{setting.name}{_dash(part)}.h5"


def samples_file(setting: Setting, seed: int, method: str) -> str:
    """Where the numbers of the samples of a method lie."""
    return f"results/samples-{setting.name}-{seed}-{method}.json"


def controls_file(setting: Setting, seed: int) -> str:
    """Where its controls lie."""
    return f"results/controls-{setting.name}-{seed}.json"


def optimum_file(setting: Setting) -> str:
    """Where the linear optimum of a setting lies."""
    return f"results/optimum-{setting.name}.json"


def exact_state(setting: Setting, seed: int) -> str:
    """Where the state of an exact posterior lies while it is sampled."""
    return f"exact/{setting.name}-{seed}.h5"


def read_measured(job: Job) -> list[Measured]:
    """The results of every setting."""
    found = []
    for setting in job.settings:
        boxes = [read_box(job, setting, seed) for seed in job.seeds_of(setting)]
        sums = read_json(job.folder / optimum_file(setting))
        optimum = Optimum(array(sums["power"]), array(sums["lost"]))
        seeds = job.seeds_of(setting)
        found.append(Measured(boxes, setting.name, setting.words, seeds, optimum))
    return found


def read_controls(job: Job) -> dict[str, Any] | None:
    """The controls, if there are any."""
    path = job.folder / controls_file(job.settings[0], job.seeds_of(job.settings[0])[0])
    return read_json(path) if job.controls else None


def read_calibrations(job: Job) -> dict[str, dict[str, Calibration]]:
    """The tests of the samples of each setting and method."""
    found: dict[str, dict[str, Calibration]] = {}
    for setting in job.settings:
        for method in sampled_methods(job):
            paths = [samples_file(setting, seed, method) for seed in job.seeds_of(setting)]
            boxes = [read_samples(read_json(job.folder / path)) for path in paths]
            known = [box for box in boxes if box is not None]
            if len(known) == len(boxes):
                found.setdefault(setting.name, {})[method] = Calibration(known)
    return found


def read_box(job: Job, setting: Setting, seed: int) -> Numbers:
    """What was measured in a box, with the methods of networks and the reasons for those absent."""
    content = read_json(job.folder / result_file(setting, seed))
    absent = {f"{name}-median": "no draws were asked for" for name in ("redistribution", "columns")}
    content["absent"] = {} if job.draws else absent
    for name, (option, _) in NETWORKS.items():
        if weights_of(name, job) is None:
            content["absent"][name] = f"no weights were given ({option})"
            continue
        part = read_json(job.folder / result_file(setting, seed, name))
        content["methods"] |= part["methods"]
        if "absent" in part:
            content["absent"][name] = part["absent"]
    if setting.world is not None:
        _add_exact(content, job, setting, seed)
    return Numbers(content)


def _measure(
    job: Job, setting: Setting, seed: int, catalogue: Path | None, part: str, progress: Progress
) -> None:
    mock = make_mock(job, setting, seed, catalogue)
    found: dict[str, Slab] = {}

    def see(name: str, field: Field) -> None:
        if name in SLICES:
            found[name] = project(field, 1)

    if part:
        result = measure_network(part, mock, job, setting, see=see, progress=progress)
    else:
        result = measure(mock, job, setting, see=see, progress=progress)
    if "fingerprint" in mock.source:
        result["fingerprint"] = mock.source["fingerprint"]
    if seed == job.seeds_of(setting)[0]:
        _write_slices(job.folder / slices_file(setting, part), found)
    Numbers(result).write(job.folder / result_file(setting, seed, part))


def _measure_samples(
    job: Job, setting: Setting, seed: int, catalogue: Path | None, method: str, progress: Progress
) -> None:
    mock = make_mock(job, setting, seed, catalogue)
    found = measure_samples(mock, method, job, setting, progress=progress)
    write_json(job.folder / samples_file(setting, seed, method), found)


def _measure_controls(
    job: Job, setting: Setting, seed: int, catalogue: Path | None, progress: Progress
) -> None:
    mock = make_mock(job, setting, seed, catalogue)
    rng = np.random.default_rng([seed, setting.stream, 1, 6])
    found = measure_controls(mock, job, rng, progress=progress)
    Numbers(found).write(job.folder / controls_file(setting, seed))


def _sample_exact(job: Job, setting: Setting, seed: int, progress: Progress) -> None:
    assert setting.world is not None
    state = job.folder / exact_state(setting, seed)
    state.parent.mkdir(parents=True, exist_ok=True)
    found = exact_result(
        setting.world, seed, job.sampling, judge_of, state=state, progress=progress
    )
    write_result(job.folder / result_file(setting, seed, EXACT), found)
    state.unlink(missing_ok=True)


def _add_exact(content: dict[str, Any], job: Job, setting: Setting, seed: int) -> None:
    """Add the exact posterior's numbers to those of the methods, or the reason why not."""
    assert setting.world is not None
    if job.exact:
        found = read_json(job.folder / result_file(setting, seed, EXACT))
    else:
        kept = stored_result(setting.world, seed)
        if kept is None:
            content["absent"][EXACT] = "its results are not stored for these boxes (--exact)"
            return
        found = kept
        if found["fingerprint"] != content.get("fingerprint"):
            content["absent"][EXACT] = (
                "the stored results are of boxes that this machine draws otherwise (--exact)"
            )
            return
    content["methods"] |= found["methods"]


def _find_optimum(job: Job, setting: Setting, progress: Progress) -> None:
    progress("optimum", 0, 1, setting.name)
    seeds = job.seeds_of(setting)
    boxes = [Numbers.read(job.folder / result_file(setting, seed)) for seed in seeds]

    def mean(values: Sequence[Any]) -> NDArray[np.float64]:
        return np.asarray(np.mean([array(value) for value in values], axis=0))

    spectra = {
        "tt": mean([box.power for box in boxes]),
        "ss": mean([box.methods["spec"]["power"] for box in boxes]),
        "ts": mean([box.methods["spec"]["cross"] for box in boxes]),
    }
    model = mean_model([model_from(box.content["optimum"]["model"]) for box in boxes])
    box = Box(**boxes[0].content["survey"]["box"])
    found = optimum_of(spectra, model, box, edges=boxes[0].edges, num_boxes=len(boxes))
    content = {"power": found.power, "lost": found.lost, "boxes": len(boxes)}
    write_json(job.folder / optimum_file(setting), content)
    progress("optimum", 1, 1)


def _write_page(job: Job, progress: Progress) -> None:
    slab = read_slices(job, job.settings[0])
    measured, controls = read_measured(job), read_controls(job)
    page.write(job, measured, controls, slab, read_calibrations(job), progress=progress)


def _write_slices(path: Path, found: dict[str, Slab]) -> None:
    """Slabs at the middle of y: the first axis and the line of sight."""
    with atomic_path(path) as temporary, system_errors(), created(temporary) as file:
        for name, slab in found.items():
            file.create_dataset(name, data=slab.image.astype(np.float32))
        for slab in list(found.values())[:1]:  # all alike
            file.attrs["extent"], file.attrs["thickness"] = slab.extent, slab.thickness


def read_slices(job: Job, setting: Setting) -> dict[str, Slab]:
    """The slabs of a setting by name, those of `SLICES` that there are."""
    slabs: dict[str, Slab] = {}
    for part in ("", *NETWORKS):
        path = job.folder / slices_file(setting, part)
        if part and weights_of(part, job) is None:
            continue
        with h5py.File(path, "r") as file:
            for name, image in file.items():
                extent = tuple(float(value) for value in file.attrs["extent"])
                thickness = float(file.attrs["thickness"])
                slabs[name] = Slab(np.asarray(image), (0, 2), extent, 1, thickness)
    return {name: slabs[name] for name in SLICES if name in slabs}


def _stored_versions(job: Job) -> list[str]:
    """Which stored results of exact posteriors the page shows."""
    found = []
    for setting in job.settings:
        if setting.world is not None and not job.exact:
            found += [hash_of(stored_result(setting.world, seed)) for seed in setting.seeds]
    return found


def _stage_name(setting: Setting, seed: int, part: str = "") -> str:
    return f"measure-{setting.name}-{seed}{_dash(part)}"


def _dash(part: str) -> str:
    return f"-{part}" if part else ""
