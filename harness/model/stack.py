"""Choosing the plan for models. Replicas of one small run are stacked and trained together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

import torch
from torch import Tensor

from harness.model.direct import DirectPlan
from harness.model.interface import Model, OneByOne, Plan
from harness.model.layout import weights_of
from harness.model.mlp import CharMLP


def stacks(models: Sequence[Model], batch_size: int) -> bool:
    """Whether these models can be trained together, and are faster that way than one after another."""
    plain = [model for model in models if type(model) is CharMLP and _trains_by_plan(model)]
    shapes = {(model.dims, model.dropout, model.activation) for model in plain}
    return len(plain) == len(models) and len(shapes) == 1 and plain[0].is_direct(batch_size)


def plan_of(models: Sequence[Model], contexts: Tensor, batch_size: int) -> Plan:
    """The plan to train one model, or several that stack, on batches drawn from (N, T) contexts.

    Raises:
        ValueError: there are several models, and they do not stack.
    """
    first = models[0]
    if len(models) > 1:
        if not stacks(models, batch_size):
            raise ValueError(f"models must be CharMLPs of one shape, activation and dropout to stack; got {models}")
        return Stack([model for model in models if isinstance(model, CharMLP)], contexts, batch_size)
    return first.plan(contexts, batch_size) if _trains_by_plan(first) else OneByOne(first, contexts)


def _trains_by_plan(model: Model) -> TypeGuard[CharMLP]:
    # If a subclass defines its own gradient, the plan must not bypass it.
    gradient = getattr(model.loss_and_gradient, "__func__", None)
    return isinstance(model, CharMLP) and gradient is CharMLP.loss_and_gradient


class Stack:
    """The plan for R models of one shape, each with its own batches. They share only the fixed cost of each call.

    It trains copies of their weights in one tensor; `settle` copies them back.
    """

    closed_form = True

    def __init__(self, models: Sequence[CharMLP], contexts: Tensor, batch_size: int) -> None:
        dims = models[0].dims
        self.parameters = torch.cat([model.parameters for model in models])
        self.gradient = torch.zeros_like(self.parameters)
        stacked = weights_of(self.parameters, dims, len(models))
        self.biases = stacked.biases
        self._pairs = [
            pair
            for replica, model in enumerate(models)
            for pair in zip(stacked.of_replica(replica), weights_of(model.parameters, dims).of_replica(0), strict=True)
        ]
        for ours, theirs in self._pairs:
            ours.copy_(theirs)
        first = models[0]
        self._plan = DirectPlan(
            dims, self.parameters, self.gradient, contexts, batch_size, first.dropout, first.activation
        )

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        return self._plan.steps(rows, targets, generators)

    def settle(self) -> None:
        for ours, theirs in self._pairs:
            theirs.copy_(ours)
