"""The opening of the test split as tables, and as a sentence for a paper."""

from __future__ import annotations

import pandas as pd

from harness.report.tables.table import markdown, nats_if_known
from harness.store.opening import Claim, Contender, Elsewhere, OpenedItems, Opening, Score, losses_by_item
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.weights import unpack_arrays
from harness.words import plural

FROZEN_HEAD = ("to be scored", "seeds", "train", "dev", "SHA-256")
SCORED_HEAD = ("scored", "dev", "test", "95 %", "spread", "test minus dev")


def frozen_rows(opening: Opening) -> list[tuple[str, ...]]:
    """The list that was frozen before the split was opened, under FROZEN_HEAD."""
    return [
        (c.what, str(len(c.weights) or ""), nats_if_known(c.train_nats), nats_if_known(c.dev_nats), c.sha256[:12])
        for c in opening.claim.contenders
    ]


def scored_rows(opening: Opening) -> list[tuple[str, ...]]:
    """Dev and test losses, under SCORED_HEAD."""
    return [
        (
            score.what,
            nats_if_known(contender.dev_nats),
            nats_if_known(score.test_nats),
            f"{score.low:.4f} to {score.high:.4f}",
            nats_if_known(score.deviation),
            f"{score.gap:+.4f} ± {score.gap_error:.4f}",
        )
        for contender, score in _pairs(opening)
    ]


def runs_frame(opening: Opening) -> pd.DataFrame:
    """One row per contender and seed: dev and test loss in nats per symbol."""
    columns = ["contender", "seed", "dev_nats", "test_nats"]
    rows = []
    for contender, score in _pairs(opening):
        each = [(weights.seed, weights.dev_nats) for weights in contender.weights]
        seeds = each if contender.is_one_per_seed else [(None, contender.dev_nats)]
        rows += [(contender.what, *seed, nats) for seed, nats in zip(seeds, score.runs, strict=True)]
    frame = pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})
    return frame.assign(fingerprint=opening.claim.fingerprint)


def items_frame(opening: Opening, storage: Storage) -> pd.DataFrame:
    """One row per test item: its number of symbols, and its nats for each model.

    The scores can be recomputed from it.

    Raises:
        StorageError: the stored losses are missing, or are not those of the opening.
    """
    if opening.scores is None:
        return pd.DataFrame(columns=["item", "symbols"])
    kept = unpack_arrays(losses_by_item(storage, opening.scores))
    columns = {
        f"{contender.what}, seed {contender.weights[place].seed}" if contender.is_one_per_seed else contender.what: nats
        for contender in opening.claim.contenders
        for place, nats in enumerate(kept[contender.what])
    }
    return pd.DataFrame({"item": range(len(kept["symbols"])), "symbols": kept["symbols"]} | columns)


def remarks(opening: Opening) -> list[str]:
    """What a reader should know about the scores, one sentence each."""
    claim, scores = opening.claim, opening.scores
    lines = [_by_fingerprint(claim)] if opening.items is None else _by_items(opening.items)
    if claim.without_recipe is not None:
        lines.append(f"the lecture's recipe is not on the list: {claim.without_recipe}")
    if scores is not None:
        lines.append(
            f"test items that are also in train or dev of this corpus: {scores.seen_items:,} of {scores.test_items:,}"
        )
        lines += map(_leak, scores.elsewhere)
    if opening.attempts > 1:
        lines.append(f"the opening took {opening.attempts} attempts, all with the same frozen list")
    return lines


def _by_fingerprint(claim: Claim) -> str:
    """What is said before the split is opened, and about openings of version 0.3.0 or earlier."""
    before = claim.openings_before
    studies = "1 other study" if before == 1 else f"{before} other studies"
    opened = "is not known to have been opened" if before == 0 else f"had been opened for {studies}"
    return f"this test split {opened} before, by its fingerprint {claim.fingerprint} alone"


def _by_items(items: OpenedItems) -> list[str]:
    """Earlier openings, compared item by item."""
    shared = [each for each in items.earlier if each.shared]
    lines = [
        f"{'all' if each.shared == items.distinct else f'{each.shared:,}'} of the {items.distinct:,} distinct test "
        f"items had been opened before, for {each.what}"
        for each in shared
    ]
    if not shared:
        lines = [
            f"none of the {items.distinct:,} distinct test items is known to have been opened before, by the ledgers, "
            "exports, stored files and results in this folder"
        ]
    return lines + [
        f"an earlier opening cannot be compared, because its test items were not recorded: {each.what}"
        for each in items.earlier
        if each.shared is None
    ]


def _leak(other: Elsewhere) -> str:
    many = "an unknown number" if other.items is None else f"{other.items:,}"
    where = f"train or dev of {other.corpus} ({other.fingerprint})"
    return f"test items that are also in {where}, which was searched on this storage too: {many}"


def paper_line(opening: Opening) -> str:
    """One sentence with everything that a reader needs; empty before the scores."""
    if opening.scores is None:
        return ""
    (winner, won), *others = _pairs(opening)
    claim, search = opening.claim, opening.claim.study
    finalists, trials, seeds = (int(search[name] or 0) for name in ("finalists", "trials", "seeds"))
    chosen = f"{plural(trials, 'trial')}, one seed each"
    if finalists:
        chosen = f"{plural(finalists, 'finalist')} of {plural(trials, 'trial')} on {plural(seeds, 'fresh seed')} each"
    rest = "; ".join(f"{score.what} {_with_spread(score)}" for _, score in others)
    return (
        f"On {claim.corpus} (fingerprint {claim.fingerprint}, {opening.scores.test_examples:,} test "
        f"symbols of {plural(opening.scores.test_items, 'item')}), the {winner.what}, chosen on dev from {chosen}, "
        f"scores {_with_spread(won)} nats per symbol on test (95 % CI {won.low:.4f} to {won.high:.4f} "
        f"over seeds and items; dev {winner.dev_nats:.4f}); {rest}; test split {_times(opening)}."
    )


def _times(opening: Opening) -> str:
    if opening.items is None:
        before = opening.claim.openings_before
        return "opened once" if before == 0 else f"opened {before + 1} times on this storage"
    distinct, shared = opening.items.distinct, [each.shared for each in opening.items.earlier if each.shared]
    again = 1 + sum(count == distinct for count in shared)
    times = "opened once" if again == 1 else f"opened {again} times"
    partly = [count for count in shared if count < distinct]
    if again == 1 and partly:
        times += f", after up to {max(partly):,} of its {distinct:,} distinct items had been opened with other splits"
    return times


def to_markdown(opening: Opening, study: StudyRecord) -> str:
    """`holdout.md`: the frozen list, the scores, the remarks and the sentence for a paper."""
    parts = [
        f"# The test split of {study.key}",
        f"claimed {opening.claimed}, scored {opening.scored or 'not yet'}",
        f"ledger entry {opening.head} (harness holdout --verify --head … proves that it is still there)",
        f"{study.corpus.short} · nats per symbol, exact means over whole splits",
        markdown(FROZEN_HEAD, frozen_rows(opening)),
        markdown(SCORED_HEAD, scored_rows(opening)),
        "\n".join(f"- {line}" for line in remarks(opening)),
        paper_line(opening),
    ]
    return "\n\n".join(parts).rstrip() + "\n"


def _pairs(opening: Opening) -> list[tuple[Contender, Score]]:
    scores = () if opening.scores is None else opening.scores.scores
    return list(zip(opening.claim.contenders, scores, strict=False))


def _with_spread(score: Score) -> str:
    spread = "" if score.deviation is None else f" ± {score.deviation:.4f} ({plural(len(score.runs), 'seed')})"
    return f"{score.test_nats:.4f}{spread}"
