"""A box in patches: the same field and redshifts as of the whole box, and where they come from."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.linear.fit import fit_linear_model
from truez.mesh.field_file import read_extra
from truez.reconstruct.patch_store import SUFFIX, PatchStore
from truez.reconstruct.patched import PatchSides, reconstruct_in_patches, sharpen_in_patches
from truez.reconstruct.patches import first_patch, patches_of
from truez.reconstruct.settings import Shared
from truez.reconstruct.whole_box import (
    shared_from_json,
    shared_to_json,
    whole_model,
    whole_of,
)
from truez.sightlines.sharpened import sharpen
from truez.surveys.part import part_of

SIDES = PatchSides(128, margin=48)


@pytest.fixture(scope="module")
def mock():
    galaxies = truez.lognormal_galaxies(
        truez.Box((384, 128, 256), cellsize=8), "planck18", redshift=0.6, density=4e-3, bias=1.5,
        seed=1,
    )  # fmt: skip
    return galaxies.observe(spec_density=1e-3, sigma_z=0.008, cellsize=8, seed=2)


@pytest.fixture(scope="module")
def surveys(mock):
    return mock.surveys


def closed(surveys, bounds="photo-z"):
    """The same galaxies in a closed box, cut in photo-z at its faces."""
    sides = np.array(surveys.box.boxsize)
    box = truez.Box(sides, surveys.box.meshsize, periodic=False)
    photo, spec = (np.clip(x, 0, sides).astype(x.dtype) for x in (surveys.photo, surveys.spec))
    return replace(surveys, photo=photo, spec=spec, box=box, photo_bounds=bounds, metadata={})


@pytest.fixture(scope="module")
def whole(surveys):
    return truez.reconstruct(surveys, "redistribution")


@pytest.fixture(scope="module")
def patched(surveys, tmp_path_factory):
    path = tmp_path_factory.mktemp("patched") / "field.h5"
    return path, reconstruct_in_patches(surveys, "redistribution", path=path, patches=SIDES)


# Patches


@settings(max_examples=60, deadline=None)
@given(
    mesh=st.tuples(*[st.integers(8, 300)] * 2),
    cell=st.sampled_from([1.0, 2.0, 3.7]),
    side=st.floats(30, 900),
    margin=st.floats(1, 120),
    periodic=st.booleans(),
)
def test_cores_divide_the_sky_and_have_their_margins(mesh, cell, side, margin, periodic):
    box = truez.Box([n * cell for n in (*mesh, 5)], (*mesh, 5), periodic=periodic)
    covered = np.zeros(mesh, int)
    patches = patches_of(box, side, margin)
    for patch in patches:
        covered[patch.place] += 1
        for axis in (0, 1):
            cells, core = patch.box.meshsize[axis], patch.core[axis]
            assert patch.box.cellsize[axis] == pytest.approx(cell)
            assert patch.box.lower[axis] == pytest.approx(patch.first[axis] * cell, abs=1e-6)
            if cells == mesh[axis]:
                continue
            assert 0 < (core.stop - core.start) * cell <= max(side, 8 * cell) * 1.5
            low, high = core.start * cell, (cells - core.stop) * cell
            at_faces = patch.start[axis] == 0, patch.stop[axis] == mesh[axis]
            for room, at_face in zip((low, high), at_faces, strict=True):
                assert room >= margin * (1 - 1e-9) or (at_face and not periodic) or not periodic
            if not periodic:
                assert patch.first[axis] >= 0
                assert patch.first[axis] + cells <= mesh[axis]
        assert patch.box.meshsize[2] == 5
        assert patch.box.periodic == periodic
    assert (covered == 1).all()
    assert first_patch(patches) in patches


def test_a_patch_of_fewer_than_eight_cells_is_refused():
    with pytest.raises(ValueError, match="patch of 30 Mpc/h is fewer than 8 cells of 4 Mpc/h"):
        patches_of(truez.Box(512, cellsize=4), 30)


# Parts


@pytest.mark.parametrize("periodic", [True, False])
def test_a_part_holds_the_galaxies_of_its_box(surveys, periodic):
    given_ = surveys if periodic else closed(surveys)
    whole, patches = whole_of(given_), patches_of(given_.box, 128, 48)
    seen = np.zeros(len(given_.photo), int)
    for patch in patches:
        part, rows = part_of(given_, patch.box, whole)
        assert part.densities == given_.densities
        assert part.known_share == given_.known_share
        lower, side = np.array(patch.box.lower), np.array(given_.box.boxsize)
        away = (given_.photo - lower) % side if periodic else given_.photo - lower
        inside = ((away >= 0) & (away < patch.box.boxsize))[:, :2].all(axis=1)
        assert abs(int(inside.sum()) - len(rows)) <= 2  # rounding at a face
        shifted = (part.photo - given_.photo[rows]) / side
        assert np.abs(shifted - np.rint(shifted)).max() < 1e-6
        # Matches name the same galaxies.
        has = part.matched >= 0
        assert int(has.sum()) == part.num_both
        ours = rows[part.matched[has]]
        np.testing.assert_allclose(
            part.spec[has][:, :2], part.photo[part.matched[has]][:, :2], atol=1e-3
        )
        assert np.isin(ours, given_.matched).all()
        seen[rows] += 1
    assert (seen >= 1).all()


def test_a_part_expects_as_many_galaxies_as_the_whole(surveys):
    whole = whole_of(surveys)
    patch = patches_of(surveys.box, 128, 48)[1]
    part, _ = part_of(surveys, patch.box, whole)
    for name in ("spec_expected", "true_expected", "photo_expected"):
        ours, theirs = (float(getattr(x, name)().values[0, 0, 0]) for x in (part, surveys))
        assert ours == pytest.approx(theirs, rel=1e-6)
    # Its mean overdensity is what it is.
    counts = len(part.spec) / (part.densities[0] * part.box.volume)
    assert part.spec_field().numpy().mean() == pytest.approx(counts - 1, abs=1e-5)


# What is shared


def test_the_linear_model_is_that_of_the_whole_box(surveys, tmp_path):
    model = whole_model(surveys, tmp_path / "x")
    wanted = fit_linear_model(
        spec=surveys.spec_field(), photo=surveys.photo_field(), surveys=surveys
    )
    for name in ("log_spec", "log_cross", "log_photo"):
        np.testing.assert_allclose(getattr(model, name), getattr(wanted, name), atol=1e-5)
    assert model.photo_noise == pytest.approx(wanted.photo_noise, rel=1e-6)
    assert not list(tmp_path.iterdir())
    again = shared_from_json(shared_to_json(Shared(model, {"pairs": None})))
    assert again == Shared(model, {"pairs": None})


def test_the_filter_of_a_part_keeps_its_mean(surveys):
    model = fit_linear_model(
        spec=surveys.spec_field(), photo=surveys.photo_field(), surveys=surveys
    )
    spec, photo = (field.to_delta() for field in (surveys.spec_counts(), surveys.photo_counts()))
    higher = truez.Field(spec.values + 0.1, spec.box)
    plain, part = (
        model.wiener(spec=higher, photo=photo, use="spec", part=part).values
        for part in (False, True)
    )
    k = torch.tensor([1e-4], dtype=torch.float64)
    weight = float(model.spectra(k, 0 * k).weights("spec")[0])
    assert float(plain.mean()) == pytest.approx(0, abs=1e-6)
    assert float(part.mean()) == pytest.approx(0.1 * weight, rel=0.01)


# The field


def test_the_field_is_that_of_the_whole_box(patched, whole):
    path, about = patched
    found, wanted = truez.Field.read(path), whole.delta
    assert found.box == wanted.box
    assert found.resampler == "cic"
    away = found.numpy() - wanted.numpy()
    assert away.std() < 0.01 * wanted.numpy().std()
    # No more of it at the seams than elsewhere, which are at 128 and 256 Mpc/h.
    rows = np.sqrt((away**2).mean(axis=(1, 2)))
    seams = [15, 16, 31, 32]
    assert rows[seams].max() < 0.01 * wanted.numpy().std()
    seam = np.abs(np.fft.rfft(away.mean(axis=(1, 2))))[3] / len(away)
    assert seam < 2e-3 * wanted.numpy().std()
    extra = read_extra(path, ("sigma", "intensity"))
    assert extra["intensity"].shape == tuple(whole.intensity.shape)
    np.testing.assert_allclose(extra["sigma"], whole.sigma.numpy(), rtol=0.1)
    assert about["patches"] == {"number": 3, "side": 128, "margin": 48}
    for name in ("num_matched", "num_photo_outside", "method"):
        assert about[name] == whole.metadata[name]
    for name in ("sigma_given_intensity", "floor_fraction"):
        if name in whole.metadata:
            assert about[name] == pytest.approx(whole.metadata[name], rel=0.02, abs=1e-4)
    assert not PatchStore.beside(path).folder.exists()


@pytest.mark.parametrize("method", ["wiener", "wiener-spec"])
def test_a_linear_field_is_that_of_the_whole_box(surveys, tmp_path, method):
    path = tmp_path / "field.h5"
    reconstruct_in_patches(surveys, method, path=path, patches=SIDES)
    wanted = truez.reconstruct(surveys, method).delta.numpy()
    assert (truez.Field.read(path).numpy() - wanted).std() < 0.01 * wanted.std()


def test_a_closed_box(surveys, tmp_path):
    given_ = closed(surveys)
    path = tmp_path / "field.h5"
    reconstruct_in_patches(given_, "redistribution", path=path, patches=SIDES)
    wanted = truez.reconstruct(given_, "redistribution").delta.numpy()
    assert (truez.Field.read(path).numpy() - wanted).std() < 0.01 * wanted.std()


class StoppedError(Exception):
    pass


def stop_at(number):
    def progress(task, done, total, note=""):
        if (task, done) == ("patches", number):
            raise StoppedError

    return progress


def test_a_run_that_was_stopped_goes_on_and_order_does_not_matter(
    surveys, patched, tmp_path, monkeypatch
):
    path = tmp_path / "field.h5"
    how = {"path": path, "patches": SIDES}
    with pytest.raises(StoppedError):
        reconstruct_in_patches(surveys, "redistribution", progress=stop_at(1), **how)
    store = PatchStore.beside(path)
    assert sum(store.has(number) for number in range(3)) == 1
    assert not path.exists()
    with pytest.raises(ValueError, match=r"holds patches of another run \(method = "):
        reconstruct_in_patches(surveys, "wiener", **how)
    with pytest.raises(ValueError, match=r"holds patches of another run \(galaxies = "):
        moved = replace(surveys, photo=surveys.photo[::-1].copy(), matched=None)
        reconstruct_in_patches(moved, "redistribution", **how)
    # The others in the opposite order.
    module = sys.modules["truez.reconstruct.patched"]
    monkeypatch.setattr(module, "patches_of", lambda *given_: list(reversed(patches_of(*given_))))
    about = reconstruct_in_patches(surveys, "redistribution", **how)
    assert np.array_equal(truez.Field.read(path).numpy(), truez.Field.read(patched[0]).numpy())
    for name in ("sigma", "intensity"):
        ours, theirs = (read_extra(one, [name])[name] for one in (path, patched[0]))
        assert np.array_equal(ours, theirs)
    assert about["pairs"] == patched[1]["pairs"]


def test_a_damaged_patch_is_named(surveys, tmp_path):
    path = tmp_path / "field.h5"
    with pytest.raises(StoppedError):
        reconstruct_in_patches(
            surveys, "wiener-spec", path=path, patches=SIDES, progress=stop_at(1)
        )
    folder = PatchStore.beside(path).folder
    file = next(iter(folder.glob("*.h5")))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged: remove it, and run"):
        reconstruct_in_patches(surveys, "wiener-spec", path=path, patches=SIDES)
    file.unlink()
    (folder / "notes.txt").write_text("mine")
    reconstruct_in_patches(surveys, "wiener-spec", path=path, patches=SIDES)
    assert [one.name for one in folder.iterdir()] == ["notes.txt"]


def test_files_of_others_are_left_alone(surveys, tmp_path):
    path = tmp_path / "field.h5"
    other = tmp_path / f"field.h5{SUFFIX}" / "notes.txt"
    other.parent.mkdir()
    other.write_text("mine")
    with pytest.raises(ValueError, match="was not written by truez"):
        reconstruct_in_patches(surveys, "wiener", path=path, patches=SIDES)
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "method", "sentence"),
    [
        ({}, "dual-unet", "method dual-unet is not for a box in patches: choose one of"),
        ({}, "columns-median", "method columns-median is not for a box in patches"),
        (
            {"photo_sigma": True},
            "redistribution",
            "patch is for even surveys, and these have ",
        ),
    ],
)
def test_what_patches_are_not_for(surveys, tmp_path, change, method, sentence):
    if change:
        sigma = np.linspace(5, 20, len(surveys.photo))
        surveys = replace(surveys, photo_sigma=sigma, metadata={})
    with pytest.raises(ValueError, match=sentence):
        reconstruct_in_patches(surveys, method, path=tmp_path / "f.h5", patches=SIDES)
    assert not list(tmp_path.iterdir())


# Redshifts


def test_redshifts_are_those_of_the_whole_box(surveys, whole, tmp_path):
    joined, about, store = sharpen_in_patches(
        surveys, "redistribution", path=tmp_path / "z.parquet", patches=SIDES
    )
    chunks = list(joined.chunks(5000))
    assert [chunk.rows.start for chunk in chunks] == list(range(0, len(surveys.photo), 5000))
    wanted = sharpen(surveys, whole)
    unknown = surveys.photo_only()
    width = wanted.std[unknown].mean()
    for name in ("mean", "std", "lower", "upper"):
        found = np.concatenate([getattr(chunk.sharpened, name) for chunk in chunks])
        away = (found - getattr(wanted, name))[unknown]
        assert np.sqrt(np.mean(away**2)) < 0.02 * width, name
        known = ~unknown
        np.testing.assert_array_equal(found[known], getattr(wanted, name)[known])
    assert about["method"] == "redistribution"
    store.remove()


# The commands


@pytest.fixture(scope="module")
def folder(mock, tmp_path_factory):
    place = tmp_path_factory.mktemp("mock") / "mock"
    mock.write(place)
    return place


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_commands_with_patches(folder, surveys, patched, tmp_path, capsys):
    how = ("--method", "redistribution", "--patch", 128, "--margin", 48)
    field, catalog = tmp_path / "field.h5", tmp_path / "z.parquet"
    assert not run("reconstruct", folder, *how, "--out", field), capsys.readouterr().err
    assert "in 3 patches of at most 128 Mpc/h with margins of 48 Mpc/h" in capsys.readouterr().out
    assert np.array_equal(truez.Field.read(field).numpy(), truez.Field.read(patched[0]).numpy())
    assert not run("redshifts", folder, *how, "--out", catalog), capsys.readouterr().err
    ours, photo = Catalog.read(catalog), Catalog.read(folder / "photo.parquet")
    assert len(ours) == len(surveys.photo)
    for name in photo.columns:
        assert np.array_equal(ours[name], photo[name])
    assert np.isfinite(ours["z_mean"]).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["field.h5", "z.parquet"]


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("reconstruct", ["--margin", "48"], "only with --patch SIDE: leave out --margin"),
        ("reconstruct", ["--patch", "128", "--samples", "2"], "--samples is not for a box in"),
        ("reconstruct", ["--patch", "40", "--method", "wiener"], "--patch of 40 Mpc/h is fewer"),
        (
            "reconstruct",
            ["--patch", "128", "--method", "dual-unet", "--weights", "x"],
            "no weights file x",
        ),
        (
            "reconstruct",
            ["--patch", "128", "--method", "redistribution-median"],
            "--method redistribution-median is not for a box in patches",
        ),
        ("redshifts", ["--patch", "128", "--draws", "2"], "--draws is not for a box in patches"),
    ],
)
def test_commands_refuse(folder, tmp_path, capsys, command, options, sentence):
    out = tmp_path / ("f.h5" if command == "reconstruct" else "z.parquet")
    assert run(command, folder, *options, "--out", out) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
