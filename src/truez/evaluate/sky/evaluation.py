"""All estimates of a mock on the sky, judged together and beside what they are compared with.

The photometric survey as it is, its photo-z with N(z) alone, and the linear optimum of the
spectroscopic survey and of both are always there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.sample_bands import SampleBands
from truez.evaluate.sky.estimates import (
    EVEN,
    LINEAR,
    PHOTO,
    Estimate,
    SkyRedshifts,
    even,
    linear_optimum,
    surveys_of,
)
from truez.evaluate.sky.expected import (
    observed_counts,
    observed_density,
    redshift_thirds,
    visible,
)
from truez.evaluate.sky.fields import SkyFieldJudge
from truez.evaluate.sky.given import Given
from truez.evaluate.sky.judge import SkyJudge, edge_lengths
from truez.evaluate.sky.maps import SkyMaps, thin_bins
from truez.evaluate.sky.mesh import SkyMesh
from truez.evaluate.sky.redshifts import INTERVAL, JudgedRedshifts, point_numbers, summary
from truez.evaluate.sky.results import SkyEvaluation
from truez.evaluate.sky.sample_bands import sky_sample_bands
from truez.evaluate.store import Numbers
from truez.mesh.sphere import directions
from truez.sky.field import SkyField
from truez.sky.field_file import StoredPatches
from truez.sky.mock import SkyMock
from truez.sky.result import SkyReconstruction
from truez.support.progress import Progress, silent
from truez.support.provenance import versions

Array = NDArray[np.float64]
#: Smoothing lengths that fields are judged with [Mpc/h].
RADII = (4.0, 8.0)
#: Loss of galaxies at the ends of the photo-z below which their expected counts are those of all.
_ALL = 1e-3


def evaluate_sky(
    mock: SkyMock,
    estimates: Mapping[str, Estimate],
    *,
    redshift_range: tuple[float, float] | None = None,
    smoothing: Sequence[float] = RADII,
    null: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> SkyEvaluation:
    """Judge estimates of a mock on the sky beside its truth.

    Parameters
    ----------
    mock : SkyMock
    estimates : mapping of a name to SkyField, SkyRedshifts or Path
        Fields of `truez.sky.reconstruct`, or files of them or of catalogues of redshifts, which are
        read one after the other.
    redshift_range : (2,) floats, optional
        Photo-z of the galaxies and redshifts of the cells that are judged; by default those that
        all fields cover.
    smoothing : sequence of float
        Gaussian radii of the smoothed scores [Mpc/h].
    null : bool
        Judge each method on random galaxies as well, with everything fitted again.
    seed : int
        Of the random galaxies.
    progress : Progress

    Returns
    -------
    SkyEvaluation

    Raises
    ------
    ValueError
        If an estimate is not one of this mock, a name is taken, or no galaxy is in the range.
    """
    given = Given.of(mock, estimates)
    limits = given.checked_range(redshift_range)
    work = _Work(mock, given, limits, tuple(smoothing), progress)
    work.run()
    nulls = given.null_tests(limits, seed, progress) if null else {}
    return work.result(nulls)


@dataclass(eq=False)
class _Work:
    """What is judged, and what has been found."""

    mock: SkyMock
    given: Given
    limits: tuple[float, float]
    radii: tuple[float, ...]
    progress: Progress
    entries: dict[str, Any] = field(default_factory=dict)
    redshifts: dict[str, dict[str, Any]] = field(default_factory=dict)
    judged: dict[str, JudgedRedshifts] = field(default_factory=dict)
    planes: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, list[Any]] = field(default_factory=dict)
    samples: dict[str, SampleBands] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mock, surveys = self.mock, self.mock.surveys
        self.progress("mesh", 0, 1)
        self.mesh = SkyMesh.around(
            mock.footprint, cosmology=surveys.cosmology, redshift_range=self.limits,
            radius=max(self.radii),
        )  # fmt: skip
        self.expected = self.mesh.expected(surveys.nz)
        truth = self.mesh.paint(mock.ra, mock.dec, mock.z_true)
        self.judge = SkyFieldJudge(
            self.mesh, truth, self.expected, self.radii, redshift_thirds(surveys, self.limits)
        )
        self.planes["truth"] = self.judge.plane(truth, self.radii[0])
        self.bins = thin_bins(surveys, self.limits)
        ra, dec = (float(angle) for angle in directions(self.mesh.axes[2]))
        self.sky_maps = SkyMaps.of(surveys, ra, dec)
        self.known = np.zeros((len(mock.ids), len(self.bins)))
        for number, (low, high) in enumerate(self.bins):
            self.known[:, number] = (mock.z_true >= low) & (mock.z_true < high)
        self._map("truth", self.known, surveys.nz.counts)
        self.edge = edge_lengths(mock)
        self.progress("mesh", 1, 1)

    def run(self) -> None:
        """Judge everything."""
        self._photo()
        names = [n for n in self.given.estimates if n in self.given.limits]
        like = self._field(names[0]) if names else None
        for method in self.given.baselines:
            made = linear_optimum(method, self.mock, like, progress=self.progress)
            self._read(method, made)
            like = like or made
        assert like is not None
        self._moved(EVEN, even(like))
        del like
        for name in self.given.estimates:
            estimate = self.given.read(name)
            if isinstance(estimate, SkyRedshifts):
                self._catalogue(name, estimate)
            elif estimate[0].intensity is None:
                self._read(name, estimate)
            else:
                self._moved(name, estimate)

    def _field(self, name: str) -> SkyField:
        found = self.given.read(name)
        assert isinstance(found, SkyField)
        return found

    def _photo(self) -> None:
        """The photometric survey as it is."""
        mock, surveys = self.mock, self.mock.surveys
        usable = np.where(surveys.usable, mock.z_phot, np.nan)
        counts = self.mesh.paint(mock.ra, mock.dec, usable)
        self._keep(PHOTO, counts, self.mesh.expected(lambda z: observed_density(surveys, z)))
        inside = np.stack([(usable >= low) & (usable < high) for low, high in self.bins], axis=1)
        self._map(PHOTO, inside.astype(np.float64), lambda edges: observed_counts(surveys, edges))

    def _read(self, name: str, sky: SkyField) -> None:
        """A field that moves no galaxies."""
        delta = self.mesh.read(lambda ra, dec, z: sky.at(ra, dec, z))
        self._keep(name, self.expected * (1 + delta))

    def _moved(self, name: str, sky: SkyField) -> None:
        """A field whose galaxies have posteriors."""
        surveys = surveys_of(sky, self.mock)
        edges = [edge for one in self.bins for edge in one]
        judge = SkyJudge(self.mock, surveys, edges)
        counts = judge.painted(sky, self.mesh, self.progress)
        expected = self._seen(sky.reach)
        self._keep(name, counts, expected)
        if isinstance(sky.patches, StoredPatches) and sky.patches.seed is not None:
            self.samples[name] = sky_sample_bands(
                self.judge, counts, self._painted_samples(name, sky, sky.patches.seed),
                seed=sky.patches.seed, expected=expected,
            )  # fmt: skip
            self.entries[name]["samples"] = self.samples[name].to_dict()
        judged = judge.judged
        self.judged[name] = judged
        self.redshifts[name] = summary(
            judged, redshift_range=self.limits, has_spectrum=self.mock.has_spectrum,
            magnitude=self.mock.magnitude, edge_distance=self.edge,
        )  # fmt: skip
        inside = judge.in_bins[:, ::2]
        inside[self.mock.spec_rows] = self.known[self.mock.spec_rows]
        self._map(name, inside, self.mock.surveys.nz.counts)

    def _painted_samples(self, name: str, sky: SkyField, seed: int) -> Iterator[Tensor]:
        """The galaxies of the posterior samples of a file."""
        assert isinstance(sky.patches, StoredPatches)
        num, mock = sky.patches.num_samples, self.mock
        surveys = surveys_of(sky, mock)
        drawn = SkyReconstruction(sky.patches, sky.cosmology, sky.metadata, surveys).draws(
            num, seed=seed, progress=self.progress
        )
        for number, redshift in enumerate(drawn):
            self.progress("samples", number, num, name)
            yield self.mesh.paint(mock.ra, mock.dec, redshift)
        self.progress("samples", num, num, name)

    def _catalogue(self, name: str, found: SkyRedshifts) -> None:
        """Redshifts of a catalogue, painted at their draws, or medians where there are none."""
        mock = self.mock
        draws = found.draws if len(found.draws) else found.median[None]
        counts: Tensor | None = None
        for redshift in draws:
            one = self.mesh.paint(mock.ra, mock.dec, redshift)
            counts = one if counts is None else counts.add_(one)
        assert counts is not None
        self._keep(name, counts.div_(len(draws)), self._seen((0.0, math.inf)))
        low, high = self.limits
        rows = (mock.z_phot >= low) & (mock.z_phot <= high) & ~mock.has_spectrum
        known = rows & np.isfinite(found.median)
        if not known.any():
            raise ValueError(f"{name} has no redshift of a galaxy in redshift_range")
        true = mock.z_true[known]
        inside = (true >= found.low[known]) & (true <= found.high[known])
        self.redshifts[name] = {
            "num": int(known.sum()),
            "num_without": int((rows & ~known).sum()),
            f"inside_{100 * INTERVAL:.0f}": 100 * float(inside.mean()),
            **_before_after(mock.z_phot[known], found.median[known], true),
        }

    def _keep(self, name: str, counts: Tensor, expected: Tensor | None = None) -> None:
        self.entries[name] = self.judge.entry(counts, expected)
        self.planes[name] = self.judge.plane(counts, self.radii[0], expected)

    def _seen(self, reached: tuple[float, float]) -> Tensor | None:
        """Expected counts where some galaxies have no posterior; None where next to none."""
        surveys = self.mock.surveys
        low, high = surveys.photo_range
        bounds = max(reached[0], low), min(reached[1], high)
        z = np.linspace(*self.limits, 50)
        if float(visible(surveys, z, bounds).min()) > 1 - _ALL:
            return None
        return self.mesh.expected(lambda z: surveys.nz(z) * visible(surveys, z, bounds))

    def _map(self, name: str, inside: Array, counts: Callable[[Array], Array]) -> None:
        self.maps[name] = [
            self.sky_maps.contrast(
                self.mock.ra, self.mock.dec, inside[:, number],
                float(np.sum(counts(np.asarray(one)))), sum(one) / 2,
            )
            for number, one in enumerate(self.bins)
        ]  # fmt: skip

    def result(self, nulls: Mapping[str, dict[str, Any]]) -> SkyEvaluation:
        """Everything, in the order of tables."""
        for name, numbers in nulls.items():
            self.redshifts[name]["null"] = numbers
        order = [n for n in (PHOTO, EVEN, *LINEAR) if n in self.entries]
        order += [n for n in self.given.estimates if n not in order]
        content = {
            "truth": self.judge.about_truth,
            "methods": {name: self.entries[name] for name in order},
            "redshifts": self.redshifts,
        }
        mesh, mock = self.mesh, self.mock
        about = {
            "redshift_range": list(self.limits),
            "smoothing": list(self.radii),
            "mesh": {
                "box": mesh.box.to_dict(), "axes": mesh.axes, "cellsize": mesh.cellsize,
                "cells": int(self.judge.cells.sum()),
            },
            "bins": [list(one) for one in self.bins],
            "smoothed_variance": self.judge.about_truth["smoothed_variance"],
        }  # fmt: skip
        provenance = {
            "mock": mock.config.model_dump(mode="json", exclude_none=True),
            "source": mock.source,
            "reconstructions": dict(self.given.about),
            "versions": versions(),
        }
        return SkyEvaluation(
            mock=mock, numbers=Numbers(content), judged=self.judged, planes=self.planes,
            maps=self.maps, sky_maps=self.sky_maps, mesh=mesh, about=about, provenance=provenance,
            samples=self.samples,
        )  # fmt: skip


def _before_after(before: Array, after: Array, true: Array) -> dict[str, float]:
    return {
        f"{name}_{when}": value
        for when, redshift in (("before", before), ("after", after))
        for name, value in point_numbers(redshift, true).items()
    }
