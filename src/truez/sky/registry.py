"""The methods of reconstruction on the sky, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from truez.mesh.memory import VALUE
from truez.reconstruct.plugin import guarded, one_of_kind
from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sky.core import Core
from truez.sky.job import ShellJob, SkySettings
from truez.sky.joint import memory_of_draws
from truez.sky.layout import SkyPatch
from truez.sky.methods import (
    SkyRedistributionSettings,
    check_redistribution,
    redistribution,
    wiener,
    wiener_spec,
)
from truez.sky.network_method import SkyColumnsSettings, check_columns, columns
from truez.sky.patches import Patch
from truez.sky.spec_deltas import most_fine_cells
from truez.sky.surveys import SkySurveys
from truez.support.plugins import Plugin, Registry

#: Time of a galaxy for each cell of its sight line, as measured on GAMA G09 [s].
PER_GALAXY = 2.5e-7
#: Meshes of the patch that wait while small cells are filtered, and time for each small cell [s].
_BESIDE_FINE, _FINE_SECONDS = 3, 1.2e-6


@dataclass(frozen=True)
class SkyMethod:
    """A method of reconstruction on the sky.

    Parameters
    ----------
    run : function of (ShellJob, settings)
        Yields the patches of a shell.
    settings : type
        A frozen dataclass whose fields are the settings that a user may give.
    halo : float
        That it needs at seams [Mpc/h].
    stride : int
        Cells that it reads as a group (`truez.sky.patches.PatchSettings`).
    meshes : int
        Meshes of float32 of a patch in memory at a time.
    besides : float
        Memory that does not depend on the patch [bytes].
    seconds : float
        Time for each cell on one core, without the galaxies, measured on GAMA G09 [s].
    first, making : float
        Time of a patch in the first pass of a run of a partition, and of making it there, over that
        of a survey in one patch, which is measured and made.
    moves : bool
        Whether galaxies are moved by an intensity, which sharpens their redshifts.
    check : function of (SkySurveys, patches, settings, Run), optional
        Raises a ValueError for what is known before the work.
    """

    run: Callable[[ShellJob, Any], Iterator[SkyPatch]]
    settings: type[Any]
    halo: float = 20.0
    stride: int = 1
    meshes: int = 12
    besides: float = 0.0
    seconds: float = 2e-6
    first: float = 0.3
    making: float = 0.67
    moves: bool = True
    check: Callable[[SkySurveys, Sequence[Patch], Any, Run], None] | None = None

    def memory(self, patch: Patch, settings: Any, samples: int = 0) -> float:
        """Memory that a patch takes at the peak, with settings of the method [bytes].

        With ``samples`` also where they are drawn, with fluctuations (`truez.sky.joint`): the
        intensity of the core, a mesh of it for each sample that is drawn at once, and a few more.
        """
        coarse = patch.memory(self.meshes)
        number = _cells_across(patch, settings)
        small = 0
        if number > 1:
            # The intensity of the core, once more where it is changed, and what is filtered.
            filtered = METHODS["redistribution"].meshes * most_fine_cells(patch.box, number)
            small = 4 * (2 * number**2 * patch.num_cells + filtered) + patch.memory(_BESIDE_FINE)
        drawn = 0
        if samples:
            box = Core(patch).box
            drawn = memory_of_draws(box, samples) + VALUE * number**2 * box.num_cells
        return max(coarse, small, drawn) + self.besides

    def time(self, patch: Patch, settings: Any) -> float:
        """Time that the cells of a patch take on one core, without the galaxies [s]."""
        number = _cells_across(patch, settings)
        small = number**2 * _FINE_SECONDS if number > 1 else 0.0
        return (self.seconds + small) * patch.num_cells

    def written(self, patch: Patch, settings: Any) -> int:
        """Meshes of a patch that a file takes the room of: delta, and sigma and the intensity."""
        return _cells_across(patch, settings) ** 2 + 2 if self.moves else 1


def _cells_across(patch: Patch, settings: Any) -> int:
    """Cells of the intensity along a side of a cell of the patch across the sky."""
    if not isinstance(settings, OwnPlaceSettings):
        return 1
    return settings.cells_across(patch.box)


def plugin_sky_method(plugin: Plugin, found: Any) -> SkyMethod:
    """The method for surveys on the sky that a plug-in adds.

    Raises
    ------
    PluginError
        If there is none.
    """
    method = one_of_kind(plugin, found, SkyMethod, "is for surveys in a box, not on the sky")

    def run(job: ShellJob, settings: Any) -> Iterator[SkyPatch]:
        with plugin.running():
            yield from method.run(job, settings)

    check = None if method.check is None else guarded(plugin, method.check)
    return replace(method, run=run, check=check)


#: truez's own methods by their names.
_OWN: dict[str, SkyMethod] = {
    "columns": SkyMethod(
        columns,
        SkyColumnsSettings,
        halo=62.0,
        stride=4,
        meshes=30,  # two of them the densities that a local network reads
        besides=2e9,
        seconds=1.6e-5,
        first=0.8,
        making=0.85,
        check=check_columns,
    ),
    "redistribution": SkyMethod(
        redistribution, SkyRedistributionSettings, check=check_redistribution
    ),
    "wiener-spec": SkyMethod(wiener_spec, SkySettings, moves=False),
    "wiener": SkyMethod(wiener, SkySettings, moves=False),
}
#: Every method by its name, those of plug-ins (entry points ``truez.methods``) among them.
METHODS: Registry[SkyMethod] = Registry("truez.methods", plugin_sky_method, _OWN)


def stride_within(halo: float) -> int:
    """The stride of patches that serve all methods whose halo is not above one [Mpc/h]."""
    return math.lcm(*(one.stride for _, one in METHODS.usable() if one.halo <= halo))


def check_moves(method: str) -> None:
    """Raise a ValueError if a method moves no galaxies, so that it sharpens no redshifts."""
    if method in METHODS and not METHODS[method].moves:
        others = " or ".join(name for name, one in METHODS.usable() if one.moves)
        raise ValueError(f"method {method} moves no galaxies: redshifts need {others}")
