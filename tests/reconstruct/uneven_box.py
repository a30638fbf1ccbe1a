"""Two uneven surveys of lognormal galaxies in a box, for tests."""

from dataclasses import dataclass

import numpy as np
import torch

import truez
from truez.surveys.surveys import Surveys

SIZE, CELL = (120, 120, 320), 5
COSMOLOGY = truez.Cosmology.of("planck18")


@dataclass(frozen=True)
class Truth:
    """Surveys, the true positions of the photometric galaxies, and which have a spectrum."""

    surveys: Surveys
    positions: np.ndarray
    spec: np.ndarray


def visibility(box, fall=20.0):
    """Share of the galaxies that are observed in each cell: it falls, with holes on the sky."""
    depth = np.exp(-np.log(fall) * (np.arange(box.meshsize[2]) + 0.5) / box.meshsize[2])
    share = np.broadcast_to(depth, box.meshsize).copy()
    share[3:8, 4:9] = 0
    share[15:20, 14:20] = 0
    return share


def uneven_surveys(
    *, periodic=True, own=False, matched=True, seed=1, fall=20.0, density=0.012, sigma=12.0,
    spec_share=0.2, **changes
):  # fmt: skip
    """Surveys whose expected counts fall by ``fall``; ``own``: with two photo-z errors."""
    rng = np.random.default_rng(seed)
    box = truez.Box(SIZE, cellsize=CELL, periodic=periodic)
    galaxies = truez.lognormal_galaxies(
        truez.Box(SIZE, cellsize=CELL),
        COSMOLOGY,
        redshift=0.5,
        density=density,
        bias=1.6,
        seed=seed,
    )
    true = np.asarray(galaxies.positions, np.float64)
    share = visibility(box, fall)
    cells = tuple((true / CELL).astype(int).clip(0, np.array(box.meshsize) - 1).T)
    true = true[rng.random(len(true)) < share[cells]]
    errors = rng.choice([0.4 * sigma, 1.5 * sigma], len(true)) if own else np.full(len(true), sigma)
    photo = true.copy()
    photo[:, 2] += errors * rng.standard_normal(len(true))
    if periodic:
        photo[:, 2] %= SIZE[2]
    spec = rng.random(len(true)) < spec_share
    field = truez.Field(torch.from_numpy(share.astype(np.float32)), box, "counts")
    given = {
        "photo": photo, "spec": true[spec], "box": box, "error": truez.PhotozError(sigma),
        "num_both": int(spec.sum()), "cosmology": COSMOLOGY, "redshift": 0.5,
        "redshift_space": False, "matched": np.flatnonzero(spec) if matched else None,
        "expected_spec": field, "expected_photo": field, "photo_sigma": errors if own else None,
    }  # fmt: skip
    return Truth(Surveys(**{**given, **changes}), true, spec)
