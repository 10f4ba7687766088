"""What is stored about an opening of the test split: the list frozen before it, and the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from harness.errors import StorageError
from harness.store.item_hashes import ItemHashes
from harness.store.ledger import entries, mentions
from harness.store.provenance import Owner
from harness.store.storage import Storage
from harness.store.upgrade import SCHEMA, read_body
from harness.store.weights import sha256

Kind = Literal["runs", "ensemble", "mixed runs", "mixed ensemble", "bigram", "kneser-ney"]


class Weights(BaseModel, frozen=True):
    """One stored model on the list."""

    seed: int
    weights_artifact: str
    sha256: str
    train_nats: float
    """Of the mixture in a row of mixtures, as is `dev_nats`."""
    dev_nats: float
    mixing_weight: float | None = None
    """The network's weight in its mixture with the counted n-gram, fitted on dev; None outside such a row."""


class Mixing(BaseModel, frozen=True):
    """The counted n-gram that the models of a row are mixed with."""

    order: int
    sha256: str
    """Of its counts."""
    weight: float | None = None
    """The weight of the ensemble, fitted on dev; None for seeds, each of which has its own."""


class Contender(BaseModel, frozen=True):
    """One row of the list, already scored on dev."""

    what: str
    kind: Kind
    own_model: bool = False
    """Whether the study's own `build` makes the model."""
    context_length: int
    weights: tuple[Weights, ...] = ()
    """One per seed; for an ensemble, those of its members; none for a counted model."""
    mixing: Mixing | None = None
    """Only for mixtures with the counted n-gram."""
    sha256: str
    """For a counted model, of its counts; for any other, of the joined hashes of its weights. For a mixture, the hash
    of the n-gram and the mixing weights are joined to these."""
    train_nats: float | None
    """Mean over the seeds; for an ensemble, the loss of its averaged prediction."""
    dev_nats: float

    @property
    def is_one_per_seed(self) -> bool:
        """Whether the row has a loss for each seed."""
        return self.kind in ("runs", "mixed runs")


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
    """How many earlier openings of a test split of the same fingerprint were known. See `OpenedItems.earlier`."""
    without_recipe: str | None = None
    """Why the lecture's recipe is not on the list although the study asked for it; None if it is, or was not asked."""
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


class Earlier(BaseModel, frozen=True):
    """An earlier opening, compared with the test items of this one."""

    what: str
    """Its study, corpus, time, and where it is known from."""
    shared: int | None
    """How many of this opening's distinct test items it had opened; None if its items were not recorded."""


class OpenedItems(ItemHashes, frozen=True):
    """The test items of an opening as hashes, and the earlier openings that could be compared with them."""

    schema_number: int = SCHEMA
    earlier: tuple[Earlier, ...] = ()
    """Those that share items, and those of which nothing but another fingerprint is known."""


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
    items_sha256: str | None = None
    """SHA-256 of that file; None for an opening of version 0.3.0 or earlier."""


@dataclass(frozen=True)
class Opening:
    """A study's opening as the ledger records it."""

    key: str
    claimed: str
    claim: Claim
    attempts: int
    """1, plus one for each time it was resumed after a crash between claim and scores."""
    owner: Owner
    head: str
    """Hash of its last entry in the ledger. Kept elsewhere, it can verify that the ledger still contains the entry."""
    items: OpenedItems | None = None
    """None before the split is opened, and for an opening of version 0.3.0 or earlier."""
    scored: str | None = None
    scores: Scores | None = None

    @property
    def mixed_winner(self) -> Score | None:
        """The score of the winner's seeds mixed with the counted n-gram; None if they are not on the list."""
        scores = () if self.scores is None else self.scores.scores
        pairs = zip(self.claim.contenders, scores, strict=False)
        return next((score for contender, score in pairs if contender.kind == "mixed runs"), None)

    @property
    def state(self) -> str:
        return "claimed" if self.scores is None else "scored"


def recorded(storage: Storage, key: str) -> Opening | None:
    """The opening of a study in the ledger; None if it has not been claimed.

    Raises:
        StorageError: the ledger is broken, and has something about this study.
    """
    try:
        there = entries(storage)
    except StorageError:
        if mentions(storage, key):
            raise
        return None
    steps = {entry.step: entry for entry in there if entry.key == key}
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
        head=list(steps.values())[-1].hash,
        items=read_body(OpenedItems, steps["items"].body) if "items" in steps else None,
        scored=None if scored is None else scored.at,
        scores=None if scored is None else read_body(Scores, scored.body),
    )


def recorded_if_valid(storage: Storage, key: str) -> Opening | None:
    """The same for what shows many studies; None, too, if the ledger is broken. What is at hand still tells of it."""
    try:
        return recorded(storage, key)
    except StorageError:
        return None


def losses_by_item(storage: Storage, scores: Scores) -> bytes:
    """The stored losses by test item, packed, once they are known to be those of the opening.

    Raises:
        StorageError: they are missing, or were changed.
    """
    content = storage.kept_file(scores.items_artifact)
    if scores.items_sha256 not in (None, sha256(content)):
        raise StorageError(
            f"losses by test item must not change; {scores.items_artifact} no longer has the SHA-256 that the ledger "
            "records. Restore results/artifacts from a backup."
        )
    return content
