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
../docs/guides/sky-mocks.md, the survey in one patch is compared with it in patches of some degrees:
the field in all cells and in those within two cells of a seam.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import truez
from truez.reconstruct.patched import PatchSides, reconstruct_in_patches
from truez.sightlines.sharpened import sharpen
from truez.sky.mock import SkyMock
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct as sky_reconstruct
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


def on_sky(folder: Path, method: str, widest: float) -> str:
    """A survey on the sky in patches beside it in one: a row of a table."""
    surveys, halo = SkyMock.read(folder).surveys, SKY_METHODS[method].halo
    found, taken = [], []
    for width in (20.0, widest):
        cut = PatchSettings(chi_ref=650, halo=halo, widest=width)
        started = time.process_time()
        found.append(sky_reconstruct(surveys, method, patches=cut))
        taken.append(time.process_time() - started)
    one, two = (result.redshifts() for result in found)
    both = surveys.unknown & np.isfinite(one["z_mean"]) & np.isfinite(two["z_mean"])
    shift = (one["z_mean"] - two["z_mean"])[both]
    (patch,) = found[0]
    axes = [patch.box.centers(axis) for axis in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    places = patch.box.sky(points)
    whole, parts = (result.at(*places).reshape(patch.box.meshsize) for result in found)
    number = found[1].patch_of(*places).reshape(patch.box.meshsize)
    seam = np.zeros(number.shape, bool)
    for axis in (0, 1):
        for step in range(1, SEAM_CELLS + 1):
            differs = number != np.roll(number, step, axis)
            seam |= differs | np.roll(differs, -step, axis)
    known = np.isfinite(whole) & np.isfinite(parts)
    rms = [(parts - whole)[known & here].std() / whole[known].std() for here in (True, seam, ~seam)]
    redshifts = np.sqrt(np.mean(shift**2)) / one["z_std"][both].mean()
    cells = " | ".join(f"{100 * value:.2f}%" for value in (*rms, redshifts))
    return f"| {method} | {len(found[1])} | {cells} | {taken[0]:.0f} and {taken[1]:.0f} |"


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
        print("| method | patches | field | near seams | elsewhere | redshifts | CPU [s] |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for method in given.methods.split(","):
            print(on_sky(given.mock, method, given.widest), flush=True)
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
