"""The finalists' round: fresh seeds in pairs, exact counts, and a round that resumes wherever it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness import load, paths, split_nats
from harness.cli.app import run
from harness.errors import StudyError
from harness.lecture import RECIPE
from harness.search.events import Event, Job, OnEvent
from harness.search.finalists import best_trials, start_round
from harness.search.reference import fresh_seeds
from harness.search.session import Session
from harness.search.trial_queue import sole_run
from harness.store.find import stored_reference
from harness.store.keys import finalists_key
from harness.store.storage import Storage, open_storage
from harness.store.weights import restore
from tests.tiny_study import brief_reference, home_at, round_of, search, with_build, work_here, write_items, write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_items(tmp_path_factory.mktemp("corpus") / "items.txt")


def searched_in(folder: Path, items: Path, **study: Any) -> Session:
    with home_at(folder):
        write_study(**study)
        return search(items)


@pytest.fixture(scope="module")
def of_three_seeds(items: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A study of four trials with two finalists of three seeds; only read by the tests."""
    return searched_in(tmp_path_factory.mktemp("three"), items, trials=4, finalists=2, seeds=3)


@pytest.fixture(scope="module")
def template(items: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    searched_in(folder, items, trials=3, finalists=2)
    return folder


@pytest.fixture
def searched(template: Path, items: Path, home: Path) -> Session:
    """A finished study of three trials with two finalists, its project copied into this test's own."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    session = search(items)
    assert session.nothing_left
    return session


@pytest.fixture
def short_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.search.workers.REFERENCE", brief_reference())


def runs_of(session: Session) -> list:
    return session.storage.trials(finalists_key(session.record.key))


def runs_of_stored() -> list:
    return open_storage().trials(finalists_key("tiny-items"))


def only(count: int):
    """Workers that are interrupted, as by Ctrl-C, when they start one finalist more than `count`."""

    def run_workers(job: Job, workers: int, storage: Storage, on_event: OnEvent) -> None:
        begun = []

        def heard(event: Event) -> None:
            on_event(event)
            begun.append(event.kind == "started")
            if job.finalists_of is not None and sum(begun) > count:
                raise KeyboardInterrupt

        work_here(job, workers, storage, heard)

    return run_workers


def test_every_finalist_is_trained_once_from_each_fresh_seed_and_kept(of_three_seeds: Session, items: Path):
    session = of_three_seeds
    runs, best = runs_of(session), best_trials(session.storage.trials("tiny-items"), 2)
    assert [run.status for run in runs] == ["complete"] * 6
    assert {(run.params["trial"], run.seed) for run in runs} == {(t.number, s) for t in best for s in fresh_seeds(3)}
    configs = {trial.number: trial.config for trial in best}
    dev = load(str(items)).counts("dev", 2)
    for record in runs:
        assert record.config == configs[record.params["trial"]].model_copy(update={"seed": record.seed})
        model, facts = restore(session.storage.kept_file(record.weights_artifact))
        assert split_nats(model, dev) == record.dev_nats
        assert facts["config"]["seed"] == record.seed
    assert {t.seed for t in session.storage.trials("tiny-items")}.isdisjoint(fresh_seeds(3))
    assert session.record.ended_by == "trials"


def test_seeds_come_in_turn_so_that_a_round_cut_short_is_still_paired(of_three_seeds: Session):
    assert [run.params["repeat"] for run in runs_of(of_three_seeds)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.usefixtures("short_reference")
def test_the_recipe_is_among_the_finalists_with_the_same_seeds(items: Path):
    write_study(trials=3, finalists=2, seeds=2, reference=True)
    ranking = search(items).record.ranking
    assert {f.trial for f in ranking.finalists} >= {None}
    assert {tuple(run.seed for run in f.runs) for f in ranking.finalists} == {tuple(fresh_seeds(2))}
    more = search(items, seeds=6)
    assert len(stored_reference(more.storage, more.record.reference).seeds) == 6
    assert {tuple(run.seed for run in f.runs) for f in more.record.ranking.finalists} == {tuple(fresh_seeds(6))}
    assert len(runs_of(more)) == 12


@pytest.mark.usefixtures("short_reference")
def test_a_recipe_asked_for_after_the_round_is_still_compared_with_it(searched: Session, items: Path):
    before = searched
    assert RECIPE not in {f.name for f in before.record.ranking.finalists}
    write_study(trials=3, finalists=2, reference=True)
    after = search(items)
    assert RECIPE in {f.name for f in after.record.ranking.finalists}
    assert runs_of(after) == runs_of(before)


def test_two_trials_of_one_config_are_one_finalist(items: Path):
    write_study(trials=3, finalists=3, widest=2)
    session = search(items)
    first, *others = session.storage.trials("tiny-items")
    for other in others[:1]:
        config = first.config.model_copy(update={"seed": other.seed})
        session.storage.write_trial("tiny-items", other.model_copy(update={"config": config}))
    assert len(best_trials(session.storage.trials("tiny-items"), 3)) == 2


def test_an_interrupted_round_resumes_where_it_stopped(items: Path, capfd: pytest.CaptureFixture[str]):
    write_study(trials=3, finalists=2, seeds=3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.search.session.run_workers", only(2))
        assert run(["study", "tiny", "--corpus", str(items)]) == 130
    captured = capfd.readouterr()
    assert "trials in flight were requeued" in captured.err
    assert "make study again to continue" in captured.err
    assert "2 of 6 runs of finalists" in captured.out
    before = [run for run in runs_of_stored() if run.status == "complete"]
    session = search(items)
    complete = [run for run in runs_of(session) if run.status == "complete"]
    assert complete[:2] == before
    assert sorted((run.params["trial"], run.params["repeat"]) for run in complete) == sorted(
        round_of(session.storage, session.record).wanted
    )
    assert session.record.ranking is not None


def test_a_round_that_ran_out_of_time_says_so_and_cannot_be_opened(items: Path, capfd: pytest.CaptureFixture[str]):
    write_study(trials=3, finalists=2)

    def searched_only(job: Job, *rest) -> None:
        if job.finalists_of is None:
            work_here(job, *rest)

    session = search(items, run_workers=searched_only)
    assert (session.record.ended_by, session.record.ranking) == ("trials", None)
    assert run(["holdout", "tiny"]) == 2
    assert "those of tiny-items are not" in capfd.readouterr().err
    assert search(items).record.ranking is not None


def test_a_missing_ranking_is_made_again_without_training(searched: Session, items: Path):
    session = searched
    session.storage.write_study(session.record.model_copy(update={"ranking": None}))
    again = search(items, run_workers=lambda *_: pytest.fail("nothing is left to train"))
    facts = ("name", "runs", "low", "high", "tied", "p_better")
    assert [[getattr(f, name) for name in facts] for f in again.record.ranking.finalists] == [
        [getattr(f, name) for name in facts] for f in session.record.ranking.finalists
    ]


def test_after_more_trials_the_new_best_are_trained_and_queued_runs_of_others_dropped(items: Path):
    write_study(trials=3, finalists=2)
    with pytest.raises(KeyboardInterrupt):
        search(items, run_workers=only(0))
    session = search(items, trials=12)
    storage, record = session.storage, session.record
    before = {t.number for t in best_trials(storage.trials(record.key)[:3], 2)}
    after = {t.number for t in best_trials(storage.trials(record.key), 2)}
    assert before != after  # else this test would show nothing
    trained = {run.params["trial"] for run in runs_of(session) if run.status == "complete"}
    assert trained == after
    assert round_of(storage, record).is_settled(record.ranking)
    assert {f.trial for f in record.ranking.finalists} == after


def test_without_finalists_there_is_no_round_and_an_earlier_one_is_removed(items: Path):
    write_study(trials=3, finalists=0)
    session = search(items)
    assert session.record.ranking is None
    assert session.storage.study(finalists_key("tiny-items")) is None
    assert search(items, finalists=2).record.ranking is not None
    fewer = search(items, finalists=0)
    assert fewer.record.ranking is None
    assert round_of(fewer.storage, fewer.record).is_settled(None)


def test_a_study_started_again_after_its_deletion_trains_its_own_finalists(searched: Session, items: Path):
    old = searched
    kept = {run.weights_artifact for run in runs_of(old)}
    optuna.delete_study(study_name="tiny-items", storage=old.storage.backend)
    new = search(items, seed=5)
    assert not new.resumed
    assert len(runs_of(new)) == 4
    assert {run.weights_artifact for run in runs_of(new)}.isdisjoint(kept)
    assert {f.search_nats for f in new.record.ranking.finalists} <= {
        t.dev_nats for t in new.storage.trials("tiny-items")
    }


def test_a_finalist_killed_before_it_started_is_repeated_with_the_same_seed(items: Path):
    write_study(trials=3, finalists=1)
    with pytest.raises(KeyboardInterrupt):
        search(items, run_workers=only(0))
    storage = open_storage()
    record = storage.study("tiny-items")
    with sole_run("tiny-items"):
        key = start_round(storage, record, storage.trials(record.key))
        storage.optuna_study(key).ask().suggest_int("trial", 0, 10**6)  # and there it was killed
        start_round(storage, record, storage.trials(record.key))
    session = search(items)
    assert round_of(session.storage, session.record).is_trained
    assert sorted(run.seed for run in runs_of(session) if run.status == "complete") == sorted(fresh_seeds(2))


def test_a_config_that_fails_three_times_is_out_and_the_study_continues(items: Path, capfd: pytest.CaptureFixture[str]):
    path = write_study(trials=3, finalists=2)
    build = (
        "from harness import CharMLP\n\ndef build(config, V, generator):\n"
        f"    assert config.seed != {fresh_seeds(2)[1]}, 'no luck with this one'\n"
        "    return CharMLP.build(config, V, generator)\n"
    )
    with_build(path, build)
    session = search(items)
    ranking = session.record.ranking
    assert ranking.winner is None
    assert {f.out for f in ranking.finalists} == {f"seed {fresh_seeds(2)[1]} failed"}
    assert sum(run.status == "failed" for run in runs_of(session)) == 2 * 3
    assert search(items, run_workers=lambda *_: pytest.fail("given up")).nothing_left
    assert run(["holdout", "tiny"]) == 2
    assert "every finalist of tiny-items has a seed that diverged or failed" in capfd.readouterr().err


def test_a_changed_build_is_refused_in_one_line(searched: Session, items: Path):
    path, session = Path(searched.record.file), searched
    assert path.is_relative_to(paths.studies_folder())
    session.storage.write_study(session.record.model_copy(update={"ranking": None}))
    build = (
        "from harness import CharMLP, TrainConfig\n\ndef build(config, V, generator):\n"
        "    model = config.model.model_copy(update={'hidden_width': 5})\n"
        "    return CharMLP.build(config.model_copy(update={'model': model}), V, generator)\n"
    )
    with_build(path, build)
    with pytest.raises(
        StudyError, match=r"a study keeps the tensors that build makes; tiny-items was started .* with others"
    ):
        search(items)
