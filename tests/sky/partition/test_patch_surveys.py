"""What a method is given for a patch of a partition is what the whole surveys give it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sky.light_cone import SIGMA, light_cone, tables

from truez.catalogs.catalog import Catalog
from truez.sky.details import SkyDetails
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.patch_surveys import patch_surveys
from truez.sky.partition.shared import SharedSurveys
from truez.sky.partition.sky_input import SkyInput
from truez.sky.partition.stored import Partition
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Rectangle

RANGE = (0.105, 0.253)


@pytest.fixture(scope="module")
def catalogs():
    """The tables of a cone whose galaxies have errors, weights and magnitudes of their own."""
    cone = light_cone(density=0.01, own_errors=True)
    photo, spec = tables(cone)
    rng = np.random.default_rng(3)
    for table in (photo, spec):
        num = len(table["Z"])
        table["W"] = rng.uniform(0.8, 1.6, num)
        table["Mag"] = rng.uniform(20, 25, num)
        table["FO"] = rng.choice([0.0, 0.05], num)
    photo["Z_ERR"] = photo["SZ"] * (1 + photo["Z"])
    photo["Z_SPEC"] = np.where(cone.spec, cone.z, -99.0)
    photo["SZ"][::50] = np.nan
    return photo, spec


def divided(folder, catalogs, whole, nested=None, **changes):
    """A partition of the catalogues in small patches."""
    photo, spec = catalogs
    if nested is None:
        Catalog(photo).write(folder / "photo.parquet")
    else:
        pq.write_table(pa.table(photo | nested), folder / "photo.parquet", row_group_size=3000)
    Catalog(spec).write(folder / "spec.parquet")
    plan = PatchPlan(
        Rectangle(354, 6, -3, 3), whole.cosmology, RANGE, whole.largest_error, whole.nz,
        PatchSettings(cellsize=8, widest=5, halo=16),
    )  # fmt: skip
    columns = ("RA", "Dec", "Z")
    one = "spec_z_column" in changes
    return Partition.make(
        folder / "out", plan, photo=SkyInput(folder / "photo.parquet", columns, **changes),
        spec=None if one else SkyInput(folder / "spec.parquet", columns),
    )  # fmt: skip


CASES = {
    "one error": {"sigma_z": SIGMA},
    "own errors": {"sigma_z_column": "SZ"},
    "absolute errors": {"z_err_column": "z_err"},
    "outliers": {"sigma_z_column": "SZ", "outlier_fraction": "FO"},
    "weights": {"sigma_z": SIGMA, "weight_column": "W", "spec_weight_column": "W"},
    "cuts": {"sigma_z_column": "SZ", "photo_cut": ("mag<24.5",), "spec_cut": ("mag<23",)},
    "positions": {"sigma_z": SIGMA, "match_radius": 1.0},
    "one catalogue": {"z_err_column": "Z_ERR", "spec_z_column": "Z_SPEC", "spec_cut": ("Mag<24",)},
    "an overlap": {"sigma_z": SIGMA, "overlap": 0.7},
}


def surveys(photo, spec, *, redshift_range=RANGE, **given):
    """The surveys on one machine, and the arguments that a partition is given."""
    own = {name: given.pop(name) for name in ("sigma_z", "overlap") if name in given}
    by_id = not {"match_radius", "spec_z_column"} & set(given) and "overlap" not in own
    own["match_id"] = "ID" if by_id else None
    details = SkyDetails(redshift_space=False, **given)
    whole = SkySurveys.from_catalogs(
        photo=photo, spec=None if "spec_z_column" in given else spec, footprint=(354, 6, -3, 3),
        details=SkyDetails(
            redshift_space=False, redshift_range=redshift_range, sky=("RA", "Dec", "Z"), **given
        ), **own,
    )  # fmt: skip
    return whole, own | {"details": details}


@pytest.mark.filterwarnings("ignore:.*exactly where a photo galaxy is")  # of an overlap of 0.7
@pytest.mark.parametrize("case", CASES)
def test_data_of_patches_are_those_of_the_whole_surveys(tmp_path, catalogs, case):
    whole, given = surveys(*catalogs, **CASES[case])
    one = {"spec_z_column": "Z_SPEC"} if case == "one catalogue" else {}
    made = divided(tmp_path, catalogs, whole, **one)
    assert len(made) >= 4
    shared = SharedSurveys.of_partition(made, **given)
    assert len(whole.classes) == len(shared.surveys.classes)
    assert (len(whole.classes) > 1) == (given.get("sigma_z") is None)
    found = 0
    for number, patch in enumerate(made.patches):
        inputs = made.read(number)
        own = patch_surveys(inputs, shared)
        ours, theirs = PatchData(own, patch.box), PatchData(whole, patch.box)
        assert own.common == pytest.approx(whole.common, rel=1e-12)
        rows = theirs.within()
        found += len(rows)
        np.testing.assert_array_equal(inputs.photo.rows[ours.within()], rows)
        np.testing.assert_array_equal(own.class_of[ours.within()], whole.class_of[rows])
        np.testing.assert_array_equal(
            ours.spec_counts("cic").values, theirs.spec_counts("cic").values
        )
        for name in ("expected_unknown", "expected_photo"):
            np.testing.assert_allclose(
                getattr(ours, name)(), getattr(theirs, name)(), rtol=1e-6, atol=1e-12
            )
        np.testing.assert_allclose(
            ours.own_places(ours.within()).expected, theirs.own_places(rows).expected,
            rtol=1e-6, atol=1e-12,
        )  # fmt: skip
        lines = np.ones(patch.box.meshsize[:2], bool)
        (known, weights), (wanted, heavy) = ours.known(lines), theirs.known(lines)
        # But for spectra of galaxies whose photo-z is in no box with them, 3 errors away.
        assert 0.97 * len(wanted) <= len(known) <= len(wanted)
        assert (weights is None) == (heavy is None)
        np.testing.assert_array_equal(
            ours.likelihood(ours.within()), theirs.likelihood(theirs.within())
        )
    assert found > 1000


@pytest.mark.medium
@pytest.mark.parametrize("prior", ["flat", "stack"])
def test_pdfs_in_a_nested_column_are_those_of_each_patch(tmp_path, catalogs, prior):
    photo, spec = catalogs
    scale = np.nan_to_num(photo["SZ"], nan=0.012) * (1 + photo["Z"])
    scale[::70] = np.nan
    rows = [[{"loc": loc, "scale": size}] if size > 0 else [] for loc, size
            in zip(photo["Z"], scale, strict=True)]  # fmt: skip
    kind = pa.list_(pa.struct([("loc", pa.float64()), ("scale", pa.float64())]))
    nested = {"fz_norm": pa.array(rows, kind)}
    pq.write_table(pa.table(nested), tmp_path / "pz.parquet")
    whole, given = surveys(photo, spec, pdf=tmp_path / "pz.parquet", pdf_prior=prior)
    given["details"] = replace(given["details"], pdf="FZ_norm")
    made = divided(tmp_path, catalogs, whole, nested)
    shared = SharedSurveys.of_partition(made, **given)
    assert len(whole.classes) == len(shared.surveys.classes) > 1
    for number, patch in enumerate(made.patches):
        inputs = made.read(number)
        own = patch_surveys(inputs, shared)
        ours, theirs = PatchData(own, patch.box), PatchData(whole, patch.box)
        rows = theirs.within()
        np.testing.assert_array_equal(inputs.photo.rows[ours.within()], rows)
        np.testing.assert_array_equal(own.class_of[ours.within()], whole.class_of[rows])
        np.testing.assert_array_equal(own.pdfs.usable, whole.pdfs.usable[inputs.photo.rows])
        np.testing.assert_array_equal(
            own.error.sigma_z[ours.within()], whole.error.sigma_z[rows]
        )  # fmt: skip
        np.testing.assert_array_equal(ours.likelihood(ours.within()), theirs.likelihood(rows))
        np.testing.assert_allclose(ours.expected_unknown(), theirs.expected_unknown(), rtol=1e-6)


def test_what_is_shared_is_measured_on_a_sample_of_both_catalogues(tmp_path, catalogs):
    whole, given = surveys(*catalogs, sigma_z_column="SZ", weight_column="W")
    made = divided(tmp_path, catalogs, whole)
    num = made.num_rows("photo")
    shared = SharedSurveys.of_partition(made, **given, most=num // 2)
    some = shared.surveys
    assert 0.4 < len(some.photo) / num < 0.6
    assert len(some.spec) == made.num_rows("spec")  # there are fewer, so all of them are
    assert some.nz.total == pytest.approx(whole.nz.total, rel=0.04)
    assert some.spec_nz.total == pytest.approx(whole.spec_nz.total, rel=1e-6)
    assert some.common == whole.common == 1
    assert some.unknown_weight == pytest.approx(whole.unknown_weight, rel=0.02)
    z = np.linspace(*RANGE, 11)
    np.testing.assert_allclose(some.nz.counts(z), whole.nz.counts(z), rtol=0.1)
    assert len(some.classes) == len(whole.classes) == 2
    for ours, theirs in zip(some.classes, whole.classes, strict=True):
        assert ours.error.sigma_z == pytest.approx(theirs.error.sigma_z, rel=0.01)
        assert ours.density.total == pytest.approx(theirs.density.total, rel=0.06)
    # Every process has the same numbers, of the files that the first one left.
    stamp = (made.folder / "shared/photo.parquet").stat().st_mtime_ns
    again = SharedSurveys.of_partition(Partition.open(made.folder), **given, most=num // 2)
    np.testing.assert_array_equal(again.surveys.nz.density, some.nz.density)
    assert (made.folder / "shared/photo.parquet").stat().st_mtime_ns == stamp
    more = SharedSurveys.of_partition(made, **given)
    np.testing.assert_array_equal(more.surveys.nz.density, whole.nz.density)
    # Classes of galaxies that are not in the sample.
    number = int(np.argmax([len(made.read(n).photo) for n in range(len(made))]))
    inputs = made.read(number)
    ours, theirs = (patch_surveys(inputs, one) for one in (shared, more))
    np.testing.assert_array_equal(ours.class_of, theirs.class_of)


def test_what_is_at_odds_with_the_partition_is_refused(tmp_path, catalogs):
    whole, _ = surveys(*catalogs, sigma_z=SIGMA)
    made = divided(tmp_path, catalogs, whole, columns=["ID"])

    def refused(**given):
        with pytest.raises(ValueError) as error:
            SharedSurveys.of_partition(made, match_id="ID", **given)
        return str(error.value)

    assert refused(details=SkyDetails(sigma_z_column="SZ")) == (
        "column 'SZ' of photo is not in the partition, which keeps RA, Dec, Z, ID: make it again "
        "with that column"
    )
    assert refused(sigma_z=SIGMA, details=SkyDetails(ra_unit="rad")) == (
        "details.ra_unit is 'rad', and the partition has None: leave it out"
    )
    assert refused(details=SkyDetails(pdf="fz_norm", pdf_prior="flat", pdf_id="ID")).startswith(
        "details.pdf must name the nested column of p(z)"
    )
