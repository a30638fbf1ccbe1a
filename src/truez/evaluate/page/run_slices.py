"""The slices of a run: which fields there are, on which cells, and what the page shows of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq

from truez.evaluate.labels import SURVEYS, sentence
from truez.evaluate.page.run_folder import RunFolder, Scores
from truez.evaluate.page.slices_data import SliceSet, bar, plan_slices, ticks
from truez.evaluate.verdict import ranked
from truez.mesh.box import Box, Mesh, Region
from truez.mesh.field import Field
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock, MockConfig


@dataclass(frozen=True)
class Viewer:
    """What the page needs to show slices.

    Parameters
    ----------
    data : str
        JSON for the script.
    names : dict of field to str
        What the fields are called, in the order of the panels.
    reconstructions : tuple of str
        The best one first; it is the one shown.
    first : dict of field to str
        The slab in the middle as PNG, base64.
    aspect : float
        Width over height of those.
    bar : str
        The colour bar as data URI.
    ticks : mapping of str to float
        Its labels and their places, 0 to 1.
    words : str
        What was averaged, joined and left out.
    where : str
        The box shown.
    """

    data: str
    names: dict[str, str]
    reconstructions: tuple[str, ...]
    first: dict[str, str]
    aspect: float
    bar: str
    ticks: Mapping[str, float]
    words: str
    where: str

    @property
    def chosen(self) -> str | None:
        """The reconstruction that is shown first."""
        return self.reconstructions[0] if self.reconstructions else None


def run_slices(
    run: RunFolder, budget: float, missing: list[str], progress: Progress = silent
) -> Viewer | None:
    """Cut the fields of a run into slices.

    Parameters
    ----------
    run : RunFolder
    budget : float
        Size that the slices may have [bytes].
    missing : list of str
        Gets a sentence for each field that is left out.
    progress : Progress

    Returns
    -------
    Viewer or None
        None where there is no truth.
    """
    headers = {}
    for name, path in run.fields.items():
        try:
            headers[name] = _header(path)
        except ValueError as error:
            missing.append(f"{path.name} is left out of the slices: {error}.")
    sources: dict[str, Callable[[], Field]]
    if run.surveys:
        sources = {name: _reader(path) for name, path in run.surveys.items()}
        box, _ = _header(run.surveys["truth"])
        region: Region = (0, 0, 0), box.meshsize
    elif run.mock is not None:
        mock = Mock.read(run.mock)
        resampler = next((found for _, found in headers.values() if found), "cic")
        painted = dict(zip(("truth", "photo", "spec"), mock.fields(resampler), strict=True))
        sources = {name: _taker(painted, name) for name in painted}
        box, region = mock.box, mock.evaluation_region
        del mock
    else:
        return None

    corners: dict[str, Mesh] = {}
    for name, (inner, _) in headers.items():
        corner = _corner(inner, box)
        if corner is None:
            missing.append(f"{name} is left out of the slices: it lies on another box ({inner}).")
            continue
        overlap = _overlap(region, corner, inner.meshsize)
        if overlap is None:
            missing.append(f"{name} is left out of the slices: it shares no cell with the others.")
            continue
        corners[name], region = corner, overlap
        sources[name] = _reader(run.fields[name])

    names = ["truth", *_in_order(run.scores, corners), "spec", "photo"]
    made = None
    for done, name in enumerate(names):
        progress("slices", done, len(names), name)
        corner = corners.get(name, (0, 0, 0))
        start, stop = ([a - c for a, c in zip(end, corner, strict=True)] for end in region)
        values = sources.pop(name)().crop(start, stop)
        if made is None:
            made = plan_slices(values, num_fields=len(names), budget=budget)
        made.add(name, values)
    progress("slices", len(names), len(names))
    assert made is not None
    return _viewer(made.fitted(budget), box.crop(*region))


def _viewer(made: SliceSet, box: Box) -> Viewer:
    first = made.views[0]
    text = json.dumps(made.to_dict(), separators=(",", ":"))
    return Viewer(
        data=text.replace("<", "\\u003c"),
        names={name: sentence(name) for name in made.names},
        reconstructions=tuple(name for name in made.names if name not in (*SURVEYS, "truth")),
        first={name: made.still(first.name, name) for name in made.names},
        aspect=box.boxsize[first.across] / box.boxsize[first.up],
        bar=png_uri(bar()),
        ticks=ticks(made.limits),
        words=made.words,
        where=str(box),
    )


def png_uri(text: str) -> str:
    """The data URI of a PNG in base64."""
    return "data:image/png;base64," + text


def _reader(path: Path) -> Callable[[], Field]:
    return lambda: Field.read(path)


def _taker(fields: dict[str, Field], name: str) -> Callable[[], Field]:
    # taken out, so that it does not stay in memory
    return lambda: fields.pop(name)


def _in_order(scores: Scores, names: Mapping[str, Any]) -> list[str]:
    """Reconstructions, the one with the lowest error first."""
    judged = ranked({name: scores[name] for name in scores if name in names})
    return [*judged, *(name for name in names if name not in judged)]


def _header(path: Path) -> tuple[Box, str | None]:
    """Box and resampler of a field file, without its values."""
    try:
        with h5py.File(path, "r") as file:
            attributes = file["values"].attrs
            names = ("boxsize", "meshsize", "boxcenter", "periodic")
            box = Box(**{name: attributes[name] for name in names})
            kind, metadata = str(attributes["kind"]), json.loads(attributes["metadata"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError("it is not a field that truez wrote") from error
    if kind != "delta":
        raise ValueError(f"it holds {kind}, not an overdensity")
    return box, metadata.get("resampler")


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


def observed(run: RunFolder) -> str | None:
    """The two surveys of the box in words, from the files of the mock but not its galaxies."""
    if run.mock is None:
        return None
    path = run.mock / "mock.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        config, box = MockConfig(**content["mock"]), Box(**content["box"])
        catalogue = content["source"].get("catalogue", "a simulation")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what truez mock writes: make the mock again") from error
    photo, spec = (
        pq.read_metadata(run.mock / f"{name}.parquet").num_rows for name in ("photo", "spec")
    )
    return (
        f"Two surveys of {catalogue} in {'redshift' if config.redshift_space else 'real'} space "
        f"at redshift {config.redshift:g}, in a box of {box}. The photometric one holds "
        f"{photo:,} galaxies ({photo / box.volume:.3g} (h/Mpc)³) with a redshift error of "
        f"{config.sigma_z:g} (1 + z), {config.error.sigma:.3g} Mpc/h along the line of sight; the "
        f"spectroscopic one {spec:,} ({spec / box.volume:.3g} (h/Mpc)³) with exact redshifts. "
        "The truth is the photometric sample at its exact redshifts."
    )
