"""Whether catalogues, footprints and photo-z errors belong together.

What no survey can be is refused. What is unusual, and changes the result, is a `Note`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from truez.catalogs.coordinates import SkyCoordinates
from truez.support.notes import Note
from truez.surveys.footprint import Footprint
from truez.surveys.masks.randoms import RandomsMap
from truez.surveys.matching import count_duplicates
from truez.surveys.redshift_error import RedshiftError

if TYPE_CHECKING:
    from truez.sky.layout import SkyPatch
    from truez.sky.surveys import SkySurveys

Array = NDArray[np.float64]
#: Fewest galaxies, or pairs, from which a contradiction is inferred.
FEWEST = 50
#: Share of its footprint that a spectroscopic survey may leave empty: it is sparse and clustered.
_EMPTY_SPEC = 0.25
#: Share of galaxies outside their footprint above which it is a part of the survey.
_PART = 0.1
#: Median distance of photo-z from the redshifts of the same galaxies [errors]: of a Gaussian, the
#: one that no survey has, and the one that is suspicious where the ranks of both hardly correlate.
_GAUSSIAN, _NEVER, _SUSPICIOUS, _UNRELATED = 0.674, 6.0, 1.5, 0.2
#: Factor between errors given and found that is worth a note.
_FACTOR = 2.0
#: Difference of the shares of randoms and galaxies below any redshift that is refused, beside what
#: as few galaxies would have by chance, over the square root of their number.
_RANDOMS, _BY_CHANCE = 0.1, 1.5
#: Galaxies nearer than this [arcsec] may be one that is listed twice.
_TWICE = 1.0


def check_areas(
    photo: SkyCoordinates, spec: SkyCoordinates, area: Footprint, spec_area: Footprint
) -> None:
    """Raise an error if a footprint is not that of its galaxies, or both surveys are apart.

    A footprint may be a part of its survey; a `Note` says so. Spectroscopic galaxies may reach
    beyond a footprint that both surveys share.

    Parameters
    ----------
    photo, spec : SkyCoordinates
        The galaxies of each survey, of which those with a redshift count.
    area, spec_area : Footprint
        Their footprints; the same object where only one is given.

    Raises
    ------
    ValueError
    """
    photo, spec = _with_redshift(photo), _with_redshift(spec)
    lost = area.check_galaxies(photo.ra, photo.dec, "photo")
    share = lost / max(len(photo), 1)
    photo = _inside(photo, area)
    if len(photo) >= FEWEST:
        area.check_filled(photo.ra, photo.dec, "photo")
        area.check_density(photo.ra, photo.dec, "photo")
    own = spec_area is not area
    option = "spec_footprint" if own else "footprint"
    if own or spec_area.outside(spec.ra, spec.dec).all():
        lost = spec_area.check_galaxies(spec.ra, spec.dec, "spec", option=option)
        _note_part(lost / max(len(spec), 1), "spec")
    _note_part(share, "photo")
    num, spec = len(spec), _inside(spec, spec_area)
    if len(spec) >= FEWEST:
        remedy = "that of these galaxies" if own else "theirs as spec_footprint, or from-data"
        spec_area.check_filled(
            spec.ra, spec.dec, "spec", option=option, most=_EMPTY_SPEC, remedy=remedy
        )
        if own:
            spec_area.check_density(spec.ra, spec.dec, "spec", option=option)
    if area.outside(spec.ra, spec.dec).all():
        raise ValueError(
            f"none of the {num} spec galaxies is in the footprint of photo: the surveys must "
            "overlap on the sky, so correct the columns of the sky or the catalogues"
        )


def _with_redshift(sample: SkyCoordinates) -> SkyCoordinates:
    return _select(sample, sample.has_redshift)


def _inside(sample: SkyCoordinates, area: Footprint) -> SkyCoordinates:
    return _select(sample, ~area.outside(sample.ra, sample.dec))


def _select(sample: SkyCoordinates, rows: NDArray[np.bool_]) -> SkyCoordinates:
    ra, dec, redshift = sample.ra[rows], sample.dec[rows], sample.redshift[rows]
    return replace(sample, ra=ra, dec=dec, redshift=redshift, without={})


def _note_part(share: float, name: str) -> None:
    """Say that a footprint is a part of its survey."""
    if share > _PART:
        warnings.warn(
            f"{100 * share:.0f}% of the {name} galaxies lie outside the area of the survey and "
            "take no part",
            Note, stacklevel=3,
        )  # fmt: skip


def check_error_size(photo: SkyCoordinates, error: RedshiftError, option: str) -> None:
    """Raise an error if photo-z errors are larger than the range of the photo-z.

    Parameters
    ----------
    photo : SkyCoordinates
    error : RedshiftError
    option : str
        That gives the errors, for the message.

    Raises
    ------
    ValueError
    """
    z = photo.redshift[photo.has_redshift]
    if len(z) < FEWEST:
        return
    low, high = np.quantile(z, [0.001, 0.999])
    typical = float(np.median(error.sigma_z))
    if not error.absolute:
        typical *= float(1 + np.median(z))
    if typical > high - low:
        raise ValueError(
            f"{option} is {typical:.3g} in redshift, more than the whole range of the photo-z, "
            f"{low:.3g} to {high:.3g}: correct it (percentages must be divided by 100)"
        )


def check_redshifts(photo: SkyCoordinates, spec: SkyCoordinates, error: RedshiftError) -> None:
    """Raise an error if the redshifts of both surveys do not overlap.

    Parameters
    ----------
    photo, spec : SkyCoordinates
    error : RedshiftError

    Raises
    ------
    ValueError
    """
    z, exact = photo.redshift[photo.has_redshift], spec.redshift[spec.has_redshift]
    if not len(z) or not len(exact):
        return
    sigma = error if error.num_galaxies is None else error.take(np.argsort(error.sigma_z)[-1:])
    # Photo-z of the spectroscopic galaxies, widened by five of the largest errors.
    seen = sigma.mean(exact)
    widest = 5 * float(sigma.width(np.array([exact.max()])).max())
    if not ((seen > z.min() - widest) & (seen < z.max() + widest)).any():
        raise ValueError(
            f"the redshifts of spec, {exact.min():.3g} to {exact.max():.3g}, do not overlap with "
            f"those of photo, {z.min():.3g} to {z.max():.3g}: correct the columns of redshift, "
            "photo_bias or the catalogues"
        )


def check_pairs(
    photo: SkyCoordinates, spec: SkyCoordinates, matched: NDArray[np.int64], error: RedshiftError,
    option: str, other: str = "",
) -> None:  # fmt: skip
    """Raise an error if the photo-z of galaxies in both surveys are not near their redshifts.

    A `Note` says so if their errors differ from those given by a factor of two.

    Parameters
    ----------
    photo, spec : SkyCoordinates
    matched : (n_s,) int array
        Row of each spectroscopic galaxy in ``photo``, or -1.
    error : RedshiftError
    option : str
        That matches the galaxies, for the message.
    other : str
        Another remedy, to the end of the message.

    Raises
    ------
    ValueError
        If photo-z are six errors off in the median; or more than 1.5, and their ranks do not
        correlate with those of the redshifts.
    """
    ours = np.flatnonzero((matched >= 0) & spec.has_redshift)
    ours = ours[photo.has_redshift[matched[ours]]]
    if len(ours) < FEWEST:
        return
    rows = matched[ours]
    mean, photo_z = error.mean(spec.redshift[ours]), photo.redshift[rows]
    sigma = np.broadcast_to(error.sigma_z, len(photo))[rows]
    if not error.absolute:
        sigma = sigma * (1 + spec.redshift[ours])
    away = np.abs(photo_z - mean)
    pull = float(np.median(away / sigma))
    if pull > _SUSPICIOUS and _unrelated(photo_z, mean):
        raise ValueError(
            f"the photo-z of the {len(ours)} galaxies that {option} finds in both surveys are no "
            f"nearer to their redshifts than to those of others: correct {option}{other}"
        )
    if pull > _NEVER:
        raise ValueError(
            f"the photo-z of the {len(ours)} galaxies in both surveys are {pull:.3g} errors from "
            "their redshifts (median): correct the photo-z error, photo_bias or the columns of "
            "redshift"
        )
    factor = pull / _GAUSSIAN
    if pull and not 1 / _FACTOR < factor < _FACTOR:
        size = "small" if factor > 1 else "large"
        times = f"{max(factor, 1 / factor):.2g} times too {size}"
        warnings.warn(
            f"the photo-z of the {len(ours)} galaxies in both surveys are {pull:.2g} errors from "
            f"their redshifts (median), where {_GAUSSIAN:.2g} are due: the errors are {times}",
            Note, stacklevel=2,
        )  # fmt: skip


def check_pdfs(
    redshift: Array, median: Array, sigma_z: Array, *, option: str = "pdf",
    of: str = "the photo-z of photo", remedy: str = "the columns RA,DEC alone as photo_sky",
) -> None:  # fmt: skip
    """Raise an error if p(z) are not those of the galaxies that photo-z are of.

    Parameters
    ----------
    redshift : (n,) array
        Photo-z, NaN where there is none.
    median, sigma_z : (n,) arrays
        Of the p(z), NaN where they cannot be used; the error over 1 + z.
    option, of, remedy : str
        Of the p(z), what the redshifts are, and another way out, for the message.

    Raises
    ------
    ValueError
        If their medians are six errors from the photo-z in the median; or more than 1.5, and their
        ranks do not correlate.
    """
    known = np.isfinite(redshift) & np.isfinite(median)
    if known.sum() < FEWEST:
        return
    z, middle = redshift[known], median[known]
    pull = float(np.median(np.abs(z - middle) / (sigma_z[known] * (1 + middle))))
    if pull > _NEVER or (pull > _SUSPICIOUS and _unrelated(z, middle)):
        raise ValueError(
            f"{option} has p(z) whose medians are {pull:.3g} of their errors from {of} (median): "
            f"give the p(z) of the same rows in the same order, pdf_id, or {remedy}"
        )


def _unrelated(first: Array, second: Array) -> bool:
    """Whether the ranks of redshifts hardly correlate."""
    if not (np.ptp(first) and np.ptp(second)):
        return True
    found = float(spearmanr(first, second).statistic)
    return bool(found < max(_UNRELATED, 3 / np.sqrt(len(first))))


def check_randoms(
    area: Footprint, sky: SkyCoordinates, error: RedshiftError | None, *, name: str, option: str,
    is_cut: bool = False,
) -> float | None:  # fmt: skip
    """The largest difference of the shares of randoms and of galaxies below any redshift.

    Parameters
    ----------
    area : Footprint
    sky : SkyCoordinates
        The galaxies.
    error : RedshiftError, optional
        Of photo-z; randoms may then have either true redshifts or photo-z.
    name, option : str
        Of the survey and of its footprint, for the message.
    is_cut : bool
        Whether a cut leaves galaxies out, which the randoms then need not follow.

    Returns
    -------
    float
        None where the footprint is not made of randoms with redshifts, or of too few galaxies.

    Raises
    ------
    ValueError
        If it is above 0.1, and above what as few galaxies have by chance.
    """
    if not isinstance(area, RandomsMap) or area.numbers is None:
        return None
    z = np.sort(sky.redshift[sky.has_redshift])
    if len(z) < FEWEST:
        return None
    edges = area.numbers.redshift
    share = np.searchsorted(z, edges[1:], side="right") / len(z)
    models = [area.numbers.below(edges)[1:]]
    if error is not None:
        mean_square = float(np.sqrt(np.mean(np.square(error.sigma_z))))
        outliers = float(np.mean(error.outlier_fraction))
        typical = replace(error, sigma_z=mean_square, outlier_fraction=outliers)
        models.append(np.cumsum(area.numbers.observed(edges, typical)))
    differences = [float(np.abs(share - model / model[-1]).max()) for model in models]
    least = min(differences)
    if least > _RANDOMS + _BY_CHANCE / np.sqrt(len(z)) and not is_cut:
        ends = np.quantile(z, [0.05, 0.95]), area.numbers.quantile([0.05, 0.95])
        (low, high), (near, far) = ends
        raise ValueError(
            f"{option} has randoms of other redshifts, {near:.3g} to {far:.3g} for 90% of them, "
            f"than {name}, {low:.3g} to {high:.3g}: give the randoms of these galaxies, or a copy "
            "without the column Z"
        )
    return least


def notes(surveys: SkySurveys) -> list[str]:
    """What is worth a look before the work, a sentence each: galaxies outside, or listed twice.

    Parameters
    ----------
    surveys : SkySurveys
    """
    result = []
    samples = (("photo", surveys.photo, surveys.footprint),
               ("spec", surveys.spec, surveys.spec_footprint))  # fmt: skip
    for name, sky, area in samples:
        lost = int(np.count_nonzero(area.outside(sky.ra, sky.dec)))
        share = 100 * lost / max(len(sky), 1)
        result.append(f"{lost} of {len(sky)} {name} galaxies ({share:.2g}%) outside the footprint")
        twice = count_duplicates(sky.ra, sky.dec, radius=_TWICE)
        if twice:
            result.append(
                f"{twice} of {len(sky)} {name} galaxies have another within {_TWICE:g} arcsec, as "
                "where bricks overlap"
            )
        difference = surveys.metadata.get(f"{name}_randoms_difference")
        if difference is not None:
            result.append(
                f"N(z) of the randoms and of {name} differ by {100 * difference:.2g}% at most"
            )
    return result + _pdf_notes(surveys)


def _pdf_notes(surveys: SkySurveys) -> list[str]:
    """What there is to say of p(z): those that cannot be used, and what their classes lose."""
    if surveys.pdfs is None:
        return []
    about, result = surveys.metadata, []
    result += [
        f"{number} of {len(surveys.photo)} photo galaxies have a p(z) that cannot be used: they "
        f"{reason}"
        for reason, number in about.get("pdf_problems", {}).items()
    ]
    if "pdf_class_loss" in about:
        result.append(
            f"p(z) are in {about['pdf_classes']} classes for what is made of counts, which loses "
            f"{about['pdf_class_loss']:.2g} nats per galaxy; redshifts are of each p(z) itself"
        )
    return result


def field_mean(patch: SkyPatch) -> tuple[float, float]:
    """The sum of the overdensity over the core of a patch, by expected galaxies, and of these.

    Their ratio is near 0 where footprint and N(z) are those of the galaxies.
    """
    cells = patch.core_cells
    along = np.asarray(patch.expected_profile[cells], np.float64)
    across = np.where(patch.core, patch.completeness, 0).astype(np.float64)
    rows = (np.nan_to_num(row[:, cells].cpu().numpy()) @ along for row in patch.delta)
    excess = sum(float(part @ row) for part, row in zip(across, rows, strict=True))
    return excess, float(across.sum() * along.sum())
