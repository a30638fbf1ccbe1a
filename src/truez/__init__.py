"""truez: the density field in true redshift space, from two galaxy surveys.

The public names are imported when they are first used, so that ``import truez`` is quick.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truez.catalogs.catalog import Catalog as Catalog
    from truez.cosmology import COSMOLOGIES as COSMOLOGIES
    from truez.cosmology import Cosmology as Cosmology
    from truez.evaluate import evaluate as evaluate
    from truez.linear.model import LinearModel as LinearModel
    from truez.mesh.box import Box as Box
    from truez.mesh.field import Field as Field
    from truez.mesh.painting import paint as paint
    from truez.mesh.painting import paint_chunks as paint_chunks
    from truez.mesh.painting import readout as readout
    from truez.reconstruct import Reconstruction as Reconstruction
    from truez.reconstruct import estimate as estimate
    from truez.reconstruct import reconstruct as reconstruct
    from truez.sightlines.sharpened import sharpen as sharpen
    from truez.simulate import Universe as Universe
    from truez.simulate import gaussian_modes as gaussian_modes
    from truez.simulate import lognormal_galaxies as lognormal_galaxies
    from truez.sky.details import SkyDetails as SkyDetails
    from truez.sky.result import SkyReconstruction as SkyReconstruction
    from truez.sky.surveys import SkySurveys as SkySurveys
    from truez.statistics.power import catalog_power as catalog_power
    from truez.statistics.power import compare as compare
    from truez.statistics.power import power as power
    from truez.statistics.scores import scores as scores
    from truez.statistics.scores import sub_box_scores as sub_box_scores
    from truez.support.progress_bar import progress_bar as progress_bar
    from truez.surveys.details import SurveyDetails as SurveyDetails
    from truez.surveys.mock import Mock as Mock
    from truez.surveys.mock import MockConfig as MockConfig
    from truez.surveys.observe import make_mock as make_mock
    from truez.surveys.photoz import PhotozError as PhotozError
    from truez.surveys.selection import Selection as Selection
    from truez.surveys.spec import SurveySpec as SurveySpec
    from truez.surveys.surveys import Surveys as Surveys

__version__ = "0.2.0"

#: Where each public name lives.
_HOMES = {
    "Box": "truez.mesh.box",
    "Catalog": "truez.catalogs.catalog",
    "COSMOLOGIES": "truez.cosmology",
    "Cosmology": "truez.cosmology",
    "Field": "truez.mesh.field",
    "evaluate": "truez.evaluate",
    "LinearModel": "truez.linear.model",
    "Mock": "truez.surveys.mock",
    "MockConfig": "truez.surveys.mock",
    "Selection": "truez.surveys.selection",
    "make_mock": "truez.surveys.observe",
    "paint": "truez.mesh.painting",
    "paint_chunks": "truez.mesh.painting",
    "readout": "truez.mesh.painting",
    "PhotozError": "truez.surveys.photoz",
    "Reconstruction": "truez.reconstruct",
    "estimate": "truez.reconstruct",
    "reconstruct": "truez.reconstruct",
    "scores": "truez.statistics.scores",
    "sub_box_scores": "truez.statistics.scores",
    "progress_bar": "truez.support.progress_bar",
    "sharpen": "truez.sightlines.sharpened",
    "Universe": "truez.simulate",
    "gaussian_modes": "truez.simulate",
    "lognormal_galaxies": "truez.simulate",
    "catalog_power": "truez.statistics.power",
    "compare": "truez.statistics.power",
    "power": "truez.statistics.power",
    "SkyDetails": "truez.sky.details",
    "SkyReconstruction": "truez.sky.result",
    "SkySurveys": "truez.sky.surveys",
    "Surveys": "truez.surveys.surveys",
    "SurveyDetails": "truez.surveys.details",
    "SurveySpec": "truez.surveys.spec",
}

__all__ = ["__version__", *_HOMES]


class _Package(ModuleType):
    """The package, where ``truez.reconstruct`` is the function even once its module is loaded.

    It is what ``from truez.reconstruct import reconstruct`` here would do, but only when needed.
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
