"""Seconds and memory of an N-body step, side by side with JaxPM in one run.

    python benchmarks/nbody.py --peers PYTHON [--particles 128 256] [--large 600] [--threads 2]

Writes `benchmarks/nbody.md`. ``--peers`` names the python of an environment that has JaxPM (``pip
install jaxpm==0.0.2 jax-cosmo``). Every code is a process of its own, which is given the same
particles (evolved to z = 0.59, 2 Mpc/h apart) and then makes one step (forces, kick, drift) in each
turn, one code after the other, so that other load on the machine affects all of them. JaxPM runs
under jit, float32, with its buffers donated; its first step, which compiles, does not count, nor
does that of the others. The floor is the time of the transforms of the textbook's step, one forward
and three inverse real FFTs of the mesh, each by the fastest of torch, scipy, and truez in place.
``--large`` runs `simulate` at the paper's density with that many particles a side, for three steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

SPACING = 2.0  # Mpc/h
KICK, DRIFT = 1e-3, 1e-3  # so small that no step changes the particles by much


def peak_bytes() -> int:
    """Largest memory of this process alone; getrusage returns that of its parent as well."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


def available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))) * 1024


def truez_step(folder: Path, particles: int, factor: int) -> Callable[[], object]:
    import torch

    from truez.mesh.box import Box
    from truez.mesh.fourier import roomy_mesh
    from truez.simulate.gravity import kick
    from truez.simulate.nbody import _drift, force_mesh

    box = Box(SPACING * particles, particles)
    mesh = force_mesh(box, factor)
    x, p = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("x", "p"))
    room = roomy_mesh(mesh.meshsize)

    def step() -> None:
        kick(p, x, box, mesh, KICK, room)
        _drift(x, p, DRIFT, box)

    return step


def jaxpm_step(folder: Path, particles: int, factor: int) -> Callable[[], object]:
    import jax
    from jaxpm.pm import pm_forces

    cells = (factor * particles,) * 3

    def update(x, p):
        p = p + KICK * pm_forces(x, cells)
        return x + DRIFT * p, p

    compiled = jax.jit(update, donate_argnums=(0, 1))
    state = [jax.numpy.asarray(np.load(folder / f"{name}.npy")) / SPACING * factor for name in "xp"]

    def step() -> None:
        state[:] = jax.block_until_ready(compiled(*state))

    return step


def floor_step(_: Path, particles: int, factor: int) -> Callable[[], object]:
    """Seconds of one forward and three inverse transforms, the fastest of each."""
    import scipy.fft
    import torch

    from truez.mesh.fourier import irfft_, rfft_, roomy_mesh

    cells = (factor * particles,) * 3
    room, values = roomy_mesh(cells), torch.zeros(cells)
    modes = torch.fft.rfftn(values)
    threads = torch.get_num_threads()

    def seconds(function: Callable[[], object]) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def step() -> float:
        forward = [
            seconds(lambda: torch.fft.rfftn(values)),
            seconds(lambda: scipy.fft.rfftn(values.numpy(), workers=threads)),
            seconds(lambda: rfft_(room)),
        ]
        inverse = [
            seconds(lambda: torch.fft.irfftn(modes, s=cells)),
            seconds(lambda: scipy.fft.irfftn(modes.numpy(), s=cells, workers=threads)),
            seconds(lambda: irfft_(torch.view_as_complex(_pairs(room)), cells)),
        ]
        return min(forward) + 3 * min(inverse)

    return step


def _pairs(room):
    from truez.mesh.fourier import with_room

    return with_room(room).view(*room.shape[:2], -1, 2)


CODES = {"truez": truez_step, "JaxPM": jaxpm_step, "FFT": floor_step}


def work(code: str, folder: Path, particles: int, factor: int) -> None:
    """Make one step for each line of the input; print its seconds and the peak memory, as JSON."""
    # Memory of the libraries is not counted.
    if code == "JaxPM":
        import jax
        import jaxpm.pm  # noqa: F401

        jax.block_until_ready(jax.jit(lambda x: x + 1)(jax.numpy.ones(8)))
    else:
        load_truez()
    base = peak_bytes()
    step = CODES[code](folder, particles, factor)
    for _ in sys.stdin:
        start = time.perf_counter()
        result = step()
        seconds = time.perf_counter() - start if result is None else result
        print(json.dumps([seconds, peak_bytes() - base]), flush=True)


def load_truez() -> None:
    """A step of 8^3 particles, which loads all that truez needs."""
    import torch

    from truez.mesh.box import Box
    from truez.mesh.fourier import roomy_mesh
    from truez.simulate.gravity import kick

    box = Box(1.0, 8)
    kick(torch.zeros(512, 3), torch.rand(512, 3), box, box, 1.0, roomy_mesh(box.meshsize))


def make_particles(folder: Path, particles: int) -> None:
    """Particles at z = 0.59 after few steps, in lattice order, with velocities as momenta."""
    from truez.cosmology import COSMOLOGIES
    from truez.mesh.box import Box
    from truez.simulate import ParticleMesh, simulate

    box = Box(SPACING * particles, particles)
    how = ParticleMesh(num_steps=4, force_factor=1)
    found = simulate(box, COSMOLOGIES["wmap"], redshift=0.59, seed=1, settings=how)
    np.save(folder / "x.npy", found.positions)
    np.save(folder / "p.npy", found.velocities)


def take_turns(workers: dict, rounds: int) -> dict[tuple[str, int], tuple[list[float], int]]:
    """Seconds of each code's steps after the first, and its peak memory."""
    seconds = {key: [] for key in workers}
    memory = dict.fromkeys(workers, 0)
    for turn in range(rounds + 1):
        for key, worker in workers.items():
            worker.stdin.write("step\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
            if not line:
                raise RuntimeError(f"{key} stopped with code {worker.wait()}")
            elapsed, memory[key] = json.loads(line)
            if turn:
                seconds[key].append(elapsed)
    return {key: (seconds[key], memory[key]) for key in workers}


def compare(particles: int, options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_particles(folder, particles)
        workers = {}
        for code, factor in (("truez", 1), ("JaxPM", 1), ("FFT", 1), ("truez", 2), ("FFT", 2)):
            if code == "JaxPM" and options.peers is None:
                continue
            python = options.peers if code == "JaxPM" else sys.executable
            command = [python, __file__, "--work", code, name, str(particles), str(factor)]
            workers[code, factor] = subprocess.Popen(
                [*command, "--threads", str(options.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        try:
            return take_turns(workers, options.rounds)
        finally:
            for worker in workers.values():
                worker.stdin.close()
                worker.wait()


def run_large(particles: int, factor: int) -> None:
    """Print seconds of the start, of a step and of the last kick, and the peak memory, as JSON."""
    from truez.cosmology import COSMOLOGIES
    from truez.mesh.box import Box
    from truez.simulate import ParticleMesh, memory_needed, simulate

    cosmology = COSMOLOGIES["wmap"]
    simulate(Box(128, 32), cosmology, redshift=1, seed=1, settings=ParticleMesh(num_steps=1))
    base, times = peak_bytes(), []

    def note(*_: object) -> None:
        times.append(time.perf_counter())
        print(f"{times[-1] - times[0]:.1f} s", file=sys.stderr, flush=True)

    box = Box(SPACING * particles, particles)
    how = ParticleMesh(num_steps=3, force_factor=factor)
    simulate(box, cosmology, redshift=0.59, seed=1, settings=how, progress=note)
    end = time.perf_counter()
    step = (times[3] - times[1]) / 2
    result = {
        "start": times[1] - times[0] - step,
        "step": step,
        "last": end - times[3],
        "peak": peak_bytes(),
        "beyond": peak_bytes() - base,
        "needed": memory_needed(box, factor),
    }
    print(json.dumps(result))


def large_rows(options: argparse.Namespace) -> list[str]:
    from truez.mesh.box import Box
    from truez.simulate import memory_needed

    rows = []
    for factor in (1, 2):
        needed, free = memory_needed(Box(1.0, options.large), factor), available_bytes()
        if needed > free:
            rows.append(
                f"| {options.large}^3 | {factor * options.large}^3 | not run: {free / 1e9:.1f} GB "
                f"free | | | | {needed / 1e9:.2f} |"
            )
            continue
        command = [sys.executable, __file__, "--run-large", str(options.large), str(factor)]
        done = subprocess.run(
            [*command, "--threads", str(options.threads)], stdout=subprocess.PIPE, check=True
        )
        found = json.loads(done.stdout)
        whole = found["start"] + 12 * found["step"] + found["last"]
        rows.append(
            f"| {options.large}^3 | {factor * options.large}^3 | {found['start']:.1f} "
            f"| {found['step']:.1f} | {whole / 60:.1f} | {found['peak'] / 1e9:.2f} "
            f"| {found['needed'] / 1e9:.2f} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers")
    parser.add_argument("--particles", type=int, nargs="*", default=[128, 256])
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--run-large", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
    # XLA takes as many threads as the process has cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    if options.work:
        code, folder, particles, factor = options.work
        work(code, Path(folder), int(particles), int(factor))
        return
    if options.run_large:
        run_large(*options.run_large)
        return

    rows = []
    for particles in options.particles:
        results = compare(particles, truth=options)
        mine = results["truez", 1][0]
        for (code, factor), (seconds, memory) in results.items():
            if code == "FFT":
                continue
            ratio = np.median([b / a for a, b in zip(mine, seconds, strict=True)])
            floor = np.median(
                [a / b for a, b in zip(results["FFT", factor][0], seconds, strict=True)]
            )
            rows.append(
                f"| {particles}^3 | {factor * particles}^3 | {code} | {min(seconds):.3f} "
                f"| {ratio:.2f} | {floor:.0%} | {memory / 1e9:.2f} |"
            )
    lines = [
        "# An N-body step",
        "",
        "    " + " ".join(["python benchmarks/nbody.py", *_shown(sys.argv[1:])]),
        "",
        (
            f"One step (forces, kick and drift) of particles at z = 0.59, {options.threads} cores, "
            f"float32, {options.rounds} rounds after a first step that does not count (JaxPM "
            "compiles in it), the codes in turn. Seconds are those of the best round; ratios are "
            "medians over the rounds of the ratio within a round."
        ),
        "",
        "| particles | force mesh | code | seconds | times truez | FFT floor | memory [GB] |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        (
            "FFT floor: share of the seconds that one forward and three inverse real transforms of "
            "the mesh take, each by the fastest of torch, scipy and truez in place; truez makes "
            "one of each. Memory: peak of "
            "the process beyond that of its libraries, particles included; that of JaxPM includes "
            "its compiler."
        ),
    ]
    if options.large:
        lines += [
            "",
            (
                f"`simulate` of {options.large}^3 particles in a box of "
                f"{SPACING * options.large:.0f} Mpc/h, three steps measured after the start (modes "
                "and second-order displacements), and the minutes that start and 12 steps would "
                "take. Peak of the whole process, libraries (0.4 GB) included; needed: "
                "`memory_needed`, without them."
            ),
            "",
            (
                "| particles | force mesh | start [s] | step [s] | start and 12 steps [min] "
                "| peak [GB] | needed [GB] |"
            ),
            "|---|---|---|---|---|---|---|",
            *large_rows(options),
        ]
    peer = "not installed" if options.peers is None else _peer_versions(options.peers)
    lines += [
        "",
        (
            f"truez {version('truez')}, torch {version('torch')}, scipy {version('scipy')}, "
            f"JaxPM {peer}, Python {platform.python_version()}, {_processor()}. Load average at "
            f"the end: {os.getloadavg()[0]:.1f}; where it is above {options.threads}, other work "
            "ran at the same time, and seconds are too long and ratios less certain."
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.write_text(text, encoding="utf-8")


def _shown(arguments: list[str]) -> list[str]:
    """Without the path of the other environment."""
    return [
        "PYTHON" if before == "--peers" else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]


def _peer_versions(python: str) -> str:
    code = "from importlib.metadata import version as v; print(v('jaxpm'), 'with jax', v('jax'))"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
