"""The estimates that are judged together: read once, and found to be of the mock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truez.evaluate.labels import CONSTANTS
from truez.evaluate.sky.estimates import (
    EVEN,
    PHOTO,
    Estimate,
    SkyRedshifts,
    absent_baselines,
    made_again,
    reach,
    read_estimate,
    surveys_of,
)
from truez.evaluate.sky.judge import judge_redshifts
from truez.sky.field import SkyField
from truez.sky.mock import SkyMock
from truez.sky.null import null_mock
from truez.support.progress import Progress


@dataclass(frozen=True, eq=False)
class Given:
    """The estimates of a mock.

    Parameters
    ----------
    mock : SkyMock
    estimates : mapping
    limits : mapping of a name to (2,) floats
        Redshifts that each field covers.
    about : mapping of a name to dict
        The metadata of fields.
    baselines : sequence of str
        Linear methods that none of them is of.
    """

    mock: SkyMock
    estimates: Mapping[str, Estimate]
    limits: Mapping[str, tuple[float, float]]
    about: Mapping[str, dict[str, Any]]
    baselines: Sequence[str]

    @classmethod
    def of(cls, mock: SkyMock, estimates: Mapping[str, Estimate]) -> Given:
        """Read and check all of them."""
        limits: dict[str, tuple[float, float]] = {}
        about: dict[str, dict[str, Any]] = {}
        for name, estimate in estimates.items():
            found = read_estimate(name, estimate, mock)
            if isinstance(found, SkyField):
                limits[name], about[name] = reach(found), found.metadata
        baselines = absent_baselines(str(known.get("method")) for known in about.values())
        for name in estimates:
            if name in (*CONSTANTS, PHOTO, EVEN, "truth", *baselines):
                raise ValueError(
                    f"an estimate must not be called {name!r}, which is a field of every "
                    "evaluation: rename its file"
                )
        return cls(mock, estimates, limits, about, baselines)

    def read(self, name: str) -> SkyField | SkyRedshifts:
        """One of them."""
        return read_estimate(name, self.estimates[name], self.mock)

    def checked_range(self, asked: tuple[float, float] | None) -> tuple[float, float]:
        """The redshifts that are judged."""
        low, high = self.mock.config.redshift_range
        for first, last in self.limits.values():
            low, high = max(low, first), min(high, last)
        if not low < high:
            raise ValueError("the fields cover no redshift in common: judge one at a time")
        if asked is None:
            return max(low, 1e-3), high
        shown = f"redshift_range {asked[0]:g},{asked[1]:g}"
        if not 0 <= asked[0] < asked[1]:
            raise ValueError(f"{shown} must be two ascending redshifts from 0 on")
        slack = 1e-3
        for name, (first, last) in self.limits.items():
            if asked[0] < first - slack or asked[1] > last + slack:
                raise ValueError(
                    f"{shown} goes beyond the field {name}, which covers redshifts {first:.3g} to "
                    f"{last:.3g}: choose a range inside"
                )
        mock = self.mock
        inside = (mock.z_phot >= asked[0]) & (mock.z_phot <= asked[1])
        if not (inside & ~mock.has_spectrum).any():
            raise ValueError(
                f"{shown} holds no galaxy without a spectrum: choose one within those of the mock, "
                f"{mock.config.redshift_range[0]:g},{mock.config.redshift_range[1]:g}"
            )
        return asked

    def null_tests(
        self, limits: tuple[float, float], seed: int, progress: Progress
    ) -> dict[str, dict[str, Any]]:
        """Numbers of random galaxies, of each field with an intensity."""
        random, result = null_mock(self.mock, seed=seed), {}
        for name in self.about:
            found = self.read(name)
            if not isinstance(found, SkyField) or found[0].intensity is None:
                continue
            field = made_again(found, random, progress=progress)
            surveys = surveys_of(field, random)
            judged = judge_redshifts(random, field, surveys=surveys, progress=progress)
            rows = judged.chosen(limits, random.has_spectrum)
            result[name] = judged.take(rows).numbers()
        return result
