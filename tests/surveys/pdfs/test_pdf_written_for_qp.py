"""Files that truez writes, read by qp: ``pip install truez[qp]``."""

import h5py
import numpy as np
import pytest
from scipy.stats import norm

from surveys.pdfs.pdf_files import LAYOUTS, gaussians, numbers_of
from truez.surveys.pdfs import pdf_writer, write_pdfs

qp = pytest.importorskip("qp")

PLACES = np.linspace(0.45, 0.95, 26)
#: How far qp is from the Gaussian: hist is constant in bins of 0.005, and qp's quantiles are
#: joined by parabolas.
NEAR = {"hist": 0.08, "quant": 0.02}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_qp_has_the_numbers_and_the_values(layout, tmp_path):
    mean, std = gaussians()
    grid, columns = numbers_of(layout, mean, std)
    path = str(tmp_path / "pz.hdf5")
    write_pdfs(path, layout, columns, grid, ancil={"object_id": np.arange(40)})
    assert qp.is_qp_file(path)
    ensemble = qp.read(path)
    assert ensemble.gen_class.name == layout
    assert ensemble.npdf == qp.data_length(path) == 40
    assert ensemble.ancil["object_id"].tolist() == list(range(40))
    for name, values in columns.items():
        if layout != "quant":  # whose ends qp adds
            # qp scales to a total of 1.
            np.testing.assert_allclose(ensemble.objdata[name], values, rtol=1e-4, atol=1e-6)
    exact = norm(mean[:, None], std[:, None])
    peak = 1 / (std[:, None] * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(ensemble.pdf(PLACES) / peak, exact.pdf(PLACES) / peak,
                               atol=NEAR.get(layout, 3e-3))  # fmt: skip
    # Those of interp are half a node late in qp.
    near = 0.05 if "interp" in layout else 4e-3
    np.testing.assert_allclose(ensemble.cdf(PLACES), exact.cdf(PLACES), atol=near)
    parts = list(qp.iterator(path, chunk_size=15))
    assert [part[2].npdf for part in parts] == [15, 15, 10]


@pytest.mark.filterwarnings("ignore:There are non-finite values:RuntimeWarning")
@pytest.mark.parametrize("layout", ["interp", "hist"])
def test_galaxies_without_p_z_are_nan_in_qp_and_the_others_are_not(layout, tmp_path):
    grid, columns = numbers_of(layout, *gaussians())
    path = str(tmp_path / "pz.hdf5")
    with pdf_writer(path, layout, 41, grid) as writer:
        writer.put(np.arange(1, 41), columns)
        writer.merge()
    found = qp.read(path)
    for values in (found.pdf(PLACES), found.cdf(PLACES)):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1:]).all()


def test_a_file_of_qp_is_copied_by_truez(tmp_path):
    levels = np.linspace(0.005, 0.995, 100)
    locs = norm.ppf(levels, *(values[:, None] for values in gaussians()))
    qp.Ensemble(qp.quant, data={"quants": levels, "locs": locs}).write_to(str(tmp_path / "a.hdf5"))
    with h5py.File(tmp_path / "a.hdf5") as file:  # with the ends that qp adds
        grid, columns = np.ravel(file["meta/quants"][:]), {"locs": file["data/locs"][:]}
    write_pdfs(tmp_path / "b.hdf5", "quant", columns, grid)
    one, other = (qp.read(str(tmp_path / name)) for name in ("a.hdf5", "b.hdf5"))
    np.testing.assert_allclose(other.ppf([0.1, 0.5, 0.9]), one.ppf([0.1, 0.5, 0.9]), atol=1e-6)
