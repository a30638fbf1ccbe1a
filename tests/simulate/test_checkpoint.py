"""A checkpoint of particles is read unchanged, or refused in one sentence."""

import json

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truez.mesh.box import Box
from truez.simulate.checkpoint import read_checkpoint, write_checkpoint

BOX = Box(64, 8)
SETTINGS = {"box": BOX.to_dict(), "num_steps": 3, "seed": 1, "spacing": "linear", "fixed": False}
RNG = np.random.default_rng(1)
POSITIONS = RNG.uniform(0, 64, (512, 3)).astype(np.float32)
MOMENTA = RNG.normal(0, 1, (512, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "out.parquet.checkpoint"
    write_checkpoint(path, SETTINGS, 2, torch.from_numpy(POSITIONS), torch.from_numpy(MOMENTA))
    return path


def read(path, **changes):
    return read_checkpoint(path, {**SETTINGS, **changes}, "cpu")


def assert_whole(found):
    step, positions, momenta = found
    assert step == 2
    np.testing.assert_array_equal(positions.numpy(), POSITIONS)
    np.testing.assert_array_equal(momenta.numpy(), MOMENTA)


def test_what_was_written_is_read_and_so_is_a_file_without_a_checksum(path):
    assert_whole(read(path))
    with h5py.File(path, "r+") as file:
        del file.attrs["sha256"]
    assert_whole(read(path))


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path):
    path, damaged = tmp_path / "whole", tmp_path / "damaged"
    write_checkpoint(path, SETTINGS, 2, torch.from_numpy(POSITIONS), torch.from_numpy(MOMENTA))
    content = path.read_bytes()

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 8 * len(content) - 1))
    def check(bit):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        try:
            found = read(damaged)
        except ValueError:
            return
        assert_whole(found)

    check()


def test_a_flipped_bit_of_the_particles_is_refused(path):
    content = path.read_bytes()
    for values in (POSITIONS, MOMENTA):
        flipped = bytearray(content)
        flipped[content.index(values.tobytes()) + 1] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="is damaged, as its content does not have its check"):
            read(path)


def attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def data(name, values):
    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


LOST = POSITIONS.copy()
LOST[7] = np.nan
FAR = POSITIONS + np.float32(6400)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (data("positions", POSITIONS[:7]), "is not a checkpoint that truez simulate wrote"),
        (data("momenta", MOMENTA[:, :2]), "is not a checkpoint that truez simulate wrote"),
        (data("momenta", MOMENTA.astype("f8")), "is not a checkpoint that truez simulate wrote"),
        (data("positions", ["a"] * 512), "is not a checkpoint that truez simulate wrote"),
        (data("positions", None), "is not a checkpoint that truez simulate wrote"),
        (data("positions", 3), "is not a checkpoint that truez simulate wrote"),
        (data("positions", LOST), "1 particles outside the box or without a momentum"),
        (data("positions", FAR), "512 particles outside the box or without a momentum"),
        (data("momenta", LOST), "1 particles outside the box or without a momentum"),
        (attribute("step", 99), "is of step 99, and the run has 3"),
        (attribute("step", -4), "is of step -4, and the run has 3"),
        (attribute("step", 0), "is of step 0, and the run has 3"),
        (attribute("step", "two"), "is not a checkpoint that truez simulate wrote"),
        (attribute("step", [1, 2]), "is not a checkpoint that truez simulate wrote"),
        (attribute("settings", "[1]"), "must hold named values, not [1]"),
        (attribute("settings", "3"), "must hold named values, not 3"),
        (attribute("settings", "{"), "is damaged in line 1, column 2"),
        (attribute("settings", "[" * 50_000), "is nested more than 64 levels deep"),
        (attribute("settings", json.dumps({**SETTINGS, "seed": 5})), "has seed = 5, not 1: resume"),
    ],
)
@pytest.mark.parametrize("checksum", [True, False])
def test_what_no_run_can_go_on_from_is_refused(path, change, sentence, checksum):
    with h5py.File(path, "r+") as file:
        change(file)
        if not checksum:
            del file.attrs["sha256"]
    with pytest.raises(ValueError, match="checkpoint") as error:
        read(path)
    assert sentence in str(error.value) or (checksum and "is damaged" in str(error.value))
    assert "another checkpoint" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_settings_that_differ_are_named_and_no_others(path):
    with pytest.raises(ValueError, match=r"has seed = 1, not 7; fixed = false, not true: resume"):
        read(path, seed=7, fixed=True)
    other = Box(64, 16).to_dict()
    with pytest.raises(ValueError, match=r"has box\.meshsize = ") as error:
        read(path, box=other, seed=2, spacing="log", fixed=True)
    assert "and 2 more differ" in str(error.value)
    assert len(str(error.value)) - len(str(path)) < 260
