"""The tables of names, as TOML files that come with truez or that a user writes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from truez.support.checks import shown
from truez.support.documents import parsed_toml, read_toml
from truez.support.settings import SettingError, Settings
from truez.surveys.selection import Selection

Names = tuple[str, ...]
Some = Annotated[Names, Field(min_length=1)]
Frame = Literal["heliocentric", "cmb"]
_REMEDY = "correct the table of names"
#: The word for all tables that come with truez.
AUTO = "auto"


class Error(Settings):
    """Where the error of a photo-z is: in one column, or between two.

    Parameters
    ----------
    column : str, optional
        Of standard deviations.
    lower, upper : str, optional
        Of the ends of an interval, in its place.
    level : float
        Probability of the interval.
    over_one_plus_z : bool
        Whether the standard deviation is that of z / (1 + z).
    """

    column: str | None = None
    lower: str | None = None
    upper: str | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.68
    over_one_plus_z: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        ends = (self.lower is not None) + (self.upper is not None)
        if ends != (2 if self.column is None else 0):
            raise SettingError("", "must have column, or lower and upper")
        if ends and self.over_one_plus_z:
            raise SettingError("over_one_plus_z", "goes with column, not with lower and upper")
        return self


class Redshift(Settings):
    """A column of redshifts, and its errors; those that come first are preferred.

    ``frame`` is what this column refers to, where it is not what the others do.
    """

    column: str
    errors: tuple[Error, ...] = ()
    frame: Frame | None = None


class Cut(Settings):
    """A cut that the documentation of a survey advises; it is shown, and never made unasked.

    Parameters
    ----------
    cut : str
        Such as ``maskbits<=0``.
    keeps : str
        What passes, in a few words.
    source : str
        Address or paper that says so.
    """

    cut: str
    keeps: str
    source: str = ""

    @field_validator("cut")
    @classmethod
    def _is_a_cut(cls, value: str) -> str:
        try:
            Selection(cuts=(value,))
        except SettingError as error:
            raise ValueError(error.reason) from None
        return value

    @property
    def column(self) -> str:
        """The column that it needs."""
        return Selection(cuts=(self.cut,)).columns[0]


class Pdfs(Settings):
    """Where p(z) of the galaxies are, and the prior that the code has put in.

    Parameters
    ----------
    columns : tuple of str
        Columns of p(z), or what the names of columns of quantiles begin with; ``{alg}`` is the
        place of an algorithm's name. None where p(z) are a file beside the catalogue.
    prior : {"flat", "nz", "stack"}, optional
        What documentation says of it, as `truez.surveys.pdfs.PdfPrior.of` takes it.
    about : str
        What is known of p(z) and prior, in a few words.
    source : str
        Address or paper that says so.
    """

    columns: Names = ()
    prior: Literal["flat", "nz", "stack"] | None = None
    about: str
    source: str = ""


class Sample(Settings):
    """The names of a photometric or spectroscopic catalogue, in any case.

    Of several the first that a catalogue has is taken. ``{alg}`` in the names of a redshift and its
    errors is the place of an algorithm's name.

    Parameters
    ----------
    needs : tuple of str
        Columns that the catalogue must have besides a position and a redshift.
    ra, dec : tuple of str
    redshifts : tuple of Redshift
    weight : tuple of str
        Completeness weights.
    known_redshift : tuple of str
        Spectroscopic redshifts of some galaxies of a photometric catalogue.
    ids : mapping of str to tuple of str
        Identifiers by kind; catalogues whose kinds are the same can be matched. Several columns
        that make one identifier are joined with ``+``.
    none : tuple of float
        Numbers that stand for no redshift or no error, besides those that truez always knows.
    frame : {"heliocentric", "cmb"}, optional
        What redshifts refer to; of photo-z, those of the spectra that they were trained with.
    cuts : tuple of Cut
        What the survey advises.
    pdfs : Pdfs, optional
        Its p(z).
    """

    needs: Names = ()
    ra: Some
    dec: Some
    redshifts: Annotated[tuple[Redshift, ...], Field(min_length=1)]
    weight: Names = ()
    known_redshift: Names = ()
    ids: dict[str, Names] = Field(default_factory=dict)
    none: tuple[float, ...] = ()
    frame: Frame | None = None
    cuts: tuple[Cut, ...] = ()
    pdfs: Pdfs | None = None


class Survey(Settings):
    """A survey, and the names of its catalogues."""

    name: str
    title: str
    photometric: Sample | None = None
    spectroscopic: Sample | None = None

    @model_validator(mode="after")
    def _has_a_sample(self) -> Self:
        if self.photometric is None and self.spectroscopic is None:
            raise SettingError("", "photometric and spectroscopic are missing: add one of them")
        return self


def survey_names() -> list[str]:
    """Names of the surveys that come with truez."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in files(__package__).iterdir()
        if item.name.endswith(".toml")
    )


def read_survey(name: str | Path) -> Survey:
    """The table of a survey that comes with truez, or of a TOML file (``.toml``).

    Raises
    ------
    ValueError
        If there is no such survey, or the file is no table of names.
    FileNotFoundError
        If there is no such file.
    """
    if str(name).endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"there is no table of names {path}")
        content, _ = read_toml(path, remedy=_REMEDY)
        stem = path.name.removesuffix(".toml")
    elif str(name) in survey_names():
        stem = str(name)
        text = (files(__package__) / f"{stem}.toml").read_text(encoding="utf-8")
        content = parsed_toml(text, f"{stem}.toml", remedy=_REMEDY)
    else:
        raise ValueError(
            f"survey must be auto, one of {', '.join(survey_names())}, or a path that ends in "
            f".toml, not {shown(str(name))}"
        )
    try:
        return Survey(**{"name": stem, "title": stem} | content)
    except SettingError as error:
        raise ValueError(f"{name}: {error}") from None


def surveys_of(text: str) -> list[Survey]:
    """The tables that a text names: ``auto`` for all that come with truez, names, TOML files.

    Several have commas between them; a later table replaces one of the same name.
    """
    found: dict[str, Survey] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        for name in survey_names() if part == AUTO else [part]:
            survey = read_survey(name)
            found[survey.name] = survey
    if not found:
        raise ValueError(
            f"survey must be auto, a name or a path that ends in .toml, not {shown(text)}"
        )
    return list(found.values())
