"""What a run does, in a file from which every process reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.reconstruct.network_methods import column_weights
from truez.reconstruct.settings import ColumnsSettings
from truez.sky.details import SkyDetails
from truez.sky.distributed.folder import KIND, RunFolder
from truez.sky.partition.shared import MOST, SharedSurveys
from truez.sky.partition.stored import Partition
from truez.sky.quantiles import FEW, some_levels
from truez.sky.registry import METHODS
from truez.support.checks import shown
from truez.support.documents import read_json, section
from truez.support.files import write_text
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.surveys.nz import NumberDensity

#: Patches of a shell that what all share is measured on.
FIRST_PATCHES = 8
_AGAIN = "begin again with truez run --overwrite"
#: What differs between two runs, by the names of a plan.
_OTHERS = {
    "digest": "a partition that has changed", "settings": "other settings",
    "weights": "other weights of the network", "surveys": "other columns or errors",
    "first_patches": "other first_patches",
    "wanted": "another make, interval or number of quantiles",
}  # fmt: skip


@dataclass(frozen=True)
class GivenSurveys:
    """What is known of the catalogues of a partition, beside what the partition states.

    Parameters
    ----------
    sigma_z, match_id, overlap, details
        As of `truez.sky.partition.shared.SharedSurveys.of_partition`.
    most : int
        Galaxies of the sample that N(z) and other numbers are measured on, about.
    """

    sigma_z: float | None = None
    match_id: str | None = None
    overlap: str | float | None = None
    details: SkyDetails = field(default_factory=SkyDetails)
    most: int = MOST

    def measured(self, partition: Partition, progress: Progress = silent) -> SharedSurveys:
        """What all patches share of the surveys, measured on a sample of the galaxies."""
        return SharedSurveys.of_partition(
            partition, sigma_z=self.sigma_z, match_id=self.match_id, overlap=self.overlap,
            details=self.details, most=self.most, progress=progress,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values; raises ValueError for objects that no file is named for."""
        default = SkyDetails()
        details = {
            item.name: _plain(item.name, value) for item in fields(SkyDetails)
            if (value := getattr(self.details, item.name)) != getattr(default, item.name)
        }  # fmt: skip
        own = {n: getattr(self, n) for n in ("sigma_z", "match_id", "overlap", "most")}
        return {**own, "details": details}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GivenSurveys:
        """Those of what `to_dict` returned."""
        details = {name: _given(value) for name, value in values["details"].items()}
        return cls(**{**values, "details": SkyDetails(**details)})


@dataclass(frozen=True)
class Wanted:
    """What is made of each patch.

    Parameters
    ----------
    field, redshifts : bool
        Whether the field and the redshifts are.
    interval : float
        Share of the posterior between ``z_lo`` and ``z_hi``.
    pdf : bool
        Whether p(z) of the galaxies are, beside their redshifts.
    quantiles : int
        How many quantiles p(z) are.
    """

    field: bool = True
    redshifts: bool = True
    interval: float = 0.68
    pdf: bool = False
    quantiles: int = FEW

    @property
    def levels(self) -> NDArray[np.float64]:
        """Cumulative probabilities of the quantiles, (quantiles,)."""
        return some_levels(self.quantiles)


@dataclass(frozen=True)
class RunPlan:
    """What a run does.

    Parameters
    ----------
    partition : str
        Its folder.
    digest : str
        That of the partition, which must not change.
    surveys : GivenSurveys
    method : str
    settings : dict
        Those of the method that were given.
    wanted : Wanted
    first_patches : int
        Patches of a shell that what all share is measured on.
    device : str
        Where a network runs.
    note : str, optional
        Why the method is not the default one.
    weights : str, optional
        Digest of the file of a network, which must not change.
    versions : dict
        Of truez and others, when the run began.
    """

    partition: str
    digest: str
    surveys: GivenSurveys
    method: str
    settings: dict[str, Any]
    wanted: Wanted = field(default_factory=Wanted)
    first_patches: int = FIRST_PATCHES
    device: str = "cpu"
    note: str | None = None
    weights: str | None = None
    versions: dict[str, str] = field(default_factory=versions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        settings = {n: str(x) if isinstance(x, Path) else x for n, x in self.settings.items()}
        own = {**vars(self), "surveys": self.surveys.to_dict(), "wanted": asdict(self.wanted),
               "settings": settings}  # fmt: skip
        return dict(json.loads(json.dumps({"kind": KIND, **own})))

    def write(self, folder: RunFolder) -> None:
        """Write it, the first file of a run."""
        write_text(folder.plan, json.dumps(self.to_dict(), indent=1))

    @classmethod
    def read(cls, folder: RunFolder) -> RunPlan:
        """Read what `write` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no run in the folder.
        ValueError
            If its file is damaged, or of another kind.
        """
        path = folder.plan
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no run in {folder.path}: truez run PARTITION --plan "
                f"{folder.path} makes one"
            )
        names = [item.name for item in fields(cls) if item.name != "weights"]  # of version 0.2.0
        found = section(read_json(path, remedy=_AGAIN), str(path), keys=("kind", *names),
                        remedy=_AGAIN)  # fmt: skip
        if found.pop("kind") != KIND:
            raise ValueError(f"{path} is not the plan of a run: choose another folder")
        try:
            surveys = GivenSurveys.from_dict(found["surveys"])
            return cls(**{**found, "surveys": surveys, "wanted": Wanted(**found["wanted"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {_AGAIN}") from error

    def check_same(self, other: RunPlan, folder: RunFolder) -> None:
        """Raise if a run in the folder does something else than is asked for."""
        own, theirs = self.to_dict(), other.to_dict()
        for name, value in own.items():
            if name != "versions" and value != theirs[name]:
                what = _OTHERS.get(name, f"another {name}")
                raise ValueError(
                    f"{folder.path} holds a run with {what}: give another folder, or "
                    "overwrite=True to begin again"
                )

    def check_weights(self, folder: RunFolder) -> None:
        """Raise a ValueError if the weights of the network are others than when the run began."""
        if self.weights is None:
            return
        path = weights_of(self.method, self.settings)
        assert path is not None
        if not path.is_file() or file_digest(path) != self.weights:
            raise ValueError(
                f"{path} holds other weights than when the run {folder.path} began, or is not "
                f"there: put the former ones back, or {_AGAIN}"
            )


def weights_of(method: str, settings: Mapping[str, Any]) -> Path | None:
    """The file of the network of a method, None for a method without one."""
    chosen = METHODS[method].settings(**settings)
    return column_weights(chosen) if isinstance(chosen, ColumnsSettings) else None


def file_digest(path: Path) -> str:
    """By which a file that has changed is recognized."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def digest_of(partition: Partition) -> str:
    """By which another or a changed partition is recognized."""
    about = {name: partition.about(name) for name in partition.samples}
    text = json.dumps([partition.plan.to_dict(), about], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(name: str, value: Any) -> Any:
    """A setting of details as JSON; files by their whole paths."""
    if isinstance(value, NumberDensity):
        return {"nz": [value.redshift.tolist(), value.density.tolist()]}
    if isinstance(value, tuple | list):
        return [_plain(name, one) for one in value]
    if isinstance(value, Path) or (isinstance(value, str) and name in _FILES):
        path = Path(value)
        return str(path.resolve()) if path.exists() else str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(
        f"details.{name} is {shown(value)}, which other processes cannot read: give the name of "
        "its file"
    )


#: Details that may be files.
_FILES = ("nz", "spec_nz", "spec_footprint", "pdf_prior")


def _given(value: Any) -> Any:
    """A setting of details from JSON."""
    if isinstance(value, dict):
        z, numbers = (np.asarray(one, np.float64) for one in value["nz"])
        return NumberDensity(z, numbers)
    return tuple(value) if isinstance(value, list) else value
