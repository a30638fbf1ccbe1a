"""What may be judged: a field, or an estimate with its error and its intensity beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.field_file import read_extra
from truez.mesh.samples_file import StoredSamples, num_samples
from truez.sightlines.intensity import Intensity
from truez.sightlines.pairs import Pairs


@dataclass(frozen=True, eq=False)
class FieldFile:
    """A field file: ``delta`` is read at once, the meshes beside it when they are asked for."""

    path: Path
    delta: Field

    @classmethod
    def read(cls, path: str | Path) -> FieldFile:
        """Read the field; raises what `truez.mesh.field.Field.read` does."""
        return cls(Path(path), Field.read(path))

    @property
    def sigma(self) -> Tensor | None:
        """Standard deviation of the error of each cell, where the file holds it."""
        return self._mesh("sigma")

    @property
    def intensity(self) -> Tensor | None:
        """The intensity that moved galaxies, where the file holds it."""
        return self._mesh("intensity")

    @property
    def stored_samples(self) -> StoredSamples | None:
        """Posterior samples of the field, where the file holds any."""
        return StoredSamples(self.path) if num_samples(self.path) else None

    @property
    def pairs(self) -> Pairs | None:
        """What neighbours on the sky add to the intensity; None for nothing."""
        return Pairs.of(self.delta.metadata)

    def _mesh(self, name: str) -> Tensor | None:
        found = read_extra(self.path, [name]).get(name)
        return None if found is None else torch.from_numpy(found)


def delta_of(name: str, estimate: Any) -> Field:
    """The overdensity of an estimate; a ValueError where it is no field and has none."""
    if isinstance(estimate, Field):
        return estimate
    found = getattr(estimate, "delta", None)
    if not isinstance(found, Field):
        raise ValueError(
            f"{name} must be a Field or a reconstruction (with a Field as its delta), not "
            f"{type(estimate).__name__}"
        )
    return found


def sigma_of(estimate: Any) -> Tensor | float | None:
    """Standard deviation of its error: of each cell, else of all where its field says that."""
    found: Tensor | None = None if isinstance(estimate, Field) else getattr(estimate, "sigma", None)
    if found is not None:
        return found
    level = delta_of("", estimate).metadata.get("sigma")
    return float(level) if isinstance(level, int | float) and level > 0 else None


def intensity_of(estimate: Any, box: Box) -> Intensity | None:
    """Its intensity on the mesh of its box, or on smaller cells across the sky, where it has one.

    Raises
    ------
    ValueError
        If it is of another mesh, or not positive.
    """
    if isinstance(estimate, Field) or getattr(estimate, "intensity", None) is None:
        return None
    return Intensity.of(estimate, box)
