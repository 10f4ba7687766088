"""`harness study` and the commands after it, on made-up corpora.

Worker processes are real where a test is about them: in the shared finished
project, where something is killed or interrupted, and where every trial fails.
Elsewhere the command trains in the test's own process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file

from harness import load, paths
from harness.cli.app import run
from harness.report.plots.every import PLOTS
from harness.search.trial_queue import sole_run
from harness.store.opening import recorded
from harness.store.storage import open_storage
from tests.conftest import Project
from tests.tiny_study import (
    begin_in_background,
    no_plots,
    slow_while,
    stored_trials,
    wait_for,
    with_build,
    workers,
    write_items,
    write_study,
)

KEY = "tiny-items"


@pytest.fixture
def items(tmp_path: Path) -> str:
    return str(write_items(tmp_path / "items.txt"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished study of four trials, reported without plots."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patched, workers(), no_plots():
        patched.setenv("HARNESS_HOME", str(folder))
        write_study("tiny", trials=4)
        assert run(["study", "tiny", "--corpus", str(write_items(folder / "items.txt"))]) == 0
    return folder


@pytest.fixture
def searched(template: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """That study's key, its project copied into this test's own."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    capfd.readouterr()
    return KEY


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = 2) -> str:
    """The one error line of a bad command."""
    assert run(arguments) == code
    captured = capfd.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_a_study_is_searched_confirmed_and_reported_with_every_file(finished_project: Project):
    shown = finished_project.shown
    assert "5 of 5 trials" in shown
    assert "ended: all requested trials are finished" in shown
    assert "make holdout" in shown
    folder = finished_project.folder / "results" / KEY
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["trials"]["complete"] + summary["trials"]["pruned"] + summary["trials"]["diverged"] == 5
    assert summary["trials"]["ended_by"] == "trials"
    assert summary["reference"] is None
    assert summary["holdout"] is None
    trials = pd.read_csv(folder / "trials.csv")
    assert len(trials) == 5
    assert trials["fingerprint"].unique().tolist() == [summary["corpus"]["fingerprint"]]
    assert trials["dev_nats"].min() == pytest.approx(summary["best"]["dev_nats"])
    drawn = {f"{plot.name}.{ending}" for plot in PLOTS for ending in ("csv", "png", "svg")}
    assert {path.name for path in (folder / "plots").iterdir()} == drawn | {"items.csv", "samples.csv"}
    title, *samples = (folder / "samples.txt").read_text(encoding="utf-8").splitlines()
    assert summary["corpus"]["fingerprint"] in title
    assert len(samples) == 20
    assert "\\toprule" in (folder / "leaderboard.tex").read_text(encoding="utf-8")
    assert "counted bigram" in (folder / "leaderboard.md").read_text(encoding="utf-8")


def test_a_report_is_rebuilt_to_the_same_bytes(finished_project: Project, home: Path):
    shutil.copytree(finished_project.folder, home, dirs_exist_ok=True)
    folder = paths.results_folder() / KEY
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for path in before:
        (folder / path).unlink()
    assert run(["report", KEY]) == 0
    after = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert after == before


def test_saved_weights_score_the_stated_dev_loss_in_plain_torch(searched: str, items: str):
    folder = paths.results_folder() / searched / "best"
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    w = load_file(folder / "model.safetensors")
    dev = load(items).examples("dev", facts["config"]["model"]["context_length"])
    hidden = torch.tanh(torch.einsum("bte,teh->bh", w["embedding"][dev.contexts], w["w1"]) + w["b1"])
    loss = torch.nn.functional.cross_entropy(hidden @ w["w2"] + w["b2"], dev.targets)
    assert float(loss) == pytest.approx(facts["dev_nats"], abs=1e-5)


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_finished_study_says_that_nothing_is_left_and_resumes_for_more_trials(
    searched: str, items: str, capfd: pytest.CaptureFixture[str]
):
    before = open_storage().trials(searched)
    assert run(["study", "tiny", "--corpus", items]) == 0
    assert "nothing is left to do: 4 of 4" in capfd.readouterr().out
    assert run(["study", "tiny", "--corpus", items, "--trials", "6"]) == 0
    after = open_storage().trials(searched)
    assert after[: len(before)] == before
    assert sum(record.status in ("complete", "pruned", "diverged") for record in after) == 6


@pytest.mark.usefixtures("searched")
def test_a_resumed_study_keeps_seed_corpus_and_space(items: str, capfd: pytest.CaptureFixture[str]):
    assert "was started" in (line := refused(["study", "tiny", "--corpus", items, "--seed", "5"], capfd))
    assert "SEED=0, got 5" in line
    write_study("tiny", trials=4, widest=9)
    assert "another range for embedding_size" in refused(["study", "tiny", "--corpus", items], capfd)
    write_study("tiny", trials=4)
    write_items(Path(items), seed=2)
    assert "a study keeps its corpus" in refused(["study", "tiny", "--corpus", items], capfd)


def test_a_rerun_reproduces_a_trial_to_the_last_bit(searched: str, capfd: pytest.CaptureFixture[str]):
    assert run(["rerun", searched, "1"]) == 0
    assert "identical to the last bit" in capfd.readouterr().out
    assert "got 77, but tiny-items has trials 0 to 3" in refused(["rerun", searched, "77"], capfd)


def test_samples_come_from_the_best_model_the_same_for_a_seed(searched: str, capfd: pytest.CaptureFixture[str]):
    assert run(["sample", searched, "--count", "20"]) == 0
    drawn = capfd.readouterr().out
    assert drawn == (paths.results_folder() / searched / "samples.txt").read_text(encoding="utf-8").split("\n", 1)[1]
    assert run(["sample", str(paths.results_folder() / searched / "best"), "--count", "20"]) == 0
    assert capfd.readouterr().out == drawn


@pytest.mark.usefixtures("plotless")
def test_the_test_split_is_opened_once(searched: str, items: str, capfd: pytest.CaptureFixture[str]):
    assert run(["holdout", searched]) == 0
    first = capfd.readouterr().out
    assert first.index("to be scored") < first.index("opened")
    opening = recorded(open_storage(), searched)
    assert [row.kind for row in opening.claim.contenders][:3] == ["runs", "mixed runs", "bigram"]
    assert opening.scores.test_items == 30
    assert run(["holdout", searched]) == 3
    assert "was opened" in capfd.readouterr().out
    assert recorded(open_storage(), searched) == opening
    summary = json.loads((paths.results_folder() / searched / "summary.json").read_text(encoding="utf-8"))
    assert summary["holdout"]["state"] == "scored"
    line = refused(["study", "tiny", "--corpus", items, "--trials", "9"], capfd)
    assert "closed once its test split is opened" in line
    assert run(["holdout", "--verify"]) == 0
    assert "3 entries" in capfd.readouterr().out


def test_a_longer_search_that_was_killed_has_not_ended(
    searched: str, items: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    seen = []

    def killed(*_: object) -> None:
        seen.append(open_storage().study(searched).ended_by)
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.search.session.run_workers", killed)
    assert run(["study", "tiny", "--corpus", items, "--trials", "60"]) == 130
    assert seen == [None]  # what a kill -9 would have left
    capfd.readouterr()
    assert "has not ended" in refused(["holdout", searched], capfd)
    storage = open_storage()
    storage.write_study(storage.study(searched).model_copy(update={"ended_by": None}))
    assert "has not ended" in refused(["holdout", searched], capfd)


@pytest.mark.slow
def test_workers_that_keep_dying_end_the_study_as_failed(
    items: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("harness.search.engines.processes._MOST_DEATHS", 1)
    path = write_study("tiny", trials=3, first="import os; os.getpid() == PARENT or os._exit(7)")
    path.write_text(path.read_text(encoding="utf-8").replace("PARENT", str(os.getpid())), encoding="utf-8")
    line = refused(["study", "tiny", "--corpus", items, "--workers", "1"], capfd)
    assert "worker 0 ended with exit code 7" in line
    assert open_storage().study(KEY).ended_by == "failed"


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_study_deleted_in_the_dashboard_can_be_started_again(
    searched: str, items: str, capfd: pytest.CaptureFixture[str]
):
    optuna.delete_study(study_name=searched, storage=open_storage().backend)
    assert "There are: none" in refused(["report", searched], capfd)
    assert run(["study", "tiny", "--corpus", items, "--trials", "1"]) == 0
    assert "starting tiny-items" in capfd.readouterr().out
    assert len(open_storage().trials(searched)) == 1


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_reason_with_brackets_is_shown_as_it_is(items: str, capfd: pytest.CaptureFixture[str]):
    write_study("tiny", trials=2, first="assert trial.number != 0 or len(trial.study.trials) > 5, 'no [/usr/x] here'")
    assert run(["study", "tiny", "--corpus", items]) == 0
    assert "AssertionError: no [/usr/x] here" in capfd.readouterr().out


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_file_called_names_is_not_taken_for_the_lectures(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    write_study("tiny", trials=1)
    assert run(["study", "tiny", "--corpus", str(write_items(tmp_path / "names.txt"))]) == 0
    shown = capfd.readouterr().out
    assert "starting tiny-names-file" in shown
    assert "2.17" not in shown


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_holdout_before_the_search_is_done_is_refused(items: str, capfd: pytest.CaptureFixture[str]):
    write_study("tiny", trials=400, budget="steps=4000")
    assert run(["study", "tiny", "--corpus", items, "--minutes", "0.01"]) == 0
    assert "the time limit was reached" in capfd.readouterr().out
    with sole_run(KEY):
        assert "is running in another process" in refused(["holdout", KEY], capfd)
        assert "is running in another process" in refused(["study", "tiny", "--corpus", items], capfd)


def count(*statuses: str) -> int:
    return sum(record.status in statuses for record in stored_trials(KEY))


def finished() -> int:
    return count("complete", "pruned", "diverged")


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    return tmp_path / "hold"


@pytest.fixture
def study(items: str, hold: Path) -> Iterator[subprocess.Popen[str]]:
    """A study of six trials on two worker processes, in the middle of it: a trial is finished, and both workers train.

    The trials in training would take 40 seconds; all that begin from now on take a moment.
    """
    slow_while(write_study("tiny", trials=6, evaluations=40), hold)
    with begin_in_background("--corpus", items, "--workers", "2") as begun:
        try:
            wait_for(lambda: finished() >= 1 and count("running") == 2)
            hold.unlink()
            yield begun
        finally:
            begun.kill()


def worker_processes(study: subprocess.Popen[str]) -> list[psutil.Process]:
    return [p for p in psutil.Process(study.pid).children() if "spawn_main" in " ".join(p.cmdline())]


def carry_on(items: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The same command again; every trial asked for is finished after it."""
    with workers(), no_plots():
        assert run(["study", "tiny", "--corpus", items]) == 0
    assert f"resuming {KEY}" in capfd.readouterr().out
    assert finished() == 6


@pytest.mark.slow
def test_killed_workers_lose_no_trial_and_the_count_is_exact(study: subprocess.Popen[str]):
    first, second = worker_processes(study)
    first.send_signal(signal.SIGKILL)
    wait_for(lambda: count("interrupted") == 1)  # the parent has noticed and started another worker
    second.send_signal(signal.SIGKILL)
    shown, _ = study.communicate(timeout=120)
    assert study.returncode == 0, shown
    records = stored_trials(KEY)
    assert finished() == 6
    repeats = [r for r in records if r.root is not None]
    assert len(repeats) == count("interrupted") == 2
    for repeat in repeats:
        first_try = records[repeat.root]
        assert repeat.seed == first_try.seed
        assert first_try.params.items() <= repeat.params.items()
    assert {r.status for r in records} <= {"complete", "pruned", "diverged", "interrupted"}


@pytest.mark.slow
def test_an_interrupted_study_requeues_its_trials_and_resumes(
    study: subprocess.Popen[str], items: str, capfd: pytest.CaptureFixture[str]
):
    study.send_signal(signal.SIGINT)
    shown, _ = study.communicate(timeout=120)
    assert study.returncode == 130
    assert "Traceback" not in shown
    assert "make study again to continue" in shown
    assert "make report" in shown
    assert open_storage().study(KEY).ended_by == "interrupted"
    assert count("interrupted") == 2
    carry_on(items, capfd)


@pytest.mark.slow
def test_workers_end_with_their_killed_parent_and_the_next_run_resumes(
    study: subprocess.Popen[str], items: str, capfd: pytest.CaptureFixture[str]
):
    children = psutil.Process(study.pid).children(recursive=True)
    study.kill()
    study.communicate()
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in children))
    carry_on(items, capfd)


@pytest.mark.slow
def test_trials_that_all_fail_end_the_command_with_their_reason(items: str, capfd: pytest.CaptureFixture[str]):
    path = write_study("tiny", trials=5)
    with_build(path, "def build(*_):\n    raise RuntimeError('no such luck')")
    line = refused(["study", "tiny", "--corpus", items, "--workers", "1"], capfd, code=1)
    assert "first 7 trials failed, the last with 'RuntimeError: no such luck'" in line
    assert open_storage().study(KEY).ended_by == "failed"
