"""Photo-z before and after: numbers are those of known errors, and the report says what it has."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.sharpened_catalog import AFTER, BEFORE, sharpened_catalog

from truez import Catalog
from truez.evaluate.photoz import PhotozDetails, judge_photoz, matched_truths
from truez.evaluate.photoz.numbers import JudgedPhotoz, equal_bins
from truez.evaluate.photoz.report import MARK, PHOTOZ_FILES
from truez.evaluate.sky.redshifts import point_numbers
from truez.surveys.pdfs import PdfTable

QUICK = PhotozDetails(dz=0.005, magnitude="MAG", num_bins=3)
BOX = (10, 12, -1, 1)


def gaussians(loc, scale):
    return PdfTable.of_arrays("norm", {"loc": loc, "scale": np.broadcast_to(scale, loc.shape)})


@pytest.fixture(scope="module")
def catalog():
    return sharpened_catalog()


@pytest.fixture(scope="module")
def tables(catalog):
    """p(z) before and after, which are right."""
    return {"pdf": gaussians(catalog["Z_PHOT"], BEFORE),
            "pdf_after": gaussians(catalog["z_median"], AFTER)}  # fmt: skip


@pytest.fixture(scope="module")
def report(catalog, tables):
    return judge_photoz(
        catalog, truth="Z_SPEC", photo_z="Z_PHOT", footprint=BOX, details=QUICK, **tables
    )


class TestNumbers:
    def test_only_galaxies_that_the_map_was_not_given_are_judged(self, catalog, report):
        known = catalog["Z_SPEC"] > 0
        left = known & ~catalog["spec_matched"]
        assert report.counts["with_truth"] == known.sum()
        assert report.counts["spec_matched"] == (known & catalog["spec_matched"]).sum()
        assert report.counts["num"] == report.numbers["num"] == left.sum()
        np.testing.assert_array_equal(report.judged.z_true, catalog["Z_SPEC"][left])

    def test_single_redshifts_are_those_of_the_sky(self, report):
        j = report.judged
        for when, z in (("before", j.z_before), ("after", j.z_after)):
            for name, value in point_numbers(z, j.z_true).items():
                assert report.numbers[f"{name}_{when}"] == value

    def test_scores_are_those_that_right_gaussians_have(self, report):
        n = report.numbers
        for when, sigma in (("before", BEFORE), ("after", AFTER)):
            for name, right in (
                ("inside_68", 68),
                ("crps", sigma / math.sqrt(math.pi)),
                ("cde_loss", -1 / (2 * sigma * math.sqrt(math.pi))),
                ("ln_p", -math.log(sigma * math.sqrt(2 * math.pi * math.e))),
            ):
                away = n[f"{name}_{when}"] - right
                assert abs(away) < 4 * n[f"{name}_{when}_error"] + 0.005 * abs(right), name
            assert n[f"pit_worst_tenth_{when}"] < 4 * 100 * math.sqrt(0.09 / n["num"])
            assert sum(n[f"pit_{when}"]) == pytest.approx(1)
            assert n[f"zero_{when}"] == 0
        assert abs(n["nats"] - math.log(BEFORE / AFTER)) < 4 * n["nats_error"] + 0.01
        assert n["nats"] == pytest.approx(n["ln_p_after"] - n["ln_p_before"], abs=1e-12)

    def test_errors_of_single_redshifts(self, report):
        j, n = report.judged, report.numbers
        sigma = np.std((j.z_before - j.z_true) / (1 + j.z_true))
        # The median absolute deviation of a Gaussian has an efficiency of 0.37.
        assert n["nmad_before_error"] == pytest.approx(sigma * 1.17 / math.sqrt(len(j)), rel=0.2)
        assert n["bias_before_error"] == pytest.approx(sigma * 1.25 / math.sqrt(len(j)), rel=0.2)

    def test_changes_of_the_same_galaxies_are_better_known_than_either(self):
        rng = np.random.default_rng(1)
        away = rng.normal(0, 0.05, 3000)
        z = np.full(away.size, 0.5)
        judged = JudgedPhotoz(z_true=z, z_before=z + away, z_after=z + 0.99 * away)
        n = judged.numbers()
        assert n["nmad_change"] == pytest.approx(-0.01 * n["nmad_before"])
        assert n["nmad_change_error"] < 0.1 * n["nmad_before_error"]

    def test_errors_of_the_share_of_outliers_are_binomial(self):
        rng = np.random.default_rng(1)
        z = np.full(4000, 0.5)
        wrong = np.where(rng.random(z.size) < 0.1, 1.5, 0.5)
        n = JudgedPhotoz(z_true=z, z_before=wrong, z_after=z).numbers()
        share = n["outliers_before"] / 100
        right = 100 * math.sqrt(share * (1 - share) / z.size)
        assert n["outliers_before_error"] == pytest.approx(right, rel=0.15)
        assert n["outliers_after"] == n["outliers_after_error"] == 0

    def test_the_same_before_and_after_is_no_change(self, catalog, tables):
        same = dict(catalog) | {f"z_{name}": catalog["Z_PHOT"] for name in ("median", "mean")}
        found = judge_photoz(
            same, truth="Z_SPEC", photo_z="Z_PHOT", pdf=tables["pdf"], pdf_after=tables["pdf"],
            details=QUICK,
        )  # fmt: skip
        changes = [v for k, v in found.numbers.items() if k.endswith(("_change", "_change_error"))]
        assert len(changes) == 12
        assert set(changes) == {0}
        assert found.numbers["nats"] == found.numbers["nats_error"] == 0
        assert "does not change" in found.verdict()
        assert found.table().best == frozenset()

    @pytest.mark.parametrize("wrong", [0.5, 2.0])
    def test_wrong_widths_show(self, catalog, report, tables, wrong):
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf=tables["pdf"],
            pdf_after=gaussians(catalog["z_median"], wrong * AFTER), details=QUICK,
        ).numbers  # fmt: skip
        right = report.numbers
        assert found["nats"] < right["nats"] - 5 * right["nats_error"]
        assert found["crps_after"] > right["crps_after"]
        assert found["ks_after"] > 5 * right["ks_after"]
        assert (found["inside_68_after"] > 68) == (wrong > 1)
        assert found["nmad_after"] == right["nmad_after"]


class TestBins:
    def test_bins_hold_every_galaxy_once(self, report):
        assert set(report.by) == {"redshift", "magnitude", "edge_distance"}
        for bins in report.by.values():
            assert len(bins) >= 3
            num = np.array([entry["num"] for entry in bins])
            assert num.sum() == report.numbers["num"]
            for name in ("crps_before", "nats", "inside_68_after", "outliers_after"):
                mean = np.average([entry[name] for entry in bins], weights=num)
                assert mean == pytest.approx(report.numbers[name], rel=1e-9)
            for entry in bins:
                assert entry["low"] <= entry["center"] <= entry["high"]

    def test_photo_z_bins_have_as_many_galaxies(self, report):
        num = [entry["num"] for entry in report.by["redshift"]]
        assert max(num) - min(num) <= 1

    def test_a_magnitude_that_is_not_known_is_in_no_bin(self, catalog):
        mag = np.where(np.arange(4000) % 2, catalog["MAG"], 99.0)
        found = judge_photoz(
            dict(catalog) | {"MAG": mag}, truth="Z_SPEC", photo_z="Z_PHOT", details=QUICK
        )
        assert sum(e["num"] for e in found.by["magnitude"]) < 0.6 * found.numbers["num"]
        assert sum(e["num"] for e in found.by["redshift"]) == found.numbers["num"]

    def test_distances_to_the_edge_are_at_the_photo_z(self, catalog):
        middle = dict(catalog) | {"RA": np.full(4000, 11.0), "DEC": np.zeros(4000)}
        found = judge_photoz(
            middle, truth="Z_SPEC", photo_z="Z_PHOT", footprint=BOX,
            details=PhotozDetails(redshift_range=(0.7, 0.72)),
        )  # fmt: skip
        (entry,) = found.by["edge_distance"]
        # 1 deg at z = 0.71 in the cosmology of Planck 2018.
        assert entry["center"] == pytest.approx(math.radians(1) * 1741, rel=0.02)
        assert entry["high"] == math.inf

    @given(
        st.lists(st.floats(0, 1), min_size=1, max_size=400),
        st.integers(1, 8),
        st.integers(1, 100),
    )
    @settings(max_examples=60)
    def test_equal_bins_hold_all_values(self, values, num_bins, fewest):
        given_values = np.array([*values, np.nan])
        edges = equal_bins(given_values, num_bins, fewest)
        assert 2 <= len(edges) <= num_bins + 1
        assert edges[0] == min(values)
        assert edges[-1] == max(values)

    @given(st.integers(2, 60), st.integers(1, 5))
    @settings(max_examples=30, deadline=None)
    def test_counts_of_bins_add_up(self, num, num_bins):
        rng = np.random.default_rng(num)
        z = rng.uniform(0.1, 1, num)
        judged = JudgedPhotoz(z_true=z, z_before=z + 0.01, z_after=z)
        bins = judged.numbers_by(z, equal_bins(z, num_bins, 1))
        assert sum(entry["num"] for entry in bins) == num
        for entry in bins:
            if entry["num"]:
                assert entry["outliers_after"] == entry["bias_after"] == entry["nmad_after"] == 0


class TestLeftOut:
    def test_flags_and_galaxies_without_redshifts(self, catalog):
        changed = {name: values.copy() for name, values in catalog.items()}
        rows = np.flatnonzero((catalog["Z_SPEC"] > 0) & ~catalog["spec_matched"])
        changed["flag"][rows[:5]] = 1
        changed["flag"][rows[5:8]] = 4  # at an edge: it has a posterior
        changed["z_median"][rows[10:14]] = np.nan
        changed["flag"][rows[10:14]] = 16
        changed["Z_PHOT"][rows[20:22]] = -99.0
        found = judge_photoz(changed, truth="Z_SPEC", photo_z="Z_PHOT")
        counts = found.counts
        assert counts["without_posterior"] == 9
        assert counts["without_photo_z"] == 2
        assert (counts["flag_1"], counts["flag_4"], counts["flag_16"]) == (5, 3, 4)
        assert counts["num"] == len(rows) - 11
        words = found.words()[0]
        for text in ("9 without a posterior", "2 without a photo-z", "5 outside the footprint"):
            assert text in words

    def test_galaxies_are_chosen_by_their_photo_z(self, catalog):
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT",
            details=PhotozDetails(redshift_range=(0.6, 0.8)),
        )  # fmt: skip
        assert found.judged.z_before.min() >= 0.6
        assert found.judged.z_before.max() <= 0.8
        assert found.judged.z_true.max() > 0.8
        assert found.counts["beyond_range"] > 0

    def test_p_of_z_that_cannot_be_used_are_in_no_score(self, catalog, tables):
        scale = np.full(4000, BEFORE)
        rows = np.flatnonzero((catalog["Z_SPEC"] > 0) & ~catalog["spec_matched"])
        scale[rows[:7]] = 0.0
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf=gaussians(catalog["Z_PHOT"], scale),
            pdf_after=tables["pdf_after"], details=QUICK,
        )  # fmt: skip
        assert found.numbers["num"] == len(rows)
        assert found.numbers["num_pdf"] == len(rows) - 7
        assert found.about["unusable"] == {"before": 7, "after": 0}
        assert "7 before cannot be used" in found.words()[1]


class TestZeros:
    """p(z) that are 0 at the truth of some galaxies count without limit unless there is a floor."""

    @pytest.fixture(scope="class")
    @classmethod
    def given(cls, catalog):
        z = np.where(catalog["Z_SPEC"] > 0, catalog["Z_SPEC"], 0.5)
        nodes = np.linspace(0, 2, 201)
        density = np.maximum(1 - np.abs(nodes - z[:, None]) / 0.1, 0)
        wrong = np.flatnonzero((catalog["Z_SPEC"] > 0) & ~catalog["spec_matched"])[:20]
        shifted = density.copy()
        shifted[wrong] = np.roll(density[wrong], 40, axis=1)
        return {name: PdfTable.of_arrays("interp", {"yvals": y}, nodes)
                for name, y in (("pdf", density), ("pdf_after", shifted))}  # fmt: skip

    def test_without_a_floor_they_are_counted_and_left_out(self, catalog, given):
        details = PhotozDetails(dz=0.01, floor=0)
        found = judge_photoz(catalog, truth="Z_SPEC", photo_z="Z_PHOT", details=details, **given)
        n = found.numbers
        assert (n["zero_before"], n["zero_after"]) == (0, 20)
        assert n["num_ln_p"] == n["num_pdf"] - 20
        assert n["nats"] == pytest.approx(0, abs=1e-12)
        assert n["crps_change"] > 0
        assert "20 after" in found.words()[1]

    def test_with_one_both_have_it(self, catalog, given):
        details = PhotozDetails(dz=0.01, floor=0.01)
        found = judge_photoz(catalog, truth="Z_SPEC", photo_z="Z_PHOT", details=details, **given)
        n = found.numbers
        assert n["num_ln_p"] == n["num_pdf"]
        assert (n["zero_before"], n["zero_after"]) == (0, 20)
        j = found.judged
        even = math.log(0.01 / j.reach)
        wrong = np.isneginf(j.after.ln_p)
        np.testing.assert_allclose(j.ln_p("after")[wrong], even)
        right = np.log(0.99 * np.exp(j.before.ln_p) + 0.01 / j.reach)
        np.testing.assert_allclose(j.ln_p("before"), right)
        loss = (even - right[wrong]).sum() / n["num_pdf"]
        assert n["nats"] == pytest.approx(loss, rel=1e-9)


class TestWhatIsKnown:
    def test_errors_make_gaussians_before(self, catalog, tables):
        details = PhotozDetails(dz=0.005, z_err_column="Z_ERR")
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf_after=tables["pdf_after"],
            details=details,
        )  # fmt: skip
        of_file = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", details=PhotozDetails(dz=0.005), **tables
        )
        for name in ("crps_before", "nats", "ks_before"):
            assert found.numbers[name] == pytest.approx(of_file.numbers[name], rel=1e-4)
        assert "Gaussians of the photo-z and their errors" in found.words()[1]

    def test_without_p_of_z_after_only_what_the_interval_tells(self, catalog, tables):
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf=tables["pdf"], details=QUICK
        )
        n, j = found.numbers, found.judged
        inside = np.abs(j.z_true - j.z_after) <= AFTER * 0.9944579
        # Within cells p(z) are even, so that a few galaxies are on the other side.
        assert n["inside_68_after"] == pytest.approx(100 * inside.mean(), abs=0.3)
        # Gaussians they are, so that the approximation is right.
        assert n["crps_after"] == pytest.approx(AFTER / math.sqrt(math.pi), rel=0.03)
        assert "crps_change" in n
        assert not {"nats", "ln_p_after", "cde_loss_after", "pit_after", "ks_after"} & n.keys()
        assert {"ln_p_before", "cde_loss_before", "pit_before"} <= n.keys()
        assert "are not known, and their CRPS is an approximation" in found.words()[1]
        assert "nats" not in found.verdict()

    def test_an_interval_of_another_probability(self, catalog):
        table = Catalog(catalog, metadata={"truez": {"interval": 0.9}})
        found = judge_photoz(table, truth="Z_SPEC", photo_z="Z_PHOT", details=QUICK)
        assert "inside_68_after" not in found.numbers
        assert found.numbers["crps_after"] < 0.9 * AFTER  # the same ends are narrower p(z)

    def test_without_p_of_z_before_there_is_no_gain(self, catalog):
        found = judge_photoz(catalog, truth="Z_SPEC", photo_z="Z_PHOT", details=QUICK)
        assert "crps_change" not in found.numbers
        assert "a gain is not known" in found.words()[1]
        assert [row[0] for row in found.table().rows][-1] == "CRPS [redshift]"

    def test_columns_with_a_prefix_and_another_point(self):
        columns = sharpened_catalog(prefix="truez_")
        columns["truez_z_mode"] = columns["truez_z_median"] + 0.1
        columns["alg_z_median"] = columns["Z_PHOT"]  # of a photo-z code
        found = judge_photoz(
            columns, truth="z_spec", photo_z="z_phot", details=PhotozDetails(point="mode")
        )
        assert found.numbers["bias_after"] == pytest.approx(0.1 / 1.75, rel=0.05)


class TestById:
    def test_truths_of_another_catalogue(self, catalog):
        rows = np.random.default_rng(1).permutation(4000)[:1000]
        other = {"id": catalog["ID"][rows], "Z": catalog["Z_SPEC"][rows]}
        z = matched_truths(catalog, other, "Z", "ID:id")
        known = np.zeros(4000, bool)
        known[rows] = catalog["Z_SPEC"][rows] > 0
        np.testing.assert_array_equal(np.isfinite(z), known)
        np.testing.assert_array_equal(z[known], catalog["Z_SPEC"][known])
        found = judge_photoz(catalog, truth=z, photo_z="Z_PHOT")
        assert found.counts["with_truth"] == known.sum()

    def test_p_of_z_in_another_order(self, catalog, tmp_path):
        import h5py

        rows = np.random.default_rng(1).permutation(4000)[:3900]
        with h5py.File(tmp_path / "pz.hdf5", "w") as file:
            file["meta/pdf_name"] = np.array([b"norm"])
            file["data/loc"] = catalog["Z_PHOT"][rows, None]
            file["data/scale"] = np.full((len(rows), 1), BEFORE)
            file["ancil/object_id"] = catalog["ID"][rows]
        found = judge_photoz(
            catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf=tmp_path / "pz.hdf5",
            pdf_after=gaussians(catalog["z_median"], AFTER),
            details=PhotozDetails(dz=0.005, pdf_id="ID:object_id"),
        )  # fmt: skip
        assert found.about["unusable"]["before"] > 0
        assert abs(found.numbers["inside_68_before"] - 68) < 4
        with pytest.raises(ValueError, match=r"^pdf has p\(z\) of 3900 galaxies, but catalog has"):
            judge_photoz(catalog, truth="Z_SPEC", photo_z="Z_PHOT", pdf=tmp_path / "pz.hdf5")


@pytest.mark.medium
def test_the_files_of_a_report(report, tmp_path):
    page = report.write(tmp_path / "out", title="Mine", commands=["truez photoz x"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(PHOTOZ_FILES)
    text = (tmp_path / "out" / "metrics.json").read_text()
    assert MARK in text
    found = json.loads(text)
    assert found["all"]["nats"] == report.numbers["nats"]
    assert found["by"]["edge_distance"][-1]["num"] > 0
    html = page.read_text()
    assert "truez photoz x" in html
    assert report.verdict() in html
    assert html.count("<img") == 5
    table = report.to_table()
    assert table["quantity"][0] == "all"
    assert len(table) == 1 + sum(map(len, report.by.values()))
    assert "sigma_NMAD falls from" in repr(report)


BROKEN = [
    ({"truth": "ZSPEC"}, "catalog has no column 'ZSPEC'"),
    ({"photo_z": "ZP"}, "catalog has no column 'ZP'"),
    ({"truth": "Z_PHOT"}, "truth must not be column 'Z_PHOT', which is photo_z: name the"),
    ({"catalog": {"Z_SPEC": np.full(4000, -99.0)}}, "column 'Z_SPEC' of catalog has a redshift in"),
    (
        {"catalog": {"Z_SPEC": 3e5 * np.linspace(0.1, 1, 4000)}},
        "column 'Z_SPEC' of catalog must hold redshifts, but its median is 1.65e+05: divide",
    ),
    ({"truth": np.ones(7)}, "truth must have a redshift or nan for each of 4000 galaxies of catal"),
    ({"truth": np.full(4000, np.nan)}, "column 'truth' of truth has a redshift in none of 4000"),
    ({"catalog": {"spec_matched": np.ones(4000, bool)}}, "of 3"),
    ({"catalog": {"z_median": None}}, "catalog has no columns z_median and spec_matched: give a"),
    ({"catalog": {"spec_matched": None}}, "catalog has no columns z_median and spec_matched: give"),
    ({"catalog": {"flag": None}}, "catalog has no column flag: give a catalogue that truez redsh"),
    ({"pdf": gaussians(np.full(9, 0.5), 0.1)}, "pdf has p(z) of 9 galaxies, but catalog has 4000"),
    (
        {"pdf_after": gaussians(np.full(9, 0.5), 0.1)},
        "pdf_after has p(z) of 9 galaxies, but catalog has 4000 rows: give",
    ),
    ({"details": {"redshift_range": (3, 4)}}, "of 2"),
    ({"details": {"redshift_range": (4, 3)}}, "redshift_range must be in order, not 4,3"),
    ({"details": {"point": "best"}}, "point must be one of median, mean, mode, not 'best'"),
    ({"details": {"dz": 0}}, "dz must be from 0.00001 to 0.1, not 0"),
    ({"details": {"dz": math.nan}}, "dz must be from 0.00001 to 0.1, not nan"),
    ({"details": {"floor": 1}}, "floor must be at least 0 and below 0.5, not 1"),
    ({"details": {"num_bins": 0}}, "num_bins must be from 1 to 50, not 0"),
    ({"details": {"magnitude": "M"}}, "catalog has no column 'M'"),
    ({"details": {"magnitude": "BAD"}, "catalog": {"BAD": np.full(4000, 99.0)}},
     "column 'BAD' of catalog holds no magnitude: choose another"),
    ({"details": {"z_err_column": "E"}, "catalog": {"E": np.zeros(4000)}},
     "z_err_column E of catalog has no error above 0 among the galaxies"),
    ({"details": {"pdf_id": "A:B:C"}}, "pdf_id must be COLUMN or COLUMN:COLUMN, not 'A:B:C'"),
    ({"footprint": (100, 102, -1, 1)}, "footprint misses "),
    ({"footprint": BOX, "details": {"sky": ("RA", "D")}}, "catalog has no column 'D'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), BROKEN)
def test_broken_input_is_one_sentence(catalog, change, sentence):
    columns = {k: v for k, v in (dict(catalog) | change.get("catalog", {})).items()
               if v is not None}  # fmt: skip
    given = {"truth": "Z_SPEC", "photo_z": "Z_PHOT"}
    given |= {k: v for k, v in change.items() if k not in ("catalog", "details")}
    with pytest.raises(ValueError) as raised:
        judge_photoz(columns, details=PhotozDetails(**change.get("details", {})), **given)
    text = str(raised.value)
    assert text.startswith(sentence), text
    assert "\n" not in text


@pytest.mark.realdata
def test_cosmos_has_the_numbers_that_are_written_beside_it(data_folder):
    given = Catalog.read(data_folder / "cosmos_zcosmos_photoz.fits")
    columns = {name: given[name] for name in ("Z_SPEC", "Z_PHOT_MEDIAN")}
    ends = {"z_lo": "Z_PHOT_L68", "z_hi": "Z_PHOT_U68"}
    points = dict.fromkeys(("z_mean", "z_median", "z_mode"), "Z_PHOT_MEDIAN")
    columns |= {name: given[other] for name, other in {**points, **ends}.items()}
    columns |= {"spec_matched": np.zeros(len(given), bool), "flag": np.zeros(len(given), int)}
    pdf = data_folder / "cosmos_pz_ugriz.hdf5"
    n = judge_photoz(
        columns, truth="Z_SPEC", photo_z="Z_PHOT_MEDIAN", pdf=pdf, pdf_after=pdf,
        details=PhotozDetails(dz=0.005),
    ).numbers  # fmt: skip
    assert n["nmad_before"] == pytest.approx(0.0163, abs=0.0001)
    assert n["outliers_before"] == pytest.approx(1.1, abs=0.1)
    assert n["inside_68_before"] == pytest.approx(68.5, abs=0.1)
    assert np.abs(10 * np.array(n["pit_before"]) - 1).max() < 0.08
    assert n["nats"] == n["crps_change"] == n["nmad_change"] == 0
