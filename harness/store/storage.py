"""The only access to the database: Optuna's tables, this project's tables of documents, and the artifact store.

By default, one SQLite file holds all studies. Any other database URL that Optuna accepts (such as PostgreSQL)
uses the same code.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import warnings
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import optuna
import sqlalchemy as sql
from optuna.artifacts import FileSystemArtifactStore, download_artifact, upload_artifact

from harness import paths
from harness.errors import StorageError, StudyError, first_line
from harness.files import explained
from harness.store.address import file_of, url_of
from harness.store.keys import finalists_key
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.store.upgrade import read_document
from harness.study.experiment import params_of
from harness.study.stoppable import StoppableStudy

_LOCKED_FOR = 1.5
"""Seconds to wait for a locked database before reporting it. A busy one is free sooner."""

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
_checks = sql.Table(
    "harness_checks",
    _tables,
    sql.Column("weights", sql.String(64), primary_key=True),
    sql.Column("fingerprint", sql.String(64), primary_key=True),
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


class OpeningRow(NamedTuple):
    """A row of the ledger: its document, and those of its fields that have their own columns."""

    place: int
    key: str
    step: str
    document: str


class Storage:
    """An open database. Make one with `open_storage`."""

    def __init__(self, url: sql.URL, backend: optuna.storages.RDBStorage, artifacts: Path) -> None:
        self.url = url.render_as_string(hide_password=False)
        """Opens the same database again, from any folder."""
        self.file = file_of(url)
        """The SQLite file; None for another database."""
        self.backend = backend
        self.artifacts = FileSystemArtifactStore(str(artifacts))
        self._engine: sql.Engine = backend.engine

    def create_study(self, record: StudyRecord) -> None:
        """Start a study in Optuna's tables and ours, and delete what a deleted study of the same key left behind."""
        self._delete(finalists_key(record.key))
        study = optuna.create_study(
            storage=self.backend, study_name=record.key, direction="minimize", load_if_exists=True
        )
        with self._engine.begin() as connection:
            connection.execute(sql.delete(_trials).where(_trials.c.key == record.key))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            mixed = "mixed " if record.objective == "mixed" else ""
            study.set_metric_names([f"{mixed}dev nats per symbol"])
        study.set_user_attr("corpus", f"{record.corpus.label} (fingerprint {record.corpus.fingerprint})")
        # Our record comes last, because it marks the study as existing. A start killed before this is repeated.
        for params in params_of(record.first, record.repeats)[len(study.get_trials(deepcopy=False)) :]:
            study.enqueue_trial(params)
        self._put(_studies, {"key": record.key}, record.model_dump_json())

    def _delete(self, key: str) -> None:
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
    ) -> StoppableStudy:
        """Optuna's study of this key.

        Raises:
            StudyError: it was deleted.
        """
        try:
            return StoppableStudy(study_name=key, storage=self.backend, sampler=sampler, pruner=pruner)
        except KeyError:
            raise StudyError(
                f"a study must be in the storage; {key} was deleted. Start it again with make study."
            ) from None

    def studies(self) -> list[StudyRecord]:
        """All studies, references and finalists' rounds included, oldest first; not those deleted in the dashboard."""
        existing = {study.study_name for study in self.backend.get_all_studies()}
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_studies.c.document)).scalars().all()
        records = [read_document(StudyRecord, row) for row in rows]
        return sorted((record for record in records if record.key in existing), key=lambda record: record.created)

    def study(self, key: str) -> StudyRecord | None:
        """A study by its key; None if there is none, or it was deleted in the dashboard."""
        with self._engine.connect() as connection:
            row = connection.execute(sql.select(_studies.c.document).where(_studies.c.key == key)).scalar()
        if row is None:
            return None
        try:
            self.backend.get_study_id_from_name(key)
        except KeyError:
            return None
        return read_document(StudyRecord, row)

    def write_study(self, record: StudyRecord) -> None:
        self._put(_studies, {"key": record.key}, record.model_dump_json())

    def trials(self, key: str) -> list[TrialRecord]:
        """Records of a study's trials, ordered by number. Waiting trials have none."""
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
        """Set a short user attribute of a running trial. The dashboard shows a column for each."""
        study = self.backend.get_study_id_from_name(key)
        trial = self.backend.get_trial_id_from_study_id_trial_number(study, number)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.backend.set_trial_user_attr(trial, name, value)

    def check(self, weights: str, fingerprint: str) -> str | None:
        """The document of `harness.store.checks` about weights with this SHA-256 on a corpus; None if there is none."""
        with self._engine.connect() as connection:
            query = sql.select(_checks.c.document)
            where = (_checks.c.weights == weights, _checks.c.fingerprint == fingerprint)
            found: str | None = connection.execute(query.where(*where)).scalar()
        return found

    def write_check(self, weights: str, fingerprint: str, document: str) -> None:
        self._put(_checks, {"weights": weights, "fingerprint": fingerprint}, document)

    def openings(self) -> list[OpeningRow]:
        """Rows of the ledger in order; see `harness.store.ledger`."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_openings).order_by(_openings.c.index)).all()
        return [OpeningRow(*row) for row in rows]

    def add_opening(self, index: int, key: str, step: str, document: str) -> bool:
        """Add a row to the ledger. False if its index, or that step of that study, is taken."""
        try:
            with self._engine.begin() as connection:
                values = {"index": index, "key": key, "step": step, "document": document}
                connection.execute(sql.insert(_openings).values(**values))
        except sql.exc.IntegrityError:
            return False
        return True

    def is_opened(self, key: str) -> bool:
        """Whether a study's test split was claimed. Such a study is closed."""
        with self._engine.connect() as connection:
            found = connection.execute(sql.select(_openings.c.key).where(_openings.c.key == key)).first()
        return found is not None

    def keep_file(self, content: bytes, filename: str, owner: optuna.Study | optuna.Trial) -> str:
        """Store a file as an artifact of a study or trial. Returns its id."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / filename
            path.write_bytes(content)
            return upload_artifact(
                artifact_store=self.artifacts, file_path=str(path), study_or_trial=owner, storage=self.backend
            )

    def kept_file(self, artifact: str) -> bytes:
        """The bytes of an artifact.

        Raises:
            StorageError: the artifact store does not have it.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                download_artifact(artifact_store=self.artifacts, artifact_id=artifact, file_path=str(path))
                return path.read_bytes()
        except (OSError, optuna.artifacts.exceptions.ArtifactNotFound):
            raise StorageError(
                f"stored files must stay in the artifact store; {artifact} is missing. "
                "Restore results/artifacts from a backup, or start the study again under another NAME."
            ) from None

    def files_named(self, filename: str) -> dict[str, str]:
        """The artifacts of all studies that were stored under this name: their ids, each with its study's key."""
        found = {}
        for study in self.backend.get_all_studies():
            for name, value in study.system_attrs.items():
                if name.startswith("artifacts:") and json.loads(value).get("filename") == filename:
                    found[name.removeprefix("artifacts:")] = study.study_name
        return found

    def _put(self, table: sql.Table, identity: dict[str, Any], document: str) -> None:
        where = sql.and_(*(table.c[name] == value for name, value in identity.items()))
        with self._engine.begin() as connection:
            if connection.execute(sql.update(table).where(where).values(document=document)).rowcount == 0:
                connection.execute(sql.insert(table).values(**identity, document=document))


def open_storage(url: str | None = None, *, create: bool = False) -> Storage:
    """Open the database. The checks take at most 5 s.

    Args:
        url: an SQLAlchemy URL or the path of an SQLite file; None or empty for `results/studies.db`.
        create: make it if it does not exist.

    Raises:
        StorageError: it does not exist, cannot be opened, is locked, or is not a database of this project.
    """
    address = url_of(url)
    file = file_of(address)
    artifacts = paths.results_folder() / "artifacts"
    with explained(artifacts):
        if create:
            artifacts.mkdir(parents=True, exist_ok=True)
    if file is not None:
        _check_sqlite(file, create)
    try:
        # Two processes that open a new database at the same time would both create its tables.
        with filelock.FileLock(paths.lock_file("storage")) if create else nullcontext():
            backend = _opened(address)
    except (sql.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        reason = first_line(error)[:160]
        raise StorageError(
            f"a storage must be a database URL or the path of an SQLite file; {address.render_as_string()} could not "
            f"be opened ({reason}). Correct STORAGE, or leave it out for results/studies.db."
        ) from None
    return Storage(address, backend, artifacts)


def _opened(address: sql.URL) -> optuna.storages.RDBStorage:
    sqlite = file_of(address) is not None
    # Optuna takes a template in the format of str.format.
    template = address.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    backend = optuna.storages.RDBStorage(template, engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {})
    if sqlite:
        _make_fast(backend.engine)
    _refuse_ledger_without_chain(backend.engine)
    _tables.create_all(backend.engine)
    return backend


def _refuse_ledger_without_chain(engine: sql.Engine) -> None:
    """Early versions recorded openings in another table, without a chain. Such a storage must not look unopened."""
    if sql.inspect(engine).has_table("harness_ledger"):
        with engine.connect() as connection:
            if connection.execute(sql.text("SELECT 1 FROM harness_ledger")).first() is not None:
                raise StorageError(
                    "a storage must keep its openings of the test split in a ledger with a hash chain; this one has "
                    "openings in the table of an earlier version. Read it with version 0.2.0, or name another STORAGE."
                )


def _check_sqlite(path: Path, create: bool) -> None:
    """Check the file before Optuna opens it, and set WAL mode, which concurrent workers need."""
    if not path.exists() and not create:
        raise StorageError(f"a storage must exist before it is read; there is none at {path}. Run make study first.")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=_LOCKED_FOR, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        way_out = (
            "Close the program that uses it, or wait."
            if "locked" in str(error)
            else "Move it away or name another STORAGE. Results already written stay readable."
        )
        raise StorageError(f"a storage must be a writable SQLite database; {path}: {error}. {way_out}") from None


def _make_fast(engine: sql.Engine) -> None:
    """WAL with synchronous=NORMAL: a commit takes 3 to 6 ms instead of 20 to 50 ms and survives kill -9."""

    @sql.event.listens_for(engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # connections made before this listener have the slow setting
