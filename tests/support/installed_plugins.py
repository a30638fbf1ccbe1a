"""Packages as pip installs them, for tests of plug-ins: modules and their metadata."""

from __future__ import annotations

import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "truez-plugin-example"


def write_metadata(
    folder: Path, name: str, version: str, groups: dict[str, dict[str, str]]
) -> None:
    """The metadata of a package with entry points."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()), ""]
    (place / "entry_points.txt").write_text("\n".join(lines))


def install_example(folder):
    """The example of a plug-in, with the entry points that its pyproject.toml states."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    write_metadata(folder, project["name"], project["version"], project["entry-points"])
    (folder / "truez_plugin_example").symlink_to(EXAMPLE / "src" / "truez_plugin_example")
