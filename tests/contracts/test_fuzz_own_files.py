"""Damaged files that truez itself wrote are read, or refused in one sentence.

Bytes are changed, cut, or random; in the headers and texts, values are replaced by others of any
type, as a person or a program may write them. The quick test tries a few of each, the slow one
thousands.
"""

import json
import tomllib
import warnings

import h5py
import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.sky.sky_fields import sky_field

from catalogs.fuzzing import FOREIGN, mutated, noise
from truez import COSMOLOGIES, Box, Field, MockConfig, Selection, make_mock
from truez.evaluate.figures.losses import read_losses
from truez.evaluate.page.run_folder import RunFolder, read_scores
from truez.experiments.stages import read_records
from truez.mesh.samples_file import StoredSamples, write_with_samples
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights
from truez.simulate.checkpoint import read_checkpoint as read_particles
from truez.simulate.checkpoint import write_checkpoint as write_particles
from truez.sky.field_file import patch_writer
from truez.sky.samples_file import StoredSkySamples
from truez.surveys.mock import read_settings
from truez.training.optimizers import Optimizer
from truez.training.state import KEY, State, read_checkpoint, write_checkpoint

torch.set_num_threads(1)
BOX = Box(8, (4, 4, 4))
NETWORK = {
    "spec_width": 1, "photo_width": 1, "multipliers": (1,), "kernels": (3,), "repeats": (1,),
    "head_width": 1, "dropout": 0.0,
}  # fmt: skip
SETTINGS = {"training": {"steps": 4, "crop": [8, 8, 8]}, "network": {"spec_width": 1}}
PARTICLES = {"box": BOX.to_dict(), "num_steps": 3, "seed": 1}
SCORE = {"mean": 1.0, "sigma": 0.2, "error": 0.1}


def parts():
    network = build_network("dual-unet", NETWORK, seed=1)
    return network, Optimizer("adam", network, learning_rate=1e-2), None


def write_all(folder):
    """One small file of each kind."""
    survey = SurveyLimits(
        z_err=(0.01, 0.01), sigma=(5, 5), outlier_fraction=(0, 0), spec_density=(1e-3, 1e-3),
        photo_density=(1e-2, 1e-2), overlap=(1, 1), resampler="cic", redshift_space=True,
    )  # fmt: skip
    network, optimizer, ema = parts()
    save_weights(folder / "weights.safetensors", network, Header.of(network, BOX, survey))
    network(torch.ones(1, 2, 4, 4, 4)).square().mean().backward()
    optimizer.step(1e-2)
    state = State(step=1, losses=[(1, 0.5, 0.5)], best=0.5)
    write_checkpoint(folder / "training.safetensors", state, SETTINGS, network, optimizer, ema)
    field = Field(torch.ones(4, 4, 4), BOX, "delta", {"method": "wiener"}, 1.0, "cic")
    field.write(folder / "field.h5")
    field.write(folder / "field.fits")
    write_with_samples(folder / "samples.h5", field, [field, field], num=2, seed=1)
    sky = sky_field("350,10,-6,6", np.zeros, cellsize=60, redshifts=(0.1, 0.2))
    with patch_writer(folder / "sky.h5") as writer:
        for patch in sky:
            writer.add(patch)
        writer.describe(sky.cosmology, sky.metadata)
        writer.make_room(2, seed=1)
        for number, patch in enumerate(sky):
            for index in range(2):
                writer.put_sample(number, index, patch.delta)
    particles = torch.ones(64, 3)
    write_particles(folder / "particles.h5", PARTICLES, 1, particles, particles)
    config = MockConfig(
        redshift=0.6, cosmology=COSMOLOGIES["wmap"], sigma_z=0.02, rank_by="m",
        spec=Selection(density=1e-2), redshift_space=False,
    )  # fmt: skip
    positions = torch.rand(100, 3, generator=torch.Generator().manual_seed(1)).numpy() * 8
    make_mock(positions, BOX, config, columns={"m": positions[:, 0]}).write(folder)
    metrics = {"wiener": {"mse": 0.5, "sub_boxes": {"mse": SCORE}}, "zero": {"mse": 1.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    record = {
        "name": "paint", "key": "0", "seconds": 1.0, "peak_memory": 9, "finished": "2026-01-01",
        "outputs": {"a.h5": {"size": 1, "changed": 2, "sha256": "0"}},
    }  # fmt: skip
    (folder / "stages.json").write_text(json.dumps([record]))
    (folder / "run.toml").write_text('[run]\nrecipe = "paper"\nnotes = ["a"]\n[versions]\na = "1"')
    (folder / "losses.csv").write_text("step,train,validation\n1,0.5,0.4\n2,0.4,0.5\n")


def read_run(path):
    """The folder of a run with this run.toml alone, and what `truez info` takes of it."""
    run = RunFolder.read(path.parent)
    return [str(note) for note in run.about.get("notes", [])], run.config.get("versions", {})


READERS = {
    "weights.safetensors": load_weights,
    "training.safetensors": lambda path: read_checkpoint(path, SETTINGS, *parts()),
    "field.h5": Field.read,
    "field.fits": Field.read,
    "samples.h5": lambda path: list(StoredSamples(path)),
    "sky.h5": lambda path: [list(sample) for sample in StoredSkySamples(path)],
    "particles.h5": lambda path: read_particles(path, PARTICLES, "cpu"),
    "mock.toml": lambda path: read_settings(path.parent),
    "metrics.json": read_scores,
    "stages.json": read_records,
    "run.toml": read_run,
    "losses.csv": read_losses,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The content of every file."""
    folder = tmp_path_factory.mktemp("written")
    write_all(folder)
    return {name: (folder / name).read_bytes() for name in READERS}


def check(path, read):
    """The file is read, or refused in a short sentence without a library's words."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read(path)
        except ValueError as error:
            # The name of a test's folder is longer than that of a user's.
            message = str(error).replace(str(path.parent), "")
            assert 0 < len(message) < 300, message
            assert not FOREIGN.search(message), message
            assert "\n" not in message, message


def cases(name, number):
    return settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def try_bytes(name, content, folder, number):
    """Change the bytes of a file, in every way."""
    path = folder / name
    cut = st.integers(0, len(content)).map(lambda length: content[:length])
    starts = (b"", content[:8], content[:40])

    @cases(name, number)
    @given(st.one_of(mutated(content), cut, noise(*starts)))
    def run(data):
        path.write_bytes(data)
        check(path, READERS[name])

    run()


# --- values of another type -----------------------------------------------------------------------

#: Not any letters: a sentence may quote them, and they could be the words of a library.
TEXT = st.text("ab \n\x1b\u202e$<é\0", max_size=9)
ANY = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), TEXT,
        st.sampled_from([10**30, -1, 0, 2**63, "\x1b[2J", "", "a\n", 1e308, [], {}]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=4,
)  # fmt: skip


def places(content, place=()):
    """The keys that lead to every value within a value."""
    found = [place]
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        deeper = isinstance(value, dict | list)
        found += places(value, (*place, key)) if deeper else [(*place, key)]
    return found


def replaced(content, place, value):
    """The content with another value at a place, or nothing there where it is ``...``."""
    if not place:
        return value
    key, *rest = place
    new = dict(content) if isinstance(content, dict) else list(content)
    if value is ... and not rest:
        del new[key]
    else:
        new[key] = replaced(content[key], rest, value)
    return new


def plain(value):
    """What TOML can hold of a value."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return "" if value is None else value


def header_of(path, key):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[key])


def write_header(source, target, key, content):
    save_file(load_file(source), target, metadata={key: json.dumps(content)})


def write_attribute(source, target, place, name, text):
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        file[place].attrs[name] = text


#: The text of each file as plain values, and what writes another one: (source, target, values).
TEXTS = {
    "weights.safetensors": (
        lambda path: header_of(path, "truez"),
        lambda source, target, content: write_header(source, target, "truez", content),
    ),
    "training.safetensors": (
        lambda path: header_of(path, KEY),
        lambda source, target, content: write_header(source, target, KEY, content),
    ),
    "field.h5": (
        lambda path: {"method": "wiener", "shotnoise": 1.0, "resampler": "cic"},
        lambda source, target, content: write_attribute(
            source, target, "values", "metadata", json.dumps(content)
        ),
    ),
    "particles.h5": (
        lambda path: PARTICLES,
        lambda source, target, content: write_attribute(
            source, target, "/", "settings", json.dumps(content)
        ),
    ),
    **dict.fromkeys(
        ("metrics.json", "stages.json"),
        (
            lambda path: json.loads(path.read_bytes()),
            lambda source, target, content: target.write_text(json.dumps(content)),
        ),
    ),
    **dict.fromkeys(
        ("mock.toml", "run.toml"),
        (
            lambda path: tomllib.loads(path.read_text()),
            lambda source, target, content: target.write_text(
                tomli_w.dumps(plain(content)) if isinstance(content, dict) else "3"
            ),
        ),
    ),
}


def try_values(name, content, folder, number):
    """Replace one value of the text of a file, or leave it out."""
    path, source = folder / name, folder / f"source-{name}"
    source.write_bytes(content)
    parse, write = TEXTS[name]
    values = parse(source)

    @cases(name, number)
    @given(st.sampled_from(places(values)), st.one_of(ANY, st.just(...)))
    def run(place, value):
        if place or value is not ...:
            write(source, path, replaced(values, place, value))
            check(path, READERS[name])

    run()


@pytest.mark.parametrize("name", READERS)
def test_changed_bytes(name, written, tmp_path):
    try_bytes(name, written[name], tmp_path, 15)


@pytest.mark.parametrize("name", TEXTS)
def test_changed_values(name, written, tmp_path):
    try_values(name, written[name], tmp_path, 25)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_changed_bytes(name, written, tmp_path):
    try_bytes(name, written[name], tmp_path, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_many_changed_values(name, written, tmp_path):
    try_values(name, written[name], tmp_path, 2000)
