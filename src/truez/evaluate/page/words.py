"""Sentences of a page that several commands need: the two surveys, and how long something took."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from truez.mesh.box import Box
from truez.surveys.mock import MockConfig


def surveys_in_words(
    config: MockConfig, source: Mapping[str, Any], box: Box, *, num_photo: int, num_spec: int
) -> str:
    """What was observed: the two surveys of a mock, and what their truth is."""
    return (
        f"Two surveys of {source.get('catalogue', 'a simulation')} in "
        f"{'redshift' if config.redshift_space else 'real'} space at redshift "
        f"{config.redshift:g}, in a box of {box}. The photometric one holds {num_photo:,} galaxies "
        f"({num_photo / box.volume:.3g} (h/Mpc)³) with a redshift error of {config.sigma_z:g} "
        f"(1 + z), {config.error.sigma:.3g} Mpc/h along the line of sight; the spectroscopic one "
        f"{num_spec:,} ({num_spec / box.volume:.3g} (h/Mpc)³) with exact redshifts. The truth is "
        "the photometric sample at its exact redshifts."
    )


def observed(mock: Path | None) -> str | None:
    """The same from the files in the folder of a mock, whose galaxies are not read."""
    if mock is None:
        return None
    path = mock / "mock.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        config, box = MockConfig(**content["mock"]), Box(**content["box"])
        source = dict(content["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what truez mock writes: make the mock again") from error
    num_photo, num_spec = (
        pq.read_metadata(mock / f"{name}.parquet").num_rows for name in ("photo", "spec")
    )
    return surveys_in_words(config, source, box, num_photo=num_photo, num_spec=num_spec)


def duration(seconds: float) -> str:
    """Such as ``3.2 s``, ``4 min 10 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
