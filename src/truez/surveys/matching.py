"""Which galaxies two surveys share, by identifiers or by positions on the sky.

Identifiers are compared exactly or refused: integers of any width and sign by their values, floats
only where all are whole numbers that no other number rounds to, text with text. A galaxy without an
identifier matches none: a masked value, text that is empty or says so, NaN, and a stand-in such as
-1 where its sample holds it more than once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from truez.mesh.sphere import check_directions, unit_vectors

#: Texts of a galaxy without an identifier, in lower case.
NO_TEXT = frozenset({"", "nan", "none", "null", "n/a", "na", "<na>", "nat", "--", "-"})


def _stand_ins() -> frozenset[int]:
    """Numbers that stand for a missing identifier where they are repeated."""
    nines = (10**digits - 1 for digits in range(1, 19))
    types = [np.iinfo(kind) for kind in ("i2", "i4", "i8", "u4", "u8")]
    lowest = (int(info.min) for info in types)
    highest = (int(info.max) for info in types[1:])
    return frozenset({0, -1, *(-n for n in nines), *lowest, *highest})


STAND_INS = _stand_ins()


class Matches(NamedTuple):
    """Galaxies of two samples that are the same.

    Parameters
    ----------
    rows : (n_s,) int64 array
        Row of each spectroscopic galaxy in the photometric sample, -1 if it is not there.
    spec_without_id, photo_without_id : int
        Galaxies of each sample whose identifier is missing.
    """

    rows: NDArray[np.int64]
    spec_without_id: int
    photo_without_id: int

    @property
    def num_both(self) -> int:
        """Galaxies in both samples."""
        return int(np.count_nonzero(self.rows >= 0))


def match_ids(
    spec_ids: NDArray[Any],
    photo_ids: NDArray[Any],
    *,
    column: str = "id",
    option: str = "match_id",
    samples: tuple[str, str] = ("spec", "photo"),
    remedy: str = "or choose overlap disjoint",
    part: bool = False,
) -> Matches:
    """Galaxies that are in both samples by their identifiers.

    Parameters
    ----------
    spec_ids, photo_ids : (n_s,), (n_p,) arrays
        Identifiers, equal for the same galaxy; masked where they are missing.
    column, option : str
        Name of their column, and of the option that chooses it, for messages.
    samples : two str
        Names of the two, for messages.
    remedy : str
        End of the message where no galaxy is in both.
    part : bool
        Whether they are of a part of a survey, in which there may be no galaxy in both.

    Raises
    ------
    ValueError
        If identifiers cannot be compared exactly, one names several galaxies of a sample, or no
        galaxy is in both.

    Examples
    --------
    >>> import numpy as np
    >>> match_ids(np.array([7, -1, -1]), np.array([5, 7, 9], dtype="u8"))
    Matches(rows=array([ 1, -1, -1]), spec_without_id=2, photo_without_id=0)
    """
    given = {"spec": np.ma.getdata(spec_ids), "photo": np.ma.getdata(photo_ids)}
    masks = {"spec": np.ma.getmaskarray(spec_ids), "photo": np.ma.getmaskarray(photo_ids)}
    names = dict(zip(given, samples, strict=True))
    keys, known = {}, {}
    for sample, ids in given.items():
        there = ~masks[sample]
        where = f"{option} {column!r} of {names[sample]}"
        if ids.dtype.kind in "USO":
            keys[sample], known[sample] = _text(ids, there, where)
        else:
            keys[sample], known[sample] = _whole(ids, there, where)
    kinds = {sample: "text" if key.dtype.kind == "U" else "number" for sample, key in keys.items()}
    if kinds["spec"] != kinds["photo"]:
        types = [f"{_type(ids)} in {names[sample]}" for sample, ids in given.items()]
        raise ValueError(
            f"{option} {column!r} is {' and '.join(types)}: write both as whole numbers or both as "
            "text"
        )
    for sample, key in keys.items():
        for value, times in _repeated(key[known[sample]]).items():
            if not _stands_in(value):
                raise ValueError(
                    f"{option} {column!r} of {names[sample]} must be unique, but {value!r} occurs "
                    f"{times} times: leave out repeated rows, or choose the column that names "
                    "each galaxy once"
                )
            known[sample] &= key != key.dtype.type(value)
    ours, theirs = (np.flatnonzero(known[sample]) for sample in ("spec", "photo"))
    place = _rows(keys["spec"][ours], keys["photo"][theirs])
    rows = np.full(len(keys["spec"]), -1, dtype=np.int64)
    rows[ours[place >= 0]] = theirs[place[place >= 0]]
    lost = {sample: len(found) - int(np.count_nonzero(found)) for sample, found in known.items()}
    result = Matches(rows, lost["spec"], lost["photo"])
    if result.num_both == 0 and not part:
        both = "surveys" if samples == ("spec", "photo") else " and ".join(samples)
        without = (
            f" ({lost['spec']} {samples[0]} and {lost['photo']} {samples[1]} galaxies have no id)"
            if any(lost.values())
            else ""
        )
        raise ValueError(
            f"no galaxy is named in both {both} by {option} {column!r}{without}: give the column "
            f"that names them alike, {remedy}"
        )
    return result


def match_rows(spec_ids: NDArray[Any], photo_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each spectroscopic galaxy in the photometric sample, -1 if not there; shape (n_s,).

    Parameters
    ----------
    spec_ids, photo_ids : (n_s,), (n_p,) arrays
        Names of the galaxies, of one type, equal for the same one and unique within each sample.
    """
    if len(photo_ids) == 0:
        return np.full(len(spec_ids), -1, dtype=np.int64)
    order = np.argsort(photo_ids, kind="stable")
    place = np.searchsorted(photo_ids, spec_ids, sorter=order)
    rows = order[np.minimum(place, len(order) - 1)]
    return np.where(photo_ids[rows] == spec_ids, rows, -1).astype(np.int64)


def count_overlap(num_spec: int, overlap: str | None) -> float:
    """Number of galaxies in both surveys, which the shot noise of their cross power depends on.

    Parameters
    ----------
    num_spec : int
        Galaxies of the spectroscopic sample.
    overlap : str
        "nested", "disjoint", or the fraction of spectroscopic galaxies that are in the photometric
        sample too.

    Raises
    ------
    ValueError
        If ``overlap`` is another value.
    """
    text = {"nested": "1", "disjoint": "0"}.get(str(overlap), str(overlap))
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ValueError(
            f"overlap must be nested, disjoint or a fraction from 0 to 1, not {overlap!r}"
        )
    return fraction * num_spec


def _text(
    ids: NDArray[Any], there: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Identifiers as text, and which of them there are; bytes are UTF-8."""
    if ids.dtype.kind != "U":
        words = [
            _word(value, where) if here else "" for value, here in zip(ids, there, strict=True)
        ]
        ids = np.array(words, dtype=np.str_)
    bare = np.char.strip(ids)
    short = np.flatnonzero(np.char.str_len(bare) <= max(map(len, NO_TEXT)))
    known = there.copy()
    known[short] &= ~np.isin(np.char.lower(bare[short]), list(NO_TEXT))
    return ids, known


def _word(value: Any, where: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(
                f"{where} holds bytes that are not UTF-8 text, {value!r}: write it as text or "
                "whole numbers"
            ) from None
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    raise ValueError(
        f"{where} must hold text alone, or whole numbers of 64 bits alone, but it holds {value!r} "
        f"of type {type(value).__name__}: write one type"
    )


def _whole(
    ids: NDArray[Any], there: NDArray[np.bool_], where: str
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Identifiers as integers, and which of them there are."""
    if ids.dtype.kind == "u":
        return ids.astype(np.uint64, copy=False), there.copy()
    if ids.dtype.kind == "i":
        return ids.astype(np.int64, copy=False), there.copy()
    if ids.dtype.kind != "f":
        raise ValueError(f"{where} must hold whole numbers or text, not {_type(ids)}")
    there = there & ~np.isnan(ids)
    digits = min(np.finfo(ids.dtype).nmant + 1, 53)
    wrong = there & ~((np.trunc(ids) == ids) & (np.abs(ids) < 2.0**digits))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{where} holds {ids.dtype} numbers, of which {ids[row]:.17g} in row {row} is not a "
            f"whole number below 2^{digits} and so does not name a galaxy exactly: write the ids "
            "as integers or text"
        )
    return np.where(there, ids, 0).astype(np.int64), there


def _type(ids: NDArray[Any]) -> str:
    """The type of a column in words."""
    return {"U": "text", "S": "text", "O": "text", "b": "booleans"}.get(
        ids.dtype.kind, str(ids.dtype)
    )


def _repeated(keys: NDArray[Any]) -> dict[Any, int]:
    """How often the identifiers that occur more than once do, the most frequent first."""
    values, times = np.unique(keys, return_counts=True)
    several = np.flatnonzero(times > 1)
    several = several[np.argsort(-times[several], kind="stable")]
    return {values[i].item(): int(times[i]) for i in several}


def _stands_in(value: int | str) -> bool:
    """Whether a repeated identifier marks a missing one."""
    if isinstance(value, int):
        return value in STAND_INS
    try:
        return int(value) in STAND_INS
    except ValueError:
        return False


def _rows(spec: NDArray[Any], photo: NDArray[Any]) -> NDArray[np.int64]:
    """`match_rows` of identifiers of one type, or of int64 beside uint64.

    numpy compares those two as floats; a number below 0 or beyond int64 is not in both.
    """
    if spec.dtype == photo.dtype or spec.dtype.kind == "U":
        return match_rows(spec, photo)
    ours, theirs = (
        np.flatnonzero(keys >= 0 if keys.dtype == np.int64 else keys <= np.iinfo(np.int64).max)
        for keys in (spec, photo)
    )
    place = match_rows(spec[ours].astype(np.int64), photo[theirs].astype(np.int64))
    rows = np.full(len(spec), -1, dtype=np.int64)
    rows[ours[place >= 0]] = theirs[place[place >= 0]]
    return rows


class PositionMatches(NamedTuple):
    """Galaxies of two samples that are at the same place on the sky.

    Parameters
    ----------
    rows : (n_s,) int64 array
        Row of each spectroscopic galaxy in the photometric sample, -1 if it is not there.
    separations : (n_s,) array
        Angle to it [arcsec]; NaN where there is none.
    by_chance : float
        Matches that unrelated galaxies would have by chance, from the spectroscopic galaxies moved
        to places around their own.
    """

    rows: NDArray[np.int64]
    separations: NDArray[np.float64]
    by_chance: float

    @property
    def num_both(self) -> int:
        """Galaxies in both samples."""
        return int(np.count_nonzero(self.rows >= 0))


def match_positions(
    spec_ra: ArrayLike, spec_dec: ArrayLike, photo_ra: ArrayLike, photo_dec: ArrayLike, *,
    radius: float, part: bool = False,
) -> PositionMatches:  # fmt: skip
    """Galaxies that are in both samples by their positions: mutual nearest neighbours.

    Parameters
    ----------
    spec_ra, spec_dec, photo_ra, photo_dec : (n_s,), (n_s,), (n_p,), (n_p,) arrays
        Directions of the galaxies of both [deg].
    radius : float
        Largest angle between a pair [arcsec].
    part : bool
        As of `match_ids`.

    Raises
    ------
    ValueError
        If the radius is not above 0 and at most 60 arcsec, positions are no degrees, or no galaxy
        is in both.

    Examples
    --------
    >>> found = match_positions([10.0, 20.0], [0.0, 0.0], [20.0001, 30.0], [0.0, 0.0], radius=1.0)
    >>> found.rows, found.separations.round(2)
    (array([-1,  0]), array([ nan, 0.36]))
    """
    _check_radius(radius)
    spec = check_directions(spec_ra, spec_dec, "ra and dec of spec")
    photo = check_directions(photo_ra, photo_dec, "ra and dec of photo")
    places, tree = unit_vectors(*spec), cKDTree(unit_vectors(*photo))
    rows, chords = _mutual(places, tree, radius)
    if not (part or (rows >= 0).any()):
        raise ValueError(
            f"no galaxy of both surveys is within match_radius = {radius:g} arcsec of another: "
            "correct the columns of the sky or their units, or choose overlap disjoint"
        )
    # Far enough that no galaxy meets its own counterpart, near enough for the same density.
    away = np.radians(max(5 * radius, 10.0) / 3600)
    north, moved = np.array([0.0, 0.0, 1.0]), []
    east = np.cross(north, places)
    east /= np.maximum(np.linalg.norm(east, axis=1, keepdims=True), 1e-12)
    for direction in (east, -east, np.cross(places, east), -np.cross(places, east)):
        shifted = places + away * direction
        shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
        moved.append(np.count_nonzero(_mutual(shifted, tree, radius)[0] >= 0))
    return PositionMatches(rows, np.degrees(chords) * 3600, float(np.mean(moved)))


def count_duplicates(ra: ArrayLike, dec: ArrayLike, *, radius: float = 1.0) -> int:
    """Galaxies of one catalogue that have another within an angle, such as in overlapping bricks.

    Parameters
    ----------
    ra, dec : (n,) arrays
        [deg].
    radius : float
        The angle [arcsec].

    Raises
    ------
    ValueError
        If the radius is not above 0 and at most 60 arcsec, or positions are no degrees.
    """
    _check_radius(radius)
    places = unit_vectors(*check_directions(ra, dec))
    if len(places) < 2:
        return 0
    chords, _ = cKDTree(places).query(places, k=2)
    return int(np.count_nonzero(chords[:, 1] <= np.radians(radius / 3600)))


def _check_radius(radius: float) -> None:
    if not 0 < radius <= 60:
        raise ValueError(f"match_radius must be above 0 and at most 60 arcsec, not {radius!r}")


def _mutual(
    places: NDArray[np.float64], tree: cKDTree, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest of the tree that have a place as their own nearest, and the chords; -1 and NaN."""
    # A chord is the angle to 1e-8 of it at one arcminute.
    limit = float(np.radians(radius / 3600))
    chords, rows = tree.query(places, distance_upper_bound=np.nextafter(limit, 1))
    found = np.flatnonzero(np.isfinite(chords))
    back = np.full(len(places), -1, dtype=np.int64)
    if len(found):
        _, nearest = cKDTree(places).query(tree.data[rows[found]])
        back[found] = nearest
    mutual = back == np.arange(len(places))
    return np.where(mutual, rows, -1).astype(np.int64), np.where(mutual, chords, np.nan)
