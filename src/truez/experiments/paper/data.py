"""The data of the paper: universes, the two surveys of each, and the fields of the test part."""

from __future__ import annotations

from typing import Any

from truez.catalogs.catalog import Catalog
from truez.evaluate.judge import edges_of
from truez.evaluate.labels import WIENER
from truez.experiments.paper.job import SURVEYS, Job
from truez.linear.fit import fit_linear_model
from truez.mesh.fourier import total
from truez.reconstruct import reconstruct
from truez.simulate import catalog_from_galaxies, read_galaxies
from truez.statistics.results import write_table
from truez.support.progress import Progress
from truez.support.provenance import versions
from truez.surveys.mock import MOCK_FILES, MockConfig
from truez.surveys.observe import make_mock


def make_universe(job: Job, name: str, progress: Progress) -> None:
    """Simulate the universe ``name``; a broken-off simulation goes on from its last step."""
    universe = job.recipe.universe.with_seed(job.recipe.seeds[name])
    checkpoint = job.folder / f"universe{name}.checkpoint"
    galaxies = universe.make(device=job.device, checkpoint=checkpoint, progress=progress)
    catalog_from_galaxies(galaxies).write(job.folder / f"universe{name}.parquet")
    checkpoint.unlink(missing_ok=True)


def see(job: Job, name: str, progress: Progress) -> None:
    """Make the two surveys of the universe ``name``, or of the user's own catalogue."""
    progress("mock", 0, 2, "reading")
    config = job.recipe.mock_config(name, catalogue=job.catalogue is not None)
    given = _universe(job, name) if job.catalogue is None else _catalogue(job, config)
    progress("mock", 1, 2, "observing")
    mock = make_mock(box=job.recipe.box, config=config, **given)
    given.clear()  # the galaxies
    mock.write(job.folder / f"mock{name}")
    progress("mock", 2, 2)


def _universe(job: Job, name: str) -> dict[str, Any]:
    """Arguments of `make_mock` for a simulated universe."""
    galaxies = read_galaxies(job.folder / f"universe{name}.parquet")
    particles = " x ".join(str(n) for n in galaxies.box.meshsize)
    words = f"galaxies in an N-body simulation of {particles} particles"
    return {
        "positions": galaxies.positions,
        "velocities": galaxies.velocities[:, 2],
        "columns": {"mass": galaxies.mass},
        "source": {"catalogue": words, **galaxies.metadata},
    }


def _catalogue(job: Job, config: MockConfig) -> dict[str, Any]:
    """The same for the user's own catalogue."""
    assert job.catalogue is not None
    settings, moved = job.recipe.boxes.catalogue, config.redshift_space
    columns = [*settings.positions, settings.rank_by, *(settings.velocities if moved else ())]
    catalog = Catalog.read(job.catalogue, list(dict.fromkeys(columns)))
    los = settings.los
    return {
        "positions": catalog.positions(
            settings.positions, length_unit=settings.length_unit, hubble=settings.hubble, los=los
        ),
        "velocities": catalog.velocities(settings.velocities, los=los)[:, 2] if moved else None,
        "columns": {settings.rank_by: catalog[settings.rank_by]},
        "source": {"catalogue": job.catalogue.name, **settings.model_dump(exclude_none=True)},
    }


def paint_surveys(job: Job, progress: Progress) -> None:
    """Paint truth, photo and spec on the whole box, and keep their test part."""
    progress("paint", 0, 1)
    mock = job.mock("test")
    for name, field in zip(SURVEYS, mock.fields(job.recipe.boxes.resampler), strict=True):
        part = field.crop(*job.recipe.regions["test"])
        metadata = {**part.metadata, "mock": mock.fingerprint, "versions": versions()}
        job.write(name, part, metadata)
    progress("paint", 1, 1)


def filter_surveys(job: Job, progress: Progress) -> None:
    """The Wiener filters of the whole box, and the linear optimum in the bins of the spectra."""
    from astropy.table import Table

    region, resampler = job.recipe.regions["test"], job.recipe.boxes.resampler
    mock = job.mock("test")
    progress("wiener", 0, 5, "painting")
    spec, photo = mock.surveys.spec_field(resampler), mock.surveys.photo_field(resampler)
    progress("wiener", 1, 5, "fitting the observed spectra")
    model = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys, resampler=resampler)
    made = {
        **mock.surveys.describe(),
        "mock": mock.fingerprint,
        "resampler": resampler,
        "linear_model": model.summary(),
        "versions": versions(),
    }
    # Of a whole box the galaxies take as much room as its fields.
    del mock
    for number, (name, use) in enumerate(WIENER.items()):
        progress("wiener", 2 + number, 5, name)
        field = model.wiener(spec=spec, photo=photo, use=use).crop(*region)
        job.write(name, field, {**made, "method": name})
    part = spec.box.crop(*region)
    edges = edges_of(part)
    table = Table(
        {
            "k_low": edges[:-1],
            "k_high": edges[1:],
            **{f"r_opt_{use}": model.r_opt_shells(edges, part, use) for use in WIENER.values()},
        }
    )
    table.meta.update({"truez": "LinearOptimum"})
    write_table(table, job.folder / "results/optimum.ecsv")
    progress("wiener", 5, 5)


def measure_levels(job: Job, progress: Progress) -> None:
    """Losses on the validation part of what needs no network: the zero field and the Wiener."""
    from astropy.table import Table

    progress("levels", 0, 2)
    region, resampler = job.recipe.regions["validation"], job.recipe.boxes.resampler
    mock = job.mock("validation")
    if job.recipe.boxes.split == "paper":
        wiener = job.field("wiener")
        truth = job.field("truth")
    else:
        wiener = reconstruct(mock.surveys, "wiener", resampler=resampler).delta.crop(*region)
        progress("levels", 1, 2)
        truth = mock.fields(resampler)[0].crop(*region)
    errors = {"zero": truth.values, "wiener": wiener.values - truth.values}
    losses = [total(error**2) / truth.box.num_cells for error in errors.values()]
    table = Table({"field": list(errors), "mse": losses})
    table.meta.update({"truez": "Levels"})
    write_table(table, job.folder / "results/levels.ecsv")
    progress("levels", 2, 2)


def mock_files(name: str) -> tuple[str, ...]:
    """The files of the mock folder of a universe."""
    return tuple(f"mock{name}/{file}" for file in MOCK_FILES)
