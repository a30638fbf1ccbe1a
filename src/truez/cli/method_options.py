"""Which method ``truez reconstruct`` and ``truez redshifts`` use in a box, and its settings.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from truez.cli import options
from truez.cli.inputs import SurveyOptions
from truez.cli.options import METHOD, NETWORK, OUTPUT, existing, option

Floor = Annotated[
    float,
    option(METHOD, "Lowest intensity of the redistribution [mean density]."),
]


@dataclass(frozen=True, kw_only=True)
class IntensityOptions:
    """The options of the intensity that moves galaxies, and of the linear estimate before it."""

    filter: Annotated[
        str,
        option(
            METHOD,
            "Of uneven surveys: exact or local.",
        ),
    ] = "exact"
    fit_amplitude: Annotated[
        bool,
        option(
            METHOD,
            "Boxes: fit the intensity's amplitude.",
            "--fit-amplitude",
        ),
    ] = False
    sky_cellsize: Annotated[
        float | None,
        option(
            METHOD,
            "Cells of the intensity; half of --cellsize by default.",
            callback=options.positive,
        ),
    ] = None
    pairs: Annotated[
        bool,
        option(METHOD, "Use pairs near on the sky."),
    ] = True


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The options of methods that use a network."""

    weights: Annotated[
        str | None,
        option(
            NETWORK,
            "Weights of the network; those of columns come with truez.",
            **existing("weights file"),
        ),
    ] = None
    tile: Annotated[
        int | None,
        option(
            NETWORK,
            "Cells along the side of a tile; 0: the whole field. By default what 2 GB hold.",
        ),
    ] = None
    symmetries: Annotated[
        int,
        option(
            NETWORK,
            "Mean over 1, 2, 4, 8 or 16 symmetries: more accurate, and as many times slower.",
        ),
    ] = 1
    bf16: Annotated[
        bool,
        option(
            NETWORK,
            "Compute in bfloat16: half the time on GPUs and CPUs that support it.",
            "--bf16",
        ),
    ] = False

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `truez.reconstruct.estimate`."""
        return {
            "weights": self.weights,
            "tile": "auto" if self.tile is None else self.tile or None,
            "symmetries": self.symmetries,
            "bf16": self.bf16,
        }


#: Options that make surveys in a box uneven.
_UNEVEN = (
    "expected_spec",
    "expected_photo",
    "weight_column",
    "spec_weight_column",
    "sigma_z_column",
    "z_err_column",
)


def chosen_method(context: typer.Context, given: SurveyOptions, method: str) -> str | None:
    """The method for surveys in a box, None where none was typed.

    `truez.reconstruct.choose` then chooses one when the surveys are there.

    Raises
    ------
    ValueError
        If the method that was typed needs even surveys, and options make these uneven.
    """
    from truez.reconstruct import METHODS, check_uneven

    source = context.get_parameter_source("method")
    if source is not None and source.name == "DEFAULT":
        return None
    if method in METHODS and any(getattr(given, name) for name in _UNEVEN):
        check_uneven(method)
    return method


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """The options of redshifts that are drawn from the posteriors."""

    draws: Annotated[
        int, option(OUTPUT, "Redshifts to draw from each posterior, z_draw_0, ...", min=0)
    ] = 0
    seed: Annotated[int, option(OUTPUT, "Seed of the draws.")] = 0


def has_setting(method: str | None, name: str) -> bool:
    """Whether a method has a setting; without one, either of those that are used by default."""
    from dataclasses import fields

    from truez.reconstruct import METHODS

    names = _default_methods() if method is None else (method,)
    settings = (METHODS[one].settings for one in names if one in METHODS)
    return any(item.name == name for how in settings for item in fields(how))


def check_drawn(method: str | None, seed: int) -> None:
    """Raise unless redshifts can be drawn of a method in a box, where one was typed.

    Of a plug-in that is known when it has run: its reconstruction has an intensity or not.
    """
    from truez.cli.methods import METHODS, METHODS_WITH_POSTERIORS

    if method in METHODS and method not in METHODS_WITH_POSTERIORS:
        raise ValueError(
            f"method {method} has no posterior of single galaxies: choose columns or redistribution"
        )
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, not {seed}")


def _default_methods() -> tuple[str, str]:
    from truez.reconstruct import DEFAULT_METHOD
    from truez.reconstruct.choice import OTHER_METHOD

    return DEFAULT_METHOD, OTHER_METHOD


@dataclass(frozen=True, kw_only=True)
class PluginOptions:
    """The settings of methods that other packages add."""

    setting: Annotated[
        list[str] | None,
        option(METHOD, "NAME=VALUE of a plug-in's method.", metavar="<str>"),
    ] = None

    def settings(self, context: typer.Context) -> dict[str, Any]:
        """The settings that ``--setting NAME=VALUE`` gives, with the values that TOML reads.

        Raises
        ------
        ValueError
            If one has no value, is given twice, or has an option of its own.
        """
        import tomllib

        found: dict[str, Any] = {}
        for text in self.setting or []:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not (name.isidentifier() and equals and value):
                raise ValueError(f"--setting must be NAME=VALUE, not {text!r}")
            if name in found:
                raise ValueError(f"--setting {name} is given twice: leave one out")
            if name in context.params:
                opt = next(p.opts[0] for p in context.command.params if p.name == name)
                raise ValueError(f"--setting {name} has an option of its own: give {opt}")
            try:
                found[name] = tomllib.loads(f"value = {value}")["value"]
            except tomllib.TOMLDecodeError:
                found[name] = value
        return found


def method_settings(context: typer.Context, method: str | None, **given: Any) -> dict[str, Any]:
    """The settings that were typed, those of a method.

    Parameters
    ----------
    context : typer.Context
    method : str, optional
        The settings of both methods that are used by default, without one.
    **given
        Values of the options of all methods.

    Raises
    ------
    ValueError
        If there is no such method, or a setting was typed that it does not have.
    """
    from dataclasses import fields

    from truez.reconstruct import DEFAULT_METHOD, METHODS

    if method is not None and method not in METHODS:
        raise ValueError(f"--method must be one of {', '.join(METHODS)}, not {method!r}")
    names = _default_methods() if method is None else (method,)
    known = {item.name for name in names for item in fields(METHODS[name].settings)}
    others = [name for name in given if name not in known]
    options.refuse_given(
        context, others, f"--method {method or DEFAULT_METHOD} has no such setting"
    )
    typed = {
        name for name in given
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }  # fmt: skip
    return {name: value for name, value in given.items() if name in known & typed}
