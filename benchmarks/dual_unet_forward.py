"""Forward pass of the paper-size dual UNet on 100^3 cells: channels_last_3d against plain layout.

    OMP_NUM_THREADS=2 python benchmarks/dual_unet_forward.py
    OMP_NUM_THREADS=2 python benchmarks/dual_unet_forward.py --recipe small --cells 48 --repeats 5

Prints a Markdown table. The floor is the time that the same number of floating point operations
takes at the speed of the fastest large float32 kernel on the same threads (a matrix product or a
convolution), measured between the passes of the same run.
"""

from __future__ import annotations

import argparse
import platform
import time

import torch

from truez.experiments.recipes import read_recipe
from truez.networks import build_network
from truez.networks.network import use_channels_last


def seconds(work, *arguments, repeats: int) -> float:
    """Fastest of ``repeats`` calls [s]."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def peak_rate() -> float:
    """Floating point operations per second of the fastest large kernel on this machine, float32.

    A matrix product, or a convolution of 128 channels, whichever this machine does faster: the
    libraries of the two are not equally well optimised for every processor.
    """
    side, cells, width = 4096, 48, 128
    a, b = torch.randn(2, side, side).unbind()
    rates = [2 * side**3 / seconds(torch.matmul, a, b, repeats=3)]
    convolution = torch.nn.Conv3d(width, width, 3, padding=1)
    inputs = torch.randn(1, width, cells, cells, cells)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        x, kernel = inputs.to(memory_format=layout), convolution.to(memory_format=layout)
        kernel(x)
        rates.append(2 * 27 * width**2 * cells**3 / seconds(kernel, x, repeats=3))
    return max(rates)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--cells", type=int, default=100, help="cells per side")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()

    settings = read_recipe(options.recipe)["network"]
    architecture = settings.pop("architecture")
    network = build_network(architecture, settings)
    mesh = (options.cells,) * 3
    inputs = torch.randn(1, network.in_channels, *mesh)
    flops = network.flops(mesh)
    plain = build_network(architecture, settings).eval()
    reordered = build_network(architecture, settings).eval()
    use_channels_last(reordered)
    layouts = {
        "plain": (plain, inputs),
        "channels_last_3d": (reordered, inputs.contiguous(memory_format=torch.channels_last_3d)),
    }
    rates, found = [peak_rate()], dict.fromkeys(layouts, float("inf"))
    for network, x in layouts.values():
        # The first convolutions of a process choose and build their kernels.
        network(x[..., :8, :8, :8])
    # In turns, so that other load on the machine affects both.
    for _ in range(options.repeats):
        for layout, (network, x) in layouts.items():
            found[layout] = min(found[layout], seconds(network, x, repeats=1))
        rates.append(peak_rate())
    floor = flops / max(rates)

    print(
        f"{options.recipe}: {network.num_parameters / 1e6:.2f} M parameters, {options.cells}^3 "
        f"cells, {flops / 1e12:.3f} Tflop, tensors at the peak {network.memory(mesh) / 2**30:.2f} "
        f"GiB; {torch.get_num_threads()} threads of {platform.processor() or platform.machine()}, "
        f"torch {torch.__version__}; fastest large kernel {max(rates) / 1e9:.0f} Gflop/s, floor "
        f"{floor:.2f} s; fastest of {options.repeats}\n"
    )
    print("| layout | seconds | plain / this | fraction of the floor's rate |")
    print("|---|---|---|---|")
    for layout, spent in found.items():
        print(f"| {layout} | {spent:.2f} | {found['plain'] / spent:.2f} | {floor / spent:.2f} |")


if __name__ == "__main__":
    main()
