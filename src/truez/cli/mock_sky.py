"""``truez mock --sky``: two surveys on the sky, of a simulated box or of real spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from truez.cli import options
from truez.cli.footprints import named_footprint
from truez.cli.mock_sky_options import BOX_ONLY, CONE_ONLY, SPECTRA_ONLY, SkyMockOptions
from truez.cli.survey_names import mock_with_survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from truez.catalogs.catalog import Catalog
    from truez.cli.coordinates import Coordinates
    from truez.sky.make_mock import Simulated
    from truez.sky.mock import SkyMock, SkyMockConfig

#: Columns of identifiers, in lower case, in this order.
IDS = (
    "id", "cataid", "targetid", "objid", "object_id", "objectid", "coadd_object_id",
    "mem_match_id",
)  # fmt: skip


def make_on_sky(context: typer.Context, given: SkyMockOptions, coordinates: Coordinates) -> None:
    """Make the mock, write it, and print what it is."""
    from pathlib import Path

    from truez.sky.mock import SKY_FILES
    from truez.surveys.magnitudes import CHOICES
    from truez.surveys.mock import MOCK_FILES

    values = context.params
    options.refuse_given(context, BOX_ONLY, "a mock on the sky has no such option")
    if given.from_spec:
        options.refuse_given(context, CONE_ONLY, "--from-spec needs no box")
    else:
        options.refuse_given(context, SPECTRA_ONLY, "only --from-spec has these options")
    given, stand_ins = mock_with_survey(context, given, values["catalog"])
    if len(options.names(str(given.sky))) != 3:
        raise ValueError(f"--sky must name three columns, RA,DEC,Z, not {given.sky!r}")
    if given.footprint is None:
        raise ValueError("a mock on the sky needs --footprint, RA1,RA2,DEC1,DEC2 or a HEALPix map")
    if (given.spec_fraction is None) == (given.spec_ids is None):
        raise ValueError("say which galaxies have spectra: --spec-fraction or --spec-ids, not both")
    options.claim_folder(
        values["out"], (*MOCK_FILES, *SKY_FILES), last=MOCK_FILES[-1], says="[mock",
        maker="truez mock", overwrite=values["overwrite"],
    )  # fmt: skip
    if given.spec_choice not in CHOICES:
        raise ValueError(
            f"--spec-choice must be one of {', '.join(CHOICES)}, not {given.spec_choice!r}"
        )
    if given.spec_choice != "luminous":
        alone = ("complete_to", "k_correction")
        options.refuse_given(context, alone, "only --spec-choice luminous has these options")
    if given.nz is None and given.num_photo is not None:
        raise ValueError("--num-photo scales --nz: give that as well")
    areas: dict[str, Any] = {"footprint": named_footprint(given.footprint, "--footprint")}
    if given.spec_footprint is not None:
        areas["spec_footprint"] = named_footprint(given.spec_footprint, "--spec-footprint")
    if given.from_spec:
        result = _from_spectra(values, given, coordinates, areas, stand_ins)
    else:
        result = _from_box(values, given, coordinates, areas)
    result.write(Path(values["out"]))
    typer.echo(f"{values['out']}: {result}")


def _from_spectra(
    values: dict[str, Any], given: SkyMockOptions, coordinates: Coordinates, areas: dict[str, Any],
    stand_ins: tuple[float, ...],
) -> SkyMock:  # fmt: skip
    from pathlib import Path

    import numpy as np

    from truez.catalogs.catalog import Catalog
    from truez.catalogs.coordinates import find_columns, sky_coordinates, without_stand_ins
    from truez.catalogs.vectors import floats
    from truez.sky.make_mock import mock_from_spectra

    path = values["catalog"]
    catalog = _cut(Catalog.read(path), values["photo_cut"], path)
    names = options.names(str(given.sky))
    catalog = without_stand_ins(catalog, find_columns(names[2:], catalog.columns, path), stand_ins)
    sky = sky_coordinates(
        catalog, names, ra_unit=given.ra_unit, dec_unit=given.dec_unit, frame=given.frame,
        name=path,
    )  # fmt: skip
    magnitude = None
    if given.magnitude_column is not None:
        column = find_columns([given.magnitude_column], catalog.columns, path)[0]
        magnitude = floats(catalog.columns, column).astype(np.float64)
    id_column = _id_column(given, catalog, path)
    ids = None if id_column is None else np.ma.getdata(catalog[id_column])
    known = sky.redshift[np.isfinite(sky.redshift)]
    limits = (float(known.min()), float(known.max()))
    config = _config(values, given, coordinates, limits)
    return mock_from_spectra(
        (sky.ra, sky.dec, sky.redshift), config, **areas, ids=ids, magnitude=magnitude,
        spec_ids=None if given.spec_ids is None else _read_ids(given.spec_ids, id_column),
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
    catalog = _cut(Catalog.read(path), values["photo_cut"], path)

    def own(name: str) -> NDArray[Any]:
        return _numbers(catalog, name, path)

    velocities = None
    if values["velocities"] is not None:
        velocities = catalog.velocities(options.names(values["velocities"]), los=box.los)
    absolute = None
    if given.magnitude_column is not None:
        absolute = own(given.magnitude_column)
    elif values["rank_by"] is not None:
        rank = own(values["rank_by"])
        sign = 1 if values["rank"] == "highest" else -1
        absolute = absolute_magnitudes(sign * rank, box.box.volume)
    if absolute is not None and not np.isfinite(absolute).all():
        raise ValueError("the magnitudes of a box must be numbers: leave those rows out")
    return Simulated(
        box.positions(catalog, coordinates.columns), box.box, velocities, absolute
    ), None


def _numbers(catalog: Catalog, name: str, path: str) -> NDArray[Any]:
    """A column of numbers, none of them missing, found without regard to case."""
    import numpy as np

    from truez.catalogs.coordinates import find_columns
    from truez.catalogs.vectors import numbers

    return numbers(catalog.columns, find_columns([name], catalog.columns, path)[0]).astype(
        np.float64
    )


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
    elif given.outlier_range is not None:
        raise ValueError("--outlier-range is of outliers: give --outlier-fraction as well")
    photo = PhotoScatter(
        sigma_z=values["sigma_z"],
        sigma_z_growth=given.sigma_z_growth,
        faint_factor=given.faint_factor,
        error_classes=_classes(given.error_classes),
        outlier_fraction=values["outlier_fraction"],
        outlier_range=outliers,
        photo_bias=options.numbers(given.photo_bias or "", "--photo-bias"),
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


def _cut(catalog: Catalog, cuts: list[str] | None, path: str) -> Catalog:
    """The rows that pass all cuts."""
    import numpy as np

    from truez.catalogs.formats._names import missing_column
    from truez.support.settings import SettingError
    from truez.surveys.selection import Selection, select

    if not cuts:
        return catalog
    rows = np.arange(len(catalog))
    try:
        chosen = Selection(cuts=tuple(cuts))
    except SettingError as error:
        raise ValueError(f"--photo-cut {error.reason}") from error
    for name in chosen.columns:
        if name not in catalog.columns:
            raise ValueError(missing_column(name, catalog.columns, path))
    return catalog.select(
        select(chosen, "photo", rows, catalog.columns, volume=1.0, rank_by=None, highest=True)
    )


def _id_column(given: SkyMockOptions, catalog: Catalog, path: str) -> str | None:
    """The column of identifiers; without one, rows name galaxies."""
    import numpy as np

    from truez.catalogs.coordinates import find_columns

    def names_each_once(column: str) -> bool:
        values = catalog[column]
        whole = values.dtype.kind in "iuU" and not np.ma.getmaskarray(values).any()
        return whole and len(np.unique(np.ma.getdata(values))) == len(values)

    if given.id_column is not None:
        column = find_columns([given.id_column], catalog.columns, path)[0]
        if not names_each_once(column):
            raise ValueError(
                f"--id-column {given.id_column} must name each galaxy once, by a whole number or "
                "text: choose another, or leave those rows out"
            )
        return column
    lower = {name.lower(): name for name in reversed(list(catalog.columns))}
    found = (lower[name] for name in IDS if name in lower)
    return next((name for name in found if names_each_once(name)), None)


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


def _vector(text: str | None, name: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    numbers = options.numbers(text, name)
    if len(numbers) != 3:
        raise ValueError(f"{name} must be three numbers, X,Y,Z, not {text!r}")
    return numbers[0], numbers[1], numbers[2]
