"""Freezes the list that a holdout scores, before the test split is opened. Weights are identified by their SHA-256."""

from __future__ import annotations

from statistics import fmean

from harness.corpus import Corpus
from harness.errors import StudyError
from harness.lecture import RECIPE
from harness.model import Build, CharMLP, CountedBigram, Ensemble, KneserNey, Mixture, Predictor
from harness.search.finalists import read_round
from harness.search.reference import reference_is_settled
from harness.store.find import stored_reference
from harness.store.opening import Claim, Contender, Mixing, Weights
from harness.store.provenance import commit, now, this_process, versions
from harness.store.storage import Storage
from harness.store.study_record import Chosen, StudyRecord
from harness.store.trial_record import FINISHED, SeedRun, TrialRecord
from harness.store.weights import pack, restore, sha256, unpack
from harness.train import counted_model, mix, mixture_of, split_nats
from harness.words import plural


def freeze(storage: Storage, record: StudyRecord, corpus: Corpus, build: Build, openings_before: int) -> Claim:
    """The list of what to score: the winner's seeds and their ensemble, alone and mixed with the counted n-gram, the
    recipe's seeds, counted n-grams.

    Raises:
        StudyError: search or finalists are not finished, the recipe is not trained yet, or there is no winner.
        ModelChanged: the study's build makes different models from those that were trained.
    """
    trials = storage.trials(record.key)
    _refuse_unfinished(storage, record, trials)
    rows = [*_winner(storage, record, trials), *_recipe(storage, record)]
    own = rows[:1]
    if len(rows[0].weights) > 1:
        own.append(_ensemble(storage, rows[0], corpus, build))
    mixtures = [_mixed(storage, row, corpus, build) for row in own]
    contenders = [*own, *mixtures, *rows[1:], *_counted(record, corpus)]
    ranking = record.ranking
    chosen_from = {
        "trials": sum(trial.status in FINISHED for trial in trials),
        "finalists": 0 if ranking is None else sum(finalist.trial is not None for finalist in ranking.finalists),
        "seeds": 1 if ranking is None else len(ranking.seeds),
    }
    return Claim(
        fingerprint=record.corpus.fingerprint,
        corpus=record.corpus.label,
        study={**chosen_from, "sampler": _samplers(record), "begun": record.created, "frozen": now()},
        commit=commit(),
        versions=versions(),
        owner=this_process(),
        openings_before=openings_before,
        without_recipe=_without_recipe(storage, record, rows),
        contenders=tuple(contenders),
    )


def _samplers(record: StudyRecord) -> str:
    """The samplers that drew its trials, in their order."""
    return ", then ".join(dict.fromkeys(part.sampler for part in record.segments)) or record.sampler


def predictors(storage: Storage, contender: Contender, corpus: Corpus, build: Build) -> list[Predictor]:
    """The models of one row: one per seed, or a single one for an ensemble or a counted model.

    Raises:
        StudyError: a hash differs from the frozen one.
        ModelChanged: the study's build makes different models from those that were frozen.
    """
    if contender.kind in ("bigram", "kneser-ney"):
        counted = _counted_model(contender, corpus)
        if _hash_of(counted) != contender.sha256:
            raise _changed(contender.what)
        return [counted]
    models: list[Predictor] = []
    for weights in contender.weights:
        content = storage.kept_file(weights.weights_artifact)
        if sha256(content) != weights.sha256:
            raise _changed(contender.what)
        models.append(restore(content, build if contender.own_model else CharMLP.build)[0])
    if contender.kind in ("ensemble", "mixed ensemble"):
        models = [Ensemble(models)]
    return models if contender.mixing is None else _mixtures(contender, contender.mixing, models, corpus)


def _mixtures(row: Contender, mixing: Mixing, models: list[Predictor], corpus: Corpus) -> list[Predictor]:
    """The models of a row, each mixed with the counted n-gram by its frozen weight."""
    counted = counted_model(corpus, mixing.order)
    if _hash_of(counted) != mixing.sha256:
        raise _changed(row.what)
    shares = [weights.mixing_weight for weights in row.weights] if row.is_one_per_seed else [mixing.weight]
    return [Mixture(model, counted, share) for model, share in zip(models, shares, strict=True) if share is not None]


def _refuse_unfinished(storage: Storage, record: StudyRecord, trials: list[TrialRecord]) -> None:
    way_out = "Finish it with make study first."
    if record.ended_by not in ("trials", "minutes", "sampler"):
        raise StudyError(
            f"the search must end before the test split is opened; that of {record.key} has not ended. {way_out}"
        )
    if not reference_is_settled(storage, record.reference):
        raise StudyError(
            f"the test split is opened once, so the lecture's recipe must be scored together with {record.key}; "
            f"the recipe is not trained yet. {way_out}"
        )
    if not read_round(storage, record, trials).is_settled(record.ranking):
        raise StudyError(
            f"finalists must be trained and ranked before the test split is opened; those of {record.key} are not. "
            f"{way_out}"
        )


def _winner(storage: Storage, record: StudyRecord, trials: list[TrialRecord]) -> list[Contender]:
    """The winner's row; none if the recipe won, because it has a row anyway."""
    if record.ranking is not None:
        won = record.ranking.won
        if won is None:
            raise StudyError(
                f"a holdout needs a winner; every finalist of {record.key} has a seed that diverged or failed. "
                "Search again under another NAME."
            )
        if won.is_recipe:
            return []
    chosen = Chosen.of(record, trials)
    if chosen is None or (chosen.trial.weights_artifact is None and not chosen.runs):
        raise StudyError(f"a holdout needs a winner; {record.key} has no complete trial. Continue it with make study.")
    own = SeedRun(
        seed=chosen.trial.seed,
        status="complete",
        train_nats=None,
        dev_nats=None,
        weights_artifact=chosen.trial.weights_artifact,
    )
    runs = chosen.runs or (own,)
    return [_of_runs(storage, f"winner (trial {chosen.trial.number})", runs, own_model=record.own_model)]


def _recipe(storage: Storage, record: StudyRecord) -> list[Contender]:
    reference = stored_reference(storage, record.reference)
    runs = () if reference is None else tuple(run for run in reference.seeds if run.status == "complete")
    if record.ranking is not None:
        runs = tuple(run for run in runs if run.seed in record.ranking.seeds)
    won = record.ranking is not None and record.ranking.won is not None and record.ranking.won.is_recipe
    return [_of_runs(storage, f"winner ({RECIPE})" if won else RECIPE, runs, own_model=False)] if runs else []


def _without_recipe(storage: Storage, record: StudyRecord, rows: list[Contender]) -> str | None:
    """Why the recipe is missing on the list although the study asked for it."""
    if record.reference is None or any(RECIPE in row.what for row in rows):
        return None
    trials = storage.trials(record.reference)
    last = trials[-1] if trials else None
    if last is None:
        return "its training is not stored"
    return f"its training {last.status}" + (f" ({last.failure})" if last.failure else "")


def _of_runs(storage: Storage, what: str, runs: tuple[SeedRun, ...], *, own_model: bool) -> Contender:
    weights, length = [], 0
    for run in runs:
        assert run.weights_artifact is not None  # complete runs of finalists and references keep them
        content = storage.kept_file(run.weights_artifact)
        facts = unpack(content)[1]
        length = facts["config"]["model"]["context_length"]
        weights.append(
            Weights(
                seed=run.seed,
                weights_artifact=run.weights_artifact,
                sha256=sha256(content),
                train_nats=facts["train_nats"],
                dev_nats=facts["dev_nats"],
            )
        )
    return Contender(
        what=what,
        kind="runs",
        own_model=own_model,
        context_length=length,
        weights=tuple(weights),
        sha256=_joint_hash(weights),
        train_nats=fmean(each.train_nats for each in weights),
        dev_nats=fmean(each.dev_nats for each in weights),
    )


def _ensemble(storage: Storage, winner: Contender, corpus: Corpus, build: Build) -> Contender:
    row = winner.model_copy(
        update={"what": f"ensemble of the winner's {plural(len(winner.weights), 'seed')}", "kind": "ensemble"}
    )
    (model,) = predictors(storage, row, corpus, build)
    nats = {f"{s}_nats": split_nats(model, corpus.counts(s, row.context_length)) for s in ("train", "dev")}
    return row.model_copy(update=nats)


def _mixed(storage: Storage, row: Contender, corpus: Corpus, build: Build) -> Contender:
    """A row of the winner's seeds, or of their ensemble, mixed with the counted n-gram by weights fitted on dev."""
    models, length = predictors(storage, row, corpus, build), row.context_length
    found = [mix(model, corpus, length) for model in models]
    train = corpus.counts("train", length)
    train_nats = [
        split_nats(mixture_of(model, corpus, mixed), train) for model, mixed in zip(models, found, strict=True)
    ]
    order = found[0].order  # of all: the best one for the context length
    counted_hash, weights, share = _hash_of(counted_model(corpus, order)), row.weights, None
    if row.is_one_per_seed:
        weights = tuple(
            each.model_copy(update={"train_nats": nats, "dev_nats": mixed.dev_nats, "mixing_weight": mixed.weight})
            for each, nats, mixed in zip(row.weights, train_nats, found, strict=True)
        )
    else:
        share = found[0].weight
    hashes = [*(each.sha256 for each in weights), counted_hash, *(repr(mixed.weight) for mixed in found)]
    return row.model_copy(
        update={
            "what": f"{row.what} mixed with the counted {order}-gram",
            "kind": "mixed runs" if row.is_one_per_seed else "mixed ensemble",
            "weights": weights,
            "mixing": Mixing(order=order, sha256=counted_hash, weight=share),
            "sha256": sha256("".join(hashes).encode()),
            "train_nats": fmean(train_nats),
            "dev_nats": fmean(mixed.dev_nats for mixed in found),
        }
    )


def _counted(record: StudyRecord, corpus: Corpus) -> list[Contender]:
    """The bigram, and the Kneser-Ney model of the order that is best on dev."""
    if record.ngrams is None:
        raise StudyError(
            f"counted n-grams are scored together with the winner; those of {record.key} have not been counted yet. "
            "Finish it with make study first."
        )
    best = record.ngrams.best
    rows = [("counted bigram", "bigram", 1)]
    if best.order > 1:
        rows.append((f"counted {best.order}-gram (Kneser-Ney)", "kneser-ney", best.order - 1))
    return [_counted_row(what, kind, length, corpus) for what, kind, length in rows]


def _counted_row(what: str, kind: str, length: int, corpus: Corpus) -> Contender:
    row = Contender.model_validate(
        {"what": what, "kind": kind, "context_length": length, "sha256": "", "train_nats": None, "dev_nats": 0.0}
    )
    model = _counted_model(row, corpus)
    nats = {f"{s}_nats": split_nats(model, corpus.counts(s, length)) for s in ("train", "dev")}
    return row.model_copy(update={"sha256": _hash_of(model), **nats})


def _counted_model(row: Contender, corpus: Corpus) -> CountedBigram | KneserNey:
    """The model of a counted row. Only the hash of its counts is stored, because counting again takes a second."""
    if row.kind == "bigram":
        return CountedBigram.of(corpus.counts("train", row.context_length), corpus.vocabulary_size)
    return counted_model(corpus, row.context_length + 1)


def _hash_of(counted: Predictor) -> str:
    return sha256(pack(counted, {}))


def _joint_hash(weights: list[Weights]) -> str:
    return sha256("".join(each.sha256 for each in weights).encode())


def _changed(what: str) -> StudyError:
    return StudyError(
        f"weights on the frozen list must not change; those of the {what} no longer have the SHA-256 of the claim. "
        "Restore results/artifacts from a backup and resume."
    )
