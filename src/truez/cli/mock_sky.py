"""``truez mock --sky``: two surveys on the sky, of a simulated box or of real spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.options import COORDINATES, PHOTOZ, existing, not_negative, option, positive
from truez.cli.parameters import option_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from truez.catalogs.catalog import Catalog
    from truez.cli.coordinates import Coordinates
    from truez.sky.make_mock import Simulated
    from truez.sky.mock import SkyMock, SkyMockConfig

SKY = "Sky"
#: Columns of identifiers, in lower case, in this order.
IDS = (
    "id", "cataid", "targetid", "objid", "object_id", "objectid", "coadd_object_id",
    "mem_match_id",
)  # fmt: skip
#: Options of a mock in a box that one on the sky does not have, and those of a light cone alone.
BOX_ONLY = ("spec_density", "photo_density", "spec_cut", "disjoint", "trim", "drop_outside")
CONE_ONLY = (
    "boxsize", "boxcenter", "positions", "los", "length_unit", "velocities", "rank_by", "rank",
    "observer", "direction", "nz", "num_photo", "magnitude_limit", "redshift", "cellsize",
    "periodic",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SkyMockOptions:
    """The options of a mock on the sky."""

    sky: Annotated[
        str | None,
        option(
            SKY,
            "Make the mock on the sky. With --from-spec RA,DEC,Z are columns of the catalogue, "
            "whose redshifts are scattered; without it a light cone is cut from the box.",
        ),
    ] = None
    from_spec: Annotated[
        bool, option(SKY, "The catalogue is a spectroscopic survey on the sky.", "--from-spec")
    ] = False
    footprint: Annotated[
        str | None,
        option(
            SKY,
            "RA1,RA2,DEC1,DEC2 [deg], several with a semicolon between them, or a HEALPix map of "
            "completeness.",
        ),
    ] = None
    spec_footprint: Annotated[
        str | None, option(SKY, "That of the spectra; by default the same.")
    ] = None
    redshift_range: Annotated[
        str | None, option(SKY, "LOW,HIGH: the true redshifts of all galaxies.")
    ] = None
    spec_fraction: Annotated[
        float | None, option(SKY, "Share of the galaxies that have spectra.", callback=positive)
    ] = None
    spec_choice: Annotated[
        str,
        option(
            SKY,
            "Which have spectra: random; bright (in flux); or luminous, any of those that are "
            "bright enough up to --complete-to.",
        ),
    ] = "random"
    spec_ids: Annotated[
        str | None,
        option(
            SKY,
            "File of the ids of the galaxies that have spectra, one a line or a catalogue.",
            **existing("file of ids"),
        ),
    ] = None
    id_column: Annotated[
        str | None, option(SKY, "Column of identifiers; found by its usual names by default.")
    ] = None
    magnitude_column: Annotated[
        str | None,
        option(
            SKY,
            "Magnitudes: apparent with --from-spec; absolute, M - 5 log10 h, of a box, where "
            "--rank-by makes them by abundance.",
        ),
    ] = None
    magnitude_limit: Annotated[
        float | None, option(SKY, "Apparent magnitude of the faintest galaxies of a light cone.")
    ] = None
    complete_to: Annotated[
        float, option(SKY, "Redshift of --spec-choice luminous.", callback=positive)
    ] = 0.3
    k_correction: Annotated[
        float, option(SKY, "K-correction over z of --spec-choice luminous [mag].")
    ] = 0.0
    nz: Annotated[
        str | None,
        option(
            SKY,
            "File of redshifts z and galaxies per unit redshift n, to which a light cone is "
            "thinned.",
            **existing("file of N(z)"),
        ),
    ] = None
    num_photo: Annotated[
        float | None, option(SKY, "Galaxies to which --nz is scaled.", callback=positive)
    ] = None
    sigma_z_growth: Annotated[
        float, option(PHOTOZ, "Increase of sigma_z with z.", callback=not_negative)
    ] = 0.0
    faint_factor: Annotated[
        float,
        option(PHOTOZ, "sigma_z of the faintest galaxy over that of the brightest, by rank."),
    ] = 1.0
    error_classes: Annotated[
        str | None,
        option(
            PHOTOZ,
            "Classes of galaxies at random in place of --sigma-z, SHARE:SIGMA_Z,... such as "
            "0.3:0.005,0.7:0.03.",
        ),
    ] = None
    outlier_range: Annotated[
        str | None,
        option(
            PHOTOZ,
            "LOW,HIGH: photo-z of outliers on the sky; 0 to the end of --redshift-range by "
            "default.",
        ),
    ] = None
    photo_bias: Annotated[
        str | None,
        option(PHOTOZ, "Mean of z_phot - z: coefficients of 1, z, z^2, ... with commas."),
    ] = None
    frame: Annotated[
        str,
        option(
            COORDINATES,
            "What redshifts refer to: none, heliocentric or cmb; written down, not converted.",
        ),
    ] = "none"
    ra_unit: Annotated[
        str | None, option(COORDINATES, "Unit of right ascensions: deg, hourangle or rad.")
    ] = None
    dec_unit: Annotated[
        str | None, option(COORDINATES, "Unit of declinations: deg, hourangle or rad.")
    ] = None
    observer: Annotated[str | None, option(SKY, "X,Y,Z of the observer in the box [Mpc/h].")] = None
    direction: Annotated[
        str | None, option(SKY, "X,Y,Z: direction in the box of the middle of the footprint.")
    ] = None


def refuse_sky_options(context: typer.Context) -> None:
    """Refuse options of the sky, and the lack of a box, in a mock that is in one."""
    names = [name for name in option_names(SkyMockOptions) if name != "sky"]
    options.refuse_given(context, names, "these options are of a mock on the sky, --sky RA,DEC,Z")
    for name in ("boxsize", "redshift"):
        if context.params[name] is None:
            raise ValueError(f"a mock in a box needs --{name}; give it, or --sky RA,DEC,Z")


def make_on_sky(context: typer.Context, given: SkyMockOptions, coordinates: Coordinates) -> None:
    """Make the mock, write it, and print what it is."""
    from pathlib import Path

    from truez.sky.mock import SKY_FILES
    from truez.surveys.footprint_input import footprint_of
    from truez.surveys.mock import MOCK_FILES

    values = context.params
    options.refuse_given(context, BOX_ONLY, "a mock on the sky has no such option")
    if given.from_spec:
        options.refuse_given(context, CONE_ONLY, "--from-spec needs no box")
    if len(options.names(str(given.sky))) != 3:
        raise ValueError(f"--sky must name three columns, RA,DEC,Z, not {given.sky!r}")
    if given.footprint is None:
        raise ValueError("a mock on the sky needs --footprint, RA1,RA2,DEC1,DEC2 or a HEALPix map")
    if (given.spec_fraction is None) == (given.spec_ids is None):
        raise ValueError("say which galaxies have spectra: --spec-fraction or --spec-ids, not both")
    options.claim_folder(
        values["out"], (*MOCK_FILES, *SKY_FILES), last=MOCK_FILES[-1], maker="truez mock",
        overwrite=values["overwrite"],
    )  # fmt: skip
    areas: dict[str, Any] = {"footprint": footprint_of(given.footprint)}
    if given.spec_footprint is not None:
        with options.named("--spec-footprint"):
            areas["spec_footprint"] = footprint_of(given.spec_footprint)
    maker = _from_spectra if given.from_spec else _from_box
    result = maker(values, given, coordinates, areas)
    result.write(Path(values["out"]))
    typer.echo(f"{values['out']}: {result}")


def _from_spectra(
    values: dict[str, Any], given: SkyMockOptions, coordinates: Coordinates, areas: dict[str, Any]
) -> SkyMock:
    from pathlib import Path

    import numpy as np

    from truez.catalogs.catalog import Catalog
    from truez.catalogs.coordinates import find_columns, sky_coordinates
    from truez.catalogs.vectors import floats
    from truez.sky.make_mock import mock_from_spectra

    path = values["catalog"]
    catalog = _cut(Catalog.read(path), values["photo_cut"])
    names = options.names(str(given.sky))
    sky = sky_coordinates(
        catalog, names, ra_unit=given.ra_unit, dec_unit=given.dec_unit, frame=given.frame,
        name=path,
    )  # fmt: skip
    magnitude, rows = None, np.arange(len(catalog))
    if given.magnitude_column is not None:
        column = find_columns([given.magnitude_column], catalog.columns, path)[0]
        magnitude = floats(catalog.columns, column).astype(np.float64)
        # A galaxy without a magnitude is in no survey that is limited in flux.
        rows = np.flatnonzero(np.isfinite(magnitude))
    id_column = _id_column(given, catalog, path)
    ids = None if id_column is None else np.ma.getdata(catalog[id_column])
    known = sky.redshift[np.isfinite(sky.redshift)]
    limits = (float(known.min()), float(known.max()))
    config = _config(values, given, coordinates, limits)
    return mock_from_spectra(
        (sky.ra[rows], sky.dec[rows], sky.redshift[rows]), config, **areas,
        ids=None if ids is None else ids[rows],
        spec_ids=None if given.spec_ids is None else _read_ids(given.spec_ids, id_column),
        magnitude=None if magnitude is None else magnitude[rows],
        source={
            "catalogue": Path(path).name, "columns": names, "id_column": id_column,
            "magnitude_column": given.magnitude_column, "from_spec": True,
        },
    )  # fmt: skip


def _from_box(
    values: dict[str, Any], given: SkyMockOptions, coordinates: Coordinates, areas: dict[str, Any]
) -> SkyMock:
    from pathlib import Path

    from truez.sky.make_mock import mock_from_simulation
    from truez.surveys.light_cone import ConeView
    from truez.surveys.nz import read_number_density

    if given.redshift_range is None:
        raise ValueError("a light cone needs --redshift-range LOW,HIGH")
    if given.spec_ids is not None or given.id_column is not None:
        raise ValueError("a light cone has no ids to name: give --spec-fraction, or --from-spec")
    simulated, cosmology = _simulated(values, given, coordinates)
    config = _config(values, given, coordinates, None)
    if cosmology is not None:
        config = config.model_copy(update={"cosmology": cosmology})
    view = ConeView(_vector(given.observer, "--observer"), _vector(given.direction, "--direction"))
    nz = None if given.nz is None else read_number_density(given.nz, given.num_photo)
    return mock_from_simulation(
        simulated, config, **areas, nz=nz, view=view,
        source={"catalogue": Path(values["catalog"]).name, "nz": given.nz},
    )  # fmt: skip


def _simulated(
    values: dict[str, Any], given: SkyMockOptions, coordinates: Coordinates
) -> tuple[Simulated, Any]:
    """The galaxies of a box, and the cosmology that a universe of truez states."""
    from pathlib import Path

    import numpy as np

    from truez.catalogs import formats
    from truez.catalogs.catalog import Catalog
    from truez.catalogs.vectors import numbers
    from truez.simulate.files import read_galaxies
    from truez.sky.make_mock import Simulated
    from truez.surveys.magnitudes import absolute_magnitudes

    path = values["catalog"]
    if values["boxsize"] is None:
        if not {"seed", "box", "cosmology"} <= set(formats.header(Path(path)).metadata):
            raise ValueError(
                f"{path} is not a universe of truez simulate: give --boxsize, or --from-spec for a "
                "spectroscopic catalogue"
            )
        galaxies = read_galaxies(path)
        return Simulated.of(galaxies), galaxies.cosmology
    box = coordinates.frame(path, values["boxsize"], periodic=values["periodic"])
    catalog = _cut(Catalog.read(path), values["photo_cut"])
    velocities = None
    if values["velocities"] is not None:
        velocities = catalog.velocities(options.names(values["velocities"]), los=box.los)
    absolute = None
    if given.magnitude_column is not None:
        absolute = numbers(catalog.columns, given.magnitude_column).astype(np.float64)
    elif values["rank_by"] is not None:
        rank = numbers(catalog.columns, values["rank_by"]).astype(np.float64)
        sign = 1 if values["rank"] == "highest" else -1
        absolute = absolute_magnitudes(sign * rank, box.box.volume)
    if absolute is not None and not np.isfinite(absolute).all():
        raise ValueError("the magnitudes of a box must be numbers: leave those rows out")
    return Simulated(
        box.positions(catalog, coordinates.columns), box.box, velocities, absolute
    ), None


def _config(
    values: dict[str, Any],
    given: SkyMockOptions,
    coordinates: Coordinates,
    limits: tuple[float, float] | None,
) -> SkyMockConfig:
    """The settings of the mock; ``limits`` are its redshifts where no range is given."""
    from truez.sky.mock import SkyMockConfig
    from truez.surveys.photo_scatter import PhotoScatter

    span = limits
    if given.redshift_range is not None:
        span = options.pair(given.redshift_range, "--redshift-range")
    assert span is not None
    outliers = None
    if values["outlier_fraction"]:
        outliers = (0.0, span[1])
        if given.outlier_range is not None:
            outliers = options.pair(given.outlier_range, "--outlier-range")
    photo = PhotoScatter(
        sigma_z=values["sigma_z"],
        growth=given.sigma_z_growth,
        faint_factor=given.faint_factor,
        classes=_classes(given.error_classes),
        outlier_fraction=values["outlier_fraction"],
        outlier_range=outliers,
        bias=() if given.photo_bias is None else _numbers(given.photo_bias, "--photo-bias"),
    )
    return SkyMockConfig(
        cosmology=options.cosmology_from(values["cosmology"], coordinates.hubble),
        redshift_range=span,
        photo=photo,
        spec_choice="ids" if given.spec_ids else given.spec_choice,  # type: ignore[arg-type]
        spec_fraction=given.spec_fraction,
        complete_to=given.complete_to,
        k_correction=given.k_correction,
        magnitude_limit=given.magnitude_limit,
        frame=given.frame,  # type: ignore[arg-type]
        seed=values["seed"],
    )


def _cut(catalog: Catalog, cuts: list[str] | None) -> Catalog:
    """The rows that pass all cuts."""
    import numpy as np

    from truez.surveys.selection import Selection, select

    if not cuts:
        return catalog
    rows = np.arange(len(catalog))
    chosen = Selection(cuts=tuple(cuts))
    return catalog.select(
        select(chosen, "photo", rows, catalog.columns, volume=1.0, rank_by=None, highest=True)
    )


def _id_column(given: SkyMockOptions, catalog: Catalog, path: str) -> str | None:
    from truez.catalogs.coordinates import find_columns

    if given.id_column is not None:
        return find_columns([given.id_column], catalog.columns, path)[0]
    lower = {name.lower(): name for name in reversed(list(catalog.columns))}
    return next((lower[name] for name in IDS if name in lower), None)


def _read_ids(path: str, column: str | None) -> NDArray[Any]:
    """Identifiers of a file: of the column of this name, or the only one."""
    from pathlib import Path

    import numpy as np

    from truez.catalogs import formats
    from truez.catalogs.catalog import Catalog

    if not Path(path).name.endswith(tuple(formats.formats())):
        lines = Path(path).read_text(encoding="utf-8").split()
        return _as_ids(lines, path)
    table = Catalog.read(path)
    names = list(table.columns)
    alike = [name for name in names if column is not None and name.lower() == column.lower()]
    if not alike and len(names) > 1:
        raise ValueError(
            f"--spec-ids {path} needs a column {column or 'id'}, and has {', '.join(names[:8])}"
        )
    return np.ma.compressed(table[(alike or names)[0]])


def _as_ids(words: list[str], path: str) -> NDArray[Any]:
    import numpy as np

    if words and not words[0].lstrip("+-").isdigit():
        words = words[1:]  # the name of the column
    if not words:
        raise ValueError(f"--spec-ids {path} names no galaxy")
    try:
        return np.array([int(word) for word in words], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array(words)


def _classes(text: str | None) -> tuple[tuple[float, float], ...]:
    if text is None:
        return ()
    try:
        pairs = [tuple(float(part) for part in pair.split(":")) for pair in text.split(",")]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"--error-classes must be SHARE:SIGMA_Z,SHARE:SIGMA_Z, not {text!r}")
    return tuple((share, sigma) for share, sigma in pairs)


def _numbers(text: str, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name} must be finite numbers with commas between them, not {text!r}")
    return numbers


def _vector(text: str | None, name: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    numbers = _numbers(text, name)
    if len(numbers) != 3:
        raise ValueError(f"{name} must be three numbers, X,Y,Z, not {text!r}")
    return numbers[0], numbers[1], numbers[2]
