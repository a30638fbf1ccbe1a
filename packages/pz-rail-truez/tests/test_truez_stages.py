"""The stages against the installed pz-rail-base: p(z) in, sharper p(z) out, row by row."""

import h5py
import numpy as np
import pytest
import qp
from rail.core.introspection import RailEnv
from rail.core.stage import RailStage

import truez
from rail.estimation.algos.truez import TruezEstimator, TruezInformer, TruezModelHandle
from truez.mesh.sphere import directions

FOOTPRINT = "-5,5,-3,3"
SIGMA = 0.012
NODES = np.linspace(0.05, 0.35, 301)


def cone(seed=1):
    """Galaxies of a lognormal box 330 to 600 Mpc/h away: ra, dec [deg], true and photo-z."""
    rng = np.random.default_rng(seed)
    distances = truez.Cosmology.of("planck18").distances
    box = truez.Box((110, 70, 280), cellsize=5)
    places = np.array(
        truez.lognormal_galaxies(
            box, "planck18", redshift=0.16, density=0.006, bias=1.7, seed=seed
        ).positions,
        np.float64,
    ) + [-55.0, -35.0, 325.0]
    chi = np.linalg.norm(places, axis=1)
    ra, dec = directions(places[:, [2, 0, 1]])
    ra = (ra + 180) % 360 - 180
    kept = (np.abs(ra) < 5) & (np.abs(dec) < 3) & (chi > 330) & (chi < 600)
    z = distances.redshift(chi[kept])
    photo = z + SIGMA * (1 + z) * rng.standard_normal(len(z))
    return {"ra": ra[kept], "dec": dec[kept], "redshift": z}, photo, rng


@pytest.fixture(scope="module")
def galaxies():
    table, photo, rng = cone()
    table["object_id"] = np.arange(len(photo)) + 1000
    is_spec = rng.random(len(photo)) < 0.2
    spectra = {name: values[is_spec] for name, values in table.items()}
    width = SIGMA * (1 + photo)
    density = np.exp(-0.5 * ((NODES - photo[:, None]) / width[:, None]) ** 2)
    positions = {name: table[name] for name in ("ra", "dec", "object_id")}
    return spectra, positions, density, table["redshift"], is_spec


def ensemble(density, ancil=None):
    return qp.Ensemble(qp.interp, data={"xvals": NODES, "yvals": density}, ancil=ancil)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def model_of(spectra, **settings):
    informer = TruezInformer.make_stage(
        name="inform", model="model.hdf5", footprint=FOOTPRINT, hdf5_groupname="", **settings
    )
    return informer.inform(spectra)


def estimator(model, **settings):
    given = {"pdf_prior": "flat", "method": "redistribution", "cellsize": 5.0} | settings
    return TruezEstimator.make_stage(
        name="estimate", model=model, hdf5_groupname="", chunk_size=500, **given
    )


@pytest.fixture(scope="module")
def sharpened(galaxies, tmp_path_factory):
    """The ensemble that the stage makes of positions in ancil."""
    spectra, positions, density, _, _ = galaxies
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("rail"))
        stage = estimator(model_of(spectra))
        return stage.estimate(ensemble(density, positions))()


def test_rail_finds_the_stages_by_their_namespace():
    modules = RailEnv.list_rail_modules()
    assert "rail.estimation.algos.truez" in modules
    assert RailStage.get_stage("TruezEstimator", "rail.estimation.algos.truez") is TruezEstimator


def test_p_of_the_truth_is_higher_and_rows_are_those_that_were_given(galaxies, sharpened):
    _, positions, density, z, is_spec = galaxies
    assert sharpened.npdf == len(z)
    assert np.array_equal(np.ravel(sharpened.ancil["object_id"]), positions["object_id"])
    judged = np.ravel(sharpened.ancil["sharpened"]).astype(bool) & ~is_spec
    assert judged.sum() > 0.5 * (~is_spec).sum()
    rows = np.flatnonzero(judged)
    before = np.ravel(ensemble(density)[rows].pdf(z[rows][:, None]))
    after = np.ravel(sharpened[rows].pdf(z[rows][:, None]))
    floor = 1e-3
    assert np.mean(np.log((after + floor) / (before + floor))) > 0.03


def test_a_known_redshift_is_as_narrow_as_a_cell(galaxies, sharpened):
    *_, z, is_spec = galaxies
    rows = np.flatnonzero(is_spec & np.ravel(sharpened.ancil["sharpened"]).astype(bool))
    nodes = np.ravel(sharpened.metadata["xvals"])
    density = sharpened.objdata["yvals"][rows]
    mean = (density * nodes).sum(axis=1) / density.sum(axis=1)
    assert np.max(np.abs(mean - z[rows])) < 0.002


def test_a_galaxy_beyond_the_map_keeps_its_p_of_z(galaxies):
    spectra, positions, density, _, _ = galaxies
    moved = {name: values.copy() for name, values in positions.items()}
    moved["dec"][7] = 60.0
    moved["object_id"][7] = 1
    made = estimator(model_of(spectra)).estimate(ensemble(density, moved))()
    assert not np.ravel(made.ancil["sharpened"])[7]
    assert np.all(np.isfinite(made.objdata["yvals"]))
    given = ensemble(density)[7].pdf(NODES)
    assert np.allclose(made[7].pdf(NODES), given, atol=0.02 * given.max())


def test_positions_of_a_second_table_are_as_good_as_ancil(galaxies, sharpened):
    spectra, positions, density, _, _ = galaxies
    made = estimator(model_of(spectra)).estimate(ensemble(density), positions=positions)()
    assert np.allclose(made.objdata["yvals"], sharpened.objdata["yvals"])


def test_the_model_is_a_file_without_pickles(galaxies, sharpened):
    spectra, positions, density, _, _ = galaxies
    handle = model_of(spectra)
    handle.write()
    assert handle.path.endswith("model.hdf5")
    with h5py.File(handle.path) as file:
        assert set(file["columns"]) == {"ra", "dec", "redshift", "id"}
    read = TruezModelHandle("again", path=handle.path).read()
    assert read["selection"]["footprint"] == FOOTPRINT
    made = estimator(handle.path).estimate(ensemble(density, positions))()
    assert np.allclose(made.objdata["yvals"], sharpened.objdata["yvals"])


def test_what_is_wrong_is_one_sentence(galaxies, tmp_path):
    spectra, positions, density, _, _ = galaxies
    with pytest.raises(ValueError, match=r"^the catalogue has no column 'zz', but ra, dec"):
        model_of(spectra, redshift_col="zz")
    model = model_of(spectra)
    with pytest.raises(ValueError, match=r"^ancil of the ensemble has no column 'ra', but none$"):
        estimator(model).estimate(ensemble(density))
    short = {name: values[:-1] for name, values in positions.items()}
    with pytest.raises(ValueError, match=r"^ra in positions has .* rows, and the ensemble"):
        estimator(model).estimate(ensemble(density), positions=short)
    with pytest.raises(ValueError, match=r"^match must be id, a radius in arcsec, nested or disj"):
        estimator(model, match="near").estimate(ensemble(density, positions))
    (tmp_path / "other.hdf5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"other\.hdf5 is no model of TruezInformer: run it"):
        TruezModelHandle("other", path=str(tmp_path / "other.hdf5")).read()
