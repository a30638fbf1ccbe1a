"""What is judged on which universes: the settings of the two surveys, and of a whole benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truez.reconstruct import FLOOR
from truez.simulate import Universe
from truez.surveys.spec import SurveySpec
from truez.training.supply import TEST_SEEDS

#: Of the universes whose most massive galaxies the surveys see [(h/Mpc)^3].
DENSITY = 4e-2
#: Gaussian radii that fields are smoothed with [Mpc/h], and the side of the sub-boxes [Mpc/h].
RADII, SUB_BOX = (4.0, 8.0), 100.0
#: Raised when the same settings give other numbers.
VERSION = 1


@dataclass(frozen=True)
class Setting:
    """Two surveys that are judged.

    Parameters
    ----------
    name, words : str
        For files, and for readers.
    surveys : SurveySpec
        A fixed one.
    stream : int
        Keeps the random numbers of the settings apart.
    """

    name: str
    words: str
    surveys: SurveySpec
    stream: int


def _setting(stream: int, name: str, words: str, *, sigma_z: float, spec_density: float) -> Setting:
    surveys = SurveySpec(
        sigma_z=sigma_z, spec_density=spec_density, photo_density=1.85e-2, thinning="mass"
    )
    return Setting(name, words, surveys, stream)


_ALL = (
    _setting(
        0,
        "fiducial",
        "fiducial: n_s = 1e-3, n_p = 1.85e-2 (h/Mpc)^3, sigma_z = 0.02",
        sigma_z=0.02,
        spec_density=1e-3,
    ),
    _setting(
        1,
        "sparse",
        "sparse spectra: n_s = 1e-4 (h/Mpc)^3, else as fiducial",
        sigma_z=0.02,
        spec_density=1e-4,
    ),
    _setting(
        2,
        "narrow",
        "narrow-band photo-z: sigma_z = 0.003, else as fiducial",
        sigma_z=0.003,
        spec_density=1e-3,
    ),
)
#: The settings by name, those of the validation of the recipe ``columns-cpu``.
SETTINGS = {setting.name: setting for setting in _ALL}


@dataclass(frozen=True)
class Job:
    """A benchmark.

    Parameters
    ----------
    folder : Path
        What is written.
    seeds : sequence of int
        Universes, all of them kept for tests.
    settings : sequence of Setting
    universe : Universe
        How they are simulated, whatever its seed.
    boxes : Path, optional
        A folder with their catalogues, which are then not simulated.
    weights, unet : Path, optional
        Of a column network and of a dual UNet.
    draws : int
        Catalogues that medians are taken over; 0 for no medians.
    controls : bool
        Whether surveys without information are judged too.
    cellsize : float
        [Mpc/h]
    floor : float
        Of the redistribution without a network.
    device : str
        Where simulations and networks run.
    """

    folder: Path
    seeds: Sequence[int] = (901, 902, 903, 904)
    settings: Sequence[Setting] = _ALL
    universe: Universe = field(default_factory=lambda: Universe(density=DENSITY))
    boxes: Path | None = None
    weights: Path | None = None
    unet: Path | None = None
    draws: int = 64
    controls: bool = True
    cellsize: float = 2.0
    floor: float = FLOOR
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_seeds(self.seeds)
        if not self.settings:
            raise ValueError(f"settings must name at least one of {', '.join(SETTINGS)}")
        if self.draws < 0:
            raise ValueError(f"draws must be 0 (no medians) or more, not {self.draws}")
        for path in (self.weights, self.unet):
            if path is not None and not path.is_file():
                raise FileNotFoundError(f"there is no weights file {path}")

    def describe(self) -> dict[str, Any]:
        """What every measurement depends on, as plain values."""
        return {
            "version": VERSION,
            "cellsize": self.cellsize,
            "floor": self.floor,
            "draws": self.draws,
            "radii": list(RADII),
            "sub_box": SUB_BOX,
        }


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse universes that are not kept for tests, or come twice."""
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
    """The seeds of words such as ``901-904`` or ``1,2``.

    Raises
    ------
    ValueError
        If one of them is no number and no range.
    """
    seeds: list[int] = []
    for word in re.split(r"[,\s]+", " ".join(texts).strip()):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if found is None:
            raise ValueError(f"seeds must be numbers or ranges such as 901-904, not {word!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= TEST_SEEDS.stop:
            raise ValueError(f"seeds of a range must rise, to less than 1000 more, not {word!r}")
        seeds.extend(range(first, last + 1))
    return seeds


def settings_from(names: Sequence[str]) -> list[Setting]:
    """The settings of these names, all of them by default.

    Raises
    ------
    ValueError
        If there is none of a name.
    """
    for name in names:
        if name not in SETTINGS:
            raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, not {name!r}")
    return [setting for setting in _ALL if not names or setting.name in names]
