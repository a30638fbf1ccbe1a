"""The tables of the benchmark for the documentation, of a finished ``truez benchmark``.

    truez benchmark --seeds 909-912 --draws 0 --out FOLDER
    python benchmarks/results.py --folder FOLDER

Writes ``docs/results/benchmark-tables.md``, which is the ``tables.md`` of FOLDER with the command
and the machine, and of ``docs/results/benchmark.md`` what stands between the marks "measured" and
"/measured". Settings and seeds are those that FOLDER holds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from truez.evaluate.labels import label
from truez.evaluate.summary import Measured
from truez.evaluate.tables import Table, band_table, cell, make_table
from truez.experiments.benchmark.acceptance import WIDE
from truez.experiments.benchmark.run import read_measured
from truez.experiments.benchmark.settings import SETTINGS, Job
from truez.experiments.benchmark.tables import setting_tables, yardstick_tables
from truez.experiments.exact.results import EXACT
from truez.networks.weights import shipped_weights

DOCS = Path(__file__).parents[1] / "docs" / "results"
#: Methods of the summary.
METHODS = ("wiener", "redistribution", "columns")
#: Heading of the fields of a table of bands.
LOST = "(1 - r²) / (1 - r_opt²), k in h/Mpc"
#: What is replaced: a mark, anything, and its end.
MARKED = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- /measured -->)", re.DOTALL)


def job_of(folder: Path) -> Job:
    """The benchmark that a folder holds."""
    held = json.loads((folder / "summary.json").read_text())["settings"]
    settings = [SETTINGS[name] for name in held]
    # Settings with seeds of their own are asked for none.
    shared = [held[setting.name]["seeds"] for setting in settings if not setting.seeds]
    weights = shipped_weights("column-net")
    return Job(folder, shared[0] if shared else Job.seeds, settings, weights=weights)


def made(folder: Path) -> str:
    """With what, when and where the results were made."""
    stages = json.loads((folder / "stages.json").read_text())
    versions = json.loads((folder / "summary.json").read_text())["versions"]
    described = Path("/proc/cpuinfo")
    text = described.read_text() if described.is_file() else ""
    model = re.search(r"model name\s*: (.*)", text)
    machine = platform.machine() if model is None else model[1]
    return (
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}; finished "
        f"{max(stage['finished'] for stage in stages)[:10]} on {os.cpu_count()} cores of {machine}."
    )


def summary(measured: Sequence[Measured]) -> Table:
    """The main numbers of each method, of all settings."""
    rows = []
    for one in measured:
        for method in METHODS:
            tenths = [found.mean for found in one.sigma_deciles(method) or ()]
            ends = f"{min(tenths):.2f} to {max(tenths):.2f}" if tenths else "—"
            keys = ("nats", "nats_own_place", "pit_worst_tenth", "inside_68")
            cells = [
                cell(one.ratio(method, "wiener", "mse")),
                cell(one.lost_over_optimum(method, WIDE)),
                *(cell(one.number(method, key)) for key in keys),
                (ends, 0.0),
            ]
            rows.append((f"{one.name}: {label(method)}", cells))
    heads = (
        "MSE / Wiener", "(1 - r²) / (1 - r_opt²), 0.1-0.5", "nats per galaxy", "nats, own place",
        "PIT, worst tenth [%]", "in 68% interval [%]", "variance over sigma², tenths",
    )  # fmt: skip
    return make_table("", [(head, 0) for head in heads], rows)


def scales(measured: Sequence[Measured]) -> Table:
    """What each method leaves unexplained in bands, over the linear optimum."""
    rows, columns = [], ("",)
    kept = {label(method) for method in METHODS}
    for one in measured:
        table = band_table("", one, one.lost_over_optimum)
        columns = (LOST, *table.columns[1:])
        rows += [(f"{one.name}: {row[0]}", *row[1:]) for row in table.rows if row[0] in kept]
    return Table("", columns, tuple(rows))


def blocks(measured: Sequence[Measured]) -> Iterator[tuple[str, list[Table]]]:
    """The tables between the marks of the page, by their names."""
    simulated = [one for one in measured if EXACT not in one.methods]
    if simulated:
        yield "summary", [summary(simulated), scales(simulated)]
    for one in measured:
        if EXACT in one.methods:
            lost = [
                replace(table, columns=(LOST, *table.columns[1:]))
                for table in setting_tables(one) if "(1 - r_opt²)" in table.title
            ]  # fmt: skip
            yield "yardstick", [*yardstick_tables(one), *lost]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of tables, and fill the marked parts of the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="of truez benchmark")
    folder = parser.parse_args(arguments).folder
    head = (
        "# Tables of the benchmark\n\n"
        f"`benchmarks/results.py` writes this page from the `tables.md` of a run: {made(folder)} "
        "[The benchmark](benchmark.md) has the command, and explains rows and columns.\n\n"
    )
    tables = (folder / "tables.md").read_text("utf-8").replace("\n### ", "\n## ")
    (DOCS / "benchmark-tables.md").write_text(head + tables, "utf-8")
    found = dict(blocks(read_measured(job_of(folder))))

    def filled(match: re.Match[str]) -> str:
        if match[2] not in found:
            return match[0]
        return match[1] + "\n".join(table.markdown() for table in found[match[2]]) + match[3]

    page = DOCS / "benchmark.md"
    page.write_text(MARKED.sub(filled, page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
