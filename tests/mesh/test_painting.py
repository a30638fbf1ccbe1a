"""Painting: truths that need no other code, both boundaries, and every refusal."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys

import astropy.units
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truez.mesh import paint_cpu
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import DIFFERENCES, roomy_mesh
from truez.mesh.paint_input import Tally
from truez.mesh.paint_torch import add_gradient_torch, paint_torch, read_torch
from truez.mesh.painting import add_gradient, paint, paint_chunks, readout
from truez.mesh.resamplers import RESAMPLERS, order_of
from truez.statistics.power import catalog_power, power
from truez.support.progress import silent

ALL = sorted(RESAMPLERS)
PERIODIC = Box((20.0, 30.0, 25.0), (10, 9, 14), boxcenter=(3.0, -7.0, 100.0))
CLOSED = Box((20.0, 30.0, 25.0), (10, 9, 14), boxcenter=(3.0, -7.0, 100.0), periodic=False)
BOXES = pytest.mark.parametrize("box", [PERIODIC, CLOSED], ids=["periodic", "closed"])
RESAMPLER = pytest.mark.parametrize("resampler", ALL)


def uniform(box: Box, number: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    """Positions uniform in a box, some of them exactly on its corners."""
    x = np.random.default_rng(seed).random((number, 3)) * box.boxsize + box.lower
    x[: number // 100 + 1] = box.lower
    x[number // 100 + 1 : number // 50 + 1] = box.upper
    return x.astype(dtype)


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few galaxies fill many pieces and batches."""
    monkeypatch.setattr(paint_cpu, "PIECE_ROWS", 128)
    monkeypatch.setattr(paint_cpu, "BATCH_PIECES", 3)


def bspline(distance: np.ndarray, order: int) -> np.ndarray:
    """The B-spline kernels by their definition, as a function of distance in cells."""
    d = np.abs(distance)
    if order == 1:
        return ((distance >= -0.5) & (distance < 0.5)).astype(float)
    if order == 2:
        return np.where(d < 1, 1 - d, 0)
    return np.where(d < 0.5, 0.75 - d**2, np.where(d < 1.5, 0.5 * (1.5 - d) ** 2, 0))


def brute_force(x: np.ndarray, box: Box, resampler: str, w: np.ndarray) -> np.ndarray:
    """Every galaxy against every node of a mesh that is three cells wider, then folded."""
    shares = []
    for axis, n in enumerate(box.meshsize):
        g = (x[:, axis] - box.lower[axis]) * n / box.boxsize[axis]
        g = g % n if box.periodic else g
        nodes = np.arange(-3, n + 3)
        share = bspline(g[:, None] - (nodes + 0.5), order_of(resampler))
        cells = nodes % n if box.periodic else nodes.clip(0, n - 1)
        folded = np.zeros((len(x), n))
        np.add.at(folded.T, cells, share.T)
        shares.append(folded)
    return np.einsum("p,pi,pj,pk->ijk", w, *shares)


@RESAMPLER
@BOXES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_the_definition(resampler: str, box: Box, dtype: str) -> None:
    x = uniform(box, 400, dtype=dtype)
    w = np.random.default_rng(1).normal(size=400)
    expected = brute_force(x.astype("float64"), box, resampler, w)
    mesh = paint(x, box, resampler, weights=w).numpy()
    np.testing.assert_allclose(mesh, expected, atol=3e-6)


@BOXES
def test_ngp_counts_are_a_histogram(box: Box) -> None:
    x = np.random.default_rng(3).random((20000, 3)) * box.boxsize + box.lower
    expected, _ = np.histogramdd(x, bins=[box.edges(axis) for axis in range(3)])
    np.testing.assert_array_equal(paint(x, box, "ngp").numpy(), expected)


@RESAMPLER
def test_weights_are_a_partition_of_unity_and_keep_the_first_moment(resampler: str) -> None:
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    shares = torch.stack(list(RESAMPLERS[resampler](t)))
    order = order_of(resampler)
    assert order == len(shares)
    torch.testing.assert_close(shares.sum(0), torch.ones_like(t), rtol=0, atol=1e-15)
    assert (shares >= 0).all()
    if order > 1:
        mean = (shares * torch.arange(order)[:, None]).sum(0)
        torch.testing.assert_close(mean, t + (order - 2) / 2, rtol=0, atol=1e-15)


@RESAMPLER
@given(
    mesh=st.tuples(*[st.integers(1, 40)] * 3),
    size=st.tuples(*[st.floats(1e-2, 1e4)] * 3),
    center=st.tuples(*[st.floats(-1e4, 1e4)] * 3),
    periodic=st.booleans(),
    weighted=st.booleans(),
    single=st.booleans(),
    shift=st.sampled_from([0.0, 0.5, -1.25]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_sum_of_the_weights_is_conserved(
    resampler, mesh, size, center, periodic, weighted, single, shift, seed
) -> None:
    box = Box(size, mesh, center, periodic)
    x = uniform(box, 300, seed)
    x = x.clip(box.lower, box.upper).astype("float32" if single else "float64")
    w = np.random.default_rng(seed).random(300) if weighted else None
    field = paint(x, box, resampler, weights=w, shift=shift)
    total = 300.0 if w is None else w.sum()
    assert field.values.sum(dtype=torch.float64).item() == pytest.approx(total, rel=3e-5)
    assert field.values.min() >= 0


@RESAMPLER
def test_the_sum_is_conserved_to_rounding(resampler: str) -> None:
    box = Box(100.0, 32)
    total = paint(uniform(box, 200_000), box, resampler).values.sum(dtype=torch.float64)
    assert abs(total.item() / 200_000 - 1) < 1e-8


@RESAMPLER
def test_a_lattice_with_the_cells_spacing_is_uniform(resampler: str) -> None:
    axes = [PERIODIC.edges(axis)[:-1] + 0.3 * PERIODIC.cellsize[axis] for axis in range(3)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(paint(x, PERIODIC, resampler).numpy(), 1, rtol=1e-6)


@BOXES
@pytest.mark.parametrize("cell", [(0, 0, 0), (4, 8, 13), (9, 3, 0)])
def test_one_galaxy_at_a_cell_centre(box: Box, cell: tuple[int, int, int]) -> None:
    x = np.array([[box.centers(axis)[cell[axis]] for axis in range(3)]])
    for resampler in ("ngp", "cic"):
        mesh = paint(x, box, resampler).numpy()
        assert mesh[cell] == pytest.approx(1, abs=1e-5)
        assert mesh.sum() == pytest.approx(1)
    share = 7 / 8 if not box.periodic else 3 / 4
    expected = np.prod(
        [share if i in (0, n - 1) else 3 / 4 for i, n in zip(cell, box.meshsize, strict=True)]
    )
    assert paint(x, box, "tsc").numpy()[cell] == pytest.approx(expected, rel=1e-5)


@RESAMPLER
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_faces(resampler: str, dtype: str) -> None:
    closed = Box(0.3, 3, periodic=False)  # 0.3 is above itself in float32
    top = paint(np.full((1, 3), 0.3, dtype), closed, resampler).numpy()
    assert top[2, 2, 2] == pytest.approx(1)
    assert top.sum() == pytest.approx(1)
    wrapped = Box(0.3, 3)
    low = paint(np.zeros((1, 3), dtype), wrapped, resampler).numpy()
    np.testing.assert_allclose(
        paint(np.full((1, 3), 0.3, dtype), wrapped, resampler).numpy(), low, atol=1e-5
    )


@RESAMPLER
def test_a_periodic_box_wraps(resampler: str) -> None:
    x = uniform(PERIODIC, 500)
    x = x[(x < PERIODIC.upper).all(axis=1)]
    away = x + np.array([2, -3, 1]) * PERIODIC.boxsize
    near, far = paint(x, PERIODIC, resampler), paint(away, PERIODIC, resampler, outside="wrap")
    torch.testing.assert_close(near.values, far.values, rtol=0, atol=2e-6)


@RESAMPLER
@pytest.mark.parametrize("x", [-1e-30, -1e-9, np.nextafter(np.float32(10), 0), 1e30, -1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_never_leaves_the_mesh(resampler: str, x: float, dtype: str) -> None:
    mesh = paint(np.full((1, 3), x, dtype), Box(10.0, 7), resampler, outside="wrap").numpy()
    assert mesh.sum() == pytest.approx(1)
    assert (mesh >= 0).all()


@RESAMPLER
def test_shift_moves_by_cells(resampler: str) -> None:
    x = uniform(PERIODIC, 500)
    moved = paint(x + 0.5 * np.array(PERIODIC.cellsize), PERIODIC, resampler)
    shifted = paint(x, PERIODIC, resampler, shift=0.5)
    torch.testing.assert_close(shifted.values, moved.values, rtol=0, atol=2e-6)
    whole = paint(x, PERIODIC, resampler, shift=1.0).values
    rolled = paint(x, PERIODIC, resampler).values.roll((1, 1, 1), (0, 1, 2))
    torch.testing.assert_close(whole, rolled, rtol=0, atol=2e-6)


@pytest.mark.parametrize("resampler", ["cic", "tsc"])
def test_the_centre_of_mass_is_kept_away_from_the_faces(resampler: str) -> None:
    box = Box((20.0, 30.0, 25.0), (20, 15, 25), boxcenter=0.0, periodic=False)
    x = np.random.default_rng(0).random((100, 3)) * 5 + 1
    mesh = paint(x, box, resampler).numpy().astype("float64")
    for axis in range(3):
        profile = mesh.sum(axis=tuple(a for a in range(3) if a != axis))
        assert (profile * box.centers(axis)).sum() / 100 == pytest.approx(x[:, axis].mean(), 1e-6)


@RESAMPLER
@BOXES
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_are_bit_identical(
    resampler: str, box: Box, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    x = uniform(box, 2000)
    w = np.random.default_rng(2).random(2000) if weighted else None
    whole = paint(x, box, resampler, weights=w)
    cuts = [0, 1, 1, 130, 900, 1999, 2000]
    buffer = np.empty_like(x)

    def chunks():
        for a, b in itertools.pairwise(cuts):
            buffer[: b - a] = x[a:b]  # a maker that fills the same array again
            yield buffer[: b - a] if w is None else (buffer[: b - a], w[a:b])

    parts = paint_chunks(chunks(), box, resampler)
    assert torch.equal(whole.values, parts.values)
    assert whole.metadata == parts.metadata


@RESAMPLER
@BOXES
def test_threads_do_not_change_a_bit(
    resampler: str, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    fine = Box(box.boxsize, (33, 20, 8), box.boxcenter, box.periodic)
    x, w = uniform(fine, 3000), np.random.default_rng(2).random(3000)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        field = paint(x, fine, resampler, weights=w)
        results.append((field.values, torch.from_numpy(readout(field, x, resampler))))
    for values, read in results[1:]:
        assert torch.equal(values, results[0][0])
        assert torch.equal(read, results[0][1])


@RESAMPLER
@BOXES
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_torch_and_cpu_loops_agree(resampler: str, box: Box, shift: float) -> None:
    x = np.concatenate([uniform(box, 3000), np.full((2, 3), 1e3)])
    w = np.random.default_rng(2).random(len(x))
    field = paint(x, box, resampler, weights=w, shift=shift, outside="drop")
    tally = Tally(drop=True)
    other = torch.zeros(box.meshsize)
    paint_torch([(x, w)], box, resampler, shift, tally, silent, None, other)
    torch.testing.assert_close(field.values, other, rtol=3e-6, atol=1e-5)
    assert tally.kept == field.metadata["num_galaxies"]
    assert tally.outside == field.metadata["num_outside"] == 2
    shot = box.volume * tally.square_sum / tally.sum**2
    assert shot == pytest.approx(field.shotnoise, rel=1e-6)
    read = read_torch(field.values, box, x[:3000], resampler, Tally())
    np.testing.assert_allclose(readout(field, x[:3000], resampler), read, atol=2e-5)


@RESAMPLER
@BOXES
def test_readout_is_the_adjoint(resampler: str, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    rng = np.random.default_rng(4)
    x, w = uniform(box, 1000), rng.normal(size=1000)
    values = torch.from_numpy(rng.normal(size=box.meshsize).astype("float32"))
    field = Field(values, box, "delta")
    left = (readout(field, x, resampler).astype("float64") * w).sum()
    right = (values.double() * paint(x, box, resampler, weights=w).values).sum().item()
    assert left == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("resampler", ["cic", "tsc"])
def test_readout_of_a_plane_is_the_plane(resampler: str) -> None:
    box = Box((20.0, 30.0, 25.0), (20, 15, 25), periodic=False)
    a, b, c = (torch.from_numpy(box.centers(axis)) for axis in range(3))
    plane = 2 * a[:, None, None] - b[:, None] + 0.5 * c
    x = np.random.default_rng(0).random((100, 3)) * 10 + 5
    expected = 2 * x[:, 0] - x[:, 1] + 0.5 * x[:, 2]
    read = readout(Field(plane.float(), box, "density"), x, resampler)
    np.testing.assert_allclose(read, expected, rtol=1e-5)


def roomy(box: Box, values: torch.Tensor) -> torch.Tensor:
    mesh = roomy_mesh(box.meshsize)
    mesh.copy_(values)
    return mesh


@RESAMPLER
def test_painting_into_a_mesh_is_painting(resampler: str) -> None:
    x = uniform(PERIODIC, 500)
    mesh = roomy(PERIODIC, torch.ones(PERIODIC.meshsize))
    field = paint(x, PERIODIC, resampler, out=mesh)
    assert field.values is mesh
    assert torch.equal(mesh, paint(x, PERIODIC, resampler).values)


@RESAMPLER
@pytest.mark.parametrize("meshsize", [(20, 16, 24), (5, 1, 7), (33, 70, 6)])
def test_the_gradient_is_read_as_its_mesh_would_be(
    resampler: str, meshsize: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    box = Box((40.0, 30.0, 25.0), meshsize, (3.0, -50.0, 7.0))
    values = torch.randn(meshsize, generator=torch.Generator().manual_seed(1))
    x = torch.from_numpy(uniform(box, 2000))
    before = torch.ones(len(x), 3)
    results = []
    for threads in (1, 3):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        out = before.clone()
        add_gradient(roomy(box, values), box, x, out, factor=-0.7, resampler=resampler)
        results.append(out)
    assert torch.equal(results[0], results[1])
    expected = before.clone()
    for axis, cell in enumerate(box.cellsize):
        slope = sum(
            weight * (values.roll(-step, axis) - values.roll(step, axis)) / cell
            for step, weight in enumerate(DIFFERENCES, 1)
        )
        field = Field(slope, box, "density")
        expected[:, axis] -= 0.7 * torch.from_numpy(readout(field, x, resampler))
    torch.testing.assert_close(results[0], expected, atol=1e-5, rtol=1e-5)
    other = before.clone()
    add_gradient_torch(values, box, x, resampler, -0.7, Tally(), other)
    torch.testing.assert_close(other, expected, atol=1e-5, rtol=1e-5)


def test_a_closed_box_has_no_gradient() -> None:
    with pytest.raises(ValueError, match="box must be periodic, so that the gradient has no edges"):
        mesh = roomy_mesh(CLOSED.meshsize)
        add_gradient(mesh, CLOSED, torch.zeros(1, 3), torch.zeros(1, 3))


def test_metadata() -> None:
    x = np.concatenate([uniform(CLOSED, 100), [[1e3, 0, 0]]])
    w = np.arange(101.0)
    field = paint(x, CLOSED, "tsc", weights=w, outside="drop")
    w = w[:100]
    assert field.kind == "counts"
    assert field.metadata == {"num_galaxies": 100, "num_outside": 1}
    assert field.resampler == "tsc"
    assert field.shotnoise == pytest.approx(CLOSED.volume * (w**2).sum() / w.sum() ** 2)
    plain = paint(x[:100], CLOSED)
    assert plain.shotnoise == pytest.approx(CLOSED.volume / 100)


def test_nothing_painted_is_an_empty_field() -> None:
    for field in (paint(np.empty((0, 3)), PERIODIC), paint_chunks([], PERIODIC)):
        assert field.values.abs().max() == 0
        assert field.shotnoise is None
    assert readout(field, np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda x: x.astype(">f8"),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        torch.from_numpy,
        lambda x: torch.from_numpy(x).requires_grad_(),
    ],
    ids=["fortran", "big-endian", "strided", "tensor", "with gradient"],
)
def test_any_layout_and_never_changed(change) -> None:
    x = uniform(PERIODIC, 300) + 50.0
    w = np.linspace(1, 2, 300)
    given, kept = change(x.copy()), change(x.copy())
    expected = paint(x, PERIODIC, weights=w, outside="wrap").values
    assert torch.equal(paint(given, PERIODIC, weights=w, outside="wrap").values, expected)
    other = torch.zeros(PERIODIC.meshsize)
    paint_torch([(given, w)], PERIODIC, "cic", 0.0, Tally(wrap=True), silent, None, other)
    torch.testing.assert_close(other, expected, rtol=0, atol=1e-5)
    assert (given == kept).all()
    np.testing.assert_array_equal(w, np.linspace(1, 2, 300))


def test_read_only_positions() -> None:
    x = uniform(PERIODIC, 300)
    x.flags.writeable = False
    assert paint(x, PERIODIC).values.sum() == pytest.approx(300)


def test_progress_counts_rows() -> None:
    seen = []
    paint(uniform(PERIODIC, 300), PERIODIC, progress=lambda *report: seen.append(report))
    assert seen == [("painting", 300, 300)]


GOOD = uniform(CLOSED, 10)
BROKEN = {
    "resampler": (
        {"resampler": "pcs"},
        "resampler must be one of ngp, cic, tsc, not 'pcs'",
    ),
    "outside": ({"outside": "clip"}, "outside must be one of error, drop, wrap, not 'clip'"),
    "shift": ({"shift": np.nan}, "shift must be a finite number of cells, not nan"),
    "one position": (
        {"positions": GOOD[0]},
        "positions must be (n, 3) in float32 or float64, not (3,) in float64",
    ),
    "two columns": (
        {"positions": GOOD[:, :2]},
        "positions must be (n, 3) in float32 or float64, not (10, 2) in float64",
    ),
    "whole numbers": (
        {"positions": GOOD.astype(int)},
        "positions must be (n, 3) in float32 or float64, not (10, 3) in int64",
    ),
    "half precision": (
        {"positions": torch.zeros(4, 3, dtype=torch.float16)},
        "positions must be (n, 3) in float32 or float64, not (4, 3) in float16",
    ),
    "few weights": (
        {"weights": np.ones(9)},
        "weights must be of shape (10,), one for each position, not (9,)",
    ),
    "weights of text": ({"weights": np.array(["1"] * 10)}, "weights must be numbers, not text"),
    "complex weights": (
        {"weights": np.ones(10) * 1j},
        "weights must be numbers, not complex128",
    ),
    "weights beyond float32": (
        {"weights": np.full(10, 1e40)},
        "10 of 10 weights are not finite in float32: divide the weights by their mean",
    ),
    "weights whose sum is beyond float32": (
        {"weights": np.full(10, 3e38)},
        (
            "weights of about 3e+38 for 10 positions leave the range of float32: divide the "
            "weights by their mean"
        ),
    ),
    "weights that vanish in float32": (
        {"weights": np.full(10, 1e-60)},
        (
            "all 10 weights are 0 in float32, as they are below 1e-45: divide the weights by "
            "their mean"
        ),
    ),
    "weights that lose their digits in float32": (
        {"weights": np.full(10, 1e-42)},
        (
            "weights of about 1e-42 for 10 positions leave the range of float32: divide the "
            "weights by their mean"
        ),
    ),
    "masked positions": (
        {"positions": np.ma.MaskedArray(GOOD, mask=np.arange(30).reshape(10, 3) % 7 == 0)},
        "5 of 10 positions are masked: leave those rows out",
    ),
    "masked weights": (
        {"weights": np.ma.MaskedArray(np.ones(10), mask=np.arange(10) == 3)},
        "1 of 10 weights are masked: leave those rows out",
    ),
    "positions with a unit": (
        {"positions": GOOD * astropy.units.kpc},
        (
            "positions must be plain numbers, as their unit 'kpc' would be lost: give their "
            "values in the unit that truez has, such as Mpc/h or km/s"
        ),
    ),
    "wrapped in a closed box": (
        {"outside": "wrap"},
        "outside must be error or drop for a closed box, which does not wrap",
    ),
    "another unit in a periodic box": (
        {"positions": 1000 * GOOD, "box": PERIODIC},
        (
            "10 of 10 positions are more than a boxsize (the first is row 0) beyond the faces of "
            "the periodic box: correct boxsize, boxcenter or the length unit, or wrap them with "
            'outside="wrap"'
        ),
    ),
    "Mpc in a periodic box of Mpc/h": (
        {"positions": uniform(Box(64.0, 8), 2000) / 0.7, "box": Box(64.0, 8)},
        (
            "are more than 1% of a side beyond the faces of the periodic box: correct boxsize, "
            'boxcenter or the length unit, or wrap them with outside="wrap"'
        ),
    ),
    "bad weights": (
        {"weights": np.array([1.0] * 8 + [np.inf, np.nan])},
        "2 of 10 weights are not finite in float32: leave those rows out",
    ),
    "not finite": (
        {"positions": np.concatenate([GOOD, [[0, np.nan, 0], [np.inf, 0, 0]], GOOD])},
        "2 of 22 positions are not finite (the first is row 10): leave those rows out",
    ),
    "outside the box": (
        {"positions": np.concatenate([GOOD, [[1e3, 0, 0]], GOOD, [[3.0, -7.0, 99e2]]])},
        (
            "2 of 22 positions are outside the box (the first is row 10): enlarge the box, or "
            'leave them out with outside="drop"'
        ),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("pieces", [3, 1000])
def test_refusals(case: str, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paint_cpu, "PIECE_ROWS", pieces)
    change, sentence = BROKEN[case]
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        paint(**{"positions": GOOD, "box": CLOSED, **change})
    assert str(error.value).endswith(sentence)


@pytest.mark.parametrize("share", [1000, 1 / 0.7])
def test_positions_of_another_unit_are_refused_by_chunks_readout_and_power(share: float) -> None:
    x = uniform(PERIODIC, 2000)
    field = paint(x, PERIODIC)
    far = share * x
    mesh = torch.zeros(PERIODIC.meshsize)
    tally = Tally()
    paint_torch([(far, None)], PERIODIC, "cic", 0.0, tally, silent, None, mesh)
    for call in (
        lambda: paint_chunks([far[:300], far[300:]], PERIODIC),
        lambda: readout(field, far),
        lambda: catalog_power(far, PERIODIC),
        lambda: tally.check("error"),
    ):
        with pytest.raises(ValueError, match="beyond the faces of the periodic box: correct boxs"):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_periodic_box_wraps_galaxies_in_redshift_space(dtype: str) -> None:
    x = uniform(PERIODIC, 1000)
    moved = x + np.array([0, 0, 1]) * np.random.default_rng(3).normal(0, 2, 1000)[:, None]
    assert (moved[:, 2] > PERIODIC.upper[2]).sum() > 10
    found = paint(moved.astype(dtype), PERIODIC)
    assert found.metadata == {"num_galaxies": 1000, "num_outside": 0}
    wrapped = paint(moved.astype(dtype), PERIODIC, outside="wrap")
    assert torch.equal(found.values, wrapped.values)
    assert paint(x[:1] + 0.4 * np.array(PERIODIC.boxsize), PERIODIC).values.sum() > 0.99


@pytest.mark.parametrize("unit", [1e22, 1e-22, 1e38, 1e-38, 1e200, 1e-200, 2.0**70])
@pytest.mark.parametrize("interlacing", [True, False])
def test_power_does_not_depend_on_the_unit_of_the_weights(unit: float, interlacing: bool) -> None:
    x, w = uniform(PERIODIC, 2000), np.random.default_rng(2).lognormal(0, 1, 2000)
    wanted = catalog_power(x, PERIODIC, weights=w, interlacing=interlacing)
    found = catalog_power(x, PERIODIC, weights=unit * w, interlacing=interlacing)
    for ell in (0, 2, 4):
        scale = np.abs(wanted.poles[0]).max()
        np.testing.assert_allclose(found.poles[ell], wanted.poles[ell], atol=1e-5 * scale)
    assert found.shotnoise == pytest.approx(wanted.shotnoise, rel=1e-6)
    if 1e-25 < unit < 1e25:
        field = paint(x, PERIODIC, weights=unit * w)
        assert field.shotnoise == pytest.approx(wanted.shotnoise, rel=1e-6)
        np.testing.assert_allclose(
            power(field).poles[0], power(paint(x, PERIODIC, weights=w)).poles[0], rtol=1e-4
        )


def test_weights_of_any_power_of_two_give_the_same_bits() -> None:
    x, w = uniform(PERIODIC, 2000), np.random.default_rng(2).random(2000).astype(np.float32)
    wanted = catalog_power(x, PERIODIC, weights=w)
    for exponent in (-90, -40, -3, 5, 40, 90):
        for same in (np.ldexp(w, exponent), torch.from_numpy(np.ldexp(w, exponent))):
            found = catalog_power(x, PERIODIC, weights=same)
            for ell in (0, 2, 4):
                np.testing.assert_array_equal(found.poles[ell], wanted.poles[ell])


@pytest.mark.parametrize("case", ["not finite", "outside the box"])
def test_torch_refuses_in_the_same_words(case: str) -> None:
    change, sentence = BROKEN[case]
    mesh = torch.zeros(CLOSED.meshsize)
    for call in (
        lambda x, tally: paint_torch([(x, None)], CLOSED, "cic", 0.0, tally, silent, None, mesh),
        lambda x, tally: read_torch(mesh, CLOSED, x, "cic", tally),
    ):
        tally = Tally()
        call(change["positions"], tally)
        with pytest.raises(ValueError, match=re.escape(sentence)) as error:
            tally.check("error")
        assert str(error.value) == sentence
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        readout(paint(GOOD, CLOSED), change["positions"])
    assert str(error.value) == sentence


@pytest.mark.slow
def test_a_cell_that_cannot_count_any_further_is_an_error() -> None:
    many = np.broadcast_to(np.float32(1), ((1 << 24) + 5000, 3))
    assert paint(many[:-5000], Box(4.0, 4), "ngp").values.max() == 1 << 24
    with pytest.raises(ValueError, match="the float32 mesh holds 16777216 of 16782216 galaxies"):
        paint(many, Box(4.0, 4), "ngp")


def test_chunks_with_and_without_weights_do_not_mix() -> None:
    with pytest.raises(ValueError, match="must all have weights, or none of them"):
        paint_chunks([(GOOD, np.ones(10)), GOOD], CLOSED)


@pytest.mark.medium
def test_no_folder_to_keep_compiled_loops_in(tmp_path) -> None:
    """A read-only install of a user without a home still paints, compiling every time."""
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import numpy as np\n"
        "from truez.mesh.box import Box\n"
        "from truez.mesh.painting import paint\n"
        "print(float(paint(np.ones((5, 3)), Box(4.0, 4), 'ngp').values.sum()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False
    )
    assert run.stdout.strip() == "5.0", run.stderr


@pytest.mark.medium
def test_importing_painting_does_not_import_numba() -> None:
    code = "import sys, truez.mesh.painting; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
