"""The on-call page: what is published, what stands in the way, and the command that repairs it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import journal
from cli import ShoalError
from landing import ledger, quarantine
from ml import waiting
from serving import versions
from serving.publish import age
from settings import ShopPaths

STOPPING = ("fail", "could_not_check")
UNPUBLISHED_SHOWN = 5
"""Days that are named, the newest; those before them are counted."""


@dataclass(frozen=True)
class Line:
    """One line of the page; ``repair`` is what to type where something is wrong."""

    subject: str
    state: str
    repair: str | None = None


def lines(paths: ShopPaths) -> list[Line]:
    """Return the page of one shop, most important first."""
    return [
        *_complete_day(paths),
        *_version(paths),
        *_unpublished(paths),
        *_pin(paths),
        *_unsettled(paths),
        *_quarantine(paths),
        *_gates(paths),
        *_training(paths),
    ]


def _complete_day(paths: ShopPaths) -> Iterator[Line]:
    command = f"python -m landing receive <folder> --shop {paths.shop}"
    try:
        day = ledger.latest_complete_day(paths.shop)
    except (ShoalError, FileNotFoundError) as error:
        yield Line("last complete day", str(error), command)
        return
    yield Line("last complete day", str(day) if day else "none", None if day else command)


def _version(paths: ShopPaths) -> Iterator[Line]:
    version = versions.current(paths)
    if version is None:
        yield Line("version", "nothing published", f"python -m serving publish --shop {paths.shop}")
        return
    state = f"{version.name}, as of {version.manifest['as_of_date']}, published {age(version.published_at)}"
    if because := version.manifest.get("degraded_because"):
        state += f"; degraded: {because}"
    yield Line("version", state)


def _unpublished(paths: ShopPaths) -> Iterator[Line]:
    """Name complete days that no run has published: Airflow hands a day that met a paused DAG to nobody."""
    published = versions.days(paths)
    try:
        complete = ledger.complete_days(paths.shop)
    except (ShoalError, FileNotFoundError):
        return
    # What was landed before the first publish is history.
    missing = sorted(day for day in complete - {*published} if published and day > published[0])
    named = missing[-UNPUBLISHED_SHOWN:]
    if earlier := missing[: -len(named)]:
        yield Line(
            "days before",
            f"{len(earlier)} more, from {earlier[0]} to {earlier[-1]}, are complete and not published",
            f"as below, the oldest first: {rerun(paths.shop, earlier[0])}",
        )
    for day in named:
        passed = f", while {published[-1]} is" if day < published[-1] else ""
        yield Line(
            f"day {day}",
            f"complete, not published{passed}",
            "look at its run of publish_segments; if there is none, a DAG was paused: unpause it, then "
            + rerun(paths.shop, day),
        )


def rerun(shop: str, day: date) -> str:
    """Return the command that takes a day through the whole chain again; what is done is found done."""
    conf = json.dumps({"shop": shop, "as_of_date": str(day)})
    return f"python -m orchestrate airflow dags trigger land_behaviour --conf '{conf}'"


def _pin(paths: ShopPaths) -> Iterator[Line]:
    if name := versions.pinned(paths):
        waiting = [version.name for version in versions.versions(paths) if version.name > name]
        state = f"pinned to {name}; {len(waiting)} newer built and not shown"
        yield Line("pin", state, f"python -m serving release --shop {paths.shop}")


def _unsettled(paths: ShopPaths) -> Iterator[Line]:
    batches: dict[tuple[str, str], list[ledger.LedgerFile]] = {}
    for file in ledger.unsettled(paths):
        batches.setdefault((file.status, file.batch_id), []).append(file)
    for (status, batch), files in batches.items():
        names = ", ".join(file.file_name for file in files[:3]) + (" …" if len(files) > 3 else "")
        reasons = "; ".join(sorted({reason for file in files for reason in file.reasons}))
        if status == "waiting":
            since = datetime.fromisoformat(min(file.landed_at for file in files))
            reasons = f"since {since:%Y-%m-%d %H:%M} UTC, {age(since)}: {reasons}"
        state = f"{len(files)} files ({names}): {reasons}"
        yield Line(f"{status} batch {batch}", state, _remedy(paths.shop, status, batch, files))


def _remedy(shop: str, status: str, batch: str, files: list[ledger.LedgerFile]) -> str:
    """Say what to type about files that do not count."""
    # Of a batch, withdraw takes what counts too.
    withdraw = f"python -m landing withdraw {files[0].file_id if len(files) == 1 else '<file>'} --shop {shop}"
    if status == "held":
        return (
            "compare with the source; if they are right, "
            f"python -m landing accept {batch} --shop {shop}; if not, {withdraw} and receive corrected ones; "
            f"after a change of mapping or contract, python -m landing replay {batch} --shop {shop}"
        )
    if status == "refused":
        return (
            f"correct them at their source, or correct shops/{shop}.yml, then "
            f"python -m landing replay {batch} --shop {shop}; to go on without them, {withdraw}"
        )
    return f"once they are whole, python -m landing receive <folder> --shop {shop}; else send them again"


def _quarantine(paths: ShopPaths) -> Iterator[Line]:
    rows: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    lost = quarantine.lost(paths)
    for file in lost:
        yield Line(
            "quarantine, missing",
            f"{file.rows_quarantined:,} bad rows of {file.file_name}: "
            f"{quarantine.path(paths, ledger.part_name(file.file_id, file.part))} is not there",
            f"put it back from a backup; else python -m landing withdraw {file.file_id} --shop {paths.shop}, "
            "and receive the file again under another name",
        )
    for row in quarantine.rows(paths, without=lost):
        where = (row["status"], str(row["table"]))
        rows[where] += 1
        reasons[where].update(row["reasons"])
    for (status, table), count in rows.most_common():
        told = "; ".join(f"{reason} {each:,}" for reason, each in reasons[status, table].most_common())
        yield Line(f"quarantine, {status}", f"{count:,} rows of {table}: {told}")
    if any(status == "open" for status, _ in rows):
        yield Line(
            "quarantine",
            f"python -m landing quarantine --shop {paths.shop} lists the files",
            "correct the rows at their source and receive them again; or correct a contract or "
            f"shops/{paths.shop}.yml, then python -m landing replay <file> --shop {paths.shop}",
        )


def _gates(paths: ShopPaths) -> Iterator[Line]:
    last: dict[str, list[journal.Record]] = {}
    for record in journal.read(paths.ops / "data_quality.jsonl"):
        border = str(record["border"])
        is_same = border in last and last[border][0]["validation_id"] == record["validation_id"]
        last[border] = [*last[border], record] if is_same else [record]
    for border, records in last.items():
        outcomes = Counter(str(record["outcome"]) for record in records)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        yield Line(f"gate {border}", f"as of {records[0].get('as_of_date')}: {counts}")
        yield from (_finding(paths, record) for record in records if record["outcome"] in STOPPING)


def _finding(paths: ShopPaths, record: journal.Record) -> Line:
    where = ".".join(str(record[name]) for name in ("table", "column") if record.get(name))
    state = f"{record['outcome']}: {record['expectation']} on {where}: found {record['observed']}"
    if record.get("severity") != "error":
        return Line(f"gate {record['border']}", f"warning, {state}")
    as_of = f" --as-of {record['as_of_date']}" if record.get("as_of_date") else ""
    again = f"python -m expectations {record['border']} --shop {paths.shop}{as_of}"
    return Line(f"gate {record['border']}", state, f"repair what it names, then {again}")


def _training(paths: ShopPaths) -> Iterator[Line]:
    """Name trainings that MLflow keeps waiting; scores come from the champion in force meanwhile."""
    for day, record in waiting.since(paths).items():
        since = datetime.fromisoformat(record["recorded_at"])
        yield Line(
            f"training {day}",
            f"waits for MLflow since {since:%Y-%m-%d %H:%M} UTC, {age(since)}: {record['because']}",
            "Airflow tries again, within an hour, for a day; at once, or after that: "
            f"python -m ml train --shop {paths.shop} --as-of {day}",
        )
