"""The slices of a run: which fields there are, and on which cells all of them lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from truez.evaluate.page.run_folder import RunFolder, Scores
from truez.evaluate.page.slices import SliceSet, cut_slices
from truez.evaluate.page.verdict import ranked
from truez.mesh.box import Box, Mesh, Region
from truez.mesh.field import Field
from truez.mesh.field_file import FieldError, FieldHeader, read_header
from truez.support.documents import DocumentError
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock


def run_slices(
    run: RunFolder, budget: float, missing: list[str], progress: Progress = silent
) -> SliceSet | None:
    """Slices of the fields of a run, of at most ``budget`` [bytes]; None where there is no truth.

    ``missing`` gets a sentence for each field that is left out.
    """
    headers: dict[str, FieldHeader] = {}
    for name, path in run.fields.items():
        try:
            headers[name] = read_header(path)
            if headers[name].kind == "delta":
                continue
            reason = f"it holds {headers.pop(name).kind}, not an overdensity"
        except (FieldError, DocumentError):
            reason = "it is not a field that truez wrote"
        missing.append(f"{path.name} is left out of the slices: {reason}.")
    reads: dict[str, Callable[[], Field]] = {}
    if run.surveys:
        reads |= {name: partial(Field.read, path) for name, path in run.surveys.items()}
        box = read_header(run.surveys["truth"]).box
        region: Region = (0, 0, 0), box.meshsize
    elif run.mock is not None:
        mock = Mock.read(run.mock)
        found = (header.resampler for header in headers.values())
        painted = mock.fields(next(filter(None, found), "cic"))
        fields = dict(zip(("truth", "photo", "spec"), painted, strict=True))
        # taken out, so that none stays in memory
        reads |= {name: partial(fields.pop, name) for name in fields}
        box, region = mock.box, mock.evaluation_region
        del mock, painted
    else:
        return None

    corners = dict.fromkeys(reads, (0, 0, 0))
    for name, header in headers.items():
        inner = header.box
        corner = _corner(inner, box)
        if corner is None:
            missing.append(f"{name} is left out of the slices: it lies on another box ({inner}).")
            continue
        overlap = _overlap(region, corner, inner.meshsize)
        if overlap is None:
            missing.append(f"{name} is left out of the slices: it shares no cell with the others.")
            continue
        region, corners[name], reads[name] = overlap, corner, partial(Field.read, run.fields[name])

    def part(name: str) -> Field:
        cut = [[a - c for a, c in zip(end, corners[name], strict=True)] for end in region]
        return reads[name]().crop(*cut)

    parts = {name: partial(part, name) for name in in_order(reads, run.scores)}
    return cut_slices(parts, budget=budget, progress=progress)


def in_order(fields: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    """The truth, the reconstructions, the one of lowest error first, and the surveys."""
    judged = [name for name in ranked(scores) if name in fields]
    ends = ("truth", "spec", "photo")
    others = [name for name in fields if name not in (*ends, *judged)]
    return {name: fields[name] for name in ("truth", *judged, *others, "spec", "photo")}


def _corner(box: Box, whole: Box) -> Mesh | None:
    """The first cell of ``box`` on the mesh of ``whole``, or None where it is no part of it."""
    corner = []
    for axis in range(3):
        cell = whole.cellsize[axis]
        place = (box.lower[axis] - whole.lower[axis]) / cell
        first = round(place)
        fits = abs(place - first) < 1e-3 and abs(box.cellsize[axis] / cell - 1) < 1e-6
        if not fits or first < 0 or first + box.meshsize[axis] > whole.meshsize[axis]:
            return None
        corner.append(first)
    return corner[0], corner[1], corner[2]


def _overlap(region: Region, corner: Mesh, meshsize: Mesh) -> Region | None:
    """The cells of ``region`` that a field of ``meshsize`` cells at ``corner`` has too."""
    start = [max(a, c) for a, c in zip(region[0], corner, strict=True)]
    stop = [min(b, c + n) for b, c, n in zip(region[1], corner, meshsize, strict=True)]
    if any(b <= a for a, b in zip(start, stop, strict=True)):
        return None
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
