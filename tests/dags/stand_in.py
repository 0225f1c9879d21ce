"""A checkout whose rooms are stand-ins: real DAGs and settings, commands that only note their call.

What Airflow does with the DAGs (keys, assets, skips, retries) is seen here in a minute, without any data.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import settings

ROOM = """
import json, os, sys, fcntl, time
from pathlib import Path

home = Path(__file__).parent.parent / "data"
answers = json.loads((home / "answers.json").read_text())
words = [{room!r}, *sys.argv[1:]]
names = ("SHOAL_SHOP", "SHOAL_RUN_ID", "SHOAL_DAG_RUN_ID", "FORCE")
with (home / "calls.jsonl").open("a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    call = {{"words": words, "at": time.time(), **{{name: os.environ.get(name) for name in names}}}}
    file.write(json.dumps(call) + "\\n")
line = " ".join(words)
print("called", line, file=sys.stderr)
for answer in answers:
    if line.startswith(answer["to"]) and answer.get("shop") in (None, os.environ.get("SHOAL_SHOP")):
        while not (home / answer.get("waits_for", "")).exists():
            time.sleep(0.1)
        print(answer.get("says", ""))
        sys.exit(answer.get("code", 0))
"""
DAILY = '"0 6 * * *", timezone=runs.shop_time_zone()'
WAITS = "timedelta(minutes=1), timedelta(hours=1)"
ROOMS = ("landing", "warehouse", "expectations", "ml", "serving")


def build(folder: Path) -> None:
    """Copy what Airflow runs into ``folder`` and put a stand-in into every room.

    The daily landing was due some minutes ago, whenever that is; who waits for a server tries
    every 10 s: Airflow hears of a task's end up to six seconds later, and takes a sooner try for failed.
    """
    for name in ("settings.py", "cli.py", "journal.py"):
        shutil.copy(settings.ROOT / name, folder)
    for name in ("dags", "orchestrate", "shops"):
        shutil.copytree(settings.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for room in ROOMS:
        (folder / room).mkdir()
        (folder / room / "__init__.py").touch()
        (folder / room / "__main__.py").write_text(ROOM.format(room=room))
    # Airflow's door is the dashboard's.
    door = Path("serving") / "dashboard" / "door.py"
    (folder / door).parent.mkdir()
    shutil.copy(settings.ROOT / door, folder / door)
    dag = folder / "dags" / "land_behaviour.py"
    due = datetime.now(UTC) - timedelta(minutes=5)
    assert DAILY in dag.read_text()
    dag.write_text(dag.read_text().replace(DAILY, f'"{due:%M %H} * * *", timezone="UTC"'))
    commands = folder / "dags" / "common" / "commands.py"
    assert WAITS in commands.read_text()
    commands.write_text(commands.read_text().replace(WAITS, "timedelta(seconds=10), timedelta(seconds=10)"))
    (folder / "data").mkdir()
    answer(folder, [])


def answer(folder: Path, answers: list[dict[str, Any]]) -> None:
    """Say what commands print and how they exit; the first whose ``to`` begins the command counts.

    One that ``waits_for`` a file in the data folder ends when it is there.
    """
    (folder / "data" / "answers.json").write_text(json.dumps(answers))


def calls(folder: Path) -> list[dict[str, Any]]:
    """Return the commands that were called, oldest first; the last line may be half written yet."""
    journal = folder / "data" / "calls.jsonl"
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
