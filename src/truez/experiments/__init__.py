"""Experiments that run in stages: the paper, the benchmark, the demo, and their recipes."""
