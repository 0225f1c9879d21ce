"""The on-call page: what is published, what stands in the way, and the command that repairs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import journal
from cli import ShoalError
from landing import ledger, quarantine
from serving import versions
from serving.publish import age
from settings import ShopPaths


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
        *_pin(paths),
        *_held(paths),
        *_quarantine(paths),
        *_gates(paths),
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
    yield Line("version", state, _behind(paths, version))


def _behind(paths: ShopPaths, version: versions.Version) -> str | None:
    try:
        day = ledger.latest_complete_day(paths.shop)
    except (ShoalError, FileNotFoundError):
        return None
    newest = max(date.fromisoformat(known.manifest["as_of_date"]) for known in versions.versions(paths))
    if day is None or newest >= day:
        return None
    return (
        f"{day} is complete but not published: look at the newest run of publish_segments, "
        f"or python -m serving publish --shop {paths.shop} --as-of {day}"
    )


def _pin(paths: ShopPaths) -> Iterator[Line]:
    if name := versions.pinned(paths):
        waiting = [version.name for version in versions.versions(paths) if version.name > name]
        state = f"pinned to {name}; {len(waiting)} newer built and not shown"
        yield Line("pin", state, f"python -m serving release --shop {paths.shop}")


def _held(paths: ShopPaths) -> Iterator[Line]:
    held = [file for file in ledger.files(paths) if file.status == "held"]
    for batch in sorted({file.batch_id for file in held}):
        names = [file.file_name for file in held if file.batch_id == batch]
        reasons = "; ".join(
            sorted({reason for file in held if file.batch_id == batch for reason in file.reasons})
        )
        state = f"{len(names)} files ({', '.join(names[:3])}{' …' if len(names) > 3 else ''}): {reasons}"
        command = f"python -m landing accept {batch} --shop {paths.shop}   (or withdraw, replay)"
        yield Line(f"held batch {batch}", state, command)


def _quarantine(paths: ShopPaths) -> Iterator[Line]:
    reasons: Counter[tuple[str, str, str]] = Counter()
    for row in quarantine.rows(paths):
        reasons.update((row["status"], str(row["table"]), reason) for reason in row["reasons"])
    for (status, table, reason), count in reasons.most_common():
        repair = None
        if status == "open":
            repair = (
                f"correct the rows at their source, then python -m landing receive <file> --shop {paths.shop}"
            )
        yield Line(f"quarantine, {status}", f"{count:,} rows of {table}: {reason}", repair)


def _gates(paths: ShopPaths) -> Iterator[Line]:
    latest: dict[str, list[journal.Record]] = {}
    for record in journal.read(paths.ops / "data_quality.jsonl"):
        border = str(record.get("border"))
        run = latest.get(border, [{}])[0].get("run_id")
        latest[border] = [*latest[border], record] if run == record.get("run_id") and run else [record]
    for border, records in latest.items():
        outcomes = Counter(str(record.get("outcome")) for record in records)
        yield Line(f"gate {border}", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
        for record in records:
            if record.get("outcome") not in ("pass", "not-applicable", "not_applicable"):
                name = f"{record.get('table_name') or record.get('table') or ''} {record.get('expectation')}".strip()
                state = f"{record.get('outcome')}: {name}: {record.get('message') or record.get('observed')}"
                yield Line(f"gate {border}", state, f"python -m expectations {border} --shop {paths.shop}")
