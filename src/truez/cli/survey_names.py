"""``--survey``: options of columns that are filled in from the names that surveys publish.

What was typed is never changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from truez.cli import options
from truez.support.printable import printable

if TYPE_CHECKING:
    from truez.cli.inputs import SurveyOptions
    from truez.cli.mock_sky_options import SkyMockOptions
    from truez.cli.sky_options import SkyOptions
    from truez.surveys.names import Estimate, Found
    from truez.surveys.names.recognise import Kind

#: Ways to give the photo-z error; pdf is never filled in.
_ERRORS = ("sigma_z", "sigma_z_column", "z_err_column", "pdf")
_MATCHES = ("match_id", "match_radius", "overlap")


@dataclass(frozen=True)
class Filled:
    """The options with their columns, and the stand-ins for missing values in both catalogues."""

    given: SurveyOptions
    sky: SkyOptions
    stand_ins: tuple[float, ...] = ()


def with_survey(context: typer.Context, given: SurveyOptions, sky: SkyOptions) -> Filled:
    """The options in which columns that were not typed are those of the surveys of ``--survey``.

    Prints what is filled in.

    Raises
    ------
    ValueError
        If a catalogue whose columns were not typed is of none of the surveys, or of several.
    """
    if sky.survey is None:
        return Filled(given, sky)
    if given.photo is None:
        raise ValueError("--survey needs --photo FILE, whose columns it names")
    values = vars(given) | vars(sky)
    both = given.spec is not None
    typed = _columns(sky.photo_sky or (None if both else sky.sky))
    photo = _found(given.photo, "photometric", sky.survey, needed=not (typed or sky.sky))
    new: dict[str, str] = {}
    if photo is not None:
        named = typed[2] if len(typed) == 3 else None
        # Where no photo-z is named, it is that of p(z).
        estimate = photo.choices[0] if len(typed) == 2 else photo.estimate(named, given.photo)
        new = {} if estimate is None else photo.settings(estimate)
        if any(values[name] is not None for name in _ERRORS):
            new = {name: value for name, value in new.items() if name not in _ERRORS}
        if both or sky.spec_z_column is not None:
            new.pop("spec_z_column", None)
        if not both and "photo_sky" in new:
            new["sky"] = new.pop("photo_sky")
    new = _untyped(context, new)
    _echo(given.photo, photo, new)
    spec = None
    if given.spec is not None:
        spec = _found(given.spec, "spectroscopic", sky.survey, needed=sky.sky is None)
        more = {} if spec is None else _untyped(context, _of_spec(spec, sky.sky, given.spec))
        _echo(given.spec, spec, more)
        new |= more
    if photo and spec and all(values[name] is None for name in _MATCHES):
        match = _same_ids(spec, photo)
        if match is not None:
            new["match_id"] = match
            typer.echo(f"  both: {_text({'match_id': match})}")
    stand_ins = (*(photo.sample.none if photo else ()), *(spec.sample.none if spec else ()))
    ours: dict[str, Any] = {name: new[name] for name in new if hasattr(given, name)}
    theirs: dict[str, Any] = {name: new[name] for name in new if hasattr(sky, name)}
    return Filled(replace(given, **ours), replace(sky, **theirs), tuple(dict.fromkeys(stand_ins)))


def mock_with_survey(
    context: typer.Context, given: SkyMockOptions, path: str
) -> tuple[SkyMockOptions, tuple[float, ...]]:
    """The options of a mock of spectra with the columns of its survey, and its stand-ins."""
    if given.survey is None:
        return given, ()
    spec = _found(path, "spectroscopic", given.survey, needed=given.sky is None)
    if spec is None:
        _echo(path, spec, {})
        return given, ()
    new = _of_spec(spec, given.sky, path)
    new.pop("spec_weight_column", None)
    columns = [name for name in spec.ids.values() if "+" not in name]
    new |= {"id_column": columns[0]} if columns else {}
    new = _untyped(context, new)
    _echo(path, spec, new)
    changes: dict[str, Any] = dict(new)
    return replace(given, **changes), spec.sample.none


def check_survey(text: str) -> None:
    """Raise an error if ``--survey`` names no tables."""
    if text != "auto":
        from truez.surveys.names import surveys_of

        surveys_of(text)


def lines_of_surveys(path: str, text: str) -> str:
    """What ``truez info`` says of the surveys that a catalogue fits: a line for each choice."""
    from pathlib import Path

    from truez.catalogs import formats
    from truez.surveys.names import recognised, surveys_of

    tables = surveys_of(text)
    columns = list(formats.header(Path(path)).columns)
    kinds: tuple[Kind, ...] = ("photometric", "spectroscopic")
    return "".join(
        f"\nnames of {printable(_title(found))}: {_text(_alone(found, estimate))}"
        for kind in kinds
        for found in recognised(columns, tables, kind)
        for estimate in found.choices
    )


def _alone(found: Found, estimate: Estimate) -> dict[str, str]:
    """What a survey fills in for one catalogue, its identifier among it."""
    settings = found.settings(estimate)
    if found.ids:
        settings["match_id"] = next(iter(found.ids.values()))
    return settings


def _title(found: Found) -> str:
    return f"{found.survey.title} ({found.survey.name}), {found.kind}"


def _columns(text: str | None) -> list[str]:
    return [] if text is None else options.names(text)


def _found(path: str, kind: Kind, survey: str, *, needed: bool) -> Found | None:
    """The survey of a catalogue; None where its columns are typed and it is of none, or several."""
    from pathlib import Path

    from truez.catalogs import formats
    from truez.surveys.names import recognised, surveys_of, the_survey

    tables = surveys_of(survey)
    columns = list(formats.header(Path(path)).columns)
    if needed:
        return the_survey(columns, tables, kind, path)
    found = recognised(columns, tables, kind)
    return found[0] if len(found) == 1 else None


def _of_spec(spec: Found, typed: str | None, path: str) -> dict[str, str]:
    columns = _columns(typed)
    estimate = spec.estimate(columns[2] if len(columns) == 3 else None, path)
    return {} if estimate is None else spec.settings(estimate)


def _untyped(context: typer.Context, new: Mapping[str, str]) -> dict[str, str]:
    """Those of options that were not typed."""

    def is_typed(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    return {name: value for name, value in new.items() if not is_typed(name)}


def _same_ids(spec: Found, photo: Found) -> str | None:
    """The text of ``--match-id`` for catalogues with identifiers of the same kind."""
    for kind, ours in spec.ids.items():
        theirs = photo.ids.get(kind)
        if theirs is not None and ours.count("+") == theirs.count("+"):
            return ours if ours.lower() == theirs.lower() else f"{ours}:{theirs}"
    return None


def _echo(path: str, found: Found | None, new: Mapping[str, str]) -> None:
    """Print the survey of a catalogue and the options that are filled in."""
    title = "not of one survey, its columns are as typed" if found is None else _title(found)
    typer.echo(f"{printable(path)}: {printable(title)}")
    if new:
        typer.echo(f"  {_text(new)}")


def _text(new: Mapping[str, str]) -> str:
    """Options as they would be typed."""
    return " ".join(
        f"--{name.replace('_', '-')} {printable(shlex.quote(value))}" for name, value in new.items()
    )
