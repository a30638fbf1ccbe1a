"""``truez photoz``: redshifts before and after ``truez redshifts``, beside true ones."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options
from truez.cli.options import METHOD, OUTPUT, PHOTOZ, SURVEYS, existing, option
from truez.cli.sky_options import SKY


def photoz(
    context: typer.Context,
    catalog: Annotated[
        str,
        typer.Argument(
            help="Catalogue that `truez redshifts` wrote on the sky.", **existing("catalogue file")
        ),
    ],
    *,
    truth: Annotated[str, option(SURVEYS, "Column of true redshifts.")],
    photo_z: Annotated[str, option(SURVEYS, "Column of the photo-z of the catalogue.")],
    truth_catalog: Annotated[
        str | None,
        option(
            SURVEYS,
            "Catalogue that has --truth, if it is another one; needs --match-id.",
            **existing("catalogue file"),
        ),
    ] = None,
    match_id: Annotated[
        str | None,
        option(SURVEYS, "Column that names a galaxy in both, or COLUMN:TRUTHCOLUMN."),
    ] = None,
    magnitude: Annotated[
        str | None, option(SURVEYS, "Column by which galaxies are divided as well.")
    ] = None,
    z_err_column: Annotated[
        str | None,
        option(
            PHOTOZ,
            "Errors of the photo-z, or LOWER:UPPER[:LEVEL]: p(z) before are Gaussians.",
        ),
    ] = None,
    pdf: Annotated[
        str | None,
        option(
            PHOTOZ,
            "p(z) before, a file or FILE#NAME, in place of --z-err-column.",
            **existing("file of p(z)", folder=None),
        ),
    ] = None,
    pdf_id: Annotated[
        str | None,
        option(
            PHOTOZ,
            "Column that names a galaxy in the catalogue and the p(z), or COLUMN:PDFCOLUMN; by "
            "default rows are in one order.",
        ),
    ] = None,
    pdf_after: Annotated[
        str | None,
        option(
            PHOTOZ,
            "p(z) after; by default an approximation by the 68% interval.",
            **existing("file of p(z)", folder=None),
        ),
    ] = None,
    sky: Annotated[
        str, option(SKY, "RA,DEC: columns of the catalogue, for --footprint.")
    ] = "RA,DEC",
    footprint: Annotated[
        str | None,
        option(
            SKY,
            "RA1,RA2,DEC1,DEC2 or the file of a mask: galaxies are divided by the distance to its "
            "edge.",
        ),
    ] = None,
    redshift_range: Annotated[
        str | None, option(SKY, "LOW,HIGH: photo-z of the galaxies that are judged.")
    ] = None,
    cosmology: Annotated[str, option(SKY, "Of distances to the edge.")] = "planck18",
    point: Annotated[
        str, option(METHOD, "Redshift after, of the posterior: median, mean or mode.")
    ] = "median",
    dz: Annotated[
        float, option(METHOD, "Width of the cells of redshift in which p(z) are compared.")
    ] = 0.001,
    floor: Annotated[
        float,
        option(METHOD, "Share of each p(z) that is even over all cells, in ln p alone."),
    ] = 0.001,
    num_bins: Annotated[
        int, option(METHOD, "Bins of photo-z and magnitude, with equally many galaxies.")
    ] = 5,
    out: Annotated[str, option(OUTPUT, "Folder for the numbers, figures and page.")] = "report",
    overwrite: options.Overwrite = False,
) -> None:
    """Compare redshifts before and after with true redshifts.

    For a catalogue of `truez redshifts` on the sky, and true redshifts of some of its galaxies
    that were kept back from it: galaxies of known redshift (spec_matched) are left out. Prints
    sigma_NMAD, bias, outliers and, of p(z), PIT, CRPS, CDE loss and ln p, and writes metrics.json
    with the same by photo-z, magnitude and distance to the edge, figures and a page. Example:

    `truez photoz redshifts.fits --truth Z_SPEC --photo-z Z_PHOT --z-err-column Z_ERR --out report`
    """
    import time
    from pathlib import Path

    from truez.cli.tables import show
    from truez.evaluate.page.words import duration
    from truez.evaluate.photoz import PhotozDetails, judge_photoz, matched_truths
    from truez.evaluate.photoz.report import MARK, PHOTOZ_FILES, WHOLE
    from truez.support.printable import printable
    from truez.support.progress_bar import progress_bar

    started = time.monotonic()
    limits = None
    if redshift_range is not None:
        limits = options.pair(redshift_range, "--redshift-range")
    if (truth_catalog is None) != (match_id is None):
        raise ValueError(
            "--truth-catalog and --match-id go together: the first has --truth, and the second "
            "names a galaxy in both"
        )
    if pdf is not None and z_err_column is not None:
        raise ValueError("--pdf has p(z) before, and --z-err-column makes them: leave one out")
    if pdf_id is not None and pdf is None and pdf_after is None:
        raise ValueError("--pdf-id is of files of p(z): give --pdf or --pdf-after, or leave it out")
    if footprint is None:
        options.refuse_given(context, ("sky", "cosmology"), "only with --footprint")
    details = PhotozDetails(
        z_err_column=z_err_column, pdf_id=pdf_id, magnitude=magnitude, sky=options.names(sky),
        redshift_range=limits, point=point, dz=dz, floor=floor, num_bins=num_bins,
        cosmology=options.cosmology_from(cosmology, None),
    )  # fmt: skip
    options.claim_folder(
        out, PHOTOZ_FILES, last=WHOLE, says=MARK, maker="truez photoz", overwrite=overwrite
    )
    known = truth
    if truth_catalog is not None and match_id is not None:
        known = matched_truths(catalog, truth_catalog, truth, match_id)  # type: ignore[assignment]
    with progress_bar() as progress:
        report = judge_photoz(
            catalog, truth=known, photo_z=photo_z, pdf=pdf, pdf_after=pdf_after,
            footprint=footprint, details=details, progress=progress,
        )  # fmt: skip
        page = report.write(
            out,
            title=f"Photo-z before and after: {printable(Path(catalog).name)}",
            commands=[_command(context)],
            progress=progress,
        )
    show(report.tables()[:1])
    for words in report.words():
        typer.echo(words)
    typer.echo(f"{Path(out) / WHOLE}: numbers; {page}: to look at")
    typer.echo(f"judged in {duration(time.monotonic() - started)}")


def _command(context: typer.Context) -> str:
    """The command line, with the options that were typed."""
    import shlex

    words = ["truez", "photoz"]
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name == "overwrite":
            continue
        value = str(context.params[name])
        words += [parameter.opts[0], value] if parameter.opts[0].startswith("-") else [value]
    return shlex.join(words)
