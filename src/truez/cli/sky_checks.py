"""Options of the sky in errors, and what is checked of the output before the work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_typed(
    randoms: str | None, spec_randoms: str | None, outlier_column: str | None
) -> Iterator[None]:
    """Name the options of randoms and outliers in errors about what they stand for.

    Parameters
    ----------
    randoms, spec_randoms, outlier_column : str, optional
        The values of these options, None where they were not typed.
    """
    names = [
        (r"^footprint\b", "--randoms", randoms),
        (r"correct footprint\b", "correct --randoms", randoms),
        (r"\bspec_footprint\b", "--spec-randoms", spec_randoms),
        (r"^outlier_fraction\b", "--outlier-column", outlier_column),
    ]
    try:
        yield
    except ValueError as error:
        text = str(error)
        for name, option, value in names:
            if value is not None:
                text = re.sub(name, option, text)
        raise ValueError(text) from error


def check_drawn(num: int, draws: int, seed: int) -> None:
    """Raise an error if draws do not fit into memory, or of a seed that is none.

    Parameters
    ----------
    num, draws, seed : int
        Galaxies, redshifts drawn for each, and the seed.

    Raises
    ------
    ValueError
    """
    from truez.support.memory import check_memory

    check_memory(8 * draws * num, f"--draws {draws} for {num} galaxies", "draw fewer")
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, not {seed}")
