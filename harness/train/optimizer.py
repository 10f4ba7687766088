"""The optimisers a config can name, as torch's fused kernels over one flat parameter tensor.

The kernels are the ones torch.optim calls with `fused=True` (a test holds them to
it, bit for bit). Called directly they spare each step the bookkeeping for lists of
tensors, and each process the three seconds in which torch.optim loads its compiler.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from harness.config import SGD, AdamW


class Trained(Protocol):
    """Weights with a gradient beside them: a model, or a plan for several."""

    parameters: Tensor
    gradient: Tensor


class Optimizer(Protocol):
    """Steps parameters along the gradient that was written beside them."""

    def step(self, learning_rate: float) -> None: ...


def make_optimizer(model: Trained, settings: SGD | AdamW) -> Optimizer:
    """A fresh optimiser over the model's memory."""
    return _SGD(model, settings) if isinstance(settings, SGD) else _AdamW(model, settings)


class _SGD:
    def __init__(self, model: Trained, settings: SGD) -> None:
        self._settings = settings
        self._parameters, self._gradient = [model.parameters], [model.gradient]
        self._momentum = [torch.zeros_like(model.parameters)] if settings.momentum else []

    def step(self, learning_rate: float) -> None:
        if not self._momentum and not self._settings.weight_decay:
            self._parameters[0].add_(self._gradient[0], alpha=-learning_rate)  # what is left of it, in one light call
            return
        torch._fused_sgd_(
            self._parameters,
            self._gradient,
            self._momentum,
            weight_decay=self._settings.weight_decay,
            momentum=self._settings.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,  # only dampening would tell the first step apart
        )


class _AdamW:
    def __init__(self, model: Trained, settings: AdamW) -> None:
        self._settings = settings
        self._parameters, self._gradient = [model.parameters], [model.gradient]
        self._mean, self._square = ([torch.zeros_like(model.parameters)] for _ in range(2))
        self._steps = [torch.zeros((), device=model.parameters.device)]
        self._one = torch.ones_like(self._steps[0])  # a tensor spares each step a conversion from a Python number

    def step(self, learning_rate: float) -> None:
        self._steps[0].add_(self._one)
        torch._fused_adamw_(
            self._parameters,
            self._gradient,
            self._mean,
            self._square,
            [],
            self._steps,
            lr=learning_rate,
            beta1=self._settings.beta1,
            beta2=self._settings.beta2,
            weight_decay=self._settings.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
