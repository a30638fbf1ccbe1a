"""The pass that divides a catalogue among patches, beside a copy of the same columns by pyarrow.

    OMP_NUM_THREADS=1 python benchmarks/partition.py [--rows 10000000] [--folder FOLDER]
        [--out FILE.md]

Galaxies (ra, dec, z and an id, 32 bytes) over 5,000 deg^2 at 0.1 < z < 1.3 lie in a folder of
Parquet files of 2.5 million rows, anywhere on the sky in each. `truez.sky.partition` divides them
among the patches of a map at 0.2 < z < 1.2, twice: with the memory for galaxies that is its default
and with a quarter of it. The copy streams the columns through pyarrow into files of as many rows,
without sorting. Each has a process of its own, whose peak memory it is, less that of Python and its
libraries before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PART = 2_500_000
AREA = (0.0, 120.0, -21.0, 21.0)

HEAD = """# Catalogues divided among patches

    OMP_NUM_THREADS=1 python benchmarks/partition.py --rows {0}

{0:,} galaxies (ra, dec, z, id: 32 bytes) in a folder of Parquet files, divided among {1} patches, {2} copies in
margins for each in a core; on a shared AMD EPYC machine of two cores, one process, pyarrow's own threads. Readings of
one run share the load of the machine: the ratio is that of their rows per second. Memory is the peak above that of
Python and its libraries.

| | rows/s | ratio | rows/s of CPU time | ratio | memory [MB] | disk at its peak [bytes per row] |
|---|--:|--:|--:|--:|--:|--:|"""  # noqa: E501


def make(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number, first in enumerate(range(0, rows, PART)):
        num = min(PART, rows - first)
        dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians(AREA[2:])), num)))
        table = pa.table({
            "id": np.arange(first, first + num), "ra": rng.uniform(*AREA[:2], num), "dec": dec,
            "z": 0.1 + 1.2 * rng.beta(2, 2, num),
        })  # fmt: skip
        pq.write_table(table, folder / f"part-{number:04d}.parquet")


def peak() -> float:
    """Peak memory of this process; that of getrusage begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * float(status.split("VmHWM:")[1].split()[0])


def copy(source: Path, target: Path) -> dict[str, float]:
    start, cpu, before = time.perf_counter(), time.process_time(), peak()
    target.mkdir()
    for path in sorted(source.iterdir()):
        with pq.ParquetFile(path, pre_buffer=False) as file:
            writer = pq.ParquetWriter(target / path.name, file.schema_arrow, compression="zstd",
                                      compression_level=1, use_dictionary=False)  # fmt: skip
            with writer:
                for batch in file.iter_batches(2**18):
                    writer.write_table(pa.Table.from_batches([batch]))
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu,
            "memory": peak() - before}  # fmt: skip


def partition(source: Path, target: Path, memory: int) -> dict[str, float]:
    from truez.sky.partition.patch_plan import PatchPlan
    from truez.sky.partition.sky_input import SkyInput
    from truez.sky.partition.stored import Partition
    from truez.sky.patches import PatchSettings
    from truez.surveys.footprint import Rectangle

    plan = PatchPlan(Rectangle(*AREA), "planck18", (0.2, 1.2), 0.02,
                     settings=PatchSettings(cellsize=4.0, max_cells=2**24))  # fmt: skip
    len(plan.patches)
    start, cpu, before, marks = time.perf_counter(), time.process_time(), peak(), {}

    def progress(task: str, *_: object) -> None:
        marks[task] = time.process_time() - cpu

    given = SkyInput(str(source), ("ra", "dec", "z"))
    made = Partition.make(target, plan, photo=given, memory=memory, progress=progress)
    seconds = time.perf_counter() - start
    about = json.loads((target / "photo" / "manifest.json").read_text())
    return {
        "seconds": seconds, "cpu": time.process_time() - cpu, "memory": peak() - before,
        "patches": len(made),
        "sorting": marks["photo: sorting by patch"],
        "core": sum(about["core"]), "held": sum(about["patches"]), "rest": about["rest"],
    }  # fmt: skip


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(way: str, source: Path, target: Path, memory: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--folder", str(source), "--out",
               str(target), "--memory", str(memory)]  # fmt: skip
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found["size"] = size(target)
    shutil.rmtree(target)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=["copy", "partition"])
    parser.add_argument("--memory", type=int, default=2**29)
    given = parser.parse_args()
    if given.way == "copy":
        print(json.dumps(copy(given.folder, given.out)))
        return
    if given.way == "partition":
        print(json.dumps(partition(given.folder, given.out, given.memory)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        source, target = Path(place) / "photo.parquet", Path(place) / "out"
        make(source, given.rows)
        ways = (("a copy by pyarrow", "copy", 0), ("divided, 512 MB", "partition", 2**29),
                ("divided, 128 MB", "partition", 2**27))  # fmt: skip
        found = [measured(way, source, target, memory) for _, way, memory in ways]
    whole = found[1]
    lines = [HEAD.format(given.rows, int(whole["patches"]),
                         f"{whole['held'] / whole['core'] - 1:.2f}")]  # fmt: skip
    for (name, way, _), one in zip(ways, found, strict=True):
        ratios = [found[0][key] / one[key] for key in ("seconds", "cpu")]
        rates = [given.rows / one[key] for key in ("seconds", "cpu")]
        # Runs hold 9 bytes more for each entry, and are there until all files are.
        runs = (one["held"] + one["rest"]) * 41 if way == "partition" else 0
        lines.append(f"| {name} | {rates[0]:,.0f} | {ratios[0]:.3f} | {rates[1]:,.0f} | "
                     f"{ratios[1]:.3f} | {one['memory'] / 1e6:.0f} | "
                     f"{(one['size'] + runs) / given.rows:.0f} |")  # fmt: skip
    share = whole["sorting"] / whole["cpu"]
    entries = whole["held"] + whole["rest"]
    whole_disk = (whole["size"] + 41 * entries) / given.rows
    hours = [1e9 / given.rows * whole[key] / 3600 for key in ("seconds", "cpu")]
    lines.append(
        f"\nSorting into runs is {100 * share:.0f}% of the time, writing the files of patches the "
        f"rest. At this speed\n1e9 rows would take {hours[0]:.2g} hours, {hours[1]:.2g} of them of "
        f"CPU time, and {whole_disk:.0f} GB of disk at its peak: an\nextrapolation from "
        f"{given.rows:,} rows, not a measurement."
    )
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out is not None:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
