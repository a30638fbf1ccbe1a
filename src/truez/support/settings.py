"""Settings that a user writes, as frozen pydantic models whose errors are one plain sentence.

A model of settings is a subclass of `Settings`. What it refuses is a `SettingError`, whose sentence
begins with the name of the setting: ``sigma_z must be at least 0 and below 1, not -1``. Where the
settings are a section of a recipe, `section` puts its name before it: ``boxes.sigma_z must ...``.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from truez.support.checks import shown

#: What a value must be, by the kinds of pydantic's errors.
_TYPES = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "dict_type": "a section of settings",
    "model_type": "a section of settings",
    "model_attributes_type": "a section of settings",
}
#: Limits of a number, by their names in pydantic.
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
#: Most characters of the settings that a sentence lists.
_LISTED = 150


class SettingError(ValueError):
    """A setting with a wrong value: its name, and what is wrong.

    Parameters
    ----------
    name : str
        Of the setting, with its section where it has one; empty if no single one is wrong.
    reason : str
        The rest of the sentence.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}".lstrip()


class Settings(BaseModel):
    """Base of all models of settings: frozen, finite, and with one sentence for what is wrong.

    Raises
    ------
    SettingError
        If a setting is unknown, missing, or has a value that it cannot have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None


@contextmanager
def section(name: str) -> Iterator[None]:
    """Context in which a `ValueError` about a setting names the section of a recipe that has it.

    The sentence of a `ValueError` begins with the setting, ``crop of 8 cells ...``, which becomes
    ``training.crop of 8 cells ...``.
    """
    try:
        yield
    except SettingError as error:
        if not error.name:
            raise SettingError(f"{name}:", error.reason) from error
        raise SettingError(f"{name}.{error.name}", error.reason) from error
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error


def refused_setting(error: ValidationError) -> str:
    """The sentence of a model that is not one of `Settings`, such as the header of a file.

    It says what is wrong with the first setting that is refused, and no remedy.
    """
    return str(refusal(error))


def refusal(error: ValidationError, model: type[BaseModel] | None = None) -> SettingError:
    """The error of the first setting that a model refuses.

    Of a ``model`` that is given it is an unknown setting, if there is one, as another may be
    missing because its name is misspelt.
    """
    details: list[Any] = list(error.errors())
    unknown = [d for d in details if d["type"] == "extra_forbidden" and model is not None]
    first = [*unknown, *details][0]
    loc, kind = first["loc"], first["type"]
    known = {} if model is None else model.model_fields
    field = known.get(str(loc[0])) if loc else None
    if kind == "value_error":
        return _own(first, known)
    # Behind the name of a field pydantic says which entry or alternative of its type is meant.
    name = _joined(loc if field is None else loc[:1])
    if kind == "extra_forbidden":
        return SettingError(name, _unknown(str(loc[-1]), list(known)))
    if kind == "missing" and (field is None or len(loc) == 1):
        what = "" if field is None else ": add the section" if _is_section(field) else ": add it"
        return SettingError(name, f"is missing{what}")
    several = field is not None and len(loc) > 1 and isinstance(loc[1], str)
    alternatives = [d for d in details if d["loc"][:1] == loc[:1]] if several else [first]
    wanted = " or ".join(dict.fromkeys(_wanted(detail, field) for detail in alternatives))
    verb = "hold" if isinstance(loc[-1], int) and kind != "missing" else "be"
    return SettingError(name, f"must {verb} {wanted}, not {shown(first['input'])}")


def _own(detail: Mapping[str, Any], known: Mapping[str, FieldInfo]) -> SettingError:
    """The error of a `ValueError` that a validator or a model inside of another raised."""
    error = detail["ctx"]["error"]
    if isinstance(error, SettingError):
        return SettingError(_joined([*detail["loc"], *filter(None, [error.name])]), error.reason)
    sentence = str(error)
    if not detail["loc"]:
        first, _, rest = sentence.partition(" ")
        return SettingError(first, rest) if first in known else SettingError("", sentence)
    if sentence.startswith("must ") and ", not " not in sentence:
        sentence += f", not {shown(detail['input'])}"
    return SettingError(_joined(detail["loc"][:1] if known else detail["loc"]), sentence)


def _joined(parts: Iterable[Any]) -> str:
    """Names with points between them, as in a recipe; what cannot be a name is shown as text."""
    return ".".join(
        str(part) if str(part).isprintable() and len(str(part)) <= 40 else shown(str(part))
        for part in parts
    )


def _unknown(name: str, known: list[str]) -> str:
    """What is wrong with the name of a setting that does not exist."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"is not a known setting: did you mean {close[0]}?"
    if not known:
        return "is not a known setting"
    listed = textwrap.shorten(", ".join(known), _LISTED, placeholder=" ...")
    return f"is not a known setting: there are {listed}"


def _wanted(detail: Mapping[str, Any], field: FieldInfo | None) -> str:
    """What a value must be, by an error of pydantic."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("tuple_type", "list_type", "missing", "too_long", "too_short"):
        length = _length(field)
        least = context.get("min_length") if length is None else None
        number = f"{length} " if length else f"at least {least} " if least else ""
        return f"a list of {number}values"
    stated = [] if field is None else field.metadata
    limits = [
        f"{word} {shown(getattr(limit, key))}"
        for limit in stated
        for key, word in _LIMITS.items()
        if hasattr(limit, key)
    ] or [f"{word} {shown(context[key])}" for key, word in _LIMITS.items() if key in context]
    return " and ".join(limits) or "of another type"


def _length(field: FieldInfo | None) -> int | None:
    """The number of values of a setting that is a tuple of so many, or None."""
    annotation = None if field is None else field.annotation
    for kind in (annotation, *get_args(annotation)):
        if get_origin(kind) is tuple and Ellipsis not in get_args(kind):
            return len(get_args(kind))
    return None


def _is_section(field: FieldInfo) -> bool:
    kind = get_origin(field.annotation) or field.annotation
    return isinstance(kind, type) and issubclass(kind, BaseModel | dict)
