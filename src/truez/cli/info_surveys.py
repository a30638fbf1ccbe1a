"""What ``truez info`` says of a catalogue with the names of a survey: the options to type."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from truez.cli.survey_names import KINDS, options_text, title
from truez.support.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from truez.surveys.names import Estimate, Found

#: Placeholders for files and values that the user must give.
_SPEC, _MASK, _PRIOR, _SIGMA = "SPEC", "MASK", "PRIOR", "SIGMA"
_Z_PHOT, _Z_SPEC, _Z_ERR = "PHOTO_Z", "REDSHIFT", "ERROR"
#: Names of photo-z, redshifts, errors of photo-z, and errors over 1 + z, in lower case.
_PHOTO_Z = r"z_?phot(o|_mean|_median|_best|_mode)?|photo_?z(_mean|_median|_best|_mode)?"
_SPEC_Z = r"z|z_?spec|spec_?z|redshift|z_?(helio|cmb|best)"
_ERROR = r"(z_?phot|photo_?z|z)_?(err|error|std|sigma)"
_OVER = r"sigma_?z"


def lines_of_surveys(
    path: str, columns: Sequence[str], survey: str, *, is_result: bool = False
) -> str:
    """The options of the surveys that a catalogue fits, their p(z), advised cuts and a command.

    Parameters
    ----------
    path : str
        The catalogue, as it was typed.
    columns : sequence of str
    survey : str
        As of --survey.
    is_result : bool
        Whether truez made its redshifts, so that only its p(z) are of use.
    """
    from pathlib import Path

    from truez.surveys.names import recognised, surveys_of

    tables = surveys_of(survey)
    kinds = () if is_result else KINDS
    known = [found for kind in kinds for found in recognised(columns, tables, kind)]
    texts = [line for found in known for line in _of_survey(path, found)]
    if not any(found.kind == "photometric" for found in known):
        texts += [
            f"p(z)  --pdf {_quoted(name)} --pdf-prior {_PRIOR}: {what}; the prior is flat, nz, "
            "stack or a FILE of z and n"
            for name, what in pdf_choices(path, columns).items()
        ]
        texts += [
            f"p(z)  truez photoz --pdf-after {_quoted(f'{path}#{name}')}: sharpened ones, {how} in "
            "a column, which no map takes"
            for name, how in nested_pdfs(Path(path)).items() if _are_sharpened(path, name)
        ]  # fmt: skip
    if not known and not is_result:
        texts += _of_places(path, columns)
    return "".join(f"\n{line}" for line in texts)


def _of_places(path: str, columns: Sequence[str]) -> Iterator[str]:
    """The options of a catalogue on the sky with names of no known survey."""
    from truez.catalogs.angles import place_columns

    places = ",".join(place_columns(columns))
    if not places:
        return
    name = _quoted(path)
    photo, spec, error, over = (
        next((column for column in columns if re.fullmatch(names, column.lower())), None)
        for names in (_PHOTO_Z, _SPEC_Z, _ERROR, _OVER)
    )
    yield "by its columns galaxies on the sky, with names of no survey that truez knows"
    if photo or not spec:
        both = f"--z-err-column {error or _Z_ERR}, or --sigma-z-column of an error over 1 + z"
        if over:
            both = f"--sigma-z-column {_quoted(over)}, or --z-err-column of an absolute error"
        place = _quoted(f"{places},{photo or _Z_PHOT}")
        yield f"  with photo-z  --photo {name} --photo-sky {place} {both}"
    if spec or not photo:
        yield f"  with spectra  --spec {name} --sky {_quoted(f'{places},{spec or _Z_SPEC}')}"


def pdf_choices(path: str, columns: Sequence[str]) -> dict[str, str]:
    """What --pdf can be of a catalogue, with what it is."""
    from pathlib import Path

    from truez.surveys.pdfs import quantile_columns, vector_columns

    found = {}
    for name, ends in quantile_columns(columns).items():
        shares = ", ".join(f"{100 * share:g}%" for share in ends.values())
        found[f"{path}#{name}"] = f"quantiles of {shares}"
    found |= {f"{path}#{name}": "a vector column" for name in vector_columns(columns)}
    nested = nested_pdfs(Path(path))
    return found | {
        f"{path}#{name}": f"{how} in a column" for name, how in nested.items()
        if not _are_sharpened(path, name)
    }  # fmt: skip


def _are_sharpened(path: str, name: str) -> bool:
    from truez.surveys.pdfs.reading import holds_sharpened

    return holds_sharpened(f"{path}#{name}")


def nested_pdfs(path: Path) -> dict[str, str]:
    """Layouts of the columns of lists of Parquet that hold p(z), by their names."""
    from truez.catalogs.formats.parquet import SUFFIXES
    from truez.support.tables import is_pattern, parquet_files
    from truez.surveys.pdfs import nested_columns

    if path.is_dir():
        path = next(iter(parquet_files(path)), path)
    if path.suffix.lower() not in SUFFIXES or is_pattern(path) or not path.is_file():
        return {}
    return nested_columns(path)


def _of_survey(path: str, found: Found) -> Iterator[str]:
    first = found.choices[0]
    for estimate in found.choices:
        settings = found.settings(estimate)
        if found.ids:
            settings["match_id"] = next(iter(found.ids.values()))
        yield f"names of {printable(title(found))}: {options_text(settings)}"
    for name, prior in _pdfs(path, found):
        assert found.sample.pdfs is not None
        place = ", in place of the error" if first.error else ""
        yield _row("p(z)", f"--pdf {name} --pdf-prior {prior}{place}", found.sample.pdfs.about,
                   found.sample.pdfs.source)  # fmt: skip
    option = "--photo-cut" if found.kind == "photometric" else "--spec-cut"
    for cut in found.cuts:
        yield _row("advised", f"{option} {_quoted(cut.cut)}", cut.keeps, cut.source)
    yield f"  command  {_command(path, found, first)}"


def _pdfs(path: str, found: Found) -> Iterator[tuple[str, str]]:
    """What --pdf and --pdf-prior can be for a catalogue of a survey."""
    pdfs = found.sample.pdfs
    if pdfs is None:
        return
    names = [f"{path}#{name}" for name in found.pdfs.values()]
    names += [name for name in pdf_choices(path, ()) if name not in names]
    if not names and not pdfs.columns:
        names = ["PDF.hdf5"]
    for name in names:
        yield _quoted(name), pdfs.prior or _PRIOR


def _row(name: str, options: str, about: str, source: str) -> str:
    return f"  {name:<8} {options}: {about}" + (f" ({source})" if source else "")


def _quoted(text: str) -> str:
    return printable(shlex.quote(text))


def _command(path: str, found: Found, estimate: Estimate) -> str:
    """A command line with the catalogue, in which what is missing stands in capitals."""
    settings = found.settings(estimate)
    if found.kind == "spectroscopic":
        first = f"--spec {_quoted(path)} --photo PHOTO {options_text(settings)}"
        first += f" --photo-sky RA,DEC,Z_PHOT --sigma-z {_SIGMA}"
    elif "spec_z_column" in settings:
        settings = {"sky": settings.pop("photo_sky"), **settings}
        first = f"--photo {_quoted(path)} {options_text(settings)}"
    else:
        first = f"--spec {_SPEC} --photo {_quoted(path)} --sky RA,DEC,Z {options_text(settings)}"
    if found.kind == "photometric" and not estimate.error:
        first += f" --sigma-z {_SIGMA}"
    match = ""
    if "spec_z_column" not in settings:
        ids = next(iter(found.ids.values()), None)
        match = " --match-radius 1" if ids is None else f" --match-id {_quoted(ids)}"
    return f"truez redshifts {first} --footprint {_MASK}{match} --out redshifts.fits"
