"""``truez spectrum``: power spectrum of a catalogue or a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.statistics.power import Power


CATALOGUE_OPTIONS = (
    "boxcenter", "positions", "weights", "length_unit", "hubble", "cellsize", "los", "resampler",
    "interlacing",
)  # fmt: skip


def spectrum(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A catalogue, or a field that truez wrote.")],
    out: Annotated[
        str | None,
        typer.Option(help="Table to write, .ecsv; its picture goes beside it.", show_default=False),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(help="A second field, for the cross power.", show_default=False),
    ] = None,
    compensate: Annotated[
        bool,
        typer.Option("--compensate", help="Divide a field's power by its painting window."),
    ] = False,
    boxsize: Annotated[
        str | None,
        typer.Option(
            help="Side of a catalogue's box, or X,Y,Z, in its unit; says that DATA is a catalogue.",
            show_default=False,
        ),
    ] = None,
    boxcenter: options.Boxcenter = None,
    positions: options.Positions = "x,y,z",
    weights: Annotated[
        str | None, typer.Option(help="Column of weights.", show_default=False)
    ] = None,
    length_unit: options.LengthUnit = None,
    hubble: options.Hubble = None,
    cellsize: options.Cellsize = 2.0,
    los: options.Los = "z",
    resampler: Annotated[str, typer.Option(help="ngp, cic or tsc.")] = "tsc",
    interlacing: Annotated[
        bool, typer.Option("--interlacing/--no-interlacing", help="Paint twice, half a cell apart.")
    ] = True,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure the multipoles P0, P2, P4 of the power spectrum.

    Of a periodic catalogue, painted with interlacing and compensated for the painting, or of a
    field as it is. The poles contain shot noise, which stands beside them. Examples:

    `truez spectrum galaxies.parquet --boxsize 512 --out pk.ecsv`

    `truez spectrum tng/wiener.h5 --out pk.ecsv`
    """
    from pathlib import Path

    from truez.evaluate.figures.curves import poles
    from truez.evaluate.figures.style import save
    from truez.mesh.field import Field
    from truez.statistics.power import power

    if out is not None:
        if Path(out).suffix != ".ecsv":
            raise ValueError(f"--out is a table that ends in .ecsv, not {out}")
        for suffix in (".ecsv", ".png", ".pdf"):
            options.refuse_existing(str(Path(out).with_suffix(suffix)), overwrite=overwrite)
    if boxsize is None:
        options.refuse_given(context, CATALOGUE_OPTIONS, "without --boxsize DATA is a field")
        second = None if other is None else Field.read(other)
        result = power(Field.read(data), second, compensate=compensate)
    else:
        if other is not None or compensate:
            raise ValueError("--other and --compensate are for fields: leave out --boxsize")
        columns = options.names(positions)
        frame = options.frame_from(
            data,
            columns,
            boxsize=boxsize,
            boxcenter=boxcenter,
            periodic=True,
            cellsize=cellsize,
            length_unit=length_unit,
            hubble=hubble,
            los=los,
        )
        result = _of_catalog(data, columns, frame, weights, resampler, interlacing)
    if out is not None:
        result.write(out)
        save(poles(result), Path(out).with_suffix(""))
    headings = ["k", "modes", *(f"P{ell}" for ell in result.poles)]
    typer.echo("".join(f"{name:>13}" for name in headings))
    for i, k in enumerate(result.k):
        values = [f"{k:.5f}", f"{result.nmodes[i]:.0f}"]
        values += [f"{pole[i]:.5g}" for pole in result.poles.values()]
        typer.echo("".join(f"{value:>13}" for value in values))
    noise = f", which is {result.shotnoise:.5g}" if result.shotnoise else ""
    typer.echo(f"k [h/Mpc], P [(Mpc/h)^3] with shot noise{noise}")


def _of_catalog(
    data: str,
    columns: list[str],
    frame: options.Frame,
    weights: str | None,
    resampler: str,
    interlacing: bool,
) -> Power:
    """Read the catalogue and measure it."""
    from truez.catalogs.catalog import Catalog
    from truez.cli.progress import progress_bar
    from truez.statistics.power import catalog_power

    galaxies = Catalog.read(data, [*columns, *([weights] if weights else [])])
    found = frame.positions(galaxies, columns)
    frame.box.check_contains(found, "galaxies")
    with progress_bar() as progress:
        return catalog_power(
            found,
            frame.box,
            weights=galaxies[weights] if weights else None,
            resampler=resampler,
            interlacing=interlacing,
            progress=progress,
        )
