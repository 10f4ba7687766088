"""The record of every opening of a test split: a hash chain in the trials' own database, and its export.

The database decides: a step of a study's opening is a row under a UNIQUE constraint, so of any number
of processes on any number of machines one is told that it was first. `holdout.jsonl` is an
append-only copy for people and version control; `verify` holds one against the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy
from pydantic import BaseModel, ValidationError

from harness import paths
from harness.errors import StorageError, first_line
from harness.files import explained
from harness.store.provenance import now
from harness.store.storage import OpeningRow, Storage

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
    rows = storage.openings()
    if found := _broken_rows(rows):
        raise StorageError(
            f"a ledger must be a whole chain; in the database {found[0]}. "
            "Somebody changed it: nothing is opened on this storage until it is restored."
        )
    return [Entry.model_validate_json(row.document) for row in rows]


def append(storage: Storage, key: str, step: str, body: dict[str, Any]) -> Entry | None:
    """Add a study's step and export it; None if that step is on record already.

    Raises:
        StorageError: the database's chain is broken, or the file says otherwise; then nothing is added.
    """
    export(storage)
    while True:
        there = entries(storage)
        if any((entry.key, entry.step) == (key, step) for entry in there):
            return None
        entry = Entry.after(there[-1] if there else None, key, step, body)
        if storage.add_opening(entry.index, key, step, entry.line):
            export(storage)
            return entry


def export(storage: Storage) -> Path:
    """Append to the file what it lacks of the database, were it half a line that a crash cut.

    Raises:
        StorageError: what it has is not how the database begins.
    """
    path = exported(storage)
    with filelock.FileLock(paths.lock_file("ledger")), explained(path):
        # Read under the lock: another process may have written more than was there before it.
        whole = _as_file(storage.openings())
        there = path.read_bytes() if path.exists() else b""
        if not whole.startswith(there):
            raise StorageError(
                f"{path} must be a copy of the database's ledger; they differ. Look with harness holdout --verify, "
                "and move the file away to have it written again."
            )
        if whole != there:
            with path.open("ab") as file:
                file.write(whole[len(there) :])
                file.flush()
                os.fsync(file.fileno())
    return path


def exported(storage: Storage) -> Path:
    """The file beside the results: `holdout.jsonl`, for another than the default storage with a mark of its address."""
    is_default = storage.url == paths.default_storage()
    mark = "" if is_default else f"-{hashlib.sha256(storage.url.encode()).hexdigest()[:8]}"
    return paths.results_folder() / f"holdout{mark}.jsonl"


def verify(storage: Storage) -> list[str]:
    """What is wrong with the ledger, a line each: chain, length and head, in the file and in the database."""
    path = exported(storage)
    try:
        rows = storage.openings()
    except sqlalchemy.exc.SQLAlchemyError as error:
        return [f"the database cannot be read: {first_line(getattr(error, 'orig', error))}"]
    problems = [f"in the database {problem}" for problem in _broken_rows(rows)]
    try:
        there = path.read_bytes() if path.exists() else b""
    except OSError as error:
        return [*problems, f"{path} cannot be read: {error.strerror}"]
    if there == _as_file(rows):
        return problems
    # Cut at newlines alone and to the byte: a reader of text would take other bytes for line ends.
    lines = there.decode(errors="replace").removesuffix("\n").split("\n") if there else []
    found = [f"in {path.name} {problem}" for problem in _broken(lines)]
    if len(lines) != len(rows):
        found.append(f"{path.name} has {len(lines)} entries, the database {len(rows)}")
    for number, (line, row) in enumerate(zip(lines, rows, strict=False)):
        if line != row.document:
            found.append(f"entry {number} differs between {path.name} and the database")
    return [*problems, *(found or [f"{path.name} does not end as it was written"])]


def head(storage: Storage) -> str:
    """Hash of the last entry: whoever keeps it elsewhere can prove the whole ledger by it."""
    there = entries(storage)
    return there[-1].hash if there else FIRST


def _as_file(rows: list[OpeningRow]) -> bytes:
    return "".join(f"{row.document}\n" for row in rows).encode()


def _broken_rows(rows: list[OpeningRow]) -> list[str]:
    """Where the database's chain breaks, or a row stands for another step than its document says."""
    problems = _broken([row.document for row in rows])
    for number, row in enumerate(rows):
        with suppress(ValidationError):  # said already
            entry = Entry.model_validate_json(row.document)
            if (row.place, row.key, row.step) != (entry.index, entry.key, entry.step):
                problems.append(f"entry {number} stands under another place, key or step than its own")
    return problems


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
