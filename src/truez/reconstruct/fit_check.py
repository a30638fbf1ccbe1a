"""Check that a network was trained for surveys like the given ones."""

from __future__ import annotations

from truez.mesh.fourier import total
from truez.networks.box_inputs import NO_MATCHES
from truez.networks.weights import WITHOUT_NETWORK, Header
from truez.surveys.surveys import Surveys


def check_survey(header: Header, surveys: Surveys, resampler: str = "cic") -> None:
    """Raise an error for surveys that a network was not trained for, see `Header.check`.

    The densities of uneven surveys are those about a photometric galaxy.
    """
    n_spec, n_photo, n_both = surveys.densities
    overlap = n_both / n_spec
    if not surveys.even:
        if not header.local:
            raise ValueError(
                "method columns needs even expected counts and one photo-z error, without weights, "
                f"and the surveys have {surveys.uneven_words}: {WITHOUT_NETWORK}"
            )
        if surveys.matched is None and surveys.num_both > 0:
            raise ValueError(NO_MATCHES)
        n_spec, n_photo = _typical(surveys)
    header.check(
        surveys.box,
        sigma=surveys.error.sigma,
        spec_density=n_spec,
        photo_density=n_photo,
        outlier_fraction=surveys.error.outlier_fraction,
        overlap=overlap,
        resampler=resampler,
        redshift_space=surveys.redshift_space,
        redshift=surveys.redshift,
    )


def _typical(surveys: Surveys) -> tuple[float, float]:
    """Mean densities of both samples where the photometric galaxies are [(h/Mpc)^3]."""
    cell = surveys.box.volume / surveys.box.num_cells
    photo = surveys.true_expected().values
    whole = total(photo)
    spec = total(surveys.spec_expected().values * photo) / whole
    return spec / cell, total(photo * photo) / whole / cell
