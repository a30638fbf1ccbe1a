"""Views of surveys in files: what a network for uneven surveys is trained and validated on.

A view is two surveys of a universe on a mesh (nx, ny, nz), whose last axis is a whole line of
sight: the inputs of the network, and the photometric galaxies without a spectrum at their own place
on a mesh with cells half as wide across the sky. It is made once and read many times: a file holds
its arrays one after another, and they are mapped into memory when it is read, so that a crop takes
its own part from the disk and no more.

The file is safetensors; its metadata hold, under ``truez-view``, JSON with ``format``,
``photo_margin``, ``true_margin``, ``periodic`` and ``about``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from truez.networks.tensors import read_text, save_tensors
from truez.support.documents import MOST_JSON

KEY, FORMAT = "truez-view", 1
#: Input fields and conditions of a network for uneven surveys.
NUM_FIELDS, NUM_CONDITIONS = 9, 10
#: Conditions that are fields of their own, ``density``: ln of galaxies per cell, spec and photo.
DENSITY_ROWS = (1, 2)
#: Fine cells across the sky in a cell of the mesh, on each axis.
FINER = 2
#: Fewer expected galaxies per cell of the photo-z are none.
LEAST = 1e-15
#: Columns of ``galaxies``.
GALAXY_COLUMNS = ("fine x", "fine y", "photo cell", "true cell", "class")

_TYPES: dict[str, type[np.generic]] = {
    "fields": np.float16,
    "density": np.float16,
    "profiles": np.float32,
    "ratio": np.float16,
    "unknown": np.float16,
    "shares": np.float32,
    "kernels": np.float32,
    "galaxies": np.int16,
    "starts": np.int64,
}
_NUMPY = {"F16": np.float16, "F32": np.float32, "I16": np.int16, "I64": np.int64}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SurveyView:
    """Two surveys of a universe, as a network for uneven surveys is trained on them.

    Parameters
    ----------
    fields : float16 array (9, nx, ny, nz)
        Inputs of the network.
    density : float16 array (2, nx, ny, nz)
        ln of the expected spectroscopic and photometric galaxies per cell: conditions 1 and 2.
    profiles : float32 array (10, nz)
        Conditions along the line of sight; rows 1 and 2 are not used.
    ratio : float16 array (2 nx, 2 ny, nz)
        ln of the fine prior over the prior of the mesh, interpolated across the sky.
    unknown : float16 array (nx, ny, nz)
        Expected photometric galaxies without a spectrum per cell.
    shares : float32 array (classes, nz)
        Share of each class of photo-z errors of them.
    kernels : float32 array (classes, num_photo, num_true)
        p(z_phot | z_true) of each class, as `truez.sightlines.kernel.Kernel.matrix`.
    photo_margin, true_margin : int
        Cells of the kernels beyond either face.
    periodic : bool
        Whether all three axes are periodic; otherwise the box is closed.
    galaxies : int16 array (n, 5)
        Photometric galaxies without a spectrum: fine cell along x and y, cell of the photo-z and
        true cell, both counted from the margin on, and class. They are sorted by their fine cell.
    about : dict
        Plain values (JSON): ``kind`` of survey, ``universe``, the seed of its galaxies,
        ``cellsize`` (3,) [Mpc/h], and ``limits``, ranges (lowest, highest) by the names of
        `truez.networks.survey_limits.SurveyLimits`, with ``redshift_space`` and ``resampler``.
    starts : int64 array (2 nx + 1,), optional
        First galaxy of each fine cell along x; found by default.

    Raises
    ------
    ValueError
        If an array has another shape, or a galaxy is outside of the mesh.

    Examples
    --------
    A view of one class on 4^3 cells, whose photo-z are exact:

    >>> import numpy as np
    >>> from truez.training.survey_view import SurveyView
    >>> view = SurveyView(
    ...     fields=np.zeros((9, 4, 4, 4), np.float16),
    ...     density=np.zeros((2, 4, 4, 4), np.float16),
    ...     profiles=np.zeros((10, 4), np.float32),
    ...     ratio=np.zeros((8, 8, 4), np.float16),
    ...     unknown=np.ones((4, 4, 4), np.float16),
    ...     shares=np.ones((1, 4), np.float32),
    ...     kernels=np.eye(4, dtype=np.float32)[None],
    ...     periodic=True,
    ...     galaxies=np.array([[7, 0, 2, 2, 0], [0, 0, 1, 1, 0]], np.int16),
    ...     about={"kind": "even"},
    ... )
    >>> view
    SurveyView('even', mesh 4 x 4 x 4, periodic, 2 galaxies of 1 class)
    """

    fields: NDArray[np.float16]
    density: NDArray[np.float16]
    profiles: NDArray[np.float32]
    ratio: NDArray[np.float16]
    unknown: NDArray[np.float16]
    shares: NDArray[np.float32]
    kernels: NDArray[np.float32]
    galaxies: NDArray[np.int16]
    about: dict[str, Any]
    periodic: bool
    photo_margin: int = 0
    true_margin: int = 0
    starts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        nx, ny, nz = self.mesh
        classes, num_photo, num_true = self.kernels.shape
        wanted: dict[str, tuple[int, ...]] = {
            "fields": (NUM_FIELDS, nx, ny, nz),
            "density": (len(DENSITY_ROWS), nx, ny, nz),
            "profiles": (NUM_CONDITIONS, nz),
            "ratio": (FINER * nx, FINER * ny, nz),
            "unknown": (nx, ny, nz),
            "shares": (classes, nz),
            "kernels": (classes, nz + 2 * self.photo_margin, nz + 2 * self.true_margin),
            "galaxies": (len(self.galaxies), len(GALAXY_COLUMNS)),
        }
        for name, shape in wanted.items():
            values = getattr(self, name)
            if values.shape != shape or values.dtype != _TYPES[name]:
                raise ValueError(
                    f"{name} must be {_TYPES[name].__name__} of shape {shape}, not "
                    f"{values.dtype} of shape {values.shape}"
                )
        if self.starts is not None:  # of a file
            return
        limits = FINER * nx, FINER * ny, num_photo, num_true, classes
        for name, values, limit in zip(GALAXY_COLUMNS, self.galaxies.T, limits, strict=True):
            if len(values) and not 0 <= values.min() <= values.max() < limit:
                raise ValueError(
                    f"galaxies must have a {name} from 0 to {limit - 1}, not {values.min()} to "
                    f"{values.max()}"
                )
        x, y = self.galaxies[:, 0], self.galaxies[:, 1]
        ordered = self.galaxies[np.lexsort((y, x))]
        starts = np.searchsorted(ordered[:, 0], np.arange(FINER * nx + 1)).astype(np.int64)
        object.__setattr__(self, "galaxies", ordered)
        object.__setattr__(self, "starts", starts)

    def __repr__(self) -> str:
        classes, kind = len(self.kernels), self.about.get("kind", "unnamed")
        mesh = " x ".join(map(str, self.mesh))
        ends = "periodic" if self.periodic else "closed"
        return (
            f"SurveyView({kind!r}, mesh {mesh}, {ends}, {len(self.galaxies)} galaxies of "
            f"{classes} class{'es' * (classes != 1)})"
        )

    @property
    def mesh(self) -> tuple[int, int, int]:
        """Cells (nx, ny, nz)."""
        nx, ny, nz = self.unknown.shape
        return nx, ny, nz

    def placed(self) -> Self:
        """The view without galaxies for which the expected counts have no place.

        Their true cell expects none, or none that shows such a photo-z. Such galaxies, which a map
        in half precision or a wrong error leaves, have no likelihood. None is fewer than `LEAST`.
        """
        x, y = (self.galaxies[:, axis] // FINER for axis in (0, 1))
        photo, true, kind = self.galaxies[:, 2:].T
        cell = (true - self.true_margin).clip(0, self.mesh[2] - 1)
        good = self.unknown[x, y, cell] * self.shares[kind, cell] > 0
        for number, matrix in enumerate(self.kernels):
            expected = self.unknown * self.shares[number]
            ends = ((0, 0), (0, 0), (self.true_margin, self.true_margin))
            visible = np.pad(expected, ends, mode="edge") @ matrix.T
            own = kind == number
            good[own] &= visible[x[own], y[own], photo[own]] > LEAST
        return self if good.all() else replace(self, galaxies=self.galaxies[good], starts=None)

    def write(self, path: str | Path) -> None:
        """Write the view to a file, whole or not at all.

        Raises
        ------
        ValueError
            If a number is not finite, which would end a training.
        """
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _TYPES}
        for name, values in arrays.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of a view must be finite, to be written to {path}")
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
        text = {"format": FORMAT, "about": self.about} | {
            name: getattr(self, name) for name in ("photo_margin", "true_margin", "periodic")
        }
        save_tensors(path, tensors, json.dumps(text), KEY)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a view that `write` wrote; its arrays are mapped into memory, read-only.

        Raises
        ------
        ValueError
            If the file is not a view.
        """
        text, arrays = _mapped(Path(path))
        if text.pop("format") != FORMAT or set(arrays) != set(_TYPES):
            raise ValueError(f"{path} is not a view of this version: make it again")
        return cls(**arrays, **text)

    def loaded(self) -> Self:
        """The same view with its arrays in memory."""
        arrays: dict[str, Any] = {name: np.array(getattr(self, name)) for name in _TYPES}
        return replace(self, **arrays)

    @property
    def nbytes(self) -> int:
        """Size of the arrays [bytes]."""
        return sum(getattr(self, one.name).nbytes for one in fields(self) if one.name in _TYPES)


def _mapped(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The text of a file of tensors, and its arrays, mapped into memory."""
    text = json.loads(read_text(path, KEY))
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        assert length <= MOST_JSON
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__")
    whole = np.memmap(path, mode="r", offset=8 + length)
    arrays: dict[str, Any] = {}
    for name, one in header.items():
        start, stop = one["data_offsets"]
        kind, shape = np.dtype(_NUMPY[one["dtype"]]), tuple(one["shape"])
        assert stop - start == kind.itemsize * math.prod(shape)
        arrays[name] = whole[start:stop].view(np.ndarray).view(kind).reshape(shape)
    return text, arrays
