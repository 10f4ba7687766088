"""What the README shows works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import Corpus, Study
from harness.search.study import signature

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


def test_the_five_line_script_trains(small_corpus: Corpus, capsys: pytest.CaptureFixture[str]):
    script = BLOCKS[0].replace('load("names")', "corpus").replace("steps=500", "steps=20")
    exec(script, {"corpus": small_corpus})
    train_nats, dev_nats, _ = map(float, capsys.readouterr().out.split())
    assert 0 < train_nats < 4
    assert 0 < dev_nats < 4


def test_the_study_of_your_own_is_a_study():
    made: dict[str, object] = {}
    exec(BLOCKS[1], made)
    study = made["STUDY"]
    assert isinstance(study, Study)
    assert sorted(signature(study)) == ["hidden_width", "learning_rate"]
