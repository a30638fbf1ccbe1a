"""Validation during training, on fields that are not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from truez.mesh.box import Region
from truez.networks.network import Network
from truez.networks.tiles import tiled
from truez.training.samples import Fields, plain


class Judge(Protocol):
    """Validation for the training loop."""

    def describe(self) -> dict[str, Any]:
        """Plain values (JSON) that identify the data; a resumed run must have the same."""

    def judge(
        self, network: Network, shape: Sequence[int], *, context: bool = True
    ) -> dict[str, float]:
        """Scores by name: ``loss``, by which weights are chosen, and others for a table."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Fields that are not trained on.

    Parameters
    ----------
    parts : sequence of ((truth, photo, spec) Fields, regions)
        Overdensities of each universe, and the cells that are compared.
    source : dict
        Plain values that identify the fields; a resumed run must have the same.
    """

    parts: Sequence[tuple[Fields, Sequence[Region]]]
    source: dict[str, Any]

    def __post_init__(self) -> None:
        if not all(regions for _, regions in self.parts) or not self.parts:
            raise ValueError("validation_regions must name at least one region")

    @classmethod
    def of(cls, fields: Fields, regions: Sequence[Region]) -> Validation:
        """Regions of one box."""
        return cls([(fields, regions)], {"validation_regions": plain(regions)})

    def describe(self) -> dict[str, Any]:
        """Plain values (JSON) that identify the fields."""
        return self.source

    def judge(
        self, network: Network, shape: Sequence[int], *, context: bool = True
    ) -> dict[str, float]:
        """The loss alone."""
        return {"loss": self.loss(network, shape, context=context)}

    def loss(self, network: Network, shape: Sequence[int], *, context: bool = True) -> float:
        """Mean squared error, in sub-boxes of at most ``shape`` cells.

        With ``context`` each sub-box is estimated with the input fields around it; without, with
        zeros beyond its faces.
        """
        total, cells = 0.0, 0
        for (truth, photo, spec), regions in self.parts:
            inputs = torch.stack([spec.values, photo.values])
            for box in itertools.chain.from_iterable(_sub_boxes(r, shape) for r in regions):
                x, y, z = (slice(a, b) for a, b in zip(*box, strict=True))
                if context:
                    estimate = tiled(
                        network, inputs, tile=None, region=box, periodic=truth.box.periodic
                    )
                else:
                    estimate = _alone(network, inputs[:, x, y, z])
                error = (estimate - truth.values[x, y, z]).double()
                total += float((error**2).sum())
                cells += error.numel()
        return total / cells


def check_apart(train: Sequence[Region], validation: Sequence[Region]) -> None:
    """Refuse regions of one box that share a cell."""
    for (a, b), (c, d) in itertools.product(train, validation):
        if all(max(a[i], c[i]) < min(b[i], d[i]) for i in range(3)):
            raise ValueError(
                f"training region {tuple(a)} to {tuple(b)} overlaps validation region {tuple(c)} "
                f"to {tuple(d)}: keep them apart"
            )


def _sub_boxes(region: Region, shape: Sequence[int]) -> list[Region]:
    axes = itertools.product(*map(_split, *region, shape))
    return [((x0, y0, z0), (x1, y1, z1)) for (x0, x1), (y0, y1), (z0, z1) in axes]


def _split(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Divide cells into the fewest ranges of at most ``size``, as equal as possible."""
    number = -(-(stop - start) // size)
    ends = [start + (stop - start) * i // number for i in range(number + 1)]
    return list(itertools.pairwise(ends))


def _alone(network: Network, inputs: Tensor) -> Tensor:
    training = network.training
    network.eval()
    with torch.inference_mode():
        result = network(inputs[None].to(next(network.parameters()).device))[0, 0]
    network.train(training)
    return result.to(inputs)
