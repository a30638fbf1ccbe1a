"""A box in patches beside the whole box: field, redshifts, seams, CPU time and memory.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/patches.py [--sides 384,128,512]
        [--patch 128] [--methods redistribution,columns] [--figure FILE.png]
    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/patches.py --mock g09 [--widest 4]

Two surveys of a simulated universe (cells of 2 Mpc/h, n_s = 1e-3, n_p = 1.85e-2 (h/Mpc)^3, sigma_z
= 0.02) are reconstructed whole and in patches, each in a process of its own, whose peak memory that
is above what it had before. The seams lie at multiples of the cores' side along x: the power of the
difference in planes of modes of one k_x, over that of the field, would peak at their frequency and
its multiples.

With ``--mock``, the folder of a mock on the sky such as that of GAMA G09 in
../docs/guides/sky-mocks.md, the survey in one patch is compared with it in patches of some degrees,
as runs of partitions: with the linear model and the strength of pairs that were measured on these
patches, and with those of the whole; the field in all cells and in those within two of a seam.
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

import truez
from truez import Catalog
from truez.reconstruct.patched import PatchSides, reconstruct_in_patches
from truez.sightlines.sharpened import sharpen
from truez.sky.distributed.driver import begin, make_patches, prepare
from truez.sky.distributed.join_catalog import CatalogJoin
from truez.sky.distributed.join_field import join_field
from truez.sky.distributed.run_plan import GivenSurveys
from truez.sky.distributed.workers import OwnProcess
from truez.sky.field import SkyField
from truez.sky.mock import SkyMock
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.sky_input import SkyInput
from truez.sky.partition.stored import Partition
from truez.sky.patches import PatchSettings
from truez.sky.registry import METHODS as SKY_METHODS

#: Cells on each side of a seam on the sky that are near it.
SEAM_CELLS = 2


def peak() -> float:
    """Peak memory of this process without files that are mapped [MB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if "kB" in line}
    return (float(found["VmHWM"]) - float(found["RssFile"])) / 1e3


def made(folder: Path, sides: list[float]) -> None:
    universe = truez.Universe(
        boxsize=sides, num_particles=[int(side / 2) for side in sides], redshift=0.59,
        density=1.85e-2, seed=7, force_factor=1,
    ).make()  # fmt: skip
    mock = universe.observe(spec_density=1e-3, sigma_z=0.02, cellsize=2, seed=2)
    mock.write(folder / "mock")


def work(folder: Path, method: str, patch: float) -> None:
    """Reconstruct in this process, and print what it took."""
    surveys = truez.Mock.read(folder / "mock").surveys
    before, started, path = peak(), time.process_time(), folder / f"{method}-{patch:g}.h5"
    if patch:
        about = reconstruct_in_patches(surveys, method, path=path, patches=PatchSides(patch))
    else:
        result = truez.reconstruct(surveys, method)
        result.write(path)
        about = result.metadata
    taken = {"cpu": time.process_time() - started, "memory": peak() - before}
    print(json.dumps({**taken, "pairs": about["pairs"]["strength"]}))


def compared(folder: Path, method: str, patch: float) -> dict[str, object]:
    surveys = truez.Mock.read(folder / "mock").surveys
    whole, parts = (
        truez.Reconstruction.read(folder / f"{method}-{side:g}.h5", surveys) for side in (0, patch)
    )
    field = whole.delta.numpy()
    away = parts.delta.numpy() - field
    one, two = sharpen(surveys, whole), sharpen(surveys, parts)
    unknown = one.std > 0
    shift = (one.mean - two.mean)[unknown]
    power = [(np.abs(np.fft.rfftn(x)) ** 2).sum((1, 2)) for x in (away, field)]
    return {
        "field": float(away.std() / field.std()),
        "redshifts": float(np.sqrt(np.mean(shift**2)) / one.std[unknown].mean()),
        "planes": (power[0] / power[1])[: len(field) // 2],
    }


def run_on_sky(folder: Path, source: Path, method: str, widest: float, like: Path | None) -> Path:
    """A survey on the sky in patches, as a run; with what all patches share as of another run."""
    mock, name = SkyMock.read(source), f"{widest:g}{'' if like is None else '-like'}"
    divided, place = folder / f"divided-{widest:g}", folder / f"run-{name}"
    plan = PatchPlan(
        mock.footprint, mock.config.cosmology, mock.config.redshift_range,
        mock.config.photo.sigma_z, settings=PatchSettings(
            chi_ref=650, halo=SKY_METHODS[method].halo, widest=widest,
            stride=SKY_METHODS[method].stride,
        ),
    )  # fmt: skip
    samples = {"photo": ("ra", "dec", "z_phot"), "spec": ("ra", "dec", "z")}
    inputs = {n: SkyInput(source / f"{n}.parquet", names) for n, names in samples.items()}
    Partition.make(divided, plan, **inputs)
    given = GivenSurveys(mock.config.photo.sigma_z, "id")
    run = begin(place, prepare(divided, given, method))
    if like is not None:
        shutil.copy(like / run.folder.settled.name, run.folder.settled)
    assert make_patches(run, OwnProcess()) == []
    numbers = list(range(len(run.partition)))
    join_field(run, place / "field.h5", numbers)
    CatalogJoin(run, numbers).write(place / "redshifts.parquet")
    return place


def on_sky(source: Path, method: str, widest: float, folder: Path) -> list[str]:
    """A survey on the sky in patches beside it in one: rows of a table."""
    whole = run_on_sky(folder, source, method, 20.0, None)
    (patch,) = SkyField.read(whole / "field.h5")
    axes = [patch.box.centers(axis) for axis in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    places, mesh = patch.box.sky(points), patch.box.meshsize
    field = SkyField.read(whole / "field.h5").at(*places).reshape(mesh)
    one, rows = Catalog.read(whole / "redshifts.parquet"), []
    for words, like in (("own", None), ("of the whole", whole)):
        place = run_on_sky(folder, source, method, widest, like)
        parts, two = SkyField.read(place / "field.h5"), Catalog.read(place / "redshifts.parquet")
        known = one["z_std"] > 0
        known &= np.isfinite(two["z_mean"])
        shift = np.sqrt(np.mean((one["z_mean"] - two["z_mean"])[known] ** 2))
        number = parts.patch_of(*places).reshape(mesh)
        seam = np.zeros(number.shape, bool)
        for axis in (0, 1):
            for step in range(1, SEAM_CELLS + 1):
                differs = number != np.roll(number, step, axis)
                seam |= differs | np.roll(differs, -step, axis)
        away = parts.at(*places).reshape(mesh) - field
        there = np.isfinite(away)
        rms = [away[there & here].std() / field[there].std() for here in (True, seam, ~seam)]
        cells = " | ".join(f"{100 * x:.2f}%" for x in (*rms, shift / one["z_std"][known].mean()))
        rows.append(f"| {method} | {len(parts)} | {words} | {cells} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", default="384,128,512")
    parser.add_argument("--patch", type=float, default=128)
    parser.add_argument("--methods", default="redistribution,columns")
    parser.add_argument("--figure")
    parser.add_argument("--mock", type=Path, help="folder of a mock on the sky")
    parser.add_argument("--widest", type=float, default=4.0, help="patches of the sky [deg]")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(Path(given.work[0]), given.work[1], float(given.work[2]))
        return
    if given.mock:
        print("| method | patches | linear model | field | near seams | elsewhere | z_mean |")
        print("|---|--:|---|--:|--:|--:|--:|")
        for method in given.methods.split(","):
            with tempfile.TemporaryDirectory() as name:
                rows = on_sky(given.mock, method, given.widest, Path(name))
                print("\n".join(rows), flush=True)
        return
    sides = [float(side) for side in given.sides.split(",")]
    print("| method | field | redshifts | at seams | elsewhere | CPU [s] | memory [MB] | pairs |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, sides)
        for method in given.methods.split(","):
            taken = []
            for side in (0, given.patch):
                command = [sys.executable, __file__, "--work", name, method, str(side)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                taken.append(json.loads(done.stdout))
            found = compared(folder, method, given.patch)
            planes = np.asarray(found["planes"])
            first = round(sides[0] / given.patch)
            seams = planes[first::first]
            others = np.delete(planes[1:], np.arange(first - 1, len(planes) - 1, first))
            cpu, memory, pairs = (
                " and ".join(f"{one[n]:.3g}" for one in taken) for n in ("cpu", "memory", "pairs")
            )
            print(
                f"| {method} | {100 * found['field']:.2f}% | {100 * found['redshifts']:.2f}% | "
                f"{seams.mean():.2e} | {others.mean():.2e} | {cpu} | {memory} | {pairs} |",
                flush=True,
            )
            if given.figure:
                draw(planes, sides[0], given.patch, method, Path(given.figure))


def draw(planes: np.ndarray, side: float, patch: float, method: str, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    k = 2 * np.pi / side * np.arange(len(planes))
    ax.semilogy(k[1:], planes[1:])
    for number in range(1, 6):
        ax.axvline(2 * np.pi / patch * number, color="0.8", zorder=0)
    ax.set(xlabel="k_x [h/Mpc]", ylabel="power of the difference over that of the field")
    ax.set_title(f"{method}: seams are {patch:g} Mpc/h apart (grey)")
    figure.savefig(path.with_name(f"{path.stem}-{method}{path.suffix}"))


if __name__ == "__main__":
    main()
