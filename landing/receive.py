"""Receives what a shop dropped: decides about each file, lands it, commits it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import journal
import settings
from cli import Progress
from landing import contracts, incoming, ledger, pseudonyms, readers, repair, whole
from landing.chunk import UNTAKEABLE, Arrival, Chunk, Landed, cannot_take, cut
from landing.incoming import IncomingFile
from landing.ledger import LedgerFile
from landing.shops import Shop, Source
from landing.workplace import Workplace, workplace


@dataclass
class Report:
    """What one call of :func:`receive` found and did, in the order of the file names."""

    ignored: list[Path] = field(default_factory=list)
    waiting: list[LedgerFile] = field(default_factory=list)
    already_landed: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    landed: list[LedgerFile] = field(default_factory=list)
    refused: list[LedgerFile] = field(default_factory=list)
    still_held: list[LedgerFile] = field(default_factory=list)
    released: list[LedgerFile] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def held(self) -> list[LedgerFile]:
        """The files that a person must decide about, held now or before."""
        return [file for file in self.landed if file.status == "held"] + self.still_held

    def stops(self, shop: Shop) -> bool:
        """Whether nothing should be published from this delivery."""
        return bool(self.held or any(is_required(file, shop) for file in self.refused))


def is_required(file: LedgerFile, shop: Shop) -> bool:
    """Whether a file speaks for a table that the shop requires."""
    return bool(set(file.delivers) & set(shop.required))


def receive(
    shop: Shop,
    target: Path,
    delivered_on: date | None = None,
    is_history: bool = False,
) -> Report:
    """Land every new file of a folder, or one file, and commit each by its line in the ledger.

    Safe to repeat, and to be killed at any point: what was not committed is written again.

    Raises
    ------
    UsageError
        When there is no such file or folder.
    """
    folder = (target if target.is_dir() else target.parent).resolve()
    target = folder if target.is_dir() else folder / target.name
    found = incoming.find(target, shop)
    markers = {marker for path, source in found.known for marker in whole.markers(path, source)}
    report = Report(ignored=[path for path in found.ignored if path not in markers])
    with workplace(shop, folder) as place:
        still, moving, closed = _settled(found.known)
        barred = [
            (incoming.unopened(path, source), reason) for path, source, reason in [*found.barred, *closed]
        ]
        batch_id = incoming.batch_id([*still, *(file for file, _ in barred)])
        call = Call(place, batch_id, delivered_on, is_history, report)
        for file in moving:
            call.wait(file, "it is being written")
        call.refuse_unopened(barred)
        call.receive(still)
        call.forget_waits(target)
        report.released = repair.release(place)
    return report


def _settled(
    known: Sequence[tuple[Path, Source]],
) -> tuple[list[IncomingFile], list[IncomingFile], list[tuple[Path, Source, str]]]:
    """Read the files that lie still; return them, those that somebody writes, and those closed to us.

    What is gone is gone.
    """
    states = {path: incoming.state_of(path) for path, _ in known}
    incoming.let_settle(states.values(), settings.quiet_seconds())
    still: list[IncomingFile] = []
    moving: list[IncomingFile] = []
    closed: list[tuple[Path, Source, str]] = []
    with Progress("reading file names", len(known), "files") as progress:
        for path, source in known:
            progress.advance(1)
            try:
                file = incoming.fingerprint(path, source)
            except FileNotFoundError:
                continue
            except PermissionError:
                closed.append((path, source, f"user {os.geteuid()} may not read it: give the right to"))
                continue
            is_still = file.is_as_it_was and file.state == states[path]
            (still if is_still else moving).append(file)
    return still, moving, closed


def _under_name(held: LedgerFile, name: str) -> LedgerFile:
    """Tell of a held file, or of its content under another name."""
    if name == held.file_name:
        return held
    reason = f"it has the content of {held.file_name}, which is held"
    return held.model_copy(update={"file_name": name, "reasons": (reason,)})


def _is_told_otherwise(refusal: LedgerFile, last: LedgerFile) -> bool:
    """Whether a refusal has another reason than the last, or another day, by which a replay would go."""
    said = ("reasons", "delivered_on", "is_history")
    return any(getattr(refusal, name) != getattr(last, name) for name in said)


@dataclass(frozen=True)
class Call:
    """One call of :func:`receive` under way."""

    place: Workplace
    batch_id: str
    delivered_on: date | None
    is_history: bool
    report: Report

    def receive(self, files: Sequence[IncomingFile]) -> None:
        """Land the new files; of several with the same content the first, then those it did not settle."""
        firsts: dict[tuple[str, object], IncomingFile] = {}
        for file in files:
            firsts.setdefault((file.content_hash, self._scope(file)), file)
        paths = {file.path for file in firsts.values()}  # the same name may lie in two folders
        self._land_new(list(firsts.values()))
        self._land_new([file for file in files if file.path not in paths])

    def refuse_unopened(self, barred: Sequence[tuple[IncomingFile, str]]) -> None:
        """Refuse files by their names alone, unless a person has withdrawn them."""
        decided = {file.file_id: file.status for file in ledger.files(self.place.paths)}
        for file, reason in barred:
            if decided.get(file.file_id) == "withdrawn":
                self.report.withdrawn.append(file.name)
            else:
                self._refuse(file, reason)

    def wait(self, file: IncomingFile, reason: str) -> None:
        """Leave a file for the next time; since when it waits is written once."""
        waits = {known.file_id: known for known in self._waits()}
        line = self._decision(file).model_copy(
            update={
                "file_id": ledger.wait_id(file.name),
                "content_hash": "",
                "status": "waiting",
                "reasons": (reason,),
            }
        )
        if before := waits.get(line.file_id):
            line = line.model_copy(update={"landed_at": before.landed_at})
        if before is None or before.reasons != line.reasons:
            ledger.commit(self.place.paths, [line])
        self.report.waiting.append(line)

    def forget_waits(self, target: Path) -> None:
        """Note of files that waited in this folder and are no longer there."""
        gone = [
            known
            for known in self._waits()
            if Path(known.folder or "").is_relative_to(target)
            and not (Path(known.folder or "") / known.file_name).exists()
        ]
        ledger.set_status(
            self.place.paths, [known.file_id for known in gone], "withdrawn", ["no longer there"]
        )

    def _waits(self) -> list[LedgerFile]:
        return [file for file in ledger.files(self.place.paths) if file.status == "waiting"]

    def _scope(self, file: IncomingFile) -> object:
        """Say within what the same content is the same delivery.

        An unchanged catalogue on the next day says something new: that nothing changed.
        """
        is_catalogue = all(self.place.shop.delivery(table) == "snapshot" for table in file.source.tables)
        return self._day(file) if is_catalogue else None

    def _day(self, file: IncomingFile) -> object:
        return incoming.delivered_on(file, self.delivered_on, self.is_history)

    def _land_new(self, files: Sequence[IncomingFile]) -> None:
        arrivals = []
        for file in self._whole(self._undecided(files)):
            day = incoming.delivered_on(file, self.delivered_on, self.is_history)
            if day is None:
                own = ", or --history to take each row's own day" if file.source.tells_when else ""
                self._refuse(
                    file,
                    "nothing says on which day it was delivered: put the date into its name (YYYY-MM-DD), "
                    f"or pass --delivered-on{own}",
                )
            else:
                arrivals.append(Arrival(file, day))
        self._land_arrivals(arrivals)

    def _whole(self, files: Iterable[IncomingFile]) -> Iterator[IncomingFile]:
        """Yield the files that can be read; of the others say why they wait, or refuse them."""
        for file in files:
            try:
                found = whole.look(file, self.place.connection)
            except (readers.UnreadableError, FileNotFoundError) as error:
                self._refuse(file, str(error))
                continue
            if found.waits_because:
                self.wait(file, found.waits_because)
            else:
                yield replace(file, has_nul=found.has_nul)

    def _land_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        chunks = list(self._chunks(arrivals))
        with Progress("landing", sum(len(chunk.arrivals) for chunk in chunks), "files") as progress:
            for chunk in chunks:
                self._land(chunk)
                progress.advance(len(chunk.arrivals))

    def _undecided(self, files: Sequence[IncomingFile]) -> Iterator[IncomingFile]:
        decided = {file.file_id: file for file in ledger.files(self.place.paths)}
        contents: dict[tuple[str, object], LedgerFile] = {
            (file.content_hash, scope): file
            for file in sorted(decided.values(), key=lambda file: file.status == "accepted")
            if file.status in ("accepted", "held") and file.rows_in
            for scope in (None, file.delivered_on or "row")
        }
        for file in files:
            known = decided.get(file.file_id)
            if known is None or known.status in ("refused", "waiting"):
                known = contents.get((file.content_hash, self._scope(file)))
            if known is None:
                yield file
            elif known.status == "withdrawn":
                self.report.withdrawn.append(file.name)
            elif known.status == "accepted":
                self.report.already_landed.append(file.name)
            else:
                self.report.still_held.append(_under_name(known, file.name))

    def _chunks(self, arrivals: Sequence[Arrival]) -> Iterator[Chunk]:
        """Group files of one source, header and manner, in the order of the first of each group."""
        headed = [
            (arrival, header) for arrival in arrivals if (header := self._header(arrival.file)) is not None
        ]
        groups: dict[tuple[tuple[str, ...], object], list[Arrival]] = {}
        for arrival, header in headed:
            file = arrival.file
            alike = (file.source.name, file.format, arrival.day is None, file.has_nul, self._manner(file))
            groups.setdefault((header, alike), []).append(arrival)
        for (header, _), members in groups.items():
            for part in cut(members):
                yield Chunk(
                    self.place.shop,
                    self.place.paths,
                    part[0].file.source,
                    tuple(part),
                    header,
                    self.place.scratch,
                )

    def _manner(self, file: IncomingFile) -> object:
        """Return what files must share, beside their header, to be read together."""
        if file.format == "parquet":
            return readers.parquet_types(file.path, self.place.connection)
        return readers.encoding(file.path, file.source.csv) if file.format != "xlsx" else None

    def _header(self, file: IncomingFile) -> tuple[str, ...] | None:
        try:
            header = readers.header(file.path, file.format, file.source.csv, self.place.connection)
        except readers.UnreadableError as error:
            self._refuse(file, str(error))
            return None
        refusal = None if file.format == "jsonl" else file.source.refusal(header)
        if refusal is None and file.format == "parquet":
            refusal = file.source.refusal_of_clocks(
                readers.old_times(file.path, self.place.connection)
            ) or file.source.refusal_of_nested(readers.nested(file.path, self.place.connection))
        if refusal is not None:
            self._refuse(file, refusal)
            return None
        return header

    def _land(self, chunk: Chunk) -> None:
        try:
            landed = chunk.land(self.place.connection, pseudonyms.key(self.place.paths))
        except readers.UnreadableError as error:
            self._refuse_or_halve(chunk, str(error))
        except UNTAKEABLE:
            self._refuse_or_halve(chunk, cannot_take(chunk.source))
        else:
            self._commit(chunk, landed)

    def _refuse_or_halve(self, chunk: Chunk, reason: str) -> None:
        if len(chunk.arrivals) == 1:
            self._refuse(chunk.arrivals[0].file, reason)
        else:
            for half in chunk.halves():
                self._land(half)

    def _commit(self, chunk: Chunk, landed: Sequence[Landed]) -> None:
        decisions = []
        for arrival, result in zip(chunk.arrivals, landed, strict=True):
            if result.refused:
                self._refuse(arrival.file, result.refused)
                continue
            if not arrival.file.is_as_it_was:
                self.wait(arrival.file, "it is being written")
                continue
            self.report.reasons.update(result.reasons)
            held = result.too_many_quarantined(chunk.source)
            decisions.append(
                self._decision(arrival.file).model_copy(
                    update={
                        "status": "held" if held else "accepted",
                        "held_at": "landing" if held else None,
                        "reasons": (held,) if held else (),
                        "rows_in": result.rows_in,
                        "rows_good": result.rows_good,
                        "rows_quarantined": result.rows_quarantined,
                        "rows_duplicate": result.rows_duplicate,
                        "due_on": result.due_on,
                        "tables": tuple(result.tables),
                        "unused_columns": tuple(result.columns_unread(chunk.source)),
                    }
                )
            )
        ledger.commit(self.place.paths, decisions)
        self.report.landed += decisions

    def _refuse(self, file: IncomingFile, reason: str) -> None:
        if file.state and not file.is_as_it_was:  # what was read is not what will lie there
            self.wait(file, "it is being written")
            return
        refusal = self._decision(file).model_copy(update={"reasons": (reason,)})
        self.report.refused.append(refusal)
        last = {known.file_id: known for known in ledger.files(self.place.paths)}.get(file.file_id)
        if last is None or _is_told_otherwise(refusal, last):
            ledger.commit(self.place.paths, [refusal])

    def _decision(self, file: IncomingFile) -> LedgerFile:
        now, day = journal.now(), self._day(file)
        return LedgerFile(
            file_id=file.file_id,
            batch_id=self.batch_id,
            shop=self.place.shop.shop,
            source=file.source.name,
            file_name=file.name,
            content_hash=file.content_hash,
            status="refused",
            landed_at=now,
            decided_at=now,
            contract_version=contracts.version(tuple(file.source.tables)),
            mapping_version=file.source.version,
            delivered_on=day if isinstance(day, date) else None,
            delivers=tuple(file.source.tables),
            folder=incoming.shown(str(file.path.parent)),
            is_history=self.is_history,
        )
