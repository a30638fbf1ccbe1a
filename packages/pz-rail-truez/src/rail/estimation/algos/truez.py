"""RAIL stages of truez: p(z) sharpened by the density field of a spectroscopic survey.

`TruezInformer` takes the spectroscopic catalogue and the selection of the surveys,
`TruezEstimator` the p(z) and positions of the photometric galaxies.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import qp
from ceci.config import StageParameter as Param
from rail.core.common_params import SharedParams
from rail.core.data import ModelHandle, QPHandle, TableHandle
from rail.estimation.estimator import PzEstimator
from rail.estimation.informer import CatInformer

#: Of the model's file.
KIND, VERSION = "truez spectroscopic sample for RAIL", 1
#: What a galaxy of the spectroscopic sample has, and may have.
COLUMNS, OPTIONAL = ("ra", "dec", "redshift"), ("id", "weight")


class TruezModelHandle(ModelHandle):
    """A model of `TruezInformer`: a spectroscopic sample and its selection, in HDF5."""

    suffix = "hdf5"

    @classmethod
    def _open(cls, path: str, **kwargs: Any) -> Any:
        return h5py.File(path, kwargs.get("mode", "r"))

    @classmethod
    def _read(cls, path: str, **kwargs: Any) -> dict[str, Any]:
        """The model of a file.

        Raises
        ------
        ValueError
            If it is the file of something else.
        """
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("kind") != KIND or file.attrs.get("version") != VERSION:
                    raise ValueError(f"{path} is no model of TruezInformer: run it again")
                columns = {name: _text(values[:]) for name, values in file["columns"].items()}
                return {"columns": columns, "selection": json.loads(file.attrs["selection"])}
        except OSError as error:
            if not Path(path).is_file():
                raise FileNotFoundError(f"there is no model {path}") from error
            raise ValueError(f"{path} is no model of TruezInformer: run it again") from error

    @classmethod
    def _write(cls, data: Mapping[str, Any], path: str, **kwargs: Any) -> None:
        with h5py.File(path, "w") as file:
            file.attrs.update(kind=KIND, version=VERSION, selection=json.dumps(data["selection"]))
            for name, values in data["columns"].items():
                array = np.asarray(values)
                if array.dtype.kind in "UO":
                    array = np.char.encode(array.astype(str), "utf-8")
                file[f"columns/{name}"] = array


def _text(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


class TruezInformer(CatInformer):
    """Takes the catalogue of a spectroscopic survey, and the selection of both surveys."""

    name = "TruezInformer"
    entrypoint_function = "inform"
    interactive_function = "truez_informer"
    config_options = CatInformer.config_options.copy()
    config_options.update(
        hdf5_groupname=SharedParams.copy_param("hdf5_groupname"),
        redshift_col=SharedParams.copy_param("redshift_col"),
        id_col=SharedParams.copy_param("id_col"),
        ra_col=Param(str, "ra", msg="column of right ascension [deg]"),
        dec_col=Param(str, "dec", msg="column of declination [deg]"),
        weight_col=Param(str, "", msg="column of completeness weights; none by default"),
        footprint=Param(
            str,
            required=True,
            msg="of the photometric survey: RA1,RA2,DEC1,DEC2 [deg], or the file of a mask",
        ),
        spec_footprint=Param(
            str, "", msg="of the spectroscopic survey, where it is not that of the photometric one"
        ),
        cosmology=Param(str, "planck18", msg="the cosmology of the distances, a name"),
        redshift_space=Param(bool, True, msg="whether redshifts contain peculiar velocities"),
    )
    inputs = [("input", TableHandle)]
    outputs = [("model", TruezModelHandle)]

    def run(self) -> None:
        """Make the model of the catalogue."""
        config = self.config
        table = self.get_data("input")
        if config.hdf5_groupname and config.hdf5_groupname in table:
            table = table[config.hdf5_groupname]
        names = {"ra": config.ra_col, "dec": config.dec_col, "redshift": config.redshift_col}
        columns = {key: _column(table, name, "the catalogue") for key, name in names.items()}
        if config.id_col in _names(table):
            columns["id"] = _column(table, config.id_col, "the catalogue")
        if config.weight_col:
            columns["weight"] = _column(table, config.weight_col, "the catalogue")
        selection = {
            name: config[name]
            for name in ("footprint", "spec_footprint", "cosmology", "redshift_space")
        }
        self.model = {"columns": columns, "selection": selection}
        self.add_data("model", self.model)


class TruezEstimator(PzEstimator):
    """Sharpens the p(z) of photometric galaxies by the galaxies of a spectroscopic survey.

    All galaxies are worked on together: the stage runs in one process.
    """

    name = "TruezEstimator"
    entrypoint_function = "estimate"
    interactive_function = "truez_estimator"
    config_options = PzEstimator.config_options.copy()
    config_options.update(
        id_col=SharedParams.copy_param("id_col"),
        ra_col=Param(str, "ra", msg="right ascension [deg], in ancil or in positions"),
        dec_col=Param(str, "dec", msg="declination [deg], in ancil or in positions"),
        match=Param(
            str, "id", msg="galaxies in both surveys: id, a radius [arcsec], nested or disjoint"
        ),
        pdf_prior=Param(str, required=True, msg="the prior in the p(z): flat, nz, stack or a file"),
        method=Param(str, "", msg="a method of truez on the sky; by default truez chooses"),
        cellsize=Param(float, 2.0, msg="cells of the map [Mpc/h]"),
        redshift_range=Param(
            list, [], msg="true redshifts that the map covers, two; those there are"
        ),
        device=Param(str, "cpu", msg="where a network runs: cpu or cuda"),
    )
    inputs = [
        ("model", TruezModelHandle),
        ("input", QPHandle),
        ("positions", TableHandle),
    ]
    outputs = [("output", QPHandle)]

    def estimate(self, input_data: qp.Ensemble, positions: Any = "None", **kwargs: Any) -> QPHandle:
        """The sharpened p(z).

        Parameters
        ----------
        input_data : qp.Ensemble or QPHandle
            p(z) of the photometric galaxies.
        positions : table or TableHandle, optional
            Their positions, row by row, where they are not in ``ancil``.
        **kwargs
            As of the base class.

        Returns
        -------
        QPHandle
        """
        self.set_data("positions", positions)
        return super().estimate(input_data, **kwargs)

    def run(self) -> None:
        """Sharpen all galaxies, and write them in chunks."""
        if self.size > 1:
            raise RuntimeError("TruezEstimator works on all galaxies together: run one process")
        self.open_model(**self.config)
        if self.model is None:
            raise ValueError("TruezEstimator needs model, what TruezInformer made")
        given = self.get_data("input")
        table = self._positions(given)
        with _folder() as folder:
            made = self._sharpened(given, table, folder)
        self._input_length = given.npdf
        self._initialize_run()
        step = int(self.config.chunk_size)
        for start in range(0, given.npdf, step):
            end = min(start + step, given.npdf)
            self._do_chunk_output(made[start:end], start, end, start == 0)
        self._finalize_run()

    def _positions(self, given: qp.Ensemble) -> dict[str, np.ndarray]:
        """Right ascension, declination and, where there are any, identifiers."""
        handle = self.get_handle("positions", allow_missing=True)
        second = handle.data
        if second is None or isinstance(second, str):
            path = handle.path
            second = None if path in (None, "None", "none") else self.get_data("positions")
        where = "ancil of the ensemble" if second is None else "positions"
        table = (given.ancil or {}) if second is None else second
        group = self.config.hdf5_groupname
        if second is not None and group and group in _names(table):
            table = table[group]
        found = {key: _column(table, self.config[f"{key}_col"], where) for key in ("ra", "dec")}
        if self.config.match == "id":
            found["id"] = _column(table, self.config.id_col, where)
        for name, values in found.items():
            if len(values) != given.npdf:
                raise ValueError(
                    f"{name} in {where} has {len(values)} rows, and the ensemble {given.npdf}: "
                    "give the galaxies of the ensemble in their order"
                )
        return found

    def _surveys(self, table: Mapping[str, np.ndarray], pdf: Path) -> Any:
        """The two surveys, for truez."""
        from truez.sky.details import SkyDetails
        from truez.sky.surveys import SkySurveys

        config, model = self.config, self.model
        spec, selection = model["columns"], model["selection"]
        match: dict[str, Any] = {}
        details: dict[str, Any] = {}
        if config.match == "id":
            if "id" not in spec:
                raise ValueError(
                    "match is id, and the spectroscopic catalogue had no id_col: give a radius in "
                    "arcsec, nested or disjoint"
                )
            match = {"match_id": "id"}
        elif config.match in ("nested", "disjoint"):
            match = {"overlap": config.match}
        else:
            details["match_radius"] = _radius(config.match)
        if "weight" in spec:
            details["spec_weight_column"] = "weight"
        if selection["spec_footprint"]:
            details["spec_footprint"] = selection["spec_footprint"]
        if config.redshift_range:
            details["redshift_range"] = tuple(config.redshift_range)
        return SkySurveys.from_catalogs(
            photo=dict(table),
            spec=dict(spec),
            footprint=selection["footprint"],
            cosmology=selection["cosmology"],
            details=SkyDetails(
                sky=("ra", "dec", "redshift"), photo_sky=("ra", "dec"), pdf=pdf,
                pdf_prior=config.pdf_prior, redshift_space=selection["redshift_space"], **details,
            ),
            **match,
        )  # fmt: skip

    def _sharpened(
        self, given: qp.Ensemble, table: Mapping[str, np.ndarray], folder: Path
    ) -> qp.Ensemble:
        """The sharpened p(z), of galaxies without one those that were given."""
        from truez.sky.patches import PatchSettings
        from truez.sky.pdf_output import sky_pdfs
        from truez.sky.plan import choose
        from truez.sky.reconstruct import sharpen

        before, after = folder / "before.hdf5", folder / "after.hdf5"
        given.write_to(str(before))
        surveys = self._surveys(table, before)
        cells = PatchSettings(cellsize=float(self.config.cellsize))
        plan = choose(surveys, cells, method=self.config.method or None, device=self.config.device)
        with sky_pdfs(after, surveys, plan.patches, layout="interp") as pdfs:
            found = sharpen(surveys, plan, pdf_out=pdfs, device=self.config.device)
        with h5py.File(after, "r") as file:
            nodes = np.ravel(file["meta/xvals"][:])
            density = file["data/yvals"][:].astype(np.float64)
        sharpened = np.isfinite(density).all(axis=1)
        for row in np.array_split(np.flatnonzero(~sharpened), max((~sharpened).sum() // 4096, 1)):
            if len(row):
                density[row] = np.maximum(given[row].pdf(nodes), 0)
        ancil = {name: np.asarray(values) for name, values in (given.ancil or {}).items()}
        ancil["sharpened"] = sharpened
        for name in ("information_gain", "spec_matched", "flag"):
            if name in found.catalog:
                ancil[name] = np.asarray(found.catalog[name])
        return qp.Ensemble(qp.interp, data={"xvals": nodes, "yvals": density}, ancil=ancil)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="truez-rail-") as folder:
        yield Path(folder)


def _radius(text: str) -> float:
    try:
        radius = float(text)
    except ValueError:
        radius = -1.0
    if not 0 < radius < 3600:
        raise ValueError(f"match must be id, a radius in arcsec, nested or disjoint, not {text!r}")
    return radius


def _names(table: Any) -> list[str]:
    return [str(name) for name in (table.keys() if hasattr(table, "keys") else table.columns)]


def _column(table: Any, name: str, where: str) -> np.ndarray:
    """A column of a table of any kind that RAIL passes."""
    names = _names(table)
    if name not in names:
        raise ValueError(f"{where} has no column {name!r}, but {', '.join(names[:8]) or 'none'}")
    return np.ravel(np.asarray(table[name]))
