"""Settings of the recipe of ``truez paper``, of which ``paper.toml`` is one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from truez.catalogs.units import length_factor
from truez.experiments.paper.correction import CorrectionConfig
from truez.mesh.box import Box, Mesh, Region
from truez.mesh.paint_input import check_choice
from truez.mesh.resamplers import RESAMPLERS
from truez.networks.network import NetworkConfig, network_class
from truez.simulate import Universe
from truez.support.settings import Settings, section
from truez.surveys.mock import MockConfig
from truez.surveys.photoz import LARGEST_SIGMA_Z
from truez.surveys.spec import SurveySpec
from truez.training.config import TrainingConfig
from truez.training.samples import crop_shape
from truez.training.supply import TEST_SEEDS, VALIDATION_SEEDS
from truez.training.universes import TRAINING_SEEDS

#: Readings of Eq. 5, by the name of the corrected field.
CORRECTIONS: dict[str, CorrectionConfig] = {
    "per-box": CorrectionConfig(mode="per-box", transfer="constant"),
    "constant": CorrectionConfig(mode="global", transfer="constant"),
    "normalised": CorrectionConfig(mode="global", transfer="normalised", subtract_shotnoise=True),
}
#: Roles of the data, and the seeds that are reserved for each.
ROLES = {"train": TRAINING_SEEDS, "validation": VALIDATION_SEEDS, "test": TEST_SEEDS}


class CatalogueSettings(Settings):
    """Columns and units of a user's catalogue, which replaces the simulated universe.

    Columns of positions (in ``length_unit``: Mpc/h, kpc/h, Mpc or kpc, the last two with
    ``hubble``) and velocities [km/s] are along the axes of the file, ``los`` is the line of sight.
    Of the column ``rank_by`` the highest (a mass) or lowest (a magnitude) values are selected
    first.
    """

    positions: tuple[str, str, str] = ("x", "y", "z")
    velocities: tuple[str, str, str] = ("vx", "vy", "vz")
    rank_by: str = "mass"
    rank: Literal["highest", "lowest"] = "highest"
    length_unit: str = "Mpc/h"
    hubble: float | None = None
    los: Literal["x", "y", "z"] = "z"

    @model_validator(mode="after")
    def _known(self) -> Self:
        length_factor(self.length_unit, self.hubble)
        return self


class BoxesSettings(Settings):
    """The two surveys of a universe, and the division of its box into parts and sub-boxes.

    Parameters
    ----------
    split : {"realisations", "paper"}
        Separate universes for training, validation and test; or, as in the paper, two adjacent
        parts of one box, with the weights chosen on the test part.
    seeds : (3,) ints
        Seeds of the universes for training, validation and test; the paper's split uses the last.
    cellsize : float
        Side of the cells of the mesh [Mpc/h].
    cells : int
        Cells along each side of a sub-box.
    trim : (float, float), optional
        Range along the line of sight, from the lower face [Mpc/h], that is trained on and evaluated
        (paper: 200 to 1000).
    divide : float, optional
        Where the test part of the paper's split begins [Mpc/h] (paper: 800).
    periodic : bool
        Whether the box is periodic; photo-z wrap then.
    spec_density, photo_density : float
        Number densities of the samples, which are the most massive galaxies [(h/Mpc)^3]. By default
        all galaxies of a universe are photometric, and of a catalogue ``universe.density``.
    sigma_z, outlier_fraction
        See `truez.surveys.spec.SurveySpec`.
    redshift_space : bool
        Whether galaxies are displaced by their peculiar velocities (paper, Eq. 1).
    resampler : {"ngp", "cic", "tsc"}
        Mass assignment of the galaxies.
    seed : int
        Seed of the photo-z of the first universe; those of the others count up from here.
    tile : int
        Core of the tiles of the stitched estimate [cells], which changes the memory alone.
    corrections : names out of per-box, constant, normalised
        Readings of Eq. 5 that are shown, see `CORRECTIONS`.
    catalogue : CatalogueSettings
    """

    split: Literal["realisations", "paper"] = "realisations"
    seeds: tuple[int, int, int] = (TRAINING_SEEDS.start, VALIDATION_SEEDS.start, TEST_SEEDS.start)
    cellsize: Annotated[float, Setting(gt=0)] = 2.0
    cells: Annotated[int, Setting(ge=7)] = 100
    trim: tuple[float, float] | None = None
    divide: float | None = None
    periodic: bool = True
    spec_density: Annotated[float, Setting(gt=0)] = 1e-3
    photo_density: Annotated[float, Setting(gt=0)] | None = None
    sigma_z: Annotated[float, Setting(ge=0, le=LARGEST_SIGMA_Z)] = 0.02
    outlier_fraction: Annotated[float, Setting(ge=0, lt=1)] = 0.0
    redshift_space: bool = True
    resampler: str = "cic"
    seed: Annotated[int, Setting(ge=0)] = 0
    tile: Annotated[int, Setting(gt=0)] = 48
    corrections: tuple[Literal["per-box", "constant", "normalised"], ...] = (
        "per-box",
        "constant",
        "normalised",
    )
    catalogue: CatalogueSettings = CatalogueSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for role, seed, kept in zip(ROLES, self.seeds, ROLES.values(), strict=True):
            if seed not in kept:
                raise ValueError(
                    f"seeds must be from {kept.start} to {kept.stop - 1} for {role}, not {seed}"
                )
        check_choice("resampler", self.resampler, RESAMPLERS)
        if self.trim is not None and not 0 <= self.trim[0] < self.trim[1]:
            raise ValueError(
                f"trim must be a lower and an upper distance, none below 0, not {list(self.trim)}"
            )
        if self.split == "paper" and self.divide is None:
            raise ValueError("split = paper needs divide, where the test part begins [Mpc/h]")
        self.surveys()
        return self

    def surveys(self, *, density: float | None = None) -> SurveySpec:
        """The two surveys, both selected by mass; ``density`` is that of photo by default."""
        return SurveySpec(
            sigma_z=self.sigma_z,
            spec_density=self.spec_density,
            photo_density=self.photo_density or density,
            thinning="mass",
            outlier_fraction=self.outlier_fraction,
            redshift_space=self.redshift_space,
        )


class PaperRecipe(Settings):
    """The whole recipe.

    The seeds of the universe are ``boxes.seeds``; ``network`` holds its ``architecture`` and the
    settings of its ``Config``.
    """

    universe: Universe
    boxes: BoxesSettings
    network: dict[str, Any]
    training: TrainingConfig

    @field_validator("universe", mode="before")
    @classmethod
    def _no_seed(cls, value: Any) -> Any:
        if isinstance(value, dict) and "seed" in value:
            raise ValueError("has its seed in boxes.seeds: leave out universe.seed")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _ = self.network_config
        regions = self.regions
        cells = self.boxes.cells
        for role, (start, stop) in regions.items():
            mesh = [b - a for a, b in zip(start, stop, strict=True)]
            if any(n % cells for n in mesh):
                raise ValueError(
                    f"boxes.cells of {cells} does not divide the {role} part of "
                    f"{' x '.join(map(str, mesh))} cells: choose a divisor, or another trim or "
                    "cellsize"
                )
        with section("training"):
            crop_shape(self.training.crop, [regions["train"]])
        with torch.device("meta"):  # without its memory
            stride = network_class(self.architecture)(self.network_config).stride
        if self.boxes.tile % stride:
            raise ValueError(
                f"boxes.tile must be a multiple of the network's stride, {stride}, not "
                f"{self.boxes.tile}"
            )
        part = self.box.crop(*regions["test"])
        for name in self.boxes.corrections:
            config = CORRECTIONS[name]
            if config.k_max > part.nyquist:
                raise ValueError(
                    f"boxes.corrections reach k = {config.k_max:g} h/Mpc, and cells of "
                    f"{self.boxes.cellsize:g} Mpc/h only {part.nyquist:.3g}: take none, "
                    "boxes.corrections=[], or smaller cells"
                )
            if config.transfer == "normalised" and min(part.fundamental) >= config.k_cut:
                raise ValueError(
                    f"boxes.corrections must not hold {name}, since a test part of "
                    f"{max(part.boxsize):g} Mpc/h has no waves below k = {config.k_cut:g} h/Mpc"
                )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved recipe as plain values, from which the same recipe can be made."""
        return self.model_dump(mode="json", exclude={"universe": {"seed"}}, exclude_none=True)

    @property
    def box(self) -> Box:
        """The box of a universe with the mesh of the fields."""
        boxes = self.boxes
        with section("boxes"):
            return Box.from_cellsize(self.universe.boxsize, boxes.cellsize, periodic=boxes.periodic)

    @property
    def roles(self) -> dict[str, str]:
        """Suffix of the file names of each role, such as ``-train``."""
        if self.boxes.split == "paper":
            return dict.fromkeys(ROLES, "")
        return {role: f"-{role}" for role in ROLES}

    @property
    def seeds(self) -> dict[str, int]:
        """Seeds of the universes by the names of `roles`."""
        return dict(zip(self.roles.values(), self.boxes.seeds, strict=True))

    @property
    def regions(self) -> dict[str, Region]:
        """Region of the mesh that each role uses; a ValueError if they do not lie in the box."""
        (nx, ny, nz), cell = self.box.meshsize, self.box.cellsize[2]
        trim, divide = self.boxes.trim, self.boxes.divide
        low, high = (0, nz) if trim is None else (round(x / cell) for x in trim)
        if not 0 <= low < high <= nz:
            raise ValueError(
                f"boxes.trim must be a range within the {self.box.boxsize[2]:g} Mpc/h of the line "
                f"of sight, not {trim}"
            )
        if self.boxes.split == "realisations":
            return dict.fromkeys(ROLES, ((0, 0, low), (nx, ny, high)))
        assert divide is not None
        middle = round(divide / cell)
        if not low < middle < high:
            raise ValueError(
                f"boxes.divide must lie between {low * cell:g} and {high * cell:g} Mpc/h, not "
                f"{divide:g}"
            )
        test = (0, 0, middle), (nx, ny, high)
        return {"train": ((0, 0, low), (nx, ny, middle)), "validation": test, "test": test}

    def num_sub_boxes(self, role: str) -> int:
        """Sub-boxes of the part of a role."""
        start, stop = self.regions[role]
        return math.prod((b - a) // self.boxes.cells for a, b in zip(start, stop, strict=True))

    def mock_config(self, name: str, *, catalogue: bool) -> MockConfig:
        """Settings of the two surveys of the universe ``name``, one of `seeds`."""
        boxes = self.boxes
        ranked = boxes.catalogue if catalogue else CatalogueSettings()
        # All galaxies of a simulated universe are photometric by default.
        surveys = boxes.surveys(density=self.universe.density if catalogue else None)
        return surveys.mock_config(
            redshift=self.universe.redshift,
            cosmology=self.universe.cosmology,
            rank_by=ranked.rank_by,
            rank=ranked.rank,
            trim=boxes.trim,
            seed=boxes.seed + list(self.seeds).index(name),
        )

    @property
    def architecture(self) -> str:
        """Name of the network."""
        found = self.network.get("architecture", "dual-unet")
        with section("network"):
            network_class(found)  # whose name may be of another type
        return str(found)

    @property
    def network_config(self) -> NetworkConfig:
        """Settings of the network."""
        settings = {name: x for name, x in self.network.items() if name != "architecture"}
        network = network_class(self.architecture)
        with section("network"):
            return network.Config(**settings)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many crops are drawn as there are sub-boxes to train on."""
        return math.ceil(self.num_sub_boxes("train") / self.training.batch)

    @property
    def notes(self) -> list[str]:
        """Properties of the data that matter for the results, one sentence each."""
        boxes, found = self.boxes, []
        part = self.box.crop(*self.regions["test"])
        cells: Mesh = part.meshsize
        found.append(
            f"Judged on {self.num_sub_boxes('test')} sub-boxes of {boxes.cells}^3 cells of "
            f"{self.box.cellsize[0]:g} Mpc/h, which fill a test part of "
            f"{' x '.join(map(str, cells))} cells."
        )
        if boxes.split == "paper":
            found.append(
                "Training and test are parts of one box that touch, and the weights are those of "
                "the lowest loss on the test part, both as in the paper: the network's scores are "
                "not those of unseen data."
            )
        else:
            found.append(
                "Training, validation and test are universes of their own; the weights are chosen "
                "on the validation universe, and nothing is chosen on the test."
            )
        if boxes.periodic:
            found.append(
                "The box is periodic: photo-z that leave it at one face come back at the other."
            )
        if boxes.trim is None:
            found.append(
                "Nothing is trimmed at the ends of the line of sight (the paper leaves out 200 "
                "Mpc/h at each), since a periodic box has no ends."
                if boxes.periodic
                else "Nothing is trimmed at the ends of the line of sight."
            )
        return found
