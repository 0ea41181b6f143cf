"""The connection to the database: transactions, and a schema that is brought up to date when it is opened.

SQLite: write-ahead log, every commit synced (`synchronous=FULL`), one writer at a time by BEGIN IMMEDIATE. PostgreSQL:
writers take one advisory lock for their transaction, readers see one snapshot, so both behave alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from mtl_core.errors import StoreError
from mtl_core.store import schema

MIGRATIONS = Path(__file__).parent / "migrations"
WRITER_LOCK = 0x6D746C  # "mtl": the advisory lock of writers on PostgreSQL
BUSY = 30.0  # seconds to wait for another writer


class Database:
    """One database, open and up to date. Threads share it; processes open their own. Raises StoreError."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.url = _normal(url)
        self.clock = clock
        self.file = _file_of(self.url)
        self._engine = _engine(self.url, self.file)
        with _told(self.url):
            self._migrate()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment."""
        with _told(self.url), self._engine.connect() as connection:
            if not self.file:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")  # noqa: PLW2901
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other writer overlaps: all of it is stored, or nothing."""
        with _told(self.url), self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)  # noqa: PLW2901
            with connection.begin():
                if not self.file:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})
                yield connection

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            if _version(connection) == schema.VERSION:
                return
        with self.write() as connection:  # whoever waited here finds the work done
            found = _version(connection)
            if found != schema.VERSION:
                _upgrade(connection, found)


def _normal(url: str) -> str:
    return url if "://" in url else f"sqlite:///{Path(url).expanduser().absolute()}"


def _file_of(url: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(f'"{url}" is not the address of a store. Write a file name, or sqlite:///FILE.') from None
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError("A store in memory cannot be shared with workers. Write sqlite:///FILE.")
    return Path(parsed.database)


def _engine(url: str, file: Path | None) -> Engine:
    if file is None:
        return _server(url)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The store cannot be kept in {file.parent}: {error.strerror}.") from error
    engine = create_engine(url, connect_args={"timeout": BUSY})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server(url: str) -> Engine:
    kind = make_url(url).drivername
    try:
        return create_engine(url, pool_pre_ping=True)
    except NoSuchModuleError:
        raise StoreError(f'There is no kind of database "{kind}". Write sqlite:///FILE or postgresql://...') from None
    except ModuleNotFoundError as error:
        raise StoreError(f"A store at {kind}:// needs the Python package {error.name}, which is not installed.") from None


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    _with_patience(lambda: connection.execute("PRAGMA journal_mode=WAL").close())
    connection.execute("PRAGMA synchronous=FULL").close()


def _with_patience(act: Callable[[], None]) -> None:
    """Changing the journal mode does not wait for other connections by itself."""
    deadline = time.monotonic() + BUSY
    while True:
        try:
            return act()
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What the database refuses becomes a StoreError; what our own code raises passes."""
    try:
        yield
    except DBAPIError as error:
        place = make_url(url).render_as_string(hide_password=True)
        raise StoreError(f"The store {place} did not answer: {error.orig}.") from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError("This store was made by a newer version of the program. Update the program, or use another store.")
    command.upgrade(config, "head")
