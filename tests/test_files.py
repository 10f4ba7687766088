"""Files are written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.files import explained, replacing, write_atomically


def test_a_file_is_written_with_its_folders(tmp_path: Path):
    target = tmp_path / "a" / "b.txt"
    write_atomically(target, "text")
    assert target.read_text(encoding="utf-8") == "text"
    assert [path.name for path in target.parent.iterdir()] == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "kept.txt"
    target.write_text("old", encoding="utf-8")

    def fail_halfway() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_temporary_file_keeps_the_suffix_that_writers_go_by(tmp_path: Path):
    with replacing(tmp_path / "plot.svg") as temporary:
        assert temporary.suffix == ".svg"
        assert temporary.parent == tmp_path


@pytest.mark.parametrize(
    ("code", "way_out"),
    [(errno.ENOSPC, "Free some space"), (errno.EACCES, "set HARNESS_HOME"), (errno.EROFS, "set HARNESS_HOME")],
)
def test_a_file_system_error_names_the_path_and_the_fix(tmp_path: Path, code: int, way_out: str):
    with pytest.raises(StorageError, match=way_out) as caught, explained(tmp_path / "x"):
        raise OSError(code, "refused")
    assert str(tmp_path / "x") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_other_error_is_raised_unchanged(tmp_path: Path):
    with pytest.raises(FileNotFoundError), explained(tmp_path / "x"):
        (tmp_path / "missing").read_bytes()
