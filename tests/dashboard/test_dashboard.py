"""What we add to the Optuna dashboard: notes, curve pictures and figures; updated, and replaced when written again."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from optuna_dashboard import get_note

from harness import Corpus, paths
from harness.dashboard import curve_picture
from harness.dashboard.board import Board, show_all
from harness.dashboard.figures import curves_document, order_document
from harness.dashboard.live import LiveBoard
from harness.dashboard.notes import side_study_note, trial_note
from harness.dashboard.server import HOST
from harness.errors import ModelChanged, StorageError
from harness.report.results import gather
from harness.search.events import Event
from harness.search.trial import reported_nats
from harness.store.keys import finalists_key, reference_key
from harness.store.storage import Storage
from harness.store.trial_record import Point, TrialRecord
from harness.study.settings import Settings
from tests.four_outcomes import COMPLETE, DIVERGED, FAILED, KEY, PRUNED, search_four_ways, trial_of


@pytest.fixture
def storage(small_corpus: Corpus) -> Storage:
    return search_four_ways(small_corpus)


def note_of(storage: Storage, number: int | None = None) -> str:
    study = storage.optuna_study(KEY)
    if number is None:
        return get_note(study)
    return get_note(optuna.Trial(study, study.get_trials()[number]._trial_id))


def attributes(storage: Storage) -> dict[str, Any]:
    return storage.backend.get_study_system_attrs(storage.optuna_study(KEY)._study_id)


def lines_of(picture: str) -> list[list[tuple[float, float]]]:
    """The polylines of a picture, as points."""
    found = ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")
    return [[tuple(map(float, place.split(","))) for place in line.attrib["points"].split()] for line in found]


def test_the_note_of_a_complete_trial_has_verdict_evidence_advice_config_and_samples(storage: Storage):
    show_all(storage, KEY, [])
    record, note = trial_of(storage, COMPLETE), note_of(storage, COMPLETE)
    assert record.gap is not None
    assert f"**Verdict: {record.verdict}.**" in note
    assert f"{record.evidence['rise_from_minimum']:.4f}" in note.split("dev above its minimum")[1][:20]
    assert f"**What to change next:** {record.advice}" in note
    assert "sgd, learning rate 0.1" in note
    assert "hidden width 16" in note
    assert f"{record.gap:.4f} ± {record.gap_error:.4f}" in note
    examples = storage.study(KEY).corpus.examples
    assert f"{examples['dev']:,}" in note
    assert storage.study(KEY).corpus.fingerprint in note
    assert len(note.split("```")[1].splitlines()[1:]) == 10  # its weights were kept: ten items drawn from them


def test_the_notes_of_pruned_diverged_and_failed_trials_say_so(storage: Storage):
    show_all(storage, KEY, [])
    assert note_of(storage, PRUNED).startswith("## Trial 1: pruned at 40% of its run, dev ")
    assert "Verdict" not in note_of(storage, PRUNED)
    assert "**Verdict: diverged.**" in note_of(storage, DIVERGED)
    assert "Optuna lists it as pruned" in note_of(storage, DIVERGED)
    failed = note_of(storage, FAILED)
    assert "**Failed.** suggest() always fails for these parameters." in failed
    assert "```\nValueError: no config | for this one\n```" in failed
    assert "![" not in failed


def test_the_picture_in_a_note_is_the_trials_own_artifact(storage: Storage):
    show_all(storage, KEY, [])
    (address,) = (line for line in note_of(storage, COMPLETE).splitlines() if line.startswith("!["))
    artifact = address.rsplit("/", 1)[1].rstrip(")")
    assert len(lines_of(storage.kept_file(artifact).decode())) == 2
    trial = storage.optuna_study(KEY).get_trials()[COMPLETE]
    meta = json.loads(attributes(storage)[f"dashboard:artifacts:{trial._trial_id}:{artifact}"])
    assert (meta["filename"], meta["mimetype"]) == ("curve.svg", "image/svg+xml")


def test_writing_everything_again_replaces_it(storage: Storage):
    def state() -> tuple[dict[str, Any], set[str]]:
        return attributes(storage), {path.name for path in (paths.results_folder() / "artifacts").iterdir()}

    show_all(storage, KEY, ["a finding"])
    before = state()
    show_all(storage, KEY, ["a finding"])
    assert state() == before
    assert len(before[1]) == 4  # three curves and the weights of one


def test_the_studys_note_starts_with_the_headline(storage: Storage):
    show_all(storage, KEY, ["a finding"])
    note = note_of(storage)
    assert "best dev " in note
    assert "Trials: 1 complete, 1 pruned, 1 diverged, 1 failed of 4 requested" in note
    assert "- a finding" in note
    assert "nats per symbol" in note


def test_the_notes_of_finalists_and_of_the_reference_say_what_they_are(storage: Storage, small_corpus: Corpus):
    record = storage.study(KEY)
    round_ = record.model_copy(update={"key": finalists_key(KEY)})
    assert side_study_note(round_).startswith(f"## The finalists of {KEY}\n")
    recipe = record.model_copy(update={"key": reference_key(small_corpus), "settings": Settings(seeds=5)})
    assert "the mean of 5 seeds" in side_study_note(recipe)
    run = TrialRecord(number=3, seed=1, params={"trial": 12, "repeat": 1}, status="complete", verdict="well fitted")
    assert trial_note(run, round_, None).startswith("## Trial 12, fresh seed 2: well fitted")


def test_a_trial_whose_own_parameters_are_called_trial_and_repeat_keeps_its_name(storage: Storage):
    record = TrialRecord(number=3, seed=1, params={"trial": 12, "repeat": 1}, status="complete")
    assert trial_note(record, storage.study(KEY), None).startswith("## Trial 3: ")


def test_a_trial_whose_model_has_changed_has_a_note_without_samples(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    def changed(*_: object) -> None:
        raise ModelChanged("another model")

    monkeypatch.setattr("harness.dashboard.board.restore", changed)
    show_all(storage, KEY, [])
    assert "drawn from it" not in note_of(storage, COMPLETE)


def test_missing_weights_of_a_trial_are_an_error(storage: Storage):
    storage.artifacts.remove(trial_of(storage, COMPLETE).weights_artifact)
    with pytest.raises(StorageError):
        show_all(storage, KEY, [])


def test_the_curves_of_the_best_trials_are_two_lines_each(storage: Storage):
    document = curves_document(gather(storage, storage.study(KEY)))
    record = trial_of(storage, COMPLETE)
    dev, train = document["data"]
    assert (dev["name"], train["name"]) == ("Trial 0, dev", "Trial 0, train")
    assert dev["y"] == [round(point.dev_nats, 4) for point in record.curve]
    assert train["y"] == [round(point.train_nats, 4) for point in record.curve]
    assert dev["x"] == train["x"] == [point.examples for point in record.curve]
    assert dev["line"]["dash"] != train["line"]["dash"]
    assert document["layout"]["yaxis"]["title"]["text"] == "loss (nats per symbol)"
    json.dumps(document, allow_nan=False)


def test_pruned_and_diverged_trials_have_their_own_marks_and_do_not_stretch_the_axis(storage: Storage):
    document = order_document(gather(storage, storage.study(KEY)))
    traces = {trace["name"]: trace for trace in document["data"]}
    assert list(traces) == ["complete (1)", "pruned (1)", "diverged (1)", "best so far"]
    assert len({trace["marker"]["symbol"] for name, trace in traces.items() if "marker" in trace}) == 3
    top = document["layout"]["yaxis"]["range"][1]
    assert top < math.log(27)
    assert traces["diverged (1)"]["y"] == [top]
    assert trial_of(storage, DIVERGED).dev_nats > 10
    assert f"dev {trial_of(storage, DIVERGED).dev_nats:.4f}, diverged" in traces["diverged (1)"]["text"][0]


def test_optuna_gets_a_loss_above_a_uniform_guess_as_just_above_it(storage: Storage, small_corpus: Corpus):
    chance = math.log(small_corpus.vocabulary_size)
    trial = storage.optuna_study(KEY).get_trials()[DIVERGED]
    record = trial_of(storage, DIVERGED)
    assert trial.state == TrialState.PRUNED
    assert all(point.dev_nats > 10 for point in record.curve)
    assert all(chance < value < chance + 0.1 for value in trial.intermediate_values.values())
    assert trial.value == trial.intermediate_values[100]
    assert list(trial_of(storage, COMPLETE).curve)[-1].dev_nats == storage.optuna_study(KEY).get_trials()[0].value


@pytest.mark.parametrize("losses", [[2.0, 3.0, 3.3, 4.0, 100.0, 1e30, math.inf]])
def test_the_losses_that_optuna_gets_keep_their_order(losses: list[float]):
    shown = [reported_nats(loss, 3.2958) for loss in losses]
    assert shown[:2] == losses[:2]
    assert shown == sorted(set(shown))


def test_every_column_of_the_dashboard_is_a_short_scalar(storage: Storage):
    show_all(storage, KEY, [])
    for trial in storage.optuna_study(KEY).get_trials():
        assert all(len(str(value)) <= 20 for value in trial.user_attrs.values())
    assert {"verdict", "gap", "train_nats", "parameters", "seconds"} <= set(trial_attributes(storage, COMPLETE))


def trial_attributes(storage: Storage, number: int) -> dict[str, Any]:
    return storage.optuna_study(KEY).get_trials()[number].user_attrs


def test_a_curve_has_gaps_where_losses_are_not_finite(storage: Storage):
    losses = [2.5, None, 2.4, 2.3]
    curve = tuple(
        Point(step=n, examples=n * 10, seconds=1, learning_rate=1, train_nats=loss, dev_nats=loss)
        for n, loss in enumerate(losses, start=1)
    )
    record = TrialRecord(number=0, seed=0, status="complete", curve=curve)
    assert [len(line) for line in lines_of(curve_picture.curve_picture(record, storage.study(KEY)))] == [1, 2, 1, 2]
    nothing = record.model_copy(update={"curve": tuple(p.model_copy(update={"dev_nats": None}) for p in curve)})
    ET.fromstring(curve_picture.curve_picture(nothing, storage.study(KEY)))


def live(storage: Storage, said: list[str]) -> LiveBoard:
    session: Any = SimpleNamespace(storage=storage, record=storage.study(KEY))
    return LiveBoard(session, said.append)


def finished(storage: Storage, number: int) -> Event:
    return Event(0, "finished", number, record=trial_of(storage, number))


def test_a_running_study_is_updated_as_trials_finish(storage: Storage):
    said: list[str] = []
    listener = live(storage, said)
    listener.on_event(Event(0, "started", PRUNED))
    assert note_of(storage) == ""
    listener.on_event(finished(storage, COMPLETE))
    assert note_of(storage, COMPLETE).startswith("## Trial 0")
    assert "best dev " in note_of(storage)
    assert any(name.startswith("dashboard:plot_data:train-and-dev-curves:") for name in attributes(storage))
    assert note_of(storage, PRUNED) == ""
    listener.finish(["seen at the end"])
    assert note_of(storage, PRUNED).startswith("## Trial 1")
    assert "seen at the end" in note_of(storage)
    assert said == []


def test_a_failure_is_reported_once_and_stops_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(Board, "show_trial", broken)
    said: list[str] = []
    listener = live(storage, said)
    listener.on_event(finished(storage, COMPLETE))
    listener.on_event(finished(storage, PRUNED))
    listener.finish([])
    (line,) = said
    assert "RuntimeError: no room" in line
    assert "make report" in line


def test_a_study_that_was_deleted_is_ignored(storage: Storage):
    said: list[str] = []
    listener, event = live(storage, said), finished(storage, COMPLETE)
    optuna.delete_study(study_name=KEY, storage=storage.backend)
    listener.on_event(event)
    listener.finish([])
    assert said == []


def test_the_dashboard_binds_to_loopback():
    assert HOST == "127.0.0.1"


def test_a_picture_removed_in_the_dashboard_is_written_again(storage: Storage):
    show_all(storage, KEY, [])
    trial = storage.optuna_study(KEY).get_trials()[COMPLETE]
    (place,) = (name for name in attributes(storage) if name.startswith(f"dashboard:artifacts:{trial._trial_id}:"))
    storage.artifacts.remove(place.rsplit(":", 1)[1])
    storage.backend.set_study_system_attr(storage.optuna_study(KEY)._study_id, place, json.dumps(None))
    show_all(storage, KEY, [])
    (address,) = (line for line in note_of(storage, COMPLETE).splitlines() if line.startswith("!["))
    assert storage.kept_file(address.rsplit("/", 1)[1].rstrip(")")).startswith(b"<svg")
