"""Options that several commands share, and what turns their text into values.

Nothing heavy is imported here: the help page must come at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from truez.catalogs.catalog import Catalog
    from truez.cosmology import Cosmology
    from truez.mesh.box import Box

Positions = Annotated[
    str,
    typer.Option(help="The three position columns, in the file's axes (numbers for ASCII files)."),
]
LengthUnit = Annotated[
    str | None,
    typer.Option(
        help="Unit of positions, boxsize and boxcenter: Mpc/h, Mpc, kpc/h or kpc. "
        "Taken from the file where it states one, else Mpc/h.",
        show_default=False,
    ),
]
Hubble = Annotated[
    float | None,
    typer.Option(
        help="h = H0 / (100 km/s/Mpc); needed for lengths in Mpc or kpc, and then the h of the "
        "cosmology too.",
        show_default=False,
    ),
]
Boxsize = Annotated[
    str, typer.Option(help="Side of the box, or three sides X,Y,Z, in the catalogue's unit.")
]
Boxcenter = Annotated[
    str | None,
    typer.Option(
        help="Centre of the box, one number or X,Y,Z, in the catalogue's unit; "
        "half the boxsize by default.",
        show_default=False,
    ),
]
Periodic = Annotated[
    bool, typer.Option("--periodic/--not-periodic", help="Whether opposite faces are joined.")
]
Cellsize = Annotated[float, typer.Option(help="Cell size [Mpc/h].")]
Los = Annotated[str, typer.Option(help="Line of sight: axis x, y or z of the file.")]
Redshift = Annotated[float, typer.Option(help="Redshift of the snapshot or of the volume.")]
CosmologyText = Annotated[
    str,
    typer.Option(
        "--cosmology",
        help="wmap (the paper's), tng, planck18, or h=...,omega_m=...[,omega_b=,n_s=,sigma_8=].",
    ),
]
SigmaZ = Annotated[float, typer.Option(help="Photo-z error divided by (1 + z); 0.02 in the paper.")]
Outliers = Annotated[
    float, typer.Option(help="Share of photo-z that are uniform over the line of sight.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")]


def names(text: str) -> list[str]:
    """Column names of ``a,b,c``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str, option: str, count: int) -> list[float]:
    """The ``count`` numbers of ``1,2,3``."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise ValueError(f"{option} must be {count} numbers with commas between, not {text!r}")
    return values


@dataclass(frozen=True)
class Frame:
    """How the numbers of a catalogue lie in a box: its unit, its h and its line of sight."""

    box: Box
    length_unit: str
    hubble: float | None
    los: str

    def positions(self, catalog: Catalog, columns: list[str]) -> NDArray[Any]:
        """Positions of a catalogue in this frame, (n, 3) [Mpc/h], the line of sight last."""
        return catalog.positions(
            columns, length_unit=self.length_unit, hubble=self.hubble, los=self.los
        )


def frame_from(
    path: str,
    columns: list[str],
    *,
    boxsize: str,
    boxcenter: str | None,
    periodic: bool,
    cellsize: float,
    length_unit: str | None,
    hubble: float | None,
    los: str,
) -> Frame:
    """The box of a catalogue, whose unit is the given one, or what the file states, or Mpc/h."""
    from truez.catalogs.units import length_factor, los_last
    from truez.mesh.box import Box

    unit = length_unit or _stated_length_unit(path, columns) or "Mpc/h"
    factor = length_factor(unit, hubble)

    def vector(text: str, option: str) -> tuple[float, float, float]:
        values = numbers(text, option, 3) if "," in text else numbers(text, option, 1) * 3
        return los_last([value * factor for value in values], los)

    center = None if boxcenter is None else vector(boxcenter, "--boxcenter")
    box = Box.from_cellsize(vector(boxsize, "--boxsize"), cellsize, center, periodic)
    return Frame(box, unit, hubble, los)


def cosmology_from(text: str, hubble: float | None) -> Cosmology:
    """A named cosmology, or one of ``h=...,omega_m=...``; ``hubble`` replaces its h."""
    from truez.cosmology import COSMOLOGIES, Cosmology

    if text in COSMOLOGIES:
        cosmology = COSMOLOGIES[text]
        return cosmology if hubble is None else cosmology.with_h(hubble)
    try:
        values = {key.strip(): float(value) for key, value in (p.split("=") for p in names(text))}
    except ValueError:
        values = {}
    if not values:
        raise ValueError(
            f"--cosmology must be one of {', '.join(COSMOLOGIES)} or h=...,omega_m=..., "
            f"not {text!r}"
        )
    if hubble is not None and values.setdefault("h", hubble) != hubble:
        raise ValueError(f"--hubble {hubble} contradicts the h of --cosmology {text}")
    return Cosmology(**values)


def _stated_length_unit(path: str, columns: list[str]) -> str | None:
    """Unit that a catalogue file states for its position columns, if it does."""
    from pathlib import Path

    from truez.catalogs import formats, vectors
    from truez.catalogs.units import LENGTHS, canonical

    header = formats.header(Path(path))
    names = vectors.three(columns, header.columns, path, "positions", header.numbered)
    found = {canonical(header.units[name]) for name in names if name in header.units}
    known = found & set(LENGTHS)
    return next(iter(known)) if len(known) == 1 else None


def chosen_device(text: str) -> str:
    """``auto`` is a GPU where there is one."""
    import torch

    if text not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device must be auto, cpu or cuda, not {text!r}")
    there = torch.cuda.is_available()
    if text == "cuda" and not there:
        raise ValueError("--device cuda was asked for, and torch finds no GPU here")
    return "cuda" if there and text != "cpu" else "cpu"


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Raise if an option of ``names`` stands on the command line where it would mean nothing."""
    given = [
        "--" + name.replace("_", "-")
        for name in names
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise ValueError(f"{why}: leave out {', '.join(given)}")


def refuse_existing(path: str, *, overwrite: bool, option: str = "--out") -> None:
    """Raise if ``path`` is there and may not be replaced."""
    from pathlib import Path

    if Path(path).exists() and not overwrite:
        raise ValueError(f"{path} is there already: give another {option}, or --overwrite")
