"""The runs of all ideas, one row of a csv file each. They can be stopped at any time, and processes share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import filelock

from harness import paths
from harness.bench.ideas.catalogue import BUILDS, Idea
from harness.bench.ideas.table import add_row, folder, read_rows
from harness.corpus import Corpus
from harness.model import Ensemble, Predictor
from harness.store.provenance import commit_of, machine, now, versions
from harness.train import derive, split_nats, train
from harness.train.mixing import mix

CORPORA = ("names", "ssa-2017")
SEEDS = tuple(derive(number, "ideas") for number in range(5))
"""The same for every idea, and used for nothing else: equal seeds draw equal batches and equal first weights."""
BEST_SEEDS = tuple(derive(number, "ideas-best") for number in range(10))
"""For `BEST`, whose configs were found with other seeds."""


@dataclass(frozen=True)
class Run:
    """One idea trained from one seed; losses in nats per symbol over whole splits."""

    corpus: str
    fingerprint: str
    idea: str
    seed: int
    config: str
    """The hash of its config with seed 0."""
    build: str
    members: int
    status: str
    train_nats: float
    dev_nats: float
    mixed_nats: float
    """Dev, mixed with the best counted n-gram by the weight that was fitted on dev."""
    even_nats: float
    """Dev, mixed with the same n-gram half and half."""
    weight: float
    """The network's fitted share."""
    order: int
    """Length of the n-gram."""
    parameters: int
    """Of all members."""
    steps: int
    seconds: float
    """Training only, of all members; rough, since other processes may have been busy."""
    commit: str
    date: str
    versions: str
    machine: str

    @property
    def key(self) -> str:
        """`Idea.key`: what was trained, whatever it was called."""
        return f"{self.config}/{self.build}/{self.members}"


def missing(
    corpora: Sequence[Corpus], ideas: Sequence[Idea], seeds: Sequence[int] = ()
) -> Iterator[tuple[Corpus, Idea, int, Path]]:
    """Every run without a row, seed by seed, so that all ideas can be compared early; `SEEDS` if none are given."""
    files = {corpus.label: folder() / f"{corpus.label}.csv" for corpus in corpora}
    known = {corpus.label: _known(files[corpus.label], corpus) for corpus in corpora}
    for seed, idea, corpus in product(seeds or SEEDS, ideas, corpora):
        if (idea.key, seed) not in known[corpus.label]:
            yield corpus, idea, seed, files[corpus.label]


def measure(corpora: Sequence[Corpus], ideas: Sequence[Idea], seeds: Sequence[int] = ()) -> Iterator[Run]:
    """Train what is missing and add each row when it is known. What another process is training is left to it."""
    for corpus, idea, seed, path in missing(corpora, ideas, seeds):
        with claimed(corpus, idea, seed) as is_ours:
            if is_ours and (idea.key, seed) not in _known(path, corpus):
                run = run_of(idea, corpus, seed)
                add_row(path, run)
                yield run


def run_of(idea: Idea, corpus: Corpus, seed: int) -> Run:
    """Train one idea. The first member of an ensemble has the seed itself."""
    config, build = idea.config, BUILDS[idea.build]
    seeds = [seed, *(derive(seed, "member", number) for number in range(1, idea.members))]
    results = [train(config.model_copy(update={"seed": each}), corpus, build=build) for each in seeds]
    model: Predictor = results[0].model if idea.members == 1 else Ensemble([result.model for result in results])
    length, nan = config.model.context_length, float("nan")
    statuses = {result.status for result in results}
    train_nats, dev_nats, mixed_nats, even_nats, weight, order = nan, nan, nan, nan, nan, 0
    if statuses == {"complete"}:
        train_nats, dev_nats = (split_nats(model, corpus.counts(split, length)) for split in ("train", "dev"))
        mixed = mix(model, corpus, length)
        mixed_nats, even_nats, weight, order = mixed.dev_nats, mixed.even_nats, mixed.weight, mixed.order
    made_by = versions()
    return Run(
        corpus=corpus.label,
        fingerprint=corpus.fingerprint,
        idea=idea.name,
        seed=seed,
        config=config.hash(),
        build=idea.build,
        members=idea.members,
        status=max(statuses),  # diverged after complete
        train_nats=round(train_nats, 6),
        dev_nats=round(dev_nats, 6),
        mixed_nats=round(mixed_nats, 6),
        even_nats=round(even_nats, 6),
        weight=round(weight, 4),
        order=order,
        parameters=sum(result.parameters for result in results),
        steps=results[0].steps,
        seconds=round(sum(result.seconds for result in results), 2),
        commit=commit_of("harness") or "unknown",
        date=now(),
        versions=", ".join(f"{name} {made_by[name]}" for name in ("harness", "python", "torch", "numpy")),
        machine=machine(),
    )


def _known(path: Path, corpus: Corpus) -> set[tuple[str, int]]:
    """Key and seed of every row of this corpus."""
    return {(run.key, run.seed) for run in read_rows(path, Run) if run.fingerprint == corpus.fingerprint}


@contextmanager
def claimed(corpus: Corpus, idea: Idea, seed: int) -> Iterator[bool]:
    """Yields whether this process may train the run in the block. If a process dies, its claim is free again."""
    name = f"idea-{corpus.label}-{idea.key.replace('/', '-')}-{seed}"
    lock = filelock.FileLock(paths.lock_file(name), blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # whoever opened it before finds the row, and does nothing
        lock.release()
