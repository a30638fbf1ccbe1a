"""Values with their derivatives by some parameters, which follow the rules of calculus.

Forward differentiation for the few operations of the spectra of a linear model. That of torch gives
the same numbers; it takes four times as long for as few bins as a box has, and imports a compiler
and a computer algebra system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class Derived:
    """A tensor and its derivatives, for the functions and operators of `RULES`.

    Parameters
    ----------
    value : Tensor, shape (...)
        The value.
    by : Tensor, shape (p, ...)
        Its derivatives by ``p`` parameters.
    """

    def __init__(self, value: Tensor, by: Tensor) -> None:
        self.value, self.by = value, by

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The rule of a function of torch that has one of these among its arguments."""
        rule = None if kwargs else RULES.get(function)
        return NotImplemented if rule is None else rule(*args)

    def __getitem__(self, place: Any) -> Derived:
        """Some of a vector."""
        return Derived(self.value[place], self.by[:, place])

    def __rmatmul__(self, matrix: Tensor) -> Derived:
        """The product of a matrix, which is constant, with a vector."""
        return Derived(matrix @ self.value, self.by @ matrix.T)

    def __add__(self, other: Any) -> Derived:
        if not isinstance(other, Derived):
            value = self.value + other
            return Derived(value, self._by(value).expand(len(self.by), *value.shape))
        value = self.value + other.value
        return Derived(value, self._by(value) + other._by(value))

    def __mul__(self, other: Any) -> Derived:
        if not isinstance(other, Derived):
            value = self.value * other
            return Derived(value, self._by(value) * other)
        value = self.value * other.value
        return Derived(value, self._by(value) * other.value + other._by(value) * self.value)

    def __truediv__(self, other: Any) -> Derived:
        if not isinstance(other, Derived):
            value = self.value / other
            return Derived(value, self._by(value) / other)
        value = self.value / other.value
        return Derived(value, (self._by(value) - other._by(value) * value) / other.value)

    def __sub__(self, other: Any) -> Derived:
        less: Derived = self + other * -1
        return less

    def __pow__(self, power: float) -> Derived:
        slope: Tensor = power * self.value ** (power - 1)
        return Derived(self.value**power, self.by * slope)

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> Derived:
        """e to its power."""
        value = torch.exp(self.value)
        return Derived(value, self.by * value)

    def mean(self) -> Derived:
        """The mean of a vector."""
        return Derived(self.value.mean(), self.by.mean(-1))

    def _by(self, value: Tensor) -> Tensor:
        """The derivatives, as they are broadcast to those of a result."""
        missing = value.ndim - self.value.ndim
        return self.by.reshape(len(self.by), *(1,) * missing, *self.value.shape)


#: What torch calls where the first argument is a tensor, and functions of one argument.
RULES: dict[Callable[..., Any], Callable[..., Derived]] = {
    Tensor.__matmul__: lambda a, b: b.__rmatmul__(a),
    Tensor.matmul: lambda a, b: b.__rmatmul__(a),
    Tensor.add: lambda a, b: b + a,
    Tensor.__add__: lambda a, b: b + a,
    Tensor.mul: lambda a, b: b * a,
    Tensor.__mul__: lambda a, b: b * a,
    torch.exp: lambda a: a.exp(),
}
