"""The surveys of one patch: its galaxies, with what all patches share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.coordinates import find_columns
from truez.catalogs.known_redshifts import known_redshifts
from truez.sky.columns import SkyTable, matches_by_id
from truez.sky.partition.shared import SharedSurveys
from truez.sky.partition.stored import PatchInputs, PatchSample
from truez.sky.photo_errors import errors_of_part
from truez.sky.photo_pdfs import GivenPdfs, pdfs_of_part
from truez.sky.samples import Sample, passing_part, photo_table, spec_table, without_cut
from truez.sky.surveys import SkySurveys
from truez.surveys.matching import match_positions
from truez.surveys.pdfs import PdfTable
from truez.surveys.pdfs.parquet import ArrowPdfs

Ints = NDArray[np.int64]


def patch_surveys(inputs: PatchInputs, shared: SharedSurveys) -> SkySurveys:
    """The surveys that a method is given for one patch.

    What describes the survey as a whole is that of ``shared``: N(z), also of each class of photo-z
    errors, footprints, cosmology, the mean weight, and the share of spectroscopic galaxies that are
    in the photometric sample. Errors, weights and cuts are those of the columns of the patch.

    Parameters
    ----------
    inputs : PatchInputs
    shared : SharedSurveys

    Raises
    ------
    ValueError
        If a column of the patch has numbers that cannot be used.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from truez import Catalog, SkyDetails
    >>> from truez.sky.partition.patch_plan import PatchPlan
    >>> from truez.sky.partition.patch_surveys import patch_surveys
    >>> from truez.sky.partition.shared import SharedSurveys
    >>> from truez.sky.partition.sky_input import SkyInput
    >>> from truez.sky.partition.stored import Partition
    >>> from truez.surveys.footprint import Rectangle
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.08, 0.32, 6000)
    >>> columns = {"RA": rng.uniform(0, 10, 6000), "DEC": rng.uniform(0, 10, 6000), "Z": z,
    ...            "SIGMA": rng.choice([0.005, 0.02], 6000),
    ...            "Z_SPEC": np.where(rng.random(6000) < 0.1, z, -99.0)}
    >>> plan = PatchPlan(Rectangle(0, 10, 0, 10), "planck18", (0.1, 0.3), 0.02)
    >>> details = SkyDetails(sigma_z_column="SIGMA")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Catalog(columns).write(f"{folder}/photo.parquet")
    ...     photo = SkyInput(f"{folder}/photo.parquet", spec_z_column="Z_SPEC")
    ...     made = Partition.make(f"{folder}/divided", plan, photo=photo)
    ...     shared = SharedSurveys.of_partition(made, details=details)
    ...     surveys = patch_surveys(made.read(0), shared)
    >>> len(surveys.classes), surveys.common
    (2, 1.0)
    """
    whole, how = shared.surveys, shared.details
    photo = _photo(inputs.photo, shared)
    error, photo = errors_of_part(photo, whole.error, how)
    matched: Ints | None
    if inputs.spec is None:
        spec, matched = _spec_in_photo(photo, shared)
    else:
        spec = _spec(inputs.spec, shared)
        matched = _matched(photo, spec, shared)
    if matched is not None and photo.cut is not None and len(photo.cut):
        matched = np.where(photo.cut[matched] & (matched >= 0), -1, matched)
    made = replace(
        whole, photo=photo.sky, spec=spec.sky, error=error, matched=matched,
        pdfs=None if photo.pdfs is None else photo.pdfs.pdfs, photo_weights=photo.weights,
        spec_weights=spec.weights, photo_cut=photo.cut,
    )  # fmt: skip
    rows = np.flatnonzero(made.usable)
    numbers = np.zeros(len(rows), np.int64)
    if photo.pdfs is not None and whole.class_rule is not None:
        numbers = whole.class_rule.numbers(photo.pdfs.pdfs, photo.pdfs.summary, rows)
    elif len(whole.classes) > 1:
        own = error if error.num_galaxies is None else error.take(rows)
        numbers = shared.class_of(own, photo.sky.redshift[rows])
    classes = [replace(one, rows=rows[numbers == n]) for n, one in enumerate(whole.classes)]
    # The share of the whole survey, whatever the galaxies of this patch.
    both = whole.common * int(made.spec_usable.sum())
    return replace(made, classes=tuple(classes), num_both=both)


def _photo(own: PatchSample, shared: SharedSurveys) -> Sample:
    how = shared.details
    table = photo_table(own.catalog, shared.match_id, how)
    sky = replace(shared.surveys.photo, ra=own.sky.ra, dec=own.sky.dec, redshift=own.sky.redshift,
                  without={})  # fmt: skip
    weights = table.weights(how.weight_column, "weight_column", part=True)
    sample = Sample(table, sky, shared.surveys.footprint, weights, pdfs=_pdfs(own, shared))
    return _cut(sample, how.photo_cut)


def _pdfs(own: PatchSample, shared: SharedSurveys) -> GivenPdfs | None:
    """The p(z) of the photometric galaxies, in a nested column."""
    whole, how = shared.surveys.pdfs, shared.details
    if whole is None:
        return None
    column = find_columns([str(how.pdf)], own.nested.column_names, "photo")[0]
    table = PdfTable((ArrowPdfs(own.nested, column, "photo"),))
    return pdfs_of_part(table, whole, shared.pdf_edges, how)


def _spec(own: PatchSample, shared: SharedSurveys) -> Sample:
    how = shared.details
    table = spec_table(own.catalog, shared.match_id, how)
    sky = replace(shared.surveys.spec, ra=own.sky.ra, dec=own.sky.dec, redshift=own.sky.redshift,
                  without={})  # fmt: skip
    weights = table.weights(how.spec_weight_column, "spec_weight_column", part=True)
    return _cut(Sample(table, sky, shared.surveys.spec_footprint, weights), how.spec_cut)


def _spec_in_photo(photo: Sample, shared: SharedSurveys) -> tuple[Sample, Ints]:
    """The photometric galaxies of known redshift, and their rows."""
    how, area = shared.details, shared.surveys.spec_footprint
    numbers = photo.table.floats(str(how.spec_z_column), "spec_z_column")
    redshift = known_redshifts(numbers, how.stand_ins)
    has = np.isfinite(redshift)
    if how.spec_cut:
        has &= passing_part(photo.table, how.spec_cut)
    rows = np.flatnonzero(has)
    sky = replace(shared.surveys.spec, ra=photo.sky.ra[rows], dec=photo.sky.dec[rows],
                  redshift=redshift[rows], without={})  # fmt: skip
    weights = None if photo.weights is None else photo.weights[rows]
    return Sample(SkyTable(photo.table.catalog.select(rows), "photo"), sky, area, weights), rows


def _cut(sample: Sample, cuts: Sequence[str]) -> Sample:
    return without_cut(sample, ~passing_part(sample.table, cuts)) if cuts else sample


def _matched(photo: Sample, spec: Sample, shared: SharedSurveys) -> Ints | None:
    """Rows of ``photo`` that are spectroscopic galaxies, None where only their number is known."""
    radius, match_id = shared.details.match_radius, shared.match_id
    if match_id is None and radius is None:
        return None
    if not (len(spec.sky) and len(photo.sky)):
        return np.full(len(spec.sky), -1, np.int64)
    if match_id is not None:
        return matches_by_id(spec.table, photo.table, match_id, part=True).rows
    assert radius is not None
    return match_positions(
        spec.sky.ra, spec.sky.dec, photo.sky.ra, photo.sky.dec, radius=radius, part=True
    ).rows
