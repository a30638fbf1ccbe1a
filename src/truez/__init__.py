"""truez: the density field in true redshift space, from two galaxy surveys.

The public names are imported when they are first used, so that ``import truez`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truez.box import Box as Box
    from truez.cosmology import COSMOLOGIES as COSMOLOGIES
    from truez.cosmology import Cosmology as Cosmology
    from truez.field import Field as Field
    from truez.simulate import gaussian_modes as gaussian_modes
    from truez.simulate import lognormal_galaxies as lognormal_galaxies

__version__ = "0.1.0"

#: Where each public name lives.
_HOMES = {
    "Box": "truez.box",
    "COSMOLOGIES": "truez.cosmology",
    "Cosmology": "truez.cosmology",
    "Field": "truez.field",
    "gaussian_modes": "truez.simulate",
    "lognormal_galaxies": "truez.simulate",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'truez' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
