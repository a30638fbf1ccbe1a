"""Names of columns as surveys publish them: one TOML file a survey, and what a catalogue fits.

A file ``NAME.toml`` of this package, or of a user, has a title and the sections ``photometric`` and
``spectroscopic``, or one of them: see `Sample`. `recognised` compares their names with the columns
of a catalogue, without regard to case.
"""

from truez.surveys.names.recognise import Estimate, Found, recognised, the_survey
from truez.surveys.names.table import Sample, Survey, read_survey, survey_names, surveys_of

__all__ = [
    "Estimate",
    "Found",
    "Sample",
    "Survey",
    "read_survey",
    "recognised",
    "survey_names",
    "surveys_of",
    "the_survey",
]
