"""A table of the lines that tests run, room by room, from the JSON of coverage.

python .ci/rooms.py coverage.json [table.md]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path


def table(report: dict) -> str:
    """A Markdown table of a report: rooms, their lines, and the share of them that ran [%]."""
    lines: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, found in report["files"].items():
        parts = Path(name).parts
        inside = parts[parts.index("truez") + 1 :]
        room = inside[0] if len(inside) > 1 else Path(inside[0]).stem
        for key in (room, "all"):
            lines[key][0] += found["summary"]["num_statements"]
            lines[key][1] += found["summary"]["covered_lines"]
    last = lines.pop("all")
    rows = [
        f"| {room} | {number} | {100 * ran / number:.1f} |"
        for room, (number, ran) in [*sorted(lines.items()), ("**all**", last)]
        if number
    ]
    return "\n".join(["| room | statements | run [%] |", "|---|--:|--:|", *rows]) + "\n"


def main(arguments: list[str]) -> None:
    """Print the table, and write it to a file where one is named."""
    text = table(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    sys.stdout.write(text)
    if len(arguments) > 1:
        Path(arguments[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
