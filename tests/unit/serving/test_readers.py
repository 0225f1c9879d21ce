"""Readers through publishes and kills: each sees one whole version, and none is ever in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

import journal
import settings
from serving import facts, versions
from serving.publish import publish
from serving.query import connect
from settings import ShopPaths

FIRST = date(2026, 3, 1)
READERS, PUBLISHES = 20, 20

# Twenty analysts, not twenty loops that starve the publisher of the processor: a pause between the queries of
# one connection, in which a publish may well come.
READER = """
import sys, time
from pathlib import Path
from serving.query import connect
from settings import ShopPaths

paths, stop, seen, reads = ShopPaths("simulated"), Path(sys.argv[1]), set(), 0
while reads < 2 or not stop.exists():
    with connect(paths) as connection:
        users = connection.execute("select distinct as_of_date, score from user_segment_current").fetchall()
        time.sleep(1)
        scores = connection.execute(
            "select distinct as_of_date, score from user_score_daily "
            "where as_of_date = (select max(as_of_date) from published_version)"
        ).fetchall()
    assert len(users) == 1 and users == scores, f"a mixture: {users} and {scores}"
    seen.add(users[0])
    time.sleep(1)
    reads += 1
    if reads == 1:
        print("reading", flush=True)
print(reads, len(seen))
"""


def test_twenty_readers_through_twenty_publishes_see_whole_versions(working, paths, tmp_path):
    working.build(FIRST, score=0)
    publish(paths, FIRST)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(stop)]
    readers = [
        subprocess.Popen(
            command, cwd=settings.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(READERS)
    ]
    try:
        assert {reader.stdout.readline() for reader in readers} == {"reading\n"}
        for number in range(1, PUBLISHES + 1):
            day = FIRST + timedelta(days=number)
            working.build(day, score=number)
            assert publish(paths, day).is_in_force
    finally:
        stop.touch()
        ends = [reader.communicate(timeout=60) for reader in readers]
    assert [errors for _, errors in ends] == [""] * READERS
    seen = [int(said.split()[1]) for said, _ in ends]
    assert min(seen) > 1, "no reader went through a publish"


def kill_at(paths: ShopPaths, step: str, day: date) -> None:
    """Publish in a process that is killed when it comes to a step."""
    module, function = step.split(":")
    script = textwrap.dedent(f"""
        import os, signal, datetime
        import journal
        from settings import ShopPaths
        from serving import facts, publish, versions
        {module}.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        publish.publish(ShopPaths("simulated"), datetime.date({day.year}, {day.month}, {day.day}))
    """)
    done = subprocess.run([sys.executable, "-c", script], cwd=settings.ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("publish:_check", FIRST),
        ("facts:keep", FIRST),
        ("facts:sync_folder", FIRST),
        ("publish:_write_parquet", FIRST),
        ("versions:write_whole", FIRST),
        ("versions:finish", FIRST),
        ("versions:swap", FIRST),
        ("journal:append", FIRST + timedelta(days=1)),
    ],
)
def test_a_killed_publish_leaves_a_whole_version_and_is_repaired_by_publishing_again(
    working, paths, step, shown
):
    following = FIRST + timedelta(days=1)
    working.build(FIRST, score=1)
    publish(paths, FIRST)
    working.build(following, score=2)
    kill_at(paths, step, following)
    with connect(paths) as connection:
        assert connection.execute("select max(as_of_date) from user_segment_current").fetchone() == (shown,)

    publish(paths, following)
    with connect(paths) as connection:
        rows = connection.execute("select as_of_date, count(*) from user_segment_daily group by 1 order by 1")
        assert rows.fetchall() == [(FIRST, 6), (following, 6)]
    on_disk = [version.name for version in versions.versions(paths)]
    listed = [line["version"] for line in journal.read(paths.ops / "published_version.jsonl")]
    assert listed == on_disk and len(on_disk) == 2
    assert not list((paths.serving / "versions").glob(".*"))
    assert facts.days(paths) == [FIRST, following]


def test_a_reader_keeps_its_version_while_it_is_pruned(working, paths):
    working.build(FIRST)
    first = publish(paths, FIRST)
    with connect(paths) as reader:
        for number in range(1, 1 + versions.KEPT_VERSIONS):
            working.build(FIRST + timedelta(days=number))
            publish(paths, FIRST + timedelta(days=number))
        assert first.version not in [version.name for version in versions.versions(paths)]
        assert reader.execute("select max(as_of_date) from user_segment_daily").fetchone() == (FIRST,)


def test_version_in_force_is_found_while_the_oldest_is_pruned(working, paths, monkeypatch):
    for number in range(2):
        working.build(FIRST + timedelta(days=number))
        publish(paths, FIRST + timedelta(days=number))
    oldest, newest = versions.versions(paths)
    read = Path.read_text

    def prune_first(path: Path, *arguments: object) -> str:
        if oldest.folder.exists():
            oldest.folder.rename(oldest.folder.with_name(f".building-{oldest.name}"))
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", prune_first)
    assert versions.current(paths) == newest


def test_duckdb_1_reads_the_published_file(working, paths, tmp_path):
    """BI drivers bundle DuckDB 1.x for years to come."""
    working.build(FIRST)
    publish(paths, FIRST)
    target = tmp_path / "duckdb_1"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    try:
        subprocess.run([*install, "duckdb>=1.4,<2"], check=True, capture_output=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"DuckDB 1.x could not be installed beside ours, so its reading was not tested: {error}")
    in_force = versions.current(paths)
    assert in_force is not None
    script = """
        import duckdb, sys
        assert duckdb.__version__.startswith("1."), duckdb.__version__
        connection = duckdb.connect(sys.argv[1], read_only=True)
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
        for schema, table in tables:
            connection.execute(f'select * from "{schema}"."{table}"').fetchall()
        print(len(tables))
    """
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-c", textwrap.dedent(script), str(in_force.database)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(in_force.database), read_only=True) as connection:
        count = connection.execute("select count(*) from duckdb_tables()").fetchone()
    assert (int(done.stdout),) == count
