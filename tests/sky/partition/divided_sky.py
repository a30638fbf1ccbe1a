"""A footprint of several patches and shells, and galaxies on it, for tests of partitions."""

from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.sky_input import SkyInput
from truez.sky.patches import PatchSettings
from truez.surveys.footprint import Rectangle

SETTINGS = PatchSettings(cellsize=15.0, halo=30.0, edge=15.0, max_cells=30_000)


@cache
def plan_of(footprint=None, **changes):
    given = {"redshift_range": (0.2, 0.9), "sigma_z": 0.01, "settings": SETTINGS} | changes
    return PatchPlan(footprint or Rectangle(350, 20, -10, 15), cosmology="planck18", **given)


def galaxies(num, seed=1):
    """Columns of galaxies on and around the footprint, some without a redshift."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 1.0, num)
    z[rng.random(num) < 0.02] = -99.0
    return {
        "id": rng.permutation(num).astype(np.int64) * 7,
        "ra": rng.uniform(345, 385, num) % 360,
        "dec": rng.uniform(-14, 19, num),
        "z": z,
        "mag": rng.normal(22, 1, num).astype(np.float32),
    }


def write_folder(folder, columns, parts=4, group=700):
    """A folder of Parquet files of unequal lengths with small groups of rows."""
    folder.mkdir()
    table = pa.table(columns)
    edges = np.linspace(0, table.num_rows, parts + 1).astype(int) // 3 * 3
    edges[-1] = table.num_rows
    for number, (first, stop) in enumerate(pairwise(edges)):
        path = folder / f"part-{number}.parquet"
        pq.write_table(table.slice(first, stop - first), path, row_group_size=group)
    return folder


def input_of(path, **changes):
    return SkyInput(str(path), ("ra", "dec", "z"), **changes)
