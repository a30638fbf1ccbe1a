"""The page on surveys on the sky: what it tells a reader to type works."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "sky.md"


def test_the_code_of_the_page_runs_and_expects_what_is_there(capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    exec(compile(block, "sky.md", "exec"), names)
    assert "dN/dz = exp(" in capsys.readouterr().out
    counts, expected = (names[name].values.double() for name in ("counts", "expected"))
    assert float(counts.sum()) > 45_000
    np.testing.assert_allclose(float(counts.sum()), float(expected.sum()), rtol=5e-3)
    filled = expected > 0.5 * expected.max()
    np.testing.assert_allclose(float(counts[filled].sum() / expected[filled].sum()), 1, rtol=0.03)
