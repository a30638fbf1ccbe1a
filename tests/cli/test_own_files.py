"""Commands refuse broken files of truez's own in one sentence that names the file and the key."""

from __future__ import annotations

import json

import numpy as np
import pytest

from truez import COSMOLOGIES, Box, MockConfig, Selection, make_mock
from truez.cli.app import main

DEEP = "[" * 50_000


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def refused(capsys, *arguments):
    """The sentence of a command, which writes nothing else."""
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("truez: ")
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 300
    return printed.err


RUNS = {
    "run.toml bytes": ("run.toml", b"\xff", "run.toml is not text in UTF-8, from byte 0 on: ma"),
    "run.toml deep": ("run.toml", f"a = {DEEP}", "run.toml is nested more than 64 levels deep"),
    "run.toml number": ("run.toml", "a = " + "9" * 5000, "a number of more than 300 digits"),
    "no section": ("run.toml", "run = 3", "run in "),
    "notes": ("run.toml", "[run]\nnotes = 3", "run.notes in "),
    "versions": ("run.toml", "versions = 3", "versions in "),
    "stages": ("stages.json", "[3]", "stage 0 in "),
    "stage": ("stages.json", '[{"name": "a", "seconds": "b"}]', "seconds of stage 0 in "),
    "captions list": ("figures/captions.json", "[]", "captions.json must hold named values"),
    "captions number": ("figures/captions.json", '{"a.png": 3}', "a.png in "),
    "captions": ("figures/captions.json", '{"a.png": {}}', "is damaged, as title is missing"),
}
METRICS = {
    "list": ([1], "metrics.json must hold named values, not [1]: evaluate the fields again"),
    "numbers": ({"wiener": 3}, "wiener in "),
    "text": ({"wiener": {"mse": "abc"}}, "wiener.mse in "),
    "words": ({"wiener": {"sub_boxes": 3}}, "wiener.sub_boxes in "),
    "parts": ({"wiener": {"sub_boxes": {"mse": 3}}}, "wiener.sub_boxes.mse in "),
    "missing": ({"a": {"sub_boxes": {"mse": {"mean": 1}}}}, "as sigma is missing"),
}


@pytest.mark.parametrize("command", ["report", "info"])
@pytest.mark.parametrize("case", RUNS)
def test_a_broken_folder_of_a_run(command, case, tmp_path, capsys):
    name, content, sentence = RUNS[case]
    (tmp_path / "run.toml").write_text("[run]\n")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert sentence in refused(capsys, command, tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("command", ["report", "info"])
@pytest.mark.parametrize("case", METRICS)
def test_broken_metrics_of_an_evaluation(command, case, tmp_path, capsys):
    content, sentence = METRICS[case]
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert sentence in refused(capsys, command, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("step,train,validation\n1,two,3\n", "holds a loss that is not a number in row 2"),
        ("step,train,validation\nnan,1,1\n", "holds a step that is not a number"),
        ("step,train,validation\n1," + "9" * 200_000 + ",2\n", "is not a table of losses"),
        (b"step,train,validation\n\xff,1,2\n", "is not a table of losses"),
    ],
)
def test_broken_losses_of_a_training(text, sentence, tmp_path, capsys):
    path = tmp_path / "losses.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert sentence in refused(capsys, "info", tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"a = {DEEP}", "r.toml is nested more than 64 levels deep: correct the recipe"),
        (b"# \xfc", "r.toml is not text in UTF-8, from byte 2 on: correct the recipe"),
        ("a = " + "9" * 5000, "r.toml is damaged, as it has a number of more than 300 digits"),
        ("a = 1\na = 2", "r.toml is not TOML (Cannot overwrite a value"),
    ],
)
@pytest.mark.parametrize("command", ["train", "paper"])
def test_broken_recipes(command, text, sentence, tmp_path, capsys):
    path = tmp_path / "r.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    given = ("--recipe", path) if command == "paper" else (path,)
    assert sentence in refused(capsys, command, *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_value_that_is_nested_too_deeply(tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    sentence = refused(capsys, "train", "small", "--set", f"training.crop={DEEP[:3000]}", *out)
    assert "the value of training.crop is nested more than 64 levels deep" in sentence


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock")
    rng = np.random.default_rng(1)
    config = MockConfig(
        redshift=0.6, cosmology=COSMOLOGIES["wmap"], sigma_z=0.005, rank_by="m",
        spec=Selection(density=5e-3), redshift_space=False,
    )  # fmt: skip
    size = np.array([64.0, 64.0, 128.0])
    positions = rng.random((6000, 3)) * size
    box = Box(size, (16, 16, 32))
    make_mock(positions, box, config, columns={"m": rng.random(6000)}).write(folder / "mock")
    return folder / "mock"


SMALL = (
    "training.steps=6", "training.crop=[4,16,16]", "training.validate_every=2",
    "training.checkpoint_every=2", "network.spec_width=1", "network.photo_width=1",
    "network.multipliers=[1]", "network.kernels=[3]", "network.repeats=[1]",
    "network.head_width=1",
)  # fmt: skip


def train(mock, out, *more):
    """Arguments of a training of seconds."""
    settings = [part for setting in SMALL for part in ("--set", setting)]
    return ("train", "small", "--mock", mock, "--out", out, *settings, *more)


@pytest.mark.slow
def test_the_advice_for_a_diverged_training_is_one_that_works(mock, tmp_path, capsys):
    out = tmp_path / "run"
    rate = ("--set", "training.learning_rate=1e30", "--set", "training.clip=0")
    sentence = refused(capsys, *train(mock, out, *rate))
    assert "train again" in sentence
    assert "into another folder" in sentence
    start = ("--start", out / "best.safetensors") if "--start" in sentence else ()
    again = ("--set", "training.learning_rate=1e-4", "--set", "training.clip=1")
    assert run(*train(mock, tmp_path / "again", *start, *again)) == 0
    capsys.readouterr()

    best = tmp_path / "again/best.safetensors"
    refusal = refused(capsys, *train(mock, tmp_path / "other", "--start", best,
                                     "--set", "network.spec_width=2"))  # fmt: skip
    assert "holds weights with network.spec_width = 1, not 2: start from weights of" in refusal
    assert not (tmp_path / "other").exists()
    checkpoint = tmp_path / "again/checkpoint.safetensors"
    refusal = refused(capsys, *train(mock, tmp_path / "other", "--start", checkpoint))
    assert "is the checkpoint of a training, to be resumed in its own folder" in refusal
    other = ("--resume", "--set", "training.seed=5", *again)
    refusal = refused(capsys, *train(mock, tmp_path / "again", *other))
    assert "has training.seed = 0, not 5: resume it with its own settings" in refusal
