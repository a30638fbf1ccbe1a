"""Surveys on the sky for ``truez reconstruct`` and ``truez redshifts``.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.options import OUTPUT, existing, option, positive
from truez.cli.parameters import option_names

if TYPE_CHECKING:
    from truez.cli.inputs import NetworkOptions, SurveyOptions
    from truez.sky.patches import Patches
    from truez.sky.reconstruct import SkyReconstruction
    from truez.sky.surveys import SkySurveys
    from truez.surveys.footprint import Footprint

#: Panel of the help.
SKY = "Sky"
#: Options of boxes that have no meaning on the sky.
_BOX_ONLY = ("boxsize", "boxcenter", "positions", "spec_positions", "los", "length_unit",
             "periodic", "redshift", "photo_bounds", "fit_sigma", "draws", "seed",
             "pdf")  # fmt: skip
#: Options of catalogues that a mock on the sky leaves open.
_OF_MOCKS = {"cellsize", "chi_ref", "dry_run", "redshift_range"}


@dataclass(frozen=True, kw_only=True)
class SkyOptions:
    """The options of catalogues on the sky."""

    sky: Annotated[
        str | None,
        option(SKY, "RA,DEC,Z: columns of right ascension, declination and redshift."),
    ] = None
    photo_sky: Annotated[str | None, option(SKY, "Those of --photo, if different.")] = None
    ra_unit: Annotated[
        str | None, option(SKY, "deg, hourangle or rad; by default that of the file, else deg.")
    ] = None
    frame: Annotated[
        str, option(SKY, "What redshifts refer to, written down: none, heliocentric or cmb.")
    ] = "none"
    footprint: Annotated[
        str | None,
        option(
            SKY,
            "RA1,RA2,DEC1,DEC2, the file of a HEALPix map of completeness, or from-data.",
        ),
    ] = None
    spec_footprint: Annotated[
        str | None, option(SKY, "That of --spec, by default that of --photo.")
    ] = None
    randoms: Annotated[
        str | None,
        option(SKY, "Catalogue of randoms (ra, dec) that mark the footprint in its place.",
               **existing("catalogue file")),
    ] = None  # fmt: skip
    spec_randoms: Annotated[
        str | None,
        option(SKY, "Randoms of --spec.", **existing("catalogue file")),
    ] = None
    nz: Annotated[
        str | None,
        option(SKY, "File of N(z), columns z and n, in place of a fit to the photo-z.",
               **existing("catalogue file")),
    ] = None  # fmt: skip
    spec_nz: Annotated[
        str | None, option(SKY, "File of N(z) of --spec.", **existing("catalogue file"))
    ] = None
    sigma_z_column: Annotated[
        str | None, option(SKY, "Column of each galaxy's photo-z error over 1 + z.")
    ] = None
    z_err_column: Annotated[str | None, option(SKY, "Column of absolute photo-z errors.")] = None
    outlier_column: Annotated[
        str | None, option(SKY, "Column of each galaxy's --outlier-fraction.")
    ] = None
    photo_bias: Annotated[
        str | None, option(SKY, "Mean of z_phot - z: coefficients A,B,... of A + B z + ...")
    ] = None
    match_radius: Annotated[
        float | None,
        option(SKY, "Galaxies within so many arcsec are the same.", callback=positive),
    ] = None
    spec_z_column: Annotated[
        str | None, option(SKY, "Column of --photo with true redshifts, in place of --spec.")
    ] = None
    weight_column: Annotated[str | None, option(SKY, "Completeness weights of --photo.")] = None
    spec_weight_column: Annotated[str | None, option(SKY, "Completeness weights of --spec.")] = None
    redshift_range: Annotated[
        str | None, option(SKY, "LOW,HIGH: redshifts of the map; 99.9% of the galaxies by default.")
    ] = None
    chi_ref: Annotated[
        float | None,
        option(SKY, "Distance at which cells are as wide as --cellsize [Mpc/h].",
               callback=positive),
    ] = None  # fmt: skip
    dry_run: Annotated[
        bool, option(OUTPUT, "Sky: only print patches, cells, memory and time.", "--dry-run")
    ] = False


@dataclass(frozen=True, kw_only=True)
class SkyRedshiftOptions:
    """The options of redshifts on the sky."""

    prefix: Annotated[str | None, option(OUTPUT, "Sky: before new names, such as truez_.")] = None
    draws: Annotated[
        int, option(OUTPUT, "Sky: redshifts to draw from each posterior, z_draw_0, ...", min=0)
    ] = 0
    seed: Annotated[int, option(OUTPUT, "Sky: seed of the draws.")] = 0


@dataclass(frozen=True)
class SkyRun:
    """Surveys, the file of the photometric one, and how they are to be reconstructed."""

    surveys: SkySurveys
    patches: Patches
    method: str
    settings: dict[str, Any]
    photo: str
    device: str = "cpu"

    def reconstruct(self, progress: Any) -> SkyReconstruction:
        """The reconstruction."""
        from truez.sky.reconstruct import reconstruct

        return reconstruct(
            self.surveys, self.method, patches=self.patches, device=self.device,
            progress=progress, **self.settings,
        )  # fmt: skip

    def echo(self) -> None:
        """Print what is known of the surveys before the work, and what the work will take."""
        surveys = self.surveys
        typer.echo(repr(surveys))
        for name, numbers in (("photo", surveys.nz), ("spec", surveys.spec_nz)):
            if numbers.fit is not None:
                typer.echo(f"  {name} N(z): {numbers.fit}")
        for name in ("empty_fraction", "noise"):
            if name in getattr(surveys.footprint, "metadata", {}):
                share = 100 * surveys.footprint.metadata[name]  # type: ignore[attr-defined]
                typer.echo(f"  footprint: {name.replace('_', ' ')} {share:.3g}%")
        if "matches_by_chance" in surveys.metadata:
            number = surveys.metadata["matches_by_chance"]
            typer.echo(f"  {number:.3g} galaxies would match by chance")
        typer.echo(f"  {self.patches!r}")
        typer.echo(f"  method {self.method}")

    def echo_plan(self) -> None:
        """Print the patches, their memory and the time."""
        from truez.sky.registry import METHODS

        self.echo()
        cost = METHODS[self.method]
        for patch in self.patches:
            box = patch.box
            typer.echo(
                f"  patch {patch.number}: {box.ra:.2f}, {box.dec:.2f} deg, {patch.shell.near:.0f} "
                f"to {patch.shell.far:.0f} Mpc/h, {patch.num_cells:.3g} cells, "
                f"{(patch.memory(cost.meshes) + cost.besides) / 1e9:.2g} GB"
            )
        deepest = max(patch.box.meshsize[2] for patch in self.patches)
        galaxies = int(self.surveys.unknown.sum())
        seconds = cost.seconds * self.patches.num_cells + _PER_GALAXY * galaxies * deepest
        typer.echo(f"  about {seconds:.2g} s on one core")


#: Seconds per galaxy and cell of its sight line, as measured on GAMA G09.
_PER_GALAXY = 2.5e-7


def read_sky(
    context: typer.Context, folder: str | None, given: SurveyOptions, sky: SkyOptions,
    network: NetworkOptions, method: str, own: Sequence[str] = (), **settings: Any,
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
    if sky.sky is None:
        options.refuse_given(context, option_names(SkyOptions), "only with --sky RA,DEC,Z")
        options.refuse_given(context, own, "only with --sky RA,DEC,Z")
        return None
    if folder is not None:
        raise ValueError(f"--sky is for catalogues, and {folder} is a mock folder: leave one out")
    options.refuse_given(context, others, "these are not options of the sky (--sky)")
    if given.photo is None or (given.spec is None) == (sky.spec_z_column is None):
        raise ValueError(
            "--sky needs --photo FILE, and --spec FILE or the --spec-z-column of --photo"
        )
    return _run(context, _surveys(given, sky), given.photo, given, sky, method, settings)


def _run(
    context: typer.Context, surveys: SkySurveys, photo: str, given: SurveyOptions, sky: SkyOptions,
    method: str, settings: Mapping[str, Any],
) -> SkyRun:  # fmt: skip
    """What the options say of the reconstruction."""
    from truez.sky.patches import PatchSettings
    from truez.sky.reconstruct import choose

    typed = {
        name: value for name, value in settings.items()
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }  # fmt: skip
    where = options.chosen_device(context.params["device"])
    wanted: str | None = method
    if (source := context.get_parameter_source("method")) and source.name == "DEFAULT":
        wanted = None
    how = PatchSettings(cellsize=given.coordinates.cellsize, chi_ref=sky.chi_ref)
    chosen, patches = choose(surveys, how, method=wanted, device=where, **typed)
    return SkyRun(surveys, patches, chosen, typed, photo, where)


def _surveys(given: SurveyOptions, sky: SkyOptions) -> SkySurveys:
    from truez.sky.details import SkyDetails
    from truez.sky.surveys import SkySurveys

    if sky.outlier_column is not None and given.outlier_fraction:
        raise ValueError("--outlier-fraction and --outlier-column are both given: leave one out")
    photo_sky = None if sky.photo_sky is None else options.names(sky.photo_sky)
    details = SkyDetails(
        sky=options.names(str(sky.sky)),
        photo_sky=photo_sky,
        ra_unit=sky.ra_unit,
        frame=sky.frame,
        spec_z_column=sky.spec_z_column,
        sigma_z_column=sky.sigma_z_column,
        z_err_column=sky.z_err_column,
        outlier_fraction=sky.outlier_column or given.outlier_fraction,
        photo_bias=options.numbers(sky.photo_bias or "", "--photo-bias"),
        match_radius=sky.match_radius,
        weight_column=sky.weight_column,
        spec_weight_column=sky.spec_weight_column,
        spec_footprint=_footprint(sky.spec_footprint, sky.spec_randoms, given.spec, sky, "spec_"),
        nz=sky.nz,
        spec_nz=sky.spec_nz,
        redshift_range=None
        if sky.redshift_range is None
        else options.pair(sky.redshift_range, "--redshift-range"),
        redshift_space=not given.real_space,
    )
    area = _footprint(sky.footprint, sky.randoms, given.photo, sky, "")
    if area is None:
        raise ValueError(
            "the footprint is missing: give --footprint RA1,RA2,DEC1,DEC2, the file of a HEALPix "
            "map, or from-data; or --randoms FILE"
        )
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


def _footprint(
    text: str | None, randoms: str | None, catalog: str | None, sky: SkyOptions, which: str
) -> Footprint | None:
    """The footprint of a survey, None where it is not given."""
    from truez.surveys.pixel_map import PixelMap

    option_name = f"--{which.replace('_', '-')}"
    if text is not None and randoms is not None:
        raise ValueError(f"{option_name}footprint and {option_name}randoms are both given: leave "
                         "one out")  # fmt: skip
    if randoms is not None:
        with options.named(f"{option_name}randoms"):
            return PixelMap.from_randoms(*_directions(randoms, ("ra", "dec"), sky.ra_unit))
    if text is None:
        return None
    if text == "from-data":
        columns = options.names(str(sky.sky if which else sky.photo_sky or sky.sky))[:2]
        return PixelMap.from_data(*_directions(str(catalog), columns, sky.ra_unit))
    return named_footprint(text, f"{which}footprint")


def named_footprint(text: str, name: str) -> Footprint:
    """A footprint whose errors name the option that it is of."""
    from truez.surveys.footprint_input import footprint_of

    try:
        return footprint_of(text)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(str(error).replace("footprint", name, 1)) from error


def _directions(path: str, columns: Any, ra_unit: str | None) -> tuple[Any, Any]:
    from truez.catalogs.coordinates import sky_coordinates
    from truez.sky.columns import SkyTable

    table = SkyTable.of(path, columns, path)
    found = sky_coordinates(table.catalog, columns, ra_unit=ra_unit, name=path)
    return found.ra, found.dec


def reconstruct_sky(run: SkyRun, out: str, *, dry_run: bool) -> None:
    """``truez reconstruct`` on the sky."""
    from truez.sky.field import check_suffix
    from truez.support.progress_bar import progress_bar

    with options.named("--out"):
        check_suffix(out)
    if dry_run:
        run.echo_plan()
        return
    with progress_bar() as progress:
        result = run.reconstruct(progress)
    result.write(out)
    typer.echo(f"{out}: {result!r}")
    run.echo()
    _echo_shells(result)


def redshifts_sky(
    run: SkyRun, out: str, sky: SkyOptions, how: SkyRedshiftOptions, interval: float
) -> None:
    """``truez redshifts`` on the sky."""
    import numpy as np

    from truez.sky.catalog import check_names, write_redshifts
    from truez.sky.redshifts import FLAGS
    from truez.support.progress_bar import progress_bar

    if sky.dry_run:
        run.echo_plan()
        return
    check_names(run.photo, how.prefix or "", how.draws)
    with progress_bar() as progress:
        result = run.reconstruct(progress)
        catalog = result.redshifts(interval=interval, progress=progress)
        draws = None
        if how.draws:
            draws = result.draws(how.draws, seed=how.seed, progress=progress)
    metadata = {**result.metadata, **catalog.metadata}
    write_redshifts(
        out, run.photo, catalog.columns, draws=draws, prefix=how.prefix or "", metadata=metadata
    )
    unknown = run.surveys.unknown & np.isfinite(catalog["z_mean"])
    typer.echo(f"{out}: {len(catalog)} galaxies, {unknown.sum()} of them sharpened")
    run.echo()
    _echo_shells(result)
    for bit, words in FLAGS.items():
        count = int(np.count_nonzero(catalog["flag"] & bit))
        if count:
            typer.echo(f"  flag {bit}: {count} galaxies, {words}")
    if unknown.any():
        typer.echo(f"  median error {np.median(catalog['z_std'][unknown]):.3g}")
        gain = np.mean(catalog["information_gain"][unknown])
        typer.echo(f"  expected information gain {gain:.3g} nats per galaxy")


def _echo_shells(result: SkyReconstruction) -> None:
    for shell in result.metadata["shells"]:
        text = f"  {shell['near']:.0f} to {shell['far']:.0f} Mpc/h"
        if "amplitude" in shell:
            text += f": amplitude {shell['amplitude']:.3g}"
        if shell.get("amplitude_error"):
            text += f" +- {shell['amplitude_error']:.2g}"
        typer.echo(text)
