"""The page on mocks on the sky: its code runs, and it names every option."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from truez.cli.mock_sky_options import SkyMockOptions
from truez.cli.parameters import option_names
from truez.evaluate.sky import JudgedRedshifts

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "sky-mocks.md"


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    exec(compile(block, "sky-mocks.md", "exec"), names)
    assert names["surveys"].num_both == len(names["mock"].spec_rows)
    assert (tmp_path / "cone" / "photo.parquet").is_file()


def test_every_option_of_the_sky_is_on_the_page():
    text = PAGE.read_text("utf-8")
    missing = [
        name for name in option_names(SkyMockOptions) if f"--{name.replace('_', '-')}" not in text
    ]
    assert not missing


def test_every_number_of_redshifts_is_on_the_page():

    z = np.linspace(0.1, 0.2, 20)
    made = JudgedRedshifts(
        z_true=z, z_phot=z, z_after=z, ln_p=-z, ln_p_photo=-z, pit=np.linspace(0, 1, 20)
    )
    text = PAGE.read_text("utf-8")
    names = {re.sub("_(before|after|error)$", "", name) for name in made.numbers()}
    assert all(f"`{name}" in text for name in names)
