"""Sampling new items from a trained model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.model import Predictor


def sample(
    model: Predictor,
    vocabulary: Sequence[str],
    context_length: int,
    *,
    count: int,
    generator: torch.Generator,
    longest: int = 100,
) -> list[str]:
    """`count` new items, drawn symbol by symbol from the model until each draws the boundary.

    All items grow in one batch. An item that reaches `longest` symbols is truncated there.
    """
    contexts = torch.zeros(count, context_length, dtype=torch.int64)
    drawn: list[list[str]] = [[] for _ in range(count)]
    growing = torch.ones(count, dtype=torch.bool)
    for _ in range(longest):
        probabilities = model.log_probabilities(contexts).exp()
        symbols = torch.multinomial(probabilities, 1, generator=generator)
        contexts = torch.cat([contexts[:, 1:], symbols], dim=1)
        growing &= symbols[:, 0] != 0
        for item, symbol, grows in zip(drawn, symbols[:, 0].tolist(), growing.tolist(), strict=True):
            if grows:
                item.append(vocabulary[symbol])
        if not growing.any():
            break
    return ["".join(item) for item in drawn]
