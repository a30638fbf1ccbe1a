"""p(z) of the patches of a run are those of one process, in the order of the input."""

import shutil

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.docs.blocks import ROOT, SHOWN
from tests.sky.distributed.small_run import OPTIONS, begun, caller
from tests.sky.light_cone import SIGMA, light_cone

from truez.catalogs.catalog import Catalog
from truez.sky.distributed.driver import disk_of, make_patches, prepare
from truez.sky.distributed.patch_pdfs import QUANTILES, pdf_bytes
from truez.sky.distributed.run_plan import GivenSurveys, Wanted
from truez.sky.distributed.workers import OwnProcess
from truez.sky.pdf_output import sky_pdfs
from truez.sky.quantiles import LEVELS, some_levels
from truez.sky.reconstruct import sharpen
from truez.surveys.pdfs import read_ids, read_pdfs
from truez.surveys.pdfs.quantile_lists import numbers_of_lists
from truez.surveys.pdfs.reading import holds_sharpened

WANTED = Wanted(field=False, pdf=True)
#: The quantiles of a run that says nothing of them, and which of those of one process they are.
FEW = WANTED.levels
SHARED = np.searchsorted(LEVELS, FEW)


@pytest.fixture(scope="module")
def run(sky):
    made = begun(sky.partition.folder, sky.folder / "run", wanted=WANTED)
    assert make_patches(made, OwnProcess()) == []
    return made


@pytest.fixture(scope="module")
def in_memory(sky, tmp_path_factory):
    """The catalogue of one process, and its quantiles."""
    path, patches = tmp_path_factory.mktemp("pdfs") / "p.hdf5", sky.partition.patches
    with sky_pdfs(path, sky.whole, patches, layout="quant") as pdfs:
        found = sharpen(sky.whole, "redistribution", patches=patches, pdf_out=pdfs)
    with h5py.File(path) as file:
        assert np.array_equal(file["meta/quants"][0], LEVELS)
        return found.catalog, file["data/locs"][:]


@pytest.fixture
def truez(capsys, sky, monkeypatch):
    monkeypatch.chdir(sky.folder)
    # So that a small catalogue is joined in several parts.
    monkeypatch.setattr("truez.sky.distributed.join_catalog._WINDOW", 5000)
    monkeypatch.setattr("truez.sky.distributed.join_catalog._ROWS", 1200)
    return caller(capsys)


def quantiles(path, name=QUANTILES):
    return numbers_of_lists(pq.read_table(path)[name])


def test_joined_quantiles_are_those_of_one_process(run, in_memory, truez, tmp_path):
    code, out, err = truez("join", run.folder.path, "--redshifts", tmp_path / "z.parquet")
    assert (code, err) == (0, "")
    assert f"with p(z) as 19 quantiles: {QUANTILES}" in out
    catalog, theirs = in_memory
    ours, table = quantiles(tmp_path / "z.parquet"), pq.read_table(tmp_path / "z.parquet")
    known = np.isfinite(catalog["z_mean"])
    np.testing.assert_array_equal(np.isfinite(ours).all(1), known)
    assert np.isnan(ours[~known]).all()
    assert (~known).sum() == 2  # one galaxy beyond the map, and one without a photo-z
    same = known & (table["z_mean"].to_numpy() == catalog["z_mean"])
    assert same.sum() > 0.75 * len(ours)
    assert catalog["spec_matched"][same].sum() > 500
    np.testing.assert_array_equal(ours[same], theirs[same][:, SHARED])
    # Of the others a seam cuts the cell.
    error = (ours - theirs[:, SHARED])[known] / np.median(catalog["z_std"][known])
    assert np.sqrt(np.mean(error[:, 6:-6] ** 2)) < 0.005


@pytest.mark.slow
def test_any_number_of_quantiles_is_of_the_same_ones(run, sky, in_memory, tmp_path):
    found = {}
    for num in (5, 137):
        wanted = Wanted(field=False, pdf=True, quantiles=num)
        other = begun(sky.partition.folder, tmp_path / f"{num}", wanted=wanted)
        assert make_patches(other, OwnProcess(), [4]) == []
        found[num] = quantiles(other.folder.pdfs(4))
    assert found[5].shape == (len(found[137]), 5)
    few, fewest = (np.searchsorted(LEVELS, levels) for levels in (FEW, some_levels(5)))
    np.testing.assert_array_equal(quantiles(run.folder.pdfs(4)), found[137][:, few])
    np.testing.assert_array_equal(found[5], found[137][:, fewest])
    catalog, theirs = in_memory
    parts = pq.read_table(run.folder.redshifts(4))
    rows, mean = parts["truez_row"].to_numpy(), parts["z_mean"].to_numpy()
    same = mean == catalog["z_mean"][rows]
    assert same.sum() > 0.75 * len(rows)
    np.testing.assert_array_equal(found[137][same], theirs[rows[same]])
    # A folder keeps its number.
    with pytest.raises(
        ValueError, match="holds a run with another make, interval or number of quan"
    ):
        begun(sky.partition.folder, tmp_path / "137", wanted=WANTED)


def test_quantiles_and_columns_agree(run, truez, tmp_path):
    assert truez("join", run.folder.path, "--redshifts", tmp_path / "z.parquet")[0] == 0
    table = pq.read_table(tmp_path / "z.parquet")
    found, sharpened = quantiles(tmp_path / "z.parquet"), ~table["spec_matched"].to_numpy()
    for name, level in (("z_lo", 0.16), ("z_median", 0.5), ("z_hi", 0.84)):
        column = found[:, np.searchsorted(FEW, level)]
        values = table[name].to_numpy()
        np.testing.assert_allclose(column[sharpened], values[sharpened], atol=2e-6)
    assert (np.diff(found[np.isfinite(found[:, 0])]) > 0).all()


def test_a_folder_has_the_same_quantiles(run, truez, tmp_path):
    for name in ("z.parquet", "folder"):
        args = ["join", run.folder.path, "--redshifts", tmp_path / name, "--prefix", "t_"]
        assert truez(*args)[0] == 0
    whole, parts = quantiles(tmp_path / "z.parquet", f"t_{QUANTILES}"), []
    for path in sorted((tmp_path / "folder").glob("*.parquet")):
        rows = pq.read_table(path)["truez_row"].to_numpy()
        np.testing.assert_array_equal(quantiles(path, f"t_{QUANTILES}"), whole[rows])
        parts.append(rows)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(whole)))
    files = tmp_path / "folder" / "*.parquet"
    table, ids = read_pdfs(files), read_ids(files, "ID")
    assert len(read_pdfs(tmp_path / "folder")) == len(table)
    mean = Catalog.read(tmp_path / "z.parquet", ["t_z_mean"])["t_z_mean"][ids]
    np.testing.assert_allclose(table.moments()[0], mean, atol=3e-4)


@pytest.mark.medium
def test_a_run_that_was_ended_goes_on_to_the_same_files(run, sky, tmp_path):
    other = begun(sky.partition.folder, tmp_path / "run", wanted=WANTED)
    assert make_patches(other, OwnProcess(), [4, 1]) == []
    # As where a process was killed before its patch was whole.
    other.folder.record(4).unlink()
    other.folder.pdfs(4).write_bytes(b"cut off")
    again = begun(sky.partition.folder, tmp_path / "run", wanted=WANTED)
    assert make_patches(again, OwnProcess()) == []
    for number in range(6):
        ours, theirs = again.folder.pdfs(number), run.folder.pdfs(number)
        assert ours.read_bytes() == theirs.read_bytes()
        rows = [pq.read_table(path)["truez_row"] for path in (ours, run.folder.redshifts(number))]
        assert rows[0] == rows[1]


def test_galaxies_of_missing_patches_are_nan(run, truez, tmp_path):
    shutil.copytree(run.folder.path, tmp_path / "run")
    (tmp_path / "run/patches/patch-00002.json").unlink()
    lost = pq.read_table(run.folder.pdfs(2))["truez_row"].to_numpy()
    truez("join", run.folder.path, "--redshifts", tmp_path / "all.parquet")
    for name in ("some.parquet", "folder"):
        assert truez("join", tmp_path / "run", "--redshifts", tmp_path / name, "--partial")[0] == 0
    some, whole = quantiles(tmp_path / "some.parquet"), quantiles(tmp_path / "all.parquet")
    assert np.isnan(some[lost]).all()
    others = np.setdiff1d(np.arange(len(some)), lost)
    np.testing.assert_array_equal(some[others], whole[others])
    rest = quantiles(tmp_path / "folder/rest.parquet")
    assert len(rest) >= len(lost)
    assert np.isnan(rest).all()
    shutil.rmtree(tmp_path / "run/pdfs")
    code, _, err = truez("join", tmp_path / "run", "--redshifts", tmp_path / "no.parquet",
                         "--partial")  # fmt: skip
    assert code == 2
    assert "pdfs/patch-00000.parquet is missing or damaged" in err


def test_the_bytes_of_a_galaxy_are_those_that_are_stated(run, truez, tmp_path):
    rows = sum(pq.read_metadata(run.folder.pdfs(number)).num_rows for number in range(6))
    parts = sum(run.folder.pdfs(number).stat().st_size for number in range(6))
    # Files of a few hundred galaxies have some more.
    assert 0.7 * pdf_bytes(19) < parts / rows < 1.3 * pdf_bytes(19)
    truez("join", run.folder.path, "--redshifts", tmp_path / "z.parquet")
    about = pq.read_metadata(tmp_path / "z.parquet")
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    leaves = [group.column(about.num_columns - 1) for group in groups]
    assert {leaf.path_in_schema for leaf in leaves} == {f"{QUANTILES}.list.element"}
    joined = sum(leaf.total_compressed_size for leaf in leaves)
    assert 0.7 * pdf_bytes(19) < joined / about.num_rows < 1.3 * pdf_bytes(19)


def test_the_plan_states_p_of_z(sky, truez):
    run = ["run", sky.partition.folder, *OPTIONS, "--dry-run"]
    num = len(sky.tables[0]["ID"])
    given = GivenSurveys(SIGMA, "ID")
    without = disk_of(prepare(sky.partition.folder, given, "redistribution"))
    for more, quants in (([], 19), (["--quantiles", "137"], 137)):
        code, out, _ = truez(*run, "--make", "redshifts,pdf", *more)
        words = f"{quants} quantiles of each of {num} galaxies, about {pdf_bytes(quants)} bytes"
        assert (code, words in out) == (0, True)
        wanted = Wanted(pdf=True, quantiles=quants)
        size = disk_of(prepare(sky.partition.folder, given, "redistribution", wanted=wanted))
        assert size - without == pytest.approx(pdf_bytes(quants) * num)
    assert pdf_bytes(19) < 60


@pytest.mark.parametrize(
    ("make", "words"),
    [("pdf", "--make pdf makes p(z) without redshifts: give redshifts,pdf"),
     ("redshifts,pdfs", "--make must be field, redshifts or pdf, or several of them, not")],
)  # fmt: skip
def test_p_of_z_go_with_redshifts(sky, truez, make, words):
    code, _, err = truez("run", sky.partition.folder, *OPTIONS, "--make", make, "--dry-run")
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--make", "field", "--quantiles", "19"],
      "which --make field leaves out: give --make field,redshifts,pdf"),
     (["--quantiles", "33"], "leaves out: give --make field,redshifts,pdf"),
     (["--make", "redshifts,pdf", "--quantiles", "138"], "must be 5 to 137, not 138")],
)  # fmt: skip
def test_quantiles_are_a_number_of_those_of_p_of_z(sky, truez, options, words):
    code, _, err = truez("run", sky.partition.folder, *OPTIONS, *options, "--dry-run")
    assert code == 2
    assert words in err


def test_a_number_of_quantiles_that_is_none_is_refused_in_python(sky):
    wanted = Wanted(pdf=True, quantiles=4)
    with pytest.raises(ValueError, match="quantiles must be 5 to 137, not 4"):
        prepare(sky.partition.folder, GivenSurveys(SIGMA, "ID"), wanted=wanted)


@pytest.mark.medium
def test_what_reads_quantiles_reads_the_joined_file(run, sky, truez, tmp_path):
    path = tmp_path / "z.parquet"
    truez("join", run.folder.path, "--redshifts", path)
    code, out, _ = truez("info", f"{path}#{QUANTILES}")
    assert code == 0
    assert "quant, 19 quantiles from 0.0025 to 0.9975" in out
    assert "truez photoz --pdf-after" in out
    assert "truez photoz --pdf-after" in truez("info", path)[1]
    cone = light_cone(density=0.004)
    Catalog({"ID": np.arange(len(cone)), "TRUE": cone.z}).write(tmp_path / "truth.parquet")
    code, out, err = truez(
        "photoz", path, "--truth", "TRUE", "--truth-catalog", tmp_path / "truth.parquet",
        "--match-id", "ID", "--photo-z", "Z", "--pdf-after", path, "--out", tmp_path / "report",
    )  # fmt: skip
    assert code == 0, err
    assert "PIT" in out
    code, _, err = truez(
        "redshifts", "--photo", path, "--spec", "spec.parquet", "--sky", "RA,Dec,Z",
        "--footprint", "354,6,-3,3", "--match-id", "ID", "--pdf", path, "--pdf-prior", "flat",
        "--prefix", "again_", "--out", tmp_path / "again.parquet",
    )  # fmt: skip
    assert code == 2
    assert "holds sharpened p(z), which truez wrote" in err


def test_a_format_without_lists_says_that_p_of_z_are_left_out(run, truez, tmp_path):
    code, _, err = truez("join", run.folder.path, "--redshifts", tmp_path / "z.fits")
    assert code == 0
    assert "p(z) are left out of" in err
    assert QUANTILES not in " ".join(Catalog.read(tmp_path / "z.fits").columns)


def test_the_block_of_the_guide_writes_the_file_of_one_process(
    run, in_memory, truez, tmp_path, monkeypatch
):
    truez("join", run.folder.path, "--redshifts", tmp_path / "redshifts.parquet")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/guides/clusters.md").read_text(encoding="utf-8")
    (block,) = (one for one in SHOWN.findall(text) if "pdf_writer" in one)
    exec(compile(block, "clusters.md", "exec", dont_inherit=True), {})
    catalog, theirs = in_memory
    with h5py.File("pz.hdf5") as file:
        assert np.array_equal(file["meta/quants"][0], FEW)
        ours = file["data/locs"][:]
    same = pq.read_table("redshifts.parquet")["z_mean"].to_numpy() == catalog["z_mean"]
    same |= np.isnan(catalog["z_mean"])
    assert same.mean() > 0.75
    np.testing.assert_array_equal(ours[same], theirs[same][:, SHARED])
    assert read_ids("pz.hdf5", "ID").tolist() == list(range(len(ours)))
    assert holds_sharpened("pz.hdf5")
