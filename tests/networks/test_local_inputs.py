"""What a local column network reads of even and of uneven surveys."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import truez
from truez.linear.counts import CellCounts
from truez.mesh.painting import paint
from truez.networks.column_inputs import column_inputs, log_bias
from truez.networks.conditions import LEAST_PER_CELL, LOCAL_CONDITIONS, log_widths
from truez.networks.local_inputs import SightLine, local_inputs, uneven_conditions
from truez.networks.uneven_inputs import UnevenSamples, uneven_fields
from truez.sightlines.redistribution import kernel_of, photo_class, surplus_of

BOX = truez.Box((96, 96, 192), (24, 24, 40))


def surveys_of(*, periodic, disjoint=False):
    galaxies = truez.lognormal_galaxies(
        BOX, "planck18", redshift=0.3, density=1e-2, bias=1.5, seed=2
    )
    mock = galaxies.observe(
        spec_density=1e-3, sigma_z=0.01, cellsize=4, seed=3, outlier_fraction=0.02
    )
    # A closed box is one whose sample was cut in photo-z, so that its kernel has a true margin.
    bounds = {} if periodic else {"photo_bounds": "photo-z"}
    surveys = replace(mock.surveys, box=replace(BOX, periodic=periodic), **bounds)
    return replace(surveys, matched=None, num_both=0) if disjoint else surveys


@pytest.fixture(scope="module", params=[True, False], ids=["periodic", "closed"])
def surveys(request):
    return surveys_of(periodic=request.param)


@pytest.fixture(scope="module")
def even(surveys):
    return column_inputs(surveys, floor=0.05, kind="local")


def samples_of(surveys):
    """The even surveys as if they were uneven."""
    box, kernel = surveys.box, kernel_of(surveys)
    cell = box.volume / box.num_cells
    n_spec, n_photo, n_both = (torch.full(box.meshsize, n * cell) for n in surveys.densities)
    rows = surveys.photo_only()
    inner = slice(kernel.true_margin, kernel.true_margin + box.meshsize[2])
    seen = slice(kernel.photo_margin, kernel.photo_margin + box.meshsize[2])
    unknown = CellCounts(
        paint(surveys.photo[rows & surveys.photo_inside()], box, "ngp").values,
        n_photo - n_both,
        kernel.matrix[seen, inner],
    )
    wide = torch.full(
        (*box.meshsize[:2], kernel.num_true), float(n_photo[0, 0, 0] - n_both[0, 0, 0])
    )
    return UnevenSamples(
        spec=CellCounts(paint(surveys.spec, box, "ngp").values, n_spec), photo=[unknown],
        spec_delta=surveys.spec_field().values, photo_delta=surveys.photo_field().values,
        classes=[replace(photo_class(surveys, kernel, squares=False), expected=wide)],
        photo_expected=n_photo,
    )  # fmt: skip


def line_of(surveys):
    error = surveys.error
    return SightLine(
        sigma=[error.sigma / surveys.box.cellsize[2]], redshift=surveys.redshift,
        outliers=error.outlier_fraction, redshift_space=surveys.redshift_space,
    )  # fmt: skip


def test_even_surveys(surveys, even):
    plain = column_inputs(surveys, floor=0.05)
    assert even.values.shape == (9, 24, 24, 40)
    assert torch.equal(even.values[:6], plain.values)
    assert torch.equal(even.conditions[:5], plain.conditions)
    galaxies = photo_class(surveys, kernel_of(surveys), squares=False)
    wanted = surplus_of(surveys, torch.ones(BOX.meshsize), galaxies)
    assert torch.allclose(even.values[6], wanted)
    n_spec, n_photo, n_both = surveys.densities
    assert torch.allclose(even.values[7], torch.tensor(n_both / n_photo))
    assert bool((even.values[8] == 1).all())
    assert len(even.conditions) == len(LOCAL_CONDITIONS)
    assert even.conditions[5:].tolist() == pytest.approx(
        [math.log(2), math.log(4.8 / 2), 0.3, n_both / n_spec, log_bias(even.model)], abs=1e-6
    )


def test_samples_that_have_no_galaxies_in_common():
    found = column_inputs(surveys_of(periodic=True, disjoint=True), floor=0.05, kind="local")
    assert float(found.values[7].abs().max()) == 0
    assert found.conditions[8] == 0


def test_even_surveys_as_uneven_ones(surveys, even):
    found = local_inputs(even.model, surveys.box, samples_of(surveys), line_of(surveys), floor=0.05)
    for number, least in enumerate((1.0, 1.0, 0.95, 0.85, 0.9, 0.9, 0.999)):
        if number in (2, 3) and not surveys.box.periodic:
            continue  # galaxies that left through a face came in at the other, as noise
        pair = torch.stack([found.values[number].flatten(), even.values[number].flatten()])
        assert float(torch.corrcoef(pair.double())[0, 1]) > least - 1e-6, number
        assert float(pair[0].std() / pair[1].std()) == pytest.approx(1, abs=0.2), number
    assert torch.allclose(found.values[7:], even.values[7:])
    conditions = found.conditions
    assert conditions.profiles.shape == (10, 40)
    assert conditions.density.shape == (2, 24, 24, 40)
    wanted = even.conditions[:, None, None, None].expand(-1, 24, 24, 40)
    assert torch.allclose(conditions.values, wanted, atol=1e-5)


def test_the_first_fields_are_those_of_an_even_network(surveys, even):
    samples = samples_of(surveys)
    plain = uneven_fields(even.model, surveys.box, samples, floor=0.05)
    found = local_inputs(even.model, surveys.box, samples, line_of(surveys), floor=0.05)
    assert torch.equal(found.values[:6], plain.values)
    assert found.floor_fraction == plain.floor_fraction
    assert torch.equal(found.spec_alone.photo, plain.spec_alone.photo)


def test_where_nothing_is_expected():
    surveys = surveys_of(periodic=False)
    samples = samples_of(surveys)
    hole = torch.zeros(BOX.meshsize, dtype=torch.bool)
    hole[3:9, 4:12] = True
    photo, spec, (moved,) = samples.photo[0], samples.spec, samples.classes

    def without(values):
        result = values.clone()
        result[3:9, 4:12] = 0
        return result

    samples = replace(
        samples,
        spec=replace(spec, counts=without(spec.counts), expected=without(spec.expected)),
        photo=[replace(photo, counts=without(photo.counts), expected=without(photo.expected))],
        spec_delta=without(samples.spec_delta),
        photo_delta=without(samples.photo_delta),
        classes=[replace(moved, counts=without(moved.counts), expected=without(moved.expected))],
        photo_expected=without(samples.photo_expected),
    )
    model = column_inputs(surveys, floor=0.05).model
    found = local_inputs(model, surveys.box, samples, line_of(surveys), floor=0.05)
    assert bool(torch.isfinite(found.values).all())
    assert float(found.values[:, hole].abs().max()) == 0
    assert bool((found.values[8] == (~hole).float()).all())
    least = found.conditions.density[:, hole]
    assert torch.allclose(least, torch.tensor(math.log(LEAST_PER_CELL)))
    assert float(found.values[6][~hole].mean()) == pytest.approx(0, abs=1e-4)


def test_conditions_change_along_the_line_of_sight():
    box = truez.Box((8, 8, 24), (4, 4, 12), periodic=False)
    sigma = np.array([np.full(12, 2.0), np.linspace(4, 8, 12)])
    weights = np.array([np.arange(12.0), np.full(12, 3.0)])
    line = SightLine(
        sigma=sigma, redshift=np.linspace(0.1, 0.2, 12), stretch=np.linspace(0.5, 1.5, 12),
        outliers=0.1, redshift_space=True,
    )  # fmt: skip
    depth = torch.linspace(0.2, 0.01, 12).expand(4, 4, 12)
    found = uneven_conditions(
        box, line, expected=(0.1 * depth, depth), class_weights=weights, common=0.7, bias=-0.1
    )
    rows = found.profiles
    wanted = (weights * np.log(sigma)).sum(0) / weights.sum(0)
    np.testing.assert_allclose(rows[0], wanted, rtol=1e-6)
    assert torch.allclose(found.density[1], depth.log())
    np.testing.assert_allclose(rows[2], depth[0, 0].log(), rtol=1e-5)
    assert set(rows[3].tolist()) == {1.0}
    np.testing.assert_allclose(rows[5], np.log(np.linspace(0.5, 1.5, 12)), atol=1e-6)
    np.testing.assert_allclose(rows[6], 0, atol=1e-6)
    np.testing.assert_allclose(rows[7], np.linspace(0.1, 0.2, 12), rtol=1e-6)
    assert rows[4, 0] == pytest.approx(0.1)
    assert rows[8, 0] == pytest.approx(0.7)
    assert rows[9, 0] == pytest.approx(-0.1)
    values = found.values
    assert values.shape == (10, 4, 4, 12)
    assert torch.equal(values[1:3], found.density)
    assert torch.equal(values[5, 1, 2], rows[5])


def test_widths_of_classes():
    assert log_widths([[0.01], [1.0]]) == pytest.approx(np.log(0.1) / 2)
    found = log_widths([[1.0, 1.0], [4.0, 4.0]], [[0.0, 3.0], [0.0, 0.0]])
    assert found == pytest.approx([np.log(2.0), 0.0])
