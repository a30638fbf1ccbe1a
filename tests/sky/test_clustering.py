"""Draws as catalogues for clustering codes: what is in them, and that the randoms match them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree
from scipy.special import ndtr
from scipy.stats import kstest
from tests.sky.light_cone import SIGMA, light_cone, surveys_of, tables
from tests.surveys.pdfs.pdf_files import numbers_of, write_qp

from truez.catalogs.catalog import Catalog
from truez.cosmology import Cosmology
from truez.mesh.healpix import nested
from truez.mesh.sphere import unit_vectors
from truez.sky import clustering
from truez.sky.clustering import ClusteringSettings, write_clustering
from truez.sky.details import SkyDetails
from truez.sky.drawn_density import DrawnDensity
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import sharpen
from truez.sky.surveys import SkySurveys
from truez.support.notes import Note
from truez.surveys.footprint import Rectangle
from truez.surveys.masks.randoms import read_randoms
from truez.surveys.nz import NumberDensity
from truez.surveys.pixel_map import PixelMap
from truez.surveys.random_sky import random_directions

REACH = (0.12, 0.22)


@pytest.fixture(scope="module")
def cone():
    return light_cone(clustered=False, density=0.008)


@pytest.fixture(scope="module")
def surveys(cone):
    return surveys_of(cone)


def read(path):
    with fits.open(path) as file:
        assert file[1].name == "LSS"
        return file[1].header, {name: np.array(file[1].data[name]) for name in file[1].data.names}


def test_redshifts_of_randoms_are_those_whose_photo_z_is_in_reach(surveys):
    _, _, z = DrawnDensity(surveys, REACH).random(200_000, np.random.default_rng(1))
    low, high = surveys.redshift_range
    fine = np.linspace(low, high, 20_001)
    # The photo-z of all others are within the cut of the sample, or beyond reach.
    n = surveys.nz(fine) * (
        ndtr((REACH[1] - fine) / (SIGMA * (1 + fine)))
        - ndtr((REACH[0] - fine) / (SIGMA * (1 + fine)))
    )
    known = surveys.common * surveys.spec_nz(fine) * (1 - n / surveys.nz(fine))
    n = n + known * (ndtr((fine - surveys.photo_range[0]) / (SIGMA * (1 + fine))) > 0.5)
    below = np.concatenate([[0], np.cumsum((n[1:] + n[:-1]) / 2)])
    assert kstest(z, lambda x: np.interp(x, fine, below / below[-1])).pvalue > 0.001
    assert low <= z.min()
    assert z.max() <= high
    # Without the spectra beyond reach it is clearly another.
    other = np.concatenate([[0], np.cumsum(surveys.nz(fine)[1:])])
    assert kstest(z, lambda x: np.interp(x, fine, other / other[-1])).pvalue < 1e-6


def selected(outliers, spec_area):
    """A survey of random galaxies with outliers, and the places of those that are in a draw."""
    rng = np.random.default_rng(3)
    area = Rectangle(350, 10, -8, 8)
    num = 60_000
    z = 0.11 * rng.gamma(4.0, 0.5, num)
    z = z[z < 0.6]
    ra, dec = random_directions(area, len(z), rng)
    z_phot = z + 0.01 * (1 + z) * rng.normal(size=len(z))
    wrong = rng.random(len(z)) < outliers
    z_phot[wrong] = rng.uniform(0.02, 0.6, wrong.sum())
    spec = (rng.random(len(z)) < 0.5) & ~spec_area.outside(ra, dec)
    ids = np.arange(len(z))
    photo = {"RA": ra, "DEC": dec, "Z": z_phot, "ID": ids}
    known = {"RA": ra[spec], "DEC": dec[spec], "Z": z[spec], "ID": ids[spec]}
    details = SkyDetails(
        outlier_fraction=outliers, outlier_range=(0.02, 0.6), photo_range=(0.02, 0.6),
        redshift_range=(0.1, 0.4), spec_footprint=spec_area,
    )  # fmt: skip
    found = SkySurveys.from_catalogs(
        photo=photo, spec=known, footprint=area, sigma_z=0.01, match_id="ID", details=details
    )
    inside = found.usable & (z > 0.1) & (z < 0.4)
    reach = (0.15, 0.35)
    inside &= ((z_phot > reach[0]) & (z_phot < reach[1])) | spec
    return found, reach, (ra[inside], z[inside])


def test_known_galaxies_with_a_photo_z_beyond_reach_are_expected_where_spectra_are():
    surveys, reach, (ra, z) = selected(0.3, Rectangle(350, 0, -8, 8))
    expected = DrawnDensity(surveys, reach)
    edges = np.linspace(0.1, 0.4, 31)
    counts = np.histogram(z, edges)[0]
    share = np.cumsum(counts) / len(z)
    model = expected.below(edges)[1:] - expected.below(0.1)
    np.testing.assert_allclose(model / model[-1], share, atol=0.01)
    assert model[-1] == pytest.approx(len(z), rel=0.02)
    found = expected.random(100_000, np.random.default_rng(4))
    # Outside of reach only galaxies with spectra are left, and outliers, of both halves alike.
    for low, high in ((0.1, 0.13), (0.2, 0.3), (0.37, 0.4)):
        some, own = (z > low) & (z < high), (found[2] > low) & (found[2] < high)
        west, wanted = np.mean(found[0][own] > 180), np.mean(ra[some] > 180)
        assert west == pytest.approx(wanted, abs=4 * 0.5 / np.sqrt(some.sum())), (low, high)


@pytest.mark.parametrize("where", [(354, 6), (84, 96), (174, 186)])
def test_the_density_integrates_to_the_galaxies_anywhere_on_the_sky(cone, where):
    shift = (where[0] - 354) % 360
    own = surveys_of(cone)
    photo = {"RA": (cone.ra + shift) % 360, "Dec": cone.dec, "Z": cone.z_phot,
             "ID": np.arange(len(cone))}  # fmt: skip
    spec = {name: values[cone.spec] for name, values in photo.items()} | {"Z": cone.z[cone.spec]}
    turned = surveys_of(cone, photo=photo, spec=spec, footprint=(*where, -3, 3))
    expected = DrawnDensity(turned, own.photo_range)
    ra, dec, z = expected.random(100_000, np.random.default_rng(2))
    low, high = turned.redshift_range
    # The mean of 1 / density over galaxies of that density is the volume per galaxy.
    chi = Cosmology.of("planck18").comoving_distance(np.array([low, high]))
    volume = turned.footprint.area * np.radians(1) ** 2 * np.diff(chi**3)[0] / 3
    total = float(expected.below(high) - expected.below(low))
    nx = expected.density(ra, dec, z)
    assert np.mean(1 / nx) == pytest.approx(volume / total, rel=0.01)
    east = (ra - where[0]) % 360
    assert kstest(east, "uniform", args=(0, 12)).pvalue > 0.001
    sines = np.sin(np.radians([-3.0, 3.0]))
    assert kstest(np.sin(np.radians(dec)), "uniform", args=(sines[0], np.ptp(sines))).pvalue > 0.001
    assert abs(np.corrcoef(east, z)[0, 1]) < 4 / np.sqrt(len(z))


def test_randoms_and_their_density_follow_the_completeness(cone):
    ra, dec = Rectangle(354, 6, -3, 3).sample(0.02)
    pixels = np.unique(nested(ra, dec, 256))
    first = surveys_of(cone, footprint=PixelMap(256, pixels, np.ones(len(pixels), np.float32)))
    values = np.where(np.arange(len(pixels)) % 2, 1.6, 0.4).astype(np.float32)
    area = PixelMap(256, pixels, values)
    expected = DrawnDensity(
        SkySurveys(**{**{n: getattr(first, n) for n in first.__dataclass_fields__},
                      "footprint": area}),
        first.photo_range,
    )  # fmt: skip
    ra, dec, z = expected.random(60_000, np.random.default_rng(1))
    there = area.completeness(ra, dec)
    wanted = values[values > 1].sum() / values.sum()
    assert np.mean(there > 1) == pytest.approx(float(wanted), abs=0.01)
    nx = expected.density(ra, dec, np.full(len(z), 0.15))
    assert set(np.round(nx / nx.min(), 4)) == {1.0, 4.0}
    assert expected.density([180.0], [50.0], [0.15]) == 0


def test_pdfs_of_gaussian_errors_expect_the_galaxies_that_the_errors_do(cone, tmp_path):
    nz = NumberDensity(np.linspace(0.09, 0.29, 9), np.array([0.0, 5, 7, 6, 5, 4, 2, 1, 0]))
    nodes, error = np.linspace(0.0, 0.45, 601), np.full(len(cone), 0.015)
    grid, columns = numbers_of("interp", cone.z_phot, error, nodes=nodes)
    path = write_qp(tmp_path / "pz.hdf5", "interp", grid, columns)
    photo = tables(cone)[0] | {"ZE": error}
    given = surveys_of(cone, photo=photo, z_err_column="ZE", nz=nz)
    pdfs = surveys_of(cone, photo=photo, pdf=path, pdf_prior="flat", nz=nz)
    edges = np.linspace(*given.redshift_range, 21)
    wanted, found = (np.diff(DrawnDensity(one, REACH).below(edges)) for one in (given, pdfs))
    np.testing.assert_allclose(found, wanted, atol=0.015 * wanted.max())
    assert wanted[-1] < 0.2 * given.nz.counts(edges)[-1]


def test_a_folder_holds_draws_and_randoms_as_clustering_codes_read_them(cone, surveys, tmp_path):
    rng = np.random.default_rng(1)
    draws = np.stack([cone.z, cone.z + 0.01 * rng.normal(size=len(cone))])
    draws[:, :7] = np.nan
    settings = ClusteringSettings(randoms_factor=3, seed=4)
    found = write_clustering(
        tmp_path / "out", surveys, draws, reach=surveys.photo_range, settings=settings,
        metadata={"method": "test"},
    )  # fmt: skip
    low, high = surveys.redshift_range
    names = ["TARGETID", "RA", "DEC", "Z", "WEIGHT", "NX", "WEIGHT_FKP"]
    for number, draw in enumerate(draws):
        header, table = read(tmp_path / f"out/draw_{number}.dat.fits")
        rows = np.flatnonzero((draw >= low) & (draw <= high))
        assert list(table) == names
        assert [table[name].dtype.str for name in names] == [">i8", *[">f8"] * 6]
        assert header["TUNIT2"] == header["TUNIT3"] == "deg"
        np.testing.assert_array_equal(table["TARGETID"], rows)
        np.testing.assert_array_equal(table["Z"], draw[rows])
        np.testing.assert_array_equal(table["RA"], surveys.photo.ra[rows])
        np.testing.assert_array_equal(table["WEIGHT"], 1)
        np.testing.assert_allclose(table["WEIGHT_FKP"], 1 / (1 + 1e4 * table["NX"]))
        assert found.galaxies[number] == len(rows)
    _, randoms = read(tmp_path / "out/randoms.ran.fits")
    assert list(randoms) == names
    assert found.randoms == len(randoms["Z"]) == round(3 * np.mean(found.galaxies))
    assert found.ratio == tuple(n / found.randoms for n in found.galaxies)
    np.testing.assert_array_equal(randoms["TARGETID"], np.arange(found.randoms))
    # The smooth form of N(z) knows nothing of the sharp ends of the cone.
    assert found.expected == pytest.approx(found.galaxies[0], rel=0.06)
    assert found.difference < 0.05
    assert found.left_out["without a posterior"] == 7
    about = json.loads((tmp_path / "out/clustering.json").read_text())
    assert about["method"] == "test"
    assert about["draws"][1]["galaxies"] == found.galaxies[1]
    assert clustering.SAYS in (tmp_path / "out/clustering.json").read_text()
    ends = f"{min(found.ratio):.5g} to {max(found.ratio):.5g}"
    assert f"sum of weights over that of randoms {ends}" in str(found)
    # The randoms are the footprint of the same galaxies again.
    area = read_randoms(tmp_path / "out/randoms.ran.fits")
    assert area.area == pytest.approx(surveys.footprint.area, rel=0.05)


@pytest.mark.medium
def test_randoms_depend_on_the_seed_alone_and_are_made_in_chunks(
    cone, surveys, tmp_path, monkeypatch
):
    def made(name, seed, draw):
        write_clustering(
            tmp_path / name, surveys, draw, reach=REACH,
            settings=ClusteringSettings(randoms_factor=2, seed=seed),
        )  # fmt: skip
        return read(tmp_path / name / "randoms.ran.fits")[1]

    monkeypatch.setattr(clustering, "_ROWS", 1000)
    first, again, other = (made(n, s, cone.z) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert not np.isin(first["Z"], other["Z"]).any()
    assert len(np.unique(first["RA"] + first["DEC"])) == len(first["RA"])
    np.testing.assert_array_equal(first["TARGETID"], np.arange(len(first["RA"])))
    # Any run of them is a fair sample.
    half = len(first["Z"]) // 2
    assert kstest(first["Z"][:half], first["Z"][half:]).pvalue > 0.001


def test_weights_and_identifiers_are_those_of_the_galaxies(cone, tmp_path):
    weights = np.where(np.arange(len(cone)) % 3 == 0, 2.0, 0.5)
    given = surveys_of(cone)
    surveys = SkySurveys(**{**{n: getattr(given, n) for n in given.__dataclass_fields__},
                            "photo_weights": weights})  # fmt: skip
    found = write_clustering(
        tmp_path, surveys, cone.z, reach=REACH, ids=np.arange(len(cone)) + 10**15,
        settings=ClusteringSettings(randoms_factor=1, fkp_power=300.0),
    )  # fmt: skip
    _, table = read(tmp_path / "draw_0.dat.fits")
    rows = table["TARGETID"] - 10**15
    np.testing.assert_array_equal(table["WEIGHT"], weights[rows])
    np.testing.assert_allclose(table["WEIGHT_FKP"], 1 / (1 + 300 * table["NX"]))
    assert found.ratio[0] == pytest.approx(table["WEIGHT"].sum() / found.randoms)
    assert Catalog.read(tmp_path / "draw_0.dat.fits").metadata["targetid"] == "identifier"


def test_randoms_of_another_n_of_z_are_noted(cone, surveys, tmp_path):
    near = np.minimum(cone.z, 0.11 + 0.2 * (cone.z - 0.11))
    with pytest.warns(Note, match=r"N\(z\) of the randoms differs from that of the draws by \d+%"):
        found = write_clustering(
            tmp_path, surveys, near, reach=REACH, settings=ClusteringSettings(randoms_factor=1)
        )
    assert found.difference > 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": np.full((2, 5), 0.2)}, "draws must hold a redshift of each of"),
        ({"draws": lambda z: z + 5}, "draw 0 has no galaxy at z = 0.105 to 0.253"),
        ({"reach": (3.0, 4.0), "spec": False}, "reach 3,4 is of no galaxy"),
        ({"ids": np.arange(3)}, "ids must be one for each of"),
        ({"settings": {"randoms_factor": 0.0}}, "randoms_factor must be a finite number above 0"),
        ({"settings": {"fkp_power": np.nan}}, "fkp_power must be a finite number above 0"),
        ({"settings": {"seed": -1}}, "seed must be at least 0"),
    ],
)
def test_what_no_catalogue_can_be_is_refused(cone, surveys, tmp_path, change, words):
    draws = change.get("draws", cone.z)
    draws = draws(cone.z) if callable(draws) else draws
    if not change.get("spec", True):
        surveys = SkySurveys(**{**{n: getattr(surveys, n) for n in surveys.__dataclass_fields__},
                                "matched": None})  # fmt: skip
    with pytest.raises(ValueError, match=words):
        write_clustering(
            tmp_path / "out", surveys, draws, reach=change.get("reach", REACH),
            ids=change.get("ids"), settings=ClusteringSettings(**change.get("settings", {})),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def separations(a, b, edges):
    """Share of the pairs of two samples of places (n, 3) in bins of separation."""
    counts = cKDTree(a).count_neighbors(cKDTree(b), edges)
    return np.diff(counts) / (len(a) * len(b))


def correlation(data, randoms, edges):
    """xi(s) after Landy & Szalay (1993)."""
    dd, dr, rr = (
        separations(a, b, edges) for a, b in ((data, data), (data, randoms), (randoms, randoms))
    )
    return (dd - 2 * dr) / rr + 1


@pytest.mark.slow
def test_draws_are_clustered_as_the_galaxies_are_on_all_but_small_scales(tmp_path):
    cone = light_cone(density=0.02)
    surveys = surveys_of(cone)
    found = sharpen(surveys, "redistribution", patches=PatchSettings(cellsize=5.0), draws=2, seed=1)
    write_clustering(
        tmp_path, surveys, found.draws, reach=found.reach,
        settings=ClusteringSettings(randoms_factor=5, seed=2),
    )  # fmt: skip
    low, high = surveys.redshift_range

    def places(ra, dec, z):
        rows = (z > low) & (z < high)
        chi = surveys.cosmology.distances.from_redshift(z[rows])
        return unit_vectors(ra[rows], dec[rows]) * chi[:, None]

    def of_file(name):
        table = read(tmp_path / name)[1]
        return places(*(table[key].astype(float) for key in ("RA", "DEC", "Z")))

    edges = np.array([1.0, 3, 6, 10, 15, 22])
    randoms = of_file("randoms.ran.fits")
    truth = correlation(places(cone.ra, cone.dec, cone.z), randoms, edges)
    draws = np.mean(
        [correlation(of_file(f"draw_{i}.dat.fits"), randoms, edges) for i in (0, 1)], axis=0
    )
    rng = np.random.default_rng(3)
    ra, dec, z = DrawnDensity(surveys, surveys.photo_range).random(len(randoms), rng)
    noisy = places(ra, dec, z + SIGMA * (1 + z) * rng.normal(size=len(z)))
    photo = correlation(places(cone.ra, cone.dec, cone.z_phot), noisy, edges)
    # Within the resolution of the intensity clustering is lost, and beyond it there is a little
    # too much (docs/guides/sky.md); of photo-z a tenth to a third is left.
    ratio = draws / truth
    assert 0.4 < ratio[0] < 0.7
    np.testing.assert_allclose(ratio[2:4], 1, atol=0.2)
    assert (photo[:4] / truth[:4] < 0.35).all()
    assert (np.abs(ratio[1:] - 1) < np.abs(photo / truth - 1)[1:] / 2).all()
