"""Numbers with their errors, as text."""

from __future__ import annotations

import math

from truez.evaluate.tables import number
from truez.experiments.benchmark.summary import Mean


def plus_minus(found: Mean | None) -> str:
    """``0.842 ± 0.011``, rounded as its error is; four digits where there is no error."""
    if found is None or math.isnan(found.mean):
        return "—"
    # An error of the size of rounding is none.
    if not math.isfinite(found.mean) or not found.error > 1e-5 * max(abs(found.mean), 0.1):
        return number(found.mean if abs(found.mean) > 1e-5 else 0.0, "#.4g")
    digits = min(max(1 - math.floor(math.log10(found.error)), 0), 6)
    return f"{found.mean:.{digits}f} ± {found.error:.{digits}f}"
