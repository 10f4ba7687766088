"""The record of every opening of a test split: a hash chain in the trials' database, and an exported copy.

The database decides. Each step of a study's opening is a row under a UNIQUE constraint, so however many
processes on however many machines try to add it, exactly one succeeds. `holdout.jsonl` is an append-only
copy for people and version control; `verify` compares the two.
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
    """The entries in the database, once their chain has been checked.

    Raises:
        StorageError: an entry was changed or is missing.
    """
    rows = storage.openings()
    if found := _broken_rows(rows):
        raise StorageError(
            f"a ledger must be an unbroken chain; in the database, {found[0]}. Somebody has changed it. "
            "Restore the database from a backup: no test split can be opened on it until then."
        )
    return [Entry.model_validate_json(row.document) for row in rows]


def append(storage: Storage, key: str, step: str, body: dict[str, Any]) -> Entry | None:
    """Add a study's step and export it; None if that step is already recorded.

    Raises:
        StorageError: the database's chain is broken, or the file differs from it. Nothing is added then.
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
    """Append the missing part of the ledger to the file. This also completes a line truncated by a crash.

    Raises:
        StorageError: the file is not a copy of the first part of the ledger.
    """
    path = exported(storage)
    with filelock.FileLock(paths.lock_file("ledger")), explained(path):
        # Read under the lock: another process may have added entries while this one waited.
        whole = _as_file(storage.openings())
        there = path.read_bytes() if path.exists() else b""
        if not whole.startswith(there):
            raise StorageError(
                f"{path} must be a copy of the database's ledger; they differ. Find out where "
                "with harness holdout --verify, then move the file away; it will be written again."
            )
        if whole != there:
            with path.open("ab") as file:
                file.write(whole[len(there) :])
                file.flush()
                os.fsync(file.fileno())
    return path


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
        there = path.read_bytes() if path.exists() else b""
    except OSError as error:
        return [*problems, f"{path} cannot be read: {error.strerror}"]
    if there == _as_file(rows):
        return problems
    # Split at newlines only: reading as text, or str.splitlines(), would also split at other characters.
    lines = there.decode(errors="replace").removesuffix("\n").split("\n") if there else []
    found = [f"in {path.name}, {problem}" for problem in _broken(lines)]
    if len(lines) != len(rows):
        found.append(f"{path.name} has {len(lines)} entries, the database {len(rows)}")
    for number, (line, row) in enumerate(zip(lines, rows, strict=False)):
        if line != row.document:
            found.append(f"entry {number} differs between {path.name} and the database")
    return [*problems, *(found or [f"{path.name} does not end with a newline"])]


def head(storage: Storage) -> str:
    """Hash of the last entry. Whoever keeps it elsewhere can use it to verify the whole ledger."""
    there = entries(storage)
    return there[-1].hash if there else FIRST


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
