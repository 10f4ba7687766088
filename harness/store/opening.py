"""What is stored about an opening of the test split: the list frozen before it, and the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from harness.store.ledger import entries
from harness.store.provenance import Owner
from harness.store.storage import Storage
from harness.store.upgrade import SCHEMA, read_body

Kind = Literal["runs", "ensemble", "bigram", "kneser-ney"]


class Weights(BaseModel, frozen=True):
    """One stored model on the list."""

    seed: int
    weights_artifact: str
    sha256: str
    train_nats: float
    dev_nats: float


class Contender(BaseModel, frozen=True):
    """One row of the list, already scored on dev."""

    what: str
    kind: Kind
    own_model: bool = False
    """Whether the study's own `build` makes the model."""
    context_length: int
    weights: tuple[Weights, ...] = ()
    """One per seed; for an ensemble, those of its members; none for a counted model."""
    sha256: str
    """For a counted model, of its counts; for any other, of the hashes of its weights joined together."""
    train_nats: float | None
    """Mean over the seeds; for an ensemble, the loss of its averaged prediction."""
    dev_nats: float


class Claim(BaseModel, frozen=True):
    """The whole list, and the process that claims the right to open the split for it."""

    schema_number: int = SCHEMA
    fingerprint: str
    corpus: str
    study: dict[str, int | str | None]
    """How the winner was chosen: numbers of finished trials, finalists and fresh seeds, the sampler, and the times."""
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
    """One per seed; a single one for an ensemble or a counted model."""
    test_nats: float
    """Mean of `runs`."""
    deviation: float | None
    """Standard deviation between seeds; None for a single run."""
    low: float
    high: float
    """`low` to `high` is the 95 % interval of the mean, over seeds and items."""
    gap: float
    """Test loss minus dev loss."""
    gap_error: float
    """Standard error of the gap, computed over the items of both splits."""


class Elsewhere(BaseModel, frozen=True):
    """Another corpus searched on this storage, and how many of these test items are in its train or dev split."""

    corpus: str
    fingerprint: str
    items: int | None
    """None if that corpus can no longer be read, or has changed."""


class Scores(BaseModel, frozen=True):
    """The result of an opening."""

    schema_number: int = SCHEMA
    test_items: int
    test_examples: int
    seen_items: int
    """Number of test items that are also in this corpus's own train or dev split."""
    elsewhere: tuple[Elsewhere, ...]
    scores: tuple[Score, ...]
    items_artifact: str
    """Artifact id of the nats of every test item under every model on the list."""


@dataclass(frozen=True)
class Opening:
    """A study's opening as the ledger records it."""

    key: str
    claimed: str
    claim: Claim
    attempts: int
    """1, plus one for each time it was resumed after a crash between claim and scores."""
    owner: Owner
    scored: str | None = None
    scores: Scores | None = None

    @property
    def state(self) -> str:
        return "claimed" if self.scores is None else "scored"


def recorded(storage: Storage, key: str) -> Opening | None:
    """The opening of a study in the ledger; None if it has not been claimed."""
    steps = {entry.step: entry for entry in entries(storage) if entry.key == key}
    if "claimed" not in steps:
        return None
    first, scored = steps["claimed"], steps.get("scored")
    resumed = [entry for entry in steps.values() if entry.step.startswith("resumed")]
    claim = read_body(Claim, first.body)
    return Opening(
        key=key,
        claimed=first.at,
        claim=claim,
        attempts=1 + len(resumed),
        owner=Owner.model_validate(resumed[-1].body["owner"]) if resumed else claim.owner,
        scored=None if scored is None else scored.at,
        scores=None if scored is None else read_body(Scores, scored.body),
    )
