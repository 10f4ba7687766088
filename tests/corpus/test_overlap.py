"""Dev items that are in train too, or differ from a train item only in their writing: counted, named, warned of."""

from __future__ import annotations

import pytest

from harness import Corpus
from harness.corpus.overlap import Overlap, in_percent, overlap_of
from harness.store.study_record import CorpusFacts

TRAIN = ["anna", "Zoe\u0308", "straße", "two  words", "b\u200bc", "ﬁn"]


@pytest.mark.parametrize(
    ("dev", "kind"),
    [
        ("anna", "same"),
        ("Anna", "case"),
        ("STRASSE", "case"),
        ("Zo\u00eb", "normal_form"),
        ("fin", "normal_form"),
        ("two words", "white_space"),
        ("two\u00a0words", "white_space"),
        ("bc", "white_space"),
        ("an\u00adna", "white_space"),
        ("ZO\u00cb", "several"),
        ("Two Words", "several"),
    ],
)
def test_a_dev_item_counts_for_what_distinguishes_it_from_a_train_item(dev: str, kind: str):
    assert overlap_of([dev, "new"], TRAIN) == Overlap(**({"dev_items": 2, "same": 0} | {kind: 1}))


def test_names_have_424_dev_items_that_are_in_train_and_none_that_differ_in_writing(names: Corpus):
    facts = CorpusFacts.of(names, by_default=True)
    assert facts.overlap == Overlap(dev_items=3203, same=424)
    assert facts.overlap.sentence == "424 of 3,203 dev items (13 %) are also in train"
    assert facts.overlap.line == facts.overlap.sentence


def test_a_sentence_names_every_kind_that_occurs():
    assert Overlap(dev_items=300, same=0).sentence == ""
    assert Overlap(dev_items=300, same=1).sentence == "1 of 300 dev items (under 1 %) is also in train"
    found = Overlap(dev_items=300, same=3, case=12, normal_form=1)
    assert found.sentence == (
        "3 of 300 dev items (1 %) are also in train; 12 dev items differ from a train item only by case; "
        "1 dev item differs from a train item only by Unicode normal form"
    )


def test_a_large_overlap_is_a_warning_with_the_way_out():
    assert Overlap(dev_items=300, same=59).line == "59 of 300 dev items (20 %) are also in train"
    assert Overlap(dev_items=300, same=60).line.startswith("warning: 60 of 300 dev items (20 %) are also in train, so")
    assert [Overlap(dev_items=300, same=same).comes_first for same in (149, 150)] == [False, True]
    assert Overlap(dev_items=300, same=300).line == (
        "warning: all 300 dev items are also in train, so the dev loss says little about new items "
        "(the corpus with -dedup appended leaves repeated items out)"
    )
    assert Overlap(dev_items=300, same=0, case=60).line.endswith("(write the file in one case and normal form)")
    assert [in_percent(share) for share in (0.0, 0.004, 0.13, 0.2)] == ["0 %", "under 1 %", "13 %", "warning: 20 %"]
