"""``truez redshifts`` of a million galaxies with p(z) of 300 bins, and with one error for all.

    OMP_NUM_THREADS=1 python benchmarks/pdfs_redshifts.py [--galaxies 1000000] [--folder FOLDER]
        [--ways sigma-z pdf ...] [--out FILE.md]

Clusters of galaxies over 400 deg^2, 3% of them with spectra, photo-z with sigma_z = 0.03, and the
p(z) that these have, in HDF5 (gzip). Each command runs in a process of its own, whose processor
seconds and peak memory these are. The table is the last section of pdfs.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FOOTPRINT = (140.0, 160.0, 0.0, 20.0)  # 391 deg^2
SIGMA_Z, BINS, STEP = 0.03, np.linspace(0.0, 1.2, 301), 2**15
COMMAND = (
    "redshifts --spec {0}/spec.parquet --photo {0}/photo.parquet --sky ra,dec,z --photo-sky "
    "ra,dec,z_phot --match-id id --footprint 140,160,0,20 --redshift-range 0.1,0.6 "
    "--cellsize 10 --method redistribution --out {0}/out.parquet --overwrite"
)
PDF = "--pdf {0}/pz.hdf5 --pdf-prior flat"
WAYS = {
    "sigma-z": "--sigma-z 0.03",
    "pdf": PDF,
    "sigma-z-out": "--sigma-z 0.03 --pdf-out {0}/sharper.hdf5",
    "pdf-out": f"{PDF} --pdf-out {{0}}/sharper.hdf5",
    "clustering": f"{PDF} --draws 1 --clustering {{0}}/clustering --randoms-factor 2",
}
TITLE = "## Through the command line"
HEAD = """{}

    OMP_NUM_THREADS=1 python benchmarks/pdfs_redshifts.py

`truez redshifts` of {:,} galaxies over 391 deg^2, 0.1 < z < 0.6, clustered, sigma_z = 0.03, 3% of them
with spectra, cells of 10 Mpc/h, redistribution; p(z) are histograms of 300 bins ({:.2f} GB with gzip). On
a shared AMD EPYC machine: processor seconds, and galaxies per processor second, of the whole command,
reading and writing included.

| options | seconds | processor seconds | galaxies per second | beside `--sigma-z` | memory [GB] |
|---|--:|--:|--:|--:|--:|"""  # noqa: E501


def galaxies(folder: Path, number: int) -> None:
    """The catalogues and the file of p(z)."""
    from truez import Catalog
    from truez.surveys.pdfs import pdf_writer

    rng = np.random.default_rng(1)
    west, east, south, north = FOOTPRINT
    centres = number // 10
    redshift = 0.05 + 0.33 * rng.gamma(1.2, size=centres) ** 0.4  # z^2 exp(-(z / 0.33)^2.5)
    place = rng.integers(0, centres, number)
    spread = 4.0 / (2800 * redshift[place])  # Mpc/h over the distance, about
    ra = rng.uniform(west, east, centres)[place] + np.degrees(spread) * rng.normal(size=number)
    dec = rng.uniform(south, north, centres)[place] + np.degrees(spread) * rng.normal(size=number)
    z = redshift[place] + 0.0015 * rng.normal(size=number)
    z_phot = z + SIGMA_Z * (1 + z) * rng.normal(size=number)
    moved = ~((ra > west) & (ra < east) & (dec > south) & (dec < north))
    ra[moved], dec[moved] = rng.uniform((west, south), (east, north), (moved.sum(), 2)).T
    z_phot = np.where(z_phot > 0.01, z_phot, z)
    ids, known = np.arange(number), rng.random(number) < 0.03
    Catalog({"ra": ra, "dec": dec, "z_phot": z_phot, "id": ids}).write(folder / "photo.parquet")
    Catalog({"ra": ra[known], "dec": dec[known], "z": z[known], "id": ids[known]}).write(
        folder / "spec.parquet"
    )
    middle = (BINS[1:] + BINS[:-1]) / 2
    width = SIGMA_Z * (1 + middle)
    with pdf_writer(folder / "pz.hdf5", "hist", number, BINS) as writer:
        for start in range(0, number, STEP):
            offset = (z_phot[start : start + STEP, None] - middle) / width
            writer.append({"pdfs": np.exp(-0.5 * offset**2) / width})


def run(words: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak memory [GB] of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "truez", *words], stdout=subprocess.PIPE, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"truez {' '.join(words)} failed:\n{output}")
    wall = time.perf_counter() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where galaxies are kept for another run")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pdfs.md"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = chosen.folder or Path(name)
        if not (folder / "pz.hdf5").exists():
            galaxies(folder, chosen.galaxies)
        size = (folder / "pz.hdf5").stat().st_size / 1e9
        lines, first = [HEAD.format(TITLE, chosen.galaxies, size)], None
        for way in chosen.ways:
            words = f"{COMMAND} {WAYS[way]}".format(folder).split()
            wall, cpu, memory = run(words)
            first = first or cpu
            shown = WAYS[way].format("").replace(" /", " ")
            lines.append(
                f"| `{shown}` | {wall:.0f} | {cpu:.0f} | {chosen.galaxies / cpu:,.0f} | "
                f"{cpu / first:.2f} | {memory:.2f} |"
            )
            print(lines[-1], flush=True)
    kept = chosen.out.read_text().split(TITLE)[0].rstrip() if chosen.out.exists() else ""
    chosen.out.write_text("\n".join([kept, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
