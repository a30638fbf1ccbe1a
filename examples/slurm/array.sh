#!/bin/bash
# A run of a partition as a SLURM array, without dask: plan, patches, join.
#
#   bash array.sh /shared/divided /shared/run
#
# Both folders are on a file system that all nodes see. Run it again to go on: patches that have
# been made are left as they are.
set -euo pipefail
partition=$1
run=$2
jobs=${JOBS:-64}    # of the array, each of one core
options=(--match-id ID --z-err-column Z_ERR)    # what truez run is to know of the columns

# 1. The first pass: what all patches share, on some of them.
plan=$(sbatch --parsable --job-name=truez-plan --cpus-per-task=8 --mem=32G --time=4:00:00 \
    --wrap="truez run '$partition' ${options[*]} --workers 8 --plan '$run'")

# 2. The patches: job I of the array makes patches I, I + 64, ...
patches=$(sbatch --parsable --job-name=truez-patches --dependency="afterok:$plan" \
    --array="0-$((jobs - 1))" --cpus-per-task=1 --mem=5G --time=8:00:00 \
    --wrap="truez run-patch '$run' --jobs $jobs --threads 1")

# 3. One field and one catalogue, once all have ended; it names the patches that are missing.
sbatch --job-name=truez-join --dependency="afterany:$patches" --cpus-per-task=1 --mem=4G \
    --time=4:00:00 --wrap="truez join '$run' --field '$run/field.h5' \
--redshifts '$run/redshifts.parquet'"
