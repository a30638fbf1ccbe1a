"""Time, memory and disk of the stages of ``truez benchmark``.

Times are in proportion to the cells of a box and to the work of a network, with `SECONDS` as
measured on one core.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

from truez.experiments.benchmark.methods import weights_of
from truez.experiments.benchmark.settings import DENSITY, Job, Setting
from truez.experiments.benchmark.universes import box_of
from truez.experiments.costs import LIBRARIES
from truez.experiments.stages import Need
from truez.mesh.box import Box
from truez.networks.network import build_network
from truez.networks.tile_sizes import tile_memory
from truez.networks.weights import read_header
from truez.reconstruct import column_tile
from truez.surveys.spec import limits

#: Memory of a linear fit and of the slab of a median, for a box of any size [bytes].
FIXED = 8e8
#: Memory at the peak of a box without a network for each cell, of one with a network besides its
#: tile, and for each place that is drawn [bytes]: 2.8 GB were measured with 256^3 cells and 64
#: draws.
CELL, INPUTS, PLACE = 60, 40, 5
#: Memory of the sums over samples and of the truth, estimate and samples, smoothed, for each cell
#: [bytes].
HALVES = 100
#: Disk of a galaxy in an HDF5 catalogue, and of the results of a box [bytes].
ROW, RESULTS = 32, 3e6
#: Seconds on one core for 1e6 cells (particles): of a simulation, of all methods without a network,
#: of a method with one besides the network itself, of each draw and each sample, of the controls
#: and the optimum.
SECONDS = {
    "universe": 7.0, "measure": 3.0, "network": 3.5, "draw": 0.05, "sample": 0.6,
    "controls": 16.0, "optimum": 0.3,
}  # fmt: skip
#: Seconds of a linear fit, and of the page.
FIT, PAGE = 3.0, 10.0
#: Seconds of a trajectory of the exact posterior for 1e6 cells; its memory, and the disk of the
#: state that an interrupted run continues from, for each cell [bytes].
TRAJECTORY, EXACT, STATE = 0.8, 500, 200
#: Work of a network in a second on one core [flop].
FLOPS = 3e10
#: Cells along a side of the core of a tile of the paper's network.
_TILE = 64
_REMEDY = "take smaller boxes, or a larger --cellsize"


class BenchmarkCosts:
    """The cost of each stage of a benchmark, or of one of its settings, a method for each kind."""

    def __init__(self, job: Job, setting: Setting | None = None) -> None:
        self.job, self._mesh = job, box_of(job, setting)
        #: Cells of a box [1e6].
        self._millions = self._mesh.num_cells / 1e6
        given = [setting.surveys.photo_density for setting in job.settings]
        densities = [limits(density)[1] for density in given if density is not None]
        places = job.draws * max(densities, default=DENSITY) * self._mesh.volume
        #: Memory of a box without a network, and of the inputs of one [bytes].
        self._memory = LIBRARIES + FIXED + CELL * self._mesh.num_cells + PLACE * places
        self._inputs = INPUTS * self._mesh.num_cells

    def universe(self) -> Need:
        """A simulation."""
        universe = self.job.universe
        seconds = SECONDS["universe"] * universe.box.num_cells / 1e6
        memory = LIBRARIES + FIXED + universe.memory_needed
        return Need(seconds, memory, ROW * universe.num_galaxies, _REMEDY)

    def measure(self) -> Need:
        """All methods without a network, in one box."""
        seconds = SECONDS["measure"] * self._millions
        seconds += 2 * FIT + SECONDS["draw"] * self.job.draws * self._millions
        return Need(seconds, self._memory, RESULTS, _REMEDY)

    def network(self, name: str) -> Need:
        """The methods of one network, in one box."""
        flops, tile = self._network(name)
        seconds = FIT + (SECONDS["network"] + SECONDS["draw"] * self.job.draws) * self._millions
        seconds += flops / FLOPS
        return Need(seconds, self._memory + tile + self._inputs, RESULTS, _REMEDY)

    def samples(self, method: str) -> Need:
        """The samples of a method, in one box."""
        flops, tile = self._network(method)
        seconds = FIT + (SECONDS["network"] + SECONDS["sample"] * self.job.samples) * self._millions
        memory = self._memory + tile + self._inputs + HALVES * self._mesh.num_cells
        return Need(seconds + flops / FLOPS, memory, RESULTS, _REMEDY)

    def exact(self) -> Need:
        """The exact posterior of a box."""
        how, millions = self.job.sampling, self._millions
        trajectories = how.chains * (how.warm_up + how.draws)
        memory = self._memory + EXACT * self._mesh.num_cells
        return Need(
            TRAJECTORY * trajectories * millions, memory, RESULTS, _REMEDY,
            STATE * self._mesh.num_cells,
        )  # fmt: skip

    def controls(self) -> Need:
        """The surveys without information."""
        flops, tile = self._network("columns")
        seconds = SECONDS["controls"] * self._millions
        seconds += 5 * FIT + 5 * flops / FLOPS
        return Need(seconds, self._memory + tile + self._inputs, RESULTS, _REMEDY)

    def optimum(self) -> Need:
        """The linear optimum of a setting."""
        return Need(SECONDS["optimum"] * self._millions, self._memory, RESULTS, _REMEDY)

    def page(self) -> Need:
        """The summary, tables, figures and page."""
        return Need(PAGE, LIBRARIES + FIXED, RESULTS, _REMEDY)

    def _network(self, name: str) -> tuple[float, float]:
        """Work of a network on a box [flop], and memory of a tile [bytes]; none without weights."""
        path = weights_of(name, self.job)
        return (0.0, 0.0) if path is None else _work(name, path, self._mesh)


@cache
def _work(name: str, path: Path, mesh: Box) -> tuple[float, float]:
    header = read_header(path)
    network = build_network(header.architecture, header.config)
    sides = (_TILE, _TILE, mesh.meshsize[2] if name == "columns" else _TILE)
    tile = column_tile(network, mesh) if name == "columns" else _TILE
    # Work grows with the cells; a whole box would take as long to count as a tile.
    work = network.flops(sides) * mesh.num_cells / math.prod(sides)
    return work, float(tile_memory(network, mesh.meshsize, tile=tile, periodic=mesh.periodic))
