"""A small partition of six patches in one shell, for tests of runs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.sky.light_cone import SIGMA, light_cone, tables

from truez.catalogs.catalog import Catalog
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
#: Options of ``truez run`` for it.
OPTIONS = ["--sigma-z", str(SIGMA), "--match-id", "ID", "--real-space", "--method",
           "redistribution"]  # fmt: skip


@dataclass(frozen=True)
class SmallSky:
    """Catalogues of a cone in a folder, with galaxies beyond the footprint, and a partition."""

    folder: Path

    @cached_property
    def tables(self):
        photo, spec = tables(light_cone(density=0.004))
        photo["Z"][7], photo["Z"][30] = 0.8, -99.0
        return photo, spec

    @cached_property
    def whole(self):
        """The surveys in memory."""
        photo, spec = self.tables
        details = SkyDetails(redshift_space=False, redshift_range=RANGE, sky=COLUMNS)
        return SkySurveys.from_catalogs(
            photo=photo, spec=spec, footprint=(354, 6, -3, 3), sigma_z=SIGMA, match_id="ID",
            details=details,
        )  # fmt: skip

    @cached_property
    def partition(self):
        for name, table in zip(("photo", "spec"), self.tables, strict=True):
            Catalog(table).write(self.folder / f"{name}.parquet")
        plan = PatchPlan(
            Rectangle(354, 6, -3, 3), self.whole.cosmology, RANGE, SIGMA, self.whole.nz,
            PatchSettings(cellsize=10, widest=5, halo=20),
        )  # fmt: skip
        given = (SkyInput(self.folder / f"{name}.parquet", COLUMNS) for name in ("photo", "spec"))
        photo, spec = given
        return Partition.make(self.folder / "divided", plan, photo=photo, spec=spec)


def begun(partition, folder, **settings):
    """A run of a partition that has begun."""
    given = GivenSurveys(SIGMA, "ID", details=SkyDetails(redshift_space=False))
    method = settings.pop("method", "redistribution")
    return begin(folder, prepare(partition, given, method, **settings))
