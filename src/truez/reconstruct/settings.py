"""Settings of the methods of `truez.reconstruct`: one small class for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from truez.linear.local import check_filter
from truez.mesh.memory import VALUE
from truez.mesh.resamplers import RESAMPLERS
from truez.networks.precision import half_precision
from truez.networks.symmetries import first_symmetries
from truez.sightlines.fine import cells_across
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from truez.linear.model import LinearModel
    from truez.mesh.box import Box
    from truez.reconstruct.result import Reconstruction
    from truez.surveys.surveys import Surveys

#: Lowest intensity of the redistribution, relative to the expected counts.
FLOOR = 0.05

Tile = int | Sequence[int | None] | None | Literal["auto"]


@dataclass(frozen=True)
class Shared:
    """What the parts of a box share, found before any of them is reconstructed.

    Parameters
    ----------
    model : LinearModel
        Of the whole box.
    found : mapping, optional
        What the method found in a first part, such as the strength of ``pairs`` and the
        ``amplitude``, by the names of its metadata; None for that first part.
    """

    model: LinearModel
    found: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """Device of a method, the callback that reports its progress, and what parts of a box share."""

    device: torch.device | str = "cpu"
    progress: Progress = silent
    shared: Shared | None = None

    @property
    def found(self) -> Mapping[str, Any] | None:
        """What was found in a first part; None where it is to be found."""
        return None if self.shared is None else self.shared.found


@dataclass(frozen=True)
class Method:
    """A method of reconstruction.

    Parameters
    ----------
    run : function of (Surveys, settings, Run)
        Returns a `Reconstruction`.
    settings : type
        A frozen dataclass whose fields are the settings that a user may give.
    cell : float
        Memory that it takes at least for each cell of the mesh [bytes].
    check : function of (Box, settings, Run), optional
        Raises a ValueError for what can be known before the surveys are read, such as weights of
        another network.
    serves : function of (Surveys, settings), optional
        Raises a ValueError for surveys that it does not serve, such as those that a network was not
        trained for.
    uneven : bool
        Whether expected counts may be uneven, and galaxies have weights and photo-z errors of their
        own.
    """

    run: Callable[[Surveys, Any, Run], Reconstruction]
    settings: type[Any]
    cell: float = VALUE
    check: Callable[[Box, Any, Run], None] | None = None
    serves: Callable[[Surveys, Any], None] | None = None
    uneven: bool = False


@dataclass(frozen=True)
class WienerSettings:
    """Settings of the Wiener filters.

    Parameters
    ----------
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.
    fit_sigma : bool
        Fit the width of the photo-z error to the observed spectra, starting from the given one.
    filter : {"exact", "local"}
        For uneven surveys: ``local`` is the approximation of `truez.linear.local`, of the
        spectroscopic survey alone. An even survey has the same filter by both.
    """

    resampler: str = "cic"
    fit_sigma: bool = False
    filter: str = "exact"

    def __post_init__(self) -> None:
        _check_resampler(self.resampler)
        check_filter(self.filter)


@dataclass(frozen=True, kw_only=True)
class OwnPlaceSettings:
    """How galaxies are moved at their own places on the sky.

    Parameters
    ----------
    sky_cellsize : float, optional
        Side of the cells across the sky of the intensity [Mpc/h], those of the field divided by a
        whole number; half of them by default.
    pairs : bool
        Whether neighbours on the sky add to the intensity (`truez.sightlines.pairs`).
    """

    sky_cellsize: float | None = None
    pairs: bool = True

    def cells_across(self, box: Box) -> int:
        """How many cells of the intensity lie along a side of a cell of the field."""
        return cells_across(box, self.sky_cellsize)


@dataclass(frozen=True)
class RedistributionSettings(OwnPlaceSettings, WienerSettings):
    """Settings of the redistribution without a network; see also `WienerSettings`.

    Parameters
    ----------
    floor : float
        The intensity is ``max(1 + a delta, floor)``, with delta what the Wiener filter of the
        spectroscopic survey says of the galaxies without a spectrum.
    fit_amplitude : bool
        Fit a to the photo-z (`truez.sightlines.amplitude`); it is 1 otherwise.
    """

    floor: float = FLOOR
    fit_amplitude: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.floor) and self.floor > 0):
            raise ValueError(f"floor must be a positive intensity, not {self.floor!r}")


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of the methods with a network.

    Parameters
    ----------
    weights : path, optional
        Weights of the network; those of a column network come with the package.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.
    tile : int, three ints (None: the whole axis), None (the whole field), or "auto"
        Core of the network's tiles [cells]; it bounds the memory and does not change the result.
        Tiles of a column network always hold the whole line of sight. "auto": the fastest that
        needs at most 2 GB of tensors for a column network, 64 for others.
    symmetries : {1, 2, 4, 8, 16}
        Number of orientations of the surveys in which the network is run; the mean of its
        estimates is returned. More are more accurate, and the time is proportional to them.
    bf16 : bool
        The network computes with numbers of 16 bits: about half the time on GPUs, and on CPUs with
        instructions for it (avx512_bf16, amx_bf16 in /proc/cpuinfo); others are slower. It changes
        ln lambda of the weights that come with truez by 0.0015 (rms).
    """

    weights: str | Path | None = None
    resampler: str = "cic"
    tile: Tile = "auto"
    symmetries: int = 1
    bf16: bool = False

    def __post_init__(self) -> None:
        _check_resampler(self.resampler)
        first_symmetries(self.symmetries)
        if isinstance(self.tile, str) and self.tile != "auto":
            raise ValueError(f'tile must be a number of cells or "auto", not {self.tile!r}')

    def precision(self, device: torch.device | str) -> torch.autocast:
        """The context in which the network runs."""
        return half_precision(device, enabled=self.bf16)


@dataclass(frozen=True)
class ColumnsSettings(OwnPlaceSettings, NetworkSettings):
    """Settings of the column network; see also `NetworkSettings`.

    Parameters
    ----------
    floor : float, optional
        Floor of the prior intensity; only that of the network's training is accepted.
    """

    floor: float | None = None


@dataclass(frozen=True)
class _Median:
    draws: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, not {self.draws!r}")


@dataclass(frozen=True)
class RedistributionMedianSettings(_Median, RedistributionSettings):
    """Settings of the median over draws of the redistribution; see also `RedistributionSettings`.

    Parameters
    ----------
    draws : int
        Number of catalogues in the median.
    seed : int
        Seed of the draws.
    """


@dataclass(frozen=True)
class ColumnsMedianSettings(_Median, ColumnsSettings):
    """Settings of the median over draws of the column network; see also `ColumnsSettings`.

    Parameters
    ----------
    draws : int
        Number of catalogues in the median.
    seed : int
        Seed of the draws.
    """


def _check_resampler(resampler: str) -> None:
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler must be one of {', '.join(RESAMPLERS)}, not {resampler!r}")
