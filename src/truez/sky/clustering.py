"""Draws of the redshifts as catalogues for clustering codes, with the randoms that match them.

A folder holds ``draw_0.dat.fits``, ``draw_1.dat.fits``, ... and ``randoms.ran.fits``, tables as
those of DESI's large-scale structure catalogues (extension LSS):

==============  ====================================================================================
``TARGETID``    identifier of the galaxy, or its row in the photometric catalogue, from 0; the
                number of a random
``RA DEC``      [deg]
``Z``           redshift: drawn from the posterior, or known; of randoms from the expected N(z)
``WEIGHT``      galaxies that the row counts for; 1 for randoms
``NX``          expected density of galaxies there, completeness included [(h/Mpc)^3]
``WEIGHT_FKP``  1 / (1 + NX P0), apart from WEIGHT as in DESI's
==============  ====================================================================================

and ``clustering.json``, which describes them. Galaxies of the photometric survey are in a draw if
they take part and their drawn redshift is in that of the map. Randoms are what is expected of them
without any structure: as many per solid angle as the completeness allows (they are thinned, not
weighted), at redshifts of N(z) times the probability that a galaxy's photo-z is one of those that
have posteriors. Nothing of them is taken from the redshifts drawn.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import write_chunks
from truez.sky.drawn_density import DrawnDensity
from truez.sky.surveys import SkySurveys
from truez.support.checks import shown
from truez.support.files import atomic_folder
from truez.support.notes import Note
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: The file that shows that a folder is whole, what it says, and that of the randoms.
WHOLE, RANDOMS = "clustering.json", "randoms.ran.fits"
SAYS = f'"made_by": "{__name__}"'
#: Bytes of a row.
ROW = 56
#: Name of the tables, and units of their columns.
_TABLE, _UNITS = "LSS", {"RA": "deg", "DEC": "deg", "NX": "(h/Mpc)^3"}
#: Rows that are made at a time.
_ROWS = 2**20
#: Difference of N(z) of draws and randoms that is worth a note.
_UNUSUAL = 0.1
#: Second number of the seed, apart from those of the draws.
_SEED = 0x52414E


def draw_name(number: int) -> str:
    """Name of the file of a draw."""
    return f"draw_{number}.dat.fits"


def file_names(num_draws: int) -> list[str]:
    """Names of all files of a folder."""
    return [*(draw_name(number) for number in range(num_draws)), RANDOMS, WHOLE]


@dataclass(frozen=True)
class ClusteringSettings:
    """Settings of catalogues for clustering codes.

    Parameters
    ----------
    randoms_factor : float
        Randoms per galaxy of a draw.
    seed : int
        Of the randoms.
    fkp_power : float
        P0 of WEIGHT_FKP [(Mpc/h)^3].
    """

    randoms_factor: float = 20.0
    seed: int = 0
    fkp_power: float = 1e4

    def __post_init__(self) -> None:
        for name in ("randoms_factor", "fkp_power"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, not {shown(value)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")


@dataclass(frozen=True)
class ClusteringFiles:
    """What `write_clustering` wrote.

    Parameters
    ----------
    folder : Path
    galaxies : tuple of int
        Rows of each draw.
    randoms : int
        Rows of the randoms.
    ratio : tuple of float
        Sum of WEIGHT of each draw over that of the randoms.
    expected : float
        Galaxies that N(z) expects in a draw, weights counted.
    difference : float
        The largest difference of the shares below any redshift, draws less randoms.
    left_out : dict
        Galaxies that are in no draw, by the reason, and beyond the map by their draw, on average.
        Those taking no part are outside the footprint, without a photo-z, or cut.
    """

    folder: Path
    galaxies: tuple[int, ...]
    randoms: int
    ratio: tuple[float, ...]
    expected: float
    difference: float
    left_out: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        few, many = min(self.galaxies), max(self.galaxies)
        number = f"{few}" if few == many else f"{few} to {many}"
        low, high = min(self.ratio), max(self.ratio)
        ratio = f"{low:.5g}" if low == high else f"{low:.5g} to {high:.5g}"
        lost = ", ".join(f"{count:.0f} {why}" for why, count in self.left_out.items() if count)
        return (
            f"{len(self.galaxies)} draws of {number} galaxies, {self.randoms} randoms, sum of "
            f"weights over that of randoms {ratio}\n"
            f"  N(z) expects {self.expected:.0f} galaxies; shares below any redshift differ from "
            f"those of the draws by {100 * self.difference:.2g}% at most"
            + (f"\n  in no draw: {lost}" if lost else "")
        )


def write_clustering(
    path: str | Path,
    surveys: SkySurveys,
    draws: NDArray[np.floating[Any]],
    *,
    reach: tuple[float, float],
    settings: ClusteringSettings | None = None,
    ids: NDArray[np.int64] | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> ClusteringFiles:
    """Write draws of the redshifts as catalogues for clustering codes, with matching randoms.

    Parameters
    ----------
    path : str or Path
        Folder to write; its files are moved into place together.
    surveys : SkySurveys
        Those that were reconstructed.
    draws : (m, n_p) array
        Of `SkyReconstruction.draws`, or of `truez.sky.reconstruct.sharpen`.
    reach : (2,) floats
        ``result.layout.reach`` of the reconstruction, or ``reach`` of what `sharpen` returns.
    settings : ClusteringSettings, optional
    ids : (n_p,) int array, optional
        TARGETID of the photometric galaxies; their rows by default.
    metadata : mapping, optional
        What made the draws, for the headers.
    progress : Progress

    Returns
    -------
    ClusteringFiles

    Raises
    ------
    ValueError
        If draws are not of these surveys, or a draw has no galaxy in the range of the map.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import truez
    >>> from truez.sky.clustering import ClusteringSettings, write_clustering
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.1, 0.2, 4000)
    >>> photo = {"RA": rng.uniform(10, 20, z.size), "DEC": rng.uniform(-5, 5, z.size),
    ...          "Z": z + 0.01 * (1 + z) * rng.normal(size=z.size), "ID": np.arange(z.size)}
    >>> spec = {name: values[:400] for name, values in photo.items()} | {"Z": z[:400]}
    >>> surveys = truez.SkySurveys.from_catalogs(
    ...     spec=spec, photo=photo, footprint=(10, 20, -5, 5), sigma_z=0.01, match_id="ID",
    ... )
    >>> result = truez.reconstruct(surveys, "redistribution")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = write_clustering(
    ...         folder, surveys, result.draws(2, seed=1), reach=result.layout.reach,
    ...         settings=ClusteringSettings(randoms_factor=10, seed=1),
    ...     )
    >>> len(found.galaxies), bool(abs(np.mean(found.ratio) - 0.1) < 0.001)
    (2, True)
    """
    how = settings or ClusteringSettings()
    drawn = np.atleast_2d(np.asarray(draws))
    num = len(surveys.photo)
    if drawn.ndim != 2 or drawn.shape[1] != num or not len(drawn):
        raise ValueError(
            f"draws must hold a redshift of each of {num} galaxies, not have the shape "
            f"{np.shape(draws)}"
        )
    targets = np.arange(num) if ids is None else np.asarray(ids, np.int64)
    if targets.shape != (num,):
        raise ValueError(f"ids must be one for each of {num} galaxies, not {targets.shape}")
    expected = DrawnDensity(surveys, reach)
    chosen = [_rows(surveys, draw, number) for number, draw in enumerate(drawn)]
    num_randoms = max(round(how.randoms_factor * float(np.mean([len(rows) for rows in chosen]))), 1)
    weights = np.ones(num) if surveys.photo_weights is None else surveys.photo_weights
    sums = [float(weights[rows].sum()) for rows in chosen]
    found = ClusteringFiles(
        Path(path), tuple(len(rows) for rows in chosen), num_randoms,
        tuple(total / num_randoms for total in sums),
        float(np.diff(expected.below(surveys.redshift_range))[0]),
        _difference(expected, drawn, chosen, weights), _left_out(surveys, drawn, chosen),
    )  # fmt: skip
    if found.difference > _UNUSUAL:
        warnings.warn(
            f"N(z) of the randoms differs from that of the draws by {100 * found.difference:.0f}%: "
            "clustering on large scales is that of the difference, so give nz",
            Note, stacklevel=2,
        )  # fmt: skip
    about = {
        "made_by": __name__, "redshift_range": list(surveys.redshift_range),
        "photo_reach": list(reach), "P0": how.fkp_power,
        "targetid": "row of photo" if ids is None else "identifier",
        "redshift_space": surveys.redshift_space,
        "cosmology": surveys.cosmology.model_dump(), **(metadata or {}),
    }  # fmt: skip
    writer = _Writer(expected, how.fkp_power, about)
    with atomic_folder(path, last=WHOLE) as folder:
        for number, rows in enumerate(chosen):
            sky, z = surveys.photo, drawn[number]
            parts = np.split(rows, range(_ROWS, len(rows), _ROWS))
            columns = (
                (targets[some], sky.ra[some], sky.dec[some], z[some], weights[some])
                for some in parts
            )  # fmt: skip
            writer.write(folder / draw_name(number), columns, len(rows), {"draw": number})
            progress("draws", number + 1, len(chosen))
        made = _randoms(expected, num_randoms, how.seed, progress)
        writer.write(folder / RANDOMS, made, num_randoms, {"seed": how.seed})
        (folder / WHOLE).write_text(
            json.dumps(about | _summary(found), indent=1) + "\n", encoding="utf-8"
        )
    return found


def _rows(surveys: SkySurveys, drawn: NDArray[np.floating[Any]], number: int) -> NDArray[np.int64]:
    """Rows of the galaxies of a draw."""
    low, high = surveys.redshift_range
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(surveys.usable & (drawn >= low) & (drawn <= high))
    if not len(rows):
        raise ValueError(
            f"draw {number} has no galaxy at z = {low:.3g} to {high:.3g}: give draws of these "
            "surveys, or another redshift_range"
        )
    return rows


def _left_out(
    surveys: SkySurveys, drawn: NDArray[np.floating[Any]], chosen: list[NDArray[np.int64]]
) -> dict[str, float]:
    """Galaxies that are not in the draws, by the reason."""
    without = np.isnan(drawn[0])
    some = surveys.usable & ~without
    return {
        "taking no part": float((~surveys.usable).sum()),
        "without a posterior": float((surveys.usable & without).sum()),
        "drawn beyond the map, on average":
            float(some.sum()) - float(np.mean([len(rows) for rows in chosen])),
    }  # fmt: skip


def _difference(
    expected: DrawnDensity, drawn: NDArray[np.floating[Any]], chosen: list[NDArray[np.int64]],
    weights: Array,
) -> float:  # fmt: skip
    """The largest difference of the shares of the draws below any redshift from those expected."""
    edges = np.linspace(*expected.surveys.redshift_range, 201)
    counts = sum(
        np.histogram(draw[rows], edges, weights=weights[rows])[0]
        for draw, rows in zip(drawn, chosen, strict=True)
    )
    share = np.cumsum(counts) / np.sum(counts)
    model = expected.below(edges)[1:]
    return float(np.abs(share - model / model[-1]).max())


def _summary(found: ClusteringFiles) -> dict[str, Any]:
    draws = zip(found.galaxies, found.ratio, strict=True)
    return {
        "draws": [
            {"file": draw_name(number), "galaxies": galaxies, "weights_over_randoms": ratio}
            for number, (galaxies, ratio) in enumerate(draws)
        ],
        "randoms": {"file": RANDOMS, "number": found.randoms},
        "expected": found.expected, "nz_difference": found.difference, "left_out": found.left_out,
    }  # fmt: skip


def _randoms(
    expected: DrawnDensity, number: int, seed: int, progress: Progress
) -> Iterator[tuple[NDArray[np.int64], Array, Array, Array, Array]]:
    """Randoms in chunks: identifiers, directions, redshifts and weights."""
    generator = np.random.default_rng([seed, _SEED])
    for first in range(0, number, _ROWS):
        progress("randoms", first, number)
        some = min(_ROWS, number - first)
        yield first + np.arange(some), *expected.random(some, generator), np.ones(some)


@dataclass(frozen=True)
class _Writer:
    """Writes tables of galaxies or randoms with their expected density."""

    expected: DrawnDensity
    fkp_power: float
    about: dict[str, Any]

    def write(
        self,
        path: Path,
        parts: Iterator[tuple[NDArray[np.int64], Array, Array, Array, Array]],
        num: int,
        more: dict[str, Any],
    ) -> None:
        """Write chunks of identifiers, directions, redshifts and weights."""

        def chunks() -> Iterator[Catalog]:
            for targets, ra, dec, z, weights in parts:
                nx = self.expected.density(ra, dec, z)
                columns = {
                    "TARGETID": targets, "RA": ra, "DEC": dec, "Z": z, "WEIGHT": weights,
                    "NX": nx, "WEIGHT_FKP": 1 / (1 + nx * self.fkp_power),
                }  # fmt: skip
                plain = {
                    name: values.astype(np.int64 if name == "TARGETID" else np.float64, copy=False)
                    for name, values in columns.items()
                }
                yield Catalog(plain, _UNITS, self.about | more)

        write_chunks(path, chunks(), num_rows=num, table=_TABLE)
