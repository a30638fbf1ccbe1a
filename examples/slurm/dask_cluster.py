"""A run of a partition on SLURM jobs that dask starts and replaces (pip install dask-jobqueue).

    python dask_cluster.py /shared/divided /shared/run --match-id ID --z-err-column Z_ERR

It needs the file system of both folders and truez on all nodes. Run it again to go on.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

JOBS = 64


def main() -> int:
    """Start the cluster, and run the command on it."""
    partition, run, *options = sys.argv[1:]
    # One patch at a time in a process, on one core, in as much memory as --dry-run says.
    with SLURMCluster(
        cores=1,
        processes=1,
        memory="5GB",
        walltime="08:00:00",
        job_extra_directives=["--job-name=truez"],
        job_script_prologue=["export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1"],
    ) as cluster:
        cluster.scale(jobs=JOBS)
        command = ["truez", "run", partition, *options, "--out", run]
        return subprocess.call([*command, "--scheduler", cluster.scheduler_address])


if __name__ == "__main__":
    sys.exit(main())
