"""The record of every opening of a test split: a hash chain in the trials' database, and an exported copy.

The database decides. Each step of a study's opening is a row under a UNIQUE constraint, so however many
processes on however many machines try to add it, exactly one succeeds. `holdout.jsonl` is an append-only
copy for people and version control; `verify` compares the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy
from pydantic import BaseModel, ValidationError

from harness import paths
from harness.errors import ConfigError, StorageError, first_line
from harness.files import explained
from harness.store.provenance import now
from harness.store.storage import OpeningRow, Storage

FIRST = "0" * 64
"""The previous hash that the first entry names."""


class Entry(BaseModel, frozen=True, extra="forbid"):
    """One step of one study's opening."""

    index: int
    """Counted from 0 over all studies of the storage."""
    key: str
    step: str
    """`claimed`, `resumed 1`, …, `scored`."""
    at: str
    body: dict[str, Any]
    previous: str
    """Hash of the previous entry."""
    hash: str
    """SHA-256 of all fields above."""

    @classmethod
    def after(cls, last: Entry | None, key: str, step: str, body: dict[str, Any]) -> Entry:
        facts = {
            "index": 0 if last is None else last.index + 1,
            "key": key,
            "step": step,
            "at": now(),
            "body": body,
            "previous": FIRST if last is None else last.hash,
        }
        return cls(**facts, hash=_digest(facts))

    @property
    def line(self) -> str:
        return _canonical(self.model_dump(mode="json"))

    def fits(self) -> bool:
        """Whether its hash matches its content."""
        return self.hash == _digest(self.model_dump(mode="json", exclude={"hash"}))


def entries(storage: Storage) -> list[Entry]:
    """The entries in the database, and after them those that only its export still has, once their chain is checked.

    Raises:
        StorageError: an entry in the database was changed or is missing.
    """
    rows = storage.openings()
    check_chain(rows)
    ahead = _ahead(rows, _content(exported(storage))) or []
    return [Entry.model_validate_json(line) for line in [*(row.document for row in rows), *ahead]]


def mentions(storage: Storage, key: str) -> bool:
    """Whether the database's ledger or its export has anything about a study, be they whole or broken."""
    documents = "".join(f"{row.document}\n" for row in storage.openings()).encode(errors="replace")
    return any(entry.key == key for entry in lenient(documents + _content(exported(storage))))


def check_chain(rows: list[OpeningRow]) -> None:
    """Check the chain of the database's rows.

    Raises:
        StorageError: an entry was changed or is missing.
    """
    if found := _broken_rows(rows):
        raise StorageError(
            f"a ledger must be an unbroken chain; in the database, {found[0]}. Somebody has changed it. "
            "Restore the database from a backup: no test split can be opened on it until then."
        )


def append(storage: Storage, key: str, step: str, body: dict[str, Any]) -> Entry | None:
    """Add a study's step and export it; None if that step is already recorded.

    Raises:
        StorageError: the database's chain is broken, or the file differs from it. Nothing is added then.
    """
    settle(storage)
    while True:
        there = entries(storage)
        if any((entry.key, entry.step) == (key, step) for entry in there):
            return None
        entry = Entry.after(there[-1] if there else None, key, step, body)
        if storage.add_opening(entry.index, key, step, entry.line):
            settle(storage)
            return entry


def settle(storage: Storage) -> int:
    """Bring the database and its export to the same entries. Nothing is ever taken away from either.

    Entries that only the database has are exported; this also completes a line truncated by a crash. Entries that
    only the export has are taken in again, as a database restored from a backup lacks the last ones.

    Returns:
        How many entries were taken in.

    Raises:
        StorageError: the two differ in an entry, or the export is broken.
    """
    path = exported(storage)
    with filelock.FileLock(paths.lock_file("ledger")), explained(path):
        # Read under the lock: another process may have added entries while this one waited.
        rows, there = storage.openings(), _content(path)
        ahead = _ahead(rows, there)
        for line in ahead or []:
            entry = Entry.model_validate_json(line)
            storage.add_opening(entry.index, entry.key, entry.step, line)
        whole = _as_file(storage.openings() if ahead else rows)
        if ahead is None or not whole.startswith(there):
            raise StorageError(
                f"{path} must be a copy of the database's ledger; they differ. Restore the one that was changed from "
                "a backup (harness holdout --verify says where they differ). Until then, no test split can be opened."
            )
        if whole != there:
            with path.open("ab") as file:
                file.write(whole[len(there) :])
                file.flush()
                os.fsync(file.fileno())
    return len(ahead)


def is_settled(storage: Storage, rows: list[OpeningRow]) -> bool:
    """Whether the export has exactly these rows of the database."""
    return _content(exported(storage)) == _as_file(rows)


def exported(storage: Storage) -> Path:
    """The exported file in the results folder: `holdout.jsonl`, or with a hash of the address for another storage."""
    is_default = storage.file == paths.default_storage().resolve()
    # The hash is that of versions before 0.4.0, which did not escape the path: the export keeps its name.
    address = storage.url if storage.file is None else f"sqlite:///{storage.file}"
    mark = "" if is_default else f"-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    return paths.results_folder() / f"holdout{mark}.jsonl"


def verify(storage: Storage) -> list[str]:
    """Check the chain, its length and its head in the file and in the database. Returns one line for each problem."""
    path = exported(storage)
    try:
        rows = storage.openings()
    except sqlalchemy.exc.SQLAlchemyError as error:
        return [f"the database cannot be read: {first_line(getattr(error, 'orig', error))}"]
    problems = [f"in the database, {problem}" for problem in _broken_rows(rows)]
    try:
        there = _content(path)
    except OSError as error:
        return [*problems, f"{path} cannot be read: {error.strerror}"]
    if there == _as_file(rows):
        return problems
    if ahead := _ahead(rows, there):
        missing = f"the database lacks the last {len(ahead)} of the {len(rows) + len(ahead)} entries of {path.name}"
        return [
            *problems,
            f"{missing}, as after a restore from a backup; make study or make holdout takes them in again",
        ]
    lines = _lines(there)
    found = [f"in {path.name}, {problem}" for problem in _broken(lines)]
    if len(lines) != len(rows):
        found.append(f"{path.name} has {len(lines)} entries, the database {len(rows)}")
    for number, (line, row) in enumerate(zip(lines, rows, strict=False)):
        if line != row.document:
            found.append(f"entry {number} differs between {path.name} and the database")
    return [*problems, *(found or [f"{path.name} does not end with a newline"])]


SHORTEST_HEAD = 12


def entries_after(storage: Storage, kept: str) -> int | None:
    """How many entries follow the one whose hash begins with `kept`; None if the chain does not contain it.

    Raises:
        ConfigError: `kept` is not the beginning of a hash, or too short.
        StorageError: the chain is broken.
    """
    kept = kept.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_HEAD},64}}", kept):
        raise ConfigError(
            f"a head must be at least the first {SHORTEST_HEAD} of the 64 hexadecimal digits that an opening prints; "
            f"got {kept!r}. Give it as it was printed."
        )
    there = entries(storage)
    found = [entry.index for entry in there if entry.hash.startswith(kept)]
    if FIRST.startswith(kept):
        return len(there)
    return len(there) - 1 - found[0] if found else None


def dated_backwards(storage: Storage) -> list[str]:
    """Entries with an earlier time than the entry before them. The chain gives their order, so this is no fault."""
    there = entries(storage)
    return [
        f"entry {entry.index} ({entry.at}) is dated earlier than the entry before it ({before.at}): a clock was changed"
        for before, entry in pairwise(there)
        if entry.at < before.at
    ]


def lenient(content: bytes) -> list[Entry]:
    """Every line that tells of a study's opening, whether or not it is a valid entry of a chain."""
    found = []
    for line in _lines(content):
        try:
            found.append(Entry.model_validate_json(line))
        except ValidationError:
            if key := re.search(r'"key":"([^"\\]+)"', line):
                facts = {"index": -1, "step": "unreadable", "at": "", "body": {}, "previous": ""}
                found.append(Entry(**facts, key=key[1], hash=_digest({"line": line})))
    return found


def head(storage: Storage) -> str:
    """Hash of the last entry. Whoever keeps it elsewhere can use it to verify the whole ledger."""
    there = entries(storage)
    return there[-1].hash if there else FIRST


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _lines(content: bytes) -> list[str]:
    """Split at newlines only: reading as text, or str.splitlines(), would also split at other characters."""
    return content.decode(errors="replace").removesuffix("\n").split("\n") if content else []


def _ahead(rows: list[OpeningRow], there: bytes) -> list[str] | None:
    """The lines that a file has beyond the database's entries; None if it is no copy and no continuation of them."""
    whole, lines = _as_file(rows), _lines(there)
    if whole.startswith(there):
        return []
    return lines[len(rows) :] if there.startswith(whole) and not _broken(lines) else None


def _as_file(rows: list[OpeningRow]) -> bytes:
    return "".join(f"{row.document}\n" for row in rows).encode()


def _broken_rows(rows: list[OpeningRow]) -> list[str]:
    """Where the database's chain breaks, or the columns of a row differ from its document."""
    problems = _broken([row.document for row in rows])
    for number, row in enumerate(rows):
        with suppress(ValidationError):  # already in `problems`
            entry = Entry.model_validate_json(row.document)
            if (row.place, row.key, row.step) != (entry.index, entry.key, entry.step):
                problems.append(f"entry {number} is stored under an index, key or step that is not its own")
    return problems


def _broken(lines: list[str]) -> list[str]:
    """Where a chain breaks, entry by entry."""
    problems, before = [], FIRST
    for number, line in enumerate(lines):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            problems.append(f"entry {number} is not a valid entry")
            before = ""
            continue
        if not entry.fits() or entry.line != line:
            problems.append(f"the hash of entry {number} does not match its content")
        if entry.index != number or (before and entry.previous != before):
            problems.append(f"entry {number} does not follow the previous entry")
        before = entry.hash
    return problems


def _canonical(facts: dict[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()
