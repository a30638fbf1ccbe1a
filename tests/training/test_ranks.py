"""Training on several processes: the same weights on all, and the gradients of all samples."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training import two_ranks
from training.survey_views import view
from truez.cli.app import main
from truez.training import Ranks, joined, make_views, train_on_views
from truez.training.objective import mean_squared_error
from truez.training.ranks import num_started

FOLDERS = [Path(two_ranks.__file__).parents[1], Path(__file__).parents[2] / "src"]
VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def started(command, rank, port):
    path = os.pathsep.join(map(str, FOLDERS))
    values = ("2", str(rank), str(rank), "2", "127.0.0.1", str(port))
    variables = dict(zip(VARIABLES, values, strict=True))
    environment = {**os.environ, **variables, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment["PYTHONFAULTHANDLER"] = "1"
    return subprocess.Popen([sys.executable, *command], env=environment, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder of two processes that trained together."""
    folder = tmp_path_factory.mktemp("ranks")
    for purpose in ("training", "validation"):
        make_views(lambda number: view(seed=number), range(4), folder / "views", purpose)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [two_ranks.__file__, str(folder)]
    processes = [started(command, rank, port) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return folder


class BothSamples(type(two_ranks.samples(2))):
    """What two ranks draw, as one batch."""

    def draw(self, step, rank=0):
        both = [super(BothSamples, self).draw(step, rank) for rank in range(2)]
        return tuple(torch.cat(parts) for parts in zip(*both, strict=True))


def both_samples():
    made = two_ranks.samples(2)
    return BothSamples(made.fields, made.regions, made.crop, batch=1, seed=3, num_ranks=2)


@pytest.mark.slow
def test_gradients_are_those_of_one_process_with_all_samples(out):
    network, cpu = two_ranks.network(), torch.device("cpu")

    def loss(sample):
        return mean_squared_error(network, sample, two_ranks.CONFIG, cpu)

    wanted = two_ranks.gradients(loss, network, both_samples().draw(0))
    largest = max(float(one.abs().max()) for one in wanted.values())
    assert largest > 0
    first, second = (load_file(out / f"gradients-{rank}.safetensors") for rank in range(2))
    for name, gradient in wanted.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], gradient, rtol=1e-4, atol=1e-6 * largest)
    # The ranks had other samples.
    one, two = (two_ranks.samples(2).draw(0, rank)[0] for rank in range(2))
    assert not torch.equal(one, two)


@pytest.mark.slow
def test_weights_are_the_same_on_all_ranks_and_those_of_one_process(out, tmp_path):
    first, second = (load_file(out / f"straight-{rank}.safetensors") for rank in range(2))
    alone, state = two_ranks.trained(tmp_path, both_samples())
    for name, values in alone.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], values, rtol=1e-3, atol=1e-5)
    started = two_ranks.network().state_dict()
    assert any(not torch.equal(first[name], started[name]) for name in first)
    losses = [
        [tuple(map(float, row.split(","))) for row in text.splitlines()[1:]]
        for text in (
            (out / "straight" / "losses.csv").read_text(),
            (tmp_path / "losses.csv").read_text(),
        )
    ]
    assert losses[0] == [pytest.approx(row, rel=1e-4) for row in losses[1]]
    assert state.step == 4


@pytest.mark.slow
def test_a_resumed_run_of_two_is_the_run_that_never_stopped(out):
    for rank in range(2):
        straight, stopped = (
            load_file(out / f"{name}-{rank}.safetensors") for name in ("straight", "stopped")
        )
        assert all(torch.equal(straight[name], stopped[name]) for name in straight)
    straight, stopped = (
        (out / name / "losses.csv").read_text() for name in ("straight", "stopped")
    )
    assert straight == stopped
    assert json.loads((out / "straight" / "config.json").read_text())["num_ranks"] == 2


@pytest.mark.slow
def test_views_of_two_processes_are_those_of_one_with_both(out, tmp_path):
    recipe = {**two_ranks.VIEWS, "training": {**two_ranks.VIEWS["training"], "batch": 2}}
    train_on_views(recipe, out / "views", out=tmp_path)
    texts = [(folder / "losses.csv").read_text() for folder in (out / "columns", tmp_path)]
    two, one = (
        [[float(x) for x in row.split(",")] for row in text.splitlines()[1:]] for text in texts
    )
    assert two[0] == pytest.approx(one[0], rel=1e-3)
    assert two[1] == pytest.approx(one[1], rel=2e-2)


@pytest.mark.slow
def test_a_run_of_two_is_not_resumed_by_one(out):
    with pytest.raises(
        ValueError, match=r"is one of 2 processes, not 1: resume it with torchrun and 2 processes"
    ):
        two_ranks.trained(out / "straight", two_ranks.samples(1), resume=True)


def test_alone_nothing_is_shared(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    ranks = Ranks.current()
    assert ranks == Ranks(0, 1, 1)
    assert ranks.described == {}
    loss = object()
    assert ranks.averaged(two_ranks.network(), loss) is loss
    assert ranks.agree(0.5, 2.0) == (0.5, 2.0)
    with joined("cpu") as device:
        assert device == "cpu"
    # Each rank has its own dropout, and that of one process is what it was.
    assert ranks.seed(11, 3) == (11 << 32) + 3
    assert len({Ranks(rank, 3).seed(11, step) for rank in range(3) for step in range(3)}) == 9


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 is for 2 processes that train together, and RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a number of processes, not 'two'"),
    ],
)
def test_a_start_that_cannot_work_is_refused(monkeypatch, capsys, tmp_path, variables, sentence):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=sentence):
        num_started()
    with pytest.raises(SystemExit) as ended:
        main(["train", "small", "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_more_processes_than_gpus_are_refused(monkeypatch):
    values = ("4", "3", "3", "4", "127.0.0.1", "29500")
    for name, value in zip(VARIABLES, ("4", "3", "3", "4", *values[4:]), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ValueError, match="cannot share its 2 GPUs: start at most 2"),
        joined("cuda"),
    ):
        pass


def test_errors_are_fitted_by_one_process(monkeypatch, capsys, tmp_path):
    for name, value in zip(VARIABLES, ("2", "0", "0", "2", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    options = ["--views", str(tmp_path), "--boxes", str(tmp_path), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main(["train", "errors", *options])
    assert ended.value.code == 2
    assert "is fitted by one process: start truez train without torchrun" in capsys.readouterr().err


RECIPE = """
[network]
architecture = "dual-unet"
spec_width = 2
photo_width = 2
multipliers = [1]
kernels = [3]
repeats = [1]
head_width = 4
dropout = 0.3
[training]
steps = 4
crop = [8, 8, 0]
validate_every = 2
checkpoint_every = 2
[universe]
boxsize = 96
num_particles = 16
density = 2e-3
num_steps = 2
[surveys]
sigma_z = [0.001, 0.002]
spec_density = 3e-4
photo_density = [1e-3, 2e-3]
[boxes]
cellsize = 8
steps_per_view = 1
views_per_box = 2
num_validation = 1
"""


@pytest.mark.slow
def test_torchrun(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "truez", "train", str(recipe), "--out"]
    environment = {**os.environ, "PYTHONPATH": str(FOLDERS[1]), "OMP_NUM_THREADS": "1"}
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for more in (
        [str(straight)],
        [str(stopped), "--set", "training.max_minutes=1e-9"],
        [str(stopped), "--resume"],
    ):
        done = subprocess.run(
            [*command, *more], env=environment, check=False, capture_output=True, timeout=600
        )
        assert done.returncode == 0, done.stderr.decode()
    assert b"4 steps" in done.stdout
    assert done.stdout.count(b"best.safetensors") == 1
    weights = [load_file(folder / "last.safetensors") for folder in (straight, stopped)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
