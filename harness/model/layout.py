"""How the MLP's weights lie in memory, for one model or for several replicas side by side.

R replicas, V vocabulary, T context length, E embedding size, H hidden width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Dims(NamedTuple):
    """What fixes the number of weights."""

    V: int
    T: int
    E: int
    H: int


class Weights(NamedTuple):
    """Views of one flat tensor, each replica's part of a weight behind the other's.

    The orders are those that make a step's matrix products single calls without copies:
    rows of w1 are ordered by embedding dimension first, so that it serves as
    (E, T * H), a product over all positions at once, and as (E * T, H), one per example;
    b1 is one more row below them, for inputs that end in a 1.
    """

    embedding: Tensor
    """(R, E, V)"""
    first: Tensor
    """(R, E * T + 1, H) w1 and b1."""
    w1: Tensor
    """(R, E * T, H); row e * T + t belongs to dimension e at position t, position 0 the oldest symbol."""
    b1: Tensor
    """(R, 1, H)"""
    w2: Tensor
    """(R, V, H)"""
    b2: Tensor
    """(R, V, 1)"""

    def of_replica(self, replica: int) -> Weights:
        """One replica's views, without the R."""
        return Weights(*(weight[replica] for weight in self))


def weights_of(flat: Tensor, dims: Dims, replicas: int = 1) -> Weights:
    """The weights within a flat tensor of `replicas * size_of(dims)` numbers."""
    shapes = [(replicas, *shape) for shape in _shapes(dims)]
    parts = torch.split(flat, [math.prod(shape) for shape in shapes])
    embedding, first, w2, b2 = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
    return Weights(embedding, first, first[:, :-1], first[:, -1:], w2, b2)


def size_of(dims: Dims) -> int:
    """Weights of one model."""
    return sum(math.prod(shape) for shape in _shapes(dims))


def _shapes(dims: Dims) -> list[tuple[int, int]]:
    V, T, E, H = dims
    return [(E, V), (E * T + 1, H), (V, H), (V, 1)]
