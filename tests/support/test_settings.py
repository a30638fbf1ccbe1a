"""Settings refuse what is wrong in one sentence that begins with the name of the setting."""

import pickle
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from truez.support.checks import shown
from truez.support.settings import SettingError, Settings, refused_setting, section


class Inner(Settings):
    width: Annotated[int, Field(ge=1, lt=9)] = 3
    kind: Literal["fine", "coarse"] = "fine"


class Outer(Settings):
    inner: Inner
    share: float = Field(default=0.5, gt=0)
    crop: tuple[int, int, int] = (0, 0, 0)
    kinds: tuple[Literal["a", "b"], ...] = Field(default=("a",), min_length=1)
    half: bool | Literal["everywhere"] = True
    several: tuple[Inner, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    low: float = 0.0
    name: str = "none"

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value.lower() != value:
            raise ValueError("must be in small letters")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Outer":
        if self.low > self.share:
            raise ValueError(f"low of {self.low:g} must be below share")
        if self.low == self.share:
            raise ValueError("two settings are the same")
        return self


REFUSED = [
    ({}, "inner is missing: add the section"),
    ({"inner": 3}, "inner must be a section of settings, not 3"),
    ({"inner": {"width": 0}}, "inner.width must be at least 1 and below 9, not 0"),
    ({"inner": {"width": "many"}}, "inner.width must be a whole number, not 'many'"),
    ({"inner": {"width": 1.5}}, "inner.width must be a whole number, not 1.5"),
    ({"inner": {"kind": "big"}}, "inner.kind must be fine or coarse, not 'big'"),
    ({"inner": {"widht": 1}}, "inner.widht is not a known setting: did you mean width?"),
    ({"inner": {"z": 1}}, "inner.z is not a known setting: there are width, kind"),
    ({"iner": {}}, "iner is not a known setting: did you mean inner?"),
    ({"inner": {}, "share": 0}, "share must be above 0, not 0"),
    ({"inner": {}, "share": float("inf")}, "share must be a finite number, not inf"),
    ({"inner": {}, "share": "a"}, "share must be a number, not 'a'"),
    ({"inner": {}, "crop": [1, 2]}, "crop must be a list of 3 values, not [1, 2]"),
    ({"inner": {}, "crop": [1] * 4}, "crop must be a list of 3 values, not [1, 1, 1, 1]"),
    ({"inner": {}, "crop": 8}, "crop must be a list of 3 values, not 8"),
    ({"inner": {}, "crop": [1, 2, "x"]}, "crop must hold a whole number, not 'x'"),
    ({"inner": {}, "kinds": ["c"]}, "kinds must hold a or b, not 'c'"),
    ({"inner": {}, "kinds": []}, "kinds must be a list of at least 1 values, not []"),
    ({"inner": {}, "half": "no way"}, "half must be true or false or everywhere, not 'no way'"),
    (
        {"inner": {}, "several": [{}, {"width": 9}]},
        "several.1.width must be at least 1 and below 9, not 9",
    ),
    ({"inner": {}, "settings": 3}, "settings must be a section of settings, not 3"),
    ({"inner": {}, "name": 3}, "name must be text, not 3"),
    ({"inner": {}, "name": "Box"}, "name must be in small letters, not 'Box'"),
    ({"inner": {}, "low": 2}, "low of 2 must be below share"),
    ({"inner": {}, "low": 0.5}, "two settings are the same"),
    ({"inner": {}, "\x1b[31m": 1}, "'\\x1b[31m' is not a known setting: there are inner, share,"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED, ids=[text for _, text in REFUSED])
def test_one_sentence_names_the_setting_and_the_remedy(values, sentence):
    with pytest.raises(SettingError) as error:
        Outer(**values)
    assert str(error.value).startswith(sentence)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_what_is_right_is_as_in_pydantic():
    outer = Outer(inner={"width": 2}, crop=[1, 2, 3])
    assert (outer.inner, outer.crop) == (Inner(width=2), (1, 2, 3))
    assert Outer.model_validate_json(outer.model_dump_json()) == outer
    with pytest.raises(ValidationError):
        outer.share = 1.0


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (lambda: Inner(width=0), "boxes.width must be at least 1 and below 9, not 0"),
        (lambda: Outer(inner={"kind": 1}), "boxes.inner.kind must be fine or coarse, not 1"),
        (lambda: Outer(inner={}, low=0.5), "boxes: two settings are the same"),
        (lambda: (_ for _ in ()).throw(ValueError("crop of 8 is large")), "boxes.crop of 8 is lar"),
    ],
)
def test_a_section_stands_before_the_name(raised, sentence):
    with pytest.raises(ValueError) as error, section("boxes"):
        next(iter(raised()))
    assert str(error.value).startswith(sentence)


def test_models_of_files_have_the_same_sentences():
    class Header(BaseModel, extra="forbid"):
        radius: Annotated[int, Field(ge=1)]

    for values, sentence in (
        ({"radius": 0}, "radius must be at least 1, not 0"),
        ({}, "radius is missing"),
        ({"radius": 1, "surprise": 2}, "surprise is not a known setting"),
    ):
        with pytest.raises(ValidationError) as error:
            Header(**values)
        assert refused_setting(error.value) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("furlong", "'furlong'"),
        ("a\x1b[31mb\nc", "'a\\x1b[31mb\\nc'"),
        ("x" * 3000, f"'{'x' * 36}...'"),
        (0.1 + 0.2, "0.3"),
        (-3543.7710788132017, "-3543.77107881"),
        (1e300, "1e300"),
        (1e6, "1000000"),
        (10**50, "a number of more than 39 digits"),
        (True, "true"),
        ((8, 16), "[8, 16]"),
        (list(range(5000)), "a list of 5000 values"),
        ([[1, 2], ["a"]], "[[1, 2], ['a']]"),
        ({"h": 0.7}, "a table"),
        (None, "nothing"),
        (np.float32(2.5), "2.5"),
        (np.zeros(3), "a ndarray"),
    ],
)
def test_a_value_is_shown_on_one_short_line(value, text):
    assert shown(value) == text
    assert shown(value).isprintable()
