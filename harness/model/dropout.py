"""Fast masks for inverted dropout (Srivastava et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor

MASKS = 2
"""The number of the way in which masks are drawn. Until version 0.4.0 it was 1: every example of a batch had a mask of
its own. Since then it is 2: see `kept_units`, and `harness.model.merged` for masks that examples share."""
_LEVELS = 256


def kept_units(chance: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """A mask in the shape (D, H) of `like`: 0 with probability `chance`, else 1.

    One random byte decides a unit, and eight come from one draw. A byte has 256 levels, so the threshold is rounded
    up or down at random, once per mask: each unit is dropped with exactly the given chance. The second half of the
    rows uses the complements of the first half's bytes (antithetic variates; Hammersley & Morton 1956). Given the
    threshold, the units of a row are independent of one another, and so are rows, except the two of such a pair.
    """
    rows, width = like.shape
    half = -(-rows // 2)
    draws = torch.empty(-(-half * width // 8), dtype=torch.int64, device=like.device)
    draws.random_(-(2**63), None, generator=generator)
    first = draws.view(torch.uint8)[: half * width].view(half, width)
    threshold = chance * _LEVELS - torch.rand((), generator=generator, device=like.device)
    # Converted to floats first, because torch compares small integers several times slower.
    return torch.cat([first, ~first[: rows - half]]).to(like.dtype).ge_(threshold)


def dropout_mask(chance: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """`kept_units` with 1 / (1 - chance) for the kept ones."""
    return kept_units(chance, like, generator).div_(1 - chance)
