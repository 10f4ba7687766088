"""A study in two sentences, and its chosen config with the commands that run it again."""

from __future__ import annotations

import json
import shlex

from harness.lecture import LECTURE_DEV
from harness.report.results import Results


def verdict(results: Results) -> tuple[str, ...]:
    """What won and by how much; what holds it back and whether the test split is sealed."""
    if results.chosen is None or results.best is None:
        return (f"No trial of {results.study.key} is complete yet.", f"{_test_split(results).capitalize()}.")
    if results.study.ranking is not None and results.won is None:
        first = "No finalist stands: each has a seed that did not come to its end."
    else:
        first = f"{_won(results)}{_against(results)}."
    return first, f"{_held_back(results)}; {_test_split(results)}."


def _won(results: Results) -> str:
    won, best = results.won, results.best
    if won is None:
        assert best is not None  # asked for only with a complete trial
        return (
            f"Trial {best.number} has the lowest dev loss of the search, {best.dev_nats:.4f} nats per symbol "
            "(one run, not confirmed on fresh seeds)"
        )
    name = won.name[0].upper() + won.name[1:]
    return (
        f"{name} won with a dev loss of {won.dev_nats:.4f} nats per symbol (mean of {len(won.runs)} fresh seeds, 95 % "
        f"{won.low:.4f} to {won.high:.4f})"
    )


def _against(results: Results) -> str:
    """How far from the recipe and from what counting reaches, both on the same corpus."""
    reference, ngrams, dev = results.reference, results.study.ngrams, results.dev_nats
    parts, rest = [], ""
    if dev is None:
        return ""
    if results.won is not None and results.won.is_recipe:
        rest = ": no trial beat it"
    elif reference is None or reference.dev_nats is None:
        known = f" (its own figure is {LECTURE_DEV})" if results.study.corpus.is_the_lectures else ""
        rest = f"; the lecture's recipe was not run beside it{known}"
    else:
        seeds = reference.dev_spread or "one seed"
        where = f"the lecture's recipe on the same corpus ({reference.dev_nats:.4f}, {seeds})"
        parts.append(f"{_distance(dev, reference.dev_nats)} {where}")
    if ngrams is not None:
        best = ngrams.best
        parts.append(f"{_distance(dev, best.dev_nats)} a counted {best.order}-gram ({best.dev_nats:.4f})")
    return (f", {' and '.join(parts)}" if parts else "") + rest


def _distance(nats: float, other: float) -> str:
    return f"{abs(other - nats):.4f} {'below' if nats < other else 'above'}"


def _held_back(results: Results) -> str:
    assert results.chosen is not None  # asked for only then
    trial = results.chosen.trial
    if trial.verdict is None or trial.gap is None:
        return f"Trial {trial.number} has no verdict"
    found = f"it is {trial.verdict} (train {trial.train_nats:.4f}, gap {trial.gap:.4f})"
    told = results.chosen.advice
    advice = f", so: {told[:1].lower()}{told[1:].rstrip('.')}" if told else ""
    if trial.verdict == "well fitted":
        return f"Nothing in its curve holds trial {trial.number} back: {found}{advice.replace(', so:', ';')}"
    return f"What holds trial {trial.number} back: {found}{advice}"


def _test_split(results: Results) -> str:
    opening = results.opening
    if opening is None:
        return "the test split is sealed" if results.sealed else "the test split was opened by an earlier version"
    if opening.scores is None:
        return f"the test split was claimed {opening.claimed} and has no scores yet"
    first = opening.scores.scores[0]
    return f"the test split was opened {opening.scored}: {first.what} scores {first.test_nats:.4f} nats on test"


def config_rows(results: Results) -> list[tuple[str, str]]:
    """The chosen trial's config, a row for each key as `harness train` takes it."""
    config = None if results.chosen is None else results.chosen.trial.config
    if config is None:
        return []
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in config.by_key().items()]


def commands(results: Results) -> list[tuple[str, str]]:
    """What each command does, and the command."""
    chosen, study = results.chosen, results.study
    if chosen is None:
        return []
    found = [
        (
            f"Trial {chosen.trial.number} again, compared to the last bit",
            f".venv/bin/harness rerun {shlex.quote(study.key)} {chosen.trial.number}",
        )
    ]
    if not study.own_model and chosen.trial.config is not None:
        settings = " ".join(shlex.quote(f"{key}={value}") for key, value in config_rows(results))
        corpus = shlex.quote(study.corpus.spec)
        found.append(("Its config without the study", f".venv/bin/harness train --corpus {corpus} {settings}"))
    return found
