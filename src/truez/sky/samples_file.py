"""Posterior samples in the file of a field on the sky, read one patch at a time.

`truez.sky.field_file` has the layout: each patch has ``samples`` beside its ``delta``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from truez.mesh.file_checks import no_samples
from truez.sky.field import SkyField
from truez.sky.field_file import StoredPatches
from truez.sky.layout import PatchesInTurn


class StoredSkySamples(Sequence[SkyField]):
    """The posterior samples in the file of a field on the sky.

    Each is a `SkyField` whose patches are read when they are asked for, and not kept. Its metadata
    are those of the field, with the ``seed`` and ``number`` of the sample.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    seed : int
    field : SkyField
        The one that they are samples of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    truez.mesh.file_checks.FieldError
        If it is another file, has no samples, is damaged, or has been replaced since.
    """

    seed: int

    def __init__(self, path: str | Path) -> None:
        self._stored = stored = StoredPatches(path)
        self.field = SkyField(stored, stored.cosmology, stored.metadata)
        if stored.seed is None:
            raise no_samples(stored.path)
        self.seed = stored.seed

    def __repr__(self) -> str:
        return f"{len(self)} samples of seed {self.seed} of {self.field!r}"

    def __len__(self) -> int:
        return self._stored.num_samples

    @overload
    def __getitem__(self, number: int) -> SkyField: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[SkyField, ...]: ...

    def __getitem__(self, number: int | slice) -> SkyField | tuple[SkyField, ...]:
        if isinstance(number, slice):
            return tuple(self[index] for index in range(*number.indices(len(self))))
        index = range(len(self))[number]
        about = {**self.field.metadata, "seed": self.seed, "number": index}
        return SkyField(_StoredSample(self._stored, index), self.field.cosmology, about)


class _StoredSample(PatchesInTurn):
    """The patches of one sample."""

    meshes = ("delta",)

    def __init__(self, stored: StoredPatches, index: int) -> None:
        self.outlines, self._stored, self._index = stored.outlines, stored, index
        self.pairs = (None,) * len(stored)

    def mesh(self, number: int, name: str) -> Tensor:
        """The overdensity of a patch."""
        assert name == "delta"
        return self._stored.sample(number, self._index)
