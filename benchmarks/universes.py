"""A sequence of universes as training uses them: seconds and memory, box after box.

    python benchmarks/universes.py [--boxes 10] [--boxsize 512] [--num-particles 256] [--views 2]
        [--threads 2] [--out FILE.md]

Each box is simulated from its own seed and observed a few times with new photo-z noise, as far as
the three overdensity fields on cells of 2 Mpc/h. Resident memory is that of the whole process
after each box, with the fields of its last view still held.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

#: Growth from the second box to the last that counts as none, in fields of one mesh.
LIMIT = 1.0


def resident() -> float:
    """Resident memory of this process now [GB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def peak() -> float:
    """Peak resident memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--boxsize", type=float, default=512.0)
    parser.add_argument("--num-particles", type=int, default=256)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    if options.boxes < 3:
        parser.error("--boxes must be at least 3, to see any growth")

    import torch

    from truez.simulate import Universe
    from truez.surveys.spec import SurveySpec
    from truez.training import mocks, universes

    torch.set_num_threads(options.threads)
    universe = Universe(boxsize=options.boxsize, num_particles=options.num_particles)
    surveys = SurveySpec(sigma_z=0.02, spec_density=1e-3)
    rows: list[tuple[float, float, float, float]] = []
    made = [0.0]

    def timed():
        """The universes, with the time that each took to make."""
        boxes = universes(universe, count=options.boxes)
        while True:
            start = time.perf_counter()
            galaxies = next(boxes, None)
            if galaxies is None:
                return
            made.append(time.perf_counter() - start)
            yield galaxies
            del galaxies

    start = time.perf_counter()
    for number, mock in enumerate(mocks(timed(), surveys, per_box=options.views), start=1):
        fields = mock.fields()
        if number % options.views == 0:
            now = time.perf_counter()
            rows.append((made[-1], (now - start - made[-1]) / options.views, resident(), peak()))
            print(
                f"box {len(rows)}: made in {rows[-1][0]:.1f} s, a view {rows[-1][1]:.2f} s, "
                f"{rows[-1][2]:.3f} GB resident, peak {rows[-1][3]:.3f} GB",
                flush=True,
            )
            start = now
    mesh = fields[0].box
    growth = rows[-1][2] - rows[1][2]
    field = 4 * mesh.num_cells / 1e9
    views = len(rows) * options.views
    seconds = sum(row[0] + options.views * row[1] for row in rows)
    seeing = sum(row[1] for row in rows) / len(rows)
    lines = [
        "# A sequence of universes",
        "",
        (
            f"{len(rows)} boxes of {options.boxsize:g} Mpc/h with {options.num_particles}^3 "
            f"particles, {len(mock.truth)} galaxies each, observed {options.views} times as fields "
            f"on {' x '.join(map(str, mesh.meshsize))} cells, {options.threads} threads. Re-run:"
        ),
        "",
        "    " + " ".join(["python benchmarks/universes.py", *sys.argv[1:]]),
        "",
        "| box | made [s] | a view [s] | resident after it [GB] | peak so far [GB] |",
        "|---|---|---|---|---|",
        *(
            f"| {number} | {a:.1f} | {b:.2f} | {c:.3f} | {d:.3f} |"
            for number, (a, b, c, d) in enumerate(rows, start=1)
        ),
        "",
        (
            f"{3 * views / seconds:.3f} fields a second with the making of the boxes, "
            f"{3 / seeing:.2f} without. From the second box to the last resident memory changed by "
            f"{growth:+.3f} GB; one field is {field:.3f} GB."
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.write_text(text, encoding="utf-8")
    if growth > LIMIT * field:
        sys.exit(f"resident memory grew by {growth:.3f} GB, more than a field of {field:.3f} GB")


if __name__ == "__main__":
    main()
