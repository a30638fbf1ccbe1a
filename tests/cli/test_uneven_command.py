"""``truez reconstruct`` and ``redshifts`` with uneven surveys and cuts, in boxes and skies."""

import shlex

import numpy as np
import pytest
import torch
from tests.reconstruct.uneven_box import CELL, SIZE, uneven_surveys, visibility
from tests.sky.light_cone import light_cone, tables

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.reconstruct import Reconstruction


@pytest.fixture(scope="module")
def truth():
    return uneven_surveys(periodic=False, own=True, density=0.006)


@pytest.fixture(scope="module")
def folder(truth, tmp_path_factory):
    place = tmp_path_factory.mktemp("uneven")
    surveys, rng = truth.surveys, np.random.default_rng(1)
    num = len(surveys.photo)
    scale = surveys.cosmology.distance_error(1.0, surveys.redshift)
    error = surveys.photo_sigma / scale
    mag = rng.uniform(20, 25, num)
    columns = dict(zip("xyz", surveys.photo.T, strict=True)) | {
        "id": np.arange(num), "mag": mag, "sz": error / 1.5, "dz": error, "w": np.ones(num),
        "w2": rng.choice([1.0, 2.0], num), "bad": np.where(np.arange(num) == 5, 0.0, error),
        "FKP": np.ones(num),
    }  # fmt: skip
    Catalog(columns).write(place / "photo.parquet")
    true = dict(zip("xyz", truth.positions.T, strict=True)) | {"id": np.arange(num), "mag": mag}
    Catalog({name: x[truth.spec] for name, x in true.items()}).write(place / "spec.fits")
    box = surveys.box
    share = torch.from_numpy(visibility(box)).float()

    def write(name, values, on=box, kind="counts"):
        Field(values, on, kind).write(place / name)

    write("mask.h5", share)
    write("mask.fits", share)
    write("delta.h5", share, kind="delta")
    write("moved.h5", share, Box(SIZE, cellsize=CELL, boxcenter=0, periodic=False))
    write("coarse.h5", torch.ones(12, 12, 32), Box(SIZE, cellsize=10, periodic=False))
    write("negative.h5", share - 0.5)
    write("empty.h5", 0 * share)
    write("turned.h5", share.flip(2))
    holes = share.clone()
    holes[:, :12] = 0
    write("holes.h5", holes)
    nan = share.clone()
    nan[1, 2, 3] = torch.nan
    write("nan.h5", nan)
    (place / "text.h5").write_text("no field")
    return place


@pytest.fixture
def truez(folder, monkeypatch, capsys):
    def run(text):
        monkeypatch.chdir(folder)
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(text))
        return int(stop.value.code or 0), *capsys.readouterr()

    return run


TWO = (
    "--spec spec.fits --photo photo.parquet --boxsize 120,120,320 --cellsize 5 --not-periodic "
    "--redshift 0.5 --real-space --match-id id"
)
UNEVEN = f"{TWO} --sigma-z-column sz --expected-spec mask.h5 --expected-photo mask.fits"


def test_a_box_of_uneven_surveys_is_reconstructed(truth, truez, folder):
    code, out, err = truez(f"reconstruct {UNEVEN} --fit-amplitude --out field.h5")
    assert code == 0
    assert "--method redistribution is used" in err
    assert "field.h5: redistribution on 120 x 120 x 320 Mpc/h" in out
    assert "the filter took" in out
    assert "amplitude of the intensity" in out
    assert "expected counts of photo sum to" in out
    found = Reconstruction.read(folder / "field.h5")
    assert found.metadata["sigma_z"] is None
    assert found.metadata["expected_photo"] == "mask.fits"
    code, out, err = truez(f"reconstruct {UNEVEN} --method wiener --out wiener.h5")
    assert (code, err) == (0, "")
    assert Field.read(folder / "wiener.h5").resampler == "ngp"


def test_redshifts_of_a_cut_sample_are_its_own(truth, truez, folder):
    more = "--z-err-column dz --expected-spec mask.h5 --expected-photo mask.h5"
    code, out, err = truez(
        f"redshifts {TWO} {more} --photo-cut 'mag<=24' --photo-cut 'mag>20.5' --spec-cut mag<=23 "
        "--filter local --pdf-out pdf.hdf5 --out z.parquet"
    )
    assert code == 0
    assert "--method redistribution is used" in err
    given, found = Catalog.read(folder / "photo.parquet"), Catalog.read(folder / "z.parquet")
    kept = (given["mag"] <= 24) & (given["mag"] > 20.5)
    np.testing.assert_array_equal(found["id"], given["id"][kept])
    np.testing.assert_array_equal(found["sz"], given["sz"][kept])
    assert f"{np.count_nonzero(~kept)} galaxies of the photo catalogue do not pass" in out
    known = truth.spec & (given["mag"] <= 23)
    np.testing.assert_array_equal(found["spec_matched"], known[kept])
    unknown = ~found["spec_matched"]
    wide = found["dz"] > np.median(found["dz"])
    assert found["z_std"][wide & unknown].mean() > 1.5 * found["z_std"][~wide & unknown].mean()
    away = (found["z_mean"] - truth.positions[kept, 2])[unknown] / found["z_std"][unknown]
    assert np.nanstd(away) == pytest.approx(1, abs=0.1)


def test_rows_without_an_error_are_left_out_where_that_is_wanted(truth, truez, folder):
    photo = Catalog.read(folder / "photo.parquet")
    error = np.where(np.arange(len(photo)) % 100 == 3, np.nan, photo["dz"])
    photo.with_columns({"lost": error}).write(folder / "lost.parquet")
    command = TWO.replace("photo.parquet", "lost.parquet")
    command += " --z-err-column lost --method redistribution"
    code, _, err = truez(f"redshifts {command} --out lost.fits")
    assert code == 2
    assert "--z-err-column 'lost' of photo must be above 0 and below 1, but is not for" in err
    code, _, err = truez(f"redshifts {command} --drop-missing --out lost.fits")
    assert (code, err) == (0, "")
    whole = np.isfinite(error)
    np.testing.assert_array_equal(Catalog.read(folder / "lost.fits")["id"], photo["id"][whole])


#: What is added to a command, and the sentence.
BROKEN = [
    ("--expected-photo coarse.h5", "--expected-photo is on 12 x 12 x 32 cells in 120 x 120 x 320"),
    ("--expected-spec moved.h5", "--expected-spec is on 24 x 24 x 64 cells in 120 x 120 x 320"),
    ("--expected-photo negative.h5", "--expected-photo must be finite, not negative and not all z"),
    ("--expected-spec nan.h5", "--expected-spec: nan.h5 has NaN or infinity in 1 of its 36864 va"),
    ("--expected-photo empty.h5", "--expected-photo must be finite, not negative and not all zero"),
    ("--expected-photo delta.h5", "--expected-photo must hold expected counts per cell, a field o"),
    ("--expected-spec holes.h5", "--expected-spec is 0 in cells where"),
    ("--expected-photo holes.h5", "--expected-photo is 0 on sight lines where"),
    ("--expected-photo turned.h5", "--expected-photo does not follow the photo galaxies: where it"),
    ("--expected-photo none.h5", "there is no field file none.h5 (--expected-photo)"),
    ("--expected-photo text.h5", "--expected-photo: text.h5 is not a field that truez wrote"),
    ("--expected-photo photo.parquet", "--expected-photo: a field is read and written as .h5"),
    ("--sigma-z 0.01 --sigma-z-column sz", "the photo-z error must be given once: leave out all "),
    ("--z-err-column dz --sigma-z-column sz", "the photo-z error must be given once: leave out a"),
    ("--z-err-column none", "--photo: photo.parquet has no column 'none' (--z-err-column), only"),
    ("--z-err-column bad", "--z-err-column 'bad' of photo is 0 for 1 of"),
    ("--weight-column FKP", "--weight-column 'FKP' holds FKP weights"),
    ("--photo-cut mag<10", "no galaxy passes --photo-cut"),
    ("--photo-cut mag", "--photo-cut must read like mass>3.68e12 or mr<=-21, not 'mag'"),
    ("--spec-cut none<3", "--spec: spec.fits has no column 'none' (--spec-cut 'none<3')"),
    ("--method columns-median --weight-column w2", "--method columns-median needs even expected "),
    ("--method wiener --filter local --weight-column w2", "--filter must be exact for both su"),
    ("--method redistribution --filter none", "--filter must be exact or local, not 'none'"),
    ("--method wiener --fit-amplitude", "has no such setting: leave out --fit-amplitude"),
    ("--fit-sigma --sigma-z-column sz", "--fit-sigma fits one photo-z error, and these galaxies"),
    ("", "catalogues of a box need --sigma-z as well"),
]


@pytest.mark.parametrize(("more", "sentence"), BROKEN, ids=[more for more, _ in BROKEN])
def test_broken_input_is_one_sentence(more, sentence, truez, folder):
    if "sigma-z" not in more and "z-err" not in more and more:
        more = f"{more} --sigma-z 0.008"
    if "--method" not in more:
        more = f"{more} --method redistribution"
    code, _, err = truez(f"reconstruct {TWO} {more} --out broken.h5")
    assert code == 2
    assert err.startswith("truez: ")
    assert sentence in err
    assert len(err) < 300
    assert err.count("\n") == 1
    assert not (folder / "broken.h5").exists()


def test_options_of_boxes_and_skies_do_not_mix(truez):
    sky = "--spec spec.fits --photo photo.parquet --sky x,y,z --footprint 1,2,3,4 --sigma-z 0.01"
    for more in ("--expected-photo mask.h5", "--fit-amplitude"):
        code, _, err = truez(f"reconstruct {sky} --match-id id {more} --out broken.h5")
        assert code == 2
        assert f"these are not options of the sky (--sky): leave out {more.split()[0]}" in err


# --- cuts on the sky


def test_rows_that_a_cut_leaves_out_keep_their_row(tmp_path, monkeypatch, capsys):
    cone = light_cone(density=0.01)
    photo, spec = tables(cone)
    mag = np.random.default_rng(1).uniform(20, 25, len(cone))
    mag[7] = np.nan
    Catalog(photo | {"Mag": mag}).write(tmp_path / "photo.fits")
    Catalog(spec | {"Mag": mag[cone.spec]}).write(tmp_path / "spec.fits")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(
            "redshifts --method redistribution --spec spec.fits --photo photo.fits "
            "--sky ra,dec,z --cellsize 5 --sigma-z "
            "0.012 --footprint 354,6,-3,3 --match-id ID --photo-cut mag<=24 --spec-cut mag<=23.5 "
            "--redshift-range 0.1,0.26 --out z.fits"
        ))  # fmt: skip
    out, err = capsys.readouterr()
    assert (int(stop.value.code or 0), err) == (0, "")
    found = Catalog.read(tmp_path / "z.fits")
    np.testing.assert_array_equal(found["ID"], photo["ID"])
    left_out = ~(mag <= 24)
    np.testing.assert_array_equal(found["flag"] & 32 > 0, left_out)
    assert np.isnan(found["z_mean"][left_out]).all()
    np.testing.assert_array_equal(found["spec_matched"], cone.spec & (mag <= 23.5))
    assert np.isfinite(found["z_mean"][~left_out & (found["flag"] == 0)]).all()
    assert f"flag 32: {left_out.sum()} galaxies, left out by a cut of the sample" in out
    assert f"{left_out.sum()} photo galaxies do not pass --photo-cut" in out


def test_what_a_box_lacks_is_named(truez):
    for given, lost in (
        ("", "--boxsize, --redshift and --sigma-z as well, or --sky RA,DEC,Z if they are on"),
        ("--boxsize 64 --sigma-z 0.01", "--redshift as well\n"),
        ("--redshift 0.5 --boxsize 64", "--sigma-z as well\n"),
        ("--redshift 0.5 --sigma-z 0.01", "--boxsize as well, or --sky RA,DEC,Z if they are on"),
    ):
        code, _, err = truez(
            f"reconstruct --spec spec.fits --photo photo.parquet {given} --out broken.h5"
        )
        assert (code, err.startswith(f"truez: catalogues of a box need {lost}")) == (2, True), err
