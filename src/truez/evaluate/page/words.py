"""Sentences of a page that several commands need: the two surveys, and how long something took."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from truez.mesh.box import Box
from truez.support.printable import printable
from truez.surveys.mock import MockConfig, read_settings


def surveys_in_words(
    config: MockConfig, source: Mapping[str, Any], box: Box, *, num_photo: int, num_spec: int
) -> str:
    """What was observed: the two surveys of a mock, and what their truth is."""
    return (
        f"Two surveys of {printable(str(source.get('catalogue', 'a simulation')))} in "
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
    config, box, source = read_settings(mock)
    num_photo, num_spec = (_num_rows(mock / f"{name}.parquet") for name in ("photo", "spec"))
    return surveys_in_words(config, source, box, num_photo=num_photo, num_spec=num_spec)


def _num_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or missing: make the mock again") from error


def duration(seconds: float) -> str:
    """Such as ``3.2 s``, ``4 min 10 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
