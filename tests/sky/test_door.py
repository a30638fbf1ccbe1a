"""What is looked at before the work: randoms and their N(z), galaxies outside or listed twice."""

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main

NUM = 6000
COMMAND = (
    "reconstruct --spec spec.parquet --photo photo.parquet --sky RA,DEC,Z --sigma-z 0.02 "
    "--match-id ID --cellsize 12 --method redistribution"
)


def places(num, seed):
    """Even directions in 130 to 140, -2 to 4 deg, and redshifts."""
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians([-2, 4])), num)))
    return {"RA": rng.uniform(130, 140, num), "DEC": dec, "Z": 0.1 + 0.2 * rng.beta(2, 2, num)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("door")
    galaxies = places(NUM, 1) | {"ID": np.arange(NUM)}
    # Thirty galaxies are listed twice, half an arcsec apart, and sixty lie outside.
    galaxies["RA"][:30] = galaxies["RA"][30:60]
    galaxies["DEC"][:30] = galaxies["DEC"][30:60] + 0.5 / 3600
    galaxies["RA"][100:160] += 20
    z = galaxies["Z"]
    scatter = 0.02 * (1 + z) * np.random.default_rng(2).normal(size=NUM)
    Catalog(galaxies | {"Z": z + scatter}).write(place / "photo.parquet")
    Catalog({name: values[-600:] for name, values in galaxies.items()}).write(
        place / "spec.parquet"
    )
    for number in range(2):
        columns = places(20_000, 10 + number)
        Catalog(columns).write(place / f"r{number}.ran.fits")
        Catalog(columns | {"Z": columns["Z"] + 0.3}).write(place / f"deep{number}.ran.fits")
    edges = np.arange(0.05, 0.36, 0.01)
    counts = np.histogram(z, edges)[0]
    volumes = np.diff(edges**3)
    rows = zip(edges[:-1] + 0.005, edges[:-1], edges[1:], counts / volumes, counts, volumes,
               strict=True)  # fmt: skip
    lines = ["#area is 60.0square degrees", "#zmid zlow zhigh n(z) Nbin Vol_bin"]
    lines += [" ".join(f"{value:.8g}" for value in row) for row in rows]
    (place / "BGS_nz.txt").write_text("\n".join(lines) + "\n")
    (place / "other_nz.txt").write_text(
        "\n".join(lines[:2] + [line for line in lines[2:] if float(line.split()[0]) > 0.25]) + "\n"
    )
    return place


def run(folder, monkeypatch, capsys, more):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(f"{COMMAND} {more}".split())
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def test_a_dry_run_counts_galaxies_outside_and_listed_twice(folder, monkeypatch, capsys):
    code, out, _ = run(folder, monkeypatch, capsys, "--footprint 130,140,-2,4.001 --dry-run")
    assert code == 0
    assert "  60 of 6000 photo galaxies (1%) outside the footprint\n" in out
    assert "  0 of 600 spec galaxies (0%) outside the footprint\n" in out
    assert "  60 of 6000 photo galaxies have another within 1 arcsec" in out
    assert "spec galaxies have another" not in out


@pytest.mark.parametrize("files", ["r0.ran.fits,r1.ran.fits", "r*.ran.fits"])
def test_randoms_of_several_files_with_the_redshifts_of_the_galaxies_are_noted(
    folder, monkeypatch, capsys, files
):
    code, out, err = run(folder, monkeypatch, capsys, f"--randoms {files} --dry-run")
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if "randoms and of photo" in line]
    assert float(line.split("by ")[1].split("%")[0]) < 3


def test_randoms_of_other_redshifts_are_refused(folder, monkeypatch, capsys):
    code, _, err = run(folder, monkeypatch, capsys, "--randoms deep*.ran.fits --dry-run")
    assert code == 2
    assert "--randoms has randoms of other redshifts, 0.4" in err
    assert err.count("\n") == 1
    assert len(err) < 320
    code, _, err = run(
        folder, monkeypatch, capsys,
        "--footprint 130,140,-2,4.001 --spec-randoms deep0.ran.fits --dry-run",
    )  # fmt: skip
    assert code == 2
    assert "--spec-randoms has randoms of other redshifts" in err


def test_cut_samples_need_not_have_the_redshifts_of_their_randoms(folder, monkeypatch, capsys):
    code, out, err = run(
        folder, monkeypatch, capsys, "--randoms r0.ran.fits --photo-cut Z<=0.17 --dry-run"
    )
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if "randoms and of photo" in line]
    assert float(line.split("by ")[1].split("%")[0]) > 10


def test_a_file_of_a_list_that_is_not_there_is_named(folder, monkeypatch, capsys):
    code, _, err = run(folder, monkeypatch, capsys, "--randoms r0.ran.fits,none.ran.fits --dry-run")
    assert code == 2
    assert "there is no catalogue file none.ran.fits (--randoms)" in err


def test_numbers_of_desi_are_taken_per_redshift_and_others_are_refused(folder, monkeypatch, capsys):
    area = "--footprint 130,140,-2,4.001 --dry-run"
    code, _, err = run(folder, monkeypatch, capsys, f"{area} --nz BGS_nz.txt --spec-nz BGS_nz.txt")
    assert code == 0, err
    code, _, err = run(folder, monkeypatch, capsys, f"{area} --spec-nz other_nz.txt")
    assert code == 2
    assert "--spec-nz contradicts the spec redshifts" in err


def test_the_mean_of_the_field_is_printed_for_each_shell(folder, monkeypatch, capsys):
    code, out, err = run(
        folder, monkeypatch, capsys, "--footprint 130,140,-2,4.001 --cellsize 24 --out field.h5"
    )
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if "mean of the field" in line]
    assert abs(float(line.split("mean of the field ")[1].split(",")[0])) < 0.1


def test_mangle_polygons_are_refused_with_the_name_of_the_option(folder, monkeypatch, capsys):
    (folder / "mask.ply").write_text("1 polygons\npolygon 0 ( 4 caps, 1 weight, 0.1 str):\n")
    code, _, err = run(folder, monkeypatch, capsys, "--footprint mask.ply --dry-run")
    assert code == 2
    assert "--footprint mask.ply holds mangle polygons: write their weights" in err
    assert err.count("\n") == 1
