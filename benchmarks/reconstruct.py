"""``truez reconstruct`` as users call it: seconds and memory, and the network with its floor.

    OMP_NUM_THREADS=2 python benchmarks/reconstruct.py [--meshes 256,256,256 600,600,400]

Two catalogues of a lognormal universe with cells of 2 Mpc/h and the fiducial surveys, in Parquet
files; each method in a process of its own, reading and writing included. Then the network alone,
with the time that its floating point operations take at the speed of the fastest large float32
kernel, and the paper's network: its operations on the same cells, in sub-boxes of 100^3 as
in the paper, at the speed that it reaches on 48^3 cells in this run.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from dual_unet_forward import peak_rate, seconds

from truez import COSMOLOGIES, Box, Catalog, MockConfig, Selection, lognormal_galaxies, make_mock
from truez.experiments.recipes import read_recipe
from truez.networks import build_network
from truez.networks.network import use_channels_last
from truez.networks.tiles import tiled
from truez.networks.weights import load_weights, shipped_weights
from truez.reconstruct import column_tile

CELL = 2.0
MESHES = ["256,256,256", "600,600,400"]
METHODS = ("wiener", "redistribution", "columns", "columns --bf16")
COMMAND = (
    "truez reconstruct --spec {0}/spec.parquet --photo {0}/photo.parquet --boxsize {1} --match-id "
    "id --redshift 0.59 --sigma-z 0.02 --cosmology wmap --method {2} --out {0}/field.h5 "
    "--device cpu --overwrite"
)
CHILD = """
import sys
from truez.cli.app import main
from truez.support.memory import peak_memory
try:
    main(sys.argv[1:])
finally:
    print(peak_memory() / 1e9, file=sys.stderr)
"""
#: Cells of the sub-boxes of arXiv:2504.06309, and of those timed here.
PAPER, TIMED = 100, 48


def write_surveys(mesh: tuple[int, ...], folder: Path) -> int:
    """Write both catalogues; returns the number of photometric galaxies."""
    box = Box.from_cellsize([CELL * n for n in mesh], CELL)
    cosmology = COSMOLOGIES["wmap"]
    galaxies = lognormal_galaxies(box, cosmology, redshift=0.59, density=1.85e-2, bias=1.2, seed=1)
    config = MockConfig(
        redshift=0.59,
        cosmology=cosmology,
        sigma_z=0.02,
        rank_by="mass",
        spec=Selection(density=1e-3),
        seed=2,
    )
    velocities, columns = galaxies.velocities[:, 2], {"mass": galaxies.mass}
    mock = make_mock(galaxies.positions, box, config, velocities=velocities, columns=columns)
    for name, ids, positions in (
        ("spec", mock.spec_ids, mock.surveys.spec),
        ("photo", mock.photo_ids, mock.surveys.photo),
    ):
        places = dict(zip("xyz", positions.astype(np.float32).T, strict=True))
        units = dict.fromkeys("xyz", "Mpc/h")
        Catalog({**places, "id": ids}, units=units).write(folder / f"{name}.parquet")
    return len(mock.photo_ids)


def command(mesh: tuple[int, ...], method: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory [GB] of one command."""
    boxsize = ",".join(f"{CELL * n:g}" for n in mesh)
    words = COMMAND.format(folder, boxsize, method).split()[1:]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=False
    )
    spent = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return spent, float(done.stderr.split()[-1])


@torch.inference_mode()
def networks(mesh: tuple[int, ...]) -> list[str]:
    """Rows of the second table."""
    ours, _ = load_weights(shipped_weights("column-net"))
    settings = read_recipe("paper")["network"]
    paper = build_network(settings.pop("architecture"), settings).eval()
    for network in (ours, paper):
        use_channels_last(network)
    cells = math.prod(mesh)
    tile = column_tile(ours, Box.from_cellsize([CELL * n for n in mesh], CELL))
    flop = {"columns": ours.flops((64, 64, 256)) / (64 * 64 * 256) * cells}
    flop["paper"] = paper.flops((PAPER,) * 3) / PAPER**3 * cells
    inputs = 0.1 * torch.randn(ours.in_channels, *mesh)
    box = torch.randn(1, 2, *(TIMED,) * 3).contiguous(memory_format=torch.channels_last_3d)

    rates, spent = [peak_rate()], {}
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            # Kernels are chosen on the first call.
            tiled(ours, inputs[:, :8, :8, :8], tile=None)
            paper(box[..., :8, :8, :8])
            whole = seconds(lambda: tiled(ours, inputs, tile=tile, periodic=True), repeats=2)
            one = seconds(paper, box, repeats=2)
        spent["columns", half] = whole
        spent["paper", half] = one / paper.flops((TIMED,) * 3) * flop["paper"]
        rates.append(peak_rate())

    caption = (
        f"Mesh {' x '.join(map(str, mesh))}, {torch.get_num_threads()} threads, fastest large "
        f"kernel {max(rates) / 1e9:.0f} Gflop/s in float32; tiles of the column network "
        f"{tile[0]} x {tile[1]}, whose halos are computed more than once.\n"
    )
    rows = [
        caption,
        "| network | precision | Tflop | float32 floor [s] | seconds | share | times as long |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (name, half), taken in spent.items():
        floor = flop[name] / max(rates)
        rows.append(
            f"| {name} | {'bf16' if half else 'float32'} | {flop[name] / 1e12:.3g} | {floor:.3g} "
            f"| {taken:.3g} | {floor / taken:.0%} | {taken / spent['columns', half]:.3g} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshes", nargs="+", default=MESHES)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    meshes = [tuple(int(n) for n in text.split(",")) for text in options.meshes]
    chosen = "" if options.meshes == MESHES else f" --meshes {' '.join(options.meshes)}"
    lines = [
        "# Reconstruction\n",
        f"    OMP_NUM_THREADS=2 python benchmarks/reconstruct.py{chosen}\n",
        "`truez reconstruct` from two Parquet files to a field file, a process each:\n",
        "| mesh | galaxies | method | seconds | peak memory [GB] |",
        "|---|--:|---|--:|--:|",
    ]
    for mesh in meshes:
        with tempfile.TemporaryDirectory() as name:
            number = write_surveys(mesh, Path(name))
            for method in METHODS:
                spent, peak = command(mesh, method, Path(name))
                lines.append(
                    f"| {' x '.join(map(str, mesh))} | {number / 1e6:.3g} M | {method} "
                    f"| {spent:.0f} | {peak:.1f} |"
                )
                print(lines[-1], flush=True)
    lines += ["", "The networks alone:\n", *networks(meshes[0])]
    options.out.write_text("\n".join(lines) + "\n")
    print(options.out.read_text())


if __name__ == "__main__":
    main()
