"""A study's outcome in sentences and in one line, its chosen config, and the commands that repeat it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import Any

from harness.lecture import LECTURE_DEV, RECIPE
from harness.report.results import Results
from harness.store.finalist_record import Distance, Finalist
from harness.words import plural


def conclusion(results: Results) -> tuple[str, ...]:
    """The sentences a report begins with: what won and by how much, its diagnosis, the state of the test split.

    If many dev items are in train too, a warning comes first.
    """
    warning = overlap_warning(results)
    return (*([f"{warning[0].upper()}{warning[1:]}."] if warning else []), *_outcome_sentences(results))


def overlap_warning(results: Results) -> str:
    """What makes the dev loss nearly meaningless, in one line; empty if few dev items are in train too."""
    overlap = results.study.overlap
    return overlap.line if overlap is not None and overlap.comes_first else ""


def _outcome_sentences(results: Results) -> tuple[str, ...]:
    if results.chosen is None:
        return f"No trial of {results.study.key} is complete{_instead(results)}.", _test_split(results)
    if _all_out(results):
        first = "No finalist can win: each of them has a seed that did not finish."
    else:
        comparisons = _comparisons(results)
        first = f"{_outcome(results)}{', ' if comparisons else ''}{' and '.join(comparisons)}{_recipe_note(results)}."
    return first, f"{_diagnosis(results)} {_test_split(results)}"


def headline(results: Results) -> str:
    """The outcome in one line: what won, its losses, how they compare, and the state of the test split."""
    key, best, won = results.study.key, results.best, results.won
    if best is None:
        return f"{key}: no trial is complete{_instead(results)}"
    if _all_out(results):
        return f"{key}: no finalist can win, each has a seed that did not finish"
    if won is None:
        losses = f"trial {best.number}, train {best.train_nats:.4f}; one run, not confirmed"
        first = f"best dev {best.dev_nats:.4f} nats ({losses}){_mixed(results)}"
    else:
        search = "" if won.search_nats is None else f"; its single run in the search had dev {won.search_nats:.4f}"
        first = (
            f"winner {won.name}: dev {won.dev_nats:.4f} nats (mean of {plural(len(won.runs), 'fresh seed')}, "
            f"{_interval(won)}; mean train {won.train_nats:.4f}{search}){_mixed(results)}"
        )
    outcome = "; ".join([first, *_comparisons(results)]) + _recipe_note(results)
    return f"{outcome}; {results.label}; test split {results.test_split}"


def _instead(results: Results) -> str:
    """How the trials ended where none is complete: `: 3 pruned, 1 diverged`, or ` yet`."""
    counts = Counter(record.status for record in results.trials if record.status != "running")
    return f": {', '.join(f'{count} {status}' for status, count in counts.most_common())}" if counts else " yet"


def _all_out(results: Results) -> bool:
    """Whether the finalists' round ended without a winner."""
    return results.study.ranking is not None and results.won is None


def _outcome(results: Results) -> str:
    won, best = results.won, results.best
    if won is not None:
        corrected = "" if results.study.objective == "mixed" else _corrected(results)
        return (
            f"{won.name[0].upper()}{won.name[1:]} won with a dev loss of {won.dev_nats:.4f} nats per symbol (mean of "
            f"{plural(len(won.runs), 'fresh seed')}, {_interval(won)}{corrected}){_mixed(results)}"
        )
    assert best is not None  # the caller has checked that a trial is complete
    kind = (
        "mixed loss of the search; its dev loss is" if results.study.objective == "mixed" else "dev loss of the search,"
    )
    return (
        f"Trial {best.number} has the lowest {kind} {best.dev_nats:.4f} nats per symbol "
        f"(one run, not confirmed on fresh seeds){_mixed(results)}"
    )


def _mixed(results: Results) -> str:
    """`, mixed with the counted 6-gram 1.9221 (…)`, always after the network's own loss; empty if not recorded."""
    won, nats = results.won, results.mixed_nats
    if nats is None:
        return ""
    by_mixed, details = results.study.objective == "mixed", []
    if won is not None and won.mixed_low is not None and won.mixed_high is not None:
        details.append(f"95 % {won.mixed_low:.4f} to {won.mixed_high:.4f}{_corrected(results) if by_mixed else ''}")
    if by_mixed:
        details.append("the objective of the search")
    shown = f" ({', '.join(details)})" if details else ""
    return f", mixed with the counted {results.mixed_order}-gram {nats:.4f}{shown}"


def _corrected(results: Results) -> str:
    ranking = results.study.ranking
    nats = None if ranking is None else ranking.corrected_nats
    return "" if nats is None else f"; {nats:.4f} corrected for selection"


def _interval(won: Finalist) -> str:
    return f"95 % {won.low:.4f} to {won.high:.4f}"


def _comparisons(results: Results) -> list[str]:
    """How far the loss, by the study's objective, is from the recipe's and from the best counted n-gram's."""
    nats, reference, ngrams = results.objective_nats, results.reference, results.study.ngrams
    if nats is None:
        return []
    found, recipe = [], results.reference_nats
    if reference is not None and recipe is not None and not _recipe_won(results):
        spread = "mixed as well" if results.study.objective == "mixed" else reference.dev_spread or "one seed"
        words, detail = "the lecture's recipe on the same split", f"{recipe:.4f}, {spread}"
        found.append(_beside(results, nats, recipe, RECIPE, words, detail))
    if ngrams is not None:
        name, best = f"counted {ngrams.best.order}-gram", ngrams.best.dev_nats
        found.append(_beside(results, nats, best, name, f"a {name}", f"{best:.4f}"))
    return found


def _beside(results: Results, nats: float, other: float, name: str, words: str, detail: str) -> str:
    """`0.0022 above a counted 6-gram (1.9746; 95 % -0.0020 to +0.0063, so not told apart from it)`."""
    known = _distance_to(results, name)
    direction = "below" if nats < other else "above"
    if known is None:
        return f"{abs(other - nats):.4f} {direction} {words} ({detail})"
    interval = f"paired 95 % {known.low:+.4f} to {known.high:+.4f}"
    if known.low <= 0 <= known.high:
        return f"not told apart from {words} ({detail}; difference {nats - other:+.4f}, {interval})"
    return f"{abs(other - nats):.4f} {direction} {words} ({detail}; difference {nats - other:+.4f}, {interval})"


def _distance_to(results: Results, other: str) -> Distance | None:
    """The recorded distance of what the sentence is about; None if it was recorded for something else."""
    found, won, best = results.study.distances, results.won, results.best
    current = (won.name, len(won.runs)) if won is not None else (f"trial {best.number}" if best else "", 0)
    return None if found is None or (found.outcome, found.seeds) != current else found.to(other)


def _recipe_note(results: Results) -> str:
    """What to add where there is no distance to the recipe."""
    if _recipe_won(results):
        return "; no trial beat it"
    if results.reference is None or results.reference.dev_nats is None:
        figure = f" (the lecture reports {LECTURE_DEV})" if results.study.corpus.is_the_lectures else ""
        return f"; without a reference run of the lecture's recipe{figure}"
    return ""


def _recipe_won(results: Results) -> bool:
    return results.won is not None and results.won.is_recipe


def _diagnosis(results: Results) -> str:
    assert results.chosen is not None  # the caller has checked it
    trial, advice = results.chosen.trial, results.chosen.advice
    if trial.verdict is None or trial.gap is None:
        return f"Trial {trial.number} has no verdict."
    diagnosis = (
        f"Trial {trial.number} is {trial.verdict} (its single run in the search: dev {trial.dev_nats:.4f}, train "
        f"{trial.train_nats:.4f}, gap {trial.gap:.4f})."
    )
    return f"{diagnosis} {advice.rstrip('.')}." if advice else diagnosis


def _test_split(results: Results) -> str:
    opening = results.opening
    if opening is None:
        mine = [each for each in results.known if each.is_of(results.study.key, results.study.created)]
        state = [f"No valid ledger has an opening of this test split, but there is {each.what}." for each in mine]
        earlier = [f"{line[0].upper()}{line[1:]}." for line in results.seen_before]
        return " ".join([*(state or ["The test split is sealed."]), *earlier])
    if opening.scores is None:
        return f"The test split was claimed {opening.claimed} and has no scores yet."
    first, mixed = opening.scores.scores[0], opening.mixed_winner
    also = "" if mixed is None else f", mixed with the counted n-gram {mixed.test_nats:.4f}"
    return f"The test split was opened {opening.scored}: {first.what} scores {first.test_nats:.4f} nats on test{also}."


def config_rows(results: Results) -> list[tuple[str, str]]:
    """The chosen trial's config: each key, and its value as `harness train` takes it."""
    config = None if results.chosen is None else results.chosen.trial.config
    if config is None:
        return []
    return [(key, _typed(value)) for key, value in config.by_key().items()]


def _typed(value: Any) -> str:
    """A value of a config as `harness train` takes it: text in quotes if it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value.replace("_", ""))
    except ValueError:
        return value
    return json.dumps(value)


def commands(results: Results) -> list[tuple[str, str]]:
    """What each command does, and the command; none while no trial is complete."""
    chosen, study = results.chosen, results.study
    if chosen is None:
        return []
    number = chosen.trial.number
    found = [
        (
            f"Repeat trial {number} and check that it gives exactly the same losses",
            f".venv/bin/harness rerun {shlex.quote(study.key)} {number}",
        )
    ]
    if not study.own_model and chosen.trial.config is not None:
        settings = " ".join(shlex.quote(f"{key}={value}") for key, value in config_rows(results))
        corpus = shlex.quote(study.corpus.spec)
        found.append(("Train its config without the study", f".venv/bin/harness train --corpus {corpus} {settings}"))
    return found
