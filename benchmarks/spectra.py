"""P(k) multipoles of a 512^3 field: truez and abacusutils side by side, in one run.

    OMP_NUM_THREADS=2 python benchmarks/spectra.py [--peers PYTHON] [--meshsize 512]

Writes `benchmarks/spectra.md`. ``--peers`` names the python of an environment that has
abacusutils; it measures the same field in a process of its own. Without it, or where it cannot be
imported, the peer's rows say "not installed". Both transform the same float32 overdensity and bin
all modes below the Nyquist wavenumber in bins of one fundamental, with multipoles 0, 2, 4.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BOXSIZE = 1000.0
REPEATS = 3


def edges_of(meshsize: int) -> np.ndarray:
    return (np.arange(meshsize // 2) + 0.5) * 2 * np.pi / BOXSIZE


def best(function) -> tuple[float, object]:
    """Shortest of the repeats after a first call that compiles; seconds and the last result."""
    function()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_peer(path: str, threads: int) -> None:
    """Print the time and memory of abacusutils for the mesh in the file ``path``, as JSON."""
    from importlib.metadata import version

    from abacusnbody.analysis.power_spectrum import calc_pk_from_deltak
    from scipy.fft import rfftn

    mesh = np.load(path)
    before = peak_bytes()
    edges, ells = edges_of(len(mesh)), np.array([0, 2, 4])
    scale = np.float32(1 / mesh.size)

    def transform():
        modes = rfftn(mesh, workers=threads)
        modes *= scale
        return modes

    fft, modes = best(transform)
    memory = peak_bytes() - before
    binning, found = best(
        lambda: calc_pk_from_deltak(
            modes, BOXSIZE, edges, np.array([0.0, 1.0]), poles=ells, nthread=threads
        )
    )
    memory = max(memory, peak_bytes() - before)
    poles = np.asarray(found["binned_poles"])
    result = {"version": version("abacusutils"), "fft": fft, "binning": binning, "memory": memory}
    print(json.dumps({**result, "poles": poles.reshape(3, -1).tolist()}))


def peer_result(python: str | None, path: str, threads: int) -> dict | None:
    if python is None:
        return None
    command = [python, __file__, "--measure-peer", path, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers")
    parser.add_argument("--meshsize", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure-peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    n, threads = options.meshsize, options.threads
    if options.measure_peer:
        measure_peer(options.measure_peer, threads)
        return

    import torch

    import truez
    from truez.mesh.box import Box
    from truez.mesh.field import Field
    from truez.mesh.fourier import rfft
    from truez.statistics.binning import bin_modes
    from truez.statistics.power import compare, power, power_2d

    torch.set_num_threads(threads)
    values = torch.randn((n, n, n), generator=torch.Generator().manual_seed(1))
    field = Field(values, Box(BOXSIZE, n), "delta")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "mesh.npy")
        np.save(path, field.numpy())
        peer = peer_result(options.peers, path, threads)

    edges, all_mu = edges_of(n), np.array([0.0, 1.0])
    base = peak_bytes()
    whole, result = best(lambda: power(field, edges=edges))
    memory = peak_bytes() - base
    fft, modes = best(lambda: rfft(values))
    binning, _ = best(lambda: bin_modes(modes, None, field.box, edges, all_mu, moments=3))
    plane, _ = best(lambda: power_2d(field))
    pair, _ = best(lambda: compare(field, truth=field, edges=edges))

    # Floors on this machine, measured in this run: large float32 matrix products, large copies.
    a = torch.randn(4096, 4096)
    flops = 2 * 4096**3 / best(lambda: a @ a)[0]
    block = torch.empty(2**28)
    block.fill_(1.0)
    target = torch.empty_like(block)
    bandwidth = 2 * block.nbytes / best(lambda: target.copy_(block))[0]
    work = 2.5 * n**3 * np.log2(n**3)
    read = float(modes.nbytes) * np.pi / 6  # the modes below the Nyquist wavenumber
    # The transform must read the field and write the modes, and as they do not fit in the cache go
    # over them once more for the other two axes.
    floor_fft = max(work / flops, (values.nbytes + 3 * modes.nbytes) / bandwidth)
    floor_binning = read / bandwidth

    def row(name: str, ours: float, theirs: float | None, floor: float | None) -> str:
        other = "not installed" if theirs is None else f"{theirs:.3f}"
        ratio = "-" if theirs is None else f"{theirs / ours:.1f}"
        part = "-" if floor is None else f"{floor / ours:.2f}"
        return f"| {name} | {ours:.3f} | {other} | {ratio} | {part} |"

    their_whole = None if peer is None else peer["fft"] + peer["binning"]
    peer_version = "not installed" if peer is None else peer["version"]
    about = (
        f"{threads} threads, {platform.machine()}, torch {torch.__version__}, "
        f"truez {truez.__version__}, abacusutils {peer_version}. Best of {REPEATS} after a first "
        "call, in seconds, in one run. Floor: 2.5 N log2 N flops at the speed of a large float32 "
        f"matrix product ({flops / 1e9:.0f} GFlop/s here) or the bytes that must move at the speed "
        f"of a large copy ({bandwidth / 1e9:.1f} GB/s), whichever takes longer."
    )
    lines = [
        f"# Power spectrum of a {n}^3 field",
        "",
        f"    OMP_NUM_THREADS={threads} python benchmarks/spectra.py --peers PYTHON",
        "",
        about,
        "",
        "| work | truez [s] | abacusutils [s] | times faster | fraction of floor |",
        "| --- | --- | --- | --- | --- |",
        row("FFT", fft, None if peer is None else peer["fft"], floor_fft),
        row("binning, P0 P2 P4", binning, None if peer is None else peer["binning"], floor_binning),
        row("both: `power(field)`", whole, their_whole, floor_fft + floor_binning),
        row("`power_2d(field)`", plane, None, None).replace("not installed", "-"),
        row("`compare(field, truth)`", pair, None, None).replace("not installed", "-"),
        "",
        f"Memory above the field: truez {memory / values.nbytes:.2f} meshes"
        + ("." if peer is None else f", abacusutils {peer['memory'] / values.nbytes:.2f} meshes."),
    ]
    if peer is not None:
        poles = np.array([result.poles[ell] for ell in (0, 2, 4)])
        apart = np.abs(poles - np.array(peer["poles"])).max() / np.abs(poles[0]).mean()
        lines += ["", f"Largest difference of a multipole, over P0: {apart:.1e}."]
    text = "\n".join(lines) + "\n"
    (Path(__file__).parent / "spectra.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    sys.exit(main())
