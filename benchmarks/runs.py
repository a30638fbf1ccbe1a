"""A light cone divided among patches and made by processes: time, memory, growth with its area.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/runs.py --folder FOLDER
        [--areas 1,4,16] [--method redistribution] [--workers 2,1] [--cellsize 4] [--device cuda]

A box of 512 Mpc/h of `truez simulate` is made a light cone of 7e-3 galaxies in (Mpc/h)^3 at 0.14 <
z < 0.9 in parts of 4 degrees of right ascension (`truez mock --sky`), a tenth of them with spectra,
sigma_z = 0.02 (1 + z); 16 parts of the area are 2,068 deg^2. Then `truez partition`, the first pass
(`truez run --plan`), the patches (`truez run`) and `truez join` at 0.2 < z < 0.8, each a command
whose time, processor time and peak memory are taken, of the client and of the largest worker, with
what `truez run --dry-run` says before. With several numbers of workers the files of all patches
are compared. What was made is kept in FOLDER, and not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DENSITY, SIDE, SIGMA = 7e-3, 512, 0.02
WIDTH, HEIGHT, PART = 60.0, 35.0, 4.0
TRUE, MAP = "0.14,0.9", "0.2,0.8"
#: Footprints of a part of the area, of the same shape, in its middle.
SAMPLES = {"photo": "ra,dec,z_phot", "spec": "ra,dec,z"}


def rectangle(share: float) -> tuple[float, float, float, float]:
    """RA and declination of the middle of the cone that has a share of its area."""
    height = HEIGHT * math.sqrt(share)
    whole = WIDTH * math.sin(math.radians(HEIGHT / 2))
    width = share * whole / math.sin(math.radians(height / 2))
    return WIDTH / 2 - width / 2, WIDTH / 2 + width / 2, -height / 2, height / 2


def truez(*words: object) -> list[str]:
    return [sys.executable, "-m", "truez", *map(str, words)]


def memory(process: str) -> float:
    """Peak memory of a process in MB, 0 where it has gone."""
    try:
        status = Path("/proc", process, "status").read_text()
    except OSError:
        return 0.0
    return float(status.split("VmHWM:")[1].split()[0]) / 1e3 if "VmHWM:" in status else 0.0


def below(root: int) -> list[str]:
    """Processes that a process has begun, and theirs."""
    parents: dict[str, list[str]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            parents.setdefault(parent, []).append(path.name)
    found, left = list[str](), [str(root)]
    while left:
        own = parents.get(left.pop(), [])
        found += own
        left += own
    return found


def watched(words: list[str]) -> dict[str, float]:
    """Run a command; its time, and the peak memory of it and of its largest child [MB]."""
    before, start = os.times(), time.perf_counter()
    client = worker = 0.0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            client = max(client, memory(str(process.pid)))
            worker = max([worker, *(memory(child) for child in below(process.pid))])
            time.sleep(0.2)
        assert process.stderr is not None
        if process.returncode:
            raise SystemExit(process.stderr.read().decode())
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return {"seconds": time.perf_counter() - start, "cpu": cpu, "client": client, "worker": worker}


def make_cone(folder: Path) -> None:
    """The light cone, as folders of Parquet files with ids of their own."""
    if (folder / "spec").is_dir():
        return
    box, made = folder / "box.h5", folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    for name in SAMPLES:
        (made / name).mkdir(parents=True)
    if not box.is_file():
        watched(truez("simulate", "--seed", 3001, "--density", DENSITY, "--boxsize", SIDE,
                      "--out", box))  # fmt: skip
    for number in range(math.ceil(WIDTH / PART)):
        west, part = number * PART, folder / "part"
        angle = math.radians(west + PART / 2 + 40)  # of its middle in the plane of the box
        watched(truez(
            "mock", box, "--sky", "RA,DEC,Z", "--footprint",
            f"{west},{west + PART},{-HEIGHT / 2},{HEIGHT / 2}", "--redshift-range", TRUE,
            "--sigma-z", SIGMA, "--spec-fraction", 0.1, "--seed", number,
            f"--direction={math.cos(angle)},{math.sin(angle)},0", "--out", part,
        ))  # fmt: skip
        for name in SAMPLES:
            table = pq.read_table(part / f"{name}.parquet")
            ids = pa.array(table["id"].to_numpy() + number * 10**8)
            table = table.set_column(table.column_names.index("id"), "id", ids)
            pq.write_table(table, made / name / f"part-{number:02d}.parquet")
        shutil.rmtree(part)
    for name in SAMPLES:
        (made / name).rename(folder / name)


def cut(folder: Path, share: float) -> Path:
    """Catalogues of a part of the area."""
    target = folder / f"area-{share:g}"
    if (target / "spec").is_dir():
        return target
    west, east, south, north = rectangle(share)
    shutil.rmtree(target, ignore_errors=True)
    for name in SAMPLES:
        (target / name).mkdir(parents=True)
        for path in sorted((folder / name).iterdir()):
            table = pq.read_table(path)
            ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
            inside = (ra >= west) & (ra <= east) & (dec >= south) & (dec <= north)
            if inside.any():
                pq.write_table(table.filter(pa.array(inside)), target / name / path.name)
    return target


def digest(folder: Path) -> str:
    """Of the contents of all files of all patches."""
    found = hashlib.sha256()
    for name in ("fields", "redshifts"):
        for path in sorted((folder / name).iterdir()):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def estimated(partition: Path, method: str) -> dict:
    """What `truez run --dry-run` says, in numbers."""
    from truez.sky.distributed.driver import prepare
    from truez.sky.distributed.estimate import START, estimate
    from truez.sky.distributed.run_plan import GivenSurveys

    prepared = prepare(partition, GivenSurveys(SIGMA, "id"), method)
    found, patches = estimate(prepared), prepared.partition.patches
    steps = {"first pass": START + sum(found.first), "patches": START + sum(found.making)}
    return {"steps": steps, "memory": found.memory / 1e6,
            "disk": found.disk / 1e9, "patches": len(patches), "cells": patches.num_cells,
            "galaxies": prepared.partition.num_rows("photo")}  # fmt: skip


def measure(folder: Path, share: float, options: argparse.Namespace, workers: int) -> dict:
    """The steps of a part of the area, each with what it took."""
    place = cut(folder, share)
    partition = place / f"divided-{options.cellsize:g}"
    record = place / f"taken-{options.cellsize:g}-{options.method}-{workers}.json"
    if record.is_file():
        return json.loads(record.read_text())
    found = {}
    made = place / f"partition-{options.cellsize:g}.json"
    if not made.is_file():
        limits = ",".join(f"{x:.9g}" for x in rectangle(share))
        taken = watched(truez(
            "partition", "--photo", place / "photo", "--spec", place / "spec", "--sky",
            SAMPLES["spec"], "--photo-sky", SAMPLES["photo"], f"--footprint={limits}",
            "--redshift-range", MAP, "--sigma-z", SIGMA, "--cellsize", options.cellsize, "--out",
            partition,
        ))  # fmt: skip
        made.write_text(json.dumps(taken))
    found["partition"] = json.loads(made.read_text())
    found["expected"] = estimated(partition, options.method)
    run = place / f"run-{options.method}-{workers}"
    shutil.rmtree(run, ignore_errors=True)
    words = truez("run", partition, "--sigma-z", SIGMA, "--match-id", "id", "--method",
                  options.method, "--workers", workers, "--device", options.device)  # fmt: skip
    found["first pass"] = watched([*words, "--plan", str(run)])
    found["patches"] = watched([*words, "--out", str(run)])
    found["join"] = watched(truez("join", run, "--field", place / "field.h5", "--redshifts",
                                  place / "redshifts.parquet"))  # fmt: skip
    found["disk"] = sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 1e9
    found["digest"] = digest(run)
    for name in ("field.h5", "redshifts.parquet"):
        (place / name).unlink()
    shutil.rmtree(run)
    record.write_text(json.dumps(found))
    return found


def rows(share: float, workers: int, found: dict) -> list[str]:
    west, east, _, north = rectangle(share)
    area = (east - west) * 2 * math.degrees(math.sin(math.radians(north)))
    expected, lines = found["expected"], []
    for step in ("partition", "first pass", "patches", "join"):
        one = found[step]
        hope = f"{expected['steps'][step]:.0f}" if step in expected["steps"] else ""
        lines.append(
            f"| {area:.0f} deg^2, {expected['galaxies'] / 1e6:.2f}e6 galaxies, "
            f"{expected['patches']:.0f} patches, {expected['cells'] / 1e6:.1f}e6 cells | {workers} "
            f"| {step} | {one['seconds']:.0f} | {one['cpu']:.0f} | {hope} | "
            f"{one['client'] / 1e3:.2f} | {one['worker'] / 1e3:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--areas", default="1,4,16", help="sixteenths of the area")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--method", default="redistribution")
    parser.add_argument("--cellsize", type=float, default=4.0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    make_cone(options.folder)
    print("| | workers | step | seconds | processor seconds | expected, one core | client [GB] | "
          "largest worker [GB] |\n|---|--:|---|--:|--:|--:|--:|--:|")  # fmt: skip
    for share in (float(x) / 16 for x in options.areas.split(",")):
        all_of = {}
        for workers in map(int, options.workers.split(",")):
            all_of[workers] = measure(options.folder, share, options, workers)
            print("\n".join(rows(share, workers, all_of[workers])), flush=True)
        one = next(iter(all_of.values()))
        expected = one["expected"]
        print(f"\nexpected memory {expected['memory'] / 1e3:.2f} GB a worker and "
              f"{expected['disk']:.2f} GB of disk, {one['disk']:.2f} GB found\n")  # fmt: skip
        if len(all_of) > 1:
            same = len({found["digest"] for found in all_of.values()}) == 1
            times = [sum(found[step]["seconds"] for step in ("first pass", "patches"))
                     for found in all_of.values()]  # fmt: skip
            print(f"files of patches {'identical' if same else 'DIFFERENT'}, "
                  f"{np.max(times) / np.min(times):.2f} times the time\n")  # fmt: skip


if __name__ == "__main__":
    main()
