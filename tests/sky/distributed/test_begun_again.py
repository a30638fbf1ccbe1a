"""A run that is replaced stays until the new one is whole; what patches note is kept."""

import json
import warnings

import numpy as np
import pytest
from tests.networks.made_weights import LOCAL as LIMITS
from tests.networks.made_weights import even_network, write_weights
from tests.sky.distributed.small_run import SURVEYS, SmallSky, begun, caller, two_shells

from truez.catalogs.catalog import Catalog
from truez.networks.widening import widened
from truez.sky.distributed import patch
from truez.sky.distributed.driver import finished, in_ranges, make_patches, missing_patches
from truez.sky.distributed.first_pass import settle
from truez.sky.distributed.join_catalog import CatalogJoin
from truez.sky.distributed.join_field import join_field
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.workers import OwnProcess, Where
from truez.sky.partition.stored import Partition
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.support import folders
from truez.support.notes import Note

ALL = range(6)


def contents(folder):
    """The files of a run, of records what does not depend on the machine."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.parent.name == "patches":
            data = {**json.loads(data), "seconds": 0, "memory": 0}
        found[str(path.relative_to(folder))] = data
    return found


@pytest.mark.slow
def test_a_run_stays_until_the_one_that_replaces_it_is_whole(sky, tmp_path):
    other = {"settings": {"floor": 0.1}}
    for folder, how in (("run", {}), ("new", other)):
        assert make_patches(begun(sky.partition, tmp_path / folder, **how), OwnProcess()) == []
    run, before = tmp_path / "run", contents(tmp_path / "run")
    again = begun(sky.partition, run, overwrite=True, **other)
    assert make_patches(again, OwnProcess(), [3, 1]) == []
    there = contents(run)
    assert {name: there.get(name) for name in before} == before
    stamp = again.folder.field(3).stat().st_mtime_ns
    with pytest.raises(ValueError, match="holds a run with other settings"):
        begun(sky.partition, run, **other)
    again = begun(sky.partition, run, overwrite=True, **other)
    assert make_patches(again, OwnProcess()) == []
    assert OpenRun.open(run).plan.settings == {}
    moved = finished(again)
    assert moved.folder.path == run
    assert moved.plan.settings == {"floor": 0.1}
    assert moved.folder.field(3).stat().st_mtime_ns == stamp
    assert contents(run) == contents(tmp_path / "new")
    assert finished(moved) is moved


def notes_of(caught):
    return [str(one.message) for one in caught if issubclass(one.category, Note)]


@pytest.mark.slow
def test_notes_of_patches_are_shown_once_with_their_numbers(sky, tmp_path, monkeypatch):
    surveys = patch.patch_surveys

    def noting(inputs, shared):
        for _ in range(2):
            warnings.warn("these are few galaxies", Note, stacklevel=1)
        if inputs.patch.number == 2:
            warnings.warn("this one is odd", Note, stacklevel=1)
        return surveys(inputs, shared)

    monkeypatch.setattr(patch, "patch_surveys", noting)
    run = begun(sky.partition, tmp_path / "run")
    few = "these are few galaxies"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_patches(run, OwnProcess(), [0, 1, 4])
    assert notes_of(caught) == [f"patches 0-1,4: {few}"]
    assert run.folder.read_record(4)["notes"] == [few]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_patches(run, OwnProcess())
    said = [f"patches 0-5: {few}", "patch 2: this one is odd"]
    assert notes_of(caught) == said
    assert in_ranges(range(0, 40, 2)) == "0,2,4,6,8,10,12,14,16,18 and 10 more"


#: What makes a worker note something.
NOTING = """
import warnings
from truez.sky.distributed import patch
from truez.support.notes import Note
surveys = patch.patch_surveys
def noting(inputs, shared):
    warnings.warn("made by a worker", Note)
    return surveys(inputs, shared)
patch.patch_surveys = noting
"""


@pytest.mark.medium
def test_what_workers_make_and_note_is_that_of_the_run(sky, tmp_path):
    pytest.importorskip("distributed")
    run = begun(sky.partition, tmp_path / "run", first_patches=1)
    folders.remember(tmp_path / "run/patches")  # as a command does before any work
    try:
        settle(run, OwnProcess())
        with Where(workers=1).pool() as pool:
            pool.client.run(exec, NOTING, {})
            with pytest.warns(Note, match="patches 0-5: made by a worker") as caught:
                assert make_patches(run, pool) == []
        assert len(notes_of(caught)) == 1
        assert missing_patches(run) == []
    finally:
        folders.release_locks()


@pytest.mark.slow
def test_a_run_of_two_shells_is_that_of_one_process(tmp_path):
    sky = two_shells(tmp_path)
    shells = sky.partition.patches.shells
    assert len(shells) == 2
    assert len(sky.partition) >= 4
    run = begun(sky.partition, tmp_path / "run", first_patches=100)
    assert make_patches(run, OwnProcess()) == []
    numbers = list(range(len(run.partition)))
    join_field(run, tmp_path / "field.h5", numbers)
    CatalogJoin(run, numbers).write(tmp_path / "redshifts.parquet")
    whole = reconstruct(sky.whole, "redistribution", patches=sky.partition.patches)
    joined = type(whole).read(tmp_path / "field.h5")
    for ours, theirs in zip(joined, whole, strict=True):
        assert (ours.box, ours.near, ours.far, ours.pairs) == (
            theirs.box, theirs.near, theirs.far, theirs.pairs
        )  # fmt: skip
        # Spectra of galaxies whose photo-z is in another box are not painted at the ends of a box.
        chi = ours.box.centers(2)
        inside = (chi >= ours.near) & (chi < ours.far)
        assert 10 < inside.sum() < len(chi) - 10
        for name in ("delta", "sigma", "intensity"):
            one, other = (getattr(field, name).numpy()[..., inside] for field in (ours, theirs))
            assert np.array_equal(one, other, equal_nan=True)
    about = [shell["linear_model"] for shell in joined.metadata["shells"]]
    assert about[0] != about[1]
    assert about == [shell["linear_model"] for shell in whole.metadata["shells"]]
    catalog, found = whole.redshifts(), Catalog.read(tmp_path / "redshifts.parquet")
    assert np.array_equal(found["flag"], catalog["flag"])
    # Matches of galaxies beyond the map are not looked for.
    beyond = catalog["spec_matched"] & ~found["spec_matched"]
    assert set(catalog["flag"][beyond]) <= {2}
    known = np.isfinite(catalog["z_mean"]) & ~beyond
    assert known.mean() > 0.8
    assert np.array_equal(np.isfinite(found["z_mean"]), known)
    differs = found["z_mean"][known] != catalog["z_mean"][known]
    assert differs.mean() < 0.25  # galaxies in cells that a seam cuts
    error = (found["z_mean"] - catalog["z_mean"])[known] / np.median(catalog["z_std"][known])
    assert np.sqrt(np.mean(error**2)) < 0.005


@pytest.fixture
def truez(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return caller(capsys)


def weights(path, strength=0.3):
    """Weights of a network that serves the small sky."""
    limits = {"cellsize": (1.5, 12.0), "along": (1.5, 12.0)}
    return write_weights(path, widened(even_network(strength)), LIMITS, **limits)


@pytest.mark.slow
def test_columns_with_weights_go_on_and_refuse_others(truez, tmp_path):
    sky = SmallSky(tmp_path, settings=PatchSettings(cellsize=10, widest=7, halo=62))
    assert len(Partition.open(sky.partition.folder)) == 2
    file = weights(tmp_path / "net.safetensors")
    whole = reconstruct(sky.whole, "columns", patches=sky.partition.patches, weights=file)
    command = ["run", "divided", *SURVEYS, "--method", "columns", "--weights", "net.safetensors"]
    assert truez(*command, "--plan", "run")[0] == 0
    assert truez("run-patch", "run", "1")[0] == 0
    kept = file.read_bytes()
    weights(file, 0.4)
    code, _, err = truez("run-patch", "run", "0")
    assert code == 2
    assert f"truez: {file} holds other weights than when the run " in err
    assert err.count("truez: ") == 1
    code, _, err = truez(*command, "--out", "run")
    assert code == 2
    assert "holds a run with other weights of the network: give another folder, or --ov" in err
    file.write_bytes(kept)
    code, _, err = truez(*command, "--out", "run")
    assert code == 0, err
    field = tmp_path / "field.h5"
    assert truez("join", "run", "--field", field)[0] == 0
    for ours, theirs in zip(type(whole).read(field), whole, strict=True):
        for name in ("delta", "sigma", "intensity"):
            one, other = (getattr(made, name).numpy() for made in (ours, theirs))
            assert np.array_equal(one, other, equal_nan=True)
