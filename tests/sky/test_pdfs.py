"""p(z) of each galaxy on the sky, in place of photo-z errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.sky.light_cone import light_cone, surveys_of, tables
from tests.surveys.pdfs.pdf_files import numbers_of, write_qp

from truez.evaluate.sky.judge import judge_redshifts
from truez.sky.details import SkyDetails
from truez.sky.mock import SkyMock, SkyMockConfig
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import network_samples, spec_cells
from truez.sky.patches import PatchSettings
from truez.sky.plan import choose, plan
from truez.sky.reconstruct import reconstruct, sharpen
from truez.sky.redshifts import NO_PDF, NO_PHOTO_Z
from truez.sky.result import SkyReconstruction
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Rectangle
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import PdfTable
from truez.surveys.photo_scatter import PhotoScatter
from truez.surveys.random_sky import random_directions

CELLS = PatchSettings(cellsize=8.0)
#: Absolute error of the photo-z of the cone, and the nodes of p(z), a twentieth of it apart.
ERROR = 0.015
NODES = np.linspace(0.0, 0.45, 601)


@pytest.fixture(scope="module")
def cone():
    return light_cone(density=0.006)


@pytest.fixture(scope="module")
def photo_z(cone):
    return cone.z + ERROR * np.random.default_rng(3).standard_normal(len(cone))


@pytest.fixture(scope="module")
def nz(cone):
    counts, edges = np.histogram(cone.z, np.arange(0.09, 0.29, 0.01))
    return NumberDensity((edges[1:] + edges[:-1]) / 2, np.maximum(counts, 1.0))


def gaussian(layout, photo_z):
    """The grid and the columns of Gaussian p(z)."""
    return numbers_of(layout, photo_z, np.full(len(photo_z), ERROR), nodes=NODES)


def photo_of(cone, photo_z, **columns):
    return tables(cone)[0] | {"Z": photo_z, "ZE": np.full(len(cone), ERROR)} | columns


def columns_of(surveys, **settings):
    # What a galaxy's own p(z) says, without its neighbours.
    settings = {"patches": CELLS, "draws": 1, "seed": 1, "pairs": False} | settings
    found = sharpen(surveys, "redistribution", **settings)
    return dict(found.catalog.columns) | {"draw": found.draws[0]}


@pytest.fixture(scope="module")
def with_errors(cone, photo_z, nz):
    """Redshifts of the same galaxies with Gaussian errors."""
    surveys = surveys_of(cone, photo=photo_of(cone, photo_z), z_err_column="ZE", nz=nz)
    return surveys, columns_of(surveys)


@pytest.mark.parametrize("layout", ["hist", "interp", "quant", "norm"])
def test_gaussian_pdfs_give_the_redshifts_of_gaussian_errors(
    layout, cone, photo_z, nz, with_errors, tmp_path
):
    path = write_qp(tmp_path / "pz.hdf5", layout, *gaussian(layout, photo_z))
    surveys = surveys_of(
        cone, photo=photo_of(cone, photo_z), pdf=path, pdf_prior="flat", nz=nz
    )  # fmt: skip
    assert surveys.pdfs.usable.all()
    middle = np.median(surveys.error.sigma_z * (1 + photo_z))
    assert middle == pytest.approx(0.994 * ERROR, rel=0.02)  # half of the central 68%
    wanted, found = with_errors[1], columns_of(surveys)
    both = with_errors[0].unknown & np.isfinite(wanted["z_mean"])
    assert np.mean(np.isfinite(found["z_mean"][both])) > 0.999
    both &= np.isfinite(found["z_mean"])
    # A twentieth of the error is the step of the nodes, which moves a mean by its square; errors
    # over 1 + z are in classes where there is one absolute error.
    for name, most in (("z_mean", 0.02), ("z_std", 0.02), ("z_median", 0.03), ("z_lo", 0.03)):
        away = (found[name] - wanted[name])[both] / ERROR
        assert np.sqrt(np.mean(away**2)) < most
    gain = (found["information_gain"] - wanted["information_gain"])[both]
    assert np.abs(gain).mean() < 0.012
    # p(z) as a function of z has an integral of 1, as p(z_phot | z) at a constant error.
    assert np.abs(found["log_evidence"] - wanted["log_evidence"])[both].mean() < 0.02


@pytest.fixture(scope="module")
def in_order(cone, photo_z, tmp_path_factory):
    """p(z) in the order of the catalogue, and the redshifts."""
    path = tmp_path_factory.mktemp("pdf") / "pz.hdf5"
    write_qp(path, "hist", *gaussian("hist", photo_z))
    surveys = surveys_of(cone, photo=photo_of(cone, photo_z), pdf=path, pdf_prior="flat")
    return surveys, columns_of(surveys)


@pytest.mark.parametrize("pdf_id", ["ID:object_id", "id"])
def test_rows_by_an_id_are_those_in_order(pdf_id, cone, photo_z, in_order, tmp_path):
    turned = np.random.default_rng(5).permutation(len(cone))
    grid, columns = gaussian("hist", photo_z)
    path = write_qp(
        tmp_path / "pz.hdf5", "hist", grid, {"pdfs": columns["pdfs"][turned]},
        ancil={"object_id": turned, "id": turned},
    )  # fmt: skip
    surveys = surveys_of(
        cone, photo=photo_of(cone, photo_z), pdf=path, pdf_prior="flat", pdf_id=pdf_id
    )
    found = columns_of(surveys)
    for name, values in in_order[1].items():
        np.testing.assert_array_equal(found[name], values)
    assert surveys.metadata["pdf_id"] == pdf_id


def test_rows_in_another_order_need_an_id(cone, photo_z, tmp_path):
    turned = np.random.default_rng(5).permutation(len(cone))
    grid, columns = gaussian("hist", photo_z)
    path = tmp_path / "pz.hdf5"
    ids = {"object_id": turned}
    write_qp(path, "hist", grid, {"pdfs": columns["pdfs"][turned]}, ancil=ids)
    given = {"pdf": path, "pdf_prior": "flat", "photo_sky": ("ra", "dec")}
    with pytest.raises(ValueError, match=r"or give pdf_id where p\(z\) are in another order$"):
        surveys_of(cone, photo=photo_of(cone, photo_z), **given)
    with pytest.raises(ValueError, match="where pdf_id ID:PDFID names one of each file, only "):
        surveys_of(cone, photo=photo_of(cone, photo_z), pdf_id="object_id", **given)


def test_what_is_written_to_a_file_is_what_is_in_memory(cone, in_order, tmp_path):
    surveys, wanted = in_order
    path = tmp_path / "a.h5"
    made = reconstruct(surveys, "redistribution", patches=CELLS, path=path, pairs=False)
    found = made.redshifts()
    np.testing.assert_array_equal(found["z_mean"], wanted["z_mean"])
    again = SkyReconstruction.read(tmp_path / "a.h5", surveys)
    np.testing.assert_array_equal(again.draws(1, seed=1)[0], wanted["draw"])
    about = again.metadata
    assert about["pdf_prior"] == "flat"
    assert about["pdf_problems"] == {}
    assert about["pdf_layout"] == "hist"
    assert about["pdf_file"].endswith("pz.hdf5")
    assert about["pdf_classes"] == len(surveys.classes)


def test_without_a_photo_z_it_is_the_median_of_the_pdf(cone, photo_z, in_order):
    photo = photo_of(cone, photo_z)
    del photo["Z"]
    table = PdfTable.of_arrays("hist", gaussian("hist", photo_z)[1], NODES)
    surveys = surveys_of(cone, photo=photo, pdf=table, pdf_prior="flat", photo_sky=("ra", "dec"))
    assert surveys.photo.redshift == pytest.approx(photo_z, abs=0.02 * ERROR)
    found = columns_of(surveys)
    both = surveys.unknown & np.isfinite(found["z_mean"]) & np.isfinite(in_order[1]["z_mean"])
    away = (found["z_mean"] - in_order[1]["z_mean"])[both] / ERROR
    assert np.sqrt(np.mean(away**2)) < 0.03


def test_n_of_z_takes_the_place_of_pdfs_that_cannot_be_used(cone, photo_z, in_order):
    grid, columns = gaussian("hist", photo_z)
    rows, pdfs = np.arange(len(cone)), columns["pdfs"].copy()
    zero, lost, off = rows % 97 == 1, rows % 97 == 2, rows % 97 == 3
    pdfs[zero], pdfs[lost] = 0.0, np.nan
    grid = np.append(grid, [30.0, 31.0])
    pdfs = np.column_stack([pdfs, np.zeros(len(pdfs)), np.where(off, 1.0, 0.0)])
    pdfs[off, :-1] = 0.0
    bad = zero | lost | off
    photo = photo_of(cone, np.where(rows % 194 == 1, -99.0, photo_z))
    table = PdfTable.of_arrays("hist", {"pdfs": pdfs}, grid)
    surveys = surveys_of(cone, photo=photo, pdf=table, pdf_prior="flat")
    assert surveys.metadata["pdf_problems"] == {
        "are missing or not finite": lost.sum(),
        "are 0 everywhere or have no width": zero.sum(),
        "have no probability at the redshifts of the survey": off.sum(),
    }
    found = columns_of(surveys, amplitude=0.0)
    flag = found["flag"].astype(int)
    without = rows % 194 == 1
    np.testing.assert_array_equal(flag & NO_PHOTO_Z > 0, without)
    np.testing.assert_array_equal(flag & NO_PDF > 0, bad & ~without & ~cone.spec)
    # With an intensity of 1 the posterior is N(z) of the galaxies without spectra, on each line.
    own = bad & ~without & ~cone.spec & np.isfinite(found["z_mean"])
    assert own.sum() > 50
    z = np.linspace(0.01, 0.5, 20_001)
    n = np.maximum(surveys.nz(z) - surveys.common * surveys.spec_nz(z), 0)
    mean = (n * z).sum() / n.sum()
    assert found["z_mean"][own] == pytest.approx(mean, abs=2e-3)
    assert found["information_gain"][own] == pytest.approx(0, abs=1e-6)
    # The others know nothing of them.
    assert "of which" in repr(surveys.pdfs)
    sound = ~bad & surveys.unknown & np.isfinite(in_order[1]["z_mean"])
    assert np.isfinite(found["z_mean"][sound]).mean() > 0.999


@pytest.mark.parametrize(("method", "most"), [("wiener", 0.03), ("redistribution", 0.03)])
def test_fields_of_gaussian_pdfs_are_those_of_gaussian_errors(method, most, cone, nz):
    errors = 0.012
    photo_z = cone.z + errors * (1 + cone.z) * np.random.default_rng(6).standard_normal(len(cone))
    photo = photo_of(cone, photo_z, SZ=np.full(len(cone), errors))
    table = PdfTable.of_arrays(
        "norm", {"loc": photo_z, "scale": errors * (1 + photo_z)}
    )  # fmt: skip
    wanted = surveys_of(cone, photo=photo, sigma_z_column="SZ", nz=nz)
    surveys = surveys_of(cone, photo=photo, pdf=table, pdf_prior="flat", nz=nz)
    assert surveys.metadata["pdf_class_loss"] < 0.003
    patches = plan(wanted, CELLS, method=method)
    one, other = (reconstruct(some, method, patches=patches)[0] for some in (wanted, surveys))
    own = one.expected > 0.1 * one.expected.mean()
    own[:, :, : one.core_cells.start] = False
    own[:, :, one.core_cells.stop :] = False
    delta, again = (patch.delta[own].nan_to_num() for patch in (one, other))
    assert float((delta - again).std()) < most * float(delta.std())
    assert float((delta - again).mean()) == pytest.approx(0, abs=0.01)


def test_the_network_serves_surveys_with_pdfs(cone, photo_z):
    dense = light_cone(density=0.015)
    looks = dense.z + ERROR * np.random.default_rng(3).standard_normal(len(dense))
    table = PdfTable.of_arrays("norm", {"loc": looks, "scale": np.full(len(dense), ERROR)})
    surveys = surveys_of(dense, photo=photo_of(dense, looks), pdf=table, pdf_prior="flat")
    assert choose(surveys, PatchSettings(cellsize=2.0)).method == "columns"
    box = plan(surveys, CELLS, method="columns")[0].box
    data = PatchData(surveys, box)
    samples = network_samples(data, spec_cells(data), "cic")
    inside = torch.from_numpy(data.fraction == 1)
    low, high = np.searchsorted(box.redshift_centers, [0.13, 0.22])
    assert float(samples.photo_delta[inside][:, low:high].mean()) == pytest.approx(0, abs=0.05)


# --- two peaks ------------------------------------------------------------------------------------

#: Photometry of a galaxy at z is that of one at 1.3 - z in a tenth of the cases.
MIRROR, SHARE, WIDTH = 1.3, 0.1, 0.02
REDSHIFTS = np.linspace(0.02, 1.28, 600)
NUMBERS = NumberDensity(REDSHIFTS, REDSHIFTS**4 * np.exp(-((REDSHIFTS / 0.55) ** 4)))


def two_peaks(num, seed=1):
    """Random galaxies at the redshifts of three shells, and what their photometry looks like."""
    rng = np.random.default_rng(seed)
    z = NUMBERS.quantile(rng.random(num))
    area = Rectangle(358, 2, -2, 2)
    ra, dec = random_directions(area, num, rng)
    looks = np.where(rng.random(num) < SHARE, MIRROR - z, z) + WIDTH * rng.standard_normal(num)
    mock = SkyMock(
        ids=np.arange(num), ra=ra, dec=dec, z_phot=looks, sigma_z=np.full(num, WIDTH), z_true=z,
        outlier=np.zeros(num, bool), spec_rows=np.arange(0, num, 10), footprint=area,
        spec_footprint=area, source={"redshift_space": False},
        config=SkyMockConfig(cosmology="planck18", redshift_range=(0.25, 0.8),
                             photo=PhotoScatter(sigma_z=WIDTH), spec_fraction=0.1),
    )  # fmt: skip
    photo = {"RA": ra, "DEC": dec, "ID": np.arange(num)}
    spec = {name: values[mock.spec_rows] for name, values in photo.items()}
    table = PdfTable.of_arrays("mixmod", {
        "means": np.column_stack([looks, MIRROR - looks]), "stds": np.full((num, 2), WIDTH),
        "weights": np.tile([1 - SHARE, SHARE], (num, 1)),
    })  # fmt: skip
    surveys = SkySurveys.from_catalogs(
        photo=photo, spec=spec | {"Z": z[mock.spec_rows]}, footprint=(358, 2, -2, 2),
        match_id="ID", details=SkyDetails(
            photo_sky=("RA", "DEC"), pdf=table, pdf_prior="flat", nz=NUMBERS, redshift_space=False,
            redshift_range=(0.25, 0.8),
        ),
    )  # fmt: skip
    return mock, looks, surveys


@pytest.fixture(scope="module")
def mixture():
    mock, looks, surveys = two_peaks(15_000)
    # An intensity of 1 is right for random galaxies.
    made = reconstruct(surveys, "redistribution", patches=PatchSettings(cellsize=14), amplitude=0.0)
    return mock, looks, made


def exact(looks, surveys, z):
    """Posteriors on a grid of redshifts, (n, z)."""
    n = surveys.nz(z) - surveys.common * surveys.spec_nz(z)
    joint = sum(
        share * np.exp(-0.5 * ((z - mean[:, None]) / WIDTH) ** 2)
        for share, mean in ((1 - SHARE, looks), (SHARE, MIRROR - looks))
    )
    joint = joint * np.maximum(n, 0)
    return joint / joint.sum(axis=1, keepdims=True)


def test_posteriors_of_two_peaks_are_calibrated(mixture):
    mock, _, made = mixture
    assert len(made) == 3
    judged = judge_redshifts(mock, made, surveys=made.surveys)
    middle = made.surveys.photo.redshift
    for first, last in ((0.25, 0.4), (0.4, 0.6), (0.6, 0.8)):
        own = made.surveys.unknown & (middle > first) & (middle < last) & np.isfinite(judged.pit)
        pit = judged.pit[own]
        tenths = np.histogram(pit, np.linspace(0, 1, 11))[0] / len(pit)
        assert np.abs(tenths - 0.1).max() < 3.5 * np.sqrt(0.09 / len(pit))


def test_a_posterior_does_not_depend_on_the_shell_that_the_photo_z_is_in(mixture):
    _, looks, made = mixture
    surveys = made.surveys
    found = made.redshifts()
    rows = np.flatnonzero(surveys.unknown & np.isfinite(found["z_mean"]))[::100]
    z = np.linspace(0.02, 1.28, 40_001)
    p = exact(looks[rows], surveys, z)
    mean = p @ z
    assert found["z_mean"][rows] == pytest.approx(mean, abs=1.5e-3)
    deviation = np.sqrt(np.sum(p * (z - mean[:, None]) ** 2, axis=1))
    # Beyond the box a peak is as wide as cells of up to 0.03 (1 + z).
    assert found["z_std"][rows] == pytest.approx(deviation, rel=0.03, abs=2.5e-3)
    assert np.ptp(deviation) > 0.1  # of some galaxies both peaks count
    assert found["information_gain"][rows] == pytest.approx(0, abs=1e-5)


def test_an_outlier_fraction_mixes_a_uniform_p_of_z_in():
    table = PdfTable.of_arrays("norm", {"loc": np.full(200, 0.5), "scale": np.full(200, 0.02)})
    rng = np.random.default_rng(1)
    photo = {"RA": rng.uniform(0, 4, 200), "DEC": rng.uniform(0, 4, 200), "ID": np.arange(200),
             "Z": 0.5 + 0.02 * rng.normal(size=200)}  # fmt: skip
    spec = {name: values[:60] for name, values in photo.items()}
    surveys = SkySurveys.from_catalogs(
        photo=photo, spec=spec, footprint=(0, 4, 0, 4), match_id="ID", details=SkyDetails(
            pdf=table, pdf_prior="flat", nz=NUMBERS, outlier_fraction=0.2,
            outlier_range=(0.0, 1.0),
        ),
    )  # fmt: skip
    edges = np.array([0.0, 0.2, 0.5, 1.0])
    found = surveys.pdfs.likelihood([0], edges)[0] * np.diff(edges)
    assert found == pytest.approx([0.2 * 0.2, 0.8 * 0.5 + 0.2 * 0.3, 0.8 * 0.5 + 0.2 * 0.5])
    assert surveys.error.outlier_fraction == pytest.approx(0.2, abs=1e-3)


@pytest.mark.filterwarnings("ignore:the form of N")  # two populations, which it is not
def test_the_prior_of_a_code_that_learned_from_the_field_is_the_sum_of_its_pdfs():
    rng = np.random.default_rng(4)
    num, width = 6000, 0.02
    # N(z) with two peaks that p(z) resolve, and p(z) which are multiplied by it.
    peaks = rng.random(num) < 0.4
    z = np.where(peaks, rng.normal(0.3, 0.05, num), rng.normal(0.6, 0.07, num))
    looks = z + width * rng.standard_normal(num)
    grid = np.linspace(0.0, 1.0, 501)
    middle = (grid[1:] + grid[:-1]) / 2
    n = 0.4 * np.exp(-0.5 * ((middle - 0.3) / 0.05) ** 2) / 0.05
    n += 0.6 * np.exp(-0.5 * ((middle - 0.6) / 0.07) ** 2) / 0.07
    pdfs = n * np.exp(-0.5 * ((middle - looks[:, None]) / width) ** 2)
    table = PdfTable.of_arrays("hist", {"pdfs": pdfs}, grid)
    photo = {"RA": rng.uniform(0, 4, num), "DEC": rng.uniform(0, 4, num), "ID": np.arange(num)}
    spec = {name: values[:500] for name, values in photo.items()} | {"Z": z[:500]}

    def means(prior):
        surveys = SkySurveys.from_catalogs(
            photo=photo, spec=spec, footprint=(0, 4, 0, 4), match_id="ID", details=SkyDetails(
                photo_sky=("RA", "DEC"), pdf=table, pdf_prior=prior,
            ),
        )  # fmt: skip
        own = np.flatnonzero((looks > 0.2) & (looks < 0.75))
        p = surveys.pdfs.likelihood(own, grid)
        mean = p @ middle / p.sum(axis=1)
        return np.sqrt(np.mean((mean - looks[own]) ** 2)) / width

    # The likelihood is a Gaussian about what the photometry looks like.
    assert means("stack") < 0.1
    assert means("flat") > 0.25
