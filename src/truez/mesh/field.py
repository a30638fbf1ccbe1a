"""Fields: values on the mesh of a box, with the kind of quantity that they are.

The file layout. HDF5: a dataset ``values`` (float32, nx, ny, nz) with the attributes ``kind``,
``boxsize``, ``meshsize``, ``boxcenter``, ``periodic`` and ``metadata`` (JSON: the origin of the
field, with ``shotnoise`` and ``resampler`` where they are known), on a sky box also ``ra``,
``dec``, ``angle`` [deg], ``chi_ref`` [Mpc/h] and ``cosmology`` (JSON); further datasets of the same
shape, such as ``sigma``, or of k x l cells for each of the first two axes, such as ``intensity``,
and posterior samples (`truez.mesh.samples_file`) may follow. FITS: the primary image holds the
transposed array (FITS counts axes in reverse order), the header the same attributes, the metadata
as CONTINUEd string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.io import fits
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field_file import KINDS, SKY_KEYS, field_suffix, read_field
from truez.mesh.fourier import smooth, total
from truez.mesh.sky_box import SkyBox
from truez.support.checks import check_type, plain
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created

_LABELS = {"counts": "galaxies per cell", "density": "density [(h/Mpc)³]", "delta": "overdensity δ"}


@dataclass(frozen=True, eq=False)
class Field(NDArrayOperatorsMixin):
    """Values on a mesh.

    A field can be used as an array: ``np.asarray(field)`` returns its values, and arithmetic,
    indexing and numpy's functions use these values and return numpy arrays, since an overdensity
    plus a number is not an overdensity. Its methods return fields.

    Parameters
    ----------
    values : Tensor or array (nx, ny, nz)
        Kept as float32 tensor, on any device.
    box : Box
        The box whose mesh this is.
    kind : {"delta", "counts", "density"}
        The overdensity n / n_mean - 1, galaxies per cell, or galaxies per volume [(h/Mpc)^3].
    metadata : dict
        Plain values that describe the origin of the field; files of it contain them.
    shotnoise : float, optional
        Power of the shot noise that the field contains [(Mpc/h)^3]; None where it is not known.
    resampler : {"ngp", "cic", "tsc"}, optional
        How galaxies were painted; None for a field that was not painted, or where it is not known.

    Raises
    ------
    ValueError
        If the values are not numbers on the mesh of the box, or the kind is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field
    >>> field = Field(np.zeros((4, 4, 8)), Box((16, 16, 32), cellsize=4))
    >>> field
    Field of kind delta on 16 x 16 x 32 Mpc/h, 4 x 4 x 8 cells of 4 Mpc/h, periodic
    >>> float((field + 1).mean()), field[0].shape
    (1.0, (4, 8))
    """

    values: Tensor
    box: Box
    kind: str = "delta"
    metadata: dict[str, Any] = field(default_factory=dict)
    shotnoise: float | None = None
    resampler: str | None = None

    def __post_init__(self) -> None:
        check_type(self.box, Box, "box")
        object.__setattr__(self, "values", _tensor(self.values))
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if tuple(self.values.shape) != self.box.meshsize:
            raise ValueError(
                f"values of shape {tuple(self.values.shape)} do not fit a mesh of "
                f"{self.box.meshsize}"
            )

    # A field is equal only to itself; to compare values, compare the arrays.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        known = []
        if self.shotnoise is not None:
            known.append(f"shot noise {self.shotnoise:.4g} (Mpc/h)^3")
        if self.resampler is not None:
            known.append(f"painted with {self.resampler}")
        more = f"\n  {', '.join(known)}" if known else ""
        return f"Field of kind {self.kind} on {self.box}{more}"

    def numpy(self) -> NDArray[np.float32]:
        """The values as a numpy array on the CPU (shares memory where it can)."""
        array: NDArray[np.float32] = self.values.detach().cpu().numpy()
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.numpy().astype(dtype or np.float32, copy=False)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        arrays = [item.numpy() if isinstance(item, Field) else item for item in inputs]
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        """Values at an index, by the rules of numpy."""
        return self.numpy()[index]

    def __len__(self) -> int:
        return self.box.meshsize[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along each axis."""
        return self.box.meshsize

    def known_shotnoise(self, why: str) -> float:
        """The shot noise [(Mpc/h)^3]; a ValueError that begins with ``why`` where it is unknown."""
        if self.shotnoise is None:
            raise ValueError(f"{why} needs the shot noise of the field, and it is not known")
        return self.shotnoise

    def slab(self, thickness: float = 10.0) -> NDArray[np.float64]:
        """The mean over a slab in the middle of the second axis, shape (nx, nz).

        Parameters
        ----------
        thickness : float
            Of the slab [Mpc/h].
        """
        cells = min(max(round(thickness / self.box.cellsize[1]), 1), self.box.meshsize[1])
        first = (self.box.meshsize[1] - cells) // 2
        return np.asarray(self.numpy()[:, first : first + cells].mean(axis=1, dtype=np.float64))

    def plot(
        self, *, thickness: float = 10.0, ax: Any = None, limit: float | None = None
    ) -> Any:  # fmt: skip
        """A slab in the middle of the second axis, with the line of sight upright.

        Parameters
        ----------
        thickness : float
            Of the slab [Mpc/h], over which values are averaged.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        limit : float, optional
            Where the colours end, of fields that are drawn beside each other; by default 99% of the
            values are within it.

        Returns
        -------
        matplotlib Figure
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        slab = self.slab(thickness)
        (x0, _, z0), (x1, _, z1) = self.box.lower, self.box.upper
        limit = limit or slab_limit(slab)
        low = -limit if self.kind == "delta" else 0.0
        image = ax.imshow(
            slab.T, origin="lower", extent=(x0, x1, z0, z1), aspect="equal",
            vmin=low, vmax=limit, cmap="RdBu_r" if self.kind == "delta" else "viridis",
        )  # fmt: skip
        ax.set(xlabel="x [Mpc/h]", ylabel="line of sight [Mpc/h]")
        ax.figure.colorbar(image, ax=ax, label=_LABELS[self.kind], shrink=0.8,
                           extend="both" if self.kind == "delta" else "max")  # fmt: skip
        return ax.figure

    def to_delta(self, expected: float | Field | NDArray[Any] | None = None) -> Field:
        """The overdensity ``counts / expected - 1``.

        Parameters
        ----------
        expected : float, Field or array (nx, ny, nz), optional
            Expected counts per cell, one number or a counts field (a survey mask with n(z)); the
            overdensity is 0 in cells where none are expected. By default the mean of this field.

        Raises
        ------
        ValueError
            If this field is already a delta, or the expected counts are 0 everywhere.
        """
        if self.kind == "delta":
            raise ValueError("this field is an overdensity already (kind 'delta')")
        if isinstance(expected, np.ndarray | Tensor) and expected.ndim:
            expected = Field(_tensor(expected), self.box, self.kind)
        if isinstance(expected, Field):
            if expected.box != self.box or expected.kind != self.kind:
                raise ValueError("expected must be a field of the same kind on the same box")
            level = expected.values.to(self.values)
            if not bool((level > 0).any()):
                raise ValueError("expected is zero everywhere: it must be positive in some cells")
            values = torch.where(level > 0, self.values / level - 1, torch.zeros_like(level))
        else:
            mean = total(self.values) / self.box.num_cells if expected is None else float(expected)
            if not mean > 0:
                raise ValueError(f"the mean of the field must be positive, not {mean!r}")
            values = self.values / mean - 1
        return replace(self, values=values, kind="delta")

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Field:
        """The cells ``start <= i < stop`` of each axis, as a field on the smaller box."""
        box = self.box.crop(start, stop)
        a, b, c = (slice(i, j) for i, j in zip(start, stop, strict=True))
        return replace(self, values=self.values[a, b, c], box=box)

    def smooth(self, radius: float) -> Field:
        """Convolved with a Gaussian of ``radius`` [Mpc/h]; see `truez.mesh.fourier.smooth`."""
        metadata = {**self.metadata, "smoothing": radius}
        # No longer white: the shot noise of a smoothed field depends on k.
        values = smooth(self.values, self.box, radius)
        return replace(self, values=values, metadata=metadata, shotnoise=None)

    def to(self, device: torch.device | str) -> Field:
        """The same field on ``device``."""
        return replace(self, values=self.values.to(device))

    def write(self, path: str | Path, **extra: Tensor) -> None:
        """Write to HDF5 (``.h5``, ``.hdf5``) or FITS (``.fits``), whole or not at all.

        ``extra`` meshes of the same shape, or of smaller cells along the first two axes, such as
        ``sigma``, are stored beside it (HDF5 only).
        """
        suffix = field_suffix(path)
        if extra and suffix == ".fits":
            raise ValueError("a FITS field holds one mesh: write extra meshes to .h5")
        with atomic_path(path) as temporary, system_errors():
            if suffix == ".fits":
                self._write_fits(temporary)
                return
            with created(temporary) as file:
                self.put(file, **extra)

    @classmethod
    def read(cls, path: str | Path) -> Field:
        """Read a field that `write` wrote.

        Raises
        ------
        ValueError
            If the file is not a truez field, is not what its suffix says, or is damaged.
        FileNotFoundError
            If there is none.
        """
        header, values = read_field(path)
        return cls(
            torch.from_numpy(values),
            header.box,
            header.kind,
            header.metadata,
            shotnoise=header.shotnoise,
            resampler=header.resampler,
        )

    def _described(self) -> str:
        """The metadata as JSON, with the attributes that are known among them."""
        return json.dumps(self._plain())

    def _plain(self) -> dict[str, Any]:
        known = {"shotnoise": self.shotnoise, "resampler": self.resampler}
        known = {name: value for name, value in known.items() if value is not None}
        return {**self.metadata, **known}

    def put(self, file: Any, **extra: Tensor) -> None:
        """Write into an open HDF5 file, as `write` does."""
        dataset = file.create_dataset("values", data=self.numpy())
        dataset.attrs.update(field_attributes(self.box, self.kind, self._plain()))
        for name, mesh in extra.items():
            (nx, ny, nz), shape = self.shape, tuple(mesh.shape)
            if mesh.dim() != 3 or shape[2] != nz or shape[0] % nx or shape[1] % ny:
                raise ValueError(f"{name} of shape {tuple(mesh.shape)} is not of the field's")
            file.create_dataset(name, data=mesh.detach().cpu().numpy())

    def _write_fits(self, path: Path) -> None:
        image = fits.PrimaryHDU(self.numpy().T)
        header = image.header
        header["KIND"] = (self.kind, "quantity of the mesh")
        header["PERIODIC"] = (self.box.periodic, "opposite faces joined")
        header["BUNIT"] = ("(h/Mpc)^3" if self.kind == "density" else "", "unit of the values")
        for axis in range(3):
            number = axis + 1
            header[f"BOXSIZE{number}"] = (self.box.boxsize[axis], "[Mpc/h]")
            header[f"BOXCEN{number}"] = (self.box.boxcenter[axis], "[Mpc/h]")
        if isinstance(self.box, SkyBox):
            values = _as_text(self.box.to_dict())
            header.update({key: values[name] for name, key in SKY_KEYS.items()})
        # Quotes and ampersands have a meaning in long FITS strings and would not be read back.
        text = self._described()
        header["METADATA"] = text.replace("'", r"\u0027").replace("&", r"\u0026")
        image.writeto(path, overwrite=True)


def field_attributes(box: Box, kind: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the dataset ``values`` of an HDF5 field.

    Parameters
    ----------
    box : Box
    kind : str
    metadata : mapping
        With ``shotnoise`` and ``resampler`` where they are known.
    """
    return {"kind": kind, **_as_text(box.to_dict()), "metadata": json.dumps(dict(metadata))}


def slab_limit(slab: NDArray[np.float64]) -> float:
    """Where the colours of a slab end: 99% of its values are within it."""
    return float(np.quantile(np.abs(slab), 0.99)) or 1.0


def _as_text(values: dict[str, Any]) -> dict[str, Any]:
    """The description of a box with the parameters of its cosmology as JSON."""
    return {n: json.dumps(v) if isinstance(v, dict) else v for n, v in values.items()}


def _tensor(values: Any) -> Tensor:
    """Values of a mesh as tensor, real numbers in float32."""
    if isinstance(values, Tensor):
        if values.dtype.is_complex:
            raise ValueError("values must be real numbers, not complex ones")
        return values if values.dtype == torch.float32 else values.float()
    given = plain(values, "values")
    if np.iscomplexobj(values):
        raise ValueError("values must be real numbers, not complex ones")
    try:
        array = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"values must be a mesh of numbers, not {type(values).__name__}"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(array))
