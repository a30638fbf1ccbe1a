"""What the tests of runs share."""

import pytest
from tests.sky.distributed.small_run import SmallSky


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A small survey divided among six patches."""
    made = SmallSky(tmp_path_factory.mktemp("sky"))
    assert len(made.partition) == 6
    return made
