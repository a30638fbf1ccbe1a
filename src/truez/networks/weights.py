"""The weights file: a network, its architecture, the surveys it was trained on, and provenance.

One safetensors file. Its tensors are the network's parameters and buffers by name; its metadata
hold, under the key ``truez``, the header: JSON with the fields of `Header`, which are architecture
and settings (with the normalisation of the inputs), cell size, kinds of the fields, the surveys
that it was trained on, line of sight, receptive radius, provenance. Nothing is unpickled.

The header has a version, ``format``. Version 2 is written. Version 1 differs in one name: the
absolute photo-z error, ``survey.z_err``, was called ``survey.sigma_z`` there. Both are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from truez.mesh.box import Box, Vector
from truez.networks.network import Network, architecture_of, build_network
from truez.networks.survey_limits import SurveyLimits, current_limits
from truez.networks.tensors import check_fit, read_tensors, read_text, save_tensors
from truez.support.checks import shown
from truez.support.documents import parsed_json, section
from truez.support.provenance import versions
from truez.support.settings import refused_setting
from truez.surveys.spec import Range

KEY = "truez"
#: Folder of the weights that come with the package.
SHIPPED = Path(__file__).parent / "shipped"
_REMEDY = "take a file that truez train wrote"

#: Tolerances of a survey around the limits of a network, as a fraction of them ...
CELLSIZE_TOLERANCE = 0.01
SIGMA_TOLERANCE = 0.1
DENSITY_TOLERANCE = 0.25
#: ... and absolute, for quantities that are fractions.
OUTLIER_TOLERANCE = 0.05
OVERLAP_TOLERANCE = 0.25
REDSHIFT_TOLERANCE = 0.05
#: The end of the sentences that refuse surveys.
WITHOUT_NETWORK = "choose a method without a network"


class Header(BaseModel):
    """The header of a weights file.

    Parameters
    ----------
    format : int
        Version of the header, see above.
    architecture, config
        Name and settings of the network.
    cellsize : (3,) floats
        Sides of the cells that it was trained on [Mpc/h].
    inputs, output
        Fields and their kind, in the order of the channels.
    los : "z"
        The line of sight is the last axis.
    receptive_radius, stride : int
        See `truez.networks.network.Network` [cells].
    provenance : dict
        Versions, git revision, seed, step, recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    architecture: str
    config: dict[str, Any]
    cellsize: Vector
    inputs: tuple[str, ...] = ("spec delta", "photo delta")
    output: str = "photo delta at true redshifts"
    los: Literal["z"] = "z"
    survey: SurveyLimits
    receptive_radius: int = Field(ge=0)
    stride: int = Field(ge=1)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _real_cells(self) -> Self:
        if not all(0 < side < math.inf for side in self.cellsize):
            raise ValueError(f"cellsize must be three positive lengths, not {self.cellsize}")
        return self

    @property
    def local(self) -> bool:
        """Whether it is of a column network with conditions of each cell."""
        return self.config.get("conditions") == "local"

    @classmethod
    def of(
        cls,
        network: Network,
        box: Box,
        survey: SurveyLimits,
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> Header:
        """Describe ``network``, trained on fields of ``box`` (any box of the same cells)."""
        return cls(
            architecture=architecture_of(network),
            config=network.config.model_dump(mode="json"),
            cellsize=box.cellsize,
            inputs=network.inputs,
            output=network.output,
            survey=survey,
            receptive_radius=network.receptive_radius,
            stride=network.stride,
            provenance={**versions(), **(provenance or {})},
        )

    def check_network(self, network: Network) -> None:
        """Raise a ValueError for a network that this header does not describe."""
        for name in ("inputs", "output", "receptive_radius", "stride"):
            stated, found = getattr(self, name), getattr(network, name)
            if stated != found:
                raise ValueError(
                    f"the header says {name} = {shown(stated)}, and its network has {shown(found)}"
                )

    def check(
        self,
        box: Box,
        *,
        sigma: float | None = None,
        spec_density: float | None = None,
        photo_density: float | None = None,
        outlier_fraction: float | None = None,
        overlap: float | None = None,
        resampler: str | None = None,
        redshift_space: bool | None = None,
        redshift: float | None = None,
        across: float | None = None,
        cellsize_tolerance: float = CELLSIZE_TOLERANCE,
    ) -> None:
        """Refuse fields and surveys that the network was not trained for.

        Parameters
        ----------
        box : Box
            Box of the fields, with the cells of the training. Of a local network they are within 1%
            of the limits.
        sigma : float, optional
            Photo-z error [Mpc/h], within 10% of the limits.
        spec_density, photo_density : float, optional
            Number densities [(h/Mpc)^3], within 25% of the limits.
        outlier_fraction, overlap : float, optional
            Fraction of outliers, within 0.05 of the limits, and of the spectroscopic galaxies that
            are in the photometric sample, within 0.25.
        resampler : str, optional
            Mass assignment, the same as in the training.
        redshift_space : bool, optional
            Whether the survey is in redshift space, as in the training.
        redshift : float, optional
            Within 0.05 of the limits, if there are any.
        across : float, optional
            Side of the cells across the sky where the survey is checked, for a local network
            [Mpc/h]; that of the box by default.
        cellsize_tolerance : float
            By which they may differ, as a fraction.

        Raises
        ------
        ValueError
            With the first property that is outside the limits.
        """
        survey = self.survey
        if survey.cellsize is None:
            self._check_sides(box, cellsize_tolerance)
        else:
            sides = box.cellsize[:2] if across is None else (across,)
            given = [(side, survey.cellsize, "across the sky") for side in sides]
            along = survey.along or survey.cellsize
            for side, trained, axis in (*given, (box.cellsize[2], along, "along the sight lines")):
                _within(
                    "cells of", side, trained, unit="Mpc/h", where=axis, share=CELLSIZE_TOLERANCE,
                    remedy="set cellsize to another value",
                )  # fmt: skip
        if resampler is not None and resampler != survey.resampler:
            raise ValueError(
                f"the galaxies are painted with {resampler}, but the network was trained on fields "
                f"painted with {survey.resampler}: choose that resampler"
            )
        spaces_seen = (True, False) if survey.redshift_space == "both" else (survey.redshift_space,)
        if redshift_space is not None and redshift_space not in spaces_seen:
            spaces = {True: "redshift space", False: "real space"}
            raise ValueError(
                f"the survey is in {spaces[redshift_space]}, but the network was trained in "
                f"{spaces[spaces_seen[0]]}, where structures have another shape along the "
                f"line of sight: train one for this survey, or {WITHOUT_NETWORK}"
            )
        density = "(h/Mpc)^3"
        _within("a photo-z error of", sigma, survey.sigma, unit="Mpc/h", share=SIGMA_TOLERANCE)
        _within(
            "an outlier fraction of",
            outlier_fraction,
            survey.outlier_fraction,
            margin=OUTLIER_TOLERANCE,
        )
        for name, value, trained in (
            ("a spectroscopic", spec_density, survey.spec_density),
            ("a photometric", photo_density, survey.photo_density),
        ):
            _within(f"{name} density of", value, trained, unit=density, share=DENSITY_TOLERANCE)
        _within(
            "an overlap (spec galaxies that are in photo too) of",
            overlap,
            survey.overlap,
            margin=OVERLAP_TOLERANCE,
        )
        if survey.redshift is not None:
            _within("a redshift of", redshift, survey.redshift, margin=REDSHIFT_TOLERANCE)

    def _check_sides(self, box: Box, tolerance: float) -> None:
        """Refuse cells other than those of the training."""
        for axis, (have, want) in enumerate(zip(box.cellsize, self.cellsize, strict=True)):
            if abs(have / want - 1) > tolerance:
                raise ValueError(
                    f"the field has cells of {have:.5g} Mpc/h along axis {axis}, but the network "
                    f"was trained on cells of {want:.5g} Mpc/h: paint the field with those, or "
                    f"{WITHOUT_NETWORK}"
                )


def _within(
    name: str,
    value: float | None,
    trained: Range,
    *,
    unit: str = "",
    where: str = "",
    share: float = 0.0,
    margin: float = 0.0,
    remedy: str = "train one for this survey",
) -> None:
    """Refuse a value farther from a range than a fraction of its ends, or than a margin."""
    low, high = trained
    if value is None or low * (1 - share) - margin <= value <= high * (1 + share) + margin:
        return
    unit, where = (text and f" {text}" for text in (unit, where))
    wanted = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    allowed = f"{share:.0%}" if share else f"{margin:g}"
    end, side = (high, "above") if value > high else (low, "below")
    excess = f"{abs(value / end - 1):.0%}" if share else f"{abs(value - end):.2g}"
    raise ValueError(
        f"the survey has {name} {value:.4g}{unit}{where}, {excess} {side} what the network was "
        f"trained for, {wanted}{unit} (+-{allowed}): {remedy}, or {WITHOUT_NETWORK}"
    )


def shipped_weights(architecture: str) -> Path:
    """Path of the weights that come with the package.

    Raises
    ------
    ValueError
        If there are none for this architecture.
    """
    path = SHIPPED / f"{architecture}.safetensors"
    if not path.is_file():
        raise ValueError(
            f"no weights of a {architecture} come with this package: give weights, the file of a "
            "trained network"
        )
    return path


def save_weights(path: str | Path, network: Network, header: Header) -> None:
    """Write ``network`` and ``header`` to ``path``, whole or not at all."""
    save_tensors(path, network.state_dict(), header.model_dump_json(), KEY)


def load_weights(path: str | Path) -> tuple[Network, Header]:
    """Read a network that `save_weights` wrote, on the CPU and in eval mode.

    Raises
    ------
    ValueError
        If the file is not a weights file of truez, or its network unknown to this version.
    FileNotFoundError
        If there is none.
    """
    header = read_header(path)
    tensors, _ = read_tensors(path, KEY)
    try:
        # On no device, so that nothing is allocated for a network that is not in the file.
        with torch.device("meta"):
            check_fit(tensors, build_network(header.architecture, header.config).state_dict())
        network = build_network(header.architecture, header.config)
        network.load_state_dict(tensors)
        header.check_network(network)
    except ValueError as error:
        raise ValueError(f"the weights in {path} cannot be used: {error}: {_REMEDY}") from error
    except (RuntimeError, OverflowError, TypeError) as error:  # sizes that torch cannot count
        reason = "the network of its header is too large"
        raise ValueError(f"the weights in {path} cannot be used, as {reason}: {_REMEDY}") from error
    return network.eval(), header


def read_header(path: str | Path) -> Header:
    """Read the header of a weights file; raises as `load_weights` does."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        text = read_text(path, KEY)
    except ValueError as error:
        raise ValueError(f"{path} is not a weights file that truez wrote: {_REMEDY}") from error
    name = f"the header of {path}"
    content = section(parsed_json(text, name, remedy=_REMEDY), name, remedy=_REMEDY)
    try:
        return Header(**_current_header(content))
    except ValidationError as error:
        raise ValueError(
            f"{path} has a header that this version of truez does not read: "
            f"{refused_setting(error)}: {_REMEDY}"
        ) from error


def _current_header(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Header` from those of a file of any version."""
    survey = content.get("survey")
    if content.get("format") != 1 or not isinstance(survey, Mapping):
        return content
    return {**content, "format": 2, "survey": current_limits(survey)}
