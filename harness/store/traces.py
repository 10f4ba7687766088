"""Every opening of a test split that anything at hand tells of: ledgers, exports, stored files and written results.

A database can be put back to a backup, and an export can be deleted. So all of them are read, with the ledgers of
other storages in the same results folder and what an opening leaves behind: an opening counts as long as one of them
is left. Nothing here builds test items; those of an opening are known by their salted hashes.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from harness import paths
from harness.store.item_hashes import ItemHashes
from harness.store.ledger import Entry, exported, lenient
from harness.store.storage import OpeningRow, Storage

HOLDOUT_FILE = "holdout-items.safetensors"
"""The name under which an opening stores its losses by test item."""


@dataclass(frozen=True)
class KnownOpening:
    """An opening of a test split that something at hand tells of. A text is empty where it is not known."""

    key: str
    """The study."""
    at: str = ""
    """When it was claimed."""
    corpus: str = ""
    fingerprint: str = ""
    begun: str = ""
    """When its study was started, which distinguishes it from another study of the same key."""
    places: tuple[str, ...] = ()
    """What tells of it: `the database`, or files in the results folder."""
    is_recorded: bool = True
    """Whether a ledger tells of it; otherwise only stored files or results do."""
    is_own: bool = False
    """Whether this storage's own ledger or its export tells of it."""
    items: ItemHashes | None = None
    """Hashes of its test items; None if they were not recorded."""
    items_artifact: str = ""
    """Artifact id of its losses by test item."""

    @property
    def what(self) -> str:
        """Study, corpus, time and places, in one phrase."""
        corpus = f" on {self.corpus}" if self.corpus else ""
        when = f", claimed {self.at}" if self.at else ""
        return f"{self.key or 'an unknown study'}{corpus}{when} ({', '.join(self.places)})"

    def is_of(self, key: str, created: str | None) -> bool:
        """Whether it opened this study, and not one of the same key on another storage."""
        return self.key == key and (self.is_own or not self.is_recorded or (bool(created) and self.begun == created))


def known_openings(storage: Storage, rows: list[OpeningRow] | None = None) -> list[KnownOpening]:
    """Every opening at hand, each once, ordered by time.

    Args:
        rows: the rows of the storage's ledger, if they were read already.
    """
    found, hashes = _recorded(storage, storage.openings() if rows is None else rows)
    unexplained: dict[str, KnownOpening] = {}
    for sign in (*_stored_files(storage, found), *_results()):
        same = (o for o in found if o.key == sign.key and sign.at in ("", o.at))
        if next(same, None) is not None and (not sign.head or sign.head in hashes):
            continue
        known = unexplained.get(sign.key or sign.place, KnownOpening(sign.key, is_recorded=False))
        unexplained[sign.key or sign.place] = replace(
            known,
            at=known.at or sign.at,
            corpus=known.corpus or sign.corpus,
            fingerprint=known.fingerprint or sign.fingerprint,
            items_artifact=known.items_artifact or sign.artifact,
            places=(*known.places, sign.place),
        )
    return sorted([*found, *unexplained.values()], key=lambda opening: opening.at)


def seen_before(
    known: Sequence[KnownOpening], key: str, created: str | None, fingerprint: str, items: Sequence[str]
) -> list[str]:
    """One line for each opening of another study that tells something about the splits of this one.

    Args:
        items: the train and dev items of this study; none to compare fingerprints only.
    """
    lines = []
    for opening in known:
        if opening.is_of(key, created):
            continue
        if opening.fingerprint == fingerprint:
            lines.append(f"the test split of this corpus was opened before, for {opening.what}")
        elif opening.items is not None and (shared := opening.items.shared(items)):
            many = f"{shared:,} of the {opening.items.distinct:,} distinct test items"
            lines.append(f"{many} that were opened for {opening.what} are in train or dev here")
    return lines


def _recorded(storage: Storage, rows: list[OpeningRow]) -> tuple[list[KnownOpening], set[str]]:
    """The openings in all ledgers at hand, and the hashes of all their entries."""
    steps: dict[str, dict[str, Entry]] = defaultdict(dict)
    places: dict[str, list[str]] = defaultdict(list)
    own: set[str] = set()
    for place, is_own, entries in _ledgers(storage, rows):
        identity: dict[str, str] = {}
        for entry in entries:
            # An opening is known by the hash of its claim, which every copy of a ledger repeats.
            which = identity.setdefault(entry.key, entry.hash)
            steps[which][entry.step] = entry
            if place not in places[which]:
                places[which].append(place)
            own |= {which} if is_own else set()
    found = [
        replace(_opening_of(each), places=tuple(places[which]), is_own=which in own) for which, each in steps.items()
    ]
    return found, {entry.hash for each in steps.values() for entry in each.values()}


def _opening_of(steps: dict[str, Entry]) -> KnownOpening:
    first = next(iter(steps.values()))
    claim, items, scored = (steps[step].body if step in steps else {} for step in ("claimed", "items", "scored"))
    hashes = None
    with suppress(ValidationError):
        hashes = ItemHashes.model_validate(items)
    return KnownOpening(
        key=first.key,
        at=first.at,
        corpus=_text(claim, "corpus"),
        fingerprint=_text(claim, "fingerprint"),
        begun=_text(claim.get("study"), "begun"),
        items=hashes,
        items_artifact=_text(scored, "items_artifact") or _text(scored, "items"),  # `items` in version 0.2.0
    )


def _ledgers(storage: Storage, rows: list[OpeningRow]) -> Iterator[tuple[str, bool, list[Entry]]]:
    """Every ledger and every export at hand: its place, whether it is this storage's own, and its entries."""
    yield "the database", True, lenient("\n".join(row.document for row in rows).encode(errors="replace"))
    own = exported(storage)
    for path in sorted(paths.results_folder().glob("*")):
        if "holdout" in path.name and path.is_file():  # also copies that were given another name
            with suppress(OSError):
                yield path.name, path == own, lenient(path.read_bytes())
        elif path.suffix == ".db" and path != storage.file:
            yield path.name, False, lenient(_ledger_in(path))


def _ledger_in(path: Path) -> bytes:
    """The ledger in another SQLite database of this project; empty if there is none."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as there:
        rows = there.execute('SELECT document FROM harness_openings ORDER BY "index"').fetchall()
        return "\n".join(str(row[0]) for row in rows).encode(errors="replace")
    return b""


class _Sign(NamedTuple):
    """Something other than a ledger that tells of an opening; see KnownOpening."""

    key: str
    place: str
    at: str = ""
    corpus: str = ""
    fingerprint: str = ""
    head: str = ""
    artifact: str = ""


def _results() -> Iterator[_Sign]:
    """What reports have written about openings."""
    for folder in sorted(paths.results_folder().glob("*/")):
        with suppress(OSError, ValueError):
            yield from _in_summary(folder / "summary.json")
        with suppress(OSError, ValueError):
            yield _in_markdown(folder / "holdout.md")
        with suppress(OSError, ValueError, IndexError):
            first = (folder / "holdout.csv").read_text(encoding="utf-8").splitlines()[1]
            yield _Sign(folder.name, f"{folder.name}/holdout.csv", fingerprint=first.split(",")[-1])
        if (folder / "holdout_items.csv").is_file():
            yield _Sign(folder.name, f"{folder.name}/holdout_items.csv")


def _in_summary(path: Path) -> Iterator[_Sign]:
    content = path.read_bytes()
    if b'"holdout": null' in content:
        return
    document = json.loads(content)
    holdout = document.get("holdout") if isinstance(document, dict) else None
    if isinstance(holdout, dict):
        claim, place = holdout.get("claim"), f"{path.parent.name}/{path.name}"
        facts = (_text(holdout, "claimed"), _text(claim, "corpus"), _text(claim, "fingerprint"), _text(holdout, "head"))
        yield _Sign(_text(document, "study") or path.parent.name, place, *facts)


def _in_markdown(path: Path) -> _Sign:
    text, place = path.read_text(encoding="utf-8"), f"{path.parent.name}/{path.name}"

    def first(pattern: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        return found[1] if found else ""

    key = first(r"^# The test split of (.+)$") or path.parent.name
    facts = (first(r"^claimed (\S+), scored"), first(r"^(.+) · fingerprint"), first(r"· fingerprint (\w+)"))
    return _Sign(key, place, *facts, first(r"^ledger entry (\w+)"))


def _stored_files(storage: Storage, recorded: Sequence[KnownOpening]) -> Iterator[_Sign]:
    """Losses by test item in the artifact store. Those of versions before 0.4.0 do not name their study."""
    folder = paths.results_folder() / "artifacts"
    named = {opening.items_artifact for opening in recorded}
    registered: dict[str, str] | None = None
    for path in sorted(folder.glob("*")):
        facts = _holdout_facts(str(path)) if path.name not in named else None
        if facts is None:
            continue
        if not facts.get("study") and registered is None:
            registered = storage.files_named(HOLDOUT_FILE)
        key = facts.get("study") or (registered or {}).get(path.name, "")
        place = f"artifacts/{path.name}"
        yield _Sign(key, place, facts.get("claimed", ""), fingerprint=facts.get("fingerprint", ""), artifact=path.name)


@cache
def _holdout_facts(path: str) -> dict[str, str] | None:
    """What a stored file says about its opening; None if it does not hold losses by test item. Files never change."""
    with suppress(OSError, ValueError, struct.error), Path(path).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
        if {"symbols", "counted bigram"} <= header.keys():
            return dict(header.get("__metadata__", {}))
    return None


_LONGEST_HEADER = 1 << 20
"""Bytes; a longer header is not one of a stored file of this project."""


def _text(facts: Any, name: str) -> str:
    value = facts.get(name) if isinstance(facts, dict) else None
    return value if isinstance(value, str) else ""
