"""The benchmark: every method on the same simulated boxes, which no network has seen.

Each setting of the two surveys (`truez.experiments.benchmark.settings`) is seen in each box; all
methods (`truez.experiments.benchmark.methods`) estimate its density, and each estimate is judged as
soon as it is made (`truez.experiments.benchmark.judge`). `benchmark_stages` is the way from
universes to the page.
"""

from truez.experiments.benchmark.run import benchmark_stages
from truez.experiments.benchmark.settings import SETTINGS, Job, Setting

__all__ = ["SETTINGS", "Job", "Setting", "benchmark_stages"]
