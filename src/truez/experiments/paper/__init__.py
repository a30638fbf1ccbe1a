"""The paper, arXiv:2504.06309, whole: simulation, surveys, network, statistics and figures."""

from truez.experiments.paper.job import Job
from truez.experiments.paper.recipe import PaperRecipe
from truez.experiments.paper.run import paper_stages, prepare
from truez.experiments.records import Record, read_records
from truez.experiments.stages import Stage, run_stages

__all__ = [
    "Job",
    "PaperRecipe",
    "Record",
    "Stage",
    "paper_stages",
    "prepare",
    "read_records",
    "run_stages",
]
