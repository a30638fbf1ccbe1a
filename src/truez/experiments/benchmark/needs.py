"""What a benchmark would take: time, memory and disk of its stages, without doing them.

Times are in proportion to the cells of a box and to the work of a network, with `SECONDS` as
measured on one core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from truez.experiments.benchmark.methods import NETWORKS, weights_of
from truez.experiments.benchmark.settings import DENSITY, Job
from truez.experiments.benchmark.universes import box_of
from truez.experiments.paper.estimate import Need
from truez.experiments.stages import Stage
from truez.mesh.box import Box
from truez.networks.network import build_network
from truez.networks.tiles import tile_memory
from truez.networks.weights import read_header
from truez.reconstruct import column_tile
from truez.surveys.spec import limits

#: Memory of the interpreter, its libraries, a linear fit and the slab of a median [bytes].
LIBRARIES = 1.4e9
#: Memory at the peak of a box without a network for each cell, of one with a network besides its
#: tile, and for each place that is drawn [bytes]: 2.8 GB were measured with 256^3 cells and 64
#: draws.
CELL, INPUTS, PLACE = 60, 40, 5
#: Disk of a galaxy in a catalogue, and of the results of a box [bytes].
ROW, RESULTS = 32, 3e6
#: Seconds on one core for 1e6 cells (particles): of a simulation, of all methods without a network,
#: of a method with one besides the network itself, of each draw, of the controls and the optimum.
SECONDS = {
    "universe": 7.0,
    "measure": 3.0,
    "network": 3.5,
    "draw": 0.05,
    "controls": 16.0,
    "optimum": 0.3,
}
#: Seconds of a linear fit, and of the page.
FIT, PAGE = 3.0, 10.0
#: Cores of the paper's network's tiles [cells].
_TILE = 64
#: Work of a network in a second on one core [flop].
FLOPS = 3e10
_MEND = "take smaller boxes, or a larger --cellsize"


def needs(job: Job, stages: Sequence[Stage]) -> list[Need]:
    """What each stage takes."""
    mesh = box_of(job)
    cells = mesh.num_cells / 1e6
    densities = [
        limits(s.surveys.photo_density)[1] for s in job.settings if s.surveys.photo_density
    ]
    places = job.draws * max(densities, default=DENSITY) * mesh.volume
    base = LIBRARIES + CELL * mesh.num_cells + PLACE * places
    work = {name: _network(name, job, mesh) for name in NETWORKS}
    found = []
    for stage in stages:
        kind = stage.name.partition("-")[0]
        part = next((name for name in NETWORKS if stage.name.endswith(name)), None)
        seconds, memory, disk = SECONDS.get(kind, 0.0) * cells, base, RESULTS
        if kind == "universe":
            seconds = SECONDS[kind] * job.universe.box.num_cells / 1e6
            memory = LIBRARIES + job.universe.memory_needed
            disk = ROW * job.universe.num_galaxies
        elif kind == "measure" and part is not None:
            flops, tile = work[part]
            seconds = FIT + (SECONDS["network"] + SECONDS["draw"] * job.draws) * cells
            seconds += flops / FLOPS
            memory = base + tile + INPUTS * mesh.num_cells
        elif kind == "measure":
            seconds += 2 * FIT + SECONDS["draw"] * job.draws * cells
        elif kind == "controls":
            flops, tile = work["columns"]
            seconds += 5 * FIT + 5 * flops / FLOPS
            memory = base + tile + INPUTS * mesh.num_cells
        elif kind == "page":
            seconds, memory = PAGE, LIBRARIES
        found.append(Need(stage.name, seconds, memory, disk, _MEND))
    return found


def _network(name: str, job: Job, mesh: Box) -> tuple[float, float]:
    """Work of a network on the whole box [flop], and memory of a tile [bytes]; none without it."""
    path = weights_of(name, job)
    if path is None:
        return 0.0, 0.0
    header = read_header(path)
    network = build_network(header.architecture, header.config)
    sides = (_TILE, _TILE, mesh.meshsize[2] if name == "columns" else _TILE)
    tile = column_tile(network, mesh) if name == "columns" else _TILE
    # Work grows with the cells; a whole box would take as long to count as a tile.
    work = network.flops(sides) * mesh.num_cells / math.prod(sides)
    return work, float(tile_memory(network, mesh.meshsize, tile=tile, periodic=mesh.periodic))
