"""The methods of reconstruction on the sky, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from truez.reconstruct.settings import Run
from truez.sky.layout import SkyPatch
from truez.sky.methods import ShellJob, SkySettings, redistribution, wiener, wiener_spec
from truez.sky.network_method import SkyColumnsSettings, check_columns, columns
from truez.sky.patches import Patch
from truez.sky.surveys import SkySurveys


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
    meshes : int
        Meshes of float32 of a patch in memory at a time.
    besides : float
        Memory that does not depend on the patch [bytes].
    seconds : float
        Time for each cell on one core, without the galaxies, measured on GAMA G09 [s].
    moves : bool
        Whether galaxies are moved by an intensity, which sharpens their redshifts.
    check : function of (SkySurveys, patches, settings, Run), optional
        Raises a ValueError for what is known before the work.
    """

    run: Callable[[ShellJob, Any], Iterator[SkyPatch]]
    settings: type[Any]
    halo: float = 20.0
    meshes: int = 12
    besides: float = 0.0
    seconds: float = 2e-6
    moves: bool = True
    check: Callable[[SkySurveys, Sequence[Patch], Any, Run], None] | None = None


#: Every method by its name.
METHODS: dict[str, SkyMethod] = {
    "columns": SkyMethod(
        columns,
        SkyColumnsSettings,
        halo=62.0,
        meshes=28,
        besides=2e9,
        seconds=1.6e-5,
        check=check_columns,
    ),
    "redistribution": SkyMethod(redistribution, SkySettings),
    "wiener-spec": SkyMethod(wiener_spec, SkySettings, moves=False),
    "wiener": SkyMethod(wiener, SkySettings, moves=False),
}


def check_moves(method: str) -> None:
    """Raise a ValueError if a method moves no galaxies, so that it sharpens no redshifts."""
    if method in METHODS and not METHODS[method].moves:
        others = " or ".join(name for name, one in METHODS.items() if one.moves)
        raise ValueError(f"method {method} moves no galaxies: redshifts need {others}")
