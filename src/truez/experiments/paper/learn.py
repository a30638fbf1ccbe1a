"""The network of the paper: its training, its two ways to estimate, and Eq. 5."""

from __future__ import annotations

import itertools

import torch

from truez.experiments.paper.correction import correct_large_scales
from truez.experiments.paper.job import Job
from truez.experiments.paper.recipe import CORRECTIONS
from truez.mesh.field import Field
from truez.networks.network import build_network, use_channels_last
from truez.networks.survey_limits import SurveyLimits
from truez.networks.tiles import tiled
from truez.networks.weights import load_weights
from truez.support.progress import Progress
from truez.support.provenance import versions
from truez.training.folder import CHECKPOINT, Run
from truez.training.loop import train
from truez.training.samples import Samples
from truez.training.validation import Validation, check_apart

WEIGHTS = "training/best.safetensors"
TRAINING_FILES = (WEIGHTS, "training/last.safetensors", "training/losses.csv")


def train_network(job: Job, progress: Progress) -> None:
    """Train on the sub-boxes of the training part; a broken-off training goes on."""
    recipe, config = job.recipe, job.recipe.training
    regions, boxes = recipe.regions, recipe.boxes
    mock = job.mock("train")
    fields = mock.fields(boxes.resampler)
    region = regions["train"]
    samples = Samples(
        fields,
        [region],
        config.crop,
        batch=config.batch,
        seed=config.seed,
        mode=config.mode,
        symmetries=config.symmetries,
    )
    if boxes.split == "paper":
        check_apart([region], [regions["validation"]])
        judged = fields
    else:
        judged = job.mock("validation").fields(boxes.resampler)
    truth, photo, spec = (field.crop(*region).values for field in fields)
    settings = recipe.network_config.normalised(spec, photo, truth)
    run = Run(
        job.folder / "training",
        SurveyLimits.from_mock(mock, boxes.resampler),
        recipe={"mock": mock.fingerprint, **recipe.settings},
        resume=(job.folder / "training" / CHECKPOINT).is_file(),
        device=job.device,
        progress=progress,
    )
    network = build_network(recipe.architecture, settings.model_dump(), seed=config.seed)
    train(config, network, samples, Validation.of(judged, [regions["validation"]]), run)


def estimate_tiled(job: Job, progress: Progress) -> None:
    """The estimate that the network gives on the whole box, of the test part, stitched exactly."""
    network, header = load_weights(job.folder / WEIGHTS)
    use_channels_last(network)
    recipe, region = job.recipe, job.recipe.regions["test"]
    _, photo, spec = job.mock("test").fields(recipe.boxes.resampler)
    box = spec.box
    inputs = torch.stack([spec.values, photo.values])
    del spec, photo
    values = tiled(
        network,
        inputs,
        tile=recipe.boxes.tile,
        periodic=box.periodic,
        region=region,
        device=job.device,
        progress=progress,
    )
    _write(job, "unet", Field(values, box.crop(*region), "delta"), header.provenance)


def estimate_per_box(job: Job, progress: Progress) -> None:
    """Each sub-box of the test part alone, with zeros beyond its faces, as the paper does."""
    network, header = load_weights(job.folder / WEIGHTS)
    use_channels_last(network)
    network.to(job.device)
    spec, photo = job.field("spec"), job.field("photo")
    cells = job.recipe.boxes.cells
    inputs = torch.stack([spec.values, photo.values])
    values = torch.empty_like(spec.values)
    corners = list(itertools.product(*(range(0, n, cells) for n in spec.box.meshsize)))
    for number, corner in enumerate(corners):
        progress("sub-boxes", number, len(corners))
        x, y, z = (slice(start, start + cells) for start in corner)
        with torch.inference_mode():
            block = inputs[None, :, x, y, z].to(job.device)
            values[x, y, z] = network(block)[0, 0].to(values)
    progress("sub-boxes", len(corners), len(corners))
    _write(job, "unet-per-box", Field(values, spec.box, "delta"), header.provenance)


def correct(job: Job, name: str, progress: Progress) -> None:
    """Eq. 5 in one of its readings."""
    progress("correction", 0, 1)
    config = CORRECTIONS[name]
    alone = config.mode == "per-box"
    # The paper estimates sub-boxes alone; what is stitched exactly is the better base of the rest.
    field = job.field("unet-per-box" if alone else "unet")
    cells = job.recipe.boxes.cells if alone else None
    corrected = correct_large_scales(field, job.field("spec"), config, cells=cells)
    corrected.field.write(job.field_path(f"unet-corrected-{name}"))
    corrected.transfer.write(job.folder / f"results/transfer-{name}.ecsv")
    progress("correction", 1, 1)


def _write(job: Job, name: str, field: Field, provenance: dict[str, object]) -> None:
    metadata = {
        "method": name,
        "weights": WEIGHTS,
        "network": provenance,
        "resampler": job.recipe.boxes.resampler,
        "versions": versions(),
    }
    job.write(name, field, metadata)
