"""The error model of a method without a network: an error head with a file of its own.

The file is one of weights (`truez.networks.weights`), with the header of those: its architecture is
``error-head``, and it has the limits of the surveys that it was fitted to. The conditions are those
of a local network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import ValidationError
from torch import Tensor

from truez.mesh.box import Box
from truez.networks.conditions import LOCAL_CONDITIONS, scaling_of
from truez.networks.error_head import HIDDEN, ErrorHead, variance_of
from truez.networks.network import NetworkConfig, Width
from truez.networks.survey_limits import SurveyLimits
from truez.networks.tensors import check_fit, read_tensors, save_tensors
from truez.networks.weights import KEY, Header, read_header, shipped_weights
from truez.support.provenance import versions
from truez.support.settings import refused_setting

ARCHITECTURE = "error-head"
#: The error model of the redistribution, by the name of its file.
REDISTRIBUTION = "redistribution-errors"
_REMEDY = "take a file that truez train errors wrote"
_INPUTS = ("variance given the intensity", "expected counts")


class ErrorModelConfig(NetworkConfig):
    """Settings of an `ErrorModel`.

    Parameters
    ----------
    hidden : int
        Width of the hidden layers of its head.
    pairs : bool
        Whether its head has a term of pairs.
    """

    hidden: Width = HIDDEN
    pairs: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class ErrorModel:
    """An error head for surveys within limits.

    Parameters
    ----------
    head : ErrorHead
        Of the conditions of a local network.
    header : Header
        Of its file.

    Examples
    --------
    >>> import torch
    >>> from truez.networks.error_head import ErrorHead
    >>> from truez.networks.error_model import ErrorModel
    >>> found = ErrorModel.variance(
    ...     ErrorModel(ErrorHead(10), None), torch.ones(3), torch.ones(3), torch.zeros(10)
    ... )
    >>> found.tolist()
    [1.0, 1.0, 1.0]
    """

    head: ErrorHead
    header: Header

    def __repr__(self) -> str:
        return f"ErrorModel({self.header.output})"

    @classmethod
    def fitted(
        cls, head: ErrorHead, box: Box, survey: SurveyLimits, provenance: Mapping[str, Any]
    ) -> Self:
        """That of a head that was fitted.

        Parameters
        ----------
        head : ErrorHead
        box : Box
            Whose cells are those of the views on average.
        survey : SurveyLimits
            Of the surveys that it was fitted to.
        provenance : mapping
        """
        header = Header(
            architecture=ARCHITECTURE,
            config={"hidden": head.hidden, "pairs": head.pairs, "conditions": "local"},
            cellsize=box.cellsize,
            inputs=_INPUTS,
            output="variance of the counts of the redistribution",
            survey=survey,
            receptive_radius=0,
            stride=1,
            provenance={**versions(), **provenance},
        )
        return cls(head, header)

    def variance(
        self, given: Tensor, mean: Tensor, conditions: Tensor, density: Tensor | None = None,
        strength: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """Variance of the error of counts; arguments as of `ColumnNet.variance`."""
        center, scale = scaling_of("local")
        with torch.inference_mode():
            return variance_of(
                self.head, given, mean, conditions, density, strength, center=center, scale=scale
            )

    def write(self, path: str | Path) -> None:
        """Write the model to a file, whole or not at all."""
        save_tensors(path, self.head.state_dict(), self.header.model_dump_json(), KEY)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a model that `write` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        FileNotFoundError
            If there is none.
        """
        header = read_header(path)
        if header.architecture != ARCHITECTURE or not header.local:
            raise ValueError(f"{path} holds a {header.architecture}, no error model: {_REMEDY}")
        tensors, _ = read_tensors(path, KEY)
        given = {name: value for name, value in header.config.items() if name != "conditions"}
        try:
            config = ErrorModelConfig(**given)
            head = ErrorHead(len(LOCAL_CONDITIONS), config.hidden, pairs=config.pairs)
            check_fit(tensors, head.state_dict())
        except ValidationError as error:
            raise ValueError(
                f"the error model in {path} cannot be used: {refused_setting(error)}: {_REMEDY}"
            ) from error
        except ValueError as error:
            raise ValueError(
                f"the error model in {path} cannot be used: {error}: {_REMEDY}"
            ) from error
        head.load_state_dict(tensors)
        return cls(head.eval().requires_grad_(False), header)


def shipped_error_model(name: str = REDISTRIBUTION) -> ErrorModel | None:
    """An error model that comes with the package; None where there is none of the name."""
    try:
        path = shipped_weights(name)
    except ValueError:
        return None
    return ErrorModel.read(path)


def served(
    model: ErrorModel | None, check: Callable[[Header], None]
) -> tuple[ErrorModel | None, dict[str, str]]:
    """The error model of the redistribution where it serves surveys, and what metadata say of it.

    Parameters
    ----------
    model : ErrorModel, optional
        That of the package, if there is one.
    check : function
        Called with its header; raises a ValueError for surveys beyond its limits.

    Returns
    -------
    model : ErrorModel or None
    about : dict
        ``error_model``, its name, or ``error_model_left_out``, why there is none; nothing where
        none comes with the package.
    """
    if model is None:
        return None, {}
    try:
        check(model.header)
    except ValueError as error:
        return None, {"error_model_left_out": reason_of(error)}
    return model, {"error_model": f"{REDISTRIBUTION} of truez"}


def reason_of(error: ValueError) -> str:
    """Why an error model does not serve surveys, of the error of `Header.check`, for metadata."""
    sentence = str(error).partition(": ")[0]
    return sentence.replace("the network", "the error model")
