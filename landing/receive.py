"""Receives what a shop dropped: decides about each file, lands it, commits it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

import journal
from cli import console
from landing import contracts, empty, incoming, ledger, pseudonyms, readers
from landing.chunk import Arrival, Chunk, Landed, connect
from landing.incoming import IncomingFile
from landing.ledger import LedgerFile
from landing.progress import Progress
from landing.shops import Shop
from settings import ShopPaths

CHUNK_FILES = 400
CHUNK_BYTES = 256 << 20
"""Files landed in one go: enough to spread the cost of a query, few enough to fit in memory."""

UNPACKED = 8
"""What a packed byte becomes as text: tables of shops shrink to a sixth or a tenth."""


@dataclass
class Report:
    """What one call of :func:`receive` found and did, in the order of the file names."""

    ignored: list[Path] = field(default_factory=list)
    already_landed: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    landed: list[LedgerFile] = field(default_factory=list)
    refused: list[LedgerFile] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


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
    paths = ShopPaths(shop.shop)
    target = target.resolve()
    known, ignored = incoming.find(target, shop)
    with _alone(paths), Progress("reading file names", len(known)) as progress:
        files = [progress.step(incoming.fingerprint(path, source)) for path, source in known]
        scratch = _clear_scratch(paths)
        _sweep(paths)
        empty.write(paths)
        folder = target if target.is_dir() else target.parent
        with connect(shop, paths, folder, scratch) as connection:
            report = Report(ignored=ignored)
            call = Call(
                shop, paths, connection, scratch, incoming.batch_id(files), delivered_on, is_history, report
            )
            call.receive(files)
        shutil.rmtree(scratch)
    return report


@dataclass(frozen=True)
class Call:
    """One call of :func:`receive` under way."""

    shop: Shop
    paths: ShopPaths
    connection: duckdb.DuckDBPyConnection
    scratch: Path
    batch_id: str
    delivered_on: date | None
    is_history: bool
    report: Report

    def receive(self, files: Sequence[IncomingFile]) -> None:
        """Land the new files; of several with the same content the first, then those it did not settle."""
        firsts: dict[tuple[str, object], IncomingFile] = {}
        for file in files:
            firsts.setdefault((file.content_hash, self._scope(file)), file)
        first_ids = {file.file_id for file in firsts.values()}
        self._land_new([file for file in files if file.file_id in first_ids])
        self._land_new([file for file in files if file.file_id not in first_ids])

    def _scope(self, file: IncomingFile) -> object:
        """Say within what the same content is the same delivery.

        An unchanged catalogue on the next day says something new: that nothing changed.
        """
        is_catalogue = all(self.shop.delivery(table) == "snapshot" for table in file.source.tables)
        return self._day(file) if is_catalogue else None

    def _day(self, file: IncomingFile) -> object:
        return incoming.delivered_on(file, self.delivered_on, self.is_history)

    def _land_new(self, files: Sequence[IncomingFile]) -> None:
        arrivals = []
        for file in self._undecided(files):
            day = incoming.delivered_on(file, self.delivered_on, self.is_history)
            if day is None:
                self._refuse(
                    file,
                    "nothing says on which day it was delivered: put the date into its name (YYYY-MM-DD), "
                    "or pass --delivered-on, or --history to take each row's own day",
                )
            else:
                arrivals.append(Arrival(file, day))
        chunks = list(self._chunks(arrivals))
        with Progress("landing", sum(len(chunk.arrivals) for chunk in chunks)) as progress:
            for chunk in chunks:
                self._land(chunk)
                progress.advance(len(chunk.arrivals))

    def _undecided(self, files: Sequence[IncomingFile]) -> Iterator[IncomingFile]:
        decided = {file.file_id: file.status for file in ledger.files(self.paths)}
        contents = {
            (file.content_hash, scope)
            for file in ledger.files(self.paths)
            if file.status in ("accepted", "held") and file.rows_in
            for scope in (None, file.delivered_on or "row")
        }
        for file in files:
            status = decided.get(file.file_id)
            if status == "withdrawn":
                self.report.withdrawn.append(file.name)
            elif status in ("accepted", "held") or (file.content_hash, self._scope(file)) in contents:
                self.report.already_landed.append(file.name)
            else:
                yield file

    def _chunks(self, arrivals: Sequence[Arrival]) -> Iterator[Chunk]:
        """Group files of one source, format and header, in the order of the first of each group."""
        headed = [
            (arrival, header) for arrival in arrivals if (header := self._header(arrival.file)) is not None
        ]
        groups: dict[tuple[str, str, bool, tuple[str, ...]], list[Arrival]] = {}
        for arrival, header in headed:
            key = (arrival.file.source.name, arrival.file.format, arrival.day is None, header)
            groups.setdefault(key, []).append(arrival)
        for (_, _, _, header), members in groups.items():
            for part in _cut(members):
                yield Chunk(self.shop, self.paths, part[0].file.source, tuple(part), header, self.scratch)

    def _header(self, file: IncomingFile) -> tuple[str, ...] | None:
        try:
            header = readers.header(file.path, file.format, file.source.csv, self.connection)
        except readers.UnreadableError as error:
            self._refuse(file, str(error))
            return None
        if file.format != "jsonl" and (refusal := file.source.refusal(header)):
            self._refuse(file, refusal)
            return None
        return header

    def _land(self, chunk: Chunk) -> None:
        try:
            landed = chunk.land(self.connection, pseudonyms.key(self.paths))
        except readers.UnreadableError as error:
            if len(chunk.arrivals) == 1:
                self._refuse(chunk.arrivals[0].file, str(error))
                return
            for half in chunk.halves():
                self._land(half)
            return
        self._commit(chunk, landed)

    def _commit(self, chunk: Chunk, landed: Sequence[Landed]) -> None:
        accepted = []
        for arrival, result in zip(chunk.arrivals, landed, strict=True):
            if result.refused:
                self._refuse(arrival.file, result.refused)
                continue
            self.report.reasons.update(result.reasons)
            unused = tuple(sorted(set(chunk.header) - chunk.source.reads))
            accepted.append(
                self._decision(arrival.file).model_copy(
                    update={
                        "status": "accepted",
                        "rows_in": result.rows_in,
                        "rows_good": result.rows_good,
                        "rows_quarantined": result.rows_quarantined,
                        "rows_duplicate": result.rows_duplicate,
                        "delivered_on": arrival.day,
                        "tables": tuple(result.tables),
                        "unused_columns": unused,
                    }
                )
            )
        ledger.commit(self.paths, accepted)
        self.report.landed += accepted

    def _refuse(self, file: IncomingFile, reason: str) -> None:
        refusal = self._decision(file).model_copy(update={"reasons": (reason,)})
        self.report.refused.append(refusal)
        last = {known.file_id: known for known in ledger.files(self.paths)}.get(file.file_id)
        if last is None or last.reasons != refusal.reasons:
            ledger.commit(self.paths, [refusal])

    def _decision(self, file: IncomingFile) -> LedgerFile:
        now = journal.now()
        return LedgerFile(
            file_id=file.file_id,
            batch_id=self.batch_id,
            shop=self.shop.shop,
            source=file.source.name,
            file_name=file.name,
            content_hash=file.content_hash,
            status="refused",
            landed_at=now,
            decided_at=now,
            contract_version=contracts.version(tuple(file.source.tables)),
            mapping_version=file.source.version,
            delivers=tuple(file.source.tables),
        )


def _cut(members: Sequence[Arrival]) -> Iterator[list[Arrival]]:
    part: list[Arrival] = []
    size = 0
    for arrival in members:
        weight = arrival.file.size * (1 if arrival.file.path.suffix in (".csv", ".jsonl") else UNPACKED)
        if part and (len(part) == CHUNK_FILES or size + weight > CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(arrival)
        size += weight
    if part:
        yield part


@contextmanager
def _alone(paths: ShopPaths) -> Iterator[None]:
    """Let one process at a time land for a shop; the kernel frees the lock when its holder dies."""
    paths.landing.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(paths.landing / "receive.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"waiting: another process is landing files for {paths.shop}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear_scratch(paths: ShopPaths) -> Path:
    scratch = paths.landing / ".scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    return scratch


def _sweep(paths: ShopPaths) -> None:
    """Remove Parquet that a killed process left behind uncommitted."""
    committed = {file.file_id for file in ledger.files(paths) if file.status != "refused"}
    for found in paths.landing.glob("*/*/*.*"):
        if found.stem not in committed or found.suffix == ".tmp":
            found.unlink()
