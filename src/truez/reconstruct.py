"""The main job: two surveys in, the density field in true redshift space out.

To add a method, write a function ``(surveys, job) -> Field`` and put it into `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from truez.field import Field
from truez.linear import Use
from truez.linear_fit import fit_linear_model
from truez.networks.network import use_channels_last
from truez.networks.tiles import predict
from truez.networks.weights import load_weights
from truez.progress import Progress, silent
from truez.provenance import versions
from truez.surveys import Surveys


@dataclass(frozen=True)
class Job:
    """Settings of `reconstruct`; see there."""

    weights: str | Path | None = None
    resampler: str = "cic"
    fit_sigma: bool = False
    tile: int | Sequence[int | None] | None = 64
    device: torch.device | str = "cpu"
    progress: Progress = silent


def reconstruct(
    surveys: Surveys,
    method: str = "wiener",
    *,
    weights: str | Path | None = None,
    resampler: str = "cic",
    fit_sigma: bool = False,
    tile: int | Sequence[int | None] | None = 64,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Field:
    """Estimate the overdensity of the photometric sample in true redshift space.

    Parameters
    ----------
    surveys : Surveys
        The two samples, their box and the photo-z error.
    method : {"wiener", "wiener-spec", "wiener-photo", "dual-unet"}
        The linear optimum with both surveys or one of them, fitted to the observed spectra, or the
        paper's network.
    weights : path, optional
        Weights of the network.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.
    fit_sigma : bool
        Let the Wiener filter fit the width of the photo-z error, starting from the given one.
    tile : int, three ints (None: the whole axis), or None
        Core of the network's tiles [cells]; it bounds the memory and changes nothing else.
    device : torch.device or str
        Where the network runs.
    progress : Progress

    Returns
    -------
    Field
        Overdensity on the surveys' box. Its metadata say how it was made; of a Wiener filter
        ``metadata["sigma"]`` is the standard deviation of its error per cell.

    Raises
    ------
    ValueError
        If the method is unknown, weights are missing or not wanted, or the network does not fit
        the surveys.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    job = Job(weights, resampler, fit_sigma, tile, device, progress)
    field = METHODS[method](surveys, job)
    made = {"method": method, "resampler": resampler, "versions": versions()}
    return replace(field, metadata={**surveys.describe(), **field.metadata, **made})


def _wiener(use: Use) -> Callable[[Surveys, Job], Field]:
    def run(surveys: Surveys, job: Job) -> Field:
        if job.weights is not None:
            raise ValueError("a Wiener filter has no weights file: leave weights out")
        job.progress("wiener", 0, 4, "painting")
        spec, photo = surveys.spec_field(job.resampler), surveys.photo_field(job.resampler)
        job.progress("wiener", 1, 4, "fitting the observed spectra")
        model = fit_linear_model(
            spec, photo, surveys, resampler=job.resampler, fit_sigma=job.fit_sigma
        )
        job.progress("wiener", 2, 4, "filtering")
        field = model.wiener(spec, photo, use)
        job.progress("wiener", 3, 4, "error of the estimate")
        metadata = {
            "linear_model": model.summary(),
            "sigma": model.sigma(surveys.box, use),
            "num_photo_outside": photo.metadata["num_outside"],
        }
        job.progress("wiener", 4, 4)
        return replace(field, metadata=metadata)

    return run


def _dual_unet(surveys: Surveys, job: Job) -> Field:
    if job.weights is None:
        raise ValueError("method dual-unet needs weights, the file of a trained network")
    if job.fit_sigma:
        raise ValueError("fit_sigma is for the Wiener filter: a network is trained for its error")
    network, header = load_weights(job.weights)
    n_spec, n_photo, n_both = surveys.densities
    header.check(
        surveys.box,
        sigma=surveys.error.sigma,
        spec_density=n_spec,
        photo_density=n_photo,
        outlier_fraction=surveys.error.outlier_fraction,
        overlap=n_both / n_spec,
        resampler=job.resampler,
        redshift_space=surveys.redshift_space,
    )
    # 1.1 to 1.3 times as fast on CPUs (benchmarks/dual_unet_forward.py).
    use_channels_last(network)
    photo = surveys.photo_field(job.resampler)
    field = predict(
        network,
        surveys.spec_field(job.resampler),
        photo,
        tile=job.tile,
        device=job.device,
        progress=job.progress,
    )
    metadata = {
        "weights": str(job.weights),
        "network": header.provenance,
        "num_photo_outside": photo.metadata["num_outside"],
    }
    return replace(field, metadata=metadata)


METHODS: dict[str, Callable[[Surveys, Job], Field]] = {
    "wiener": _wiener("both"),
    "wiener-spec": _wiener("spec"),
    "wiener-photo": _wiener("photo"),
    "dual-unet": _dual_unet,
}
