"""What is kept of an opening of the test split: the list frozen before it, and the scores found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from harness.store.ledger import entries
from harness.store.provenance import Owner
from harness.store.storage import Storage
from harness.store.upgrade import upgraded

Kind = Literal["runs", "ensemble", "bigram", "kneser-ney"]


class Weights(BaseModel, frozen=True):
    """One stored model of the list."""

    seed: int
    weights_artifact: str
    sha256: str
    train_nats: float
    dev_nats: float


class Contender(BaseModel, frozen=True):
    """One row of the list, scored on dev already."""

    what: str
    kind: Kind
    own_model: bool = False
    """Whether the study file's build makes it."""
    context_length: int
    weights: tuple[Weights, ...] = ()
    """One for each seed; of an ensemble, its members."""
    sha256: str
    """Of the counts of a counted model; of the weights' hashes together for any other."""
    train_nats: float | None
    """Mean over the seeds; of an ensemble, of its one averaged prediction."""
    dev_nats: float


class Claim(BaseModel, frozen=True):
    """The whole list, and who claims to open the split for it."""

    fingerprint: str
    corpus: str
    study: dict[str, int | str | None]
    """How the winner came to be: trials that finished, finalists, fresh seeds of each, sampler."""
    commit: str | None
    versions: dict[str, str]
    owner: Owner
    openings_before: int
    """How many other studies of this storage had opened the same test split."""
    contenders: tuple[Contender, ...]


class Score(BaseModel, frozen=True):
    """One row's test loss, in nats per symbol."""

    what: str
    runs: tuple[float, ...]
    """One for each seed; a single one for an ensemble or counts."""
    test_nats: float
    """Their mean."""
    deviation: float | None
    """Standard deviation between seeds; None for a single run."""
    low: float
    high: float
    """95 % interval of the mean, seeds and items resampled."""
    gap: float
    """Test less dev."""
    gap_error: float
    """Standard error of that gap, by items of both splits."""


class Elsewhere(BaseModel, frozen=True):
    """Test items of this corpus that another corpus searched on this storage trained or chose on."""

    corpus: str
    fingerprint: str
    items: int | None
    """None where that corpus cannot be read any more."""


class Scores(BaseModel, frozen=True):
    """What the opening found."""

    test_items: int
    test_examples: int
    seen_items: int
    """Of the test items, those that stand in this corpus's own train or dev too."""
    elsewhere: tuple[Elsewhere, ...]
    scores: tuple[Score, ...]
    items_artifact: str
    """The nats of every test item under every model of the list."""


@dataclass(frozen=True)
class Opening:
    """A study's opening as the ledger has it."""

    key: str
    claimed: str
    claim: Claim
    attempts: int
    """Claims it took; more than one after a crash between claim and scores."""
    owner: Owner
    scored: str | None = None
    scores: Scores | None = None

    @property
    def state(self) -> str:
        return "claimed" if self.scores is None else "scored"


def recorded(storage: Storage, key: str) -> Opening | None:
    """What the ledger says of a study, if anything."""
    steps = {entry.step: entry for entry in entries(storage) if entry.key == key}
    if "claimed" not in steps:
        return None
    first, scored = steps["claimed"], steps.get("scored")
    resumed = [entry for entry in steps.values() if entry.step.startswith("resumed")]
    claim = Claim.model_validate(upgraded(first.body))
    return Opening(
        key=key,
        claimed=first.at,
        claim=claim,
        attempts=1 + len(resumed),
        owner=Owner.model_validate(resumed[-1].body["owner"]) if resumed else claim.owner,
        scored=None if scored is None else scored.at,
        scores=None if scored is None else Scores.model_validate(upgraded(scored.body)),
    )
