"""A network on a field of any size, tile by tile, exactly.

The estimate is that of the network on an infinite field: a periodic axis repeats itself, and a
closed one is continued by delta = 0, the mean. Each tile reads its core and a halo of at
least the receptive radius around it, starts on a multiple of the stride, and writes its core once.
A network that joins the ends of a periodic line of sight needs no halo along it, where tiles hold
all of it. So the stitched field does not depend on the tiles, up to the rounding of floats, as
long as the network is local; `check_local` refuses one that is not.

Cell 0 fixes the phase of the stride. On a periodic axis whose length is no multiple of the stride
the phase jumps where the axis closes; the result is still the same for all tilings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from truez.mesh.box import Region
from truez.mesh.field import Field
from truez.networks.network import Network
from truez.networks.symmetries import apply_symmetry, first_symmetries, undo_symmetry
from truez.networks.tile_sizes import shed_halo, tile_shape, whole_strides
from truez.support.progress import Progress, silent

#: Layers whose output at a cell depends on the whole tile.
NONLOCAL = (
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LocalResponseNorm,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool3d,
    nn.MultiheadAttention,
)


def check_local(network: nn.Module) -> None:
    """Refuse a network with a layer that uses statistics over space at inference.

    Raises
    ------
    ValueError
        Naming the first such layer.
    """
    for name, module in network.named_modules():
        frozen = not isinstance(module, nn.modules.batchnorm._BatchNorm) or (
            module.track_running_stats and module.running_mean is not None
        )
        if isinstance(module, NONLOCAL) or not frozen:
            raise ValueError(
                f"layer {name} ({type(module).__name__}) uses statistics over space, so tiles "
                "would not fit together: use BatchNorm3d with running statistics, or none"
            )


def check_reach(network: Network, *, seed: int = 0) -> None:
    """Refuse a network whose output depends on cells beyond its receptive radius.

    A slab of the input is changed strongly, and the output compared beyond the radius.

    Raises
    ------
    ValueError
        With the largest change there, in standard deviations of the output.
    """
    generator = torch.Generator().manual_seed(seed)
    for axis, radius in enumerate(network.receptive_radii):
        side = 2 * (-(-radius // network.stride) + 2) * network.stride
        mesh = [2 * network.stride] * 3
        mesh[axis] = side
        inputs = torch.randn(1, network.in_channels, *mesh, generator=generator)
        changed = inputs.clone()
        changed.narrow(2 + axis, 0, 1).mul_(50).add_(10)
        before, after = (_evaluate(network, x) for x in (inputs, changed))
        beyond = slice(radius + 1, None)
        change = (after - before).movedim(2 + axis, 0)[beyond].abs().max()
        scale = max(float(before.std()), 1e-30)
        if float(change) > 1e-4 * scale:
            raise ValueError(
                f"the receptive radius of the network is not {radius} cells: a change of the input "
                f"beyond it changes the output by {float(change) / scale:.2g} standard deviations"
            )


def _evaluate(network: nn.Module, inputs: Tensor, **extra: Any) -> Tensor:
    """One pass without gradients in eval mode; the mode is restored."""
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            result: Tensor = network(inputs, **extra)
            return result
    finally:
        network.train(training)


def _mean_over(
    turns: Sequence[int],
    network: nn.Module,
    block: Tensor,
    fields: Mapping[str, Tensor],
    extra: Mapping[str, Any],
) -> Tensor:
    """Mean of the estimates of a block (channels, nx, ny, nz) under some symmetries."""

    def estimate(turn: int) -> Tensor:
        turned = {name: apply_symmetry(values, turn)[None] for name, values in fields.items()}
        result = _evaluate(network, apply_symmetry(block, turn)[None], **turned, **extra)
        return undo_symmetry(result[0, 0], turn)

    results = map(estimate, turns)
    total = next(results)
    with torch.inference_mode():
        for result in results:
            total += result
        return total / len(turns) if len(turns) > 1 else total


def tiled(
    network: Network,
    inputs: Tensor,
    *,
    tile: int | Sequence[int | None] | None = 64,
    halo: int | None = None,
    periodic: bool | Sequence[bool] = False,
    region: Region | None = None,
    num_symmetries: int = 1,
    device: torch.device | str | None = None,
    progress: Progress = silent,
    fields: Mapping[str, Tensor] | None = None,
    **extra: Any,
) -> Tensor:
    """Run ``network`` over a mesh of any size.

    Parameters
    ----------
    network : Network
        Used in eval mode; its mode is restored.
    inputs : Tensor (channels, nx, ny, nz)
        Input fields of the network, on any device; one tile at a time is copied to ``device``.
    tile : int or (3,) of int or None
        Core of a tile [cells], multiples of the stride; ``None`` or 0 is the whole axis.
    halo : int, optional
        Cells read around a core, at least the receptive radius, which is the default; rounded up to
        the stride. None along a line of sight whose ends the network joins.
    periodic : bool or (3,) bools
        Periodic axes; beyond the faces of the others delta is 0.
    region : pair of cell triples, optional
        Estimate only the cells start <= i < stop, with all of the mesh as their surroundings.
    num_symmetries : {1, 2, 4, 8, 16}
        The result is the mean over estimates of each tile under so many symmetries, see
        `truez.networks.symmetries`.
    device : optional
        Device that the network is moved to; by default it stays where it is.
    fields : mapping of name to Tensor (channels, nx or 1, ny or 1, nz or 1), optional
        Further arguments of the network that are fields, cut as the inputs are, where they have
        more than one cell. Beyond the faces of closed axes they continue as they end.
    **extra
        Further arguments of the network, the same for all tiles.

    Returns
    -------
    Tensor (nx, ny, nz), or of the region's shape
        float32, on the device of ``inputs``.

    Raises
    ------
    ValueError
        If the network is not local, the halo too small, the tile not a multiple of the stride, the
        number of symmetries not supported, or fields are not on the mesh.
    """
    check_local(network)
    turns = first_symmetries(num_symmetries)
    stride, radius = network.stride, network.receptive_radius
    radii = network.receptive_radii if halo is None else (halo,) * 3
    reach = [whole_strides(r, stride) for r in radii]
    if halo is not None and halo < radius:
        raise ValueError(f"halo must be at least the receptive radius, {radius} cells, not {halo}")
    if inputs.ndim != 4 or inputs.shape[0] != network.in_channels:
        raise ValueError(
            f"inputs must have the shape ({network.in_channels}, nx, ny, nz), not "
            f"{tuple(inputs.shape)}"
        )
    mesh = inputs.shape[1:]
    others = dict(fields or {})
    for name, values in others.items():
        if values.ndim != 4 or any(
            n not in (1, cells) for n, cells in zip(values.shape[1:], mesh, strict=True)
        ):
            raise ValueError(
                f"{name} must have the shape (channels, {', '.join(map(str, mesh))}), or 1 in "
                f"place of numbers of cells, not {tuple(values.shape)}"
            )
    start, stop = ((0, 0, 0), tuple(mesh)) if region is None else region
    if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, mesh, strict=True)):
        raise ValueError(f"region {region!r} does not lie in a mesh of {tuple(mesh)} cells")
    wraps = [periodic] * 3 if isinstance(periodic, bool) else list(periodic)
    sizes = tile_shape([b - a + stride for a, b in zip(start, stop, strict=True)], tile, stride)
    whole = (start[2], stop[2]) == (0, mesh[2]) and sizes[2] >= mesh[2] and mesh[2] % stride == 0
    if network.joins_ends and wraps[2] and whole:
        sizes = (*sizes[:2], mesh[2])
        reach[2] = 0
        extra = {**extra, "joined": True}
    shed = shed_halo(network, reach)
    extra |= shed
    if device is not None:
        network.to(device)
    here = next(network.parameters()).device
    output = torch.empty([b - a for a, b in zip(start, stop, strict=True)], device=inputs.device)
    # The part of the halo that the result of the network has.
    kept = (0, 0, reach[2]) if shed else reach
    origins = [range(a - a % stride, b, n) for a, b, n in zip(start, stop, sizes, strict=True)]
    total, written = math.prod(len(o) for o in origins), 0
    for number, origin in enumerate(itertools.product(*origins)):
        progress("network", number, total)
        # The part of this tile's core that lies in the region.
        first = [max(o, a) for o, a in zip(origin, start, strict=True)]
        last = [min(o + n, b) for o, n, b in zip(origin, sizes, stop, strict=True)]
        ends = [
            o + whole_strides(b - o, stride) + r
            for o, b, r in zip(origin, last, reach, strict=True)
        ]
        block, around = inputs, others
        for axis in range(3):
            cells = origin[axis] - reach[axis], ends[axis], wraps[axis]
            block = _read(block, axis + 1, *cells)
            around = {name: _read_on(part, axis + 1, *cells) for name, part in around.items()}
        block = block.to(here)
        around = {name: part.to(here) for name, part in around.items()}
        result = _mean_over(turns, network, block, around, extra)
        inner = [
            slice(a - o + r, b - o + r)
            for a, b, o, r in zip(first, last, origin, kept, strict=True)
        ]
        outer = [slice(a - s, b - s) for a, b, s in zip(first, last, start, strict=True)]
        core = result[inner[0], inner[1], inner[2]]
        output[outer[0], outer[1], outer[2]] = core.to(output)
        written += core.numel()
    assert written == output.numel(), f"{written} cells written of {output.numel()}"
    progress("network", total, total)
    return output


def _read(values: Tensor, axis: int, start: int, stop: int, periodic: bool) -> Tensor:
    """Cells ``start`` to ``stop`` of an axis continued beyond its ends."""
    size = values.shape[axis]
    cells = torch.arange(start, stop, device=values.device)
    if periodic:
        return values.index_select(axis, cells % size)
    low, high = max(start, 0), min(stop, size)
    shape = list(values.shape)
    shape[axis] = stop - start
    padded = values.new_zeros(shape)
    padded.narrow(axis, low - start, high - low).copy_(values.narrow(axis, low, high - low))
    return padded


def _read_on(values: Tensor, axis: int, start: int, stop: int, periodic: bool) -> Tensor:
    """As `_read`, of a field that continues beyond closed ends as it ends; one cell serves all."""
    size = values.shape[axis]
    if size == 1:
        return values
    cells = torch.arange(start, stop, device=values.device)
    return values.index_select(axis, cells % size if periodic else cells.clamp(0, size - 1))


def predict(
    network: Network,
    *,
    spec: Field,
    photo: Field,
    tile: int | Sequence[int | None] | None = 64,
    num_symmetries: int = 1,
    device: torch.device | str | None = None,
    progress: Progress = silent,
) -> Field:
    """Estimate of a network from two overdensities of the same box.

    Raises
    ------
    ValueError
        If a field is not an overdensity, or they are not on the same box.
    """
    for name, field in (("spec", spec), ("photo", photo)):
        if field.kind != "delta":
            raise ValueError(f"{name} must be an overdensity, not {field.kind!r}: use to_delta()")
    if spec.box != photo.box:
        raise ValueError(f"spec and photo must be on one box, not {spec.box} and {photo.box}")
    inputs = torch.stack([spec.values, photo.values])
    values = tiled(
        network,
        inputs,
        tile=tile,
        periodic=spec.box.periodic,
        num_symmetries=num_symmetries,
        device=device,
        progress=progress,
    )
    return Field(values, spec.box, "delta")
