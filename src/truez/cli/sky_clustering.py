"""``truez redshifts --clustering``: the draws as catalogues for clustering codes.

Nothing heavy is imported here: the help page must appear at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from truez.cli import options
from truez.cli.sky_options import SkyRedshiftOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from truez.cli.sky import SkyRun
    from truez.sky.reconstruct import SharpenedRedshifts
    from truez.support.progress import Progress


def claim_clustering(
    how: SkyRedshiftOptions, out: str, *, overwrite: bool, dry_run: bool
) -> None:  # fmt: skip
    """Raise an error before any work if the folder must not be written, or nothing is drawn.

    Parameters
    ----------
    how : SkyRedshiftOptions
        With a folder.
    out : str
        The catalogue of the command.
    overwrite, dry_run : bool
        Whether an earlier result may be replaced, and whether nothing is written.

    Raises
    ------
    ValueError
    """
    from truez.sky.clustering import SAYS, WHOLE, draw_name, file_names

    folder = str(how.clustering)
    if not how.draws:
        raise ValueError("--clustering writes draws of the redshifts: give --draws as well")
    if dry_run:
        return
    if Path(folder).resolve() == Path(out).resolve():
        raise ValueError(f"--out and --clustering must be two places, not both {folder}")
    options.claim_folder(
        folder, file_names(how.draws), last=WHOLE, says=SAYS, maker="truez redshifts",
        overwrite=overwrite, option="--clustering",
    )  # fmt: skip
    more = Path(folder) / draw_name(how.draws)
    if more.exists():
        raise ValueError(
            f"{more} would be left of an earlier result with more draws: remove that folder, or "
            "give another --clustering"
        )


def ready_to_cluster(run: SkyRun, how: SkyRedshiftOptions) -> NDArray[np.int64] | None:
    """TARGETID of the galaxies where --match-id names a column of whole numbers, else None.

    Raises
    ------
    ValueError
        If the disk does not hold the catalogues.
    """
    if how.clustering is None:
        return None
    from truez.sky.clustering import ROW
    from truez.support.disk import check_disk

    rows = (how.draws + how.randoms_factor) * int(run.surveys.usable.sum())
    check_disk(ROW * rows, how.clustering, option="--clustering",
               less=", or a smaller --randoms-factor")  # fmt: skip
    return _targets(run.photo, run.surveys.metadata.get("match_id"))


def _targets(photo: str, match_id: str | None) -> NDArray[np.int64] | None:
    import numpy as np

    from truez.catalogs import formats
    from truez.catalogs.catalog import Catalog
    from truez.catalogs.coordinates import find_columns
    from truez.sky.columns import id_columns

    columns = id_columns(match_id)[1] if match_id else []
    if len(columns) != 1:
        return None
    name = find_columns(columns, list(formats.header(Path(photo)).columns), photo)[0]
    values = Catalog.read(photo, [name])[name]
    if values.dtype.kind not in "iu" or np.ma.getmaskarray(values).any():
        return None
    return np.asarray(values).astype(np.int64)


def cluster(
    run: SkyRun, how: SkyRedshiftOptions, found: SharpenedRedshifts,
    ids: NDArray[np.int64] | None, progress: Progress,
) -> str:  # fmt: skip
    """Write the folder, and return what is to be printed of it; nothing without --clustering."""
    if how.clustering is None:
        return ""
    from truez.sky.clustering import ClusteringSettings, write_clustering

    settings = ClusteringSettings(randoms_factor=how.randoms_factor, seed=how.seed)
    about: dict[str, Any] = {name: found.metadata[name] for name in ("method", "versions")}
    about["draws_seed"] = how.seed
    written = write_clustering(
        how.clustering, run.surveys, found.draws, reach=found.reach, settings=settings, ids=ids,
        metadata=about, progress=progress,
    )  # fmt: skip
    return f"{how.clustering}: {written}"


def check_clustered(how: SkyRedshiftOptions) -> None:
    """Raise an error if the folder was removed while the catalogue of the command was written.

    Raises
    ------
    FileNotFoundError
    """
    if how.clustering is None:
        return
    from truez.sky.clustering import file_names

    if not all((Path(how.clustering) / name).is_file() for name in file_names(how.draws)):
        raise FileNotFoundError(
            f"{how.clustering} or what truez wrote there was removed in the meantime: run the "
            "command again"
        )
