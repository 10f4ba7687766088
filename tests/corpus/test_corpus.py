"""Text into tensors: the facts of the known corpora, examples, distinct contexts, floors, refusals."""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pooch
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import Corpus, load
from harness.corpus import ContextCounts, Examples, at_hand, label_of
from harness.corpus.contexts import count_contexts, examples_of, vocabulary_of
from harness.corpus.split import ONCE, PUBLISHED, SplitRule, sealed_test_items, train_and_dev_items
from harness.errors import CorpusError, CorpusUnavailable

WriteCorpus = Callable[[str | bytes], str]
ITEMS = "\n".join(f"item {number}" for number in range(120))


@pytest.fixture
def write(tmp_path: Path) -> WriteCorpus:
    """Text or bytes to the path of a file that holds them."""

    def to_file(content: str | bytes) -> str:
        path = tmp_path / "corpus.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return to_file


@pytest.fixture
def without_names(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has to fetch names.txt; no test ever does."""
    monkeypatch.delenv("HARNESS_DATA")
    return monkeypatch


# The lecture's names


def test_names_has_the_lectures_items_and_letters(names: Corpus):
    assert len(names.source.items) == 32_033
    assert names.source.items[:3] == ("emma", "olivia", "ava")
    assert "".join(names.vocabulary) == ".abcdefghijklmnopqrstuvwxyz"


def test_names_are_split_80_10_10_by_items(names: Corpus):
    train, dev = len(names.train_items), len(names.dev_items)
    # The third split is counted as what is left; nothing here looks at its items.
    assert (train, dev, len(names.source.items) - train - dev) == (25_626, 3_203, 3_204)


@pytest.mark.parametrize("context_length", [1, 3, 8])
def test_names_give_as_many_examples_at_any_context_length(names: Corpus, context_length: int):
    assert len(names.examples("train", context_length)) == names.number_of_examples("train") == 182_625
    assert len(names.examples("dev", context_length)) == names.number_of_examples("dev") == 22_655


@pytest.mark.parametrize(
    ("context_length", "distinct"),
    [(1, 27), (2, 595), (3, 5438), (4, 20_243), (5, 36_544), (6, 45_937), (8, 50_457), (12, 50_705), (16, 50_705)],
)
def test_names_have_this_many_distinct_train_contexts(names: Corpus, context_length: int, distinct: int):
    counts = names.counts("train", context_length)
    assert len(counts.contexts) == distinct
    assert counts.total == 182_625


def test_some_dev_items_of_names_also_occur_in_train(names: Corpus):
    train = set(names.train_items)
    assert sum(item in train for item in names.dev_items) == 424


def test_deduplicated_names_keep_each_first_occurrence_in_order(names: Corpus):
    deduplicated = load("names-dedup")
    assert len(deduplicated.source.items) == 29_494
    assert deduplicated.source.items == tuple(dict.fromkeys(names.source.items))
    assert deduplicated.label == "names-dedup"


def test_no_deduplicated_dev_item_occurs_in_train(names: Corpus):  # noqa: ARG001 (skips where names.txt is missing)
    deduplicated = load("names-dedup")
    assert set(deduplicated.train_items).isdisjoint(deduplicated.dev_items)


def test_the_fingerprint_of_names_is_the_published_one(names: Corpus):
    assert names.fingerprint == "14f825ec2506"


def test_the_published_split_has_the_sizes_that_the_lectures_notebook_prints(names: Corpus):
    published = load("names-published")
    train, dev = published.number_of_examples("train"), published.number_of_examples("dev")
    rest = sum(len(item) + 1 for item in names.source.items) - train - dev  # counted without building it
    assert (train, dev, rest) == (182_441, 22_902, 22_803)
    assert published.source.items == names.source.items
    assert published.label == "names-published"


def test_every_variant_of_names_has_a_fingerprint_of_its_own(names: Corpus):
    assert load("names-dedup").fingerprint == "e2bd45f704e1"
    assert load("names-published").fingerprint == "c5d3adf15b15"
    assert names.fingerprint not in ("e2bd45f704e1", "c5d3adf15b15")


# The corpus that comes with a package


def test_ssa_2017_starts_with_the_most_common_girls_names():
    corpus = load("ssa-2017")
    assert len(corpus.source.items) == 32_469
    assert corpus.source.items[:6] == ("emma", "olivia", "ava", "isabella", "sophia", "mia")
    assert "".join(corpus.vocabulary) == ".abcdefghijklmnopqrstuvwxyz"


def test_ssa_2017_is_taken_from_its_package_and_kept(monkeypatch: pytest.MonkeyPatch, home: Path):
    monkeypatch.delenv("HARNESS_DATA")
    assert at_hand("ssa-2017")
    corpus = load("ssa-2017")
    assert (home / "data" / "ssa-2017.txt").read_text(encoding="utf-8") == "\n".join(corpus.source.items)


# Splits and fingerprints


def test_a_split_is_one_shuffle_that_anybody_can_repeat():
    items = [str(number) for number in range(1000)]
    shuffled = list(items)
    random.Random(42).shuffle(shuffled)
    assert train_and_dev_items(items) == (shuffled[:800], shuffled[800:900])


def test_the_published_split_is_four_shuffles_each_from_the_same_seed():
    items = [str(number) for number in range(1000)]
    shuffled = list(items)
    for _ in range(4):
        random.seed(42)  # as the lecture's notebook cell does each time it is run
        random.shuffle(shuffled)
    assert train_and_dev_items(items, PUBLISHED) == (shuffled[:800], shuffled[800:900])


@pytest.mark.parametrize("rule", [ONCE, PUBLISHED], ids=["once", "published"])
def test_three_splits_share_out_all_items(rule: SplitRule):
    items = [str(number) for number in range(1003)]
    train, dev = train_and_dev_items(items, rule)
    test = sealed_test_items(items, rule)
    assert sorted([*train, *dev, *test]) == sorted(items)
    assert (len(train), len(dev), len(test)) == (802, 100, 101)


def test_a_split_leaves_the_callers_items_in_their_order():
    items = [str(number) for number in range(100)]
    train_and_dev_items(items)
    assert items == [str(number) for number in range(100)]


def test_a_fingerprint_is_the_same_at_every_load(small_corpus: Corpus, small_corpus_file: Path):
    assert load(str(small_corpus_file)).fingerprint == small_corpus.fingerprint


def test_a_fingerprint_changes_with_the_variant(small_corpus: Corpus, small_corpus_file: Path):
    assert load(f"{small_corpus_file}-dedup").fingerprint != small_corpus.fingerprint
    published = load(f"{small_corpus_file}-published")
    assert published.fingerprint != small_corpus.fingerprint
    assert published.source.items == small_corpus.source.items
    assert published.train_items != small_corpus.train_items
    assert label_of(f"{small_corpus_file}-published") == published.label == "small-published"


def test_a_fingerprint_changes_with_the_content_and_not_with_the_place(write: WriteCorpus, small_corpus_file: Path):
    text = small_corpus_file.read_text(encoding="utf-8")
    assert load(write(text)).fingerprint == load(str(small_corpus_file)).fingerprint
    assert load(write(text.replace("ka", "ko", 1))).fingerprint != load(str(small_corpus_file)).fingerprint


@pytest.mark.parametrize(
    "content",
    [
        ITEMS + "\n",
        ITEMS.replace("\n", "\r\n"),
        "\ufeff" + ITEMS,
        ITEMS.replace("\n", "\n\n") + "\n\n",
        f"  {ITEMS} \n",
    ],
    ids=["final newline", "CRLF", "byte order mark", "blank lines", "white space around items"],
)
def test_a_fingerprint_is_one_of_items_and_not_of_bytes(write: WriteCorpus, content: str):
    plain = load(write(ITEMS)).fingerprint
    assert load(write(content)).fingerprint == plain == fingerprint_of_0_3_0(ITEMS.encode())


def fingerprint_of_0_3_0(raw: bytes) -> str:
    rule = "shuffle once, 80/10/10 by item"
    stamp = "\n".join([hashlib.sha256(raw).hexdigest(), "canonical", rule, "42"])
    return hashlib.sha256(stamp.encode()).hexdigest()[:12]


def test_a_corpus_knows_the_fingerprint_that_version_0_3_0_gave_its_file(write: WriteCorpus):
    windows = ITEMS.replace("\n", "\r\n").encode()
    corpus = load(write(windows))
    assert corpus.known_as(corpus.fingerprint)
    assert corpus.known_as(fingerprint_of_0_3_0(windows))
    assert not corpus.known_as(fingerprint_of_0_3_0(b"other"))


def test_a_corpus_is_known_again_after_a_blank_line_was_added_to_a_file_that_0_3_0_searched(write: WriteCorpus):
    stored = fingerprint_of_0_3_0(f"{ITEMS}\n".encode())
    assert load(write(f"{ITEMS}\n\n")).known_as(stored)


def test_a_fingerprint_of_a_variant_is_known_for_that_variant_only(write: WriteCorpus):
    path = write(ITEMS + "\n")
    assert not load(f"{path}-dedup").known_as(load(path).fingerprint)


def test_a_path_loads_again_from_what_the_corpus_says_of_itself(write: WriteCorpus, monkeypatch: pytest.MonkeyPatch):
    path = Path(write(ITEMS))
    monkeypatch.chdir(path.parent)
    corpus = load("corpus.txt-dedup")
    assert (corpus.source.spec, corpus.label) == (f"{path}-dedup", "corpus-dedup")
    monkeypatch.chdir("/")
    assert load(corpus.source.spec).fingerprint == corpus.fingerprint


# Examples


def test_examples_of_one_item_are_those_of_the_lecture():
    examples = examples_of(["emma"], (".", "a", "e", "m"), 3)
    assert examples.contexts.tolist() == [[0, 0, 0], [0, 0, 2], [0, 2, 3], [2, 3, 3], [3, 3, 1]]
    assert examples.targets.tolist() == [2, 3, 3, 1, 0]


def lecture_examples(
    items: list[str], vocabulary: tuple[str, ...], block_size: int
) -> tuple[list[list[int]], list[int]]:
    """The double loop of the lecture's build_dataset."""
    index = {symbol: i for i, symbol in enumerate(vocabulary)}
    contexts, targets = [], []
    for item in items:
        context = [0] * block_size
        for symbol in [*item, vocabulary[0]]:
            contexts.append(context)
            targets.append(index[symbol])
            context = [*context[1:], index[symbol]]
    return contexts, targets


@given(st.lists(st.text("abz é.ж😀", min_size=1, max_size=9), min_size=1, max_size=12), st.integers(1, 20))
def test_examples_are_those_of_the_lectures_double_loop(items: list[str], context_length: int):
    vocabulary = vocabulary_of(items)
    examples = examples_of(items, vocabulary, context_length)
    contexts, targets = lecture_examples(items, vocabulary, context_length)
    assert examples.contexts.tolist() == contexts
    assert examples.targets.tolist() == targets


def test_a_symbol_outside_the_vocabulary_is_named():
    with pytest.raises(KeyError, match="symbol 'x' is not in the vocabulary"):
        examples_of(["ax"], (".", "a"), 2)


def test_examples_are_built_once_per_context_length(small_corpus: Corpus):
    assert small_corpus.examples("train", 2) is small_corpus.examples("train", 2)
    assert small_corpus.counts("dev", 2) is small_corpus.counts("dev", 2)


def test_a_corpus_that_uses_the_full_stop_gets_a_newline_as_boundary(write: WriteCorpus):
    corpus = load(write("\n".join(f"st. {chr(97 + n % 26)}" for n in range(120))))
    assert corpus.vocabulary[:3] == ("\n", " ", ".")
    assert corpus.examples("train", 1).targets.eq(0).sum() == len(corpus.train_items)


# Distinct contexts and floors


@st.composite
def similar_rows(draw: st.DrawFn) -> tuple[Examples, int]:
    """Rows that are often equal and often differ in one place only; many need more than 63 bits."""
    V, T = draw(st.integers(2, 60)), draw(st.integers(1, 70))
    symbol = st.integers(0, V - 1)
    bases = draw(st.lists(st.lists(symbol, min_size=T, max_size=T), min_size=1, max_size=3))
    rows = []
    for base, place, new in draw(
        st.lists(st.tuples(st.sampled_from(bases), st.integers(0, T - 1), symbol), min_size=1, max_size=30)
    ):
        rows.append([*base[:place], new, *base[place + 1 :]])
    targets = draw(st.lists(symbol, min_size=len(rows), max_size=len(rows)))
    return Examples(torch.tensor(rows), torch.tensor(targets)), V


def as_counter(counts: ContextCounts) -> Counter[tuple[tuple[int, ...], int]]:
    contexts = [tuple(row) for row in counts.contexts.tolist()]
    pairs = zip(counts.rows.tolist(), counts.targets.tolist(), counts.counts.tolist(), strict=True)
    return Counter({(contexts[row], target): int(count) for row, target, count in pairs})


@given(similar_rows())
def test_distinct_contexts_count_every_pair_exactly(rows: tuple[Examples, int]):
    examples, vocabulary_size = rows
    counts = count_contexts(examples, vocabulary_size)
    contexts = [tuple(row) for row in examples.contexts.tolist()]
    assert as_counter(counts) == Counter(zip(contexts, examples.targets.tolist(), strict=True))
    assert len(counts.contexts) == len(set(contexts))
    assert counts.total == len(examples)
    assert counts.rows.tolist() == sorted(counts.rows.tolist())


def test_contexts_longer_than_63_bits_are_distinguished_by_their_oldest_symbol():
    # 64 digits in base 32 are 320 bits: packed into 64 without care, all of these would be one number
    rows = torch.zeros(21, 64, dtype=torch.int64)
    rows[:20, 0] = torch.arange(20)
    counts = count_contexts(Examples(rows, torch.full((21,), 5)), 32)
    assert len(counts.contexts) == 20
    assert as_counter(counts) == {((oldest, *(0,) * 63), 5): 1 + (oldest == 0) for oldest in range(20)}


def test_conditional_entropy_matches_the_value_worked_out_by_hand():
    # a is followed by x twice (0 nats each); b by x once and y three times.
    contexts, targets = torch.tensor([[1], [1], [2], [2], [2], [2]]), torch.tensor([3, 3, 3, 4, 4, 4])
    floor = count_contexts(Examples(contexts, targets), 5).conditional_entropy()
    assert floor == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 6, abs=1e-12)


def test_conditional_entropy_falls_with_longer_contexts(small_corpus: Corpus):
    floors = [small_corpus.counts("train", length).conditional_entropy() for length in (1, 2, 4, 8)]
    assert floors == sorted(floors, reverse=True)
    assert floors[0] < math.log(small_corpus.vocabulary_size)


# How files may be written


@pytest.mark.parametrize(
    "content",
    [ITEMS.replace("\n", "\r\n"), b"\xef\xbb\xbf" + ITEMS.encode(), ITEMS.replace("\n", "\n \n\n"), f"\n{ITEMS}\n\n"],
    ids=["CRLF", "byte order mark", "blank lines", "newlines around"],
)
def test_how_lines_end_does_not_change_the_items(write: WriteCorpus, content: str | bytes):
    assert load(write(content)).source.items == tuple(ITEMS.split("\n"))


def test_items_may_hold_any_script_and_rare_separators(write: WriteCorpus):
    corpus = load(write("\n".join(f"жö\u2028{chr(0x1F600 + n % 9)}" for n in range(120))))
    assert corpus.source.items[0] == "жö\u2028😀"
    assert corpus.vocabulary[:4] == (".", "ö", "ж", "\u2028")


def test_words_separated_by_tabs_stay_one_item(write: WriteCorpus):
    assert load(write(ITEMS.replace(" ", "\t"))).source.items[0] == "item\t0"


# Refusals


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "at least 100 items, one per line, to be split three ways; {path} has 0"),
        ("anna\n" * 99, "at least 100 items, one per line, to be split three ways; {path} has 99"),
        (ITEMS + "\nnull\x00byte", r"{path} contains the control character '\x00'"),
        (
            ITEMS + "\n" + "verylongitem" * 100,
            "at most 1,000 characters; {path} has one of 1,200 that begins with 'very",
        ),
    ],
    ids=["empty", "too small", "binary", "over-long item"],
)
def test_an_unusable_file_is_refused_in_one_line_with_its_path(write: WriteCorpus, content: str | bytes, expected: str):
    path = write(content)
    with pytest.raises(CorpusError) as refusal:
        load(path)
    assert expected.format(path=path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_too_few_different_items_are_refused_for_the_deduplicated_variant_only(write: WriteCorpus):
    path = write("\n".join(f"item {n % 90}" for n in range(180)))
    assert len(load(path).source.items) == 180
    with pytest.raises(CorpusError, match="without repeated items has 90"):
        load(f"{path}-dedup")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("nmaes", "got 'nmaes', which is not a file. Did you mean 'names'?"),
        ("ssa-2018-dedup", "got 'ssa-2018-dedup', which is not a file. Did you mean 'ssa-2017-dedup'?"),
        ("/nowhere/at/all.txt", "got '/nowhere/at/all.txt', which is not a file"),
        ("", "got '', which is not a file"),
        ("n" * 300, "which is not a file"),
        ("~nobody-of-that-name/names.txt", "got '~nobody-of-that-name/names.txt', which is not a file"),
    ],
    ids=["near miss", "near miss of a variant", "missing path", "nothing", "too long for a path", "no such home"],
)
def test_an_unknown_corpus_is_refused_in_one_line_that_names_it(spec: str, expected: str):
    with pytest.raises(CorpusError) as refusal:
        load(spec)
    assert expected in str(refusal.value)
    assert "names, names-dedup, names-published, ssa-2017, ssa-2017-dedup, ssa-2017-published or a path" in str(
        refusal.value
    )
    assert "\n" not in str(refusal.value)


def test_a_names_file_with_other_bytes_is_refused(home: Path):
    (home / "data").mkdir(parents=True)
    (home / "data" / "names.txt").write_text(ITEMS, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"names must be the file with SHA-256 0a30b5557f19…; .*names\.txt has"):
        load("names")


# A network that does not answer


def test_a_fetch_that_hangs_is_abandoned_within_the_patience(without_names: pytest.MonkeyPatch):
    answer = threading.Event()
    without_names.setattr(pooch, "retrieve", lambda *_, **__: answer.wait(20))
    assert not at_hand("names")
    began = time.perf_counter()
    with pytest.raises(CorpusUnavailable, match=r"no answer within 0\.2 s.*HARNESS_DATA, or choose CORPUS=ssa-2017"):
        load("names", patience=0.2)
    assert time.perf_counter() - began < 2
    answer.set()


def test_a_fetch_that_fails_names_the_kind_of_failure_in_one_line(without_names: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known\nand much more")

    without_names.setattr(pooch, "retrieve", refuse)
    with pytest.raises(CorpusUnavailable) as refusal:
        load("names-dedup", patience=5)
    assert "did not answer (ConnectionError)" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_fetched_is_kept_next_to_the_other_data(without_names: pytest.MonkeyPatch, home: Path):
    asked: list[object] = []

    def deliver(url: str, known_hash: str, fname: str, path: Path, **_: object) -> None:
        asked.extend([url, known_hash[:14]])
        path.mkdir(parents=True)
        (path / fname).write_text(ITEMS, encoding="utf-8")

    without_names.setattr(pooch, "retrieve", deliver)
    with pytest.raises(CorpusError, match="names must be the file with SHA-256"):
        load("names", patience=5)  # made-up bytes, which the check behind the fetch refuses
    assert asked == ["https://raw.githubusercontent.com/karpathy/makemore/988aa59/names.txt", "sha256:0a30b55"]
    assert (home / "data" / "names.txt").is_file()
