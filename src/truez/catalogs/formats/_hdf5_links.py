"""The items of an HDF5 file by their names, and those that lead into other files.

A file can name any other file of the machine: by external links, by datasets whose raw values lie
elsewhere, and by virtual datasets. None of them is followed, but for links and virtual datasets
within `following_links`, which lead to files beside the catalogue or in folders below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

_FOLLOWED: ContextVar[bool] = ContextVar("followed", default=False)
#: Soft links on the way to one item, which may lead to each other without end.
_MOST_LINKS = 40


@dataclass(frozen=True)
class _Outside:
    """A link into another file, and whether the path ends there."""

    file: Path
    target: Path
    path: str
    last: bool


@contextmanager
def following_links() -> Iterator[None]:
    """Context in which links of HDF5 catalogues into other files of their folder are followed.

    For snapshots in parts, that is a file of external links or virtual datasets. A link leads to a
    file of the catalogue's folder, or of one below it, by a relative path; others stay left out.

    Examples
    --------
    >>> from truez.catalogs.formats import following_links
    >>> with following_links():
    ...     pass  # truez.Catalog.read("snapshot.hdf5")
    """
    token = _FOLLOWED.set(True)
    try:
        yield
    finally:
        _FOLLOWED.reset(token)


def linked_items(
    group: Any, prefix: str = "", above: frozenset[Any] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """The items below a group by their names; of a link that is not followed, why it is not."""
    above |= {_identity(group)}
    for name in group:
        item = _followed(group, name)
        if item is None:
            continue
        yield f"{prefix}{name}", item
        # A link to a group above would go on without end.
        if isinstance(item, h5py.Group) and _identity(item) not in above:
            yield from linked_items(item, f"{prefix}{name}/", above)


def own_item(group: Any, path: str) -> Any:
    """What lies at a path within the file itself, None where there is nothing."""
    item = _resolved(group, path, [_MOST_LINKS])
    return None if isinstance(item, _Outside) else item


def elsewhere(dataset: Any) -> str:
    """Why the values of a dataset, which lie in another file, are not read; empty where they are.

    A virtual dataset is read within `following_links`, if all of its parts are there and hold their
    values themselves.
    """
    if dataset.external:
        return "has its values in another file, which truez does not read"
    if not dataset.is_virtual:
        return ""
    if not _FOLLOWED.get():
        return f"has its values in other datasets: {_REMEDY}"
    here = Path(dataset.file.filename)
    for source in dataset.virtual_sources():
        part = _in_file(_beside(here, Path(source.file_name)), source.dset_name)
        if part != "values":
            return f"has values in {source.file_name}, {_NOT_THERE}"
    return ""


_REMEDY = "--follow-links reads those of its folder"
_NOT_THERE = "which is no such dataset of a file of its folder"


def _identity(item: Any) -> tuple[str, int]:
    return item.file.filename, h5py.h5o.get_info(item.id).addr


def _followed(group: Any, name: str) -> Any:
    """The item of a name; why it is not followed; or None for a link that leads nowhere."""
    item = _resolved(group, name, [_MOST_LINKS])
    if not isinstance(item, _Outside):
        return item
    if not _FOLLOWED.get():
        return f"is a link into another file: {_REMEDY}"
    if not item.last or not _in_file(_beside(item.file, item.target), item.path):
        return f"is a link to {item.target}, {_NOT_THERE}"
    return group.get(name)


def _resolved(group: Any, path: str, left: list[int]) -> Any:
    """The item at a path, by soft links too; where it leads out of the file; None for nothing."""
    place = group.file["/"] if path.startswith("/") else group
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for number, part in enumerate(parts, 1):
        word = part.encode("utf-8", "surrogateescape")
        if not isinstance(place, h5py.Group) or not place.id.links.exists(word):
            return None
        kind = place.id.links.get_info(word).type
        if kind == h5py.h5l.TYPE_EXTERNAL:
            target, inner = (os.fsdecode(text) for text in place.id.links.get_val(word))
            return _Outside(Path(place.file.filename), Path(target), inner, number == len(parts))
        if kind == h5py.h5l.TYPE_SOFT:
            left[0] -= 1
            link = os.fsdecode(place.id.links.get_val(word))
            place = _resolved(place, link, left) if left[0] >= 0 else None
            if isinstance(place, _Outside):
                return replace(place, last=place.last and number == len(parts))
        else:
            place = place[part]
    return place


def _beside(here: Path, target: Path) -> Path | None:
    """The file that a relative path leads to from a file's folder, None where that is outside."""
    folder = here.resolve().parent
    if target == Path():  # the file itself
        return here
    place = (folder / target).resolve()
    inside = not target.is_absolute() and place.is_relative_to(folder) and place.is_file()
    return place if inside and h5py.is_hdf5(place) else None


def _in_file(place: Path | None, path: str) -> str:
    """Whether a file has ``values`` of its own at a path, a ``group``, or nothing."""
    if place is None:
        return ""
    with h5py.File(place, "r") as file:
        item = own_item(file, path)
        if isinstance(item, h5py.Group):
            return "group"
        own = isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual
        return "values" if own else ""
