"""The record of every opening of a test split: a hash chain in the trials' own database, and its export.

The database decides: a step of a study's opening is a row under a UNIQUE constraint, so of any number
of processes on any number of machines one is told that it was first. `holdout.jsonl` is an
append-only copy for people and version control; `verify` holds one against the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import filelock
from pydantic import BaseModel, ValidationError

from harness import paths
from harness.errors import StorageError
from harness.files import explained
from harness.search.environment import now
from harness.search.storage import Storage, default_storage

FIRST = "0" * 64
"""What stands as the hash before the first entry."""


class Entry(BaseModel, frozen=True, extra="forbid"):
    """One step of one study's opening."""

    index: int
    """From 0, over all studies of the storage."""
    key: str
    step: str
    """`claimed`, `resumed 1`, …, `scored`."""
    at: str
    body: dict[str, Any]
    previous: str
    """Hash of the entry before."""
    hash: str
    """SHA-256 over all of the above."""

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
        """Whether its hash is that of its content."""
        return self.hash == _digest(self.model_dump(mode="json", exclude={"hash"}))


def entries(storage: Storage) -> list[Entry]:
    """The ledger as the database has it, checked.

    Raises:
        StorageError: an entry was changed or is missing.
    """
    lines = storage.openings()
    if found := _broken(lines):
        raise StorageError(
            f"a ledger must be a whole chain; in the database {found[0]}. "
            "Somebody changed it: nothing is opened on this storage until it is restored."
        )
    return [Entry.model_validate_json(line) for line in lines]


def append(storage: Storage, key: str, step: str, body: dict[str, Any]) -> Entry | None:
    """Add a study's step and export it; None if that step is on record already."""
    while True:
        there = entries(storage)
        if any((entry.key, entry.step) == (key, step) for entry in there):
            return None
        entry = Entry.after(there[-1] if there else None, key, step, body)
        if storage.add_opening(entry.index, key, step, entry.line):
            export(storage)
            return entry


def export(storage: Storage) -> Path:
    """Append to the file what it lacks of the database.

    Raises:
        StorageError: what it has is not how the database begins.
    """
    path = exported(storage)
    lines = storage.openings()
    with filelock.FileLock(paths.lock_file("ledger")), explained(path):
        there = path.read_text().splitlines() if path.exists() else []
        if there != lines[: len(there)]:
            raise StorageError(
                f"{path} must be a copy of the database's ledger; they differ. Look with harness holdout --verify, "
                "and move the file away to have it written again."
            )
        with path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines[len(there) :])
            file.flush()
            os.fsync(file.fileno())
    return path


def exported(storage: Storage) -> Path:
    """The file beside the results: `holdout.jsonl`, for another than the default storage with a mark of its address."""
    mark = "" if storage.url == default_storage() else f"-{hashlib.sha256(storage.url.encode()).hexdigest()[:8]}"
    return paths.results_folder() / f"holdout{mark}.jsonl"


def verify(storage: Storage) -> list[str]:
    """What is wrong with the ledger, a line each: chain, length and head, in the file and in the database."""
    lines, path = storage.openings(), exported(storage)
    problems = [f"in the database {problem}" for problem in _broken(lines)]
    try:
        there = path.read_text().splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        return [*problems, f"{path} cannot be read: {error}"]
    problems += [f"in {path.name} {problem}" for problem in _broken(there)]
    if len(there) != len(lines):
        problems.append(f"{path.name} has {len(there)} entries, the database {len(lines)}")
    for number, (ours, theirs) in enumerate(zip(there, lines, strict=False)):
        if ours != theirs:
            problems.append(f"entry {number} differs between {path.name} and the database")
    return problems


def head(storage: Storage) -> str:
    """Hash of the last entry: whoever keeps it elsewhere can prove the whole ledger by it."""
    there = entries(storage)
    return there[-1].hash if there else FIRST


def _broken(lines: list[str]) -> list[str]:
    """Where a chain breaks, entry by entry."""
    problems, before = [], FIRST
    for number, line in enumerate(lines):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            problems.append(f"entry {number} is not an entry")
            before = ""
            continue
        if not entry.fits() or entry.line != line:
            problems.append(f"entry {number} does not have the hash of its content")
        if entry.index != number or (before and entry.previous != before):
            problems.append(f"entry {number} does not follow the one before it")
        before = entry.hash
    return problems


def _canonical(facts: dict[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()
