"""Peak memory of ``truez redshifts`` on a catalogue with many columns.

    python benchmarks/redshifts.py [--galaxies 2000000] [--columns 40]

The galaxies are uniform in a box of 512 Mpc/h with 64^3 cells, so that the catalogue dominates.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import write_chunks

SIDE, NUM_SPEC, CHUNK = 512.0, 100_000, 100_000
UNITS = dict.fromkeys("xyz", "Mpc/h")
COMMAND = (
    "truez redshifts --spec {0}/spec.fits --photo {0}/photo{1} --out {0}/out{1} --boxsize 512 "
    "--cellsize 8 --redshift 0.59 --sigma-z 0.005 --cosmology wmap --match-id id --device cpu"
)
CHILD = """
import resource, sys
from truez.cli.app import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, file=sys.stderr)
"""


def galaxies(num: int, columns: int, folder: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, SIDE, (num, 3))
    photo = true.copy()
    photo[:, 2] = (true[:, 2] + rng.normal(0, 17.7, num)) % SIDE
    spec = rng.permutation(num)[:NUM_SPEC]
    Catalog({"id": spec, **dict(zip("xyz", true[spec].T, strict=True))}, UNITS).write(
        folder / "spec.fits"
    )

    def parts() -> Iterator[Catalog]:
        for start in range(0, num, CHUNK):
            rows = np.arange(start, min(start + CHUNK, num))
            positions = dict(zip("xyz", photo[rows].T, strict=True))
            others = {f"column_{i}": rng.normal(20, 1, len(rows)) for i in range(columns)}
            yield Catalog({"id": rows, **positions, **others}, UNITS)

    write_chunks(folder / f"photo{suffix}", parts(), num_rows=num)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--galaxies", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=40)
    chosen = parser.parse_args()
    print("| format | catalogue [GB] | peak memory [GB] | with --pdf-out [GB] |\n|---|--:|--:|--:|")
    for suffix in (".fits", ".parquet"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            galaxies(chosen.galaxies, chosen.columns, folder, suffix)
            size = (folder / f"photo{suffix}").stat().st_size / 2**30
            words = COMMAND.format(folder, suffix).split()[1:]
            peaks = []
            for more in ([], ["--pdf-out", f"{folder}/p.hdf5", "--overwrite"]):
                run = [sys.executable, "-c", CHILD, *words, *more]
                done = subprocess.run(run, capture_output=True, text=True, check=False)
                if "sharpened" not in done.stdout:
                    sys.exit(done.stderr)
                peaks.append(float(done.stderr.split()[-1]))
        print(f"| {suffix} | {size:.2f} | {peaks[0]:.2f} | {peaks[1]:.2f} |")


if __name__ == "__main__":
    main()
