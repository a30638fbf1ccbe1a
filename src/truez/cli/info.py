"""``truez info``: what a file is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path


def info(
    path: Annotated[str, typer.Argument(help="A mock folder, field, weights file or catalogue.")],
) -> None:
    """Say in words what a file or folder is: a mock, a field, weights or a catalogue."""
    from pathlib import Path

    target = Path(path)
    if not target.exists():
        raise FileNotFoundError(f"there is no {path}")
    if target.is_dir():
        text = _folder(target)
    elif target.suffix == ".safetensors":
        text = _weights(target)
    else:
        text = _field(target) or _catalog(target)
    typer.echo(f"{path}: {text}")


def _folder(path: Path) -> str:
    from truez.mocks import Mock

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


def _weights(path: Path) -> str:
    import json

    from truez.networks.weights import read_header

    header = read_header(path)
    survey = header.survey
    cells = " x ".join(f"{side:.5g}" for side in header.cellsize)

    def span(values: tuple[float, float]) -> str:
        low, high = values
        return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"

    return (
        f"weights of a {header.architecture} network\n"
        f"  from     {', '.join(header.inputs)}\n"
        f"  gives    {header.output}\n"
        f"  cells    {cells} Mpc/h, line of sight {header.los}\n"
        f"  sees     {header.receptive_radius} cells far, stride {header.stride}\n"
        f"  photo-z  sigma {span(survey.sigma)} Mpc/h\n"
        f"  spec     {span(survey.spec_density)} (h/Mpc)^3\n"
        f"  photo    {span(survey.photo_density)} (h/Mpc)^3\n"
        f"  overlap  {span(survey.overlap)} of spec in photo, outliers "
        f"{span(survey.outlier_fraction)}\n"
        f"  painted  {survey.resampler}, "
        f"{'redshift' if survey.redshift_space else 'real'} space\n"
        f"  settings {json.dumps(header.config)}\n"
        f"  made by  {json.dumps(header.provenance)}"
    )


def _field(path: Path) -> str | None:
    """None where the file is no field."""
    import json

    from truez.field import Field

    try:
        field = Field.read(path)
    except ValueError:
        return None
    values = field.values
    return (
        f"a field of kind {field.kind}\n"
        f"  box      {field.box}\n"
        f"  values   mean {float(values.double().mean()):.5g}, "
        f"standard deviation {float(values.double().std()):.5g}, "
        f"from {float(values.min()):.5g} to {float(values.max()):.5g}\n"
        f"  made by  {json.dumps(field.metadata)}"
    )


def _catalog(path: Path) -> str:
    import json

    from truez import formats
    from truez.catalog import iter_chunks

    header = formats.header(path)
    rows = sum(len(chunk) for chunk in iter_chunks(path, list(header.columns)[:1]))
    columns = "".join(
        f"\n  {name}" + (f" [{header.units[name]}]" if name in header.units else "")
        for name in header.columns
    )
    made = f"\nmade by\n  {json.dumps(header.metadata, default=str)}" if header.metadata else ""
    return f"a catalogue of {rows} rows with the columns{columns}{made}"
