"""Mocks on the sky: `evaluation.evaluate_sky` judges all estimates of one beside its truth.

redshifts   how good redshifts are, however they were found; its names are here as well
mesh        the one mesh that all fields are compared on
judge       the redshifts of a reconstruction, painted on it; `expected` says how many there are
fields      scores and spectra on it
maps        maps in thin bins of redshift
estimates   what can be judged
numbers     all of it as values, tables and a sentence
evaluation  all fields of a mock together; `results` is what that finds
"""

from truez.evaluate.sky.redshifts import (
    JudgedRedshifts,
    at_truth,
    gain_beside,
    null_test,
    photo_baseline,
    point_numbers,
    summary,
    thirds,
)

__all__ = [
    "JudgedRedshifts",
    "at_truth",
    "gain_beside",
    "null_test",
    "photo_baseline",
    "point_numbers",
    "summary",
    "thirds",
]
