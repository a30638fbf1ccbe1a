"""What users hand to the public names by mistake, and the sentence that they get."""

import numpy as np
import pytest
from astropy.cosmology import WMAP9, FlatwCDM, LambdaCDM, Planck18
from astropy.table import MaskedColumn, Table

import truez

BOX = truez.Box(32, cellsize=4)
RNG = np.random.default_rng(1)
PLACES = RNG.uniform(0, 32, (400, 3))
FIELD = truez.Field(RNG.normal(size=(8, 8, 8)), BOX)
CONFIG = truez.MockConfig(
    redshift=0.6, cosmology="planck18", sigma_z=0.01, rank_by="mass", spec={"density": 3e-3},
    redshift_space=False,
)  # fmt: skip


def surveys(**changes):
    given = {
        "spec": PLACES[:40], "photo": PLACES, "box": BOX, "redshift": 0.6, "sigma_z": 0.001,
        "overlap": "nested",
    }  # fmt: skip
    return truez.Surveys.from_catalogs(**{**given, **changes})


def details(**settings):
    return truez.SurveyDetails(**settings)


BROKEN = [
    # what was given, the sentence
    (lambda: truez.Box(32), "a box needs either meshsize"),
    (lambda: truez.Box(32, 8, cellsize=4), "a box needs either meshsize"),
    (lambda: truez.Box(-32, cellsize=4), "boxsize must be positive, not -32"),
    (lambda: truez.Box(32, cellsize=0), "cellsize must be positive, not 0"),
    (lambda: truez.Box(32, cellsize="two"), "cellsize must be positive, not 'two'"),
    (lambda: truez.Box("large", cellsize=2), "boxsize must be one finite number or three"),
    (lambda: truez.Field(np.zeros((4, 4, 4)), BOX), "values of shape (4, 4, 4) do not fit"),
    (lambda: truez.Field("zeros", BOX), "values must be a mesh of numbers, not str"),
    (lambda: truez.Field(np.zeros((8, 8, 8)), 32), "box must be a truez.Box, not int"),
    (lambda: truez.Field(np.zeros((8, 8, 8), complex), BOX), "values must be real numbers"),
    (lambda: truez.Field(np.zeros((8, 8, 8)), BOX, "mass"), "kind must be one of"),
    (lambda: FIELD.to_delta(), "this field is an overdensity already"),
    (lambda: truez.power(FIELD.numpy()), "field must be a truez.Field, not ndarray"),
    (lambda: truez.power(FIELD, FIELD.numpy()), "other must be a truez.Field, not ndarray"),
    (lambda: truez.power(FIELD, edges={"width": 0.1}), "edges must be an array of wavenumbers or"),
    (lambda: truez.power(FIELD, edges={"step": 0}), "hold no bin of step 0"),
    (lambda: truez.power(FIELD, edges={"step": "wide"}), "hold no bin of step 'wide'"),
    (lambda: truez.power(FIELD, ells=(1,)), "ells must be even whole numbers"),
    (lambda: truez.power(FIELD, compensate=True), "compensate needs the resampler of field"),
    (lambda: truez.compare(FIELD, truth=1.0), "truth must be a truez.Field, not float"),
    (lambda: truez.compare(None, truth=FIELD), "field must be a truez.Field, not NoneType"),
    (lambda: truez.scores(FIELD.numpy(), truth=FIELD), "field must be a truez.Field, not ndarray"),
    (lambda: truez.sub_box_scores(FIELD, truth=None, cells=7), "truth must be a truez.Field"),
    (lambda: truez.paint(PLACES, 32), "box must be a truez.Box, not int"),
    (lambda: truez.paint(PLACES[:, :2], BOX), "positions must be (n, 3)"),
    (lambda: truez.paint(PLACES, BOX, "pcs"), "resampler must be one of"),
    (lambda: truez.paint_chunks([PLACES], "box"), "box must be a truez.Box, not str"),
    (lambda: truez.readout(np.zeros((8, 8, 8)), PLACES), "field must be a truez.Field"),
    (lambda: truez.catalog_power(PLACES, 32.0), "box must be a truez.Box, not float"),
    (lambda: surveys(spec="nowhere.fits"), "nowhere.fits"),
    (lambda: surveys(spec=PLACES.T[:, :40]), "spec must be positions of shape (n, 3), not (3, 40)"),
    (lambda: surveys(photo=7), "photo must be positions of shape (n, 3), not ()"),
    (lambda: surveys(photo=object()), "photo must be a path, a truez.Catalog"),
    (lambda: surveys(photo={"a": PLACES[:, 0]}), "photo has no column x, y, z: it has a"),
    (lambda: surveys(photo=Table()), "photo holds no columns"),
    (lambda: surveys(photo=PLACES[:0]), "photo holds no rows"),
    (lambda: surveys(photo=np.full((9, 3), np.nan)), "photo: positions must be finite, but 9 of 9"),
    (lambda: surveys(photo=PLACES + 100), "photo galaxies lie outside the periodic box"),
    (lambda: surveys(box=32), "box must be a truez.Box, not int"),
    (lambda: surveys(redshift=-1), "redshift must be a number from 0 to 100, not -1"),
    (lambda: surveys(redshift="0.6"), "redshift must be a number from 0 to 100, not '0.6'"),
    (lambda: surveys(sigma_z=1.5), "sigma_z must be a number from 0 to 0.3, not 1.5"),
    (lambda: surveys(sigma_z=None), "sigma_z must be a number from 0 to 0.3, not nothing"),
    (lambda: surveys(overlap=None), "give either match_id, the column that names a galaxy"),
    (lambda: surveys(match_id="ID"), "give either match_id, the column that names a galaxy"),
    (lambda: surveys(overlap=None, match_id="ID"), "spec: the catalogue has no column 'ID'"),
    (lambda: surveys(overlap="some"), "overlap must be nested, disjoint or a fraction"),
    (lambda: surveys(overlap=1.5), "overlap must be nested, disjoint or a fraction"),
    (lambda: surveys(cosmology="flat"), "cosmology must be one of wmap, tng, planck18, not 'flat'"),
    (lambda: surveys(cosmology=0.3), "cosmology must be a name, a truez.Cosmology or a flat LCDM"),
    (lambda: surveys(cosmology=FlatwCDM(70, 0.3, w0=-0.9)), "a flat LCDM of astropy, not FlatwCDM"),
    (lambda: surveys(cosmology=LambdaCDM(70, 0.3, 0.5)), "a flat LCDM of astropy, not LambdaCDM"),
    (lambda: surveys(details={"los": "x"}), "details must be a truez.SurveyDetails, not dict"),
    (lambda: surveys(details=details(length_unit="pc")), "length_unit must be one of"),
    (lambda: surveys(details=details(length_unit="Mpc")), "lengths in Mpc need hubble"),
    (lambda: surveys(details=details(photo_bounds="cut")), "photo_bounds must be truth or photo-z"),
    (lambda: details(los="w"), "los must be an axis"),
    (lambda: truez.reconstruct(PLACES), "surveys must be a truez.Surveys, not ndarray"),
    (lambda: truez.reconstruct(surveys(), "magic"), "method must be one of columns"),
    (
        lambda: truez.reconstruct(surveys(), "wiener", weights="a.safetensors"),
        "method wiener has no setting weights: leave weights out",
    ),
    (lambda: truez.reconstruct(surveys(), "redistribution", floor=-1), "floor must be a positive"),
    (lambda: truez.reconstruct(surveys(), "dual-unet"), "method dual-unet needs weights"),
    (lambda: truez.reconstruct(surveys(), "wiener", resampler="pcs"), "resampler must be one of"),
    (lambda: truez.Reconstruction(FIELD).redshifts(), "this reconstruction moves no galaxies"),
    (
        lambda: truez.Reconstruction(FIELD, intensity=np.ones((8, 8, 8))).redshifts(),
        "this reconstruction does not hold its surveys",
    ),
    (lambda: truez.Reconstruction(FIELD, sigma=np.ones(3)), "sigma must be of the mesh (8, 8, 8)"),
    (lambda: truez.Reconstruction(FIELD.numpy()), "delta must be a truez.Field, not ndarray"),
    (lambda: truez.Reconstruction.read("nowhere.h5"), "there is no field file nowhere.h5"),
    (lambda: truez.sharpen(surveys(), np.ones((4, 4, 4))), "intensity must be of the mesh"),
    (lambda: truez.sharpen(surveys(), truez.Reconstruction(FIELD)), "moves no galaxies"),
    (lambda: truez.sharpen(surveys(), "lambda"), "intensity must be an array of numbers, not str"),
    (lambda: truez.make_mock("galaxies", BOX, CONFIG), "positions must be an array of numbers"),
    (lambda: truez.make_mock(PLACES, BOX, {"redshift": 0.6}), "config must be a truez.MockConfig"),
    (lambda: truez.make_mock(PLACES, BOX, CONFIG), "the selection needs column mass"),
    (
        lambda: truez.make_mock(PLACES, BOX, CONFIG, velocities=np.zeros((400, 2))),
        "velocities must have shape (n,) or (n, 3), not (400, 2)",
    ),
    (lambda: truez.PhotozError(-1.0), "sigma must be a finite length >= 0"),
    (lambda: truez.Universe(boxsize=0), "boxsize"),
    (lambda: truez.Universe(cosmology="flat"), "must be one of wmap, tng, planck18"),
    (lambda: truez.MockConfig(redshift=0.6, cosmology="planck18", sigma_z=0.02, spec={}),
     "the spectroscopic sample needs a density or a cut"),
    (lambda: truez.Catalog({}), "columns must name at least one column"),
    (lambda: truez.Surveys(photo="photo", spec=PLACES, box=BOX, error=truez.PhotozError(1.0),
                           num_both=0, cosmology="planck18", redshift=0.6),
     "photo must be an array of numbers, not str"),
    (lambda: truez.Surveys(photo=PLACES, spec=PLACES, box=BOX, error=0.02, num_both=0,
                           cosmology="planck18", redshift=0.6),
     "error must be a truez.PhotozError, not float"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), BROKEN, ids=[s[:60] for _, s in BROKEN])
def test_one_sentence_says_what_is_wrong(call, sentence):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call()
    assert sentence in str(error.value)
    assert len(str(error.value)) < 1000


def test_masked_values_are_refused():
    table = Table({"x": MaskedColumn(PLACES[:, 0], mask=PLACES[:, 0] > 30),
                   "y": PLACES[:, 1], "z": PLACES[:, 2]})  # fmt: skip
    with pytest.raises(ValueError, match=r"column 'x' of photo has no value in 32 of 400 rows"):
        surveys(photo=table)


def test_astropy_cosmologies_are_taken():
    for given in (Planck18, WMAP9):
        own = truez.Cosmology.of(given)
        z = np.array([0.1, 0.6, 1.5])
        wanted = given.comoving_distance(z).value * given.h
        np.testing.assert_allclose(own.comoving_distance(z), wanted, rtol=1e-3)
        assert own.sigma_8 == given.meta["sigma8"]
        assert truez.Universe(cosmology=given).cosmology == own


def test_catalogues_come_in_every_form(tmp_path):
    columns = {"x": PLACES[:, 0], "y": PLACES[:, 1], "z": PLACES[:, 2], "ID": np.arange(400)}
    table = Table(columns)
    for name in "xyz":
        table[name].unit = "Mpc"
    truez.Catalog(columns, units=dict.fromkeys("xyz", "Mpc/h")).write(tmp_path / "photo.parquet")
    how = details(hubble=0.5)
    half = truez.Box(16, cellsize=2)
    wanted = surveys(overlap=None, match_id="ID", photo=columns, spec=truez.Catalog(columns))
    assert wanted.num_both == 400
    found = surveys(overlap=None, match_id="ID", photo=table, spec=table, box=half, details=how)
    np.testing.assert_allclose(found.photo * 2, wanted.photo)
    path = tmp_path / "photo.parquet"
    for given in (str(path), path):
        found = surveys(overlap=None, match_id="ID", photo=given, spec=given)
        np.testing.assert_array_equal(found.photo, wanted.photo)
        np.testing.assert_array_equal(found.matched, wanted.matched)
    vector = {"pos": PLACES}
    found = surveys(photo=vector, spec=vector, details=details(positions="pos"))
    np.testing.assert_array_equal(found.photo, PLACES)
    for package in ("pandas", "polars"):
        frame = pytest.importorskip(package).DataFrame(columns)
        found = surveys(overlap=None, match_id="ID", photo=frame, spec=frame)
        np.testing.assert_array_equal(found.photo, wanted.photo)


def test_mocks_are_made_of_what_is_at_hand():
    galaxies = truez.lognormal_galaxies(
        truez.Box(64, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    )
    config = CONFIG.model_copy(update={"redshift_space": True})
    box = galaxies.box
    whole = truez.make_mock(galaxies, box, config)
    columns = {"mass": galaxies.mass}
    for velocities in (galaxies.velocities, galaxies.velocities[:, 2]):
        again = truez.make_mock(
            galaxies.positions, box, config, velocities=velocities, columns=columns
        )
        np.testing.assert_array_equal(again.truth, whole.truth)
        np.testing.assert_array_equal(again.surveys.photo, whole.surveys.photo)
