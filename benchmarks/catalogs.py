"""Reading speed of catalogues, beside the libraries themselves, in one run.

    python benchmarks/catalogs.py [--number 1e7] [--rounds 3] [--out FILE.md]

A catalogue of float64 x, y, z, int64 id and float32 mass is written once in FITS, HDF5 and Parquet.
In every round each format is read whole (`Catalog.read`) and in chunks of 2^20 rows
(`iter_chunks`), and by its library: astropy.table (memory-mapped, columns in the machine's byte
order), h5py, and pyarrow to numpy arrays. The best of the rounds counts, after one that fills the
caches of the system; CPU seconds (of all threads) matter on a busy machine. ``--source FOLDER``
reads with the truez of another folder, such as the ``src`` of an older version, in the same
rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SUFFIXES = (".fits", ".h5", ".parquet")


def write(folder: Path, number: int) -> None:
    from truez import Catalog

    rng = np.random.default_rng(1)
    columns = {name: rng.random(number) * 1000 for name in "xyz"}
    columns["id"] = np.arange(number) + 2**60
    columns["mass"] = rng.random(number, dtype=np.float32)
    for suffix in SUFFIXES:
        Catalog(columns, dict.fromkeys("xyz", "Mpc/h")).write(folder / f"c{suffix}")


def whole(path: Path) -> float:
    from truez import Catalog

    return float(Catalog.read(path)["x"][-1])


def chunks(path: Path) -> float:
    from truez.catalogs.chunks import iter_chunks

    last = 0.0
    for chunk in iter_chunks(path):
        last = float(chunk["x"][-1])
    return last


def library(path: Path) -> float:
    if path.suffix == ".fits":
        from astropy.table import Table

        table = Table.read(path, memmap=True)
        found = {
            name: np.ascontiguousarray(table[name], table[name].dtype.newbyteorder("="))
            for name in table.colnames
        }
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            found = {name: file[name][:] for name in file}
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        found = {name: table[name].to_numpy() for name in table.column_names}
    return float(found["x"][-1])


READERS: dict[str, Callable[[Path], float]] = {
    "whole": whole, "chunks": chunks, "library": library,
}  # fmt: skip


def seconds(path: Path, reader: str, source: Path | None) -> tuple[float, float]:
    """Wall and CPU seconds of one reading, in a process of its own."""
    environment = dict(os.environ)
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    words = [sys.executable, __file__, "--read", str(path), "--reader", reader]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    wall, cpu = json.loads(done.stdout)
    return wall, cpu


def read_once(path: Path, reader: str) -> None:
    read = READERS[reader]
    read(path.with_name(f"small{path.suffix}"))  # imports
    cpu, start = time.process_time(), time.perf_counter()
    read(path)
    print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=float, default=1e7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        read_once(options.read, options.reader)
        return

    cases: list[tuple[str, str, Path | None]] = [
        ("library", "library", None),
        ("truez whole", "whole", None),
        ("truez chunks", "chunks", None),
    ]
    if options.source is not None:
        cases += [
            ("older whole", "whole", options.source),
            ("older chunks", "chunks", options.source),
        ]
    best: dict[tuple[str, str], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, 100)
        for suffix in SUFFIXES:
            (folder / f"c{suffix}").rename(folder / f"small{suffix}")
        write(folder, int(options.number))
        for turn in range(options.rounds + 1):
            for suffix in SUFFIXES:
                for label, reader, source in cases:
                    took = seconds(folder / f"c{suffix}", reader, source)
                    if turn:
                        before = best.get((suffix, label), took)
                        best[suffix, label] = (min(before[0], took[0]), min(before[1], took[1]))

    lines = [
        "# Reading speed of catalogues",
        "",
        (
            f"{options.number:.3g} rows of x, y, z, id and mass, best of {options.rounds} rounds, "
            "each reading in a process of its own. Re-run:"
        ),
        "",
        "    " + " ".join(["python benchmarks/catalogs.py", *sys.argv[1:]]),
        "",
        "| format | reader | seconds | CPU seconds | CPU, times the library |",
        "|---|---|---|---|---|",
    ]
    for (suffix, label), (wall, cpu) in best.items():
        ratio = cpu / best[suffix, "library"][1]
        lines.append(f"| {suffix} | {label} | {wall:.3f} | {cpu:.3f} | {ratio:.2f} |")
    text = "\n".join(lines) + "\n"
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
