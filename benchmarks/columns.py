"""The photo-z error along sight lines: a dense matrix, Fourier transforms and a banded sum.

    OMP_NUM_THREADS=1 python benchmarks/columns.py

Prints a Markdown table of the seconds that K lambda takes (`truez.sightlines.kernel`), for an error
of 35 cells: the matrix product of truez, a Fourier transform of periodic sight lines, one of
sight lines padded with zeros over 4 errors, and a convolution with a band 8 errors wide.
"""

from __future__ import annotations

import argparse
import math
import time

import torch

from truez.mesh.box import Box
from truez.sightlines.kernel import Kernel
from truez.surveys.photoz import PhotozError

SIGMA = 35.0


def seconds(work, repeats: int) -> float:
    """Fastest of ``repeats`` calls [s]."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@torch.inference_mode()
def row(cells: int, columns: int, repeats: int) -> list[float]:
    """Seconds of the four ways."""
    closed = Kernel.of(PhotozError(SIGMA), Box((1, 1, cells), (1, 1, cells), periodic=False))
    intensity = torch.rand(columns, cells) + 0.1
    matrix = closed.matrix
    ring = torch.fft.rfft(
        Kernel.of(PhotozError(SIGMA), Box((1, 1, cells), (1, 1, cells))).matrix[0]
    )
    band = math.ceil(4 * SIGMA)
    long = cells + band
    wave = torch.fft.rfftfreq(long) * (2 * math.pi)
    phi = torch.exp(-0.5 * (wave * SIGMA) ** 2)
    weights = Kernel.of(
        PhotozError(SIGMA), Box((1, 1, 2 * band + 1), (1, 1, 2 * band + 1), periodic=False)
    ).matrix[band][None, None]
    part = intensity[: columns // 16, None]
    ways = (
        lambda: closed.smear(intensity),
        lambda: torch.fft.irfft(torch.fft.rfft(intensity) * ring, n=cells),
        lambda: torch.fft.irfft(torch.fft.rfft(intensity, n=long) * phi, n=long)[:, :cells],
    )
    found = [seconds(way, repeats) for way in ways]
    error = (ways[2]() - intensity @ matrix.T).abs().max()
    assert error < 1e-3, error
    banded = seconds(lambda: torch.nn.functional.conv1d(part, weights, padding=band), repeats)
    return [*found, 16 * banded]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=256**2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{options.columns} sight lines, torch {torch.__version__}, {threads} thread(s)\n")
    print("| cells | matrix [s] | Fourier, periodic | Fourier, open | banded |")
    print("|--:|--:|--:|--:|--:|")
    for cells in (256, 400, 600):
        times = row(cells, options.columns, options.repeats)
        print(f"| {cells} | " + " | ".join(f"{t:.3g}" for t in times) + " |", flush=True)


if __name__ == "__main__":
    main()
