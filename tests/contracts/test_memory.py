"""Universe after universe takes no more memory than one."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import gc
from pathlib import Path
from truez.simulate import Universe
from truez.surveys.spec import SurveySpec
from truez.training import BoxesConfig, Pool, UniverseSamples, mocks, universes
from truez.training.universes import maker

# Nothing may wait for Python's collector, which comes by rarely where there are few objects.
gc.disable()

def resident():  # [MB]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6

universe = Universe(boxsize={boxsize}, num_particles={boxsize} // 3, density=5e-3, num_steps=2)
surveys = SurveySpec(sigma_z=0.005, spec_density=5e-4)
hoard = []

def look(count, keep):
    # Two views of each box, as training sees them.
    boxes = universes(universe, count=count)
    for number, mock in enumerate(mocks(boxes, surveys, cellsize={boxsize} / 96, per_box=2)):
        fields = mock.fields()
        if keep:
            hoard.append(fields[0])
        if number % 2:
            yield resident()

def draw():
    config = BoxesConfig(cellsize={boxsize} / 96, steps_per_view=1, views_per_box=2)
    pool = Pool(maker(universe), range(2000, 3000))
    samples = UniverseSamples(pool, surveys, (16, 16, 0), config)
    for step in range(20):
        samples.draw(step)
        if step % 2:
            yield resident()

for name, readings in (("look", look(10, False)), ("draw", draw()), ("hoard", look(6, True))):
    print(name, *readings)
"""


def readings(boxsize):
    """Resident memory after each universe [MB]: looked at, trained on, and hoarded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(boxsize=boxsize)],
        check=True,
        capture_output=True,
        text=True,
        # Arrays go back to the system when they are freed, so that what stays is what is held: by
        # default glibc keeps some tens of MB, more or less of it from one moment to the next.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"},
    )
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: [float(value) for value in values] for name, *values in lines}


@pytest.mark.medium
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("boxsize", [96, pytest.param(288, marks=pytest.mark.slow)])
def test_ten_universes_take_the_memory_of_one(boxsize):
    found = readings(boxsize)
    # One field, of 96^3 cells: a leak of one per view would add fourteen.
    field = 96**3 * 4 / 1e6
    # The first three universes still load libraries and fill caches.
    growth = {name: values[-1] - values[2] for name, values in found.items()}
    assert growth["look"] < field, found["look"]
    assert growth["draw"] < field, found["draw"]
    # The measurement sees what is not given back: of six fields at least five.
    assert growth["hoard"] > 5 * field, found["hoard"]
