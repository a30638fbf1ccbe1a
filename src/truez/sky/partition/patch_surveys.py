"""The surveys of one patch: its galaxies, with what all patches share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from truez.sky.columns import SkyTable, matches_by_id
from truez.sky.partition.stored import PatchInputs
from truez.sky.surveys import SkySurveys
from truez.surveys.nz_fit import ErrorClass


def patch_surveys(
    inputs: PatchInputs, shared: SkySurveys, *, match_id: str | None = None
) -> SkySurveys:
    """The surveys that a method is given for one patch.

    What describes the survey as a whole is that of ``shared``: N(z), footprints, the photo-z error,
    cosmology, and the share of spectroscopic galaxies that are in the photometric sample.

    Parameters
    ----------
    inputs : PatchInputs
    shared : SkySurveys
        Of all galaxies or of a sample of them, with one photo-z error for all.
    match_id : str, optional
        Columns that name a galaxy in both catalogues, as of `SkySurveys.from_catalogs`.

    Raises
    ------
    ValueError
        If photo-z errors differ between galaxies, there are p(z) or weights, or there is no
        spectroscopic catalogue.
    """
    if inputs.spec is None:
        raise ValueError("spec is missing in the partition: make it again with spec")
    single = shared.error.num_galaxies is None and len(shared.classes) == 1
    weighted = shared.photo_weights is not None or shared.spec_weights is not None
    if not single or weighted or shared.pdfs is not None:
        raise ValueError(
            "shared must have one photo-z error for all galaxies, and no weights: patches have no "
            "errors, p(z) or weights of their own yet"
        )
    photo, spec = inputs.photo.sky, inputs.spec.sky
    matched: NDArray[np.int64] | None = None
    if match_id is not None:
        matched = np.full(len(spec), -1, dtype=np.int64)
        if len(spec) and len(photo):
            found = matches_by_id(SkyTable(inputs.spec.catalog, "spec"),
                                  SkyTable(inputs.photo.catalog, "photo"), match_id)  # fmt: skip
            matched = found.rows
    made = replace(shared, photo=photo, spec=spec, matched=matched)
    rows = np.flatnonzero(made.usable)
    # The share of the whole survey, whatever the galaxies of this patch.
    both = shared.common * int(made.spec_usable.sum())
    one = shared.classes[0]
    return replace(made, classes=(ErrorClass(rows, one.error, one.density),), num_both=both)
