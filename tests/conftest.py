"""What every test shares: a home of its own, the corpora, a finished study, one thread, properties that repeat."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from alembic.script import ScriptDirectory
from filelock import FileLock
from hypothesis import settings

from harness import AdamW, Budget, Constant, Corpus, ModelConfig, TrainConfig, load, paths
from harness.cli.app import run
from tests.tiny_study import no_plots, workers, write_items, write_study

torch.set_num_threads(1)
settings.register_profile("harness", derandomize=True, deadline=None)
settings.load_profile("harness")


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """HARNESS_DATA in every test: ssa-2017, extracted once, and names.txt if this machine has it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        places = [paths.data_folder(), Path(os.environ.get("HARNESS_DATA") or paths.data_folder()).expanduser()]
        patch.setenv("HARNESS_HOME", str(home))
        patch.delenv("HARNESS_DATA", raising=False)
        load("ssa-2017")
        for place in places:
            if (place / "names.txt").is_file():
                shutil.copyfile(place / "names.txt", home / "data" / "names.txt")
        patch.setenv("HARNESS_DATA", str(home / "data"))
        yield home / "data"


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """Optuna reads its eleven migration scripts whenever a storage is opened, which is a third of a small test."""
    newest = ScriptDirectory.get_current_head
    known: dict[str, str | None] = {}

    def get_current_head(self: ScriptDirectory) -> str | None:
        if self.dir not in known:
            known[self.dir] = newest(self)
        return known[self.dir]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ScriptDirectory, "get_current_head", get_current_head)
        yield


@pytest.fixture(autouse=True)
def home(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HARNESS_HOME of the test's own, so that nothing is ever written into the checkout."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_DATA", str(data_folder))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def names(data_folder: Path) -> Corpus:
    """The lecture's names; a test that asks for them is skipped without them."""
    if not (data_folder / "names.txt").is_file():
        pytest.skip("names.txt is missing: put it into data/ or into a folder named by HARNESS_DATA")
    return load("names")


@pytest.fixture(scope="session")
def small_corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 made-up items of 2 to 8 letters, the same on every machine; some occur twice."""
    chance = random.Random(0)
    items = ["".join(chance.choice(("ka", "lo", "mi", "na", "e", "r")) for _ in range(2 + i % 3)) for i in range(400)]
    path = tmp_path_factory.mktemp("corpora") / "small.txt"
    path.write_text("\n".join(items), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_corpus(small_corpus_file: Path) -> Corpus:
    return load(str(small_corpus_file))


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., TrainConfig]:
    """Make the config of a run of some milliseconds; keywords change its keys."""

    def make(**changes: Any) -> TrainConfig:
        settled: dict[str, Any] = {
            "model": ModelConfig(embedding_size=4, hidden_width=16, context_length=3),
            "optimizer": AdamW(learning_rate=1e-2),
            "schedule": Constant(),
            "batch_size": 32,
            "budget": Budget(steps=40),
            "evaluations": 4,
        }
        return TrainConfig(**(settled | changes))

    return make


@pytest.fixture
def one_process() -> Iterator[None]:
    """Searches train in the test's own process."""
    with workers():
        yield


@pytest.fixture
def plotless() -> Iterator[None]:
    """Reports are written without plots."""
    with no_plots():
        yield


class Project(NamedTuple):
    """A folder that is somebody's HARNESS_HOME, and what was printed when it was made."""

    folder: Path
    shown: str


@pytest.fixture(scope="session")
def finished_project(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:  # noqa: ARG001
    """`harness study tiny` with worker processes, two finalists and its whole report. To change it, copy it first.

    It takes some seconds, so the first of the processes that run tests makes it for all.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, printed = shared / "finished", shared / "finished.txt"
    with FileLock(shared / "finished.lock"):
        if not printed.exists():
            _finish(folder, printed)
    return Project(folder, printed.read_text(encoding="utf-8"))


def _finish(folder: Path, printed: Path) -> None:
    folder.mkdir()
    items, shown = write_items(folder / "items.txt"), StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(shown):
        patched.setenv("HARNESS_HOME", str(folder))
        write_study("tiny", trials=5, finalists=2)
        assert run(["study", "tiny", "--corpus", str(items), "--workers", "2"]) == 0
    printed.write_text(shown.getvalue(), encoding="utf-8")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes that run the tests: the cores, up to four; none of their own for what is named on the command line."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the finished project is slow: it may be the first that does, and wait until it is made."""
    for item in items:
        if "finished_project" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
