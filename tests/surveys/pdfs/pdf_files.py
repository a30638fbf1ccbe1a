"""Files of p(z) as qp and Rubin write them, made without qp."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from scipy.stats import norm


def gaussians(num=40, *, seed=1):
    """Means and widths of p(z)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.4, 1.0, num), rng.uniform(0.02, 0.06, num)


def numbers_of(layout, mean, std, *, nodes=None, levels=None):
    """The shared grid and the columns of Gaussian p(z) in a layout."""
    nodes = np.linspace(0.0, 2.0, 401) if nodes is None else nodes
    levels = np.linspace(0.0005, 0.9995, 400) if levels is None else levels
    mean, std = mean[:, None], std[:, None]
    if layout == "hist":
        mass = np.diff(norm.cdf(nodes, mean, std), axis=1)
        return nodes, {"pdfs": mass / np.diff(nodes)}
    if layout == "interp":
        return nodes, {"yvals": norm.pdf(nodes, mean, std)}
    if layout == "interp_irregular":
        own = mean + std * np.linspace(-6, 6, 201)
        return None, {"xvals": own, "yvals": norm.pdf(own, mean, std)}
    if layout == "quant":
        return levels, {"locs": norm.ppf(levels, mean, std)}
    if layout == "norm":
        return None, {"loc": mean, "scale": std}
    means, stds = np.hstack([mean, mean]), np.hstack([std, std])
    return None, {"means": means, "stds": stds, "weights": np.full(means.shape, 0.5)}


GRIDS = {"hist": "bins", "interp": "xvals", "quant": "quants"}
LAYOUTS = ("hist", "interp", "interp_irregular", "quant", "norm", "mixmod")


def write_qp(path, layout, grid, columns, ancil=None, group=""):
    """An HDF5 file as qp writes it."""
    with h5py.File(path, "a") as file:
        top = file.require_group(group) if group else file
        top["meta/pdf_name"] = np.array([layout.encode()])
        top["meta/pdf_version"] = np.array([0])
        if grid is not None:
            top[f"meta/{GRIDS[layout]}"] = np.asarray(grid)[None, :]
        for name, values in columns.items():
            top[f"data/{name}"] = values
        for name, values in (ancil or {}).items():
            top[f"ancil/{name}"] = values
    return path


def write_tables(path, layout, grid, columns, ancil):
    """Tables in FITS, or files of ``.pq``, as qp writes them."""
    meta = {"pdf_name": [layout.encode()], "pdf_version": [0]}
    if grid is not None:
        meta[GRIDS[layout]] = [np.asarray(grid)]
    tables = {"meta": meta, "data": columns, "ancil": ancil}
    if path.suffix == ".pq":
        for name, table in tables.items():
            arrays = {key: pa.array(list(values)) for key, values in table.items()}
            pq.write_table(pa.table(arrays), path.with_name(f"{path.stem}{name}.pq"))
        return path
    hdus = [fits.table_to_hdu(Table({key: np.asarray(values) for key, values in table.items()}))
            for table in tables.values()]  # fmt: skip
    for hdu, name in zip(hdus, tables, strict=True):
        hdu.name = name.upper()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def nested(columns, *, as_structs=False):
    """Lists of each row as the nested column of Parquet that nested-pandas writes."""
    rows = range(len(next(iter(columns.values()))))
    names = list(columns)
    if as_structs:
        items = [
            [dict(zip(names, each, strict=True)) for each in zip(*values, strict=True)]
            for values in ([np.asarray(columns[name][row]).tolist() for name in names]
                           for row in rows)
        ]  # fmt: skip
        return pa.array(items)
    return pa.array([{name: np.asarray(columns[name][row]).tolist() for name in names}
                     for row in rows])  # fmt: skip


def write_nested(path, columns, *, ids=None, row_group=16):
    """A Parquet file of nested columns."""
    num = len(next(iter(columns.values())))
    table = {"objectId": pa.array(np.arange(num) if ids is None else ids), **columns}
    pq.write_table(pa.table(table), path, row_group_size=row_group)
    return path
