"""The examples of the docstrings run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "catalogs.stream", "sky.partition.counts", "sky.partition.patch_plan",
        "sky.partition.patch_surveys", "sky.partition.routing", "sky.partition.sample",
        "sky.partition.stored",
    ],
)  # fmt: skip
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(f"truez.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
