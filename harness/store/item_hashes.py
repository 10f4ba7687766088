"""Items as salted, truncated hashes: they can be compared with other items, but not read."""

from __future__ import annotations

import base64
import hashlib
import secrets
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import Self

from pydantic import BaseModel

SALT_BYTES = 16
HASH_BYTES = 8


class ItemHashes(BaseModel, frozen=True):
    """The distinct items of a split. Items that differ only by case, Unicode form or white space count as one."""

    salt: str
    """Random, in base64."""
    distinct: int
    hashes: str
    """The first HASH_BYTES bytes of every item's SHA-256 with the salt before it, sorted, joined, in base64."""

    @classmethod
    def of(cls, items: Iterable[str], salt: str | None = None) -> Self:
        """The hashes of these items, with a new salt unless one is given."""
        salt = salt or base64.b64encode(secrets.token_bytes(SALT_BYTES)).decode()
        found = sorted(_hashes(items, salt))
        return cls(salt=salt, distinct=len(found), hashes=base64.b64encode(b"".join(found)).decode())

    def shared(self, items: Iterable[str]) -> int:
        """How many of the hashed items are among these."""
        return len(self._set & _hashes(items, self.salt))

    @cached_property
    def _set(self) -> frozenset[bytes]:
        joined = base64.b64decode(self.hashes)
        return frozenset(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES))


def _hashes(items: Iterable[str], salt: str) -> set[bytes]:
    salted = hashlib.sha256(salt.encode())
    found = set()
    for item in items:
        one = salted.copy()
        one.update(_plain(item).encode("utf-8", "surrogatepass"))
        found.add(one.digest()[:HASH_BYTES])
    return found


def _plain(item: str) -> str:
    """An item without what another copy of a corpus may write differently."""
    if item.isascii():
        return " ".join(item.lower().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", item).casefold()).split())
