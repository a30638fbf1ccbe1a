"""``truez partition``: a folder of patches, resumed, refused and made again."""

import pytest
from tests.sky.partition.divided_sky import galaxies

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cli.patches import echo_listed
from truez.sky.partition.stored import Partition

OPTIONS = [
    "partition", "--photo", "photo.fits", "--sky", "ra,dec,z", "--columns", "id", "--footprint",
    "350,20,-10,15", "--redshift-range", "0.2,0.9", "--sigma-z", "0.01", "--cellsize", "15",
    "--max-cells", "30000", "--halo", "30",
]  # fmt: skip


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*OPTIONS, *arguments])
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


@pytest.mark.medium
def test_a_partition_is_made_goes_on_and_is_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    columns = galaxies(5000)
    Catalog(columns).write("photo.fits")
    Catalog({name: values[::5] for name, values in columns.items()}).write("spec.h5")
    code, out, _ = run(capsys, "--out", "out", "--dry-run")
    assert code == 0
    assert out.count("Patch ") == 37
    assert not (tmp_path / "out").exists()
    code, out, _ = run(capsys, "--out", "out", "--spec", "spec.h5")
    assert code == 0
    assert out.startswith("out: Partition of 5000 photo galaxies in 37 patches, ")
    made = Partition.open("out")
    assert list(made.read(0).photo.catalog.columns) == ["ra", "dec", "z", "id"]
    assert set(made.read(0).spec.catalog.columns) == set(columns)
    assert run(capsys, "--out", "out", "--spec", "spec.h5")[1] == out
    code, _, err = run(capsys, "--out", "out", "--spec", "spec.h5", "--halo", "40")
    assert code == 2
    assert "holds a partition of other patches" in err
    assert run(capsys, "--out", "out", "--halo", "40", "--overwrite")[0] == 0
    assert Partition.open("out").samples == ("photo",)


def test_a_plan_needs_no_catalogue(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["partition", *OPTIONS[5:], "--num-galaxies", "1e8", "--dry-run"])
    out, _ = capsys.readouterr()
    assert not ended.value.code
    assert "method redistribution: " in out
    assert "method columns" not in out  # which needs a larger halo
    assert "hours on 128 cores" in out
    with pytest.raises(SystemExit) as ended:
        main(["partition", *OPTIONS[5:], "--out", "out"])
    assert ended.value.code == 2
    assert "partition needs --photo CATALOGUE: give it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--photo", "none.parquet"], "there is no catalogue file none.parquet"),
        (["--sky", "ra,dec"], "sky must name three columns"),
        (["--sky", "ra,dec,q"], "has no column 'q'"),
        (["--footprint", "1,2"], "--footprint"),
        (["--redshift-range", "0.2"], "--redshift-range must be two numbers, LOW,HIGH"),
        (["--memory", "0"], "--memory must be a finite number above 0"),
        (["--photo", "nowhere://a"], "cannot be reached"),
        (["--out", "foreign"], "plan.json was not written by truez partition"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    tmp_path, monkeypatch, capsys, arguments, words
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Catalog(galaxies(300)).write("photo.fits")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "plan.json").write_text("{}")
    code, _, err = run(capsys, "--out", "out", *arguments)
    assert code == 2
    assert words in err.replace("\n", " ")
    assert len(err.strip().splitlines()) == 1


def test_very_many_patches_are_listed_in_part(capsys):
    echo_listed([f"patch {number}" for number in range(100)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  patch 0"
    assert lines[20] == "  ... 60 more"
    assert lines[-1] == "  patch 99"
    assert len(lines) == 41
