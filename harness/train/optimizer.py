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
    """Weights with their gradient, as in `harness.model.Plan`."""

    parameters: Tensor
    gradient: Tensor
    biases: list[Tensor]


class Optimizer(Protocol):
    """Updates parameters by the gradient that was last written."""

    def step(self, learning_rate: float) -> None: ...


def make_optimizer(model: HasGradient, settings: SGD | AdamW) -> Optimizer:
    """A fresh optimiser that updates the model's parameters in place."""
    if settings.decay_biases or not settings.weight_decay:
        return _optimizer([model.parameters], [model.gradient], settings)
    undecayed = settings.model_copy(update={"weight_decay": 0.0})
    weights, biases = zip(
        *(_weights_and_biases(flat, model) for flat in (model.parameters, model.gradient)), strict=True
    )
    groups = [(*weights, settings), (*biases, undecayed)]
    return _Groups([_optimizer(*group) for group in groups if group[0]])


def _optimizer(parameters: list[Tensor], gradient: list[Tensor], settings: SGD | AdamW) -> Optimizer:
    kind = _SGD if isinstance(settings, SGD) else _AdamW
    return kind(parameters, gradient, settings)  # type: ignore[arg-type]  # each of its own kind


def _weights_and_biases(flat: Tensor, model: HasGradient) -> tuple[list[Tensor], list[Tensor]]:
    """The parts of a flat tensor that hold no biases, and those that hold only biases.

    Parts, because the kernels take a list of tensors at no extra cost, and a mask would cost another pass over the
    weights.
    """
    is_bias = torch.zeros(len(flat), dtype=torch.bool)
    for bias in model.biases:
        start = bias.storage_offset() - model.parameters.storage_offset()
        is_bias.as_strided(bias.shape, bias.stride(), start).fill_(True)
    kinds, lengths = torch.unique_consecutive(is_bias, return_counts=True)
    parts = list(zip(kinds.tolist(), torch.split(flat, lengths.tolist()), strict=True))
    return [part for found, part in parts if not found], [part for found, part in parts if found]


class _Groups:
    """Parts of the same parameters, each with its own optimiser."""

    def __init__(self, groups: list[Optimizer]) -> None:
        self._groups = groups

    def step(self, learning_rate: float) -> None:
        for group in self._groups:
            group.step(learning_rate)


class _SGD:
    def __init__(self, parameters: list[Tensor], gradient: list[Tensor], settings: SGD) -> None:
        self._settings = settings
        self._parameters, self._gradient = parameters, gradient
        self._momentum = [torch.zeros_like(part) for part in parameters] if settings.momentum else []

    def step(self, learning_rate: float) -> None:
        if not self._momentum and not self._settings.weight_decay:
            for part, gradient in zip(self._parameters, self._gradient, strict=True):
                part.add_(gradient, alpha=-learning_rate)  # plain SGD, in one cheap call
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
    def __init__(self, parameters: list[Tensor], gradient: list[Tensor], settings: AdamW) -> None:
        self._settings = settings
        self._parameters, self._gradient = parameters, gradient
        self._mean, self._square = ([torch.zeros_like(part) for part in parameters] for _ in range(2))
        self._step = torch.zeros((), device=parameters[0].device)
        self._steps = [self._step] * len(parameters)
        self._one = torch.ones_like(self._step)  # a tensor, because a Python number would be converted in each step

    def step(self, learning_rate: float) -> None:
        self._step.add_(self._one)
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
