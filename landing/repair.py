"""Repairs what was taken in: accept, withdraw, replay, and the release of rows whose day has come.

Nothing is edited: each decision is a further line of the ledger, and what a replay finds good is
written beside what was landed before it. The line is the commit point here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import journal
from cli import UsageError
from landing import contracts, incoming, ledger, pseudonyms, quarantine
from landing.chunk import UNTAKEABLE, Arrival, Chunk, Landed, Replay, cannot_take, cut
from landing.incoming import IncomingFile
from landing.ledger import LedgerFile
from landing.shops import Shop, Source
from landing.workplace import Workplace, alone
from settings import ShopPaths


def accept(paths: ShopPaths, name: str, reason: str) -> list[LedgerFile]:
    """Let held files of a batch count, or one file; also one that was withdrawn after it was landed.

    Returns
    -------
    list of LedgerFile
        The files that count now and did not before.

    Raises
    ------
    UsageError
        When there is no such batch or file, or all of it is refused or waits: nothing of it was landed.
    """
    with alone(paths):
        chosen = ledger.choose(paths, name)
        landed = {
            line["file_id"] for line in journal.read(paths.ledger) if line["status"] in ("accepted", "held")
        }
        absent = [file for file in chosen if file.file_id not in landed and file.status != "withdrawn"]
        if absent == chosen:
            raise UsageError(
                f"{absent[0].file_name} is {absent[0].status}, so nothing of it was landed that could count: "
                f"repair what `python -m landing ledger --shop {paths.shop}` says of it, then receive it "
                "again"
            )
        is_one = len(chosen) == 1
        changed = [
            file
            for file in chosen
            if file.status == "held" or (is_one and file.status == "withdrawn" and file.file_id in landed)
        ]
        ledger.set_status(paths, [file.file_id for file in changed], "accepted", [reason])
        return changed


def withdraw(paths: ShopPaths, name: str, reason: str) -> list[LedgerFile]:
    """Let nothing of a batch or file count any more; return the files that were not withdrawn before.

    Raises
    ------
    UsageError
        When there is no such batch or file, or all of it waits: then there is nothing to withdraw.
    """
    with alone(paths):
        chosen = ledger.choose(paths, name)
        waiting = [file for file in chosen if file.status == "waiting"]
        if waiting == chosen:
            raise UsageError(
                f"{waiting[0].file_name} waits, so nothing of it was landed: take it out of "
                f"{waiting[0].folder}, and the next receive forgets it"
            )
        changed = [file for file in chosen if file.status not in ("withdrawn", "waiting")]
        ledger.set_status(paths, [file.file_id for file in changed], "withdrawn", [reason])
        return changed


def release(place: Workplace) -> list[LedgerFile]:
    """Take in the rows whose day has come.

    That is the latest complete day of the shop, whatever the clock of this machine says.
    """
    today = ledger.latest_complete_day(place.paths.shop)
    names = {source.name for source in place.shop.sources}
    due = [
        file
        for file in ledger.accepted(place.paths)
        if file.due_on and today and file.due_on <= today and file.source in names
    ]
    return replay(place, due, Replay(due=today, only_due=True))


def replay_all(place: Workplace, files: Sequence[LedgerFile]) -> list[LedgerFile]:
    """Read every quarantined row of some files again, after a contract or the mapping has changed."""
    today = ledger.latest_complete_day(place.paths.shop)
    return replay(place, [file for file in files if file.rows_quarantined], Replay(due=today, only_due=False))


def replay(place: Workplace, files: Sequence[LedgerFile], what: Replay) -> list[LedgerFile]:
    """Read quarantined rows again and commit what became of their files.

    A row that is good now is landed under its old file and number, so repeating a replay adds nothing.
    A file stays held where the border held it, and where too many of its rows are still bad.

    Raises
    ------
    UsageError
        When the shop's file no longer has the source of some file, or has an expression that cannot take
        a value of it.
    """
    before = {file.file_id: file for file in files}
    decisions: list[LedgerFile] = []
    for chunk in _chunks(place, files, what):
        try:
            landed = chunk.land(place.connection, pseudonyms.key(place.paths))
        except UNTAKEABLE:
            names = ", ".join(arrival.file.name for arrival in chunk.arrivals)
            raise UsageError(f"quarantined rows of {names}: {cannot_take(chunk.source)}") from None
        after = [
            _decision(before[arrival.file.file_id], arrival, result)
            for arrival, result in zip(chunk.arrivals, landed, strict=True)
        ]
        ledger.commit(place.paths, (file for file in after if not _says_the_same(file, before[file.file_id])))
        decisions += after
    return decisions


def _chunks(place: Workplace, files: Sequence[LedgerFile], what: Replay) -> Iterator[Chunk]:
    groups: dict[tuple[object, ...], list[Arrival]] = {}
    headers: dict[str, tuple[str, ...]] = {}
    for file in files:
        header = _stored_header(place.paths, file, what)
        if header is not None:
            arrival = _arrival(place.shop, file)
            headers[file.file_id] = header
            key = (file.source, arrival.file.format, arrival.day is None, header)
            groups.setdefault(key, []).append(arrival)
    for arrivals in groups.values():
        for part in cut(arrivals):
            first = part[0].file
            header = headers[first.file_id]
            yield Chunk(place.shop, place.paths, first.source, tuple(part), header, place.scratch, what)


def _stored_header(paths: ShopPaths, file: LedgerFile, what: Replay) -> tuple[str, ...] | None:
    """Return the columns of a file's quarantined rows, none for jsonl; None where no row is read again."""
    stored = quarantine.stored(paths, ledger.part_name(file.file_id, file.part))
    raw = next((row["raw"] for row in stored if what.takes(row)), None)
    return tuple(raw) if isinstance(raw, dict) else None if raw is None else ()


def _arrival(shop: Shop, file: LedgerFile) -> Arrival:
    path = Path(file.folder or ".") / file.file_name
    format_ = incoming.format_of(path)
    assert format_ is not None
    again = IncomingFile(path, _source(shop, file), format_, file.file_id, file.content_hash, size=0)
    return Arrival(again, file.delivered_on or "row", file.part + 1)


def _source(shop: Shop, file: LedgerFile) -> Source:
    for source in shop.sources:
        if source.name == file.source:
            return source
    raise UsageError(
        f"{file.file_name} was read by the source {file.source!r}, and shops/{shop.shop}.yml has none of "
        "that name now: give the source its name back, then replay"
    )


def _says_the_same(after: LedgerFile, before: LedgerFile) -> bool:
    """Whether a replay found what was known: then it is no decision, and what it wrote is swept away."""
    return after.model_copy(update={"part": before.part, "decided_at": before.decided_at}) == before


def _decision(before: LedgerFile, arrival: Arrival, result: Landed) -> LedgerFile:
    """Return the line of a replayed file; its counts are those of the whole file, as before."""
    source = arrival.file.source
    # The file is judged by its share of bad rows as when it was landed, so whole counts stand here.
    result.rows_in, result.rows_duplicate = before.rows_in, before.rows_duplicate
    result.rows_quarantined = result.rows_set_aside
    update = {
        "rows_good": result.rows_good,
        "rows_quarantined": result.rows_quarantined,
        "tables": (*before.tables, *result.tables),
        "due_on": result.due_on,
        "part": arrival.part,
        "delivers": tuple(dict.fromkeys((*before.delivers, *source.tables))),
        "contract_version": contracts.version(tuple(source.tables)),
        "mapping_version": source.version,
        "decided_at": journal.now(),
    }
    if before.status == "held" and before.held_at == "landing":
        too_many = result.too_many_quarantined(source)
        update |= {
            "status": "held" if too_many else "accepted",
            "held_at": "landing" if too_many else None,
            "reasons": (too_many or "replayed",),
        }
    return before.model_copy(update=update)
