"""``truez partition``: catalogues larger than memory, divided among the patches of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.errors import quoted
from truez.cli.footprints import named_footprint
from truez.cli.options import BOX, MACHINE, METHOD, OUTPUT, PHOTOZ, SURVEYS, existing, option
from truez.cli.partition_run import echo_estimate
from truez.cli.patches import echo_listed
from truez.cli.sky_options import SKY

if TYPE_CHECKING:
    from truez.sky.partition.patch_plan import PatchPlan


def _existing(
    context: typer.Context, parameter: typer.CallbackParam, value: str | None
) -> str | None:
    """Refuse a local catalogue that is not there."""
    if value is None or "://" in value:
        return value
    return str(existing("catalogue file", folder=None)["callback"](context, parameter, value))


def partition(
    *,
    photo: Annotated[
        str | None,
        option(SURVEYS, "Photometric catalogue: a file, a pattern, a folder of Parquet files, or a "
               "HATS catalogue; local, or remote (s3://...).",
               callback=_existing, is_eager=True),
    ] = None,
    spec: Annotated[
        str | None,
        option(SURVEYS, "Spectroscopic catalogue, as --photo.", callback=_existing, is_eager=True),
    ] = None,
    sky: Annotated[
        str, option(SKY, "RA,DEC,Z: columns of right ascension, declination and redshift.")
    ] = "RA,DEC,Z",
    photo_sky: Annotated[str | None, option(SKY, "Those of --photo.")] = None,
    spec_z_column: Annotated[
        str | None, option(SKY, "Column of --photo with true redshifts of some galaxies.")
    ] = None,
    ra_unit: Annotated[
        str | None, option(SKY, "deg, hourangle or rad; by default that of the file, else deg.")
    ] = None,
    columns: Annotated[
        str | None, option(SURVEYS, "A,B,...: other columns of --photo to keep; all by default.")
    ] = None,
    spec_columns: Annotated[str | None, option(SURVEYS, "Those of --spec.")] = None,
    footprint: Annotated[
        str, option(SKY, "RA1,RA2,DEC1,DEC2, or the file of a mask, of --photo.")
    ],
    redshift_range: Annotated[str, option(SKY, "LOW,HIGH: redshifts of the map.")],
    sigma_z: Annotated[
        float,
        option(PHOTOZ, "Photo-z error over 1 + z; where errors differ, their 95th percentile.",
               callback=options.sigma_z),
    ],
    nz: Annotated[
        str | None,
        option(SKY, "File of N(z), by which cells are not too wide where galaxies are.",
               **existing("catalogue file")),
    ] = None,
    cosmology: options.CosmologyText = "planck18",
    cellsize: options.Cellsize = 2.0,
    chi_ref: Annotated[
        float | None,
        option(SKY, "Distance at which cells are as wide as --cellsize [Mpc/h].",
               callback=options.positive),
    ] = None,
    halo: Annotated[
        float,
        option(METHOD, "Around a core: 62 for all methods, 20 for those without a network [Mpc/h].",
               callback=options.not_negative),
    ] = 62.0,
    max_cells: Annotated[
        int, option(BOX, "Cells of the largest patch.", callback=options.positive)
    ] = 2**25,
    memory: Annotated[
        float,
        option(MACHINE, "For galaxies that are held at a time [MB].", callback=options.positive),
    ] = 512.0,
    out: Annotated[str | None, option(OUTPUT, "Folder of the partition.")] = None,
    dry_run: Annotated[
        bool,
        option(OUTPUT, "Only print the patches, and what a run on them takes.", "--dry-run"),
    ] = False,
    num_galaxies: Annotated[
        float,
        option(OUTPUT, "Photometric galaxies that --dry-run is for.", callback=options.positive),
    ] = 1e6,
    overwrite: options.Overwrite = False,
) -> None:  # fmt: skip
    """Divide catalogues larger than memory among the patches of a map, in one pass.

    Each galaxy is written to the file of the patch whose core holds it, and of those whose margins
    it is in; files have the columns of the input, the row of the galaxy in it (`truez_row`) and
    whether it is in the core (`truez_core`). Memory does not grow with the catalogue. The same
    command goes on where one was ended, and leaves the same files. Two examples:

    `truez partition --photo 'photo/*.parquet' --spec spec.fits --photo-sky RA,DEC,Z_PHOT
    --footprint mask.fits --redshift-range 0.2,1.2 --sigma-z 0.03 --out divided`

    `truez partition --photo s3://bucket/object --photo-sky coord_ra,coord_dec,z_mean
    --columns objectId,z_err --footprint 0,60,-30,0 --redshift-range 0.2,1.2 --sigma-z 0.03 --out
    divided`
    """
    from truez.sky.distributed.estimate import estimate_of
    from truez.sky.partition.sky_input import SkyInput
    from truez.sky.partition.stored import Partition
    from truez.sky.registry import METHODS
    from truez.support.progress_bar import progress_bar

    def wanted(text: str | None) -> list[str] | None:
        return None if text is None else options.names(text)

    places = _three(sky, "--sky")
    if not dry_run and (photo is None or out is None):
        lost = "--photo CATALOGUE" if photo is None else "--out FOLDER"
        raise ValueError(f"partition needs {lost}: give it, or --dry-run for a plan alone")
    own = places if photo_sky is None else _three(photo_sky, "--photo-sky")
    given: dict[str, Any] = {
        "photo": SkyInput(str(photo), own, spec_z_column, wanted(columns), ra_unit),
        "spec": None if spec is None else SkyInput(spec, places, columns=wanted(spec_columns),
                                                   ra_unit=ra_unit),
    }  # fmt: skip
    plan = _plan(footprint, redshift_range, sigma_z, nz, cosmology, cellsize=cellsize,
                 chi_ref=chi_ref, halo=halo, max_cells=max_cells)  # fmt: skip
    if dry_run:
        typer.echo(repr(plan.patches))
        echo_listed([repr(patch) for patch in plan.patches])
        for method in METHODS:
            if METHODS[method].moves and METHODS[method].halo <= halo:
                echo_estimate(method, estimate_of(plan.patches, method, num_galaxies))
        return
    assert out is not None
    _claim(out, plan)
    with progress_bar() as progress:
        made = Partition.make(out, plan, **given, memory=int(memory * 1e6), overwrite=overwrite,
                              progress=progress)  # fmt: skip
    typer.echo(f"{out}: {made!r}")
    typer.echo(f"  {made.patches!r}")


def _three(text: str, option: str) -> list[str]:
    names = options.names(text)
    if len(names) != 3:
        raise ValueError(f"{option} must name three columns, RA,DEC,Z, not {quoted(text)}")
    return names


def _plan(
    footprint: str, redshift_range: str, sigma_z: float, nz: str | None, cosmology: str,
    **settings: Any,
) -> PatchPlan:  # fmt: skip
    from truez.sky.partition.patch_plan import PatchPlan
    from truez.sky.patches import PatchSettings
    from truez.sky.registry import stride_within
    from truez.surveys.nz import read_number_density

    return PatchPlan(
        named_footprint(footprint, "--footprint"),
        options.cosmology_from(cosmology, None),
        options.pair(redshift_range, "--redshift-range"),
        sigma_z,
        None if nz is None else read_number_density(nz, option="--nz"),
        PatchSettings(**settings, stride=stride_within(settings["halo"])),
    )


def _claim(out: str, plan: PatchPlan) -> None:
    """Keep the folder from other processes, and refuse files of others in it."""
    from pathlib import Path

    from truez.sky.partition.making import SAMPLES, SHARED
    from truez.sky.partition.patch_plan import FILE, KIND
    from truez.support.folders import lock, refuse_foreign
    from truez.support.outputs import check_output

    names = [*plan.files, *SAMPLES, SHARED]
    check_output(out, folder=True, inside=names, option="--out")
    lock(out, option="--out")
    path = Path(out) / FILE
    is_own = path.is_file() and KIND.encode() in path.read_bytes()
    refuse_foreign(out, names, own=[FILE] if is_own else [], maker="truez partition",
                   option="--out")  # fmt: skip
