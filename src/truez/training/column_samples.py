"""Training samples for column networks, as a pure function of (seed, step, rank).

As in `truez.training.universe_samples`, steps share *views*: two surveys of a universe, with one
draw of photo-z noise and of the survey's settings, painted, fitted and filtered once. Several views
are held at a time, and crops are taken from them in turn, so that successive steps have surveys of
different kinds; the views are replaced one by one. Crops hold whole sight lines and lie anywhere
across the sky, across the faces of a periodic box too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import Field as Setting
from pydantic import field_validator

from truez.linear.fit import NoFitError
from truez.mesh.box import Box, Mesh
from truez.networks.column_inputs import ColumnInputs, column_inputs
from truez.sightlines.conserve import PhotoClass
from truez.sightlines.redistribution import kernel_of, photo_class
from truez.simulate import Galaxies, observe
from truez.support.settings import Settings
from truez.surveys.mock import Mock
from truez.surveys.spec import SurveySpec
from truez.training.column_view import ColumnView
from truez.training.universe_samples import BoxesConfig, PoolSource, check_mesh
from truez.training.universes import Pool

#: Number of surveys that are drawn to find one whose spectra can be fitted.
_TRIES = 10


class ColumnsConfig(Settings):
    """Settings of the training and validation of column networks.

    Parameters
    ----------
    mse_weight : float
        Weight of the mean squared error of the posterior mean, in units of the truth's variance,
        relative to the cross entropy in nats per galaxy.
    views_at_once : int
        Views that are held, in half precision: 0.34 GB each for 256^3 cells. With few of them the
        network overfits to those, and its scores on others fall.
    judged_share : float
        Fraction of the views that are of the surveys of ``validation``; the others are drawn from
        the ranges that are trained on.
    random_share : float
        Fraction of the views, on average, whose galaxies have uniform random positions, so that a
        network learns to find no structure where there is none. Where their spectra cannot be
        fitted, the simulated positions are used.
    views_ahead : int
        Views that a thread prepares while the network is trained on others, up to
        ``views_at_once``: for a GPU, which would wait otherwise.
    validation : sequence of SurveySpec
        Surveys to validate with, each on every validation universe; those of the training, drawn
        once, by default.
    """

    mse_weight: Annotated[float, Setting(ge=0)] = 0.5
    views_at_once: Annotated[int, Setting(ge=1)] = 4
    judged_share: Annotated[float, Setting(ge=0, le=1)] = 0.0
    random_share: Annotated[float, Setting(ge=0, le=1)] = 0.0
    views_ahead: Annotated[int, Setting(ge=0)] = 0
    validation: tuple[SurveySpec, ...] = ()

    @field_validator("validation", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, eq=False)
class ColumnSamples(PoolSource):
    """Draws crops of whole sight lines from universes; a `truez.training.samples.Source`.

    Parameters
    ----------
    pool : Pool
        The universes, all of one periodic box.
    surveys : SurveySpec
        Surveys that are drawn from for each view.
    crop : (3,) ints
        Cells of a crop; the last is 0 or the whole line of sight.
    config : BoxesConfig
        Its cells and its numbers of steps and views are used.
    columns : ColumnsConfig
    floor : float
        Lowest intensity of the network's prior.
    batch : int
        Crops per step and rank, from the views in turn.
    seed : int
    symmetries : bool
        Apply a random one of the symmetries that keep the line of sight to each crop.
    num_ranks : int
        Number of ranks that train together.
    """

    pool: Pool
    surveys: SurveySpec
    crop: Sequence[int]
    config: BoxesConfig
    columns: ColumnsConfig
    floor: float
    batch: int = 1
    seed: int = 0
    symmetries: bool = True
    num_ranks: int = 1
    _made: dict[tuple[int, int], ColumnView] = field(default_factory=dict, init=False, repr=False)
    _coming: dict[tuple[int, int], Future[ColumnView]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def _worker(self) -> ThreadPoolExecutor:
        """One thread: neither a pool of universes nor torch's jacfwd is safe with two."""
        return ThreadPoolExecutor(1, "truez-views")

    @cached_property
    def shape(self) -> Mesh:
        """Cells of a crop."""
        shape = super().shape
        if shape[2] != self.box.meshsize[2]:
            raise ValueError(
                f"training.crop must hold whole sight lines of {self.box.meshsize[2]} cells, not "
                f"{shape[2]}: give 0 for its last number"
            )
        return shape

    def describe(self) -> dict[str, Any]:
        """Mesh, universes, surveys and the order of the views, as plain values (JSON)."""
        columns = self.columns.model_dump(mode="json", exclude={"views_ahead"})
        return {**super().describe(), "columns": columns}

    def draw(self, step: int, rank: int = 0) -> list[ColumnView]:
        """Crops of a step, from the views in turn."""
        rng = np.random.default_rng([self.seed, step, rank])
        alive = self.columns.views_at_once
        views = {slot: self.view(slot, step, rank) for slot in range(alive)}
        self._look_ahead(step, rank)
        slots = [(step * self.batch + n) % alive for n in range(self.batch)]
        crops = [views[s].crop(rng, self.shape, symmetries=self.symmetries) for s in slots]
        return [crop.single() for crop in crops]

    def view(self, slot: int, step: int, rank: int = 0) -> ColumnView:
        """The view that a slot holds at a step."""
        alive = self.columns.views_at_once
        key = self._number(slot, step), rank
        if key not in self._made:
            for old in [n for n, r in self._made if n % alive == slot and r == rank]:
                del self._made[old, rank]
            if self.columns.views_ahead:
                self._made[key] = self._ordered(key).result()
                del self._coming[key]
            else:
                self._made[key] = self._make(*key)
        return self._made[key]

    def _look_ahead(self, step: int, rank: int) -> None:
        """Start the thread on the views that are needed next."""
        alive, life = self.columns.views_at_once, self.config.steps_per_view
        # Steps until a slot is filled again, and the number of the view that it gets then.
        waits = [
            (life - (step + slot * life // alive) % life, self._number(slot, step) + alive)
            for slot in range(alive)
        ]
        for _, number in sorted(waits)[: self.columns.views_ahead]:
            self._ordered((number, rank))

    def _number(self, slot: int, step: int) -> int:
        """Number of the view in a slot at a step; the slots are filled again in turn."""
        alive, life = self.columns.views_at_once, self.config.steps_per_view
        return (step + slot * life // alive) // life * alive + slot

    def _ordered(self, key: tuple[int, int]) -> Future[ColumnView]:
        """The view of a key, from the thread."""
        if key not in self._coming:
            self._coming[key] = self._worker.submit(self._make, *key)
        return self._coming[key]

    def _make(self, number: int, rank: int) -> ColumnView:
        turn = number // self.config.views_per_box
        # A fourth number keeps this stream apart from those of the steps.
        rng = np.random.default_rng([self.seed, number, rank, 4])
        surveys, judged = self.surveys, self.columns.validation
        share = self.columns.judged_share if judged else 0.0
        if share and rng.random() < share:
            surveys = judged[int(rng.integers(len(judged)))]
        galaxies = self.pool[turn * self.num_ranks + rank]
        settings = (surveys, rng, self.config, self.box, self.floor)
        found = None
        if self.columns.random_share and rng.random() < self.columns.random_share:
            with contextlib.suppress(NoSurveysError):
                found = observed(scattered(galaxies, rng), *settings)
        found = found or observed(galaxies, *settings)
        return ColumnView.of(*found, self.config.resampler).half()


class NoSurveysError(ValueError):
    """No drawn survey of a universe has spectra that can be fitted."""


def scattered(galaxies: Galaxies, rng: np.random.Generator) -> Galaxies:
    """The same galaxies at uniform random positions."""
    box = galaxies.box
    places = rng.random((len(galaxies), 3), dtype=np.float32)
    places *= np.asarray(box.boxsize, dtype=np.float32)
    places += np.asarray(box.lower, dtype=np.float32)
    return replace(galaxies, positions=places)


def observed(
    galaxies: Galaxies,
    surveys: SurveySpec,
    rng: np.random.Generator,
    config: BoxesConfig,
    box: Box,
    floor: float,
) -> tuple[Mock, ColumnInputs, PhotoClass]:
    """Two surveys of a universe that fills ``box``, or of a closed section of it.

    Surveys whose spectra cannot be fitted are drawn again.

    Returns
    -------
    Mock
    ColumnInputs
        Input fields and conditions of the network.
    PhotoClass
        Photometric galaxies without a spectrum, with their true positions.

    Raises
    ------
    NoSurveysError
        If the spectra of none of several draws can be fitted.
    """
    check_mesh(galaxies, config.cellsize, box)
    for _ in range(_TRIES):
        mock = observe(galaxies, surveys, rng, cellsize=config.cellsize)
        seen, resampler = mock.surveys, config.resampler
        photo = photo_class(seen, kernel_of(seen), resampler=resampler, truth=mock.truth)
        # With this error the next survey is drawn.
        with contextlib.suppress(NoFitError):
            inputs = column_inputs(seen, floor=floor, resampler=resampler, galaxies=photo)
            return mock, inputs, photo
    raise NoSurveysError(f"none of {_TRIES} surveys drawn could be fitted: {NoFitError()}")
