"""The crossing out: one Parquet snapshot of the model inputs, named by the digest of its rows.

Whoever trains or scores reads this and nothing else; equal content has one name, however
often it is built. A table is a file per as_of_date, and a date that an earlier snapshot holds
already is that file under a second name: cuts stand for a week.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from cli import ShoalError
from settings import ShopPaths
from warehouse.horizon import Split

TABLES = {
    "fct_user_sequences": "ml_inputs.fct_user_sequences",
    "fct_user_features": "ml_inputs.fct_user_features",
    "fct_user_labels": "ml_inputs.fct_user_labels",
}

CONTENT_KEY = "content_key"
"""The column that holds the hash of a row's lists."""
ROW_GROUP = 4_096
"""Rows are written as they lie. A new day's lists lie together behind the older ones, so its scoring finds
those that it reads in few row groups; to sort all lists costs as much as to write them."""
REPLACED_KEPT_SECONDS = 7 * 86_400
"""For so long a replaced snapshot stays: a training that began with it ends within hours, retries too."""
NEWEST = 8
"""So many snapshots are looked through for a date that is written already."""


@dataclass(frozen=True)
class Snapshot:
    """A folder of Parquet files, and what its manifest says of them."""

    folder: Path
    manifest: dict[str, Any]

    def path(self, table: str) -> Path:
        """Return the pattern of a table's Parquet files, as DuckDB reads it."""
        return files(self.folder, table)


def files(folder: Path, table: str) -> Path:
    """Return the pattern of a table's Parquet files; an earlier release wrote one file for all dates."""
    return folder / f"{table}*.parquet"


def file(folder: Path, table: str, as_of: date) -> Path:
    """Return the Parquet file that holds an as_of_date of a table."""
    part = folder / f"{table}.{as_of}.parquet"
    return part if part.exists() else folder / f"{table}.parquet"


def read(paths: ShopPaths, as_of: date) -> Snapshot:
    """Return the latest snapshot of an as_of_date.

    Raises
    ------
    ShoalError
        When there is none.
    """
    found = find(paths, Split(as_of).link)
    if found is None:
        raise ShoalError(
            f"no snapshot of {as_of} under {paths.snapshots}: "
            f"run `python -m warehouse build core --shop {paths.shop} --as-of {as_of}`"
        )
    return found


def find(paths: ShopPaths, link: str) -> Snapshot | None:
    """Return the snapshot that a link points at, or None."""
    folder = (paths.snapshots / link).resolve()
    manifest = folder / "manifest.json"
    return Snapshot(folder, json.loads(manifest.read_text(encoding="utf-8"))) if manifest.exists() else None


def export(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, split: Split) -> Snapshot:
    """Write the inputs of the split's days, aside first, and point the split's link at them.

    The caller holds the warehouse lock.
    """
    _sweep(paths)
    hashes = {
        name: {str(day): content_hash(connection, table, [day]) for day in split.as_of_dates}
        for name, table in TABLES.items()
    }
    manifest = _describe(paths, split, hashes)
    folder = paths.snapshots / manifest["digest"]
    if not folder.exists():
        _write(connection, paths, folder, split, manifest)
    _point(paths.snapshots / split.link, folder)
    return Snapshot(folder, manifest)


def content_hash(
    connection: duckdb.DuckDBPyConnection, table: str, as_of_dates: list[date] | None = None
) -> dict[str, Any]:
    """Return row count and hash of a table's rows, whatever their order.

    The sum of 64-bit hashes of whole rows; names and types of the columns are part of it. Lists that a
    ``content_key`` is the hash of are told by that. ``table`` is one of our own names, never input. An empty
    table hashes by its columns alone.
    """
    described = connection.execute(f"describe {table}").fetchall()
    columns = [(str(name), str(type_)) for name, type_, *_ in described]
    has_key = CONTENT_KEY in dict(columns)
    row_hash = ", ".join(f'"{name}"' for name, type_ in columns if not (has_key and type_.endswith("[]")))
    only = "where list_contains(?, as_of_date)" if as_of_dates is not None else ""
    [(rows, total)] = connection.execute(
        f"select count(*), coalesce(sum(hash({row_hash})::hugeint), 0) from {table} {only}",  # noqa: S608
        [as_of_dates] if as_of_dates is not None else [],
    ).fetchall()
    text = json.dumps([columns, int(rows), str(total)])
    return {"rows": int(rows), "hash": hashlib.sha256(text.encode()).hexdigest()}


def _describe(paths: ShopPaths, split: Split, hashes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    tables = {
        name: {"rows": sum(day["rows"] for day in days.values()), "by_date": days}
        for name, days in hashes.items()
    }
    said = {
        "shop": paths.shop,
        "as_of_date": str(split.as_of_date),
        "horizon_days": split.horizon_days,
        "cuts": {
            "train": str(split.train_cut) if split.train_cut else None,
            "test": str(split.test_cut) if split.test_cut else None,
            "score": str(split.as_of_date),
        },
        "tables": tables,
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    return {"digest": digest, **said}


def _write(
    connection: duckdb.DuckDBPyConnection,
    paths: ShopPaths,
    folder: Path,
    split: Split,
    manifest: dict[str, Any],
) -> None:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    aside.mkdir(parents=True, mode=0o700)
    try:
        _fill(connection, paths, aside, split, manifest)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)  # on a full disk it would stand in its own way
        raise
    try:
        aside.rename(folder)
    except OSError:
        # Another run wrote the same content first: equal by name, so theirs is ours.
        shutil.rmtree(aside)


def _fill(
    connection: duckdb.DuckDBPyConnection,
    paths: ShopPaths,
    aside: Path,
    split: Split,
    manifest: dict[str, Any],
) -> None:
    known = _written_already(paths)
    for name, table in TABLES.items():
        for day in split.as_of_dates:
            part = aside / f"{name}.{day}.parquet"
            written = known.get((name, str(day), manifest["tables"][name]["by_date"][str(day)]["hash"]))
            if written is not None:
                _link(written, part)
                continue
            connection.sql(
                f"select * from {table} where as_of_date = ?",  # noqa: S608
                params=[day],
            ).write_parquet(str(part), compression="zstd", row_group_size=ROW_GROUP)
    (aside / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _sweep(paths: ShopPaths) -> None:
    """Remove what killed builds left aside, and snapshots that no date has pointed at for a week.

    Whoever builds holds the lock, so nobody is at the former. A training may still read the latter.
    """
    pointed_at = {link.resolve() for link in paths.snapshots.glob("[!.]*") if link.is_symlink()}
    for folder in paths.snapshots.glob("[!.]*"):
        is_replaced = folder.is_dir() and not folder.is_symlink() and folder.resolve() not in pointed_at
        if is_replaced and time.time() - folder.stat().st_mtime > REPLACED_KEPT_SECONDS:
            shutil.rmtree(folder)
    for left in paths.snapshots.glob(".*.*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def _written_already(paths: ShopPaths) -> dict[tuple[str, str, str], Path]:
    """Return the files of the newest snapshots by table, as_of_date and hash."""
    found = {}
    for link in sorted(paths.snapshots.glob("latest-*"), reverse=True)[:NEWEST]:
        snapshot = find(paths, link.name)
        for name, told in (snapshot.manifest["tables"] if snapshot else {}).items():
            for day, content in told.get("by_date", {}).items():
                part = link.resolve() / f"{name}.{day}.parquet"
                if part.exists():
                    found[name, day, content["hash"]] = part
    return found


def _link(written: Path, part: Path) -> None:
    try:
        os.link(written, part)
    except OSError:  # a file system without links
        shutil.copyfile(written, part)


def _point(link: Path, folder: Path) -> None:
    if link.exists() and link.resolve() != folder.resolve():
        os.utime(link)  # follows the link: since now the old snapshot is replaced
    aside = link.with_name(f".{link.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(folder.name)
    aside.replace(link)
