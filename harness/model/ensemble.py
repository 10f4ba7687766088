"""Several trained models as one: the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.model.interface import Predictor


class Ensemble:
    """P(next) = mean over models of P_m(next), the linear opinion pool (Stone 1961)."""

    def __init__(self, models: Sequence[Predictor]) -> None:
        self.models = models

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats, for (B, T) contexts. All models must have the same T."""
        log_p = torch.stack([model.log_probabilities(contexts).double() for model in self.models])
        return torch.logsumexp(log_p, 0) - math.log(len(self.models))

    def tensors(self) -> dict[str, Tensor]:
        return {f"{index}.{name}": t for index, model in enumerate(self.models) for name, t in model.tensors().items()}
