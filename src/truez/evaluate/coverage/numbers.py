"""The numbers of the samples of one box, in the one format in which they are kept.

The file is one JSON object; null is what is not a finite number:

    num_samples   N
    edges         of each summary statistic, by name
    x             mean k [h/Mpc] of the bands
    truth         summary statistics of the truth, by name (`summaries`); samples: (N, ...) of each
    cross         power of each sample with the truth (N, bands); estimate, mean: power and cross of
                  the point estimate and of the mean of the samples
    mse           by radius [Mpc/h]: of the mean of the samples, and of the estimate
    tenths        by radius: spread and error in tenths of the spread, and in all cells
    kinds         by kind (`vectors`): distance, value and spread, with each of the truth and the
                  samples in the truth's place (`truez.statistics.coverage`); crps; shape
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truez.evaluate.store import array, read_json, write_json
from truez.statistics.binning import Floats


class SampleNumbers:
    """The numbers of the samples of one box.

    Parameters
    ----------
    content : mapping
        What the file holds, or will hold; arrays may be lists.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"SampleNumbers of {self.num_samples} samples"

    @classmethod
    def read(cls, path: Path) -> SampleNumbers:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        return cls(read_json(path))

    def write(self, path: Path) -> None:
        """Write to a JSON file, whole or not at all."""
        write_json(path, self.content)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self.content["num_samples"])

    def edges(self, name: str) -> Floats:
        """Edges of a summary statistic."""
        return array(self.content["edges"][name])

    def truth(self, name: str) -> Floats:
        """A summary statistic of the truth."""
        return array(self.content["truth"][name])

    def samples(self, name: str) -> Floats:
        """A summary statistic of the samples, (N, ...)."""
        return array(self.content["samples"][name])

    def kind(self, name: str, part: str) -> Floats:
        """``distance``, ``value`` or ``spread`` of a kind."""
        return array(self.content["kinds"][name][part])
