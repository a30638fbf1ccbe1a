"""Small partitions of some patches, in one shell or in two, for tests of runs."""

import gc
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from tests.sky.light_cone import COSMOLOGY, SIGMA, Cone, light_cone, tables

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.sphere import directions
from truez.sky.details import SkyDetails
from truez.sky.distributed.driver import begin, prepare
from truez.sky.distributed.run_plan import GivenSurveys
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.sky_input import SkyInput
from truez.sky.partition.stored import Partition
from truez.sky.patches import PatchSettings
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Rectangle

RANGE = (0.105, 0.253)
COLUMNS = ("RA", "Dec", "Z")
NEAR = PatchSettings(cellsize=10, widest=5, halo=20)
#: Options of ``truez run`` for them.
SURVEYS = ["--sigma-z", str(SIGMA), "--match-id", "ID", "--real-space"]
OPTIONS = [*SURVEYS, "--method", "redistribution"]


def near_cone():
    """A cone with galaxies beyond the range of redshifts."""
    cone = light_cone(density=0.004)
    cone.z_phot[7], cone.z_phot[30] = 0.8, -99.0
    return cone


def deep_cone(seed=1):
    """Galaxies 1060 to 1820 Mpc/h away, 12 x 6 deg."""
    rng = np.random.default_rng(seed)
    box = truez.Box((400, 200, 760), cellsize=10)
    made = truez.lognormal_galaxies(box, COSMOLOGY, redshift=0.5, density=4e-4, bias=1.8, seed=seed)
    positions = np.array(made.positions, np.float64) + np.array([-200.0, -100.0, 1060.0])
    chi = np.linalg.norm(positions, axis=1)
    ra, dec = directions(positions[:, [2, 0, 1]])
    kept = (np.abs((ra + 180) % 360 - 180) < 6) & (np.abs(dec) < 3) & (chi < 1810)
    z = COSMOLOGY.distances.redshift(chi[kept])
    z_phot = z + SIGMA * (1 + z) * rng.standard_normal(len(z))
    spec = rng.random(len(z)) < 0.3
    return Cone(ra[kept], dec[kept], z, z_phot, np.full(len(z), SIGMA), spec)


@dataclass(frozen=True)
class SmallSky:
    """Catalogues of a cone in a folder, with galaxies beyond the footprint, and a partition."""

    folder: Path
    redshift_range: tuple = RANGE
    cone: object = near_cone
    settings: PatchSettings = NEAR

    @cached_property
    def tables(self):
        return tables(self.cone())

    @cached_property
    def whole(self):
        """The surveys in memory."""
        photo, spec = self.tables
        details = SkyDetails(redshift_space=False, redshift_range=self.redshift_range, sky=COLUMNS)
        return SkySurveys.from_catalogs(
            photo=photo, spec=spec, footprint=(354, 6, -3, 3), sigma_z=SIGMA, match_id="ID",
            details=details,
        )  # fmt: skip

    @cached_property
    def partition(self):
        for name, table in zip(("photo", "spec"), self.tables, strict=True):
            Catalog(table).write(self.folder / f"{name}.parquet")
        plan = PatchPlan(
            Rectangle(354, 6, -3, 3), self.whole.cosmology, self.redshift_range, SIGMA,
            self.whole.nz, self.settings,
        )  # fmt: skip
        given = (SkyInput(self.folder / f"{name}.parquet", COLUMNS) for name in ("photo", "spec"))
        photo, spec = given
        made = Partition.make(self.folder / "divided", plan, photo=photo, spec=spec)
        # The search for garbage after each patch leaves out libraries and other tests.
        gc.collect()
        gc.freeze()
        return made


def two_shells(folder):
    """A sky of two shells."""
    settings = PatchSettings(cellsize=20, widest=7, halo=40)
    return SmallSky(folder, (0.42, 0.7), deep_cone, settings)


def begun(partition, folder, **settings):
    """A run of a partition that has begun."""
    given = GivenSurveys(SIGMA, "ID", details=SkyDetails(redshift_space=False))
    method = settings.pop("method", "redistribution")
    overwrite = settings.pop("overwrite", False)
    prepared = prepare(getattr(partition, "folder", partition), given, method, **settings)
    return begin(folder, prepared, overwrite=overwrite)


def caller(capsys):
    """A function that runs a command, and returns its exit code and what it printed."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, " ".join(err.split())

    return call
