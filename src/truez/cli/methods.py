"""Names of the methods of reconstruction, for help and errors."""

#: Those of `truez.reconstruct.METHODS`, which is slow to import.
METHODS = (
    "columns", "columns-median", "redistribution", "redistribution-median", "wiener",
    "wiener-spec", "wiener-photo", "dual-unet",
)  # fmt: skip
#: Those with a posterior of single galaxies.
METHODS_WITH_POSTERIORS = METHODS[:4]
