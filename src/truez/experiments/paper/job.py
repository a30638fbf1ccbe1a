"""What every stage of a run is given: the recipe, the folder, where to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from truez.catalogs.chunks import iter_chunks
from truez.evaluate.store import plain
from truez.experiments.paper.recipe import PaperRecipe
from truez.mesh.field import Field
from truez.surveys.mock import Mock

#: What is painted, and not estimated.
SURVEYS = ("truth", "photo", "spec")


def field_file(name: str) -> str:
    """Where a field of the test part lies in the folder of a run."""
    return f"{'surveys' if name in SURVEYS else 'fields'}/{name}.h5"


@dataclass(frozen=True)
class Job:
    """A run of a recipe, which has a name, in a folder.

    Simulations and networks run on ``device``, a ``network`` is trained or not, and ``catalogue``
    is the user's own, in place of a simulated universe.
    """

    recipe: PaperRecipe
    folder: Path
    device: str = "cpu"
    catalogue: Path | None = None
    network: bool = True
    name: str = "paper"

    def __post_init__(self) -> None:
        if self.catalogue is None:
            universe = self.recipe.universe
            try:
                self.recipe.boxes.surveys().check(universe.num_galaxies, universe.box.volume)
            except ValueError as error:
                raise ValueError(f"boxes.{error}") from None
            return
        if not self.catalogue.is_file():
            raise FileNotFoundError(f"there is no catalogue {self.catalogue}")
        if self.recipe.boxes.split != "paper":
            raise ValueError(
                "a catalogue is one box, and boxes.split = realisations needs three: set "
                "boxes.split=paper"
            )
        # Raises what is wrong with the columns.
        iter_chunks(self.catalogue, self.catalogue_columns(moved=self.recipe.boxes.redshift_space))

    def catalogue_columns(self, *, moved: bool) -> list[str]:
        """Columns of the user's catalogue; those of velocities where galaxies are moved."""
        given = self.recipe.boxes.catalogue
        columns = [*given.positions, given.rank_by, *(given.velocities if moved else ())]
        return list(dict.fromkeys(columns))

    def mock(self, role: str) -> Mock:
        """The mock of a role."""
        return Mock.read(self.folder / f"mock{self.recipe.roles[role]}")

    def field_path(self, name: str) -> Path:
        """Where a field of the test part lies."""
        return self.folder / field_file(name)

    def field(self, name: str) -> Field:
        """A field of the test part."""
        return Field.read(self.field_path(name))

    def write(self, name: str, field: Field, metadata: Mapping[str, Any]) -> None:
        """Write a field of the test part, with what made it."""
        replace(field, metadata=plain(metadata)).write(self.field_path(name))
