"""Provenance: the versions that every output contains beside its settings."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version()}
    for package in ("truez", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    # Only the checkout that this file belongs to counts, not one that an installation lies in.
    root = Path(__file__).parents[3]
    if (root / ".git").exists():
        git = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=False,
        )
        if git.returncode == 0:
            found["git"] = git.stdout.strip()
    return tuple(found.items())


def versions() -> dict[str, str]:
    """Versions of Python and the main packages, and the git revision of a source checkout."""
    return dict(_versions())
