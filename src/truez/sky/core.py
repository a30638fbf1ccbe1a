"""The part of a patch that is kept: its core and the sight lines next to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.sky_box import SkyBox
from truez.sightlines.own_place import SCALES
from truez.sightlines.pairs import Pairs
from truez.sky.layout import Layout, Outline
from truez.sky.patch_data import PatchData
from truez.sky.patches import Patch, Patches
from truez.sky.surveys import SkySurveys

#: Sight lines around the core: galaxies of the next two reach into it and the cells beside it, and
#: one is for what is interpolated.
_AROUND = 3
#: Largest distance of the neighbours of a galaxy in the box [Mpc/h].
_NEIGHBOURS = Pairs().radius / SCALES[0]


@dataclass(frozen=True, eq=False)
class Core:
    """The core of a patch, and a few sight lines around it.

    Parameters
    ----------
    patch : Patch
    """

    patch: Patch

    @cached_property
    def limits(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last + 1 of the sight lines on both axes."""
        core, cells = self.patch.core_sight_lines, self.patch.box.cellsize[:2]
        around = _AROUND + math.ceil(_NEIGHBOURS / min(cells))
        filled = [np.flatnonzero(core.any(axis=1 - axis)) for axis in (0, 1)]
        x, y = (
            (max(int(some[0]) - around, 0), min(int(some[-1]) + 1 + around, num))
            for some, num in zip(filled, core.shape, strict=True)
        )
        return x, y

    @cached_property
    def box(self) -> SkyBox:
        """Their sky box, as deep as that of the patch."""
        (i, k), (j, n) = self.limits
        return self.patch.box.crop((i, j, 0), (k, n, self.patch.box.meshsize[2]))

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Which of them are of the core."""
        (i, k), (j, n) = self.limits
        return self.patch.core_sight_lines[i:k, j:n]

    def outline(self, data: PatchData) -> Outline:
        """The outline of the patch, of what the surveys have in the box of the core."""
        surveys, shell = data.surveys, self.patch.shell
        profile = surveys.nz.counts(self.box.redshift_edges)
        profile = profile * (self.box.cell_area / surveys.footprint.area)
        profile = profile * data.visible(*surveys.photo_range).numpy()
        return Outline(
            box=self.box, near=shell.near, far=shell.far, core=self.mask,
            completeness=data.fraction, expected_profile=profile.astype(np.float32),
        )  # fmt: skip

    def cut(self, mesh: Tensor) -> Tensor:
        """Them, of a mesh of the whole patch, as a mesh of its own."""
        (i, k), (j, n) = self.limits
        return mesh[i:k, j:n].clone()


def layout_of(surveys: SkySurveys, patches: Patches) -> Layout:
    """The layout of the field that is to be made on patches."""
    cores = (Core(patch) for patch in patches)
    outlines = [core.outline(PatchData(surveys, core.box)) for core in cores]
    return Layout(tuple(outlines), patches.cosmology)
