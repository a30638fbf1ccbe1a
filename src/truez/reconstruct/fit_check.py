"""Check that a network was trained for surveys like the given ones."""

from __future__ import annotations

from truez.networks.weights import Header
from truez.surveys.surveys import Surveys


def check_survey(header: Header, surveys: Surveys, resampler: str = "cic") -> None:
    """Raise an error for surveys that a network was not trained for, see `Header.check`."""
    n_spec, n_photo, n_both = surveys.densities
    header.check(
        surveys.box,
        sigma=surveys.error.sigma,
        spec_density=n_spec,
        photo_density=n_photo,
        outlier_fraction=surveys.error.outlier_fraction,
        overlap=n_both / n_spec,
        resampler=resampler,
        redshift_space=surveys.redshift_space,
        redshift=surveys.redshift,
    )
