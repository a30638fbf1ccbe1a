"""A training run from a recipe and a mock, which gives regions, normalisation and survey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from truez.field import Field
from truez.mocks import Mock
from truez.networks.network import build_network, network_class
from truez.networks.weights import Survey
from truez.progress import Progress, silent
from truez.training.loop import TrainingConfig, train
from truez.training.state import State


def train_on_mock(
    recipe: Mapping[str, Any],
    mock: Mock,
    *,
    out: str | Path,
    resume: bool = False,
    resampler: str = "cic",
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> State:
    """Train the network of a recipe in the training region of a mock.

    Parameters
    ----------
    recipe : mapping
        Section ``network`` holds ``architecture`` and its settings, section ``training`` those of
        `TrainingConfig`.
    mock : Mock
        Its regions ``train`` and ``validation`` are used, ``test`` is not looked at.
    out, resume, device, progress
        See `truez.training.loop.train`.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.

    Returns
    -------
    State
        With the losses and the lowest validation loss.

    Raises
    ------
    ValueError
        If a section or a setting of the recipe is unknown, or as `train` says.
    """
    sections = {"network", "training"}
    if set(recipe) != sections:
        raise ValueError(
            f"a recipe for training has the sections network and training, not "
            f"{', '.join(sorted(recipe)) or 'none'}"
        )
    for name in sorted(sections):
        if not isinstance(recipe[name], Mapping):
            raise ValueError(
                f"{name} must be a section of settings in the recipe, not {recipe[name]!r}"
            )
    network = dict(recipe["network"])
    architecture = network.pop("architecture", "dual-unet")
    settings = network_class(architecture).Config(**network)
    training = TrainingConfig(**recipe["training"])
    fields = mock.fields(resampler)
    regions = mock.regions

    def seen(field: Field) -> torch.Tensor:
        return field.crop(*regions["train"]).values

    truth, photo, spec = fields
    settings = settings.normalised(seen(spec), seen(photo), seen(truth))
    model = build_network(architecture, settings.model_dump(), seed=training.seed)
    n_spec, n_photo, n_both = mock.surveys.densities
    survey = Survey.of(
        sigma_z=mock.config.sigma_z * (1 + mock.config.redshift),
        sigma=mock.surveys.error.sigma,
        outlier_fraction=mock.surveys.error.outlier_fraction,
        spec_density=n_spec,
        photo_density=n_photo,
        overlap=n_both / n_spec,
        resampler=resampler,
        redshift_space=mock.surveys.redshift_space,
    )
    return train(
        training,
        model,
        fields,
        [regions["train"]],
        [regions["validation"]],
        out=out,
        survey=survey,
        recipe={"mock": mock.fingerprint, "resampler": resampler, **recipe},
        resume=resume,
        device=device,
        progress=progress,
    )
