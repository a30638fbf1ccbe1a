"""The surveys of a shell in numbers, at its median photometric galaxy, and limits for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from truez.networks.column_inputs import side_across
from truez.networks.weights import WITHOUT_NETWORK, Header
from truez.sky.shells import Shell
from truez.sky.surveys import SkySurveys

if TYPE_CHECKING:
    from truez.mesh.sky_box import SkyBox

#: By how much cells may differ from those of the training; the gains: docs/results/sky-measured.md.
CELLS = 0.2
#: Half the range of redshift, over 1 + z, in which the densities of a shell are counted.
_AROUND = 0.01


def median_place(surveys: SkySurveys, shell: Shell) -> float:
    """Distance that half of the photometric galaxies of a shell are nearer than [Mpc/h]."""
    distances = surveys.cosmology.distances
    low, high = (float(z) for z in distances.redshift([shell.near, shell.far]))
    if not surveys.nz.counts([low, high])[0] > 0:
        return shell.chi_ref
    return float(distances.from_redshift(float(surveys.nz.within(low, high).quantile(0.5))))


def typical_numbers(surveys: SkySurveys, place: float) -> dict[str, float]:
    """Photo-z error [Mpc/h], densities [(h/Mpc)^3] and outliers at a distance [Mpc/h]."""
    cosmology = surveys.cosmology
    z = float(cosmology.distances.redshift(place))
    ends = z + _AROUND * (1 + z) * np.array([-1, 1])
    ends = np.maximum(ends, 0.0)
    chi = cosmology.distances.from_redshift(ends)
    shell_volume = math.radians(1) ** 2 * float(np.diff(chi**3)[0]) / 3
    densities = {
        f"{name}_density": float(numbers.counts(ends)[0]) / (area.area * shell_volume)
        for name, numbers, area in (
            ("spec", surveys.spec_nz, surveys.spec_footprint),
            ("photo", surveys.nz, surveys.footprint),
        )
    }
    usable = surveys.usable
    error = surveys.error if surveys.error.num_galaxies is None else surveys.error.take(usable)
    return {
        "sigma": cosmology.distance_error(float(np.mean(error.width(z))), z),
        "outlier_fraction": float(np.mean(error.outlier_fraction)),
        **densities,
    }


def check_shell(
    header: Header, surveys: SkySurveys, shell: Shell, box: SkyBox, resampler: str
) -> None:
    """Refuse a shell that a network was not trained for.

    Raises
    ------
    ValueError
        With the first property that is outside the limits of the header.
    """
    place = median_place(surveys, shell)
    try:
        header.check(
            box, overlap=surveys.common, resampler=resampler,
            redshift_space=surveys.redshift_space, cellsize_tolerance=CELLS * (1 + 1e-9),
            redshift=float(surveys.cosmology.distances.redshift(place)),
            across=side_across(box) * place / box.chi_ref, **typical_numbers(surveys, place),
        )  # fmt: skip
    except ValueError as error:
        sentence = str(error).replace(WITHOUT_NETWORK, "choose method redistribution")
        raise ValueError(f"at {place:.0f} Mpc/h {sentence}") from error
