"""``truez evaluate`` of what ``truez join`` makes of a mock that was divided among patches."""

import json

import pytest
from tests.evaluate.sky_cone import RANGE, cone_mock
from tests.sky.light_cone import SIGMA

from truez.cli.app import main
from truez.sky.partition.stored import Partition
from truez.sky.reconstruct import reconstruct


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_a_joined_field_and_catalogue_are_judged_as_those_of_one_process(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    mock = cone_mock(density=0.005)
    mock.write("sky")
    catalogs = ["--photo", "sky/photo.parquet", "--spec", "sky/spec.parquet", "--sky", "ra,dec,z",
                "--photo-sky", "ra,dec,z_phot"]  # fmt: skip
    cut = ["--footprint", "354,6,-3,3", "--redshift-range", "0.1,0.25", "--sigma-z", SIGMA,
           "--cellsize", 10, "--halo", 20, "--max-cells", 15000]  # fmt: skip
    assert run("partition", *catalogs, *cut, "--out", "divided") == 0
    how = ["--sigma-z", SIGMA, "--match-id", "id", "--method", "redistribution"]
    assert run("run", "divided", *how, "--out", "run") == 0
    assert run("join", "run", "--field", "joined.h5", "--redshifts", "sharp.parquet") == 0
    patches = Partition.open("divided").patches
    assert len(patches) > 1
    reconstruct(mock.surveys, "redistribution", patches=patches).write("whole.h5")
    capsys.readouterr()
    limits = ",".join(map(str, RANGE))
    files = ("joined.h5", "whole.h5", "sharp.parquet")
    code = run("evaluate", "sky", *files, "--redshift-range", limits, "--out", "report")
    assert code == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "report/metrics.json").read_text())
    assert {"joined", "whole", "sharp", "wiener"} <= set(found)
    joined, whole, even = (flat(found[name]) for name in ("joined", "whole", "photo-z"))
    assert joined == pytest.approx(whole, rel=1e-6, abs=1e-9, nan_ok=True)
    assert joined["/nats"] > even["/nats"] + 0.05
    for name in ("num", "inside_68", "nmad_after"):
        assert found["sharp"][name] == pytest.approx(found["joined"][name], rel=1e-3)


def flat(values, place=""):
    """The numbers of nested values by their places."""
    items = values.items() if isinstance(values, dict) else enumerate(values)
    found = {}
    for key, value in items:
        if isinstance(value, dict | list):
            found |= flat(value, f"{place}/{key}")
        elif isinstance(value, int | float):
            found[f"{place}/{key}"] = float(value)
    return found
