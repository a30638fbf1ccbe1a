"""The paper, arXiv:2504.06309, whole: simulation, surveys, network, statistics and figures."""

from truez.paper.job import Job
from truez.paper.recipe import PaperRecipe
from truez.paper.run import paper_stages, prepare
from truez.paper.stages import Record, Stage, read_records, run_stages

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
