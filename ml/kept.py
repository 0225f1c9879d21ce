"""The champions that served last, kept beside the shop: scoring goes on where MLflow does not answer.

    models/champions/<registered name>/<version>-<run>/package/, version.json

A folder is complete before it gets its name, and its package is sealed like every other.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from datetime import date
from pathlib import Path

from cli import ShoalError, console
from ml import packages, promote, tracking
from settings import ShopPaths


def in_force(paths: ShopPaths, model: str, as_of: date) -> tracking.Version | None:
    """Return the champion that may score a date, from MLflow, else the one kept when it served last.

    Its package lies on this machine. None where no champion may speak about the date.

    Raises
    ------
    ShoalError
        When MLflow does not answer and no champion is kept for the date.
    """
    name = tracking.registered_name(paths.shop, model)
    try:
        with tracking.explained():
            found = promote.in_force(name, as_of)
            if found is not None:
                return _keep(paths, found)
        why = f"MLflow knows no champion of {name} for {as_of}"
    except tracking.UnreachableError as error:
        if _last(paths, name, as_of) is None:
            raise
        why = str(error)
    last = _last(paths, name, as_of)
    if last is not None:
        console.print(
            f"{why}: scoring goes on with version {last.version} of {name}, kept in {last.folder}; "
            "delete that folder if the model was withdrawn",
            style="yellow",
            markup=False,
        )
    return last


def require_in_force(paths: ShopPaths, model: str, as_of: date) -> tracking.Version:
    """Return :func:`in_force`, or refuse.

    Raises
    ------
    ShoalError
        When there is no champion, or each knows days after ``as_of``.
    """
    name = tracking.registered_name(paths.shop, model)
    return in_force(paths, model, as_of) or promote.require_in_force(name, as_of, paths.shop)


def served_before(paths: ShopPaths, name: str, number: str) -> tracking.Version:
    """Return a version that served, by its registered name: from the copy kept here, else from MLflow."""
    for folder in sorted(_folder(paths, name).glob(f"{number}-*")):
        return _read(folder)
    return tracking.version(name, number)


def forget(paths: ShopPaths, version: tracking.Version) -> None:
    """Delete the copy of a version that was withdrawn: it must not serve where MLflow does not answer."""
    shutil.rmtree(_folder(paths, version.name) / f"{version.version}-{version.run_id}", ignore_errors=True)


def _keep(paths: ShopPaths, version: tracking.Version) -> tracking.Version:
    folder = _folder(paths, version.name) / f"{version.version}-{version.run_id}"
    if folder.exists():
        _check_seal(version, packages.check(folder / tracking.PACKAGE), f"delete {folder}, it is made anew")
        _note(folder, version)  # it may have been promoted again since
        return _read(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(version.package(), aside / tracking.PACKAGE)
    _check_seal(version, packages.check(aside / tracking.PACKAGE))
    _note(aside, version)
    try:
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside)  # another process kept the same one first
    return _read(folder)


def _note(folder: Path, version: tracking.Version) -> None:
    packages.write_json(folder / f".version.{os.getpid()}", {**asdict(version), "folder": None})
    (folder / f".version.{os.getpid()}").replace(folder / "version.json")


def _check_seal(
    version: tracking.Version,
    digest: str,
    remedy: str = "restore MLflow's artefacts from a backup, or train again with FORCE=1",
) -> None:
    """Refuse a package that was changed and sealed again after it was registered."""
    registered = version.tags.get(tracking.SEAL, digest)
    if registered != digest:
        raise ShoalError(
            f"version {version.version} of {version.name} was registered as {registered} and is now "
            f"{digest}: {remedy}"
        )


def _last(paths: ShopPaths, name: str, as_of: date) -> tracking.Version | None:
    kept = [_read(folder) for folder in _folder(paths, name).glob("[0-9]*")]
    known = [one for one in kept if one.known_through <= as_of]
    return max(known, key=tracking.Version.promotion_order, default=None)


def _folder(paths: ShopPaths, name: str) -> Path:
    return paths.models / "champions" / name


def _read(folder: Path) -> tracking.Version:
    try:
        said = json.loads((folder / "version.json").read_text())
        return tracking.Version(
            **{**said, "aliases": tuple(said["aliases"]), "folder": folder / tracking.PACKAGE}
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ShoalError(
            f"the kept champion {folder} is damaged ({error}): delete that folder, then run the command "
            "again while MLflow answers"
        ) from None
