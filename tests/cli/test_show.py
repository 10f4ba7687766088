"""`harness show`: a study's results and a trial's record as text, and its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.cli.app import run
from harness.cli.console import console, show_table
from harness.search.session import Session
from harness.store.trial_record import Point
from tests.record_factory import KEY, made_session, record_of
from tests.tiny_study import home_at


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up study whose trial 5 has every field of a record."""
    folder = tmp_path_factory.mktemp("show")
    with home_at(folder):
        _write_trial_5(made_session())
    return folder


@pytest.fixture
def stored(template: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(template, home)
    capfd.readouterr()


def _write_trial_5(session: Session) -> None:
    points = [
        Point(
            step=step,
            examples=32 * step,
            seconds=step / 10,
            learning_rate=0.01,
            train_nats=2.4 - step / 500,
            dev_nats=2.5 - step / 500,
        )
        for step in range(10, 130, 10)
    ]
    fields = {
        "advice": "Lengthen the context.", "evidence": {"gap": 0.1, "rise": None}, "curve": tuple(points), "root": 2,
        "attempt": 1, "seconds": 12.0, "steps": 120, "parameters": 4_666, "versions": {"torch": "2.13.0"},
        "gap": 0.1, "gap_error": 0.008, "weights_artifact": "0123-abc", "params": {"hidden_width": 105},
    }  # fmt: skip
    session.storage.write_trial(KEY, record_of(5, 2.26, **fields))


@pytest.mark.usefixtures("stored")
def test_a_study_is_shown_with_headline_counts_best_trial_and_next_commands(capfd: pytest.CaptureFixture[str]):
    assert run(["show", "beat_lecture"]) == 0
    shown = capfd.readouterr().out
    assert "best dev 2.0200 nats (trial 10, train 1.9200; one run, not confirmed)" in shown.splitlines()[0]
    assert "fingerprint 14f825ec2506" in shown
    assert "9 complete, 3 pruned of 60 requested; ended by nothing yet" in shown
    assert "trial 10, dev 2.0200, train 1.9200, one run, well fitted" in shown
    assert f"harness show {KEY} N" in shown


@pytest.mark.usefixtures("stored")
def test_a_trial_is_shown_with_everything_that_is_stored_about_it(capfd: pytest.CaptureFixture[str]):
    assert run(["show", KEY, "5"]) == 0
    shown = capfd.readouterr().out
    for text in (
        f"trial 5 of {KEY}: complete, well fitted",
        "dev n=22,655",
        "0.1000 ± 0.0080 (standard error by items)",
        "12.0 s of training, 120 steps, 10 steps/s",
        "4,666",
        "gap 0.1, rise none",
        "Lengthen the context.",
        "2, repeats trial 2",
        "torch 2.13.0",
        "results/artifacts/0123-abc",
        "2.4800 to 2.2600",
        "10 of 12 evaluations; --json has all",
        "model.hidden_width",
        "optimizer.learning_rate",
    ):
        assert text in shown


@pytest.mark.usefixtures("stored")
def test_a_trials_document_has_the_whole_record(capfd: pytest.CaptureFixture[str]):
    assert run(["show", KEY, "5", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert len(printed["curve"]) == 12
    assert printed["curve"][0] == {
        "step": 10, "examples": 320, "seconds": 1.0, "learning_rate": 0.01, "train_nats": 2.38, "dev_nats": 2.48,
        "mixed_nats": None,
    }  # fmt: skip
    assert (printed["root"], printed["attempt"], printed["steps_per_s"], printed["finalist"]) == (2, 1, 10.0, None)
    assert printed["config"]["model"]["hidden_width"] == 105
    assert run(["show", KEY, "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["repeated_as"] == [5]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", KEY, "77"], f"a trial must be in the study; got 77, but {KEY} has trials 0 to 11"),
        (["show", "beat_lectur"], "Did you mean 'beat_lecture'?"),
        (["show", "beat_lecture", "--corpus", "nmes"], "Did you mean 'names'?"),
        (["show", KEY, "ten"], "got 'ten'"),
    ],
)
def test_an_unknown_study_or_trial_is_one_line(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]):
    assert run(arguments) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert message in line
    assert captured.out == ""


def test_a_table_too_wide_for_the_terminal_is_printed_as_lines_without_truncation(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(console, "width", 24)
    show_table(("run", "mean dev", "95 %"), [("trial 5", "2.1850", "2.17 to 2.20"), ("trial 0", "2.1945", "")])
    assert [line.rstrip() for line in capfd.readouterr().out.splitlines()] == [
        "trial 5",
        "   mean dev  2.1850",
        "   95 %      2.17 to",
        "             2.20",
        "trial 0",
        "   mean dev  2.1945",
    ]
