"""The page of a run: what it says follows from the files, and what it carries is what they hold."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from truez.cli.app import main
from truez.evaluate.evaluation import evaluate_mock
from truez.evaluate.page.report import GENERATOR, write_run_page
from truez.evaluate.page.run_folder import RunFolder, Score
from truez.evaluate.page.slices import LEVELS, palette, plan_slices, ticks
from truez.evaluate.page.verdict import num_boxes, verdict
from truez.evaluate.page.words import duration
from truez.mesh.box import Box
from truez.mesh.field import Field

pytestmark = pytest.mark.usefixtures("rough_figures")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def helper():
    place = Path(__file__).with_name("synthetic_run.py")
    spec = importlib.util.spec_from_file_location("synthetic_run", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(helper, tmp_path_factory):
    """A finished run of 24 x 24 x 32 cells and its page."""
    folder = helper.make_run(tmp_path_factory.mktemp("page") / "my run", (24, 24, 32), quick=True)
    return folder, write_run_page(folder).read_text(encoding="utf-8")


def slice_data(page):
    return json.loads(re.search(r'id="slice-data">(.*?)</script>', page, re.DOTALL)[1])


def visible(page):
    """The words of a page."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


# --- the verdict --------------------------------------------------------------------------------


def scores_of(**values):
    return {
        name.replace("_", "-"): {"mse": Score(*(v if isinstance(v, tuple) else (v,)))}
        for name, v in values.items()
    }


def test_the_best_is_named_with_its_distance_from_the_wiener_filter_and_photo():
    text = verdict(scores_of(zero=7.0, photo=8.0, spec=33.0, wiener=4.0, unet=3.0))
    assert text.startswith("Lowest in mean squared error is the UNet (tiled), 3.00. That is ")
    assert "25% below the Wiener filter (4.00), 62% below the photo survey (8.00)" in text
    assert "explains 57%; the photo survey and the spec survey, each by itself, are worse" in text


def test_a_network_that_does_not_beat_the_filter_is_told():
    text = verdict(scores_of(zero=7.0, photo=8.0, spec=6.0, wiener=4.0, unet=4.1))
    assert "is the Wiener filter, 4.00" in text
    assert "No method beyond the linear ones does better: the nearest, the UNet" in text
    assert "the photo survey by itself is worse than it" in text


def test_no_gain_is_claimed_without_the_filter():
    assert "The Wiener filter, without which no gain can be claimed" in verdict(
        scores_of(photo=8.0, unet=4.1)
    )


def test_a_method_worse_than_nothing_is_told():
    assert "even the best method is worse than that" in verdict(scores_of(zero=3.0, wiener=4.0))


def test_overlapping_errors_are_told():
    text = verdict(scores_of(wiener=(4.0, 1.0, 0.3), unet=(3.8, 1.0, 0.3)))
    assert "5% below the Wiener filter (4.00 ± 0.30, so that their errors overlap)" in text


@pytest.mark.parametrize(("spread", "told"), [(0.3, False), (2.0, True)])
def test_differences_are_judged_box_by_box(spread, told):
    """The boxes differ by far more than the methods do, which does not matter."""
    hard = np.linspace(1, 9, 16)
    gap = 0.5 + spread * np.tile([-1.0, 1.0], 8)
    scores = {
        "wiener": {"mse": Score(hard.mean(), 2.4, 0.6, boxes=hard)},
        "unet": {"mse": Score((hard - gap).mean(), 2.4, 0.6, boxes=hard - gap)},
    }
    text = verdict(scores)
    error = spread * math.sqrt(16 / 15) / 4
    assert f"box by box 0.50{'' if told else '0'} ± {error:#.2g} below" in text
    assert ("too little to tell them apart" in text) is told


def test_the_papers_share_stands_beside_ours():
    scores = scores_of(
        photo=(8.0, 1, 0.1, 8.82, 0.62), wiener=4.0, unet_per_box=(4.4, 1, 0.1, 5.10, 0.67)
    )
    assert "it has 0.50; the UNet of the paper has 0.58" in verdict(scores)


@pytest.mark.parametrize(("mae", "told"), [(0.9, False), (1.05, True)])
def test_the_empty_field_stands_beside_the_absolute_errors(mae, told):
    scores = scores_of(wiener=4.0)
    scores["wiener"]["mae"], scores["empty"] = Score(mae), {"mae": Score(1.0)}
    text = verdict(scores)
    assert "beside 1.00 of the empty field" in text
    assert ("no reconstruction beats it" in text) is told


def test_nothing_judged_is_told():
    assert verdict(scores_of(photo=8.0)) == "No reconstruction has been judged yet."


def test_the_number_of_boxes_follows_from_scatter_and_error():
    assert num_boxes(scores_of(photo=(8.0, 1.2, 0.2), spec=(3.0, 3.0, 0.5))) == 36
    assert num_boxes(scores_of(photo=(8.0, 1.2, 0.2), spec=(3.0, 3.0, 1.0))) is None
    assert num_boxes(scores_of(photo=8.0)) is None


# --- slices -------------------------------------------------------------------------------------


def delta(values, box):
    return Field(torch.as_tensor(np.asarray(values), dtype=torch.float32), box, "delta")


def decoded(text):
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("L"), dtype=float)


def half_a_step(low, high):
    """How far a stored logarithm may be off: its step, and that of the grey."""
    return math.log(high / low) * (0.5 / (LEVELS - 1) + 0.5 / 255 + 1e-6)


def lognormal(box, seed=0):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, 1, box.meshsize))
    return delta(values / values.mean() - 1, box)


def test_an_image_holds_the_mean_of_its_slab_in_steps_of_the_logarithm():
    box = Box((24, 40, 32), (12, 20, 16))
    field = lognormal(box)
    made = plan_slices(field, num_fields=1, budget=1e9)
    made.add("truth", field)
    low, high = made.limits
    for view, depth in zip(made.views, (1, 2), strict=True):
        planes = made.images[view.name]["truth"]
        slabs = view.to_dict()["slabs"]
        assert len(planes) == len(slabs) == round(box.boxsize[depth] / 10)
        assert (slabs[0][0], slabs[-1][1]) == (0, box.boxsize[depth])
        for (lower, upper), text in zip(slabs, planes, strict=True):
            cells = slice(round(lower / 2), round(upper / 2))
            part = field.numpy()[(slice(None),) * depth + (cells,)]
            expected = np.clip(1 + part.mean(axis=depth, dtype=float), low, high)
            # the first axis to the right, the last one up
            found = np.log(low) + decoded(text)[::-1].T / 255 * math.log(high / low)
            np.testing.assert_allclose(found, np.log(expected), atol=half_a_step(low, high))


def test_a_deep_line_of_sight_lies_down():
    box = Box((20, 20, 60), (10, 10, 30))
    made = plan_slices(lognormal(box), num_fields=1, budget=1e9)
    made.add("truth", lognormal(box))
    along = made.views[0]
    assert (along.across, along.up) == (2, 0)
    assert decoded(made.images["along"]["truth"][0]).shape == (10, 30)


def test_slabs_are_left_out_to_fit_a_budget_and_that_is_said():
    box = Box((64, 64, 64), (32, 32, 32))
    field = lognormal(box)
    names = ("truth", "spec", "photo")

    def cut(budget):
        made = plan_slices(field, num_fields=len(names), budget=budget)
        for name in names:
            made.add(name, field)
        return made.fitted(budget)

    def num_bytes(made):
        every = (texts for by_field in made.images.values() for texts in by_field.values())
        return sum(len(text) for texts in every for text in texts)

    whole = cut(1e9)
    assert "To keep the page small" not in whole.words
    tight = cut(0.45 * num_bytes(whole))
    assert num_bytes(tight) <= 0.45 * num_bytes(whole)
    assert "along the line of sight 2 of 6 slabs; across the line of sight 2 of 6" in tight.words
    for view in tight.views:
        for name in names:
            kept = [whole.images[view.name][name][slab] for slab in view.shown]
            assert tight.images[view.name][name] == kept


def test_cells_of_large_fields_are_joined():
    box = Box((1100, 20, 1100), (550, 10, 550))
    field = lognormal(box)
    made = plan_slices(field, num_fields=4, budget=4e4)
    along = made.views[0]
    assert along.factor == 2
    assert "2 x 2 cells joined" in made.words
    made.add("truth", field)
    low, high = made.limits
    first = decoded(made.images["along"]["truth"][0])[::-1].T
    start, stop = along.edges[along.shown[0]], along.edges[along.shown[0] + 1]
    plane = 1 + field.numpy()[:, start:stop].mean(axis=1, dtype=float)
    joined = plane.reshape(275, 2, 275, 2).mean(axis=(1, 3))
    steps = np.rint(np.clip(np.log(joined / low) / np.log(high / low), 0, 1) * (LEVELS - 1))
    np.testing.assert_allclose(first, np.rint(steps * 255 / (LEVELS - 1)))


def test_the_still_is_the_middle_slab_in_the_colours_of_the_bar():
    box = Box((24, 40, 32), (12, 20, 16))
    made = plan_slices(lognormal(box), num_fields=1, budget=1e9)
    made.add("truth", lognormal(box))
    images = made.images["along"]["truth"]
    still = made.still("truth").removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(still))) as still:
        colors = np.asarray(still.convert("RGB"))
    grey = decoded(images[len(images) // 2]).astype(int)
    np.testing.assert_array_equal(colors, palette()[grey])


def test_ticks_are_on_the_logarithmic_bar():
    found = ticks((0.1, 10.0))
    assert found == pytest.approx(
        {"0.1": 0, "0.2": 0.1505, "0.5": 0.3495, "1": 0.5, "2": 0.6505, "5": 0.8495, "10": 1},
        abs=1e-4,
    )


# --- the page -----------------------------------------------------------------------------------


def test_the_page_loads_nothing(finished):
    _, page = finished
    shell = re.sub(r'id="slice-data">.*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", shell)
    assert not re.search(r"url\((?!data:)|@import|https?://|fetch\(|XMLHttp", shell)
    assert "default-src 'none'" in shell
    assert GENERATOR in page[:1000]


def test_the_page_holds_every_part_of_a_finished_run(finished):
    _, page = finished
    words = visible(page)
    assert "Not there" not in words
    assert page.count('class="card"') == 4  # three figures and the losses
    assert words.index("Fig. 3: slices") < words.index("Fig. 4: auto") < words.index("Fig. 5: pow")
    assert "paper 5.10 ± 0.67" in words
    assert "Test &amp; training are &lt;apart&gt;." in words
    assert "train 2 h 5 min 3.40 GB yes" in words
    assert "0123456789ab" in words
    assert "truez paper --recipe paper-small --out 'my run'" in words.replace("&#39;", "'")


def test_the_table_holds_the_numbers_of_its_file(finished):
    folder, page = finished
    scores = RunFolder.read(folder).scores
    mean = scores["wiener"]["mse"]
    row = re.search(r'<th scope="row">wiener<.*?</tr>', page, re.DOTALL)[0]
    assert f"{mean.mean:#.3g} ± {mean.sigma:#.2g}" in row
    assert f"({mean.error:#.2g})" in row
    lowest = min(scores, key=lambda name: scores[name]["mse"].mean)
    (best,) = re.findall(
        r'<th scope="row">([\w-]+)<small>[^<]*</small></th><td class="best">', page
    )
    assert best == lowest == "unet"


def test_the_slices_are_those_of_the_fields(finished):
    folder, page = finished
    data = slice_data(page)
    along = data["views"][0]
    assert list(along["images"]) == [
        "truth", "unet", "wiener", "wiener-spec", "unet-per-box", "spec", "photo"
    ]  # fmt: skip
    low, high = data["limits"]
    field = Field.read(folder / "surveys" / "truth.h5")
    lower, upper = along["slabs"][0]
    plane = 1 + field.numpy()[:, round(lower / 2) : round(upper / 2)].mean(axis=1)
    found = decoded(along["images"]["truth"][0])[::-1].T / 255 * math.log(high / low)
    expected = np.log(np.clip(plane, low, high) / low)
    np.testing.assert_allclose(found, expected, atol=half_a_step(low, high))


def test_fields_of_a_part_of_the_box_are_shown_on_their_cells(finished, tmp_path):
    """Without the painted surveys the mock is painted, and cut as the fields are."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    shutil.rmtree(folder / "surveys")
    for path in (folder / "fields").glob("*.h5"):
        Field.read(path).crop((4, 0, 8), (20, 24, 32)).write(path)
    data = slice_data(write_run_page(folder).read_text(encoding="utf-8"))
    along = data["views"][0]
    assert (along["x"], along["y"]) == ([8, 40], [16, 64])
    truth = Field.read(finished[0] / "surveys" / "truth.h5").crop((4, 0, 8), (20, 24, 32))
    low, high = data["limits"]
    lower, upper = along["slabs"][0]
    plane = 1 + truth.numpy()[:, round(lower / 2) : round(upper / 2)].mean(axis=1)
    found = decoded(along["images"]["truth"][0])[::-1].T / 255 * math.log(high / low)
    expected = np.log(np.clip(plane, low, high) / low)
    np.testing.assert_allclose(found, expected, atol=half_a_step(low, high))


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    (tmp_path / "run.toml").write_text("[run]\nrecipe = 'paper'\nnetwork = false\n")
    page = write_run_page(tmp_path).read_text(encoding="utf-8")
    words = visible(page)
    for sentence in (
        "No field has been judged yet.",
        "The mock of the test box is not there: no slices can be shown.",
        "figures/ holds no figure.",
        "results/table1.ecsv is not there",
    ):
        assert sentence in words
    assert "no network has been trained" not in words
    assert "--without-network" in words
    assert "<script" not in page


def test_surveys_are_shown_before_there_is_a_reconstruction(finished, tmp_path):
    shutil.copy(finished[0] / "run.toml", tmp_path)
    shutil.copytree(finished[0] / "surveys", tmp_path / "surveys")
    data = slice_data(write_run_page(tmp_path).read_text(encoding="utf-8"))
    assert list(data["views"][0]["images"]) == ["truth", "spec", "photo"]


def test_fields_that_do_not_belong_are_left_out_and_named(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    fields = folder / "fields"
    (fields / "broken.h5").write_bytes(b"no")
    lognormal(Box(10, 8)).write(fields / "elsewhere.h5")
    wiener = Field.read(fields / "wiener.h5")
    Field(wiener.values + 1, wiener.box, "counts").write(fields / "counts.h5")
    page = write_run_page(folder).read_text(encoding="utf-8")
    words = visible(page)
    assert "broken.h5 is left out of the slices: it is not a field that truez wrote." in words
    assert "counts.h5 is left out of the slices: it holds counts, not an overdensity." in words
    assert "elsewhere is left out of the slices: it lies on another box" in words
    assert not {"broken", "elsewhere", "counts"} & set(slice_data(page)["views"][0]["images"])


def test_the_folder_of_the_demo_has_a_page(helper, finished, tmp_path):
    """A mock, fields beside it, and the numbers and pictures of an evaluation."""
    shutil.copytree(finished[0] / "mock-test", tmp_path / "demo")
    shutil.copy(finished[0] / "fields" / "wiener.h5", tmp_path / "demo")
    report = tmp_path / "demo" / "report"
    report.mkdir()
    entry = {"mse": 3.0, "correlation": None, "k": [0.1], "mse_over_variance": 0.4}
    boxes = {"sub_boxes": {"mse": {"mean": 3.5, "sigma": 1.0, "error": 0.5}}}
    (report / "metrics.json").write_text(json.dumps({"photo": entry, "wiener": entry | boxes}))
    shutil.copy(finished[0] / "figures" / "power_2d.png", report)
    page = write_run_page(tmp_path / "demo", out=tmp_path / "page.html").read_text("utf-8")
    words = visible(page)
    assert "is the Wiener filter, 3.50 ± 0.50 (mean over 4 sub-boxes" in words
    assert list(slice_data(page)["views"][0]["images"]) == ["truth", "wiener", "spec", "photo"]
    assert "Power across and along the line of sight." in words
    only = write_run_page(report, out=tmp_path / "only.html").read_text("utf-8")
    assert "The fields are not kept with an evaluation" in visible(only)


@pytest.mark.medium
def test_the_page_of_an_evaluation_holds_verdict_tables_slices_and_figures(helper, tmp_path):
    mock = helper.make_mock_of((24, 24, 32))
    smooth = mock.fields()[2].smooth(4.0)
    given = {"mine": Field(smooth.values, smooth.box, "delta")}
    found = evaluate_mock(mock, given, smoothing=())
    (tmp_path / "losses.csv").write_text("step,train,validation\n1,9,8\n2,5,4\n")
    file = found.write(
        tmp_path / "report",
        title="A & B",
        commands=["truez evaluate mock mine.h5"],
        losses=tmp_path / "losses.csv",
    )
    page = file.read_text(encoding="utf-8")
    words = visible(page)
    assert "Lowest in mean squared error is mine" in words
    assert "in redshift space at redshift 0.59" in words
    assert found.context()[:40] in words
    for table in found.tables():
        assert table.title in words
    names = ["slices_along", "slices_across", "spectra", "power_2d", "losses"]
    captions = json.loads((tmp_path / "report" / "captions.json").read_text(encoding="utf-8"))
    assert list(captions) == [f"{name}.png" for name in names]
    assert page.count('class="card"') == len(names)
    assert all(entry["title"] in words for entry in captions.values())
    assert list(slice_data(page)["views"][0]["images"]) == ["truth", "mine", "spec", "photo"]
    assert "truez evaluate mock mine.h5" in words
    assert '"catalogue": "lognormal galaxies"' in words.replace("&#34;", '"')
    with pytest.raises(ValueError, match="is there already and is no page of truez report"):
        write_run_page(tmp_path / "report", out=file)


def test_only_an_older_page_is_replaced(finished, tmp_path):
    (tmp_path / "run.toml").write_text("")
    page = write_run_page(tmp_path)
    before = page.read_text()
    assert write_run_page(tmp_path).read_text() == before
    page.write_text("my notes")
    with pytest.raises(ValueError, match="is there already and is no page of truez report: give"):
        write_run_page(tmp_path)
    assert page.read_text() == "my notes"
    with pytest.raises(ValueError, match="is a folder: give the file"):
        write_run_page(tmp_path, out=tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.21, "3.2 s"), (61.2, "1 min 1 s"), (59.99, "60.0 s"), (7512, "2 h 5 min")],
)
def test_times_are_written_as_people_do(seconds, text):
    assert duration(seconds) == text


BROKEN = {
    "no folder": (None, "there is no folder"),
    "empty": ({}, "is not the folder of a run: it holds no run.toml (truez paper), no mock.toml"),
    "toml": ({"run.toml": "a ="}, "run.toml is not TOML"),
    "stages": (
        {"run.toml": "", "stages.json": "{"},
        "stages.json is damaged in line 1, column 2",
    ),
    "stages, no list": ({"run.toml": "", "stages.json": "[1]"}, "stage 0 in "),
    "table": (
        {"run.toml": "", "results/table1.ecsv": "# %ECSV 1.0\n# ---\na b\n1 2\n"},
        "table1.ecsv is not a table of scores",
    ),
    "figure": (
        {"run.toml": "", "figures/a.png": "GIF89a"},
        "a.png is not a PNG file: make the figures again",
    ),
    "mock": ({"mock.toml": "[mock]\n"}, "mock.toml is damaged, as box is missing: make the mock"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_run_is_told_in_one_sentence(case, tmp_path, capsys):
    files, sentence = BROKEN[case]
    folder = tmp_path / "run"
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if files == {}:
        folder.mkdir()
    assert run("report", folder) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (folder / "report.html").exists()


def test_the_command_says_where_the_page_is(finished, tmp_path, capsys):
    assert run("report", finished[0], "--out", tmp_path / "page.html") == 0
    assert f"{tmp_path / 'page.html'}: to look at (" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text() == finished[1]
