"""Options that several commands have, the checks of their values, and their panels in the help.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli.errors import COMMAS, quoted, sentence

if TYPE_CHECKING:
    from pathlib import Path

    from truez.cosmology import Cosmology

#: Panels of the help.
SURVEYS, PHOTOZ, BOX, COORDINATES = "Surveys", "Photo-z", "Box", "Coordinates"
METHOD, NETWORK, SIMULATION = "Method", "Network", "Simulation"
OUTPUT, MACHINE = "Output", "Machine"

#: The largest redshift and photo-z error, those of `truez.cosmology` and `truez.surveys.photoz`,
#: which are not imported for the help.
HIGHEST_REDSHIFT, LARGEST_SIGMA_Z = 100.0, 0.3

#: Files of a mock, those of `truez.surveys.mock` and of the sky.
_MOCK = ("photo.parquet", "spec.parquet", "truth.parquet", "mock.toml", "footprint.fits",
         "spec_footprint.fits")  # fmt: skip

Check = Callable[[typer.CallbackParam, Any], Any]


def option(panel: str, text: str, *names: str, **settings: Any) -> Any:
    """An option of a panel of the help; ``names`` are needed only where the parameter's differs."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


# --- checks ---------------------------------------------------------------------------------------


def existing(kind: str, *, folder: bool | None = False, several: bool = False) -> dict[str, Any]:
    """Settings of an option or argument that is the path of something that exists.

    Such a path is looked at before any other option, so that a wrong one is the first complaint.

    Parameters
    ----------
    kind : str
        What it is, for the message.
    folder : bool, optional
        Whether it is a folder or a file; None where it may be both.
    several : bool
        Whether a text may list several paths, with commas.
    """

    def check(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
        from truez.support.tables import exists, files_of, is_pattern, listed, split_table

        shown = f" ({parameter.opts[0]})" if parameter.opts[0].startswith("-") else ""
        paths = value if isinstance(value, list | tuple) else [value]
        if several and value is not None:
            paths = listed(str(value))
        for path in paths:
            if path is None:
                continue
            place, _ = split_table(path)
            is_catalog = kind.startswith(("catalogue", "file or", "file of p(z)"))
            if is_catalog and is_pattern(place) and files_of(place):
                continue
            if not exists(place) and not (kind.startswith("file") and _is_of_qp(place)):
                words = f"there is no {kind} {place}{shown}"
                others = (context.params.get("photo"), context.params.get("spec"))
                number = re.fullmatch(r"[-+\d.,]+", str(place))
                if not shown and "mock" in kind and (number or any(others)):
                    words += f"; {COMMAS}"
                raise FileNotFoundError(words)
            # A folder of Parquet files is a catalogue.
            if kind.startswith("catalogue") and place.is_dir() and place.suffix == ".parquet":
                continue
            if folder is not None and place.is_dir() != folder:
                wrong = "file" if folder else "folder"
                if kind.startswith("catalogue") and any(place.rglob("*.parquet")):
                    shown = f"{shown}, or name a folder of Parquet files {place.name}.parquet"
                raise ValueError(f"{path} is a {wrong}: give a {kind}{shown}")
        return value

    return {"callback": check, "is_eager": True}


def _is_of_qp(path: Path) -> bool:
    """Whether a path is what qp calls several files of ``.pq``."""
    if path.suffix.lower() != ".pq":
        return False
    from truez.surveys.pdfs.ancil import qp_tables

    return qp_tables(path) is not None


def existing_recipe(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse the path of a TOML file that does not exist; other names are those of recipes."""
    from pathlib import Path

    if value is not None and value.endswith(".toml") and not Path(value).is_file():
        shown = f" ({parameter.opts[0]})" if parameter.opts[0].startswith("-") else ""
        raise FileNotFoundError(f"there is no recipe file {value}{shown}")
    return value


def _number(holds: Callable[[float], bool], words: str) -> Check:
    """A check of a number that refuses those for which ``holds`` is false, nan among them."""

    def check(parameter: typer.CallbackParam, value: Any) -> Any:
        if value is not None and not holds(value):
            raise ValueError(f"{parameter.opts[0]} must be {words}, not {quoted(value)}")
        return value

    return check


positive = _number(lambda value: 0 < value < math.inf, "a finite number above 0")
not_negative = _number(lambda value: 0 <= value < math.inf, "a finite number of at least 0")
redshift = _number(
    lambda value: 0 <= value <= HIGHEST_REDSHIFT, f"a number from 0 to {HIGHEST_REDSHIFT:g}"
)
sigma_z = _number(
    lambda value: 0 <= value <= LARGEST_SIGMA_Z, f"a number from 0 to {LARGEST_SIGMA_Z:g}"
)
below_one = _number(lambda value: 0 <= value < 1, "a number from 0 to below 1")


# --- options --------------------------------------------------------------------------------------

Cellsize = Annotated[float, option(BOX, "Side of a cell [Mpc/h].", callback=positive)]
Periodic = Annotated[bool, option(BOX, "Join opposite faces.", "--periodic/--not-periodic")]
Redshift = Annotated[
    float, option(BOX, "Redshift of the snapshot or of the volume.", callback=redshift)
]
CosmologyText = Annotated[
    str,
    option(
        BOX,
        "wmap (the paper's), tng, planck18, or h=...,omega_m=... (omega_b, n_s, sigma_8).",
        "--cosmology",
    ),
]
SigmaZ = Annotated[
    float,
    option(PHOTOZ, "Photo-z error divided by 1 + z; 0.02 in the paper.", callback=sigma_z),
]
Outliers = Annotated[
    float,
    option(
        PHOTOZ,
        "Fraction of photo-z that are uniform over the line of sight.",
        callback=below_one,
    ),
]
Resampler = Annotated[str, option(METHOD, "Of painting: ngp, cic or tsc.")]
Settings = Annotated[
    list[str] | None,
    option(
        METHOD, "Change a setting of the recipe, as SECTION.NAME=VALUE; may be repeated.", "--set"
    ),
]
Overwrite = Annotated[bool, option(OUTPUT, "Replace an earlier result.", "--overwrite")]
DryRun = Annotated[
    bool, option(OUTPUT, "Only print the stages and their time, memory and disk.", "--dry-run")
]
Device = Annotated[str, option(MACHINE, "Where to compute: auto, cpu or cuda.")]


# --- text into values -----------------------------------------------------------------------------


def names(text: str) -> list[str]:
    """Column names of ``a,b,c``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def pair(text: str, option: str) -> tuple[float, float]:
    """The finite numbers of ``LOW,HIGH``."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{option} must be two numbers, LOW,HIGH, not {quoted(text)}")
    return low, high


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The finite numbers of ``A,B,...``; none of an empty text."""
    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (math.nan,)
    if not all(math.isfinite(number) for number in found):
        raise ValueError(f"{option} must be numbers A,B,..., not {text!r}")
    return found


def sides(text: str, option: str, *, positive: bool = True) -> tuple[float, float, float]:
    """The number of each axis of ``512`` (the same for all) or ``X,Y,Z``."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    right = all(math.isfinite(value) and (value > 0 or not positive) for value in values)
    if len(values) not in (1, 3) or not right:
        kind = "positive" if positive else "finite"
        raise ValueError(f"{option} must be one {kind} number or three, X,Y,Z, not {quoted(text)}")
    x, y, z = values * (3 // len(values))
    return x, y, z


def parameters_from(text: str) -> dict[str, float]:
    """The numbers of ``h=0.7,omega_m=0.3``; empty where the text is something else."""
    found: dict[str, float] = {}
    for part in names(text):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            return {}
        if key in found:
            raise ValueError(f"--cosmology {quoted(text)} says {quoted(key)} twice: leave one out")
        try:
            found[key] = float(value)
        except ValueError:
            raise ValueError(
                f"--cosmology {quoted(text)}: {key} must be a number, not {quoted(value)}"
            ) from None
    return found


def cosmology_from(text: str, hubble: float | None) -> Cosmology:
    """A named cosmology, or one of ``h=...,omega_m=...``; ``hubble`` replaces its h."""
    from truez.cosmology import COSMOLOGIES, Cosmology

    if text in COSMOLOGIES:
        cosmology = COSMOLOGIES[text]
        return cosmology if hubble is None else cosmology.with_h(hubble)
    values = parameters_from(text)
    if not values:
        raise ValueError(
            f"--cosmology must be one of {', '.join(COSMOLOGIES)} or h=...,omega_m=..., "
            f"not {quoted(text)}"
        )
    if hubble is not None and values.setdefault("h", hubble) != hubble:
        raise ValueError(
            f"--hubble {hubble:g} contradicts --cosmology {quoted(text)}: leave one of them out"
        )
    with named(f"--cosmology {quoted(text)}"):
        return Cosmology(**values)


def chosen_device(text: str) -> str:
    """The device of ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``."""
    import torch

    if text not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device must be auto, cpu or cuda, not {quoted(text)}")
    there = torch.cuda.is_available()
    if text == "cuda" and not there:
        raise ValueError("--device cuda needs a GPU, and torch finds none here")
    return "cuda" if there and text != "cpu" else "cpu"


# --- refusals -------------------------------------------------------------------------------------


@contextmanager
def named(option: str) -> Iterator[None]:
    """Context in which the sentence of a `ValueError` begins with the option that is read."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{option}: {sentence(error)}") from error


def refuse_given(
    context: typer.Context, names: Iterable[str], why: str, *, remedy: str = ""
) -> None:
    """Raise if an option of ``names`` is given where it has no meaning, unless by the remedy."""
    known = {parameter.name: parameter for parameter in context.command.params}
    given = []
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            parameter = known[name]
            off = context.params.get(name) is False and parameter.secondary_opts
            given.append((parameter.secondary_opts if off else parameter.opts)[0])
    if given:
        other = f"{remedy}, or " if remedy else ""
        raise ValueError(f"{why}: {other}leave out {', '.join(given)}")


def claim_folder(
    out: str, names: Iterable[str], *, last: str, says: str, maker: str, overwrite: bool,
    option: str = "--out",
) -> None:  # fmt: skip
    """Raise if the folder of a result must not be written: it is another's, or holds one already.

    Until the command ends no other one can write there. ``names`` are the files of the result, of
    which ``last`` shows that it is whole, and that it is of ``maker`` where it ``says`` so.
    """
    from pathlib import Path

    from truez.support.files import end_moves
    from truez.support.folders import lock, refuse_foreign
    from truez.support.outputs import check_output

    names = list(names)
    check_output(out, folder=True, inside=names, option=option)
    lock(out, option=option)
    end_moves(out, last=last)
    whole = Path(out) / last
    is_own = whole.is_file() and says.encode() in whole.read_bytes()
    own = [last] if is_own else []
    refuse_foreign(out, names, own=own, maker=maker, option=option)
    if is_own and not overwrite:
        raise ValueError(f"{whole} is there already: give another {option}, or --overwrite")


def refuse_inputs(context: typer.Context) -> None:
    """Raise if a file that the command would write is one that it reads.

    Outputs are the options of the panel `OUTPUT`; of folders that it reads the files of a mock
    count.
    """
    from pathlib import Path

    from truez.support.tables import exists

    read = [one for one in context.command.params if _panel(one) != OUTPUT]
    for one in context.command.params:
        path = context.params.get(one.name or "")
        if _panel(one) != OUTPUT or not isinstance(path, str):
            continue
        if not exists(Path(path)) or not Path(path).is_file():
            continue
        for other in read:
            if _reads(context.params.get(other.name or ""), path):
                shown = other.opts[0] if other.opts[0].startswith("-") else str(other.name).upper()
                raise ValueError(
                    f"{one.opts[0]} {path} is read by the same command, as {shown}: give another "
                    f"{one.opts[0]}"
                )


def _panel(parameter: Any) -> str | None:
    return getattr(parameter, "rich_help_panel", None)


def _reads(given: Any, path: str) -> bool:
    """Whether the value of an option or argument is, or holds, a file."""
    from truez.support.tables import exists, files_of, listed, split_table

    if isinstance(given, list | tuple):
        return any(_reads(one, path) for one in given)
    if not isinstance(given, str):
        return False
    try:
        for place in (split_table(text)[0] for text in listed(given)):
            inside = [place / name for name in _MOCK] if place.is_dir() else files_of(place)
            if any(exists(file) and file.samefile(path) for file in inside):
                return True
    except (OSError, ValueError):  # no path at all
        return False
    return False


def refuse_existing(path: str, *, overwrite: bool, option: str = "--out") -> None:
    """Raise if ``path`` exists and must not be replaced, or another command is writing it."""
    from os.path import lexists

    from truez.support.folders import lock, remember
    from truez.support.outputs import check_output

    check_output(path, option=option)
    lock(path, option=option)
    remember(path)
    if lexists(path) and not overwrite:
        raise ValueError(f"{path} is there already: give another {option}, or --overwrite")
