"""Threads of a command: those that wait sleep, unless the user wants otherwise."""

import os
import subprocess
import sys

import pytest

CODE = (
    "import os; from truez.cli.process import prepare_process; prepare_process(); "
    "print(os.environ['OMP_WAIT_POLICY'])"
)


@pytest.mark.parametrize(("given", "policy"), [("", "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_leave_the_processor_to_others_unless_told_otherwise(given, policy):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.strip() == policy
