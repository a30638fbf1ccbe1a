"""What every stage of a run is given: the recipe, the folder, where to compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    """A run.

    Parameters
    ----------
    recipe : PaperRecipe
    folder : Path
        Of the run.
    device : str
        Where simulations and networks run.
    catalogue : Path, optional
        The user's own, in place of a simulated universe.
    network : bool
        Whether a network is trained.
    name : str
        Of the recipe.
    """

    recipe: PaperRecipe
    folder: Path
    device: str = "cpu"
    catalogue: Path | None = None
    network: bool = True
    name: str = "paper"

    def __post_init__(self) -> None:
        if self.catalogue is None:
            return
        if not self.catalogue.is_file():
            raise FileNotFoundError(f"there is no catalogue {self.catalogue}")
        if self.recipe.boxes.split != "paper":
            raise ValueError(
                "a catalogue is one box, and boxes.split = realisations needs three: set "
                "boxes.split=paper"
            )

    def mock(self, role: str) -> Mock:
        """The mock of a role."""
        return Mock.read(self.folder / f"mock{self.recipe.roles[role]}")

    def field_path(self, name: str) -> Path:
        """Where a field of the test part lies."""
        return self.folder / field_file(name)

    def field(self, name: str) -> Field:
        """A field of the test part."""
        return Field.read(self.field_path(name))
