"""`--json`: exactly one document on stdout, finite numbers with unit, corpus, fingerprint and n."""

from __future__ import annotations

import io
import json
import math
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from harness import load
from harness.cli.app import app, run
from harness.cli.console import show_json
from harness.store.trial_record import Point
from tests.record_factory import KEY, made_session, record_of
from tests.tiny_study import no_plots, workers, write_items, write_study

SMALL = ["model.hidden_width=8", "model.context_length=2", "batch_size=32", "budget.steps=20", "evaluations=2"]


def document(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed = json.loads(text, parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project with one finished study, and the document that `study --json` printed."""
    folder, stdout = tmp_path_factory.mktemp("json"), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(stdout), workers(), no_plots():
        patched.setenv("HARNESS_HOME", str(folder))
        write_study("tiny", trials=2)
        command = ["study", "tiny", "--corpus", str(write_items(folder / "items.txt")), "--json"]
        assert run(command) == 0
    return folder, document(stdout.getvalue())


@pytest.fixture
def project(finished: tuple[Path, dict[str, Any]], home: Path, plotless: None) -> Path:  # noqa: ARG001
    shutil.copytree(finished[0], home, dirs_exist_ok=True)
    return home


def test_a_study_prints_its_summary_and_nothing_else_on_stdout(finished: tuple[Path, dict[str, Any]]):
    folder, printed = finished
    assert printed == json.loads((folder / "results" / "tiny-items" / "summary.json").read_text(encoding="utf-8"))
    assert printed["trials"]["complete"] + printed["trials"]["pruned"] + printed["trials"]["diverged"] == 2
    assert printed["unit"] == "nats per symbol, exact means over whole splits"


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["show", "tiny"], {"headline", "best", "winner", "finalists", "overview", "trials", "files", "commands"}),
        (["show", "tiny", "0"], {"config", "curve", "verdict", "evidence", "advice", "seed", "versions", "owner"}),
        (["rerun", "tiny", "0"], {"recorded", "again", "identical", "changed"}),
        (["baselines", "--corpus", "ITEMS", "--context", "2"], {"floor", "bigram", "kneser_ney", "best"}),
        (["train", *SMALL, "--corpus", "ITEMS"], {"config", "train_nats", "dev_nats", "curve", "verdict", "saved"}),
        (["lr-range", *SMALL, "--corpus", "ITEMS"], {"rates", "smoothed", "low", "high", "plot"}),
        (["overfit", *SMALL, "--corpus", "ITEMS"], {"floor", "reached", "examples", "passed"}),
        (["bench", "exact", "--repeats", "3", "--corpus", "ITEMS"], {"made_by", "sections"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_document_has_unit_corpus_fingerprint_and_n(
    project: Path, arguments: list[str], keys: set[str], capfd: pytest.CaptureFixture[str]
):
    items = str(project / "items.txt")
    assert run([*(items if word == "ITEMS" else word for word in arguments), "--json"]) == 0
    printed = document(capfd.readouterr().out)
    assert keys <= printed.keys()
    corpus = load(items)
    assert printed["unit"].startswith("nats per symbol")
    assert printed["corpus"]["fingerprint"] == corpus.fingerprint
    assert printed["corpus"]["examples"]["dev"] == corpus.number_of_examples("dev")


def test_lists_reports_samples_and_the_ledger_are_documents_too(project: Path, capfd: pytest.CaptureFixture[str]):
    printed = {}
    for command in (["studies"], ["corpora"], ["report"], ["sample", "tiny", "--count", "3"], ["holdout", "--verify"]):
        assert run([*command, "--json"]) == 0
        printed[command[0]] = document(capfd.readouterr().out)
    fingerprint = load(str(project / "items.txt")).fingerprint
    (stored,) = printed["studies"]["stored"]
    assert (stored["study"], stored["finished"], stored["fingerprint"]) == ("tiny-items", 2, fingerprint)
    assert printed["studies"]["to_begin"] == ["tiny"]
    assert "names" in [corpus["name"] for corpus in printed["corpora"]["corpora"]]
    assert printed["report"]["reports"][0]["summary"]["study"] == "tiny-items"
    assert (len(printed["sample"]["items"]), printed["sample"]["fingerprint"]) == (3, fingerprint)
    assert (printed["holdout"]["holds"], printed["holdout"]["entries"]) == (True, 0)


@pytest.mark.slow
def test_a_prune_check_is_a_document(capfd: pytest.CaptureFixture[str]):
    session = made_session()
    for number in range(44):
        points = [
            Point(step=s, examples=s, seconds=s, learning_rate=0.1, train_nats=2.0, dev_nats=3 - s / 200 + number / 100)
            for s in (10, 30, 90, 100)
        ]
        session.storage.write_trial(KEY, record_of(number, 2.5 + number / 100, curve=tuple(points)))
    assert run(["prune-check", KEY, "--json"]) == 0
    printed = document(capfd.readouterr().out)
    assert (printed["complete"], printed["seed_noise_nats"], printed["safest"]) == (44, None, None)
    assert {"pruner", "recorded", "saved", "worst_regret"} <= printed["pruners"][0].keys()


def test_a_second_opening_keeps_its_exit_code_and_is_a_document(project: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["holdout", "tiny", "--json"]) == 0
    first = document(capfd.readouterr().out)
    assert run(["holdout", "tiny", "--json"]) == 3
    again = document(capfd.readouterr().out)
    assert (first.pop("opened_now"), again.pop("opened_now")) == (True, False)
    assert first == again
    assert first["corpus"]["fingerprint"] == load(str(project / "items.txt")).fingerprint
    assert first["scores"]["test_examples"] > 0
    assert {"claim", "remarks", "for_a_paper", "state"} <= first.keys()


def test_a_refusal_leaves_stdout_empty(capfd: pytest.CaptureFixture[str]):
    assert run(["show", "tiny", "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("harness: ")


def test_every_command_but_the_dashboard_takes_json():
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    without = {name for name, command in commands.items() if not any("--json" in p.opts for p in command.params)}
    assert without == {"dashboard"}


def test_numbers_that_are_not_finite_become_null(capfd: pytest.CaptureFixture[str]):
    show_json({"curve": ({"dev": math.nan}, {"dev": -math.inf}), "n": 3, "name": "é·"})
    assert document(capfd.readouterr().out) == {"curve": [{"dev": None}, {"dev": None}], "n": 3, "name": "é·"}
