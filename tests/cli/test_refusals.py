"""Bad input gives one line with the rule, the value given and the fix."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from harness import paths
from harness.cli import overrides
from harness.cli.app import run
from harness.config import Budget, Cosine, Linear, TrainConfig
from harness.dashboard.server import make_dashboard
from harness.errors import ConfigError, CorpusUnavailable
from harness.store.storage import open_storage
from tests.tiny_study import write_items, write_study


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "nosuch"], "got 'nosuch'"),
        (["study", "nosuch", "--trials", "", "--corpus=", "--minutes", ""], "got 'nosuch'"),
        (["studies", "--storage", "", "--json"], "there is none at"),
        (["study", "tiny", "--corpus", "nmaes"], "Did you mean 'names'"),
        (["study", "tiny", "--sampler", "TPE"], "got 'TPE'. Did you mean 'TPESampler'?"),
        (["study", "tiny", "--pruner", "Median"], "Did you mean 'MedianPruner'"),
        (["study", "tiny", "--sampler", "GridSampler"], "must work without arguments"),
        (["study", "tiny", "--trials", "0"], "trials must be at least 1; got 0"),
        (["study", "tiny", "--trials", "many"], "'many'"),
        (["study", "tiny", "--minutes", "-1"], "minutes must be more than 0 and at most 525,600 (a year); got -1"),
        (["study", "tiny", "--workers", "0"], "workers must be at least 1 and at most 256; got 0"),
        (["study", "tiny", "--minutes", "inf"], "got inf"),
        (["study", "tiny", "--seed", "-1"], "seed must be at least 0 and below 2**63; got -1"),
        (["study", "tiny", "--sampler", "BruteForceSampler"], "BruteForceSampler says"),
        (["study", "tiny", "--name", "a/b"], "got 'a/b'"),
        (["study", "tiny", "--storage", "nonsense://x"], "could not be opened"),
        (["study", "tiny", "--colour", "red"], "No such option: --colour. Did you mean '--corpus'?"),
        (["study", "tiny", "--zzz", "red"], "No such option: --zzz. See"),
        (["stduy"], "No such command 'stduy'. Did you mean 'study'? See"),
        (["study", "tinny"], "Did you mean 'tiny'?"),
        (["study", "tiny", "--corpus", "names-dedp"], "Did you mean 'names-dedup'?"),
        (["study", "tiny", "--sampler", "tpe"], "Did you mean 'TPESampler'?"),
        (["rerun", "tiny", "ten"], "got 'ten'"),
        (["train", "hidden_width=3", "--corpus", "ITEMS"], "Did you mean 'model.hidden_width'?"),
        (["train", "model.hiden_width=3", "--corpus", "ITEMS"], "Did you mean 'hidden_width'?"),
        (["train", "modle.hidden_width=3", "--corpus", "ITEMS"], "Did you mean 'model.hidden_width'?"),
        (["train", "direct_connections=true", "--corpus", "ITEMS"], "Did you mean 'model.direct_connections'?"),
        (["train", "optimiser.decay_biases=false", "--corpus", "ITEMS"], "Did you mean 'optimizer.decay_biases'?"),
        (["train", "model.hidden_width=0", "--corpus", "ITEMS"], "must have direct_connections=True"),
        (["train", "schedule=linaer", "--corpus", "ITEMS"], "Did you mean 'linear'?"),
        (["train", "optimizer=adam", "--corpus", "ITEMS"], "Did you mean 'adamw'?"),
        (["train", "model.init=scalde", "--corpus", "ITEMS"], "Did you mean 'scaled'?"),
        (["report", "tiny"], "there is none at"),
        (["dashboard"], "there is none at"),
        (["holdout", "tiny"], "there is none at"),
        (["rerun", "tiny", "0"], "there is none at"),
        (["studies"], "there is none at"),
        (["sample", "tiny"], "there is none at"),
        (["train", "batch_sise=3", "--corpus", "ITEMS"], "Did you mean 'batch_size'"),
        (["train", "batch_size", "--corpus", "ITEMS"], "must be KEY=VALUE"),
        (["train", "batch_size=0", "--corpus", "ITEMS"], "greater than or equal to 1; got 0"),
        (["train", "--config", "nowhere.json", "--corpus", "ITEMS"], "nowhere.json"),
        (["train", "model.extra.layers=2", "--corpus", "ITEMS"], "the built-in model has no setting 'layers'"),
        (["train", "model.extra.layers=[2]", "--corpus", "ITEMS"], "got layers=[2]"),
        (["train", "model.layers=2", "--corpus", "ITEMS"], "A setting of your own model goes into extra"),
        (["lr-range", "--out", "plot.bmp", "--corpus", "ITEMS"], "got 'plot.bmp'"),
        (["overfit", "model.hidden_width=none", "--corpus", "ITEMS"], "hidden_width should be a valid integer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    write_study("tiny")
    items = str(write_items(tmp_path / "items.txt"))
    arguments = [items if argument == "ITEMS" else argument for argument in arguments]
    if arguments[0] == "study" and "--corpus" not in arguments:
        arguments += ["--corpus", items]
    assert run(arguments) == 2
    captured = capfd.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("harness: ")
    assert message in captured.err
    assert not list(paths.results_folder().glob("tiny*"))


def test_a_report_holdout_or_rerun_of_an_unknown_study_lists_the_stored_ones(capfd: pytest.CaptureFixture[str]):
    open_storage(create=True)
    for command in (["report", "tiny"], ["holdout", "tiny"], ["rerun", "tiny", "0"], ["sample", "tiny"]):
        assert run(command) == 2
        assert "got 'tiny'. There are: none" in capfd.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        optuna.exceptions.StorageInternalError("disk I/O error"),
        sqlalchemy.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_database_is_one_line_with_its_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr("harness.cli.lists.open_storage", fails)
    assert run(["studies"]) == 2
    assert capfd.readouterr().err == (
        "harness: the storage must be readable and writable; it reports 'disk I/O error'. Finished work is kept.\n"
    )


def test_an_explicit_port_in_use_is_refused_and_the_default_port_takes_the_next_free_one():
    storage = open_storage(create=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"{port}: Address already in use"):
            make_dashboard(storage, port)
    with pytest.raises(ConfigError, match="port must be"):
        make_dashboard(storage, 99_999)
    first = make_dashboard(storage, None)
    second = make_dashboard(storage, None)
    assert first.server_port != second.server_port
    first.server_close()
    second.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("one_process", "plotless")
def test_without_names_a_study_falls_back_to_an_available_corpus_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def unreachable(*_: object) -> None:
        raise CorpusUnavailable("corpus names could not be had.")

    write_study("tiny", trials=1)
    with monkeypatch.context() as patched:
        patched.setattr("harness.corpus.sources._known", _known_but(unreachable))
        assert run(["study", "tiny"]) == 0
        assert "could not be had. Using ssa-2017 instead." in capfd.readouterr().out
        assert run(["study", "tiny", "--corpus", "names"]) == 2
        assert "corpus names could not be had" in capfd.readouterr().err
    assert run(["study", "tiny", "--trials", "2"]) == 0
    shown = capfd.readouterr().out
    assert "resuming tiny-ssa-2017" in shown
    assert "CORPUS=names starts it on names" in shown


def _known_but(unreachable: object):
    from harness.corpus.sources import _known

    return lambda name, patience: unreachable() if name == "names" else _known(name, patience)


def test_overrides_reach_into_the_config():
    config = overrides.apply(
        TrainConfig(), ["batch_size=64", "model.hidden_width=300", "schedule=linear", "budget.steps=1_000"]
    )
    assert (config.batch_size, config.model.hidden_width) == (64, 300)
    assert config.schedule == Linear()
    assert config.budget == Budget(steps=1000)
    assert overrides.apply(TrainConfig(), ["schedule.warmup=0.2"]).schedule == Cosine(warmup=0.2)
    assert overrides.apply(TrainConfig(), ["optimizer.kind=sgd"]).optimizer.kind == "sgd"


@pytest.mark.slow
def test_settings_of_a_model_of_ones_own_are_read_as_json_or_text():
    words = ["layers=2", "activation=relu", "norm=true", "rate=1e-3", 'version="2"', "name=none"]
    config = overrides.apply(TrainConfig(), [f"model.extra.{word}" for word in words])
    assert config.model.extra == {
        "layers": 2, "activation": "relu", "norm": True, "rate": 0.001, "version": "2", "name": "none",
    }  # fmt: skip
    assert overrides.apply(config, ["model.extra.layers=3"]).model.extra["layers"] == 3


def test_python_m_harness_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "harness", "--help"], capture_output=True, encoding="utf-8", check=True
    )
    for command in ("study", "report", "dashboard", "holdout", "train", "sample", "lr-range", "overfit", "rerun"):
        assert command in done.stdout


def test_a_single_run_is_trained_saved_and_sampled(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    items = str(write_items(tmp_path / "items.txt"))
    settings = ["model.hidden_width=16", "model.context_length=2", "batch_size=32", "budget.steps=50", "evaluations=2"]
    assert run(["train", *settings, "--corpus", items, "--out", str(tmp_path / "saved")]) == 0
    assert "steps/s" in capfd.readouterr().out
    assert run(["sample", str(tmp_path / "saved"), "--count", "5"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 5
    assert run(["overfit", *settings, "--corpus", items]) == 0
    assert "passed" in capfd.readouterr().out
    assert run(["lr-range", *settings, "--corpus", items, "--out", str(tmp_path / "range.png")]) == 0
    assert (tmp_path / "range.png").stat().st_size > 10_000
