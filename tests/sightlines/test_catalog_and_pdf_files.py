"""Files of sharpened redshifts: the catalogue in chunks, and p(z) for qp."""

import dataclasses
import errno
import math
import resource
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.reconstruct import estimate
from truez.sightlines.catalog import write_sharpened
from truez.sightlines.pdf_file import grid_edges, pdf_file, redshift_from_place
from truez.sightlines.sharpened import posteriors, sharpen, sharpen_chunks
from truez.simulate import lognormal_galaxies
from truez.support.spill import Spill
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.pdfs import Problem, read_ids, read_pdfs
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

NAMES = ("mean", "mode", "std", "lower", "upper", "information")


def surveys_of(periodic: bool, *, num: int = 3000, lost: bool = False) -> Surveys:
    """Galaxies of a few columns; every fifth has a spectrum."""
    box = Box((40, 60, 256), (4, 6, 64), boxcenter=(20, 30, 500), periodic=periodic)
    rng = np.random.default_rng(2)
    error = PhotozError(20.0)
    true = rng.uniform(box.lower, box.upper, (num, 3))
    photo = true.copy()
    photo[:, 2] = error.scatter(true[:, 2], box, rng)
    matched = np.sort(rng.permutation(num)[: num // 5])
    if lost:
        photo[np.setdiff1d(np.arange(num), matched)[:7], 2] = box.upper[2] + 119
    return Surveys(
        photo=photo, spec=true[matched], box=box, error=error, num_both=len(matched),
        cosmology=COSMOLOGIES["wmap"], redshift=0.5, matched=matched,
    )  # fmt: skip


def intensity_of(surveys: Surveys) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(surveys.box.meshsize, generator=generator) ** 2 + 0.05


@pytest.fixture(params=[True, False], ids=["ring", "closed"])
def surveys(request):
    return surveys_of(request.param, lost=not request.param)


# --- chunks


@pytest.mark.parametrize("rows", [1, 100, 1024, 2999, 3000, 10_000])
def test_chunks_are_the_whole_to_the_last_bit(surveys, rows, monkeypatch):
    monkeypatch.setattr("truez.sightlines.own_place.BLOCK_CELLS", 64 * 700)
    intensity = intensity_of(surveys)
    whole = sharpen(surveys, intensity, interval=0.5)
    chunks = list(sharpen_chunks(surveys, intensity, interval=0.5, chunk_rows=rows))
    assert [c.rows for c in chunks] == [
        slice(first, min(first + rows, 3000)) for first in range(0, 3000, rows)
    ]
    for name in NAMES:
        parts = [getattr(chunk.sharpened, name) for chunk in chunks]
        assert np.concatenate(parts).tobytes() == getattr(whole, name).tobytes()
    assert np.isnan(whole.mean).sum() == (0 if surveys.box.periodic else 7)
    assert chunks[0].probability is None


def test_chunks_hold_the_posteriors(surveys):
    intensity = intensity_of(surveys)
    _, expected = posteriors(surveys, intensity, np.arange(3000))
    chunks = list(sharpen_chunks(surveys, intensity, chunk_rows=777, spill=Spill()))
    found = np.concatenate([chunk.probability for chunk in chunks])
    np.testing.assert_array_equal(found, expected)


# --- p(z)


def written(surveys: Surveys, path, rows: int = 500) -> None:
    intensity = intensity_of(surveys)
    names = np.array([f"gal-{row}" for row in range(len(surveys.photo))])
    with pdf_file(path, surveys, {"made": "by hand"}) as file:
        for chunk in sharpen_chunks(surveys, intensity, chunk_rows=rows, spill=Spill()):
            file.append(chunk, {"name": names[chunk.rows]}, text_lengths={"name": 8})


def test_redshift_is_linear_along_the_box_as_the_error_is(surveys):
    cosmology, center = surveys.cosmology, surveys.box.boxcenter[2]
    assert redshift_from_place(center, surveys) == 0.5
    sigma = cosmology.distance_error(0.02, 0.5)
    assert redshift_from_place(center + sigma, surveys) == pytest.approx(0.52, rel=1e-12)
    # To first order it is the redshift of that distance.
    near = cosmology.comoving_distance(0.5) + np.array([-1.0, 1.0])
    exact = cosmology.redshift_from_distance(near)
    np.testing.assert_allclose(redshift_from_place(center + np.array([-1, 1]), surveys), exact,
                               atol=1e-7)  # fmt: skip


def test_one_grid_holds_every_posterior(surveys, tmp_path):
    written(surveys, tmp_path / "p.hdf5")
    intensity, box = intensity_of(surveys), surveys.box
    edges = grid_edges(surveys)
    np.testing.assert_allclose(np.diff(edges), 4)
    assert len(edges) == (2 * 64 if box.periodic else 65)
    if box.periodic:
        assert (edges[0], edges[-1]) == (box.lower[2] - 128, box.upper[2] + 124)
    with h5py.File(tmp_path / "p.hdf5") as file:
        pdfs, bins = file["data/pdfs"][:], file["meta/bins"][0]
    np.testing.assert_allclose(bins, redshift_from_place(edges, surveys), rtol=1e-14)
    rows = np.flatnonzero(surveys.photo_only())
    own, probability = posteriors(surveys, intensity, rows)
    width = bins[1] - bins[0]
    first = np.round((own[:, 0] - edges[0]) / 4).astype(int)
    for row, start, p in zip(rows, first, probability, strict=True):
        expected = np.zeros(len(bins) - 1)
        expected[start : start + 64] = p
        if np.isnan(p).any():
            expected[:] = np.nan
        np.testing.assert_allclose(pdfs[row] * width, expected, rtol=1e-5, atol=1e-30)


def test_moments_and_columns_agree(surveys, tmp_path):
    written(surveys, tmp_path / "p.hdf5")
    found = sharpen(surveys, intensity_of(surveys))
    scale = surveys.cosmology.distance_error(1, 0.5)
    with h5py.File(tmp_path / "p.hdf5") as file:
        pdfs, bins = file["data/pdfs"][:].astype(float), file["meta/bins"][0]
        ancil = {name: values[:] for name, values in file["ancil"].items()}
    good = surveys.photo_only() & np.isfinite(found.mean)
    width, centers = bins[1] - bins[0], (bins[1:] + bins[:-1]) / 2
    np.testing.assert_allclose(pdfs[good | ~surveys.photo_only()].sum(1) * width, 1, rtol=1e-5)
    mean = (pdfs * centers).sum(1) * width
    spread = (pdfs * (centers - mean[:, None]) ** 2).sum(1) * width + width**2 / 12
    np.testing.assert_allclose(ancil["z_mean"][good], mean[good], atol=1e-6)
    np.testing.assert_allclose(ancil["z_std"][good], np.sqrt(spread[good]), rtol=1e-4)
    np.testing.assert_allclose(ancil["z_std"], found.std / scale)
    np.testing.assert_allclose(ancil["z_mode"][good], centers[pdfs[good].argmax(1)], rtol=1e-12)
    for name, place in (("z_phot", surveys.photo[:, 2]), ("z_lo", found.lower),
                        ("z_hi", found.upper), ("z_mean", found.mean)):  # fmt: skip
        np.testing.assert_allclose(ancil[name], 0.5 + (place - 500) / scale, rtol=1e-12)
    np.testing.assert_array_equal(ancil["information_gain"], found.information)
    np.testing.assert_array_equal(ancil["spec_matched"], ~surveys.photo_only())
    assert ancil["name"][11] == b"gal-11"
    # A known redshift is in the bin that holds it.
    known = np.flatnonzero(~surveys.photo_only())
    bin_of = np.searchsorted(bins, ancil["z_mean"][known], side="right") - 1
    np.testing.assert_allclose(pdfs[known, bin_of] * width, 1, rtol=1e-6)
    np.testing.assert_array_equal(ancil["z_mode"][known], ancil["z_mean"][known])
    # On a ring the peak is around the photo-z, within half a turn.
    if surveys.box.periodic:
        assert np.abs(ancil["z_mode"] - ancil["z_phot"])[good].max() * scale <= 130


def test_a_known_redshift_on_the_upper_face(tmp_path):
    surveys = surveys_of(False)
    spec = surveys.spec.copy()
    spec[0, 2] = surveys.box.upper[2]
    surveys = dataclasses.replace(surveys, spec=spec)
    written(surveys, tmp_path / "p.hdf5")
    with h5py.File(tmp_path / "p.hdf5") as file:
        assert file["data/pdfs"][surveys.matched[0]].argmax() == 63


def test_a_sample_cut_in_photo_z_has_bins_beyond_the_faces(tmp_path):
    surveys = surveys_of(False)
    inside = surveys.photo_inside()
    surveys = dataclasses.replace(
        surveys, photo=surveys.photo[inside], matched=None, num_both=0, photo_bounds="photo-z"
    )
    edges = grid_edges(surveys)
    assert edges[0] == surveys.box.lower[2] - 4 * math.ceil(5.7 * 20 / 4)
    written(surveys, tmp_path / "p.hdf5")
    with h5py.File(tmp_path / "p.hdf5") as file:
        assert file["data/pdfs"].shape == (len(surveys.photo), len(edges) - 1)
        assert "spec_matched" not in file["ancil"]


def test_truez_reads_it(surveys, tmp_path):
    written(surveys, tmp_path / "p.hdf5")
    table = read_pdfs(tmp_path / "p.hdf5")
    with h5py.File(tmp_path / "p.hdf5") as file:
        found = {name: file["ancil"][name][:] for name in ("z_mean", "z_std")}
    lost = np.isnan(found["z_mean"])
    assert table.problems().counts == ({Problem.NOT_FINITE: lost.sum()} if lost.any() else {})
    mean, std = table.moments()
    photo = surveys.photo_only()
    np.testing.assert_allclose(mean[photo], found["z_mean"][photo], atol=1e-6)
    np.testing.assert_allclose(std[photo], found["z_std"][photo], rtol=1e-4)
    assert read_ids(tmp_path / "p.hdf5", "name")[11] == "gal-11"


@pytest.mark.filterwarnings("ignore:There are non-finite values:RuntimeWarning")
def test_qp_reads_it(surveys, tmp_path):
    qp = pytest.importorskip("qp")
    path = str(tmp_path / "p.hdf5")
    written(surveys, path)
    assert qp.is_qp_file(path)
    ensemble = qp.read(path)
    assert ensemble.metadata["pdf_name"][0] == b"hist"
    assert ensemble.npdf == qp.data_length(path) == 3000
    assert ensemble.ancil["name"][11] == "gal-11"
    with h5py.File(path) as file:
        pdfs, bins = file["data/pdfs"][:], file["meta/bins"][0]
    good = surveys.photo_only() & np.isfinite(ensemble.ancil["z_mean"])
    np.testing.assert_allclose(ensemble.objdata["pdfs"][good], pdfs[good], rtol=1e-5, atol=1e-30)
    centers = (bins[1:] + bins[:-1]) / 2
    np.testing.assert_allclose(ensemble.pdf(centers)[good], pdfs[good], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(ensemble.mean().ravel()[good], ensemble.ancil["z_mean"][good],
                               atol=1e-6)  # fmt: skip
    for share, name in ((0.16, "z_lo"), (0.84, "z_hi")):
        found = ensemble.ppf(share).ravel()
        np.testing.assert_allclose(found[good], ensemble.ancil[name][good], atol=2e-6)
    parts = list(qp.iterator(path, chunk_size=1000))
    assert [part[2].npdf for part in parts] == [1000, 1000, 1000]


def test_p_of_z_has_one_suffix(surveys, tmp_path):
    for name in ("p.h5", "p.fits", "p"):
        with pytest.raises(ValueError, match=r".") as caught:
            written(surveys, tmp_path / name)
        assert str(caught.value) == (
            f"a file of p(z) must end in .hdf5, for qp to read it, not be {tmp_path / name}"
        )
    assert list(tmp_path.iterdir()) == []


# --- the catalogue


@pytest.fixture(scope="module")
def mock_folder(tmp_path_factory):
    cosmology = COSMOLOGIES["wmap"]
    box = Box((96, 96, 128), (24, 24, 32))
    galaxies = lognormal_galaxies(box, cosmology, redshift=0.59, density=1e-2, bias=1.2, seed=3)
    config = MockConfig(
        redshift=0.59, cosmology=cosmology, sigma_z=0.005, rank_by="mass",
        spec=Selection(density=1e-3), redshift_space=False,
    )  # fmt: skip
    mock = make_mock(galaxies.positions, box, config, columns={"mass": galaxies.mass})
    folder = tmp_path_factory.mktemp("mock")
    mock.write(folder)
    # Columns of every kind, as a survey has them.
    photo = Catalog.read(folder / "photo.parquet")
    rng = np.random.default_rng(0)
    n = len(photo)
    extra = {
        "name": np.array(["g" * (1 + row * 20 // n) for row in range(n)]),
        "flag": rng.random(n) < 0.5,
        "tile": rng.integers(0, 99, n).astype(np.int16),
        "mag": rng.normal(size=n).astype(np.float32),
    }
    longer = photo.with_columns(extra, {"mag": "mag"})
    Catalog(longer.columns, longer.units, {**photo.metadata, "survey": "S"}).write(
        folder / "photo.parquet"
    )
    return folder


@pytest.fixture(scope="module")
def sharp(mock_folder):
    surveys = Mock.read(mock_folder).surveys
    return surveys, estimate(surveys, "redistribution").intensity


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".h5", ".asdf", ".ecsv"])
@pytest.mark.parametrize("values", [2**23, 2**14])
def test_columns_units_types_and_metadata_are_kept(mock_folder, sharp, tmp_path, suffix, values,
                                                   monkeypatch):  # fmt: skip
    monkeypatch.setattr("truez.sightlines.catalog.CHUNK_VALUES", values)
    surveys, intensity = sharp
    photo = mock_folder / "photo.parquet"
    told = write_sharpened(
        tmp_path / f"c{suffix}", photo, surveys, intensity, metadata={"made": "so"}
    )
    before, after = Catalog.read(photo), Catalog.read(tmp_path / f"c{suffix}")
    for name, column in before.columns.items():
        np.testing.assert_array_equal(after[name], column)
        assert after[name].dtype == column.dtype
    assert after.metadata == {**before.metadata, "truez": {"made": "so"}}
    expected = sharpen(surveys, intensity)
    pairs = zip(("z_mean", "z_mode", "z_std", "z_lo", "z_hi", "information_gain"), NAMES,
                strict=True)  # fmt: skip
    for column, name in pairs:
        assert after[column].tobytes() == getattr(expected, name).tobytes()
    new = {"z_mean", "z_mode", "z_std", "z_lo", "z_hi", "information_gain", "spec_matched"}
    assert set(after.columns) == {*before.columns, *new}
    assert after.units["z_lo"] == "Mpc/h"
    assert {name: unit for name, unit in after.units.items() if name not in new} == before.units
    unknown = surveys.photo_only()
    assert told.num_galaxies == len(before)
    assert told.num_sharpened == unknown.sum()
    assert told.num_lost == 0
    assert told.median_error == pytest.approx(np.median(expected.std[unknown]), rel=1e-6)
    assert told.gain == pytest.approx(expected.information[unknown].mean(), rel=1e-9)


def broken_catalog(change):
    def write(folder):
        photo = Catalog.read(folder / "photo.parquet")
        change(photo).write(folder / "photo.parquet")

    return write


BROKEN = {
    "a column is there": (
        broken_catalog(lambda c: c.with_columns({"z_lo": c["z"]})),
        "{photo} has a column z_lo already: leave it out of that catalogue",
    ),
    "the match is there": (
        broken_catalog(lambda c: c.with_columns({"spec_matched": c["flag"]})),
        "{photo} has a column spec_matched already: leave it out of that catalogue",
    ),
    "rows were added": (
        broken_catalog(lambda c: c.select(np.arange(-1, len(c)))),
        "{photo} has other rows than the photometric sample of the surveys: has it changed?",
    ),
    "rows went": (
        broken_catalog(lambda c: c.select(np.arange(5, len(c)))),
        "{photo} has other rows than the photometric sample of the surveys: has it changed?",
    ),
    "no file": (lambda f: (f / "photo.parquet").unlink(), "there is no catalogue file {photo}"),
    "a file that was cut": (
        lambda f: (f / "photo.parquet").write_bytes(b"PAR1" + 400 * b"x"),
        "{photo} cannot be read as Parquet: ",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_input(mock_folder, sharp, tmp_path, spoil, message):
    shutil.copy(mock_folder / "photo.parquet", tmp_path)
    spoil(tmp_path)
    photo = tmp_path / "photo.parquet"
    with pytest.raises((ValueError, FileNotFoundError), match=r".") as caught:
        write_sharpened(tmp_path / "out.fits", photo, *sharp, pdf_out=tmp_path / "p.hdf5")
    assert str(caught.value).startswith(message.format(photo=photo))
    assert {path.name for path in tmp_path.iterdir()} <= {"photo.parquet"}


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".h5"])
@pytest.mark.parametrize("size", [60_000, 400_000])
def test_a_disk_that_fills_up_leaves_the_old_files(mock_folder, sharp, tmp_path, suffix, size,
                                                   monkeypatch):  # fmt: skip
    monkeypatch.setattr("truez.sightlines.catalog.CHUNK_VALUES", 2**14)
    out, pdf = tmp_path / f"out{suffix}", tmp_path / "p.hdf5"
    for path in (out, pdf):
        path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_sharpened(out, mock_folder / "photo.parquet", *sharp, pdf_out=pdf)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert out.read_bytes() == pdf.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


KILLED = """
import os, signal, sys
# Processes in the background are born deaf to it, where a shell has no job control.
signal.signal(signal.SIGINT, signal.default_int_handler)
import truez.catalogs.chunks
from truez.cli.app import main
before, seen = truez.catalogs.chunks._checked, []
def dying(chunks, layout):
    for chunk in before(chunks, layout):
        yield chunk
        seen.append(chunk)
        if len(seen) == 2:
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
truez.catalogs.chunks._checked = dying
import truez.sightlines.catalog
truez.sightlines.catalog.CHUNK_VALUES = 2**14
main(sys.argv[2:])
"""


@pytest.mark.medium
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_killed_while_it_writes(mock_folder, tmp_path, name):
    out, pdf = tmp_path / "out.fits", tmp_path / "p.hdf5"
    for path in (out, pdf):
        path.write_bytes(b"old")
    arguments = [
        "redshifts",
        mock_folder,
        "--method",
        "redistribution",
        "--out",
        out,
        "--pdf-out",
        pdf,
        "--overwrite",
    ]
    run = [sys.executable, "-c", KILLED, name, *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == (-signal.SIGKILL if name == "SIGKILL" else 130), done.stderr
    assert out.read_bytes() == pdf.read_bytes() == b"old"
    if name == "SIGINT":
        assert len(list(tmp_path.iterdir())) == 2


# --- the command


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_command_writes_both(mock_folder, tmp_path, capsys):
    out, pdf = tmp_path / "out.parquet", tmp_path / "p.hdf5"
    assert (
        run(
            "redshifts",
            mock_folder,
            "--method",
            "redistribution",
            "--out",
            out,
            "--pdf-out",
            pdf,
            "--interval",
            0.9,
        )
        == 0
    )
    assert f"{pdf}: p(z) of each galaxy, for qp" in capsys.readouterr().out
    catalog, surveys = Catalog.read(out), Mock.read(mock_folder).surveys
    with h5py.File(pdf) as file:
        ancil = file["ancil"]
        np.testing.assert_array_equal(ancil["id"], catalog["id"])
        for name in ("z_mean", "z_lo", "z_hi"):
            np.testing.assert_allclose(ancil[name], redshift_from_place(catalog[name], surveys))
        assert '"interval": 0.9' in file.attrs["metadata"]
    assert formats.header(out).metadata["truez"]["interval"] == 0.9
    # Both are there now.
    for missing in (out, pdf):
        missing.unlink()
        outputs = ("--out", out, "--pdf-out", pdf)
        assert run("redshifts", mock_folder, "--method", "redistribution", *outputs) == 2
        option = "--pdf-out" if missing == out else "--out"
        assert f"give another {option}, or --overwrite" in capsys.readouterr().err
        missing.write_bytes(b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pdf-out", "p.h5"), "a file of p(z) must end in .hdf5, for qp to read it, not be p.h5"),
        (
            ("--pdf-out", "p.hdf5", "--out", "./p.hdf5"),
            "--out and --pdf-out must be two files, not both p.hdf5",
        ),
    ],
)
def test_bad_commands(mock_folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run("redshifts", mock_folder, *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
