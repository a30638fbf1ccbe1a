"""Time, memory and disk of the stages of ``truez paper``.

Memory and disk follow from what is held and written; what is not our own is `LIBRARIES`. Times
scale from two trial runs on this machine, of a simulation and of the network, and for all else from
`SECONDS`, which the recipe ``paper-small`` took on two cores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from truez.evaluate.labels import WIENER
from truez.experiments.costs import (
    LIBRARIES,
    PARTICLE,
    ROW,
    SimulationTime,
    time_network,
    time_simulation,
)
from truez.experiments.paper.job import Job
from truez.experiments.paper.recipe import PaperRecipe
from truez.experiments.stages import Need
from truez.networks.network import Network, network_class
from truez.networks.tile_sizes import tile_memory
from truez.support.progress import Progress, silent
from truez.training.room import training_memory

#: Disk of a galaxy in a mock (three float64 and a number) [bytes].
MOCK_ROW = 32
#: Memory at the peak of observing a galaxy, of painting one, of filtering a cell, and of the fit
#: of a linear model [bytes], measured with 8e6 galaxies and 1.6e7 cells.
OBSERVED, PAINTED, FILTERED, FITTED = 170, 220, 48, 6e8
#: Times of ``paper-small`` on two cores: seconds for 1e6 galaxies or cells.
SECONDS = {
    "mock": 1.0, "read": 0.6, "paint": 0.05, "wiener": 1.0, "measure": 0.5, "correct": 0.1,
    "figures": 0.3,
}  # fmt: skip
_SMALLER = "take a smaller box"


@dataclass(frozen=True)
class Speed:
    """How fast this machine is: times of a simulation, and seconds of a flop of the network."""

    simulation: SimulationTime
    flop: float = 0.0


def measure_speed(job: Job, *, progress: Progress = silent) -> Speed:
    """The speed of this machine, from two trial runs that take some seconds."""
    progress("trial runs", 0, 2, "N-body")
    simulation = time_simulation(job.recipe.universe)
    progress("trial runs", 1, 2, "network")
    flop = time_network(network_of(job.recipe), job.recipe.boxes.cells) if job.network else 0.0
    progress("trial runs", 2, 2)
    return Speed(simulation, flop)


def network_of(recipe: PaperRecipe) -> Network:
    """The network of a recipe, not trained."""
    return network_class(recipe.architecture)(recipe.network_config)


def network_words(recipe: PaperRecipe) -> str:
    """A sentence on the size of the network, its receptive radius and its tiles."""
    network = network_of(recipe)
    cell, radius = recipe.box.cellsize[0], network.receptive_radius
    halo = math.ceil(radius / network.stride) * network.stride
    tile = recipe.boxes.tile
    memory = tile_memory(network, recipe.box.meshsize, tile=tile) / 1e9
    return (
        f"{recipe.architecture}: {network.num_parameters} parameters, receptive radius {radius} "
        f"cells ({radius * cell:g} Mpc/h); a tile of {tile}^3 cells is read with "
        f"a halo of {halo} and takes {memory:.3g} GB; "
        f"{network.flops([recipe.boxes.cells] * 3) / 1e12:.3g} Tflop for a sub-box of "
        f"{recipe.boxes.cells}^3 cells"
    )


class PaperCosts:
    """The cost of each stage of a run, a method for each kind; without a speed all times are 0."""

    def __init__(self, job: Job, speed: Speed | None = None) -> None:
        self.recipe, self.speed = job.recipe, speed
        self.box = job.recipe.box
        self.cells = self.box.num_cells
        self.galaxies = job.recipe.universe.num_galaxies
        start, stop = job.recipe.regions["test"]
        self.part = math.prod(b - a for a, b in zip(start, stop, strict=True))

    @cached_property
    def network(self) -> Network:
        """The network of the recipe."""
        return network_of(self.recipe)

    def universe(self) -> Need:
        """A simulation."""
        universe = self.recipe.universe
        seconds = self.speed.simulation.of(universe) if self.speed else 0.0
        # A time step is written beside the one before.
        temporary = 2.0 * PARTICLE * universe.box.num_cells
        remedy = "set universe.num_particles to fewer"
        return Need(
            seconds, universe.memory_needed + LIBRARIES, ROW * self.galaxies, remedy, temporary
        )

    def mock(self) -> Need:
        """The two surveys of a universe or of a catalogue."""
        seconds = self._seconds("mock", self.galaxies)
        return self._need(seconds, OBSERVED * self.galaxies, 2 * MOCK_ROW * self.galaxies)

    def paint(self) -> Need:
        """Painting the two surveys and the truth."""
        memory = PAINTED * self.galaxies + 16 * self.cells
        return self._need(self._fields_seconds(), memory, 12 * self.part)

    def wiener(self) -> Need:
        """The Wiener filters."""
        seconds = self._fields_seconds() + self._seconds("wiener", self.cells)
        return self._need(seconds, self._wiener_memory(), 4 * len(WIENER) * self.part)

    def levels(self) -> Need:
        """The losses of fields without a network."""
        if self.recipe.boxes.split == "paper":
            return self._need(self._seconds("paint", self.part), 12 * self.part, 0)
        seconds = self._fields_seconds() + self._seconds("wiener", self.cells)
        return self._need(seconds / 2, self._wiener_memory(), 0)

    def training(self) -> Need:
        """Training the network."""
        recipe, config, network = self.recipe, self.recipe.training, self.network
        crop = [c or n for c, n in zip(config.crop, self.box.meshsize, strict=True)]
        steps = config.steps or config.epochs * recipe.steps_per_epoch
        # A step is a forward pass, perhaps again, and twice as much backward.
        passes = 4 if config.recompute else 3
        work: float = passes * steps * network.flops(crop, config.batch)
        judged = steps / config.validate_every * recipe.num_sub_boxes("validation")
        work += judged * network.flops([recipe.boxes.cells] * 3)
        fields = 12 * self.cells * (1 if recipe.boxes.split == "paper" else 2) + 12 * self.cells
        memory = fields + training_memory(network, crop, config.batch, recompute=config.recompute)
        disk = 5.0 * sum(int(t.nbytes) for t in network.state_dict().values())
        remedy = "take a GPU, set training.batch or training.crop to less, or add --without-network"
        if network.can_recompute and not config.recompute:
            remedy = f"set training.recompute to true, {remedy}"
        return self._need(self._network_seconds(work), memory, disk, remedy)

    def unet(self) -> Need:
        """The estimate of the network in tiles."""
        cells = self.recipe.boxes.tile
        start, stop = self.recipe.regions["test"]
        tiles = math.prod(math.ceil((b - a) / cells) for a, b in zip(start, stop, strict=True))
        work = tiles * self.network.flops([cells + 2 * self.network.receptive_radius] * 3)
        memory = tile_memory(self.network, self.box.meshsize, tile=cells) + 24 * self.cells
        seconds = self._network_seconds(work)
        return self._need(seconds, memory, 4 * self.part, "set boxes.tile to less")

    def unet_per_box(self) -> Need:
        """The estimate of the network in each sub-box alone."""
        cells = [self.recipe.boxes.cells] * 3
        work = self.recipe.num_sub_boxes("test") * self.network.flops(cells)
        memory = self.network.memory(cells) + 16 * self.part
        seconds = self._network_seconds(work)
        return self._need(seconds, memory, 4 * self.part, "set boxes.cells to less")

    def correction(self) -> Need:
        """One correction of the network's estimate."""
        return self._need(self._seconds("correct", self.part), 28 * self.part, 4 * self.part)

    def measure(self) -> Need:
        """The statistics of one field."""
        return self._need(self._seconds("measure", self.part), 28 * self.part, 1e5)

    def table(self) -> Need:
        """Table I."""
        return self._need(0.1, 4 * self.part, 1e4)

    def figures(self) -> Need:
        """All figures."""
        return self._need(20 + self._seconds("figures", self.part), 24 * self.part, 2e7)

    def report(self) -> Need:
        """The page."""
        return self._need(10 + self._seconds("figures", self.part), 24 * self.part, 3e7)

    def _need(self, seconds: float, memory: float, disk: float, remedy: str = _SMALLER) -> Need:
        return Need(seconds if self.speed else 0.0, memory + LIBRARIES, disk, remedy)

    def _seconds(self, kind: str, amount: float) -> float:
        return SECONDS[kind] * amount / 1e6

    def _network_seconds(self, work: float) -> float:
        """Seconds of the network's work [flop]."""
        return work * self.speed.flop if self.speed else 0.0

    def _fields_seconds(self) -> float:
        """Seconds of reading a mock and painting it."""
        return self._seconds("read", self.galaxies) + self._seconds(
            "paint", self.galaxies + self.cells
        )

    def _wiener_memory(self) -> float:
        # The galaxies are released before the filter.
        return max(PAINTED * self.galaxies + 16 * self.cells, FILTERED * self.cells + FITTED)
