"""Reconstruction of a partition, each patch by itself: in one process, in many, on a cluster.

A run is a folder::

    run.json                    what is done: the partition, the surveys, the method (`run_plan`)
    settled.json                what all patches share, as far as it is settled (`first_pass`)
    first/model-00012.npz       what a patch has to say of it, in the first pass
    fields/patch-00012.h5       the field in the core of a patch (`truez.sky.field_file`)
    redshifts/patch-00012.parquet
                                sharpened redshifts of the galaxies of the core, with ``truez_row``
    pdfs/patch-00012.parquet    their p(z) as quantiles, in the same order
    patches/patch-00012.json    written last: the patch is whole
    failed/patch-00012.json     why a patch has failed, until it is made

1. `settle` measures what all patches share on a sample of the galaxies and on some patches of each
   shell: N(z), classes of errors, the linear model, the amplitude, the strength of pairs.
2. `patch.make_patch` is the one function that makes a patch, wherever it runs. It needs the two
   folders alone, so that no result depends on the number of workers or their order.
3. `join` writes one field, and one catalogue in the order of the input.

`workers` has the places where patches are made: this process, processes of this machine, a dask
cluster. A batch system without dask runs `patch.make_patch` by ``truez run-patch``.
"""
