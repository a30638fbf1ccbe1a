"""What all patches of a partition share, fixed before any of them is worked on.

N(z), classes of photo-z errors, the share of the spectroscopic galaxies that are in the photometric
sample and the mean of weights are those of a sample of the galaxies, which is drawn in one pass
over the columns that they need. They depend on the catalogues alone, so that no result depends on
how many processes work on the patches, or in which order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.sky.details import SkyDetails
from truez.sky.partition.sample import GalaxySample, draw_sample, in_sample
from truez.sky.partition.stored import Partition
from truez.sky.photo_pdfs import edges_of
from truez.sky.samples import photo_names, spec_names
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Galaxies of a sample, about.
MOST = 2**20


@dataclass(frozen=True, eq=False)
class SharedSurveys:
    """The surveys of a partition as a whole, measured on a sample of their galaxies.

    Parameters
    ----------
    surveys : SkySurveys
        Of the sample, with N(z) of all galaxies.
    details : SkyDetails
        What the columns are.
    match_id : str, optional
        Columns that name a galaxy in both catalogues.

    Examples
    --------
    See `truez.sky.partition.patch_surveys`.
    """

    surveys: SkySurveys
    details: SkyDetails
    match_id: str | None = None

    @classmethod
    def of_partition(
        cls, partition: Partition, *, sigma_z: float | None = None, match_id: str | None = None,
        overlap: str | float | None = None, details: SkyDetails | None = None, most: int = MOST,
        progress: Progress = silent,
    ) -> SharedSurveys:  # fmt: skip
        """Draw the samples, which are kept in the folder of the partition, and measure on them.

        Parameters
        ----------
        partition : Partition
        sigma_z, match_id, overlap, details
            As of `SkySurveys.from_catalogs`, without what the partition states: the columns of
            the sky, their units, and the range of redshifts. ``details.pdf`` is the name of the
            nested column of p(z) in the photometric catalogue.
        most : int
            Galaxies of a sample, about; where a catalogue has fewer, all of them are.
        progress : Progress

        Raises
        ------
        ValueError
            If a column is not in the files of patches, details are at odds with the partition, or
            as `SkySurveys.from_catalogs`.
        """
        how = _details(partition, details or SkyDetails())
        names = _needed(partition, match_id, how)
        _check_columns(partition, names)
        share = {name: most / max(partition.num_rows(name), 1) for name in names}
        if "spec" in share:  # spectroscopic galaxies wherever there are photometric ones
            share["spec"] = max(share["photo"], share["spec"])
        drawn = {
            name: draw_sample(partition, name, columns, share[name], progress)
            for name, columns in names.items()
        }
        plan, read = partition.plan, how
        if how.pdf is not None:
            read = replace(how, pdf=f"{drawn['photo'].path}#{how.pdf}")
        found = SkySurveys.from_catalogs(
            photo=drawn["photo"].path, spec=drawn["spec"].path if "spec" in drawn else None,
            footprint=plan.footprint, sigma_z=sigma_z, match_id=match_id, overlap=overlap,
            cosmology=plan.cosmology, details=read,
        )  # fmt: skip
        return cls(_of_all(found, drawn, share["photo"]), how, match_id)

    @cached_property
    def pdf_edges(self) -> Array:
        """Redshifts that p(z) are measured with."""
        assert self.surveys.pdfs is not None
        return edges_of(self.surveys.pdfs.table)

    def class_of(self, error: RedshiftError, redshift: Array) -> NDArray[np.int64]:
        """Classes of errors that photometric galaxies (n,) of a part of the survey are in."""
        own = _errors(error, redshift, self._is_relative)
        return np.searchsorted(self._limits, own, side="right").astype(np.int64)

    @property
    def _is_relative(self) -> bool:
        """Whether classes are of errors over 1 + z, where those of galaxies are absolute."""
        return self.surveys.error.absolute and not self.surveys.classes[0].error.absolute

    @cached_property
    def _limits(self) -> Array:
        """Errors between the classes."""
        whole = self.surveys
        own = _errors(whole.error, whole.photo.redshift, self._is_relative)
        ends = [(own[one.rows].min(), own[one.rows].max()) for one in whole.classes]
        return np.array([np.sqrt(low[1] * high[0]) for low, high in pairwise(ends)], np.float64)


def needed_columns(shared: SharedSurveys, partition: Partition) -> dict[str, list[str]]:
    """The columns of each catalogue that `patch_surveys` needs."""
    return _needed(partition, shared.match_id, shared.details)


def _needed(partition: Partition, match_id: str | None, how: SkyDetails) -> dict[str, list[str]]:
    names = {"photo": photo_names(match_id, how) + ([str(how.pdf)] if how.pdf else [])}
    if "spec" in partition.samples:
        names["spec"] = spec_names(match_id, how)
    return names


def _errors(error: RedshiftError, redshift: Array, is_relative: bool) -> Array:
    """Errors of galaxies by which they are in classes."""
    sigma = np.broadcast_to(np.asarray(error.sigma_z, np.float64), redshift.shape)
    return sigma / (1 + redshift) if is_relative else sigma


def _details(partition: Partition, given: SkyDetails) -> SkyDetails:
    """The details with what the partition states."""
    photo, plan = partition.given("photo"), partition.plan
    changes: dict[str, Any] = {
        "photo_sky": tuple(photo.sky), "sky": tuple(photo.sky), "ra_unit": None, "dec_unit": None,
        "redshift_range": plan.redshift_range, "spec_z_column": None,
        "stand_ins": tuple(photo.stand_ins),
    }  # fmt: skip
    if "spec" in partition.samples:
        spec = partition.given("spec")
        changes["sky"] = tuple(spec.sky)
        changes["stand_ins"] = tuple(dict.fromkeys([*photo.stand_ins, *spec.stand_ins]))
    else:
        changes["spec_z_column"] = photo.spec_z_column
    default = SkyDetails()
    for name in ("sky", "photo_sky", "ra_unit", "dec_unit", "redshift_range", "spec_z_column",
                 "stand_ins"):  # fmt: skip
        own = getattr(given, name)
        if own not in (getattr(default, name), changes[name]):
            raise ValueError(
                f"details.{name} is {own!r}, and the partition has {changes[name]!r}: leave it out"
            )
    if given.pdf_id is not None or not isinstance(given.pdf, str | None):
        raise ValueError(
            "details.pdf must name the nested column of p(z) in the photometric catalogue of a "
            "partition, without pdf_id: p(z) of other files are not divided among patches"
        )
    return replace(given, **changes)


def _check_columns(partition: Partition, names: dict[str, list[str]]) -> None:
    """Raise if a column is not among those that the files of patches have."""
    for name, wanted in names.items():
        given = partition.given(name)
        if given.columns is None:
            continue
        known = {column.lower() for column in given.named}
        lost = next((column for column in wanted if column.lower() not in known), None)
        if lost is not None:
            raise ValueError(
                f"column {lost!r} of {name} is not in the partition, which keeps "
                f"{', '.join(given.named)}: make it again with that column"
            )


def _of_all(
    found: SkySurveys, drawn: dict[str, GalaxySample], share: float
) -> SkySurveys:  # fmt: skip
    """Surveys of a sample with the numbers of galaxies of the whole catalogues."""
    photo = drawn["photo"].share
    spec = drawn["spec"].share if "spec" in drawn else photo
    common = found.common
    if found.matched is not None and "spec" in drawn:
        # Where both samples are.
        here = found.spec_usable & in_sample(found.spec.ra, found.spec.dec, share)
        common = np.count_nonzero(found.matched[here] >= 0) / max(int(here.sum()), 1)
    return replace(
        found,
        nz=_more(found.nz, photo),
        spec_nz=_more(found.spec_nz, spec),
        classes=tuple(replace(one, density=_more(one.density, photo)) for one in found.classes),
        num_both=common * int(found.spec_usable.sum()),
        mean_weight=found.unknown_weight,
        metadata={**found.metadata, "sampled_photo": photo, "sampled_spec": spec},
    )


def _more(density: NumberDensity, share: float) -> NumberDensity:
    """N(z) of all galaxies from that of a share of them."""
    return density if share == 1 else density.scaled(density.total / share)
