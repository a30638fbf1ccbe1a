"""Forward pass of the paper-size dual UNet on 100^3 cells: channels_last_3d against plain layout.

    OMP_NUM_THREADS=2 python benchmarks/dual_unet_forward.py
    OMP_NUM_THREADS=2 python benchmarks/dual_unet_forward.py --recipe small --cells 48 --repeats 5

Prints a Markdown table. The floor is the time that the same number of floating point operations
takes in a large float32 matrix product on the same threads, measured before and after in the same
run (the faster one counts).
"""

from __future__ import annotations

import argparse
import platform
import time

import torch

from truez.networks import build_network
from truez.networks.network import use_channels_last
from truez.recipes import read_recipe


def seconds(work, *arguments, repeats: int) -> float:
    """Fastest of ``repeats`` calls [s]."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def peak_rate(side: int = 4096) -> float:
    """Floating point operations per second of a matrix product, float32."""
    a, b = torch.randn(2, side, side).unbind()
    return 2 * side**3 / seconds(torch.matmul, a, b, repeats=3)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--cells", type=int, default=100, help="cells per side")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()

    settings = read_recipe(options.recipe)["network"]
    network = build_network(settings.pop("architecture"), settings).eval()
    mesh = (options.cells,) * 3
    inputs = torch.randn(1, network.in_channels, *mesh)
    flops = network.flops(mesh)
    rates = [peak_rate()]
    found = {}
    for layout in ("plain", "channels_last_3d"):
        if layout == "channels_last_3d":
            use_channels_last(network)
            inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
        # The first convolutions of a process choose and build their kernels.
        network(inputs[..., :8, :8, :8])
        found[layout] = seconds(network, inputs, repeats=options.repeats)
    rates.append(peak_rate())
    floor = flops / max(rates)

    print(
        f"{options.recipe}: {network.num_parameters / 1e6:.2f} M parameters, {options.cells}^3 "
        f"cells, {flops / 1e12:.3f} Tflop, tensors at the peak {network.memory(mesh) / 2**30:.2f} "
        f"GiB; {torch.get_num_threads()} threads of {platform.processor() or platform.machine()}, "
        f"torch {torch.__version__}; matrix product {max(rates) / 1e9:.0f} Gflop/s, floor "
        f"{floor:.2f} s; fastest of {options.repeats}\n"
    )
    print("| layout | seconds | plain / this | fraction of the floor's rate |")
    print("|---|---|---|---|")
    for layout, spent in found.items():
        print(f"| {layout} | {spent:.2f} | {found['plain'] / spent:.2f} | {floor / spent:.2f} |")


if __name__ == "__main__":
    main()
