"""What one patch has to say of what all share, in a file: spectra, and sums of fits.

Numbers are kept as they are, so that a fit to the parts of all patches, in the order of the
patches, is the fit to the patches themselves.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from truez.linear.likelihood import Noise
from truez.linear.observed import ObservedSpectra
from truez.linear.uneven_fit import PatchSpectra
from truez.mesh.box import Box
from truez.sightlines.amplitude import AmplitudeFit, AmplitudeSums
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sky.job import note_no_model
from truez.sky.linear_fit import ObservedPatch, fit_shell
from truez.sky.methods import pairs_found
from truez.sky.settled import AMPLITUDE, MODEL, NUM_UNKNOWN, PAIRS
from truez.sky.shells import Shell
from truez.sky.spec_deltas import amplitude_found
from truez.sky.surveys import SkySurveys
from truez.support.files import atomic_path, system_errors

#: A part of a patch: arrays, and plain values under the name "about".
Part = Mapping[str, Any]
#: Under which the numbers of a shell name the patches that have no say.
LEFT_OUT = "left_out"


def next_name(numbers: Mapping[str, Any]) -> str:
    """Name of the part that is measured when some numbers of a shell are settled."""
    return f"part-{len(numbers) - (LEFT_OUT in numbers)}"


def write_part(path: Path, part: Mapping[str, Any]) -> None:
    """Write what a job has left in `truez.sky.settled.Settled.part`."""
    with atomic_path(path) as temporary, system_errors(), temporary.open("wb") as file:
        np.savez(file, **_arrays(part))


def read_part(path: Path) -> dict[str, Any]:
    """Read what `write_part` wrote.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        return {**found, "about": json.loads(str(found["about"]))}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: remove it, and run the command again") from error


def settled_by(
    parts: Sequence[Part], surveys: SkySurveys, shell: Shell
) -> dict[str, Any]:  # fmt: skip
    """What the parts of the patches of a shell settle, in their order; nothing if they are empty.

    Parameters
    ----------
    parts : sequence of dict
    surveys : SkySurveys
        As a whole.
    shell : Shell

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If no linear model describes the spectra.
    """
    names = [part["about"]["name"] for part in parts]
    assert len(set(names)) == 1, names
    if names[0] == MODEL:
        observed = [_observed(part) for part in parts if "redshifts" in part]
        model = fit_shell(surveys, observed)
        if model is None:
            note_no_model(shell)
        number = sum(part["about"][NUM_UNKNOWN] for part in parts)
        return {MODEL: None if model is None else model.to_dict(), NUM_UNKNOWN: number}
    if names[0] == AMPLITUDE:
        about = parts[0]["about"]
        fit = AmplitudeFit(floor=about["floor"], ways=about["ways"])
        for part in parts:
            fit.add_sums(AmplitudeSums(part["found"], *part["about"]["numbers"]))
        return {AMPLITUDE: amplitude_found(fit)}
    if names[0] == PAIRS:
        strength = StrengthFit(Pairs(), 0)
        for part in parts:
            strength.add_sums(part["found"], part["about"]["number"])
        return {PAIRS: pairs_found(strength)}
    return {}


def _arrays(part: Mapping[str, Any]) -> dict[str, Any]:
    """The part as arrays, of plain values their JSON."""
    about: dict[str, Any] = {"name": next(iter(part), "")}
    arrays: dict[str, Any] = {}
    if MODEL in part:
        about[NUM_UNKNOWN] = part[NUM_UNKNOWN]
        for spectra, redshifts in part[MODEL]:
            about["box"] = spectra.box.to_dict()
            about["noise"] = [float(number) for number in spectra.noise]
            arrays |= {name: values.numpy() for name, values in vars(spectra.observed).items()}
            arrays["redshifts"] = redshifts
    elif AMPLITUDE in part:
        fit: AmplitudeFit = part[AMPLITUDE]
        found, *numbers = fit.sums()
        about |= {"floor": fit.floor, "ways": [sorted(way) for way in fit.ways],
                  "numbers": numbers}  # fmt: skip
        arrays["found"] = found
    elif PAIRS in part:
        arrays["found"], about["number"] = part[PAIRS].sums()
    return {**arrays, "about": np.array(json.dumps(about))}


def _observed(part: Part) -> ObservedPatch:
    about = part["about"]
    names = ObservedSpectra.__dataclass_fields__
    observed = ObservedSpectra(**{name: torch.from_numpy(part[name]) for name in names})
    spectra = PatchSpectra(Box(**about["box"]), observed, Noise(*about["noise"]), with_photo=False)
    return ObservedPatch(spectra, part["redshifts"])
