"""Footprints as options of the command line state them.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truez.cli import options

if TYPE_CHECKING:
    from truez.cli.sky_options import SkyOptions
    from truez.surveys.footprint import Footprint


def stated_footprint(
    text: str | None, randoms: str | None, catalog: str | None, sky: SkyOptions, which: str
) -> Footprint | None:
    """The footprint of a survey, None where it is not given."""
    from truez.surveys.masks.randoms import read_randoms
    from truez.surveys.pixel_map import PixelMap

    option_name = f"--{which.replace('_', '-')}"
    if text is not None and randoms is not None:
        raise ValueError(f"{option_name}footprint and {option_name}randoms are both given: leave "
                         "one out")  # fmt: skip
    if randoms is not None:
        with options.named(f"{option_name}randoms"):
            return read_randoms(randoms, columns=("ra", "dec"), ra_unit=sky.ra_unit)
    if text is None:
        return None
    if text == "from-data":
        columns = options.names(str(sky.sky if which else sky.photo_sky or sky.sky))[:2]
        return PixelMap.from_data(*_directions(str(catalog), columns, sky.ra_unit))
    return named_footprint(text, f"{option_name}footprint")


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
