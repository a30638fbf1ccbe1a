"""Posterior samples in the benchmark: the stage, its files, and what the page shows of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from truez.cli.app import app
from truez.cosmology import COSMOLOGIES
from truez.evaluate.coverage import SampleNumbers
from truez.experiments.benchmark import SETTINGS, Job, benchmark_stages
from truez.experiments.benchmark.run import read_calibrations, samples_file
from truez.experiments.benchmark.samples import measure_samples
from truez.experiments.benchmark.universes import catalogues, make_mock
from truez.experiments.stages import needs, run_stages, up_to_date
from truez.mesh.box import Box
from truez.reconstruct import estimate
from truez.simulate import catalog_from_galaxies, lognormal_galaxies

pytestmark = [pytest.mark.usefixtures("rough_figures"), pytest.mark.medium]
FIDUCIAL = SETTINGS["fiducial"]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Lognormal universes of seeds 1 and 2."""
    folder, box, cosmology = tmp_path_factory.mktemp("boxes"), Box(128.0, 32), COSMOLOGIES["wmap"]
    for seed in (1, 2):
        galaxies = lognormal_galaxies(
            box, cosmology, redshift=0.59, density=4e-2, bias=1.2, seed=seed
        )
        about = {**galaxies.metadata, "box": box.to_dict(), "redshift": 0.59}
        about["cosmology"] = cosmology.model_dump()
        catalog_from_galaxies(replace(galaxies, metadata=about)).write(folder / f"{seed}.h5")
    return folder


@pytest.fixture(scope="module")
def job(boxes, tmp_path_factory):
    """A benchmark that was run."""
    found = Job(
        folder=tmp_path_factory.mktemp("benchmark") / "run",
        seeds=(1, 2),
        settings=[FIDUCIAL],
        boxes=boxes,
        draws=0,
        samples=6,
        controls=False,
        cellsize=4.0,
    )
    run_stages(found.folder, benchmark_stages(found))
    return found


def test_stages_are_kept_and_only_those_of_samples_depend_on_their_number(job):
    stages = benchmark_stages(job)
    assert {stage.name for stage in stages} == up_to_date(job.folder, stages)
    more = benchmark_stages(replace(job, samples=8))
    left = {stage.name for stage in more} - up_to_date(job.folder, more)
    assert left == {
        "page",
        *(f"samples-fiducial-{s}-{m}" for s in (1, 2) for m in ("wiener", "redistribution")),
    }
    assert needs(more)["samples-fiducial-1-wiener"].seconds > 0
    without = benchmark_stages(replace(job, samples=0))
    assert not any(stage.name.startswith("samples") for stage in without)


def test_the_page_shows_the_samples(job):
    tables = (job.folder / "tables.md").read_text(encoding="utf-8")
    assert "### fiducial: samples" in tables
    assert "TARP, 8 Mpc/h spheres" in tables
    assert "--samples 6" in (job.folder / "benchmark.html").read_text(encoding="utf-8")
    for what in ("coverage", "ranks", "deviations", "tenths"):
        assert (job.folder / f"figures/{what}-fiducial.png").stat().st_size > 0
    summary = json.loads((job.folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["samples"]["fiducial"]) == {"wiener", "redistribution"}
    found = read_calibrations(job)["fiducial"]["wiener"]
    assert (found.num_samples, len(found.boxes)) == (6, 2)


def test_numbers_are_a_function_of_the_seed(job):
    mock = make_mock(job, FIDUCIAL, 1, catalogues(job)[1])
    again = measure_samples(mock, "redistribution", job, FIDUCIAL)
    kept = SampleNumbers.read(job.folder / samples_file(FIDUCIAL, 1, "redistribution"))
    found = SampleNumbers(again)
    assert kept.samples("poles") == pytest.approx(found.samples("poles"), rel=1e-5)
    assert np.array_equal(kept.kind("cells", "value"), found.kind("cells", "value"))


def test_samples_have_the_galaxies_of_the_survey(job):
    mock = make_mock(job, FIDUCIAL, 1, catalogues(job)[1])
    made = estimate(mock.surveys, "redistribution")
    fields = list(made.samples(3, seed=1))
    assert len(fields) == 3
    for field in fields:
        assert field.kind == "delta"
        assert float(field.values.double().mean()) == pytest.approx(0, abs=1e-5)
    # Columns are conserved: only places along the line of sight differ.
    one, two = (field.numpy().sum(axis=2) for field in fields[:2])
    assert one == pytest.approx(two, abs=1e-3)
    assert not np.array_equal(fields[0].numpy(), fields[1].numpy())


def test_too_few_samples_are_refused(tmp_path):
    with pytest.raises(ValueError) as error:
        Job(folder=tmp_path, samples=2)
    assert str(error.value) == "samples must be 0 (none) or 4 or more, not 2"
    words = ["benchmark", "--out", str(tmp_path / "run"), "--samples", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--samples must be 0 (none) or 4 or more, not 2" in result.output
