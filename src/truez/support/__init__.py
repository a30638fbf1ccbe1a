"""Files, progress, provenance and threads: no physics."""
