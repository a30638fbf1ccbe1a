"""Fields on the patches of a footprint with values that a test chooses."""

import numpy as np
import torch

from truez.cosmology import Cosmology
from truez.sky.core import Core
from truez.sky.field import SkyField
from truez.sky.layout import SkyPatch, grown
from truez.sky.patches import PatchSettings, plan_patches
from truez.surveys.footprint_input import footprint_of

COSMOLOGY = Cosmology.of("planck18")


def sky_field(
    footprint, values, *, redshifts=(0.1, 0.3), cellsize=8.0, widest=20.0, sigma=0.3, **metadata
):
    """A field whose cells have ``values(shape)``, and nan where no method gives any."""
    area = footprint_of(footprint)
    patches = plan_patches(
        area, cosmology=COSMOLOGY, redshift_range=redshifts, sigma_z=0.01,
        settings=PatchSettings(cellsize=cellsize, widest=widest),
    )  # fmt: skip
    made = []
    for patch in patches:
        core = Core(patch)
        box = core.box
        delta = torch.as_tensor(values(box.meshsize), dtype=torch.float32).clone()
        delta[torch.from_numpy(~grown(core.mask))] = np.nan
        profile = box.cell_volumes * 1e-3 * np.exp(-box.redshift_centers / 0.1)
        made.append(SkyPatch(
            box=box, near=patch.shell.near, far=patch.shell.far, core=core.mask,
            completeness=area.fraction(box), expected_profile=profile.astype(np.float32),
            delta=delta, sigma=None if sigma is None else torch.full(box.meshsize, sigma),
        ))  # fmt: skip
    about = {"sigma_z": 0.01, "settings": {"resampler": "cic"}, "method": "test", **metadata}
    return SkyField(tuple(made), COSMOLOGY, about)
