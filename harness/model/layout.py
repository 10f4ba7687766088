"""The memory layout of the MLP's weights, for one model or several replicas.

R replicas, V vocabulary, T context length, E embedding size, H hidden width, S width of the second hidden layer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Dims(NamedTuple):
    """What determines the number of weights. If H or S is 0, there is no such layer."""

    V: int
    T: int
    E: int
    H: int
    S: int = 0
    direct: bool = False
    """Whether there are direct connections from the embeddings to the logits."""

    @property
    def last(self) -> int:
        """Units in the last hidden layer, which w2 connects to the logits."""
        return self.S or self.H

    @property
    def is_plain(self) -> bool:
        """Whether this is the lecture's model: one hidden layer, no direct connections."""
        return bool(self.H) and not self.S and not self.direct


class Weights(NamedTuple):
    """Views of one flat tensor. For each weight, the replicas follow one another.

    The layout lets each matrix product of a step be a single call without copies. The rows of w1
    are ordered by embedding dimension first, so that w1 can be read as (E, T * H), for a product
    over all positions at once, and as (E * T, H), for a product per example. b1 is one more row
    below w1, for inputs that end in a 1. What a model does not have is empty.
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
    """(R, V, H); (R, V, S) above a second hidden layer."""
    b2: Tensor
    """(R, V, 1)"""
    w_second: Tensor
    """(R, H, S)"""
    b_second: Tensor
    """(R, 1, S)"""
    direct: Tensor
    """(R, E * T, V) in the order of w1, or (R, E * T, 0)."""

    def of_replica(self, replica: int) -> Weights:
        """The views of one replica, without the R dimension."""
        return Weights(*(weight[replica] for weight in self))

    @property
    def biases(self) -> list[Tensor]:
        """The weights that are added rather than multiplied."""
        return [self.b1, self.b2, self.b_second]


def weights_of(flat: Tensor, dims: Dims, replicas: int = 1) -> Weights:
    """Views of the weights in a flat tensor of `replicas * size_of(dims)` numbers."""
    shapes = [(replicas, *shape) for shape in _shapes(dims)]
    parts = torch.split(flat, [math.prod(shape) for shape in shapes])
    embedding, first, *others = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
    return Weights(embedding, first, first[:, :-1], first[:, -1:], *others)


def size_of(dims: Dims) -> int:
    """The number of weights of one model."""
    return sum(math.prod(shape) for shape in _shapes(dims))


def _shapes(dims: Dims) -> list[tuple[int, int]]:
    V, T, E, H, S, direct = dims
    plain = [(E, V), (E * T + 1, H), (V, dims.last), (V, 1)]
    return [*plain, (H, S), (1, S), (E * T, V if direct else 0)]
