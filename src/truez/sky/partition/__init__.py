"""Surveys larger than memory: catalogues divided among patches, each of which is read by itself.

A partition is a folder::

    plan.json               what the patches are made from (`patch_plan`)
    footprint-0.parquet     pixels of the footprint, where it is not of rectangles
    photo/                  the photometric catalogue
        manifest.json       the input, its files and columns; rows of each patch when it is whole
        patch-00012.parquet galaxies of patch 12 in the order of the input: those of its core, and
                            those around it that it needs
        rest.parquet        galaxies in no core: outside the footprint or the redshifts of the map,
                            or without a redshift
        counts.parquet      galaxies per HEALPix pixel (nside 32, nested) and redshift (0.01)
        runs/               only while the pass is under way: galaxies sorted by patch
    spec/                   the same of the spectroscopic catalogue, where there is one
    shared/                 samples of both, on which is measured what all patches share (`sample`)

Files of patches have the columns of the input as they are, and two more: ``truez_row``, the number
of the row in the input (from 0 through all of its files), and ``truez_core``, whether the galaxy is
in the core. Each row of the input is once in a core, or once in the rest, so that results are put
into the input's order by ``truez_row``.

A HATS catalogue is not copied: its folder has a manifest that names it, and patches are read from
it.

`making` makes such a folder, by the pass of `divide` in bounded memory, `stored` reads patches from
it, `shared` has what they share, and `patch_surveys` makes the surveys of one patch from both.
"""
