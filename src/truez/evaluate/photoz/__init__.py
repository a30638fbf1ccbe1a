"""Photo-z before and after: how much closer to the truth redshifts are that truez has sharpened.

For a catalogue that ``truez redshifts`` wrote on the sky, and true redshifts of some of its
galaxies that were not used as spectra; no mock is needed.

scores      PIT, CRPS, CDE loss and ln p of p(z) in cells of redshift
densities   p(z) from numbers of a catalogue, where there is no file of p(z)
galaxies    which galaxies are judged, and how many are left out for what reason
numbers     all numbers of some galaxies, with errors, and of bins
report      tables, words, pictures and files
judge       `judge_photoz`, all of it
"""

from __future__ import annotations

from truez.evaluate.photoz.densities import Densities, SplitNormals
from truez.evaluate.photoz.judge import PhotozDetails, judge_photoz, matched_truths
from truez.evaluate.photoz.report import PhotozReport
from truez.evaluate.photoz.scores import PdfScores, pdf_scores

__all__ = [
    "Densities", "PdfScores", "PhotozDetails", "PhotozReport", "SplitNormals", "judge_photoz",
    "matched_truths", "pdf_scores",
]  # fmt: skip
