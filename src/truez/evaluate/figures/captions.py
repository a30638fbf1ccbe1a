"""The title of each figure and how to read it, and how figures are written beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from truez.evaluate.figures.style import Picture, save
from truez.support.files import write_text
from truez.support.progress import Progress, silent


class Caption(NamedTuple):
    """Title and words of a figure."""

    title: str
    words: str


_DEVIATIONS = (
    "Below: the deviation from the truth in units of sigma, which the foot of the figure defines; "
    "bands are 1 and 2 sigma, and beyond 2 the scale is logarithmic. Estimate and truth share most "
    "of their variance, so that an unbiased estimate lies well within one sigma. Grey: the zero "
    "field, which has no power at all."
)

#: The figures of arXiv:2504.06309.
PAPER_FIGURES = {"losses": 2, "zooms": 3, "auto_and_cross": 4, "power_2d": 5, "multipoles": 6}

#: Title and words of every figure.
CAPTIONS: dict[str, Caption] = {
    "losses": Caption(
        "Loss on the training and the validation samples",
        "The star marks the lowest validation loss, whose weights are kept. A validation loss "
        "that rises while the training loss falls means that the network overfits its training "
        "samples.",
    ),
    "slices_along": Caption(
        "Slices that contain the line of sight",
        "1 + δ on one colour scale, averaged over the thickness that the colour bar names. The "
        "photometric survey is smeared along the arrow; the spectroscopic one is sharp but "
        "sparse. A good reconstruction shows the walls and voids of the truth, not streaks along "
        "the arrow. Cells below the scale, zero or negative, have its lowest colour.",
    ),
    "slices_across": Caption(
        "Slices across the line of sight",
        "The same colour scale. The photometric survey mixes structure from in front of and "
        "behind the slab into it; a good reconstruction removes what does not belong there.",
    ),
    "slab": Caption(
        "A slab with the line of sight upwards",
        "1 + δ on one logarithmic colour scale for all panels, the scale of the truth; cells "
        "below it, zero and negative, have the lowest colour. The photometric survey is smeared "
        "upwards; a good estimate shows the walls and voids of the truth.",
    ),
    "zooms": Caption(
        "Slices across the line of sight, with four zooms",
        "1 + δ on one colour scale, averaged along the line of sight over the thickness that the "
        "colour bar names. The squares A to D, at random places, are enlarged below. Cells below "
        "the scale, zero or negative, have its lowest colour.",
    ),
    "spectra": Caption(
        "Agreement with the truth by scale",
        "Large scales are at the left. Top left: r(k), the correlation of the modes with the "
        "truth, 1 is perfect. Top right: T(k), the amplitude of the modes over that of the truth; "
        "an estimate of least squared error has T = r, below 1. Bottom left: the power spectra, "
        "shot noise included. Bottom right: the share of the truth that is not explained, lower "
        "is better. Where the linear optimum is known (dotted), that share is divided by its own: "
        "below 1 beats every linear method.",
    ),
    "spectra_in_settings": Caption(
        "Correlation with the truth, and amplitude",
        "Top: r(k), 1 is perfect; the black dotted line is the linear optimum. Bottom: T(k) = "
        "sqrt(P_rr / P_tt); an estimate of least squared error has T = r. The spectroscopic "
        "survey may leave the lower panels: its shot noise makes its amplitude far larger than "
        "that of the others.",
    ),
    "optimum": Caption(
        "What is left over, in units of what the linear optimum leaves",
        "(1 - r²) / (1 - r_opt²) against k: 1 is the best that any linear method can do (dotted), "
        "lower is better. Top: everything. Bottom: the same, near 1. The limit is that of the "
        "spectra measured with the truth. Means over the boxes; the bands are the errors of the "
        "mean.",
    ),
    "auto_and_cross": Caption(
        "Auto and cross power spectra",
        "Left: the power of each field. Right: its cross power with the truth, which an "
        "estimate with the right amplitudes has only if its phases are right. Shot noise is "
        "included, and power that is not positive is not drawn. An estimate of least squared "
        f"error has the same power in both, r² of the truth's. {_DEVIATIONS}",
    ),
    "samples": Caption(
        "Posterior samples beside the truth",
        "Lines: the estimates, which have too little power by nature, r² of the truth's. Bands: 16 "
        "to 84% of their posterior samples, fields that the two surveys allow, which shall have "
        "the statistics of the truth (black). Top: k times the multipoles, shot noise included. "
        "Middle: their deviation from the truth in percent of its monopole, logarithmic beyond 2. "
        "Bottom: r(k), for samples the square of the estimate's (dotted); r² ξ(r); and the density "
        "of 1 + δ in the cells of the fields, smoothed as the axis says.",
    ),
    "sky_samples": Caption(
        "Posterior samples on the sky beside the truth",
        "Lines: the estimates, which have too little power by nature, r² of the truth's. Bands: 16 "
        "to 84% of their posterior samples, which shall have the statistics of the truth (black). "
        "Power, shot noise included, is of the weighted counts in the judged cells, in percent "
        "from the truth's; r(k) of samples shall be the square of the estimate's (dotted); and the "
        "density of galaxies over those that are expected in the cells, smoothed as the axis says.",
    ),
    "power_2d": Caption(
        "Power across and along the line of sight",
        "P(k⊥, k∥) on one colour scale, shot noise included. Photo-z errors remove the power of "
        "the photometric survey at high k∥, down to its shot noise; a good reconstruction brings "
        "back the shape that the truth has.",
    ),
    "multipoles": Caption(
        "Multipoles of the power spectrum",
        "k times the monopole, which contains the shot noise, the quadrupole and the "
        "hexadecapole. A curve that leaves its panel is drawn in full in the deviations below. "
        f"{_DEVIATIONS}",
    ),
    "correlations": Caption(
        "Correlation functions",
        "Left: r² ξ(r) of each field. Right: of each field with the truth. The painting "
        f"smooths both over about a cell. {_DEVIATIONS}",
    ),
    "response": Caption(
        "Correlation, amplitude and optimality by scale",
        "r(k), the correlation of the modes with the truth; T(k), their amplitude over that of "
        "the truth; and P_rr / P_rt, which is 1 for an estimate of least squared error: more "
        "means noise that a filter would remove, less that signal is given away. Dotted: the "
        "linear optimum, for which T = r. The zero field has T = 0, and no r. A ratio with a "
        "cross power that is not positive is not drawn.",
    ),
    "corrections": Caption(
        "Equation 5 on large scales",
        "Power of the network's estimate before and after the correction of the modes k < 0.031 "
        "h/Mpc, and of the Wiener filter, which needs none. Per box: a constant factor on the "
        "modes of each sub-box, of which none but the mean lies below, so that the stitched field "
        "gains power on scales larger than a sub-box; constant: the mean of P_spec / P_model, as "
        "printed, on the stitched field; normalised: that ratio at each k, the shot noise of the "
        "survey taken off, over its mean above k = 0.031 h/Mpc. Amplitudes are scaled by the "
        "root.",
    ),
    "pit": Caption(
        "Are the redshift posteriors right?",
        "Share of galaxies whose true redshift lies in each tenth of its own posterior. Right "
        "posteriors give 10% in each (black line); the grey band is 1% of the galaxies up and "
        "down. High ends mean posteriors that are too narrow, a hill too wide ones.",
    ),
    "sigma": Caption(
        "Is the error of the field right?",
        "Variance of (truth - estimate) / sigma in tenths of sigma, from the cells of the "
        "smallest to those of the largest. 1 (black line) is right, above it the error is stated "
        "too small.",
    ),
    "gains": Caption(
        "Two numbers in all settings",
        "Left: mean squared error of the cells over that of the Wiener filter of both surveys on "
        "the same boxes, lower is better. Right: information on true redshifts gained over the "
        "photo-z alone, higher is better. Bars are errors of the mean over the boxes.",
    ),
    "samples_coverage": Caption(
        "expected coverage of posterior samples (TARP)",
        "The share of the boxes' places and modes whose truth lies within the region of a given "
        "credibility around a random reference point, less that credibility: 0 (black) is right, "
        "below it samples are too narrow or biased, above it too wide. 95% of the curves of right "
        "samples are within the band of their colour everywhere.",
    ),
    "samples_ranks": Caption(
        "ranks of the truth among posterior samples",
        "A flat line (black) is right. A bowl means that samples are too narrow, a hill too wide "
        "ones, a slope a bias. 95% of the histograms of right samples are within the band of "
        "their colour everywhere.",
    ),
    "samples_deviations": Caption(
        "statistics of posterior samples over those of the truth",
        "Means over samples and boxes; deviations of P2 and P4 are in units of P0, those of r in "
        "hundredths. Bars are the scatter that right samples lead to, grey is what is asked for.",
    ),
    "samples_tenths": Caption(
        "spread of posterior samples over the error of their mean",
        "Squared, in tenths of the cells from the smallest to the largest spread; half of the "
        "samples choose the cells, the other half are judged. 1 (black) is right, below it samples "
        "are too narrow.",
    ),
    "wedge": Caption(
        "Galaxies in a wedge of the sky",
        "Redshift outwards and right ascension as the angle, of galaxies in a thin range of "
        "declination; the observer is at the apex. Photometric redshifts smear walls and clusters "
        "along the line of sight; good sharpened redshifts gather where the galaxies with spectra "
        "(orange) are, and leave voids empty. Sharpened redshifts are medians of posteriors, which "
        "are narrower than the photo-z but not exact.",
    ),
    "number_densities": Caption(
        "Number of galaxies by redshift",
        "Histograms of the redshifts that the surveys measured, the smooth form that was fitted "
        "to them through the errors of the photo-z (dashed), and N(z) at true redshifts, which it "
        "implies. The form is too smooth to follow single clusters and walls, which raise its χ² "
        "per degree of freedom well above 1. Where the true redshifts are known, they are grey.",
    ),
    "sky_scores": Caption(
        "How well fields agree with the truth",
        "Left: mean squared error over the variance of the truth, lower is better. Right: "
        "correlation with the truth, higher is better. Galaxies are smoothed and divided by their "
        "expected counts, smoothed alike; the truth are the photometric galaxies at their true "
        "redshifts.",
    ),
    "sky_slices": Caption(
        "Smoothed fields along the line of sight",
        "Galaxies over what is expected, both smoothed, in a plane through the observer, who is to "
        "the left of it; one scale of colours for all panels. Photo-z smear structure from left to "
        "right; a good estimate has the walls and voids of the truth where spectra show them, and "
        "is even where they do not.",
    ),
    "sky_maps": Caption(
        "Maps in thin bins of redshift",
        "Galaxies over what is expected, both smoothed with 4 Mpc/h, in bins of redshift thinner "
        "than the photo-z error spreads galaxies; one scale of colours for each bin. East is to "
        "the left; degrees are from the middle of the survey. An estimate has each galaxy by its "
        "probability to be in the bin.",
    ),
    "gain_by_place": Caption(
        "What the redshifts gain, and whether they are right, from place to place",
        "Top: information on true redshifts gained over the photo-z and N(z) alone, of galaxies "
        "without spectra, by their photo-z, magnitude and distance to the edge of the footprint, "
        "its holes included. Bottom: share of galaxies in each tenth of their own posterior, for "
        "ranges of photo-z with equally many galaxies; 10% is right, and the grey band is 1% of "
        "the galaxies up and down. Bars are errors of the mean.",
    ),
    "photoz_scatter": Caption(
        "Redshifts before and after against the truth",
        "Number of galaxies by true redshift (across) and by photo-z or sharpened redshift (up), "
        "one scale of colours for both. Black: equality; grey: beyond these lines a redshift is an "
        "outlier.",
    ),
    "photoz_residuals": Caption(
        "Errors of redshifts before and after",
        "(z - z_true) / (1 + z_true): the core to the left, all of it on a logarithmic scale to "
        "the right, where grey lines are the limits of outliers.",
    ),
    "photoz_pit": Caption(
        "Are p(z) right, before and after?",
        "Left: share of galaxies by the probability that their p(z) has below the true redshift. "
        "Right p(z) give an even histogram (black line); high ends mean p(z) that are too narrow, "
        "a hill too wide ones, a slope a bias. Right: share of the galaxies below a value, less "
        "that value. Grey bands are two standard deviations of chance.",
    ),
    "photoz_by": Caption(
        "Single redshifts before and after, by bins",
        "Scatter, bias and share of outliers of galaxies in bins of magnitude, photo-z and "
        "distance to the edge of the footprint, as far as they are known, each at the median of "
        "its bin. Bars are one standard error; before and after are of the same galaxies, so that "
        "their difference is better known than either.",
    ),
    "photoz_pdf_by": Caption(
        "p(z) before and after, by bins",
        "Share of true redshifts in the central 68% interval (grey: right p(z)), CRPS and CDE "
        "loss, of which lower is better, and the gain in ln p, above 0 where p(z) after are "
        "better. Bars are errors of the mean.",
    ),
}


def paper_caption(name: str) -> Caption:
    """The caption of a figure with its number in the paper, where it has one."""
    title, words = CAPTIONS[name]
    if name in PAPER_FIGURES:
        title = f"Fig. {PAPER_FIGURES[name]}: {title[0].lower()}{title[1:]}"
    return Caption(title, words)


def picture_files(names: Iterable[str]) -> tuple[str, ...]:
    """The files that `write_pictures` leaves in a folder ``figures``."""
    files = (f"figures/{name}.{suffix}" for name in names for suffix in ("png", "pdf"))
    return (*files, "figures/captions.json")


def write_pictures(
    folder: Path,
    makers: Mapping[str, Callable[[], Figure]],
    captions: Mapping[str, Caption] = CAPTIONS,
    *,
    progress: Progress = silent,
) -> list[Picture]:
    """Draw each figure, write it as PNG and PDF, and all captions in ``captions.json``.

    ``makers`` are called one after the other, so that only one figure is in memory.
    """
    pictures: list[Picture] = []
    for done, (name, make) in enumerate(makers.items()):
        progress("figures", done, len(makers), name)
        png, _ = save(make(), folder / name)
        pictures.append(Picture(png, *captions[name]))
    entries = {p.path.name: {"title": p.title, "caption": p.caption} for p in pictures}
    write_text(folder / "captions.json", json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    progress("figures", len(makers), len(makers))
    return pictures
