"""p(z) of many galaxies: a pass over the file, likelihoods of scattered rows, and the memory.

    OMP_NUM_THREADS=1 python benchmarks/pdfs.py [--galaxies 1000000] [--folder FOLDER]
        [--out FILE.md]

A file of p(z) in a layout of qp is summarised (a pass in the order of the file), stored for quick
access, and asked for the likelihoods of 500 galaxies anywhere in it, as patches of sky do, in 900
cells of redshift. `RedshiftError.rows`, which are the likelihoods of Gaussian errors, is timed in
turn with it, for the same galaxies and cells. Each layout has a process of its own, whose peak
memory it is.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from scipy.special import ndtr, ndtri

#: Galaxies and cells of a call, and calls.
ROWS, CELLS, CALLS = 500, 900, 40
NODES = np.linspace(0.0, 1.5, 301)
LEVELS = np.linspace(0.01, 0.99, 99)
LAYOUTS = {"hist": "300 bins", "interp": "301 nodes", "quant": "99 quantiles", "norm": "2 numbers"}


HEAD = """# p(z) of many galaxies

    OMP_NUM_THREADS=1 python benchmarks/pdfs.py

{:,} p(z) in HDF5 (gzip, float32), on one core of a shared AMD EPYC machine. Likelihoods are of {}
galaxies anywhere in the file, in {} cells of redshift; beside them, in turn, `RedshiftError.rows` of the
same galaxies and cells. Memory is the peak of the whole process, with that of Python and its libraries
before. Readings that follow each other share the load of the machine: the ratio is that of both likelihoods.

| p(z) | file [GB] | summarise [rows/s] | stored [rows/s] | held in | likelihood [rows/s] | RedshiftError.rows [rows/s] | ratio | memory [GB] |
|---|--:|--:|--:|---|--:|--:|--:|--:|"""  # noqa: E501


def errors(num: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    z = rng.gamma(4.0, 0.12, num).clip(0.05, 1.3)
    return z, rng.uniform(0.01, 0.05, num) * (1 + z)


def write(path: Path, layout: str, num: int) -> None:
    """A file of Gaussian p(z), compressed as surveys' files are."""
    mean, std = errors(num)
    grid = {"hist": ("bins", NODES), "interp": ("xvals", NODES), "quant": ("quants", LEVELS)}
    with h5py.File(path, "w") as file:
        file["meta/pdf_name"] = np.array([layout.encode()])
        if layout in grid:
            file[f"meta/{grid[layout][0]}"] = grid[layout][1][None]
        if layout == "norm":
            file["data/loc"], file["data/scale"] = mean[:, None], std[:, None]
            return
        width = {"hist": 300, "interp": 301, "quant": 99}[layout]
        name = {"hist": "pdfs", "interp": "yvals", "quant": "locs"}[layout]
        data = file.create_dataset(
            f"data/{name}", (num, width), np.float32, chunks=(1024, width), compression="gzip",
            compression_opts=1,
        )  # fmt: skip
        for start in range(0, num, 2**15):
            part = slice(start, start + 2**15)
            middle, width = mean[part, None], std[part, None]
            place = (NODES - middle) / width
            if layout == "hist":
                data[part] = np.diff(ndtr(place), axis=1) / np.diff(NODES)
            elif layout == "interp":
                data[part] = np.exp(-0.5 * place**2) / width
            else:
                data[part] = middle + width * ndtri(LEVELS)


def measure(path: Path, num: int) -> dict[str, float | str]:
    """Seconds and peak memory, in this process."""
    from dataclasses import replace

    from truez.support.spill import spill_beside
    from truez.surveys.pdfs import GalaxyPdfs, PdfPrior, read_pdfs, summarise
    from truez.surveys.redshift_error import RedshiftError

    begin = peak()
    pdfs = GalaxyPdfs(read_pdfs(path), PdfPrior.of("flat"))
    start = time.perf_counter()
    summary = summarise(pdfs, NODES)
    passed = time.perf_counter() - start
    mean, std = errors(num)
    error = RedshiftError(std / (1 + mean))
    edges, rng = np.linspace(0.2, 1.0, CELLS + 1), np.random.default_rng(2)
    with spill_beside(path.with_name("out.fits")) as spill:
        start = time.perf_counter()
        stored = replace(pdfs, flags=summary.flags).stored(spill)
        storing = time.perf_counter() - start
        in_memory = stored.table.sources[0].rows.in_memory
        own, gaussian = [], []
        for _ in range(CALLS):
            rows = rng.permutation(num)[:ROWS]
            start = time.perf_counter()
            stored.likelihood(rows, edges)
            own.append(time.perf_counter() - start)
            start = time.perf_counter()
            error.take(rows).rows(mean[rows], edges)
            gaussian.append(time.perf_counter() - start)
    return {
        "pass": num / passed, "store": num / storing, "where": "memory" if in_memory else "file",
        "own": ROWS / float(np.median(own)), "gaussian": ROWS / float(np.median(gaussian)),
        "begin": begin, "peak": peak(),
    }  # fmt: skip


def peak() -> float:
    """Peak resident memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure is not None:
        print(json.dumps(measure(chosen.measure, chosen.galaxies)))
        return
    lines = [HEAD.format(chosen.galaxies, ROWS, CELLS)]
    for layout, width in LAYOUTS.items():
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            path = Path(name) / "pz.hdf5"
            write(path, layout, chosen.galaxies)
            run = [sys.executable, __file__, "--measure", str(path), "--galaxies",
                   str(chosen.galaxies)]  # fmt: skip
            done = subprocess.run(run, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            one = json.loads(done.stdout)
            size = path.stat().st_size / 1e9
        lines.append(
            f"| {layout}, {width} | {size:.2f} | {one['pass']:,.0f} | {one['store']:,.0f} | "
            f"{one['where']} | {one['own']:,.0f} | {one['gaussian']:,.0f} | "
            f"{one['own'] / one['gaussian']:.2f} | {one['begin']:.2f}, {one['peak']:.2f} |"
        )
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if chosen.out.exists():  # what pdfs_redshifts.py wrote stays
        text += "".join(chosen.out.read_text().partition("\n## ")[1:])
    chosen.out.write_text(text)


if __name__ == "__main__":
    main()
