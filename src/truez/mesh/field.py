"""Fields: values on the mesh of a box, with the kind of quantity that they are.

The file layout, written down before the code. HDF5: a dataset ``values`` (float32, nx, ny, nz) and
on it the attributes ``kind``, ``boxsize``, ``meshsize``, ``boxcenter``, ``periodic`` and
``metadata`` (JSON: what made the field); further datasets of the same shape, such as ``sigma``, may
stand beside it. FITS: the primary image holds the transposed array (FITS counts axes the other way
round), the header the same facts, the metadata as CONTINUEd string.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import smooth, total
from truez.support.files import atomic_path, system_errors

KINDS = ("counts", "density", "delta")


@dataclass(frozen=True, eq=False)
class Field:
    """Values on a mesh.

    Parameters
    ----------
    values : Tensor (nx, ny, nz)
        float32, on any device.
    box : Box
        The box whose mesh this is.
    kind : {"counts", "density", "delta"}
        Galaxies per cell, galaxies per volume [(h/Mpc)^3], or the overdensity n / n_mean - 1.
    metadata : dict
        Plain values that say what made the field; they travel with it into files.
    """

    values: Tensor
    box: Box
    kind: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if tuple(self.values.shape) != self.box.meshsize:
            raise ValueError(
                f"values of shape {tuple(self.values.shape)} do not fit a mesh of "
                f"{self.box.meshsize}"
            )

    def numpy(self) -> NDArray[np.float32]:
        """The values as a numpy array on the CPU (shares memory where it can)."""
        array: NDArray[np.float32] = self.values.detach().cpu().numpy()
        return array

    def to_delta(self, expected: float | Field | None = None) -> Field:
        """The overdensity ``counts / expected - 1``.

        Parameters
        ----------
        expected : float or Field, optional
            Expected counts per cell, one number or a counts field (a survey mask with n(z)); cells
            where nothing is expected get 0. By default the mean of this field.

        Raises
        ------
        ValueError
            If this field is already a delta, or nothing is expected anywhere.
        """
        if self.kind == "delta":
            raise ValueError("this field is an overdensity already (kind 'delta')")
        if isinstance(expected, Field):
            if expected.box != self.box or expected.kind != self.kind:
                raise ValueError("expected must be a field of the same kind on the same box")
            mean = expected.values.to(self.values)
            if not bool((mean > 0).any()):
                raise ValueError("expected is zero everywhere: there is nothing to compare with")
            values = torch.where(mean > 0, self.values / mean - 1, torch.zeros_like(mean))
        else:
            level = total(self.values) / self.box.num_cells if expected is None else expected
            if not level > 0:
                raise ValueError(f"the mean of the field must be positive, not {level!r}")
            values = self.values / level - 1
        return replace(self, values=values, kind="delta")

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Field:
        """The cells ``start <= i < stop`` of each axis, as a field on the smaller box."""
        box = self.box.crop(start, stop)
        a, b, c = (slice(i, j) for i, j in zip(start, stop, strict=True))
        return replace(self, values=self.values[a, b, c], box=box)

    def smooth(self, radius: float) -> Field:
        """Convolved with a Gaussian of ``radius`` [Mpc/h]; see `truez.mesh.fourier.smooth`."""
        metadata = {**self.metadata, "smoothing": radius}
        # White no more: the shot noise of a smoothed field depends on k.
        metadata.pop("shotnoise", None)
        return replace(self, values=smooth(self.values, self.box, radius), metadata=metadata)

    def to(self, device: torch.device | str) -> Field:
        """The same field on ``device``."""
        return replace(self, values=self.values.to(device))

    def write(self, path: str | Path, **extra: Tensor) -> None:
        """Write to HDF5 (``.h5``, ``.hdf5``) or FITS (``.fits``), whole or not at all.

        ``extra`` meshes of the same shape (HDF5 only), such as ``sigma``, are stored beside it.
        """
        suffix = field_suffix(path)
        if extra and suffix == ".fits":
            raise ValueError("a FITS field holds one mesh: write extra meshes to .h5")
        with atomic_path(path) as temporary, system_errors():
            if suffix == ".fits":
                self._write_fits(temporary)
            else:
                self._write_hdf5(temporary, extra)

    @classmethod
    def read(cls, path: str | Path) -> Field:
        """Read a field that `write` wrote.

        Raises
        ------
        ValueError
            If the file is not a truez field, or not what its suffix says.
        FileNotFoundError
            If there is none.
        """
        suffix = field_suffix(path)
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no field file {path}")
        try:
            return cls._read_fits(path) if suffix == ".fits" else cls._read_hdf5(path)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a field that truez wrote ({error})") from error

    def _header(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.box.to_dict(), "metadata": json.dumps(self.metadata)}

    def _write_hdf5(self, path: Path, extra: dict[str, Tensor]) -> None:
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("values", data=self.numpy())
            dataset.attrs.update(self._header())
            for name, mesh in extra.items():
                if mesh.shape != self.values.shape:
                    raise ValueError(f"{name} of shape {tuple(mesh.shape)} is not of the field's")
                file.create_dataset(name, data=mesh.detach().cpu().numpy())

    @classmethod
    def _read_hdf5(cls, path: str | Path) -> Field:
        with h5py.File(path, "r") as file:
            dataset = file["values"]
            names = ("boxsize", "meshsize", "boxcenter", "periodic")
            box = Box(**{name: dataset.attrs[name] for name in names})
            values = torch.from_numpy(np.asarray(dataset[...], dtype=np.float32))
            metadata = json.loads(dataset.attrs["metadata"])
            return cls(values, box, str(dataset.attrs["kind"]), metadata)

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
        # Quotes and ampersands mean something in long FITS strings, and would come back wrong.
        text = json.dumps(self.metadata)
        header["METADATA"] = text.replace("'", r"\u0027").replace("&", r"\u0026")
        image.writeto(path, overwrite=True)

    @classmethod
    def _read_fits(cls, path: str | Path) -> Field:
        with warnings.catch_warnings():
            # A truncated file is told of by an error, once.
            warnings.simplefilter("ignore", AstropyWarning)
            hdus = fits.open(path, memmap=False)
        with hdus:
            header, data = hdus[0].header, hdus[0].data
            if data is None:
                raise KeyError("no image in the primary extension")
            values = np.ascontiguousarray(data.T, dtype=np.float32)
            box = Box(
                [header[f"BOXSIZE{i}"] for i in (1, 2, 3)],
                values.shape,
                [header[f"BOXCEN{i}"] for i in (1, 2, 3)],
                bool(header["PERIODIC"]),
            )
            metadata = json.loads(header["METADATA"])
            return cls(torch.from_numpy(values), box, header["KIND"], metadata)


def field_suffix(path: str | Path) -> str:
    """The suffix of a field file; raises ValueError if it is none."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".h5", ".hdf5", ".fits"):
        raise ValueError(f"a field is read and written as .h5, .hdf5 or .fits, not {path}")
    return suffix
