"""The README and docs/: the code works as written, links work, and every file is listed."""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import Corpus, Study
from harness.study.space import space_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


def anchors(page: Path) -> set[str]:
    """The links to a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def block_with(words: str) -> str:
    (found,) = (block for block in BLOCKS if words in block)
    return str(found)


def quick(words: str) -> dict[str, Any]:
    """What the block with these words defines, with a tiny budget and without the lecture's recipe."""
    block, made = block_with(words), {}
    brief = {"examples=1_000_000": "steps=30", "suggest=suggest,": "suggest=suggest, reference=False,"}
    for long, short in brief.items():
        block = block.replace(long, short)
    exec(block, made)
    return made


def test_the_five_line_script_trains(small_corpus: Corpus, capsys: pytest.CaptureFixture[str]):
    script = block_with("print(result.").replace('load("names")', "corpus").replace("steps=500", "steps=20")
    exec(script, {"corpus": small_corpus})
    train_nats, dev_nats, _ = map(float, capsys.readouterr().out.split())
    assert 0 < train_nats < 4
    assert 0 < dev_nats < 4


def test_the_study_of_your_own_is_a_study():
    made: dict[str, object] = {}
    exec(block_with('name="widths"'), made)
    study = made["STUDY"]
    assert isinstance(study, Study)
    assert sorted(space_of(study).signature) == ["hidden_width", "learning_rate"]


@pytest.mark.slow
def test_the_notebooks_lines_run_in_a_notebook(small_corpus_file: Path):
    study = quick('name="widths"')["STUDY"]
    made: dict[str, Any] = {"STUDY": dataclasses.replace(study, corpus=str(small_corpus_file), finalists=0)}
    exec(block_with("STUDY.run(").replace("trials=8", "trials=2"), made)
    assert len(made["found"].trials) == 2


def test_the_corpus_of_your_own_is_a_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.copyfile(README, tmp_path / "README.md")
    monkeypatch.chdir(tmp_path)
    exec(block_with("words.txt"), {})
    label, fingerprint, vocabulary, dev = capsys.readouterr().out.split()
    assert (label, len(fingerprint)) == ("words-dedup", 12)
    assert int(vocabulary) >= 27
    assert int(dev) > 100


@pytest.mark.slow
def test_the_model_of_your_own_is_searched(small_corpus_file: Path):
    study = quick("build=build")["STUDY"]
    found = study.run(trials=2, corpus=str(small_corpus_file), finalists=0)
    assert set(found.trials["status"]) <= {"complete", "pruned"}
    assert found.trials["dev_nats"].max() < 3
    assert len(found.samples(3)) == 3


def test_the_winner_is_a_model_of_few_lines(small_corpus_file: Path, capsys: pytest.CaptureFixture[str]):
    study = quick('name="widths"')["STUDY"]
    study.run(trials=2, corpus=str(small_corpus_file), finalists=2, seeds=2)
    capsys.readouterr()  # what the search printed
    exec(block_with("load_model").replace("beat_lecture", "widths"), {})
    loss, *_, samples = capsys.readouterr().out.splitlines()
    assert 0 < float(loss.split()[0]) < 4
    assert len(ast.literal_eval(samples)) == 20


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_architecture_lists_every_file():
    listed = re.findall(
        r"^\| `([\w/]+\.py)` \|", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    files = [path.relative_to(ROOT / "harness").as_posix() for path in (ROOT / "harness").rglob("*.py")]
    assert sorted(listed) == sorted(file for file in files if not file.endswith("/__init__.py"))
