"""Opening a store: addresses, migrations, and files that are no store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from mtl_core.errors import StoreError
from mtl_core.store import default_url, open_store, processes, schema
from mtl_core.store.database import MIGRATIONS, Database

ROOT = Path(__file__).parents[2]


def test_a_file_name_and_a_url_open_the_same_store(tmp_path: Path) -> None:
    first = open_store(str(tmp_path / "deep" / "store.sqlite"))
    fingerprint = first.put_table("a.csv", b"x")
    second = open_store(first.url)
    assert second.get_table(fingerprint) == ("a.csv", b"x")
    assert first.file == tmp_path / "deep" / "store.sqlite"
    first.close()
    second.close()


def test_the_default_store_is_the_environments_or_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_STORE_URL", "sqlite:////tmp/mine.sqlite")
    assert default_url() == "sqlite:////tmp/mine.sqlite"
    monkeypatch.delenv("MTL_STORE_URL")
    assert "mtl-lanes" in default_url()


def test_every_commit_is_synced_and_readers_do_not_wait(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "store.sqlite"))
    with database.write() as writing, database.read() as reading:
        assert writing.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert reading.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_the_newest_migration_leaves_the_declared_tables(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "store.sqlite"))
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, {"compare_type": True}), schema.metadata) == []
    database.close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.VERSION


def test_many_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = f"from mtl_core.store import open_store; open_store({str(tmp_path / 'store.sqlite')!r}).put_table('a', b'x')"
    children = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 4, errors
    store = open_store(str(tmp_path / "store.sqlite"))
    assert len(store.tables()) == 1
    store.close()


def test_a_store_of_a_newer_version_is_left_alone_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    open_store(str(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        open_store(str(path))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no address://"])
def test_an_address_that_cannot_be_shared_is_refused(url: str) -> None:
    with pytest.raises(StoreError):
        open_store(url)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, and they are longer than a header " * 4)
    with pytest.raises(StoreError, match="did not answer"):
        open_store(str(path))
    assert path.read_text().startswith("these are my notes")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        open_store(str(tmp_path / "file" / "store.sqlite"))


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa

    from mtl_core.store.database import _told

    with pytest.raises(StoreError) as caught, _told("postgresql://me:secret@host/store"):
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))
    assert "secret" not in str(caught.value)


def test_a_process_lives_until_it_is_reaped_or_not() -> None:
    me = processes.me()
    assert processes.alive(*me) is True
    assert processes.alive("elsewhere", me.pid, me.birth) is None
    assert processes.alive(me.host, me.pid, "") is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        born = processes.birth(child.pid)
        assert born is not None
        assert processes.alive(me.host, child.pid, born) is True
        child.kill()
        child.wait()
        assert processes.alive(me.host, child.pid, born) is False
