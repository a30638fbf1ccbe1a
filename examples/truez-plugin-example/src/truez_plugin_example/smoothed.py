"""The method ``smoothed-spec``: the density of the spectroscopic galaxies, smoothed.

In a box that density is the estimate. On the sky photometric galaxies are moved along their sight
lines to where it is high, so that their redshifts are sharpened as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from truez.mesh.field import Field
from truez.reconstruct import Method, Reconstruction, Run
from truez.sightlines.intensity import Intensity
from truez.sky.job import ShellJob
from truez.sky.layout import SkyPatch
from truez.sky.methods import estimated
from truez.sky.patch_data import PatchData
from truez.sky.registry import SkyMethod
from truez.surveys.surveys import Surveys


@dataclass(frozen=True)
class Settings:
    """Settings of ``smoothed-spec``.

    Parameters
    ----------
    radius : float
        Of the Gaussian [Mpc/h].
    floor : float
        Lowest density that galaxies are moved by on the sky [mean density].
    """

    radius: float = 8.0
    floor: float = 0.05

    def __post_init__(self) -> None:
        if not (isinstance(self.radius, int | float) and 0 < self.radius < math.inf):
            raise ValueError(f"radius must be a positive length in Mpc/h, not {self.radius!r}")
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must be between 0 and 1, not {self.floor!r}")


def in_a_box(surveys: Surveys, settings: Settings, run: Run) -> Reconstruction:
    """The smoothed overdensity of the spectroscopic sample."""
    return Reconstruction(surveys.spec_field().smooth(settings.radius))


def on_the_sky(job: ShellJob, settings: Settings) -> Iterator[SkyPatch]:
    """Galaxies moved by the smoothed density of the spectroscopic sample, patch by patch."""
    for number, core in enumerate(job.cores):
        job.progress("smoothed-spec", number, len(job.cores))
        data = PatchData(job.surveys, core.patch.box)
        counts = data.spec_counts("cic").smooth(settings.radius).values
        expected = Field(data.expected_spec(), data.box, "counts").smooth(settings.radius).values
        # 1, which moves nothing, where no spectra are expected.
        covered = expected > 0.01 * expected.max().clamp(min=1e-30)
        density = (counts / expected.clamp(min=1e-30)).where(covered, expected.new_ones(()))
        intensity = core.cut(density.clamp(min=settings.floor))
        yield estimated(job, core, Intensity(intensity), "cic")
    job.progress("smoothed-spec", len(job.cores), len(job.cores))


#: What the entry point names.
METHODS = (
    Method(in_a_box, Settings, cell=8, uneven=True),
    SkyMethod(on_the_sky, Settings, halo=40.0),
)
