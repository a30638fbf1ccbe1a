"""``truez run``: field and redshifts of the patches of a partition, in any number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import method_options, options
from truez.cli.footprints import named_footprint
from truez.cli.methods import METHODS
from truez.cli.options import MACHINE, METHOD, OUTPUT, PHOTOZ, SURVEYS, below_one, existing, option
from truez.cli.parameters import flattened

if TYPE_CHECKING:
    from truez.sky.details import SkyDetails


@dataclass(frozen=True, kw_only=True)
class Catalogs:
    """What is known of the catalogues, beside what the partition states."""

    match_id: Annotated[
        str | None, option(SURVEYS, "Column of both that names a galaxy (also A:B, A+B).")
    ] = None
    match_radius: Annotated[
        float | None,
        option(SURVEYS, "Galaxies as near as this match [arcsec].", callback=options.positive),
    ] = None
    overlap: Annotated[
        str | None, option(SURVEYS, "Or nested, disjoint or the share of spec in photo.")
    ] = None
    spec_cut: Annotated[list[str] | None, option(SURVEYS, "Cut such as 'mag<=24'; may repeat.")] = (
        None
    )
    photo_cut: Annotated[list[str] | None, option(SURVEYS, "The same for photo.")] = None
    weight_column: Annotated[str | None, option(SURVEYS, "Completeness weights of photo.")] = None
    spec_weight_column: Annotated[str | None, option(SURVEYS, "Those of spec.")] = None
    spec_footprint: Annotated[
        str | None, option(SURVEYS, "Of spec; by default the partition's.")
    ] = None
    nz: Annotated[
        str | None, option(SURVEYS, "File of N(z) of photo.", **existing("catalogue file"))
    ] = None
    spec_nz: Annotated[
        str | None, option(SURVEYS, "That of spec.", **existing("catalogue file"))
    ] = None
    frame: Annotated[str, option(SURVEYS, "Of redshifts: none, heliocentric or cmb.")] = "none"
    real_space: Annotated[
        bool, option(SURVEYS, "Redshifts contain no peculiar velocities.", "--real-space")
    ] = False
    sigma_z: Annotated[
        float | None,
        option(PHOTOZ, "Photo-z error divided by 1 + z.", callback=options.sigma_z),
    ] = None
    sigma_z_column: Annotated[str | None, option(PHOTOZ, "Column of such errors.")] = None
    z_err_column: Annotated[
        str | None, option(PHOTOZ, "Of absolute ones, also LOWER:UPPER[:LEVEL].")
    ] = None
    pdf_column: Annotated[str | None, option(PHOTOZ, "Nested column of p(z).")] = None
    pdf_prior: Annotated[
        str | None, option(PHOTOZ, "What is in p(z): flat, nz, stack or FILE.")
    ] = None
    outlier_fraction: options.Outliers = 0.0
    outlier_column: Annotated[str | None, option(PHOTOZ, "Column of it.")] = None
    photo_bias: Annotated[str | None, option(PHOTOZ, "Of z_phot - z: A,B,... of A + B z + ...")] = (
        None
    )

    def details(self) -> SkyDetails:
        """They in Python."""
        from truez.sky.details import SkyDetails

        if self.spec_footprint is not None:
            named_footprint(self.spec_footprint, "--spec-footprint")
        if self.outlier_column is not None and self.outlier_fraction:
            raise ValueError(
                "--outlier-fraction and --outlier-column are both given: leave one out"
            )
        return SkyDetails(
            frame=self.frame,
            sigma_z_column=self.sigma_z_column,
            z_err_column=self.z_err_column,
            pdf=self.pdf_column,
            pdf_prior=self.pdf_prior,
            outlier_fraction=self.outlier_column or self.outlier_fraction,
            photo_bias=options.numbers(self.photo_bias or "", "--photo-bias"),
            match_radius=self.match_radius,
            weight_column=self.weight_column,
            spec_weight_column=self.spec_weight_column,
            spec_cut=tuple(self.spec_cut or ()),
            photo_cut=tuple(self.photo_cut or ()),
            spec_footprint=self.spec_footprint,
            nz=self.nz,
            spec_nz=self.spec_nz,
            redshift_space=not self.real_space,
        )


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where patches are made."""

    workers: Annotated[
        int | None,
        option(MACHINE, "Processes here; by default this one.", min=1),
    ] = None
    threads: Annotated[int, option(MACHINE, "Of each of them.", min=1)] = 1
    scheduler: Annotated[str | None, option(MACHINE, "Address or file of a dask scheduler.")] = None
    device: options.Device = "auto"


@flattened
def run(
    context: typer.Context,
    partition: Annotated[
        str,
        typer.Argument(
            help="Folder of `truez partition`.", **existing("folder of a partition", folder=True)
        ),
    ],
    *,
    catalogs: Catalogs,
    method: Annotated[
        str, option(METHOD, f"{METHODS[0]}, redistribution, wiener or wiener-spec.")
    ] = "columns",
    resampler: options.Resampler = "cic",
    floor: method_options.Floor = 0.05,
    filter: Annotated[str, option(METHOD, "exact or local.")] = "exact",  # noqa: A002
    sky_cellsize: Annotated[
        float | None,
        option(METHOD, "Cells of the intensity.",
               callback=options.positive),
    ] = None,
    pairs: Annotated[bool, option(METHOD, "Use pairs near on the sky.")] = True,
    first_patches: Annotated[
        int, option(METHOD, "Patches of a shell in the first pass.", min=1)
    ] = 8,
    network: method_options.NetworkOptions,
    out: Annotated[str | None, option(OUTPUT, "Folder of the run.")] = None,
    plan: Annotated[
        str | None,
        option(OUTPUT, "In place of --out: the first pass alone, for truez run-patch."),
    ] = None,
    make: Annotated[
        str, option(OUTPUT, "Of each patch: field, redshifts, pdf (quantiles).")
    ] = "field,redshifts",
    interval: Annotated[
        float,
        option(OUTPUT, "Share of the posterior between z_lo and z_hi.", callback=below_one),
    ] = 0.68,
    quantiles: Annotated[int, option(OUTPUT, "Of each p(z), 5 to 137.")] = 19,
    dry_run: Annotated[bool, option(OUTPUT, "Only print what it takes.", "--dry-run")] = False,
    overwrite: options.Overwrite = False,
    machines: Machines,
) -> None:  # fmt: skip
    """Make field and redshifts of every patch of a partition, each by itself.

    What all patches share is settled first, so that the result is the same wherever they are made:
    in this process, in several, on a dask cluster, or by jobs of a batch system. The same command
    goes on where one was ended; `truez join` makes one field and one catalogue. Examples:

    `truez run divided --match-id ID --z-err-column Z_ERR --workers 8 --out run`

    `truez run divided --match-id ID --z-err-column Z_ERR --plan run`
    """
    from contextlib import ExitStack

    from truez.cli.partition_run import echo_costs, echo_plan, fail, prepared_run
    from truez.sky.distributed.driver import begin, finished, make_patches
    from truez.sky.distributed.first_pass import settle
    from truez.sky.distributed.workers import Where
    from truez.support.progress_bar import progress_bar

    if (out is None) == (plan is None) and not dry_run:
        raise ValueError(
            "run needs --out FOLDER, or --plan FOLDER to make patches with truez run-patch: give "
            "one of them"
        )
    where = Where(machines.workers, machines.scheduler, machines.threads)
    settings = {"resampler": resampler, "floor": floor, "filter": filter, "pairs": pairs,
                "sky_cellsize": sky_cellsize, **network.settings}  # fmt: skip
    folder = plan or out
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar())
        # A scheduler that is not there is the first complaint.
        pool = None if dry_run else stack.enter_context(where.pool(progress))
        prepared = prepared_run(
            context, partition, catalogs, method, settings=settings, make=make, interval=interval,
            quantiles=quantiles, first_patches=first_patches, claimed=None if dry_run else folder,
            progress=progress,
        )  # fmt: skip
        if folder is None or pool is None:
            echo_plan(prepared)
            return
        if pool.dashboard:
            typer.echo(f"dashboard: {pool.dashboard}", err=True)
        begun = begin(folder, prepared, workers=machines.workers or 1, overwrite=overwrite)
        settle(begun, pool, progress)
        failed = [] if plan else make_patches(begun, pool, progress=progress)
        begun = begun if failed else finished(begun)
    typer.echo(f"{folder}: {begun.plan.method} on {prepared.partition.patches!r}")
    if plan:
        typer.echo(f"  patches 0 to {len(begun.partition) - 1}: truez run-patch {plan} NUMBER")
        return
    echo_costs(begun)
    those = "that" if len(failed) == 1 else "those"
    fail(failed, len(begun.partition), f"run the command again, which makes {those} alone")
