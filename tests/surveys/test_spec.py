"""The specification of two surveys: numbers and ranges, draws from them, broken settings."""

import json

import numpy as np
import pytest

from truez.cosmology import COSMOLOGIES
from truez.surveys.mock import MockConfig
from truez.surveys.selection import Selection
from truez.surveys.spec import SurveySpec, limits

FACTS = {"redshift": 0.5, "cosmology": COSMOLOGIES["wmap"]}


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_number_is_a_range_of_itself():
    one, other = (
        SurveySpec(sigma_z=0.02, spec_density=1e-3),
        SurveySpec(sigma_z=(0.02, 0.02), spec_density=[1e-3, 1e-3]),
    )
    assert one == other
    assert (one.sigma_z, other.spec_density) == (0.02, 1e-3)
    assert limits(one.sigma_z) == (0.02, 0.02)
    assert limits((0.01, 0.02)) == (0.01, 0.02)
    assert repr(one) == "SurveySpec(sigma_z=0.02, spec_density=0.001)"
    assert SurveySpec(**one.model_dump()) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"sigma_z": (0.01, 0.02)},
        {"spec_density": (1e-4, 1e-3)},
        {"photo_density": (1e-3, 2e-3)},
        {"outlier_fraction": (0, 0.1)},
        {"redshift_space": "both"},
        {"thinning": "both"},
        {"closed": 0.5},
    ],
)
def test_a_specification_with_a_range_is_not_fixed(changes):
    settings = {"sigma_z": 0.02, "spec_density": 1e-3}
    assert SurveySpec(**settings).fixed
    assert not SurveySpec(**{**settings, **changes}).fixed


def test_the_description_is_plain_and_leaves_out_later_additions():
    surveys = SurveySpec(sigma_z=0.02, spec_density=1e-3)
    described = surveys.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["sigma_z"] == [0.02, 0.02]
    assert not {"thinning", "closed"} & set(described)
    more = SurveySpec(**{**surveys.model_dump(), "thinning": "mass", "closed": 0.3}).describe()
    assert (more["thinning"], more["closed"]) == ("mass", 0.3)


def test_settings_of_a_mock_are_those_of_a_fixed_specification():
    surveys = SurveySpec(
        sigma_z=0.02,
        spec_density=1e-3,
        photo_density=1e-2,
        thinning="mass",
        outlier_fraction=0.1,
        redshift_space=False,
        disjoint=True,
    )
    assert surveys.mock_config(**FACTS, seed=3, trim=(20, 80)) == MockConfig(
        **FACTS,
        sigma_z=0.02,
        rank_by="mass",
        spec=Selection(density=1e-3),
        photo=Selection(density=1e-2),
        outlier_fraction=0.1,
        redshift_space=False,
        disjoint=True,
        seed=3,
        trim=(20, 80),
    )
    everything = SurveySpec(sigma_z=0.02, spec_density=1e-3).mock_config(**FACTS)
    assert everything.photo.density is None


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"sigma_z": (0.01, 0.02)}, r"sigma_z = \[0.01, 0.02\]"),
        ({"photo_density": 1e-2}, "thinning = 'random'"),
        ({"closed": 1.0}, "closed = 1"),
    ],
)
def test_other_specifications_are_no_settings_of_a_mock(changes, shown):
    surveys = SurveySpec(**{"sigma_z": 0.02, "spec_density": 1e-3, **changes})
    with pytest.raises(ValueError, match=f"^{shown} is not for one mock, which needs one number"):
        surveys.mock_config(**FACTS)


def test_draws_fill_their_ranges_and_nothing_else():
    surveys = SurveySpec(
        sigma_z=(0.003, 0.03),
        spec_density=(1e-4, 1e-3),
        photo_density=(1e-3, 2e-3),
        outlier_fraction=(0, 0.1),
        redshift_space="both",
    )
    generator = rng(1)
    drawn = [
        surveys.draw(generator, redshift=0.5, cosmology=COSMOLOGIES["wmap"]) for _ in range(400)
    ]
    for name, (low, high), middle in (
        ("sigma_z", surveys.sigma_z, 0.03 / 10**0.5),
        ("outlier_fraction", surveys.outlier_fraction, 0.05),
    ):
        values = np.array([getattr(config, name) for config in drawn])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert np.median(values) == pytest.approx(middle, rel=0.15)
    densities = np.array([[c.spec.density, c.photo.density] for c in drawn])
    assert densities.min(axis=0) == pytest.approx([1e-4, 1e-3], rel=0.05)
    assert densities.max(axis=0) == pytest.approx([1e-3, 2e-3], rel=0.05)
    assert 0.4 < np.mean([config.redshift_space for config in drawn]) < 0.6
    assert len({config.seed for config in drawn}) == 400
    # No two settings follow one another.
    table = np.column_stack([[c.sigma_z, c.outlier_fraction] for c in drawn]).T
    both = np.column_stack([np.log(densities), table])
    assert np.abs(np.corrcoef(both.T) - np.eye(4)).max() < 0.2


def test_fixed_settings_do_not_shift_the_others():
    free = SurveySpec(sigma_z=(0.003, 0.03), spec_density=(1e-4, 1e-3))
    fixed = SurveySpec(sigma_z=(0.003, 0.03), spec_density=3e-4)
    one, two = (r.draw(rng(4), redshift=0.5, cosmology=COSMOLOGIES["wmap"]) for r in (free, fixed))
    assert (one.sigma_z, one.seed) == (two.sigma_z, two.seed)
    assert two.spec.density == 3e-4
    assert two.photo.density is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sigma_z": (0.02, 0.01)}, "must be a number or a range from low to high, none below 0"),
        ({"sigma_z": -0.02}, "must be a number or a range from low to high, none below 0"),
        ({"sigma_z": (0.1, 1.5)}, "must be at most 0.3"),
        ({"outlier_fraction": 1.0}, "must be below 1"),
        ({"spec_density": 0}, r"must be above 0 \(h/Mpc\)\^3"),
        (
            {"spec_density": (1e-4, 3e-3), "photo_density": (2e-3, 4e-3)},
            r"spec_density up to 0.003 \(h/Mpc\)\^3 does not fit in a photo_density from 0.002",
        ),
        ({"redshift_space": "sometimes"}, "redshift_space"),
        ({"density": 1}, "density is not a known setting: did you mean spec_density"),
    ],
)
def test_broken_specifications(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        SurveySpec(**{"sigma_z": 0.02, "spec_density": 1e-3, **changes})
