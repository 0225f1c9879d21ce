"""Versions on disk: which exist, which one readers see, which one is pinned.

    serving/versions/<version>/shoal.duckdb, parquet/, manifest.json
    serving/current -> versions/<version>        the one that readers see
    serving/pin.json                             there after a rollback, gone after a release

A version's folder is complete before it gets its name, and never changes afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import journal
from cli import ShoalError, UsageError
from settings import ShopPaths

KEPT_VERSIONS = 7
DATABASE = "shoal.duckdb"
_BUILDING = ".building-"


@dataclass(frozen=True)
class Version:
    """One published version: its folder and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    @property
    def published_at(self) -> datetime:
        return datetime.fromisoformat(self.manifest["published_at"])


def new_name() -> str:
    """Return a name for a version that is built now; names sort by time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def versions(paths: ShopPaths) -> list[Version]:
    """Return all versions on disk, oldest first."""
    found = []
    for folder in sorted((paths.serving / "versions").glob("[0-9]*")):
        # Readers take no lock: a publish may prune the oldest while they are listed.
        with suppress(FileNotFoundError):
            found.append(Version(folder, json.loads((folder / "manifest.json").read_text())))
    return found


def days(paths: ShopPaths) -> list[date]:
    """Return the as_of_dates that the newest version tells of, oldest first.

    The history may know one more: a publish that broke off keeps what it said, and no reader sees it yet.
    """
    newest = versions(paths)[-1:]
    files = (file for version in newest for file in version.folder.glob("parquet/user_segment_daily/*"))
    return sorted(date.fromisoformat(file.stem) for file in files)


def find(paths: ShopPaths, name: str) -> Version:
    """Return one version by name.

    Raises
    ------
    UsageError
        When there is none of that name; names those that exist.
    """
    known = {version.name: version for version in versions(paths)}
    if name not in known:
        raise UsageError(
            f"no version {name!r} of shop {paths.shop}: choose one of {', '.join(known) or 'none'}"
        )
    return known[name]


def current_folder(paths: ShopPaths) -> Path | None:
    """Return the folder that ``current`` points to now, or None before the first publish."""
    try:
        target = (paths.serving / "current").readlink()
    except FileNotFoundError:
        return None
    return paths.serving / target


def current(paths: ShopPaths) -> Version | None:
    """Return the version that readers see now, or None before the first publish."""
    folder = current_folder(paths)
    return find(paths, folder.name) if folder else None


def pinned(paths: ShopPaths) -> str | None:
    """Return the name of the pinned version, or None where publishes swap freely."""
    try:
        return str(json.loads((paths.serving / "pin.json").read_text())["version"])
    except FileNotFoundError:
        return None


@contextmanager
def lock(paths: ShopPaths) -> Iterator[None]:
    """Let one process at a time change what is served; readers take no lock."""
    paths.serving.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(paths.serving / "serving.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def start(paths: ShopPaths, name: str) -> Path:
    """Make the folder in which a version is built; sweep away what killed publishes left behind."""
    folder = paths.serving / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    # Under the lock nobody else builds, so whatever is still called building is dead.
    for leftover in folder.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover)
    building = folder / f"{_BUILDING}{name}"
    building.mkdir()
    return building


@contextmanager
def started(paths: ShopPaths) -> Iterator[tuple[str, Path]]:
    """Give a new version's name and the folder of :func:`start`; what fails leaves nothing on a full disk."""
    name = new_name()
    building = start(paths, name)
    try:
        yield name, building
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def finish(paths: ShopPaths, building: Path, manifest: dict[str, Any]) -> Version:
    """Give a completely built version its name; nobody sees it before :func:`swap`."""
    write_whole(building / "manifest.json", json.dumps(manifest, indent=1, default=str))
    folder = building.with_name(building.name.removeprefix(_BUILDING))
    building.rename(folder)
    sync_folder(folder.parent)
    return find(paths, folder.name)


def swap(paths: ShopPaths, name: str) -> None:
    """Let ``current`` point to a version: one rename, so readers see the old one or the new one."""
    link = paths.serving / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("versions") / name)
    link.replace(paths.serving / "current")
    sync_folder(paths.serving)


def prune(paths: ShopPaths) -> list[str]:
    """Delete all but the last seven versions, the one in force and the pinned one; return their names."""
    in_use = {pinned(paths), getattr(current_folder(paths), "name", None)}
    old = [version for version in versions(paths)[:-KEPT_VERSIONS] if version.name not in in_use]
    for version in old:
        # Out of sight first: a half deleted folder must not look like a version.
        doomed = version.folder.with_name(f"{_BUILDING}{version.name}")
        version.folder.rename(doomed)
        shutil.rmtree(doomed)
    return [version.name for version in old]


def rollback(paths: ShopPaths, to: str | None) -> Version:
    """Put an older version in force and pin it; publishes go on building, but swap no more.

    Raises
    ------
    ShoalError
        When nothing is published, or no version is older than the one in force.
    """
    with lock(paths):
        target = find(paths, to) if to else _version_before(paths)
        note = {"version": target.name, "pinned_at": journal.now()}
        write_whole(paths.serving / "pin.json", json.dumps(note))
        swap(paths, target.name)
        journal.append(paths.ops / "published_version.jsonl", [{"event": "pinned", **note}])
    return target


def release(paths: ShopPaths) -> Version:
    """Lift the pin and put the newest version in force.

    Raises
    ------
    UsageError
        When nothing is pinned.
    """
    with lock(paths):
        if not (name := pinned(paths)):
            raise UsageError(f"nothing is pinned in shop {paths.shop}: publishes swap as they come")
        newest = versions(paths)[-1]
        swap(paths, newest.name)
        (paths.serving / "pin.json").unlink()
        note = {"event": "released", "version": name, "released_at": journal.now()}
        journal.append(paths.ops / "published_version.jsonl", [note])
        prune(paths)
    return newest


def _version_before(paths: ShopPaths) -> Version:
    in_force = current(paths)
    if in_force is None:
        raise ShoalError(f"shop {paths.shop} has no published version: run python -m serving publish first")
    older = [version for version in versions(paths) if version.name < in_force.name]
    if not older:
        raise ShoalError(
            f"no version is older than {in_force.name}, the one in force: there is nothing to go back to"
        )
    return older[-1]


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader meets all of it or the one before."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
