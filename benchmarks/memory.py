"""Peak memory: a large Parquet catalogue, read in chunks, painted, and its power spectrum.

    python benchmarks/memory.py [--number 1e8] [--meshsize 600] [--out FILE.md]

The catalogue (uniform random, float32, 12 bytes a galaxy) is made chunk by chunk in a temporary
folder and removed. Peaks are those of the whole process (maximum resident set) after each stage.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BOXSIZE = 1200.0
LIMIT = 8.0


def make_catalogue(path: Path, number: int, chunk: int = 1_000_000) -> None:
    rng = np.random.default_rng(1)
    schema = pa.schema([(name, pa.float32()) for name in "xyz"])
    with pq.ParquetWriter(path, schema, compression="NONE", use_dictionary=False) as writer:
        for start in range(0, number, chunk):
            rows = min(chunk, number - start)
            x = rng.random((3, rows), dtype=np.float32) * np.float32(BOXSIZE)
            writer.write_table(pa.table(list(x), schema=schema))


def peak() -> float:
    """Peak resident memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=float, default=1e8)
    parser.add_argument("--meshsize", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    number = int(options.number)

    import torch

    from truez import Box, power
    from truez.catalogs.chunks import iter_positions
    from truez.mesh.painting import paint_chunks

    torch.set_num_threads(options.threads)
    stages = [("imports", 0.0, peak())]

    def stage(name: str, start: float) -> None:
        stages.append((name, time.perf_counter() - start, peak()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "galaxies.parquet"
        start = time.perf_counter()
        make_catalogue(path, number)
        size = path.stat().st_size / 1e9
        stage("making the file", start)
        start = time.perf_counter()
        field = paint_chunks(
            iter_positions(path, length_unit="Mpc/h"), Box(BOXSIZE, options.meshsize)
        )
        stage("reading and painting (CIC)", start)
    start = time.perf_counter()
    spectrum = power(field, compensate=True)
    stage("power spectrum", start)

    total = field.values.sum(dtype=torch.float64).item()
    middle = len(spectrum.k) // 4
    ratio = float(spectrum.poles[0][middle]) / spectrum.shotnoise
    lines = [
        "# Peak memory",
        "",
        (
            f"{number:.3g} galaxies in a Parquet file of {size:.2f} GB, read in chunks, painted to "
            f"{options.meshsize}^3 cells, and P(k), {options.threads} threads. Re-run:"
        ),
        "",
        "    " + " ".join(["python benchmarks/memory.py", *sys.argv[1:]]),
        "",
        "| stage | seconds | peak memory so far [GB] |",
        "|---|---|---|",
        *(f"| {name} | {seconds:.1f} | {gigabytes:.2f} |" for name, seconds, gigabytes in stages),
        "",
        (
            f"Painted / galaxies - 1 = {total / number - 1:.1e}. P / shot noise = {ratio:.3f} at k "
            f"= {float(spectrum.k[middle]):.2f} h/Mpc (random positions: 1). Limit: {LIMIT:g} GB."
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.write_text(text, encoding="utf-8")
    if peak() > LIMIT:
        sys.exit(f"the peak of {peak():.2f} GB is above the limit of {LIMIT:g} GB")


if __name__ == "__main__":
    main()
