"""Fourier conventions, in one place.

The modes of a field are ``f_k = (1 / N) sum_x f(x) exp(-i k x)``, kept as the half that
`torch.fft.rfftn` gives (the last axis has ``n // 2 + 1`` modes). So ``<|f_k|^2> V`` is the power
spectrum [(Mpc/h)^3], and Parseval reads ``mean f^2 = sum_k w |f_k|^2`` with the Hermitian weights
``w`` below. Wavenumbers are in h/Mpc.

On a CPU transforms are those of scipy (pocketfft), elsewhere those of torch. The functions whose
names end in an underscore work in place: the rows of a real mesh from `roomy_mesh` have room for
their own modes. They are as fast as those that take a second mesh, or faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from truez.mesh.box import Box, Mesh
from truez.mesh.resamplers import order_of
from truez.support.threads import Threads

#: Weights of the cells 1, 2, 3 ahead, less those as far behind, in the first derivative of a mesh,
#: in units of 1 / cellsize: exact to the sixth order in k cellsize.
DIFFERENCES = (3 / 4, -3 / 20, 1 / 60)

# Numbers worked on at once by a thread in place: a few hundred kB, and independent of the threads.
_CHUNK = 1 << 17


def rfft(values: Tensor) -> Tensor:
    """Modes ``f_k`` of a real mesh, shape (nx, ny, nz // 2 + 1)."""
    if values.device.type != "cpu":
        modes: Tensor = torch.fft.rfftn(values, norm="forward")
        return modes
    workers = torch.get_num_threads()
    return torch.from_numpy(scipy.fft.rfftn(values.numpy(), norm="forward", workers=workers))


def irfft(modes: Tensor, meshsize: Mesh) -> Tensor:
    """Real mesh, shape ``meshsize``, of modes ``f_k``; the inverse of `rfft`."""
    if modes.device.type != "cpu":
        values: Tensor = torch.fft.irfftn(modes, s=meshsize, norm="forward")
        return values
    workers = torch.get_num_threads()
    values = scipy.fft.irfftn(modes.numpy(), s=meshsize, norm="forward", workers=workers)
    return torch.from_numpy(values)


def roomy_mesh(
    meshsize: Mesh, device: torch.device | str = "cpu", *, double: bool = False
) -> Tensor:
    """Real mesh of zeros, its rows with room behind them for the modes of `rfft_`.

    It is float32, or float64 if ``double``.
    """
    nx, ny, nz = meshsize
    shape = (nx, ny, 2 * (nz // 2 + 1))
    if torch.device(device).type == "cpu":
        # numpy asks Linux for huge pages, which make strided transforms faster; torch does not.
        return torch.from_numpy(np.zeros(shape, np.float64 if double else np.float32))[..., :nz]
    dtype = torch.float64 if double else torch.float32
    return torch.zeros(shape, device=device, dtype=dtype)[..., :nz]


def with_room(values: Tensor) -> Tensor:
    """A mesh from `roomy_mesh` with the room, shape (nx, ny, 2 (nz // 2 + 1)), contiguous."""
    nx, ny, nz = values.shape
    room = 2 * (nz // 2 + 1)
    return values.as_strided((nx, ny, room), (ny * room, room, 1))


def rfft_(values: Tensor, *, at_once: int = _CHUNK) -> Tensor:
    """As `rfft` of a mesh from `roomy_mesh`, in its memory.

    A thread works on about ``at_once`` numbers at a time along the first axis; of a mesh that lies
    in a file those should be many, as they are read from everywhere in it.
    """
    modes = _modes_of(values)
    _planes_to_modes(values, modes)
    _by_rows(modes, lambda part, _: _transform_x(part, inverse=False), at_once)
    return modes


def irfft_(modes: Tensor, meshsize: Mesh) -> Tensor:
    """As `irfft`, in the memory of the modes; the result is as a mesh from `roomy_mesh`."""
    values = torch.view_as_real(modes).flatten(2)[..., : meshsize[2]]
    _by_rows(modes, lambda part, _: _transform_x(part, inverse=True))
    _planes_to_values(modes, values)
    return values


def convolve_(values: Tensor, kernel: Callable[[slice], Any]) -> None:
    """Multiply the modes of a mesh from `roomy_mesh` by real numbers.

    Parameters
    ----------
    values : Tensor (nx, ny, nz)
    kernel : callable
        Takes a range of the second axis and returns the numbers of those modes, shape (nx, ny',
        nz // 2 + 1): a numpy array on a CPU, elsewhere a tensor.
    """

    def convolve(part: Any, rows: slice) -> None:
        _transform_x(part, inverse=False)
        part *= kernel(rows)
        _transform_x(part, inverse=True)

    modes = _modes_of(values)
    _planes_to_modes(values, modes)
    _by_rows(modes, convolve)
    _planes_to_values(modes, values)


def in_parts(
    task: Callable[[slice], None], mesh: Tensor, *, axis: int = 0, at_once: int = _CHUNK
) -> None:
    """Run a task on ranges of an axis of a mesh, which do not depend on the number of threads.

    On a CPU they run side by side, each as large as a core's cache; there the task should work with
    numpy (`array_of`) and scipy, since the threads of torch would wait for each other.
    """
    length, cpu = mesh.shape[axis], mesh.device.type == "cpu"
    step = max((at_once if cpu else 512 * at_once) * length // mesh.numel(), 1)
    parts = [slice(start, start + step) for start in range(0, length, step)]
    if cpu:
        with Threads() as threads:
            threads.run(task, parts)
    else:
        for part in parts:
            task(part)


def array_of(tensor: Tensor) -> Any:
    """A tensor on a CPU as a numpy array in the same memory; another as it is."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _modes_of(values: Tensor) -> Tensor:
    """The memory of a mesh from `roomy_mesh` as modes."""
    nx, ny, _ = values.shape
    return torch.view_as_complex(with_room(values).view(nx, ny, -1, 2))


def _planes_to_modes(values: Tensor, modes: Tensor) -> None:
    library, reals, planes = _library(values), array_of(values), array_of(modes)

    def transform(part: slice) -> None:
        planes[part] = library.rfft2(reals[part], norm="forward")

    in_parts(transform, values, axis=0)


def _planes_to_values(modes: Tensor, values: Tensor) -> None:
    library, reals, planes = _library(values), array_of(values), array_of(modes)

    def transform(part: slice) -> None:
        reals[part] = library.irfft2(planes[part], s=reals.shape[1:], norm="forward")

    in_parts(transform, values, axis=0)


def _by_rows(modes: Tensor, task: Callable[[Any, slice], None], at_once: int = _CHUNK) -> None:
    """Run a task on ranges of the second axis: its modes, to change in place, and the range."""
    array = array_of(modes)
    in_parts(lambda rows: task(array[:, rows], rows), modes, axis=1, at_once=at_once)


def _transform_x(part: Any, *, inverse: bool) -> None:
    """Transform along the first axis, in place."""
    if isinstance(part, Tensor):
        transform = torch.fft.ifft if inverse else torch.fft.fft
        part.copy_(transform(part, dim=0, norm="forward"))
        return
    transform = scipy.fft.ifft if inverse else scipy.fft.fft
    result = transform(part, axis=0, norm="forward", overwrite_x=True)
    if not np.may_share_memory(result, part):  # scipy may overwrite its input, and need not
        part[...] = result


def _library(mesh: Tensor) -> Any:
    return scipy.fft if mesh.device.type == "cpu" else torch.fft


def total(values: Tensor) -> float:
    """Sum of a real mesh in float64, without the copy in float64 that torch would make of it."""
    if values.device.type == "cpu":
        return float(np.sum(values.numpy(), dtype=np.float64))
    return float(values.sum(dtype=torch.float64))


def wavevectors(
    box: Box, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Wavenumbers (k_x, k_y, k_z) of the half mesh [h/Mpc], shaped to broadcast.

    The shapes are (nx, 1, 1), (1, ny, 1) and (1, 1, nz // 2 + 1).
    """
    (nx, ny, nz), (cx, cy, cz) = box.meshsize, box.cellsize
    tau = 2 * math.pi
    kx = torch.fft.fftfreq(nx, cx / tau, device=device, dtype=torch.float64)
    ky = torch.fft.fftfreq(ny, cy / tau, device=device, dtype=torch.float64)
    kz = torch.fft.rfftfreq(nz, cz / tau, device=device, dtype=torch.float64)
    return (
        kx.to(dtype).reshape(-1, 1, 1),
        ky.to(dtype).reshape(1, -1, 1),
        kz.to(dtype).reshape(1, 1, -1),
    )


def hermitian_weights(nz: int, *, device: torch.device | str = "cpu") -> Tensor:
    """How many modes of the full mesh each mode of the half mesh represents, shape (nz//2 + 1,).

    One on the planes k_z = 0 and, for even ``nz``, the Nyquist plane; two elsewhere.
    """
    weights = torch.full((nz // 2 + 1,), 2.0, device=device, dtype=torch.float64)
    weights[0] = 1.0
    if nz % 2 == 0:
        weights[-1] = 1.0
    return weights


def difference_vectors(
    box: Box, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Effective wavenumbers of the stencil `DIFFERENCES`, shaped as `wavevectors` [h/Mpc]."""
    return tuple(  # type: ignore[return-value]
        sum(
            torch.sin(step * cell * k) * (2 * weight / cell)
            for step, weight in enumerate(DIFFERENCES, 1)
        )
        for k, cell in zip(wavevectors(box, device=device), box.cellsize, strict=True)
    )


def resampler_window(k: Tensor, cellsize: float, resampler: str) -> Tensor:
    """Fourier window of an assignment kernel along one axis, sinc(k cellsize / 2)^order."""
    return torch.sinc(k * (cellsize / (2 * math.pi))) ** order_of(resampler)


def resampler_shot(k: Tensor, cellsize: float, resampler: str) -> Tensor:
    """Aliased power of unit white noise under an assignment kernel, along one axis.

    ``sum_n sinc^(2 order)((k + n 2 pi / cellsize) cellsize / 2)`` (Jing 2005, Eq. 20), which is the
    Fourier series of the kernel's autocorrelation, a cardinal B-spline of degree 2 order - 1.
    """
    order = order_of(resampler)
    spline = BSpline.basis_element(np.arange(2 * order + 1) - order)
    total = torch.full_like(k, float(spline(0)))
    for cells in range(1, order):
        total += 2 * float(spline(cells)) * torch.cos(cells * cellsize * k)
    return total


def smooth(values: Tensor, box: Box, radius: float) -> Tensor:
    """Convolve a mesh with a Gaussian of standard deviation ``radius`` [Mpc/h].

    A periodic box wraps. A closed box is mirrored at its faces (cosine transform), so that the mean
    is kept and nothing crosses from one face to the other. ``values`` is not changed.
    """
    if radius == 0:
        return values
    if not radius > 0:
        raise ValueError(f"radius must not be negative, not {radius!r} Mpc/h")
    if box.periodic:
        modes = rfft(values)
        for k in wavevectors(box, device=values.device):
            modes *= torch.exp(-0.5 * (k * radius) ** 2)
        return irfft(modes, box.meshsize)
    cosines = scipy.fft.dctn(values.cpu().numpy(), type=2, workers=-1)
    for axis in range(3):
        wavenumber = np.pi * np.arange(box.meshsize[axis]) / box.boxsize[axis]
        shape = [1, 1, 1]
        shape[axis] = -1
        cosines *= np.exp(-0.5 * (wavenumber * radius) ** 2).astype(cosines.dtype).reshape(shape)
    result = scipy.fft.idctn(cosines, type=2, workers=-1, overwrite_x=True)
    return torch.from_numpy(result).to(values.device)
