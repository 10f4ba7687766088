"""How many dev items a model may have seen in training: the same ones, and some that differ only in their writing.

Test items are never compared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

LARGE, MOST = 0.2, 0.5
"""Shares of the dev items: what overlaps is named, from LARGE on as a warning, and from MOST on before every result.

On `names` the share is 0.13.
"""
_INVISIBLE = "Cf"
"""The category of zero-width spaces, joiners and other symbols that cannot be seen."""


@dataclass(frozen=True)
class Overlap:
    """Numbers of dev items by what distinguishes them from the nearest train item. Each counts once."""

    dev_items: int
    same: int
    """Also in train, symbol for symbol."""
    case: int = 0
    normal_form: int = 0
    """Different only in their Unicode normal form (NFKC makes them equal)."""
    white_space: int = 0
    """Different only in white space or symbols that cannot be seen."""
    several: int = 0
    """Different in more than one of these."""

    @property
    def share(self) -> float:
        """All of them, as a share of the dev items."""
        return (self.same + self._near) / self.dev_items

    @property
    def comes_first(self) -> bool:
        """Whether it is said before any result."""
        return self.share >= MOST

    @property
    def sentence(self) -> str:
        """What overlaps, in words; empty if nothing does."""
        parts = [f"{self._of_dev(self.same)} also in train"] if self.same else []
        for count, what in (
            (self.case, "case"),
            (self.normal_form, "Unicode normal form"),
            (self.white_space, "white space or symbols that cannot be seen"),
            (self.several, "case, normal form and white space together"),
        ):
            if count:
                differ = "item differs" if count == 1 else "items differ"
                parts.append(f"{count:,} dev {differ} from a train item only by {what}")
        return "; ".join(parts)

    @property
    def line(self) -> str:
        """The sentence; if the overlap is large, as a warning with what it means and the way out."""
        if self.share < LARGE:
            return self.sentence
        way_out = (
            "the corpus with -dedup appended leaves repeated items out"
            if self.same >= self._near
            else "write the file in one case and normal form"
        )
        return f"warning: {self.sentence}, so the dev loss says little about new items ({way_out})"

    @property
    def _near(self) -> int:
        return self.case + self.normal_form + self.white_space + self.several

    def _of_dev(self, count: int) -> str:
        if count == self.dev_items:
            return f"all {count:,} dev items are"
        are = "is" if count == 1 else "are"
        return f"{count:,} of {self.dev_items:,} dev items ({_percent(count / self.dev_items)}) {are}"


def in_percent(share: float) -> str:
    """A share for a table, marked if it is large."""
    return f"warning: {_percent(share)}" if share >= LARGE else _percent(share)


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def overlap_of(dev_items: Sequence[str], train_items: Sequence[str]) -> Overlap:
    """Compare the dev items with all train items."""
    train = set(train_items)
    left = [item for item in dev_items if item not in train]
    counts: dict[str, int] = {"same": len(dev_items) - len(left)}
    for kind, plain in (
        ("normal_form", _normal),
        ("case", str.casefold),
        ("white_space", _spaced),
        ("several", lambda item: _spaced(_normal(item).casefold())),
    ):
        known = {plain(item) for item in train}
        others = [item for item in left if plain(item) not in known]
        counts[kind] = len(left) - len(others)
        left = others
    return Overlap(dev_items=len(dev_items), **counts)


def _normal(item: str) -> str:
    return item if item.isascii() else unicodedata.normalize("NFKC", item)


def _spaced(item: str) -> str:
    """With single spaces, and without symbols that cannot be seen."""
    seen = item if item.isascii() else "".join(c for c in item if unicodedata.category(c) != _INVISIBLE)
    return " ".join(seen.split())
