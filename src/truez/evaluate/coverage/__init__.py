"""The judge of posterior samples: whether the truth could be one of them.

vectors      what is looked at in a sample, place by place and mode by mode
summaries    what is averaged over a sample: power, xi, bispectrum, counts in cells
tenths       spread and error of each cell
judge        samples of one box, one after the other; `numbers` is what is kept of them
calibration  the tests, of one or more boxes; `tables` has them as text
"""

from truez.evaluate.coverage.calibration import Calibration
from truez.evaluate.coverage.judge import SampleJudge
from truez.evaluate.coverage.numbers import SampleNumbers

__all__ = ["Calibration", "SampleJudge", "SampleNumbers"]
