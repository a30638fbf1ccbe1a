"""The surveys of ``truez reconstruct`` and ``truez redshifts``: a mock folder or two catalogues.

Nothing heavy is imported here: the help page must come at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.cosmology import Cosmology
    from truez.surveys.surveys import Surveys

#: Options that describe two catalogues, which a mock folder does by itself.
CATALOGUE_OPTIONS = (
    "spec", "photo", "match_id", "overlap", "sigma_z", "outlier_fraction", "redshift", "real_space",
    "photo_bounds", "positions", "spec_positions", "length_unit", "hubble", "boxsize", "boxcenter",
    "periodic", "cellsize", "los", "cosmology",
)  # fmt: skip

Folder = Annotated[
    str | None, typer.Argument(help="Mock folder; or give --spec and --photo.", show_default=False)
]
Spec = Annotated[str | None, typer.Option(help="Spectroscopic catalogue.", show_default=False)]
Photo = Annotated[
    str | None, typer.Option(help="Photometric catalogue, at its photo-z.", show_default=False)
]
MatchId = Annotated[
    str | None,
    typer.Option(
        help="Column of both catalogues that names a galaxy: who is in both is then known.",
        show_default=False,
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        help="Without --match-id: nested (every spec galaxy is in photo), disjoint, or the "
        "fraction of spec galaxies that photo holds.",
        show_default=False,
    ),
]
SigmaZ = Annotated[
    float | None, typer.Option(help="Photo-z error divided by (1 + z).", show_default=False)
]
FitSigma = Annotated[
    bool,
    typer.Option("--fit-sigma", help="Let the Wiener filter fit the error, from sigma-z on."),
]
Redshift = Annotated[float | None, typer.Option(help="Redshift of the volume.", show_default=False)]
RealSpace = Annotated[
    bool,
    typer.Option("--real-space", help="Positions hold no peculiar velocities (simulations)."),
]
PhotoBounds = Annotated[
    str,
    typer.Option(
        help="What bounds the photometric sample along a closed box: truth (the galaxies fill "
        "the box and their photo-z leak out) or photo-z (a cut in photo-z)."
    ),
]
SpecPositions = Annotated[
    str | None, typer.Option(help="The same for --spec, where it differs.", show_default=False)
]
Boxsize = Annotated[
    str | None,
    typer.Option(help="Side of the box, or X,Y,Z, in the catalogue's unit.", show_default=False),
]
Resampler = Annotated[str, typer.Option(help="ngp, cic or tsc.")]
Floor = Annotated[
    float,
    typer.Option(help="Lowest intensity of the redistribution, relative to the mean density."),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Cells of a network tile's side; 0 is the whole field. By default what 1.5 GB hold.",
        show_default=False,
    ),
]


Symmetries = Annotated[
    int,
    typer.Option(
        help="Turn the surveys in so many ways (1, 2, 4, 8 or 16) for the network, and take the "
        "mean: better, and as many times slower."
    ),
]
Bf16 = Annotated[
    bool,
    typer.Option(
        "--bf16",
        help="Let the network work with numbers of 16 bits: half the time on GPUs and on CPUs with "
        "instructions for it, and next to no difference.",
    ),
]


def chosen_tile(tile: int | None) -> int | Literal["auto"] | None:
    """What `truez.reconstruct.estimate` takes for `Tile`."""
    return "auto" if tile is None else tile or None


def method_settings(context: typer.Context, method: str, **given: Any) -> dict[str, Any]:
    """The settings that a method has; those of others raise ValueError where they were typed."""
    from dataclasses import fields

    from truez.reconstruct import METHODS

    if method not in METHODS:
        raise ValueError(f"--method must be one of {', '.join(METHODS)}, not {method!r}")
    known = {item.name for item in fields(METHODS[method].settings)}
    options.refuse_given(context, given.keys() - known, f"--method {method} has no such setting")
    typed = {
        name for name in given
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }  # fmt: skip
    return {name: value for name, value in given.items() if name in known & typed}


@dataclass(frozen=True)
class Inputs:
    """Two surveys, and the photometric catalogue that they came from.

    ``los`` is the axis of that file along which the observer looks, and a length in ``length_unit``
    is ``length_factor`` Mpc/h.
    """

    surveys: Surveys
    photo: str
    los: str
    length_unit: str
    length_factor: float


def read_inputs(
    context: typer.Context,
    folder: str | None,
    *,
    spec: str | None,
    photo: str | None,
    match_id: str | None,
    overlap: str | None,
    sigma_z: float | None,
    outlier_fraction: float,
    redshift: float | None,
    real_space: bool,
    photo_bounds: str,
    positions: str,
    spec_positions: str | None,
    length_unit: str | None,
    hubble: float | None,
    boxsize: str | None,
    boxcenter: str | None,
    periodic: bool,
    cellsize: float,
    los: str,
    cosmology: str,
) -> Inputs:
    """Read a mock folder, or the two catalogues that the options describe."""
    from truez.catalogs.units import length_factor
    from truez.surveys.mock import Mock

    if folder is not None:
        options.refuse_given(context, CATALOGUE_OPTIONS, "a mock folder says that itself")
        found = Mock.read(folder)
        surveys = replace(found.surveys, metadata={"mock": found.fingerprint})
        return Inputs(surveys, str(Path(folder) / "photo.parquet"), "z", "Mpc/h", 1.0)
    if spec is None or photo is None:
        raise ValueError("give a mock folder, or both --spec FILE and --photo FILE")
    if boxsize is None or redshift is None or sigma_z is None:
        raise ValueError("catalogues need --boxsize, --redshift and --sigma-z beside them")
    if (match_id is None) == (overlap is None):
        raise ValueError(
            "say which galaxies both surveys hold: --match-id COLUMN, or --overlap nested, "
            "disjoint or FRACTION"
        )
    photo_columns = options.names(positions)
    frame = options.frame_from(
        photo,
        photo_columns,
        boxsize=boxsize,
        boxcenter=boxcenter,
        periodic=periodic,
        cellsize=cellsize,
        length_unit=length_unit,
        hubble=hubble,
        los=los,
    )
    surveys = _surveys(
        {"spec": spec, "photo": photo},
        {"spec": options.names(spec_positions or positions), "photo": photo_columns},
        frame,
        options.cosmology_from(cosmology, hubble),
        match_id=match_id,
        overlap=overlap,
        sigma_z=sigma_z,
        outlier_fraction=outlier_fraction,
        redshift=redshift,
        redshift_space=not real_space,
        photo_bounds=photo_bounds,
    )
    return Inputs(surveys, photo, los, frame.length_unit, length_factor(frame.length_unit, hubble))


def _surveys(
    files: dict[str, str],
    columns: dict[str, list[str]],
    frame: options.Frame,
    cosmology: Cosmology,
    *,
    match_id: str | None,
    overlap: str | None,
    sigma_z: float,
    outlier_fraction: float,
    redshift: float,
    redshift_space: bool,
    photo_bounds: str,
) -> Surveys:
    """Read the two catalogues, ``spec`` and ``photo``, into one box."""
    from truez.catalogs.catalog import Catalog
    from truez.surveys.matching import count_overlap, match_rows
    from truez.surveys.photoz import PhotozError
    from truez.surveys.surveys import Surveys

    positions, ids = {}, {}
    for name, path in files.items():
        catalog = Catalog.read(path, [*columns[name], *([match_id] if match_id else [])])
        positions[name] = frame.positions(catalog, columns[name])
        if match_id:
            ids[name] = catalog[match_id]
    sigma = cosmology.distance_error(sigma_z * (1 + redshift), redshift)
    num_both = count_overlap(
        len(positions["spec"]), ids=(ids.get("spec"), ids.get("photo")), overlap=overlap
    )
    return Surveys(
        **positions,
        box=frame.box,
        error=PhotozError(sigma, outlier_fraction),
        num_both=num_both,
        matched=match_rows(ids["spec"], ids["photo"]) if ids else None,
        cosmology=cosmology,
        redshift=redshift,
        redshift_space=redshift_space,
        photo_bounds=photo_bounds,  # type: ignore[arg-type]
        metadata={
            **files,
            "sigma_z": sigma_z,
            "match_id": match_id,
            "overlap": overlap,
            "length_unit": frame.length_unit,
            "los": frame.los,
        },
    )
