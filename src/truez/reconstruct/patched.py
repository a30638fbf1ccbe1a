"""Reconstruction of a box in patches, for one that is larger than the memory.

Every patch is a box of its own with the galaxies in it (`truez.surveys.part`), reconstructed by the
method as any other box is, but for what all patches share: the mean densities, the linear model of
the whole box, and what is found from the photo-z of a first patch (the strength of pairs, the
amplitude). So a patch depends on nothing but itself and what is shared, in whatever order they are
made. Cores are kept, and joined in the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.mesh.field_file import field_suffix
from truez.mesh.memory import VALUE, check_mesh
from truez.reconstruct import METHODS, PATCH_METHODS, Choice, choose, prepared
from truez.reconstruct.joined_field import join_fields
from truez.reconstruct.patch_store import PatchStore, digest
from truez.reconstruct.patches import MARGIN, BoxPatch, first_patch, patches_of
from truez.reconstruct.result import Reconstruction
from truez.reconstruct.settings import OwnPlaceSettings, Run, Shared
from truez.reconstruct.whole_box import found_of, whole_model, whole_of, with_fitted_error
from truez.sightlines.intensity import Intensity
from truez.sightlines.joined import COLUMNS, JoinedRedshifts
from truez.sightlines.redistribution import kernel_of, movable
from truez.sightlines.sharpened import check_interval, sharpen
from truez.support.checks import check_type
from truez.support.disk import check_disk
from truez.support.memory import release_memory
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.support.spill import Spill
from truez.surveys.part import Rows, part_of
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import cells_of


@dataclass(frozen=True)
class PatchSides:
    """How a box is cut across the sky.

    Parameters
    ----------
    side : float
        Largest side of a core [Mpc/h].
    margin : float
        Around it, at least [Mpc/h].
    """

    side: float
    margin: float = MARGIN


def reconstruct_in_patches(
    surveys: Surveys,
    method: str | None = None,
    *,
    path: str | Path,
    patches: PatchSides,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **settings: Any,
) -> dict[str, Any]:
    """Estimate the field of `truez.reconstruct` patch by patch, into a file.

    Beside the file is the folder of the patches that are done (`PATH.patches`), until all are: the
    same call goes on where another was stopped.

    Parameters
    ----------
    surveys : Surveys
        Even ones.
    method : str, optional
        One of `PATCH_METHODS`; by default as of `truez.reconstruct`.
    path : str or Path
        HDF5 file to write, in the layout of `truez.mesh.field`.
    patches : PatchSides
    device, progress, **settings
        As of `truez.reconstruct`.

    Returns
    -------
    dict
        The metadata of the field.

    Raises
    ------
    ValueError
        As `truez.reconstruct`; if the surveys are uneven, the method is another, a patch does not
        fit into the memory, or the patches that are there are of another run.

    Examples
    --------
    >>> import tempfile, truez
    >>> from truez.reconstruct.patched import PatchSides, reconstruct_in_patches
    >>> galaxies = truez.lognormal_galaxies(
    ...     truez.Box((512, 128, 256), cellsize=8), "planck18", redshift=0.6, density=3e-3,
    ...     bias=1.5, seed=1,
    ... )
    >>> mock = galaxies.observe(spec_density=1e-3, sigma_z=0.01, cellsize=8, seed=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/field.h5"
    ...     about = reconstruct_in_patches(
    ...         mock.surveys, "redistribution", path=path, patches=PatchSides(128)
    ...     )
    ...     about["patches"]["number"], truez.Field.read(path).shape
    (4, (64, 16, 32))
    """
    if field_suffix(path) == ".fits":
        raise ValueError(f"a field in patches is written to .h5, not {path}")
    work = _Work.of(surveys, method, patches, device, settings)
    meshes = work.meshes
    check_disk(2 * VALUE * meshes * surveys.box.num_cells, path, more=", with its patches,")
    store = PatchStore.beside(path)

    def core(patch: BoxPatch, made: Reconstruction, _rows: Rows) -> Any:
        return _cores(patch, made), _about(made)

    for _ in work.run(store, "field", core, progress):
        pass
    metadata = work.metadata(store)
    join_fields(path, surveys.box, work.patches, store, metadata, progress=progress)
    store.remove()
    return metadata


def sharpen_in_patches(
    surveys: Surveys,
    method: str | None = None,
    *,
    path: str | Path,
    patches: PatchSides,
    interval: float = 0.68,
    spill: Spill | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **settings: Any,
) -> tuple[JoinedRedshifts, dict[str, Any], PatchStore]:
    """Sharpened redshifts of the photometric galaxies, patch by patch.

    Parameters
    ----------
    surveys, method, patches, device, progress, **settings
        As of `reconstruct_in_patches`.
    path : str or Path
        The catalogue that is written with them, beside which the folder of the patches is.
    interval : float
        Share of the posterior between ``lower`` and ``upper``.
    spill : Spill, optional
        Where they wait, by default in memory: 24 bytes for each galaxy.

    Returns
    -------
    JoinedRedshifts
        For `truez.sightlines.catalog.write_sharpened`.
    dict
        Metadata.
    PatchStore
        To be removed once the catalogue is written.
    """
    check_interval(interval)
    work = _Work.of(surveys, method, patches, device, settings)
    store = PatchStore.beside(path)

    def core(patch: BoxPatch, made: Reconstruction, rows: Rows) -> Any:
        assert made.surveys is not None
        found = sharpen(made.surveys, Intensity.of(made, patch.box), interval=interval)
        own = _in_core(surveys, rows, patch)
        values = np.stack([getattr(found, name)[own] for name in COLUMNS], axis=1)
        return {"rows": rows[own], "values": values.astype(np.float32)}, _about(made)

    joined = JoinedRedshifts.empty(surveys, interval, Spill() if spill is None else spill)
    for _ in work.run(store, f"redshifts, interval {interval!r}", core, progress):
        pass
    for patch in work.patches:
        arrays, _ = store.read(patch.number)
        joined.add(arrays["rows"], arrays["values"])
    return joined, work.metadata(store), store


@dataclass(frozen=True, eq=False)
class _Work:
    """A method with its settings on the patches of surveys."""

    surveys: Surveys
    choice: Choice
    settings: Mapping[str, Any]
    sides: PatchSides
    patches: list[BoxPatch]
    device: torch.device | str

    @classmethod
    def of(
        cls, surveys: Surveys, method: str | None, sides: PatchSides, device: torch.device | str,
        settings: Mapping[str, Any],
    ) -> _Work:  # fmt: skip
        check_type(surveys, Surveys, "surveys", "truez.Surveys.from_catalogs(...)")
        if not surveys.even:
            raise ValueError(
                f"patch is for even surveys, and these have {surveys.uneven_words}: leave patch out"
            )
        patches = patches_of(surveys.box, sides.side, sides.margin)
        first = first_patch(patches)
        part, _ = part_of(surveys, first.box, whole_of(surveys))
        choice = Choice(method) if method is not None else choose(part, device=device, **settings)
        if choice.method not in PATCH_METHODS:
            raise ValueError(
                f"method {choice.method} is not for a box in patches: choose one of "
                f"{', '.join(PATCH_METHODS)}, or leave patch out"
            )
        cell = METHODS[choice.method].cell
        check_mesh(first.box, cell, remedy=f"give patch below {sides.side:g} Mpc/h")
        prepared(first.box, choice.method, settings, Run(device))
        return cls(surveys, choice, dict(settings), sides, patches, device)

    @property
    def how(self) -> Any:
        """The settings of the method."""
        return METHODS[self.choice.method].settings(**self.settings)

    @property
    def meshes(self) -> int:
        """Meshes of the box that the field takes on a disk."""
        how = self.how
        if not isinstance(how, OwnPlaceSettings):
            return 1
        return how.cells_across(self.surveys.box) ** 2 + 2

    def plan(self, kind: str) -> dict[str, Any]:
        """What a run goes on with only where it is the same."""
        surveys, weights = self.surveys, self.settings.get("weights")
        settings = {n: str(v) if isinstance(v, Path) else v for n, v in asdict(self.how).items()}
        if weights is not None:
            settings["weights"] = digest([np.frombuffer(Path(weights).read_bytes(), np.uint8)])
        galaxies = digest([surveys.spec, surveys.photo, surveys.matched])
        return {
            "kind": kind, "method": self.choice.method, "settings": settings,
            "patches": asdict(self.sides), "box": surveys.box.to_dict(),
            "surveys": {n: v for n, v in surveys.describe().items() if _is_plain(v)},
            "galaxies": galaxies, "version": versions()["truez"],
        }  # fmt: skip

    def run(
        self, store: PatchStore, kind: str, core: Callable[..., Any], progress: Progress
    ) -> Iterator[int]:
        """Make the patches that a store has not, the first one first; yields their numbers.

        ``core`` returns the arrays of a patch that are kept, and plain values about it.
        """
        store.begin(self.plan(kind))
        shared, how = store.shared, self.how
        if shared is None:
            model = whole_model(
                self.surveys, store.folder / "whole", resampler=how.resampler,
                fit_sigma=getattr(how, "fit_sigma", False), progress=progress,
            )  # fmt: skip
            shared = Shared(model)
            store.share(shared)
        surveys = self.surveys
        if getattr(how, "fit_sigma", False):
            surveys = with_fitted_error(surveys, shared.model)
        whole, first = whole_of(surveys), first_patch(self.patches)
        order = [first, *(patch for patch in self.patches if patch is not first)]
        for done, patch in enumerate(order):
            progress("patches", done, len(order))
            if store.has(patch.number) and shared.found is not None:
                continue
            part, rows = part_of(surveys, patch.box, whole)
            made = self._made(part, shared, progress)
            if shared.found is None:
                shared = replace(shared, found=found_of(made.metadata))
                store.share(shared)
            store.write(patch.number, *core(patch, made, rows))
            del made, part
            release_memory()
            yield patch.number
        progress("patches", len(order), len(order))

    def _made(self, part: Surveys, shared: Shared, progress: Progress) -> Reconstruction:
        run = Run(self.device, progress, shared)
        made = prepared(part.box, self.choice.method, self.settings, run)(part)
        return replace(made, surveys=made.surveys or part)

    def metadata(self, store: PatchStore) -> dict[str, Any]:
        """Those of the whole, once all patches are there."""
        shared, surveys = store.shared, self.surveys
        assert shared is not None
        first = first_patch(self.patches)
        abouts = {patch: store.read(patch.number)[1] for patch in self.patches}
        result = dict(abouts[first])
        cells = {
            patch: math.prod(b - a for a, b in zip(patch.start, patch.stop, strict=True))
            for patch in self.patches
        }
        for name in ("floor_fraction", "sigma", "sigma_given_intensity"):
            if name in result:
                power = 1 if name == "floor_fraction" else 2
                mean = sum(n * abouts[patch][name] ** power for patch, n in cells.items())
                result[name] = (mean / sum(cells.values())) ** (1 / power)
        result |= _numbers(surveys, "intensity" if "floor_fraction" in result else "")
        kept = {"number": len(self.patches), **asdict(self.sides)}
        return {
            **surveys.describe(), **result, "method": self.choice.method,
            **self.choice.metadata, "patches": kept, "resampler": self.how.resampler,
            "versions": versions(),
        }  # fmt: skip


def _numbers(surveys: Surveys, moves: str) -> dict[str, int]:
    """Galaxies at known places, and those that are left out, of the whole box."""
    inside = surveys.photo_inside()
    if not moves:
        return {"num_photo_outside": len(inside) - int(inside.sum())}
    matched = 0 if surveys.matched is None else int(np.count_nonzero(surveys.matched >= 0))
    moved = int(np.count_nonzero(movable(surveys, kernel_of(surveys))))
    return {"num_matched": matched, "num_photo_outside": len(surveys.photo) - matched - moved}


def _about(made: Reconstruction) -> dict[str, Any]:
    return dict(made.delta.metadata)


def _cores(patch: BoxPatch, made: Reconstruction) -> dict[str, NDArray[np.float32]]:
    """The meshes of a patch in its core."""
    meshes = {"values": made.delta.values, "sigma": made.sigma, "intensity": made.intensity}
    result = {}
    for name, mesh in meshes.items():
        if mesh is None:
            continue
        factors = [n // m for n, m in zip(mesh.shape[:2], patch.box.meshsize, strict=False)]
        x, y = (
            slice(part.start * k, part.stop * k)
            for part, k in zip(patch.core, factors, strict=True)
        )
        result[name] = mesh[x, y].numpy()
    return result


def _in_core(surveys: Surveys, rows: Rows, patch: BoxPatch) -> NDArray[np.bool_]:
    """Which photometric galaxies of some rows are in the core of a patch."""
    x, y, _ = cells_of(surveys.photo[rows], surveys.box)
    (first, last), (low, high) = ((part.start, part.stop) for part in patch.place)
    return np.asarray((x >= first) & (x < last) & (y >= low) & (y < high))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | dict | list | None)
