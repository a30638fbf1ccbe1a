import dataclasses
import itertools
import re

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

WMAP = COSMOLOGIES["wmap"]


def galaxies(num: int = 4000, *, box: Box, seed: int = 0):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(box.lower, box.upper, (num, 3))
    return positions, rng.normal(0, 300, num), rng.lognormal(0, 1, num)


def config(**changes) -> MockConfig:
    settings = {
        "redshift": 0.59,
        "cosmology": WMAP,
        "sigma_z": 0.02,
        "rank_by": "mass",
        "spec": Selection(density=1e-4),
        "seed": 5,
    }
    return MockConfig(**{**settings, **changes})


PERIODIC = Box(200, 50)
CLOSED = Box(200, 50, boxcenter=(0, 0, 500), periodic=False)


def build(box: Box = PERIODIC, *, cfg: MockConfig | None = None, **changes) -> Mock:
    positions, velocities, mass = galaxies(box=box)
    arguments = {"velocities": velocities, "columns": {"mass": mass}, **changes}
    return make_mock(positions, box, cfg or config(), **arguments)


def test_the_spectroscopic_sample_is_the_most_massive_of_the_photometric():
    mock = build()
    _, _, mass = galaxies(box=PERIODIC)
    assert len(mock.spec_ids) == 800
    assert mass[mock.spec_ids].min() >= np.delete(mass, mock.spec_ids).max()
    assert mock.surveys.num_both == 800
    assert set(mock.spec_ids) <= set(mock.photo_ids)


def test_the_faintest_magnitudes_come_last():
    mock = build(cfg=config(rank="lowest"))
    _, _, mass = galaxies(box=PERIODIC)
    assert mass[mock.spec_ids].max() <= np.delete(mass, mock.spec_ids).min()


def test_disjoint_samples_share_nobody():
    mock = build(cfg=config(disjoint=True, photo=Selection(density=3e-4)))
    assert not set(mock.spec_ids) & set(mock.photo_ids)
    assert mock.surveys.num_both == 0
    assert len(mock.photo_ids) == 2400


def test_cuts_in_any_column():
    mock = build(cfg=config(spec=Selection(cuts=("mass>2", "mass<=3"))))
    _, _, mass = galaxies(box=PERIODIC)
    np.testing.assert_array_equal(np.sort(mock.spec_ids), np.flatnonzero((mass > 2) & (mass <= 3)))


def test_redshift_space_is_equation_one():
    positions, velocities, _ = galaxies(box=PERIODIC)
    mock = build()
    hubble = 100 * np.sqrt(0.268 * 1.59**3 + 0.732)  # km/s per Mpc/h
    expected = (positions[:, 2] + 1.59 * velocities / hubble) % 200
    found = mock.truth[:, 2]
    difference = (found - expected[mock.photo_ids] + 100) % 200 - 100
    assert np.abs(difference).max() < 1e-9
    np.testing.assert_array_equal(mock.truth[:, :2], positions[mock.photo_ids, :2])


def test_real_space_needs_no_velocities():
    mock = build(cfg=config(redshift_space=False), velocities=None)
    positions, _, _ = galaxies(box=PERIODIC)
    np.testing.assert_allclose(mock.truth, positions[mock.photo_ids])


def test_photo_z_scatter_is_equation_two_and_three():
    box = Box((20, 20, 4000), (2, 2, 50))
    positions, velocities, mass = galaxies(40_000, box=box)
    mock = make_mock(
        positions, box, config(spec=Selection(density=1e-3)),
        velocities=velocities, columns={"mass": mass},
    )  # fmt: skip
    shift = (mock.surveys.photo[:, 2] - mock.truth[:, 2] + 2000) % 4000 - 2000
    # 70.9 Mpc/h in the paper.
    assert shift.std() == pytest.approx(70.9, rel=0.02)
    assert abs(shift.mean()) < 4 * 70.9 / 200
    np.testing.assert_array_equal(mock.surveys.photo[:, :2], mock.truth[:, :2])


def test_closed_box_keeps_photo_z_outside_and_drops_what_velocities_carry_out():
    mock = build(CLOSED)
    assert mock.source["num_left_by_velocity"] > 0
    assert len(mock.truth) == 4000 - mock.source["num_left_by_velocity"]
    outside = np.abs(mock.surveys.photo[:, 2] - 500) > 100
    assert outside.sum() > 500
    photo = mock.surveys.photo_field()
    assert photo.metadata["num_outside"] == outside.sum()
    # The expected counts know what is lost: the overdensity stays centred on zero.
    assert abs(float(photo.values.mean())) < 0.05
    assert float(mock.surveys.photo_expected().values.sum()) == pytest.approx(
        len(mock.truth) - outside.sum(), rel=0.03
    )


def test_closed_box_photo_noise_is_measured():
    rng = np.random.default_rng(1)
    box = Box((100, 100, 120), (25, 25, 30), periodic=False)
    positions = rng.uniform(box.lower, box.upper, (60_000, 3))
    mock = make_mock(
        positions, box, config(redshift_space=False, sigma_z=0.01),
        columns={"mass": rng.random(60_000)},
    )  # fmt: skip
    field = mock.surveys.photo_field("ngp")
    variance = float(field.values.double().square().mean())
    assert variance * box.volume / box.num_cells == pytest.approx(field.shotnoise, rel=0.03)


def test_galaxies_outside_a_closed_box():
    positions, velocities, mass = galaxies(box=CLOSED)
    positions[:3, 0] = 150
    with pytest.raises(ValueError, match="3 of 4000 galaxies lie outside the closed box"):
        make_mock(positions, CLOSED, config(), velocities=velocities, columns={"mass": mass})
    mock = make_mock(
        positions, CLOSED, config(), velocities=velocities, columns={"mass": mass}, outside="drop"
    )
    assert mock.source["num_outside"] == 3
    assert not {0, 1, 2} & set(mock.photo_ids)


def test_the_callers_arrays_stay_as_they_are():
    positions, velocities, mass = galaxies(box=PERIODIC)
    before = positions.copy()
    make_mock(positions, PERIODIC, config(), velocities=velocities, columns={"mass": mass})
    np.testing.assert_array_equal(positions, before)


def test_same_seed_same_mock_other_seed_other_scatter():
    np.testing.assert_array_equal(build().surveys.photo, build().surveys.photo)
    other = build(cfg=config(seed=6))
    np.testing.assert_array_equal(other.truth, build().truth)
    assert not np.array_equal(other.surveys.photo, build().surveys.photo)


def test_trim_sets_the_evaluation_region_and_keeps_the_catalogue():
    mock = build(cfg=config(trim=(40, 160)))
    assert mock.evaluation_region == ((0, 0, 10), (50, 50, 40))
    assert len(mock.truth) == 4000
    # The paper: 600 cells of 2 Mpc/h, Z in [200, 1000].
    paper = dataclasses.replace(
        mock,
        surveys=dataclasses.replace(mock.surveys, box=Box(1200, 600)),
        config=config(trim=(200, 1000)),
    )
    assert paper.evaluation_region == ((0, 0, 100), (600, 600, 500))


@pytest.mark.parametrize("box", [PERIODIC, CLOSED])
def test_regions_are_apart(box):
    mock = build(box, cfg=config(trim=(20, 180)))
    gap = 2  # 8 Mpc/h in cells of 4
    taken = np.zeros(50, dtype=int)
    for (x0, y0, z0), (x1, y1, z1) in mock.regions.values():
        assert (y0, y1, z0, z1) == (0, 50, 5, 45)
        taken[x0:x1] += 1
    assert taken.max() == 1
    edges = sorted((region[0][0], region[1][0]) for region in mock.regions.values())
    assert all(b[0] - a[1] == gap for a, b in itertools.pairwise(edges))
    if box.periodic:
        assert edges[0][0] + 50 - edges[-1][1] == gap
    else:
        assert edges[-1][1] == 50


def test_round_trip(tmp_path):
    mock = build(CLOSED, cfg=config(trim=(20, 180), outlier_fraction=0.05))
    mock.write(tmp_path / "mock")
    again = Mock.read(tmp_path / "mock")
    assert again.config == mock.config
    assert again.box == mock.box
    assert again.source == mock.source
    assert again.fingerprint == mock.fingerprint
    assert again.surveys.num_both == mock.surveys.num_both
    np.testing.assert_array_equal(again.truth, mock.truth)
    np.testing.assert_array_equal(again.surveys.photo, mock.surveys.photo)
    np.testing.assert_array_equal(again.spec_ids, mock.spec_ids)


def test_fields_have_the_mean_of_their_samples():
    truth, photo, spec = build().fields()
    for field in (truth, photo, spec):
        assert field.kind == "delta"
        assert abs(float(field.values.double().mean())) < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": Selection()}, "the spectroscopic sample needs a density or a cut"),
        ({"rank_by": None}, "a selection by density needs rank_by, the column to rank by"),
        ({"trim": (9.0, 2.0)}, "trim must be a lower and an upper distance"),
        ({"split": (0.9, 0.2)}, "split must be two positive shares of sum below 1"),
        ({"sigma_z": -0.1}, "sigma_z"),
        ({"rank": "middle"}, "rank"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_unsigned_and_other_columns_to_rank_by():
    rng = np.random.default_rng(2)
    particles = rng.integers(0, 5, 4000).astype(np.uint32)
    mock = build(cfg=config(rank_by="particles"), columns={"particles": particles})
    assert particles[mock.spec_ids].min() == particles.max()
    with pytest.raises(ValueError, match="column 'name' must hold numbers, not text"):
        build(cfg=config(rank_by="name"), columns={"name": np.array(["a"] * 4000)})


def test_spec_is_chosen_from_photo_unless_disjoint():
    light = config(photo=Selection(cuts=("mass<1",)))
    mock = build(cfg=light)
    assert set(mock.spec_ids) <= set(mock.photo_ids)
    with pytest.raises(ValueError, match="and 400 are there to choose from"):
        build(cfg=config(photo=Selection(density=5e-5)))
    with pytest.raises(ValueError, match="the photo sample is empty: no galaxy is left"):
        build(cfg=config(disjoint=True, spec=Selection(cuts=("mass>0",))))


def test_another_photo_z_of_the_same_truth_is_known_again():
    assert build().fingerprint == build(cfg=config(seed=6)).fingerprint
    positions, velocities, mass = galaxies(box=PERIODIC, seed=9)
    other = make_mock(positions, PERIODIC, config(), velocities=velocities, columns={"mass": mass})
    assert other.fingerprint != build().fingerprint


@pytest.mark.parametrize("damage", ["[box]\nside = 3", "box = ", ""])
def test_a_damaged_folder_is_named(tmp_path, damage):
    build().write(tmp_path)
    (tmp_path / "mock.toml").write_text(damage)
    with pytest.raises(ValueError, match=r"mock\.toml is (damaged, as|not TOML)"):
        Mock.read(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "value", "sentence"),
    [
        (r"sigma_z = .*", "sigma_z = -0.02", "(mock.sigma_z must be at least 0, not -0.02)"),
        (r"sigma_z = .*", "sigma_z = 'a'", "(mock.sigma_z must be of another type, not 'a')"),
        (r"redshift = .*", "", "(mock.redshift is missing)"),
        (r"redshift = .*", "redshift = 0.6\nmoon = 1", "(mock.moon is not a known setting)"),
        (r"(?s)meshsize = \[.*?\]", "meshsize = [0, 8, 8]", "(meshsize must be positive whole num"),
        (r"(?s)boxsize = \[.*?\]", "boxsize = [nan, 8, 8]", "(boxsize must be one finite number"),
        (r"periodic = .*", "round = 1", "(box does not hold the settings of a box)"),
    ],
)
def test_a_setting_of_a_mock_folder_that_makes_no_sense_is_named(
    tmp_path, pattern, value, sentence
):
    build().write(tmp_path)
    text = (tmp_path / "mock.toml").read_text()
    changed = re.sub(pattern, value, text, count=1)
    assert changed != text
    (tmp_path / "mock.toml").write_text(changed)
    with pytest.raises(ValueError, match=r"mock\.toml is damaged .*: make the mock again") as error:
        Mock.read(tmp_path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("box", [PERIODIC, CLOSED])
def test_a_wrong_boxsize_is_not_wrapped_away(box):
    positions, velocities, mass = galaxies(box=box)
    with pytest.raises(ValueError, match=r"of 4000 galaxies lie outside the (periodic|closed) box"):
        make_mock(positions * 1.2, box, config(), velocities=velocities, columns={"mass": mass})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"velocities": np.zeros(10)},
            "velocities must have one row for each of 4000 positions, not 10",
        ),
        (
            {"columns": {"mass": np.zeros(5000)}},
            "mass must have one row for each of 4000 positions, not 5000",
        ),
        (
            {"velocities": np.full(4000, np.nan)},
            "velocities hold values that are not finite: leave those rows out",
        ),
        (
            {"cfg": config(trim=(-50, 5000))},
            (
                "trim must be a range within the 200 Mpc/h of the line of sight that holds a cell, "
                "not -50 to 5000"
            ),
        ),
        (
            {"cfg": config(spec=Selection(density=1.0))},
            (
                "spec density 1 (h/Mpc)^3 is 8000000 galaxies of this box, and 4000 are there to "
                "choose from"
            ),
        ),
        (
            {"cfg": config(rank_by="light")},
            "the selection needs column light, and only ['mass'] are given",
        ),
        (
            {"cfg": config(spec=Selection(cuts=("mass over 3",)))},
            "a cut reads like mass>3.68e12 or mr<=-21, not 'mass over 3'",
        ),
        (
            {"cfg": config(spec=Selection(cuts=("mass>1e9",)))},
            "the spec sample is empty: no galaxy passes mass>1e9",
        ),
        (
            {"velocities": None},
            "redshift space needs velocities: give them, or choose real space",
        ),
        (
            {"columns": {"mass": np.full(4000, np.nan)}},
            (
                "column mass to rank by holds values that are not finite in 4000 of 4000 rows: "
                "leave those rows out"
            ),
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=r".") as caught:
        build(**arguments)
    assert str(caught.value) == message


def test_not_a_mock_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no mock\.toml"):
        Mock.read(tmp_path)


@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("spec", lambda ids, other: {"id": np.r_[10**9, ids[1:]]}, "the id 1000000000 in row 0"),
        ("spec", lambda ids, other: {"id": np.r_[np.setdiff1d(other, ids)[0], ids[1:]]}, "the id"),
        (
            "spec",
            lambda ids, other: {"id": np.r_[ids[1], ids[1:]]},
            "spec.parquet in .* holds repeated ids",
        ),
        ("photo", lambda ids, other: {"id": ids + 1}, "hold different galaxies: make the mock"),
        (
            "truth",
            lambda ids, other: {"x": np.full(len(ids), np.nan)},
            "truth.parquet in .* finite",
        ),
    ],
)
def test_a_mock_folder_whose_ids_were_changed_is_refused(tmp_path, disjoint, name, change, message):
    mock = build(cfg=config(disjoint=disjoint))
    mock.write(tmp_path)
    ids = mock.spec_ids if name == "spec" else mock.photo_ids
    changed = Catalog.read(tmp_path / f"{name}.parquet").with_columns(change(ids, mock.photo_ids))
    changed.write(tmp_path / f"{name}.parquet")
    if disjoint and "1000000000" in message:  # nobody else is there to be mistaken for
        assert Mock.read(tmp_path).surveys.num_both == 0
        return
    with pytest.raises(ValueError, match=message):
        Mock.read(tmp_path)
