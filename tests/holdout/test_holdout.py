"""The holdout: a list is frozen, claimed, opened once and scored; figures are recomputed, changes refused."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harness import load, paths, split_nats
from harness.cli.app import run
from harness.corpus.contexts import count_contexts, examples_of
from harness.corpus.split import sealed_test_items
from harness.errors import StorageError, StudyError
from harness.holdout import open as holdout
from harness.holdout.open import open_holdout
from harness.model import Ensemble, Mixture
from harness.report.tables.holdout import paper_line, remarks
from harness.report.write import write_report
from harness.search.intervals import interval
from harness.store import ledger
from harness.store.opening import Opening, recorded
from harness.store.provenance import Owner
from harness.store.storage import Storage, open_storage
from harness.store.weights import pack, restore, sha256
from harness.train import counted_model
from tests.holdout.conftest import KEY, opened
from tests.tiny_study import search, with_build, write_study


def crash_before_scores(storage: Storage) -> Opening:
    """Claim, then end as a crashed process does."""

    def crash(*_: object) -> None:
        raise SystemExit(9)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(holdout, "sealed_test_items", crash)
        with pytest.raises(SystemExit):
            opened(storage)
    return recorded(storage, KEY)


@pytest.fixture
def owners_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Owner, "is_dead", lambda _: True)


def test_the_list_is_on_record_before_the_split_is_opened(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def spied(all_items: object, rule: object) -> list[str]:
        seen.append(recorded(storage, KEY))
        return sealed_test_items(all_items, rule)

    monkeypatch.setattr(holdout, "sealed_test_items", spied)
    claims: list[Opening] = []
    opening, now = open_holdout(storage, storage.study(KEY), on_claim=claims.append)
    assert now
    assert [claim.state for claim in claims + seen] == ["claimed", "claimed"]
    assert opening.claim == seen[0].claim
    winner = storage.study(KEY).ranking.won.trial
    order = storage.study(KEY).ranking.won.mixed_order
    assert [(row.what, len(row.weights)) for row in opening.claim.contenders][:6] == [
        (f"winner (trial {winner})", 2),
        ("ensemble of the winner's 2 seeds", 2),
        (f"winner (trial {winner}) mixed with the counted {order}-gram", 2),
        (f"ensemble of the winner's 2 seeds mixed with the counted {order}-gram", 2),
        ("lecture's recipe", 2),
        ("counted bigram", 0),
    ]
    assert [score.what for score in opening.scores.scores] == [row.what for row in opening.claim.contenders]
    assert open_holdout(storage, storage.study(KEY)) == (opening, False)
    assert len(seen) == 1


def test_every_figure_follows_from_the_csv_files(storage: Storage, items: Path, monkeypatch: pytest.MonkeyPatch):
    opening = opened(storage)
    monkeypatch.setattr("harness.report.write.PLOTS", {})
    folder = write_report(storage, storage.study(KEY)).folder
    runs, by_item = pd.read_csv(folder / "holdout.csv"), pd.read_csv(folder / "holdout_items.csv")
    assert by_item["symbols"].tolist() == [len(item) + 1 for item in sealed_test_items(load(str(items)).source.items)]
    assert opening.scores.test_examples == by_item["symbols"].sum()
    total = by_item["symbols"].sum()
    for row, score in zip(opening.claim.contenders, opening.scores.scores, strict=True):
        own = runs[runs["contender"] == row.what]
        names = [f"{row.what}, seed {seed:.0f}" for seed in own["seed"]] if row.is_one_per_seed else [row.what]
        nats = by_item[names].to_numpy().T
        assert own["test_nats"].tolist() == pytest.approx((nats.sum(1) / total).tolist())
        assert score.test_nats == pytest.approx(own["test_nats"].mean())
        assert row.dev_nats == pytest.approx(own["dev_nats"].mean())
        assert score.gap == pytest.approx(own["test_nats"].mean() - own["dev_nats"].mean())
        assert score.deviation == (pytest.approx(own["test_nats"].std()) if len(own) > 1 else None)
        found = interval(nats, by_item["symbols"].to_numpy())
        assert (score.low, score.high) == pytest.approx((found.low, found.high))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["holdout"]
    assert summary["scores"]["scores"][0]["test_nats"] == opening.scores.scores[0].test_nats
    assert paper_line(opening) in (folder / "holdout.md").read_text(encoding="utf-8")


def test_the_ensemble_predicts_the_mean_of_its_members_probabilities(storage: Storage):
    row = opened(storage).claim.contenders[0]
    members = [restore(storage.kept_file(weights.weights_artifact))[0] for weights in row.weights]
    contexts = torch.randint(0, 5, (40, row.context_length), generator=torch.Generator().manual_seed(0))
    mean = torch.stack([member.log_probabilities(contexts).double().exp() for member in members]).mean(0)
    together = Ensemble(members).log_probabilities(contexts).exp()
    assert torch.allclose(together, mean, atol=1e-12)
    assert torch.allclose(together.sum(1), torch.ones(40, dtype=torch.float64), atol=1e-6)


def test_mixtures_are_scored_with_the_weights_that_were_frozen(storage: Storage, items: Path):
    opening, corpus = opened(storage), load(str(items))
    alone, together_alone, seeds, ensemble = opening.claim.contenders[:4]
    assert (seeds.kind, ensemble.kind) == ("mixed runs", "mixed ensemble")
    counted = counted_model(corpus, seeds.mixing.order)
    runs = storage.study(KEY).ranking.won.runs
    assert [weights.mixing_weight for weights in seeds.weights] == pytest.approx([run.mixed.weight for run in runs])
    assert seeds.dev_nats == pytest.approx(np.mean([run.mixed.dev_nats for run in runs]), abs=1e-6)
    assert seeds.mixing.sha256 == ensemble.mixing.sha256 == sha256(pack(counted, {}))
    test_items = sealed_test_items(corpus.source.items)
    test = count_contexts(examples_of(test_items, corpus.vocabulary, 2), corpus.vocabulary_size)
    members = [restore(storage.kept_file(weights.weights_artifact))[0] for weights in seeds.weights]
    mixtures = [
        Mixture(member, counted, each.mixing_weight) for member, each in zip(members, seeds.weights, strict=True)
    ]
    scores = {score.what: score for score in opening.scores.scores}
    assert scores[seeds.what].runs == pytest.approx([split_nats(mixture, test) for mixture in mixtures])
    together = Mixture(Ensemble(members), counted, ensemble.mixing.weight)
    assert scores[ensemble.what].test_nats == pytest.approx(split_nats(together, test))
    assert ensemble.dev_nats <= together_alone.dev_nats
    assert len({alone.sha256, seeds.sha256, ensemble.sha256}) == 3
    assert opening.mixed_winner == scores[seeds.what]


@pytest.mark.usefixtures("owners_are_dead")
def test_a_crash_after_the_claim_is_resumed_only_when_asked_and_for_the_same_list(storage: Storage):
    claimed = crash_before_scores(storage)
    with pytest.raises(StudyError, match=r"ended before its scores were written.*--resume"):
        opened(storage)
    scored = opened(storage, resume=True)
    assert (scored.state, scored.attempts, scored.claim) == ("scored", 2, claimed.claim)
    assert [entry.step for entry in ledger.entries(storage)] == ["claimed", "resumed 1", "items", "scored"]
    assert "took 2 attempts" in " ".join(remarks(scored))


def test_an_opening_in_another_process_is_waited_for(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    crash_before_scores(storage)
    for resume in (False, True):
        with pytest.raises(StudyError, match="Wait for it"):
            opened(storage, resume=resume)  # this very process still lives
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(StudyError, match=r"If that machine is gone for good.*--resume"):
        opened(storage)
    assert opened(storage, resume=True).state == "scored"


@pytest.mark.usefixtures("owners_are_dead")
def test_weights_changed_after_the_claim_are_neither_scored_nor_resumed(storage: Storage):
    weights = crash_before_scores(storage).claim.contenders[0].weights[1].weights_artifact
    path = paths.results_folder() / "artifacts" / weights
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(StudyError, match="no longer have the SHA-256"):
        opened(storage, resume=True)
    assert [entry.step for entry in ledger.entries(storage)] == ["claimed"]


@pytest.mark.usefixtures("owners_are_dead")
def test_an_n_gram_that_changes_after_the_claim_is_not_mixed_in(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    crash_before_scores(storage)
    monkeypatch.setattr("harness.model.kneser_ney._discounts", lambda _: (0.4, 0.9, 1.4))
    with pytest.raises(StudyError, match=r"those of the winner \(trial \d\) mixed with .* no longer have the SHA-256"):
        opened(storage, resume=True)


@pytest.mark.usefixtures("owners_are_dead")
@pytest.mark.parametrize("what", ['"seed":', '"kind":"runs"', '"weights_artifact":"', '"dev_nats":'])
def test_a_list_changed_after_the_claim_is_refused(what: str, storage: Storage):
    crash_before_scores(storage)
    connection = sqlite3.connect(paths.results_folder() / "studies.db")
    with connection:
        connection.execute("UPDATE harness_openings SET document = replace(document, ?, ?)", (what, what.upper()))
    connection.close()
    with pytest.raises(StorageError, match="Somebody has changed it"):
        opened(storage, resume=True)
    assert run(["holdout", "--verify"]) == 1


def test_an_opened_study_is_closed_and_keeps_its_settings(storage: Storage, items: Path):
    opened(storage)
    before = storage.study(KEY)
    for asked in ({"trials": 9}, {"finalists": 3}, {"seeds": 4}, {"finalists": 0}):
        with pytest.raises(
            StudyError,
            match=r"closed once its test split is opened, because otherwise its winner could be chosen.*NAME=",
        ):
            search(items, **asked)
    assert search(items, trials=2).nothing_left
    assert storage.study(KEY) == before


@pytest.mark.slow
def test_openings_and_leaks_of_this_storage_are_counted(storage: Storage, items: Path, tmp_path: Path):
    stranger = tmp_path / "stranger.txt"
    test = sealed_test_items(load(str(items)).source.items)
    stranger.write_text("\n".join([*test[:12], *(f"zz{n:03d}" for n in range(200))]), encoding="utf-8")
    write_study("other", trials=1)
    for corpus in (items, f"{items}-dedup", stranger):
        search(corpus, "other")
    assert opened(storage).claim.openings_before == 0
    second = opened(storage, "other-items")
    assert second.claim.openings_before == 1
    assert (
        "all of the 30 distinct test items had been opened before, for tiny-items on items, claimed"
        in remarks(second)[0]
    )
    assert "opened 2 times" in paper_line(second)

    def shared(spec: object) -> int:
        other = load(str(spec))
        return sum(item in {*other.train_items, *other.dev_items} for item in test)

    assert second.scores.seen_items == shared(items) > 0
    assert {(e.corpus, e.items) for e in second.scores.elsewhere} == {
        ("items-dedup", shared(f"{items}-dedup")),
        ("stranger", shared(stranger)),
    }
    assert min(shared(f"{items}-dedup"), shared(stranger)) > 0
    stranger.unlink()
    third = opened(storage, "other-items-dedup")
    assert third.claim.openings_before == 0
    distinct = set(sealed_test_items(load(f"{items}-dedup").source.items))
    assert [each.shared for each in third.items.earlier] == [len(distinct & set(test))] * 2
    assert 0 < len(distinct & set(test)) < len(distinct)
    assert ("stranger", None) in {(e.corpus, e.items) for e in third.scores.elsewhere}
    assert "an unknown number" in " ".join(remarks(third))


def test_the_line_for_a_paper_counts_what_finished_not_what_was_asked(storage: Storage):
    record = storage.study(KEY)
    storage.write_study(
        record.model_copy(
            update={"settings": dataclasses.replace(record.settings, trials=60, finalists=2), "ended_by": "minutes"}
        )
    )
    line = paper_line(opened(storage))
    assert "chosen on dev from 2 finalists of 4 trials on 2 fresh seeds each" in line
    assert record.corpus.fingerprint in line


def test_without_finalists_the_best_trial_is_scored_alone(items: Path):
    write_study("plain", trials=2)
    session = search(items, "plain")
    opening = opened(session.storage, "plain-items")
    assert [row.kind for row in opening.claim.contenders][:3] == ["runs", "mixed runs", "bigram"]
    assert opening.scores.scores[0].deviation is None
    assert "chosen on dev from 2 trials, one seed each" in paper_line(opening)


@pytest.mark.slow
def test_the_users_own_model_is_scored_and_a_changed_one_claims_nothing(items: Path):
    path = write_study("own", trials=2, finalists=1)
    plain = path.read_text(encoding="utf-8")
    with_build(path, "from tests.strategies import build_plain as build\n")
    session = search(items, "own")
    assert session.record.own_model
    path.write_text(plain, encoding="utf-8")
    with_build(path, "from tests.strategies import build_louder as build\n")
    with pytest.raises(StudyError, match=r"its model predicts otherwise with the same weights"):
        opened(session.storage, "own-items")
    assert ledger.entries(session.storage) == []
    path.write_text(plain, encoding="utf-8")
    with_build(path, "from tests.strategies import build_plain as build\n")
    assert math.isfinite(opened(session.storage, "own-items").scores.scores[0].test_nats)


@pytest.mark.usefixtures("storage")
def test_a_storage_with_openings_without_a_chain_is_refused():
    connection = sqlite3.connect(paths.results_folder() / "studies.db")
    with connection:
        connection.execute("CREATE TABLE harness_ledger (key VARCHAR(200) PRIMARY KEY, document TEXT)")
    open_storage()  # an empty table hides no opening
    with connection:
        connection.execute("INSERT INTO harness_ledger VALUES (?, ?)", (KEY, "{}"))
    connection.close()
    with pytest.raises(StorageError, match=r"must keep its openings .* in a ledger with a hash chain"):
        open_storage()


def test_what_a_crash_left_out_of_the_file_is_added_when_the_record_is_read(storage: Storage):
    opening = opened(storage)
    path = ledger.exported(storage)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert run(["holdout", "--verify"]) == 1
    assert opened(storage) == opening
    assert run(["holdout", "--verify"]) == 0


def test_the_score_of_a_single_run_is_the_plain_mean_over_its_symbols(storage: Storage, items: Path):
    opening = opened(storage)
    row, corpus = opening.claim.contenders[0], load(str(items))
    model = restore(storage.kept_file(row.weights[0].weights_artifact))[0]
    index = {symbol: place for place, symbol in enumerate(corpus.vocabulary)}
    losses = []
    for item in sealed_test_items(corpus.source.items):
        context = [0] * row.context_length
        for target in [*(index[symbol] for symbol in item), 0]:
            losses.append(-float(model.log_probabilities(torch.tensor([context]))[0, target]))
            context = [*context[1:], target]
    assert opening.scores.scores[0].runs[0] == pytest.approx(np.mean(losses), abs=1e-5)
