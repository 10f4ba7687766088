"""Corpora of known entropy: items drawn from a Markov chain over letters, with ends by chance or at a fixed length.

A letters, k the order of the chain, S = (A + 1) ** k states: the last k symbols, padded with the boundary 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness import Corpus, load

Floats = NDArray[np.float64]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Chain:
    """How items are drawn. The first symbol is always a letter."""

    letters: Floats
    """(S, A) the probability of each letter in each state."""
    ends: Floats
    """(L, S) the probability that an item of p + 1 letters ends in a state; 1 in the last row."""

    @classmethod
    def drawn(
        cls, order: int, letters: int, seed: int = 0, *, spread: float = 0.5, end: float | None = None, length: int = 6
    ) -> Self:
        """A chain whose rows are drawn from a symmetric Dirichlet distribution.

        Args:
            spread: concentration of the Dirichlet distribution; small values give nearly certain letters.
            end: the chance of an end after each letter; None for items of exactly `length` letters.
        """
        chance = np.random.default_rng(seed)
        rows = chance.dirichlet(np.full(letters, spread), size=(letters + 1) ** order)
        longest = length if end is None else 400
        ends = np.full((longest, len(rows)), end or 0.0)
        ends[-1] = 1.0
        return cls(rows, ends)

    @property
    def entropy(self) -> float:
        """Nats per predicted symbol, ends included, for a model that sees the whole item: expected nats of an item
        divided by its expected number of symbols."""
        rows = _entropy_of_rows(self.letters)
        at = np.zeros(len(rows))
        at[0] = 1.0
        nats, symbols = float(at @ rows), 1.0
        at = self._step(at)
        for ends in self.ends:
            nats += float(at @ _entropy_of_rows(np.stack([ends, 1 - ends], axis=1)) + (at * (1 - ends)) @ rows)
            symbols += float(at.sum())
            at = self._step(at * (1 - ends))
        return nats / symbols

    def items(self, count: int, seed: int = 0) -> list[str]:
        chance = np.random.default_rng(seed)
        found = []
        cumulated, states = self.letters.cumsum(axis=1), len(self.letters)
        for _ in range(count):
            item, state = "", 0
            while not item or chance.random() >= self.ends[len(item) - 1, state]:
                letter = min(int(np.searchsorted(cumulated[state], chance.random())), len(cumulated[state]) - 1)
                item += ALPHABET[letter]
                state = (state * (len(cumulated[state]) + 1) + letter + 1) % states
            found.append(item)
        return found

    def corpus(self, folder: Path, count: int, seed: int = 0) -> Corpus:
        """Items as a text file, loaded as a user's corpus is."""
        path = folder / f"chain-{count}-{seed}.txt"
        path.write_text("\n".join(self.items(count, seed)) + "\n", encoding="utf-8")
        return load(str(path))

    def _step(self, at: Floats) -> Floats:
        """(S,) the weight of each state one letter later."""
        states, letters = self.letters.shape
        following = (np.arange(states)[:, None] * (letters + 1) + np.arange(1, letters + 1)) % states
        return np.bincount(following.ravel(), (at[:, None] * self.letters).ravel(), minlength=states)


def _entropy_of_rows(rows: Floats) -> Floats:
    return -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1)
