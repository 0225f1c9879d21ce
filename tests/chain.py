"""The chain as a person types it: the commands that the DAGs run, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import settings
from tests.warm import Warm

ROOMS = (
    *("landing.__main__", "expectations.gates", "warehouse.build", "dbt.cli.main", "dbt.adapters.duckdb"),
    *("ml.train", "ml.score", "ml.tracking", "serving.__main__"),
)


@cache
def _warm() -> Warm:
    """Return the process that all chains of this process run their commands in."""
    return Warm(ROOMS, COLUMNS="160", NO_COLOR="1")


@dataclass
class Chain:
    """One shop's chain on a data folder of its own."""

    shop: str
    data: Path
    said: dict[str, str] = field(default_factory=dict)
    run_number: int = 0

    @property
    def folder(self) -> Path:
        return self.data / self.shop

    @property
    def drops(self) -> Path:
        return self.folder / "drops"

    @property
    def tomorrow(self) -> Path:
        return self.folder / "tomorrow"

    def run(self, *words: str, expect: int = 0) -> str:
        """Run ``python -m <words> --shop <shop>`` and return what it printed to stdout."""
        return self._python(*words, "--shop", self.shop, expect=expect)

    def simulate(self, *options: str) -> None:
        """Write what the simulated shop drops."""
        self._python("landing", "simulate", *options)

    def hold_back_the_last_day(self) -> None:
        """Move the files of the last day from ``drops`` to ``tomorrow``."""
        last = max(file.name.split("_")[-1][:10] for file in self.drops.glob("events_*"))
        self.tomorrow.mkdir()
        for file in list(self.drops.glob(f"*_{last}.*")):
            file.rename(self.tomorrow / file.name)

    def _python(self, *words: str, expect: int = 0) -> str:
        self.data.mkdir(parents=True, exist_ok=True)
        shops, run_id = str(settings.shops_dir()), f"run-{self.run_number}"
        done = _warm().command(*words, data=self.data, SHOAL_SHOPS=shops, SHOAL_RUN_ID=run_id)
        self.said[" ".join(words[:2])] = done.said
        assert done.code == expect, f"{' '.join(words)}: {done.code}\n{done.said[-4000:]}"
        return done.answer

    def land(self, folder: Path) -> str:
        """Begin a run: land a folder; return the latest complete day."""
        self.run_number += 1
        self.run("landing", "receive", str(folder))
        self.run("expectations", "incoming")
        return self.run("landing", "latest-day").strip()

    def go(self, folder: Path, *training: str) -> str:
        """Run everything from files to a published version; return the as_of_date."""
        day = self.land(folder)
        self.run("warehouse", "build", "core", "--as-of", day)
        self.run("expectations", "ml_inputs", "--as-of", day)
        self.run("ml", "train", "--as-of", day, *training)
        self.run("ml", "score", "--as-of", day)
        self.publish(day)
        return day

    def publish(self, day: str) -> None:
        self.run("warehouse", "build", "bi", "--as-of", day)
        self.run("expectations", "bi", "--as-of", day)
        self.run("serving", "publish", "--as-of", day)

    def query(self, sql: str) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = json.loads(self.run("serving", "query", "--format", "json", sql))
        return answer

    def value(self, sql: str) -> Any:
        (row,) = self.query(sql)
        (value,) = row.values()
        return value

    def records(self, table: str) -> Iterator[dict[str, Any]]:
        path = self.data / self.shop / "ops" / f"{table}.jsonl"
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())
