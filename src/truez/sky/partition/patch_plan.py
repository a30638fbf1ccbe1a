"""The plan of a partition: what patches are made from, in a file from which they are made again.

``plan.json`` holds numbers as they are, so that every reader has the same patches to the last bit;
a footprint of pixels is beside it in ``footprint-0.parquet`` and so on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from truez.cosmology import Cosmology
from truez.sky.patches import Patches, PatchSettings, plan_patches
from truez.support.documents import read_json, section
from truez.support.files import atomic_path, write_text
from truez.surveys.footprint import Footprint, Rectangle, Union
from truez.surveys.footprint_input import footprint_of
from truez.surveys.footprint_output import rectangles_text
from truez.surveys.nz import NumberDensity
from truez.surveys.pixel_map import PixelMap

#: The file of a plan, and what it says of itself.
FILE, KIND = "plan.json", "truez patches"
_REMEDY = "make the partition again with truez partition --overwrite"


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """What the patches of a survey are made from: the arguments of `plan_patches`.

    Parameters
    ----------
    footprint : Footprint
        Of the photometric survey: rectangles, pixels, or several of these.
    cosmology : Cosmology
    redshift_range : (2,) floats
    sigma_z : float
    density : NumberDensity, optional
    settings : PatchSettings

    Examples
    --------
    >>> import tempfile
    >>> from truez.sky.partition.patch_plan import PatchPlan
    >>> from truez.surveys.footprint import Rectangle
    >>> plan = PatchPlan(Rectangle(0, 10, 0, 10), "planck18", (0.1, 0.3), 0.02)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plan.write(folder)
    ...     again = PatchPlan.read(folder)
    >>> again.patches[0].box == plan.patches[0].box
    True
    """

    footprint: Footprint
    cosmology: Cosmology
    redshift_range: tuple[float, float]
    sigma_z: float
    density: NumberDensity | None = None
    settings: PatchSettings = field(default_factory=PatchSettings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cosmology", Cosmology.of(self.cosmology))

    @cached_property
    def patches(self) -> Patches:
        """The patches."""
        return plan_patches(
            self.footprint, cosmology=self.cosmology, redshift_range=self.redshift_range,
            sigma_z=self.sigma_z, density=self.density, settings=self.settings,
        )  # fmt: skip

    def write(self, folder: str | Path) -> None:
        """Write the plan; raises ValueError for a footprint of another kind."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        named: list[Any] = []
        for number, part in enumerate(self._parts()):
            if isinstance(part, PixelMap):
                named.append(_pixels_file(number))
                _write_pixels(target / named[-1], part)
            else:
                named.append(rectangles_text(part))
        write_text(target / FILE, json.dumps({**self.to_dict(), "footprint": named}, indent=1))

    @property
    def files(self) -> list[str]:
        """Names of the files that `write` makes."""
        pixels = (isinstance(part, PixelMap) for part in self._parts())
        return [FILE, *(_pixels_file(number) for number, own in enumerate(pixels) if own)]

    @classmethod
    def read(cls, folder: str | Path) -> PatchPlan:
        """Read what `write` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no plan in the folder.
        ValueError
            If it is damaged, or of another kind.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"there is no partition in {folder}: it has no {FILE}")
        keys = ("kind", "footprint", "cosmology", "redshift_range", "sigma_z", "density",
                "settings")  # fmt: skip
        found = section(read_json(path, remedy=_REMEDY), str(path), keys=keys, remedy=_REMEDY)
        if found["kind"] != KIND:
            raise ValueError(f"{path} is not the plan of a partition: choose another folder")
        try:
            return cls._of(found, path.parent)
        except (TypeError, AttributeError, LookupError, ValueError, OSError) as error:
            raise ValueError(f"{path} or a file beside it is damaged: {_REMEDY}") from error

    @classmethod
    def _of(cls, found: dict[str, Any], folder: Path) -> PatchPlan:
        """The plan of plain values."""
        parts = [
            _read_pixels(folder / name) if name.endswith(".parquet") else footprint_of(name)
            for name in found["footprint"]
        ]
        if not parts:
            raise ValueError("footprint")
        density, how = found["density"], found["settings"]
        low, high = (float(z) for z in found["redshift_range"])
        return cls(
            parts[0] if len(parts) == 1 else Union(tuple(parts)),
            Cosmology(**found["cosmology"]), (low, high), float(found["sigma_z"]),
            None if density is None else NumberDensity(np.array(density[0]), np.array(density[1])),
            PatchSettings(**{**how, "shift": tuple(how["shift"])}),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, of pixels their number and a sum alone."""
        density, settings = self.density, asdict(self.settings)
        if self.settings.stride == 1:  # as plans that were made before there were others
            del settings["stride"]
        return {
            "kind": KIND,
            "footprint": [_described(part) for part in self._parts()],
            "cosmology": self.cosmology.model_dump(),
            "redshift_range": [float(z) for z in self.redshift_range],
            "sigma_z": float(self.sigma_z),
            "density": None if density is None else [density.redshift.tolist(),
                                                     density.density.tolist()],
            "settings": {name: list(x) if isinstance(x, tuple) else x
                         for name, x in settings.items()},
        }  # fmt: skip

    def _parts(self) -> tuple[Footprint, ...]:
        footprint = self.footprint
        parts = tuple(footprint.parts) if isinstance(footprint, Union) else (footprint,)
        if not all(isinstance(part, Rectangle | PixelMap) for part in parts):
            raise ValueError(
                "footprint must be rectangles or pixels for a partition, not "
                f"{type(footprint).__name__}: write it as a HEALPix map"
            )
        return parts


def _pixels_file(number: int) -> str:
    return f"footprint-{number}.parquet"


def _described(part: Footprint) -> Any:
    if not isinstance(part, PixelMap):
        return rectangles_text(part)
    return [part.nside, part.galactic, len(part.pixels), int(part.pixels.sum()), part.area]


def _write_pixels(path: Path, footprint: PixelMap) -> None:
    table = pa.table({"pixel": footprint.pixels, "completeness": footprint.values})
    about = {"nside": footprint.nside, "galactic": footprint.galactic}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"truez": json.dumps(about)}), temporary)


def _read_pixels(path: Path) -> PixelMap:
    try:
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[b"truez"])
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is missing or damaged: {_REMEDY}") from error
    return PixelMap(about["nside"], table["pixel"].to_numpy(), table["completeness"].to_numpy(),
                    about["galactic"])  # fmt: skip
