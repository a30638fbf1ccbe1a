"""The whole reconstruction at any place, of any shape and size: poles, rotations, islands, 1 deg^2.

What patches alone do is tested in test_patches.py, and sky boxes in mesh/test_sky_box.py.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sky.light_cone import Cone, light_cone, surveys_of, tables
from tests.sky.test_reconstruct import Turned

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cosmology import Cosmology
from truez.mesh.sky_box import SkyBox
from truez.mesh.sphere import directions, separation, unit_vectors
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.surveys.footprint import Rectangle, Union

CELLS = PatchSettings(cellsize=8.0)
MIDDLE = Rectangle(-6, 6, -3, 3)
PLANCK = Cosmology.of("planck18")


@pytest.fixture(scope="module")
def cone():
    return light_cone(density=0.01)


@pytest.fixture(scope="module")
def redshifts(cone):
    return reconstruct(surveys_of(cone), "redistribution", patches=CELLS).redshifts()


def moved(cone, ra, dec, angle):
    """The cone's directions with its middle at (ra, dec), turned about it by an angle [deg]."""
    area = Turned(MIDDLE, ra, dec, angle)
    local = unit_vectors(cone.ra, cone.dec)[:, [1, 2, 0]]
    return area, directions(local @ area._axes())


def difference(one, other, rows):
    """Rms difference of z_mean in units of z_std."""
    both = rows & np.isfinite(one["z_mean"]) & np.isfinite(other["z_mean"])
    assert both.sum() >= rows.sum() - 5
    away = (one["z_mean"] - other["z_mean"])[both] / one["z_std"][both]
    return np.sqrt(np.mean(away**2))


@settings(max_examples=30)
@given(
    st.floats(0, 360), st.floats(-90, 90), st.floats(-180, 180), st.floats(300, 3000),
    st.integers(0, 1000),
)  # fmt: skip
def test_any_sky_box_gives_back_the_sky(ra, dec, angle, chi_ref, seed):
    box = SkyBox((400, 400, 900), 4, (0, 0, 550), ra=ra, dec=dec, chi_ref=chi_ref,
                 cosmology=PLANCK, angle=angle)  # fmt: skip
    rng = np.random.default_rng(seed)
    rho, turn = 0.35 * chi_ref * np.sqrt(rng.random(100)), rng.uniform(0, 2 * np.pi, 100)
    a, d = box.deproject(rho * np.cos(turn), rho * np.sin(turn))
    z = rng.uniform(0, 3, 100)
    a2, d2, z2 = box.sky(box.positions(a, d, z))
    assert separation(a, d, a2, d2).max() < 1e-9
    assert np.abs(z2 - z).max() < 1e-9


def check_turned(cone, redshifts, place):
    area, (ra, dec) = moved(cone, *place)
    photo, spec = tables(cone, ra, dec)
    surveys = surveys_of(cone, photo=photo, spec=spec, footprint=area)
    assert not surveys.outside.any()
    found = reconstruct(surveys, "redistribution", patches=CELLS).redshifts()
    # The noise of meshes that are turned differently.
    assert difference(redshifts, found, surveys.unknown) < 0.08
    gain = [np.nanmean(one["information_gain"]) for one in (redshifts, found)]
    assert gain[1] == pytest.approx(gain[0], rel=0.05)


@pytest.mark.parametrize("place", [(0.0, -90.0, 20.0)])
def test_a_survey_about_a_pole_gives_the_same_redshifts(cone, redshifts, place):
    check_turned(cone, redshifts, place)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_any_rotation_of_the_sky_gives_the_same_redshifts(cone, redshifts, seed):
    rng = np.random.default_rng(seed)
    dec = float(np.degrees(np.arcsin(rng.uniform(-1, 1))))
    check_turned(cone, redshifts, (float(rng.uniform(0, 360)), dec, float(rng.uniform(0, 360))))


@pytest.mark.medium
def test_two_islands_are_the_two_surveys_apart(cone, redshifts):
    other = light_cone(2, density=0.01)
    area, away = moved(other, 180.0, 60.0, 0.0)
    both = Cone(*(np.concatenate([getattr(cone, one.name), getattr(other, one.name)])
                  for one in fields(Cone)))  # fmt: skip
    places = [np.concatenate(pair) for pair in zip((cone.ra % 360, cone.dec), away, strict=True)]
    photo, spec = tables(both, *places)
    together = surveys_of(both, photo=photo, spec=spec, footprint=Union((MIDDLE, area)))
    result = reconstruct(together, "redistribution", patches=CELLS)
    assert len(result) == 2
    found = result.redshifts()
    num = len(cone)
    first = {name: found[name][:num] for name in ("z_mean", "z_std")}
    second = {name: found[name][num:] for name in ("z_mean", "z_std")}
    alone = reconstruct(surveys_of(other), "redistribution", patches=CELLS).redshifts()
    assert difference(redshifts, first, together.unknown[:num]) < ISLANDS
    assert difference(alone, second, together.unknown[num:]) < ISLANDS


#: Apart, N(z), the linear model and the amplitude are fitted to half of the galaxies.
ISLANDS = 0.08


def test_one_square_degree_is_a_survey():
    cone = light_cone(density=0.1)
    rows = (np.abs(cone.ra) < 0.5) & (np.abs(cone.dec) < 0.5)
    part = Cone(*(getattr(cone, one.name)[rows] for one in fields(Cone)))
    surveys = surveys_of(part, footprint=(359.5, 0.5, -0.5, 0.5))
    assert surveys.footprint.area == pytest.approx(1, rel=1e-3)
    found = reconstruct(surveys, "redistribution", patches=PatchSettings(cellsize=4.0)).redshifts()
    unknown = surveys.unknown
    assert np.isfinite(found["z_mean"][unknown]).mean() > 0.99
    pull = (found["z_mean"] - part.z)[unknown] / found["z_std"][unknown]
    assert np.nanstd(pull) == pytest.approx(1, abs=0.15)
    assert np.nanmean(found["information_gain"][unknown]) > 0.05


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Few galaxies over 5,000 deg^2 about the south pole and across right ascension 0."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(1)
    num = 20_000
    ra, dec = rng.uniform(0, 360, num), np.degrees(np.arcsin(rng.uniform(-1, np.sin(LOW), num)))
    z = 0.2 + 0.5 * rng.beta(2, 2, num)
    photo = {"RA": ra, "DEC": dec, "Z": z + 0.02 * (1 + z) * rng.normal(size=num),
             "ID": np.arange(num)}  # fmt: skip
    Catalog(photo).write(folder / "photo.parquet")
    spec = {name: values[:4000] for name, values in photo.items()} | {"Z": z[:4000]}
    Catalog(spec).write(folder / "spec.parquet")
    return folder


#: The declination below which 5,000 deg^2 lie.
LOW = -np.arcsin(1 - 5000 / (360 * np.degrees(1)))


def on_5000_square_degrees(folder, *more):
    arguments = [
        "redshifts", "--photo", folder / "photo.parquet", "--spec", folder / "spec.parquet",
        "--sky", "RA,DEC,Z", "--match-id", "ID", "--sigma-z", "0.02", "--footprint",
        f"0,360,-90,{np.degrees(LOW)}", *more,
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code


def test_5000_square_degrees_are_planned(large, tmp_path, capsys):
    on_5000_square_degrees(large, "--cellsize", 8, "--dry-run", "--out", tmp_path / "z.parquet")
    out = capsys.readouterr().out
    assert out.startswith("SkySurveys on 5000 deg^2")
    assert out.count("\n  patch ") > 20
    assert "s on one core" in out
    assert not list(tmp_path.iterdir())
