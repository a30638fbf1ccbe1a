"""The benchmark: every method on the same simulated boxes, which no network has seen.

Each setting of the two surveys (`truez.benchmark.settings`) is seen in each box; all methods
(`truez.benchmark.methods`) estimate its density, and each estimate is judged as soon as it is made
(`truez.benchmark.judge`). `benchmark_stages` is the way from universes to the page.
"""

from truez.benchmark.run import benchmark_stages
from truez.benchmark.settings import SETTINGS, Job, Setting

__all__ = ["SETTINGS", "Job", "Setting", "benchmark_stages"]
