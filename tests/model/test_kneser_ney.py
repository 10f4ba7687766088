"""Counted n-grams: against a plain implementation of the paper, and worked out by hand."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import Corpus, load, split_nats
from harness.cli.app import run
from harness.corpus.contexts import ContextCounts, count_contexts, examples_of, vocabulary_of
from harness.model.kneser_ney import KneserNey
from harness.train import baselines, best_counted, counted

LONGEST = 4
ITEMS = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=30)


def fitted(items: list[str], order: int) -> KneserNey:
    vocabulary = vocabulary_of(items)
    return KneserNey.of(
        count_contexts(examples_of(items, vocabulary, LONGEST), len(vocabulary)), len(vocabulary), order
    )


class Plain:
    """Modified Kneser-Ney by dictionaries, as the paper writes it, one boundary before each item."""

    def __init__(self, items: list[str], order: int) -> None:
        self.order, self.V = order, len(vocabulary_of(items))
        grams = Counter(
            text[at - k : at + 1]
            for text in (f".{item}." for item in items)
            for at in range(1, len(text))
            for k in range(min(at, order - 1) + 1)
        )
        before = defaultdict(set)
        for gram in grams:
            if len(gram) > 1:
                before[gram[1:]].add(gram[0])
        self.counts: dict[str, dict[str, int]] = defaultdict(dict)
        for gram, times in grams.items():
            plain = len(gram) == order or (len(gram) > 1 and gram[0] == ".")
            self.counts[gram[:-1]][gram[-1]] = times if plain else len(before[gram])
        self.discounts = [self._discounts(k) for k in range(order)]

    def _discounts(self, k: int) -> tuple[float, float, float]:
        found = Counter(
            times for context, nexts in self.counts.items() if len(context) == k for times in nexts.values()
        )
        n1, n2, n3, n4 = (found[times] for times in (1, 2, 3, 4))
        if not (n1 and n2 and n3):
            return 0.5, 1.0, 1.5
        y = n1 / (n1 + 2 * n2)
        one, two, more = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return (one, two, more) if 0 < one < 1 and 0 < two < 2 and 0 < more < 3 else (0.5, 1.0, 1.5)

    def probability(self, context: str, symbol: str) -> float:
        p = 1 / self.V
        for k in range(min(len(context), self.order - 1) + 1):
            nexts = self.counts.get(context[len(context) - k :])
            if nexts is None:
                break
            total, discounts = sum(nexts.values()), (0.0, *self.discounts[k])
            taken = sum(discounts[min(times, 3)] for times in nexts.values())
            times = nexts.get(symbol, 0)
            p = (times - discounts[min(times, 3)]) / total + taken / total * p
        return p


def places(items: list[str]) -> Iterator[tuple[str, str]]:
    """Every context, one boundary before the item included, with what follows."""
    for item in items:
        text = f".{item}."
        yield from ((text[:at], text[at]) for at in range(1, len(text)))


@pytest.mark.parametrize("order", range(1, LONGEST + 2))
def test_kneser_ney_is_that_of_a_plain_implementation(order: int):
    @given(ITEMS, ITEMS)
    def holds(train: list[str], others: list[str]) -> None:
        vocabulary = vocabulary_of(train)
        known = ("".join(symbol for symbol in item if symbol in vocabulary) for item in others)
        others = [item for item in known if item] or train
        ours, plain = fitted(train, order), Plain(train, order)
        examples = examples_of(others, vocabulary, LONGEST)
        log_p = ours.log_probabilities(examples.contexts)
        expected = [math.log(plain.probability(context, symbol)) for context, symbol in places(others)]
        assert log_p[torch.arange(len(examples)), examples.targets].tolist() == pytest.approx(expected, abs=1e-9)

    holds()


@given(ITEMS, st.integers(1, LONGEST + 1), st.integers(0, 2**31))
def test_probabilities_sum_to_one_whatever_the_context(items: list[str], order: int, seed: int):
    model = fitted(items, order)
    contexts = torch.randint(len(vocabulary_of(items)), (20, LONGEST), generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(model.log_probabilities(contexts).exp().sum(1), torch.ones(20, dtype=torch.float64))


def test_a_bigram_matches_the_one_worked_out_by_hand():
    # ".ab." ".ab." ".b.": bigrams .a 2, .b 1, ab 2, b. 3. Counts of four are missing: discounts 0.5, 1, 1.5.
    # Unigrams by what stood before: a 1 (.), b 2 (., a), . 1 (b): total 4, taken 0.5 + 1 + 0.5 = 2, uniform 1/3.
    a, b, end = (1 - 0.5) / 4 + 2 / 4 / 3, (2 - 1) / 4 + 2 / 4 / 3, (1 - 0.5) / 4 + 2 / 4 / 3
    found = fitted(["ab", "ab", "b"], 2).log_probabilities(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]])).exp()
    # After ".": total 3, taken 1 + 0.5. After "a": total 2, taken 1.
    assert found[0].tolist() == pytest.approx([1.5 / 3 * end, (2 - 1) / 3 + 1.5 / 3 * a, (1 - 0.5) / 3 + 1.5 / 3 * b])
    assert found[1].tolist() == pytest.approx([1 / 2 * end, 1 / 2 * a, (2 - 1) / 2 + 1 / 2 * b])


@pytest.mark.parametrize("order", [0, LONGEST + 2])
def test_an_order_longer_than_the_contexts_is_refused(order: int):
    with pytest.raises(ValueError, match=rf"at most context length \+ 1 = 5; got {order}"):
        fitted(["ab"], order)


def test_baselines_hold_every_order_and_choose_the_one_lowest_on_dev(small_corpus: Corpus):
    found = baselines(small_corpus, 4)
    assert [counted.order for counted in found.kneser_ney] == [1, 2, 3, 4, 5]
    assert found.best.dev_nats == min(counted.dev_nats for counted in found.kneser_ney)
    assert found.floor == small_corpus.counts("train", 4).conditional_entropy()
    assert all(counted.train_nats > found.floor for counted in found.kneser_ney)


def test_an_order_scores_the_same_at_any_context_length_that_it_fits_in(small_corpus: Corpus):
    scores = []
    for context_length in (2, 3, 6):
        train, dev = (small_corpus.counts(split, context_length) for split in ("train", "dev"))
        scores.append(split_nats(KneserNey.of(train, small_corpus.vocabulary_size, 3), dev))
    assert scores[1:] == [pytest.approx(scores[0], abs=1e-12)] * 2


@pytest.mark.parametrize("context_length", [1, 3, 14])
def test_orders_counted_once_score_what_counting_at_the_context_length_scores(
    small_corpus: Corpus, context_length: int
):
    # Items have up to 8 symbols, so orders above 10 have nothing further back to look at.
    splits = [small_corpus.counts(split, context_length) for split in ("train", "dev")]
    for found in baselines(small_corpus, context_length).kneser_ney:
        model = KneserNey.of(splits[0], small_corpus.vocabulary_size, found.order)
        anew = [split_nats(model, split) for split in splits]
        assert [found.train_nats, found.dev_nats] == pytest.approx(anew, abs=1e-12)
        assert found.name == f"{found.order}-gram, Kneser-Ney"


def test_an_order_is_counted_once_per_corpus(small_corpus_file, monkeypatch: pytest.MonkeyPatch):
    orders, corpus = [], load(str(small_corpus_file))

    class Watched(KneserNey):
        @classmethod
        def of(cls, counts: ContextCounts, vocabulary_size: int, order: int):
            orders.append(order)
            return KneserNey.of(counts, vocabulary_size, order)

    monkeypatch.setattr(counted, "KneserNey", Watched)
    assert [best_counted(corpus, length).order for length in (3, 2, 4, 3)]
    assert orders == [1, 2, 3, 4, 5]
    assert best_counted(corpus, 4) == baselines(corpus, 4).best


@pytest.mark.slow
def test_on_names_the_6_gram_is_best_with_the_published_losses(names: Corpus):
    found = baselines(names, 6)
    assert found.best.order == 6
    assert found.best.dev_nats == pytest.approx(1.9746, abs=5e-5)
    assert found.bigram.dev_nats == pytest.approx(2.4533, abs=5e-5)
    train, dev = (names.counts(split, 8) for split in ("train", "dev"))
    anew = split_nats(KneserNey.of(train, names.vocabulary_size, 6), dev)  # the same at a longer context
    assert best_counted(names, 8).dev_nats == pytest.approx(anew, abs=1e-12)


def test_the_command_prints_every_row_with_its_unit_and_corpus(small_corpus_file, capfd: pytest.CaptureFixture[str]):
    assert run(["baselines", "--corpus", str(small_corpus_file), "--context", "3"]) == 0
    out = capfd.readouterr().out
    for part in ("nats per symbol", "fingerprint", "bigram, add one", "4-gram, Kneser-Ney", "floor at context 3"):
        assert part in out
    assert out.count("lowest dev") == 1
