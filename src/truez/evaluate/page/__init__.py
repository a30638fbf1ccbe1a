"""Pages that hold the results of a run."""
