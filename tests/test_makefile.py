"""The Makefile with a stub in place of `harness`, Python and pip: what is called, with which arguments."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUB_PYTHON = """#!/bin/sh
echo "$*|PYTHONPATH=$PYTHONPATH|PYTHONHOME=$PYTHONHOME|PIP_USER=$PIP_USER|PIP_TARGET=$PIP_TARGET|" >> calls.txt
if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi
"""
STUB_HARNESS = '#!/bin/sh\nfor each in "$@"; do echo "$each"; done\n'

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on this machine")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and stubs, whose .venv looks built."""
    folder = tmp_path / "checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for path, text in ((folder / "python3", STUB_PYTHON), (folder / ".venv" / "bin" / "harness", STUB_HARNESS)):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    for name in (".python", ".run", ".bench", ".dev"):
        (folder / ".venv" / name).touch()
    return folder


def make(folder: Path, *words: str, **environment: str) -> str:
    command = ["make", "--no-print-directory", *words]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_first_line_of_help_works_as_it_stands(checkout: Path):
    line = make(checkout, "help").splitlines()[0]
    assert line.startswith("make study STUDY=beat_lecture NAME= TRIALS= ")
    assert make(checkout, *shlex.split(line)[1:]).split() == ["study", "beat_lecture"]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (
            ["study", "STUDY=", "TRIALS=3", "MINUTES= ", "SEED=0"],
            ["study", "beat_lecture", "--trials", "3", "--seed", "0"],
        ),
        (["study", "STORAGE=a?b%c d.db"], ["study", "beat_lecture", "--storage", "a?b%c d.db"]),
        (["report"], ["report"]),
        (["report", "NAME=", "STUDY=", "STORAGE="], ["report"]),
        (["report", "NAME=mine", "CORPUS="], ["report", "mine"]),
        (["report", "STUDY=tour", "NAME="], ["report", "tour"]),
        (["dashboard", "PORT="], ["dashboard"]),
        (["holdout", "NAME=", "RESUME=", "VERIFY="], ["holdout", "beat_lecture"]),
        (["holdout", "VERIFY=1", "STORAGE="], ["holdout", "--verify"]),
        (["bench", "SECTIONS="], ["bench"]),
        (["bench", "SECTIONS=steps exact"], ["bench", "steps", "exact"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_variable_without_a_value_counts_as_not_given(checkout: Path, words: list[str], called: list[str]):
    assert make(checkout, *words).splitlines() == called


def test_variables_of_the_environment_do_not_count(checkout: Path):
    assert make(checkout, "study", NAME="mine", TRIALS="9", STUDY="tour").split() == ["study", "beat_lecture"]
    assert make(checkout, "holdout", VERIFY="1", RESUME="1").split() == ["holdout", "beat_lecture"]


def test_pip_and_python_settings_of_the_user_do_not_reach_the_first_make(checkout: Path):
    shutil.rmtree(checkout / ".venv")
    environment = {"PIP_USER": "1", "PIP_TARGET": "/elsewhere", "PYTHONPATH": "/elsewhere", "PYTHONHOME": "/elsewhere"}
    make(checkout, ".venv/.run", "PYTHON=./python3", **environment)
    calls = (checkout / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert [call.split()[1] for call in calls] == ["import", "venv", "pip"]
    assert all("|PYTHONPATH=|PYTHONHOME=|" in call for call in calls)
    assert "|PIP_USER=0|PIP_TARGET=|" in calls[-1]


def test_an_empty_python_is_python3(checkout: Path):
    shutil.rmtree(checkout / ".venv")
    path = f"{checkout}:{os.environ['PATH']}"
    assert "First use: building .venv" in make(checkout, ".venv/.python", "PYTHON=", PATH=path)
    assert (checkout / "calls.txt").exists()
