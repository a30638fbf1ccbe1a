"""What the documentation tells a reader to type works, in the order of the page."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import truez
from truez.cli.app import main

pytestmark = pytest.mark.usefixtures("rough_figures")
DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.slow
def test_the_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((DOCS / "start" / "tutorial.md").read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"bash", "python"}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, "tutorial.md", "exec"), {})
            continue
        for command in commands(text):
            assert command[0] == "truez"
            with pytest.raises(SystemExit) as ended:
                main(command[1:])
            assert not ended.value.code, f"{command}: {capsys.readouterr().err}"
    assert (tmp_path / "mock" / "unet-report" / "index.html").is_file()


def python_blocks(path: Path) -> list[str]:
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [text for language, text in found if language == "python"]


def two_catalogues(side: float) -> dict[str, Table]:
    """Names for the README's block: a photometric sample with an ID, and a twentieth of it."""
    galaxies = truez.lognormal_galaxies(
        truez.Box(side, cellsize=4), "planck18", redshift=0.6, density=1.85e-2, bias=1.3, seed=1
    )
    mock = galaxies.observe(spec_density=1e-3, sigma_z=0.02, cellsize=2, seed=1)
    tables = {}
    for name, ids, places in (
        ("photo", mock.photo_ids, mock.surveys.photo),
        ("spec", mock.spec_ids, mock.surveys.spec),
    ):
        tables[name] = Table({"ID": ids, **dict(zip("xyz", places.T, strict=True))})
    return tables


#: Sizes of the README's block, and those of the quick test.
SMALLER = {
    "Box(512,": "Box(128,",
    "boxsize=256, num_particles=128": "boxsize=128, num_particles=64",
}


@pytest.mark.medium
@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_python_of_the_readme(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = python_blocks(DOCS.parent / "README.md")
    for size, smaller in SMALLER.items():
        assert size in text
        text = text.replace(size, smaller) if small else text
    names: dict[str, object] = two_catalogues(128 if small else 512)
    exec(compile(text, "README.md", "exec"), names)
    assert (tmp_path / "report" / "index.html").is_file()
    result = names["result"]
    assert np.asarray(result.delta + 1).shape == result.delta.shape
    assert result.delta[10:20].shape[0] == 10
    assert {"wiener", "columns", "photo"} <= set(names["comparison"].to_table()["field"])
    assert truez.Reconstruction.read(tmp_path / "field.h5").intensity is not None


def test_the_method_of_the_docs():
    blocks = python_blocks(DOCS / "guides" / "python.md")
    (text,) = [block for block in blocks if "METHODS" in block]
    exec(compile(text, "python.md", "exec"), {})
    places = np.random.default_rng(1).uniform(0, 64, (2000, 3))
    surveys = truez.Surveys.from_catalogs(
        spec=places[:500], photo=places, box=truez.Box(64, cellsize=4), redshift=0.6,
        sigma_z=0.001, overlap="nested",
    )  # fmt: skip
    result = truez.reconstruct(surveys, "smoothed-spec", radius=16)
    del truez.reconstruct.METHODS["smoothed-spec"]
    np.testing.assert_array_equal(result.delta, surveys.spec_field().smooth(16))
    assert result.metadata["method"] == "smoothed-spec"
