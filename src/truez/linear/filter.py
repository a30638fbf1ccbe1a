"""The Wiener filter of `truez.linear.model` applied to the fields of two surveys.

Its weights depend on |k_x|, |k_y| and |k_z| alone: they are computed for one octant of the modes
and used in the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from truez.linear.modes import OCTANT_MODES, folded, mesh_modes
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft

if TYPE_CHECKING:
    from truez.linear.model import LinearModel, Spectra, Use

#: Empty room behind the faces of a closed box while it is filtered [Mpc/h], beyond which galaxies
#: are hardly correlated; along the line of sight at least twice the photo-z error.
FACE_MARGIN = 20.0
#: Least share of the photometric galaxies that have no spectrum.
LEAST_UNKNOWN = 0.02
#: Which of (spec, photo) each choice uses.
SURVEYS: dict[str, tuple[int, ...]] = {"both": (0, 1), "spec": (0,), "photo": (1,)}


def wiener(
    model: LinearModel, *, spec: Field, photo: Field, use: Use = "both", part: bool = False
) -> Field:
    """The filtered field of `LinearModel.wiener`, which documents the arguments."""
    for name, field in (("spec", spec), ("photo", photo)):
        if field.kind != "delta":
            raise ValueError(f"the {name} field must be an overdensity, not {field.kind}")
    if spec.box != photo.box:
        raise ValueError(f"spec and photo are on different boxes: {spec.box} and {photo.box}")
    if use not in SURVEYS:
        raise ValueError(f"use must be one of {', '.join(SURVEYS)}, not {use!r}")
    box = padded_box(spec.box, model.error.sigma)
    chosen = SURVEYS[use]
    modes = [_modes((spec, photo)[survey], box) for survey in chosen]
    _multiply(
        model,
        box,
        [(mesh, mesh) for mesh in modes],
        lambda spectra: [spectra.weights(use)[survey] for survey in chosen],
        part=part,
    )
    total = modes.pop(0)
    while modes:
        total += modes.pop()
    metadata = {"method": "wiener" if use == "both" else f"wiener-{use}"}
    return Field(_values(total, box, spec.box), spec.box, "delta", metadata)


def wiener_unknown(model: LinearModel, spec: Field, *, share: float, part: bool = False) -> Tensor:
    """What the spectroscopic survey alone says of photometric galaxies without a spectrum.

    A share f of the photometric galaxies is spectroscopic, too: their overdensity is that of the
    spectroscopic survey, s, shot noise included, and so is their part of the filter w_s s of the
    whole sample. The others have

        delta = (w_s - f) s / (1 - f),    w_s - f = (P_x - f P_s) / P_ss,

    in which no shot noise is common to the two samples. With f = 0 it is the filter of the whole
    sample. Of samples that are partly nested, the galaxies in both are taken to cluster as the
    spectroscopic survey does.

    Parameters
    ----------
    model : LinearModel
    spec : Field
        Overdensity of the spectroscopic survey.
    share : float
        f; 1 - f counts as 0.02 at least.
    part : bool
        As in `wiener_parts`.

    Returns
    -------
    Tensor (nx, ny, nz)
        Overdensity, relative to the expected counts of the galaxies without a spectrum.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share!r}")
    box = padded_box(spec.box, model.error.sigma)
    modes = _modes(spec, box)
    others = max(1 - share, LEAST_UNKNOWN)
    _multiply(
        model,
        box,
        [(modes, modes)],
        lambda spectra: [(spectra.weights("spec")[0] - share) / others],
        part=part,
    )
    return _values(modes, box, spec.box)


def wiener_parts(
    model: LinearModel, spec: Field, photo: Field, *, part: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The terms of the Wiener filter of both surveys, and that of the spectroscopic one alone.

    Parameters
    ----------
    model : LinearModel
    spec, photo : Field
        As in `LinearModel.wiener`.
    part : bool
        Whether the box is a part of a larger one, whose mean overdensity is not zero: it is
        filtered as the largest scales of the model are.

    Returns
    -------
    three Tensors (nx, ny, nz)
        ``w_s s`` and ``w_p p``, whose sum is ``model.wiener(spec, photo)``, and
        ``model.wiener(spec, photo, "spec")``.
    """
    box = padded_box(spec.box, model.error.sigma)
    modes = [_modes(field, box) for field in (spec, photo)]
    modes.append(torch.empty_like(modes[0]))
    # The last one first: the others overwrite what it is made of.
    _multiply(
        model,
        box,
        [(modes[0], modes[2]), (modes[0], modes[0]), (modes[1], modes[1])],
        lambda spectra: (spectra.weights("spec")[0], *spectra.weights("both")),
        part=part,
    )
    # One mesh after the other, so that large ones are not in memory twice.
    one, two, three = (_values(modes.pop(0), box, spec.box) for _ in range(3))
    return one, two, three


def wiener_unmatched(model: LinearModel, spec: Field) -> Tensor:
    """What the spectroscopic survey says of the photometric galaxies without a spectrum.

    Of all photometric ones it says ``w_s s``, and f s of those that are its own, with f the share
    that these are: of the others ``(w_s - f) s / (1 - f)``.

    Parameters
    ----------
    model : LinearModel
    spec : Field
        Overdensity of the spectroscopic sample, also on smaller cells than the model was fitted on.

    Returns
    -------
    Tensor (nx, ny, nz)
    """
    box, known = padded_box(spec.box, model.error.sigma), model.n_both / model.n_photo
    modes = _modes(spec, box)
    _multiply(
        model,
        box,
        [(modes, modes)],
        lambda spectra: [(spectra.weights("spec")[0] - known) / (1 - known)],
    )
    return _values(modes, box, spec.box)


def padded_box(box: Box, sigma: float) -> Box:
    """The box on which to filter: a closed one gets empty room, so that faces do not touch.

    ``sigma`` is the photo-z error [Mpc/h].
    """
    if box.periodic:
        return box
    margins = (FACE_MARGIN, FACE_MARGIN, max(FACE_MARGIN, 2 * sigma))
    mesh = [
        next_fast_len(n + math.ceil(margin / cell), real=True)
        for n, margin, cell in zip(box.meshsize, margins, box.cellsize, strict=True)
    ]
    return Box([n * cell for n, cell in zip(mesh, box.cellsize, strict=True)], mesh)


def _modes(field: Field, box: Box) -> Tensor:
    """Modes of a field with zeros (the mean) behind its upper faces, up to the mesh of ``box``."""
    nx, ny, nz = (n - m for n, m in zip(box.meshsize, field.values.shape, strict=True))
    if nx == ny == nz == 0:
        return rfft(field.values)
    return rfft(torch.nn.functional.pad(field.values, (0, nz, 0, ny, 0, nx)))


def _values(modes: Tensor, box: Box, inner: Box) -> Tensor:
    """The mesh of modes, without the room behind the upper faces."""
    nx, ny, nz = inner.meshsize
    return irfft(modes, box.meshsize)[:nx, :ny, :nz].contiguous()


def _multiply(
    model: LinearModel,
    box: Box,
    meshes: Sequence[tuple[Tensor, Tensor]],
    weights: Callable[[Spectra], Sequence[Tensor]],
    *,
    part: bool = False,
) -> None:
    """Write the modes of meshes, each times a weight, into others: pairs (from, to).

    Pairs are worked on in their order, slab by slab, so a mesh may be written to itself.
    """
    device = meshes[0][0].device
    rows, columns = (folded(num) for num in box.meshsize[:2])
    slabs = mesh_modes(box, model.resampler, modes_per_slab=OCTANT_MODES, octant=True)
    for plane, k, k_par, window, shot in slabs:
        spectra = model.spectra(k, k_par, window, shot)
        planes = torch.nonzero((rows >= plane.start) & (rows < plane.start + len(k)))[:, 0].tolist()
        for (source, target), weight in zip(meshes, weights(spectra), strict=True):
            # The mean of both surveys is known, so that of the overdensity is zero by definition,
            # but not in a part of them.
            octant = torch.where((k > 0) | part, weight, 0.0).to(torch.float32)
            for number in planes:
                here = octant[int(rows[number]) - plane.start, columns].to(device)
                torch.mul(source[number], here, out=target[number])
