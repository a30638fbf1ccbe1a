"""What to cite, and that every place says the same of it."""

import re
from pathlib import Path

import pytest
import yaml

import truez
from truez.cli.app import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def citation(capsys):
    """What ``truez --cite`` prints, without the indent of continued lines."""
    with pytest.raises(SystemExit) as stop:
        main(["--cite"])
    assert not stop.value.code
    return " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def cff():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_braces_and_entries_are_whole(citation):
    assert citation.count("{") == citation.count("}")
    assert re.findall(r"@(\w+)\{(\w+),", citation) == [("software", "truez"), ("article", "Du2025")]


def test_the_version_is_this_one_everywhere(citation, cff):
    assert f"version = {{{truez.__version__}}}" in citation
    assert cff["version"] == truez.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert released[0] == truez.__version__


def test_the_paper_is_that_of_the_citation_file(citation, cff):
    (paper,) = cff["references"]
    names = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    assert f"author = {{{' and '.join(names)}}}" in citation
    assert f"title = {{{{{' '.join(paper['title'].split())}}}}}" in citation
    (number,) = [one["value"].removeprefix("arXiv:") for one in paper["identifiers"]]
    assert f"eprint = {{{number}}}" in citation
    assert f"year = {{{paper['year']}}}" in citation
