"""The one judge: a field, the truth and a region give numbers, tables, pictures and one page.

judge       numbers of one field, as `store` keeps them in a file; `box_redshifts` has those of its
            redshifts
store       the file, and what is summed up from it: shells, bands, single numbers
summary     means over boxes, with their errors
labels      what readers see instead of names
tables      every table
sample_bands  what posterior samples of a file show beside their estimate and the truth: the mean
            and the central 68% of their power, r, xi and one-point PDF
coverage    whether samples of simulated boxes are right: coverage (TARP), ranks, spread and error
estimates   what can be judged
evaluation  all fields of a box, or of a mock, together; `results` is what that finds
sky         the same for mocks on the sky; `sky.evaluation.evaluate_sky` judges them
figures, page
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from truez.support.progress import Progress, silent

if TYPE_CHECKING:
    from truez.evaluate.results import Evaluation
    from truez.surveys.mock import Mock

__all__ = ["evaluate"]


def evaluate(
    mock: Mock,
    *,
    region: str = "auto",
    smoothing: Sequence[float] = (0, 4, 8),
    progress: Progress = silent,
    **estimates: Any,
) -> Evaluation:
    """Judge estimates of a mock beside its truth, its two surveys and the linear optimum.

    Parameters
    ----------
    mock : Mock
        The two surveys of a simulation, and the truth.
    region : {"auto", "all", "evaluation", "train", "validation", "test"}
        Where to judge: the whole box, without the trimmed ends of the line of sight, or one of the
        parts for training. ``auto`` is test if a network trained on this mock is among the
        estimates, else evaluation.
    smoothing : sequence of float
        Gaussian radii [Mpc/h] of the smoothed scores.
    progress : Progress
        Called as fields are judged.
    **estimates : Field or Reconstruction
        Overdensities on the mock's box, by any names. With a sigma of each cell the result holds
        how well it is calibrated, with an intensity what the redshifts of galaxies have gained and
        how well they are calibrated.

    Returns
    -------
    Evaluation
        With ``to_table()``, ``plot()`` and ``write(folder)``.

    Raises
    ------
    ValueError
        If the mock is none, the region is unknown, or an estimate is not one of this mock.

    Examples
    --------
    >>> import truez
    >>> from truez.evaluate import evaluate
    >>> galaxies = truez.Universe(boxsize=96, num_particles=32, density=2e-2, seed=1).make()
    >>> config = truez.MockConfig(
    ...     redshift=0.59, cosmology=truez.COSMOLOGIES["wmap"], sigma_z=0.004, rank_by="mass",
    ...     redshift_space=False, spec=truez.Selection(density=2e-3),
    ... )
    >>> mock = truez.make_mock(
    ...     galaxies.positions, truez.Box.from_cellsize(96, 4), config,
    ...     columns={"mass": galaxies.mass},
    ... )
    >>> found = evaluate(mock, wiener=truez.estimate(mock.surveys, "wiener"))
    >>> found.to_table()["field"].tolist()
    ['zero', 'empty', 'photo', 'spec', 'wiener']
    """
    from truez.evaluate.evaluation import evaluate_mock
    from truez.surveys.mock import Mock

    if not isinstance(mock, Mock):
        raise ValueError(
            f"mock must be a Mock, as truez.make_mock returns it, not {type(mock).__name__} (those "
            "on the sky are judged by truez.evaluate.sky.evaluation.evaluate_sky)"
        )
    return evaluate_mock(mock, estimates, region=region, smoothing=smoothing, progress=progress)
