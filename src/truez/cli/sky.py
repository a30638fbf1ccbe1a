"""Surveys on the sky for ``truez reconstruct`` and ``truez redshifts``.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from truez.cli import options
from truez.cli.footprints import stated_footprint
from truez.cli.parameters import option_names
from truez.cli.patches import echo_listed
from truez.cli.sky_checks import as_typed, check_drawn
from truez.cli.sky_clustering import check_clustered, cluster, ready_to_cluster
from truez.cli.sky_options import SkyOptions, SkyRedshiftOptions
from truez.cli.survey_names import Filled, with_survey

if TYPE_CHECKING:
    from truez.cli.inputs import SurveyOptions
    from truez.cli.method_options import NetworkOptions
    from truez.sky.details import SkyDetails
    from truez.sky.patches import Patches
    from truez.sky.plan import Plan
    from truez.sky.surveys import SkySurveys

#: Options of boxes that have no meaning on the sky.
_BOX_ONLY = ("boxsize", "boxcenter", "positions", "spec_positions", "los", "length_unit",
             "periodic", "redshift", "photo_bounds", "expected_spec", "expected_photo",
             "fit_sigma", "fit_amplitude", "draws", "seed", "samples",
             "drop_missing", "table", "patch", "margin")  # fmt: skip
#: Options of catalogues that a mock on the sky leaves open.
_OF_MOCKS = {"cellsize", "chi_ref", "dry_run", "redshift_range"}


@dataclass(frozen=True)
class SkyRun:
    """Surveys, the file of the photometric one, and how they are to be reconstructed."""

    surveys: SkySurveys
    plan: Plan
    settings: dict[str, Any]
    photo: str
    device: str = "cpu"
    ids: str | None = None  # as match_id names the columns

    @property
    def patches(self) -> Patches:
        """The patches of the sky."""
        return self.plan.patches

    @property
    def method(self) -> str:
        """The method, as it was chosen."""
        return self.plan.method

    def echo(self) -> None:
        """Print what is known of the surveys before the work, and what the work will take."""
        from truez.sky.agreement import notes

        surveys = self.surveys
        typer.echo(repr(surveys))
        for name, numbers in (("photo", surveys.nz), ("spec", surveys.spec_nz)):
            if numbers.fit is not None:
                typer.echo(f"  {name} N(z): {numbers.fit}")
        for name in ("empty_fraction", "noise"):
            if name in getattr(surveys.footprint, "metadata", {}):
                share = 100 * surveys.footprint.metadata[name]  # type: ignore[attr-defined]
                typer.echo(f"  footprint: {name.replace('_', ' ')} {share:.3g}%")
        for note in notes(surveys):
            typer.echo(f"  {note}")
        if "matches_by_chance" in surveys.metadata:
            number = surveys.metadata["matches_by_chance"]
            typer.echo(f"  {number:.3g} galaxies would match by chance")
        for sample in ("spec", "photo"):
            count = surveys.metadata.get(f"{sample}_cut")
            if count is not None:
                typer.echo(f"  {count} {sample} galaxies do not pass --{sample}-cut")
        typer.echo(f"  {self.patches!r}")
        typer.echo(f"  method {self.method}")

    def echo_plan(self, samples: int = 0) -> None:
        """Print the patches, their memory, that of samples among it, and the time."""
        from truez.sky.registry import METHODS, PER_GALAXY

        self.echo()
        cost = METHODS[self.method]
        how = cost.settings(**self.settings)
        lines = []
        for patch in self.patches:
            box, shell = patch.box, patch.shell
            lines.append(
                f"patch {patch.number}: {box.ra:.2f}, {box.dec:.2f} deg, {shell.near:.0f} to "
                f"{shell.far:.0f} Mpc/h, {patch.num_cells:.3g} cells, "
                f"{cost.memory(patch, how, samples) / 1e9:.2g} GB"
            )
        echo_listed(lines)
        deepest = max(patch.box.meshsize[2] for patch in self.patches)
        galaxies = int(self.surveys.unknown.sum())
        seconds = sum(cost.time(patch, how) for patch in self.patches)
        seconds += PER_GALAXY * galaxies * deepest
        typer.echo(f"  about {seconds:.2g} s on one core")


def read_sky(
    context: typer.Context, folder: str | None, given: SurveyOptions, sky: SkyOptions,
    network: NetworkOptions, method: str, own: Sequence[str] = (), in_boxes: Sequence[str] = (),
    **settings: Any,
) -> SkyRun | None:  # fmt: skip
    """The surveys on the sky that options describe; None where they describe a box.

    Parameters
    ----------
    context : typer.Context
    folder : str, optional
        A mock folder, of a box or of the sky.
    given, sky, network
        The options.
    method : str
    own : sequence of str
        Options that the command has for the sky as well.
    in_boxes : sequence of str
        Those of them that boxes have, too.
    **settings
        Options of methods, of which those that were typed are used.
    """
    from pathlib import Path

    from truez.sky.mock import SkyMock, is_sky_mock

    known = {parameter.name for parameter in context.command.params} - set(own)
    others = [name for name in _BOX_ONLY if name in known]
    settings |= network.settings
    if sky.sky is None and folder is not None and is_sky_mock(folder):
        own_settings = {*option_names(type(given)), *option_names(SkyOptions)} - _OF_MOCKS
        names = [*sorted(own_settings & known), *(name for name in others if name not in _OF_MOCKS)]
        options.refuse_given(context, names, "a mock on the sky has its own settings")
        surveys = SkyMock.read(folder).surveys
        if sky.redshift_range is not None:
            limits = options.pair(sky.redshift_range, "--redshift-range")
            surveys = surveys.with_redshift_range(*limits)
        photo = str(Path(folder) / "photo.parquet")
        return _run(context, surveys, photo, given, sky, method, settings)
    filled = Filled(given, sky)
    if folder is None:
        filled = with_survey(context, given, sky)
        given, sky = filled.given, filled.sky
    if sky.sky is None:
        if sky.pdf is not None:
            raise ValueError(
                "--pdf reads p(z) of galaxies on the sky (--sky RA,DEC,Z), and a box takes none: "
                "leave --pdf out, or give --pdf-out to truez redshifts, which writes p(z)"
            )
        alone = [*option_names(SkyOptions), *(name for name in own if name not in in_boxes)]
        options.refuse_given(
            context, alone, "these are options of the sky",
            remedy="give --sky RA,DEC,Z" if folder is None else "",
        )  # fmt: skip
        return None
    if folder is not None:
        raise ValueError(f"--sky is for catalogues, and {folder} is a mock folder: leave one out")
    options.refuse_given(context, others, "these are not options of the sky (--sky)")
    if given.photo is None or (given.spec is None) == (sky.spec_z_column is None):
        raise ValueError(
            "--sky needs --photo FILE, and --spec FILE or the --spec-z-column of --photo"
        )
    surveys = _surveys(filled)
    return _run(context, surveys, given.photo, given, sky, method, settings)


def _run(
    context: typer.Context, surveys: SkySurveys, photo: str, given: SurveyOptions, sky: SkyOptions,
    method: str, settings: Mapping[str, Any],
) -> SkyRun:  # fmt: skip
    """What the options say of the reconstruction."""
    from truez.cli.method_options import PluginOptions
    from truez.sky.patches import PatchSettings
    from truez.sky.plan import choose

    typed = {
        name: value for name, value in settings.items()
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }  # fmt: skip
    typed |= PluginOptions(setting=context.params.get("setting")).settings(context)
    where = options.chosen_device(context.params["device"])
    wanted: str | None = method
    if (source := context.get_parameter_source("method")) and source.name == "DEFAULT":
        wanted = None
    how = PatchSettings(cellsize=given.coordinates.cellsize, chi_ref=sky.chi_ref)
    plan = choose(surveys, how, method=wanted, device=where, **typed)
    names = given.match_id or (sky.pdf_id and sky.pdf_id.split(":")[0])
    return SkyRun(surveys, plan, typed, photo, where, names)


def _details(filled: Filled) -> SkyDetails:
    from truez.sky.details import SkyDetails

    given, sky = filled.given, filled.sky
    photo_sky = None if sky.photo_sky is None else options.names(sky.photo_sky)
    return SkyDetails(
        sky=options.names(str(sky.sky)),
        photo_sky=photo_sky,
        ra_unit=sky.ra_unit,
        frame=sky.frame,
        spec_z_column=sky.spec_z_column,
        sigma_z_column=given.sigma_z_column,
        z_err_column=given.z_err_column,
        pdf=sky.pdf,
        pdf_prior=sky.pdf_prior,
        pdf_id=sky.pdf_id,
        outlier_fraction=sky.outlier_column or given.outlier_fraction,
        photo_bias=options.numbers(sky.photo_bias or "", "--photo-bias"),
        match_radius=sky.match_radius,
        weight_column=given.weight_column,
        spec_weight_column=given.spec_weight_column,
        spec_cut=tuple(given.spec_cut or ()),
        photo_cut=tuple(given.photo_cut or ()),
        stand_ins=filled.stand_ins,
        photo_frame=filled.photo_frame,
        spec_footprint=stated_footprint(
            sky.spec_footprint, sky.spec_randoms, given.spec, sky, "spec_"
        ),
        nz=sky.nz,
        spec_nz=sky.spec_nz,
        redshift_range=None
        if sky.redshift_range is None
        else options.pair(sky.redshift_range, "--redshift-range"),
        redshift_space=not given.real_space,
    )


def _surveys(filled: Filled) -> SkySurveys:
    from truez.sky.surveys import SkySurveys

    given, sky = filled.given, filled.sky
    if sky.outlier_column is not None and given.outlier_fraction:
        raise ValueError("--outlier-fraction and --outlier-column are both given: leave one out")
    with as_typed(sky.randoms, sky.spec_randoms, sky.outlier_column):
        details = _details(filled)
    area = stated_footprint(sky.footprint, sky.randoms, given.photo, sky, "")
    if area is None:
        raise ValueError(
            "the footprint is missing: give --footprint RA1,RA2,DEC1,DEC2, the file of a mask, "
            "or from-data; or --randoms FILE"
        )
    with as_typed(sky.randoms, sky.spec_randoms, sky.outlier_column):
        return SkySurveys.from_catalogs(
            photo=given.photo,
            spec=given.spec,
            footprint=area,
            sigma_z=given.sigma_z,
            match_id=given.match_id,
            overlap=given.overlap,
            cosmology=options.cosmology_from(given.cosmology, given.coordinates.hubble),
            details=details,
        )


def reconstruct_sky(run: SkyRun, out: str, *, dry_run: bool, samples: int, seed: int) -> None:
    """``truez reconstruct`` on the sky."""
    from truez.mesh.memory import VALUE
    from truez.sky.core import Core
    from truez.sky.field import check_suffix
    from truez.sky.reconstruct import check_samples, reconstruct
    from truez.sky.registry import METHODS
    from truez.support.disk import check_disk
    from truez.support.progress_bar import progress_bar

    with options.named("--out"):
        check_suffix(out)
    method = METHODS[run.method]
    how = method.settings(**run.settings)
    if samples:
        check_samples(run.surveys, run.plan, how, samples, seed)
    if dry_run:
        run.echo_plan(samples)
        return
    cells = sum(
        Core(patch).box.num_cells * (method.written(patch, how) + samples) for patch in run.patches
    )
    less = ", or fewer --samples" if samples else ""
    check_disk(VALUE * cells, out, option="--out", less=less)
    with progress_bar() as progress:
        result = reconstruct(
            run.surveys, run.plan, path=out, samples=samples, seed=seed, device=run.device,
            progress=progress, **run.settings,
        )  # fmt: skip
    typer.echo(f"{out}: {result!r}")
    if samples:
        typer.echo(f"  with {samples} posterior samples of seed {seed}")
    run.echo()
    _echo_shells(result.metadata)


def redshifts_sky(
    run: SkyRun, out: str, sky: SkyOptions, how: SkyRedshiftOptions, interval: float, *,
    pdf_out: str | None = None, drop_unsupported: bool = False,
) -> None:  # fmt: skip
    """``truez redshifts`` on the sky."""
    from contextlib import nullcontext
    from pathlib import Path

    import numpy as np

    from truez.sky.catalog import check_output, write_redshifts
    from truez.sky.pdf_output import check_layout, ids_of_photo, sky_pdfs
    from truez.sky.reconstruct import sharpen
    from truez.sky.redshifts import FLAGS
    from truez.sky.registry import check_moves
    from truez.support.progress_bar import progress_bar
    from truez.support.spill import spill_beside

    check_moves(run.method)
    if how.pdf_layout is not None:
        check_layout(how.pdf_layout)
        if pdf_out is None:
            raise ValueError("--pdf-layout is the layout of --pdf-out: give that, too")
    if sky.dry_run:
        run.echo_plan(how.draws)
        return
    check_drawn(len(run.surveys.photo), how.draws, how.seed)
    targets = ready_to_cluster(run, how)
    terms = check_output(out, run.photo, len(run.surveys.photo), prefix=how.prefix or "",
                         num_draws=how.draws, drop_unsupported=drop_unsupported)  # fmt: skip
    writing: Any = nullcontext()
    if pdf_out is not None:
        ids = ids_of_photo(run.photo, run.ids)
        writing = sky_pdfs(pdf_out, run.surveys, run.patches, layout=how.pdf_layout, ids=ids)
    # Of both files neither is moved into place before both are whole.
    with progress_bar() as progress, writing as pdfs:
        with spill_beside(Path(out)) as spill:
            found = sharpen(
                run.surveys, run.plan, spill=spill, interval=interval,
                draws=how.draws, seed=how.seed, pdf_out=pdfs, device=run.device, progress=progress,
                **run.settings,
            )  # fmt: skip
        catalog, metadata = found.catalog, {**found.metadata, **found.catalog.metadata}
        clustered = cluster(run, how, found, targets, progress)
        write_redshifts(
            out, run.photo, catalog.columns, draws=found.draws if how.draws else None,
            prefix=how.prefix or "", terms=terms, metadata=metadata,
        )  # fmt: skip
    unknown = run.surveys.unknown & np.isfinite(catalog["z_mean"])
    typer.echo(f"{out}: {len(catalog)} galaxies, {unknown.sum()} of them sharpened")
    run.echo()
    _echo_shells(found.metadata)
    for bit, words in FLAGS.items():
        count = int(np.count_nonzero(catalog["flag"] & bit))
        if count:
            typer.echo(f"  flag {bit}: {count} galaxies, {words}")
    if unknown.any():
        typer.echo(f"  median error {np.median(catalog['z_std'][unknown]):.3g}")
        gain = np.mean(catalog["information_gain"][unknown])
        typer.echo(f"  expected information gain {gain:.3g} nats per galaxy")
    if clustered:
        check_clustered(how)
        typer.echo(clustered)
    if pdfs is not None:
        typer.echo(f"{pdf_out}: p(z) of each galaxy as {pdfs.layout}, {pdfs.width} numbers, for qp")
        if pdfs.layout == "quant" and how.pdf_layout is None:
            typer.echo("  quantiles, the default above 1e7 galaxies: --pdf-layout chooses another")


def _echo_shells(metadata: Mapping[str, Any]) -> None:
    for shell in metadata["shells"]:
        text = f"  {shell['near']:.0f} to {shell['far']:.0f} Mpc/h"
        if "amplitude" in shell:
            text += f": amplitude {shell['amplitude']:.3g}"
        if shell.get("amplitude_error"):
            text += f" +- {shell['amplitude_error']:.2g}"
        if "pairs" in shell:
            pairs = shell["pairs"]
            text += f"; strength of pairs {pairs['strength']:.2g} +- {pairs['strength_error']:.2g}"
        if "mean" in shell:
            text += f"; mean of the field {shell['mean']:+.2g}"
        if "filter_iterations" in shell:
            text += f", filter: {shell['filter_iterations']} iterations at most"
        typer.echo(text)
