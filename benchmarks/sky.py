"""``truez redshifts`` and ``truez reconstruct`` on the sky, and the filter beside NIFTy's.

    OMP_NUM_THREADS=1 python benchmarks/sky.py [--mock g09] [--cases 1 1000 5000] [--peer PYTHON]

Each command runs in a process of its own, reading and writing included: of a mock folder, such as
that of GAMA G09 in ../docs/guides/sky-mocks.md, and of random galaxies over 1, 1,000 and 5,000
deg^2. Then the Wiener filter of uneven counts alone, in a closed Cartesian box with as many cells
as a patch, and the same filter by NIFTy 8 in the Python given (GPL; truez never imports it). Both
are compared with our solution of tolerance 1e-7. On a busy machine processor seconds say more than
seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: Of the filter alone: as many cells as the patch of GAMA G09 at chi_ref = 650 Mpc/h has.
CELL, MESH = 2.0, (128, 64, 344)
#: Footprint, galaxies, side of cells [Mpc/h] and redshifts of the map, by area [deg^2].
CASES = {
    "1": ("150,151,0,1", 2_000, 2.0, "0.14,0.5"),
    "1000": ("150,190,-12.6,12.6", 1_000_000, 8.0, "0.14,0.8"),
    "5000": ("120,240,0,46.65", 200_000, 12.0, "0.2,0.55"),
}
OPTIONS = (
    "--spec {0}/spec.parquet --photo {0}/photo.parquet --sky ra,dec,z --photo-sky ra,dec,z_phot "
    "--sigma-z 0.02 --match-id id --footprint {1} --cellsize {2} --redshift-range {3}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mock", help="folder of a mock on the sky, with cells of 2 Mpc/h")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--peer", help="python that has nifty8 and truez")
    parser.add_argument("--filter", choices=("truez", "nifty"), help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.filter:
        run_filter(options.filter, Path(options.folder))
        return
    if options.run:
        run_case(*options.run, Path(options.folder))
        return
    print("| | command | seconds | processor seconds | peak memory [GB] |\n|---|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.mock:
            for command in ("redshifts", "reconstruct"):
                words = [options.mock, "--method", "redistribution"]
                truez(f"`{Path(options.mock).name}`", command, words, folder)
        for case in options.cases:
            footprint, number, cellsize, limits = CASES[case]
            random_galaxies(folder, footprint, number)
            words = OPTIONS.format(folder, footprint, cellsize, limits).split()
            truez(f"{case} deg^2", "redshifts", [*words, "--dry-run"], folder)
            for command in ("redshifts", "reconstruct"):
                line = [sys.executable, __file__, "--run", command, case, "--folder", str(folder)]
                row(f"{case} deg^2", command, line)
        if options.peer:
            make_problem(folder)
            alone(folder, options.peer)


def random_galaxies(folder: Path, footprint: str, number: int) -> None:
    """Catalogues of random galaxies, a tenth of them with spectra."""
    from truez import Catalog

    rng = np.random.default_rng(1)
    west, east, south, north = (float(part) for part in footprint.split(","))
    ra = rng.uniform(west, east, number)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians([south, north])), number)))
    z = np.empty(0)
    while len(z) < number:
        tried = rng.uniform(0.1, 0.9, 4 * number)
        weight = tried**2 * np.exp(-((tried / 0.45) ** 2.5))
        z = np.concatenate([z, tried[rng.random(len(tried)) < weight / weight.max()]])
    z = z[:number]
    z_phot = z + 0.02 * (1 + z) * rng.normal(size=number)
    ids, known = np.arange(number), rng.random(number) < 0.1
    photo = {"ra": ra, "dec": dec, "z_phot": z_phot, "id": ids}
    spec = {"ra": ra, "dec": dec, "z": z, "id": ids}
    Catalog(photo).write(folder / "photo.parquet")
    Catalog({name: values[known] for name, values in spec.items()}).write(folder / "spec.parquet")


def run_case(command: str, case: str, folder: Path) -> None:
    """Sharpen or reconstruct a case; spectra are measured on meshes of 16 Mpc/h."""
    from truez.sky.details import SkyDetails
    from truez.sky.patches import PatchSettings
    from truez.sky.reconstruct import reconstruct, sharpen
    from truez.sky.surveys import SkySurveys
    from truez.support.spill import spill_beside

    footprint, _, cellsize, limits = CASES[case]
    low, high = (float(part) for part in limits.split(","))
    surveys = SkySurveys.from_catalogs(
        photo=folder / "photo.parquet", spec=folder / "spec.parquet", footprint=footprint,
        sigma_z=0.02, match_id="id",
        details=SkyDetails(
            sky=("ra", "dec", "z"), photo_sky=("ra", "dec", "z_phot"), redshift_range=(low, high)
        ),
    )  # fmt: skip
    how = PatchSettings(cellsize=cellsize)
    if command == "reconstruct":
        reconstruct(surveys, patches=how, path=folder / "field.h5", fit_cellsize=16.0)
        return
    with spill_beside(folder / "redshifts.fits") as spill:
        sharpen(surveys, patches=how, spill=spill, fit_cellsize=16.0)


def truez(name: str, command: str, words: list[str], folder: Path) -> None:
    """Run a command and print its row."""
    out = folder / ("redshifts.fits" if command == "redshifts" else "field.h5")
    line = [sys.executable, "-m", "truez", command, *words, "--out", str(out), "--overwrite"]
    row(name, f"{command}{' --dry-run' if '--dry-run' in words else ''}", line)


def row(name: str, what: str, line: list[str]) -> str:
    """Run a process, and print seconds, processor seconds and peak memory; its output."""
    start = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    assert process.returncode == 0, f"{what} failed"
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6
    print(f"| {name} | {what} | {wall:.0f} | {cpu:.1f} | {memory:.2f} |", flush=True)
    return output


def spectrum():
    """A linear model with a single spectrum, without distortions."""
    from truez.linear.model import LinearModel
    from truez.surveys.photoz import PhotozError

    k = np.geomspace(1e-4, 10, 600)
    power = 2000 * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    return LinearModel.from_spectra(
        k, power, power, power, n_spec=1.0, n_photo=1.0, n_both=0.0, error=PhotozError(60.0),
        resampler="ngp",
    )  # fmt: skip


def cell_power():
    """Its spectrum of the means of cells, on all modes [(Mpc/h)^3]."""
    import torch

    x, y, z = (
        torch.from_numpy(2 * np.pi * np.fft.fftfreq(n, CELL)).reshape(shape)
        for n, shape in zip(MESH, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True)
    )
    k = torch.sqrt(x**2 + y**2 + z**2)
    window = torch.ones_like(k)
    for wave in (x, y, z):
        window *= torch.sinc(wave * CELL / (2 * np.pi)) ** 2
    power = spectrum().powers(k, z.expand(k.shape), window)[0]
    return torch.where(k > 0, power, 0.0).numpy()


def make_problem(folder: Path) -> None:
    """Counts of a Gaussian field, whose expectation falls by 100, with holes in 7% of the sky."""
    rng = np.random.default_rng(1)
    nx, ny, nz = MESH
    powers = cell_power()[:, :, : nz // 2 + 1]
    modes = np.fft.rfftn(rng.normal(size=MESH)) * np.sqrt(powers / CELL**3)
    delta = np.fft.irfftn(modes, MESH, axes=(0, 1, 2))
    holes = rng.random((nx // 4, ny // 4)) < 0.07
    mask = ~holes.repeat(4, 0).repeat(4, 1)
    expected = mask[:, :, None] * 0.03 * np.exp(-np.linspace(0, np.log(100), nz))
    counts = rng.poisson(expected * np.maximum(1 + delta, 0))
    np.savez(folder / "problem.npz", counts=counts.astype("f4"), expected=expected.astype("f4"))


def run_filter(code: str, folder: Path) -> None:
    """One code's filter: seconds, processor seconds, and its field in a file."""
    given = np.load(folder / "problem.npz")
    solve = {"truez": solve_truez, "nifty": solve_nifty}[code]
    work = solve(given["counts"], given["expected"], 1e-3)
    start, cpu = time.perf_counter(), time.process_time()
    field = work()
    taken = time.perf_counter() - start, time.process_time() - cpu
    np.save(folder / f"{code}.npy", field)
    print(json.dumps(taken))


def solve_truez(counts, expected, tolerance):
    import torch

    from truez.linear.counts import CellCounts
    from truez.linear.uneven import FilterSettings, uneven_wiener_spec
    from truez.mesh.box import Box

    box, model = Box([CELL * n for n in MESH], MESH), spectrum()
    spec = CellCounts(torch.from_numpy(counts), torch.from_numpy(expected))
    how = FilterSettings(tolerance=tolerance)
    return lambda: uneven_wiener_spec(model, box, spec, settings=how).spec.numpy()


def solve_nifty(counts, expected, tolerance):
    import nifty8 as ift

    space = ift.RGSpace(MESH, distances=CELL)
    modes = space.get_default_codomain()
    to_cells = ift.HartleyOperator(modes, space)
    # Its modes are those of the field times the volume; none may have no power.
    volume = CELL**3 * np.prod(MESH)
    signal = ift.makeOp(ift.makeField(modes, volume * np.maximum(cell_power(), 1e-6)))
    empty = expected == 0
    seen = ift.MaskOperator(ift.makeField(space, empty))
    level = ift.makeField(space, expected.astype(np.float64))
    response = seen @ ift.makeOp(level) @ to_cells
    noise = ift.makeOp(seen(level))
    data = seen(ift.makeField(space, (counts - expected).astype(np.float64)))

    def work():
        control = ift.GradientNormController(tol_rel_gradnorm=tolerance, iteration_limit=500)
        curvature = ift.WienerFilterCurvature(response, noise, signal, control)
        source = response.adjoint_times(noise.inverse_times(data))
        return to_cells(curvature.inverse_times(source)).val.astype(np.float32)

    return work


def alone(folder: Path, peer: str) -> None:
    """The filters alone, beside our converged solution."""
    given = np.load(folder / "problem.npz")
    best = solve_truez(given["counts"], given["expected"], 1e-7)()
    print(f"\n{' x '.join(map(str, MESH))} cells, conjugate gradients to 0.001\n")
    print("| | filter | seconds | processor seconds | peak memory [GB] |\n|---|---|--:|--:|--:|")
    taken = {}
    for code, python in (("truez", sys.executable), ("nifty", peer)):
        line = [python, __file__, "--filter", code, "--folder", str(folder)]
        taken[code] = json.loads(row("whole process", code, line).splitlines()[-1])
        differs = np.std(np.load(folder / f"{code}.npy") - best) / np.std(best)
        print(f"| filter alone | {code} | {taken[code][0]:.1f} | {taken[code][1]:.1f} | "
              f"differs from the optimum by {100 * differs:.2f}% |", flush=True)  # fmt: skip
    print(f"\nNIFTy takes {taken['nifty'][1] / taken['truez'][1]:.1f} times the processor seconds.")


if __name__ == "__main__":
    main()
