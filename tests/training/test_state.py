"""A checkpoint is read whole and unchanged, or refused in one sentence."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors.torch import save_file

from truez.networks import build_network
from truez.networks.tensors import read_tensors
from truez.training.folder import check_folder
from truez.training.optimizers import Optimizer
from truez.training.state import (
    KEY,
    State,
    check_checkpoint,
    check_settings,
    read_checkpoint,
    write_checkpoint,
)

NETWORK = {
    "spec_width": 1,
    "photo_width": 1,
    "multipliers": (1,),
    "kernels": (3,),
    "repeats": (1,),
    "head_width": 1,
    "dropout": 0.0,
}
SETTINGS = {"training": {"steps": 4, "crop": [8, 8, 8]}, "network": {"width": 1, "depth": 2}}
STATE = State(step=3, losses=[(2, -1.5, 2.5)], best=-2.5, loss_sum=-0.1, loss_steps=1, minutes=1.0)


def parts(name="adam", seed=1):
    """A network, its optimiser after one step, and averaged weights."""
    network = build_network("dual-unet", NETWORK, seed=seed)
    optimizer = Optimizer(name, network, learning_rate=1e-2)
    network(torch.ones(1, 2, 4, 4, 4)).square().mean().backward()
    optimizer.step(1e-2)
    return network, optimizer, {k: t.clone() for k, t in network.state_dict().items()}


@pytest.fixture(params=["adam", "muon"])
def optimizer(request):
    return request.param


@pytest.fixture
def path(tmp_path, optimizer):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, STATE, SETTINGS, *parts(optimizer))
    return path


def whole(path):
    """The tensors of a file in memory, and its text."""
    stored, text = read_tensors(path, KEY)
    return {name: tensor.clone() for name, tensor in stored.items()}, text


def rewrite(path, tensors=dict, **changes):
    """Another content in the layout of earlier versions, which have no checksum."""
    stored, text = whole(path)
    save_file(tensors(stored), path, metadata={KEY: json.dumps({**json.loads(text), **changes})})


def test_what_was_written_is_read(path, optimizer):
    network, adam, ema = parts(optimizer, seed=2)
    assert read_checkpoint(path, SETTINGS, network, adam, ema) == STATE
    wanted = parts(optimizer)
    for found, other in (
        (network.state_dict(), wanted[0].state_dict()),
        (adam.tensors(), wanted[1].tensors()),
        (ema, wanted[2]),
    ):
        assert found.keys() == other.keys()
        assert all(torch.equal(found[name], other[name]) for name in found)


def test_a_checkpoint_of_an_earlier_version_has_no_checksum_and_is_read(path, optimizer):
    rewrite(path)
    assert read_checkpoint(path, SETTINGS, *parts(optimizer, seed=2)) == STATE


@pytest.mark.medium
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path):
    path, damaged = tmp_path / "checkpoint.safetensors", tmp_path / "damaged.safetensors"
    write_checkpoint(path, STATE, SETTINGS, *parts())
    content = path.read_bytes()

    @examples(max_examples=150, deadline=None)
    @given(st.integers(0, 8 * len(content) - 1))
    def check(bit):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        network, adam, ema = parts(seed=2)
        try:
            found = read_checkpoint(damaged, SETTINGS, network, adam, ema)
        except ValueError:
            return
        # A bit of the checksum's name, for example, which leaves the rest as it was.
        assert found == STATE
        wanted = parts()
        state = network.state_dict()
        assert all(torch.equal(state[name], t) for name, t in wanted[0].state_dict().items())
        assert all(torch.equal(adam.tensors()[n], t) for n, t in wanted[1].tensors().items())

    check()


def test_a_flipped_bit_of_each_part_is_refused(path):
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    for place in (header, (header + len(content)) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"is damaged, as its content does not .*: train into"):
            check_checkpoint(path)
        with pytest.raises(ValueError, match="is damaged"):
            check_folder(path.parent, resume=True)


def without(prefix):
    """The tensors whose names do not begin so."""
    return lambda stored: {k: t for k, t in stored.items() if not k.startswith(prefix)}


def changed(prefix, change):
    """The first tensor of that name, changed."""

    def tensors(stored):
        name = next(k for k, t in stored.items() if k.startswith(prefix) and t.ndim)
        return {**stored, name: change(stored[name])}

    return tensors


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (without("optimizer."), "lacks the state of the optimiser"),
        (without("optimizer.adam."), "the state of "),
        (without("optimizer.adam.0.exp_avg_sq"), "the state of adam is not complete"),
        (without("network."), "the file lacks"),
        (without("ema."), "the file lacks"),
        (lambda s: {**s, "network.more": torch.ones(1)}, "the file has another tensor, 'more'"),
        (lambda s: {**s, "optimizer.adam.99.step": torch.ones(1)}, "there is no parameter 99"),
        (changed("optimizer.", lambda t: t[:0]), "has another shape than its parameter"),
        (changed("network.", lambda t: t.to(torch.int8)), "is of type int8"),
        (changed("network.", lambda t: t * float("nan")), "holds NaN or infinity"),
        (changed("ema.", lambda t: t / 0), "holds NaN or infinity"),
        (changed("optimizer.", lambda t: t * float("nan")), "holds NaN or infinity"),
    ],
)
def test_tensors_that_a_run_cannot_go_on_from_are_refused(path, optimizer, tensors, sentence):
    rewrite(path, tensors)
    with pytest.raises(ValueError, match="train into another folder") as error:
        read_checkpoint(path, SETTINGS, *parts(optimizer))
    assert sentence in str(error.value)
    assert len(str(error.value)) - len(str(path)) < 280
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": {}},
        {"state": None},
        {"state": 3},
        {"settings": [1]},
        {"state": {**vars(STATE), "losses": 3}},
        {"state": {**vars(STATE), "losses": [[1, 2]]}},
        {"state": {**vars(STATE), "step": -4}},
        {"state": {**vars(STATE), "step": 1.5}},
        {"state": {**vars(STATE), "step": float("nan")}},
        {"state": {**vars(STATE), "step": "3"}},
        {"state": {**vars(STATE), "minutes": float("inf")}},
        {"state": {**vars(STATE), "best": float("nan")}},
        {"state": {**vars(STATE), "details": [3]}},
        {"state": {**vars(STATE), "surprise": 1}},
    ],
)
def test_a_state_that_makes_no_sense_is_refused(path, optimizer, changes):
    rewrite(path, **changes)
    for read in (lambda: check_checkpoint(path), lambda: check_folder(path.parent, resume=True)):
        with pytest.raises(ValueError, match=r"does not say how far|must hold named values, not"):
            read()


def test_a_checkpoint_from_beyond_the_end_of_its_run_is_refused(path):
    rewrite(path, state={**vars(STATE), "step": 99})
    with pytest.raises(ValueError, match="is of step 99, and the run has 4: train into another"):
        check_settings(path, SETTINGS["training"], {})


def test_settings_are_compared_before_there_are_samples(path):
    check_settings(path, SETTINGS["training"], {"width": 1})
    with pytest.raises(ValueError, match=r"has network\.width = 1, not 2: resume it with its own"):
        check_settings(path, SETTINGS["training"], {"width": 2})
    with pytest.raises(ValueError, match=r"has training\.steps = 4, not 5: resume it with its own"):
        check_settings(path, {**SETTINGS["training"], "steps": 5}, {})


def test_files_that_are_no_checkpoints_are_refused(path):
    content = path.read_bytes()
    tensors, _ = whole(path)
    for other in (b"", b"nothing", content[:40], content[:-9], b"\0" * 100):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="is not a training checkpoint that truez wrote: tr"):
            check_folder(path.parent, resume=True)
    for metadata, sentence in (
        ({"truez": "{}"}, "is not a training checkpoint that truez wrote: tr"),
        ({KEY: "3"}, "must hold named values, not 3: tr"),
        ({KEY: "{}"}, "is damaged, as state is missing: tr"),
        ({KEY: "[" * 100_000}, "is nested more than 64 levels deep: tr"),
        ({KEY: '{"state": 1, "state": 2}'}, "is damaged, as 'state' occurs twice in it: tr"),
    ):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(ValueError, match=sentence):
            check_checkpoint(path)


def test_a_run_that_has_not_begun_has_no_state_of_its_optimiser(tmp_path):
    network = build_network("dual-unet", NETWORK)
    path = tmp_path / "checkpoint.safetensors"
    fresh = network, Optimizer("adam", network, learning_rate=1e-2), None
    write_checkpoint(path, State(), SETTINGS, *fresh)
    assert read_checkpoint(path, SETTINGS, *fresh) == State()
    write_checkpoint(path, replace(State(), step=1), SETTINGS, *fresh)
    with pytest.raises(ValueError, match="lacks the state of the optimiser, without which"):
        read_checkpoint(path, SETTINGS, *fresh)


def test_the_settings_that_differ_are_named_and_no_others(path, optimizer):
    other = {"training": {"steps": 4, "crop": [8, 8, 16]}, "network": {"width": 1, "depth": 2}}
    with pytest.raises(ValueError, match="resume it with its own settings") as error:
        read_checkpoint(path, other, *parts(optimizer))
    assert "has training.crop = [8, 8, 8], not [8, 8, 16]: resume" in str(error.value)
    other = {"training": {"steps": 5, "crop": [1] * 99}, "network": {"width": 2, "depth": 3}}
    with pytest.raises(ValueError, match="resume it with its own settings") as error:
        read_checkpoint(path, other, *parts(optimizer))
    assert "training.steps = 4, not 5; training.crop = [8, 8, 8], not a list of" in str(error.value)
    assert " and 2 more differ: " in str(error.value)
    assert len(str(error.value)) - len(str(path.parent)) < 260
