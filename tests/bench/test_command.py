"""What `harness bench` writes and prints, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from harness import load, paths
from harness.bench import write
from harness.bench.advice import Followed
from harness.bench.target import ToTarget
from harness.bench.timing import Row
from harness.cli.app import run

# What is written


ROWS = [
    Row("steps", "8, 2, 3, 4, sgd", "ours", "µs per step", 20.5, 20.0, 31.0, 9, times_ours=1.0),
    Row("steps", "8, 2, 3, 4, sgd", "raw loop", "µs per step", 123.4, 120.0, 140.0, 9, times_ours=6.02, goal="4 times"),
    Row("steps", "64, 2, 3, 4, adamw", "ours", "µs per step", 40.0, 39.0, 41.0, 9, times_ours=1.0),
    Row("steps", "64, 2, 3, 4, adamw", "JAX", "µs per step", note="skipped: No module named 'jax'"),
    Row("study", "two workers over one", "ours", "times", 1.93, goal="1.8 at least"),
]
TARGETS = [
    ToTarget(2.17, "ours", 11_897, 270, 0.5, 0.4, 0.7, 10, 2.1652, 1.2e-4, 10),
    ToTarget(2.17, "the lecture's", 11_897, 112_000, 20.0, 18.0, 22.0, 5, 2.15, None, 5),
]

FOLLOWED = [
    Followed(
        0, "small", "underfitting", 2.4, "widen the hidden layer from 8 to 16", "hidden", 2.3,
        "raise dropout from 0 to 0.15", "dropout", 2.5,
    ),
    Followed(1, "wide", "well fitted", 2.0, ""),
]  # fmt: skip

MADE_BY = {"commit": "abc", "date": "2026-11-22", "threads": "1"}


def sections() -> dict[str, Any]:
    return {"steps": ROWS[:4], "study": ROWS[4:], "target": TARGETS, "advice": FOLLOWED}


def written(folder: Path) -> dict[str, list[str]]:
    return {
        name: [path.name for path in write.write_section(folder, name, found, MADE_BY)]
        for name, found in sections().items()
    }


def test_each_section_is_written_with_its_numbers_and_their_provenance(tmp_path: Path):
    assert written(tmp_path / "bench") == {
        "steps": ["steps.csv", "steps.md", "steps.png", "bench.md"],
        "study": ["study.csv", "study.md", "bench.md"],
        "target": ["target.csv", "target.md", "bench.md"],
        "advice": ["advice.csv", "advice.md", "bench.md"],
    }
    assert (tmp_path / "bench" / "steps.png").read_bytes()[:4] == b"\x89PNG"
    for name in ("steps", "study"):
        rows = pd.read_csv(tmp_path / "bench" / f"{name}.csv", keep_default_na=False)
        for found, given in zip(rows.to_dict("records"), sections()[name], strict=True):
            expected = {key: "" if value is None else value for key, value in dataclasses.asdict(given).items()}
            assert {key: type(expected[key])(found[key]) for key in expected} == expected
            assert (found["commit"], found["date"]) == ("abc", "2026-11-22")
    targets = pd.read_csv(tmp_path / "bench" / "target.csv")
    assert list(targets["times_ours"]) == [1.0, 40.0]
    assert list(targets["seconds"]) == [0.5, 20.0]
    followed = pd.read_csv(tmp_path / "bench" / "advice.csv", keep_default_na=False)
    assert list(followed["advice"]) == ["widen the hidden layer from 8 to 16", ""]
    assert list(followed["advised_nats"]) == ["2.3", ""]
    assert list(followed["commit"]) == ["abc", "abc"]


def test_the_page_has_every_section_with_its_provenance_and_the_reason_for_a_missing_row(tmp_path: Path):
    written(tmp_path)
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert page.count("harness bench · commit abc · date 2026-11-22 · threads 1") == 4
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Training steps", "## Training seconds to a dev loss", "## Overhead of a study",
        "## Effect of the advice",
    ]  # fmt: skip
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    assert ["8, 2, 3, 4, sgd", "raw loop", "123 µs per step", "120 to 140", "6.02", "4 times"] in cells
    assert ["64, 2, 3, 4, adamw", "JAX", "skipped: No module named 'jax'", "", "", ""] in cells
    assert ["2.17", "ours", "11,897", "yes", "0.5 (0.4 to 0.7)", "1", "270", "10 of 10", "2.1652", "1.2e-04"] in cells
    assert ["2.17", "the lecture's", "11,897", "yes", "20 (18 to 22)", "40", "112,000", "5 of 5", "2.1500", ""] in cells
    changes = ["1 (100%)", "0 (0%)", "-0.1000 (-0.1000)", "+0.1000 (+0.1000)", "1 of 1"]
    assert ["underfitting", "1", *changes, "1.0e+00", "1.0e+00", "1.0e+00"] in cells
    assert ["nothing to change, not counted above", "1", *[""] * 8] in cells


def test_a_recipe_that_missed_its_target_is_marked_as_needing_more_time(tmp_path: Path):
    missed = ToTarget(2.17, "the lecture's", 11_897, 200_000, 60.0, 55.0, 70.0, 5, 2.18, None, 0)
    write.write_section(tmp_path, "target", [TARGETS[0], missed], MADE_BY)
    assert "| no | > 60 (55 to 70) |" in (tmp_path / "target.md").read_text(encoding="utf-8")
    assert list(pd.read_csv(tmp_path / "target.csv")["stands"]) == [True, False]


def test_a_section_measured_again_takes_its_own_place_and_leaves_the_others(tmp_path: Path):
    written(tmp_path)
    before = (tmp_path / "target.md").read_text(encoding="utf-8")
    write.write_section(tmp_path, "study", ROWS[4:], MADE_BY | {"commit": "def"})
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert page.count("commit abc") == 3
    assert page.count("commit def") == 1
    assert (tmp_path / "target.md").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("commit", "said"), [("abc123-dirty", "abc123-dirty"), (None, "unknown")])
def test_provenance_names_commit_corpus_and_versions(commit: str | None, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(write, "commit", lambda: commit)
    made_by = write.provenance("names 0123")
    assert (made_by["commit"], made_by["corpus"]) == (said, "names 0123")
    assert made_by["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert write.in_a_line(made_by).startswith(f"harness bench · commit {said} · date ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (math.nan, ""),
        (0.01234, "0.0123"),
        (9.999, "10"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (-150, "-150"),
    ],
)
def test_a_number_is_shown_with_three_digits(value: float | None, shown: str):
    assert write.short(value) == shown


def test_the_plot_has_one_panel_per_shape_and_one_bar_per_contender():
    drawn = write.draw_steps([row for row in ROWS if row.section == "steps" and row.median is not None], "made by")
    panels = {axis.get_title(loc="center"): axis for axis in drawn.axes}
    assert list(panels) == ["B 8, T 2, E 3, H 4, sgd", "B 64, T 2, E 3, H 4, adamw"]
    assert [[bar.get_width() for bar in axis.patches] for axis in panels.values()] == [[20.5, 123.4], [40.0]]
    assert [text.get_text().strip() for text in drawn.axes[0].texts] == [
        "20.5  (1 times ours)",
        "123  (6.02 times ours)",
    ]


# The command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "exatc"], "got 'exatc'. Did you mean 'exact'?"),
        (
            ["bench", "exact", "nonsense"],
            "one of steps, neighbour, exact, target, study, advice, ideas, ideas-best, ideas-cost; got 'nonsense'",
        ),
        (["bench", "exact", "--repeats", "2"], "got '2'"),
        (["bench", "target", "--corpus", "ssa-2017"], "the targets are dev losses on names; got ssa-2017"),
    ],
)
def test_a_bench_that_cannot_be_run_is_refused_in_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
):
    assert run(arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("harness: ")
    assert said in line
    assert not paths.results_folder().exists()


def test_exact_losses_are_measured_and_written_from_the_command_line(
    small_corpus_file: Path, home: Path, capfd: pytest.CaptureFixture[str]
):
    assert run(["bench", "exact", "--corpus", str(small_corpus_file), "--repeats", "3"]) == 0
    assert f"wrote {home / 'results' / 'bench' / 'exact.csv'}" in capfd.readouterr().out
    rows = pd.read_csv(home / "results" / "bench" / "exact.csv")
    assert len(rows) == 8
    assert set(rows["section"]) == {"exact"}
    assert set(rows["repeats"]) == {3}
    assert list(rows["contender"][:2]) == ["ours", "forward over all examples"]
    assert (rows["median"] > 0).all()


@pytest.fixture
def cores_seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many cores each section was allowed; none of them measures anything."""
    seen: dict[str, int] = {}

    def stands_in(section: str, found: list[Any]) -> Callable[..., list[Any]]:
        def measure(*_: object) -> list[Any]:
            seen[section] = len(os.sched_getaffinity(0))
            return found

        return measure

    for measure, section, found in [
        ("steps.measure_steps", "steps", [ROWS[:2]]),
        ("neighbour.measure_neighbour", "neighbour", [ROWS[:1]]),
        ("exact.measure_exact", "exact", [ROWS[2:3]]),
        ("target.measure_targets", "target", TARGETS),
        ("throughput.measure_throughput", "study", [ROWS[4:]]),
        ("advice.measure_advice", "advice", FOLLOWED),
    ]:
        monkeypatch.setattr(f"harness.bench.{measure}", stands_in(section, found))
    return seen


needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")


@needs_affinity
def test_bench_sections_that_start_no_processes_run_on_one_core(
    small_corpus_file: Path, home: Path, cores_seen: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    before = len(os.sched_getaffinity(0))
    monkeypatch.setattr("harness.cli.bench.LECTURE_FINGERPRINT", load(str(small_corpus_file)).fingerprint)
    assert run(["bench", "--corpus", str(small_corpus_file)]) == 0
    assert cores_seen == {"steps": 1, "neighbour": before, "exact": 1, "target": 1, "study": before, "advice": 1}
    assert len(os.sched_getaffinity(0)) == before
    assert {path.name for path in (home / "results" / "bench").glob("*.csv")} == {
        "steps.csv", "neighbour.csv", "exact.csv", "target.csv", "study.csv", "advice.csv",
    }  # fmt: skip


@needs_affinity
def test_on_another_corpus_the_targets_of_names_are_left_out(small_corpus_file: Path, cores_seen: dict[str, int]):
    assert run(["bench", "--corpus", str(small_corpus_file)]) == 0
    assert list(cores_seen) == ["steps", "neighbour", "exact", "study", "advice"]
