"""Which survey a catalogue is of, by the names of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from truez.surveys.error_columns import ErrorColumns
from truez.surveys.names.table import Cut, Error, Frame, Sample, Survey
from truez.surveys.pdfs.quantiles import quantile_columns

Kind = Literal["photometric", "spectroscopic"]
_ALGORITHM = "{alg}"
#: Columns that ``truez redshifts`` adds: of no survey in a catalogue that has the last two.
_OURS = {"z_mean", "z_median", "z_mode", "z_std", "z_lo", "z_hi", "spec_matched", "flag",
         "information_gain", "log_evidence"}  # fmt: skip
_ONLY_OURS = {"information_gain", "log_evidence"}
#: Letters of the columns that a sentence lists.
_LISTED = 90


@dataclass(frozen=True)
class Estimate:
    """A redshift column of a catalogue and its error.

    Parameters
    ----------
    column : str
    error : mapping of str to str
        ``z_err_column`` or ``sigma_z_column`` of `truez.SkyDetails`; empty where there is none.
    row : int
        Of the survey's table.
    algorithm : str
        The algorithm in the place of ``{alg}``; empty where the table has no such pattern.
    frame : {"heliocentric", "cmb"}, optional
        What this column refers to, where the table says so.
    """

    column: str
    error: Mapping[str, str]
    row: int
    algorithm: str = ""
    frame: Frame | None = None


@dataclass(frozen=True)
class Found:
    """The columns of a catalogue that fits the table of a survey, as the catalogue spells them.

    Parameters
    ----------
    survey : Survey
    kind : {"photometric", "spectroscopic"}
    position : (2,) str
        Columns of right ascension and declination.
    estimates : tuple of Estimate
        In the order of the table.
    weight, known_redshift : str, optional
    ids : mapping of str to str
        Columns of identifiers by kind.
    pdfs : mapping of str to str
        Columns of p(z) by the algorithm that made them: what the names of quantiles begin with, or
        the name of a column.
    cuts : tuple of Cut
        Those that the survey advises and the catalogue has the columns of, in its spelling.
    """

    survey: Survey
    kind: Kind
    position: tuple[str, str]
    estimates: tuple[Estimate, ...]
    weight: str | None
    known_redshift: str | None
    ids: Mapping[str, str]
    pdfs: Mapping[str, str] = field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()

    @property
    def sample(self) -> Sample:
        """The table that the catalogue fits."""
        found = getattr(self.survey, self.kind)
        assert isinstance(found, Sample)
        return found

    @property
    def choices(self) -> tuple[Estimate, ...]:
        """The preferred estimate, of every algorithm that there is."""
        return tuple(one for one in self.estimates if one.row == self.estimates[0].row)

    def estimate(self, column: str | None, where: str) -> Estimate | None:
        """The estimate of a column, None where the table does not have it; else the preferred one.

        Raises
        ------
        ValueError
            If several algorithms have made it.
        """
        if column is not None:
            alike = (one for one in self.estimates if one.column.lower() == column.lower())
            return next(alike, None)
        if len(self.choices) > 1:
            names = ", ".join(one.algorithm for one in self.choices)
            option = "photo_sky" if self.kind == "photometric" else "sky"
            example = ",".join([*self.position, self.choices[0].column])
            raise ValueError(
                f"{where} has redshifts of several algorithms ({names}): give {option}, such as "
                f"{example}"
            )
        return self.choices[0]

    def settings(self, estimate: Estimate) -> dict[str, str]:
        """Arguments of `truez.SkyDetails` for the catalogue with one of its estimates."""
        columns = ",".join([*self.position, estimate.column])
        found: dict[str, str | None]
        if self.kind == "spectroscopic":
            found = {"sky": columns, "spec_weight_column": self.weight, "frame": estimate.frame}
        else:
            found = {
                "photo_sky": columns, **estimate.error, "weight_column": self.weight,
                "spec_z_column": self.known_redshift,
            }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}


def recognised(columns: Collection[str], surveys: Iterable[Survey], kind: Kind) -> list[Found]:
    """The surveys whose catalogues have the columns of one.

    A catalogue fits if it has a position, a redshift and all columns that the table needs.

    Parameters
    ----------
    columns : collection of str
    surveys : iterable of Survey
    kind : {"photometric", "spectroscopic"}

    Examples
    --------
    >>> from truez.surveys.names import recognised, surveys_of
    >>> found = recognised(["RA", "Dec", "ZRED", "ZRED_E"], surveys_of("auto"), "photometric")[0]
    >>> found.survey.name, found.settings(found.estimates[0])
    ('redmapper', {'photo_sky': 'RA,Dec,ZRED', 'z_err_column': 'ZRED_E'})
    """
    lower: dict[str, str] = {}
    for name in columns:
        lower.setdefault(name.lower(), name)
    if lower.keys() >= _ONLY_OURS:
        lower = {key: name for key, name in lower.items() if key not in _OURS}
    samples = ((survey, getattr(survey, kind)) for survey in surveys)
    fits = (_found(survey, kind, sample, lower) for survey, sample in samples if sample is not None)
    return [found for found in fits if found is not None]


def the_survey(
    columns: Sequence[str], surveys: Sequence[Survey], kind: Kind, where: str
) -> Found:  # fmt: skip
    """The one survey that a catalogue is of.

    Raises
    ------
    ValueError
        If it fits none, or several.
    """
    found = recognised(columns, surveys, kind)
    if len(found) > 1:
        names = " and ".join(one.survey.name for one in found)
        raise ValueError(
            f"{where} fits several surveys, {names}: give survey {found[0].survey.name}, or "
            f"another of them"
        )
    if found:
        return found[0]
    option = "photo_sky" if kind == "photometric" else "sky"
    remedy = f"give {option} RA,DEC,Z, or give survey FILE.toml with its names"
    other: Kind = "spectroscopic" if kind == "photometric" else "photometric"
    if others := recognised(columns, surveys, other):
        raise ValueError(
            f"{where} fits {others[0].survey.name} as a {other} catalogue and none as a {kind} "
            f"one: {remedy}"
        )
    raise ValueError(f"{where} fits no {kind} survey by its columns, {_listed(columns)}: {remedy}")


def _listed(columns: Sequence[str]) -> str:
    shown: list[str] = []
    for name in columns:
        if shown and len(", ".join(shown)) + len(name) > _LISTED:
            return f"{', '.join(shown)} and {len(columns) - len(shown)} more"
        shown.append(name[:60])
    return ", ".join(shown)


def _found(survey: Survey, kind: Kind, sample: Sample, lower: Mapping[str, str]) -> Found | None:
    ra, dec = _first(sample.ra, lower), _first(sample.dec, lower)
    estimates = tuple(_estimates(sample, lower))
    if ra is None or dec is None or not estimates or not _all(sample.needs, lower):
        return None
    ids = {name: _first(columns, lower) for name, columns in sample.ids.items()}
    cuts = (
        cut.model_copy(update={"cut": cut.cut.replace(cut.column, lower[cut.column.lower()], 1)})
        for cut in sample.cuts if cut.column.lower() in lower
    )  # fmt: skip
    return Found(
        survey, kind, (ra, dec), estimates, _first(sample.weight, lower),
        _first(sample.known_redshift, lower),
        {name: value for name, value in ids.items() if value is not None},
        _pdfs(sample, lower), tuple(cuts),
    )  # fmt: skip


def _pdfs(sample: Sample, lower: Mapping[str, str]) -> dict[str, str]:
    """Columns of p(z) by their algorithm, an empty name where the table has no such pattern."""
    if sample.pdfs is None:
        return {}
    # Columns of p(z) themselves, which have a name or the components of a vector.
    columns = {name.partition(".")[0]: column.partition(".")[0] for name, column in lower.items()}
    prefixes = {name.lower(): name for name in quantile_columns(lower.values())}
    found: dict[str, str] = {}
    for pattern in sample.pdfs.columns:
        for known in (prefixes, columns):
            for name, algorithm in _matching(pattern, known):
                found.setdefault(algorithm, known[name])
    return found


def _all(names: Iterable[str], lower: Mapping[str, str]) -> bool:
    return all(name.lower() in lower for name in names)


def _first(names: Iterable[str], lower: Mapping[str, str]) -> str | None:
    """The first name that there is, in the catalogue's spelling; ``a+b`` is there if both are."""
    for name in names:
        parts = name.lower().split("+")
        if _all(parts, lower):
            return "+".join(lower[part] for part in parts)
    return None


def _estimates(sample: Sample, lower: Mapping[str, str]) -> Iterator[Estimate]:
    for number, row in enumerate(sample.redshifts):
        for name, algorithm in _matching(row.column, lower):
            yield Estimate(
                lower[name], _error(row.errors, algorithm, lower), number, algorithm,
                row.frame or sample.frame,
            )  # fmt: skip


def _matching(text: str, lower: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names that fit a pattern, and the algorithm in the place of ``{alg}``."""
    if _ALGORITHM not in text:
        if text.lower() in lower:
            yield text.lower(), ""
        return
    before, _, after = text.lower().partition(_ALGORITHM)
    pattern = re.compile(rf"{re.escape(before)}(\w+){re.escape(after)}")
    for name in lower:
        if match := pattern.fullmatch(name):
            yield name, match[1]


def _error(errors: Iterable[Error], algorithm: str, lower: Mapping[str, str]) -> dict[str, str]:
    """The first error whose columns there are, as an argument of `truez.SkyDetails`."""
    for error in errors:
        names = [error.column] if error.column else [error.lower, error.upper]
        wanted = [str(name).replace(_ALGORITHM, algorithm).lower() for name in names]
        if not _all(wanted, lower):
            continue
        columns = tuple(lower[name] for name in wanted)
        option = "sigma_z_column" if error.over_one_plus_z else "z_err_column"
        return {option: str(ErrorColumns(columns, error.level))}
    return {}
