"""The N-body simulation against linear theory, Newton's law, and the halofit of CAMB."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES, Cosmology
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft, roomy_mesh, wavevectors
from truez.mesh.painting import paint
from truez.simulate import ParticleMesh, gaussian_modes, memory_needed
from truez.simulate import simulate as simulate_universe
from truez.simulate.gravity import kick
from truez.simulate.lpt import lattice
from truez.simulate.nbody import force_mesh
from truez.statistics.power import power

COSMOLOGY = COSMOLOGIES["wmap"]
#: The same universe with waves a hundred times lower: it stays linear.
LINEAR = Cosmology(**{**COSMOLOGY.model_dump(), "sigma_8": COSMOLOGY.sigma_8 / 100})
CUBE = Box(128, 32)
CUBOID = Box((128, 192, 96), (32, 48, 24), (0, 100, -7))
QUICK = {"redshift": 1.0, "seed": 1, "num_steps": 3}


def simulate(box, cosmology, **settings):
    """`truez.simulate.simulate` with the settings of `ParticleMesh` among the others."""
    names = {field.name for field in dataclasses.fields(ParticleMesh)}
    how = {name: settings.pop(name) for name in names & set(settings)}
    return simulate_universe(box, cosmology, settings=ParticleMesh(**how), **settings)


def linear_modes(box, cosmology, seed):
    return gaussian_modes(box, lambda k: cosmology.linear_power(k, 0.0), seed)


def divergence(box, vectors):
    """Modes of minus the divergence of vectors (n, 3) on the lattice."""
    rows = torch.as_tensor(vectors).reshape(*box.meshsize, 3).double()
    waves = wavevectors(box, dtype=torch.float64)
    return sum(-1j * k * rfft(rows[..., axis]) for axis, k in enumerate(waves))


def pull(positions, box, mesh):
    """Pull on each of the particles, shape (n, 3)."""
    momenta = torch.zeros(positions.shape)
    kick(momenta, positions, box, mesh, 1.0, roomy_mesh(mesh.meshsize))
    return momenta


def displacement(particles):
    """From the lattice, shape (n, 3), of particles that moved less than half the box."""
    box = particles.box
    size = np.array(box.boxsize)
    moved = particles.positions.astype(np.float64) - lattice(box).reshape(-1, 3).double().numpy()
    return moved - size * np.round(moved / size)


def shells(box, modes, reference):
    """Ratio of modes to their reference in shells of a tenth of the Nyquist wavenumber."""
    k = torch.sqrt(sum(k**2 for k in wavevectors(box, dtype=torch.float64)))
    ratios = []
    for number in range(5):
        shell = (k > box.nyquist * number / 10) & (k <= box.nyquist * (number + 1) / 10)
        if shell.any():
            here = reference[shell].to(torch.complex128)
            product = (modes[shell] * here.conj()).real.sum()
            ratios.append(float(product / here.abs().square().sum()))
    return ratios


class TestGrowth:
    @pytest.mark.parametrize(
        ("box", "settings"),
        [
            (CUBE, {}),
            (CUBE, {"num_steps": 4, "spacing": "log"}),
            (CUBE, {"start_redshift": 4, "num_steps": 1}),
            (CUBE, {"force_factor": 3}),
            (CUBOID, {}),
        ],
    )
    def test_every_resolved_mode_grows_as_linear_theory_says(self, box, settings):
        # Up to half the Nyquist wavenumber of the particles, which move only where they started.
        redshift = 0.59
        particles = simulate(box, LINEAR, redshift=redshift, seed=3, **settings)
        growth = LINEAR.growth_factor(redshift)
        modes = linear_modes(box, LINEAR, 3) * growth
        density = divergence(box, displacement(particles))
        assert shells(box, density, modes) == pytest.approx([1.0] * 5, abs=0.01)
        rate = LINEAR.growth_rate(redshift) / LINEAR.distance_per_velocity(redshift)
        velocity = divergence(box, particles.velocities) / rate
        assert shells(box, velocity, modes) == pytest.approx([1.0] * 5, abs=0.02)

    def test_a_force_mesh_as_coarse_as_the_lattice_is_right_on_larger_scales(self):
        # Clouds as large as the spacing: 2% at 0.3 of the Nyquist wavenumber, 6% at half of it.
        particles = simulate(CUBE, LINEAR, redshift=0.59, seed=3, force_factor=1)
        modes = linear_modes(CUBE, LINEAR, 3) * LINEAR.growth_factor(0.59)
        ratios = shells(CUBE, divergence(CUBE, displacement(particles)), modes)
        assert ratios[:3] == pytest.approx([1.0] * 3, abs=0.02)
        assert ratios[3:] == pytest.approx([1.0] * 2, abs=0.07)

    def test_nonlinear_growth_hardly_depends_on_the_steps(self):
        spectra = []
        for num_steps in (8, 24):
            particles = simulate(CUBE, COSMOLOGY, redshift=0.59, seed=2, num_steps=num_steps)
            field = paint(particles.positions, Box(128, 64))
            spectra.append(power(field, edges=[0.04, 0.1, 0.2, 0.4]).poles[0])
        assert spectra[0] / spectra[1] == pytest.approx([1.0] * 3, abs=0.03)


class TestForce:
    def test_the_pull_of_a_plane_wave_is_its_displacement(self):
        box = Box(100, 32, 7)
        points = lattice(box).reshape(-1, 3)
        shift = 0.05 * torch.sin(2 * box.fundamental[1] * (points[:, 1] - box.lower[1]))
        moved = points.clone()
        moved[:, 1] += shift
        before = moved.clone()
        force = pull(moved, box, force_mesh(box, 2))
        np.testing.assert_allclose(force[:, 1], shift, atol=0.02 * 0.05)
        np.testing.assert_allclose(force[:, 0], 0, atol=1e-4)
        np.testing.assert_allclose(force[:, 2], 0, atol=1e-4)
        assert torch.equal(moved, before)

    def test_two_particles_attract_with_the_inverse_square(self):
        # Each is an overdensity of integral V / 2, so the pull is V / (8 pi r^2), less that of the
        # mean density within r, V/2 r / (3 V).
        box, distance = Box(100, 32), 17.3
        direction = torch.tensor([0.6, -0.64, 0.48], dtype=torch.float64)
        first = torch.tensor([40.0, 70.0, 30.0], dtype=torch.float64)
        pair = torch.stack([first, first + distance * direction])
        force = pull(pair, box, force_mesh(box, 2)).double()
        expected = box.volume / (8 * math.pi * distance**2) - distance / 6
        np.testing.assert_allclose(force[0], expected * direction, atol=0.03 * expected)
        np.testing.assert_allclose(force[1], -force[0], atol=1e-4 * expected)

    def test_momentum_is_conserved(self):
        particles = simulate(CUBOID, COSMOLOGY, redshift=0.59, seed=4)
        mean = particles.velocities.mean(axis=0, dtype=np.float64)
        assert np.abs(mean).max() < 1e-5 * particles.velocities.std()


class TestParticles:
    def test_they_lie_in_the_box_and_are_all_there(self):
        particles = simulate(CUBOID, COSMOLOGY, **QUICK)
        assert particles.positions.dtype == particles.velocities.dtype == np.float32
        assert particles.positions.shape == particles.velocities.shape == (CUBOID.num_cells, 3)
        assert len(particles) == CUBOID.num_cells
        assert CUBOID.inside(particles.positions).all()
        # Not all within the cells that they started from: some did cross the faces.
        assert (np.abs(particles.positions - lattice(CUBOID).reshape(-1, 3).numpy()) > 60).any()

    def test_a_seed_names_a_universe_bit_for_bit(self):
        first = simulate(CUBE, COSMOLOGY, **QUICK)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            second = simulate(CUBE, COSMOLOGY, **QUICK)
        finally:
            torch.set_num_threads(threads)
        assert np.array_equal(first.positions, second.positions)
        assert np.array_equal(first.velocities, second.velocities)
        other = simulate(CUBE, COSMOLOGY, **{**QUICK, "seed": 2})
        assert not np.array_equal(first.positions, other.positions)

    def test_the_same_seed_on_a_finer_lattice_has_the_same_large_scales(self):
        fields = []
        for num in (24, 48):
            particles = simulate(Box(128, num), COSMOLOGY, **QUICK)
            fields.append(
                paint(particles.positions, Box(128, 24), "tsc").to_delta().smooth(10).values
            )
        correlation = np.corrcoef(fields[0].flatten(), fields[1].flatten())[0, 1]
        assert correlation > 0.995

    def test_a_flipped_universe_starts_with_the_opposite_waves(self):
        first = simulate(CUBE, LINEAR, **QUICK, fixed=True)
        second = simulate(CUBE, LINEAR, **QUICK, fixed=True, flip=True)
        total = displacement(first) + displacement(second)
        assert np.std(total) < 0.05 * np.std(displacement(first))

    def test_progress_and_metadata(self):
        calls = []
        particles = simulate(
            CUBE, COSMOLOGY, **QUICK, progress=lambda *call: calls.append(call[:3])
        )
        assert calls == [("N-body", step, 3) for step in range(4)]
        assert particles.redshift == 1.0
        assert particles.box == CUBE
        assert particles.metadata["seed"] == 1
        assert particles.metadata["cosmology"] == COSMOLOGY.model_dump()


class TestCheckpoint:
    def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(self, tmp_path):
        whole = simulate(CUBE, COSMOLOGY, **QUICK)
        path = tmp_path / "run" / "checkpoint.h5"

        def stop(task, done, total, note=""):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            simulate(CUBE, COSMOLOGY, **QUICK, checkpoint=path, progress=stop)
        steps = []
        for _ in range(2):  # the second time from the last step
            resumed = simulate(
                CUBE, COSMOLOGY, **QUICK, checkpoint=path, progress=lambda *c: steps.append(c[1])
            )
            assert np.array_equal(whole.positions, resumed.positions)
            assert np.array_equal(whole.velocities, resumed.velocities)
        assert steps == [3]
        assert [file.name for file in path.parent.iterdir()] == ["checkpoint.h5"]

    def test_a_checkpoint_of_another_run_is_refused(self, tmp_path):
        path = tmp_path / "checkpoint.h5"
        simulate(CUBE, COSMOLOGY, **QUICK, checkpoint=path)
        with pytest.raises(ValueError) as error:
            simulate(CUBE, COSMOLOGY, **{**QUICK, "seed": 7}, checkpoint=path)
        assert str(error.value) == (
            f"the run in {path} has seed = 1, not 7: resume it with its own settings, or write to "
            "another checkpoint"
        )

    @pytest.mark.parametrize("content", ["text", "hdf5"])
    def test_another_file_is_refused(self, tmp_path, content):
        path = tmp_path / "checkpoint.h5"
        if content == "text":
            path.write_text("not a checkpoint")
        else:
            with h5py.File(path, "w") as file:
                file["values"] = [1.0]
        with pytest.raises(ValueError) as error:
            simulate(CUBE, COSMOLOGY, **QUICK, checkpoint=path)
        assert str(error.value) == (
            f"{path} is not a checkpoint that truez simulate wrote: remove it, or write to another "
            "checkpoint"
        )


@pytest.mark.parametrize(
    ("box", "broken", "sentence"),
    [
        (
            CUBE,
            {"redshift": 12},
            "redshift 12 must be below start_redshift 9: start earlier",
        ),
        (CUBE, {"redshift": -0.5}, "redshift must be a finite number >= 0, not -0.5"),
        (
            CUBE,
            {"start_redshift": math.nan},
            "start_redshift must be a finite number >= 0, not nan",
        ),
        (CUBE, {"num_steps": 0}, "num_steps must be a whole number from 1 to 100000, not 0"),
        (CUBE, {"num_steps": 2.5}, "num_steps must be a whole number from 1 to 100000, not 2.5"),
        (CUBE, {"spacing": "square"}, "spacing must be one of linear, log, not 'square'"),
        (
            CUBE,
            {"force_factor": 8},
            "force_factor must be one of 1, 2, 3, 4 cells per particle and axis, not 8",
        ),
        (CUBE, {"seed": -1}, "seed must be a whole number from 0 to 2^64 - 1, not -1"),
        (
            Box(128, 4),
            {},
            "meshsize of (4, 4, 4) is too few particles: take at least 8 along each side",
        ),
        (
            Box(128, 32, periodic=False),
            {},
            "a universe is simulated in a periodic box: pass Box(..., periodic=True)",
        ),
        (
            Box((128, 10, 128), 16),
            {},
            (
                "boxsize of 10 Mpc/h is too small, since its largest waves are not linear at "
                "redshift 1: take at least 20 Mpc/h"
            ),
        ),
        (
            Box(40, 64),
            {"start_redshift": 1.5},
            (
                "start_redshift 1.5 is too late for particles 0.625 Mpc/h apart, whose density "
                "contrast is 1.9 by then: start at redshift 5 or take fewer particles"
            ),
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(box, broken, sentence):
    with pytest.raises(ValueError) as error:
        simulate(box, COSMOLOGY, **{**QUICK, **broken})
    assert str(error.value) == sentence


def test_memory_is_estimated_from_the_meshes():
    # The paper's volume: nine meshes of the lattice, or one of eight times as many cells and six.
    paper = Box(1200, 600)
    assert memory_needed(paper, 1) == pytest.approx(9 * 4 * 600**3, rel=0.03)
    assert memory_needed(paper, 2) == pytest.approx(14 * 4 * 600**3, rel=0.05)


@pytest.mark.medium
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak there")
@pytest.mark.parametrize("force_factor", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_memory_stays_below_the_estimate(force_factor):
    # In a process of its own, beyond what a small run takes.
    code = (
        "from pathlib import Path\n"
        "from truez.mesh.box import Box\n"
        "from truez.cosmology import COSMOLOGIES\n"
        "from truez.simulate import ParticleMesh, simulate\n"
        "peaks = []\n"
        "for num in (16, 128):\n"
        "    simulate(Box(256, num), COSMOLOGIES['wmap'], redshift=1, seed=1,\n"
        f"             settings=ParticleMesh(num_steps=1, force_factor={force_factor}))\n"
        "    words = Path('/proc/self/status').read_text().split()\n"
        "    peaks.append(int(words[words.index('VmHWM:') + 1]))\n"
        "print((peaks[1] - peaks[0]) * 1024)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = memory_needed(Box(256, 128), force_factor)
    assert 0.4 * needed < int(run.stdout) < needed


@pytest.mark.slow
def test_matter_power_is_that_of_halofit():
    camb = pytest.importorskip("camb")
    redshift, h = 0.59, COSMOLOGY.h
    baryons, cold = COSMOLOGY.omega_b * h**2, (COSMOLOGY.omega_m - COSMOLOGY.omega_b) * h**2
    settings = camb.CAMBparams()
    settings.set_cosmology(H0=100 * h, ombh2=baryons, omch2=cold, mnu=0, num_massive_neutrinos=0)
    settings.InitPower.set_params(ns=COSMOLOGY.n_s)
    settings.set_matter_power(redshifts=[redshift, 0.0], kmax=20)
    amplitude = (COSMOLOGY.sigma_8 / camb.get_results(settings).get_sigma8_0()) ** 2
    settings.InitPower.set_params(ns=COSMOLOGY.n_s, As=2e-9 * amplitude)
    settings.NonLinearModel.set_params(halofit_version="takahashi")
    curves = {}
    for nonlinear in (False, True):
        settings.NonLinear = "NonLinear_both" if nonlinear else "NonLinear_none"
        results = camb.get_results(settings)
        curves[nonlinear] = results.get_matter_power_interpolator(nonlinear=nonlinear)

    # The mean of a pair of fixed boxes. What halofit adds to linear theory is compared with what
    # gravity adds to these very modes, so that neither the few large waves nor the difference
    # between the linear spectra of CAMB and of Eisenstein & Hu counts.
    box, mesh = Box(256, 128), Box(256, 256)
    edges = [0.02, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3]
    initial = irfft(
        gaussian_modes(box, lambda k: COSMOLOGY.linear_power(k, redshift), 1, fixed=True),
        box.meshsize,
    )
    linear = power(Field(initial, box, "delta"), edges=edges)
    evolved = []
    for flip in (False, True):
        particles = simulate(box, COSMOLOGY, redshift=redshift, seed=1, fixed=True, flip=flip)
        counts = paint(particles.positions, mesh, "tsc")
        evolved.append(power(counts, edges=edges, compensate=True).poles[0])
    k = linear.k
    boost = np.mean(evolved, axis=0) / linear.poles[0]
    ratio = boost / (curves[True].P(redshift, k) / curves[False].P(redshift, k))
    large = k < 0.1
    assert ratio[large] == pytest.approx([1.0] * large.sum(), abs=0.03)
    assert ratio[~large] == pytest.approx([1.0] * (~large).sum(), abs=0.08)


@pytest.mark.slow
def test_redshift_space_has_the_kaiser_limit():
    # On the mean of three pairs of fixed boxes, against the same modes times 1 + f mu^2. The random
    # motions damp what is observed by a few per cent on the way to k = 0.05.
    box, redshift, edges = Box(1024, 96), 0.59, [0.01, 0.02, 0.03, 0.04, 0.05]
    rate = COSMOLOGY.growth_rate(redshift)
    kx, ky, kz = wavevectors(box)
    squeeze = 1 + rate * kz**2 / (kx**2 + ky**2 + kz**2).clamp(min=1e-12)
    ratios = []
    for seed in (1, 2, 3):
        modes = gaussian_modes(box, lambda k: COSMOLOGY.linear_power(k, redshift), seed, fixed=True)
        expected = power(Field(irfft(modes * squeeze, box.meshsize), box, "delta"), edges=edges)
        for flip in (False, True):
            particles = simulate(
                box, COSMOLOGY, redshift=redshift, seed=seed, fixed=True, flip=flip
            )
            observed = particles.positions.copy()
            observed[:, 2] += particles.velocities[:, 2] * COSMOLOGY.distance_per_velocity(redshift)
            found = power(paint(observed, box, "tsc"), edges=edges, compensate=True)
            ratios.append([found.poles[ell] / expected.poles[ell] for ell in (0, 2)])
    monopole, quadrupole = np.mean(ratios, axis=0)
    assert monopole[0] == pytest.approx(1, abs=0.015)
    assert monopole == pytest.approx([1.0] * 4, abs=0.04)
    assert quadrupole == pytest.approx([1.0] * 4, abs=0.1)
