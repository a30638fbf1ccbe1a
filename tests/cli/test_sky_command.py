"""``truez reconstruct`` and ``truez redshifts`` with catalogues on the sky."""

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, tables

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.sky.result import SkyReconstruction


@pytest.fixture(scope="module")
def cone():
    return light_cone(density=0.01)


@pytest.fixture(scope="module")
def folder(cone, tmp_path_factory):
    place = tmp_path_factory.mktemp("sky")
    photo, spec = tables(cone)
    names = np.array([f"galaxy {i}" for i in range(len(cone))])
    # Rows without a photo-z, which the output keeps.
    photo["Z"] = np.where(np.arange(len(cone)) % 500 == 3, -99, photo["Z"])
    Catalog(photo | {"NAME": names}).write(place / "photo.fits")
    Catalog(spec).write(place / "spec.parquet")
    return place


def truez(folder, monkeypatch, capsys, text):
    """Exit code, stdout and stderr of a command in a folder."""
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    return int(stop.value.code or 0), *capsys.readouterr()


CATALOGS = (
    "--spec spec.parquet --photo photo.fits --sky ra,dec,z --cellsize 5 --method redistribution"
)
SKY = f"{CATALOGS} --sigma-z 0.012 --footprint 354,6,-3,3 --match-id ID"


def test_the_catalogue_comes_back_with_redshifts(cone, folder, monkeypatch, capsys):
    code, out, err = truez(
        folder, monkeypatch, capsys,
        f"redshifts {SKY} --redshift-range 0.1,0.26 --draws 2 --seed 5 --out z.parquet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found, given = Catalog.read(folder / "z.parquet"), Catalog.read(folder / "photo.fits")
    for name in given.columns:
        np.testing.assert_array_equal(found[name], given[name])
    lost = np.arange(len(cone)) % 500 == 3
    assert (found["flag"][lost] & 8 > 0).all()
    assert not (found["flag"][~lost] & 8).any()
    known = found["spec_matched"]
    np.testing.assert_array_equal(known, cone.spec)
    np.testing.assert_allclose(found["z_mean"][known], cone.z[known])
    sharpened = np.isfinite(found["information_gain"])
    assert found["information_gain"][sharpened].mean() > 0.1
    assert np.isfinite(found["z_draw_1"][sharpened]).all()
    assert (found["z_draw_0"] != found["z_draw_1"])[sharpened].all()
    assert found.metadata["truez"]["flag"]["1"] == "outside the footprint"
    assert f"flag 8: {lost.sum()} galaxies, no usable photo-z" in out
    assert "N(z): dN/dz = exp(" in out
    code, _, err = truez(
        folder, monkeypatch, capsys, f"redshifts {SKY} --out again.fits".replace(
            "photo.fits", "z.parquet")
    )  # fmt: skip
    assert code == 2
    assert "z.parquet has columns z_mean, z_median, z_mode already: give --prefix" in err


def test_columns_that_the_output_cannot_hold_are_refused_before_the_work(
    folder, monkeypatch, capsys
):
    given = Catalog.read(folder / "photo.fits")
    stars = np.array([f"\u00e9toile {i}" for i in range(len(given))])
    given.with_columns({"NAME2": stars}, {}).write(folder / "stars.parquet")
    command = f"redshifts {SKY.replace('photo.fits', 'stars.parquet')} --out stars.fits"
    with monkeypatch.context() as patch:
        patch.setattr("truez.sky.reconstruct.reconstruct", None)
        code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, out) == (2, "")
    assert "column 'NAME2'" in err
    assert "or leave such columns out with --drop-unsupported" in err
    code, out, err = truez(folder, monkeypatch, capsys, f"{command} --drop-unsupported")
    assert code == 0
    assert err == (
        "truez: note: stars.fits is without columns of stars.parquet: NAME2 does not fit into "
        ".fits\n"
    )
    found = Catalog.read(folder / "stars.fits")
    assert "NAME2" not in found
    np.testing.assert_array_equal(found["NAME"], given["NAME"])
    assert np.isfinite(found["z_mean"]).any()


def test_the_field_is_read_back(folder, monkeypatch, capsys):
    code, out, err = truez(folder, monkeypatch, capsys, f"reconstruct {SKY} --out map.h5")
    assert (code, err) == (0, "")
    assert "map.h5: SkyReconstruction by redistribution on 1 patch" in out
    result = SkyReconstruction.read(folder / "map.h5")
    assert np.isfinite(result.at([0.0], [0.0], [0.2])).all()


def test_a_dry_run_writes_nothing(folder, monkeypatch, capsys):
    code, out, err = truez(
        folder, monkeypatch, capsys, f"reconstruct {SKY} --chi-ref 500 --dry-run --out dry.h5"
    )
    assert (code, err) == (0, "")
    assert "patch 0: 0.00, " in out
    assert "s on one core" in out
    assert not (folder / "dry.h5").exists()


@pytest.mark.medium
def test_each_way_to_give_footprint_error_and_matches(cone, folder, monkeypatch, capsys):
    counts, edges = np.histogram(cone.z, np.arange(0.1, 0.28, 0.01))
    Catalog({"z": (edges[1:] + edges[:-1]) / 2, "n": counts}).write(folder / "nz.csv")
    for changed in (
        f"{CATALOGS} --sigma-z-column SZ --footprint from-data --match-radius 1",
        f"{CATALOGS} --z-err-column SZ --randoms photo.fits --overlap nested --nz nz.csv",
    ):
        code, out, err = truez(
            folder, monkeypatch, capsys, f"redshifts {changed} --dry-run --out dry.fits"
        )
        assert (code, err) == (0, "")
        assert "footprint: " in out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (f"reconstruct {SKY} --boxsize 100", "options of the sky (--sky): leave out --boxsize"),
        (f"redshifts {SKY} --symmetries 2", "has no setting symmetries: leave --symmetries out"),
        (f"redshifts {SKY} --method columns", "the survey has cells of 5 Mpc/h along the sight"),
        (f"redshifts {SKY} --method dual-unet", "method on the sky must be one of columns, red"),
        (
            f"redshifts {SKY.replace('ra,dec,z', 'ra,dec,ZZ')}",
            "'ra,dec,ZZ') (did you mean 'Z'?), as it is of both catalogues without --photo-sky",
        ),
        (f"redshifts {SKY} --cellsize 0.01", "--cellsize = 0.01 Mpc/h is too small: no core is"),
        (f"redshifts {SKY} --redshift-range 3", "--redshift-range must be two numbers, LOW,HIGH"),
        (f"redshifts {SKY} --photo-bias a", "--photo-bias must be numbers A,B,..., not 'a'"),
        (f"redshifts {SKY} --weight-column W_FKP", "--weight-column 'W_FKP' holds FKP weights"),
        (f"redshifts {SKY} --z-err-column SZ", "the photo-z error must be given once"),
        (f"redshifts {SKY} --randoms photo.fits", "--footprint and --randoms are both given"),
        (f"redshifts {CATALOGS} --sigma-z 0.01 --match-id ID", "the footprint is missing: give"),
        (f"redshifts {SKY} --spec-z-column Z", "--sky needs --photo FILE, and --spec FILE or"),
        (f"reconstruct {SKY} --out field.fits", "--out: a field on the sky is written as .h5"),
        ("redshifts --footprint 1,2,3,4", "the sky: give --sky RA,DEC,Z, or leave out --footprint"),
        ("redshifts --prefix a", "the sky: give --sky RA,DEC,Z, or leave out --prefix"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_sentence(folder, monkeypatch, capsys, command, sentence):
    code, out, err = truez(folder, monkeypatch, capsys, command)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert len(err) < 300
