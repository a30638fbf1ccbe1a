"""The options of a box that is reconstructed in patches, and what commands do with them.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import options
from truez.cli.options import BOX, option

if TYPE_CHECKING:
    from truez.mesh.box import Box
    from truez.reconstruct.patched import PatchSides

#: Patches that a plan lists.
MOST_LISTED = 40


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """How a box is cut that is larger than the memory."""

    patch: Annotated[
        float | None,
        option(
            BOX,
            "Side of patches of it [Mpc/h].",
            callback=options.positive,
        ),
    ] = None
    margin: Annotated[
        float,
        option(
            BOX,
            "Around each; 64 [Mpc/h].",
            callback=options.positive,
            show_default=False,
        ),
    ] = 64.0

    def sides(self, context: typer.Context) -> PatchSides | None:
        """The sides of patches; None where there are none."""
        if self.patch is None:
            options.refuse_given(context, ["margin"], "only with --patch SIDE")
            return None
        from truez.reconstruct.patched import PatchSides

        return PatchSides(self.patch, self.margin)


def check_patches(
    box: Box, sides: PatchSides, method: str | None, device: str, settings: dict[str, Any]
) -> None:
    """Refuse what can be known of a reconstruction in patches before its surveys are read."""
    from truez.mesh.memory import check_mesh
    from truez.reconstruct import METHODS, PATCH_METHODS, check_start
    from truez.reconstruct.patches import first_patch, patches_of

    if method is not None and method not in PATCH_METHODS:
        raise ValueError(
            f"--method {method} is not for a box in patches: choose one of "
            f"{', '.join(PATCH_METHODS)}, or leave --patch out"
        )
    first = first_patch(patches_of(box, sides.side, sides.margin)).box
    if method is not None:
        remedy = f"give --patch below {sides.side:g}"
        check_mesh(first, METHODS[method].cell, remedy=remedy)
    check_start(first, method, device=device, **settings)


def echo_listed(lines: Sequence[str]) -> None:
    """Print a line for each patch, of very many the first and the last ones."""
    left_out = len(lines) - MOST_LISTED
    if left_out > 0:
        half = MOST_LISTED // 2
        lines = [*lines[:half], f"... {left_out} more", *lines[-half:]]
    for line in lines:
        typer.echo(f"  {line}")


def echo_patches(metadata: dict[str, Any]) -> None:
    """Print how many patches a result is of."""
    patches = metadata["patches"]
    typer.echo(
        f"  in {patches['number']} patches of at most {patches['side']:g} Mpc/h with margins of "
        f"{patches['margin']:g} Mpc/h"
    )
