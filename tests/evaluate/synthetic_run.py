"""A small run folder, laid out as `truez paper` lays it out, for the tests of its page.

As a script it writes one, of as many cells as are wanted: python tests/synthetic_run.py FOLDER 200
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import tomli_w
from astropy.table import Table
from PIL import Image

from truez.cosmology import COSMOLOGIES
from truez.evaluate.deviations import in_boxes
from truez.evaluate.figures.captions import paper_caption, write_pictures
from truez.evaluate.figures.curves import auto_and_cross
from truez.evaluate.figures.losses import losses
from truez.evaluate.figures.planes import power_2d as draw_planes
from truez.evaluate.figures.slices import zooms
from truez.evaluate.figures.style import save
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.reconstruct import reconstruct
from truez.simulate import lognormal_galaxies
from truez.statistics.power import compare, power_2d
from truez.statistics.scores import sub_box_scores
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

CELLSIZE = 2.0  # [Mpc/h]

#: Table I of arXiv:2504.06309.
PAPER = {
    ("photo", "mse"): (8.82, 0.62),
    ("photo", "mae"): (1.52, 0.07),
    ("spec", "mse"): (33.21, 2.59),
    ("unet-per-box", "mse"): (5.10, 0.67),
    ("unet-per-box", "mae"): (1.01, 0.05),
}


def make_mock_of(cells: int | tuple[int, int, int]) -> Mock:
    """Two surveys of lognormal galaxies."""
    mesh = (cells,) * 3 if isinstance(cells, int) else cells
    box = Box([CELLSIZE * n for n in mesh], mesh)
    cosmology = COSMOLOGIES["wmap"]
    galaxies = lognormal_galaxies(box, cosmology, redshift=0.59, density=1.85e-2, bias=1.2, seed=5)
    config = MockConfig(
        redshift=0.59, cosmology=cosmology, sigma_z=0.004, rank_by="mass",
        spec=Selection(density=1e-3), seed=1,
    )  # fmt: skip
    return make_mock(
        galaxies.positions, box, config, velocities=galaxies.velocities[:, 2],
        columns={"mass": galaxies.mass}, source={"catalogue": "lognormal galaxies"},
    )  # fmt: skip


def make_run(folder: Path, cells: int | tuple[int, int, int] = 64, *, quick: bool = False) -> Path:
    """Write a finished run; the fields called unet stand in for a network's.

    A quick one has stand-ins for the filters and the figures too.
    """
    mock = make_mock_of(cells)
    mock.write(folder / "mock-test")
    truth, photo, spec = mock.fields()
    filters = ("wiener", "wiener-spec")
    if quick:
        rough = {"wiener": spec.smooth(4.0), "wiener-spec": spec.smooth(5.0)}
        fields = {name: Field(f.values, truth.box, "delta") for name, f in rough.items()}
    else:
        fields = {name: reconstruct(mock.surveys, name) for name in filters}
    wiener = fields["wiener"]
    for name, share in (("unet", 0.1), ("unet-per-box", -0.05)):
        values = wiener.values + share * (truth.values - wiener.values)
        fields[name] = Field(values, truth.box, "delta", {"made": "a stand-in for a network"})
    for name, field in fields.items():
        field.write(folder / "fields" / f"{name}.h5")
    for name, field in (("truth", truth), ("photo", photo), ("spec", spec)):
        field.write(folder / "surveys" / f"{name}.h5")
    (folder / "run.toml").write_text(
        tomli_w.dumps(
            {
                "run": {"recipe": "paper-small", "notes": ["Test & training are <apart>."]},
                "boxes": {"split": "realisations"},
                "versions": {"git": "0123456789ab"},
            }
        )
    )
    write_table(folder, mock, {"photo": photo, "spec": spec, **fields}, truth)
    write_training(folder / "training", quick=quick)
    stages = [
        {"name": "simulate", "seconds": 61.2, "peak_memory": 2.1e9, "finished": "2026-01-02 10:00"},
        {"name": "train", "seconds": 7512.0, "peak_memory": 3.4e9, "finished": True},
        {"name": "judge", "seconds": None, "peak_memory": None, "finished": False},
    ]
    (folder / "stages.json").write_text(json.dumps(stages))
    shown = {"truth": truth, "unet": fields["unet"], "spec": spec}
    make_pictures(folder / "figures", shown, quick=quick)
    return folder


def write_table(folder: Path, mock: Mock, fields: dict[str, Field], truth: Field) -> None:
    """Table I."""
    zero = Field(0 * truth.values, truth.box, "delta")
    empty = Field(zero.values - 1, truth.box, "delta")
    side = min(truth.box.meshsize) // 2
    rows = []
    for name, field in {"zero": zero, "empty": empty, **fields}.items():
        found = sub_box_scores(field, truth=truth, cells=side)
        found.write(folder / "results" / f"scores-{name}.ecsv")
        for score in ("mse", "mae", "ssim", "psnr"):
            paper = PAPER.get((name, score), (math.nan, math.nan))
            rows.append(
                (name, score, found.mean[score], found.sigma[score], found.error[score], *paper)
            )
    names = ("field", "score", "mean", "sigma", "error", "paper_mean", "paper_sigma")
    path = folder / "results" / "table1.ecsv"
    Table(rows=rows, names=names).write(path, format="ascii.ecsv")


def write_training(folder: Path, *, quick: bool) -> None:
    """What is left of a training run, as far as the page asks for it."""
    folder.mkdir()
    (folder / "best.safetensors").write_bytes(b"")
    if quick:
        write_stand_in(folder / "losses.png")
        return
    step = np.arange(50, 450, 50.0)
    save(losses(step, 5 + 9 / step, 5.5 + 9 / step), folder / "losses")


def write_stand_in(path: Path) -> None:
    """A picture of nothing."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 6), "white").save(path)


def make_pictures(folder: Path, fields: dict[str, Field], *, quick: bool) -> None:
    """Three figures of the paper, with their captions."""
    names = ("zooms", "auto_and_cross", "power_2d")
    words = {name: paper_caption(name) for name in names}
    if not quick:
        draw_pictures(folder, fields, words)
        return
    for name in names:
        write_stand_in(folder / f"{name}.png")
    captions = {f"{n}.png": {"title": title, "caption": c} for n, (title, c) in words.items()}
    (folder / "captions.json").write_text(json.dumps(captions))


def draw_pictures(
    folder: Path, fields: dict[str, Field], words: dict[str, tuple[str, str]]
) -> None:
    truth, side = fields["truth"], min(fields["truth"].box.meshsize) // 2
    estimates = {name: field for name, field in fields.items() if name != "truth"}
    spectra = {
        name: in_boxes(lambda a, b: compare(a, truth=b), f, truth, cells=side)
        for name, f in estimates.items()
    }
    made = {
        "zooms": lambda: zooms(fields),
        "auto_and_cross": lambda: auto_and_cross(spectra),
        "power_2d": lambda: draw_planes({name: power_2d(f) for name, f in fields.items()}),
    }
    write_pictures(folder, made, words)


if __name__ == "__main__":
    make_run(Path(sys.argv[1]), int(sys.argv[2]))
