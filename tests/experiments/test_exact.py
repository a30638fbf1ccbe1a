"""The lognormal world, its posterior, the sampler, and the exact estimate."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from truez.evaluate.box_redshifts import redshift_numbers
from truez.evaluate.judge import Judge
from truez.experiments.benchmark import Job, benchmark_stages
from truez.experiments.benchmark.run import read_measured
from truez.experiments.benchmark.settings import EXACT_SEEDS, SETTINGS
from truez.experiments.exact import LognormalWorld, Posterior, Sampling, sample
from truez.experiments.exact.diagnostics import effective_size, split_rhat
from truez.experiments.exact.estimate import exact_field, exact_numbers, exact_sigma, posteriors
from truez.experiments.exact.hmc import StepSize, Walker
from truez.experiments.exact.results import exact_result, stored_result, write_result
from truez.experiments.exact.sampling import mean_intensity
from truez.experiments.stages import run_stages, up_to_date
from truez.mesh.field import Field
from truez.statistics.power import power

pytestmark = pytest.mark.usefixtures("rough_figures")
torch.set_num_threads(1)

#: Denser than the one of the benchmark, so that 16^3 cells hold galaxies enough.
SMALL = LognormalWorld(meshsize=(16, 16, 16), photo_density=4e-2, spec_density=4e-3, sigma_z=5e-3)


@pytest.fixture(scope="module")
def observed():
    return SMALL.observe(1)


@pytest.fixture(scope="module")
def drawn(observed):
    return sample(observed, Sampling(2, 40, 150))


# The world


@pytest.mark.medium
def test_galaxies_are_those_of_the_intensities(observed):
    world = LognormalWorld(meshsize=(32, 32, 64))
    numbers = [(len(o.other), len(o.spec)) for o in map(world.observe, range(1, 9))]
    cells = math.prod(world.meshsize)
    for found, expected in zip(np.mean(numbers, axis=0), world.expected, strict=True):
        assert found == pytest.approx(expected * cells, rel=0.1)
    field = np.stack([world.observe(seed).field for seed in (1, 2)])
    assert field.var() == pytest.approx(world.variance, rel=0.1)
    other = observed.world.intensities(observed.field)[0]
    counts = np.zeros(SMALL.meshsize)
    np.add.at(counts, tuple(observed.cells(observed.other).T), 1)
    excess = (counts - other) / np.sqrt(other)
    assert excess.mean() == pytest.approx(0, abs=0.06)
    assert (excess**2).mean() == pytest.approx(1, abs=0.15)


def test_the_spectrum_is_the_one_asked_for():
    """On large scales of real space that of galaxies of the given bias."""
    world = replace(LognormalWorld(), meshsize=(32, 32, 32), cellsize=4.0, redshift_space=False)
    found = []
    edges = np.array([0.04, 0.1, 0.2, 0.3])
    for seed in range(1, 25):
        rng = np.random.default_rng(seed)
        field = world.field(rng.standard_normal(world.meshsize))
        density = np.exp(field - world.variance / 2) - 1
        delta = Field(torch.from_numpy(density.astype(np.float32)), world.box, "delta")
        measured = power(delta, edges=edges, ells=(0,))
        found.append(measured.poles[0])
        k = measured.k
    wanted = world.bias**2 * world.cosmology.linear_power(k, world.redshift)
    wanted *= 1 + (k / world.knee) ** world.power
    assert np.mean(found, axis=0) == pytest.approx(wanted, rel=0.15)


def test_a_seed_is_one_universe(observed):
    again = SMALL.observe(1)
    assert again.fingerprint == observed.fingerprint == observed.mock.source["fingerprint"]
    assert SMALL.observe(2).fingerprint != observed.fingerprint
    mock = observed.mock
    assert mock.surveys.num_both == len(observed.spec)
    assert np.array_equal(mock.truth[mock.surveys.matched], mock.surveys.spec)
    assert np.array_equal(mock.truth[:, :2], mock.surveys.photo[:, :2])


# The posterior


def test_gradient_is_that_of_the_energy(observed):
    posterior = Posterior(observed)
    rng = np.random.default_rng(1)
    y = posterior.from_noise(rng.standard_normal(SMALL.meshsize))
    _, gradient = posterior.energy_and_gradient(y)
    along = posterior.modes(rng.standard_normal(SMALL.meshsize).astype(np.float32))
    slope = float(((gradient * along.conj()).real * posterior.weights).sum())
    up, down = (posterior.energy((y + e * along).astype(np.complex64)) for e in (0.01, -0.01))
    assert slope == pytest.approx((up - down) / 0.02, rel=1e-2)


def test_energy_is_that_of_the_poisson_counts(observed):
    posterior = Posterior(observed)
    counts, spec = (c.numpy().astype(float) for c in observed.counts())
    kernel = posterior.kernel.matrix.numpy().astype(float)

    def wanted(noise):
        field = SMALL.field(noise)
        other, known = SMALL.intensities(field)
        seen = other @ kernel.T
        energy = (noise**2).sum() / 2 + known.sum() + other.sum()
        return energy - (spec * np.log(known)).sum() - (counts * np.log(seen)).sum()

    rng = np.random.default_rng(2)
    one, two = rng.standard_normal((2, *SMALL.meshsize))
    found = posterior.energy(posterior.from_noise(one)) - posterior.energy(
        posterior.from_noise(two)
    )
    assert found == pytest.approx(wanted(one) - wanted(two), rel=1e-3)


@pytest.mark.medium
def test_in_the_linear_limit_the_mean_is_that_of_the_wiener_filter():
    """A field of small amplitude, of which many galaxies make counts with Gaussian errors."""
    world = replace(SMALL, photo_density=40.0, spec_density=10.0, amplitude=0.02, slope=1.0)
    observed = world.observe(3)
    posterior = Posterior(observed)
    rng = np.random.default_rng(4)
    walker = Walker(
        posterior, posterior.from_noise(rng.standard_normal(world.meshsize)), rng, StepSize(0.2)
    )
    for _ in range(30):
        walker.move(learn=True)
    walker.step.fix()
    mean = 0.0
    for _ in range(300):
        walker.move()
        mean = mean + posterior.scale * walker.y
    mean = mean / 300
    other, spec = world.expected
    counts, known = (c.numpy() for c in observed.counts())
    phi = world.error.characteristic(
        torch.from_numpy(2 * math.pi * np.fft.rfftfreq(world.meshsize[2], world.cellsize))
    ).numpy()
    signal = world.transfer**2
    data = (
        phi * posterior.modes(counts / other - 1) * other + posterior.modes(known / spec - 1) * spec
    )
    wiener = signal * data / (1 + signal * (phi**2 * other + spec))
    error = np.sqrt(posterior.square((mean - wiener).astype(np.complex64)))
    scatter = math.sqrt(((signal / posterior.precision) * posterior.weights).sum())
    # The mean of 300 draws has a scatter of its own.
    assert error < 2.5 * scatter / math.sqrt(300)
    assert error < 0.2 * math.sqrt(posterior.square(wiener.astype(np.complex64)))


# The sampler


def test_diagnostics_of_known_chains():
    rng = np.random.default_rng(1)
    white = rng.standard_normal((4, 1000))
    assert split_rhat(white) == pytest.approx(1, abs=0.01)
    assert effective_size(white) == pytest.approx(4000, rel=0.2)
    assert split_rhat(white + np.arange(4)[:, None]) > 1.5
    slow = np.zeros((4, 1000))
    for i in range(1, 1000):
        slow[:, i] = 0.8 * slow[:, i - 1] + white[:, i]
    assert effective_size(slow) == pytest.approx(4000 / 9, rel=0.35)
    with pytest.raises(ValueError) as error:
        split_rhat(np.zeros(5))
    assert str(error.value) == "values must be chains of 4 draws or more, not of shape (5,)"


def test_chains_mix(drawn):
    draws, summaries = drawn
    assert draws.number == 300
    for found in summaries.values():
        assert found["rhat"] < 1.1
        assert found["ess"] > 30
    assert all(0.5 < chain["accepted"] <= 1 for chain in draws.chains)


@pytest.mark.slow
def test_ranks_of_the_truth_are_flat():
    ranks = []
    for seed in range(1, 61):
        _, summaries = sample(SMALL.observe(seed), Sampling(1, 30, 100))
        ranks.append([found["rank"] for found in summaries.values()])
    ranks = np.array(ranks)
    # The scatter of a mean of 60 even numbers is 0.037; cells of one box know little of another.
    assert np.abs(ranks.mean(axis=0) - 0.5).max() < 0.14
    shares = np.histogram(ranks, 5, (0, 1 + 1e-9))[0] / ranks.size
    assert shares == pytest.approx([0.2] * 5, abs=0.05)


def test_an_interrupted_run_continues_with_the_same_numbers(observed, tmp_path):
    how = Sampling(2, 3, 4)
    whole, _ = sample(observed, how)
    state = tmp_path / "state.h5"

    def stop(task, done, total, note=""):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(observed, how, state=state, interval=0.0, progress=stop)
    told = []
    again, _ = sample(
        observed, how, state=state, progress=lambda task, done, *rest: told.append(done)
    )
    assert told[0] == 9
    assert np.array_equal(again.probability, whole.probability)
    assert again.traces == whole.traces
    assert again.chains == whole.chains


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A benchmark of small lognormal boxes alone."""
    world = LognormalWorld(meshsize=(32, 32, 64))
    setting = replace(SETTINGS["lognormal"], world=world, seeds=(1, 2))
    job = Job(
        folder=tmp_path_factory.mktemp("judged") / "run",
        settings=[setting],
        draws=0,
        controls=False,
        exact=True,
        sampling=Sampling(2, 15, 30),
    )
    run_stages(job.folder, benchmark_stages(job))
    return job


@pytest.mark.slow
def test_the_benchmark_has_the_exact_posterior_beside_the_methods(judged):
    (measured,) = read_measured(judged)
    assert measured.methods[-1] == "exact"
    assert measured.ratio("exact", "wiener", "mse").mean < 1
    nats = [measured.number(n, "nats_own_place").mean for n in ("redistribution", "exact")]
    assert nats[0] < nats[1]
    tables = (judged.folder / "tables.md").read_text(encoding="utf-8")
    assert "### lognormal: beside the exact posterior" in tables
    assert "with the exact posterior the MSE is" in tables
    assert "to the same 2 boxes of 64 x 64 x 128 Mpc/h (seeds 1, 2," in tables
    assert not list((judged.folder / "exact").iterdir())


@pytest.mark.slow
def test_results_that_are_not_stored_are_sampled_at_request(judged):
    job = replace(judged, exact=False)
    stages = benchmark_stages(job)
    assert {s.name for s in stages} - up_to_date(job.folder, stages) == {"page"}
    (measured,) = read_measured(job)
    assert "exact" not in measured.methods
    assert measured.absent["exact"] == "its results are not stored for these boxes (--exact)"


# The estimate


def test_the_exact_estimate_is_better_than_what_knows_less(observed, drawn):
    draws, _ = drawn
    mock = observed.mock
    truth, photo, _ = mock.fields()
    judge = Judge(truth, radii=(4.0,), scores=("mse",))
    exact = exact_numbers(observed, draws, judge)
    assert exact["mse"] < judge.judge(photo)["mse"]
    assert exact["mean"] == pytest.approx(0, abs=1e-5)
    even = torch.ones(SMALL.meshsize)
    assert exact["posteriors"]["nats_own_place"] > 0.05
    assert exact["posteriors"]["nats_own_place"] > exact["posteriors"]["nats"] > 0
    assert redshift_numbers(mock, even)["nats"] == pytest.approx(0, abs=1e-5)
    assert 50 < exact["posteriors"]["inside_68"] < 85
    assert exact["sigma_calibration"]["all"] == pytest.approx(1, abs=0.35)


@pytest.mark.slow
def test_what_finite_draws_take_away_is_given_back():
    """Few draws, corrected, are as good as many, on average over the galaxies of some boxes."""
    few, corrected, many = [], [], []
    for seed in (1, 2):
        observed = SMALL.observe(seed)
        judge = Judge(observed.mock.fields().truth, radii=(4.0,), scores=("mse",))
        for how, found in ((Sampling(4, 25, 10), corrected), (Sampling(2, 40, 400), many)):
            entry = exact_numbers(observed, sample(observed, how)[0], judge)
            found.append((entry["mse"], entry["posteriors"]["nats_own_place"]))
            if found is corrected:
                noise = entry["noise"]
                assert noise["mse"] > 0 > -noise["nats_own_place"]
                few.append((entry["mse"] + noise["mse"], found[-1][1] - noise["nats_own_place"]))
    away = np.abs(np.mean(corrected, axis=0) - np.mean(many, axis=0))
    assert (away < 0.7 * np.abs(np.mean(few, axis=0) - np.mean(many, axis=0))).all()


def test_posteriors_are_means_of_probabilities(observed, drawn):
    draws, _ = drawn
    rows = torch.cat([some.probability for some in posteriors(observed, draws)])
    assert rows.shape == (len(observed.other), SMALL.meshsize[2])
    assert rows.sum(1).numpy() == pytest.approx(1, rel=1e-5)
    field = exact_field(observed, draws)
    painted = torch.from_numpy(draws.painted / draws.number).float()
    level = len(observed.mock.truth) / painted.numel()
    # The same mean by drawn catalogues, but for their scatter.
    scatter = exact_sigma(observed, draws) / math.sqrt(draws.number)
    assert float((field.values - (painted / level - 1)).std()) < 1.5 * scatter
    assert float(mean_intensity(draws).mean()) == pytest.approx(1, rel=0.3)


# What is stored


def test_a_result_is_written_and_read(observed, tmp_path):
    def judge_of(truth):
        return Judge(truth, radii=(4.0,))

    found = exact_result(SMALL, 1, Sampling(1, 3, 8), judge_of)
    write_result(tmp_path / "1.json", found)
    assert found["fingerprint"] == observed.fingerprint
    assert set(found["methods"]) == {"exact"}
    assert stored_result(SMALL, 1) is None


@pytest.mark.parametrize("seed", EXACT_SEEDS)
def test_stored_results(seed):
    world = SETTINGS["lognormal"].world
    found = stored_result(world, seed)
    assert found["seed"] == seed
    summaries = found["chains"]["summaries"].values()
    # The power on the largest scales, of a few modes, mixes most slowly.
    assert max(one["rhat"] for one in summaries) < 1.3
    assert min(one["ess"] for one in summaries) > 5
    assert np.median([one["ess"] for one in summaries]) > 50
    # The truth is one draw more.
    ranks = [one["rank"] for one in summaries]
    assert 0.2 < np.mean(ranks) < 0.8
    assert found["methods"]["exact"]["posteriors"]["pit_worst_tenth"] < 1
    assert stored_result(replace(world, slope=1.3), seed) is None
