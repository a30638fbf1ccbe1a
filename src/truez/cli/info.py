"""``truez info``: the contents of a file or folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli.options import COORDINATES, existing, option
from truez.cli.survey_names import check_survey
from truez.support.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


#: Components of a vector column that are shown one by one.
_SHOWN = 6
#: Characters of a setting in a file's metadata that are printed.
_LONGEST = 600
#: The lines of this command, and what its own words hold; texts of files are escaped before.
_KEPT = "\n\N{NO-BREAK SPACE}"


def info(
    path: Annotated[
        str,
        typer.Argument(
            help="A run, mock or training folder; a file of a field, maps, weights or results; a "
            "catalogue, mask, randoms, N(z) or p(z).",
            **existing("file or folder", folder=None),
        ),
    ],
    survey: Annotated[
        str, option(COORDINATES, "Names of surveys to look for: auto, names, or a FILE.toml.")
    ] = "auto",
) -> None:
    """Describe a file or folder: a run, a mock, a field, maps, weights, a catalogue, a mask.

    Also the folders that `truez train` and `truez evaluate` write, randoms, N(z) and p(z). The
    options that take a file are printed, and of a catalogue with the names of a survey those that
    `--survey` fills in. Examples:

    `truez info truez-paper-small`

    `truez info truez-paper-small/training/best.safetensors`
    """
    from pathlib import Path

    from truez.cli import info_inputs
    from truez.support.tables import is_pattern, split_table
    from truez.surveys.pdfs.ancil import qp_tables

    target = Path(path)
    check_survey(survey)
    if is_pattern(split_table(path)[0]):
        text = _catalog(target, survey)
    elif target.is_dir():
        parquet = target.suffix == ".parquet"
        text = info_inputs.mask(path) or (_catalog(target, survey) if parquet else _folder(target))
    elif target.suffix == ".safetensors":
        text = _weights(target)
    elif qp_tables(target) is not None:
        text = info_inputs.pdfs(path) or ""
    else:
        text = (
            _field(target)
            or _sky_file(target)
            or _result(target)
            or info_inputs.mask(path)
            or info_inputs.pdfs(path)
            or _catalog(target, survey)
        )
    typer.echo(printable(f"{printable(path)}: {text}", keep=_KEPT))


# --- folders --------------------------------------------------------------------------------------


def _folder(path: Path) -> str:
    if (path / "run.toml").is_file():
        return _run(path)
    if (path / "mock.toml").is_file():
        return _mock(path)
    if (path / "losses.csv").is_file():
        return _training(path)
    if (path / "metrics.json").is_file():
        return _evaluation(path)
    raise ValueError(
        f"{path} is not a folder that truez wrote: it has no run.toml (truez paper), mock.toml "
        "(truez mock), losses.csv (truez train) or metrics.json (truez evaluate)"
    )


def _run(path: Path) -> str:
    from truez.evaluate.page.run_folder import RunFolder
    from truez.evaluate.page.verdict import verdict
    from truez.evaluate.page.words import duration, observed

    run = RunFolder.read(path)
    seconds = sum(float(stage.get("seconds") or 0) for stage in run.stages)
    memory = max((float(stage.get("peak_memory") or 0) for stage in run.stages), default=0.0)
    versions = run.config.get("versions", {})
    made = ", ".join(printable(f"{name} {version}") for name, version in versions.items())
    done = sum(stage.get("finished") is not False for stage in run.stages)
    rows = [
        ("stages", f"{done} done in {duration(seconds)}, up to {memory / 1e9:.3g} GB"),
        ("fields", ", ".join(run.fields) or "none"),
        ("made by", made or "unknown versions"),
    ]
    words = [
        f"a run of the recipe {printable(str(run.about.get('recipe', 'of an unknown name')))}",
        *(f"  {name:<8} {text}" for name, text in rows),
        *filter(None, [observed(run.mock)]),
        *(printable(str(note)) for note in run.about.get("notes", [])),
        verdict(run.scores),
        *(f"not there: {sentence}" for sentence in run.missing),
    ]
    return "\n".join(words)


def _mock(path: Path) -> str:
    from truez.cli import info_sky
    from truez.sky.mock import is_sky_mock
    from truez.surveys.mock import Mock

    if is_sky_mock(path):
        return info_sky.mock(path)
    mock = Mock.read(path)
    try:
        parts = mock.regions
    except ValueError as error:
        return f"{mock}\nregions\n  none: {error}"
    regions = "".join(
        f"\n  {name:<11}cells {start[0]} to {stop[0]} of the first axis, "
        f"{start[2]} to {stop[2]} along the line of sight"
        for name, (start, stop) in parts.items()
    )
    return f"{mock}\nregions{regions}"


def _training(path: Path) -> str:
    import numpy as np

    from truez.evaluate.figures.losses import read_losses

    columns = read_losses(path / "losses.csv")
    step, losses = columns["step"], columns["validation"]
    text = f"a training run of {step[-1]:.0f} steps"
    if np.isfinite(losses).any():
        best = int(np.nanargmin(losses))
        text += f", lowest validation loss {losses[best]:.4g} at step {step[best]:.0f}"
    weights = path / "best.safetensors"
    if not weights.is_file():
        return f"{text}\nit has no best.safetensors: no weights have been chosen yet"
    return f"{text}\nbest.safetensors: {_weights(weights)}"


def _evaluation(path: Path) -> str:
    from truez.evaluate.page.run_folder import RunFolder
    from truez.evaluate.page.verdict import ranked, verdict
    from truez.support.documents import read_json

    found = read_json(path / "metrics.json", remedy="make it again")
    if isinstance(found, dict) and {"all", "counts", "about"} <= set(found):
        return f"redshifts before and after, by truez photoz: {path / 'index.html'} is their page"
    scores = RunFolder.read(path).scores
    if not ranked(scores):
        names = printable(", ".join(found))
        return f"an evaluation on the sky of {names}: {path / 'index.html'} is its page"
    return f"an evaluation of {printable(', '.join(scores))}\n{printable(verdict(scores))}"


# --- files ----------------------------------------------------------------------------------------


def _weights(path: Path) -> str:
    import json

    from truez.networks.weights import read_header

    header = read_header(path)
    survey = header.survey

    def span(values: tuple[float, float]) -> str:
        low, high = values
        return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"

    cells = f"{' x '.join(f'{side:.5g}' for side in header.cellsize)} Mpc/h"
    if survey.cellsize is not None:
        along = span(survey.along or survey.cellsize)
        cells = f"{span(survey.cellsize)} Mpc/h across the sky, {along} along it"

    spaces = {True: "redshift", False: "real", "both": "redshift and real"}
    return (
        f"weights of a {printable(header.architecture)} network\n"
        f"  inputs   {printable(', '.join(header.inputs))}\n"
        f"  output   {printable(header.output)}\n"
        f"  cells    {cells}, line of sight {header.los}\n"
        f"  radius   {header.receptive_radius} cells, stride {header.stride}\n"
        f"  photo-z  sigma {span(survey.sigma)} Mpc/h"
        f"{'' if survey.redshift is None else f', redshift {span(survey.redshift)}'}\n"
        f"  spec     {span(survey.spec_density)} (h/Mpc)^3\n"
        f"  photo    {span(survey.photo_density)} (h/Mpc)^3\n"
        f"  overlap  {span(survey.overlap)} of spec in photo, outliers "
        f"{span(survey.outlier_fraction)}\n"
        f"  painted  {survey.resampler}, "
        f"{spaces[survey.redshift_space]} space\n"
        f"  settings {json.dumps(header.config)}"
        f"{_made_by(header.provenance)}"
    )


def _field(path: Path) -> str | None:
    """None where the file is no field."""
    from truez.mesh.field import Field
    from truez.mesh.field_file import SUFFIXES, NoFieldError
    from truez.mesh.samples_file import StoredSamples, num_samples

    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        field = Field.read(path)
    except NoFieldError:
        return None
    samples = ""
    if num_samples(path):
        stored = StoredSamples(path)
        samples = f"\n  samples  {len(stored)} of seed {stored.seed}, for truez spectrum --samples"
    values = field.values.double()
    unit = {"counts": "galaxies per cell", "density": "(h/Mpc)^3", "delta": "n / n_mean - 1"}
    return (
        f"a field of kind {field.kind}, {unit[field.kind]}\n"
        f"  box      {field.box}\n"
        f"  values   mean {float(values.mean()):.5g}, "
        f"standard deviation {float(values.std()):.5g}, "
        f"from {float(values.min()):.5g} to {float(values.max()):.5g}{samples}"
        f"{_made_by(field.metadata)}"
    )


def _sky_file(path: Path) -> str | None:
    """None where the file is neither a field nor maps on the sky."""
    from truez.cli import info_sky

    found = info_sky.field(path)
    if found is None:
        return info_sky.maps(path)
    text, metadata = found
    return text + _made_by(metadata)


def _result(path: Path) -> str | None:
    """None where the file is no table of results."""
    from truez.catalogs import formats

    if path.suffix != ".ecsv":
        return None
    header = formats.header(path)
    kind = header.metadata.get("truez")
    if kind is None:
        return None
    rest = {name: value for name, value in header.metadata.items() if name != "truez"}
    columns = printable(", ".join(_shown(header.columns)))
    rows = _num_rows(path)
    what = printable(str(kind))
    return f"a result of truez, {what}: {rows} rows of {columns}{_made_by(rest, 'with')}"


def _catalog(path: Path, survey: str) -> str:
    from truez.catalogs import formats
    from truez.cli import info_inputs, info_surveys

    header = formats.header(path)
    if not header.columns and not header.left_out:
        raise ValueError(f"{path} holds nothing that truez can read: give another file")
    lengths = list(header.lengths.values())
    common = max(lengths, key=lambda length: (lengths.count(length), length), default=0)
    rows = common or (_num_rows(path) if header.columns else 0)

    def line(name: str) -> str:
        unit = f" [{header.units[name]}]" if name in header.units else ""
        length = header.lengths.get(name, rows)
        return f"\n  {printable(name + unit)}" + (f" of {length} rows" if length != rows else "")

    columns = "".join(map(line, _shown(header.columns)))
    nested = info_surveys.nested_pdfs(path)
    left_out = {name: reason for name, reason in header.left_out.items() if name not in nested}
    if left_out:
        columns += "\nand these, which truez cannot use" + "".join(
            f"\n  {printable(f'{name} {reason}')}" for name, reason in left_out.items()
        )
    what = ", galaxies of a simulated universe" if header.metadata.get("maker") == "nbody" else ""
    names = (
        info_inputs.numbers(str(path), header.columns)
        or info_inputs.randoms(str(path), header.columns)
        or info_surveys.lines_of_surveys(
            str(path), header.columns, survey, is_result=_is_result(header.metadata)
        )
    )
    made = _made_by(header.metadata)
    size = f" of {rows} rows" if rows else ""
    return f"a catalogue{size}{what}, with the columns{columns}{names}{made}"


def _is_result(metadata: Any) -> bool:
    """Whether a catalogue has redshifts that truez sharpened or drew, so that it is no survey."""
    return "truez" in metadata or {"method", "versions"} <= set(metadata)


def _shown(names: Sequence[str]) -> Iterator[str]:
    """Names of columns, with the first and the last component of a long vector column alone."""
    import re
    from itertools import groupby

    def vector(name: str) -> str:
        return found[1] if (found := re.fullmatch(r"(.+)\.\d+", name)) else ""

    for one, group in groupby(names, vector):
        parts = list(group)
        yield from parts if not one or len(parts) <= _SHOWN else [f"{parts[0]} to {parts[-1]}"]


def _num_rows(path: Path) -> int:
    from truez.catalogs import formats
    from truez.catalogs.chunks import iter_chunks

    first = list(formats.header(path).columns)[:1]
    return sum(len(chunk) for chunk in iter_chunks(path, first))


def _made_by(metadata: Any, title: str = "made by") -> str:
    """One line for each setting, and nothing where there is none."""
    import json

    if not metadata:
        return ""
    texts = {}
    for name, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]} ..."  # tables, which are in the file
        texts[printable(str(name))] = printable(text)
    width = max(map(len, texts))
    return f"\n{title}" + "".join(f"\n  {name:<{width}}  {t}" for name, t in texts.items())
