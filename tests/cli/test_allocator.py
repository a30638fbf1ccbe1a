"""Memory of a command: the C library keeps what is freed, unless the environment sets it up."""

import os
import platform
import resource
import subprocess
import sys

import pytest

CODE = """
import resource
from truez.cli.process import prepare_process
prepare_process()
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)
before = faults()
for _ in range(8):
    np.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
@pytest.mark.parametrize("given", [{}, {"MALLOC_ARENA_MAX": "4"}])
def test_freed_memory_is_used_again(given):
    environment = {
        key: value for key, value in os.environ.items()
        if not key.startswith("MALLOC_") and key != "GLIBC_TUNABLES"
    }  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True, text=True, check=True, env=environment | given,
    )  # fmt: skip
    # Eight times 128 MiB, page by page, or huge page by huge page.
    pages = 8 * 2**27 // resource.getpagesize()
    assert (int(found.stdout) < pages // 1024) == (not given)
