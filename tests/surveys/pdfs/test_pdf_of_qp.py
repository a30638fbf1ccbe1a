"""Files that qp itself writes, and what it says of them: ``pip install truez[qp]``."""

import sys

import h5py
import numpy as np
import pytest
from scipy.stats import norm

from surveys.pdfs.pdf_files import gaussians, numbers_of, write_qp
from truez.surveys.pdfs import PdfTable, read_ids, read_pdfs

EDGES = np.linspace(0.3, 1.2, 31)
NODES = np.linspace(0.0, 2.0, 401)


def ensemble_of(qp, name):
    mean, std = gaussians()
    grid, columns = numbers_of(name, mean, std, nodes=NODES, levels=np.linspace(0.005, 0.995, 100))
    ancil = {"id": np.arange(40) + 7}
    if name == "norm":
        return qp.Ensemble(qp.stats.norm, data=columns, ancil=ancil)
    keys = {"hist": "bins", "interp": "xvals", "quant": "quants"}
    if grid is not None:
        columns[keys[name]] = grid
    return qp.Ensemble(getattr(qp, name), data=columns, ancil=ancil)


@pytest.mark.parametrize("name", ["hist", "interp", "interp_irregular", "quant", "norm", "mixmod"])
def test_files_of_qp_are_read_as_qp_has_them(name, tmp_path):
    qp = pytest.importorskip("qp")
    ensemble = ensemble_of(qp, name)
    path = tmp_path / "pz.hdf5"
    ensemble.write_to(str(path))
    table = read_pdfs(path)
    assert (table.layout, table.num) == (name, ensemble.npdf)
    assert read_ids(path, "id").tolist() == list(range(7, 47))
    if "interp" in name:  # whose cumulative probability is a sum over nodes in qp
        fine = np.linspace(EDGES[0], EDGES[-1], 30 * 100 + 1)
        middle = (fine[1:] + fine[:-1]) / 2
        expected = ensemble.pdf(middle).reshape(40, 30, 100).sum(2) * (fine[1] - fine[0])
    else:
        expected = np.diff(ensemble.cdf(EDGES), axis=1)
    # Between quantiles it is quadratic in qp.
    near = {"quant": 6e-3, "hist": 1e-9, "norm": 1e-9}.get(name, 1e-4)
    np.testing.assert_allclose(table.probability(None, EDGES), expected, atol=near)


@pytest.mark.parametrize("name", ["hist", "interp", "quant", "norm", "mixmod"])
@pytest.mark.parametrize("suffix", [".fits", ".pq"])
def test_other_formats_are_read_through_qp(name, suffix, tmp_path, capsys):
    qp = pytest.importorskip("qp")
    ensemble = ensemble_of(qp, name)
    ensemble.write_to(str(tmp_path / f"pz{suffix}"))
    ensemble.write_to(str(tmp_path / "pz.hdf5"))
    capsys.readouterr()
    table = read_pdfs(tmp_path / f"pz{suffix}")
    assert capsys.readouterr().out == ""
    assert table.layout == name
    assert read_ids(tmp_path / f"pz{suffix}", "id").tolist() == list(range(7, 47))
    np.testing.assert_allclose(table.probability(None, EDGES),
                               read_pdfs(tmp_path / "pz.hdf5").probability(None, EDGES),
                               atol=1e-9)  # fmt: skip


def test_other_layouts_are_read_through_qp(tmp_path):
    qp = pytest.importorskip("qp")
    mean, std = gaussians(6)
    spline = qp.convert(qp.Ensemble(qp.stats.norm, data=numbers_of("norm", mean, std)[1]), "spline",
                        xvals=NODES, method="xy")  # fmt: skip
    spline.write_to(str(tmp_path / "pz.hdf5"))
    table = read_pdfs(tmp_path / "pz.hdf5")
    expected = np.diff(norm.cdf(EDGES, mean[:, None], std[:, None]), axis=1)
    np.testing.assert_allclose(table.probability(None, EDGES), expected, atol=2e-3)


def test_the_file_of_truez_is_one_that_qp_reads_alike(tmp_path):
    qp = pytest.importorskip("qp")
    path = write_qp(tmp_path / "pz.hdf5", "hist", *numbers_of("hist", *gaussians(), nodes=NODES))
    expected = np.diff(qp.read(str(path)).cdf(EDGES), axis=1)
    np.testing.assert_allclose(read_pdfs(path).probability(None, EDGES), expected, atol=1e-9)


def test_without_qp_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "qp", None)
    path = write_qp(tmp_path / "pz.hdf5", "norm", *numbers_of("norm", *gaussians()))
    with h5py.File(path, "a") as file:
        del file["meta/pdf_name"]
        file["meta/pdf_name"] = np.array([b"spline"])
    with pytest.raises(ValueError) as raised:
        read_pdfs(path)
    assert str(raised.value) == (
        f"{path} holds p(z) as 'spline', which is read through qp: pip install 'truez[qp]', or "
        "write it as hist, interp, quant, norm or mixmod in HDF5"
    )


@pytest.mark.realdata
def test_the_p_z_of_cosmos_have_the_means_of_their_catalogue(data_folder):
    from truez import Catalog

    table = read_pdfs(data_folder / "cosmos_pz_ugriz.hdf5")
    catalog = Catalog.read(data_folder / "cosmos_zcosmos_photoz.fits")
    assert isinstance(table.in_order(len(catalog)), PdfTable)
    mean, std = table.moments()
    np.testing.assert_allclose(mean, catalog["Z_PHOT_MEAN"], atol=6e-3)
    np.testing.assert_allclose(std, catalog["Z_PHOT_STD"], atol=6e-3)
    assert not table.problems([0.0, 1.5]).counts
