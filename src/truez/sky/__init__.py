"""The sky: footprints as patches, each a sky box with a core of its own and a halo around it."""
