"""The weights file says what it is, and refuses what does not fit."""

import errno
import json
import time

import pytest
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.tensors import read_tensors
from truez.networks.weights import Header, load_weights, read_header, save_weights
from truez.surveys.spec import SurveySpec

BOX = Box(64, 32)
SURVEY = SurveyLimits(
    z_err=(0.01, 0.02),
    sigma=(15.0, 71.0),
    spec_density=(1e-3, 1e-3),
    photo_density=(1.5e-2, 2e-2),
    outlier_fraction=(0.0, 0.02),
    overlap=(1.0, 1.0),
    resampler="cic",
    redshift_space=True,
)
SETTINGS = {
    "spec_width": 2,
    "photo_width": 2,
    "multipliers": (1, 2),
    "kernels": (3, 3),
    "repeats": (1, 1),
    "spec_scale": 3.7,
}


@pytest.fixture
def network():
    network = build_network("dual-unet", SETTINGS, seed=4)
    nn.init.normal_(network.last.weight)
    network(torch.randn(1, 2, 8, 8, 8))  # moves the statistics of the batch normalisation
    return network.eval()


@pytest.fixture
def header(network):
    return Header.of(network, BOX, SURVEY, provenance={"seed": 4, "recipe": {"name": "test"}})


@pytest.fixture
def path(tmp_path, network, header):
    path = tmp_path / "net.safetensors"
    save_weights(path, network, header)
    return path


def test_round_trip(path, network, header):
    loaded, read = load_weights(path)
    assert read == header
    assert loaded.config == network.config
    assert not loaded.training
    inputs = torch.randn(1, 2, 9, 8, 7)
    assert torch.equal(loaded(inputs), network(inputs))


def test_header_says_everything(path, network):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["truez"])
    assert header["architecture"] == "dual-unet"
    assert header["config"]["spec_scale"] == 3.7
    assert header["cellsize"] == [2, 2, 2]
    assert header["inputs"] == ["spec delta", "photo delta"]
    assert header["los"] == "z"
    assert header["survey"]["sigma"] == [15, 71]
    assert header["receptive_radius"] == network.receptive_radius
    assert header["stride"] == network.stride
    assert {"truez", "torch", "python", "seed", "recipe"} <= set(header["provenance"])


def test_what_fits_is_taken(header):
    header.check(BOX)
    header.check(
        Box(640, 318),
        sigma=14,
        spec_density=8e-4,
        photo_density=2.4e-2,
        outlier_fraction=0.06,
        overlap=0.8,
        resampler="cic",
        redshift_space=True,
    )


@pytest.mark.parametrize(
    ("box", "survey", "sentence"),
    [
        (
            Box((64, 64, 66), 32),
            {},
            (
                "the field has cells of 2.0625 Mpc/h along axis 2, but the network was trained on "
                "cells of 2 Mpc/h: paint the field with those, or choose a method without a network"
            ),
        ),
        (
            BOX,
            {"sigma": 80},
            (
                "the survey has a photo-z error of 80 Mpc/h, 13% above what the network was "
                "trained for, 15 to 71 Mpc/h (+-10%): train one for this survey, or choose a "
                "method without a network"
            ),
        ),
        (
            BOX,
            {"sigma": 15, "spec_density": 1e-4},
            (
                "the survey has a spectroscopic density of 0.0001 (h/Mpc)^3, 90% below what the "
                "network was trained for, 0.001 (h/Mpc)^3 (+-25%): "
                "train one for this survey, or choose a method without a network"
            ),
        ),
        (
            BOX,
            {"photo_density": 0.03},
            (
                "the survey has a photometric density of 0.03 (h/Mpc)^3, 50% above what the "
                "network was trained for, 0.015 to 0.02 (h/Mpc)^3 (+-25%): "
                "train one for this survey, or choose a method without a network"
            ),
        ),
        (
            BOX,
            {"outlier_fraction": 0.08},
            (
                "the survey has an outlier fraction of 0.08, 0.06 above what the network was "
                "trained for, 0 to 0.02 (+-0.05): train one for this survey, or choose a method "
                "without a network"
            ),
        ),
        (
            BOX,
            {"overlap": 0.0},
            (
                "the survey has an overlap (spec galaxies that are in photo too) of 0, 1 below "
                "what the network was trained for, 1 (+-0.25): "
                "train one for this survey, or choose a method without a network"
            ),
        ),
        (
            BOX,
            {"resampler": "tsc"},
            (
                "the galaxies are painted with tsc, but the network was trained on fields painted "
                "with cic: choose that resampler"
            ),
        ),
        (
            BOX,
            {"redshift_space": False},
            (
                "the survey is in real space, but the network was trained in redshift space, where "
                "structures have another shape along the line of sight: "
                "train one for this survey, or choose a method without a network"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused(header, box, survey, sentence):
    with pytest.raises(ValueError, match="the network was trained") as error:
        header.check(box, **survey)
    assert str(error.value) == sentence


def rewrite(path, **changes):
    """The same tensors under a changed header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["truez"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"truez": json.dumps({**header, **changes})})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "oracle"}, "architecture must be one of"),
        ({"architecture": "../evil"}, "architecture must be one of"),
        ({"format": 3}, "of truez does not read: format must be 2, not 3: take"),
        ({"colour": "red"}, "does not read: colour is not a known setting: take a file"),
        ({"stride": 0}, "does not read: stride must be at least 1, not 0: take a file"),
        ({"stride": "two"}, "does not read: stride must be a whole number, not 'two': take"),
        ({"cellsize": [0, 2, 2]}, "cellsize must be three positive lengths, not (0.0, 2.0, 2.0)"),
        ({"cellsize": [2, 2, float("nan")]}, "cellsize must be three positive lengths, not (2.0"),
        ({"cellsize": [2, float("inf"), 2]}, "cellsize must be three positive lengths"),
        ({"cellsize": [2, -2, 2]}, "cellsize must be three positive lengths"),
        ({"cellsize": 2}, "cellsize must be a list of values, not 2"),
        ({"survey": {}}, "survey.z_err is missing"),
        ({"survey": [1]}, "survey must be a section of settings, not [1]"),
        ({"config": {**SETTINGS, "spec_width": 3}}, "has the shape (2, 1, 3, 3, 3), and that of"),
        (
            {"config": {**SETTINGS, "spec_width": 0}},
            "network.spec_width must be at least 1 and at most",
        ),
        (
            {"config": {**SETTINGS, "spec_width": "a"}},
            "spec_width must be a whole number, not 'a'",
        ),
        ({"config": {"layers": 3}}, "network.layers is not a known setting"),
        ({"config": {**SETTINGS, "spec_scale": 0}}, "spec_scale must be above 0, not 0"),
        (
            {"config": {**SETTINGS, "spec_scale": float("nan")}},
            "spec_scale must be a finite number",
        ),
        ({"config": {**SETTINGS, "photo_scale": float("inf")}}, "photo_scale must be a finite n"),
    ],
)
def test_changed_files_are_refused_in_one_sentence(path, changes, sentence):
    rewrite(path, **changes)
    with pytest.raises(ValueError, match="safetensors") as error:
        load_weights(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) - len(str(path)) < 280


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"receptive_radius": 1}, "the header says receptive_radius = 1, and its network has "),
        ({"stride": 999}, "the header says stride = 999, and its network has "),
        ({"inputs": ("a", "b")}, "the header says inputs = ['a', 'b'], and its network has "),
        ({"config": {**SETTINGS, "repeats": [10**9]}}, "network.repeats must hold at most 100"),
        ({"config": {**SETTINGS, "multipliers": [1] * 99}}, "network.multipliers must be"),
        ({"config": {**SETTINGS, "spec_width": 10**30}}, "spec_width must be"),
    ],
)
def test_a_header_of_another_network_is_refused_at_once(path, changes, sentence):
    rewrite(path, **changes)
    started = time.perf_counter()
    with pytest.raises(ValueError, match="cannot be used") as error:
        load_weights(path)
    assert sentence in str(error.value)
    assert time.perf_counter() - started < 5


def test_a_header_of_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write((10**9).to_bytes(8, "little") + b'{"__metadata__":{"truez":"')
        file.truncate(10**9 + 8)
    with pytest.raises(ValueError, match="is not a weights file that truez wrote"):
        read_header(path)


def test_a_network_far_larger_than_its_file_is_refused_before_it_takes_memory(path):
    rewrite(path, config={**SETTINGS, "spec_width": 200_000, "photo_width": 200_000})
    with pytest.raises(ValueError, match=r"cannot be used: the tensor .* has the shape"):
        load_weights(path)


def test_a_header_of_deep_json_is_refused(path):
    save_file({"a": torch.ones(2)}, path, metadata={"truez": "[" * 100_000})
    with pytest.raises(ValueError, match="is nested more than 64 levels deep: take"):
        read_header(path)


def change_tensors(path, change, **metadata):
    """The file with its tensors changed, under the same header and no checksum."""
    tensors, text = read_tensors(path, "truez")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    save_file(change(tensors), path, metadata={"truez": text, **metadata})


def first_kernel(change):
    """Change the first kernel of a network."""

    def changed(tensors):
        name = next(name for name, tensor in tensors.items() if tensor.ndim == 5)
        return {**tensors, name: change(tensors[name].clone())}

    return changed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (first_kernel(lambda t: t.index_fill(0, torch.tensor(0), float("nan"))), "NaN or infinity"),
        (first_kernel(lambda t: t.index_fill(0, torch.tensor(0), float("inf"))), "NaN or infinity"),
        (first_kernel(lambda t: t.double() * 1e300), "NaN or infinity"),
        (
            first_kernel(lambda t: t.to(torch.int8)),
            "is of type int8, and that of the network is fl",
        ),
        (first_kernel(lambda t: t.long()), "is of type int64, and that of the network is float32"),
        (first_kernel(lambda t: t.bool()), "is of type bool, and that of the network is float32"),
        (first_kernel(lambda t: t[:1]), "has the shape (1, "),
        (lambda tensors: dict(list(tensors.items())[1:]), "the file lacks "),
        (lambda tensors: {**tensors, "more": torch.zeros(1)}, "another tensor, 'more'"),
        (
            lambda tensors: {
                name: tensor.float() if tensor.dtype == torch.int64 else tensor
                for name, tensor in tensors.items()
            },
            "is of type float32, and that of the network is int64",
        ),
    ],
)
def test_tensors_that_make_no_network_are_refused(path, change, sentence):
    change_tensors(path, change)
    with pytest.raises(ValueError, match="safetensors") as error:
        load_weights(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_half_precision_is_read(path, network):
    change_tensors(path, first_kernel(lambda t: t.half()))
    assert load_weights(path)[0].config == network.config


def test_equal_networks_have_equal_files(tmp_path, network, header, path):
    contents = set()
    for _ in range(8):
        save_weights(tmp_path / "again.safetensors", network, header)
        contents.add((tmp_path / "again.safetensors").read_bytes())
    assert contents == {path.read_bytes()}


def test_a_flipped_bit_is_refused_and_a_file_without_a_checksum_is_read(path):
    content = bytearray(path.read_bytes())
    for place in (len(content) - 1, len(content) // 2):
        damaged = content.copy()
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match="is damaged, as its content does not have its checksum"
        ):
            load_weights(path)
    path.write_bytes(content)
    change_tensors(path, dict)
    load_weights(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x02}q\x00."])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.safetensors is not a weights file that truez"):
        load_weights(path)


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is not a weights file that truez wrote"):
        read_header(path)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is not a weights file that truez wrote"):
        load_weights(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sigma": (3, 2)}, "sigma must be a range from low to high"),
        ({"overlap": (-0.1, 1)}, "overlap must be a range from low to high"),
        ({"resampler": "spline"}, "resampler must be one of ngp, cic, tsc, not 'spline'"),
    ],
)
def test_broken_surveys(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        SurveyLimits(**{**SURVEY.model_dump(), **changes})


def test_limits_of_a_specification_have_the_absolute_error():
    surveys = SurveySpec(
        sigma_z=(0.01, 0.02),
        spec_density=(1e-4, 2e-4),
        photo_density=(1e-3, 2e-3),
        outlier_fraction=(0, 0.1),
    )
    facts = {"redshift": 0.5, "cosmology": COSMOLOGIES["wmap"], "resampler": "cic"}
    limits = SurveyLimits.from_spec(surveys, density=3e-3, **facts)
    assert limits.z_err == pytest.approx((0.015, 0.03))
    assert limits.sigma[1] == COSMOLOGIES["wmap"].distance_error(0.03, 0.5)
    assert (limits.spec_density, limits.photo_density) == ((1e-4, 2e-4), (1e-3, 2e-3))
    assert (limits.outlier_fraction, limits.overlap) == ((0, 0.1), (1, 1))
    nested = SurveySpec(sigma_z=0.01, spec_density=1e-4)
    assert SurveyLimits.from_spec(nested, density=3e-3, **facts).photo_density == (3e-3, 3e-3)
    apart = SurveySpec(sigma_z=0.01, spec_density=1e-3, disjoint=True, redshift_space=False)
    found = SurveyLimits.from_spec(apart, density=3e-3, **facts)
    assert found.photo_density == pytest.approx((2e-3, 2e-3))
    assert (found.overlap, found.redshift_space) == ((0, 0), False)
    both = SurveySpec(sigma_z=0.01, spec_density=1e-4, redshift_space="both")
    assert SurveyLimits.from_spec(both, density=3e-3, **facts).redshift_space == "both"


def test_a_header_of_the_first_version_is_read(path, header):
    with safe_open(path, framework="pt") as file:
        written = json.loads(file.metadata()["truez"])
    assert written["format"] == 2
    assert "sigma_z" not in written["survey"]
    older = {**written["survey"]}
    older["sigma_z"] = older.pop("z_err")
    rewrite(path, format=1, survey=older)
    assert load_weights(path)[1] == header
    # The name of version 1 has another meaning now.
    rewrite(path, format=2, survey=older)
    with pytest.raises(ValueError, match=r"does not read: survey\.z_err is missing"):
        load_weights(path)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (
            "Error while serializing: I/O error: No space left on device (os error 28)",
            errno.ENOSPC,
        ),
        ("Error while serializing: no reason given", errno.EIO),
    ],
)
def test_a_full_disk_is_an_error_of_the_system(path, network, header, monkeypatch, text, number):
    def full(tensors, target, metadata):
        raise SafetensorError(text)

    monkeypatch.setattr("truez.networks.tensors.save_file", full)
    before = path.read_bytes()
    with pytest.raises(OSError) as caught:
        save_weights(path, network, header)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
