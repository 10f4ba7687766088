"""The activation of a hidden layer and its derivative. They are the most expensive elementwise work of a step.

An activation has three constants besides its two functions. They are left to the matrix products around the layer,
where they cost nothing: the layer's inputs are multiplied by `times`, the products that use its units multiply them by
`scale`, and the product that gives the gradient of the units is multiplied by `slope`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor


class Activation(Protocol):
    """The forward and the backward pass of a layer's activation, with or without dropout."""

    dropout: float
    times: int
    scale: float
    slope: float

    def forward_(self, inputs: Tensor, kept: Tensor | None) -> tuple[Tensor, Any]:
        """The units, divided by `scale`, and what `backward_` needs of them.

        Args:
            inputs: the layer's inputs, multiplied by `times`. They may be overwritten.
            kept: 1 for the units that dropout keeps and 0 for the others; None without dropout.
        """
        ...

    def backward_(self, d_units: Tensor, saved: Any) -> Tensor:
        """The gradient of the layer's inputs, in place, from `slope` times that of the units."""
        ...


class Tanh:
    """tanh(z) from 2z.

    tanh(z) = 2 s - 1 with s = sigmoid(2z) equals torch's tanh up to rounding and takes a third of its time.

    With dropout, a mask k of 0 and 1 gives k s - k / 2, which is tanh(z) / 2 for kept units and 0 for the others. The
    derivative 4 k s (1 - k s) is 0 for the others without further work. A mask thus costs only one more pass over the
    units.
    """

    times = 2

    def __init__(self, dropout: float, like: Tensor) -> None:
        self.dropout = dropout
        self.scale, self.slope = (2 / (1 - dropout), 4 / (1 - dropout)) if dropout else (1.0, 1.0)
        # This is a tensor because a Python number would be converted in each step.
        self._minus_one = like.new_full((1,), -1.0)

    def forward_(self, inputs: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        s = inputs.sigmoid_()
        if kept is None:
            h = torch.add(self._minus_one, s, alpha=2, out=s)
            return h, h
        return torch.sub(s.mul_(kept), kept, alpha=0.5), s

    def backward_(self, d_units: Tensor, saved: Tensor) -> Tensor:
        through = torch.ops.aten.sigmoid_backward if self.dropout else torch.ops.aten.tanh_backward
        grad: Tensor = through.grad_input(d_units, saved, grad_input=d_units)
        return grad


class Relu:
    """max(0, z). The derivative is 0 where the unit is 0, dropped units included, so a mask costs one pass here too."""

    times = 1

    def __init__(self, dropout: float, _like: Tensor) -> None:
        self.dropout = dropout
        self.scale = self.slope = 1 / (1 - dropout)

    def forward_(self, inputs: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        h = inputs.relu_()
        if kept is not None:
            h.mul_(kept)
        return h, h

    def backward_(self, d_units: Tensor, saved: Tensor) -> Tensor:
        grad: Tensor = torch.ops.aten.threshold_backward.grad_input(d_units, saved, 0, grad_input=d_units)
        return grad


class Gelu:
    """z P(Z <= z) for a standard normal Z (Hendrycks & Gimpel 2016), by the error function.

    A step takes about a tenth longer than with tanh. The usual approximation by tanh would take longer still.
    """

    times = 1

    def __init__(self, dropout: float, _like: Tensor) -> None:
        self.dropout = dropout
        self.scale = self.slope = 1 / (1 - dropout)

    def forward_(self, inputs: Tensor, kept: Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        h = torch.nn.functional.gelu(inputs)
        return h if kept is None else h.mul_(kept), (inputs, kept)

    def backward_(self, d_units: Tensor, saved: tuple[Tensor, Tensor | None]) -> Tensor:
        z, kept = saved
        grad: Tensor = torch.ops.aten.gelu_backward.grad_input(d_units, z, approximate="none", grad_input=d_units)
        return grad if kept is None else grad.mul_(kept)


ACTIVATIONS: dict[str, Callable[[float, Tensor], Activation]] = {"tanh": Tanh, "relu": Relu, "gelu": Gelu}
"""By the names that `ModelConfig.activation` takes."""
