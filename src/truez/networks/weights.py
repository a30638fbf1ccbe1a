"""The weights file: a network that says what it is, what it was trained for, and what made it.

One safetensors file. Its tensors are the network's parameters and buffers by name; its metadata
hold, under the key ``truez``, the header: JSON with the fields of `Header`, which are architecture
and settings (with the normalisation of the inputs), cell size, kinds of the fields, photo-z error
and densities that it was trained on, line of sight, receptive radius, provenance. Nothing is
unpickled.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from truez.box import Box, Vector
from truez.files import atomic_path
from truez.networks.network import Network, architecture_of, build_network

KEY = "truez"
Range = tuple[float, float]

#: How far a survey may lie from what a network was trained on, as a fraction.
CELLSIZE_TOLERANCE = 0.01
SIGMA_TOLERANCE = 0.1
DENSITY_TOLERANCE = 0.25


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Survey(_Frozen):
    """What the fields that a network is trained on were made from; ranges are (lowest, highest).

    Parameters
    ----------
    sigma_z : pair of float
        Photo-z error in redshift, not divided by 1 + z.
    sigma : pair of float
        The same as a length along the line of sight [Mpc/h].
    spec_density, photo_density : pair of float
        Number densities of the two samples [(h/Mpc)^3].
    """

    sigma_z: Range
    sigma: Range
    spec_density: Range
    photo_density: Range

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high) in self:
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be a range from low to high, not {(low, high)}")
        return self

    @classmethod
    def of(
        cls, *, sigma_z: float, sigma: float, spec_density: float, photo_density: float
    ) -> Survey:
        """Ranges of one value each."""
        values = {
            "sigma_z": sigma_z,
            "sigma": sigma,
            "spec_density": spec_density,
            "photo_density": photo_density,
        }
        return cls(**{name: (value, value) for name, value in values.items()})


class Header(_Frozen):
    """All that a weights file says about itself; see `Survey` for what it was trained on.

    Parameters
    ----------
    architecture, config
        Name and settings of the network.
    cellsize : (3,) floats
        Cells that it was trained on [Mpc/h].
    inputs, output
        The fields and their kind, in order of the channels.
    los : "z"
        The line of sight is the last axis.
    receptive_radius, stride : int
        See `truez.networks.network.Network` [cells].
    provenance : dict
        Versions, git revision, seed, step, recipe.
    """

    format: Literal[1] = 1
    architecture: str
    config: dict[str, Any]
    cellsize: Vector
    inputs: tuple[str, ...] = ("spec delta", "photo delta")
    output: str = "photo delta at true redshifts"
    los: Literal["z"] = "z"
    survey: Survey
    receptive_radius: int = Field(ge=0)
    stride: int = Field(ge=1)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        network: Network,
        box: Box,
        survey: Survey,
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> Header:
        """Describe ``network``, trained on fields of ``box`` (any box of the same cells)."""
        return cls(
            architecture=architecture_of(network),
            config=network.config.model_dump(mode="json"),
            cellsize=box.cellsize,
            survey=survey,
            receptive_radius=network.receptive_radius,
            stride=network.stride,
            provenance={**versions(), **(provenance or {})},
        )

    def check(
        self,
        box: Box,
        *,
        sigma: float | None = None,
        spec_density: float | None = None,
        photo_density: float | None = None,
    ) -> None:
        """Refuse fields and surveys that the network was not trained for.

        Parameters
        ----------
        box : Box
            Of the fields; its cells may differ by 1% from those of the training.
        sigma : float, optional
            Photo-z error [Mpc/h], within 10% of the range of the training.
        spec_density, photo_density : float, optional
            Number densities [(h/Mpc)^3], within 25% of the range of the training.

        Raises
        ------
        ValueError
            With the first thing that does not fit.
        """
        for axis, (have, want) in enumerate(zip(box.cellsize, self.cellsize, strict=True)):
            if abs(have / want - 1) > CELLSIZE_TOLERANCE:
                raise ValueError(
                    f"the field has cells of {have:.5g} Mpc/h along axis {axis}, but the network "
                    f"was trained on cells of {want:.5g} Mpc/h: paint the field with those"
                )
        quantities = (
            ("a photo-z error", sigma, self.survey.sigma, SIGMA_TOLERANCE, "Mpc/h"),
            (
                "a spectroscopic density",
                spec_density,
                self.survey.spec_density,
                DENSITY_TOLERANCE,
                "(h/Mpc)^3",
            ),
            (
                "a photometric density",
                photo_density,
                self.survey.photo_density,
                DENSITY_TOLERANCE,
                "(h/Mpc)^3",
            ),
        )
        for name, value, (low, high), tolerance, unit in quantities:
            if value is None or low * (1 - tolerance) <= value <= high * (1 + tolerance):
                continue
            trained = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            raise ValueError(
                f"the survey has {name} of {value:.4g} {unit}, but the network was trained for "
                f"{trained} {unit} (+-{tolerance:.0%}): train one for this survey"
            )


def versions() -> dict[str, Any]:
    """Versions of what runs, and the git revision of a source checkout."""
    try:
        own = version("truez")
    except PackageNotFoundError:
        own = "unknown"
    found: dict[str, Any] = {
        "truez": own,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    # Only the checkout that this file belongs to counts, not one that an installation lies in.
    root = Path(__file__).parents[3]
    if (root / ".git").exists():
        git = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=False,
        )
        if git.returncode == 0:
            found["git"] = git.stdout.strip()
    return found


def save_weights(path: str | Path, network: Network, header: Header) -> None:
    """Write ``network`` and ``header`` to ``path``, whole or not at all."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: header.model_dump_json()})


def load_weights(path: str | Path) -> tuple[Network, Header]:
    """Read a network that `save_weights` wrote; it comes on the CPU, in eval mode.

    Raises
    ------
    ValueError
        If the file is no weights file of truez, or a network that this version does not have.
    FileNotFoundError
        If there is none.
    """
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        network = build_network(header.architecture, header.config)
        network.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the weights in {path} cannot be used: {reason}") from error
    return network.eval(), header


def read_header(path: str | Path) -> Header:
    """Read what a weights file says about itself; raises as `load_weights` does."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})[KEY]
        return Header(**json.loads(text))
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a weights file that truez wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path} has a header that this version of truez does not read: {where}: {first['msg']}"
        ) from error
