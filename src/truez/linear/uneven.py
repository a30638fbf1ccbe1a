"""The Wiener filter of surveys with uneven expected counts, by conjugate gradients.

Galaxies are counted in cells (NGP), so that their noise is that of Poisson counts, diagonal in real
space, while the signal is diagonal in Fourier space. With n expected and c observed counts per cell
and S the signal covariance, the spectroscopic survey alone gives

    (S^-1 + n) delta = c - n,

which needs no special case where n = 0, and never divides by n.

Of **both surveys** the data and the equations are those of `truez.linear.both_surveys`, with the
2 x 2 matrix of P_s, P_x and P_p as signal. The spectroscopic survey alone says of the photometric
sample ``delta_p = S_x S_s^-1 delta_s``.

Memory beside the data, in meshes of float32 or float64: four with the room behind the faces of a
closed box and one or two without for one sample, twice as many for both and one more for each class
of photometric galaxies, 3/4 for the signal and its filter, and 60 MB.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from truez.linear.both_surveys import BothSurveys
from truez.linear.conjugate import Solution, conjugate_gradients
from truez.linear.counts import CellCounts, over
from truez.linear.filter import padded_box
from truez.linear.signal import SignalMesh
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.support.notes import Note
from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from truez.linear.model import LinearModel

#: Residual to stop at: the fields are within 1% of their solution, and their mean squared error
#: within 1e-4 of its minimum.
TOLERANCE = 1e-3
MAX_ITERATIONS = 200


@dataclass(frozen=True)
class FilterSettings:
    """How the equations are solved.

    Parameters
    ----------
    resampler : {"ngp"} or None
        NGP for galaxies counted in cells, None for fields without a window (tests).
    tolerance : float
        Residual to stop at, such as 1e-3; float32 meshes reach about 1e-6.
    max_iterations : int
        A note says so where they end before the tolerance is reached.
    """

    resampler: str | None = "ngp"
    tolerance: float = TOLERANCE
    max_iterations: int = MAX_ITERATIONS

    def __post_init__(self) -> None:
        if self.resampler not in ("ngp", None):
            raise ValueError(
                f"resampler must be ngp, whose noise is that of separate cells, not "
                f"{self.resampler!r}"
            )
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be between 0 and 1, not {self.tolerance!r}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be at least 1, not {self.max_iterations!r}")


DEFAULT = FilterSettings()


@dataclass(frozen=True, eq=False, repr=False)
class UnevenWiener:
    """What the filter finds, each field a Tensor (nx, ny, nz).

    Parameters
    ----------
    spec, photo : Tensor
        Posterior means of delta_s and delta_p, without the discreteness of the samples.
    target : Tensor
        Of the photometric sample itself in true redshift space, t of `LinearModel.wiener`.
    from_spec, from_photo : Tensor, optional
        The parts of ``photo`` that the data of each survey contribute, whose sum it is.
    iterations : int
        Of the conjugate gradients, those of the parts included; 0 for the local approximation.
    residual : float
        As in `truez.linear.conjugate.Solution`; nan for the local approximation.
    """

    spec: Tensor
    photo: Tensor
    target: Tensor
    iterations: int
    residual: float
    from_spec: Tensor | None = None
    from_photo: Tensor | None = None

    def __repr__(self) -> str:
        how = "local approximation"
        if not math.isnan(self.residual):
            how = f"{self.iterations} iterations to a residual of {self.residual:.1e}"
        return f"Wiener filter of uneven counts on {tuple(self.photo.shape)} cells, {how}"

    def field(self, box: Box) -> Field:
        """``target`` as a field, with iterations and residual in its metadata."""
        about: dict[str, Any] = {"iterations": self.iterations, "residual": self.residual}
        return Field(self.target, box, "delta", {"method": "wiener, uneven counts", **about})

    def inner(self, margin: int) -> UnevenWiener:
        """Without ``margin`` cells at both ends of the line of sight."""
        if margin == 0:
            return self
        cells = slice(margin, -margin)
        names = ("spec", "photo", "target", "from_spec", "from_photo")
        fields = {name: getattr(self, name) for name in names}
        return replace(
            self, **{name: mesh[..., cells] for name, mesh in fields.items() if mesh is not None}
        )

    def about(self) -> dict[str, Any]:
        """Iterations and residual, for metadata; empty for the local approximation."""
        if math.isnan(self.residual):
            return {}
        return {"filter_iterations": self.iterations, "filter_residual": self.residual}


def uneven_wiener_spec(
    model: LinearModel,
    box: Box,
    spec: CellCounts,
    *,
    photo_expected: Tensor | None = None,
    common: float = 1.0,
    settings: FilterSettings = DEFAULT,
    start: Tensor | None = None,
    progress: Progress = silent,
) -> UnevenWiener:
    """The Wiener filter of a spectroscopic survey with uneven expected counts.

    Parameters
    ----------
    model : LinearModel
        Its P_s and P_x are used, and none of its densities.
    box : Box
        The mesh; a closed box gets room behind its faces (`truez.linear.filter.padded_box`).
    spec : CellCounts
    photo_expected : Tensor, broadcastable to (nx, ny, nz), optional
        n_p, expected photometric galaxies per true cell, for ``target``; without it ``target`` is
        ``photo``.
    common : float
        q, the share of the spectroscopic galaxies that are in the photometric sample.
    settings : FilterSettings
    start : Tensor (nx, ny, nz), optional
        A guess of ``spec``, such as that of larger cells, which saves iterations.
    progress : Progress

    Returns
    -------
    UnevenWiener

    Raises
    ------
    ValueError
        If counts and box do not fit, or numbers are negative or not finite.
    """
    check_samples(box, [("spec", spec)], common)
    mesh = SignalMesh(padded_box(box, 0.0), spec.counts)
    signal = mesh.signal(model, settings.resampler)
    expected = spec.expected.expand(box.meshsize)
    mean, room = _mean(expected), mesh.room()
    filtered = signal.filtered(mean).spec

    def precondition(meshes: list[Tensor]) -> list[Tensor]:
        room.copy_(meshes[0])
        mesh.multiply_(room, filtered)
        return [room]

    guess = None
    if start is not None:
        # Beyond the faces the solution is S_s times what the data leave.
        room.copy_(mesh.padded(spec.counts - expected * (1 + start)))
        mesh.multiply_(room, signal.spec)
        nx, ny, nz = box.meshsize
        room[:nx, :ny, :nz] = start
        guess = [room.clone()]
    left = [mesh.padded(spec.counts - expected)]
    solved = conjugate_gradients(
        left,
        precondition,
        lambda meshes, slab: [meshes[0] * expected[slab]],
        mean=[mean],
        meshsize=box.meshsize,
        tolerance=settings.tolerance,
        max_iterations=settings.max_iterations,
        start=guess,
        progress=progress,
    )
    _note(solved, settings.tolerance)
    (delta,) = solved.fields
    photo = delta
    if not signal.same:
        # S_s^-1 delta_s is what the data leave, less what is left of the equations.
        room.copy_(mesh.padded(spec.counts - expected * (1 + delta)).sub_(left[0]))
        mesh.multiply_(room, signal.cross)
        nx, ny, nz = box.meshsize
        photo = room[:nx, :ny, :nz].clone()
    target = with_galaxies(delta, photo, spec, photo_expected, common)
    return UnevenWiener(delta, photo, target, solved.iterations, solved.residual)


def with_galaxies(
    delta: Tensor, photo: Tensor, spec: CellCounts, photo_expected: Tensor | None, common: float
) -> Tensor:
    """The target: delta_p, and that the common galaxies are themselves part of the sample."""
    if photo_expected is None:
        return photo
    return photo + over(common * (spec.counts - spec.expected * (1 + delta)), photo_expected)


def uneven_wiener(
    model: LinearModel,
    box: Box,
    spec: CellCounts,
    photo: Sequence[CellCounts],
    *,
    common: float = 1.0,
    matched: bool = True,
    parts: bool = False,
    settings: FilterSettings = DEFAULT,
    progress: Progress = silent,
) -> UnevenWiener:
    """The Wiener filter of both surveys with uneven expected counts.

    Parameters
    ----------
    model : LinearModel
        Its P_s, P_x and P_p are used, and none of its densities.
    box, spec
        As in `uneven_wiener_spec`.
    photo : sequence of CellCounts
        With ``matched`` the photometric galaxies that have no spectrum, a class of them for each
        photo-z error. Otherwise all photometric galaxies, and their true expected counts, in one
        class.
    common : float
        q, the share of the spectroscopic galaxies that are in the photometric sample.
    matched : bool
        Whether it is known which photometric galaxies have a spectrum.
    parts : bool
        Solve for ``from_spec`` and ``from_photo`` too, which takes as long again.
    settings, progress
        As in `uneven_wiener_spec`.

    Returns
    -------
    UnevenWiener

    Raises
    ------
    ValueError
        If counts and box do not fit, numbers are negative or not finite, a class has no matrix,
        several have no matches, or nearly all photometric galaxies have unknown matches.
    """
    named = [(f"photo class {i}", one) for i, one in enumerate(photo, 1)]
    check_samples(box, [("spec", spec), *named], common)
    if not photo or any(one.matrix is None for one in photo):
        raise ValueError("photo must hold at least one class of galaxies, each with a matrix")
    if len(photo) > 1 and not matched:
        raise ValueError(
            f"photo has {len(photo)} classes of galaxies and matched is False: without matches "
            "there can be one class"
        )
    mesh = SignalMesh(padded_box(box, 0.0), spec.counts)
    data = BothSurveys(box, spec, photo, common, matched)
    # The photometric data in it would save no iterations.
    mean = _mean(spec.expected.expand(box.meshsize))
    filtered = mesh.signal(model, settings.resampler).filtered(mean)
    rooms = [mesh.room(), mesh.room()]

    def precondition(meshes: list[Tensor]) -> list[Tensor]:
        for room, values in zip(rooms, meshes, strict=True):
            room.copy_(values)
        mesh.multiply_pair_(rooms[0], rooms[1], filtered)
        return rooms

    found = []
    for use_photo in (True, False) if parts else (True,):
        solved = conjugate_gradients(
            [mesh.padded(values) for values in data.rhs(use_photo)],
            precondition,
            data.hessian,
            mean=[mean, 0.0],
            meshsize=box.meshsize,
            tolerance=settings.tolerance,
            max_iterations=settings.max_iterations,
            progress=progress,
        )
        _note(solved, settings.tolerance)
        found.append(solved)
    delta_s, delta_p = found[0].fields
    part = found[1].fields[1] if parts else None
    return UnevenWiener(
        spec=delta_s,
        photo=delta_p,
        target=data.target(delta_s, delta_p),
        iterations=sum(one.iterations for one in found),
        residual=max(one.residual for one in found),
        from_spec=part,
        from_photo=None if part is None else delta_p - part,
    )


def check_samples(
    box: Box,
    samples: Sequence[tuple[str, CellCounts]],
    common: float,
) -> None:
    """Raise an error for samples that the filter cannot use, the spectroscopic one first."""
    for name, counts in samples:
        counts.check(box, name)
    if samples[0][1].matrix is not None:
        raise ValueError("spec has a matrix: the places of spectroscopic galaxies are known")
    if not 0 <= common <= 1:
        raise ValueError(f"common must be a share from 0 to 1, not {common!r}")


def _mean(expected: Tensor) -> float:
    """Mean of expected counts where there are any."""
    return float(expected.sum(dtype=torch.float64) / torch.count_nonzero(expected))


def _note(solved: Solution, tolerance: float) -> None:
    if solved.residual > tolerance:
        warnings.warn(
            f"the Wiener filter stopped after {solved.iterations} iterations at a residual of "
            f"{solved.residual:.1e}, above the tolerance of {tolerance:g}",
            Note,
            stacklevel=3,
        )
