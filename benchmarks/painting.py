"""Painting speed, side by side with other codes in one run.

    python benchmarks/painting.py [--number 1e7] [--meshsize 512] [--threads 2] [--out FILE.md]

CIC and TSC of float32 positions, random and clustered, to a fresh float32 mesh. Codes that are not
installed (``pip install abacusutils Pylians``) are named and left out. Every code runs once in
every round, so that other load on the machine affects all of them; the best of the rounds counts,
after one that warms up compilers and caches (a code that needs over 4 s has one round). The floor
is the time of the memory traffic alone: positions read once and the mesh written once, at the copy
bandwidth measured in the same run. CPU seconds (user and system, of all threads, in the same round)
distinguish a busy machine from a slow code: seconds are meaningful only on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

BOXSIZE = 1000.0
SLOW = 4.0  # seconds: a code slower than this has one round after its warm-up
Painter = Callable[[np.ndarray], np.ndarray]


def truez_painter(resampler: str, mesh: int, _: int) -> Painter:
    from truez import Box, paint

    box = Box(BOXSIZE, mesh)
    return lambda x: paint(x, box, resampler).numpy()


def torch_painter(resampler: str, mesh: int, _: int) -> Painter:
    import torch

    from truez.mesh.box import Box
    from truez.mesh.paint_input import Tally
    from truez.mesh.paint_torch import paint_torch
    from truez.support.progress import silent

    def paint(x: np.ndarray) -> np.ndarray:
        chunks, box, counts = [(x, None)], Box(BOXSIZE, mesh), torch.zeros(mesh, mesh, mesh)
        paint_torch(chunks, box, resampler, 0.0, Tally(), silent, None, counts)
        return counts.numpy()

    return paint


def abacus_painter(resampler: str, mesh: int, threads: int) -> Painter:
    if resampler == "cic":
        from abacusnbody.analysis.cic import cic_serial

        def paint(x: np.ndarray) -> np.ndarray:
            density = np.zeros((mesh,) * 3, dtype=np.float32)
            cic_serial(x, density, BOXSIZE)
            return density

        return paint
    from abacusnbody.analysis.tsc import tsc_parallel

    return lambda x: tsc_parallel(x, mesh, BOXSIZE, nthread=threads)


def pylians_painter(resampler: str, mesh: int, _: int) -> Painter:
    import MAS_library

    def paint(x: np.ndarray) -> np.ndarray:
        density = np.zeros((mesh,) * 3, dtype=np.float32)
        MAS_library.MA(x, density, BOXSIZE, resampler.upper(), verbose=False)
        return density

    return paint


CODES = {
    "truez": (truez_painter, "truez"),
    "abacusutils": (abacus_painter, "abacusutils"),
    "Pylians": (pylians_painter, "Pylians"),
    "torch index_add_": (torch_painter, "torch"),
}


def random_positions(number: int) -> np.ndarray:
    x = np.random.default_rng(1).random((number, 3), dtype=np.float32)
    return np.minimum(x * np.float32(BOXSIZE), np.nextafter(np.float32(BOXSIZE), np.float32(0)))


def clustered_positions(number: int) -> np.ndarray:
    """Four in five galaxies in clumps of 2 length units, as rich as a lognormal variate."""
    rng = np.random.default_rng(2)
    x = random_positions(number)
    clumps = random_positions(20_000)
    richness = rng.lognormal(sigma=1.5, size=len(clumps))
    members = rng.choice(len(clumps), 4 * number // 5, p=richness / richness.sum())
    x[: len(members)] = clumps[members] + 2 * rng.standard_normal((len(members), 3), np.float32)
    x %= np.float32(BOXSIZE)
    x[x >= BOXSIZE] = 0
    return x[rng.permutation(number)]


def copy_bandwidth(threads: int) -> float:
    """Bytes read and written in a second by a copy of arrays much larger than the caches."""
    import torch

    torch.set_num_threads(threads)
    source, target = torch.ones(1 << 27), torch.ones(1 << 27)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    return 8 * source.numel() / min(times)


def zeros_seconds(mesh: int, rounds: int) -> float:
    """Fill a fresh mesh with zeros: the time of the operating system to provide the memory."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.zeros((mesh,) * 3, dtype=np.float32).reshape(-1)[::1024] = 0
        times.append(time.perf_counter() - start)
    return min(times)


def measure(
    painters: dict[str, Painter], x: np.ndarray, rounds: int
) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each painter's best round."""
    best = dict.fromkeys(painters, (float("inf"), float("inf")))
    for turn in range(rounds + 1):
        for name, painter in painters.items():
            if turn > 1 and best[name][0] > SLOW:
                continue
            cpu, start = time.process_time(), time.perf_counter()
            mesh = painter(x)
            elapsed = time.perf_counter() - start, time.process_time() - cpu
            total = mesh.sum(dtype=np.float64)
            assert abs(total / len(x) - 1) < 1e-3, f"{name} painted {total} of {len(x)}"
            del mesh
            if turn:
                best[name] = min(best[name], elapsed)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=float, default=1e7)
    parser.add_argument("--meshsize", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.threads)
    number, mesh = int(options.number), options.meshsize

    bandwidth = copy_bandwidth(options.threads)
    floor = (12 * number + 4 * mesh**3) / bandwidth
    catalogues = {
        "random": random_positions(number),
        "clustered": clustered_positions(number),
    }
    rows, missing, first = [], set(), []
    for resampler in ("cic", "tsc"):
        painters = {}
        for name, (make, _) in CODES.items():
            try:
                painters[name] = make(resampler, mesh, options.threads)
            except ImportError:
                missing.add(name)
        start = time.perf_counter()
        painters["truez"](catalogues["random"][:1000])
        first.append(f"{resampler.upper()} {time.perf_counter() - start:.2f} s")
        for kind, x in catalogues.items():
            for name, seconds in measure(painters, x, options.rounds).items():
                rows.append((resampler.upper(), kind, name, *seconds))
    mine = {row[:2]: row[3] for row in rows if row[2] == "truez"}

    lines = [
        "# Painting speed",
        "",
        (
            f"{number:.3g} float32 positions to {mesh}^3 float32 cells, {options.threads} threads, "
            f"best of {options.rounds} rounds after a warm-up, codes in turn. Re-run:"
        ),
        "",
        "    " + " ".join(["python benchmarks/painting.py", *sys.argv[1:]]),
        "",
        "| kernel | positions | code | seconds | CPU seconds | times truez | of the floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for kernel, kind, name, seconds, cpu in rows:
        ratio = seconds / mine[kernel, kind]
        lines.append(
            f"| {kernel} | {kind} | {name} | {seconds:.3f} | {cpu:.3f} | {ratio:.2f} "
            f"| {floor / seconds:.0%} |"
        )
    lines += [
        "",
        (
            f"Floor: positions read once, mesh written once, {floor:.3f} s at the "
            f"{bandwidth / 1e9:.1f} GB/s (read + written) of a copy. A fresh mesh alone, "
            f"zeroed by one thread, took {zeros_seconds(mesh, options.rounds):.3f} s."
        ),
        "",
        (
            f"First call of truez in a process (numba's import included in the first): "
            f"{', '.join(first)}; loops not yet compiled on a machine take longer, once."
        ),
        "",
        (
            "abacusutils' CIC is serial. torch index_add_ is the path that "
            "truez uses on a GPU, here on the CPU."
        ),
        "",
        "Versions: " + ", ".join(_version(package) for _, package in CODES.values()) + ",",
        f"numpy {np.__version__}, Python {platform.python_version()}, {_processor()}.",
    ]
    if missing:
        lines += ["", "Not installed: " + ", ".join(sorted(missing)) + "."]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.write_text(text, encoding="utf-8")


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed as a package)"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
