"""What all tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

# Workers share the cores: one thread each is the fastest. Must be set before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import matplotlib as mpl
import pytest
from hypothesis import settings
from matplotlib.figure import Figure

from truez.cli.process import keep_memory

mpl.use("Agg")
# As a command does: each mesh is otherwise new memory of the system, which clears it.
keep_memory()
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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among libraries and thousands of tests, which all stay; later less often.

    Figures and the memory of networks make many objects, and the search takes 5% of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data, for tests marked realdata."""
    return Path(os.environ["TRUEZ_DATA"])


@pytest.fixture(scope="module")
def rough_figures() -> Generator[None, None, None]:
    """Figures drawn once, in coarse dots: where there must be some, and none is looked at.

    To arrange their panels and to embed their fonts takes three quarters of the time of a page.
    """
    whole = Figure.savefig

    def rough(figure: Figure, path: object, **settings: object) -> None:
        figure.set_layout_engine("none")
        with mpl.rc_context({"savefig.bbox": None, "pdf.fonttype": 3}):
            whole(figure, path, **{**settings, "dpi": 40})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", rough)
        yield
