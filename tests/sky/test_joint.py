"""Draws on the sky with fluctuations, which the galaxies of one group share."""

from dataclasses import replace

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, surveys_of

from truez.sightlines.fluctuations import Fluctuations
from truez.sky.drawn import PatchPainter
from truez.sky.joint import SkyDraws, memory_of_draws, own_patches, patch_fluctuations
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct, sharpen
from truez.sky.registry import METHODS
from truez.sky.result import SkyReconstruction
from truez.sky.samples_file import StoredSkySamples

CELLS = PatchSettings(cellsize=8.0, widest=7.0)
K = (0.02, 0.1, 0.2, 0.4)
#: As strong as the field itself on cells of 8 Mpc/h, less so along the line of sight.
SHARED = Fluctuations(
    k=K, power=tuple(tuple(900 / (1 + (a / 0.4) ** 2 + (b / 0.2) ** 2) for b in K) for a in K)
)


def with_fluctuations(result, *tables):
    """The reconstruction with a table in each of its shells; None for a shell without."""
    shells = []
    for shell, table in zip(result.metadata["shells"], tables, strict=True):
        others = {name: value for name, value in shell.items() if name != "fluctuations"}
        more = {} if table is None else {"fluctuations": table.to_metadata()}
        shells.append({**others, **more})
    return replace(result, metadata={**result.metadata, "shells": shells})


@pytest.fixture(scope="module")
def surveys():
    return surveys_of(light_cone(density=0.01))


@pytest.fixture(scope="module")
def alone(surveys):
    """Of one shell in two patches; without fluctuations."""
    found = reconstruct(surveys, "redistribution", patches=CELLS)
    assert len(found) > 1
    assert len(found.metadata["shells"]) == 1
    return with_fluctuations(found, None)


@pytest.fixture(scope="module")
def joint(alone):
    return with_fluctuations(alone, SHARED)


def scatter_of_counts(result, samples):
    """Variance of the counts of cells between samples, over the galaxies of unknown redshift."""
    counts = np.array(
        [
            np.concatenate(
                [
                    (sample.mesh(number, "delta") * outline.expected)[outline.core].ravel()
                    for number, outline in enumerate(result.layout.outlines)
                ]
            )
            for sample in samples
        ]
    )
    return counts.var(axis=0, ddof=1).sum() / result.surveys.unknown.sum()


def test_galaxies_of_one_group_move_together(alone, joint):
    one, together = (scatter_of_counts(found, found.samples(6, seed=1)) for found in (alone, joint))
    assert one < 1  # of independent galaxies it is below that of a Poisson process
    assert together > 1.2 * one


def test_galaxies_keep_their_posteriors(alone, joint, surveys):
    """The mean and the scatter of many draws, averaged over the galaxies."""
    found = alone.redshifts()
    rows = surveys.unknown & np.isfinite(found["z_mean"]) & (found["flag"] == 0)
    drawn = joint.draws(24, seed=2)[:, rows]
    away = (drawn.mean(0) - found["z_mean"][rows]) / found["z_std"][rows]
    assert abs(away.mean()) < 0.05
    ratio = drawn.var(axis=0, ddof=1).mean() / (found["z_std"][rows] ** 2).mean()
    assert ratio == pytest.approx(1, abs=0.06)


def test_draws_depend_on_seed_and_number_alone(joint, monkeypatch):
    whole = joint.draws(5, seed=3)
    assert not np.array_equal(whole[0], whole[1], equal_nan=True)
    for turn in (1, 2):
        monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", turn)
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(turn))
        np.testing.assert_array_equal(joint.draws(5, seed=3), whole)


def test_samples_go_on_where_they_ended(joint, monkeypatch):
    whole = [[s.mesh(n, "delta") for n in range(len(joint))] for s in joint.samples(3, seed=4)]
    monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", 1)
    (last,) = joint.samples(1, seed=4, first=2)
    for number, delta in enumerate(whole[2]):
        np.testing.assert_array_equal(last.mesh(number, "delta"), delta)


def test_samples_show_the_catalogue_of_draws_in_every_patch(joint, surveys, tmp_path):
    """One redshift of a galaxy, also in patches whose neighbours hold it."""
    joint.write(tmp_path / "field.h5", samples=2, seed=5)
    z = joint.draws(2, seed=5)
    read = SkyReconstruction.read(tmp_path / "field.h5", surveys)
    assert read.fluctuations == joint.fluctuations == (SHARED,) * len(joint)
    np.testing.assert_array_equal(read.draws(2, seed=5), z)
    for index, sample in enumerate(StoredSkySamples(tmp_path / "field.h5")):
        for number, outline in enumerate(joint.layout.outlines):
            painter = PatchPainter(surveys, outline)
            delta = painter.delta(z[index].astype(np.float32))
            np.testing.assert_array_equal(sample.mesh(number, "delta"), delta)


def test_the_field_of_a_patch_is_its_own(joint, surveys):
    """Neighbours share nothing, and a patch is drawn as it is without them."""
    patch_of = own_patches(surveys, joint.layout)
    found = {}
    for part in (0, 1):
        data = PatchData(surveys, joint.layout.outlines[0].box)
        draws = SkyDraws(surveys, seed=6, numbers=range(1))
        (turn,) = draws.in_patch(data, joint.intensity(0), SHARED, part=part)
        found[part] = turn.joint.exponents[0]
    one, two = found[0].ravel(), found[1].ravel()
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    some = np.flatnonzero((patch_of == 0) & surveys.unknown)
    # A reconstruction of the first patch alone draws its galaxies as the whole one does.
    first = replace(joint, patches=[joint.patches[0]])
    mine = np.isin(np.arange(len(patch_of)), some) & (own_patches(surveys, first.layout) == 0)
    np.testing.assert_array_equal(first.draws(1, seed=6)[0, mine], joint.draws(1, seed=6)[0, mine])


def test_each_shell_has_its_own(alone):
    one = alone.layout.outlines[0]
    halves = [replace(one, far=550.0), replace(one, near=550.0)]
    metadata = {"shells": [
        {"near": one.near, "far": 550.0},
        {"near": 550.0, "far": one.far, "fluctuations": SHARED.to_metadata()},
    ]}  # fmt: skip
    assert patch_fluctuations(metadata, halves) == (None, SHARED)
    assert patch_fluctuations({}, halves) == (None, None)


@pytest.mark.parametrize(
    ("shells", "words"),
    [
        ([{"near": 1.0}], "shells of the metadata must be those of a reconstruction"),
        (7, "shells of the metadata must be those of a reconstruction"),
        ([3], "shells of the metadata must be those of a reconstruction"),
        ([{"near": 1.0, "far": 2.0, "fluctuations": {"k": [1]}}], "fluctuations of the metadata"),
    ],
)
def test_what_is_no_table_is_refused(alone, shells, words):
    with pytest.raises(ValueError, match=words):
        replace(alone, metadata={**alone.metadata, "shells": shells}).draws(1, seed=1)


@pytest.mark.medium
def test_methods_hand_them_on(surveys, joint, tmp_path, monkeypatch):
    """What a method finds is drawn from at once, and is in the metadata."""

    def found(method, model):
        assert (method, model.n_photo) == ("redistribution", model.n_spec)  # of one field
        return {"fluctuations": SHARED.to_metadata()}

    monkeypatch.setattr("truez.sky.methods.fluctuations_metadata", found)
    wanted = joint.draws(6, seed=7)
    made = sharpen(surveys, "redistribution", patches=CELLS, draws=6, seed=7)
    np.testing.assert_array_equal(made.draws, wanted)
    plain = joint.redshifts()
    for name in ("z_mean", "z_std", "z_lo", "flag"):
        np.testing.assert_array_equal(made.catalog[name], plain[name])
    path = tmp_path / "field.h5"
    written = reconstruct(surveys, "redistribution", patches=CELLS, path=path, samples=1, seed=7)
    assert written.fluctuations == joint.fluctuations
    (sample,) = joint.samples(1, seed=7)
    for number in range(len(joint)):
        stored = StoredSkySamples(path)[0].mesh(number, "delta")
        np.testing.assert_array_equal(stored, sample.mesh(number, "delta"))


def test_memory_is_a_mesh_for_each_sample_drawn_at_once(alone, surveys):
    box = alone.layout.outlines[0].box
    one, four, many = (memory_of_draws(box, num) for num in (1, 4, 100))
    assert four - one == 3 * 4 * box.num_cells
    assert many == four
    method, patch = METHODS["redistribution"], plan(surveys, CELLS, method="redistribution")[0]
    settings = method.settings()
    without = method.memory(patch, settings)
    assert without <= method.memory(patch, settings, 1) <= method.memory(patch, settings, 4)
    assert method.memory(patch, settings, 4) < 1.2 * without
