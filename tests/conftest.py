"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Workers share the cores: one thread each is the fastest. Must be set before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import matplotlib as mpl
import pytest
from hypothesis import settings

mpl.use("Agg")
# The same examples in every run, so that a failure in CI is a failure at home.
settings.register_profile("truez", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("truez")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of real data where there are none."""
    if os.environ.get("TRUEZ_DATA"):
        return
    skip = pytest.mark.skip(reason="set TRUEZ_DATA to the folder with the data")
    for item in items:
        if "realdata" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data, for tests marked realdata."""
    return Path(os.environ["TRUEZ_DATA"])
