"""What counting shows about the lowest loss that can be reached on a corpus.

Symbols are counted by the context before them (Kneser-Ney), item ends also by the position in the item: a network sees
how many symbols precede an end, while n-grams must meet each context anew. Without it, a corpus of items of equal
length seems far less predictable than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.corpus import Corpus, OpenSplit
from harness.train.counted import ends_by_context, kneser_ney
from harness.train.evaluate import Nats

LOOKAHEAD = 2
"""Symbols by which the advice lengthens a context, and by which counted n-grams may therefore look further."""
GAIN = 0.005
"""Nats. What gains less by a longer context gains nothing: losses of counted n-grams on dev vary by as much."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """The limit for networks of one context length."""

    order: int
    """The shortest n-gram that nothing counted within the context beats on dev by more than GAIN."""
    dev_nats: Nats
    """The lowest dev loss of what is counted within the context."""
    longer_gain: Nats
    """How much lower it is if LOOKAHEAD more symbols and all positions are counted."""
    floor: Nats
    """An estimate, from train, of the entropy of a symbol given what that n-gram knows."""
    floor_error: Nats
    """The estimate's correction for the number of contexts: the floor is about as uncertain."""


class _Way(NamedTuple):
    """One way of counting: the order of the n-gram, and whether ends are counted by position instead."""

    order: int
    by_position: bool
    dev_nats: Nats


def limit_of(corpus: Corpus, context_length: int) -> Limit:
    """The limit for networks of this context length.

    The floor is the conditional entropy of the train targets, plus (pairs - contexts) / 2N, since entropy estimated by
    counting is too low by about that (Miller 1955).
    """
    return corpus.once(("limit", context_length), lambda: _limit(corpus, context_length))


def _limit(corpus: Corpus, context_length: int) -> Limit:
    longest = max(map(len, corpus.train_items))
    ways = _ways(corpus, context_length, positions=context_length)
    longer = _ways(corpus, context_length + LOOKAHEAD, positions=max(longest, context_length))
    lowest = min(way.dev_nats for way in ways)
    shortest = next(way for way in ways if way.dev_nats <= lowest + GAIN)
    floor, correction = _floor(corpus, shortest, context_length)
    return Limit(
        order=shortest.order,
        dev_nats=lowest,
        longer_gain=max(0.0, lowest - min(way.dev_nats for way in longer)),
        floor=floor + correction,
        floor_error=correction,
    )


def _ways(corpus: Corpus, context_length: int, *, positions: int) -> list[_Way]:
    """Every way of counting within a context, the simplest first. Positions from `positions` on are not told apart."""
    ends = _ends_on_dev(corpus, positions)
    found = []
    for counted in kneser_ney(corpus, context_length):
        symbols = counted.dev_nats - ends_by_context(corpus, counted.order)
        found += [_Way(counted.order, False, counted.dev_nats), _Way(counted.order, True, symbols + ends)]
    return found


def _ends_on_dev(corpus: Corpus, positions: int) -> Nats:
    """Loss of the question whether an item ends, counted by position on train; per predicted symbol of dev."""
    at, is_end = _positions(corpus, "train", positions)
    asked, ended = (np.bincount(at, weights, minlength=positions + 1) for weights in (None, is_end))
    chance = (ended + 0.5) / (asked + 1)
    at, is_end = _positions(corpus, "dev", positions)
    return float(-np.log(np.where(is_end, chance[at], 1 - chance[at])).mean())


def _positions(corpus: Corpus, split: OpenSplit, positions: int) -> tuple[Ints, NDArray[np.bool_]]:
    """(N,) the number of symbols before each example's target, at most `positions`, and whether the item ends there."""
    lengths = np.array([len(item) for item in corpus.items(split)])
    at = np.concatenate([np.arange(length + 1) for length in lengths])
    return np.minimum(at, positions), at == np.repeat(lengths, lengths + 1)


def _floor(corpus: Corpus, way: _Way, positions: int) -> tuple[Nats, Nats]:
    """The conditional entropy on train of what a way of counting knows, and its correction; per predicted symbol."""
    counts = corpus.counts("train", max(1, way.order - 1))
    rows, targets, times = counts.rows.numpy(), counts.targets.numpy(), counts.counts.numpy()
    if way.order == 1:
        rows = np.zeros_like(rows)
    if not way.by_position:
        nats, correction = _entropy(rows, targets, times)
    else:
        inside = targets != 0
        at, is_end = _positions(corpus, "train", positions)
        parts = (
            _entropy(rows[inside], targets[inside], times[inside]),
            _entropy(at, is_end.astype(np.int64), np.ones(len(at))),
        )
        nats, correction = (sum(both) for both in zip(*parts, strict=True))
    return nats / counts.total, correction / counts.total


def _entropy(contexts: Ints, targets: Ints, times: Floats) -> tuple[float, float]:
    """Nats of all targets given their contexts, and the correction, (pairs - contexts) / 2."""
    size = int(targets.max(initial=0)) + 1
    pairs, which = np.unique(contexts * size + targets, return_inverse=True)
    found = np.bincount(which, times)
    context = pairs // size
    totals = np.bincount(context, found)
    nats = float(-(found * np.log(found / totals[context])).sum())
    return max(0.0, nats), (len(pairs) - len(np.unique(context))) / 2
