"""docs/ideas.md: gains with their intervals, what pays before what does not, made from the rows alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from scipy import stats

from harness.bench.ideas import page as pages
from harness.bench.ideas.catalogue import IDEAS, REFERENCE, Idea
from harness.bench.ideas.cost import Cost
from harness.bench.ideas.gains import compared, gain_of
from harness.bench.ideas.runs import SEEDS, Run
from harness.bench.ideas.table import csv_of, read_rows

ROOT = Path(__file__).parents[3]
BY_NAME = {idea.name: idea for idea in IDEAS}
WORSE, BETTER, BEST = BY_NAME["no dropout"], BY_NAME["silu instead of tanh"], BY_NAME["ensemble of 5 seeds"]


def runs_of(idea: Idea, dev: Sequence[float], corpus: str = "names", status: str = "complete") -> list[Run]:
    """One run per seed with these dev losses; mixing takes 0.03 off."""
    return [
        Run(
            corpus=corpus,
            fingerprint="0123456789ab",
            idea=idea.name,
            seed=seed,
            config=idea.config.hash(),
            build=idea.build,
            members=idea.members,
            status=status,
            train_nats=1.8,
            dev_nats=nats,
            mixed_nats=nats - 0.03,
            even_nats=nats - 0.02,
            weight=0.6,
            order=6,
            parameters=1234,
            steps=3000,
            seconds=8.0,
            commit="abc",
            date="2026-01-01T00:00:00+00:00",
            versions="torch 2",
            machine="a machine",
        )
        for seed, nats in zip(SEEDS, dev, strict=False)
    ]


def rows(corpus: str = "names") -> list[Run]:
    return [
        *runs_of(REFERENCE, [1.97, 1.971, 1.969, 1.972, 1.968], corpus),
        *runs_of(WORSE, [1.98, 1.982, 1.979, 1.981, 1.979], corpus),
        *runs_of(BETTER, [1.96, 1.96, 1.96, 1.962, 1.959], corpus),
        *runs_of(BEST, [1.95, 1.95, 1.95, 1.952, 1.949], corpus),
    ]


def test_a_gain_is_that_of_the_paired_t_test():
    base, idea = [2.0, 2.1, 2.2, 2.05], [1.9, 2.05, 2.05, 1.99]
    found = gain_of(base, idea)
    expected = stats.ttest_rel(base, idea).confidence_interval(0.95)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(tuple(expected))
    assert found.seeds == 4
    assert found.pays
    assert gain_of(idea, base).costs


def test_a_run_that_diverged_does_not_count_and_is_reported():
    wild = BY_NAME["no weight decay"]
    found = compared(
        [*rows(), *runs_of(wild, [1.96, 1.96, 1.96]), *runs_of(wild, [float("nan")] * 5, "x", "diverged")[3:]], wild
    )
    assert found is not None
    assert (found.alone.seeds, found.diverged) == (3, 2)


def table_under(heading: str, text: str) -> list[str]:
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines() if line.startswith("|")][2:]


def test_what_pays_comes_first_and_the_tables_are_sorted_by_gain():
    text = pages.page({"names": rows(), "ssa-2017": rows("ssa-2017")}, [])
    mixed = [
        "mixed with the best counted n-gram, weight fitted on dev",
        "mixed with the best counted n-gram, half and half",
    ]
    assert table_under("What pays", text) == [*mixed, BEST.name, BETTER.name]
    assert table_under("What costs", text) == [WORSE.name]


def test_an_idea_has_to_pay_on_every_corpus():
    there = [*rows("ssa-2017")[:10], *runs_of(BETTER, [1.97, 1.971, 1.969, 1.972, 1.968], "ssa-2017")]
    text = pages.page({"names": rows(), "ssa-2017": there}, [])
    assert BETTER.name in table_under("What makes no clear difference", text)
    assert BEST.name in text.split("Not measured yet: ")[1]


def test_a_row_says_gain_interval_time_seeds_decision_and_config():
    cost = Cost(BETTER.name, BETTER.key, 1.5, 1.4, 1.6, 7, 3.0, "abc", "2026-01-02T00:00:00+00:00", "a machine")
    text = pages.page({"names": rows()}, [cost])
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {BETTER.name}"))
    gain = gain_of([1.97, 1.971, 1.969, 1.972, 1.968], [1.96, 1.96, 1.96, 1.962, 1.959])
    shown = f"+{gain.mean:.4f} ± {gain.half_width:.4f}"
    settings = "`model.extra.activation=silu` (`Variant`)"
    assert line == (
        f"| {BETTER.name} | activation | {shown} | {shown} | 1.50 | 1,234 | 5 | {BETTER.decision} | {settings} |"
    )
    assert "(fingerprint `0123456789ab`): the base has train 1.8000, dev 1.9700" in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", "harness train")))


def test_without_measurements_the_page_says_so():
    assert "Nothing has been measured yet" in pages.page({"names": []}, [])


def test_rows_survive_the_file(tmp_path: Path):
    (tmp_path / "rows.csv").write_text(csv_of(Run, rows()), encoding="utf-8")
    assert read_rows(tmp_path / "rows.csv", Run) == rows()
    assert read_rows(tmp_path / "none.csv", Run) == []


def test_the_committed_page_is_what_the_committed_measurements_give(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(ROOT))
    committed = ROOT / "docs" / "ideas.md"
    assert committed.read_text(encoding="utf-8") == pages.page(*pages.measurements())


def test_no_committed_row_occurs_twice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(ROOT))
    runs, costs = pages.measurements()
    for label, found in runs.items():
        assert len({(run.key, run.seed, run.fingerprint) for run in found}) == len(found)
        assert {run.corpus for run in found} <= {label}
    assert len({cost.key for cost in costs}) == len(costs)


def test_the_lines_of_python_train_a_row_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    text = pages.page({"names": rows()}, [])
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    brief = dataclasses.replace(WORSE, changes={**WORSE.changes, "budget": {"steps": 2}, "model.hidden_width": 4})
    monkeypatch.setattr("harness.bench.ideas.catalogue.IDEAS", (brief,))
    exec(block.replace('"names"', '"ssa-2017"'), {})
    assert f"idea='{WORSE.name}', seed={SEEDS[0]}" in capsys.readouterr().out
