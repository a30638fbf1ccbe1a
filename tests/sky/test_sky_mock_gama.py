"""Real galaxies: GAMA G09 with scattered redshifts, as docs/sky-mocks.md makes it."""

from __future__ import annotations

import numpy as np
import pytest

from truez.cli.app import main
from truez.evaluate.sky import summary
from truez.evaluate.sky_judge import edge_lengths, judge_redshifts
from truez.sky.mock import SkyMock
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_redistribution_gains_half_a_nat_is_calibrated_and_loses_little_at_the_edge(
    data_folder, tmp_path
):
    arguments = [
        "mock", str(data_folder / "gama_g09.csv"), "--sky", "RA,DEC,Z", "--from-spec",
        "--sigma-z", "0.02", "--spec-fraction", "0.1", "--footprint", "129,141,-2,3",
        "--redshift-range", "0.02,0.5", "--seed", "1", "--out", str(tmp_path / "g09"),
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    mock = SkyMock.read(tmp_path / "g09")
    field = reconstruct(mock.surveys, "redistribution", patches=PatchSettings(cellsize=2.5))
    found = summary(
        judge_redshifts(mock, field), redshift_range=(0.08, 0.35),
        has_spectrum=mock.has_spectrum, edge_distance=edge_lengths(mock),
    )  # fmt: skip
    assert found["nats_own_place"] > 0.485
    assert found["pit_worst_tenth"] < 0.6
    assert found["inside_68"] == pytest.approx(68.2, abs=1.3)
    assert found["nmad_after"] < 0.0158 < found["nmad_before"]
    edge, *others = found["by"]["edge_distance"]
    rest = np.average([e["nats_own_place"] for e in others], weights=[e["num"] for e in others])
    assert edge["nats_own_place"] > 0.9 * rest
