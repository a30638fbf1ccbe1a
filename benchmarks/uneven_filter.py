"""The Wiener filter of uneven expected counts: accuracy, iterations, time and memory.

    OMP_NUM_THREADS=1 python benchmarks/uneven_filter.py

A Gaussian field is observed by Poisson counts whose expectation falls by 20 along the line of sight
and is 0 on 7% of the sky. Conjugate gradients of several tolerances are compared with the local
approximation, with one Fourier filter for the mean of 1 / n and with one that ignores that n
changes. The floor of an iteration is a transform and its inverse, of a single mesh in place, in the
same run; that of the local approximation one pair for each level. The memory is the rise of the
peak of the process above what it had before.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from truez.linear.counts import CellCounts
from truez.linear.local import local_wiener_spec
from truez.linear.model import LinearModel
from truez.linear.uneven import (
    FilterSettings,
    uneven_wiener,
    uneven_wiener_spec,
)
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft_, rfft_, roomy_mesh, wavevectors
from truez.sightlines.kernel import Kernel
from truez.surveys.photoz import PhotozError

CELL = 4.0
#: Small enough that the field hardly ever reaches -1, so that galaxies can be drawn from it.
AMPLITUDE = 600.0
LEVELS = 8


def spectrum(density: float = 1.0) -> LinearModel:
    k = np.geomspace(1e-3, 10, 300)
    power = AMPLITUDE * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    return LinearModel.from_spectra(
        k, power, power, power, n_spec=density, n_photo=density, n_both=0.0,
        error=PhotozError(60.0), resampler="ngp",
    )  # fmt: skip


def gaussian(model: LinearModel, box: Box, generator: torch.Generator) -> torch.Tensor:
    modes = torch.fft.rfftn(torch.randn(box.meshsize, generator=generator))
    waves = wavevectors(box, dtype=torch.float64)
    k = torch.sqrt(sum(wave**2 for wave in waves))
    window = torch.ones_like(k)
    for wave in waves:
        window *= torch.sinc(wave * CELL / (2 * np.pi)) ** 2
    power = torch.where(k > 0, model.powers(k, waves[2].expand(k.shape), window)[0], 0.0)
    modes *= torch.sqrt(power * box.num_cells / box.volume).float()
    return torch.fft.irfftn(modes, s=box.meshsize)


def expected_counts(box: Box, highest: float) -> torch.Tensor:
    """They fall by 20, with holes of 4 x 4 sight lines."""
    nx, ny, nz = box.meshsize
    holes = np.random.default_rng(1).random((nx // 4, ny // 4)) < 0.07
    mask = torch.from_numpy(~holes.repeat(4, 0).repeat(4, 1)).float()[..., None]
    return highest * torch.exp(-torch.linspace(0, np.log(20), nz)) * mask


def measured(work: Callable[[], object]) -> tuple[object, float, float]:
    """Result, seconds and rise of the peak memory [bytes]."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory that is free already would hide a rise
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start, resident("VmHWM") - before


def resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) * 1024


def even_filter(field: torch.Tensor, box: Box, noise_per_cell: float) -> torch.Tensor:
    """The Fourier filter of an overdensity whose noise is taken to be even."""
    model = spectrum(1 / (noise_per_cell * CELL**3))
    one = Field(field, box)
    return model.wiener(spec=one, photo=one, use="spec").values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=128)
    parser.add_argument("--highest", type=float, default=80.0, help="expected counts per cell")
    options = parser.parse_args()
    box, model = Box(CELL * options.cells, options.cells), spectrum()
    generator = torch.Generator().manual_seed(1)
    delta = gaussian(model, box, generator)
    expected = expected_counts(box, options.highest)
    counts = torch.poisson(expected * (1 + delta).clamp(min=0), generator=generator)
    spec = CellCounts(counts, expected)
    room = roomy_mesh(box.meshsize)
    pair = min(measured(lambda: irfft_(rfft_(room), box.meshsize))[1] for _ in range(5))
    best = uneven_wiener_spec(model, box, spec, settings=FilterSettings(tolerance=1e-6)).spec
    optimum, variance = (float(x.square().mean()) for x in (best - delta, delta))
    k = torch.linspace(0.005, 1, 400, dtype=torch.float64)
    peak = float(model.powers(k, 0 * k)[0].max()) * options.highest / CELL**3

    print(
        f"{options.cells}^3 cells, n P of {peak:.0f} at the most, MSE/Var of the optimum "
        f"{optimum / variance:.3f}; a transform and its inverse {pair:.3f} s, "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}\n"
    )
    print(
        "| filter | MSE above the optimum | field differs by | iterations | seconds "
        "| floor | memory [meshes] |\n|---|--:|--:|--:|--:|--:|--:|"
    )

    def row(name: str, work: Callable[[], object], pairs: float | None = None) -> None:
        found, seconds, memory = measured(work)
        field = found if isinstance(found, torch.Tensor) else found.spec
        iterations = "" if isinstance(found, torch.Tensor) else found.iterations or ""
        floor = "" if pairs is None and not iterations else (pairs or iterations + 1) * pair
        share = f"{floor / seconds:.0%}" if floor else ""
        above = float((field - delta).square().mean()) / optimum - 1
        differs = float((field - best).std() / best.std())
        print(
            f"| {name} | {100 * above:.2f}% | {100 * differs:.1f}% | {iterations} "
            f"| {seconds:.2f} | {share} | {memory / (4 * box.num_cells):.1f} |",
            flush=True,
        )

    for tolerance in (1e-2, 1e-3, 1e-4):
        row(
            f"conjugate gradients, {tolerance:g}",
            lambda tolerance=tolerance: uneven_wiener_spec(
                model, box, spec, settings=FilterSettings(tolerance=tolerance)
            ),
        )
    row(
        f"local approximation, {LEVELS} levels",
        lambda: local_wiener_spec(model, box, spec, num_levels=LEVELS),
        LEVELS,
    )
    inverse = float((1 / expected[expected > 0]).mean())
    field = torch.where(expected > 0, counts / expected.clamp(min=1e-9) - 1, 0.0)
    row("one filter, mean of 1 / n", lambda: even_filter(field, box, inverse), 1)
    mean = float(counts.mean())
    row("one filter, n ignored", lambda: even_filter(counts / mean - 1, box, 1 / mean), 1)
    kernel = Kernel.of(model.error, box).matrix
    photo_expected = 10 * expected
    photo = torch.poisson(
        (photo_expected * (1 + delta).clamp(min=0)) @ kernel.T, generator=generator
    )
    found, seconds, memory = measured(
        lambda: uneven_wiener(
            model, box, spec, [CellCounts(photo, photo_expected, kernel)], common=0.0
        )
    )
    above = float((found.photo - delta).square().mean()) / optimum - 1
    print(
        f"| both surveys, 0.001 | {100 * above:.2f}% | | {found.iterations} | {seconds:.2f} "
        f"| {2 * (found.iterations + 1) * pair / seconds:.0%} "
        f"| {memory / (4 * box.num_cells):.1f} |"
    )


if __name__ == "__main__":
    main()
