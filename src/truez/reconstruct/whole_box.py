"""What the patches of a box share, found before any of them: its linear model, and numbers.

The spectra are those of the whole box. Both samples are painted into temporary files and
transformed there (`truez.mesh.scratch`), so that memory does not grow with the box.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.fit import fit_spectra
from truez.linear.model import LinearModel
from truez.linear.observed import observe_modes
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.mesh.scratch import relative_to, scratch_mesh, transformed
from truez.networks.column_inputs import one_thread
from truez.reconstruct.own_place import SHARED
from truez.reconstruct.settings import Shared
from truez.sightlines.posteriors import movable_share
from truez.support.progress import Progress, silent
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys
from truez.surveys.whole import Whole


def whole_of(surveys: Surveys) -> Whole:
    """The numbers of even surveys that their parts need."""
    return Whole(surveys.densities, surveys.known_share, movable_share(surveys))


def whole_model(
    surveys: Surveys,
    beside: str | Path,
    *,
    resampler: str = "cic",
    fit_sigma: bool = False,
    progress: Progress = silent,
) -> LinearModel:
    """The linear model of even surveys, as `truez.linear.fit.fit_linear_model` finds it.

    Parameters
    ----------
    surveys : Surveys
    beside : str or Path
        An output, beside which two meshes are in temporary files.
    resampler, fit_sigma
        As of the fit.
    progress : Progress

    Raises
    ------
    truez.linear.fit.NoFitError
        If no set of positive spectra describes the surveys.
    ValueError
        If the disk has no room, or ``fit_sigma`` has no error to begin with.
    """
    box = surveys.box
    spec_level = surveys.spec_expected().values[0, 0].numpy()
    photo_level = surveys.photo_expected().values[0, 0].numpy()
    inside = surveys.photo_inside()
    with scratch_mesh(box, beside) as spec, scratch_mesh(box, beside) as photo:
        progress("spectra of the whole box", 0, 3, "spec")
        spec_modes = _modes(spec, surveys.spec, spec_level, box, resampler)
        progress("spectra of the whole box", 1, 3, "photo")
        photo_modes = _modes(photo, surveys.photo[inside], photo_level, box, resampler)
        progress("spectra of the whole box", 2, 3, "fitting")
        data = observe_modes(spec_modes, photo_modes, box, resampler)
        del spec_modes, photo_modes
    noise = box.volume / box.num_cells * float((1 / photo_level.astype(np.float64)).mean())
    with one_thread():
        model = fit_spectra(
            data, surveys, photo_noise=noise, resampler=resampler, fit_sigma=fit_sigma
        )
    progress("spectra of the whole box", 3, 3)
    return model


def _modes(
    mesh: Tensor,
    positions: NDArray[np.floating[Any]],
    level: NDArray[np.float32],
    box: Box,
    resampler: str,
) -> Tensor:
    """Modes of the overdensity of galaxies, in the memory of a mesh."""
    paint(positions, box, resampler, out=mesh)
    relative_to(mesh, level)
    return transformed(mesh)


def found_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a first patch has found for all others, of the metadata of its reconstruction."""
    return {name: metadata[name] for name in SHARED if name in metadata}


def shared_to_json(shared: Shared) -> str:
    """What patches share as text, from which `shared_from_json` makes it to the last bit."""
    found = None if shared.found is None else dict(shared.found)
    return json.dumps({"model": asdict(shared.model), "found": found})


def shared_from_json(text: str) -> Shared:
    """The inverse of `shared_to_json`."""
    content = json.loads(text)
    given: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in content["model"].items()
    }
    model = LinearModel(**{**given, "error": PhotozError(**given["error"])})
    return Shared(model, content["found"])


def with_fitted_error(surveys: Surveys, model: LinearModel) -> Surveys:
    """The surveys with the photo-z error of a model that has fitted it."""
    return replace(surveys, error=model.error)
