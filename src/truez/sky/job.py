"""What a method of reconstruction on the sky is given: settings, and the patches of one shell."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from truez.linear.local import check_filter
from truez.linear.model import LinearModel
from truez.linear.uneven import TOLERANCE, UnevenWiener
from truez.linear.uneven_fit import FKP_POWER
from truez.mesh.resamplers import RESAMPLERS
from truez.sky.core import Core
from truez.sky.linear_fit import fit_shell, observe_shell
from truez.sky.patch_data import PatchData
from truez.sky.patches import Patch
from truez.sky.settled import MODEL, NUM_UNKNOWN, Settled
from truez.sky.shells import Shell
from truez.sky.surveys import SkySurveys
from truez.support.notes import Note
from truez.support.progress import Progress, silent
from truez.support.spill import Spill

#: Least cells that spectra are measured in [Mpc/h].
_FIT_CELLSIZE = 2.0


@dataclass(frozen=True)
class SkySettings:
    """Settings of the linear methods on the sky.

    Parameters
    ----------
    floor : float
        Lowest intensity.
    amplitude : float, optional
        a of lambda = max(1 + a delta, floor); fitted to the photo-z by default.
    filter : {"exact", "local"}
        ``local`` is the approximation of `truez.linear.local.local_wiener_spec`, for methods that
        filter the spectroscopic survey alone.
    tolerance : float
        Residual of the filter to stop at.
    fkp_power : float
        P_0 of the weights of the spectra that the linear model is fitted to [(Mpc/h)^3].
    fit_cellsize : float, optional
        Cells of the meshes that they are measured on [Mpc/h]; by default those of the field, and 2
        at least.
    resampler : {"ngp", "cic", "tsc"}
        The field is as if galaxies at their true places had been painted with it.
    """

    floor: float = 0.05
    amplitude: float | None = None
    filter: str = "exact"
    tolerance: float = TOLERANCE
    fkp_power: float = FKP_POWER
    fit_cellsize: float | None = None
    resampler: str = "cic"

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must be between 0 and 1, not {self.floor!r}")
        if self.amplitude is not None and not 0 <= self.amplitude <= 2:
            raise ValueError(f"amplitude must be from 0 to 2, not {self.amplitude!r}")
        check_filter(self.filter)
        if self.resampler not in RESAMPLERS:
            names = ", ".join(RESAMPLERS)
            raise ValueError(f"resampler must be one of {names}, not {self.resampler!r}")
        if self.fit_cellsize is not None and not 0 < self.fit_cellsize < math.inf:
            raise ValueError(f"fit_cellsize must be positive, not {self.fit_cellsize!r}")


@dataclass(frozen=True, eq=False)
class ShellJob:
    """The patches of one shell, and the surveys.

    Parameters
    ----------
    surveys : SkySurveys
    patches : sequence of Patch
    progress : Progress
    about : dict
        What the method found, filled while it runs; for the metadata. What galaxies of one group
        share (``fluctuations``: `truez.sightlines.fluctuations.Fluctuations.to_metadata`) is there
        before the first patch.
    device : torch.device or str
        Where a network runs.
    spill : Spill
        Where meshes of patches wait for a second pass.
    painted : bool
        Whether fields are wanted; else intensities alone, and delta may be nan.
    settled : Settled, optional
        What all patches of the shell share where these are not all of them.
    """

    surveys: SkySurveys
    patches: Sequence[Patch]
    progress: Progress = silent
    about: dict[str, Any] = field(default_factory=dict)
    device: torch.device | str = "cpu"
    spill: Spill = field(default_factory=Spill)
    painted: bool = True
    settled: Settled | None = None

    @property
    def whole(self) -> SkySurveys:
        """The surveys as a whole, where those of the job are of its patches."""
        return self.surveys if self.settled is None else self.settled.surveys

    def has_ended(self) -> bool:
        """Whether there is no more to find in the patches of a first pass."""
        return self.settled is not None and bool(self.settled.part)

    @property
    def makes_patches(self) -> bool:
        """Whether patches are made at all, and not only what all of them share."""
        return self.settled is None or not self.settled.is_first_pass

    def is_open(self, name: str) -> bool:
        """Whether something that all patches share is still to be found in those of the job."""
        return self.settled is None or name not in self.settled.numbers

    def found(self, name: str, find: Callable[[], dict[str, Any]], sums: Any) -> dict[str, Any]:
        """What a fit to all patches of the shell finds.

        Parameters
        ----------
        name : str
        find : function
            Takes nothing and returns it, of the fit to the patches of the job.
        sums : object
            What the fit has been given, for a fit to all patches; the job has then ended.
        """
        if self.settled is None:
            return find()
        if name in self.settled.numbers:
            return dict(self.settled.numbers[name])
        self.settled.part[name] = sums
        return {}

    @cached_property
    def cores(self) -> list[Core]:
        """The cores of the patches."""
        return [Core(patch) for patch in self.patches]

    def model(self, settings: SkySettings) -> LinearModel | None:
        """The linear model of the shell; None without spectra, or where the job has ended."""
        settled = self.settled
        if settled is not None and not self.is_open(MODEL):
            model = settled.model
        else:
            data = [PatchData(self.surveys, patch.box) for patch in self.patches]
            cellsize = settings.fit_cellsize
            if cellsize is None:
                cellsize = max(_FIT_CELLSIZE, self.patches[0].box.cellsize[0])
            observed = observe_shell(
                data, cellsize=cellsize, fkp_power=settings.fkp_power, progress=self.progress
            )
            if settled is not None:
                settled.part.update({MODEL: observed, NUM_UNKNOWN: self.num_unknown})
                return None
            model = fit_shell(self.surveys, observed)
            if model is None:
                note_no_model(self.patches[0].shell)
        if model is not None:
            self.about["linear_model"] = model.summary()
        return model

    def note_filter(self, found: UnevenWiener) -> None:
        """Write down the most iterations and the largest residual of the patches."""
        for name, value in found.about().items():
            self.about[name] = max(self.about.get(name, value), value)

    @property
    def num_unknown(self) -> int:
        """Photometric galaxies of the shell without a known redshift."""
        if not self.is_open(NUM_UNKNOWN):
            assert self.settled is not None
            return int(self.settled.numbers[NUM_UNKNOWN])
        surveys, shell = self.surveys, self.patches[0].shell
        low, high = surveys.cosmology.distances.redshift([shell.near, shell.far])
        z = surveys.photo.redshift[surveys.unknown]
        return int(np.count_nonzero((z >= low) & (z <= high)))


def note_no_model(shell: Shell) -> None:
    """Note that nothing is known of the density in a shell."""
    warnings.warn(
        f"between {shell.near:.0f} and {shell.far:.0f} Mpc/h there are too few spectra for a "
        "linear model: the intensity is 1 there",
        Note,
        stacklevel=2,
    )
