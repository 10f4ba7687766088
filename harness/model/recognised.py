"""Predictions on fixed contexts, which show whether code still makes the same model of the same weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.model.contract import fixed_contexts
from harness.model.interface import Predictor

_SAME = 1e-4
"""Largest accepted difference between two values, relative above 1: machines sum in different orders."""
_LOWEST = -1e6
"""Stored in place of minus infinity, which JSON does not have."""


def predictions_of(model: Predictor, vocabulary_size: int, context_length: int) -> tuple[float, ...]:
    """Log probabilities in nats that a model gives one target in each of the fixed contexts."""
    device = next(iter(model.tensors().values())).device
    contexts = fixed_contexts(vocabulary_size, context_length).to(device)
    with torch.no_grad():
        return picked(model.log_probabilities(contexts))


def picked(log_probabilities: Tensor) -> tuple[float, ...]:
    """The values of one target for each row of (B, V) log probabilities."""
    rows, symbols = log_probabilities.shape
    values = log_probabilities.detach()[torch.arange(rows), torch.arange(rows) % symbols]
    return tuple(max(value, _LOWEST) for value in values.tolist())


def same_values(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether they differ by no more than rounding."""
    return len(before) == len(after) and all(
        abs(old - new) <= _SAME * max(1.0, abs(old)) for old, new in zip(before, after, strict=True)
    )
