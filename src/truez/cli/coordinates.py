"""Catalogues in a box: the options of unit, axes and box, and the positions [Mpc/h] of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from truez.cli.errors import quoted
from truez.cli.options import BOX, COORDINATES, Cellsize, named, names, option, positive, sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from truez.catalogs.catalog import Catalog
    from truez.mesh.box import Box

#: Longest side, and farthest centre, of a box [Mpc/h]; the radius of the visible universe is 1e4.
FARTHEST = 1e6
#: Most cells along a side of a mesh, of which nothing could hold a thousandth.
MOST_CELLS = 2**20


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """The options of a catalogue in a box, but for the size of the box."""

    boxcenter: Annotated[
        str | None,
        option(
            BOX,
            "Centre, or X,Y,Z; half the boxsize by default.",
        ),
    ] = None
    cellsize: Cellsize = 2.0
    positions: Annotated[
        str, option(COORDINATES, "Position columns, in the file's axes (numbers in ASCII files).")
    ] = "x,y,z"
    los: Annotated[str, option(COORDINATES, "Line of sight: axis x, y or z of the file.")] = "z"
    length_unit: Annotated[
        str | None,
        option(
            COORDINATES,
            "Of positions and box: Mpc/h, kpc/h, Gpc/h, Mpc, kpc or Gpc; wins over that of the "
            "file, which is the default, else Mpc/h.",
        ),
    ] = None
    hubble: Annotated[
        float | None,
        option(
            COORDINATES,
            "h = H0 / (100 km/s/Mpc), also of the cosmology; for lengths in Mpc or kpc.",
            callback=positive,
        ),
    ] = None

    @property
    def columns(self) -> list[str]:
        """The position columns."""
        return names(self.positions)

    def frame(
        self, path: str, boxsize: str, *, periodic: bool = True, meshed: bool = True
    ) -> Frame:
        """The box of a catalogue in the given unit, or that of the file, or Mpc/h.

        Where it is ``meshed``, a mesh of it must fit into the memory.
        """
        from pathlib import Path

        from truez.catalogs import formats
        from truez.catalogs.angles import check_no_angles
        from truez.catalogs.units import length_factor, los_last
        from truez.mesh.box import Box
        from truez.mesh.memory import check_mesh

        check_no_angles(self.columns, formats.header(Path(path)).units, "--positions")
        size = sides(boxsize, "--boxsize")
        center = None
        if self.boxcenter is not None:
            center = sides(self.boxcenter, "--boxcenter", positive=False)
        unit = self.length_unit or stated_length_unit(path, self.columns) or "Mpc/h"
        factor = length_factor(unit, self.hubble)
        for name, text, lengths in (
            ("--boxsize", boxsize, size),
            ("--boxcenter", self.boxcenter, center or ()),
        ):
            far = max(map(abs, lengths), default=0.0) * factor
            if far > FARTHEST:
                raise ValueError(
                    f"{name} must be at most {FARTHEST:g} Mpc/h, not {far:.3g}, which is "
                    f"{quoted(text)} in {unit}: correct it or --length-unit"
                )
        shortest = min(size) * factor
        if shortest <= self.cellsize / 2:
            raise ValueError(
                f"--boxsize {quoted(boxsize)} is a side of {shortest:.3g} Mpc/h (its unit is "
                f"{unit}), and a cell of --cellsize {self.cellsize:g} Mpc/h is larger: correct "
                "--boxsize or --length-unit, or take smaller cells"
            )
        if max(size) * factor / self.cellsize > MOST_CELLS:
            raise ValueError(
                f"--cellsize {self.cellsize:g} Mpc/h divides a side of {max(size) * factor:.3g} "
                f"Mpc/h into more than {MOST_CELLS} cells: take larger cells"
            )

        def vector(values: tuple[float, float, float]) -> tuple[float, float, float]:
            return los_last([value * factor for value in values], self.los)

        box = Box.from_cellsize(
            vector(size), self.cellsize, None if center is None else vector(center), periodic
        )
        if meshed:
            with named("--cellsize"):
                check_mesh(box)
        return Frame(box, unit, self.hubble, self.los)


@dataclass(frozen=True)
class Frame:
    """A box, and the unit, the h and the line of sight of the catalogues in it."""

    box: Box
    length_unit: str
    hubble: float | None
    los: str

    def positions(self, catalog: Catalog, columns: list[str]) -> NDArray[Any]:
        """Positions of a catalogue in this frame, (n, 3) [Mpc/h], the line of sight last."""
        return catalog.positions(
            columns, length_unit=self.length_unit, hubble=self.hubble, los=self.los
        )


def stated_length_unit(path: str, columns: list[str]) -> str | None:
    """Unit that a catalogue file states for its position columns, if it does.

    Raises
    ------
    ValueError
        If it states a unit that truez does not know, or two.
    """
    from pathlib import Path

    from truez.catalogs import formats, vectors

    header = formats.header(Path(path))
    three = vectors.three(
        columns, header.columns, path, "positions", header.numbered, header.left_out
    )
    if not vectors.units_of(three, header.units):
        return None
    return vectors.stated_unit(three, header.units, path)
