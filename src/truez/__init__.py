"""truez: the density field in true redshift space, from two galaxy surveys.

The public names are imported when they are first used, so that ``import truez`` is quick.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truez.box import Box as Box
    from truez.catalog import Catalog as Catalog
    from truez.cosmology import COSMOLOGIES as COSMOLOGIES
    from truez.cosmology import Cosmology as Cosmology
    from truez.field import Field as Field
    from truez.linear import LinearModel as LinearModel
    from truez.mocks import Mock as Mock
    from truez.mocks import MockConfig as MockConfig
    from truez.mocks import make_mock as make_mock
    from truez.painting import paint as paint
    from truez.painting import paint_chunks as paint_chunks
    from truez.painting import readout as readout
    from truez.photoz import PhotozError as PhotozError
    from truez.reconstruct import estimate as estimate
    from truez.reconstruct import reconstruct as reconstruct
    from truez.scores import scores as scores
    from truez.scores import sub_box_scores as sub_box_scores
    from truez.selection import Selection as Selection
    from truez.sharpened import sharpen as sharpen
    from truez.simulate import Universe as Universe
    from truez.simulate import gaussian_modes as gaussian_modes
    from truez.simulate import lognormal_galaxies as lognormal_galaxies
    from truez.spectra import catalog_power as catalog_power
    from truez.spectra import compare as compare
    from truez.spectra import power as power
    from truez.surveys import Surveys as Surveys

__version__ = "0.1.0"

#: Where each public name lives.
_HOMES = {
    "Box": "truez.box",
    "Catalog": "truez.catalog",
    "COSMOLOGIES": "truez.cosmology",
    "Cosmology": "truez.cosmology",
    "Field": "truez.field",
    "LinearModel": "truez.linear",
    "Mock": "truez.mocks",
    "MockConfig": "truez.mocks",
    "Selection": "truez.selection",
    "make_mock": "truez.mocks",
    "paint": "truez.painting",
    "paint_chunks": "truez.painting",
    "readout": "truez.painting",
    "PhotozError": "truez.photoz",
    "estimate": "truez.reconstruct",
    "reconstruct": "truez.reconstruct",
    "scores": "truez.scores",
    "sub_box_scores": "truez.scores",
    "sharpen": "truez.sharpened",
    "Universe": "truez.simulate",
    "gaussian_modes": "truez.simulate",
    "lognormal_galaxies": "truez.simulate",
    "catalog_power": "truez.spectra",
    "compare": "truez.spectra",
    "power": "truez.spectra",
    "Surveys": "truez.surveys",
}

__all__ = ["__version__", *_HOMES]


class _Package(ModuleType):
    """The package, where ``truez.scores`` is the function even once its module is loaded.

    It is what ``from truez.scores import scores`` here would do, but only when it is needed.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'truez' has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


sys.modules[__name__].__class__ = _Package
