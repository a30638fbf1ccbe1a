"""Names and texts of files are shown as they are: no page, terminal or figure obeys them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from truez import Box, Catalog, Field
from truez.cli.app import main
from truez.evaluate.figures.spectra import spectra
from truez.evaluate.figures.style import drawn, wrapped
from truez.evaluate.page.run_folder import RunFolder
from truez.statistics.power import compare

pytestmark = pytest.mark.medium

SCRIPT = "</script><script>alert(1)</script>"
TERMINAL = "\x1b[2J\x1b]0;title\x07\u202e"
HOSTILE = f"_[red]$\\frac{{<img src=x onerror=alert(1)>\"'{TERMINAL}"
BOX = Box(64, 16)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def calm(text):
    """Whether a terminal would show the text line by line, and obey none of it."""
    return all(line.replace("\N{NO-BREAK SPACE}", " ").isprintable() for line in text.splitlines())


class Tags(HTMLParser):
    """The elements of a page, and those with attributes that run something."""

    def __init__(self, page):
        super().__init__()
        self.found, self.running = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        for name, value in attributes:
            scheme = (value or "").split(":")[0].strip().lower()
            if name.startswith("on") or (name in ("href", "src") and scheme == "javascript"):
                self.running.append((tag, name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A truth, both surveys and two estimates, one of them under a hostile name."""
    place = tmp_path_factory.mktemp("hostile")
    torch.manual_seed(1)
    cells = np.exp(np.random.default_rng(3).normal(0, 0.7, BOX.meshsize))
    values = torch.from_numpy(cells / cells.mean() - 1).float()
    metadata = {"method": SCRIPT, TERMINAL: f"a\ntruez: done{TERMINAL}", "weights": [3]}
    for name in ("truth", "photo", "spec", "calm", HOSTILE):
        own = metadata if name == HOSTILE else {}
        noise = 0 if name == "truth" else torch.rand(BOX.meshsize) - 0.5
        Field(values + noise, BOX, "delta", own).write(place / f"{name}.h5")
    return place


@pytest.fixture(scope="module")
def report(folder):
    """The folder of an evaluation of them."""
    out = folder / "out"
    surveys = ("--photo", folder / "photo.h5", "--spec", folder / "spec.h5")
    given = (folder / "calm.h5", folder / f"{HOSTILE}.h5")
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert run("evaluate", folder / "truth.h5", *given, *surveys, "--out", out) == 0
    (folder / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")
    return out


@pytest.mark.medium
def test_the_page_of_an_evaluation_obeys_no_name(report):
    page = (report / "index.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert tags.running == []
    assert tags.found.count("script") == 2  # our data and our script
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert all((report / f"{name}.png").is_file() for name in ("spectra", "slices_along"))


def test_nothing_is_written_elsewhere(folder, report):
    names = {f"{name}.h5" for name in ("truth", "photo", "spec", "calm", HOSTILE)}
    assert {path.name for path in folder.iterdir()} == names | {"out", "printed.txt"}


@pytest.mark.parametrize("command", ["report", "info"])
def test_commands_of_an_evaluation_print_no_control_characters(report, command, capsys):
    capsys.readouterr()
    assert run(command, report) == 0
    printed = capsys.readouterr()
    assert calm(printed.out)
    assert calm(printed.err)
    if command == "report":
        tags = Tags((report / "report.html").read_text(encoding="utf-8"))
        assert tags.running == []
        assert "script" not in tags.found


def test_a_table_on_a_terminal_shows_names_as_they_are(report, folder):
    text = (folder / "printed.txt").read_text(encoding="utf-8")
    assert calm(text)
    assert "_[red]$" in text  # no markup of rich


def test_the_metadata_of_a_field_are_escaped(folder, capsys):
    assert run("info", folder / f"{HOSTILE}.h5") == 0
    text = capsys.readouterr().out
    assert calm(text)
    assert r"\x1b[2J" in text
    assert r"a\ntruez: done" in text  # no line of its own


def test_columns_units_and_metadata_of_a_catalogue_are_escaped(tmp_path, capsys):
    path = tmp_path / "cat.parquet"
    name, unit = f"mass{TERMINAL}\nevil", f"Msun{TERMINAL}"
    Catalog(
        {"x": np.zeros(3), name: np.zeros(3)}, units={name: unit}, metadata={TERMINAL: TERMINAL}
    ).write(path)
    assert run("info", path) == 0
    text = capsys.readouterr().out
    assert calm(text)
    assert r"mass\x1b[2J" in text
    assert r"\nevil" in text
    assert run("spectrum", path, "--boxsize", "8", "--positions", "x,x,nothing\x1b[2J") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert calm(error)


def test_captions_and_pictures_stay_in_their_folder(report, tmp_path):
    inner = tmp_path / "run"
    inner.mkdir()
    (inner / "metrics.json").write_text('{"wiener": {"mse": 1.0}}')
    png = (report / "spectra.png").read_bytes()
    (tmp_path / "secret.png").write_bytes(png)
    (inner / "b.png").write_bytes(png)
    caption = {"title": SCRIPT, "caption": f"<b onclick=x>{TERMINAL}"}
    captions = dict.fromkeys(("../secret.png", "../../b.png", "/etc/passwd"), caption)
    (inner / "captions.json").write_text(json.dumps(captions))
    found = RunFolder.read(inner)
    assert [picture.path for picture in found.pictures] == [inner / "b.png"]
    assert run("report", inner) == 0
    tags = Tags((inner / "report.html").read_text(encoding="utf-8"))
    assert (tags.running, tags.found.count("script")) == ([], 0)


def test_the_scores_of_a_field_are_looked_for_in_the_folder_only(tmp_path):
    from truez.evaluate.page.run_folder import Score, _with_boxes

    (tmp_path / "scores-..").mkdir()
    (tmp_path / "other.ecsv").write_text("not to be read")
    scores = {"../other": {"mse": Score(1.0)}}
    assert _with_boxes(scores, tmp_path) == scores


@pytest.mark.parametrize(
    "name", [r"$\frac{", "$x$", "a $ b $ c", "_hidden", r"\$", "$" * 99, "%s {0}", HOSTILE, "\n"]
)
def test_a_figure_shows_any_name_as_it_is(name):
    torch.manual_seed(1)
    field, truth = (Field(torch.rand(8, 8, 8) - 0.5, Box(64, 8), "delta") for _ in range(2))
    figure = spectra({name: compare(field, truth=truth)}, label=str)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 2  # the field, and the truth
    FigureCanvasAgg(figure).draw()  # mathematics that is none would fail here
    assert "$" not in drawn(name).replace(r"\$", "")
    assert len(drawn(name).replace(r"\$", "$")) <= 61
    assert wrapped(name, 3.0).replace(r"\$", "").count("$") == 0
