"""Training samples for column networks, as a pure function of (seed, step, rank).

As in `truez.training.universe_samples`, steps share *views*: a universe as two surveys see it,
with one draw of photo-z noise and of their settings, painted, fitted and filtered once. Several
views are alive at a time and crops come from them in turn, so that steps that follow one another
see surveys of different kinds; one view after the other is replaced. Crops hold whole columns and
lie anywhere across the sky, over the faces of a periodic box too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator
from pydantic import Field as Setting

from truez.linear.fit import NoFitError
from truez.mesh.box import Box, Mesh
from truez.networks.column_inputs import ColumnInputs, column_inputs
from truez.sightlines.conserve import PhotoClass
from truez.sightlines.redistribution import kernel_of, photo_class
from truez.simulate import Galaxies, observe
from truez.surveys.mock import Mock
from truez.surveys.spec import SurveySpec
from truez.training.column_view import ColumnView
from truez.training.universe_samples import BoxesConfig, PoolSource, check_mesh
from truez.training.universes import Pool

#: Surveys that are drawn before giving up to find one whose spectra can be fitted.
_TRIES = 10


class ColumnsConfig(BaseModel):
    """How column networks are trained and judged.

    Parameters
    ----------
    mse_weight : float
        Of the mean squared error of the posterior mean, in units of the truth's variance, beside
        the cross entropy in nats per galaxy.
    views_at_once : int
        Views that are alive, in half precision: 0.34 GB each for 256^3 cells. Few of them, and the
        network follows those that it sees, forgetting others.
    judged_share : float
        Share of the views that are of the surveys of ``validation``; the others are of all the
        ranges that are trained on.
    random_share : float
        Share of the views, on average, whose galaxies lie anywhere in the box, so that a network
        learns to find nothing where nothing is. The spectra of some cannot be fitted; the real
        galaxies are then seen.
    views_ahead : int
        Views that a thread makes while the network learns from others, up to ``views_at_once``: for
        a GPU, which would wait.
    validation : sequence of SurveySpec
        Surveys that are judged, each on every validation universe; those of the training, drawn
        once, by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    """Draws crops of whole columns from universes; a `truez.training.samples.Source`.

    Parameters
    ----------
    pool : Pool
        The universes, all of one periodic box.
    surveys : SurveySpec
        What is seen of them.
    crop : (3,) ints
        Cells of a crop; the last must be 0, the whole line of sight, or as many.
    config : BoxesConfig
        Of which the cells and the numbers of steps and views are used.
    columns : ColumnsConfig
    floor : float
        Of the network's prior.
    batch : int
        Crops per step and rank, of one view after another.
    seed : int
    symmetries : bool
        Turn each crop by one of the symmetries that keep the line of sight.
    num_ranks : int
        Ranks that train together.
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
        """One thread: neither a pool of universes nor torch's jacfwd serves two at a time."""
        return ThreadPoolExecutor(1, "truez-views")

    @cached_property
    def shape(self) -> Mesh:
        """Cells of a crop."""
        shape = super().shape
        if shape[2] != self.box.meshsize[2]:
            raise ValueError(
                f"training.crop must hold whole columns of {self.box.meshsize[2]} cells, not "
                f"{shape[2]}: give 0 for its last number"
            )
        return shape

    def describe(self) -> dict[str, Any]:
        """The mesh, the universes, and what is seen of them when."""
        columns = self.columns.model_dump(mode="json", exclude={"views_ahead"})
        return {**super().describe(), "columns": columns}

    def draw(self, step: int, rank: int = 0) -> list[ColumnView]:
        """Draw the crops of a step, one of each of the views in turn."""
        rng = np.random.default_rng([self.seed, step, rank])
        alive = self.columns.views_at_once
        views = {slot: self.view(slot, step, rank) for slot in range(alive)}
        self._look_ahead(step, rank)
        slots = [(step * self.batch + n) % alive for n in range(self.batch)]
        crops = [views[s].crop(rng, self.shape, symmetries=self.symmetries) for s in slots]
        return [crop.single() for crop in crops]

    def view(self, slot: int, step: int, rank: int = 0) -> ColumnView:
        """The view that is alive in a slot at a step."""
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
        """Have those views made that are needed next."""
        alive, life = self.columns.views_at_once, self.config.steps_per_view
        # Steps until a slot is filled anew, with what comes then.
        waits = [
            (life - (step + slot * life // alive) % life, self._number(slot, step) + alive)
            for slot in range(alive)
        ]
        for _, number in sorted(waits)[: self.columns.views_ahead]:
            self._ordered((number, rank))

    def _number(self, slot: int, step: int) -> int:
        """Number of the view in a slot at a step; the slots take turns in being filled anew."""
        alive, life = self.columns.views_at_once, self.config.steps_per_view
        return (step + slot * life // alive) // life * alive + slot

    def _ordered(self, key: tuple[int, int]) -> Future[ColumnView]:
        """A view that the thread has made, makes or will make."""
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
        seen = None
        if self.columns.random_share and rng.random() < self.columns.random_share:
            with contextlib.suppress(NoSurveysError):
                seen = observed(scattered(galaxies, rng), *settings)
        seen = seen or observed(galaxies, *settings)
        return ColumnView.of(*seen, self.config.resampler).half()


class NoSurveysError(ValueError):
    """None of the surveys drawn of a universe could be fitted."""


def scattered(galaxies: Galaxies, rng: np.random.Generator) -> Galaxies:
    """The same galaxies anywhere in their box."""
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
    """Two surveys of a universe that fills ``box``, or of a closed part, with the network's inputs.

    The third are the photometric galaxies without a spectrum, with their true places.

    Surveys whose spectra cannot be fitted are drawn again.
    """
    check_mesh(galaxies, config.cellsize, box)
    for _ in range(_TRIES):
        mock = observe(galaxies, surveys, rng, cellsize=config.cellsize)
        seen, resampler = mock.surveys, config.resampler
        photo = photo_class(seen, kernel_of(seen), resampler=resampler, truth=mock.truth)
        # Leaving the block with this error goes on to the next draw.
        with contextlib.suppress(NoFitError):
            inputs = column_inputs(seen, floor=floor, resampler=resampler, galaxies=photo)
            return mock, inputs, photo
    raise NoSurveysError(f"none of {_TRIES} surveys drawn could be fitted: {NoFitError()}")
