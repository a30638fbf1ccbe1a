"""The public names: documented with an example that runs, short to print, and there when asked."""

import doctest
import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, surveys_of

import truez
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct as sky_reconstruct

NAMES = [name for name in truez.__all__ if name not in ("__version__", "COSMOLOGIES")]


@pytest.fixture
def methods():
    """The methods, which examples may add to, as they were."""
    known = dict(truez.reconstruct.METHODS)
    yield
    truez.reconstruct.METHODS.clear()
    truez.reconstruct.METHODS.update(known)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example_that_runs(name, methods):
    value = getattr(truez, name)
    found = [test for test in doctest.DocTestFinder().find(value, name, globs={}) if test.examples]
    assert found, f"truez.{name} has no example"
    for test in found:
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        printed: list[str] = []
        runner.run(test, out=printed.append)
        assert runner.failures == 0, "".join(printed)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name):
    assert len(inspect.getdoc(getattr(truez, name)).splitlines()[0]) > 10


@pytest.mark.medium
def test_functions_stay_callable_after_their_modules_were_imported():
    code = (
        "import truez.reconstruct as R, truez.evaluate, truez\n"
        "import truez.reconstruct.methods, truez.evaluate.tables\n"
        "assert callable(truez.reconstruct) and callable(truez.evaluate)\n"
        "assert R is truez.reconstruct and 'wiener' in R.METHODS\n"
        "from truez.reconstruct import METHODS\n"
        "assert METHODS is R.METHODS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, truez; assert not {'torch', 'astropy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_module_of_a_method_is_where_a_method_is_registered():
    module = importlib.import_module("truez.reconstruct")
    assert module.METHODS is truez.reconstruct.METHODS


@pytest.fixture(scope="module")
def mock():
    box = truez.Box((64, 64, 128), cellsize=4)
    galaxies = truez.lognormal_galaxies(
        box, "planck18", redshift=0.6, density=2e-2, bias=1.5, seed=1
    )
    return galaxies.observe(spec_density=2e-3, sigma_z=0.005, cellsize=4, seed=2)


def test_what_is_printed_is_short(mock):
    field = mock.surveys.spec_field()
    things = [
        field, field.box, mock, mock.surveys, truez.power(field), truez.compare(field, truth=field),
        truez.reconstruct(mock.surveys, "redistribution"), truez.Universe(),
        truez.Catalog({"x": np.zeros(3), "name": np.array(["a", "b", "c"])}),
    ]  # fmt: skip
    for thing in things:
        text = repr(thing)
        assert len(text.splitlines()) <= 5, text
        assert max(map(len, text.splitlines())) < 200, text


def test_what_a_notebook_shows(mock):
    field = mock.surveys.spec_field()
    result = truez.reconstruct(mock.surveys, "redistribution")
    things = [mock.surveys, truez.power(field), result, truez.Catalog({"x": np.zeros(3)})]
    for thing in things:
        assert thing._repr_html_().startswith("<")


def test_a_field_is_an_array_where_an_array_is_wanted(mock):
    field = mock.fields().truth
    values = np.asarray(field)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(field + 1, values + 1)
    np.testing.assert_array_equal(1 - field, 1 - values)
    np.testing.assert_array_equal(np.exp(field), np.exp(values))
    np.testing.assert_array_equal(field[2:4], values[2:4])
    assert isinstance(field * 2, np.ndarray)
    assert field == field
    assert len({field, field}) == 1
    again = truez.Field(field * 1.0, field.box)
    np.testing.assert_array_equal(again, field)


def test_a_reconstruction_comes_back_from_its_file(mock, tmp_path):
    result = truez.reconstruct(mock.surveys, "redistribution")
    result.write(tmp_path / "field.h5")
    back = truez.Reconstruction.read(tmp_path / "field.h5", mock.surveys)
    np.testing.assert_array_equal(back.delta, result.delta)
    assert (back.sigma == result.sigma).all()
    assert (back.intensity == result.intensity).all()
    assert back.delta.resampler == "cic"
    first, again = result.redshifts(), back.redshifts()
    for name in first.columns:
        np.testing.assert_array_equal(first[name], again[name])


def test_redshifts_draws_and_p_of_z_agree(mock):
    result = truez.reconstruct(mock.surveys, "redistribution")
    found = result.redshifts()
    edges, pdf = result.pdf(np.arange(50))
    width = np.diff(edges, axis=1)
    np.testing.assert_allclose((pdf * width).sum(axis=1), 1, rtol=1e-5)
    mean = (pdf * width * (edges[:, 1:] + edges[:, :-1]) / 2).sum(axis=1)
    free = ~found["spec_matched"][:50]
    np.testing.assert_allclose(mean[free], found["z_mean"][:50][free], atol=1e-5)
    draws = result.draws(2, seed=3)
    assert draws.shape == (2, len(mock.surveys.photo))
    np.testing.assert_array_equal(draws, result.draws(2, seed=3))
    np.testing.assert_array_equal(draws[:1], result.draws(1, seed=3))
    assert (draws[0] != draws[1]).mean() > 0.8
    inside = (draws >= found["z_lo"]) & (draws <= found["z_hi"])
    assert 0.6 < inside[:, ~found["spec_matched"]].mean() < 0.76


def test_redshifts_have_the_photo_z_error_that_was_fitted(mock):
    given = truez.reconstruct(mock.surveys, "redistribution")
    fitted = truez.reconstruct(mock.surveys, "redistribution", fit_sigma=True)
    assert given.surveys.error == mock.surveys.error
    assert fitted.surveys.error.sigma == fitted.metadata["linear_model"]["sigma"]
    assert fitted.surveys.error.sigma != mock.surveys.error.sigma


@pytest.mark.filterwarnings("ignore:method redistribution is used")
def test_surveys_on_the_sky_are_reconstructed_by_the_same_function():
    cone = light_cone(density=0.005)
    surveys, cut = surveys_of(cone), PatchSettings(cellsize=10)
    given = truez.reconstruct(surveys, patches=cut, floor=0.1)
    assert isinstance(given, truez.SkyReconstruction)
    own = sky_reconstruct(surveys, patches=cut, floor=0.1)
    places = cone.ra % 360, cone.dec, np.clip(cone.z, 0.11, 0.25)
    np.testing.assert_array_equal(given.at(*places), own.at(*places))
    with pytest.raises(ValueError, match="method on the sky must be one of "):
        truez.reconstruct(surveys, "dual-unet")
    with pytest.raises(ValueError, match=r"surveys must be a truez\.Surveys, not SkyDetails"):
        truez.reconstruct(truez.SkyDetails())


def test_a_median_is_a_method(mock):
    moved = truez.reconstruct(mock.surveys, "redistribution")
    median = truez.reconstruct(mock.surveys, "redistribution-median", draws=64, seed=5)
    again = truez.reconstruct(mock.surveys, "redistribution-median", draws=64, seed=5)
    np.testing.assert_array_equal(median.delta, again.delta)
    truth = np.asarray(mock.fields().truth)
    assert np.abs(median.delta - truth).mean() < np.abs(moved.delta - truth).mean()
    assert median.metadata["mean"] == pytest.approx(float(np.mean(median.delta)), abs=1e-4)


def test_pictures_are_drawn(mock):
    import matplotlib.pyplot as plt

    result = truez.reconstruct(mock.surveys, "redistribution")
    for figure in (result.plot(), result.delta.plot(), truez.power(result.delta).plot()):
        assert figure.axes[0].get_xlabel()
        plt.close(figure)
