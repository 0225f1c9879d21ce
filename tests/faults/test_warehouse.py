"""The working warehouse damaged, or wanted by many: what is lost is found, who is in the way is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest

import settings
import warehouse
from cli import ShoalError
from landing import ledger
from settings import ShopPaths
from tests import taobao, world
from tests.chain import Chain
from tests.dbt import landed
from tests.dbt.conftest import use_shop_folder
from warehouse import follow, ops, steps
from warehouse.build import build_bi

DAY = world.LAST_DAY
RUNBOOK = settings.ROOT / "docs" / "operations.md"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopPaths:
    """The world's shop with its first and last day landed, so that the last day is complete."""
    paths = use_shop_folder(monkeypatch, tmp_path)
    for day in (world.FIRST_DAY, world.LAST_DAY):
        for table, rows in world.DELIVERIES[day].items():
            landed.deliver(paths, day, table, rows)
    return paths


def leave_a_log(paths: ShopPaths, script: str) -> Path:
    """Run a script that ends without closing the warehouse; return the write-ahead log that it leaves."""
    setup = f"""
        import os, datetime
        import warehouse
        from settings import ShopPaths
        from warehouse import follow, ops, steps
        paths, day = ShopPaths("{paths.shop}"), datetime.date(2026, 4, 30)
        door = warehouse.connect(paths, "a test")
        connection = door.__enter__()
    """
    whole = textwrap.dedent(setup) + script + "\nos._exit(0)\n"
    done = subprocess.run(
        [sys.executable, "-c", whole], cwd=settings.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    log = paths.warehouse.with_name("warehouse.duckdb.wal")
    assert log.stat().st_size > 100
    return log


def tear(log: Path, lost_bytes: int) -> None:
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - lost_bytes)


def flip(log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0x10
    log.write_bytes(content)


PROCESS = """
ops.create(connection)
follow.load_ledger(connection, paths)
follow.note_touched(connection)
follow.mark_processed(connection, "digest", [])
"""


def touched(paths: ShopPaths) -> int:
    with warehouse.connect(paths, "a test") as connection:
        ops.create(connection)
        follow.load_ledger(connection, paths)
        return follow.note_touched(connection)


def test_files_of_a_build_whose_last_commit_was_torn_off_are_followed_again(paths: ShopPaths) -> None:
    leave_a_log(paths, PROCESS)
    assert touched(paths) == 0
    paths.warehouse.unlink()
    tear(leave_a_log(paths, PROCESS), lost_bytes=10)
    assert touched(paths) == len(ledger.accepted(paths))


@pytest.mark.parametrize(("step", "command"), [("build core", "warehouse build core"), ("score", "ml score")])
def test_lost_commit_of_a_step_stops_the_next_one_with_its_remedy(
    paths: ShopPaths, step: str, command: str
) -> None:
    note = f'steps.note(connection, paths, "build core", day)\nsteps.note(connection, paths, "{step}", day)'
    tear(leave_a_log(paths, note), lost_bytes=10)
    with pytest.raises(
        ShoalError, match=f"has lost what `{command}` of {DAY} .* run python -m {command} --shop"
    ):
        build_bi(paths, DAY)
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, step, DAY)  # the command was repeated
        steps.require(connection, paths, step, DAY)
        steps.require(connection, paths, step, date(2026, 1, 1))  # never done, so never lost


def test_warehouse_made_anew_has_lost_nothing(paths: ShopPaths) -> None:
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, "score", DAY)
    paths.warehouse.unlink()
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, "build core", DAY)
        steps.require(connection, paths, "score", DAY)


def runbook(heading: str) -> list[str]:
    """Return the commands of a section of the runbooks."""
    section = RUNBOOK.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n### ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def test_flipped_log_opens_nothing_and_the_runbook_brings_the_warehouse_back(paths: ShopPaths) -> None:
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, "build core", DAY)
    log = leave_a_log(paths, PROCESS + 'steps.note(connection, paths, "score", day)')
    flip(log)
    files = {path: path.read_bytes() for path in (paths.warehouse, log)}
    with pytest.raises(
        ShoalError, match="wal is damaged, and nothing was deleted: follow “The warehouse does not open”"
    ):
        touched(paths)
    assert {path: path.read_bytes() for path in files} == files

    move, *rest = runbook("The warehouse does not open")
    shown = move.replace("data/<shop>", str(paths.root))
    subprocess.run(shown, shell=True, check=True)
    assert not log.exists() and paths.warehouse.exists()
    # What the log held is found missing: the files are followed again, and the scores have to be repeated.
    with pytest.raises(ShoalError, match="run python -m ml score"):
        build_bi(paths, DAY)
    assert touched(paths) > 0
    assert [line.split(" --")[0] for line in rest] == [
        "python -m warehouse build core",
        "python -m expectations ml_inputs",
        "python -m ml score",
        "python -m warehouse build bi",
        "python -m expectations bi",
        "python -m serving publish",
    ]


def type_in(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Type a line of a runbook where ``data/`` lies, as the shell takes it."""
    environment = settings.environment(
        SHOAL_DATA=str(folder / "data"),
        PYTHONPATH=str(settings.ROOT),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    return subprocess.run(
        words, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.deep
def test_runbook_of_a_damaged_log_holds_word_for_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build dies after its commit, whose log is flipped; the day ends as it does where nothing broke."""
    drops, tomorrow = tmp_path / "drops", tmp_path / "tomorrow"
    *_, last = taobao.write(drops, users=120, days=120)  # what tests/e2e/test_taobao.py needs
    tomorrow.mkdir()
    last.rename(tomorrow / last.name)
    chain, whole = (Chain("taobao", tmp_path / name) for name in ("data", "whole"))
    chain.go(drops, "--steps", "30")
    day = chain.land(tomorrow)
    shutil.copytree(chain.data, whole.data, symlinks=True)
    whole.run("warehouse", "build", "core", "--as-of", day)
    whole.run("ml", "score", "--as-of", day)
    whole.publish(day)

    monkeypatch.setenv("SHOAL_DATA", str(chain.data))
    flip(leave_a_log(ShopPaths(chain.shop), PROCESS))
    typed = [line.replace("<shop>", chain.shop) for line in runbook("The warehouse does not open")]
    assert "wal is damaged" in " ".join(type_in(tmp_path, typed[1]).stderr.split())
    for words in typed:
        done = type_in(tmp_path, words)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    assert newest(chain) == newest(whole)
    assert newest(chain)[0] == day


def newest(chain: Chain) -> tuple[str, dict[str, str]]:
    """Return the day that is served, and the content of its tables."""
    link = chain.folder / "serving" / "current"
    manifest = json.loads((link.resolve() / "manifest.json").read_text())
    return manifest["as_of_date"], manifest["content_hashes"]


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_foreign_program_in_the_warehouse_is_named_and_waited_for(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.root.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(paths.warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin
        holder.stdout.readline()
        monkeypatch.setattr(warehouse, "FOREIGN_TIMEOUT_SECONDS", 0.5)
        with (
            pytest.raises(ShoalError, match=rf"did not ask for the lock .*PID {holder.pid}"),
            warehouse.connect(paths, "a test"),
        ):
            pass
        assert f"PID {holder.pid}" in capsys.readouterr().err
        monkeypatch.setattr(warehouse, "FOREIGN_TIMEOUT_SECONDS", 60)
        holder.stdin.close()
        with warehouse.connect(paths, "a test") as connection:
            assert connection.execute("select 1").fetchone() == (1,)


SIXTEENTH = """
import sys, warehouse
from settings import ShopPaths
for number in range(3):
    with warehouse.connect(ShopPaths("world"), f"task {sys.argv[1]}") as connection:
        connection.execute("create table if not exists counted (task int, number int)")
        connection.execute("insert into counted values (?, ?)", [int(sys.argv[1]), number])
"""


def test_sixteen_tasks_that_want_the_warehouse_at_once_all_get_it(paths: ShopPaths) -> None:
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", SIXTEENTH, str(number)], cwd=settings.ROOT, stderr=subprocess.PIPE
        )
        for number in range(16)
    ]
    ends = [(task.communicate(timeout=120)[1], task.returncode) for task in tasks]
    assert [code for _, code in ends] == [0] * 16, ends
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        assert connection.execute("select count(*), count(distinct task) from counted").fetchone() == (48, 16)
