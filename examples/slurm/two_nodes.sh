#!/bin/bash
# The array without SLURM: two jobs at a time, each in a working directory of its own, as on two
# nodes that share nothing but the folders.
#
#   bash two_nodes.sh /shared/divided /shared/run --match-id ID --z-err-column Z_ERR
set -euo pipefail
partition=$(realpath "$1")
run=$(realpath -m "$2")
shift 2

export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
truez run "$partition" "$@" --plan "$run"
pids=()
for job in 0 1; do
    node=$(mktemp -d)
    (cd "$node" && SLURM_ARRAY_TASK_ID=$job exec truez run-patch "$run" --jobs 2 --threads 1) &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
truez join "$run" --field "$run/field.h5" --redshifts "$run/redshifts.parquet"
