"""What a method is given for a patch of a partition is what the whole surveys give it."""

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, surveys_of, tables
from tests.sky.partition.divided_sky import SkyInput

from truez.catalogs.catalog import Catalog
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.patch_surveys import patch_surveys
from truez.sky.partition.stored import Partition
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.surveys.footprint import Rectangle


def test_data_of_patches_are_those_of_the_whole_surveys(tmp_path):
    cone = light_cone(density=0.01)
    whole = surveys_of(cone)
    photo, spec = tables(cone)
    Catalog(photo).write(tmp_path / "photo.parquet")
    Catalog(spec).write(tmp_path / "spec.parquet")
    plan = PatchPlan(
        Rectangle(354, 6, -3, 3), whole.cosmology, whole.redshift_range, whole.largest_error,
        whole.nz, PatchSettings(cellsize=6, widest=5, halo=12),
    )  # fmt: skip
    divided = Partition.make(
        tmp_path / "out", plan, photo=SkyInput(tmp_path / "photo.parquet", ("RA", "Dec", "Z")),
        spec=SkyInput(tmp_path / "spec.parquet", ("RA", "Dec", "Z")),
    )  # fmt: skip
    assert len(divided) >= 4
    for number, patch in enumerate(divided.patches):
        inputs = divided.read(number)
        made = patch_surveys(inputs, whole, match_id="ID")
        ours, theirs = PatchData(made, patch.box), PatchData(whole, patch.box)
        assert made.common == pytest.approx(whole.common, rel=1e-12)
        np.testing.assert_array_equal(inputs.photo.rows[ours.within()], theirs.within())
        np.testing.assert_array_equal(
            ours.spec_counts("cic").values, theirs.spec_counts("cic").values
        )
        np.testing.assert_allclose(
            ours.expected_unknown(), theirs.expected_unknown(), rtol=1e-6, atol=1e-12
        )
        lines = np.ones(patch.box.meshsize[:2], bool)
        known, wanted = ours.known(lines)[0], theirs.known(lines)[0]
        # But for spectra of galaxies whose photo-z is in no box with them, 3 errors away.
        assert 0.99 * len(wanted) <= len(known) <= len(wanted)
        likelihood = ours.likelihood(ours.within()[:5])
        np.testing.assert_array_equal(likelihood, theirs.likelihood(theirs.within()[:5]))
