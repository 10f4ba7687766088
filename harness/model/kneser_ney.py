"""Interpolated modified Kneser-Ney n-grams: about the best that counting alone can do (Chen & Goodman 1999).

An order-n model uses n - 1 symbols of context and interpolates with all shorter contexts, down to
a uniform distribution. Below the highest order, an n-gram counts by the number of different symbols
that preceded it, not by its frequency. Nothing precedes the start of an item. A context that begins
with the boundary therefore keeps its plain counts, and padding beyond one boundary does not make a
longer context, as in SRILM and KenLM.

C contexts of a level, P (context, next symbol) pairs, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.corpus.contexts import ContextCounts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SMALL_CORPUS_DISCOUNTS = (0.5, 1.0, 1.5)
"""Used if there are too few counts of one to four to estimate discounts between 0 and the count (KenLM's fallback)."""


@dataclass(frozen=True)
class _Level:
    """All contexts of one length k that occur in train."""

    keys: Ints
    """(C,) ascending: V times the index of the context without its oldest symbol, plus the oldest symbol."""
    pairs: Ints
    """(P,) ascending: V times the index of the context, plus the next symbol."""
    kept: Floats
    """(P,) (count - discount) / the context's total."""
    passed_on: Floats
    """(C,) the probability mass that the discounts leave for the shorter context."""


class KneserNey:
    """P(next | last n - 1 symbols), estimated from a train split's counts."""

    def __init__(self, levels: list[_Level], vocabulary_size: int) -> None:
        self._levels, self._V = levels, vocabulary_size

    @classmethod
    def of(cls, counts: ContextCounts, vocabulary_size: int, order: int) -> Self:
        """Estimate the model from a train split's counts at a context length of at least order - 1.

        Raises:
            ValueError: the order is below 1 or above context length + 1.
        """
        V, T = vocabulary_size, counts.contexts.shape[1]
        if not 1 <= order <= T + 1:
            raise ValueError(f"order must be at least 1 and at most context length + 1 = {T + 1}; got {order}")
        rows, targets = counts.rows.numpy(), counts.targets.numpy()
        tree = _Tree(counts.contexts.numpy(), V)
        raw: list[tuple[Ints, Ints, Floats]] = []
        for k in range(order):
            keys, index = tree.grow() if k else (np.zeros(1, np.int64), tree.index)
            inside = index[rows] >= 0
            pairs, which = np.unique(index[rows[inside]] * V + targets[inside], return_inverse=True)
            raw.append((keys, pairs, _sums(which, counts.counts.numpy()[inside], len(pairs))))
        levels = []
        for k, (keys, pairs, times) in enumerate(raw):
            if k + 1 < order:
                times = _continuations(keys, pairs, times, raw[k + 1], V, at_begin=k > 0)
            levels.append(_level(keys, pairs, times, V))
        return cls(levels, V)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], vocabulary_size: int) -> Self:
        """The model that `tensors()` describes.

        Raises:
            KeyError: an array of a level is missing.
        """
        order = 1 + max((int(name.split(".")[0]) for name in tensors), default=0)
        names = [field.name for field in fields(_Level)]
        levels = [_Level(**{name: tensors[f"{k}.{name}"].numpy() for name in names}) for k in range(order)]
        return cls(levels, vocabulary_size)

    @property
    def order(self) -> int:
        """Length of the n-gram, including the symbol that it predicts."""
        return len(self._levels)

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats for (B, T) contexts of at least order - 1 symbols."""
        B, V = len(contexts), self._V
        p = np.full((B, V), 1 / V)
        tree = _Tree(contexts.numpy(), V)
        for k, level in enumerate(self._levels):
            index = tree.look_up(level.keys) if k else tree.index
            seen = np.flatnonzero(index >= 0)
            p[seen] *= level.passed_on[index[seen], None]
            first = np.searchsorted(level.pairs, index[seen] * V)
            ends = np.searchsorted(level.pairs, (index[seen] + 1) * V)
            lengths = ends - first
            at = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
            p[np.repeat(seen, lengths), level.pairs[at] % V] += level.kept[at]
        return torch.from_numpy(np.log(p))

    def tensors(self) -> dict[str, Tensor]:
        """The arrays of every level, named `level.array`."""
        return {
            f"{k}.{name}": torch.from_numpy(array)
            for k, level in enumerate(self._levels)
            for name, array in vars(level).items()
        }


class _Tree:
    """Contexts, read from the newest symbol backwards. `index` is each context's index in the current level, or -1."""

    def __init__(self, contexts: Ints, vocabulary_size: int) -> None:
        self._contexts, self._V, self._depth = contexts, vocabulary_size, 0
        self.index: Ints = np.zeros(len(contexts), np.int64)

    def grow(self) -> tuple[Ints, Ints]:
        """Go one symbol further back. Returns the keys of the contexts that occur, and each row's index among them."""
        keys = self._keys()
        known = np.unique(keys[keys >= 0])
        return known, self.look_up(known, keys)

    def look_up(self, known: Ints, keys: Ints | None = None) -> Ints:
        """Go one symbol further back in a level with known keys. The index is -1 if the context is not among them."""
        keys = self._keys() if keys is None else keys
        place = np.searchsorted(known, keys)
        found = np.append(known, -2)[place] == keys  # -2, after the last key, equals no key
        self.index = np.where(found, place, -1)
        self._depth += 1
        return self.index

    def _keys(self) -> Ints:
        T, depth = self._contexts.shape[1], self._depth
        ended = self.index < 0
        if depth:  # nothing precedes a boundary
            ended |= self._contexts[:, T - depth] == 0
        return np.where(ended, -1, self.index * self._V + self._contexts[:, T - depth - 1])


def _sums(which: Ints, weights: Floats, length: int) -> Floats:
    return np.bincount(which, weights, minlength=length).astype(np.float64)


def _continuations(
    keys: Ints, pairs: Ints, times: Floats, longer: tuple[Ints, Ints, Floats], V: int, *, at_begin: bool
) -> Floats:
    """The number of longer contexts each pair occurs in; the plain count if the context begins with the boundary."""
    longer_keys, longer_pairs, _ = longer
    parents = longer_keys[longer_pairs // V] // V * V + longer_pairs % V
    found = np.bincount(np.searchsorted(pairs, parents), minlength=len(pairs)).astype(np.float64)
    plain = at_begin & (keys[pairs // V] % V == 0)
    return np.where(plain, times, found)


def _level(keys: Ints, pairs: Ints, times: Floats, V: int) -> _Level:
    discounts = np.array([0.0, *_discounts(times)])[np.minimum(times, 3).astype(np.int64)]
    contexts = pairs // V
    totals = np.bincount(contexts, times, minlength=len(keys))
    return _Level(
        keys,
        pairs,
        (times - discounts) / totals[contexts],
        np.bincount(contexts, discounts, minlength=len(keys)) / totals,
    )


def _discounts(times: Floats) -> tuple[float, float, float]:
    """The discounts of counts of one, two, and three or more (Chen & Goodman 1999, equation 26)."""
    n1, n2, n3, n4 = (int((times == count).sum()) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return _SMALL_CORPUS_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = all(0 < discount < count for count, discount in enumerate(found, start=1))
    return found if in_range else _SMALL_CORPUS_DISCOUNTS
