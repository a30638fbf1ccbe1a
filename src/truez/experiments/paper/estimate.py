"""What a run would take: time, memory and disk of its stages, without doing them.

Memory and disk follow from what is held and written; what is not our own, the interpreter and its
libraries, is `LIBRARIES`. Times scale from two small runs on this machine, of a simulation and of
the network, and for all else from `SECONDS`, which the recipe ``paper-small`` took on two cores.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from truez.experiments.paper.data import WIENER
from truez.experiments.paper.job import Job
from truez.experiments.paper.recipe import PaperRecipe
from truez.experiments.stages import Stage
from truez.mesh.box import Box
from truez.networks.network import Network, network_class, use_channels_last
from truez.networks.tiles import tile_memory
from truez.simulate import ParticleMesh, simulate
from truez.support.progress import Progress, silent

#: Memory of the interpreter and its libraries [bytes].
LIBRARIES = 6e8
#: Bytes of a galaxy in a catalogue (seven float32) and in a mock (three float64 and a number), and
#: of a particle in a checkpoint.
ROW, MOCK_ROW, PARTICLE = 28, 32, 24
#: Memory at the peak of observing a galaxy, of painting one, of filtering a cell, and of the fit
#: of a linear model [bytes], measured with 8e6 galaxies and 1.6e7 cells.
OBSERVED, PAINTED, FILTERED, FITTED = 170, 220, 48, 6e8
#: Times on two cores, of ``paper-small``: seconds for 1e6 galaxies or cells.
SECONDS = {
    "mock": 1.0,
    "read": 0.6,
    "paint": 0.05,
    "wiener": 1.0,
    "measure": 0.5,
    "correct": 0.1,
    "figures": 0.3,
}
#: Particles along each side, and work of a forward pass, of the runs that times are foretold from.
TRIAL_PARTICLES, TRIAL_FLOPS = 96, 1.5e11


@dataclass(frozen=True)
class Need:
    """What a stage takes: time [s], memory at its peak, disk for good and on the way [bytes]."""

    name: str
    seconds: float
    memory: float
    disk: float
    mend: str
    on_the_way: float = 0.0


def estimates(
    job: Job, stages: Sequence[Stage], *, measured: bool = False, progress: Progress = silent
) -> list[Need]:
    """What each stage takes.

    Parameters
    ----------
    job : Job
    stages : sequence of Stage
    measured : bool
        Foretell times, too, from small runs that take some seconds; otherwise they are 0.
    progress : Progress
    """
    costs = _Costs(job.recipe, measured=measured, network=job.network, progress=progress)
    return [costs.of(stage.name) for stage in stages]


def network_words(recipe: PaperRecipe) -> str:
    """How far the network sees, and what its tiles take."""
    network = _network(recipe)
    cell, radius = recipe.box.cellsize[0], network.receptive_radius
    halo = math.ceil(radius / network.stride) * network.stride
    tile = recipe.boxes.tile
    memory = tile_memory(network, recipe.box.meshsize, tile=tile) / 1e9
    return (
        f"{recipe.architecture}: {network.num_parameters} parameters, each cell of its estimate "
        f"sees {radius} cells ({radius * cell:g} Mpc/h) far; a tile of {tile}^3 cells is read with "
        f"a halo of {halo} and takes {memory:.3g} GB; "
        f"{network.flops([recipe.boxes.cells] * 3) / 1e12:.3g} Tflop for a sub-box of "
        f"{recipe.boxes.cells}^3 cells"
    )


def training_memory(
    network: Network, crop: Sequence[int], batch: int, *, recompute: bool = False
) -> int:
    """Memory of a training step [bytes]: the tensors of a pass forward and back, and the moments.

    Scratch space of the convolution library comes on top.
    """
    weights = sum(int(p.nbytes) for p in network.parameters())
    kept, network.recompute = network.recompute, recompute
    try:
        return network.memory(crop, batch, gradients=True) + 2 * weights
    finally:
        network.recompute = kept


class _Costs:
    def __init__(
        self, recipe: PaperRecipe, *, measured: bool, network: bool, progress: Progress
    ) -> None:
        self.recipe = recipe
        self.box = recipe.box
        self.cells = self.box.num_cells
        self.galaxies = recipe.universe.num_galaxies
        start, stop = recipe.regions["test"]
        self.part = math.prod(b - a for a, b in zip(start, stop, strict=True))
        self.step = self.flop = 0.0
        self.network = _network(recipe) if network else None
        if measured:
            progress("trial runs", 0, 2, "N-body")
            self.step = _step_seconds(recipe)
            progress("trial runs", 1, 2, "network")
            if self.network is not None:
                self.flop = _flop_seconds(self.network, recipe.boxes.cells)
            progress("trial runs", 2, 2)
        self.timed = measured

    def of(self, stage: str) -> Need:
        kind = stage.partition("-")[0]
        if stage.startswith("unet"):
            kind = "unet"
        seconds, memory, disk, mend = getattr(self, f"_{kind}")(stage)
        # A time step is written beside the one before.
        steps = 2.0 * PARTICLE * self.recipe.universe.box.num_cells if kind == "universe" else 0.0
        seconds = seconds if self.timed else 0.0
        return Need(stage, seconds, memory + LIBRARIES, disk, mend, steps)

    def _all(self, name: str, amount: float) -> float:
        return SECONDS[name] * amount / 1e6

    def _fields(self) -> float:
        """Reading a mock and painting it."""
        return self._all("read", self.galaxies) + self._all("paint", self.galaxies + self.cells)

    def _universe(self, stage: str) -> tuple[float, float, float, str]:
        universe = self.recipe.universe
        particles = universe.box.num_cells
        scale = particles * math.log(particles)
        # A force more than there are steps, the start, and finding the galaxies.
        seconds = scale * (universe.num_steps + 4) * self.step
        mend = "set universe.num_particles to fewer"
        return seconds, universe.memory_needed, ROW * self.galaxies, mend

    def _mock(self, stage: str) -> tuple[float, float, float, str]:
        memory = OBSERVED * self.galaxies
        return self._all("mock", self.galaxies), memory, 2 * MOCK_ROW * self.galaxies, _SMALLER

    def _paint(self, stage: str) -> tuple[float, float, float, str]:
        memory = PAINTED * self.galaxies + 16 * self.cells
        return self._fields(), memory, 12 * self.part, _SMALLER

    def _wiener(self, stage: str) -> tuple[float, float, float, str]:
        # The galaxies are gone by the time of the filter.
        memory = max(PAINTED * self.galaxies + 16 * self.cells, FILTERED * self.cells + FITTED)
        disk = 4 * len(WIENER) * self.part
        return self._fields() + self._all("wiener", self.cells), memory, disk, _SMALLER

    def _levels(self, stage: str) -> tuple[float, float, float, str]:
        seconds, memory, _, mend = self._wiener(stage)
        if self.recipe.boxes.split == "paper":
            return self._all("paint", self.part), 12 * self.part, 0, mend
        return seconds / 2, memory, 0, mend

    def _training(self, stage: str) -> tuple[float, float, float, str]:
        assert self.network is not None
        recipe, config = self.recipe, self.recipe.training
        crop = [c or n for c, n in zip(config.crop, self.box.meshsize, strict=True)]
        steps = config.steps or config.epochs * recipe.steps_per_epoch
        # A step is a forward pass, perhaps again, and twice as much backward.
        passes = 4 if config.recompute else 3
        work: float = passes * steps * self.network.flops(crop, config.batch)
        judged = steps / config.validate_every * recipe.num_sub_boxes("validation")
        work += judged * self.network.flops([recipe.boxes.cells] * 3)
        fields = 12 * self.cells * (1 if recipe.boxes.split == "paper" else 2) + 12 * self.cells
        memory = fields + training_memory(
            self.network, crop, config.batch, recompute=config.recompute
        )
        disk = 5.0 * sum(int(t.nbytes) for t in self.network.state_dict().values())
        mend = "take a GPU, set training.batch or training.crop to less, or add --without-network"
        if self.network.can_recompute and not config.recompute:
            mend = f"set training.recompute to true, {mend}"
        return work * self.flop, memory, disk, mend

    def _unet(self, stage: str) -> tuple[float, float, float, str]:
        assert self.network is not None
        cells, tile = self.recipe.boxes.cells, self.recipe.boxes.tile
        disk = 4 * self.part
        if stage == "unet-per-box":
            work = self.recipe.num_sub_boxes("test") * self.network.flops([cells] * 3)
            memory = self.network.memory([cells] * 3) + 16 * self.part
            return work * self.flop, memory, disk, "set boxes.cells to less"
        start, stop = self.recipe.regions["test"]
        tiles = math.prod(math.ceil((b - a) / tile) for a, b in zip(start, stop, strict=True))
        halo = self.network.receptive_radius
        work = tiles * self.network.flops([tile + 2 * halo] * 3)
        memory = tile_memory(self.network, self.box.meshsize, tile=tile) + 24 * self.cells
        return work * self.flop, memory, disk, "set boxes.tile to less"

    def _correction(self, stage: str) -> tuple[float, float, float, str]:
        return self._all("correct", self.part), 28 * self.part, 4 * self.part, _SMALLER

    def _measure(self, stage: str) -> tuple[float, float, float, str]:
        return self._all("measure", self.part), 28 * self.part, 1e5, _SMALLER

    def _table(self, stage: str) -> tuple[float, float, float, str]:
        return 0.1, 4 * self.part, 1e4, _SMALLER

    def _figures(self, stage: str) -> tuple[float, float, float, str]:
        return 20 + self._all("figures", self.part), 24 * self.part, 2e7, _SMALLER

    def _report(self, stage: str) -> tuple[float, float, float, str]:
        return 10 + self._all("figures", self.part), 24 * self.part, 3e7, _SMALLER


_SMALLER = "take a smaller box"


def _network(recipe: PaperRecipe) -> Network:
    return network_class(recipe.architecture)(recipe.network_config)


def _step_seconds(recipe: PaperRecipe) -> float:
    """Seconds of a time step per particle and ln(particles), from a small simulation."""
    universe = recipe.universe
    number = min(TRIAL_PARTICLES, max(universe.box.meshsize))
    # Large cells, whose waves are low at any start.
    box = Box(max(4.0 * TRIAL_PARTICLES, *universe.box.boxsize), number)
    times: list[float] = []
    for _ in range(2):  # the first compiles
        times.clear()
        simulate(
            box,
            universe.cosmology,
            redshift=universe.redshift,
            seed=0,
            settings=ParticleMesh(
                universe.start_redshift, num_steps=4, force_factor=universe.force_factor
            ),
            progress=lambda *_: times.append(time.perf_counter()),
        )
    step = statistics.median(b - a for a, b in itertools.pairwise(times[1:]))
    return step / (box.num_cells * math.log(box.num_cells))


def _flop_seconds(network: Network, cells: int) -> float:
    """Seconds of a floating point operation, from steps with gradients on a part of a sub-box."""
    stride = network.stride
    share = min(TRIAL_FLOPS / network.flops([cells] * 3), 1.0)
    mesh = [max(int(cells * share ** (1 / 3)) // stride, 1) * stride] * 3
    use_channels_last(network)
    inputs = torch.randn(1, network.in_channels, *mesh)
    times = []
    for _ in range(3):  # the first is slow
        started = time.perf_counter()
        torch.autograd.backward(nn.functional.mse_loss(network(inputs), inputs[:, :1]))
        times.append(time.perf_counter() - started)
        network.zero_grad(set_to_none=True)
    return min(times) / (3 * network.flops(mesh))
