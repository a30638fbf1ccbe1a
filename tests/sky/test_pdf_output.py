"""Sharpened p(z) of the sky, in the file that qp reads."""

import dataclasses
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sky.light_cone import light_cone, surveys_of

from truez.mesh.sky_box import SkyBox
from truez.sky import pdf_output
from truez.sky.patches import PatchSettings
from truez.sky.pdf_output import LAYOUTS, densities_of, redshift_edges, sky_pdfs
from truez.sky.plan import plan
from truez.sky.quantiles import LEVELS, ascending
from truez.sky.reconstruct import reconstruct, sharpen
from truez.sky.shells import plan_shells
from truez.support import temporaries
from truez.surveys.pdfs import Problem, read_pdfs

CELLS = PatchSettings(cellsize=8.0, widest=7.0)


@pytest.fixture(scope="module")
def surveys():
    cone = light_cone()
    lost = np.arange(len(cone)) % 500 == 3
    return surveys_of(dataclasses.replace(cone, z_phot=np.where(lost, -99.0, cone.z_phot)))


@pytest.fixture(scope="module")
def patches(surveys):
    return plan(surveys, CELLS, method="redistribution")


@pytest.fixture(scope="module")
def written(surveys, patches, tmp_path_factory):
    """The file of each layout, its edges, and the catalogue."""
    folder, found = tmp_path_factory.mktemp("pdfs"), {}
    names = np.array([f"galaxy {row}" for row in range(len(surveys.photo))])
    for layout in LAYOUTS:
        path = folder / f"{layout}.hdf5"
        with sky_pdfs(path, surveys, patches, layout=layout, ids={"NAME": names}) as pdfs:
            sharpened = sharpen(surveys, "redistribution", patches=patches, pdf_out=pdfs)
        found[layout] = path, pdfs.edges, sharpened.catalog
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{x}.hdf5" for x in LAYOUTS)
    assert not temporaries.temporaries
    return found


# --- densities on a grid


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), num=st.integers(1, 12), nodes=st.integers(2, 30))
def test_densities_keep_probability_and_mean(seed, num, nodes):
    rng = np.random.default_rng(seed)
    cells = np.sort(rng.uniform(0.2, 0.8, num + 1))
    p = rng.random(num)
    p /= p.sum()
    mean = p @ (cells[1:] + cells[:-1]) / 2
    grid = np.linspace(0.1, 0.9, nodes)
    step = grid[1] - grid[0]
    y = p @ densities_of(cells, grid, "interp")
    assert y.min() >= 0
    assert np.trapezoid(y, grid) == pytest.approx(1, abs=1e-12)
    # Between evenly spaced nodes the mean stays, too, but for those at the ends.
    inside = nodes < 4 or (cells[0] >= grid[1] and cells[-1] <= grid[-2])
    weights = np.full(nodes, step)
    weights[[0, -1]] /= 2
    if nodes >= 4 and inside:
        assert (y * weights) @ grid == pytest.approx(mean, abs=1e-12)
    bins = p @ densities_of(cells, grid, "hist")
    np.testing.assert_allclose(
        bins * step,
        np.diff(np.interp(grid, cells, np.concatenate([[0], np.cumsum(p)]))), atol=1e-12,
    )  # fmt: skip


def test_on_the_cells_themselves_a_histogram_is_the_posterior():
    cells = np.array([0.1, 0.15, 0.3, 0.32])
    np.testing.assert_allclose(densities_of(cells, cells, "hist").toarray(),
                               np.diag(1 / np.diff(cells)))  # fmt: skip
    # A node has the mean density of the cells beside it, by the probability that they have.
    y = np.array([0.2, 0.5, 0.3]) @ densities_of(cells, cells, "interp")
    np.testing.assert_allclose(y, [4, 0.7 / 0.2, 0.8 / 0.17, 15])


def box_of(low, high, cellsize=5.0):
    return SkyBox.around(0, 0, width=(4, 4), distances=(low, high), chi_ref=low,
                         cellsize=cellsize, cosmology="planck18")  # fmt: skip


def test_one_shell_has_the_bins_of_its_cells(surveys, patches):
    edges = redshift_edges(surveys, patches)
    np.testing.assert_array_equal(edges, patches[0].box.redshift_edges)
    assert len(patches) > 1


def test_each_shell_has_its_own_cells_in_its_core(surveys):
    near, far = box_of(300, 573), box_of(441, 802)
    places = [(far, 500.0, 800.0), (near, 300.0, 500.0), (near, 300.0, 500.0)]
    edges = redshift_edges(surveys, places)
    distance = surveys.cosmology.distances
    inner = edges[edges < float(distance.redshift(500.0))]
    np.testing.assert_array_equal(inner, near.redshift_edges[: len(inner)])
    np.testing.assert_array_equal(edges[-60:], far.redshift_edges[-60:])
    widths = np.diff(distance.from_redshift(edges))
    assert widths.min() > 2.4
    assert widths.max() < 7.6


def test_the_bins_reach_all_that_is_known(surveys):
    box = box_of(400, 600)
    edges = redshift_edges(surveys, [(box, 400.0, 600.0)])
    known = surveys.spec.redshift[surveys.matched_pairs[0]]
    assert edges[0] <= known.min() < box.redshift_edges[0]
    assert edges[-1] >= known.max() > box.redshift_edges[-1]
    widths = np.diff(edges)
    assert widths.min() > 0.4 * np.diff(box.redshift_edges).min()
    assert (widths[1:] / widths[:-1]).max() < 1.9


# --- the file


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments_are_those_of_the_catalogue(layout, written, surveys):
    path, edges, catalog = written[layout]
    table = read_pdfs(path)
    mean, std = table.moments()
    good = surveys.unknown & np.isfinite(catalog["z_mean"])
    assert good.sum() > 10_000
    near = {"hist": 1e-6, "interp": 1e-4, "quant": 1e-4}[layout]
    np.testing.assert_allclose(mean[good], catalog["z_mean"][good], atol=near)
    # Lines between nodes add a third of the squared cell to the variance.
    cell = np.interp(catalog["z_mean"], (edges[1:] + edges[:-1]) / 2, np.diff(edges))
    wider = np.sqrt(catalog["z_std"] ** 2 + (cell**2 / 3 if layout == "interp" else 0))
    np.testing.assert_allclose(
        std[good], wider[good], rtol={"hist": 1e-5, "interp": 7e-3, "quant": 2e-2}[layout]
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_intervals_and_pit_are_those_of_the_catalogue(layout, written, surveys):
    path, edges, catalog = written[layout]
    rows = np.flatnonzero(surveys.unknown & np.isfinite(catalog["z_mean"]))[::40]
    fine = np.unique(np.concatenate([edges, np.linspace(edges[0], edges[-1], 2000)]))
    reached = np.cumsum(read_pdfs(path).probability(rows, fine), axis=1)
    # Below the ends of the interval and the median lie 16, 50 and 84%; in the coarse cells of this
    # test lines differ from steps.
    most, mean = {"hist": (1e-5, 1e-6), "interp": (0.08, 1e-2), "quant": (2e-3, 1e-4)}[layout]
    for name, share in (("z_lo", 0.16), ("z_median", 0.5), ("z_hi", 0.84)):
        below = [
            np.interp(z, fine[1:], total)
            for z, total in zip(catalog[name][rows], reached, strict=True)
        ]
        off = np.abs(np.array(below) - share)
        assert off.max() < most
        assert off.mean() < mean


@pytest.mark.parametrize("layout", LAYOUTS)
def test_known_redshifts_are_as_narrow_as_a_bin(layout, written, surveys):
    path, edges, _ = written[layout]
    table = read_pdfs(path)
    known, rows = surveys.matched_pairs
    z, cell = surveys.spec.redshift[known], np.diff(edges).max()
    mean, std = (values[rows] for values in table.moments())
    assert np.abs(mean - z).max() < (cell / 2 if layout == "hist" else 1e-5)
    assert std.max() < (1.01 if layout == "interp" else 0.3) * cell
    near = [
        table.probability(rows[[one]], [z[one] - cell, z[one] + cell])[0, 0] for one in (0, 100)
    ]
    assert min(near) > (0.85 if layout == "interp" else 0.999)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_galaxies_without_a_posterior_have_none_in_the_file(layout, written, surveys):
    path, edges, catalog = written[layout]
    lost = np.isnan(catalog["z_mean"])
    assert lost.sum() >= (np.arange(len(surveys.photo)) % 500 == 3).sum() * 0.8
    table = read_pdfs(path)
    expected = Problem.OFF_GRID if layout == "quant" else Problem.NOT_FINITE
    np.testing.assert_array_equal(table.problems(edges[[0, -1]]).flags, np.where(lost, expected, 0))
    with h5py.File(path) as file:
        if layout == "quant":  # qp takes quantiles that ascend and are finite, and no others
            locs = file["data/locs"][:]
            assert (np.diff(locs) > 0).all()
            assert np.abs(locs[lost] + 99).max() < 0.06


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_columns_are_those_of_the_catalogue(layout, written, surveys):
    path, _, catalog = written[layout]
    with h5py.File(path) as file:
        ancil = {name: values[:] for name, values in file["ancil"].items()}
        metadata = json.loads(file.attrs["metadata"])
    assert ancil.pop("NAME")[17] == b"galaxy 17"
    assert set(ancil) == set(catalog.columns)
    for name, values in catalog.columns.items():
        np.testing.assert_array_equal(ancil[name], values)
    assert metadata["method"] == "redistribution"
    assert metadata["interval"] == 0.68


def test_the_density_at_the_mode_is_the_largest(written, surveys):
    path, edges, catalog = written["hist"]
    rows = np.flatnonzero(surveys.unknown & np.isfinite(catalog["z_mean"]))
    with h5py.File(path) as file:
        densities = file["data/pdfs"][:][rows]
    middle = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(middle[densities.argmax(1)], catalog["z_mode"][rows], atol=1e-6)


def test_a_field_writes_the_same_file(written, surveys, patches, tmp_path):
    path, _, catalog = written["interp"]
    field = reconstruct(surveys, "redistribution", patches=patches)
    found = field.redshifts(pdf_out=tmp_path / "p.hdf5")
    np.testing.assert_array_equal(found["z_mean"], catalog["z_mean"])
    with h5py.File(path) as one, h5py.File(tmp_path / "p.hdf5") as other:
        np.testing.assert_array_equal(one["data/yvals"][:], other["data/yvals"][:])
        np.testing.assert_array_equal(one["meta/xvals"][:], other["meta/xvals"][:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_posteriors_of_several_shells_are_on_one_grid(layout, tmp_path, monkeypatch):
    monkeypatch.setitem(plan_shells.__kwdefaults__, "one_shell", 100.0)
    surveys = surveys_of(light_cone(density=0.005))
    patches = plan(surveys, CELLS, method="redistribution")
    assert len(patches.shells) > 1
    with sky_pdfs(tmp_path / "p.hdf5", surveys, patches, layout=layout) as pdfs:
        catalog = sharpen(surveys, "redistribution", patches=patches, pdf_out=pdfs).catalog
    mean, std = read_pdfs(tmp_path / "p.hdf5").moments()
    good = surveys.unknown & np.isfinite(catalog["z_mean"])
    assert good.sum() > 3000
    cell = np.diff(pdfs.edges).max()
    # Averages over the cells of the next shell move a part of a posterior by a part of a cell.
    np.testing.assert_allclose(mean[good], catalog["z_mean"][good], atol=cell / 20)
    np.testing.assert_allclose(std[good], catalog["z_std"][good], rtol=0.06)


def test_outliers_may_be_beyond_the_boxes(tmp_path):
    surveys = surveys_of(
        light_cone(density=0.005), outlier_fraction=0.05, redshift_range=(0.12, 0.2)
    )
    patches = plan(surveys, CELLS, method="redistribution")
    with sky_pdfs(tmp_path / "p.hdf5", surveys, patches) as pdfs:
        catalog = sharpen(surveys, "redistribution", patches=patches, pdf_out=pdfs).catalog
    assert pdfs.edges[-1] > patches[0].box.redshift_edges[-1]
    mean, _ = read_pdfs(tmp_path / "p.hdf5").moments()
    good = surveys.unknown & np.isfinite(catalog["z_mean"])
    np.testing.assert_allclose(mean[good], catalog["z_mean"][good], atol=3e-4)


# --- quantiles


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 3), min_size=2, max_size=40))
def test_quantiles_ascend_in_single_precision(places):
    given_ = np.sort(np.array(places))[None, :]
    found = ascending(given_)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found, given_, rtol=1e-5, atol=1e-37)


def test_levels_are_symmetric_and_hold_usual_ones():
    assert len(LEVELS) == 137
    assert (np.diff(LEVELS) > 0).all()
    np.testing.assert_allclose(LEVELS, 1 - LEVELS[::-1], atol=1e-15)
    for level in (0.025, 0.05, 0.16, 0.25, 0.5, 0.75, 0.84, 0.95, 0.975):
        assert np.abs(LEVELS - level).min() < 1e-12


# --- what is refused


def test_the_default_is_interp_until_there_are_too_many():
    assert pdf_output.default_layout(10_000_000) == "interp"
    assert pdf_output.default_layout(10_000_001) == "quant"


def test_another_layout_is_refused(surveys, patches, tmp_path):
    with (
        pytest.raises(ValueError) as raised,
        sky_pdfs(tmp_path / "p.hdf5", surveys, patches, layout="norm"),
    ):
        pass
    assert str(raised.value) == "pdf_layout must be interp, quant, hist, not 'norm'"


def test_too_little_disk_is_refused_at_the_start(surveys, patches, tmp_path, monkeypatch):
    monkeypatch.setattr("truez.support.disk.free_disk", lambda path: 1e5)
    with pytest.raises(ValueError, match=r"p.hdf5 \(interp of \d+ galaxies\) takes .* of disk"):
        sharpen(surveys, "redistribution", patches=patches, pdf_out=tmp_path / "p.hdf5")
    assert not list(tmp_path.iterdir())


def test_the_estimate_of_the_disk_is_a_floor(written, surveys):
    for layout, (path, edges, _) in written.items():
        width = len(LEVELS) if layout == "quant" else len(edges)
        needed = pdf_output._DISK[layout] * width * surveys.unknown.sum() + 90 * len(surveys.photo)
        assert needed < 2 * path.stat().st_size


def test_a_failed_run_leaves_the_old_file(surveys, patches, tmp_path, monkeypatch):
    path = tmp_path / "p.hdf5"
    path.write_bytes(b"old")

    def fails(*_, **__):
        raise RuntimeError("stopped")

    monkeypatch.setattr("truez.surveys.pdfs.writing.PdfWriter.merge", fails)
    with pytest.raises(RuntimeError, match="stopped"):
        sharpen(surveys, "redistribution", patches=patches, pdf_out=path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["p.hdf5"]


# --- in qp


@pytest.mark.filterwarnings("ignore:There are non-finite values:RuntimeWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_qp_finds_the_medians_and_intervals_of_the_catalogue(layout, written, surveys):
    qp = pytest.importorskip("qp")
    path, edges, catalog = written[layout]
    ensemble = qp.read(str(path))
    assert ensemble.npdf == len(catalog)
    assert ensemble.ancil["NAME"][17] == "galaxy 17"
    rows = np.flatnonzero(surveys.unknown & np.isfinite(catalog["z_mean"]))[::100]
    some = ensemble[rows]
    # Half a node late in interp, whose cumulative probability is a sum over nodes in qp.
    near = {"hist": 1e-5, "interp": 2.5e-3, "quant": 1e-6}[layout]
    for name, share in (("z_lo", 0.16), ("z_median", 0.5), ("z_hi", 0.84)):
        np.testing.assert_allclose(some.ppf(share).ravel(), catalog[name][rows], atol=near)
    table = read_pdfs(path)
    at = ((edges[1:] + edges[:-1]) / 2)[10:-10:4]
    width = 1e-4
    own = np.stack([
        table.probability(rows, [z - width, z + width])[:, 0] / (2 * width) for z in at
    ], axis=1)  # fmt: skip
    peak = own.max(1, keepdims=True)
    # Between quantiles densities are lines in qp and steps here.
    near = {"hist": 1e-4, "interp": 1e-4, "quant": 0.15}[layout]
    assert np.quantile(np.abs(some.pdf(at) - own) / peak, 0.99) < near
    known = surveys.matched_pairs[1][::100]
    np.testing.assert_allclose(ensemble[known].ppf(0.5).ravel(), catalog["z_mean"][known],
                               atol=3e-3)  # fmt: skip
