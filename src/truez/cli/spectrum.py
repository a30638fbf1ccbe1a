"""``truez spectrum``: power spectrum of a catalogue or a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.coordinates import Coordinates, Frame
from truez.cli.options import BOX, OUTPUT, existing, option
from truez.cli.parameters import flattened, option_names
from truez.cli.reading import Reading

if TYPE_CHECKING:
    from truez.mesh.field_file import FieldHeader
    from truez.mesh.samples_file import StoredSamples
    from truez.statistics.binning import Floats
    from truez.statistics.power import Power

CATALOGUE, FIELD = "Painting of a catalogue", "Fields"


@dataclass(frozen=True, kw_only=True)
class CatalogueOptions:
    """The options of a catalogue, which have no meaning for a field."""

    coordinates: Coordinates
    reading: Reading
    weights: Annotated[str | None, option(CATALOGUE, "Column of weights.")] = None
    resampler: Annotated[str, option(CATALOGUE, "How galaxies are painted: ngp, cic or tsc.")] = (
        "tsc"
    )
    interlacing: Annotated[
        bool,
        option(CATALOGUE, "Paint twice, half a cell apart.", "--interlacing/--no-interlacing"),
    ] = True


@flattened
def spectrum(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A catalogue, or a field that truez wrote.", **existing("catalogue or field file")
        ),
    ],
    *,
    boxsize: Annotated[
        str | None,
        option(
            BOX,
            "Side of a catalogue's box, or X,Y,Z, in its unit; needed where DATA is a catalogue.",
        ),
    ] = None,
    catalogue: CatalogueOptions,
    other: Annotated[
        str | None,
        option(FIELD, "A second field, for the cross power.", **existing("field file")),
    ] = None,
    samples: Annotated[
        bool,
        option(
            FIELD, "Of the posterior samples in the file as well, and their scatter.", "--samples"
        ),
    ] = False,
    compensate: Annotated[
        bool, option(FIELD, "Divide the power by the window of the painting.", "--compensate")
    ] = False,
    out: Annotated[
        str | None, option(OUTPUT, "Table to write, .ecsv, with its figure beside it.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure the multipoles P0, P2, P4 of the power spectrum.

    Of a periodic catalogue, painted with interlacing and compensated for the painting, or of a
    field as it is. The poles contain shot noise, which is printed below them. Examples:

    `truez spectrum galaxies.parquet --boxsize 512 --out pk.ecsv`

    `truez spectrum tng/wiener.h5 --out pk.ecsv`

    `truez spectrum tng/columns.h5 --samples --out pk.ecsv`

    A field (.h5) or mesh that is larger than the memory is transformed in a temporary file beside
    --out; a catalogue that is, is painted in chunks.
    """
    from pathlib import Path

    from truez.evaluate.figures.curves import poles
    from truez.evaluate.figures.style import save
    from truez.mesh.field import Field
    from truez.mesh.field_file import read_header
    from truez.mesh.memory import VALUE, check_mesh, fits_memory
    from truez.mesh.samples_file import StoredSamples
    from truez.statistics.power import power

    if out is not None:
        if Path(out).suffix != ".ecsv":
            raise ValueError(f"--out is a table that ends in .ecsv, not {out}")
        for suffix in (".ecsv", ".png", ".pdf"):
            options.refuse_existing(str(Path(out).with_suffix(suffix)), overwrite=overwrite)
    header = None
    if boxsize is None:
        names = option_names(CatalogueOptions)
        options.refuse_given(context, names, "without --boxsize DATA is a field")
        with _field_or_catalogue(data):
            header = read_header(data)
        if samples:
            if other is not None:
                raise ValueError("--samples have no cross power with --other: leave one out")
            stored = StoredSamples(data)
        if samples or fits_memory(header.box, 1 if other is None else 2):
            with _field_or_catalogue(data):
                first = Field.read(data)
            second = None if other is None else Field.read(other)
            result = power(first, second, compensate=compensate)
            del first, second
        else:
            result = _out_of_core(data, other, out, compensate=compensate)
    else:
        if other is not None or compensate or samples:
            raise ValueError(
                "--other, --samples and --compensate are for fields: leave out --boxsize"
            )
        data = catalogue.reading.place(data)
        frame = catalogue.coordinates.frame(data, boxsize)
        if out is None:
            with options.named("--cellsize"):
                check_mesh(frame.box, (2 + catalogue.interlacing) * VALUE)
        result = _of_catalog(data, catalogue, frame, out)
    if samples:
        _of_samples(result, stored, out, compensate=compensate)
        _echo_window(header, compensate=compensate)
        return
    if out is not None:
        result.write(out)
        save(poles(result), Path(out).with_suffix(""))
    _echo(result, {f"P{ell}": pole for ell, pole in result.poles.items()})
    noise = f", which is {result.shotnoise:.5g}" if result.shotnoise else ""
    typer.echo(f"k [h/Mpc], P [(Mpc/h)^3] with shot noise{noise}")
    _echo_window(header, compensate=compensate)


def _echo(result: Power, columns: Mapping[str, Floats]) -> None:
    """A row for each bin."""
    typer.echo("".join(f"{name:>13}" for name in ("k", "modes", *columns)))
    for i, k in enumerate(result.k):
        values = [f"{k:.5f}", f"{result.nmodes[i]:.0f}"]
        values += [f"{column[i]:.5g}" for column in columns.values()]
        typer.echo("".join(f"{value:>13}" for value in values))


def _echo_window(header: FieldHeader | None, *, compensate: bool) -> None:
    """Say that the power of a painted field is that of its cells."""
    if header is None or header.resampler is None or compensate:
        return
    typer.echo(
        f"P is that of cells painted by {header.resampler}, which at high k is too low: "
        "--compensate divides by their window"
    )


def _of_samples(
    estimate: Power, stored: StoredSamples, out: str | None, *, compensate: bool
) -> None:
    """Measure posterior samples in the bins of the estimate, and show both."""
    from pathlib import Path

    from truez.evaluate.figures.curves import sampled_poles
    from truez.evaluate.figures.style import save
    from truez.statistics.power import power
    from truez.statistics.sampled import SampledPower
    from truez.support.progress_bar import progress_bar

    with progress_bar() as progress:

        def measured() -> Iterator[Power]:
            for number, sample in enumerate(stored):
                progress("samples", number, len(stored))
                yield power(sample, edges=estimate.edges, compensate=compensate)
            progress("samples", len(stored), len(stored))

        result = SampledPower.of(estimate, measured())
    if out is not None:
        result.write(out)
        save(sampled_poles(result), Path(out).with_suffix(""))
    columns = {}
    for ell, pole in estimate.poles.items():
        columns[f"P{ell}"] = pole
        columns[f"P{ell} mean"], columns[f"P{ell} std"] = result.mean(ell), result.std(ell)
    _echo(estimate, columns)
    noise = f", which is {result.shotnoise:.5g} in samples" if result.shotnoise else ""
    typer.echo(
        f"k [h/Mpc], P [(Mpc/h)^3] with shot noise{noise}: of the estimate, and mean and standard "
        f"deviation of {result.num} samples of seed {stored.seed}"
    )


@contextmanager
def _field_or_catalogue(data: str) -> Iterator[None]:
    """Context in which a file that is no field is refused with what a catalogue needs."""
    from truez.evaluate.sky.estimates import is_sky_field

    if is_sky_field(data):
        raise ValueError(
            f"{data} is a field on the sky, and spectra are of boxes: measure catalogues with a "
            "clustering code, which truez redshifts --draws 16 --clustering FOLDER writes"
        )
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{data} is not a field that truez wrote: give --boxsize, which a catalogue needs"
        ) from error


def _out_of_core(data: str, other: str | None, out: str | None, *, compensate: bool) -> Power:
    """The power of fields that are larger than the memory."""
    from truez.mesh.field_file import read_header
    from truez.mesh.memory import largest_mesh
    from truez.statistics.stored import stored_power
    from truez.support.progress_bar import progress_bar

    if out is None:
        mesh = " x ".join(map(str, read_header(data).box.meshsize))
        fits = largest_mesh(1 if other is None else 2)
        raise ValueError(
            f"{data} has {mesh} cells, and the memory holds {fits}^3: give --out, beside which a "
            "temporary file then takes its place, or a field of larger cells"
        )
    with progress_bar() as progress:
        return stored_power(data, other, beside=out, compensate=compensate, progress=progress)


def _of_catalog(data: str, given: CatalogueOptions, frame: Frame, out: str | None) -> Power:
    """Read the catalogue and measure its power spectrum."""
    from truez.catalogs.catalog import Catalog
    from truez.catalogs.chunks import held_in_memory
    from truez.catalogs.vectors import numbers
    from truez.mesh.memory import VALUE, available_cells
    from truez.statistics.power import catalog_power
    from truez.support.progress_bar import progress_bar

    columns = given.coordinates.columns
    used = [*columns, *filter(None, [given.weights])]
    in_memory = frame.box.num_cells <= available_cells((2 + given.interlacing) * VALUE)
    if not (in_memory and held_in_memory(data, used)):
        return _of_chunks(data, given, frame, None if in_memory else out)
    galaxies = given.reading.whole_rows(Catalog.read(data, used), used, data)
    found = frame.positions(galaxies, columns)
    frame.box.check_contains(found, "galaxies")
    with progress_bar() as progress:
        return catalog_power(
            found,
            frame.box,
            weights=numbers(galaxies.columns, given.weights) if given.weights else None,
            resampler=given.resampler,
            interlacing=given.interlacing,
            progress=progress,
        )


def _of_chunks(data: str, given: CatalogueOptions, frame: Frame, beside: str | None) -> Power:
    """As `_of_catalog`, in chunks of rows, with the meshes in temporary files if ``beside``."""
    from truez.catalogs.chunks import iter_chunks
    from truez.catalogs.vectors import numbers
    from truez.statistics.stored import chunked_power
    from truez.support.progress_bar import progress_bar

    columns = given.coordinates.columns
    used = [*columns, *filter(None, [given.weights])]

    def chunks() -> Iterator[Any]:
        dropped = used if given.reading.drop_missing else ()
        for galaxies in iter_chunks(data, used, drop_missing=dropped):
            found = frame.positions(galaxies, columns)
            frame.box.check_contains(found, "galaxies")
            loads = numbers(galaxies.columns, given.weights) if given.weights else None
            yield found, loads

    with progress_bar() as progress:
        return chunked_power(
            chunks,
            frame.box,
            resampler=given.resampler,
            interlacing=given.interlacing,
            beside=beside,
            progress=progress,
        )
