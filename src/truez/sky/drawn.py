"""Posterior samples on the sky: the photometric galaxies painted at redshifts drawn for them.

In each patch those are painted that its estimate is made of: they have a photo-z in its box, or a
known redshift, and are in its core or near it. What is expected of them is what the estimate
expects. Galaxies that are drawn beyond the box of a patch are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.joint import turns
from truez.sky.field import SkyField
from truez.sky.field_file import PatchWriter
from truez.sky.joint import Intensities, PatchFluctuations, joint_redshifts
from truez.sky.layout import Layout, Outline, PatchesInTurn, grown
from truez.sky.patch_data import PatchData
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Redshifts = NDArray[np.floating[Any]]


class PatchPainter:
    """Paints drawn catalogues in one patch.

    Parameters
    ----------
    surveys : SkySurveys
    outline : Outline
        Of the patch.
    resampler : {"ngp", "cic", "tsc"}
    """

    def __init__(self, surveys: SkySurveys, outline: Outline, resampler: str = "cic") -> None:
        data = PatchData(surveys, outline.box)
        # Those whose share reaches the core or the cells next to it.
        near = grown(outline.core, 2)
        self._resampler, self._box = resampler, outline.box
        self._rows = data.within(near)
        self._sky = data.places(self._rows)
        self._known, self._known_weights = data.known(near)
        self._weights = None
        if surveys.photo_weights is not None:
            self._weights = surveys.photo_weights[self._rows]
        self._expected = Field(data.expected_painted(resampler), data.box, "counts")
        self._foreign = torch.from_numpy(~grown(outline.core))

    def delta(self, redshift: Redshifts) -> Tensor:
        """Overdensity of a catalogue, nan in cells that are not next to the core.

        Parameters
        ----------
        redshift : (n_p,) array
            Of all photometric galaxies; nan for those without one.
        """
        z, box = redshift[self._rows].astype(np.float64), self._box
        there = np.flatnonzero(np.isfinite(z))
        chi = box.cosmology.distances.from_redshift(z[there])
        positions = np.column_stack([self._sky[there], chi])
        inside = box.inside(positions)
        positions = np.concatenate([positions[inside], self._known])
        weights = None
        if self._weights is not None and self._known_weights is not None:
            weights = np.concatenate([self._weights[there[inside]], self._known_weights])
        counts = paint(positions, box, self._resampler, weights=weights)
        delta = counts.to_delta(self._expected).values
        delta[self._foreign] = math.nan
        return delta


class DrawnPatches(PatchesInTurn):
    """The patches of one sample, each of which is painted when it is asked for.

    Parameters
    ----------
    surveys : SkySurveys
    layout : Layout
    redshift : (n_p,) array
        Of all photometric galaxies.
    resampler : {"ngp", "cic", "tsc"}
    """

    meshes = ("delta",)

    def __init__(
        self, surveys: SkySurveys, layout: Layout, redshift: Redshifts, resampler: str
    ) -> None:
        self.outlines = tuple(layout.outlines)
        self.pairs = (None,) * len(self.outlines)
        self._redshift = redshift
        self._painter = partial(PatchPainter, surveys, resampler=resampler)

    def mesh(self, number: int, name: str) -> Tensor:
        """The overdensity of a patch."""
        assert name == "delta"
        return self._painter(outline=self.outlines[number]).delta(self._redshift)


def drawn_fields(
    surveys: SkySurveys,
    field: SkyField,
    fluctuations: PatchFluctuations | None = None,
    *,
    seed: int,
    numbers: Sequence[int],
    progress: Progress = silent,
) -> Iterator[SkyField]:
    """Posterior samples of a field, one at a time; their patches are painted when asked for.

    Parameters
    ----------
    surveys : SkySurveys
    field : SkyField
        With intensities.
    fluctuations, seed, numbers
        As of `truez.sky.joint.joint_redshifts`.
    progress : Progress

    Yields
    ------
    SkyField
        Its metadata are those of the field, with its ``seed`` and ``number``.
    """
    layout = field.layout
    for turn in turns(len(numbers)):
        some = numbers[turn]
        drawn = joint_redshifts(
            surveys, layout, field.intensity, fluctuations, seed=seed, numbers=some,
            dtype=np.float32, progress=progress,
        )  # fmt: skip
        for number, redshift in zip(some, drawn, strict=True):
            patches = DrawnPatches(surveys, layout, redshift, resampler_of(field.metadata))
            about = {**field.metadata, "seed": seed, "number": number}
            yield SkyField(patches, field.cosmology, about)


def write_samples(
    writer: PatchWriter,
    surveys: SkySurveys,
    layout: Layout,
    intensities: Intensities,
    fluctuations: PatchFluctuations | None = None,
    *,
    num: int,
    seed: int,
    resampler: str,
    progress: Progress = silent,
) -> None:
    """Write posterior samples beside the patches of a field that have been written.

    Memory: a few meshes of one patch, with fluctuations those of
    `truez.sky.joint.memory_of_draws`, and the redshifts of as many catalogues as
    `truez.sightlines.joint.turns` has in a turn.

    Parameters
    ----------
    writer : PatchWriter
    surveys : SkySurveys
    layout : Layout
        Of the patches.
    intensities, fluctuations, seed
        As of `truez.sky.joint.joint_redshifts`.
    num : int
        Samples, from number 0 on.
    resampler : {"ngp", "cic", "tsc"}
    progress : Progress
    """
    writer.make_room(num, seed)
    done, total = 0, num * len(layout.outlines)
    for turn in turns(num):
        some = range(num)[turn]
        drawn = joint_redshifts(
            surveys, layout, intensities, fluctuations, seed=seed, numbers=some, dtype=np.float32,
            progress=progress,
        )  # fmt: skip
        for number, outline in enumerate(layout.outlines):
            painter = PatchPainter(surveys, outline, resampler)
            for index, redshift in zip(some, drawn, strict=True):
                progress("samples", done, total)
                writer.put_sample(number, index, painter.delta(redshift))
                done += 1
    progress("samples", total, total)


def resampler_of(metadata: dict[str, Any]) -> str:
    """How the galaxies of a field were painted."""
    return str(metadata.get("settings", {}).get("resampler", "cic"))
