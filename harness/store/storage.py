"""The one door to the database: Optuna's tables, our documents beside them, and the artifact store.

One SQLite file holds all studies by default; any other URL that Optuna takes
(PostgreSQL) goes through the same code.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import optuna
import sqlalchemy as sql
from optuna.artifacts import FileSystemArtifactStore, download_artifact, upload_artifact

from harness import paths
from harness.errors import StorageError, StudyError, first_line
from harness.files import explained
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.store.upgrade import read_document
from harness.study.experiment import params_of

_LOCKED_FOR = 1.5
"""Seconds to wait for a locked database before saying so; a busy one frees itself sooner."""

_tables = sql.MetaData()
_studies = sql.Table(
    "harness_studies", _tables, sql.Column("key", sql.String(200), primary_key=True), sql.Column("document", sql.Text)
)
_trials = sql.Table(
    "harness_trials",
    _tables,
    sql.Column("key", sql.String(200), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("document", sql.Text),
)
_openings = sql.Table(
    "harness_openings",
    _tables,
    sql.Column("index", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("key", sql.String(200), nullable=False),
    sql.Column("step", sql.String(40), nullable=False),
    sql.Column("document", sql.Text, nullable=False),
    sql.UniqueConstraint("key", "step"),
)


_earlier = sql.Table(
    "harness_ledger", sql.MetaData(), sql.Column("key", sql.String(200)), sql.Column("document", sql.Text)
)


class OpeningRow(NamedTuple):
    """A row of the ledger: the document, and what of it the database keeps unique."""

    place: int
    key: str
    step: str
    document: str


class Storage:
    """An open database. Make one with `open_storage`."""

    def __init__(self, url: str, backend: optuna.storages.RDBStorage, artifacts: Path) -> None:
        self.url = url
        self.backend = backend
        self.artifacts = FileSystemArtifactStore(str(artifacts))
        self._engine: sql.Engine = backend.engine
        self._has_earlier = sql.inspect(self._engine).has_table(_earlier.name)

    def create_study(self, record: StudyRecord) -> None:
        """Begin a study in Optuna's tables and ours; whatever is left of a deleted one of that key goes."""
        study = optuna.create_study(
            storage=self.backend, study_name=record.key, direction="minimize", load_if_exists=True
        )
        with self._engine.begin() as connection:
            connection.execute(sql.delete(_trials).where(_trials.c.key == record.key))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(["dev nats per symbol"])
        study.set_user_attr("corpus", f"{record.corpus.label} (fingerprint {record.corpus.fingerprint})")
        # Before our record, which says that the study was begun: a begin that was killed is gone through again.
        for params in params_of(record.first, record.repeats)[len(study.get_trials(deepcopy=False)) :]:
            study.enqueue_trial(params)
        self.write_study(record)

    def forget_study(self, key: str) -> None:
        """Delete a study with its trials, here and in Optuna's tables, if there is one."""
        with suppress(KeyError):
            optuna.delete_study(study_name=key, storage=self.backend)
        with self._engine.begin() as connection:
            connection.execute(sql.delete(_trials).where(_trials.c.key == key))
            connection.execute(sql.delete(_studies).where(_studies.c.key == key))

    def optuna_study(
        self,
        key: str,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> optuna.Study:
        try:
            return optuna.load_study(study_name=key, storage=self.backend, sampler=sampler, pruner=pruner)
        except KeyError:
            raise StudyError(f"{key} was deleted from the storage meanwhile. Begin it again with make study.") from None

    def studies(self) -> list[StudyRecord]:
        """All studies, references among them, oldest first; without those deleted in the dashboard."""
        there = {study.study_name for study in self.backend.get_all_studies()}
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_studies.c.document)).scalars().all()
        records = [read_document(StudyRecord, row) for row in rows]
        return sorted((record for record in records if record.key in there), key=lambda record: record.created)

    def study(self, key: str) -> StudyRecord | None:
        return next((record for record in self.studies() if record.key == key), None)

    def write_study(self, record: StudyRecord) -> None:
        self._put(_studies, {"key": record.key}, record.model_dump_json())

    def trials(self, key: str) -> list[TrialRecord]:
        """The records of a study's trials by number; the ones still waiting have none."""
        with self._engine.connect() as connection:
            query = sql.select(_trials.c.document).where(_trials.c.key == key).order_by(_trials.c.number)
            rows = connection.execute(query).scalars().all()
        return [read_document(TrialRecord, row) for row in rows]

    def trial(self, key: str, number: int) -> TrialRecord | None:
        with self._engine.connect() as connection:
            query = sql.select(_trials.c.document).where(_trials.c.key == key, _trials.c.number == number)
            row = connection.execute(query).scalar()
        return None if row is None else read_document(TrialRecord, row)

    def write_trial(self, key: str, record: TrialRecord) -> None:
        self._put(_trials, {"key": key, "number": record.number}, record.model_dump_json())

    def show_column(self, key: str, number: int, name: str, value: str) -> None:
        """Set a short user attribute of a trial that still runs; the dashboard has a column for each."""
        study = self.backend.get_study_id_from_name(key)
        trial = self.backend.get_trial_id_from_study_id_trial_number(study, number)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.backend.set_trial_user_attr(trial, name, value)

    def openings(self) -> list[OpeningRow]:
        """The ledger's rows in their order; see `harness.store.ledger`."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_openings).order_by(_openings.c.index)).all()
        return [OpeningRow(*row) for row in rows]

    def add_opening(self, index: int, key: str, step: str, document: str) -> bool:
        """Add one to the ledger; False if its place, or that step of that study, is taken."""
        try:
            with self._engine.begin() as connection:
                values = {"index": index, "key": key, "step": step, "document": document}
                connection.execute(sql.insert(_openings).values(**values))
        except sql.exc.IntegrityError:
            return False
        return True

    def is_opened(self, key: str) -> bool:
        """Whether a study's test split was claimed: nothing more may be searched in it."""
        with self._engine.connect() as connection:
            found = connection.execute(sql.select(_openings.c.key).where(_openings.c.key == key)).first()
        return found is not None or key in self.earlier_openings()

    def earlier_openings(self) -> dict[str, dict[str, Any]]:
        """By study, the openings that an earlier version recorded; only read, for it had no chain to carry on."""
        if not self._has_earlier:
            return {}
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_earlier.c.key, _earlier.c.document)).all()
        return {key: json.loads(document) for key, document in rows}

    def keep_file(self, content: bytes, filename: str, owner: optuna.Study | optuna.Trial) -> str:
        """Put a file into the artifact store, listed with its study or trial; returns its id."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / filename
            path.write_bytes(content)
            return upload_artifact(
                artifact_store=self.artifacts, file_path=str(path), study_or_trial=owner, storage=self.backend
            )

    def kept_file(self, artifact: str) -> bytes:
        """The bytes of a stored file.

        Raises:
            StorageError: it is not in the artifact store any more.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                download_artifact(artifact_store=self.artifacts, artifact_id=artifact, file_path=str(path))
                return path.read_bytes()
        except (OSError, optuna.artifacts.exceptions.ArtifactNotFound):
            raise StorageError(
                f"stored weights must stay in the artifact store; {artifact} is gone from it. "
                "Restore results/artifacts, or begin the study again under another NAME."
            ) from None

    def _put(self, table: sql.Table, identity: dict[str, Any], document: str) -> None:
        where = sql.and_(*(table.c[name] == value for name, value in identity.items()))
        with self._engine.begin() as connection:
            if connection.execute(sql.update(table).where(where).values(document=document)).rowcount == 0:
                connection.execute(sql.insert(table).values(**identity, document=document))


def open_storage(url: str | None = None, *, create: bool = False) -> Storage:
    """Open the database, after checks that answer within 5 s.

    Args:
        url: an SQLAlchemy URL or the path of an SQLite file; None for `results/studies.db`.
        create: whether to make it if it is not there.

    Raises:
        StorageError: it does not exist, cannot be opened, is locked or is no such database.
    """
    url = url or paths.default_storage()
    if "://" not in url:
        url = f"sqlite:///{Path(url).expanduser().resolve()}"
    artifacts = paths.results_folder() / "artifacts"
    with explained(artifacts):
        if create:
            artifacts.mkdir(parents=True, exist_ok=True)
    if url.startswith("sqlite:///"):
        _check_sqlite(Path(url.removeprefix("sqlite:///")), create)
    try:
        # Two processes that open a fresh database at once would both make its tables.
        with filelock.FileLock(paths.lock_file("storage")) if create else nullcontext():
            backend = _opened(url)
    except (sql.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        reason = first_line(error)[:160]
        raise StorageError(
            f"a storage must be a database URL or the path of an SQLite file; {_without_password(url)} could not be "
            f"opened ({reason}). Correct STORAGE, or leave it out for results/studies.db."
        ) from None
    return Storage(url, backend, artifacts)


def _opened(url: str) -> optuna.storages.RDBStorage:
    sqlite = url.startswith("sqlite")
    backend = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {})
    if sqlite:
        _make_fast(backend.engine)
    _tables.create_all(backend.engine)
    return backend


def _without_password(url: str) -> str:
    try:
        return sql.engine.make_url(url).render_as_string(hide_password=True)
    except sql.exc.ArgumentError:
        return url


def _check_sqlite(path: Path, create: bool) -> None:
    """Meet what can be wrong with the file before Optuna does, and set the mode that many workers need."""
    if not path.exists() and not create:
        raise StorageError(f"a storage must exist before it is read; there is none at {path}. Run make study first.")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with sqlite3.connect(path, timeout=_LOCKED_FOR, isolation_level=None) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
    except sqlite3.Error as error:
        way_out = (
            "Close the program that holds it, or wait."
            if "locked" in str(error)
            else "Move it away or name another STORAGE; results already written stay readable."
        )
        raise StorageError(f"a storage must be a writable SQLite database; {path}: {error}. {way_out}") from None


def _make_fast(engine: sql.Engine) -> None:
    """WAL with synchronous=NORMAL: a commit costs 3 to 6 ms instead of 20 to 50, and loses nothing to kill -9."""

    @sql.event.listens_for(engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # connections made before this listener had the slow setting
