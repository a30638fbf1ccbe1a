"""The report: known numbers for synthetic fields, the files' contract, and honest pictures."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from astropy.table import Table
from PIL import Image

from truez.evaluate.evaluation import evaluate_fields
from truez.evaluate.figures.captions import CAPTIONS
from truez.evaluate.figures.losses import losses, read_losses
from truez.evaluate.figures.slices import project, slices
from truez.evaluate.figures.spectra import spectra
from truez.evaluate.figures.style import STYLES, Picture, line_styles, save
from truez.evaluate.judge import Judge, sub_box_cells
from truez.evaluate.page.page import Embedded, Page, page_tables
from truez.evaluate.store import REDSHIFTS
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import smooth
from truez.statistics.power import compare
from truez.statistics.scores import SCORES
from truez.support.progress import silent

BOX = Box(64, 32)
SIGMA = 1.0


def delta(values, box=BOX) -> Field:
    return Field(torch.as_tensor(np.asarray(values), dtype=torch.float32), box, "delta")


@pytest.fixture(scope="module")
def given():
    """A truth of independent lognormal cells (1 + delta > 0, mean 0) and fields made from it."""
    rng = np.random.default_rng(3)
    cells = np.exp(rng.normal(0, 0.7, BOX.meshsize))
    truth = cells / cells.mean() - 1
    noise = rng.normal(0, SIGMA * truth.std(), BOX.meshsize)
    return {
        "truth": delta(truth),
        "photo": delta(truth + 2 * noise),
        "spec": delta(np.where(truth > 1, 3.0, -0.5)),
        "same": delta(truth),
        "noisy": delta(truth + noise),
        "half": delta(truth / 2),
    }


@pytest.fixture(scope="module")
def found(given):
    return run(given)


def run(given, *, methods=("same", "noisy", "half"), r_opt=None, progress=silent, **options):
    judge = Judge(given["truth"], **{"cells": sub_box_cells, **options})
    methods = {name: given[name] for name in methods}
    return evaluate_fields(
        judge, given["photo"], given["spec"], methods, r_opt=r_opt, progress=progress
    )


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


# --- numbers ------------------------------------------------------------------------------------


def test_the_constant_fields_score_what_they_must(found, given):
    variance = float(given["truth"].values.double().var(correction=0))
    zero, empty = found.numbers.numbers("zero"), found.numbers.numbers("empty")
    assert zero["mse"] == pytest.approx(variance, rel=1e-5)
    assert empty["mae"] == pytest.approx(1, rel=1e-5)
    assert empty["mse"] == pytest.approx(variance + 1, rel=1e-5)
    assert zero["mse_over_variance"] == pytest.approx(1, rel=1e-5)


def test_the_truth_itself_is_perfect(found):
    scores, spectra = found.numbers.numbers("same"), found.spectra("same")
    assert scores["mse"] == 0
    assert scores["correlation"] == pytest.approx(1)
    np.testing.assert_allclose(spectra.r, 1, atol=1e-6)
    np.testing.assert_allclose(spectra.transfer, 1, atol=1e-6)


def test_half_the_truth_keeps_r_and_halves_the_transfer(found):
    spectra = found.spectra("half")
    np.testing.assert_allclose(spectra.r, 1, atol=1e-6)
    np.testing.assert_allclose(spectra.transfer, 0.5, atol=1e-6)
    assert found.numbers.numbers("half")["mse_over_variance"] == pytest.approx(0.25, rel=1e-5)


def test_white_noise_lowers_r_as_it_must(found):
    """Independent cells: P_t and P_n are flat, so r = 1 / sqrt(1 + SIGMA^2) in every bin."""
    comparison = found.spectra("noisy")
    expected = 1 / math.sqrt(1 + SIGMA**2)
    error = (1 - expected**2) / np.sqrt(comparison.nmodes / 2)
    assert len(comparison.k) > 10
    assert (np.abs(comparison.r - expected) < 5 * error).all()
    assert found.numbers.numbers("noisy")["mse_over_variance"] == pytest.approx(SIGMA**2, rel=0.03)


def test_fields_are_smoothed_before_they_are_cut(given):
    start, stop = (0, 4, 8), (32, 28, 24)
    part = run(given, region=(start, stop), radii=(4,))
    values = [smooth(given[name].values, BOX, 4)[:, 4:28, 8:24] for name in ("noisy", "truth")]
    expected = float(((values[0] - values[1]) ** 2).mean())
    assert part.about["smoothing"] == [0, 4]
    assert part.numbers.numbers("noisy")["mse_4"] == pytest.approx(expected, rel=1e-4)
    assert part.truth.box.meshsize == (32, 24, 16)


def test_constant_fields_stay_constant_under_smoothing(found, given):
    truth = smooth(given["truth"].values, BOX, 8).double()
    zero = found.numbers.numbers("zero")["mse_8"]
    assert zero == pytest.approx(float((truth**2).mean()), rel=1e-5)


def test_the_optimum_is_asked_for_in_the_bins_of_the_spectra(given):
    asked = []

    def r_opt(edges):
        asked.append(edges)
        return np.full(len(edges) - 1, 0.8)

    found = run(given, r_opt=r_opt, radii=())
    k = found.spectra("noisy").k
    assert len(asked) == 1
    assert found.r_opt.shape == k.shape
    assert ((asked[0][:-1] <= k[-1]) & (asked[0][1:] >= k[0])).all()
    entry = found.to_dict()["noisy"]
    expected = (1 - np.square(entry["r"])) / (1 - 0.64)
    np.testing.assert_allclose(entry["lost_over_optimum"], expected)
    assert found.band_table().rows[-1][0] == "linear optimum"


def test_sub_boxes_agree_with_a_score_of_each(given):
    found = run(given, cells=(16, 16, 16), radii=())
    values = (given["noisy"].values - given["truth"].values).double() ** 2
    each = values.reshape(2, 16, 2, 16, 2, 16).mean(dim=(1, 3, 5)).flatten().numpy()
    entry = found.to_dict()
    assert found.about["sub_boxes"] == {"cells": [16, 16, 16], "number": 8, "covered": 1}
    mse = entry["noisy"]["sub_boxes"]["mse"]
    assert mse["mean"] == pytest.approx(each.mean(), rel=1e-5)
    assert mse["sigma"] == pytest.approx(each.std(ddof=1), rel=1e-4)
    assert mse["error"] == pytest.approx(each.std(ddof=1) / math.sqrt(8), rel=1e-4)


def test_one_sub_box_gives_no_scatter(given):
    found = run(given, cells=lambda box: sub_box_cells(box, (64.0,)), radii=())
    assert not any("sub-boxes" in table.title for table in found.tables())
    assert "sub_boxes" not in found.to_dict()["noisy"]


def test_progress_names_every_field(given):
    seen = []
    run(given, radii=(), progress=lambda *state: seen.append(state))
    assert [state[3] for state in seen[:-1]] == run(given, radii=()).names
    assert seen[-1][1:3] == (7, 7)


# --- tables and files ---------------------------------------------------------------------------


def test_the_table_marks_the_best_of_each_column(found):
    table = found.tables()[0]
    names = [row[0] for row in table.rows]
    assert names == ["zero, δ = 0", "empty, δ = -1", "photo", "spec", "same", "noisy", "half"]
    mse = table.columns.index("MSE")
    assert {row for row, column in table.best if column == mse} == {names.index("same")}
    same = [line for line in table.markdown().splitlines() if line.startswith("| same")]
    assert len(same) == 1
    assert "**0.00**" in same[0]
    assert "**1.000**" in same[0]
    # the correlation of a constant does not exist
    assert table.rows[0][table.columns.index("C")] == "—"


@pytest.fixture(scope="module")
def folder(given, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "made" / "here"
    found = run(given, r_opt=lambda edges: np.full(len(edges) - 1, 0.8))
    found = replace(found, provenance={"seed": 1, "sigma": math.nan}, summary=["A test."])
    page = found.write(path, commands=["truez evaluate"])
    assert page == path / "index.html"
    stems = ("slices_along", "slices_across", "spectra", "power_2d")
    pictures = [Picture(path / f"{name}.png", *CAPTIONS[name]) for name in stems]
    return found, path, pictures


def test_metrics_keep_the_contract(folder):
    _, path, _ = folder
    metrics = strict((path / "metrics.json").read_text(encoding="utf-8"))
    names = ["zero", "empty", "photo", "spec", "same", "noisy", "half"]
    assert list(metrics) == names
    for name in names:
        entry = metrics[name]
        assert set(SCORES) <= set(entry)
        lengths = {len(entry[key]) for key in ("k", "r", "transfer", "r_opt", "power")}
        assert len(lengths) == 1
        assert all(value == 0.8 for value in entry["r_opt"])
        assert set(entry["smoothed"]) == {"4", "8"}
        assert {"correlation", "mse_over_variance"} <= set(entry["smoothed"]["4"])
        assert {entry[key] for key in REDSHIFTS} == {None}  # no galaxies beside a truth file
        assert ("r_bands" in entry) == (name not in ("zero", "empty"))
    assert metrics["zero"]["correlation"] is None
    for name in ("zero", "empty"):  # a constant has no modes
        assert set(metrics[name]["r"]) == {None}
        assert set(metrics[name]["power"]) == {0}
    assert metrics["same"]["psnr"] is None  # infinite
    assert metrics["same"]["smoothed"]["8"]["correlation"] == pytest.approx(1)
    assert metrics["zero"]["smoothed"]["8"]["correlation"] is None
    about = strict((path / "about.json").read_text(encoding="utf-8"))
    assert about["provenance"] == {"seed": 1, "sigma": None}
    assert about["region"]["stop"] == [32, 32, 32]


def test_an_unknown_optimum_is_null(found):
    assert found.to_dict()["noisy"]["r_opt"] is None
    assert found.to_dict()["noisy"]["lost_over_optimum"] is None


def test_spectra_are_read_back(folder):
    found, path, _ = folder
    table = Table.read(path / "spectra.ecsv", format="ascii.ecsv")
    comparison = found.spectra("noisy")
    np.testing.assert_array_equal(table["k"], comparison.k)
    np.testing.assert_array_equal(table["r_noisy"], comparison.r)
    np.testing.assert_array_equal(table["power_truth"], comparison.power_tt)
    assert "(Mpc/h)^3" in table["power_noisy"].description


def test_the_markdown_holds_every_table(folder):
    found, path, _ = folder
    text = (path / "table.md").read_text(encoding="utf-8")
    for table in found.tables():
        assert f"## {table.title}" in text
        assert table.markdown() in text


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zero", "empty", "photo", "spec", "truth"])
def test_a_taken_name_is_refused(given, name):
    with pytest.raises(ValueError, match=f"must not be called '{name}'.*rename its file"):
        run({**given, name: given["noisy"]}, methods=[name])


BROKEN = {
    "another box": (
        lambda f: delta(f.numpy()[::2, ::2, ::2], Box(64, 16)),
        "mine lies on another box .*make both on the same one",
    ),
    "shifted box": (
        lambda f: delta(f.numpy(), Box(64, 32, 0)),
        "mine lies on another box .*make both on the same one",
    ),
    "counts": (
        lambda f: Field(f.values + 1, BOX, "counts"),
        "mine must be an overdensity, not counts",
    ),
    "NaN": (
        lambda f: delta(np.where(np.arange(32) == 3, np.nan, f.numpy())),
        "mine holds 1024 cells that are not finite",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_field_that_does_not_fit_is_refused(given, case):
    make, sentence = BROKEN[case]
    with pytest.raises(ValueError, match=sentence):
        run({**given, "mine": make(given["noisy"])}, methods=["mine"])


def test_a_region_outside_the_box_is_refused(given):
    with pytest.raises(ValueError, match="cells 0 to 40 of axis 2 are not a range"):
        run(given, region=((0, 0, 0), (32, 32, 40)))


def test_a_constant_truth_is_refused(given):
    flat = delta(np.zeros(BOX.meshsize))
    with pytest.raises(ValueError, match="truth is constant over the region"):
        run({**given, "truth": flat})


@pytest.mark.parametrize("value", [np.array([0.5]), np.nan])
def test_an_optimum_that_does_not_fit_the_bins_is_refused(given, value):
    def r_opt(edges):
        return value if isinstance(value, np.ndarray) else np.full(len(edges) - 1, value)

    with pytest.raises(ValueError, match="r_opt must give one finite number for each"):
        run(given, r_opt=r_opt, radii=())


def test_bins_without_modes_are_refused(given):
    with pytest.raises(
        ValueError, match="edges must hold modes in every bin, but 1 of 3 hold none"
    ):
        run(given, edges=[0, 0.01, 0.2, 0.3], radii=())


# --- figures ------------------------------------------------------------------------------------


def test_every_figure_is_written_and_not_blank(folder):
    _, path, pictures = folder
    assert {found.stem for found in path.glob("*.png")} == {p.path.stem for p in pictures}
    for picture in pictures:
        with Image.open(picture.path) as image:
            pixels = np.asarray(image.convert("L"))
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        # lines cover little, maps much
        assert (pixels < 250).mean() > (0.02 if picture.path.stem == "spectra" else 0.4)
        assert len(np.unique(pixels)) > 50
        assert picture.path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("mesh", [(32, 12, 20), (12, 12, 40), (32, 32, 32)])
@pytest.mark.parametrize("view", ["along", "across"])
def test_slices_keep_the_shape_of_the_box_and_one_scale(mesh, view):
    box = Box(2.0 * np.array(mesh), mesh)
    rng = np.random.default_rng(0)
    fields = {name: delta(rng.lognormal(size=mesh) - 1, box) for name in "abcde"}
    figure = slices(fields, view=view)
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.images and axes.get_visible()]
    assert [axes.get_title() for axes in panels] == list(fields)
    assert len({id(axes.images[0].norm) for axes in panels}) == 1
    side = mesh[2] if view == "along" else mesh[1]
    for axes in panels:
        shape = axes.get_window_extent()
        turned = side > 2 * mesh[0]
        expected = mesh[0] / side if turned else side / mesh[0]
        assert shape.height / shape.width == pytest.approx(expected, rel=0.01)
        assert axes.images[0].get_array().shape == ((mesh[0], side) if turned else (side, mesh[0]))


def test_a_slice_is_the_mean_of_its_slab():
    values = np.arange(8 * 6 * 10, dtype=float).reshape(8, 6, 10)
    slab = project(delta(values, Box((16, 12, 20), (8, 6, 10))), 2, thickness=5)
    assert slab.thickness == 4  # two cells of 2 Mpc/h
    np.testing.assert_allclose(slab.image, 1 + values[:, :, 4:6].mean(axis=2))
    assert (slab.axes, slab.extent) == ((0, 1), (0, 16, 0, 12))


def test_an_axis_of_a_slice_points_the_right_way():
    """A wall at high z in a box is at the top of the picture that shows the line of sight."""
    values = np.zeros((10, 10, 10))
    values[:, :, 9] = 5
    figure = slices({"wall": delta(values, Box(20, 10))}, view="along")
    image = figure.axes[0].images[0]
    assert image.origin == "lower"
    assert (np.asarray(image.get_array())[9] == 6).all()


def test_no_letter_is_smaller_than_8_points(given):
    comparisons = {"photo": compare(given["photo"], truth=given["truth"])}
    made = [
        slices({"truth": given["truth"]}),
        spectra(comparisons),
        losses(np.arange(9.0), np.ones(9), np.ones(9)),
    ]
    for figure in made:
        figure.draw_without_rendering()
        sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text)]
        assert min(sizes) >= 8


def test_drawing_leaves_matplotlib_as_it_was(given, tmp_path):
    before = dict(matplotlib.rcParams)
    save(slices({"truth": given["truth"]}), tmp_path / "a.b")
    assert dict(matplotlib.rcParams) == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.b.png", "a.b.pdf"}


@pytest.mark.parametrize(
    ("fields", "view", "sentence"),
    [
        ({}, "along", "fields must hold at least one field"),
        ({"a": delta(np.ones((32,) * 3))}, "up", "view must be 'along' or 'across'"),
    ],
)
def test_bad_slices_are_refused(fields, view, sentence):
    with pytest.raises(ValueError, match=sentence):
        slices(fields, view=view)


def test_styles_never_repeat():
    others = [f"method {i}" for i in range(12)]
    for names in (["photo", "spec", *others], [*STYLES], ["wiener", "columns", *others]):
        styles = line_styles(names)
        assert list(styles) == names
        looks = {str(sorted(style.items(), key=str)) for style in styles.values()}
        assert len(looks) == len(names)


def test_a_field_looks_the_same_in_every_figure():
    few, many = line_styles(["mine", "columns"]), line_styles(["wiener", "columns", "unet"])
    assert few["columns"] == many["columns"] == STYLES["columns"]
    assert few["mine"]["color"] != few["columns"]["color"]


# --- losses -------------------------------------------------------------------------------------


def test_losses_are_read_and_the_best_is_marked(tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("step,train,validation,rate\n0,90,80,1\n1,50,\n2,5,7.5,1\n3,4,9,1\n")
    columns = read_losses(path)
    np.testing.assert_array_equal(columns["validation"], [80, np.nan, 7.5, 9])
    figure = losses(**columns)
    panel = figure.axes[0]
    star = next(line for line in panel.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (2, 7.5)
    assert panel.get_yscale() == "log"


def test_many_training_losses_are_drawn_with_their_mean():
    rng = np.random.default_rng(0)
    step = np.arange(1000.0)
    figure = losses(step, 5 + rng.normal(size=1000), np.full(1000, np.nan))
    raw, mean = figure.axes[0].lines
    assert len(raw.get_xdata()) == 1000
    assert mean.get_ydata().std() < 0.4 * raw.get_ydata().std()
    # each mean stands at the middle of the losses that it is made of
    assert abs(mean.get_xdata().mean() - step.mean()) <= 0.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("step,train\n1,2\n", "has no column 'validation'; its columns are: step, train"),
        ("step,train,validation\n", "holds no losses yet"),
        ("step,train,validation\n1,two,3\n", "holds a loss that is not a number"),
        ("", "has no column 'step'; its columns are: none"),
    ],
)
def test_bad_losses_are_refused(tmp_path, text, sentence):
    path = tmp_path / "losses.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_losses(path)


def test_absent_losses_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file of losses"):
        read_losses(tmp_path / "losses.csv")


# --- the page -----------------------------------------------------------------------------------


def test_the_page_holds_everything_and_loads_nothing(folder, tmp_path):
    found, _, pictures = folder
    page = Page(
        title="A <script> & more",
        words=["First words.", "Second words."],
        tables=page_tables(found.tables(), found.context()),
        figures=[Embedded.of(picture) for picture in pictures],
        documents={"provenance": json.dumps({"seed": 7, "where": str(tmp_path)})},
        commands=["truez evaluate a b", "truez demo"],
    ).write(tmp_path / "new", maker="truez evaluate")
    assert page == tmp_path / "new" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)|url\(|@import|https?://", text)
    assert "default-src 'none'" in text
    assert text.count("data:image/png;base64,") == len(pictures) == 4
    assert "<title>truez: A &lt;script&gt; &amp; more</title>" in text
    assert "<script" not in text
    for words in ("Second words.", "truez evaluate a b\ntruez demo", "&#34;seed&#34;: 7"):
        assert words in text
    assert found.context().split(".")[0] in text
    for table in found.tables():
        assert table.title in text
    assert text.count('class="best"') == sum(len(table.best) for table in found.tables())


def test_a_page_without_its_picture_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no picture .*write the figures before"):
        Embedded.of(Picture(tmp_path / "none.png", "t", "c"))


def test_a_picture_that_is_no_png_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match=r"a\.png is not a PNG file"):
        Embedded.of(Picture(tmp_path / "a.png", "t", "c"))
