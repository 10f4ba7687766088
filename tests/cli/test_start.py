"""What a command loads and sets: help, completion and `import harness` load neither torch nor Optuna."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import torch

import harness
from harness.cli.app import run
from tests.record_factory import KEY, made_session
from tests.tiny_study import home_at, write_items, write_study

HEAVY = ("torch", "optuna", "sqlalchemy", "pandas", "matplotlib", "numpy")
PROGRAM = f"""
import sys
from harness.cli.app import main
try:
    main()
finally:
    print("loaded:", *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    with home_at(folder):
        write_study("tiny")
        made_session()
    return folder


def python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=os.environ | environment)


@pytest.mark.parametrize("arguments", [["--help"], ["study", "--help"], ["train", "--help"], ["bench", "--help"]])
def test_help_loads_neither_torch_nor_optuna(arguments: list[str]):
    done = python(PROGRAM, *arguments)
    assert "Usage" in done.stdout
    assert done.stderr == "loaded:\n"


@pytest.mark.parametrize(
    ("line", "word"), [("sh", "show"), ("study ti", "tiny"), ("show be", KEY), (f"rerun {KEY} 10", "10")]
)
def test_completion_loads_neither_torch_nor_optuna(project: Path, line: str, word: str):
    words = f"harness {line}".split()
    completion = {
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_HARNESS_COMPLETE": "complete_bash",
    }
    program = f"import sys\nsys.argv = ['harness']\n{PROGRAM}"
    done = python(program, HARNESS_HOME=str(project), **completion)
    assert done.stdout.split() == [word]
    assert done.stderr == "loaded:\n"


@pytest.mark.slow
def test_importing_the_package_loads_nothing_and_a_name_loads_what_it_needs():
    program = f"import sys, harness\nprint([name for name in {HEAVY} if name in sys.modules])\nprint(harness.Corpus)"
    assert python(program).stdout == "[]\n<class 'harness.corpus.corpus.Corpus'>\n"


@pytest.mark.slow
def test_train_is_the_function_whatever_was_imported_before():
    program = "import harness.train.moves\nfrom harness import train\nprint(train.__name__, callable(harness.train))"
    assert python(program).stdout == "train True\n"


def test_every_public_name_is_listed_and_no_other_name_is_found():
    assert set(harness.__all__) <= set(dir(harness))
    assert set(harness._MODULE_OF) == set(harness.__all__)
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'nosuch'"):
        _ = harness.nosuch  # type: ignore[attr-defined]


@pytest.mark.usefixtures("restored")
def test_commands_restore_torchs_threads_and_optunas_verbosity(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    torch.set_num_threads(2)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert run(["studies"]) == 0
    assert run(["baselines", "--corpus", str(write_items(project / "items.txt")), "--context", "2"]) == 0
    assert (torch.get_num_threads(), optuna.logging.get_verbosity()) == (2, optuna.logging.WARNING)


@pytest.fixture
def restored() -> Iterator[None]:
    """The tests' own settings, restored afterwards."""
    verbosity = optuna.logging.get_verbosity()
    yield
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(verbosity)
