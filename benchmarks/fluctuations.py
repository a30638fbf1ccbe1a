"""Fit of what galaxies of one group share in posterior samples, as it comes with the package.

    OMP_NUM_THREADS=2 python benchmarks/fluctuations.py BOXES --out fluctuations.json
        [--seeds 2100,2101] [--steps 5] [--method METHOD] [--start FILE]

BOXES is a folder of universes from ``truez simulate --density 4e-2 --boxsize 256,256,512``. Each is
observed with several densities of spectra and errors of the photo-z (`SURVEYS`), reconstructed by
redistribution and network, and the tables of `truez.sightlines.fluctuation_model` are fitted to all
of them at once, for each method. The file is written after every step, in which the power of the
samples over the truth's is shown, and what their mean has in common with the truth over its power;
--start goes on from such a file.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import truez
from truez.linear.uneven_box import fit_surveys
from truez.sightlines.fluctuation_model import FluctuationModel, variance_of
from truez.sightlines.intensity import Intensity
from truez.simulate import observe
from truez.simulate.files import files_by_seed, read_galaxies
from truez.support.provenance import versions
from truez.surveys.spec import SurveySpec
from truez.training.fluctuation_fit import (
    NODES,
    FluctuationFit,
    SampledPower,
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
#: Edges of the bands that are shown [h/Mpc].
BANDS = (0.03, 0.066, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
#: Numbers of `FluctuationModel` in which a method differs from the others.
METHODS = {"redistribution": {"tilt": 0.0}, "columns": {}}
#: Uncertainty of the amplitude, with which nothing is fitted: half the scatter of P_ss / P_tt from
#: universe to universe.
UNCERTAINTY = {"redistribution": (0.022, -0.5, 0.4), "columns": (0.016, -0.5, 0.4)}


def main() -> None:
    """Fit, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="2100,2101,1005,3100")
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
            model = replace(
                FluctuationModel.of(start[method]), lowest=model.lowest, highest=model.highest,
                variance=np.inf, uncertainty=(0.0, 0.0, 0.0),
            )  # fmt: skip
        for step in range(given.steps + 1):
            powers = [one.power(model.fluctuations(one.model), config) for one in surveys]
            print(
                f"{method}, step {step}: P_ss / P_tt and P_mt / P_mm, k = {BANDS[0]} to {BANDS[-1]}"
            )
            for name in SURVEYS:
                chosen = [i for i, (other, _) in enumerate(made) if other == name]
                print(f"  {name:<10}" + ratios([surveys[i] for i in chosen],
                                               [powers[i] for i in chosen]))  # fmt: skip
            variance = max(variance_of(model.fluctuations(one.model)) for one in surveys)
            content["methods"][method] = replace(
                model, variance=variance, uncertainty=UNCERTAINTY[method]
            ).content()
            given.out.write_text(json.dumps(content) + "\n")
            if step < given.steps:
                model = improved(model, surveys, powers)


def ratios(surveys: list[SampledSurvey], powers: list[SampledPower]) -> str:
    """Power of samples over the truth's, and what is common over the mean's, in bands of k."""
    k = np.hypot(NODES[:, None], NODES[None, :])
    modes = surveys[0].modes
    truth = sum(one.truth for one in surveys)
    spread, mean, common = (
        sum(getattr(one, name) for one in powers) for name in ("spread", "mean", "common")
    )
    found = []
    for power, other in ((spread + mean, truth), (common, mean)):
        bands = [(k >= low) & (k < high) for low, high in itertools.pairwise(BANDS)]
        values = [(power * modes)[band].sum() / (other * modes)[band].sum() for band in bands]
        found.append(" ".join(f"{value:.3f}" for value in values))
    return "  |  ".join(found)


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
                truth=mock.fields("cic").truth, config=config,
            )  # fmt: skip


if __name__ == "__main__":
    main()
