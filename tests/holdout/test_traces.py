"""An opening counts as long as anything at hand tells of it, whatever became of the ledger."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from harness import load, paths
from harness.cli.app import run
from harness.corpus.split import sealed_test_items, train_and_dev_items
from harness.errors import StorageError, StudyError
from harness.report.results import gather
from harness.report.tables.holdout import paper_line, remarks
from harness.report.write import write_report
from harness.store import ledger
from harness.store.item_hashes import ItemHashes
from harness.store.opening import recorded
from harness.store.storage import Storage, open_storage
from harness.store.trial_record import TrialRecord
from tests.holdout.conftest import KEY, opened
from tests.store.test_storage_of_0_2_0 import STORED
from tests.tiny_study import no_plots, search, write_study


def copied(source: Path, target: Path) -> None:
    """Copy a database as a backup tool does, over the one that is there."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def default() -> Path:
    return paths.results_folder() / "studies.db"


@pytest.fixture
def backup(storage: Storage, tmp_path: Path) -> Path:  # noqa: ARG001
    """The database before the opening, outside the results folder. The split has been opened and reported since."""
    path = tmp_path / "backup.db"
    copied(default(), path)
    with no_plots():
        assert run(["holdout", KEY]) == 0
    return path


def shown(capfd: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line."""
    captured = capfd.readouterr()
    return " ".join((captured.out + captured.err).split())


def keep_only(kept: str) -> None:
    """Delete every trace of the opening but one, the ledger and its export included."""
    results = paths.results_folder()
    (results / "holdout.jsonl").unlink()
    with closing(sqlite3.connect(default())) as connection, connection:
        connection.execute("DELETE FROM harness_openings")
        connection.execute("DELETE FROM study_system_attributes WHERE key LIKE 'artifacts:%'")
    for name in ("holdout.md", "holdout.csv", "holdout_items.csv"):
        if name != kept:
            (results / KEY / name).unlink()
    path = results / KEY / "summary.json"
    if kept != path.name:
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"holdout": None}, indent=2), encoding="utf-8"
        )
    for artifact in (results / "artifacts").iterdir():
        if b"counted bigram" in artifact.read_bytes()[:2000] and kept != "artifact":
            artifact.unlink()


def test_a_database_put_back_to_a_backup_knows_the_opening_from_the_export(
    backup: Path, items: Path, capfd: pytest.CaptureFixture[str]
):
    before = recorded(open_storage(), KEY)
    copied(backup, default())
    assert open_storage().openings() == []
    assert recorded(open_storage(), KEY) == before  # reading changes nothing
    assert run(["holdout", "--verify"]) == 1
    assert "move" not in (line := shown(capfd))
    assert "the database lacks the last 3 of the 3 entries" in line
    assert gather(open_storage(), open_storage().study(KEY)).test_split.startswith("scored")
    with pytest.raises(StudyError, match="closed once its test split is opened"):
        search(items, trials=9)
    assert len(open_storage().openings()) == 3
    copied(backup, default())
    assert run(["holdout", KEY]) == 3
    assert "3 entries of the ledger of openings were missing in the database and taken in again" in shown(capfd)
    assert run(["holdout", "--verify"]) == 0


@pytest.mark.usefixtures("backup")
@pytest.mark.parametrize("kept", ["holdout.md", "holdout.csv", "holdout_items.csv", "summary.json", "artifact"])
def test_one_trace_without_a_ledger_is_named_and_keeps_the_study_closed(
    kept: str, items: Path, capfd: pytest.CaptureFixture[str]
):
    keep_only(kept)
    assert run(["holdout", "--verify"]) == 1
    place = "(artifacts/" if kept == "artifact" else f"({KEY}/{kept})"
    assert f"no ledger at hand has the opening of {KEY}" in (line := shown(capfd))
    assert place in line
    for refuse in (lambda: search(items, trials=9), lambda: opened(open_storage())):
        with pytest.raises(
            StudyError, match=r"closed once its test split is opened; the ledger of this storage has no"
        ):
            refuse()
    storage = open_storage()
    with no_plots():
        results = write_report(storage, storage.study(KEY)).results
    assert results.test_split == "opened, but in no valid ledger"
    assert run(["holdout", "--verify"]) == 1  # the report has not deleted what tells of the opening
    write_study("other", trials=1)
    if kept != "holdout_items.csv":  # the only one without the fingerprint
        assert f"opened before, for {KEY}" in search(items, "other").notice


@pytest.mark.usefixtures("backup")
def test_a_ledger_written_anew_is_found_by_the_entry_that_the_results_name(capfd: pytest.CaptureFixture[str]):
    storage = open_storage()
    steps = ledger.entries(storage)
    with closing(sqlite3.connect(default())) as connection, connection:
        connection.execute("DELETE FROM harness_openings")
    ledger.exported(storage).unlink()
    for step in steps:
        body = step.body | {"openings_before": 7} if step.step == "claimed" else step.body
        ledger.append(storage, step.key, step.step, body)
    assert ledger.verify(storage) == []
    assert run(["holdout", "--verify"]) == 1
    assert f"{KEY}/summary.json" in shown(capfd)


def changed_corpora(folder: Path, lines: list[str]) -> dict[str, tuple[Path, int | None]]:
    """Other files with some of the same items: each with the number of test items shared, None for all."""
    half = [*lines[:150], *(f"zz{n:03d}" for n in range(150))]
    ways = {
        "blank": [*lines, "", ""],
        "spaces": [f" {line}  " for line in lines],
        "upper": [line.upper() for line in lines],
        "reversed": lines[::-1],
        "half": half,
        "disjoint": [f"zz{n:03d}" for n in range(300)],
    }
    old = set(sealed_test_items(lines))
    found: dict[str, tuple[Path, int | None]] = {}
    for name, content in ways.items():
        path = folder / f"{name}.txt"
        path.write_text("\n".join(content), encoding="utf-8")
        own = {item.lower() for item in sealed_test_items([line.strip() for line in content if line.strip()])}
        found[name] = path, len(own & old)
    return found


@pytest.mark.slow
def test_openings_are_known_by_their_items_in_other_files_and_other_storages(
    storage: Storage, items: Path, tmp_path: Path
):
    opened(storage)
    write_study("other", trials=1)
    distinct = len(set(sealed_test_items(items.read_text(encoding="utf-8").split("\n"))))
    for name, (path, shared) in changed_corpora(tmp_path, items.read_text(encoding="utf-8").split("\n")).items():
        session = search(path, "other", storage=str(tmp_path / f"{name}.db"))
        opening = opened(session.storage, f"other-{name}")
        found = [each.shared for each in opening.items.earlier if "tiny-items" in each.what]
        assert found == ([shared] if shared else [])
        first, line = remarks(opening)[0], paper_line(opening)
        if name in ("blank", "spaces", "upper"):
            assert shared == distinct
            assert first.startswith(f"all of the {distinct} distinct test items had been opened before, for ")
            assert "opened once" not in line
        elif shared:
            assert first.startswith(f"{shared} of the {opening.items.distinct} distinct test items had been opened")
            assert "opened once, after up to" in line
        else:
            assert name == "disjoint"  # its items were opened before only with those of "half"
            assert all("half" in each.what for each in opening.items.earlier)


def test_a_search_is_told_how_many_opened_test_items_it_trains_on(storage: Storage, items: Path, tmp_path: Path):
    opened(storage)
    lines = items.read_text(encoding="utf-8").split("\n")
    turned = tmp_path / "turned.txt"
    turned.write_text("\n".join(lines[::-1]), encoding="utf-8")
    write_study("other", trials=1)
    session = search(turned, "other")
    test, (train, dev) = set(sealed_test_items(lines)), train_and_dev_items(lines[::-1])
    shared = len(test & {*train, *dev})
    assert shared > 0
    expected = f"{shared} of the {len(test)} distinct test items that were opened for tiny-items on items"
    assert expected in session.notice
    assert expected in " ".join(gather(storage, storage.study("other-turned")).seen_before)
    assert "opened before" in search(items, "other").notice
    assert (
        gather(storage, storage.study("other-items")).test_split == "sealed; the same split was opened for tiny-items"
    )


def test_a_copy_of_the_database_cannot_go_on_where_the_opened_study_stopped(backup: Path, items: Path, tmp_path: Path):
    other = tmp_path / "other.db"
    copied(backup, other)
    with pytest.raises(StudyError, match=r"there is tiny-items on items, claimed .*holdout\.jsonl"):
        search(items, trials=9, storage=str(other))
    with pytest.raises(StudyError, match="report that the split was seen"):
        opened(open_storage(str(other)))
    ledger.exported(open_storage()).unlink()  # the default database still tells
    with pytest.raises(StudyError, match=r"\(.*studies\.db.*\)"):
        search(items, trials=9, storage=str(other))


@pytest.mark.usefixtures("backup")
@pytest.mark.parametrize("name", ["holdout-old.jsonl", "old-holdout.jsonl.bak"])
def test_an_export_under_another_name_still_tells(name: str, backup: Path, items: Path):
    path = ledger.exported(open_storage())
    copied(backup, default())
    path.rename(path.with_name(name))
    with pytest.raises(StudyError, match=name):
        search(items, trials=9)


def test_a_changed_export_stops_the_opened_study_and_no_other(
    backup: Path, items: Path, capfd: pytest.CaptureFixture[str]
):
    path = ledger.exported(open_storage())
    path.write_bytes(path.read_bytes().replace(b'"openings_before":0', b'"openings_before":1'))
    copied(backup, default())
    with pytest.raises(StorageError, match=r"they differ\. Restore the one that was changed"):
        search(items, trials=9)
    assert run(["holdout", KEY]) == 2
    assert "Restore the one that was changed" in shown(capfd)
    write_study("other", trials=1)
    assert "so it can be searched" in search(items, "other").notice


@pytest.mark.usefixtures("backup")
def test_a_broken_ledger_stops_no_list_and_no_report(items: Path, capfd: pytest.CaptureFixture[str]):
    write_study("other", trials=1)
    search(items, "other")
    with closing(sqlite3.connect(default())) as connection, connection:
        connection.execute("UPDATE harness_openings SET document = replace(document, 'scored', 'scorec')")
    storage, path = open_storage(), paths.results_folder() / KEY / "summary.json"
    before = json.loads(path.read_text(encoding="utf-8"))["holdout"]
    with no_plots():
        write_report(storage, storage.study(KEY))
        write_report(storage, storage.study("other-items"))
    assert json.loads(path.read_text(encoding="utf-8"))["holdout"] == before
    assert run(["studies"]) == 0
    assert "opened, but in no valid ledger" in (line := shown(capfd))
    assert "sealed; the same split was opened for tiny-items" in line
    with pytest.raises(StorageError, match="they differ"):
        opened(storage, "other-items")


@pytest.mark.usefixtures("backup")
def test_changed_losses_by_item_are_found_wherever_they_are_read(capfd: pytest.CaptureFixture[str]):
    storage = open_storage()
    artifact = recorded(storage, KEY).scores.items_artifact
    path = paths.results_folder() / "artifacts" / artifact
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\0")
    assert run(["holdout", "--verify"]) == 1
    assert "no longer has the SHA-256 that the ledger records" in shown(capfd)
    with no_plots(), pytest.raises(StorageError, match="losses by test item must not change"):
        write_report(storage, storage.study(KEY))
    path.unlink()
    assert run(["holdout", "--verify"]) == 1
    assert f"{artifact} is missing" in shown(capfd)


def test_the_export_alone_tells_which_items_were_opened_and_shows_none_of_them(storage: Storage, items: Path):
    opened(storage)
    text = ledger.exported(storage).read_text(encoding="utf-8")
    hashes = ItemHashes.model_validate(json.loads(text.splitlines()[1])["body"])
    test = sealed_test_items(load(str(items)).source.items)
    assert hashes.distinct == hashes.shared(test) == len(set(test))
    assert hashes.shared([item.upper() for item in test[:5]]) == len(set(test[:5]))
    assert hashes.shared(["nothing", "of", "this"]) == 0
    assert not any(f'"{item}"' in text for item in test)
    assert ItemHashes.of(test).salt != hashes.salt


@pytest.mark.slow
def test_an_opening_of_version_0_2_0_is_known_by_the_lengths_of_its_items(home: Path, tmp_path: Path):
    with tarfile.open(STORED) as packed:
        packed.extractall(home, filter="data")
    copy = tmp_path / "copy.txt"
    copy.write_text((home / "items.txt").read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    write_study("other", trials=1)
    opening = opened(search(copy, "other").storage, "other-copy")
    (earlier,) = opening.items.earlier
    assert (earlier.what[:12], earlier.shared) == ("opened-items", opening.items.distinct)


def test_a_recipe_that_failed_for_good_is_said_to_be_missing(items: Path, capfd: pytest.CaptureFixture[str]):
    write_study("plain", trials=2)
    session = search(items, "plain")
    storage, record = session.storage, session.record
    key = "reference-5-seeds-gone"
    storage.create_study(record.model_copy(update={"key": key, "first": ()}))
    failed = TrialRecord(number=0, seed=0, attempt=2, status="failed", failure="RuntimeError: no memory")
    storage.write_trial(key, failed)
    storage.write_study(record.model_copy(update={"reference": key}))
    with no_plots():
        assert run(["holdout", record.key]) == 0
    assert "the lecture's recipe is not on the list: its training failed (RuntimeError: no memory)" in shown(capfd)
