"""What the costs of stages have in common: sizes of their data, and times from trial runs.

The cost of a stage is a `truez.experiments.stages.Need`; the formulas are beside the stages, in
`truez.experiments.paper.costs` and `truez.experiments.benchmark.costs`.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from truez.mesh.box import Box
from truez.networks.network import Network, use_channels_last
from truez.simulate import ParticleMesh, Universe, simulate

#: Memory of the interpreter and its libraries [bytes].
LIBRARIES = 6e8
#: Disk of a galaxy in a catalogue (seven float32) and in one of text, and of a particle in a
#: checkpoint (six float32) [bytes].
ROW, TEXT_ROW, PARTICLE = 28, 90, 24
#: Particles along each side in the trial run of a simulation, and its time steps.
TRIAL_PARTICLES, TRIAL_STEPS = 96, 5
#: Work of a forward pass in the trial run of a network [flop].
TRIAL_FLOPS = 1.5e11


@dataclass(frozen=True)
class SimulationTime:
    """Times of an N-body simulation on a machine.

    Of the initial conditions and of a time step [s], divided by N ln N of N particles.
    """

    start: float
    step: float

    def of(self, universe: Universe) -> float:
        """Seconds that a universe takes."""
        particles = universe.box.num_cells
        # One force more than there are steps, and finding the galaxies takes about as long as one.
        steps = universe.num_steps + 2
        return particles * math.log(particles) * (self.start + steps * self.step)


def time_simulation(universe: Universe, device: str = "cpu") -> SimulationTime:
    """Times of a simulation on this machine, from a smaller one with fewer steps."""
    number = min(TRIAL_PARTICLES, max(universe.box.meshsize))
    # Large cells, so that the waves are linear at any start.
    box = Box(max(4.0 * TRIAL_PARTICLES, *universe.box.boxsize), number)

    def run() -> list[float]:
        """When it began, and when each step ended."""
        times: list[float] = []
        simulate(
            box,
            universe.cosmology,
            redshift=universe.redshift,
            seed=universe.seed,
            settings=ParticleMesh(
                universe.start_redshift, num_steps=TRIAL_STEPS, force_factor=universe.force_factor
            ),
            device=device,
            progress=lambda *_: times.append(time.perf_counter()),
        )
        return times

    run()  # compiles
    began, *ended = run()
    # The median, since a busy machine makes some steps slow.
    step = statistics.median(b - a for a, b in itertools.pairwise(ended))
    start = max(ended[0] - began - step, 0.0)
    scale = box.num_cells * math.log(box.num_cells)
    return SimulationTime(start / scale, step / scale)


def time_network(network: Network, cells: int) -> float:
    """Seconds of a floating point operation of training, from steps on a part of a sub-box.

    A sub-box has ``cells`` along each side.
    """
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
