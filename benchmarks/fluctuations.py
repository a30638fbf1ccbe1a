"""Fit of what galaxies of one group share in posterior samples, as it comes with the package.

    OMP_NUM_THREADS=2 python benchmarks/fluctuations.py BOXES --out fluctuations.json
        [--seeds 2100,2101] [--steps 5] [--method METHOD] [--start FILE]

BOXES is a folder of universes from ``truez simulate --density 4e-2 --boxsize 256,256,512``. Each is
observed with several densities of spectra and errors of the photo-z (`SURVEYS`), reconstructed by
redistribution and network, and the tables of `truez.sightlines.fluctuation_model` are fitted to all
of them at once, for each method. The file is written after every step, in which it is shown how the
spread of the samples compares with the error of the estimate; --start goes on from such a file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import truez
from truez.linear.uneven_box import fit_surveys
from truez.sightlines.fluctuation_model import FluctuationModel
from truez.sightlines.intensity import Intensity
from truez.simulate import observe
from truez.simulate.files import files_by_seed, read_galaxies
from truez.support.provenance import versions
from truez.surveys.spec import SurveySpec
from truez.training.fluctuation_fit import (
    EDGES,
    FluctuationFit,
    SampledSurvey,
    improved,
    start_model,
)

#: sigma_z over 1 + z, and galaxies with spectra [(h/Mpc)^3].
SURVEYS = {
    "fiducial": (0.02, 1e-3),
    "sparse": (0.02, 1e-4),
    "narrow": (0.003, 1e-3),
    "dense": (0.02, 4e-3),
    "broad": (0.05, 1e-3),
    "middle": (0.008, 3e-4),
}
#: Numbers of `FluctuationModel` in which a method differs from the others.
METHODS = {"redistribution": {"tilt": 0.0}, "columns": {}}


def main() -> None:
    """Fit, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="2100,2101")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--start", type=Path)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    start = json.loads(given.start.read_text())["methods"] if given.start else {}
    content: dict[str, Any] = {
        "methods": dict(start),
        "about": {"surveys": SURVEYS, "seeds": seeds, "steps": given.steps, "versions": versions()},
    }
    for method in [given.method] if given.method else METHODS:
        config = FluctuationFit()
        made = list(sampled(given.boxes, seeds, method, config))
        surveys = [survey for _, survey in made]
        model = replace(start_model(surveys), **METHODS[method])
        if method in start:
            limits = {"lowest": model.lowest, "highest": model.highest}
            model = replace(FluctuationModel.of(start[method]), **limits)
        for step in range(given.steps + 1):
            spread = [one.spread(model.fluctuations(one.model), config) for one in surveys]
            print(f"{method}, step {step}: spread over error, k = {EDGES[1]} to {EDGES[11]} h/Mpc")
            for name in SURVEYS:
                chosen = [i for i, (other, _) in enumerate(made) if other == name]
                found = sum(np.diag(spread[i]) for i in chosen)
                ratio = found / sum(np.diag(surveys[i].error) for i in chosen)
                print(f"  {name:<10}" + " ".join(f"{value:.2f}" for value in ratio[1:11]))
            content["methods"][method] = model.content()
            given.out.write_text(json.dumps(content) + "\n")
            if step < given.steps:
                model = improved(model, surveys, spread)


def sampled(
    boxes: Path, seeds: list[int], method: str, config: FluctuationFit
) -> Iterator[tuple[str, SampledSurvey]]:
    """The surveys of the universes, by name, as a method reconstructs them."""
    paths = files_by_seed(boxes)
    for seed in seeds:
        galaxies = read_galaxies(paths[seed])
        for name, (sigma_z, density) in SURVEYS.items():
            spec = SurveySpec(
                sigma_z=sigma_z, spec_density=density, photo_density=1.85e-2, thinning="mass"
            )
            mock = observe(galaxies, spec, np.random.default_rng(seed), cellsize=2.0)
            made = truez.reconstruct(mock.surveys, method)
            yield name, SampledSurvey.of(
                mock.surveys, Intensity.of(made, mock.surveys.box), fit_surveys(mock.surveys),
                estimate=made.delta, truth=mock.fields("cic").truth, config=config,
            )  # fmt: skip


if __name__ == "__main__":
    main()
