"""Settings of a benchmark: the two surveys, the universes, and the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truez.evaluate.coverage.judge import LEAST
from truez.experiments.exact import LognormalWorld, Sampling
from truez.reconstruct import FLOOR
from truez.simulate import Universe
from truez.support.checks import shown
from truez.surveys.spec import SurveySpec
from truez.training.supply import TEST_SEEDS

#: Number density of the universes, whose most massive galaxies are observed [(h/Mpc)^3].
DENSITY = 4e-2
#: Gaussian radii of the smoothing [Mpc/h], and the side of the sub-boxes [Mpc/h].
RADII, SUB_BOX = (4.0, 8.0), 100.0
#: Version of the numbers: it is raised when the same settings lead to others.
VERSION = 2


@dataclass(frozen=True)
class Setting:
    """A fixed specification of two surveys, and the number that separates its random streams.

    With a ``world`` the galaxies are not those of the universes of the run, but of its own, which
    has ``seeds`` of its own too, and the exact posterior is evaluated beside the methods.
    """

    name: str
    words: str
    surveys: SurveySpec
    stream: int
    world: LognormalWorld | None = None
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert self.surveys.fixed


#: Name, words, sigma_z and density of the spectroscopic survey [(h/Mpc)^3]; the number of a row
#: is that of its stream.
_ROWS = (
    ("fiducial", "fiducial: n_s = 1e-3, n_p = 1.85e-2 (h/Mpc)^3, sigma_z = 0.02", 0.02, 1e-3),
    ("sparse", "sparse spectra: n_s = 1e-4 (h/Mpc)^3, else as fiducial", 0.02, 1e-4),
    ("narrow", "narrow-band photo-z: sigma_z = 0.003, else as fiducial", 0.003, 1e-3),
)


def _surveys(sigma_z: float, spec_density: float) -> SurveySpec:
    return SurveySpec(
        sigma_z=sigma_z, spec_density=spec_density, photo_density=1.85e-2, thinning="mass"
    )


#: Seeds of the lognormal boxes, whose exact posteriors are stored in `truez.experiments.exact`.
EXACT_SEEDS = (921, 922, 923)
_ALL = (
    *(
        Setting(name, words, _surveys(*values), stream)
        for stream, (name, words, *values) in enumerate(_ROWS)
    ),
    Setting(
        "lognormal",
        "lognormal boxes of 128 x 128 x 512 Mpc/h whose exact posterior is known, surveys as "
        "fiducial",
        _surveys(0.02, 1e-3),
        len(_ROWS),
        LognormalWorld(),
        EXACT_SEEDS,
    ),
)
#: The settings by name; the first three are those of the validation of the recipe ``columns-cpu``.
SETTINGS = {setting.name: setting for setting in _ALL}


@dataclass(frozen=True)
class Job:
    """A benchmark: universes of ``seeds`` (all of them reserved for tests) under ``settings``.

    The universes are simulated, or catalogues in the folder ``boxes``. ``weights`` and ``unet`` are
    those of a column network and of a dual UNet. Medians are taken over ``draws`` catalogues, none
    if that is 0; of methods that have them, ``samples`` of the posterior are judged, none if that
    is 0; ``controls`` says whether surveys without information are evaluated too, ``cellsize`` is
    the side of the cells of the mesh [Mpc/h], ``floor`` the lowest intensity of the redistribution
    without a network, and ``device`` is where simulations and networks run. The posterior of boxes
    in which it can be is sampled if ``exact``, as ``sampling`` says; otherwise the stored results
    are taken.
    """

    folder: Path
    seeds: Sequence[int] = (901, 902, 903, 904)
    settings: Sequence[Setting] = _ALL
    universe: Universe = field(default_factory=lambda: Universe(density=DENSITY))
    boxes: Path | None = None
    weights: Path | None = None
    unet: Path | None = None
    draws: int = 64
    samples: int = 0
    controls: bool = True
    cellsize: float = 2.0
    floor: float = FLOOR
    device: str = "cpu"
    exact: bool = False
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        check_seeds(self.seeds)
        if not self.settings:
            raise ValueError(f"settings must name at least one of {', '.join(SETTINGS)}")
        if self.draws < 0:
            raise ValueError(f"draws must be 0 (no medians) or more, not {self.draws}")
        if self.samples and self.samples < LEAST:
            raise ValueError(f"samples must be 0 (none) or {LEAST} or more, not {self.samples}")
        if self.exact and not any(setting.world for setting in self.settings):
            raise ValueError("exact needs the setting lognormal: add it, or leave exact out")
        for path in (self.weights, self.unet):
            if path is not None and not path.is_file():
                raise FileNotFoundError(f"there is no weights file {path}")

    def seeds_of(self, setting: Setting) -> Sequence[int]:
        """The boxes that a setting is evaluated on."""
        return setting.seeds or self.seeds

    @property
    def simulates(self) -> bool:
        """Whether universes are needed that are still to be made."""
        return self.boxes is None and any(setting.world is None for setting in self.settings)

    def describe(self) -> dict[str, Any]:
        """Settings that every measurement depends on, as plain values."""
        return {
            "version": VERSION,
            "cellsize": self.cellsize,
            "floor": self.floor,
            "draws": self.draws,
            "radii": list(RADII),
            "sub_box": SUB_BOX,
        }


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse universes that are not reserved for tests, or are repeated."""
    if not seeds:
        raise ValueError("seeds must name at least one universe")
    for seed in seeds:
        if seed not in TEST_SEEDS:
            raise ValueError(
                f"the universe of seed {seed} is not kept for tests: take seeds from "
                f"{TEST_SEEDS.start} to {TEST_SEEDS.stop - 1}, those from {TEST_SEEDS.stop} on "
                "belong to validation and training"
            )
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different, not {', '.join(map(str, seeds))}")


def seeds_from(texts: Sequence[str]) -> list[int]:
    """Seeds from words such as ``901-904`` or ``1,2``."""
    seeds: list[int] = []
    for word in re.split(r"[,\s]+", " ".join(texts).strip()):
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", word)
        if found is None:
            raise ValueError(f"seeds must be numbers or ranges such as 901-904, not {shown(word)}")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= TEST_SEEDS.stop:
            raise ValueError(
                f"seeds must be numbers or ranges that rise, by less than 1000, not {shown(word)}"
            )
        seeds.extend(range(first, last + 1))
    return seeds


def settings_from(names: Sequence[str]) -> list[Setting]:
    """Settings by name, all of them by default."""
    for name in names:
        if name not in SETTINGS:
            raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, not {shown(name)}")
    return [setting for setting in _ALL if not names or setting.name in names]
