"""A resumed run is the run that never stopped, to the last bit."""

import signal
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.training import Run, TrainingConfig, split, train, train_on_universes

torch.set_num_threads(1)

SETTINGS = {
    # Everything that has a state: dropout, batch statistics, averaged weights, Adam's moments, the
    # schedule, the losses summed between two rows.
    "spec_width": 2,
    "photo_width": 2,
    "multipliers": (1, 2),
    "kernels": (3, 3),
    "repeats": (1, 1),
    "head_width": 4,
    "dropout": 0.3,
}
TRAINING = {
    "steps": 6,
    "crop": (8, 8, 8),
    "validate_every": 2,
    "checkpoint_every": 3,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "ema": 0.8,
    "clip": 1.0,
    "weight_decay": 1e-4,
    "seed": 11,
}


SURVEY = SurveyLimits(
    z_err=(0.01, 0.01),
    sigma=(20, 20),
    outlier_fraction=(0, 0),
    spec_density=(1e-3, 1e-3),
    photo_density=(1e-2, 1e-2),
    overlap=(1, 1),
    resampler="cic",
    redshift_space=True,
)


class StoppedError(Exception):
    """Raised in place of a power cut."""


def run(out, *, stop=None, resume=False, how=None, **changes):
    """Train, and stop dead after the step ``stop``."""
    box = Box(12, 12, periodic=False)
    values = torch.randn(3, 12, 12, 12, generator=torch.Generator().manual_seed(4))
    fields = tuple(Field(v, box, "delta") for v in values)

    def progress(task, done, total, note=""):
        if done == stop:
            how()

    def default():
        raise StoppedError

    how = how or default
    config = TrainingConfig(**{**TRAINING, **changes})
    regions = [((0, 0, 0), (8, 12, 12))], [((9, 0, 0), (12, 12, 12))]
    train(
        config,
        build_network("dual-unet", SETTINGS, seed=2),
        *split(config, fields, *regions),
        Run(out, SURVEY, resume=resume, progress=progress),
    )


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(a, b):
    for name in ("best", "last"):
        file = f"{name}.safetensors"
        assert (a / file).read_bytes() == (b / file).read_bytes(), file
    assert (a / "losses.csv").read_bytes() == (b / "losses.csv").read_bytes()
    one, two = (tensors(folder / "checkpoint.safetensors") for folder in (a, b))
    assert one.keys() == two.keys()
    assert {name.split(".")[0] for name in one} == {"network", "ema", "optimizer"}
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    run(out)
    return out


# 3: at a checkpoint; 5: work and a row of losses after it are lost; 1: before the first one.
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resumed_equals_straight(tmp_path, straight, stop):
    with pytest.raises(StoppedError):
        run(tmp_path, stop=stop)
    torch.manual_seed(stop)  # whatever the global state is
    run(tmp_path, resume=True)
    assert_same(tmp_path, straight)


def test_resumed_twice_equals_straight(tmp_path, straight):
    for resume, stop in ((False, 3), (True, 4)):
        with pytest.raises(StoppedError):
            run(tmp_path, stop=stop, resume=resume)
    run(tmp_path, resume=True)
    assert_same(tmp_path, straight)


def test_a_checkpoint_with_the_older_name_of_the_photo_z_error_resumes(tmp_path, straight):
    with pytest.raises(StoppedError):
        run(tmp_path, stop=3)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["truez-training"]
    assert '"z_err"' in text
    older = {"truez-training": text.replace('"z_err"', '"sigma_z"')}
    save_file(tensors(path), path, metadata=older)
    run(tmp_path, resume=True)
    assert_same(tmp_path, straight)


def test_channels_last_resumes_as_well(tmp_path):
    run(tmp_path / "a", channels_last=True)
    with pytest.raises(StoppedError):
        run(tmp_path / "b", channels_last=True, stop=3)
    run(tmp_path / "b", channels_last=True, resume=True)
    assert_same(tmp_path / "a", tmp_path / "b")


@pytest.mark.medium
def test_killed_equals_straight(tmp_path, straight):
    program = (
        "import importlib.util, os, pathlib, signal\n"
        f"spec = importlib.util.spec_from_file_location('contract', {__file__!r})\n"
        "contract = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(contract)\n"
        "contract.run(\n"
        f"    pathlib.Path({str(tmp_path)!r}), stop=5,\n"
        "    how=lambda: os.kill(os.getpid(), signal.SIGKILL),\n"
        ")\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not list(tmp_path.glob(".*")), "half-written files"
    run(tmp_path, resume=True)
    assert_same(tmp_path, straight)


def test_a_finished_run_resumes_to_itself(tmp_path, straight):
    run(tmp_path)
    run(tmp_path, resume=True)
    assert_same(tmp_path, straight)


def test_dropout_was_at_work(tmp_path, straight):
    run(tmp_path, seed=12)
    last = tensors(straight / "last.safetensors"), tensors(tmp_path / "last.safetensors")
    assert any(not torch.equal(last[0][name], last[1][name]) for name in last[0])


# Universes: a view per step, two of each universe, so that every stop lies within one that has to
# be made again.

RECIPE = {
    "network": {**SETTINGS, "multipliers": (1,), "kernels": (3,), "repeats": (1,)},
    "training": {**TRAINING, "crop": (8, 8, 0)},
    "universe": {"boxsize": 96, "num_particles": 16, "density": 2e-3, "num_steps": 2},
    "surveys": {"sigma_z": (0.001, 0.002), "spec_density": 3e-4, "photo_density": (1e-3, 2e-3)},
    "boxes": {"cellsize": 8, "steps_per_view": 1, "views_per_box": 2, "num_validation": 1},
}


def run_on_universes(out, *, num_boxes, stop=None, resume=False):
    def progress(task, done, total, note=""):
        if (task, done) == ("train", stop):
            raise StoppedError

    recipe = {**RECIPE, "boxes": {**RECIPE["boxes"], "num_boxes": num_boxes}}
    train_on_universes(recipe, out=out, resume=resume, progress=progress)


# Without end, and two of them in turn, of which the first comes again.
@pytest.mark.parametrize("num_boxes", [0, 2])
def test_resumed_on_universes_equals_straight(tmp_path, num_boxes):
    run_on_universes(tmp_path / "straight", num_boxes=num_boxes)
    for stop in (1, 5):
        out = tmp_path / f"stopped-{stop}"
        with pytest.raises(StoppedError):
            run_on_universes(out, num_boxes=num_boxes, stop=stop)
        run_on_universes(out, num_boxes=num_boxes, resume=True)
        assert_same(out, tmp_path / "straight")


def test_the_number_of_universes_is_at_work(tmp_path):
    for num_boxes in (0, 2):
        run_on_universes(tmp_path / str(num_boxes), num_boxes=num_boxes)
    endless, ring = (tensors(tmp_path / n / "last.safetensors") for n in ("0", "2"))
    assert any(not torch.equal(endless[name], ring[name]) for name in ring)
