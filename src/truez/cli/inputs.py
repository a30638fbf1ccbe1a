"""The surveys of ``truez reconstruct`` and ``truez redshifts``, and what was found in them.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.coordinates import Coordinates, Frame, stated_length_unit
from truez.cli.options import BOX, COORDINATES, PHOTOZ, SURVEYS, existing, option
from truez.cli.parameters import option_names
from truez.cli.reading import Reading, echo_dropped

if TYPE_CHECKING:
    from truez.mesh.box import Box
    from truez.surveys.surveys import Surveys

Folder = Annotated[
    str | None,
    typer.Argument(
        help="Mock folder; or give --spec and --photo.", **existing("mock folder", folder=None)
    ),
]


@dataclass(frozen=True, kw_only=True)
class SurveyOptions:
    """The options that describe two catalogues, which a mock folder does by itself."""

    spec: Annotated[
        str | None, option(SURVEYS, "Spectroscopic catalogue.", **existing("catalogue file"))
    ] = None
    photo: Annotated[
        str | None,
        option(SURVEYS, "Photometric catalogue, at its photo-z.", **existing("catalogue file")),
    ] = None
    match_id: Annotated[
        str | None,
        option(
            SURVEYS,
            "Column of both catalogues that names a galaxy (sky: also A:B, A+B).",
        ),
    ] = None
    overlap: Annotated[
        str | None,
        option(
            SURVEYS,
            "Without --match-id: nested (spec is part of photo), disjoint, or the fraction of spec "
            "that is in photo.",
        ),
    ] = None
    spec_cut: Annotated[
        list[str] | None,
        option(SURVEYS, "Cut such as 'mag<=24'; may repeat."),
    ] = None
    photo_cut: Annotated[
        list[str] | None,
        option(SURVEYS, "The same for --photo."),
    ] = None
    expected_spec: Annotated[
        str | None,
        option(
            SURVEYS,
            "Field file of expected counts, in a box.",
            **existing("field file"),
        ),
    ] = None
    expected_photo: Annotated[
        str | None,
        option(SURVEYS, "The same, at true redshifts.", **existing("field file")),
    ] = None
    weight_column: Annotated[str | None, option(SURVEYS, "Completeness weights of --photo.")] = None
    spec_weight_column: Annotated[
        str | None, option(SURVEYS, "Completeness weights of --spec.")
    ] = None
    sigma_z: Annotated[
        float | None,
        option(PHOTOZ, "Photo-z error divided by 1 + z.", callback=options.sigma_z),
    ] = None
    sigma_z_column: Annotated[str | None, option(PHOTOZ, "Column of such errors.")] = None
    z_err_column: Annotated[
        str | None,
        option(PHOTOZ, "Column of absolute photo-z errors; on the sky also LOWER:UPPER[:LEVEL]."),
    ] = None
    outlier_fraction: options.Outliers = 0.0
    photo_bounds: Annotated[
        str,
        option(
            PHOTOZ,
            "In a closed box, truth: galaxies fill it, and some photo-z lie outside; photo-z: the "
            "sample has a cut in photo-z.",
        ),
    ] = "truth"
    boxsize: Annotated[str | None, option(BOX, "Side, or X,Y,Z, in the catalogue's unit.")] = None
    coordinates: Coordinates
    reading: Reading
    spec_positions: Annotated[
        str | None, option(COORDINATES, "Position columns of --spec, if different.")
    ] = None
    periodic: options.Periodic = True
    redshift: Annotated[
        float | None, option(BOX, "Redshift of the volume.", callback=options.redshift)
    ] = None
    cosmology: options.CosmologyText = "planck18"
    real_space: Annotated[
        bool,
        option(BOX, "Positions contain no peculiar velocities.", "--real-space"),
    ] = False


@dataclass(frozen=True)
class Inputs:
    """Two surveys, and the photometric catalogue that they came from.

    ``los`` is the axis of that file along which the observer looks, and a length in ``length_unit``
    is ``length_factor`` Mpc/h. Rows without a value in ``drop_missing`` are not in the surveys.
    """

    surveys: Surveys
    photo: str
    los: str
    length_unit: str
    length_factor: float
    drop_missing: tuple[str, ...] = ()


def read_inputs(
    context: typer.Context,
    folder: str | None,
    given: SurveyOptions,
    *,
    start: Callable[[Box], None],
    in_patches: bool,
) -> Inputs:
    """Read a mock folder, or the two catalogues that the options describe.

    ``start`` is called with their box before any galaxy is read. A mesh of it must fit into the
    memory, unless it is worked on ``in_patches``.
    """
    from truez.catalogs.units import length_factor
    from truez.mesh.memory import check_mesh
    from truez.surveys.details import check_cuts
    from truez.surveys.mock import Mock, read_settings

    if folder is not None:
        options.refuse_given(
            context, option_names(SurveyOptions), "a mock folder contains these settings"
        )
        start(read_settings(folder)[1])
        found = Mock.read(folder)
        surveys = replace(found.surveys, metadata={"mock": found.fingerprint})
        return Inputs(surveys, str(Path(folder) / "photo.parquet"), "z", "Mpc/h", 1.0)
    if given.spec is None or given.photo is None:
        raise ValueError("give a mock folder, or both --spec FILE and --photo FILE")
    errors = (given.sigma_z, given.sigma_z_column, given.z_err_column)
    if given.boxsize is None or given.redshift is None or errors == (None, None, None):
        raise ValueError(_lacking(given, errors))
    if len(errors) - errors.count(None) > 1:
        raise ValueError(
            "the photo-z error must be given once: leave out all but one of --sigma-z, "
            "--sigma-z-column and --z-err-column"
        )
    if (given.match_id is None) == (given.overlap is None):
        raise ValueError(
            "say which galaxies both surveys hold: --match-id COLUMN, or --overlap nested, "
            "disjoint or FRACTION"
        )
    check_cuts(given.spec_cut or (), "spec_cut")
    check_cuts(given.photo_cut or (), "photo_cut")
    photo, boxsize = given.reading.place(given.photo), given.boxsize
    given = replace(given, photo=photo, spec=given.reading.place(given.spec))
    frame = given.coordinates.frame(photo, boxsize, periodic=given.periodic, meshed=False)
    if not in_patches:
        with options.named("--cellsize"):
            check_mesh(frame.box, other=", or reconstruct in patches")
    start(frame.box)
    factor = length_factor(frame.length_unit, frame.hubble)
    surveys = _surveys(given, frame)
    used: list[str] = []
    if given.reading.drop_missing:
        others = (
            given.match_id, given.sigma_z_column, given.z_err_column, given.weight_column,
        )  # fmt: skip
        used = [*given.coordinates.columns, *filter(None, others)]
    return Inputs(surveys, photo, frame.los, frame.length_unit, factor, tuple(used))


def _lacking(given: SurveyOptions, errors: tuple[Any, ...]) -> str:
    """What a box lacks of the options that it needs."""
    error = next((error for error in errors if error is not None), None)
    needed = {"--boxsize": given.boxsize, "--redshift": given.redshift, "--sigma-z": error}
    *others, last = [name for name, value in needed.items() if value is None]
    words = " and ".join(filter(None, [", ".join(others), last]))
    sky = ", or --sky RA,DEC,Z if they are on the sky" if given.boxsize is None else ""
    return f"catalogues of a box need {words} as well{sky}"


def echo_samples(surveys: Surveys) -> None:
    """Print how many galaxies are left out or have no id, and how many were expected."""
    for sample in ("spec", "photo"):
        echo_dropped(surveys.metadata.get(f"{sample}_dropped", 0), f"the {sample} catalogue")
        echo_cut(surveys.metadata, sample)
        expected = surveys.metadata.get(f"expected_{sample}_sum")
        if expected is not None:
            number = float(getattr(surveys, f"{sample}_expected")().values.sum())
            typer.echo(
                f"  expected counts of {sample} sum to {expected:.6g}, and are scaled to "
                f"{number:.6g}"
            )
        count = surveys.metadata.get(f"{sample}_without_id")
        if count:
            typer.echo(f"  {count} {sample} galaxies have no id and are matched to none")


def echo_cut(metadata: Mapping[str, Any], sample: str) -> None:
    """Print how many galaxies of a sample do not pass its thresholds."""
    count = metadata.get(f"{sample}_cut")
    if count is not None:
        typer.echo(f"  {count} galaxies of the {sample} catalogue do not pass --{sample}-cut")


def echo_found(metadata: Mapping[str, Any]) -> None:
    """Print how the filter of uneven surveys ended, and what was fitted to the photo-z."""
    if "filter_iterations" in metadata:
        typer.echo(
            f"  the filter took {metadata['filter_iterations']} iterations to a residual of "
            f"{metadata['filter_residual']:.1e}"
        )
    if "amplitude" in metadata:
        error = metadata.get("amplitude_error")
        more = "" if error is None else f" +- {error:.2g}"
        typer.echo(f"  amplitude of the intensity {metadata['amplitude']:.3g}{more}")
    if "pairs" in metadata:
        pairs = metadata["pairs"]
        typer.echo(
            f"  strength of pairs {pairs['strength']:.2g} +- {pairs['strength_error']:.2g}, which "
            f"makes the photo-z likelier by {pairs['gain']:.2g} nats per galaxy"
        )


def _surveys(given: SurveyOptions, frame: Frame) -> Surveys:
    """The two catalogues in one box."""
    from truez.surveys.details import SurveyDetails
    from truez.surveys.surveys import Surveys

    spec_columns = options.names(given.spec_positions) if given.spec_positions else None
    unit: str | None = frame.length_unit
    if given.coordinates.length_unit is None and stated_length_unit(
        str(given.spec), spec_columns or given.coordinates.columns
    ):
        unit = None  # each catalogue is in the unit that it states
    assert given.redshift is not None
    return Surveys.from_catalogs(
        spec=given.spec,
        photo=given.photo,
        box=frame.box,
        redshift=given.redshift,
        sigma_z=given.sigma_z,
        match_id=given.match_id,
        overlap=given.overlap,
        cosmology=options.cosmology_from(given.cosmology, frame.hubble),
        details=SurveyDetails(
            positions=given.coordinates.columns,
            spec_positions=spec_columns,
            length_unit=unit,
            hubble=frame.hubble,
            los=frame.los,
            outlier_fraction=given.outlier_fraction,
            redshift_space=not given.real_space,
            photo_bounds=given.photo_bounds,  # type: ignore[arg-type]
            drop_missing=given.reading.drop_missing,
            spec_cut=tuple(given.spec_cut or ()),
            photo_cut=tuple(given.photo_cut or ()),
            sigma_z_column=given.sigma_z_column,
            z_err_column=given.z_err_column,
            weight_column=given.weight_column,
            spec_weight_column=given.spec_weight_column,
            expected_spec=given.expected_spec,
            expected_photo=given.expected_photo,
        ),
    )
