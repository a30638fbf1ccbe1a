"""Spectra through temporary files and in chunks are those of fields in memory, bit for bit."""

import numpy as np
import pytest
import torch

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.fourier import rfft
from truez.mesh.scratch import scratch_mesh, transformed
from truez.statistics.stored import chunked_power, stored_power
from truez.support import memory

BOX = truez.Box((64, 48, 80), cellsize=4)


@pytest.fixture(scope="module")
def positions():
    return np.random.default_rng(1).uniform(0, BOX.boxsize, (5000, 3))


@pytest.fixture
def fields(tmp_path, positions):
    """Two files of counts and of an overdensity."""
    one = truez.paint(positions, BOX, "cic")
    two = truez.paint(positions[::2], BOX, "tsc").to_delta()
    paths = tmp_path / "one.h5", tmp_path / "two.h5"
    one.write(paths[0])
    two.write(paths[1])
    return paths


def assert_same(one, two):
    assert np.array_equal(one.nmodes, two.nmodes)
    for ell, pole in one.poles.items():
        assert np.array_equal(pole, two.poles[ell], equal_nan=True)
    assert one.shotnoise == two.shotnoise


def test_a_mesh_in_a_file_is_transformed_as_in_memory(tmp_path):
    values = torch.randn(BOX.meshsize, generator=torch.Generator().manual_seed(1))
    with scratch_mesh(BOX, tmp_path / "out") as mesh:
        assert len(list(tmp_path.iterdir())) == 1
        mesh.copy_(values)
        modes = transformed(mesh)
        torch.testing.assert_close(modes, rfft(values), rtol=1e-5, atol=1e-7)
        del mesh, modes
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compensate", [False, True])
def test_stored_power(fields, tmp_path, compensate):
    first, second = map(truez.Field.read, fields)
    found = stored_power(fields[0], beside=tmp_path / "x", compensate=compensate)
    close = truez.power(first, compensate=compensate)
    assert np.array_equal(found.nmodes, close.nmodes)
    assert found.shotnoise == close.shotnoise
    for ell in (0, 2, 4):
        np.testing.assert_allclose(found.poles[ell], close.poles[ell], rtol=1e-5, atol=1e-3)
    both = stored_power(*fields, beside=tmp_path / "x", compensate=compensate)
    wanted = truez.power(first, second, compensate=compensate)
    np.testing.assert_allclose(both.poles[0], wanted.poles[0], rtol=1e-4, atol=1e-2)
    assert both.shotnoise == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "two.h5"]


def test_stored_power_refuses(fields, tmp_path):
    other = tmp_path / "other.h5"
    truez.Field(np.zeros((8, 8, 8)), truez.Box(8, 8)).write(other)
    with pytest.raises(ValueError, match="must be on the same box"):
        stored_power(fields[0], other, beside=tmp_path / "x")
    with pytest.raises(ValueError, match="compensate needs the resampler of field"):
        stored_power(other, beside=tmp_path / "x", compensate=True)
    fits = tmp_path / "one.fits"
    truez.Field.read(fields[0]).write(fits)
    with pytest.raises(ValueError, match=r"being FITS: write it to \.h5"):
        stored_power(fits, beside=tmp_path / "x")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("interlacing", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_chunked_power(positions, tmp_path, interlacing, stored):
    weights = np.random.default_rng(2).uniform(0.5, 2, len(positions))
    wanted = truez.catalog_power(positions, BOX, weights=weights, interlacing=interlacing)

    def chunks():
        for first in range(0, len(positions), 700):
            rows = slice(first, first + 700)
            yield positions[rows], weights[rows]

    found = chunked_power(
        chunks, BOX, interlacing=interlacing, beside=tmp_path / "x" if stored else None
    )
    assert np.array_equal(found.nmodes, wanted.nmodes)
    assert found.shotnoise == pytest.approx(wanted.shotnoise, rel=1e-12)
    for ell in (0, 2, 4):
        np.testing.assert_allclose(found.poles[ell], wanted.poles[ell], rtol=1e-4, atol=1e-2)
    assert not list(tmp_path.iterdir())


# The command, with little memory


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def limited(monkeypatch, size):
    monkeypatch.setattr(memory, "available_memory", lambda *_: size)
    for module in ("truez.catalogs.chunks",):
        monkeypatch.setattr(f"{module}.available_memory", lambda *_: size)


def test_the_window_of_the_painting_is_named_until_it_is_divided_out(tmp_path, capsys):
    box = truez.Box(64, cellsize=4)
    delta = truez.paint(np.random.default_rng(3).uniform(0, 64, (2000, 3)), box, "cic").to_delta()
    delta.write(tmp_path / "painted.h5")
    truez.Field(delta.values, box).write(tmp_path / "other.h5")
    sentence = "cells painted by cic, which at high k is too low: --compensate"
    assert not run("spectrum", tmp_path / "painted.h5")
    assert sentence in capsys.readouterr().out
    assert not run("spectrum", tmp_path / "painted.h5", "--compensate")
    assert sentence not in capsys.readouterr().out
    assert not run("spectrum", tmp_path / "other.h5")
    assert sentence not in capsys.readouterr().out


def test_a_field_larger_than_the_memory(fields, tmp_path, monkeypatch, capsys):
    assert not run("spectrum", fields[0], "--out", tmp_path / "whole.ecsv")
    limited(monkeypatch, 20_000)
    capsys.readouterr()
    assert run("spectrum", fields[0]) == 2
    sentence = "has 16 x 12 x 20 cells, and the memory holds 13^3: give --out"
    assert sentence in capsys.readouterr().err
    assert not run("spectrum", fields[0], "--out", tmp_path / "part.ecsv")
    one, two = (Catalog.read(tmp_path / f"{name}.ecsv") for name in ("whole", "part"))
    np.testing.assert_allclose(one["pole_0"], two["pole_0"], rtol=1e-5)


@pytest.mark.medium
def test_a_catalogue_larger_than_the_memory(positions, tmp_path, monkeypatch, capsys):
    path = tmp_path / "galaxies.parquet"
    Catalog(dict(zip("xyz", positions.T, strict=True))).write(path)
    how = ("spectrum", path, "--boxsize", "64,48,80", "--cellsize", 4)
    assert not run(*how, "--out", tmp_path / "whole.ecsv"), capsys.readouterr().err
    for size, name in ((200_000, "chunks"), (30_000, "stored")):
        limited(monkeypatch, size)
        assert not run(*how, "--out", tmp_path / f"{name}.ecsv"), capsys.readouterr().err
        one, two = (Catalog.read(tmp_path / f"{which}.ecsv") for which in ("whole", name))
        np.testing.assert_allclose(one["pole_0"], two["pole_0"], rtol=1e-5)
