"""The linear model of two surveys, from what is observed alone.

The shapes P_s, P_x and P_p are the linear spectrum times smooth functions: natural cubic splines in
ln k with a penalty on their curvature, so that where a box holds few modes they go on as a constant
bias. They maximise the Whittle likelihood of the binned auto and cross spectra of the pair (s, p),

    -2 ln L = sum over modes of [ ln det C + tr(C^-1 d d^+) ],

found by Fisher scoring. The photometric field enters where ``phi^2`` exceeds a limit, since
elsewhere it is noise, and its clustering is degenerate with phi. Without a known error,
``fit_sigma`` frees its width and uses every mode; the finger-of-God length of the photometric
sample is then tied to that of the spectroscopic one, because the two act alike.
"""

from __future__ import annotations

from truez.linear.likelihood import NoFitError as NoFitError
from truez.linear.likelihood import Noise, Problem, Setting, fisher_scoring, with_anisotropy
from truez.linear.model import LinearModel
from truez.linear.observed import ObservedSpectra, observe
from truez.mesh.field import Field
from truez.surveys.surveys import Surveys


def fit_linear_model(
    *,
    spec: Field,
    photo: Field,
    surveys: Surveys,
    resampler: str | None = "cic",
    fit_sigma: bool = False,
    fog_photo: float | None = None,
) -> LinearModel:
    """Fit the model of `truez.linear.model` to the observed fields of two surveys.

    Parameters
    ----------
    spec, photo : Field
        Overdensities of the two samples, `Surveys.spec_field` and `Surveys.photo_field`.
    surveys : Surveys
        Densities, overlap, photo-z error and cosmology.
    resampler : str or None
        How the fields were painted; None if they were not.
    fit_sigma : bool
        Fit the width of the photo-z error too, starting from the one given.
    fog_photo : float, optional
        Finger-of-God length of the photometric sample [Mpc/h]; that of ``spec`` by default.

    Raises
    ------
    NoFitError
        If no set of positive spectra describes the data (wrong overlap or error, as a rule).
    ValueError
        If ``fit_sigma`` has no error to begin with.
    """
    return fit_spectra(
        observe(spec, photo, resampler),
        surveys,
        photo_noise=photo.shotnoise,
        resampler=resampler,
        fit_sigma=fit_sigma,
        fog_photo=fog_photo,
    )


def fit_spectra(
    data: ObservedSpectra,
    surveys: Surveys,
    *,
    photo_noise: float | None = None,
    resampler: str | None = "cic",
    fit_sigma: bool = False,
    fog_photo: float | None = None,
) -> LinearModel:
    """Fit the model to spectra that have been measured.

    Parameters
    ----------
    data : ObservedSpectra
    surveys : Surveys
        Which they are of.
    photo_noise : float, optional
        Shot noise of the photometric field [(Mpc/h)^3]; 1 / n_p by default.
    resampler, fit_sigma, fog_photo
        As in `fit_linear_model`, which has the errors, too.
    """
    if fit_sigma and surveys.error.sigma == 0:
        raise ValueError(
            "fit_sigma needs a photo-z error above 0 to begin with, a rough one will do"
        )
    n_spec, n_photo, n_both = surveys.densities
    photo_noise = 1 / n_photo if photo_noise is None else photo_noise
    problem = Problem(
        data,
        Setting(surveys.error, surveys.cosmology, surveys.redshift, surveys.redshift_space),
        Noise(n_spec, n_photo, n_both, photo_noise),
        resampler,
        fit_sigma=fit_sigma,
        fog_photo=fog_photo,
    )
    theta, fisher = fisher_scoring(problem)
    return with_anisotropy(problem.model(theta), problem, theta, fisher, surveys.box)
