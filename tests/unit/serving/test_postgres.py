"""Schema bi in a real Postgres: whole versions, the same rows, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import journal
from cli import ShoalError
from serving import postgres
from serving.export import export
from serving.publish import publish
from serving.query import connect
from settings import ShopPaths
from tests import postgres as debian
from tests.unit.serving.conftest import Warehouse

psycopg = pytest.importorskip("psycopg")

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
TABLES = ["user_segment_daily", "segment_profile_daily", "user_score_daily", "published_version"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if not debian.program("postgres"):
        pytest.skip("no Postgres here: apt-get install postgresql")
    with debian.running() as address:
        yield address


@pytest.fixture
def database(server: str, paths: ShopPaths, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, named in the environment."""
    name = f"reports_{paths.root.parent.name.strip('_').lower()}"[:60]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))
    address = server.replace("/postgres", f"/{name}")
    monkeypatch.setenv("SHOAL_POSTGRES", address)
    return address


def ask(database: str, query: str) -> list[tuple]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def published(working: Warehouse) -> ShopPaths:
    working.build(FIRST)
    publish(working.paths, FIRST)
    return working.paths


def test_every_row_and_value_arrives(published: ShopPaths, database: str) -> None:
    export(published, "postgres")
    with connect(published) as connection:
        for table in ("user_segment_daily", "dim_segment", "user_score_daily", "published_version"):
            rows = connection.execute(f"select * from {table} order by all").fetchall()
            assert rows, table
            assert sorted(map(str, ask(database, f"select * from bi.{table}"))) == sorted(map(str, rows)), (
                table
            )


def test_money_is_numeric_and_days_are_dates(published: ShopPaths, database: str) -> None:
    export(published, "postgres")
    kinds = dict(
        ask(
            database,
            "select column_name, data_type "
            "|| coalesce('(' || numeric_precision || ',' || numeric_scale || ')', '') "
            "from information_schema.columns "
            "where table_schema = 'bi' and table_name = 'segment_profile_daily'",
        )
    )
    assert kinds["net_revenue_amount"] == "numeric(18,2)"
    assert kinds["as_of_date"] == "date"


def test_tables_and_columns_say_what_they_mean(published: ShopPaths, database: str) -> None:
    export(published, "postgres")
    [(table, column)] = ask(
        database,
        "select obj_description('bi.segment_profile_daily'::regclass), "
        "col_description('bi.segment_profile_daily'::regclass, ordinal_position) "
        "from information_schema.columns "
        "where table_name = 'segment_profile_daily' and column_name = 'users'",
    )
    assert table.startswith("What the users of a segment are like")
    assert column == "Users in the segment."


def test_an_export_that_breaks_off_leaves_the_version_before(
    published: ShopPaths, database: str, working: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(published, "postgres")
    working.build(SECOND)
    publish(published, SECOND)
    copy, done = postgres._copy, []

    def break_off(connection, source, table) -> None:
        if len(done) == 3:
            raise OSError("gone")
        copy(connection, source, table)
        done.append(table)

    monkeypatch.setattr(postgres, "_copy", break_off)
    with pytest.raises(OSError, match="gone"):
        export(published, "postgres")
    assert ask(database, "select max(as_of_date) from bi.user_segment_daily") == [(FIRST,)]
    assert ask(database, "select nspname from pg_namespace where nspname like 'bi%'") == [("bi",)]
    assert len({record["version"] for record in journal.read(published.ops / "export_log.jsonl")}) == 1


def test_a_reader_meets_one_version_and_keeps_its_rights(
    published: ShopPaths, database: str, working: Warehouse
) -> None:
    export(published, "postgres")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute('create role "The Analyst" login')
        owner.execute('grant usage on schema bi to "The Analyst"')
        owner.execute('grant select on bi.user_segment_daily to "The Analyst"')
        working.build(SECOND)
        publish(published, SECOND)
        export(published, "postgres")
        owner.execute('set role "The Analyst"')
        days = owner.execute("select distinct as_of_date from bi.user_segment_daily order by 1").fetchall()
        assert days == [(FIRST,), (SECOND,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("select * from bi.user_score_daily")
        owner.execute("reset role")
        owner.execute('drop owned by "The Analyst"; drop role "The Analyst"')
    (told,) = ask(database, "select obj_description('bi'::regnamespace)")
    assert "as of 2026-03-02" in told[0]


def test_what_everybody_may_read_stays_so(published: ShopPaths, database: str, working: Warehouse) -> None:
    export(published, "postgres")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("create role guest")
        owner.execute("grant usage on schema bi to public; grant select on bi.dim_segment to public")
        export(published, "postgres")
        owner.execute("set role guest")
        assert owner.execute("select count(*) > 0 from bi.dim_segment").fetchall() == [(True,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("select * from bi.user_score_daily")
        owner.execute("reset role")
        owner.execute("drop role guest")


def test_somebodys_table_beside_ours_is_never_dropped(published: ShopPaths, database: str) -> None:
    export(published, "postgres", TABLES)
    with psycopg.connect(database) as connection:
        connection.execute("create table bi.targets as select 100 as users")
    with pytest.raises(ShoalError, match="schema bi holds targets, which Shoal did not make"):
        export(published, "postgres")
    assert ask(database, "select * from bi.targets") == [(100,)]


def test_somebodys_view_is_never_dropped(published: ShopPaths, database: str) -> None:
    export(published, "postgres")
    with psycopg.connect(database) as connection:
        connection.execute("create view public.mine as select user_key from bi.user_segment_daily")
    with pytest.raises(ShoalError, match=r"view mine depends on table .*nothing was changed"):
        export(published, "postgres")
    assert len(ask(database, "select * from public.mine")) == 3 * 2


def test_a_reader_that_never_ends_is_named_and_not_waited_for(
    published: ShopPaths, database: str, working: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(published, "postgres")
    working.build(SECOND)
    publish(published, SECOND)
    monkeypatch.setattr(postgres, "PATIENCE_SECONDS", 1)
    # An export that waits all the same is cancelled, not this test.
    monkeypatch.setenv("SHOAL_POSTGRES", f"{database}?options=-c%20statement_timeout%3D20s")
    with psycopg.connect(database, application_name="slow tool") as reader:
        reader.execute("select from bi.user_segment_daily")
        pid = reader.info.backend_pid
        with pytest.raises(ShoalError, match=rf"by writer \(pid {pid}, slow tool\): .*nothing was changed"):
            export(published, "postgres")
        days = reader.execute("select distinct as_of_date from bi.user_segment_daily").fetchall()
        assert days == [(FIRST,)]
        assert ask(database, "select nspname from pg_namespace where nspname like 'bi%'") == [("bi",)]
    export(published, "postgres")
    assert ask(database, "select max(as_of_date) from bi.user_segment_daily") == [(SECOND,)]


def test_a_schema_that_shoal_did_not_make_is_left_alone(published: ShopPaths, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create schema bi")
        connection.execute("create table bi.precious (n int)")
    with pytest.raises(ShoalError, match="a schema bi that Shoal did not make"):
        export(published, "postgres")
    assert ask(database, "select * from bi.precious") == []


def test_the_log_says_where_to_and_never_the_password(published: ShopPaths, database: str) -> None:
    export(published, "postgres", TABLES)
    records = list(journal.read(published.ops / "export_log.jsonl"))
    assert [record["table"] for record in records] == TABLES
    assert all(record["target"].startswith("postgres 127.0.0.1:") for record in records)
    assert debian.PASSWORD not in str(records)


def test_a_wrong_password_is_told_without_showing_it(
    published: ShopPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_POSTGRES", database.replace(debian.PASSWORD, "wrong-9999"))
    with pytest.raises(ShoalError, match="password authentication failed") as refused:
        export(published, "postgres")
    assert "wrong-9999" not in str(refused.value)


@pytest.fixture
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOAL_POSTGRES", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


def address_file(paths: ShopPaths, text: str, mode: int) -> Path:
    paths.secrets.mkdir(parents=True, exist_ok=True)
    file = paths.secrets / "postgres"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.usefixtures("nothing_told")
def test_without_an_address_it_says_where_to_write_one(paths: ShopPaths) -> None:
    with pytest.raises(ShoalError, match=r"set SHOAL_POSTGRES, or write its address into .*secrets/postgres"):
        postgres.address(paths)


@pytest.mark.usefixtures("nothing_told")
def test_a_file_that_others_may_read_is_refused(paths: ShopPaths) -> None:
    file = address_file(paths, "postgresql://u:secret-1@h/d\n", 0o640)
    with pytest.raises(ShoalError, match="chmod 600") as refused:
        postgres.address(paths)
    assert "secret-1" not in str(refused.value)
    file.chmod(0o600)
    assert postgres.address(paths) == "postgresql://u:secret-1@h/d"


@pytest.mark.usefixtures("nothing_told")
def test_an_address_that_makes_no_sense_is_not_quoted(paths: ShopPaths) -> None:
    address_file(paths, "user secret-1", 0o600)
    with pytest.raises(ShoalError, match="holds no address of a Postgres") as refused:
        postgres.address(paths)
    assert "secret-1" not in str(refused.value)
