"""Interpolated modified Kneser-Ney n-grams: about the best that counting alone gets (Chen & Goodman 1999).

An order-n model looks at n - 1 symbols, interpolated over all shorter contexts down to a
uniform guess. Below the highest order a symbol counts by how many different symbols stood
before its n-gram, not by how often. Nothing stands before an item's beginning: a context that
begins with the boundary keeps its plain counts, and the padding beyond one boundary makes no
longer context (as SRILM and KenLM have it).

C contexts of a level, P pairs of a context and what followed it, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.corpus.contexts import ContextCounts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SMALL_CORPUS_DISCOUNTS = (0.5, 1.0, 1.5)
"""Where too few counts of one to four occur for estimates between nothing and the count itself (KenLM's fallback)."""


@dataclass(frozen=True)
class _Level:
    """All contexts of one length k that occurred in train."""

    keys: Ints
    """(C,) ascending: V times the index of the context without its oldest symbol, plus that symbol."""
    pairs: Ints
    """(P,) ascending: V times the index of the context, plus what followed it."""
    kept: Floats
    """(P,) (count - discount) / the context's total."""
    passed_on: Floats
    """(C,) what the discounts leave for the shorter context."""


class KneserNey:
    """P(next | last n - 1 symbols) from a train split's counts."""

    def __init__(self, levels: list[_Level], vocabulary_size: int) -> None:
        self._levels, self._V = levels, vocabulary_size

    @classmethod
    def of(cls, counts: ContextCounts, vocabulary_size: int, order: int) -> Self:
        """From a train split's counts at a context length of at least order - 1.

        Raises:
            ValueError: the order is below 1, or above what the contexts reach.
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

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats for (B, T) contexts."""
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
        """Every level's arrays, by level and name."""
        return {
            f"{k}.{name}": torch.from_numpy(array)
            for k, level in enumerate(self._levels)
            for name, array in vars(level).items()
        }


class _Tree:
    """Contexts, followed from their newest symbol back; `index` is each one's place in the level reached, or -1."""

    def __init__(self, contexts: Ints, vocabulary_size: int) -> None:
        self._contexts, self._V, self._depth = contexts, vocabulary_size, 0
        self.index: Ints = np.zeros(len(contexts), np.int64)

    def grow(self) -> tuple[Ints, Ints]:
        """One symbol further back: the keys of the contexts there are, and each row's index."""
        keys = self._keys()
        known = np.unique(keys[keys >= 0])
        return known, self.look_up(known, keys)

    def look_up(self, known: Ints, keys: Ints | None = None) -> Ints:
        """One symbol further back in a level whose keys are known; -1 where the context is not among them."""
        keys = self._keys() if keys is None else keys
        place = np.searchsorted(known, keys)
        found = np.append(known, -2)[place] == keys  # -2 stands behind the last and equals no key
        self.index = np.where(found, place, -1)
        self._depth += 1
        return self.index

    def _keys(self) -> Ints:
        T, depth = self._contexts.shape[1], self._depth
        ended = self.index < 0
        if depth:  # nothing stands to the left of a boundary
            ended |= self._contexts[:, T - depth] == 0
        return np.where(ended, -1, self.index * self._V + self._contexts[:, T - depth - 1])


def _sums(which: Ints, weights: Floats, length: int) -> Floats:
    return np.bincount(which, weights, minlength=length).astype(np.float64)


def _continuations(
    keys: Ints, pairs: Ints, times: Floats, longer: tuple[Ints, Ints, Floats], V: int, *, at_begin: bool
) -> Floats:
    """In how many longer contexts each pair occurred; the plain count where the context begins with the boundary."""
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
    """What is taken off counts of one, two, and three or more (Chen & Goodman 1999, equation 26)."""
    n1, n2, n3, n4 = (int((times == count).sum()) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return _SMALL_CORPUS_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = all(0 < discount < count for count, discount in enumerate(found, start=1))
    return found if in_range else _SMALL_CORPUS_DISCOUNTS
