"""The optimisers of a config, as torch's fused kernels over one flat parameter tensor.

These are the kernels that torch.optim calls with `fused=True`, and a test checks that the results are equal bit
for bit. Calling them directly avoids the bookkeeping for lists of tensors in each step, and the three seconds
that torch.optim takes in each process to load its compiler.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from harness.config import SGD, AdamW


class HasGradient(Protocol):
    """Weights with their gradient: a model, or a plan for several models."""

    parameters: Tensor
    gradient: Tensor


class Optimizer(Protocol):
    """Updates parameters by the gradient that was last written."""

    def step(self, learning_rate: float) -> None: ...


def make_optimizer(model: HasGradient, settings: SGD | AdamW) -> Optimizer:
    """A fresh optimiser that updates the model's parameters in place."""
    return _SGD(model, settings) if isinstance(settings, SGD) else _AdamW(model, settings)


class _SGD:
    def __init__(self, model: HasGradient, settings: SGD) -> None:
        self._settings = settings
        self._parameters, self._gradient = [model.parameters], [model.gradient]
        self._momentum = [torch.zeros_like(model.parameters)] if settings.momentum else []

    def step(self, learning_rate: float) -> None:
        if not self._momentum and not self._settings.weight_decay:
            self._parameters[0].add_(self._gradient[0], alpha=-learning_rate)  # plain SGD, in one cheap call
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
            is_first_step=False,  # it makes a difference with dampening only
        )


class _AdamW:
    def __init__(self, model: HasGradient, settings: AdamW) -> None:
        self._settings = settings
        self._parameters, self._gradient = [model.parameters], [model.gradient]
        self._mean, self._square = ([torch.zeros_like(model.parameters)] for _ in range(2))
        self._steps = [torch.zeros((), device=model.parameters.device)]
        self._one = torch.ones_like(self._steps[0])  # a tensor, because a Python number would be converted in each step

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
