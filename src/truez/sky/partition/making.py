"""Catalogues to a partition: what can be known at the start is refused before any file changes.

A partition that is whole is replaced by another one when that is whole (`truez.support.replacing`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from truez.catalogs.hats_folder import is_hats
from truez.sky.partition.divide import CatalogPass, SampleFolder
from truez.sky.partition.hats import HatsCatalog
from truez.sky.partition.patch_plan import FILE, PatchPlan
from truez.sky.partition.routing import router_of
from truez.sky.partition.sky_input import Places, SkyInput
from truez.support.disk import check_disk
from truez.support.memory import check_memory, in_words
from truez.support.notes import Note
from truez.support.progress import Progress
from truez.support.replacing import end_replacing, next_folder, put_in_place
from truez.support.temporaries import new_temporary, remove, remove_partial, temporaries

#: Memory for the galaxies that are held at a time [bytes].
MEMORY = 2**29
#: What the process takes for each byte of these, and besides [bytes], of batches of the input.
_FACTOR, _BATCH = 1.25, 2.5e8
#: The folders of the catalogues, and that of what is measured on a sample of their galaxies.
SAMPLES, SHARED = ("photo", "spec"), "shared"
#: All files of a partition beside `FILE`.
_NAMES = (*SAMPLES, SHARED, "footprint-*.parquet")


def make_files(
    target: Path, plan: PatchPlan, inputs: Mapping[str, SkyInput | None], *, memory: int,
    overwrite: bool, progress: Progress,
) -> None:  # fmt: skip
    """Make the files of a partition, or go on with them.

    Parameters
    ----------
    target : Path
    plan : PatchPlan
    inputs : mapping of ``photo`` and ``spec`` to SkyInput
    memory, overwrite, progress
        As of `truez.sky.partition.stored.Partition.make`.
    """
    if memory < 2**20:
        raise ValueError(f"memory must be {2**20} bytes or more, not {memory}")
    check_memory(
        _FACTOR * memory + _BATCH, f"a pass that holds {in_words(memory)} of galaxies",
        "give memory a smaller value",
    )  # fmt: skip
    given = {name: one for name, one in inputs.items() if one is not None}
    was_ended = end_replacing(target, _NAMES, last=FILE)
    passes = _Passes.of(target, plan, given, memory)
    if overwrite and was_ended and passes.is_begun():
        overwrite = False  # it is what this command was to make
    is_beside = overwrite and is_whole(target)
    if is_beside:
        passes = _Passes.of(next_folder(target), plan, given, memory)
        overwrite = not passes.is_begun()
    elif not overwrite:
        passes.check_same()
        if next_folder(target).is_dir():
            warnings.warn(
                f"{next_folder(target)} is a partition that overwrite=True has begun: with it the "
                "command goes on with that, and without it that folder can be removed",
                Note, stacklevel=3,
            )  # fmt: skip
    passes.check_disk(target, anew=overwrite)
    if overwrite:
        _remove(passes.folder)
    passes.run(progress)
    if is_beside:
        put_in_place(target, _NAMES, last=FILE)


def is_whole(target: Path) -> bool:
    """Whether a folder holds a partition that can be read."""
    try:
        PatchPlan.read(target)
        photo, spec = (SampleFolder(target / name).manifest() for name in SAMPLES)
    except (ValueError, FileNotFoundError):
        return False
    there = [about for about in (photo, spec) if about is not None]
    return photo is not None and all(about["patches"] or about.get("hats") for about in there)


@dataclass(frozen=True, eq=False)
class _Passes:
    """What is done with each catalogue in a folder."""

    folder: Path
    plan: PatchPlan
    passes: list[CatalogPass]
    hats: dict[str, HatsCatalog]

    @classmethod
    def of(
        cls, folder: Path, plan: PatchPlan, given: Mapping[str, SkyInput], memory: int
    ) -> _Passes:
        """Those of catalogues, which are opened."""
        passes: list[CatalogPass] = []
        hats: dict[str, HatsCatalog] = {}
        for name, one in given.items():
            if is_hats(one.path):
                hats[name] = HatsCatalog.open(one, name)
                hats[name].check()
                continue
            stream = one.open(name)
            places = Places(one, stream.schema, stream.row_in_words)
            router = router_of(plan.patches, name)
            own = SampleFolder(folder / name)
            passes.append(CatalogPass(own, router, stream, places, name, memory))
        return cls(folder, plan, passes, hats)

    def check_same(self) -> None:
        """Raise if the folder holds a partition of other patches or catalogues."""
        _check_same(self.folder, self.plan, [one.name for one in self.passes] + [*self.hats],
                    list(self.hats))  # fmt: skip
        for own in self.passes:
            own.begun()

    def is_begun(self) -> bool:
        """Whether the folder holds this partition, whole or in part."""
        try:
            self.check_same()
        except ValueError:
            return False
        return (self.folder / FILE).is_file()

    def check_disk(self, target: Path, *, anew: bool) -> None:
        """Raise if the disk does not hold what is not there yet."""
        sizes = [own.size for own in self.passes if anew or own.begun() is None]
        check_disk(sum(sizes) + max(sizes, default=0.0), target, option="folder")

    def run(self, progress: Progress) -> None:
        """Divide the catalogues, or go on."""
        if not (self.folder / FILE).is_file():
            self.plan.write(self.folder)
        for own in self.passes:
            remove_partial(own.folder.path)
            own.run(progress)
        for name, catalog in self.hats.items():
            about = {"input": catalog.given.to_dict()}
            SampleFolder(self.folder / name).describe(
                {"made_from": about, "patches": None, "hats": True}
            )


def _check_same(
    target: Path, plan: PatchPlan, samples: Sequence[str], hats: Sequence[str]
) -> None:  # fmt: skip
    """Raise if the folder holds a partition of other patches or catalogues."""
    if not (target / FILE).is_file():
        return
    if PatchPlan.read(target).to_dict() != plan.to_dict():
        raise ValueError(
            f"{target} holds a partition of other patches: give another folder, or overwrite=True "
            "to begin again"
        )
    for name in SAMPLES:
        about = SampleFolder(target / name).manifest()
        if about is not None and name not in samples:
            raise ValueError(
                f"{target} holds a partition with a catalogue of {name} galaxies: give {name} "
                "again, or another folder"
            )
        if about is not None and bool(about.get("hats")) != (name in hats):
            raise ValueError(
                f"{target / name} holds a partition of another kind of catalogue, HATS or not: "
                "give another folder, or overwrite=True to begin again"
            )


def _remove(target: Path) -> None:
    """Remove a partition, its plan last, by which the others are known to be its own."""
    for name in (*SAMPLES, SHARED):
        path = target / name
        remove_partial(path)
        if path.exists():
            # At once: a part of a catalogue could be taken for that of another.
            aside = new_temporary(path)
            path.rename(aside)
            remove(aside)
            temporaries.discard(aside)
    for pixels in target.glob("footprint-*.parquet"):
        remove(pixels)
    remove(target / FILE)
