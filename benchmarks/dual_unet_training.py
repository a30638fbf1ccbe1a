"""A training step of the dual UNet on a CPU, with and without recomputation: time and memory.

    OMP_NUM_THREADS=2 python benchmarks/dual_unet_training.py --cells 48
    OMP_NUM_THREADS=2 python benchmarks/dual_unet_training.py --cells 100 --ways recomputed

Prints a Markdown table. A step is one pass forward and one back on a batch, with dropout, in a
process of its own, whose largest resident memory is in the table. Further columns: the tensors
that are alive at the peak, counted without running anything, and the rate over that of the fastest
large float32 kernel on the same threads, measured before and after in the same run. That rate is of
the operations done, those of recomputation among them.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time

import torch
from dual_unet_forward import peak_rate

from truez.experiments.recipes import read_recipe
from truez.networks import Network, build_network
from truez.networks.network import use_channels_last

WAYS = {"kept": False, "recomputed": True}


def build(recipe: str, way: str) -> Network:
    settings = read_recipe(recipe)["network"]
    network = build_network(settings.pop("architecture"), settings)
    torch.nn.init.constant_(network.last.weight, 0.1)
    network.recompute = WAYS[way]
    return network


def step(network: Network, cells: int, batch: int) -> float:
    """Loss of a step that leaves its gradients."""
    torch.manual_seed(1)
    inputs = torch.randn(batch, network.in_channels, cells, cells, cells)
    inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
    loss = torch.nn.functional.mse_loss(network(inputs), inputs[:, :1])
    torch.autograd.backward(loss)
    return float(loss.detach())


def child(recipe: str, way: str, cells: int, batch: int) -> None:
    network = build(recipe, way).train()
    use_channels_last(network)
    step(network, 8, batch)  # The first convolutions of a process choose and build their kernels.
    network.zero_grad(set_to_none=True)
    start = time.perf_counter()
    loss = step(network, cells, batch)
    seconds = time.perf_counter() - start
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "loss": loss, "norm": float(norm)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--cells", type=int, default=48, help="cells per side")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.recipe, options.child, options.cells, options.batch)
        return

    mesh, batch = (options.cells,) * 3, options.batch
    rates, found = [peak_rate()], {}
    for way in options.ways:
        command = [sys.executable, __file__, "--recipe", options.recipe, "--child", way]
        command += ["--cells", str(options.cells), "--batch", str(batch)]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[way] = json.loads(run.stdout)
        rates.append(peak_rate())

    network = build(options.recipe, "kept")
    print(
        f"{options.recipe}: {network.num_parameters / 1e6:.2f} M parameters, {batch} x "
        f"{options.cells}^3 cells, {torch.get_num_threads()} threads of "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}; fastest large "
        f"kernel {min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f} Gflop/s\n"
    )
    print(
        "| activations | seconds | Tflop | tensors at the peak [GB] | process [GB] | fraction of "
        "the kernel's rate | loss | norm of the gradient |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for way, got in found.items():
        network = build(options.recipe, way)
        flops = network.flops(mesh, batch, gradients=True)
        print(
            f"| {way} | {got['seconds']:.1f} | {flops / 1e12:.2f} | "
            f"{network.memory(mesh, batch, gradients=True) / 1e9:.2f} | {got['peak'] / 1e9:.2f} | "
            f"{flops / got['seconds'] / max(rates):.2f} | {got['loss']:.9g} | {got['norm']:.9g} |"
        )


if __name__ == "__main__":
    main()
