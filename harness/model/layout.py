"""The memory layout of the MLP's weights, for one model or several replicas.

R replicas, V vocabulary, T context length, E embedding size, H hidden width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Dims(NamedTuple):
    """The sizes that determine the number of weights."""

    V: int
    T: int
    E: int
    H: int


class Weights(NamedTuple):
    """Views of one flat tensor. For each weight, the replicas follow one another.

    The layout lets each matrix product of a step be a single call without copies. The rows of w1
    are ordered by embedding dimension first, so that w1 can be read as (E, T * H), for a product
    over all positions at once, and as (E * T, H), for a product per example. b1 is one more row
    below w1, for inputs that end in a 1.
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
        """The views of one replica, without the R dimension."""
        return Weights(*(weight[replica] for weight in self))


def weights_of(flat: Tensor, dims: Dims, replicas: int = 1) -> Weights:
    """Views of the weights in a flat tensor of `replicas * size_of(dims)` numbers."""
    shapes = [(replicas, *shape) for shape in _shapes(dims)]
    parts = torch.split(flat, [math.prod(shape) for shape in shapes])
    embedding, first, w2, b2 = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
    return Weights(embedding, first, first[:, :-1], first[:, -1:], w2, b2)


def size_of(dims: Dims) -> int:
    """The number of weights of one model."""
    return sum(math.prod(shape) for shape in _shapes(dims))


def _shapes(dims: Dims) -> list[tuple[int, int]]:
    V, T, E, H = dims
    return [(E, V), (E * T + 1, H), (V, H), (V, 1)]
