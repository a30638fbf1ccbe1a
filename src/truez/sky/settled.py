"""What all patches of a shell share, as far as it is settled before any of them is worked on.

Where all patches are in one process a method finds it by itself. Where each is worked on alone, a
first pass over some of them settles one thing after the other: a job with a `Settled` goes as far
as the first that is not settled yet, and leaves what its patches have to say of it in ``part``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from truez.linear.model import LinearModel
from truez.sky.surveys import SkySurveys

#: What is settled, in this order: the linear model of the spectroscopic survey with the number of
#: photometric galaxies, the amplitude of the intensity, and the strength of pairs.
MODEL, AMPLITUDE, PAIRS = "model", "amplitude", "pairs"
#: That after which no method has anything to settle.
LAST = PAIRS
NUM_UNKNOWN = "num_unknown"


@dataclass(frozen=True, eq=False)
class Settled:
    """What is settled of a shell.

    Parameters
    ----------
    surveys : SkySurveys
        The survey as a whole, or a sample of its galaxies.
    numbers : mapping
        Plain values: ``num_unknown``, the photometric galaxies without a known redshift in the
        patches of the first pass; ``model``, `LinearModel.to_dict` or None; ``amplitude`` and
        ``pairs``, what their fits found, for metadata.
    is_first_pass : bool
        Whether a method ends before the patches are made.
    part : dict
        Filled by the job.
    """

    surveys: SkySurveys
    numbers: Mapping[str, Any]
    is_first_pass: bool = False
    part: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> LinearModel | None:
        """The linear model, None where there are too few spectra for one."""
        given = self.numbers[MODEL]
        return None if given is None else LinearModel.from_dict(given)
