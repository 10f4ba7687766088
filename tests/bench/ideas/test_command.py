"""`harness bench ideas`: from nothing to the page, and on from where it stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import Budget, CharMLP, ModelConfig, TrainConfig
from harness.bench.ideas import catalogue, cost, runs
from harness.bench.ideas.catalogue import IDEAS, Idea
from harness.bench.ideas.runs import BEST_SEEDS
from harness.cli import ideas
from harness.cli.app import run

BEST = (Idea("wide", "best", {"model.hidden_width": 12}),)


@pytest.fixture
def tiny(small_corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One idea, two seeds, one small corpus, and a base of some milliseconds."""
    config = TrainConfig(
        model=ModelConfig(embedding_size=3, hidden_width=8, context_length=3),
        dropout=0.1,
        budget=Budget(examples=1024),
        evaluations=1,
    )
    monkeypatch.setattr(catalogue, "BASE", config)
    monkeypatch.setattr(runs, "SEEDS", runs.SEEDS[:2])
    monkeypatch.setattr(ideas, "IDEAS", (IDEAS[0],))
    monkeypatch.setattr(ideas, "BEST", BEST)
    monkeypatch.setattr("harness.bench.ideas.page.BEST", BEST)
    monkeypatch.setattr(ideas, "BEST_SEEDS", BEST_SEEDS[:3])
    monkeypatch.setattr(ideas, "CORPORA", (str(small_corpus_file),))
    monkeypatch.setattr("harness.bench.ideas.page.CORPORA", ("small",))
    monkeypatch.setattr(cost, "_STEPS", 2)


@pytest.mark.usefixtures("tiny")
def test_it_measures_what_is_missing_and_writes_the_page(home: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["bench", "ideas"]) == 0
    assert capsys.readouterr().out.count("  train ") == 4
    assert (home / "results" / "reference" / "ideas" / "small.csv").read_text(encoding="utf-8").count("\n") == 5
    assert IDEAS[0].name in (home / "docs" / "ideas.md").read_text(encoding="utf-8")

    assert run(["bench", "ideas-best"]) == 0
    assert capsys.readouterr().out.count(" train ") == 3
    page = (home / "docs" / "ideas.md").read_text(encoding="utf-8")
    assert re.search(r"\| wide +\|.* 3 \|", page)
    assert f"harness train --corpus small seed={BEST_SEEDS[0]} " in page

    assert run(["bench", "ideas", "ideas-cost", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)["added"]
    assert [row["idea"] for row in added] == ["base", IDEAS[0].name]
    assert all(row["times_base"] > 0 for row in added)


def test_the_best_configs_are_reached_in_a_minute_and_at_the_lectures_size():
    lowest, small = catalogue.BEST
    assert CharMLP(small.config.model, 27).parameters.numel() <= 11_897
    assert small.config.model.context_length == 3
    assert lowest.build == small.build == "CharMLP"


def test_it_is_not_mixed_with_the_short_sections(capsys: pytest.CaptureFixture[str]):
    assert run(["bench", "ideas", "steps"]) == 2
    assert "got steps too. Name ideas alone." in capsys.readouterr().err
