"""What a reconstruction on the sky will be: the method for surveys, its settings and patches."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from truez.reconstruct.choice import OTHER_METHOD, Choice, choose_method
from truez.reconstruct.settings import Run
from truez.sky.patches import Patches, PatchSettings, plan_patches
from truez.sky.registry import METHODS, SkyMethod
from truez.sky.surveys import SkySurveys
from truez.support.memory import check_memory


@dataclass(frozen=True)
class Plan(Choice):
    """A method, why it is not the default one, and the patches that it works on."""

    patches: Patches = field(kw_only=True)


def plan(
    surveys: SkySurveys, settings: PatchSettings | None = None, *, method: str | None = None
) -> Patches:
    """The patches of surveys, with the halo that a method needs.

    Parameters
    ----------
    surveys : SkySurveys
    settings : PatchSettings, optional
    method : str, optional
        One of `truez.sky.registry.METHODS`; that of `choose` by default.
    """
    if method is None:
        return choose(surveys, settings).patches
    chosen = _method(method)
    how = PatchSettings(halo=chosen.halo) if settings is None else settings
    return plan_patches(
        surveys.footprint,
        cosmology=surveys.cosmology,
        redshift_range=surveys.redshift_range,
        sigma_z=surveys.largest_error,
        density=surveys.nz,
        settings=replace(
            how, halo=max(how.halo, chosen.halo), stride=math.lcm(how.stride, chosen.stride)
        ),
    )


def choose(
    surveys: SkySurveys,
    patches: PatchSettings | Patches | None = None,
    *,
    method: str | None = None,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Plan:
    """The method for surveys and their patches, with what is known before the work refused.

    Where none is asked for it is ``columns`` if its network was trained for such surveys, and
    ``redistribution`` if not, which a note says.

    Parameters
    ----------
    surveys : SkySurveys
    patches : PatchSettings or Patches, optional
    method : str, optional
    device : torch.device or str
        Where a network runs.
    **settings
        Those that the method is to have.

    Raises
    ------
    ValueError
        If a method or setting is unknown, the network that it asks for does not serve the surveys,
        or there is not enough memory.
    """

    def cut(method: str) -> Patches:
        return patches if isinstance(patches, Patches) else plan(surveys, patches, method=method)

    def check(name: str) -> None:
        made[name] = cut(name)
        check_start(surveys, name, made[name], device=device, **settings)

    made: dict[str, Patches] = {}
    if method is not None:
        check(method)
        return Plan(method, patches=made[method])
    known = [item.name for item in fields(METHODS[OTHER_METHOD].settings)]
    choice = choose_method(check, given=settings, settings=known)
    return Plan(choice.method, choice.note, patches=made[choice.method])


def check_start(
    surveys: SkySurveys,
    method: str,
    patches: Patches,
    *,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> None:
    """Refuse what is known of a reconstruction before the work.

    Arguments and errors as in `truez.sky.reconstruct.reconstruct`.
    """
    chosen = _method(method)
    known = [item.name for item in fields(chosen.settings)]
    for name in settings:
        if name not in known:
            raise ValueError(
                f"method {method} has no setting {name}: leave {name} out, or choose another "
                f"method; its settings are {', '.join(known)}"
            )
    how = chosen.settings(**settings)
    if chosen.check is not None:
        chosen.check(surveys, tuple(patches), how, Run(device))
    largest = max(patches, key=lambda patch: chosen.memory(patch, how))
    what = f"the largest patch, of {largest.num_cells:.3g} cells,"
    check_memory(chosen.memory(largest, how), what, "use larger cells, a larger cellsize")


def _method(name: str) -> SkyMethod:
    if name not in METHODS:
        raise ValueError(f"method on the sky must be one of {', '.join(METHODS)}, not {name!r}")
    return METHODS[name]
