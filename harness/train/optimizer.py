"""The optimisers a config can name, over a model's one flat parameter tensor."""

from __future__ import annotations

import torch

from harness.config import SGD, AdamW
from harness.model import Model


def make_optimizer(model: Model, settings: SGD | AdamW) -> torch.optim.Optimizer:
    """torch's own optimiser; it steps on the gradient that the model writes in place."""
    # A leaf of its own over the same memory: the model's tensors stay plain, for some of torch's
    # products take another path, with other rounding, where a gradient might be asked for.
    parameter = torch.nn.Parameter(model.parameters)
    parameter.grad = model.gradient
    if isinstance(settings, SGD):
        return torch.optim.SGD(
            [parameter],
            settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(
        [parameter],
        settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )
