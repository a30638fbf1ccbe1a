"""Every block of the pages runs, in the order of its page, on small files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from astropy.table import Table
from tests.docs.blocks import ROOT, SHOWN, blocks, pages, run

import truez
from truez.cli.app import main
from truez.statistics.scores import SCORES

pytestmark = pytest.mark.usefixtures("rough_figures")

#: Pages whose blocks are run by tests of their subject.
ELSEWHERE = {
    "README.md": "tests/test_docs.py",
    "docs/start/tutorial.md": "tests/test_docs.py",
    "docs/start/first-survey.md": "tests/sky/test_your_survey.py",
    "docs/guides/python.md": "tests/test_docs.py",
    "docs/guides/your-survey.md": "tests/sky/test_your_survey.py",
    "docs/guides/sky.md": "tests/sky/test_sky_page.py",
    "docs/guides/sky-mocks.md": "tests/sky/test_sky_mocks_page.py",
    "docs/guides/pdfs.md": "tests/surveys/pdfs/test_pdf_tables.py",
    "docs/concepts/method.md": "tests/surveys/test_uneven.py",
}
#: Pages whose blocks are run here, and changes of their text to smaller sizes.
HERE: dict[str, dict[str, str]] = {
    "docs/guides/own-cosmology.md": {},
    "docs/guides/own-method.md": {},
    "docs/guides/statistics.md": {"--samples 16": "--samples 3"},
    "docs/develop/extend.md": {},
}
#: The same of pages with tests of their own below.
OWN = ("docs/concepts/redistribution.md", "docs/results/benchmark.md")
#: Pages whose blocks take longer.
LONGER: dict[str, dict[str, str]] = {
    "docs/start/demo.md": {},
    "docs/guides/choose-a-method.md": {},
    "docs/guides/report.md": {},
    "docs/guides/own-training.md": {
        "--boxsize 512 --num-particles 256": "--boxsize 128 --num-particles 64 --num-steps 3",
        "columns-cpu": "columns-cpu --set training.steps=2 --set training.validate_every=1 "
        "--set columns.views_at_once=1 --set boxes.memory=1",
        " --set training.steps=300": "",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A mock in a box of 64 x 64 x 128 Mpc/h, and two catalogues of 128 Mpc/h."""
    folder = tmp_path_factory.mktemp("pages")
    galaxies = truez.lognormal_galaxies(
        truez.Box((64, 64, 128), cellsize=2), "planck18",
        redshift=0.6, density=1.85e-2, bias=1.3, seed=1,
    )  # fmt: skip
    mock = galaxies.observe(spec_density=1e-3, sigma_z=0.02, cellsize=2, seed=1)
    mock.write(folder / "mock")
    samples = (
        ("photo", mock.photo_ids, mock.surveys.photo),
        ("spec", mock.spec_ids, mock.surveys.spec),
    )
    for name, ids, places in samples:
        table = Table({"ID": ids, **dict(zip("xyz", places.T, strict=True))})
        table.write(folder / f"{name}.fits")
    return folder


@pytest.fixture
def at_page(folder, tmp_path, monkeypatch):
    """An empty folder with links to these files."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_with_blocks_is_run():
    with_blocks = {page for page in pages() if blocks(page) and "/notebooks/" not in page}
    assert with_blocks == {*ELSEWHERE, *HERE, *OWN, *LONGER}
    for page, place in ELSEWHERE.items():
        tests = [ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("test_*.py")
        assert any(Path(page).name in path.read_text("utf-8") for path in tests), page


@pytest.mark.parametrize("page", pages())
def test_blocks_that_are_shown_import_what_there_is(page):
    for text in SHOWN.findall((ROOT / page).read_text("utf-8")):
        tree = ast.parse(text)
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), page, "exec"), {})


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:method redistribution is used")
@pytest.mark.parametrize("page", HERE)
def test_the_blocks_of_a_page_run(page, at_page, capsys):
    registries = (truez.reconstruct.METHODS, SCORES)
    before = [dict(known) for known in registries]
    try:
        run(page, capsys, HERE[page])
    finally:
        for known, kept in zip(registries, before, strict=True):
            known.clear()
            known.update(kept)


def test_the_block_of_the_benchmark_runs(at_page, capsys):
    mock = truez.Mock.read("mock")
    result = truez.reconstruct(mock.surveys, "redistribution")
    samples = list(result.samples(4, seed=1))
    known = {"truth": mock.fields().truth, "result": result, "samples": samples}
    run(OWN[1], capsys, {}, **known)


def test_the_block_that_reads_p_z_with_qp_runs(at_page, capsys):
    pytest.importorskip("qp")
    command = "redshifts mock --method redistribution --pdf-out redshifts.hdf5 --out z.parquet"
    with pytest.raises(SystemExit):
        main(command.split())
    run(OWN[0], capsys, {})


@pytest.mark.slow
@pytest.mark.parametrize("page", LONGER)
def test_the_longer_blocks_of_a_page_run(page, at_page, capsys):
    run(page, capsys, LONGER[page])
