"""The two surveys of a patch as galaxies in cells: for the filters, and for the network.

Galaxies are counted in cells for the filters, and spread by the resampler of its training for the
network. Expected counts are spread as the galaxies are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.counts import CellCounts, over
from truez.mesh.painting import paint
from truez.networks.local_inputs import LocalConditions, SightLine, uneven_conditions
from truez.networks.uneven_inputs import UnevenSamples
from truez.sightlines.conserve import PhotoClass, Spread
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import paint_columns
from truez.sky.patch_data import LEAST_UNKNOWN, PatchData
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity

Array = NDArray[np.float64]


def spec_cells(data: PatchData) -> CellCounts | None:
    """Spectroscopic galaxies per cell; None where none are expected."""
    expected = data.expected_spec()
    if not bool((expected > 0).any()):
        return None
    return CellCounts(data.spec_counts().values, expected)


def photo_matrix(data: PatchData, number: int, true_edges: Array | None = None) -> Tensor:
    """p(photo-z in cell i | true place in cell j) of a class of galaxies, (nz, n).

    Photo-z beyond those of the sample have no part in it. True places are in the cells of the box,
    or in others with edges (n + 1,) in redshift.
    """
    edges = data.box.redshift_edges
    true = edges if true_edges is None else true_edges
    low, high = data.photo_bounds
    matrix = np.zeros((len(edges) - 1, len(true) - 1))
    if low < high:
        inner = edges[(edges > low) & (edges < high)]
        seen = np.concatenate([[low], inner, [high]])
        first = int(np.searchsorted(edges, low, side="right")) - 1
        error = data.surveys.classes[number].error
        matrix[first : first + len(seen) - 1] = error.matrix(seen, true)
    return torch.from_numpy(matrix.astype(np.float32))


def inside_shares(data: PatchData, number: int) -> Tensor:
    """Share of the galaxies of a class at each photo-z that truly are in the box, (nz,).

    Of those without a known redshift, on average over the sight lines; below 1 with outliers alone.
    """
    beyond, line = data.unknown_beyond, data.sight_line
    if beyond is None:
        return torch.ones(data.box.meshsize[2])
    away = torch.from_numpy(line.beyond)
    expected = torch.empty(len(away))
    expected[~away] = data.expected_unknown().sum((0, 1))
    expected[away] = beyond.expected.sum((0, 1))
    expected *= torch.from_numpy(data.shares_at(line.edges)[number]).float()
    observed = photo_matrix(data, number, line.edges) * expected
    return 1 - over(observed[:, away].sum(1), observed.sum(1))


def photo_places(data: PatchData, rows: NDArray[np.int64]) -> Array:
    """Positions of photometric galaxies at their photo-z, (n, 3) [Mpc/h]."""
    chi = data.box.cosmology.distances.from_redshift(data.surveys.photo.redshift[rows])
    low, high = data.box.lower[2], data.box.upper[2]
    return np.column_stack([data.places(rows), np.clip(chi, low, high)])


def unknown_classes(
    data: PatchData, expected: Tensor, resampler: str | None = None
) -> list[CellCounts]:
    """Photometric galaxies without a known redshift per cell of photo-z, by classes of errors.

    They count as the share of those at their photo-z that are in the box.

    Parameters
    ----------
    data : PatchData
    expected : Tensor (nx, ny, nz)
        Expected ones per true cell, of all classes.
    resampler : {"ngp", "cic", "tsc"}, optional
        Spread across the sky by it; by default they are counted in cells.
    """
    surveys, rows, result = data.surveys, data.within(), []
    places, weights = photo_places(data, rows), surveys.photo_weights
    for number in range(len(surveys.classes)):
        own = surveys.class_of[rows] == number
        share = None if weights is None else weights[rows[own]]
        counts = paint_columns(places[own], data.box, resampler or "ngp", weights=share)
        part = expected * torch.from_numpy(data.class_shares[number]).float()
        here = counts.values.mul_(inside_shares(data, number))
        result.append(CellCounts(here, part, photo_matrix(data, number)))
    return result


def network_samples(data: PatchData, spec: CellCounts, resampler: str) -> UnevenSamples:
    """What a column network reads of a patch.

    Parameters
    ----------
    data : PatchData
    spec : CellCounts
        Result of `spec_cells`.
    resampler : {"ngp", "cic", "tsc"}
        Of the network.
    """
    surveys, box = data.surveys, data.box
    spread = Spread.of(resampler, Kernel(torch.eye(box.meshsize[2])))
    edges, all_edges = box.redshift_edges, data.sight_line.edges
    profile = _profile(data, edges, surveys.nz, surveys.footprint)
    spec_profile = _profile(data, edges, surveys.spec_nz, surveys.spec_footprint)
    across, spec_across = (
        torch.from_numpy(area.fraction(box, resampler=resampler))[:, :, None]
        for area in (surveys.footprint, surveys.spec_footprint)
    )
    spec_delta = _delta(data.spec_counts(resampler).values, spec_across * spread(spec_profile))
    shares = torch.from_numpy(data.shares_at(all_edges)).float()
    everywhere = _profile(data, all_edges, surveys.nz, surveys.footprint)
    observed = torch.stack([
        photo_matrix(data, number, all_edges) @ (everywhere * share)
        for number, share in enumerate(shares)
    ]).sum(0)  # fmt: skip
    rows = _all_photo(data)
    weights = surveys.photo_weights
    counts = paint(
        photo_places(data, rows), box, resampler, outside="drop",
        weights=None if weights is None else weights[rows],
    )  # fmt: skip
    unknown = across * profile
    if surveys.matched is not None:
        known = surveys.common * (spec_across * spec_profile)
        unknown = torch.maximum(unknown - known, LEAST_UNKNOWN * unknown)
    return UnevenSamples(
        spec=spec,
        photo=unknown_classes(data, data.expected_unknown()),
        spec_delta=spec_delta,
        photo_delta=_delta(counts.values, across * spread(observed)),
        classes=[
            PhotoClass(one.counts, Kernel(_matrix(one)), expected=one.expected)
            for one in unknown_classes(data, unknown, resampler)
        ],
        photo_expected=data.expected_photo(),
        common=surveys.common,
    )


def patch_conditions(data: PatchData, bias: float) -> LocalConditions:
    """The conditions of a local network in a patch.

    Parameters
    ----------
    data : PatchData
    bias : float
        ln of the bias of the photometric galaxies over that of the spectroscopic ones.
    """
    surveys, box = data.surveys, data.box
    z = box.redshift_centers
    errors = [one.error for one in surveys.classes]
    # d chi / dz, by which a small error is a length.
    length = np.array([surveys.cosmology.distance_error(1.0, float(one)) for one in z])
    widths = np.stack([np.broadcast_to(error.width(z), z.shape) for error in errors])
    shares = data.class_shares
    wrong = [float(np.mean(error.outlier_fraction)) for error in errors]
    line = SightLine(
        sigma=widths * length / box.cellsize[2],
        redshift=z,
        stretch=box.centers(2) / box.chi_ref,
        outliers=np.average(
            np.broadcast_to(np.array(wrong)[:, None], shares.shape), axis=0,
            weights=np.where(shares.sum(axis=0) > 0, shares, 1.0),
        ),
        redshift_space=surveys.redshift_space,
    )  # fmt: skip
    expected = data.expected_photo()
    unknown = data.expected_unknown().sum((0, 1), dtype=torch.float64).numpy()
    return uneven_conditions(
        box, line, expected=(data.expected_spec(), expected), class_weights=shares * unknown,
        common=surveys.common, bias=bias,
    )  # fmt: skip


def _all_photo(data: PatchData) -> NDArray[np.int64]:
    """Rows of all photometric galaxies with a photo-z in the box, known redshift or not."""
    surveys, (low, high) = data.surveys, data.photo_bounds
    z = np.where(surveys.usable, surveys.photo.redshift, np.nan)
    return data.on_sight_lines(np.flatnonzero((z >= low) & (z <= high)))


def _profile(data: PatchData, edges: Array, density: NumberDensity, footprint: Footprint) -> Tensor:
    """Expected galaxies between redshifts (n + 1,) on a sight line that is fully covered, (n,)."""
    counts = density.counts(edges) * (data.box.cell_area / footprint.area)
    return torch.from_numpy(counts.astype(np.float32))


def _delta(counts: Tensor, expected: Tensor) -> Tensor:
    return torch.where(expected > 0, over(counts, expected) - 1, 0.0)


def _matrix(one: CellCounts) -> Tensor:
    assert one.matrix is not None
    return one.matrix
