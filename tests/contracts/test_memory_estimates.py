"""What a method is said to take of the memory at least, it takes."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc
import numpy as np
import truez
from truez.support.memory import peak_memory, reset_peak_memory
from truez.reconstruct import METHODS
from truez.statistics.power import catalog_power

def surveys(cells):
    number = int(0.006 * (2 * cells) ** 3)  # the fewest that the network is for
    photo = np.random.default_rng(1).uniform(0, 2.0 * cells, (number, 3))
    spec = number // 10
    return truez.Surveys(
        photo=photo, spec=photo[:spec], box=truez.Box(2.0 * cells, cells), num_both=spec,
        error=truez.PhotozError(sigma=71), cosmology="wmap", redshift=0.6,
        matched=np.arange(spec),
    )

def work(given):
    if {method!r} == "catalog_power":
        return catalog_power(given.photo, given.box)
    return truez.reconstruct(given, {method!r}, **{settings})

cell = 12 if {method!r} == "catalog_power" else METHODS[{method!r}].cell
work(surveys(32))  # compiles
given = surveys({cells})
gc.collect()
reset_peak_memory()
before = peak_memory()
kept = work(given)
print((peak_memory() - before) / (cell * given.box.num_cells))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak memory of a process")
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("wiener", {}),
        ("redistribution", {}),
        ("redistribution-median", {"draws": 8}),
        ("columns", {"tile": 16}),
        ("catalog_power", {}),
    ],
)
def test_a_method_takes_at_least_its_estimate_and_not_many_times_that(method, settings):
    cells = 96 if method == "columns" else 160
    program = PROGRAM.format(method=method, settings=settings, cells=cells)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    share = float(done.stdout)
    # Of a mesh this small the tile of a network and the linear fit are a large part.
    assert 1 <= share < (15 if method == "columns" else 4)
