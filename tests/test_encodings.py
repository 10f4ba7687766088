"""Every text is read and written as UTF-8, whatever the locale, and printing never fails for want of a character."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths
from harness.cli.app import run
from tests.tiny_study import write_items, write_study

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("harness", "studies", "docs", "tests") for path in (ROOT / folder).rglob("*.py"))
WITHOUT_UTF_8 = {"PYTHONUTF8": "0", "LC_ALL": "C"}


def without_encoding(source: str) -> list[int]:
    """Lines of calls that read or write text in the encoding of the locale. Ruff sees only some of them."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        given = {keyword.arg for keyword in call.keywords}
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        text = name in ("read_text", "write_text") or given & {"text", "universal_newlines"}
        if text and not given & {"encoding", None} and len(call.args) < 2:
            found.append(call.lineno)
    return found


def test_a_call_without_an_encoding_is_found():
    assert without_encoding("p.read_text()\np.read_text(encoding='utf-8')\nrun(c, text=True)") == [1, 3]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_text_that_is_read_or_written_names_its_encoding(path: Path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_a_study_and_its_report_need_no_utf_8_locale(tmp_path: Path):
    """`-X warn_default_encoding` names every place that opens a text file in the locale's encoding."""
    items = write_items(tmp_path / "items.txt")
    items.write_text(items.read_text(encoding="utf-8").replace("ka", "ké中"), encoding="utf-8")
    study = write_study(trials=2, budget="steps=20", evaluations=2)
    study.write_text(study.read_text(encoding="utf-8") + "\n# ein schöner Kommentar, 中\n", encoding="utf-8")
    program = [sys.executable, "-X", "warn_default_encoding", "-m", "harness"]
    folder = paths.results_folder() / "tiny-items"
    for words in (["study", "tiny", "--corpus", str(items), "--workers", "1"], ["report"], ["show", "tiny"]):
        done = subprocess.run([*program, *words], env=os.environ | WITHOUT_UTF_8, capture_output=True, timeout=120)
        lines = done.stderr.decode("ascii").splitlines()
        ours = [line for line in lines if line.startswith(str(ROOT / "harness"))]  # as warnings name their place
        assert (done.returncode, ours) == (0, []), words
    assert "é" in (folder / "samples.txt").read_text(encoding="utf-8")
    assert "中" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["study", "tiny", "--corpus", "{}.txt"], ["study", "{}.py"]])
def test_a_path_that_is_not_utf_8_is_refused_in_one_line(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    items, study = write_items(tmp_path / "items.txt"), write_study()
    stem = str(tmp_path / os.fsdecode(b"zo\xeb"))
    Path(f"{stem}.txt").write_bytes(items.read_bytes())
    Path(f"{stem}.py").write_bytes(study.read_bytes())
    assert run([word.format(stem) for word in words]) == 2
    assert r"must be UTF-8; got '" + str(tmp_path) + r"/zo\udceb." in capfd.readouterr().err
    assert not paths.results_folder().exists()


def test_a_project_folder_that_is_not_utf_8_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    home = tmp_path / os.fsdecode(b"zo\xeb")
    home.mkdir()
    monkeypatch.setenv("HARNESS_HOME", str(home))
    assert run(["studies"]) == 2
    assert r"/zo\udceb/results/studies.db'" in capfd.readouterr().err
