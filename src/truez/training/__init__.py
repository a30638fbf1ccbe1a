"""Training: samples of mocks and of simulated universes, the loop, and the state of a run."""

from truez.training.column_samples import ColumnSamples, ColumnsConfig
from truez.training.column_training import ColumnLoss, ColumnValidation, column_validation
from truez.training.config import TrainingConfig
from truez.training.folder import Run
from truez.training.loop import train
from truez.training.ranks import Ranks, joined
from truez.training.run import split, train_on_mock, train_on_universes
from truez.training.samples import Samples, Source
from truez.training.state import State
from truez.training.survey_pool import ViewPool, make_views
from truez.training.survey_run import train_on_views
from truez.training.survey_samples import SurveySamples
from truez.training.survey_training import SurveyLoss, SurveyValidation, ViewsConfig
from truez.training.survey_view import SurveyView
from truez.training.universe_samples import BoxesConfig, UniverseSamples
from truez.training.universes import Pool, mocks, universes
from truez.training.validation import Validation

__all__ = [
    "BoxesConfig",
    "ColumnLoss",
    "ColumnSamples",
    "ColumnValidation",
    "ColumnsConfig",
    "Pool",
    "Ranks",
    "Run",
    "Samples",
    "Source",
    "State",
    "SurveyLoss",
    "SurveySamples",
    "SurveyValidation",
    "SurveyView",
    "TrainingConfig",
    "UniverseSamples",
    "Validation",
    "ViewPool",
    "ViewsConfig",
    "column_validation",
    "joined",
    "make_views",
    "mocks",
    "split",
    "train",
    "train_on_mock",
    "train_on_universes",
    "train_on_views",
    "universes",
]
