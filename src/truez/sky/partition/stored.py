"""A partition as it is read: one patch at a time.

This is where the work on patches begins, wherever it runs: `Partition.open` needs the folder alone,
and `Partition.read` the files of one patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import SkyCoordinates, find_columns
from truez.catalogs.formats.parquet import columns_of_table, schema_units
from truez.sky.partition.counts import Counts
from truez.sky.partition.divide import SampleFolder
from truez.sky.partition.hats import HatsCatalog
from truez.sky.partition.making import MEMORY, SAMPLES, make_files
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.routing import Router, router_of
from truez.sky.partition.sky_input import CORE, ROW, Places, SkyInput
from truez.sky.patches import Patch, Patches
from truez.support.progress import Progress, silent
from truez.support.replacing import refuse_replaced

_REMEDY = "run truez partition again, which goes on"
_AGAIN = "make the partition again with truez partition --overwrite"


@dataclass(frozen=True, eq=False)
class PatchSample:
    """Galaxies of one catalogue that a patch needs, in the order of the input.

    Parameters
    ----------
    catalog : Catalog
        Columns of the input.
    rows : (n,) int array
        Their rows in the input.
    core : (n,) bool array
        Whether they are in the core.
    sky : SkyCoordinates
        Directions and redshifts, NaN for galaxies without.
    nested : pyarrow.Table
        Columns of the input that a catalogue cannot hold, such as p(z).
    """

    catalog: Catalog
    rows: NDArray[np.int64]
    core: NDArray[np.bool_]
    sky: SkyCoordinates
    nested: Any = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"PatchSample: {len(self)} galaxies, {int(self.core.sum())} of them in the core"


@dataclass(frozen=True, eq=False)
class PatchInputs:
    """What is known of one patch.

    Parameters
    ----------
    patch : Patch
    photo : PatchSample
    spec : PatchSample, optional
        Of all redshifts: galaxies that match a photometric one of the patch are there wherever they
        are. None without a spectroscopic catalogue.
    """

    patch: Patch
    photo: PatchSample
    spec: PatchSample | None = None


@dataclass(frozen=True, eq=False)
class Partition:
    """Catalogues that are divided among the patches of a plan.

    Parameters
    ----------
    folder : Path
    plan : PatchPlan

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from truez import Catalog
    >>> from truez.sky.partition.patch_plan import PatchPlan
    >>> from truez.sky.partition.sky_input import SkyInput
    >>> from truez.sky.partition.stored import Partition
    >>> from truez.surveys.footprint import Rectangle
    >>> rng = np.random.default_rng(1)
    >>> columns = {"ra": rng.uniform(0, 12, 500), "dec": rng.uniform(0, 10, 500),
    ...            "z": rng.uniform(0.05, 0.35, 500)}
    >>> plan = PatchPlan(Rectangle(0, 10, 0, 10), "planck18", (0.1, 0.3), 0.01)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Catalog(columns).write(f"{folder}/photo.parquet")
    ...     photo = SkyInput(f"{folder}/photo.parquet", ("ra", "dec", "z"))
    ...     made = Partition.make(f"{folder}/divided", plan, photo=photo)
    ...     print(made)
    ...     print(made.read(0).photo)
    Partition of 500 photo galaxies in 1 patches, 282 of them in cores, 146 more copies in margins
    PatchSample: 428 galaxies, 282 of them in the core
    """

    folder: Path
    plan: PatchPlan
    _about: dict[str, dict[str, Any]] = field(repr=False)

    @classmethod
    def make(
        cls, folder: str | Path, plan: PatchPlan, *, photo: SkyInput, spec: SkyInput | None = None,
        memory: int = MEMORY, overwrite: bool = False, progress: Progress = silent,
    ) -> Partition:  # fmt: skip
        """Divide catalogues among patches, or go on where an earlier call was ended.

        Parameters
        ----------
        folder : str or Path
            It is made if it does not exist.
        plan : PatchPlan
        photo, spec : SkyInput
            The photometric and the spectroscopic catalogue.
        memory : int
            Galaxies that are held at a time [bytes]; the process takes a quarter more, and 250 MB.
        overwrite : bool
            Whether a partition in the folder is replaced, by one that is made in the folder
            ``.truez-next`` in it, when that is whole. One that is not whole is removed, once the
            inputs have been looked at.
        progress : Progress

        Raises
        ------
        ValueError
            If an input cannot be read, has a position that is none, or has no galaxy in any core,
            the folder holds a partition of another plan or input, or memory or disk do not do.
        FileNotFoundError
            If there is no such input.
        """
        make_files(
            Path(folder), plan, {"photo": photo, "spec": spec}, memory=memory, overwrite=overwrite,
            progress=progress,
        )  # fmt: skip
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Partition:
        """Open a partition.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is not whole, or damaged.
        """
        refuse_replaced(folder, "truez partition")
        return cls._opened(Path(folder), PatchPlan.read(folder))

    @classmethod
    def _opened(cls, target: Path, plan: PatchPlan) -> Partition:
        about = {}
        for name in SAMPLES:
            found = SampleFolder(target / name).manifest()
            if found is None:
                continue
            if found["patches"] is None and not found.get("hats"):
                raise ValueError(f"{target / name} is not whole, as its pass was ended: {_REMEDY}")
            about[name] = found
        if "photo" not in about:
            raise ValueError(f"{target} is not whole, as it has no photometric galaxies: {_REMEDY}")
        return cls(target, plan, about)

    @property
    def patches(self) -> Patches:
        """The patches."""
        return self.plan.patches

    @property
    def samples(self) -> tuple[str, ...]:
        """``photo``, and ``spec`` where there is one."""
        return tuple(self._about)

    def __len__(self) -> int:
        return len(self.patches)

    def __repr__(self) -> str:
        words = []
        for name, about in self._about.items():
            if about.get("hats"):
                words.append(f"{name} galaxies of {about['made_from']['input']['path']}")
                continue
            core, held = sum(about["core"]), sum(about["patches"])
            words.append(
                f"{about['num_rows']} {name} galaxies in {len(self)} patches, {core} of them in "
                f"cores, {held - core} more copies in margins"
            )
        return f"Partition of {'; '.join(words)}"

    def num_rows(self, sample: str) -> int:
        """Rows of an input."""
        if sample in self._hats:
            return self._hats[sample].num_rows
        return int(self._about[sample]["num_rows"])

    def given(self, sample: str) -> SkyInput:
        """The input as it was given."""
        return SkyInput(**self._about[sample]["made_from"]["input"])

    def about(self, sample: str) -> dict[str, Any]:
        """What an input is recognized by: its files and columns, in plain values."""
        return dict(self._about[sample]["made_from"])

    def counts(self, sample: str) -> Counts:
        """Galaxies per pixel and redshift of an input that was divided."""
        return Counts.read(SampleFolder(self.folder / sample).counts)

    def core_counts(self, sample: str) -> list[int] | None:
        """Galaxies of an input in the core of each patch; None if it was not divided or given."""
        return self._about.get(sample, {}).get("core")

    def patch_counts(self, sample: str) -> list[int] | None:
        """Galaxies of an input in each patch with its margins; None as for `core_counts`."""
        return self._about.get(sample, {}).get("patches")

    def read(self, number: int, columns: Mapping[str, Sequence[str]] | None = None) -> PatchInputs:
        """What is known of a patch.

        Parameters
        ----------
        number : int
            Of the patch.
        columns : mapping of ``photo`` and ``spec`` to names of columns, optional
            Those that are read besides directions and redshifts, without regard to case; all by
            default.

        Raises
        ------
        ValueError
            If there is no such patch or column, or a file is damaged or not there.
        """
        if not 0 <= number < len(self):
            raise ValueError(f"number must be that of a patch, 0 to {len(self) - 1}, not {number}")
        found = {}
        for name in self.samples:
            given = self.given(name)
            wanted = None if columns is None else columns.get(name)
            table = self.table(name, number, None if wanted is None else [*given.places, *wanted])
            places = Places(given, table.schema, f"row {{}} of {name} in patch {number}".format)
            ra, dec, z, _ = places.of(0, table) if len(table) else (np.zeros(0),) * 4
            rows, core = table[ROW].to_numpy(), table[CORE].to_numpy()
            table = table.drop_columns([ROW, CORE])
            catalog = Catalog(columns_of_table(table), schema_units(table.schema))
            found[name] = PatchSample(
                catalog, rows.astype(np.int64), core.astype(bool), SkyCoordinates(ra, dec, z),
                table.select([one.name for one in table.schema if pa.types.is_nested(one.type)]),
            )  # fmt: skip
        return PatchInputs(self.patches[number], found["photo"], found.get("spec"))

    def table(self, sample: str, number: int, columns: Sequence[str] | None = None) -> Any:
        """The galaxies of one input that a patch needs, as a table of arrow with nested columns."""
        about = self._about[sample]
        if about.get("hats"):
            router = self._routers[sample]
            table = self._hats[sample].read(router, number, columns)
            return table if columns is None else _some(table, columns, sample)
        path = SampleFolder(self.folder / sample).patch(number)
        if not path.is_file():
            raise ValueError(f"{path} is missing, and the partition was whole: {_AGAIN}")
        try:
            wanted = None
            if columns is not None:
                found = find_columns(columns, pq.read_schema(path).names, str(path))
                wanted = [*dict.fromkeys(found), ROW, CORE]
            # Without this pieces of a file are kept in memory longer than they are needed.
            table = pq.read_table(path, columns=wanted, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged: {_AGAIN}") from error
        if table.num_rows != about["patches"][number]:
            raise ValueError(
                f"{path} has {table.num_rows} rows, and had {about['patches'][number]}"
                f" when it was made: {_AGAIN}"
            )
        return table

    @cached_property
    def _routers(self) -> dict[str, Router]:
        return {name: router_of(self.patches, name) for name in self.samples}

    @cached_property
    def _hats(self) -> dict[str, HatsCatalog]:
        return {name: HatsCatalog.open(self.given(name), name)
                for name, about in self._about.items() if about.get("hats")}  # fmt: skip


def _some(table: Any, columns: Sequence[str], name: str) -> Any:
    found = find_columns(columns, table.column_names, name)
    return table.select([*dict.fromkeys(found), ROW, CORE])
