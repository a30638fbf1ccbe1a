"""Fluctuations of the intensity, which galaxies of one group share in a sample."""

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity
from truez.sightlines.joint import joint_places
from truez.sightlines.sharpened import posteriors
from truez.statistics.power import power_2d
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

K = (0.05, 0.15, 0.4, 1.0, 2.0)


def model(amplitude: float = 60.0, **settings) -> Fluctuations:
    """A spectrum that falls at 0.5 h/Mpc, faster along the line of sight."""
    table = tuple(tuple(amplitude / (1 + (a / 0.5) ** 2 + (b / 0.3) ** 2) for b in K) for a in K)
    return Fluctuations(k=K, power=table, **settings)


def alone(photo: np.ndarray, box: Box, sigma: float) -> Surveys:
    """Photometric galaxies, none of which has a spectrum."""
    return Surveys(
        spec=np.ones((1, 3)), photo=photo, box=box, redshift=0.5, error=PhotozError(sigma),
        num_both=0, matched=np.array([-1]), cosmology=COSMOLOGIES["planck18"],
    )  # fmt: skip


def one_line(num: int, *, seed: int = 3) -> tuple[Surveys, torch.Tensor]:
    """Galaxies at one place on the sky with one photo-z, and an uneven intensity."""
    box = Box(64, cellsize=4)
    photo = np.full((num, 3), (10.0, 30.0, 37.0))
    surveys = alone(photo, box, 12.0)
    values = np.random.default_rng(seed).lognormal(0, 0.7, box.meshsize).astype(np.float32)
    return surveys, torch.from_numpy(values)


def test_the_field_has_the_spectrum_of_the_table():
    box, found = Box((128, 128, 256), cellsize=2), model()
    edges = np.array([0.1, 0.2, 0.4, 0.8, 1.4])
    measured = 0.0
    for number in range(4):
        field = Field(found.field(box, seed=2, number=number), box, "delta")
        measured = measured + power_2d(field, kperp_edges=edges, kpar_edges=edges).power / 4
    across, along = found.spectrum(box)
    table = torch.from_numpy(np.exp(across @ along)).reshape(64, 64, 65)
    # The same bins of the same modes: white noise times the root of the spectrum.
    white = Field(torch.fft.irfftn(torch.sqrt(table / box.volume), s=box.meshsize, norm="forward")
                  .float(), box, "delta")  # fmt: skip
    expected = power_2d(white, kperp_edges=edges, kpar_edges=edges).power
    np.testing.assert_allclose(measured / expected, 1, atol=0.12)
    assert abs(np.mean(measured / expected) - 1) < 0.02


def test_the_covariance_is_that_of_the_field_interpolated_across_the_sky():
    box, found = Box((128, 128, 256), cellsize=2), model()
    covariance, products = found.covariance(box), []
    for number in range(3):
        g = found.field(box, seed=5, number=number)
        around = g
        for axis in (0, 1):
            around = 2 / 3 * around + sum(torch.roll(around, s, axis) for s in (-1, 1)) / 6
        products.append([float((g * torch.roll(around, n, 2)).mean()) for n in range(6)])
    np.testing.assert_allclose(covariance[:6], np.mean(products, 0), atol=0.02 * covariance[0])
    assert len(covariance) == 17


def test_the_field_is_a_function_of_seed_number_and_part():
    box, found = Box(32, cellsize=2), model()
    first = found.field(box, seed=1, number=2)
    assert torch.equal(first, found.field(box, seed=1, number=2))
    for other in ({"seed": 2, "number": 2}, {"seed": 1, "number": 3},
                  {"seed": 1, "number": 2, "part": 1}):  # fmt: skip
        assert not torch.equal(first, found.field(box, **other))
    assert abs(float(first.double().mean())) < 1e-6


def test_they_are_smaller_where_more_galaxies_are_expected():
    box, found = Box(64, cellsize=4), model(soft=0.5, slope=1.0)
    for level in (0.2, 1.0, 3.0):
        h, log = found.size(torch.full(box.meshsize, level), box)
        assert float(h.mean()) == pytest.approx((1.5 / (level + 0.5)) ** 0.5, rel=1e-5)
        assert float(log.mean()) == pytest.approx(np.log(level + 0.5), rel=1e-4, abs=1e-5)


def test_a_galaxy_has_its_own_posterior_on_average():
    """Of the draws of many samples, in each cell: within 2% of the whole probability."""
    surveys, intensity = one_line(400)
    given = Intensity(intensity)
    _, (probability, *_) = posteriors(surveys, given, np.array([0]))
    edges, _ = posteriors(surveys, given, np.array([0]))
    lower, cell = surveys.box.lower[2], surveys.box.cellsize[2]
    found = joint_places(surveys, given, model(), seed=1, numbers=range(300))
    first = round((float(edges[0, 0]) - lower) / cell)
    cells = (np.floor((found - lower) / cell).astype(int) - first) % 16
    share = np.bincount(cells.ravel(), minlength=16) / cells.size
    assert np.abs(share - probability).max() < 0.02
    # Without what restores them the likeliest cells lose.
    plain = joint_places(surveys, given, model(sharpness=0.0, tilt=0.0), seed=1, numbers=range(300))
    cells = (np.floor((plain - lower) / cell).astype(int) - first) % 16
    bare = np.bincount(cells.ravel(), minlength=16) / cells.size
    assert ((bare - probability) * probability).sum() < ((share - probability) * probability).sum()


def test_galaxies_at_one_place_move_together():
    surveys, intensity = one_line(200)
    alone = joint_places(surveys, intensity, seed=1, numbers=range(60))
    shared = joint_places(surveys, intensity, model(200.0), seed=1, numbers=range(60))
    # The mean place of 200 galaxies scatters between samples as what they share does.
    assert shared.mean(1).std() > 3 * alone.mean(1).std()
    assert shared.std() == pytest.approx(alone.std(), rel=0.1)


def test_weak_fluctuations_are_none():
    surveys, intensity = one_line(5000)
    one = joint_places(surveys, intensity, model(1e-9, sharpness=0, tilt=0), seed=1, numbers=[7])
    two = joint_places(surveys, intensity, seed=1, numbers=[7])
    # The same cells, and within them a density that goes on into the next.
    assert np.abs(one - two).max() < 4.0
    assert np.abs(one - two).mean() < 1.0


def test_within_a_cell_the_density_goes_on_into_the_next():
    box = Box(64, cellsize=4)
    z = np.linspace(0, 1, 16, endpoint=False) + 1 / 32
    wave = np.broadcast_to(1 + 0.8 * np.cos(2 * np.pi * z), box.meshsize).astype(np.float32)
    photo = np.random.default_rng(1).uniform(0, 64, (60_000, 3))
    surveys = alone(photo, box, 1e3)
    weak = model(1e-9, sharpness=0, tilt=0)
    (place,) = joint_places(surveys, torch.from_numpy(wave.copy()), weak, seed=1, numbers=[0])
    fine = np.histogram((place - box.lower[2]) / 64, 64, (0, 1))[0] / len(place) * 64
    right = 1 + 0.8 * np.cos(2 * np.pi * (np.arange(64) + 0.5) / 64)
    # Poisson noise is 0.03 of a mean cell; steps of four cells would be 0.12 off.
    assert np.abs(fine - right).mean() < 0.04


def test_the_contrast_is_a_power_of_the_intensity():
    """With tau = 2 at all k galaxies are drawn from lambda^2; with one mode of another tau, its."""
    box = Box(64, cellsize=4)
    z = (np.arange(16) + 0.5) / 16
    wave = np.broadcast_to(1 + 0.5 * np.cos(2 * np.pi * z), box.meshsize).astype(np.float32)
    photo = np.random.default_rng(1).uniform(0, 64, (60_000, 3))
    surveys, intensity = alone(photo, box, 1e3), torch.from_numpy(wave.copy())
    twice = tuple((2.0,) * 5 for _ in K)
    strong = model(1e-9, sharpness=0, tilt=0, contrast=twice)
    (place,) = joint_places(surveys, intensity, strong, seed=1, numbers=[0])
    found = np.histogram((place - box.lower[2]) / 64, 16, (0, 1))[0] / len(place) * 16
    right = wave[0, 0] ** 2 / (wave[0, 0] ** 2).mean()
    assert np.abs(found - right).max() < 4 * np.sqrt(right.max() * 16 / 60_000)
    log = intensity.log()
    # Half of what is at k_par = 2 pi / 64 = 0.098, and all of the rest.
    some = model(contrast=tuple((1.0, 0.5, 1.0, 1.0, 1.0) for _ in K))
    first = [np.fft.rfft(one[3, 5].numpy())[1] for one in (some.shift(log, box), log)]
    share = (np.log(0.0982) - np.log(0.05)) / (np.log(0.15) - np.log(0.05))
    assert (first[0] / first[1]).real == pytest.approx(0.5**share - 1, abs=1e-3)
    assert float(model().shift(log, box).abs().max()) == 0


def test_the_amplitude_of_a_sample_is_as_uncertain_as_its_volume_has_it():
    known = model(uncertainty=0.02)
    box, eighth = Box((256, 256, 512), cellsize=8), Box((128, 128, 256), cellsize=8)
    first = [known.amplitude(box, seed=3, number=i) for i in range(400)]
    assert np.std(first) == pytest.approx(0.02, rel=0.1)
    assert np.mean(first) == pytest.approx(1, abs=0.004)
    assert first[7] == known.amplitude(box, seed=3, number=7)
    assert first[7] != known.amplitude(box, seed=3, number=7, part=1)
    assert known.amplitude(eighth, seed=3, number=7) - 1 == pytest.approx(
        8**0.5 * (first[7] - 1), rel=1e-9
    )
    small = [known.amplitude(Box(8, cellsize=4), seed=3, number=i) for i in range(400)]
    assert np.std(small) == pytest.approx(0.15, rel=0.1)


def test_with_an_amplitude_samples_differ_in_their_contrast():
    surveys, intensity = one_line(4000)
    places = joint_places(
        surveys, intensity, model(1e-9, sharpness=0, tilt=0, uncertainty=1e3), seed=1,
        numbers=range(12),
    )  # fmt: skip
    even = joint_places(
        surveys, intensity, model(1e-9, sharpness=0, tilt=0), seed=1, numbers=range(12)
    )
    counts = [np.bincount((one // 4).astype(int), minlength=16) for one in (*places, *even)]
    concentration = (np.array(counts) ** 2.0).sum(1) / 4000**2
    assert concentration[:12].std() > 2.5 * concentration[12:].std()


def test_samples_do_not_depend_on_what_is_drawn_with_them():
    surveys, intensity = one_line(50)
    many = joint_places(surveys, intensity, model(), seed=4, numbers=range(5))
    for number in (0, 3):
        (one,) = joint_places(surveys, intensity, model(), seed=4, numbers=[number])
        assert np.array_equal(one, many[number])


def test_metadata_hold_them():
    found = model(
        radius=3.0, tilt=0.01, uncertainty=0.02, contrast=tuple((1.1, 1, 1, 1, 0.9) for _ in K)
    )
    again = Fluctuations.of({"fluctuations": found.to_metadata()})
    assert again == found
    assert Fluctuations.of({}) is None
    with pytest.raises(ValueError, match="fluctuations of the metadata must be those of a"):
        Fluctuations.of({"fluctuations": {"k": [1, 2]}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": (0.1,)}, "k must be at least two rising wavenumbers"),
        ({"k": (0.2, 0.1)}, "k must be at least two rising wavenumbers"),
        ({"power": ((1.0, 2.0),)}, "power must be a table of 2 x 2 positive numbers"),
        ({"power": ((1.0, 2.0), (0.0, 1.0))}, "power must be a table of 2 x 2 positive numbers"),
        ({"contrast": ((1.0, 2.0),)}, "contrast must be a table of 2 x 2 positive numbers"),
        ({"uncertainty": -0.1}, "uncertainty must be at least 0, not -0.1"),
        ({"radius": 0.0}, "radius must be positive, not 0.0"),
    ],
)
def test_what_is_no_spectrum_is_refused(change, words):
    given = {"k": (0.1, 1.0), "power": ((1.0, 1.0), (1.0, 1.0))} | change
    with pytest.raises(ValueError, match=words):
        Fluctuations(**given)


def test_more_samples_than_are_drawn_at_once_are_the_same(monkeypatch):
    surveys, values = one_line(50)
    several = joint_places(surveys, values, model(), seed=1, numbers=[0, 3, 1])
    monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", 2)
    np.testing.assert_array_equal(
        joint_places(surveys, values, model(), seed=1, numbers=[0, 3, 1]), several
    )
