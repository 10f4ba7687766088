"""The ledger of openings: every change to it is found, and of simultaneous claims one is stored."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import paths
from harness.cli.app import run
from harness.errors import StorageError
from harness.store import ledger
from harness.store.ledger import FIRST, append, entries, exported, head, settle, verify
from harness.store.storage import Storage, open_storage


@pytest.fixture
def storage() -> Storage:
    """Two studies' openings, four entries."""
    opened = open_storage(create=True)
    for key in ("one", "two"):
        append(opened, key, "claimed", {"fingerprint": "f", "list": [1, 2.5, "ü"]})
        append(opened, key, "scored", {"nats": 2.125})
    return opened


def change(statement: str, *values: object) -> None:
    """Change the database behind the harness's back."""
    connection = sqlite3.connect(paths.results_folder() / "studies.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_entries_are_chained_each_to_the_one_before(storage: Storage):
    found = entries(storage)
    assert [(e.index, e.key, e.step) for e in found] == [
        (0, "one", "claimed"), (1, "one", "scored"), (2, "two", "claimed"), (3, "two", "scored"),
    ]  # fmt: skip
    assert [e.previous for e in found] == [FIRST, *(e.hash for e in found[:-1])]
    assert head(storage) == found[-1].hash
    assert exported(storage).read_text(encoding="utf-8") == "".join(f"{e.line}\n" for e in found)
    assert verify(storage) == []


def test_an_empty_ledger_is_valid(capfd: pytest.CaptureFixture[str]):
    storage = open_storage(create=True)
    assert (verify(storage), head(storage)) == ([], FIRST)
    assert run(["holdout", "--verify"]) == 0
    assert "0 entries" in capfd.readouterr().out


def test_a_step_is_taken_once(storage: Storage):
    assert append(storage, "one", "claimed", {"other": 1}) is None
    assert len(entries(storage)) == 4


def test_of_twenty_simultaneous_claims_one_succeeds_and_nothing_is_lost():
    storages = [open_storage(create=True) for _ in range(20)]

    def claim(number: int) -> tuple[bool, bool]:
        mine = append(storages[number], f"study {number}", "claimed", {"by": number})
        return append(storages[number], "shared", "claimed", {"by": number}) is not None, mine is not None

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(claim, range(20)))
    assert [sum(column) for column in zip(*won, strict=True)] == [1, 20]
    assert len(entries(storages[0])) == 21
    assert verify(storages[0]) == []


def damaged(content: bytes) -> dict[str, bytes]:
    """The file's content with one thing changed."""
    lines = content.splitlines(keepends=True)
    return {
        "line dropped at the beginning": b"".join(lines[1:]),
        "line dropped in the middle": b"".join([*lines[:1], *lines[2:]]),
        "line dropped at the end": b"".join(lines[:-1]),
        "line added": content + lines[-1],
        "lines swapped": b"".join([lines[0], lines[2], lines[1], lines[3]]),
        "something added": content + b"{}\n",
        "blank line added": content + b"\n",
        "last newline dropped": content[:-1],
        "newlines of another system": content.replace(b"\n", b"\r\n"),
        "emptied": b"",
        "not text": b"\xff\xfe" + content[2:],
    }


@pytest.mark.parametrize("how", damaged(b"1\n2\n3\n4\n"))
def test_a_changed_file_is_detected(how: str, storage: Storage, capfd: pytest.CaptureFixture[str]):
    path = exported(storage)
    path.write_bytes(damaged(path.read_bytes())[how])
    assert verify(storage) != []
    assert run(["holdout", "--verify"]) == 1
    assert "is NOT valid" in capfd.readouterr().out


def test_any_single_changed_byte_in_the_file_is_detected(storage: Storage):
    path = exported(storage)
    original = path.read_bytes()
    newlines = [place for place, byte in enumerate(original) if byte == 10]
    chance = random.Random(0)
    for place in [*chance.sample(range(len(original)), 60), *newlines]:
        for byte in {original[place] ^ 1, 10, 11, 13, 28, 32, 133} - {original[place]}:
            path.write_bytes(original[:place] + bytes([byte]) + original[place + 1 :])
            assert verify(storage) != [], (place, byte)
    path.write_bytes(original)
    assert verify(storage) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE harness_openings SET document = replace(document, '2.125', '2.124') WHERE \"index\" = 1",
        "UPDATE harness_openings SET document = document || ' ' WHERE \"index\" = 3",
        "UPDATE harness_openings SET document = 'nonsense' WHERE \"index\" = 0",
        "UPDATE harness_openings SET document = CAST(X'FF' AS TEXT) WHERE \"index\" = 0",
        "UPDATE harness_openings SET key = 'three' WHERE \"index\" = 2",
        "UPDATE harness_openings SET step = 'begun' WHERE \"index\" = 2",
        'UPDATE harness_openings SET "index" = 9 WHERE "index" = 3',
        'DELETE FROM harness_openings WHERE "index" = 1',
    ],
)
def test_a_changed_database_is_detected_and_accepts_no_claim(
    statement: str, storage: Storage, capfd: pytest.CaptureFixture[str]
):
    change(statement)
    assert run(["holdout", "--verify"]) == 1
    assert "is NOT valid" in capfd.readouterr().out
    with pytest.raises(Exception, match=r"unbroken chain|must be a copy|decode"):
        append(storage, "three", "claimed", {})
    connection = sqlite3.connect(paths.results_folder() / "studies.db")
    assert connection.execute(
        "SELECT count(*) FROM harness_openings WHERE key = 'three' AND step = 'claimed'"
    ).fetchone() == (1 if "'three'" in statement else 0,)
    connection.close()


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_database_restored_from_a_backup_takes_in_what_its_export_still_has(
    left: int, storage: Storage, capfd: pytest.CaptureFixture[str]
):
    path, whole = exported(storage), entries(storage)
    content = path.read_bytes()
    change('DELETE FROM harness_openings WHERE "index" >= ?', left)
    assert entries(storage) == whole
    assert run(["holdout", "--verify"]) == 1
    shown = " ".join(capfd.readouterr().out.split())
    assert f"the database lacks the last {4 - left} of the 4 entries of holdout.jsonl" in shown
    assert "takes them in again" in shown
    assert append(storage, "two", "claimed", {}) is None
    assert [row.document for row in storage.openings()] == [entry.line for entry in whole]
    assert path.read_bytes() == content
    assert verify(storage) == []


def test_an_export_that_lost_its_last_newline_is_taken_in_too(storage: Storage):
    path = exported(storage)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    change("DELETE FROM harness_openings")
    assert settle(storage) == 4
    assert path.read_bytes() == content
    assert verify(storage) == []


@pytest.mark.parametrize("how", ["changed", "torn", "another chain"])
def test_nothing_is_taken_in_from_a_broken_or_foreign_export(how: str, storage: Storage, tmp_path: Path):
    path = exported(storage)
    whole = path.read_bytes()
    other = open_storage(str(tmp_path / "other.db"), create=True)
    append(other, "one", "claimed", {})
    broken = {
        "changed": whole.replace(b"2.125", b"2.120"),
        "torn": whole[:-9],
        "another chain": exported(other).read_bytes(),
    }
    path.write_bytes(broken[how])
    change('DELETE FROM harness_openings WHERE "index" >= 1')
    with pytest.raises(StorageError, match=r"they differ. Restore the one that was changed"):
        append(storage, "three", "claimed", {})
    assert (len(storage.openings()), path.read_bytes()) == (1, broken[how])
    assert run(["holdout", "--verify"]) == 1


def test_a_kept_head_is_found_as_long_as_its_entry_is_in_the_chain(storage: Storage, capfd: pytest.CaptureFixture[str]):
    kept = entries(storage)[1].hash
    for given in (kept, kept[:12], kept.upper()):
        assert run(["holdout", "--verify", "--head", given]) == 0
        assert "and 2 later ones" in " ".join(capfd.readouterr().out.split())
    # The whole ledger is written anew, database and export alike: only the kept head tells.
    change("DELETE FROM harness_openings")
    exported(storage).unlink()
    append(storage, "two", "claimed", {"fingerprint": "f"})
    assert run(["holdout", "--verify"]) == 0
    assert run(["holdout", "--verify", "--head", kept]) == 1
    assert "an opening was removed or changed" in " ".join(capfd.readouterr().out.split())
    for wrong in (kept[:11], "x" * 64, kept + "0"):
        assert run(["holdout", "--verify", "--head", wrong]) == 2
    assert run(["holdout", "--head", kept]) == 2
    assert "Add --verify" in capfd.readouterr().err


def test_a_clock_that_was_set_back_is_told_and_is_no_fault(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("harness.store.ledger.now", lambda: "2001-01-01T00:00:00+00:00")
    append(storage, "three", "claimed", {})
    assert run(["holdout", "--verify"]) == 0
    assert "entry 4 (2001-01-01T00:00:00+00:00) is dated earlier" in " ".join(capfd.readouterr().out.split())


def test_a_file_that_differs_from_the_database_prevents_the_next_claim(storage: Storage):
    path = exported(storage)
    path.write_bytes(path.read_bytes().replace(b"2.125", b"2.120", 1))
    with pytest.raises(StorageError, match="they differ"):
        append(storage, "three", "claimed", {})
    assert len(entries(storage)) == 4
    path.unlink()
    assert append(storage, "three", "claimed", {}) is not None
    assert verify(storage) == []


@pytest.mark.parametrize("left", ["nothing", "some lines", "half a line", "a line without its end"])
def test_entries_that_a_crash_left_out_of_the_file_are_added(left: str, storage: Storage):
    path = exported(storage)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = {"nothing": 0, "some lines": first, "half a line": first + 20, "a line without its end": len(whole) - 1}
    path.write_bytes(whole[: cut[left]])
    assert verify(storage) != []
    assert settle(storage) == 0
    assert path.read_bytes() == whole
    assert verify(storage) == []


def test_another_storage_has_an_export_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    default, other = open_storage(create=True), open_storage(str(tmp_path / "other.db"), create=True)
    append(default, "one", "claimed", {})
    append(other, "one", "claimed", {})
    assert exported(default).name == "holdout.jsonl"
    assert exported(other).name.startswith("holdout-")
    assert (verify(default), verify(other)) == ([], [])
    assert run(["holdout", "--verify", "--storage", str(tmp_path / "other.db")]) == 0
    assert exported(other).name in capfd.readouterr().out.replace("\n", "")


def test_numbers_survive_the_way_through_the_ledger_to_the_last_bit():
    storage, values = open_storage(create=True), [0.1 + 0.2, 1e-17, -2.0, 1 / 3]
    append(storage, "one", "scored", {"values": values})
    assert entries(storage)[0].body == {"values": values}
    with pytest.raises(ValueError, match="JSON"):
        append(storage, "one", "again", {"value": float("nan")})
    assert ledger.verify(storage) == []
