"""Surveys drawn for training, and the fixed ones of validation.

A drawn survey is a function of two numbers, the seed of the training and the number of the view,
and of the box and density of its universe: `draw_survey`. Its ranges are those that a network for
uneven surveys is to serve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from truez.mesh.box import Box
from truez.training.survey_description import ErrorForm, MaskForm, SampleForm, SurveyDescription

#: Weights of the kinds of surveys, where the universe can have them.
KINDS = {"periodic": 0.2, "closed": 0.1, "sky": 0.7}
#: Share of the surveys whose galaxies are at random positions.
RANDOM_SHARE = 0.1
#: Ranges: photo-z errors, outliers, densities [(h/Mpc)^3], sides of cells [Mpc/h], velocities.
SIGMA_Z, OUTLIERS = (0.003, 0.05), 0.1
PHOTO, SPEC = (2e-3, 4e-2), (5e-5, 5e-3)
CELLS, VELOCITIES = (1.5, 3.0), (0.8, 1.2)
#: Most cells of a periodic mesh, and cells of the others across and along the line of sight.
_MOST_PERIODIC = 128 * 128 * 256
_ACROSS, _ALONG = (96, 128), (192, 256)
#: Spectroscopic galaxies over the photometric ones, at the most.
_MOST_SPEC = 0.3
#: Least number of spectroscopic galaxies in a box.
_FEWEST = 1500
_STRIDE = 4


def draw_survey(
    seed: int, number: int, universe: Box, *, density: float = PHOTO[1]
) -> SurveyDescription:
    """Draw the survey of a view.

    Parameters
    ----------
    seed, number : int
        Of the training, and of the view.
    universe : Box
        The periodic box of the galaxies. Periodic surveys are drawn where it has at most 128 x 128
        x 256 cells of some size within the range.
    density : float
        Of its galaxies [(h/Mpc)^3].

    Examples
    --------
    >>> from truez import Box
    >>> from truez.training.survey_draws import draw_survey
    >>> draw_survey(1, 0, Box(512, cellsize=2)) == draw_survey(1, 0, Box(512, cellsize=2))
    True
    """
    rng = np.random.default_rng([seed, number, 6])
    meshes = _periodic_meshes(universe)
    weights = {kind: KINDS[kind] for kind in KINDS if kind != "periodic" or meshes}
    if meshes and min(universe.boxsize) < max(_ACROSS) * CELLS[0]:
        weights.pop("closed")
    kinds = list(weights)
    shares = np.array([weights[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    common: dict[str, Any] = {
        "kind": kind,
        "seed": int(rng.integers(2**62)),
        "random": bool(rng.random() < RANDOM_SHARE),
        "redshift_space": bool(rng.random() < 0.75),
        "velocities": float(rng.uniform(*VELOCITIES)),
        "common": _common(rng),
    }
    if kind == "periodic":
        common["meshsize"] = meshes[int(rng.integers(len(meshes)))]
        volume = universe.volume
    else:
        common |= _cells(rng, universe, kind)
        across, along = common["cellsize"]
        volume = math.prod(common["meshsize"]) * across**2 * along
    sky = kind == "sky"
    photo = _sample(rng, (PHOTO[0], min(PHOTO[1], density)), sky=sky)
    highest = min(SPEC[1], _MOST_SPEC * photo.density)
    spec = _sample(rng, (max(SPEC[0], _FEWEST / volume), highest), sky=sky)
    if sky:
        common |= {
            "photo_mask": _mask(rng),
            "spec_mask": _mask(rng, part=True) if rng.random() < 0.4 else MaskForm(),
            "stretched": bool(rng.random() < 0.8),
            "reference": float(rng.random()),
            "bounds": str(rng.choice(["truth", "photo-z"])),
        }
    error = _error(rng, sky=sky)
    return SurveyDescription(photo=photo, spec=spec, error=error, **common)


def _periodic_meshes(universe: Box) -> list[tuple[int, int, int]]:
    """Meshes of a universe with cells within the range, all sides alike."""
    found = []
    for n in range(1, int(universe.boxsize[0] / CELLS[0]) // _STRIDE + 1):
        mesh = tuple(_STRIDE * round(n * side / universe.boxsize[0]) for side in universe.boxsize)
        sides = [a / b for a, b in zip(universe.boxsize, mesh, strict=True)]
        fits = max(sides) <= CELLS[1] and min(sides) >= CELLS[0]
        if fits and math.prod(mesh) <= _MOST_PERIODIC:
            found.append((mesh[0], mesh[1], mesh[2]))
    # Half of the surveys on the largest, whose cells are the smallest.
    return found + [found[-1]] * len(found) if found else []


def _cells(rng: np.random.Generator, universe: Box, kind: str) -> dict[str, Any]:
    """Cells of a closed box; even surveys are of one that fits into the universe."""
    low, high = (n // _STRIDE for n in _ACROSS)
    mesh = [_STRIDE * int(n) for n in rng.integers(low, high + 1, 2)]
    mesh.append(_STRIDE * int(rng.integers(_ALONG[0] // _STRIDE, _ALONG[1] // _STRIDE + 1)))
    across, along = rng.uniform(*CELLS, 2)
    if rng.random() < 0.5:
        along = across
    if kind == "closed":
        across = min(
            across, *(side / n for side, n in zip(universe.boxsize[:2], mesh, strict=False))
        )
        along = min(along, universe.boxsize[2] / mesh[2])
    return {"meshsize": tuple(mesh), "cellsize": (float(across), float(along))}


def _common(rng: np.random.Generator) -> float:
    """Share of the spectroscopic galaxies in the photometric sample: all, some or none."""
    kind, share = rng.random(), float(rng.uniform(0.3, 0.95))
    return 1.0 if kind < 0.65 else share if kind < 0.85 else 0.0


def _sample(rng: np.random.Generator, density: tuple[float, float], *, sky: bool) -> SampleForm:
    value = math.exp(rng.uniform(math.log(density[0]), math.log(max(density))))
    by_mass = float(rng.choice([1.0, 1.0, 0.5, 0.0]))
    if not sky or rng.random() < 0.1:
        return SampleForm(density=value, by_mass=by_mass)
    peaks = [
        (float(rng.uniform(-0.1, 1.1)), float(rng.uniform(0.03, 0.2)), float(rng.uniform(0.3, 3)))
        for _ in range(int(rng.integers(0, 4)))
    ]
    return SampleForm(
        density=value,
        fall=math.exp(rng.uniform(0, math.log(100))),
        curve=float(rng.uniform(0.7, 2)),
        rise=float(rng.uniform(0.02, 0.3)) if rng.random() < 0.5 else 0.0,
        peaks=tuple(peaks) if rng.random() < 0.5 else (),
        by_mass=by_mass,
    )


def _mask(rng: np.random.Generator, *, part: bool = False) -> MaskForm:
    """A footprint with holes; for a ``part`` one with an edge nearer to the middle."""
    if not part and rng.random() < 0.25:
        return MaskForm()
    discs = [
        (float(rng.random()), float(rng.random()), math.exp(rng.uniform(*np.log([0.01, 0.12]))))
        for _ in range(int(rng.integers(0, 25)))
    ]
    strips = [
        tuple(float(rng.uniform(*limits)) for limits in ((0, math.pi), (-0.5, 0.5), (0.005, 0.05)))
        for _ in range(int(rng.integers(0, 3)))
    ]  # fmt: skip
    edge = None
    if part or rng.random() < 0.5:
        offset = rng.uniform(-0.1, 0.3) if part else rng.uniform(0.2, 0.5)
        edge = (float(rng.uniform(0, 2 * math.pi)), float(offset))
    waves = rng.uniform(-25, 25, (4, 3))
    waves[:, 2] = rng.uniform(0, 2 * math.pi, 4)
    return MaskForm(
        discs=tuple(discs),
        strips=tuple((angle, offset, half) for angle, offset, half in strips),
        edge=edge,
        lowest=float(rng.uniform(0.3, 1)) if rng.random() < 0.6 else 1.0,
        waves=tuple((float(a), float(b), float(c)) for a, b, c in waves),
    )


def _error(rng: np.random.Generator, *, sky: bool) -> ErrorForm:
    low, high = np.log(SIGMA_Z)
    outliers = float(rng.uniform(0, OUTLIERS)) if rng.random() < 0.5 else 0.0
    assumed = outliers * float(rng.uniform(0.5, 1.5))
    sigma = math.exp(rng.uniform(low, high))
    if not sky:
        return ErrorForm(sigma_z=(sigma,), outliers=outliers, assumed=assumed)
    number = int(rng.choice([1, 2, 3], p=[0.25, 0.35, 0.4]))
    # Errors of one sample are within a factor of ten.
    factors = rng.uniform(-math.log(10) / 2, math.log(10) / 2, number) if number > 1 else [0.0]
    widths = np.exp(np.clip(math.log(sigma) + np.sort(factors), low, high))
    near, far = (rng.dirichlet(np.full(number, 2.0)) for _ in range(2))
    return ErrorForm(
        sigma_z=tuple(float(x) for x in widths),
        near=tuple(float(x) for x in near),
        far=tuple(float(x) for x in far),
        absolute=bool(rng.random() < 0.4),
        outliers=outliers,
        assumed=assumed,
    )


def _fixed() -> Mapping[str, SurveyDescription]:
    """The validation surveys by name."""
    mesh, cells = (128, 128, 256), (2.0, 2.0)
    photo = SampleForm(density=1.85e-2)

    def even(name: str, sigma_z: float, density: float, kind: str = "periodic") -> dict[str, Any]:
        return {
            "name": name, "kind": kind, "spec": SampleForm(density=density), "photo": photo,
            "error": ErrorForm(sigma_z=(sigma_z,)),
        }  # fmt: skip

    falling = SampleForm(density=2e-2, fall=20, rise=0.1)
    holes = MaskForm(
        discs=((0.2, 0.3, 0.06), (0.6, 0.7, 0.1), (0.8, 0.25, 0.04), (0.4, 0.55, 0.03)),
        strips=((0.6, 0.25, 0.02),),
        edge=(2.2, 0.42),
        lowest=0.6,
        waves=((9.0, 4.0, 0.5), (-6.0, 14.0, 2.0)),
    )
    kept = {"photo": falling, "kind": "sky"}
    surveys: list[dict[str, Any]] = [
        even("fiducial", 0.02, 1e-3),
        even("sparse", 0.02, 1e-4),
        even("narrow", 0.003, 1e-3),
        even("closed", 0.02, 1e-3, "closed"),
        {
            "name": "random spectra", **kept,
            "spec": SampleForm(density=2e-3, fall=20, rise=0.1, by_mass=0),
            "error": ErrorForm(sigma_z=(0.02,)),
        },
        {
            "name": "flux-limited", **kept, "spec": SampleForm(density=3e-3, fall=80, curve=1.3),
            "error": ErrorForm(sigma_z=(0.015,)), "bounds": "photo-z",
        },
        {
            "name": "two classes", **kept, "common": 0.6,
            "spec": SampleForm(density=1.5e-3, fall=10, by_mass=0.5),
            "error": ErrorForm(sigma_z=(0.008, 0.03), near=(0.6, 0.4), far=(0.3, 0.7)),
        },
        {
            "name": "holes", **kept, "photo_mask": holes, "spec_mask": MaskForm(edge=(0.4, 0.15)),
            "spec": SampleForm(density=2e-3, fall=5), "error": ErrorForm(sigma_z=(0.02,)),
        },
        {
            "name": "wide errors", **kept, "bounds": "photo-z",
            "spec": SampleForm(density=2e-3, fall=20, rise=0.1, by_mass=0.5),
            "error": ErrorForm(sigma_z=(0.045,), outliers=0.08, assumed=0.05),
        },
        {
            "name": "disjoint", **kept, "common": 0.0,
            "spec": SampleForm(density=1.5e-3, fall=8), "error": ErrorForm(sigma_z=(0.02,)),
        },
    ]  # fmt: skip
    return MappingProxyType({
        one["name"]: SurveyDescription(seed=number, meshsize=mesh, cellsize=cells, **one)
        for number, one in enumerate(surveys)
    })  # fmt: skip


#: The surveys that networks are validated with, by name: the first three are of a periodic universe
#: of 256 x 256 x 512 Mpc/h.
VALIDATION = _fixed()
